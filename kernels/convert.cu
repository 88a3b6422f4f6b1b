/* to_bf16, from_bf16: a region of parameters or gradients from one width to the other, in one launch for all of
 * them. Bytes an element: 6, the minimum. Four elements a thread at a time where both sides allow it. */
#include "kernels/device.cuh"
#include "kernels/step.h"

namespace
{

/* bfloat16 is the upper half of a float; rounding carries into it from below. */
__device__ inline uint16_t narrow(float x)
{
    const uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

__device__ inline float widen(uint32_t half) { return __uint_as_float(half << 16); }

struct to_bf16 {
    const float *from;
    uint16_t *to;

    __device__ void one(size_t i) const { to[i] = narrow(from[i]); }
    __device__ void four(size_t i) const
    {
        const float4 x = qv_ld4(from + i);
        const uint2 packed =
            make_uint2(narrow(x.x) | (uint32_t)narrow(x.y) << 16, narrow(x.z) | (uint32_t)narrow(x.w) << 16);
        *reinterpret_cast<uint2 *>(to + i) = packed;
    }
};

struct from_bf16 {
    const uint16_t *from;
    float *to;

    __device__ void one(size_t i) const { to[i] = widen(from[i]); }
    __device__ void four(size_t i) const
    {
        const uint2 packed = *reinterpret_cast<const uint2 *>(from + i);
        qv_st4(to + i, make_float4(widen(packed.x & 0xffffu), widen(packed.x >> 16), widen(packed.y & 0xffffu),
                                   widen(packed.y >> 16)));
    }
};

template <class F> __global__ void __launch_bounds__(QV_BLOCK) convert(F f, size_t n, bool wide)
{
    const size_t stride = (size_t)gridDim.x * QV_BLOCK, first = (size_t)blockIdx.x * QV_BLOCK + threadIdx.x;
    const size_t fours = wide ? n / 4 : 0;
    for (size_t i = first; i < fours; i += stride) f.four(i * 4);
    for (size_t i = fours * 4 + first; i < n; i += stride) f.one(i);
}

template <class F> int run(const F &f, size_t n, void *stream)
{
    const uint64_t most = 4096;
    const bool wide = reinterpret_cast<uintptr_t>(f.from) % 16 == 0 && reinterpret_cast<uintptr_t>(f.to) % 16 == 0;
    const uint64_t blocks = qv_up(wide ? qv_up(n, 4) : n, QV_BLOCK);
    if (n == 0) return QV_REFUSED;
    QV_LAUNCH((convert<F>), dim3((uint32_t)(blocks < most ? blocks : most)), dim3(QV_BLOCK), 0, stream, f, n, wide);
    return qv_launch_error();
}

} // namespace

extern "C" int qv_cuda_to_bf16(const float *from, uint16_t *to, size_t n, void *stream)
{
    return run(to_bf16{from, to}, n, stream);
}

extern "C" int qv_cuda_from_bf16(const uint16_t *from, float *to, size_t n, void *stream)
{
    return run(from_bf16{from, to}, n, stream);
}
