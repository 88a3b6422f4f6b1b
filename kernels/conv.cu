/* conv, conv_grad_x, conv_grad_w as direct sums, one thread an output: what is used where cuDNN has no plan. */
#include "kernels/device.cuh"

namespace
{

/* Activations of either width; x [n,h,w,cin], y [n,p,q,cout]. */
struct conv_shape {
    int32_t n, h, w, cin, p, q, cout;
    qv_conv_attr a;
};

__device__ inline float at(const void *p, bool narrow, size_t i)
{
    if (!narrow) return static_cast<const float *>(p)[i];
    return __uint_as_float((uint32_t) static_cast<const uint16_t *>(p)[i] << 16);
}

__device__ inline void put(void *p, bool narrow, size_t i, float v)
{
    if (!narrow) {
        static_cast<float *>(p)[i] = v;
        return;
    }
    const uint32_t bits = __float_as_uint(v);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    static_cast<uint16_t *>(p)[i] =
        nan ? (uint16_t)(bits >> 16 | 0x40u) : (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

__device__ inline size_t x_index(const conv_shape &s, int32_t n, int32_t i, int32_t j, int32_t c)
{
    return (((size_t)n * s.h + i) * s.w + j) * s.cin + c;
}

__device__ inline size_t w_index(const conv_shape &s, int32_t o, int32_t r, int32_t t, int32_t c)
{
    return (((size_t)o * s.a.kernel + r) * s.a.kernel + t) * (s.cin / s.a.groups) + c;
}

__global__ void __launch_bounds__(QV_BLOCK) forward(conv_shape s, const void *x, const float *w, void *y, bool narrow)
{
    const size_t i = (size_t)blockIdx.x * QV_BLOCK + threadIdx.x;
    if (i >= (size_t)s.n * s.p * s.q * s.cout) return;
    const int32_t o = (int32_t)(i % s.cout), q = (int32_t)(i / s.cout % s.q), p = (int32_t)(i / s.cout / s.q % s.p);
    const int32_t n = (int32_t)(i / s.cout / s.q / s.p), channels = s.cin / s.a.groups;
    const int32_t first = o / (s.cout / s.a.groups) * channels;
    float sum = 0;
    for (int32_t r = 0; r < s.a.kernel; r++)
        for (int32_t t = 0; t < s.a.kernel; t++) {
            const int32_t u = p * s.a.stride + r - s.a.pad, v = q * s.a.stride + t - s.a.pad;
            if (u < 0 || u >= s.h || v < 0 || v >= s.w) continue;
            for (int32_t c = 0; c < channels; c++)
                sum = fmaf(at(x, narrow, x_index(s, n, u, v, first + c)), w[w_index(s, o, r, t, c)], sum);
        }
    put(y, narrow, i, sum);
}

/* The output position that reads input position u through tap r, or -1. */
__device__ inline int32_t reader(const conv_shape &s, int32_t u, int32_t r, int32_t outputs)
{
    const int32_t p = u + s.a.pad - r;
    return p >= 0 && p % s.a.stride == 0 && p / s.a.stride < outputs ? p / s.a.stride : -1;
}

__global__ void __launch_bounds__(QV_BLOCK) grad_x(conv_shape s, const void *dy, const float *w, void *dx, bool narrow)
{
    const size_t i = (size_t)blockIdx.x * QV_BLOCK + threadIdx.x;
    if (i >= (size_t)s.n * s.h * s.w * s.cin) return;
    const int32_t c = (int32_t)(i % s.cin), v = (int32_t)(i / s.cin % s.w), u = (int32_t)(i / s.cin / s.w % s.h);
    const int32_t n = (int32_t)(i / s.cin / s.w / s.h), channels = s.cin / s.a.groups, outputs = s.cout / s.a.groups;
    const int32_t first = c / channels * outputs;
    float sum = 0;
    for (int32_t r = 0; r < s.a.kernel; r++)
        for (int32_t t = 0; t < s.a.kernel; t++) {
            const int32_t p = reader(s, u, r, s.p), q = reader(s, v, t, s.q);
            if (p < 0 || q < 0) continue;
            for (int32_t o = first; o < first + outputs; o++)
                sum = fmaf(at(dy, narrow, (((size_t)n * s.p + p) * s.q + q) * s.cout + o),
                           w[w_index(s, o, r, t, c % channels)], sum);
        }
    put(dx, narrow, i, sum);
}

__global__ void __launch_bounds__(QV_BLOCK) grad_w(conv_shape s, const void *x, const void *dy, float *dw, bool narrow)
{
    const int32_t channels = s.cin / s.a.groups, k = s.a.kernel;
    const size_t i = (size_t)blockIdx.x * QV_BLOCK + threadIdx.x;
    if (i >= (size_t)s.cout * k * k * channels) return;
    const int32_t c = (int32_t)(i % channels), t = (int32_t)(i / channels % k), r = (int32_t)(i / channels / k % k);
    const int32_t o = (int32_t)(i / channels / k / k), first = o / (s.cout / s.a.groups) * channels;
    float sum = 0;
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t p = 0; p < s.p; p++)
            for (int32_t q = 0; q < s.q; q++) {
                const int32_t u = p * s.a.stride + r - s.a.pad, v = q * s.a.stride + t - s.a.pad;
                if (u < 0 || u >= s.h || v < 0 || v >= s.w) continue;
                sum = fmaf(at(x, narrow, x_index(s, n, u, v, first + c)),
                           at(dy, narrow, (((size_t)n * s.p + p) * s.q + q) * s.cout + o), sum);
            }
    dw[i] = sum;
}

conv_shape shape_of(const qv_call *c, const qv_tensor &x, const qv_tensor &y)
{
    return {x.n, x.h, x.w, x.c, y.h, y.w, y.c, c->op->a.conv};
}

dim3 grid_of(const qv_tensor &t) { return dim3((uint32_t)qv_up(qv_tensor_len(&t), QV_BLOCK)); }

} // namespace

extern "C" int qv_cuda_conv(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor &x = c->in[0], &y = c->out[0];
    QV_LAUNCH(forward, grid_of(y), dim3(QV_BLOCK), 0, c->stream, shape_of(c, x, y), x.data, qv_data(c->in[1]), y.data,
              x.dtype == QV_BF16);
    return qv_launch_error();
}

extern "C" int qv_cuda_conv_grad_x(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor &dy = c->in[0], &dx = c->out[0];
    QV_LAUNCH(grad_x, grid_of(dx), dim3(QV_BLOCK), 0, c->stream, shape_of(c, dx, dy), dy.data, qv_data(c->in[1]),
              dx.data, dy.dtype == QV_BF16);
    return qv_launch_error();
}

extern "C" int qv_cuda_conv_grad_w(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor &x = c->in[0], &dy = c->in[1], &dw = c->out[0];
    QV_LAUNCH(grad_w, grid_of(dw), dim3(QV_BLOCK), 0, c->stream, shape_of(c, x, dy), x.data, dy.data,
              qv_data<float>(dw), x.dtype == QV_BF16);
    return qv_launch_error();
}
