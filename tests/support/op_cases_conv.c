/* Cases and bounds of the convolutions. */
#include "support/op_maker.h"

static const struct {
    int n, h, w, in, out; /* channels in and out of one group */
    qv_conv_attr a;
} convs[] = {
    {1, 1, 1, 1, 1, {1, 1, 0, 1}},   {2, 7, 5, 3, 5, {3, 1, 1, 1}},   {2, 8, 8, 1, 16, {3, 1, 1, 1}},
    {1, 9, 6, 16, 16, {3, 1, 1, 1}}, {2, 8, 8, 16, 32, {3, 1, 1, 1}}, {2, 5, 7, 33, 7, {3, 1, 1, 1}},
    {1, 6, 6, 64, 64, {3, 1, 1, 1}}, {3, 1, 1, 16, 16, {3, 1, 1, 1}}, {2, 2, 9, 8, 8, {3, 1, 1, 1}},
    {2, 8, 8, 16, 32, {3, 2, 1, 1}}, {2, 7, 9, 5, 3, {3, 2, 1, 1}},   {1, 1, 2, 16, 16, {3, 2, 1, 1}},
    {2, 8, 8, 16, 16, {3, 1, 1, 2}}, {2, 5, 6, 3, 5, {3, 1, 1, 2}},   {2, 9, 8, 16, 32, {3, 2, 1, 2}},
    {1, 4, 4, 33, 17, {3, 1, 1, 2}}, {2, 8, 8, 16, 32, {1, 2, 0, 1}}, {2, 7, 5, 3, 6, {1, 2, 0, 1}},
    {2, 5, 5, 16, 7, {1, 1, 0, 1}},  {2, 4, 6, 8, 8, {1, 1, 0, 2}},   {1, 7, 7, 4, 4, {5, 1, 2, 1}},
    {2, 6, 7, 4, 8, {3, 1, 0, 1}},   {1, 40, 33, 8, 8, {3, 1, 1, 1}}, {5, 16, 16, 2, 2, {3, 2, 1, 2}},
};

/* Shapes of x, w and y of the case. */
static void conv_shapes(qv_maker *m, qv_tensor *x, qv_tensor *w, qv_tensor *y)
{
    int i = qv_pick(m, sizeof convs / sizeof *convs), g = convs[i].a.groups;
    qv_conv_attr a = m->p->op.a.conv = convs[i].a;
    qv_pick_exact(m);
    *x = qv_shape(convs[i].n, convs[i].h, convs[i].w, g * convs[i].in);
    *w = qv_shape(g * convs[i].out, a.kernel, a.kernel, convs[i].in);
    *y = qv_shape(convs[i].n, (convs[i].h + 2 * a.pad - a.kernel) / a.stride + 1,
                  (convs[i].w + 2 * a.pad - a.kernel) / a.stride + 1, g * convs[i].out);
    qv_describe(m, "%dx%dx%dx%d kernel %d stride %d pad %d groups %d to %d channels", x->n, x->h, x->w, x->c, a.kernel,
                a.stride, a.pad, g, y->c);
}

void qv_make_conv(qv_maker *m)
{
    qv_tensor x, w;
    conv_shapes(m, &x, &w, &m->p->out[0]);
    qv_numbers(m, &m->p->in[0], x, 1);
    qv_numbers(m, &m->p->in[1], w, 1);
}

void qv_bound_conv(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_tensor *w = &p->in[1];
    qv_bound_by_magnitude(p, expect, bound, (double[]){qv_chain((size_t)w->h * (size_t)w->w * (size_t)w->c) + 2});
}

void qv_make_conv_grad_x(qv_maker *m)
{
    qv_tensor w, dy;
    conv_shapes(m, &m->p->out[0], &w, &dy);
    qv_numbers(m, &m->p->in[0], dy, 1);
    qv_numbers(m, &m->p->in[1], w, 1);
}

void qv_bound_conv_grad_x(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_tensor *w = &p->in[1];
    size_t terms = (size_t)w->h * (size_t)w->w * (size_t)w->n / (size_t)p->op.a.conv.groups;
    qv_bound_by_magnitude(p, expect, bound, (double[]){qv_chain(terms) + 2});
}

void qv_make_conv_grad_w(qv_maker *m)
{
    qv_tensor x, dy;
    conv_shapes(m, &x, &m->p->out[0], &dy);
    qv_numbers(m, &m->p->in[0], x, 1);
    qv_numbers(m, &m->p->in[1], dy, 1);
}

void qv_bound_conv_grad_w(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    qv_bound_by_magnitude(p, expect, bound, (double[]){qv_chain(qv_rows(&p->in[1])) + 2});
}
