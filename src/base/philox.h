/* Philox4x32-10 (Salmon et al., SC 2011): a counter-based generator, the same bits
 * on every backend. Also compiled as device code, hence header-only and plain. */
#ifndef QV_BASE_PHILOX_H
#define QV_BASE_PHILOX_H

#include <stdint.h>

#ifndef QV_HD
#if defined(__CUDACC__)
#define QV_HD __host__ __device__
#else
#define QV_HD
#endif
#endif

typedef struct qv_philox4 {
    uint32_t v[4];
} qv_philox4;

static inline QV_HD qv_philox4 qv_philox(const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    qv_philox4 r = {{c0, c1, c2, c3}};
    return r;
}

/* Uniform in [0, 1), a multiple of 2^-24: exact in float. */
static inline QV_HD float qv_uniform(uint32_t x) { return (float)(x >> 8) * (1.0f / 16777216.0f); }

#endif
