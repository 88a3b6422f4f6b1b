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
 * Elements moved, for one of a side: the sums read XS + DS, the apply reads as much again, with
 * XS more for an addend, and writes XS: the minimum for a mask that is recomputed, not
 * stored. The weighted gradients of the two branches never exist in memory. Sums are merged as in
 * bn_stats: threads by a tree, blocks by a second launch, or, where there are tickets, by the last block. */
#include "kernels/bn.cuh"
#include "kernels/merge.cuh"

namespace {

struct grad_operands {
    const void *dy, *x;
    const float *mean, *rstd, *gamma, *beta, *coef, *dgamma, *dbeta;
    const void *addend;
    void *dx;
    uint32_t channels; /* of one side */
};

/* What one row brings, and the numbers made of it: x - mean, and the gradient v that reaches the scale and shift. */
template <class T, int V, int XS, int DS> struct arriving {
    qv_raw<T, V> x[XS], dy[DS];
    float weight;
};

/* Parameters of a thread's channels, and what the sums and the apply do alike with a row. */
template <class T, int V, int XS, int DS, bool RELU> struct grad_rows {
    enum { N = XS * DS };
    const T *from_x, *from_dy;
    const float *coef;
    uint32_t channels, column;
    qv_plane plane;
    qv_spot spot;
    qv_pack<V> mean[XS], scale[N], beta[N];

    /* Sides of gamma and beta are the sides of x or of dy. */
    __device__ inline grad_rows(const grad_operands &o, const qv_plane &p, const qv_place &at)
        : from_x(static_cast<const T *>(o.x)), from_dy(static_cast<const T *>(o.dy)), coef(o.coef),
          channels(o.channels), column(at.column), plane(p), spot(qv_spot_of(&p, at.row))
    {
        const size_t c = (size_t)column * V;
#pragma unroll
        for (int j = 0; j < N; j++) {
            const size_t set = (size_t)j * channels + c;
            const qv_norm<V> n = qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, XS == 2 ? set : c, set);
            mean[j % XS] = n.mean, scale[j] = n.scale, beta[j] = n.beta;
        }
    }

    __device__ inline arriving<T, V, XS, DS> fetch(uint64_t row)
    {
        arriving<T, V, XS, DS> in;
#pragma unroll
        for (int k = 0; k < XS; k++)
            in.x[k] = qv_fetch<V>(from_x + qv_offset(row, XS * channels, column, V) + (size_t)k * channels);
#pragma unroll
        for (int k = 0; k < DS; k++)
            in.dy[k] = qv_fetch<V>(from_dy + qv_offset(row, DS * channels, column, V) + (size_t)k * channels);
        in.weight = 1;
        if constexpr (XS == 2) {
            in.weight = coef[qv_spot_band(&plane, &spot)];
            qv_spot_step(&plane, &spot);
        }
        return in;
    }

    /* v of side j, channel i; off: x - mean. */
    __device__ inline float gradient(float off, float d, float weight, int j, int i) const
    {
        const float v = XS == 2 ? (j == 0 ? weight : 1.0f - weight) * d : d;
        if constexpr (RELU)
            return qv_scaled(off, scale[j].v[i], beta[j].v[i]) > 0 ? v : 0.0f;
        else
            return v;
    }
};

template <class T, int V, int XS, int DS, bool RELU> struct summed_rows : grad_rows<T, V, XS, DS, RELU> {
    enum { N = XS * DS };
    using base = grad_rows<T, V, XS, DS, RELU>;
    using loaded = arriving<T, V, XS, DS>;
    float sum[2 * N * V]; /* of v (x - mean), then of v */

    __device__ inline summed_rows(const grad_operands &o, const qv_plane &p, const qv_place &at) : base(o, p, at), sum{}
    {
    }
    __device__ inline loaded load(uint64_t row) { return this->fetch(row); }
    __device__ inline void take(const loaded &in, uint64_t)
    {
#pragma unroll
        for (int j = 0; j < N; j++) {
            const qv_pack<V> x = qv_unpack(in.x[j % XS]), dy = qv_unpack(in.dy[j % DS]);
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float off = __fsub_rn(x.v[i], this->mean[j % XS].v[i]),
                            v = this->gradient(off, dy.v[i], in.weight, j, i);
                sum[j * V + i] = fmaf(v, off, sum[j * V + i]);
                sum[(N + j) * V + i] += v;
            }
        }
    }
};

/* Leaves the sums of a block's rows in part: [block][2][N * channels], of v (x - mean) and of v. */
template <class T, int V, int XS, int DS, bool RELU>
__device__ inline void sum_block(const grad_operands &o, float *part, const qv_rows &g, const qv_plane &plane,
                                 uint32_t block)
{
    enum { N = XS * DS, K = 2 * N * V };
    const qv_place at = qv_place_of(g, block);
    float sum[K] = {};
    if (at.row < at.end) {
        summed_rows<T, V, XS, DS, RELU> f(o, plane, at);
        qv_each_row<2>(g, at, f);
#pragma unroll
        for (int k = 0; k < K; k++) sum[k] = f.sum[k];
    }
    qv_join_lanes<qv_sum>(sum, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        float *out = part + (size_t)block * 2 * N * o.channels + (size_t)at.column * V;
#pragma unroll
        for (int j = 0; j < 2 * N; j++) {
            qv_pack<V> r;
#pragma unroll
            for (int i = 0; i < V; i++) r.v[i] = sum[j * V + i];
            qv_store(out + (size_t)j * o.channels, r);
        }
    }
}

/* Blocks that shall be resident at once: both halves of x with a ReLU's mask, which no network asks for, need more
 * registers than two leave a thread. */
template <int V, int XS, bool RELU> inline constexpr int resident = XS * V == 16 && RELU ? 1 : 2;

template <class T, int V, int XS, int DS, bool RELU>
__global__ void __launch_bounds__(QV_BLOCK, (resident<V, XS, RELU>))
    sums_blocks(grad_operands o, float *part, qv_rows g, qv_plane plane)
{
    sum_block<T, V, XS, DS, RELU>(o, part, g, plane, qv_last_first());
}

/* In one launch. rstd has `period` channels: as many as the result, or half of them (bn.repeat). */
template <class T, int V, int XS, int DS, bool RELU>
__global__ void __launch_bounds__(QV_BLOCK, (resident<V, XS, RELU>))
    sums_whole(grad_operands o, qv_parts p, float *dgamma, float *dbeta, uint32_t period, qv_rows g, qv_plane plane)
{
    const uint32_t block = qv_last_first();
    uint32_t first;
    const uint32_t width = qv_column_channels(g, V, &first);
    sum_block<T, V, XS, DS, RELU>(o, p.part, g, plane, block);
    qv_merge_blocks<qv_pair_sum>(p, block, first, width, XS * DS, o.channels, [=](uint32_t c, const float(&sum)[3]) {
        dgamma[c] = sum[0] * o.rstd[c % period];
        dbeta[c] = sum[1];
    });
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
    __device__ inline void take(const loaded &p, uint64_t)
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
    qv_each_row<4>(g, at, b);
    qv_join_lanes<qv_sum>(b.sum, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        dgamma[at.column] = b.sum[0] * rstd[at.column % period];
        dbeta[at.column] = b.sum[1];
    }
}

/* dx = addend + scale v - B - (x - mean) D, summed over the sets of one x: B and D of the sets are one sum. */
template <class T, int V, int XS, int DS, bool RELU> struct applied_rows : grad_rows<T, V, XS, DS, RELU> {
    enum { N = XS * DS };
    using base = grad_rows<T, V, XS, DS, RELU>;
    struct loaded {
        arriving<T, V, XS, DS> in;
        qv_raw<T, V> addend[XS];
    };
    const T *addend;
    T *dx;
    qv_pack<V> B[XS], D[XS];

    __device__ inline applied_rows(const grad_operands &o, const qv_plane &p, const qv_place &at, uint64_t rows)
        : base(o, p, at), addend(static_cast<const T *>(o.addend)), dx(static_cast<T *>(o.dx)), B{}, D{}
    {
        const size_t c = (size_t)at.column * V;
#pragma unroll
        for (int j = 0; j < N; j++) {
            const size_t set = (size_t)j * o.channels + c;
            const qv_pack<V> rstd = qv_load<V>(o.rstd + (XS == 2 ? set : c));
            const qv_pack<V> dgamma = qv_load<V>(o.dgamma + set), dbeta = qv_load<V>(o.dbeta + set);
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float s = this->scale[j].v[i];
                B[j % XS].v[i] += s * (dbeta.v[i] / (float)rows);
                D[j % XS].v[i] += s * rstd.v[i] * (dgamma.v[i] / (float)rows);
            }
        }
    }

    __device__ inline size_t place(uint64_t row, int k) const
    {
        return qv_offset(row, XS * this->channels, this->column, V) + (size_t)k * this->channels;
    }
    __device__ inline loaded load(uint64_t row)
    {
        loaded r = {this->fetch(row), {}};
        if (addend)
#pragma unroll
            for (int k = 0; k < XS; k++) r.addend[k] = qv_fetch<V>(addend + place(row, k));
        return r;
    }
    __device__ inline void take(const loaded &r, uint64_t row) const
    {
#pragma unroll
        for (int k = 0; k < XS; k++) {
            const qv_pack<V> x = qv_unpack(r.in.x[k]);
            qv_pack<V> dx_row = qv_unpack(r.addend[k]);
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float off = __fsub_rn(x.v[i], this->mean[k].v[i]);
                dx_row.v[i] -= fmaf(off, D[k].v[i], B[k].v[i]);
#pragma unroll
                for (int j = k; j < N; j += XS) {
                    const float d = qv_unpack(r.in.dy[j % DS]).v[i];
                    dx_row.v[i] = fmaf(this->scale[j].v[i], this->gradient(off, d, r.in.weight, j, i), dx_row.v[i]);
                }
            }
            qv_store(dx + place(row, k), dx_row);
        }
    }
};

template <class T, int V, int XS, int DS, bool RELU>
__global__ void __launch_bounds__(QV_BLOCK, 2) grad_apply(grad_operands o, qv_rows g, qv_plane plane)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    applied_rows<T, V, XS, DS, RELU> f(o, plane, at, g.rows);
    /* Two sides and a mask leave no registers for a second row; on 8.x two sides of eight channels do not either. */
    qv_each_row<XS == 2 && (RELU || (V == 8 && qv_arch / 100 == 8)) ? 1 : 2>(g, at, f);
}

struct run_sums {
    template <class T, int V, int XS, int DS, bool RELU>
    static int run(const qv_call *c, const grad_operands &o, int32_t bands)
    {
        const qv_tensor &x = c->in[1];
        float *part = static_cast<float *>(c->scratch);
        const qv_rows g = qv_sums_rows(qv_positions(x), o.channels / V);
        const uint32_t results = XS * DS * o.channels;
        const qv_rows merge = qv_merge_rows(g.blocks, results);
        const dim3 grid(g.blocks, g.columns);
        const qv_plane plane = qv_plane_of(x.h, x.w, bands, g.lanes);
        float *dgamma = qv_data<float>(c->out[0]), *dbeta = qv_data<float>(c->out[1]);
        if (g.columns == 0 || merge.columns == 0) return QV_REFUSED;
        if (c->out[2].data) {
            const qv_parts p = {part, qv_data<unsigned>(c->out[2]), results, g.rows, g.chunk};
            QV_LAUNCH((sums_whole<T, V, XS, DS, RELU>), grid, dim3(g.threads), c->stream, o, p, dgamma, dbeta,
                      (uint32_t)x.c, g, plane);
            return qv_launch_error();
        }
        QV_LAUNCH((sums_blocks<T, V, XS, DS, RELU>), grid, dim3(g.threads), c->stream, o, part, g, plane);
        const int error = qv_launch_error();
        if (error) return error;
        QV_LAUNCH(sums_merge, dim3(1, merge.columns), dim3(merge.threads), c->stream, part, o.rstd, dgamma, dbeta,
                  merge, (uint32_t)x.c);
        return qv_launch_error();
    }
};

struct run_apply {
    template <class T, int V, int XS, int DS, bool RELU>
    static int run(const qv_call *c, const grad_operands &o, int32_t bands)
    {
        const qv_tensor &x = c->in[1];
        const qv_rows g = qv_pass_rows(qv_positions(x), o.channels / V);
        if (g.columns == 0) return QV_REFUSED;
        QV_LAUNCH((grad_apply<T, V, XS, DS, RELU>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream, o, g,
                  qv_plane_of(x.h, x.w, bands, g.lanes));
        return qv_launch_error();
    }
};

template <class Run, class T, int V> int run_shape(const qv_call *c, const grad_operands &o, int32_t bands)
{
    const qv_bn_attr &a = c->op->a.bn;
    if (o.coef)
        return a.relu ? Run::template run<T, V, 2, 1, true>(c, o, bands)
                      : Run::template run<T, V, 2, 1, false>(c, o, bands);
    if (a.repeat == 2)
        return a.relu ? Run::template run<T, V, 1, 2, true>(c, o, 1) : Run::template run<T, V, 1, 2, false>(c, o, 1);
    return a.relu ? Run::template run<T, V, 1, 1, true>(c, o, 1) : Run::template run<T, V, 1, 1, false>(c, o, 1);
}

/* Operands that both ops name alike; coef: its place among the inputs. */
grad_operands operands_of(const qv_call *c, int coef)
{
    grad_operands o = {};
    o.dy = c->in[0].data;
    o.x = c->in[1].data;
    o.mean = qv_data(c->in[2]);
    o.rstd = qv_data(c->in[3]);
    o.gamma = qv_data(c->in[4]);
    o.beta = qv_data(c->in[5]);
    o.coef = qv_data(c->in[coef]);
    o.channels = (uint32_t)c->in[1].c / (o.coef ? 2 : 1);
    return o;
}

/* The shapes that belong together; anything else would be read beyond its end. */
bool fits(const qv_call *c, const qv_tensor &coef)
{
    const qv_tensor &dy = c->in[0], &x = c->in[1];
    const int32_t sets = c->op->a.bn.repeat;
    if (qv_tensor_len(&x) == 0 || !qv_alike(x, dy)) return false;
    if (!qv_floats(c->in[2], c->in[3], c->in[4], c->in[5])) return false;
    if (coef.data) return sets == 1 && x.c == 2 * dy.c && qv_coef_fits(coef, x);
    return qv_plane_fits(x.h, x.w, 1) && (sets == 1 || sets == 2) && dy.c == sets * x.c;
}

} // namespace

extern "C" int qv_cuda_bn_grad_sums(const qv_call *c, size_t *need)
{
    const qv_tensor &x = c->in[1], &coef = c->in[6];
    if (!fits(c, coef) || !qv_floats(c->out[0], c->out[1])) return QV_REFUSED;
    if (c->out[2].data && qv_tensor_len(&c->out[2]) < (size_t)qv_ticket_words(x.c)) return QV_REFUSED;
    const grad_operands o = operands_of(c, 6);
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        constexpr uint32_t V = qv_wide_of<T>;
        const uint32_t narrow = qv_sums_rows(qv_positions(x), o.channels).blocks;
        const uint32_t wide = o.channels % V == 0 ? qv_sums_rows(qv_positions(x), o.channels / V).blocks : narrow;
        const size_t results = (size_t)x.c * (size_t)c->op->a.bn.repeat;
        if (need) return *need = sizeof(float) * qv_parts_floats(narrow > wide ? narrow : wide, (uint32_t)results), 0;
        const bool fit = qv_wide<T>(o.channels, o.dy, o.x, o.mean, o.rstd, o.gamma, o.beta, c->scratch);
        return fit ? run_shape<run_sums, T, V>(c, o, coef.c) : run_shape<run_sums, T, 1>(c, o, coef.c);
    });
}

extern "C" int qv_cuda_bn_grad_apply(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->in[1], &coef = c->in[8];
    if (!fits(c, coef) || !qv_alike(x, c->in[9], c->out[0]) || !qv_floats(c->in[6], c->in[7])) return QV_REFUSED;
    grad_operands o = operands_of(c, 8);
    o.dgamma = qv_data(c->in[6]);
    o.dbeta = qv_data(c->in[7]);
    o.addend = c->in[9].data;
    o.dx = c->out[0].data;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        const bool fit =
            qv_wide<T>(o.channels, o.dy, o.x, o.mean, o.rstd, o.gamma, o.beta, o.dgamma, o.dbeta, o.addend, o.dx);
        return fit ? run_shape<run_apply, T, qv_wide_of<T>>(c, o, coef.c) : run_shape<run_apply, T, 1>(c, o, coef.c);
    });
}
