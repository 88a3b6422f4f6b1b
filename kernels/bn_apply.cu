/* bn_apply, bn_shake_add, block_end: normalize, scale, shift, and what follows at once.
 *
 * Elements moved: bn_apply reads x and writes R of its size; bn_shake_add reads both branches and the
 * shortcut and writes y, 4 for each of y: the minimum, each tensor is touched once. The fused one
 * saves writing and reading again the two normalized branches, half of what its two parts move. block_end moves no
 * more, and saves reading y again for the next batch norm's statistics, and writing and reading a normalized shortcut.
 *
 * A thread keeps its channels all the way down its rows, so the parameters (20 bytes a channel) are
 * loaded once for several rows. */
#include "kernels/bn.cuh"
#include "kernels/merge.cuh"
#include "kernels/moments.cuh"

namespace {

struct bn_operands {
    const void *x;
    const float *mean, *rstd, *gamma, *beta;
    void *y;
    uint32_t channels; /* of one set of scale and shift */
};

/* R sets of scale and shift, side by side in y. */
template <class T, int V, int R> struct apply_rows {
    using loaded = qv_raw<T, V>;
    const T *x;
    T *y;
    uint32_t channels, column;
    bool relu;
    qv_norm<V> norm[R];

    __device__ inline loaded load(uint64_t row) const { return qv_fetch<V>(x + qv_offset(row, channels, column, V)); }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        const qv_pack<V> p = qv_unpack(in);
#pragma unroll
        for (int j = 0; j < R; j++) {
            qv_pack<V> r;
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float z = qv_normalize(p.v[i], norm[j], i);
                r.v[i] = relu && z < 0 ? 0.0f : z;
            }
            qv_store(y + qv_offset(row, R * channels, column, V) + (size_t)j * channels, r);
        }
    }
};

template <class T, int V, int R> __global__ void __launch_bounds__(QV_BLOCK) apply(bn_operands o, qv_rows g, bool relu)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    apply_rows<T, V, R> f = {static_cast<const T *>(o.x), static_cast<T *>(o.y), o.channels, at.column, relu, {}};
#pragma unroll
    for (int j = 0; j < R; j++) {
        const size_t c = (size_t)at.column * V;
        f.norm[j] = qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, c, (size_t)j * o.channels + c);
    }
    qv_each_row<4>(g, at, f);
}

template <class T, int V> int run_apply(const qv_call *c, const bn_operands &o)
{
    const qv_bn_attr &a = c->op->a.bn;
    const qv_rows g = qv_pass_rows(qv_positions(c->in[0]), o.channels / V);
    if (g.columns == 0) return QV_REFUSED;
    const dim3 grid(g.blocks, g.columns), block(g.threads);
    if (a.repeat == 1)
        QV_LAUNCH((apply<T, V, 1>), grid, block, c->stream, o, g, a.relu != 0);
    else
        QV_LAUNCH((apply<T, V, 2>), grid, block, c->stream, o, g, a.relu != 0);
    return qv_launch_error();
}

struct shake_operands {
    bn_operands u;
    const float *alpha;
    const void *s;
    const float *smean, *srstd, *sgamma, *sbeta; /* of the shortcut, where it is normalized here */
};

/* Both branches, side by side in x, and the shortcut, which is normalized here or not. */
template <class T, int V, bool NORM> struct shake_rows {
    struct loaded {
        qv_raw<T, V> u1, u2, s;
        float a;
    };
    const T *x, *s;
    T *y;
    const float *alpha;
    uint32_t channels, column;
    qv_plane plane;
    qv_spot spot;
    qv_norm<V> n1, n2, ns;

    __device__ inline shake_rows(const shake_operands &o, const qv_plane &p, uint64_t row, uint32_t at_column)
        : x(static_cast<const T *>(o.u.x)), s(static_cast<const T *>(o.s)), y(static_cast<T *>(o.u.y)), alpha(o.alpha),
          channels(o.u.channels), column(at_column), plane(p), spot(qv_spot_of(&p, row))
    {
        const size_t c1 = (size_t)column * V, c2 = c1 + channels;
        n1 = qv_norm_load<V>(o.u.mean, o.u.rstd, o.u.gamma, o.u.beta, c1, c1);
        n2 = qv_norm_load<V>(o.u.mean, o.u.rstd, o.u.gamma, o.u.beta, c2, c2);
        if constexpr (NORM) ns = qv_norm_load<V>(o.smean, o.srstd, o.sgamma, o.sbeta, c1, c1);
    }
    __device__ inline loaded fetch(uint64_t row, float a) const
    {
        const T *u = x + qv_offset(row, 2 * channels, column, V);
        return {qv_fetch<V>(u), qv_fetch<V>(u + channels), qv_fetch<V>(s + qv_offset(row, channels, column, V)), a};
    }
    __device__ inline loaded load(uint64_t row)
    {
        const loaded in = fetch(row, alpha[qv_spot_band(&plane, &spot)]);
        qv_spot_step(&plane, &spot);
        return in;
    }
    __device__ inline qv_raw<T, V> combined(const loaded &in) const
    {
        const qv_pack<V> u1 = qv_unpack(in.u1), u2 = qv_unpack(in.u2);
        qv_pack<V> r = qv_unpack(in.s);
#pragma unroll
        for (int i = 0; i < V; i++) {
            if constexpr (NORM) r.v[i] = qv_normalize(r.v[i], ns, i);
            const float z1 = qv_normalize(u1.v[i], n1, i), z2 = qv_normalize(u2.v[i], n2, i);
            r.v[i] = fmaf(in.a, z1, fmaf(1.0f - in.a, z2, r.v[i]));
        }
        return qv_round<T, V>(r);
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        qv_put(y + qv_offset(row, channels, column, V), combined(in));
    }
};

template <class T, int V, bool NORM>
__global__ void __launch_bounds__(QV_BLOCK, 2) apply_shake(shake_operands o, qv_rows g, qv_plane plane)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    shake_rows<T, V, NORM> f(o, plane, at.row, at.column);
    qv_each_row<2>(g, at, f);
}

/* The same, and the moments of y as it is stored. */
template <class T, int V, bool NORM> struct measured_rows : shake_rows<T, V, NORM> {
    using base = shake_rows<T, V, NORM>;
    qv_distances<V> d;

    __device__ inline measured_rows(const shake_operands &o, const qv_plane &p, uint64_t row, uint32_t at_column)
        : base(o, p, row, at_column), d{}
    {
    }
    __device__ inline void take(const typename base::loaded &in, uint64_t row)
    {
        const qv_raw<T, V> r = this->combined(in);
        d.add(qv_unpack(r));
        qv_put(this->y + qv_offset(row, this->channels, this->column, V), r);
    }
};

/* The first row of y is what all means are measured from: every thread makes it for itself, the last block reads it
 * in y. Three norms and the sums want more than the 128 registers of two blocks a multiprocessor. */
template <class T, int V, bool NORM>
__global__ void __launch_bounds__(QV_BLOCK, NORM ? 1 : 2)
    measured_shake(shake_operands o, qv_rows g, qv_plane plane, qv_parts p, qv_finish finish)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    uint32_t first;
    const uint32_t width = qv_column_channels(g, V, &first);
    const T *y = static_cast<const T *>(o.u.y);
    float m[2 * V + 1] = {};
    if (at.row < at.end) {
        measured_rows<T, V, NORM> f(o, plane, at.row, at.column);
        const qv_raw<T, V> origin = f.combined(f.fetch(0, o.alpha[0]));
        /* From 10.0 on the compiler finds no place for a second row of eight channels. */
        qv_each_row<qv_arch >= 1000 && V == 8 && !NORM ? 1 : 2>(g, at, f);
        f.d.moments(qv_unpack(origin), m);
    }
    qv_join_lanes<qv_moments<V>>(m, g, at);
    if (at.lane == 0 && at.column < g.vectors) qv_store_moments<V>(p.part, blockIdx.x, p.channels, at.column, m);
    qv_merge_blocks<qv_moments<1>>(p, blockIdx.x, first, width, 1, 0, [=](uint32_t c, const float(&sum)[3]) {
        finish.statistics(c, qv_load<1>(y + c).v[0] + sum[0], sum[1] / (float)g.rows);
    });
}

template <class T, int V, bool NORM> int run_shake(const qv_call *c, const shake_operands &o)
{
    const qv_tensor &y = c->out[0], &alpha = c->in[5];
    const qv_rows g = qv_pass_rows(qv_positions(y), o.u.channels / V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((apply_shake<T, V, NORM>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream, o, g,
              qv_plane_of(y.h, y.w, alpha.c, g.lanes));
    return qv_launch_error();
}

template <class T, int V, bool NORM> int run_measured(const qv_call *c, const shake_operands &o)
{
    const qv_tensor &y = c->out[0], &alpha = c->in[5];
    const qv_rows g = qv_sums_rows(qv_positions(y), o.u.channels / V);
    if (g.columns == 0) return QV_REFUSED;
    const qv_parts p = {static_cast<float *>(c->scratch), qv_data<unsigned>(c->out[5]), o.u.channels, g.rows, g.chunk};
    QV_LAUNCH((measured_shake<T, V, NORM>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream, o, g,
              qv_plane_of(y.h, y.w, alpha.c, g.lanes), p, qv_finish_of(c->out + 1, c->op->a.bn));
    return qv_launch_error();
}

bn_operands operands_of(const qv_call *c, int32_t channels)
{
    return {c->in[0].data,     qv_data(c->in[1]), qv_data(c->in[2]), qv_data(c->in[3]),
            qv_data(c->in[4]), c->out[0].data,    (uint32_t)channels};
}

/* Operands of bn_shake_add, which are the first of block_end's. */
bool shake_fits(const qv_call *c)
{
    const qv_tensor &u = c->in[0], &s = c->in[6], &y = c->out[0];
    return qv_tensor_len(&y) > 0 && u.c == 2 * y.c && qv_alike(u, s, y) && qv_coef_fits(c->in[5], y) &&
           qv_floats(c->in[1], c->in[2], c->in[3], c->in[4]);
}

template <class T> bool shake_is_wide(const shake_operands &o)
{
    return qv_wide<T>(o.u.channels, o.u.x, o.u.mean, o.u.rstd, o.u.gamma, o.u.beta, o.u.y, o.s, o.smean, o.srstd,
                      o.sgamma, o.sbeta);
}

/* Bytes of scratch, whichever way the rows are dealt. */
template <class T> size_t parts_bytes(const qv_tensor &y)
{
    const uint32_t channels = (uint32_t)y.c, v = y.c % qv_wide_of<T> == 0 ? qv_wide_of<T> : 1;
    const uint32_t narrow = qv_sums_rows(qv_positions(y), channels).blocks;
    const uint32_t wide = qv_sums_rows(qv_positions(y), channels / v).blocks;
    return sizeof(float) * qv_parts_floats(narrow > wide ? narrow : wide, channels);
}

template <class T, int V> int run_end(const qv_call *c, const shake_operands &o)
{
    if (c->out[1].data) return o.smean ? run_measured<T, V, true>(c, o) : run_measured<T, V, false>(c, o);
    return o.smean ? run_shake<T, V, true>(c, o) : run_shake<T, V, false>(c, o);
}

} // namespace

extern "C" int qv_cuda_bn_apply(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->in[0], &y = c->out[0];
    const int32_t sets = c->op->a.bn.repeat;
    if (qv_tensor_len(&x) == 0 || (sets != 1 && sets != 2) || y.c != sets * x.c) return QV_REFUSED;
    if (!qv_alike(x, y) || !qv_floats(c->in[1], c->in[2], c->in[3], c->in[4])) return QV_REFUSED;
    const bn_operands o = operands_of(c, x.c);
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        const bool wide = qv_wide<T>(o.channels, o.x, o.mean, o.rstd, o.gamma, o.beta, o.y);
        return wide ? run_apply<T, qv_wide_of<T>>(c, o) : run_apply<T, 1>(c, o);
    });
}

extern "C" int qv_cuda_bn_shake_add(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    if (!shake_fits(c)) return QV_REFUSED;
    const shake_operands o = {
        operands_of(c, c->out[0].c), qv_data(c->in[5]), c->in[6].data, nullptr, nullptr, nullptr, nullptr};
    return qv_by_type(c->in[0], [&](auto type) {
        using T = decltype(type);
        return shake_is_wide<T>(o) ? run_shake<T, qv_wide_of<T>, false>(c, o) : run_shake<T, 1, false>(c, o);
    });
}

extern "C" int qv_cuda_block_end(const qv_call *c, size_t *need)
{
    const qv_tensor &y = c->out[0], *out = c->out;
    if (!shake_fits(c) || !qv_floats(c->in[7], c->in[8], c->in[9], c->in[10], out[1], out[2], out[3], out[4]))
        return QV_REFUSED;
    if (out[1].data && (c->op->a.bn.count < 2 || qv_tensor_len(&out[5]) < (size_t)qv_ticket_words(y.c)))
        return QV_REFUSED;
    const shake_operands o = {operands_of(c, y.c), qv_data(c->in[5]), c->in[6].data,     qv_data(c->in[7]),
                              qv_data(c->in[8]),   qv_data(c->in[9]), qv_data(c->in[10])};
    return qv_by_type(y, [&](auto type) {
        using T = decltype(type);
        if (need) return *need = parts_bytes<T>(y), 0;
        const bool wide = shake_is_wide<T>(o) && qv_wide<T>(o.u.channels, c->scratch);
        return wide ? run_end<T, qv_wide_of<T>>(c, o) : run_end<T, 1>(c, o);
    });
}
