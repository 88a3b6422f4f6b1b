#include <string.h>

#include "backend/ref/ref.h"

/* x [N,H,W,G*ci], y [N,P,Q,G*co], w [G*co][k][k][ci]. */
struct shape {
    size_t n, h, w, p, q, k, stride, pad, groups, ci, co;
};

static struct shape shape_of(const qv_conv_attr *a, const qv_tensor *x, const qv_tensor *y)
{
    size_t groups = (size_t)a->groups;
    return (struct shape){.n = (size_t)x->n,
                          .h = (size_t)x->h,
                          .w = (size_t)x->w,
                          .p = (size_t)y->h,
                          .q = (size_t)y->w,
                          .k = (size_t)a->kernel,
                          .stride = (size_t)a->stride,
                          .pad = (size_t)a->pad,
                          .groups = groups,
                          .ci = (size_t)x->c / groups,
                          .co = (size_t)y->c / groups};
}

static size_t weights(const struct shape *s) { return s->groups * s->co * s->k * s->k * s->ci; }

/* Row h of the input that tap r of output row p reads; false where that is padding. */
static bool input_at(size_t p, size_t r, const struct shape *s, size_t height, size_t *h)
{
    size_t padded = p * s->stride + r;
    *h = padded - s->pad;
    return padded >= s->pad && *h < height;
}

/* Row p of the output that reads input row h by tap r; false where there is none. */
static bool output_at(size_t h, size_t r, const struct shape *s, size_t height, size_t *p)
{
    size_t padded = h + s->pad;
    if (padded < r || (padded - r) % s->stride) return false;
    *p = (padded - r) / s->stride;
    return *p < height;
}

/* w[o][t][i] to [g][t][i][o of the group], t one of the k*k taps: outputs side by side, as the sums want them. */
static void turn_weights(const struct shape *s, const qv_real *w, qv_real *turned)
{
    size_t taps = s->k * s->k;
    for (size_t g = 0; g < s->groups; g++)
        for (size_t o = 0; o < s->co; o++)
            for (size_t j = 0; j < taps * s->ci; j++)
                turned[(g * taps * s->ci + j) * s->co + o] = w[(g * s->co + o) * taps * s->ci + j];
}

/* sum[o] += x[i] w[i][o] */
static void add_products(const struct shape *s, const qv_real *x, const qv_real *w, double *sum)
{
    for (size_t i = 0; i < s->ci; i++)
        for (size_t o = 0; o < s->co; o++) sum[o] += (double)x[i] * (double)w[i * s->co + o];
}

int QV_REF(conv)(const qv_call *call, size_t *need)
{
    struct shape s = shape_of(&call->op->a.conv, &call->in[0], &call->out[0]);
    if (need) return *need = s.co * sizeof(double) + weights(&s) * sizeof(qv_real), QV_OK;
    const qv_real *x = call->in[0].data;
    qv_real *y = call->out[0].data;
    double *sum = call->scratch;
    qv_real *w = (qv_real *)(sum + s.co);
    turn_weights(&s, call->in[1].data, w);
    for (size_t out = 0; out < s.n * s.p * s.q; out++) {
        size_t n = out / (s.p * s.q), p = out / s.q % s.p, q = out % s.q, h, v;
        for (size_t g = 0; g < s.groups; g++) {
            memset(sum, 0, s.co * sizeof *sum);
            for (size_t r = 0; r < s.k; r++)
                for (size_t t = 0; t < s.k; t++)
                    if (input_at(p, r, &s, s.h, &h) && input_at(q, t, &s, s.w, &v))
                        add_products(&s, x + (((n * s.h + h) * s.w + v) * s.groups + g) * s.ci,
                                     w + ((g * s.k + r) * s.k + t) * s.ci * s.co, sum);
            for (size_t o = 0; o < s.co; o++) y[(out * s.groups + g) * s.co + o] = (qv_real)sum[o];
        }
    }
    return QV_OK;
}

/* sum[i] += dy[o] w[o][tap][i], a tap's weights standing `step` apart */
static void add_transposed(const struct shape *s, const qv_real *dy, const qv_real *w, size_t step, double *sum)
{
    for (size_t o = 0; o < s->co; o++)
        for (size_t i = 0; i < s->ci; i++) sum[i] += (double)dy[o] * (double)w[o * step + i];
}

int QV_REF(conv_grad_x)(const qv_call *call, size_t *need)
{
    struct shape s = shape_of(&call->op->a.conv, &call->out[0], &call->in[0]);
    if (need) return *need = s.ci * sizeof(double), QV_OK;
    const qv_real *dy = call->in[0].data, *w = call->in[1].data;
    qv_real *dx = call->out[0].data;
    double *sum = call->scratch;
    size_t step = s.k * s.k * s.ci;
    for (size_t in = 0; in < s.n * s.h * s.w; in++) {
        size_t n = in / (s.h * s.w), h = in / s.w % s.h, v = in % s.w, p, q;
        for (size_t g = 0; g < s.groups; g++) {
            memset(sum, 0, s.ci * sizeof *sum);
            for (size_t r = 0; r < s.k; r++)
                for (size_t t = 0; t < s.k; t++)
                    if (output_at(h, r, &s, s.p, &p) && output_at(v, t, &s, s.q, &q))
                        add_transposed(&s, dy + (((n * s.p + p) * s.q + q) * s.groups + g) * s.co,
                                       w + g * s.co * step + (r * s.k + t) * s.ci, step, sum);
            for (size_t i = 0; i < s.ci; i++) dx[(in * s.groups + g) * s.ci + i] = (qv_real)sum[i];
        }
    }
    return QV_OK;
}

/* sum[o][tap][i] += dy[o] x[i] */
static void add_outer(const struct shape *s, const qv_real *dy, const qv_real *x, size_t step, double *sum)
{
    for (size_t o = 0; o < s->co; o++)
        for (size_t i = 0; i < s->ci; i++) sum[o * step + i] += (double)dy[o] * (double)x[i];
}

int QV_REF(conv_grad_w)(const qv_call *call, size_t *need)
{
    struct shape s = shape_of(&call->op->a.conv, &call->in[0], &call->in[1]);
    if (need) return *need = weights(&s) * sizeof(double), QV_OK;
    const qv_real *x = call->in[0].data, *dy = call->in[1].data;
    qv_real *dw = call->out[0].data;
    double *sum = call->scratch;
    size_t step = s.k * s.k * s.ci;
    memset(sum, 0, weights(&s) * sizeof *sum);
    for (size_t out = 0; out < s.n * s.p * s.q; out++) {
        size_t n = out / (s.p * s.q), p = out / s.q % s.p, q = out % s.q, h, v;
        for (size_t r = 0; r < s.k; r++)
            for (size_t t = 0; t < s.k; t++)
                for (size_t g = 0; g < s.groups; g++)
                    if (input_at(p, r, &s, s.h, &h) && input_at(q, t, &s, s.w, &v))
                        add_outer(&s, dy + (out * s.groups + g) * s.co,
                                  x + (((n * s.h + h) * s.w + v) * s.groups + g) * s.ci, step,
                                  sum + g * s.co * step + (r * s.k + t) * s.ci);
    }
    for (size_t j = 0; j < weights(&s); j++) dw[j] = (qv_real)sum[j];
    return QV_OK;
}
