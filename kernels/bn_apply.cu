/* bn_apply, bn_shake_add: normalize, scale, shift, and what follows at once.
 *
 * Elements moved: bn_apply reads x and writes R of its size; bn_shake_add reads both branches and the
 * shortcut and writes y, 4 for each of y: the minimum, each tensor is touched once. The fused one
 * saves writing and reading again the two normalized branches, half of what its two parts move.
 *
 * A thread keeps its channels all the way down its rows, so the parameters (20 bytes a channel) are
 * loaded once for several rows. */
#include "kernels/bn.cuh"

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
        QV_LAUNCH((apply<T, V, 1>), grid, block, 0, c->stream, o, g, a.relu != 0);
    else
        QV_LAUNCH((apply<T, V, 2>), grid, block, 0, c->stream, o, g, a.relu != 0);
    return qv_launch_error();
}

/* Both branches, side by side in x, and the shortcut. */
template <class T, int V> struct shake_rows {
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
    qv_norm<V> n1, n2;

    __device__ inline loaded load(uint64_t row)
    {
        const T *u = x + qv_offset(row, 2 * channels, column, V);
        const loaded in = {qv_fetch<V>(u), qv_fetch<V>(u + channels),
                           qv_fetch<V>(s + qv_offset(row, channels, column, V)), alpha[qv_spot_band(&plane, &spot)]};
        qv_spot_step(&plane, &spot);
        return in;
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        const qv_pack<V> u1 = qv_unpack(in.u1), u2 = qv_unpack(in.u2), add = qv_unpack(in.s);
        qv_pack<V> r;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float z1 = qv_normalize(u1.v[i], n1, i), z2 = qv_normalize(u2.v[i], n2, i);
            r.v[i] = fmaf(in.a, z1, fmaf(1.0f - in.a, z2, add.v[i]));
        }
        qv_store(y + qv_offset(row, channels, column, V), r);
    }
};

template <class T, int V>
__global__ void __launch_bounds__(QV_BLOCK, 2)
    apply_shake(bn_operands o, const float *alpha, const void *s, qv_rows g, qv_plane plane)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    const size_t c1 = (size_t)at.column * V, c2 = c1 + o.channels;
    shake_rows<T, V> f = {static_cast<const T *>(o.x),
                          static_cast<const T *>(s),
                          static_cast<T *>(o.y),
                          alpha,
                          o.channels,
                          at.column,
                          plane,
                          qv_spot_of(&plane, at.row),
                          qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, c1, c1),
                          qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, c2, c2)};
    qv_each_row<2>(g, at, f);
}

template <class T, int V> int run_shake(const qv_call *c, const bn_operands &o)
{
    const qv_tensor &y = c->out[0], &alpha = c->in[5];
    const qv_rows g = qv_pass_rows(qv_positions(y), o.channels / V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((apply_shake<T, V>), dim3(g.blocks, g.columns), dim3(g.threads), 0, c->stream, o, qv_data(alpha),
              c->in[6].data, g, qv_plane_of(y.h, y.w, alpha.c, g.lanes));
    return qv_launch_error();
}

bn_operands operands_of(const qv_call *c, int32_t channels)
{
    return {c->in[0].data,     qv_data(c->in[1]), qv_data(c->in[2]), qv_data(c->in[3]),
            qv_data(c->in[4]), c->out[0].data,    (uint32_t)channels};
}

} // namespace

extern "C" int qv_cuda_bn_apply(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
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
    if (need) return (*need = 0), 0;
    const qv_tensor &u = c->in[0], &s = c->in[6], &y = c->out[0];
    if (qv_tensor_len(&y) == 0 || u.c != 2 * y.c || !qv_plane_fits(y.h, y.w, c->in[5].c)) return QV_REFUSED;
    if (!qv_alike(u, s, y) || !qv_floats(c->in[1], c->in[2], c->in[3], c->in[4], c->in[5])) return QV_REFUSED;
    const bn_operands o = operands_of(c, y.c);
    return qv_by_type(u, [&](auto type) {
        using T = decltype(type);
        const bool wide = qv_wide<T>(o.channels, o.x, o.mean, o.rstd, o.gamma, o.beta, o.y, s.data);
        return wide ? run_shake<T, qv_wide_of<T>>(c, o) : run_shake<T, 1>(c, o);
    });
}
