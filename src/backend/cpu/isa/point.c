/* Passes without channels: ReLU, sums of two tensors. */
#include "backend/cpu/isa/isa.h"

typedef struct point_args {
    const float *a, *b, *addend;
    float *y;
    void (*piece)(float *restrict y, const float *restrict a, const float *restrict b, const float *restrict addend,
                  size_t n);
    bool stream;
} point_args;

static void point_range(void *user, int chunk, size_t begin, size_t end)
{
    const point_args *p = user;
    float stage[QV_STAGE];
    (void)chunk;
    for (size_t i = begin; i < end; i += QV_STAGE) {
        size_t n = qv_min(QV_STAGE, end - i);
        p->piece(p->stream ? stage : p->y + i, p->a + i, p->b ? p->b + i : NULL, p->addend ? p->addend + i : NULL, n);
        if (p->stream) qv_stream_out(p->y + i, stage, n);
    }
    if (p->stream) qv_stream_end();
}

static int run_point(const qv_call *call, point_args *p)
{
    const size_t n = qv_tensor_len(&call->out[0]);
    p->a = call->in[0].data;
    p->y = call->out[0].data;
    p->stream = qv_streams(&call->out[0], 1);
    qv_parallel(qv_pool_for(call, n), n, QV_STAGE, point_range, p);
    return 0;
}

static void relu_piece(float *restrict y, const float *restrict a, const float *restrict b,
                       const float *restrict addend, size_t n)
{
    (void)b, (void)addend;
    for (size_t i = 0; i < n; i++) y[i] = a[i] < 0 ? 0 : a[i];
}

static void relu_grad_piece(float *restrict y, const float *restrict a, const float *restrict b,
                            const float *restrict addend, size_t n)
{
    if (addend) {
        for (size_t i = 0; i < n; i++) y[i] = addend[i] + (b[i] > 0 ? a[i] : 0);
    } else {
        for (size_t i = 0; i < n; i++) y[i] = b[i] > 0 ? a[i] : 0;
    }
}

static void add_piece(float *restrict y, const float *restrict a, const float *restrict b,
                      const float *restrict addend, size_t n)
{
    (void)addend;
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

int QV_FN(qv_relu)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    return run_point(call, &(point_args){.piece = relu_piece});
}

int QV_FN(qv_relu_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    return run_point(call, &(point_args){.piece = relu_grad_piece, .b = call->in[1].data, .addend = call->in[2].data});
}

int QV_FN(qv_add)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    return run_point(call, &(point_args){.piece = add_piece, .b = call->in[1].data});
}
