/* bfloat16: the upper half of a float, 8 bits of precision, the exponent of a float.
 *
 * Plain C11 that is also C++ and CUDA, so that the host, the tests and the kernels round alike: to nearest, ties
 * to even; a NaN stays one (0x7fff, as the hardware answers). Half a unit in the last place is at most 2^-8 of the value. */
#ifndef QV_BF16_H
#define QV_BF16_H

#include <string.h>

#include "kernels/op.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

typedef struct qv_bf16 {
    uint16_t bits;
} qv_bf16;

/* Exact. */
static inline QV_HD float qv_bf16_value(qv_bf16 h)
{
    const uint32_t bits = (uint32_t)h.bits << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline QV_HD qv_bf16 qv_bf16_of(float f)
{
    qv_bf16 h;
#ifdef __CUDA_ARCH__
    h.bits = __bfloat16_as_ushort(__float2bfloat16_rn(f));
#else
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    /* Half of what is cut off, less one where the bit that stays is even: a tie then does not carry. */
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    h.bits = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
#endif
    return h;
}

#endif
