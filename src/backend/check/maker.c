#include "backend/check/maker.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bf16.h"

int qv_pick(qv_maker *m, size_t count)
{
    size_t number = m->large ? (size_t)(qv_random_next(&m->rng) >> 32) : m->index;
    m->index /= count;
    return (int)(number % count);
}

void qv_describe(qv_maker *m, const char *fmt, ...)
{
    size_t used = strlen(m->p->what);
    va_list args;
    va_start(args, fmt);
    vsnprintf(m->p->what + used, sizeof m->p->what - used, fmt, args);
    va_end(args);
}

void *qv_room(qv_tensor *t, size_t size)
{
    t->data = calloc(qv_tensor_len(t) + 1, size);
    return t->data;
}

static bool in_bf16(const qv_maker *m, const qv_tensor *t)
{
    const qv_problem *p = m->p;
    for (int i = 0; i < QV_MAX_IN; i++)
        if (t == &p->in[i]) return qv_operand_is_activation((qv_op_kind)p->op.kind, false, i);
    for (int i = 0; i < QV_MAX_OUT; i++)
        if (t == &p->out[i]) return qv_operand_is_activation((qv_op_kind)p->op.kind, true, i);
    return false;
}

double qv_as_stored(const qv_maker *m, const qv_tensor *t, double v)
{
    return m->p->bf16 && in_bf16(m, t) ? (double)qv_bf16_value(qv_bf16_of((float)v)) : qv_as_float(v);
}

double qv_exact_value(qv_maker *m)
{
    static const double values[] = {-2, -1, -0.5, 0, 0.5, 1, 2, 1};
    return values[qv_random_next(&m->rng) % 8];
}

double qv_number(qv_maker *m, double scale)
{
    return m->p->exact ? qv_exact_value(m) : qv_as_float(scale * qv_random_normal(&m->rng));
}

double *qv_numbers(qv_maker *m, qv_tensor *t, qv_tensor of, double scale)
{
    *t = of;
    double *v = qv_room(t, sizeof *v);
    for (size_t i = 0; v && i < qv_tensor_len(t); i++) v[i] = qv_as_stored(m, t, qv_number(m, scale));
    return v;
}

void qv_tickets_of(qv_tensor *t, int c)
{
    *t = qv_vector(qv_ticket_words(c));
    qv_room(t, sizeof(int32_t));
}

void qv_shares(qv_maker *m, qv_tensor *t, qv_tensor of)
{
    *t = of;
    double *v = qv_room(t, sizeof *v);
    for (size_t i = 0; v && i < qv_tensor_len(t); i++) {
        uint64_t bits = qv_random_next(&m->rng);
        v[i] = m->p->exact ? (double)(bits % 5) / 4 : (double)(bits >> 40) * QV_U;
    }
}

int32_t qv_label(qv_maker *m, bool known, int k)
{
    uint64_t bits = qv_random_next(&m->rng);
    if (known) return (int32_t)(bits % (uint64_t)k);
    return bits % 2 ? -1 : k;
}

double qv_label_weight(const qv_tensor *weights, int32_t label)
{
    return label >= 0 && label < weights->c ? ((const double *)weights->data)[label] : 0;
}

void qv_coefficients(qv_maker *m, qv_tensor *t, qv_tensor of)
{
    qv_shares(m, t, of);
    double *v = t->data;
    for (size_t i = 0; v && i < qv_tensor_len(t); i++) {
        uint64_t bits = qv_random_next(&m->rng), steps = m->p->exact ? 4 : 1 << 22;
        if (bits % 2) v[i] = (double)((bits >> 8) % (3 * steps + 1)) / (double)steps - 1;
    }
}

/* Shapes round the edges of vector code: one channel, tails of 4, 8 and 16, whole blocks; one position, one
 * sample; more rows than a block of threads; sums of more than 16 blocks, the last of them short. */
static const struct {
    int n, h, w, c;
} shapes[] = {
    {1, 1, 1, 1},  {2, 1, 1, 1},  {1, 1, 2, 3},  {2, 3, 5, 3},   {2, 1, 1, 33},  {3, 7, 5, 16},   {2, 5, 8, 33},
    {2, 8, 8, 64}, {4, 1, 1, 16}, {1, 9, 4, 17}, {5, 16, 4, 32}, {1, 64, 64, 1}, {1, 64, 64, 16}, {7, 13, 12, 8},
    {3, 5, 9, 257},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* 16.5 MiB of floats: more than the caches, where stores may go past them; no channel starts on a border of 16. */
static const qv_tensor large_shape = {NULL, 2, 128, 512, 33, QV_REAL};

qv_tensor qv_pick_shape(qv_maker *m)
{
    int i = qv_pick(m, SHAPES);
    qv_tensor t = m->large ? large_shape : qv_shape(shapes[i].n, shapes[i].h, shapes[i].w, shapes[i].c);
    qv_describe(m, "%dx%dx%dx%d", t.n, t.h, t.w, t.c);
    m->shaped = true;
    return t;
}

void qv_pick_exact(qv_maker *m)
{
    m->p->exact = qv_pick(m, 2);
    if (m->p->exact) qv_describe(m, " exact");
}

/* The op on the magnitudes of its inputs: for each output element the sum of the magnitudes of its terms. False
 * where there is no memory. */
static bool magnitudes(const qv_problem *p, const qv_tensor *expect, qv_tensor sums[QV_MAX_OUT])
{
    bool whole = true;
    qv_op_info info = qv_op_info_of((qv_op_kind)p->op.kind);
    qv_tensor in[QV_MAX_IN] = {0};
    for (int i = 0; i < info.n_in; i++) {
        in[i] = p->in[i];
        if (!p->in[i].data) continue;
        const double *src = p->in[i].data;
        double *dst = qv_room(&in[i], sizeof *dst);
        whole = whole && dst;
        for (size_t j = 0; dst && j < qv_tensor_len(&in[i]); j++) dst[j] = fabs(src[j]);
    }
    for (int k = 0; k < info.n_out; k++) {
        sums[k] = expect[k];
        void *room = expect[k].data ? qv_room(&sums[k], sizeof(double)) : NULL; /* an output may be absent */
        whole = whole && (room || !expect[k].data);
    }
    whole = whole && qv_reference(&p->op, in, sums) == 0;
    for (int i = 0; i < info.n_in; i++) free(in[i].data);
    return whole;
}

double qv_chain(size_t n) { return fmin((double)n, 7 * sqrt((double)n)); }

void qv_bound_by_magnitude(const qv_problem *p, const qv_tensor *expect, double *const *bound, const double *factors)
{
    qv_tensor sums[QV_MAX_OUT] = {0};
    if (p->exact) return;
    bool whole = magnitudes(p, expect, sums);
    for (int k = 0; k < qv_op_info_of((qv_op_kind)p->op.kind).n_out; k++) {
        const double *s = sums[k].data;
        for (size_t i = 0; i < qv_tensor_len(&expect[k]); i++)
            bound[k][i] = whole ? factors[k] * QV_U * s[i] + QV_TINY : NAN;
        free(sums[k].data);
    }
}

void qv_bound_rounded(const qv_tensor *expect, double *bound, double roundings)
{
    const double *want = expect->data;
    for (size_t i = 0; i < qv_tensor_len(expect); i++) bound[i] = roundings * QV_U * fabs(want[i]) + QV_TINY;
}

bool qv_sum_lengths(const qv_problem *p, size_t lengths[QV_MAX_OUT])
{
    const qv_tensor *in = p->in, *w = &in[1];
    switch (p->op.kind) {
    case QV_OP_CONV:
        lengths[0] = (size_t)w->h * (size_t)w->w * (size_t)w->c;
        return true;
    case QV_OP_CONV_GRAD_X:
        lengths[0] = (size_t)w->h * (size_t)w->w * (size_t)w->n / (size_t)p->op.a.conv.groups;
        return true;
    case QV_OP_CONV_GRAD_W:
        lengths[0] = qv_rows(&in[1]);
        return true;
    case QV_OP_LINEAR:
        lengths[0] = (size_t)in[0].c + 1;
        return true;
    case QV_OP_LINEAR_GRAD:
        lengths[0] = (size_t)in[1].n;
        lengths[1] = lengths[2] = (size_t)in[0].n;
        return true;
    default:
        return false;
    }
}

void qv_bound_sums(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t lengths[QV_MAX_OUT] = {0};
    double factors[QV_MAX_OUT];
    qv_sum_lengths(p, lengths);
    for (int k = 0; k < QV_MAX_OUT; k++) factors[k] = qv_chain(lengths[k]) + 2;
    qv_bound_by_magnitude(p, expect, bound, factors);
}
