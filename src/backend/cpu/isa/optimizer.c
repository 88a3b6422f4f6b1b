/* What is done to all parameters at once: clipping, SGD, AdamW. */
#include <float.h>
#include <math.h>

#include "backend/cpu/isa/isa.h"

/* ---- clip ---- */

typedef struct clip_args {
    const float *grad;
    size_t len, segments;
    double *sums; /* [segments] */
} clip_args;

/* In double: a square and the sum of so many lose nothing, and the pass waits for memory anyhow. */
static double sum_squares(const float *g, size_t n)
{
    enum { LANES = 16 };
    double sum[LANES] = {0}, all = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) sum[k] += (double)g[i + k] * (double)g[i + k];
    for (; i < n; i++) sum[0] += (double)g[i] * (double)g[i];
    for (size_t k = 0; k < LANES; k++) all += sum[k];
    return all;
}

static void clip_range(void *user, int chunk, size_t begin, size_t end)
{
    const clip_args *a = user;
    (void)chunk;
    for (size_t s = begin; s < end; s++) {
        const size_t from = a->len * s / a->segments, to = a->len * (s + 1) / a->segments;
        a->sums[s] = sum_squares(a->grad + from, to - from);
    }
}

int QV_FN(qv_clip)(const qv_call *call, size_t *need)
{
    const size_t len = qv_tensor_len(&call->in[0]), segments = qv_segments(len / QV_LANES);
    if (need) return (*need = segments * sizeof(double)), 0;
    clip_args a = {call->in[0].data, len, segments, call->scratch};
    const double most = (double)call->op->a.clip.most;
    double sum = 0;
    qv_parallel(qv_pool_for(call, len), segments, 1, clip_range, &a);
    for (size_t s = 0; s < segments; s++) sum += a.sums[s];
    const double length = sqrt(sum);
    float *scale = call->out[0].data;
    if (!(length <= (double)FLT_MAX))
        *scale = NAN; /* which no step survives unseen */
    else
        *scale = (float)(length <= most ? 1 : most / length);
    return 0;
}

/* ---- SGD ---- */

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
    if (need) return qv_no_scratch(need);
    const qv_step_state *state = call->in[0].data;
    const float *scale = call->in[2].data;
    sgd_args s = {call->in[1].data,     call->out[0].data, call->out[1].data,
                  &call->op->a.sgd, state->lr,         scale ? *scale : 1};
    const size_t n = qv_tensor_len(&call->out[0]);
    qv_parallel(qv_pool_for(call, n), n, 16, sgd_range, &s);
    return 0;
}

/* ---- AdamW ---- */

typedef struct adamw_args {
    const float *grad;
    float *param, *moment, *square;
    const qv_adamw_attr *attr;
    float lr, scale, first, second; /* 1 - beta^t */
} adamw_args;

static void adamw_piece(const adamw_args *s, size_t begin, size_t end, float decay)
{
    const float *restrict g = s->grad;
    float *restrict p = s->param, *restrict m = s->moment, *restrict v = s->square;
    const float b1 = s->attr->beta1, b2 = s->attr->beta2, eps = s->attr->eps;
    const float scale = s->scale, first = s->first, second = s->second, lr = s->lr;
    for (size_t i = begin; i < end; i++) {
        const float d = scale * g[i];
        m[i] = b1 * m[i] + (1 - b1) * d;
        v[i] = b2 * v[i] + (1 - b2) * d * d;
        p[i] -= lr * (m[i] / first / (sqrtf(v[i] / second) + eps) + decay * p[i]);
    }
}

static void adamw_range(void *user, int chunk, size_t begin, size_t end)
{
    const adamw_args *s = user;
    const size_t decayed = s->attr->decayed > 0 ? (size_t)s->attr->decayed : 0;
    const size_t border = decayed < begin ? begin : qv_min(decayed, end);
    (void)chunk;
    adamw_piece(s, begin, border, s->attr->weight_decay);
    adamw_piece(s, border, end, 0);
}

int QV_FN(qv_adamw)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_adamw_attr *attr = &call->op->a.adamw;
    const qv_step_state *state = call->in[0].data;
    const float *scale = call->in[2].data;
    const double t = (double)state->step + 1;
    adamw_args s = {.grad = call->in[1].data, .param = call->out[0].data, .moment = call->out[1].data};
    s.square = call->out[2].data;
    s.attr = attr;
    s.lr = state->lr;
    s.scale = scale ? *scale : 1;
    s.first = (float)(1 - pow((double)attr->beta1, t));
    s.second = (float)(1 - pow((double)attr->beta2, t));
    const size_t n = qv_tensor_len(&call->out[0]);
    qv_parallel(qv_pool_for(call, n), n, 16, adamw_range, &s);
    return 0;
}
