/* shake_coef, shake_add, shake_grad, scale: the coefficients of a step and the unfused passes.
 *
 * shake_coef writes 8 bytes a sample and band, 16 with signs, and reads nothing that grows; it is exact integer
 * code, bit for bit the reference. Elements moved: shake_add reads both branches and the shortcut
 * and writes y, 4 for each of y; shake_grad reads g and writes 2 for each of it; scale reads 1 and writes 1: the
 * minimum. */
#include "kernels/coef.h"
#include "kernels/device.cuh"

namespace {

struct coef_tables {
    float *alpha, *beta, *alpha_sign, *beta_sign; /* signs: NULL where they are not wanted */
};

__global__ void __launch_bounds__(QV_BLOCK)
    coefficients(const qv_step_state *state, coef_tables to, uint32_t count, uint32_t bands, qv_shake_attr a)
{
    const uint32_t i = blockIdx.x * QV_BLOCK + threadIdx.x;
    if (i >= count) return;
    const qv_step_state s = *state;
    const qv_coef k = qv_coef_at(&s, &a, i / bands, i % bands);
    to.alpha[i] = k.alpha;
    to.beta[i] = k.beta;
    if (to.alpha_sign) to.alpha_sign[i] = k.alpha_sign;
    if (to.beta_sign) to.beta_sign[i] = k.beta_sign;
}

/* A pass over the rows of one tensor, each with the coefficient of its sample and band; what a thread holds on its way. */
struct shaken_rows {
    const float *coef;
    uint32_t channels; /* of the narrower tensors; z and dz have twice as many */
    qv_plane plane;
    uint32_t column;
    qv_spot spot;

    __device__ inline float next()
    {
        const float k = coef[qv_spot_band(&plane, &spot)];
        qv_spot_step(&plane, &spot);
        return k;
    }
};

/* y = a z1 + (1 - a) z2 + s */
template <class T, int V> struct combined_rows : shaken_rows {
    enum { AHEAD = 2 };
    struct loaded {
        qv_raw<T, V> z1, z2, s;
        float a;
    };
    const T *z, *s;
    T *y;

    __device__ inline loaded load(uint64_t row)
    {
        const T *from = z + qv_offset(row, 2 * channels, column, V);
        return {qv_fetch<V>(from), qv_fetch<V>(from + channels), qv_fetch<V>(s + qv_offset(row, channels, column, V)),
                next()};
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        const qv_pack<V> z1 = qv_unpack(in.z1), z2 = qv_unpack(in.z2);
        qv_pack<V> r = qv_unpack(in.s);
#pragma unroll
        for (int i = 0; i < V; i++) r.v[i] = fmaf(in.a, z1.v[i], fmaf(1.0f - in.a, z2.v[i], r.v[i]));
        qv_store(y + qv_offset(row, channels, column, V), r);
    }
};

/* dz1 = b dy, dz2 = (1 - b) dy */
template <class T, int V> struct distributed_rows : shaken_rows {
    enum { AHEAD = 4 };
    struct loaded {
        qv_raw<T, V> d;
        float b;
    };
    const T *dy;
    T *dz;

    __device__ inline loaded load(uint64_t row)
    {
        return {qv_fetch<V>(dy + qv_offset(row, channels, column, V)), next()};
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        const qv_pack<V> d = qv_unpack(in.d);
        qv_pack<V> d1, d2;
#pragma unroll
        for (int i = 0; i < V; i++) d1.v[i] = in.b * d.v[i], d2.v[i] = (1.0f - in.b) * d.v[i];
        T *to = dz + qv_offset(row, 2 * channels, column, V);
        qv_store(to, d1);
        qv_store(to + channels, d2);
    }
};

/* y = k x */
template <class T, int V> struct scaled_rows : shaken_rows {
    enum { AHEAD = 4 };
    struct loaded {
        qv_raw<T, V> x;
        float k;
    };
    const T *x;
    T *y;

    __device__ inline loaded load(uint64_t row)
    {
        return {qv_fetch<V>(x + qv_offset(row, channels, column, V)), next()};
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        qv_pack<V> r = qv_unpack(in.x);
#pragma unroll
        for (int i = 0; i < V; i++) r.v[i] *= in.k;
        qv_store(y + qv_offset(row, channels, column, V), r);
    }
};

template <class F> __global__ void __launch_bounds__(QV_BLOCK) over_rows(F f, qv_rows g)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    f.column = at.column;
    f.spot = qv_spot_of(&f.plane, at.row);
    qv_each_row<F::AHEAD>(g, at, f);
}

/* t: the tensor with as many channels as a coefficient is for. */
template <int V, class F> int run_rows(const qv_call *c, F f, const qv_tensor &t, const qv_tensor &coef)
{
    const qv_rows g = qv_pass_rows(qv_positions(t), (uint32_t)t.c / V);
    if (g.columns == 0) return QV_REFUSED;
    f.coef = qv_data(coef);
    f.channels = (uint32_t)t.c;
    f.plane = qv_plane_of(t.h, t.w, coef.c, g.lanes);
    QV_LAUNCH(over_rows<F>, dim3(g.blocks, g.columns), dim3(g.threads), c->stream, f, g);
    return qv_launch_error();
}

template <class T, int V> int run_add(const qv_call *c)
{
    return run_rows<V>(c, combined_rows<T, V>{{}, qv_data<const T>(c->in[0]), qv_data<const T>(c->in[2]),
                                              qv_data<T>(c->out[0])},
                       c->out[0], c->in[1]);
}

template <class T, int V> int run_grad(const qv_call *c)
{
    return run_rows<V>(c, distributed_rows<T, V>{{}, qv_data<const T>(c->in[0]), qv_data<T>(c->out[0])}, c->in[0],
                       c->in[1]);
}

template <class T, int V> int run_scale(const qv_call *c)
{
    return run_rows<V>(c, scaled_rows<T, V>{{}, qv_data<const T>(c->in[0]), qv_data<T>(c->out[0])}, c->in[0],
                       c->in[1]);
}

bool fits(const qv_tensor &narrow, const qv_tensor &wide, const qv_tensor &coef)
{
    return qv_tensor_len(&narrow) > 0 && wide.c == 2 * narrow.c && qv_alike(narrow, wide) &&
           qv_coef_fits(coef, narrow);
}

} // namespace

extern "C" int qv_cuda_shake_coef(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &alpha = c->out[0], &beta = c->out[1];
    const size_t count = qv_tensor_len(&alpha);
    const qv_shake_attr &a = c->op->a.shake;
    /* The band has 8 bits of the counter, the layer 16. */
    if (count == 0 || count > INT32_MAX || alpha.c > 256 || a.layer < 0 || a.layer > 65535) return QV_REFUSED;
    if (a.affine < 0 || a.affine > 1 << 22 || !qv_floats(alpha, beta, c->out[2], c->out[3])) return QV_REFUSED;
    const coef_tables to = {qv_data<float>(alpha), qv_data<float>(beta), qv_data<float>(c->out[2]),
                            qv_data<float>(c->out[3])};
    QV_LAUNCH(coefficients, dim3(((uint32_t)count + QV_BLOCK - 1) / QV_BLOCK), dim3(QV_BLOCK), c->stream,
              qv_data<const qv_step_state>(c->in[0]), to, (uint32_t)count, (uint32_t)alpha.c, a);
    return qv_launch_error();
}

extern "C" int qv_cuda_shake_add(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &y = c->out[0];
    const qv_tensor &z = c->in[0], &s = c->in[2];
    if (!fits(y, z, c->in[1]) || !qv_alike(y, s)) return QV_REFUSED;
    return qv_by_type(y, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>((uint32_t)y.c, z.data, s.data, y.data) ? run_add<T, qv_wide_of<T>>(c) : run_add<T, 1>(c);
    });
}

extern "C" int qv_cuda_shake_grad(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &dy = c->in[0], &dz = c->out[0];
    if (!fits(dy, dz, c->in[1])) return QV_REFUSED;
    return qv_by_type(dy, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>((uint32_t)dy.c, dy.data, dz.data) ? run_grad<T, qv_wide_of<T>>(c) : run_grad<T, 1>(c);
    });
}

extern "C" int qv_cuda_scale(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->in[0], &k = c->in[1], &y = c->out[0];
    if (qv_tensor_len(&x) == 0 || x.c != y.c || !qv_alike(x, y) || !qv_coef_fits(k, x)) return QV_REFUSED;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>((uint32_t)x.c, x.data, y.data) ? run_scale<T, qv_wide_of<T>>(c) : run_scale<T, 1>(c);
    });
}
