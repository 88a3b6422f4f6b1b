/* Passes without channels: ReLU, sums of two tensors, the optimizer. */
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
    if (need) return (*need = 0), 0;
    return run_point(call, &(point_args){.piece = relu_piece});
}

int QV_FN(qv_relu_grad)(const qv_call *call, size_t *need)
{
    if (need) return (*need = 0), 0;
    return run_point(call, &(point_args){.piece = relu_grad_piece, .b = call->in[1].data, .addend = call->in[2].data});
}

int QV_FN(qv_add)(const qv_call *call, size_t *need)
{
    if (need) return (*need = 0), 0;
    return run_point(call, &(point_args){.piece = add_piece, .b = call->in[1].data});
}

typedef struct sgd_args {
    const float *grad;
    float *param, *moment;
    const qv_sgd_attr *attr;
    float lr, scale;
} sgd_args;

static void sgd_piece(float *restrict p, float *restrict m, const float *restrict g, size_t n, float scale, float decay,
                      float mu, float lr, bool nesterov)
{
    for (size_t i = 0; i < n; i++) {
        float d = scale * g[i] + decay * p[i];
        m[i] = mu * m[i] + d;
        p[i] -= lr * (nesterov ? d + mu * m[i] : m[i]);
    }
}

static void sgd_range(void *user, int chunk, size_t begin, size_t end)
{
    const sgd_args *s = user;
    const qv_sgd_attr *t = s->attr;
    size_t decayed = t->decayed > 0 ? (size_t)t->decayed : 0;
    size_t border = decayed < begin ? begin : qv_min(decayed, end);
    (void)chunk;
    sgd_piece(s->param + begin, s->moment + begin, s->grad + begin, border - begin, s->scale, t->weight_decay, t->momentum,
              s->lr, t->nesterov != 0);
    sgd_piece(s->param + border, s->moment + border, s->grad + border, end - border, s->scale, 0, t->momentum, s->lr,
              t->nesterov != 0);
}

int QV_FN(qv_sgd)(const qv_call *call, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_step_state *state = call->in[0].data;
    const float *scale = call->in[2].data;
    sgd_args s = {call->in[1].data,     call->out[0].data, call->out[1].data,
                  &call->op->a.sgd, state->lr,         scale ? *scale : 1};
    const size_t n = qv_tensor_len(&call->out[0]);
    qv_parallel(qv_pool_for(call, n), n, 16, sgd_range, &s);
    return 0;
}
