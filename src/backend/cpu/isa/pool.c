/* Mean over positions, and its backward. */
#include "backend/cpu/isa/isa.h"

typedef struct pool_args {
    const float *x;
    float *y;
    size_t positions, channels;
} pool_args;

/* y[i] += the sum of `rows` rows, four a turn. */
static void sum_rows(float *restrict y, const float *restrict x, size_t rows, size_t c)
{
    size_t r = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * c) {
        const float *restrict x1 = x + c, *restrict x2 = x1 + c, *restrict x3 = x2 + c;
        for (size_t i = 0; i < c; i++) y[i] += (x[i] + x1[i]) + (x2[i] + x3[i]);
    }
    for (; r < rows; r++, x += c)
        for (size_t i = 0; i < c; i++) y[i] += x[i];
}

static void pool_samples(void *user, int chunk, size_t begin, size_t end)
{
    const pool_args *a = user;
    const size_t c = a->channels;
    const float share = 1.0f / (float)a->positions;
    (void)chunk;
    for (size_t n = begin; n < end; n++) {
        float *y = a->y + n * c;
        memset(y, 0, c * sizeof *y);
        sum_rows(y, a->x + n * a->positions * c, a->positions, c);
        for (size_t i = 0; i < c; i++) y[i] *= share;
    }
}

int QV_FN(qv_pool)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *x = &call->in[0];
    pool_args a = {x->data, call->out[0].data, (size_t)x->h * (size_t)x->w, (size_t)x->c};
    qv_parallel(qv_pool_for(call, qv_tensor_len(x)), (size_t)x->n, 1, pool_samples, &a);
    return 0;
}

static void spread_samples(void *user, int chunk, size_t begin, size_t end)
{
    const pool_args *a = user;
    const size_t c = a->channels;
    const float share = 1.0f / (float)a->positions;
    (void)chunk;
    for (size_t n = begin; n < end; n++) {
        float *first = a->y + n * a->positions * c;
        for (size_t i = 0; i < c; i++) first[i] = a->x[n * c + i] * share;
        for (size_t p = 1; p < a->positions; p++) memcpy(first + p * c, first, c * sizeof *first);
    }
}

int QV_FN(qv_pool_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *dx = &call->out[0];
    pool_args a = {call->in[0].data, dx->data, (size_t)dx->h * (size_t)dx->w, (size_t)dx->c};
    qv_parallel(qv_pool_for(call, qv_tensor_len(dx)), (size_t)dx->n, 1, spread_samples, &a);
    return 0;
}
