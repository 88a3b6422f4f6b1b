/* Cases and bounds of the ops that work element by element, and of the shake. */
#include <math.h>

#include "backend/check/maker.h"

void qv_make_relu(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m);
    qv_pick_exact(m);
    qv_numbers(m, &m->p->in[0], of, 1);
    m->p->out[0] = of;
}

void qv_bound_relu(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    (void)p, (void)expect, (void)bound; /* nothing rounds */
}

void qv_make_relu_grad(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m);
    qv_pick_exact(m);
    qv_numbers(m, &m->p->in[0], of, 1);
    double *y = qv_numbers(m, &m->p->in[1], of, 1);
    for (size_t i = 0; y && i < qv_tensor_len(&of); i++) y[i] = fmax(y[i], 0);
    if (qv_pick(m, 2)) {
        qv_numbers(m, &m->p->in[2], of, 1);
        qv_describe(m, " addend");
    }
    m->p->out[0] = of;
}

void qv_bound_relu_grad(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    if (p->in[2].data && !p->exact) qv_bound_rounded(&expect[0], bound[0], 1);
}

void qv_make_add(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m);
    qv_pick_exact(m);
    qv_numbers(m, &m->p->in[0], of, 1);
    qv_numbers(m, &m->p->in[1], of, 1);
    m->p->out[0] = of;
}

void qv_bound_add(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    if (!p->exact) qv_bound_rounded(&expect[0], bound[0], 1);
}

/* How coefficients may be drawn, beside plainly (qv_shake_attr). */
static const struct {
    int32_t affine, negative, relaxed;
} kinds[] = {{0, 0, 0}, {1 << 22, 0, 0}, {419430, 0, 5 << 20}, {0, 3 << 21, 0}, {0, 1 << 23, 3 << 22}, {0, 0, 1 << 24}};

void qv_make_shake_coef(qv_maker *m)
{
    static const int samples[] = {1, 5, 64, 300}, bands[] = {1, 2, 4};
    static const qv_step_state states[] = {
        {.key = {1, 2}, .step = 0, .set_size = 535, .batch = 300, .first = 0},
        {.key = {0xdeadbeef, 77}, .step = 1000, .set_size = 5, .batch = 64, .first = 3},
        {.key = {0, 0xffffffff}, .step = ((uint64_t)1 << 33) + 5, .set_size = 100003, .batch = 600, .first = 300},
    };
    qv_shake_attr *a = &m->p->op.a.shake;
    int size = qv_pick(m, 4), cut = qv_pick(m, 3), state = qv_pick(m, 3), n = samples[size], b = bands[cut];
    *a = (qv_shake_attr){.forward = qv_pick(m, 2), .backward = qv_pick(m, 3), .level = qv_pick(m, 2)};
    const size_t kind = (size_t)(size + 2 * cut + state) % (sizeof kinds / sizeof *kinds); /* each in several sizes */
    a->layer = (int[]){0, 255, 7}[state];
    a->affine = kinds[kind].affine;
    a->negative = kinds[kind].negative;
    a->relaxed = kinds[kind].relaxed;
    qv_describe(m, "%d samples %d bands forward %d backward %d level %d state %d kind %zu", n, b, a->forward,
                a->backward, a->level, state, kind);
    m->p->in[0] = qv_vector(1);
    qv_step_state *s = qv_room(&m->p->in[0], sizeof *s);
    if (s) *s = states[state];
    m->p->out[0] = m->p->out[1] = qv_shape(n, 1, 1, b);
    if (a->negative) m->p->out[2] = m->p->out[3] = m->p->out[0];
}

void qv_bound_shake_coef(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    (void)p, (void)expect, (void)bound; /* the same on every backend, to the bit */
}

/* A shape and how many bands cut its W axis (also where W is not a multiple). */
static qv_tensor pick_shaken(qv_maker *m, int *bands)
{
    qv_tensor of = qv_pick_shape(m);
    qv_pick_exact(m);
    *bands = (int[]){1, 2, 4}[qv_pick(m, 3)];
    qv_describe(m, " bands %d", *bands);
    return of;
}

void qv_make_shake_add(qv_maker *m)
{
    int bands;
    qv_tensor of = pick_shaken(m, &bands);
    qv_numbers(m, &m->p->in[0], qv_with_channels(of, 2 * of.c), 1);
    qv_coefficients(m, &m->p->in[1], qv_shape(of.n, 1, 1, bands));
    qv_numbers(m, &m->p->in[2], of, 1);
    m->p->out[0] = of;
}

/* Two products, two sums; 1 - a is exact. */
void qv_bound_shake_add(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_tensor *y = &expect[0];
    const double *z = p->in[0].data, *alpha = p->in[1].data, *s = p->in[2].data;
    size_t channels = (size_t)y->c, w = (size_t)y->w, area = (size_t)y->h * w, bands = (size_t)p->in[1].c;
    if (p->exact) return;
    for (size_t i = 0; i < qv_tensor_len(y); i++) {
        size_t m = i / channels, first = 2 * m * channels + i % channels;
        double a = alpha[m / area * bands + m % w * bands / w];
        bound[0][i] = 4 * QV_U * (fabs(s[i]) + fabs(a * z[first]) + fabs((1 - a) * z[first + channels])) + QV_TINY;
    }
}

void qv_make_shake_grad(qv_maker *m)
{
    int bands;
    qv_tensor of = pick_shaken(m, &bands);
    qv_numbers(m, &m->p->in[0], of, 1);
    qv_coefficients(m, &m->p->in[1], qv_shape(of.n, 1, 1, bands));
    m->p->out[0] = qv_with_channels(of, 2 * of.c);
}

void qv_bound_shake_grad(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    if (!p->exact) qv_bound_rounded(&expect[0], bound[0], 1);
}

void qv_make_scale(qv_maker *m)
{
    int bands;
    qv_tensor of = pick_shaken(m, &bands);
    qv_numbers(m, &m->p->in[0], of, 1);
    qv_coefficients(m, &m->p->in[1], qv_shape(of.n, 1, 1, bands));
    m->p->out[0] = of;
}

void qv_bound_scale(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    if (!p->exact) qv_bound_rounded(&expect[0], bound[0], 1);
}

static qv_tensor halved(qv_tensor of) { return qv_shape(of.n, (of.h + 1) / 2, (of.w + 1) / 2, 2 * of.c); }

void qv_make_shift(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m);
    qv_numbers(m, &m->p->in[0], of, 1);
    m->p->out[0] = halved(of);
}

void qv_bound_shift(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    (void)p, (void)expect, (void)bound; /* nothing rounds */
}

void qv_make_shift_grad(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m);
    qv_numbers(m, &m->p->in[0], halved(of), 1);
    m->p->out[0] = of;
}

void qv_bound_shift_grad(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    (void)p, (void)expect, (void)bound; /* nothing rounds */
}
