/* Shaking: a weighted sum of the two branches, its backward, and batch norm with it in one pass. */
#include "backend/cpu/isa/isa.h"

typedef struct shake_args {
    const float *z, *s, *mean, *scale, *shift; /* z [M][2C], s [M][C]; mean ... [2C] */
    float *y;
    qv_coefs coefs;
    size_t channels; /* C */
    bool stream;
} shake_args;

/* One row: `to` is written, k its coefficient. */
typedef void (*row_fn)(const shake_args *a, size_t row, float k, float *restrict to);

/* Rows begin to end of y, each `width` wide, past the cache where that pays. Inlined with its row function, so that the
 * loop inside is compiled for it. */
static inline __attribute__((always_inline)) void each_row(const shake_args *a, size_t begin, size_t end, size_t width,
                                                           row_fn fn)
{
    float stage[QV_STAGE];
    for (size_t row = begin; row < end;) {
        float k;
        for (size_t next = qv_coef_run(&a->coefs, row, end, &k); row < next; row++) {
            float *y = a->y + row * width;
            fn(a, row, k, a->stream ? stage : y);
            if (a->stream) qv_stream_out(y, stage, width);
        }
    }
    if (a->stream) qv_stream_end();
}

static inline void add_row(const shake_args *a, size_t row, float k, float *restrict y)
{
    const size_t c = a->channels;
    const float *restrict z = a->z + row * 2 * c, *restrict z2 = z + c, *restrict s = a->s + row * c;
    const float rest = 1 - k;
    for (size_t i = 0; i < c; i++) y[i] = s[i] + (k * z[i] + rest * z2[i]);
}

static void add_rows(void *user, int chunk, size_t begin, size_t end)
{
    const shake_args *a = user;
    (void)chunk;
    each_row(a, begin, end, a->channels, add_row);
}

static inline void bn_add_row(const shake_args *a, size_t row, float k, float *restrict y)
{
    const size_t c = a->channels;
    const float *restrict u = a->z + row * 2 * c, *restrict u2 = u + c, *restrict s = a->s + row * c;
    const float *restrict mean = a->mean, *restrict mean2 = a->mean + c;
    const float *restrict scale = a->scale, *restrict scale2 = a->scale + c;
    const float *restrict shift = a->shift, *restrict shift2 = a->shift + c;
    const float rest = 1 - k;
    for (size_t i = 0; i < c; i++) {
        float z = (u[i] - mean[i]) * scale[i] + shift[i], z2 = (u2[i] - mean2[i]) * scale2[i] + shift2[i];
        y[i] = s[i] + (k * z + rest * z2);
    }
}

static void bn_add_rows(void *user, int chunk, size_t begin, size_t end)
{
    const shake_args *a = user;
    (void)chunk;
    each_row(a, begin, end, a->channels, bn_add_row);
}

int QV_FN(qv_shake_add)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *y = &call->out[0];
    shake_args a = {.z = call->in[0].data, .s = call->in[2].data, .y = y->data, .channels = (size_t)y->c};
    a.coefs = qv_coefs_of(&call->in[1], y);
    a.stream = qv_streams(y, a.channels);
    qv_parallel(qv_pool_for(call, qv_tensor_len(y)), qv_tensor_len(y) / a.channels, 16, add_rows, &a);
    return 0;
}

int QV_FN(qv_bn_shake_add)(const qv_call *call, size_t *need)
{
    const qv_tensor *y = &call->out[0];
    const size_t c = (size_t)y->c;
    if (need) return (*need = 2 * c * sizeof(float)), 0;
    const float *rstd = call->in[2].data, *gamma = call->in[3].data;
    float *scale = call->scratch;
    for (size_t i = 0; i < 2 * c; i++) scale[i] = rstd[i] * gamma[i];
    shake_args a = {call->in[0].data, call->in[6].data, call->in[1].data, scale, call->in[4].data, y->data,
                    qv_coefs_of(&call->in[5], y), c, qv_streams(y, c)};
    qv_parallel(qv_pool_for(call, qv_tensor_len(y)), qv_tensor_len(y) / c, 16, bn_add_rows, &a);
    return 0;
}

static inline void grad_row(const shake_args *a, size_t row, float k, float *restrict dz)
{
    const size_t c = a->channels;
    const float *restrict g = a->s + row * c;
    float *restrict dz2 = dz + c;
    const float rest = 1 - k;
    for (size_t i = 0; i < c; i++) {
        dz[i] = k * g[i];
        dz2[i] = rest * g[i];
    }
}

static void grad_rows(void *user, int chunk, size_t begin, size_t end)
{
    const shake_args *a = user;
    (void)chunk;
    each_row(a, begin, end, 2 * a->channels, grad_row);
}

int QV_FN(qv_shake_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *g = &call->in[0];
    shake_args a = {.s = g->data, .y = call->out[0].data, .channels = (size_t)g->c};
    a.coefs = qv_coefs_of(&call->in[1], g);
    a.stream = qv_streams(&call->out[0], 2 * a.channels);
    qv_parallel(qv_pool_for(call, qv_tensor_len(g)), qv_tensor_len(g) / a.channels, 16, grad_rows, &a);
    return 0;
}

static inline void scale_row(const shake_args *a, size_t row, float k, float *restrict y)
{
    const size_t c = a->channels;
    const float *restrict x = a->s + row * c;
    for (size_t i = 0; i < c; i++) y[i] = k * x[i];
}

static void scale_rows(void *user, int chunk, size_t begin, size_t end)
{
    const shake_args *a = user;
    (void)chunk;
    each_row(a, begin, end, a->channels, scale_row);
}

int QV_FN(qv_scale)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *x = &call->in[0];
    shake_args a = {.s = x->data, .y = call->out[0].data, .channels = (size_t)x->c};
    a.coefs = qv_coefs_of(&call->in[1], x);
    a.stream = qv_streams(x, a.channels);
    qv_parallel(qv_pool_for(call, qv_tensor_len(x)), qv_tensor_len(x) / a.channels, 16, scale_rows, &a);
    return 0;
}
