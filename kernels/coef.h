/* The coefficients of a block for one row of a batch and one band, the same to the bit on every backend: all of it is
 * integers, and what they become is exact in float. So is 1 - alpha. Plain C11, C++ and CUDA. */
#ifndef QV_KERNELS_COEF_H
#define QV_KERNELS_COEF_H

#include "base/philox.h"
#include "kernels/op.h"

/* alpha, beta: shares of the first branch, forward and backward; signs +-1 of the whole pair. */
typedef struct qv_coef {
    float alpha, beta, alpha_sign, beta_sign;
} qv_coef;

/* Row `n` of this rank's part of the batch; at level batch all rows draw the same. */
static inline QV_HD qv_philox4 qv_coef_draw(const qv_step_state *s, int32_t level, uint32_t n, uint32_t where)
{
    const uint64_t row = s->step * s->batch + s->first + n;
    const int shared = level == QV_LEVEL_BATCH;
    const uint32_t counter[4] = {(uint32_t)s->step, shared ? UINT32_MAX : (uint32_t)(row % s->set_size), where,
                                 shared ? 0 : (uint32_t)(row / s->set_size)};
    return qv_philox(counter, s->key);
}

/* Uniform in [0, 1), a multiple of 2^-24. With m <= 1 in 2^-22: in [-m, 1 + m], the ends included, one of at most
 * 3 * 2^22 + 1 multiples of 2^-22, which 24 bits can tell apart and a float can hold. */
static inline QV_HD float qv_coef_uniform(uint32_t draw, int32_t m)
{
    if (m == 0) return qv_uniform(draw);
    const uint64_t values = ((uint64_t)1 << 22) + 2 * (uint64_t)m + 1;
    return (float)((int32_t)((draw >> 8) * values >> 24) - m) * (1.0f / 4194304.0f);
}

/* True with a chance of `chance` in 2^-24. */
static inline QV_HD int qv_coef_chance(uint32_t draw, int32_t chance) { return (int32_t)(draw >> 8) < chance; }

static inline QV_HD qv_coef qv_coef_at(const qv_step_state *s, const qv_shake_attr *a, uint32_t n, uint32_t band)
{
    qv_coef k = {0.5f, 0.5f, 1.0f, 1.0f};
    const uint32_t layer = (uint32_t)a->layer, relax = (uint32_t)QV_DRAW_RELAX << 24 | layer;
    if (a->relaxed > 0 && qv_coef_chance(qv_coef_draw(s, a->level, n, relax).v[0], a->relaxed)) return k;
    const qv_philox4 r = qv_coef_draw(s, a->level, n, (uint32_t)QV_DRAW_SHAKE << 24 | band << 16 | layer);
    if (a->forward != QV_SHAKE_EVEN) {
        k.alpha = qv_coef_uniform(r.v[0], a->affine);
        k.alpha_sign = qv_coef_chance(r.v[2], a->negative) ? -1.0f : 1.0f;
    }
    if (a->backward == QV_SHAKE_KEEP) {
        k.beta = k.alpha;
        k.beta_sign = k.alpha_sign;
    } else if (a->backward != QV_SHAKE_EVEN) {
        k.beta = qv_coef_uniform(r.v[1], a->affine);
        k.beta_sign = qv_coef_chance(r.v[3], a->negative) ? -1.0f : 1.0f;
    }
    return k;
}

#endif
