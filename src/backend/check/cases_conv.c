/* Cases and bounds of the convolutions. */
#include <math.h>

#include "backend/check/maker.h"

typedef struct conv_case {
    int n, h, w, in, out; /* channels in and out of one group */
    qv_conv_attr a;
} conv_case;

static const conv_case convs[] = {
    {1, 1, 1, 1, 1, {1, 1, 0, 1}},   {2, 7, 5, 3, 5, {3, 1, 1, 1}},   {2, 8, 8, 1, 16, {3, 1, 1, 1}},
    {1, 9, 6, 16, 16, {3, 1, 1, 1}}, {2, 8, 8, 16, 32, {3, 1, 1, 1}}, {2, 5, 7, 33, 7, {3, 1, 1, 1}},
    {1, 6, 6, 64, 64, {3, 1, 1, 1}}, {3, 1, 1, 16, 16, {3, 1, 1, 1}}, {2, 2, 9, 8, 8, {3, 1, 1, 1}},
    {2, 8, 8, 16, 32, {3, 2, 1, 1}}, {2, 7, 9, 5, 3, {3, 2, 1, 1}},   {1, 1, 2, 16, 16, {3, 2, 1, 1}},
    {2, 8, 8, 16, 16, {3, 1, 1, 2}}, {2, 5, 6, 3, 5, {3, 1, 1, 2}},   {2, 9, 8, 16, 32, {3, 2, 1, 2}},
    {1, 4, 4, 33, 17, {3, 1, 1, 2}}, {2, 8, 8, 16, 32, {1, 2, 0, 1}}, {2, 7, 5, 3, 6, {1, 2, 0, 1}},
    {2, 5, 5, 16, 7, {1, 1, 0, 1}},  {2, 4, 6, 8, 8, {1, 1, 0, 2}},   {1, 7, 7, 4, 4, {5, 1, 2, 1}},
    {2, 6, 7, 4, 8, {3, 1, 0, 1}},   {1, 40, 33, 8, 8, {3, 1, 1, 1}}, {5, 16, 16, 2, 2, {3, 2, 1, 2}},
    /* For Winograd, tiles of 4x4 outputs: half panels, cut tiles and whole ones; tiles that all are cut; more than
     * one segment of a gradient; as many tiles as are needed, and one less; eight channels more. */
    {3, 11, 13, 48, 32, {3, 1, 1, 1}}, {4, 13, 9, 32, 48, {3, 1, 1, 2}},  {34, 3, 2, 16, 16, {3, 1, 1, 1}},
    {8, 23, 21, 16, 16, {3, 1, 1, 2}}, {2, 16, 16, 16, 32, {3, 1, 1, 1}}, {31, 4, 4, 16, 16, {3, 1, 1, 1}},
    {3, 16, 16, 24, 16, {3, 1, 1, 1}},
    /* For strips: more than one segment of a gradient, rows that are wider than a block; strides that pass over inputs
     * and that leave phases with one tap; margins of two. */
    {8, 45, 47, 16, 16, {3, 2, 1, 1}}, {2, 5, 103, 32, 16, {3, 2, 1, 1}}, {2, 11, 10, 16, 32, {2, 3, 1, 1}},
    {1, 9, 12, 32, 16, {5, 2, 2, 1}},
    /* A shortcut of a narrow network: fewer channels than a vector holds, and more positions than fit by chance. */
    {1, 48, 48, 8, 16, {1, 2, 0, 1}},
    /* More than two groups: branches of groups, down to one channel each, also with two outputs of it. */
    {2, 8, 8, 1, 1, {3, 1, 1, 16}},
    {2, 9, 8, 4, 8, {3, 2, 1, 4}},
    {2, 7, 6, 1, 2, {3, 2, 1, 6}},
    /* A shortcut of two paths in a narrow network. */
    {2, 4, 5, 3, 3, {1, 1, 0, 2}},
    /* More weights than the kernels' merge of a gradient's pieces has columns of blocks for, four weights each. */
    {1, 2, 3, 513, 512, {1, 1, 0, 1}},
};

/* 16.1 MiB of floats and more: stores may go past the caches, those of Winograd's tiles and those of strips, whose
 * largest result is the gradient at the input. */
static const conv_case large[] = {{1, 515, 513, 16, 16, {3, 1, 1, 1}}, {1, 517, 519, 16, 16, {3, 2, 1, 1}}};

/* Shapes of x, w and y of the case. */
static void conv_shapes(qv_maker *m, qv_tensor *x, qv_tensor *w, qv_tensor *y)
{
    int i = qv_pick(m, m->large ? sizeof large / sizeof *large : sizeof convs / sizeof *convs);
    const conv_case c = m->large ? large[i] : convs[i];
    qv_conv_attr a = m->p->op.a.conv = c.a;
    qv_pick_exact(m);
    m->shaped = true;
    *x = qv_shape(c.n, c.h, c.w, a.groups * c.in);
    *w = qv_shape(a.groups * c.out, a.kernel, a.kernel, c.in);
    *y = qv_shape(c.n, (c.h + 2 * a.pad - a.kernel) / a.stride + 1, (c.w + 2 * a.pad - a.kernel) / a.stride + 1,
                  a.groups * c.out);
    qv_describe(m, "%dx%dx%dx%d kernel %d stride %d pad %d groups %d to %d channels", x->n, x->h, x->w, x->c, a.kernel,
                a.stride, a.pad, a.groups, y->c);
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
    qv_bound_sums(p, expect, bound);
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
    qv_bound_sums(p, expect, bound);
}

static void drop_signs(double *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++) v[i] = fabs(v[i]);
}

/* The large sums have terms of one sign: where 264195 of them cancel, what cut sums may err by (precision.c), 3 % of
 * their magnitudes, is as much as the whole result, and no gradient at all would do. */
void qv_make_conv_grad_w(qv_maker *m)
{
    qv_tensor x, dy;
    conv_shapes(m, &x, &m->p->out[0], &dy);
    double *v = qv_numbers(m, &m->p->in[0], x, 1), *d = qv_numbers(m, &m->p->in[1], dy, 1);
    if (m->large) drop_signs(v, qv_tensor_len(&x)), drop_signs(d, qv_tensor_len(&dy));
}

void qv_bound_conv_grad_w(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    qv_bound_sums(p, expect, bound);
}
