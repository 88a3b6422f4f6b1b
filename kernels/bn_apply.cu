/* bn_apply, bn_shake_add: normalize, scale, shift, and what follows at once.
 *
 * Bytes: bn_apply reads 4 and writes 4 R an element of x; bn_shake_add reads 8 (both branches) and 4
 * (shortcut) and writes 4 an element of y: the minimum, each tensor is touched once. The fused one
 * saves writing and reading again the two normalized branches, 16 of the 32 bytes of its two parts.
 *
 * A thread keeps its channels all the way down its rows, so the parameters (20 bytes a channel) are
 * loaded once for several rows. */
#include "kernels/bn.cuh"

namespace {

struct bn_operands {
    const float *x, *mean, *rstd, *gamma, *beta;
    float *y;
};

/* R sets of scale and shift, side by side in y. */
template <int V, int R>
__global__ void __launch_bounds__(QV_BLOCK) apply(bn_operands o, qv_rows g, uint32_t channels, bool relu)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    qv_norm<V> norm[R];
#pragma unroll
    for (int j = 0; j < R; j++) {
        const size_t c = (size_t)at.column * V;
        norm[j] = qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, c, (size_t)j * channels + c);
    }
    for (uint64_t row = at.row; row < at.end; row += g.lanes) {
        const qv_pack<V> x = qv_load<V>(o.x + qv_offset(row, channels, at.column, V));
#pragma unroll
        for (int j = 0; j < R; j++) {
            qv_pack<V> y;
#pragma unroll
            for (int i = 0; i < V; i++) {
                const float z = qv_normalize(x.v[i], norm[j], i);
                y.v[i] = relu && z < 0 ? 0.0f : z;
            }
            qv_store<V>(o.y + qv_offset(row, R * channels, at.column, V) + (size_t)j * channels, y);
        }
    }
}

template <int V> int run_apply(const qv_call *c, const bn_operands &o)
{
    const uint32_t channels = (uint32_t)c->in[0].c;
    const qv_bn_attr &a = c->op->a.bn;
    const qv_rows g = qv_pass_rows(qv_positions(c->in[0]), channels / V);
    if (g.columns == 0) return QV_REFUSED;
    const dim3 grid(g.blocks, g.columns), block(g.threads);
    if (a.repeat == 1)
        QV_LAUNCH((apply<V, 1>), grid, block, 0, c->stream, o, g, channels, a.relu != 0);
    else
        QV_LAUNCH((apply<V, 2>), grid, block, 0, c->stream, o, g, channels, a.relu != 0);
    return qv_launch_error();
}

/* channels: of y; x has twice as many. */
template <int V>
__global__ void __launch_bounds__(QV_BLOCK)
    apply_shake(bn_operands o, const float *alpha, const float *s, qv_rows g, qv_plane plane, uint32_t channels)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    const size_t c1 = (size_t)at.column * V, c2 = c1 + channels;
    const qv_norm<V> n1 = qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, c1, c1);
    const qv_norm<V> n2 = qv_norm_load<V>(o.mean, o.rstd, o.gamma, o.beta, c2, c2);
    qv_spot spot = qv_spot_of(&plane, at.row);
    for (uint64_t row = at.row; row < at.end; row += g.lanes) {
        const float *u = o.x + qv_offset(row, 2 * channels, at.column, V);
        const size_t to = qv_offset(row, channels, at.column, V);
        const qv_pack<V> u1 = qv_load<V>(u), u2 = qv_load<V>(u + channels), add = qv_load<V>(s + to);
        const float a = alpha[qv_spot_band(&plane, &spot)];
        qv_pack<V> y;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float z1 = qv_normalize(u1.v[i], n1, i), z2 = qv_normalize(u2.v[i], n2, i);
            y.v[i] = fmaf(a, z1, fmaf(1.0f - a, z2, add.v[i]));
        }
        qv_store<V>(o.y + to, y);
        qv_spot_step(&plane, &spot);
    }
}

template <int V> int run_shake(const qv_call *c, const bn_operands &o)
{
    const qv_tensor &y = c->out[0], &alpha = c->in[5];
    const uint32_t channels = (uint32_t)y.c;
    const qv_rows g = qv_pass_rows(qv_positions(y), channels / V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((apply_shake<V>), dim3(g.blocks, g.columns), dim3(g.threads), 0, c->stream, o, qv_data(alpha),
              qv_data(c->in[6]), g, qv_plane_of(y.h, y.w, alpha.c, g.lanes), channels);
    return qv_launch_error();
}

bn_operands operands_of(const qv_call *c)
{
    return {qv_data(c->in[0]), qv_data(c->in[1]), qv_data(c->in[2]),
            qv_data(c->in[3]), qv_data(c->in[4]), qv_data<float>(c->out[0])};
}

} // namespace

extern "C" int qv_cuda_bn_apply(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor &x = c->in[0], &y = c->out[0];
    const int32_t sets = c->op->a.bn.repeat;
    if (qv_tensor_len(&x) == 0 || (sets != 1 && sets != 2) || y.c != sets * x.c) return QV_REFUSED;
    const bn_operands o = operands_of(c);
    return qv_wide((uint32_t)x.c, o.x, o.mean, o.rstd, o.gamma, o.beta, o.y) ? run_apply<4>(c, o) : run_apply<1>(c, o);
}

extern "C" int qv_cuda_bn_shake_add(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor &y = c->out[0];
    if (qv_tensor_len(&y) == 0 || c->in[0].c != 2 * y.c || !qv_plane_fits(y.h, y.w, c->in[5].c)) return QV_REFUSED;
    const bn_operands o = operands_of(c);
    const float *s = qv_data(c->in[6]);
    return qv_wide((uint32_t)y.c, o.x, o.mean, o.rstd, o.gamma, o.beta, o.y, s) ? run_shake<4>(c, o)
                                                                               : run_shake<1>(c, o);
}
