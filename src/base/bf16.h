/* bfloat16 on the host: the upper half of a float. */
#ifndef QV_BASE_BF16_H
#define QV_BASE_BF16_H

#include <stdint.h>
#include <string.h>

/* To the nearest, ties to even; NaN stays NaN. */
static inline uint16_t qv_bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float qv_bf16_value(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
