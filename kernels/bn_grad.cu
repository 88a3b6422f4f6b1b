/* bn_grad_sums, bn_grad_apply: backward through scale, shift and normalization, through the ReLU
 * before them in this order, the two sets of bn.repeat, and the shake behind them.
 *
 * Three shapes, one code. XS: sides of x; DS: sides of dy.
 *   XS 1, DS 1   plain
 *   XS 1, DS 2   bn.repeat: one x, two gradients side by side
 *   XS 2, DS 1   coef: two branches side by side in x, one gradient g that reaches them as
 *                coef g and (1 - coef) g
 * A thread owns the same V channels of every side, so what the sides share is read once.
 *
 * Bytes an element of one side: the sums read 4 (XS + DS), the apply reads as much again, with
 * 4 XS more for an addend, and writes 4 XS: the minimum for a mask that is recomputed, not
 * stored. The weighted gradients of the two branches never exist in memory. Sums are merged as in
 * bn_stats: threads by a tree, blocks by a second launch. */
#include "kernels/bn.cuh"

namespace {

struct grad_operands {
    const float *dy, *x, *mean, *rstd, *gamma, *beta, *coef;
    const float *dgamma, *dbeta, *addend;
    float *dx;
    uint32_t channels; /* of one side */
    bool relu;
};

/* Parameters of a thread's channels: sides of gamma and beta are the sides of x or of dy. */
template <int V, int XS, int DS> struct sides {
    enum { N = XS * DS };
    qv_norm<V> norm[N];

    __device__ inline sides(const grad_operands &o, uint32_t column)
    {
#pragma unroll
        for (int j = 0; j < N; j++) {
            const size_t c = (size_t)column * V, set = (size_t)j * o.channels + c;
            norm[j] = qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, XS == 2 ? set : c, set);
        }
    }
};

/* x - mean and the gradient v that reaches the scale and shift, of all sides in one row. */
template <int V, int XS, int DS> struct arriving {
    enum { N = XS * DS };
    float off[N][V], v[N][V];

    __device__ inline arriving(const grad_operands &o, const sides<V, XS, DS> &p, uint64_t row, uint32_t column, float a)
    {
        qv_pack<V> x[XS], dy[DS];
#pragma unroll
        for (int k = 0; k < XS; k++)
            x[k] = qv_load<V>(o.x + qv_offset(row, XS * o.channels, column, V) + (size_t)k * o.channels);
#pragma unroll
        for (int k = 0; k < DS; k++)
            dy[k] = qv_load<V>(o.dy + qv_offset(row, DS * o.channels, column, V) + (size_t)k * o.channels);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float weight = j == 0 ? a : 1.0f - a;
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float xi = x[XS == 2 ? j : 0].v[i], d = dy[DS == 2 ? j : 0].v[i];
                off[j][i] = xi - p.norm[j].mean.v[i];
                v[j][i] = XS == 2 ? weight * d : d;
                if (o.relu && !(qv_normalize(xi, p.norm[j], i) > 0)) v[j][i] = 0;
            }
        }
    }
};

/* part: [block][2][N * channels], sums of v (x - mean) and of v. */
template <int V, int XS, int DS>
__global__ void __launch_bounds__(QV_BLOCK) sums_blocks(grad_operands o, float *part, qv_rows g, qv_plane plane)
{
    enum { N = XS * DS, K = 2 * N * V };
    const qv_place at = qv_place_of(g, blockIdx.x);
    float sum[K] = {};
    if (at.row < at.end) {
        const sides<V, XS, DS> p(o, at.column);
        qv_spot spot = qv_spot_of(&plane, at.row);
        for (uint64_t row = at.row; row < at.end; row += g.lanes) {
            const float a = XS == 2 ? o.coef[qv_spot_band(&plane, &spot)] : 1.0f;
            const arriving<V, XS, DS> r(o, p, row, at.column, a);
#pragma unroll
            for (int k = 0; k < N * V; k++) {
                const float v = r.v[k / V][k % V];
                sum[k] = fmaf(v, r.off[k / V][k % V], sum[k]);
                sum[N * V + k] += v;
            }
            if (XS == 2) qv_spot_step(&plane, &spot);
        }
    }
    qv_join_lanes<qv_sum>(sum, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        float *out = part + (size_t)blockIdx.x * 2 * N * o.channels + (size_t)at.column * V;
#pragma unroll
        for (int j = 0; j < 2 * N; j++) {
            qv_pack<V> r;
#pragma unroll
            for (int i = 0; i < V; i++) r.v[i] = sum[j * V + i];
            qv_store<V>(out + (size_t)j * o.channels, r);
        }
    }
}

/* Partial results of one channel. */
struct block_sums {
    using loaded = float2;
    const float *part;
    uint32_t channels, column;
    float sum[2];

    __device__ inline loaded load(uint64_t block) const
    {
        const float *in = part + block * 2 * channels + column;
        return make_float2(in[0], in[channels]);
    }
    __device__ inline void add(const loaded &p, uint64_t)
    {
        sum[0] += p.x;
        sum[1] += p.y;
    }
};

/* rstd has `period` channels: as many as the result, or half of them (bn.repeat). */
__global__ void __launch_bounds__(QV_BLOCK)
    sums_merge(const float *part, const float *rstd, float *dgamma, float *dbeta, qv_rows g, uint32_t period)
{
    const qv_place at = qv_place_of(g, 0);
    block_sums b = {part, g.vectors, at.column, {}};
    qv_each_row(g, at, b);
    qv_join_lanes<qv_sum>(b.sum, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        dgamma[at.column] = b.sum[0] * rstd[at.column % period];
        dbeta[at.column] = b.sum[1];
    }
}

/* dx = addend + scale v - B - (x - mean) D, summed over the sets of one x. */
template <int V, int XS, int DS>
__global__ void __launch_bounds__(QV_BLOCK) grad_apply(grad_operands o, qv_rows g, qv_plane plane)
{
    enum { N = XS * DS };
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    const sides<V, XS, DS> p(o, at.column);
    float B[N][V], D[N][V];
#pragma unroll
    for (int j = 0; j < N; j++) {
        const size_t c = (size_t)at.column * V, set = (size_t)j * o.channels + c;
        const qv_pack<V> rstd = qv_load<V>(o.rstd + (XS == 2 ? set : c));
        const qv_pack<V> dgamma = qv_load<V>(o.dgamma + set), dbeta = qv_load<V>(o.dbeta + set);
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float scale = p.norm[j].scale.v[i];
            B[j][i] = scale * (dbeta.v[i] / (float)g.rows);
            D[j][i] = scale * rstd.v[i] * (dgamma.v[i] / (float)g.rows);
        }
    }
    qv_spot spot = qv_spot_of(&plane, at.row);
    for (uint64_t row = at.row; row < at.end; row += g.lanes) {
        const float a = XS == 2 ? o.coef[qv_spot_band(&plane, &spot)] : 1.0f;
        const arriving<V, XS, DS> r(o, p, row, at.column, a);
#pragma unroll
        for (int k = 0; k < XS; k++) {
            const size_t to = qv_offset(row, XS * o.channels, at.column, V) + (size_t)k * o.channels;
            qv_pack<V> dx = {};
            if (o.addend) dx = qv_load<V>(o.addend + to);
#pragma unroll
            for (int j = k; j < N; j += XS) {
#pragma unroll
                for (int i = 0; i < V; i++)
                    dx.v[i] += fmaf(p.norm[j].scale.v[i], r.v[j][i], -fmaf(r.off[j][i], D[j][i], B[j][i]));
            }
            qv_store<V>(o.dx + to, dx);
        }
        if (XS == 2) qv_spot_step(&plane, &spot);
    }
}

template <int V, int XS, int DS> int run_sums(const qv_call *c, const grad_operands &o, int32_t bands)
{
    const qv_tensor &x = c->in[1];
    float *part = static_cast<float *>(c->scratch);
    const qv_rows g = qv_sums_rows(qv_positions(x), o.channels / V);
    const uint32_t results = XS * DS * o.channels;
    const qv_rows merge = qv_merge_rows(g.blocks, results);
    if (g.columns == 0 || merge.columns == 0) return QV_REFUSED;
    QV_LAUNCH((sums_blocks<V, XS, DS>), dim3(g.blocks, g.columns), dim3(g.threads), 0, c->stream, o, part, g,
              qv_plane_of(x.h, x.w, bands, g.lanes));
    const int error = qv_launch_error();
    if (error) return error;
    QV_LAUNCH(sums_merge, dim3(1, merge.columns), dim3(merge.threads), 0, c->stream, part, o.rstd,
              qv_data<float>(c->out[0]), qv_data<float>(c->out[1]), merge, (uint32_t)x.c);
    return qv_launch_error();
}

template <int V, int XS, int DS> int run_apply(const qv_call *c, const grad_operands &o, int32_t bands)
{
    const qv_tensor &x = c->in[1];
    const qv_rows g = qv_pass_rows(qv_positions(x), o.channels / V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((grad_apply<V, XS, DS>), dim3(g.blocks, g.columns), dim3(g.threads), 0, c->stream, o, g,
              qv_plane_of(x.h, x.w, bands, g.lanes));
    return qv_launch_error();
}

/* Operands that both ops name alike; coef: its place among the inputs. */
grad_operands operands_of(const qv_call *c, int coef)
{
    grad_operands o = {};
    o.dy = qv_data(c->in[0]);
    o.x = qv_data(c->in[1]);
    o.mean = qv_data(c->in[2]);
    o.rstd = qv_data(c->in[3]);
    o.gamma = qv_data(c->in[4]);
    o.beta = qv_data(c->in[5]);
    o.coef = qv_data(c->in[coef]);
    o.channels = (uint32_t)c->in[1].c / (o.coef ? 2 : 1);
    o.relu = c->op->a.bn.relu != 0;
    return o;
}

/* The shapes that belong together; anything else would be read beyond its end. */
bool fits(const qv_call *c, const qv_tensor &coef)
{
    const qv_tensor &dy = c->in[0], &x = c->in[1];
    const int32_t sets = c->op->a.bn.repeat;
    if (qv_tensor_len(&x) == 0 || !qv_plane_fits(x.h, x.w, coef.data ? coef.c : 1)) return false;
    if (coef.data) return sets == 1 && x.c == 2 * dy.c;
    return (sets == 1 || sets == 2) && dy.c == sets * x.c;
}

} // namespace

extern "C" int qv_cuda_bn_grad_sums(const qv_call *c, size_t *need)
{
    const qv_tensor &x = c->in[1], &coef = c->in[6];
    if (!fits(c, coef)) return QV_REFUSED;
    const grad_operands o = operands_of(c, 6);
    const uint32_t narrow = qv_sums_rows(qv_positions(x), o.channels).blocks;
    const uint32_t wide = o.channels % 4 == 0 ? qv_sums_rows(qv_positions(x), o.channels / 4).blocks : narrow;
    const size_t results = (size_t)x.c * (size_t)c->op->a.bn.repeat;
    if (need) return (*need = sizeof(float) * 2 * results * (narrow > wide ? narrow : wide)), 0;
    const bool four = qv_wide(o.channels, o.dy, o.x, o.mean, o.rstd, o.gamma, o.beta, c->scratch);
    if (o.coef) return four ? run_sums<4, 2, 1>(c, o, coef.c) : run_sums<1, 2, 1>(c, o, coef.c);
    if (c->op->a.bn.repeat == 2) return four ? run_sums<4, 1, 2>(c, o, 1) : run_sums<1, 1, 2>(c, o, 1);
    return four ? run_sums<4, 1, 1>(c, o, 1) : run_sums<1, 1, 1>(c, o, 1);
}

extern "C" int qv_cuda_bn_grad_apply(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor &coef = c->in[8];
    if (!fits(c, coef)) return QV_REFUSED;
    grad_operands o = operands_of(c, 8);
    o.dgamma = qv_data(c->in[6]);
    o.dbeta = qv_data(c->in[7]);
    o.addend = qv_data(c->in[9]);
    o.dx = qv_data<float>(c->out[0]);
    const bool four = qv_wide(o.channels, o.dy, o.x, o.mean, o.rstd, o.gamma, o.beta, o.dgamma, o.dbeta,
                              o.addend, o.dx);
    if (o.coef) return four ? run_apply<4, 2, 1>(c, o, coef.c) : run_apply<1, 2, 1>(c, o, coef.c);
    if (c->op->a.bn.repeat == 2) return four ? run_apply<4, 1, 2>(c, o, 1) : run_apply<1, 1, 2>(c, o, 1);
    return four ? run_apply<4, 1, 1>(c, o, 1) : run_apply<1, 1, 1>(c, o, 1);
}
