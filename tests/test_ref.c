/* The reference in double, which all else is compared with: hand-worked cases, adjoints, finite differences, algebra.
 */
#include <math.h>

#include "support/op_check.h"
#include "support/support.h"

/* Tensors that live as long as a test, and its random numbers. */
struct desk {
    uint64_t rng;
    void *owned[64];
    int n;
};

static int desk_open(void **state)
{
    struct desk *d = calloc(1, sizeof *d);
    if (!d) return -1;
    d->rng = qv_test_seed();
    *state = d;
    return 0;
}

static int desk_close(void **state)
{
    struct desk *d = *state;
    for (int i = 0; i < d->n; i++) free(d->owned[i]);
    free(d);
    return 0;
}

static qv_tensor bytes(struct desk *d, int n, int h, int w, int c, size_t size)
{
    qv_tensor t = {NULL, n, h, w, c, QV_REAL};
    assert_true(d->n < 64);
    t.data = d->owned[d->n++] = calloc(qv_tensor_len(&t), size);
    assert_non_null(t.data);
    return t;
}

static qv_tensor zeros(struct desk *d, int n, int h, int w, int c) { return bytes(d, n, h, w, c, sizeof(double)); }

static qv_tensor like(struct desk *d, qv_tensor t) { return zeros(d, t.n, t.h, t.w, t.c); }

static void randomize(struct desk *d, qv_tensor t)
{
    double *v = t.data;
    for (size_t i = 0; i < qv_tensor_len(&t); i++) v[i] = qv_test_normal(&d->rng);
}

static qv_tensor normal(struct desk *d, int n, int h, int w, int c)
{
    qv_tensor t = zeros(d, n, h, w, c);
    randomize(d, t);
    return t;
}

static qv_tensor given(struct desk *d, int n, int h, int w, int c, const double *values)
{
    qv_tensor t = zeros(d, n, h, w, c);
    memcpy(t.data, values, qv_tensor_len(&t) * sizeof *values);
    return t;
}

/* sum of a b; *magnitude, unless NULL: of |a b|. */
static double dot(qv_tensor a, qv_tensor b, double *magnitude)
{
    const double *x = a.data, *y = b.data;
    double sum = 0, size = 0;
    assert_int_equal(qv_tensor_len(&a), qv_tensor_len(&b));
    for (size_t i = 0; i < qv_tensor_len(&a); i++) sum += x[i] * y[i], size += fabs(x[i] * y[i]);
    if (magnitude) *magnitude = size;
    return sum;
}

/* dst = x + step direction */
static void step_to(qv_tensor dst, qv_tensor x, qv_tensor direction, double step)
{
    double *y = dst.data;
    const double *from = x.data, *d = direction.data;
    for (size_t i = 0; i < qv_tensor_len(&x); i++) y[i] = from[i] + step * d[i];
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) print_error("got %.17g, want %.17g +- %.3g\n", got, want, tolerance);
    assert_true(fabs(got - want) <= tolerance);
}

static void assert_all(qv_tensor got, const double *want, double tolerance)
{
    const double *v = got.data;
    for (size_t i = 0; i < qv_tensor_len(&got); i++) assert_near(v[i], want[i], tolerance);
}

static void assert_same(qv_tensor a, qv_tensor b, double tolerance) { assert_all(a, b.data, tolerance); }

static void run(const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    assert_int_equal(qv_reference(op, in, out), QV_OK);
}

/* --- finite differences --- */

typedef double (*scalar_fn)(void *user);

/* The derivative of f along a random direction of x against <gradient, direction>. Central differences with step
 * 1e-5: the cut term is 1e-10 times a third derivative that is of the size of the first for the unit-scale data here,
 * and rounding 1e-16 / 1e-5 times the value of f, in all under 1e-7 of the magnitudes. */
static void check_gradient(struct desk *d, scalar_fn f, void *user, qv_tensor x, qv_tensor gradient)
{
    const double h = 1e-5;
    double magnitude, along;
    size_t size = qv_tensor_len(&x) * sizeof(double);
    qv_tensor direction = normal(d, x.n, x.h, x.w, x.c), kept = given(d, x.n, x.h, x.w, x.c, x.data);
    along = dot(gradient, direction, &magnitude);
    step_to(x, kept, direction, h);
    double above = f(user);
    step_to(x, kept, direction, -h);
    double below = f(user);
    memcpy(x.data, kept.data, size);
    assert_near((above - below) / (2 * h), along, 1e-7 * (magnitude + fabs(above)));
}

/* --- convolution --- */

static const qv_conv_attr convs[] = {{3, 1, 1, 1}, {3, 2, 1, 1}, {3, 1, 1, 2}, {3, 2, 1, 2},
                                     {1, 2, 0, 1}, {1, 1, 0, 2}, {5, 2, 2, 1}, {3, 1, 0, 1}};

/* One output of the definition in ops.def, written out. */
static double conv_at(qv_tensor x, qv_tensor w, qv_tensor y, qv_conv_attr a, int n, int p, int q, int o)
{
    const double *xs = x.data, *ws = w.data;
    double sum = 0;
    for (int r = 0; r < a.kernel; r++) {
        for (int s = 0; s < a.kernel; s++) {
            for (int i = 0; i < w.c; i++) {
                int h = p * a.stride + r - a.pad, v = q * a.stride + s - a.pad, g = o / (y.c / a.groups);
                if (h < 0 || h >= x.h || v < 0 || v >= x.w) continue;
                sum += xs[((n * x.h + h) * x.w + v) * x.c + g * w.c + i] *
                       ws[((o * a.kernel + r) * a.kernel + s) * w.c + i];
            }
        }
    }
    return sum;
}

/* y as the formula says, and <dy, y(x, w)> = <dx, x> = <dw, w>. */
static void check_conv(struct desk *d, qv_conv_attr a)
{
    qv_op op = {.kind = QV_OP_CONV, .a.conv = a}, op_x = {.kind = QV_OP_CONV_GRAD_X, .a.conv = a};
    qv_op op_w = {.kind = QV_OP_CONV_GRAD_W, .a.conv = a};
    qv_tensor x = normal(d, 2, 7, 6, 4), w = normal(d, 6, a.kernel, a.kernel, 4 / a.groups);
    int p = (x.h + 2 * a.pad - a.kernel) / a.stride + 1, q = (x.w + 2 * a.pad - a.kernel) / a.stride + 1;
    qv_tensor y = zeros(d, 2, p, q, 6), dy = normal(d, 2, p, q, 6), dx = like(d, x), dw = like(d, w);
    run(&op, (qv_tensor[]){x, w}, &y);
    run(&op_x, (qv_tensor[]){dy, w}, &dx);
    run(&op_w, (qv_tensor[]){x, dy}, &dw);
    const double *ys = y.data;
    for (int i = 0; i < (int)qv_tensor_len(&y); i++)
        assert_near(ys[i], conv_at(x, w, y, a, i / (p * q * 6), i / (q * 6) % p, i / 6 % q, i % 6), 1e-12);
    double magnitude, whole = dot(dy, y, &magnitude);
    assert_near(dot(dx, x, NULL), whole, 1e-13 * magnitude);
    assert_near(dot(dw, w, NULL), whole, 1e-13 * magnitude);
}

static void conv_and_its_transposes(void **state)
{
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
        void *desk = NULL;
        (void)state;
        assert_int_equal(desk_open(&desk), 0);
        check_conv(desk, convs[i]);
        desk_close(&desk);
    }
}

/* An impulse in the middle gives the kernel back, turned by half a circle. */
static void conv_of_an_impulse(void **state)
{
    struct desk *d = *state;
    qv_op op = {.kind = QV_OP_CONV, .a.conv = {3, 1, 1, 1}};
    qv_tensor x = given(d, 1, 3, 3, 1, (double[]){0, 0, 0, 0, 1, 0, 0, 0, 0}), y = like(d, x);
    qv_tensor w = given(d, 1, 3, 3, 1, (double[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
    run(&op, (qv_tensor[]){x, w}, &y);
    assert_all(y, (double[]){9, 8, 7, 6, 5, 4, 3, 2, 1}, 0);
}

/* --- batch norm --- */

/* A normalization with its scalar: sum of dy y, or of dy (a y1 + (1-a) y2) with a table of coefficients. */
struct norm {
    qv_op op;
    qv_tensor x, gamma, beta, dy, coef; /* coef.data NULL: none */
    qv_tensor mean, var, rstd, running_mean, running_var, y, none, mixed;
};

static double norm_value(void *user)
{
    struct norm *b = user;
    qv_op stats = {.kind = QV_OP_BN_STATS}, finalize = b->op, apply = b->op, shake = {.kind = QV_OP_SHAKE_ADD};
    finalize.kind = QV_OP_BN_FINALIZE, apply.kind = QV_OP_BN_APPLY;
    run(&stats, &b->x, (qv_tensor[]){b->mean, b->var});
    run(&finalize, (qv_tensor[]){b->mean, b->var}, (qv_tensor[]){b->rstd, b->running_mean, b->running_var});
    run(&apply, (qv_tensor[]){b->x, b->mean, b->rstd, b->gamma, b->beta}, &b->y);
    if (!b->coef.data) return dot(b->dy, b->y, NULL);
    run(&shake, (qv_tensor[]){b->y, b->coef, b->none}, &b->mixed);
    return dot(b->dy, b->mixed, NULL);
}

static double nearest_to_zero(qv_tensor t)
{
    const double *v = t.data;
    double least = INFINITY;
    for (size_t i = 0; i < qv_tensor_len(&t); i++) least = fmin(least, fabs(v[i]));
    return least;
}

/* bands 0: no coefficients. Pre-activations within 1e-3 of the ReLU's kink are drawn again: the steps of
 * check_gradient move them by about 1e-4 at most. */
static struct norm norm_new(struct desk *d, int relu, int repeat, int bands)
{
    struct norm b = {.op.a.bn = {.eps = 1e-5f, .momentum = 0.1f, .repeat = repeat, .count = 3 * 2 * 4}};
    b.x = zeros(d, 3, 2, 4, 4);
    b.gamma = normal(d, 1, 1, 1, 4 * repeat), b.beta = normal(d, 1, 1, 1, 4 * repeat);
    b.mean = zeros(d, 1, 1, 1, 4), b.var = like(d, b.mean), b.rstd = like(d, b.mean);
    b.running_mean = like(d, b.mean), b.running_var = like(d, b.mean);
    b.y = zeros(d, 3, 2, 4, 4 * repeat);
    b.dy = normal(d, 3, 2, 4, bands ? 2 : 4 * repeat);
    b.none = zeros(d, 3, 2, 4, 2), b.mixed = like(d, b.none);
    if (bands) {
        b.coef = zeros(d, 3, 1, 1, bands);
        double *a = b.coef.data;
        for (int i = 0; i < 3 * bands; i++) a[i] = qv_test_uniform(&d->rng, 0, 1);
    }
    do {
        randomize(d, b.x);
        norm_value(&b);
    } while (nearest_to_zero(b.y) < 1e-3);
    b.op.a.bn.relu = relu;
    norm_value(&b);
    return b;
}

static void norm_gradients(struct norm *b, qv_tensor dgamma, qv_tensor dbeta, qv_tensor addend, qv_tensor dx)
{
    qv_op sums = b->op, apply = b->op;
    sums.kind = QV_OP_BN_GRAD_SUMS, apply.kind = QV_OP_BN_GRAD_APPLY;
    run(&sums, (qv_tensor[]){b->dy, b->x, b->mean, b->rstd, b->gamma, b->beta, b->coef}, (qv_tensor[]){dgamma, dbeta});
    run(&apply, (qv_tensor[]){b->dy, b->x, b->mean, b->rstd, b->gamma, b->beta, dgamma, dbeta, b->coef, addend}, &dx);
}

static void check_norm(struct desk *d, int relu, int repeat, int bands)
{
    struct norm b = norm_new(d, relu, repeat, bands);
    qv_tensor dgamma = like(d, b.gamma), dbeta = like(d, b.beta), dx = like(d, b.x), sum = like(d, b.x);
    norm_gradients(&b, dgamma, dbeta, (qv_tensor){0}, dx);
    check_gradient(d, norm_value, &b, b.x, dx);
    check_gradient(d, norm_value, &b, b.gamma, dgamma);
    check_gradient(d, norm_value, &b, b.beta, dbeta);
    norm_value(&b);
    norm_gradients(&b, dgamma, dbeta, b.x, sum);
    step_to(dx, dx, b.x, 1);
    assert_same(sum, dx, 1e-12);
}

static void bn_gradients(void **state)
{
    static const int cases[][3] = {{0, 1, 0}, {1, 1, 0}, {0, 2, 0}, {1, 2, 0}, {0, 1, 1}, {0, 1, 2}, {0, 1, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *desk = NULL;
        assert_int_equal(desk_open(&desk), 0);
        check_norm(desk, cases[i][0], cases[i][1], cases[i][2]);
        desk_close(&desk);
    }
}

/* With a coefficient of 1 the first half alone is reached, and by all of dy; with b for a, backward is that of keep
 * with b, whatever the forward pass drew: nothing but b enters. */
static void bn_gradient_of_a_whole_share(void **state)
{
    struct desk *d = *state;
    struct norm b = norm_new(d, 0, 1, 1), plain = norm_new(d, 0, 1, 0);
    qv_tensor dgamma = like(d, b.gamma), dbeta = like(d, b.beta), dx = like(d, b.x);
    for (int n = 0; n < 3; n++) ((double *)b.coef.data)[n] = 1;
    norm_gradients(&b, dgamma, dbeta, (qv_tensor){0}, dx);
    const double *dy = b.dy.data, *half = dbeta.data;
    double *wide = plain.dy.data;
    for (int i = 0; i < 24 * 4; i++) wide[i] = i % 4 < 2 ? dy[i / 4 * 2 + i % 4] : 0;
    assert_true(half[2] == 0 && half[3] == 0);
    qv_tensor dgamma2 = like(d, dgamma), dbeta2 = like(d, dbeta), dx2 = like(d, dx);
    b.coef.data = NULL, b.dy = plain.dy;
    norm_gradients(&b, dgamma2, dbeta2, (qv_tensor){0}, dx2);
    assert_same(dgamma, dgamma2, 0);
    assert_same(dbeta, dbeta2, 0);
    assert_same(dx, dx2, 0);
}

static void clear(qv_tensor t) { memset(t.data, 0, qv_tensor_len(&t) * sizeof(double)); }

/* At the ReLU's kink, where all pre-activations are 0, no gradient passes; and sums of zeros are 0 to the bit. */
static void nothing_gives_nothing(void **state)
{
    struct desk *d = *state;
    struct norm b = norm_new(d, 1, 1, 0);
    qv_tensor dgamma = like(d, b.gamma), dbeta = like(d, b.beta), dx = like(d, b.x), no_sum = zeros(d, 1, 1, 1, 4);
    clear(b.gamma), clear(b.beta);
    norm_gradients(&b, dgamma, dbeta, (qv_tensor){0}, dx);
    assert_same(dgamma, no_sum, 0);
    assert_same(dbeta, no_sum, 0);
    assert_same(dx, zeros(d, 3, 2, 4, 4), 0);
    qv_op stats = {.kind = QV_OP_BN_STATS, .a.bn = b.op.a.bn};
    clear(b.x);
    run(&stats, &b.x, (qv_tensor[]){b.mean, b.var});
    assert_same(b.mean, no_sum, 0);
    assert_same(b.var, no_sum, 0);
}

static void bn_by_hand(void **state)
{
    struct desk *d = *state;
    qv_op stats = {.kind = QV_OP_BN_STATS}, finalize = {.kind = QV_OP_BN_FINALIZE};
    finalize.a.bn = (qv_bn_attr){.eps = 0.25f, .momentum = 0.5f, .repeat = 1, .count = 4};
    qv_tensor x = given(d, 2, 1, 2, 1, (double[]){1, 3, 5, 7}), mean = zeros(d, 1, 1, 1, 1), var = like(d, mean);
    qv_tensor rstd = like(d, mean), rmean = given(d, 1, 1, 1, 1, (double[]){1});
    qv_tensor rvar = given(d, 1, 1, 1, 1, (double[]){2});
    run(&stats, &x, (qv_tensor[]){mean, var});
    assert_all(mean, (double[]){4}, 0);
    assert_all(var, (double[]){5}, 0);
    run(&finalize, (qv_tensor[]){mean, var}, (qv_tensor[]){rstd, rmean, rvar});
    assert_all(rstd, (double[]){1 / sqrt(5.25)}, 1e-16);
    assert_all(rmean, (double[]){2.5}, 0);
    assert_all(rvar, (double[]){0.5 * 2 + 0.5 * 5 * 4 / 3}, 1e-15);
    finalize.a.bn.eval = 1;
    run(&finalize, (qv_tensor[2]){0}, (qv_tensor[]){rstd, rmean, rvar});
    assert_all(rmean, (double[]){2.5}, 0);
    assert_all(rstd, (double[]){1 / sqrt(13.0 / 3 + 0.25)}, 1e-15);
    finalize.a.bn = (qv_bn_attr){.eps = 0.25f, .repeat = 1, .count = 1};
    assert_int_equal(qv_reference(&finalize, (qv_tensor[]){mean, var}, (qv_tensor[]){rstd, rmean, rvar}), QV_ERR_USAGE);
}

/* One value has no variance, and coefficients need two halves of the channels and one set of scales. */
static void bn_refuses_what_has_no_meaning(void **state)
{
    struct desk *d = *state;
    qv_tensor one = normal(d, 1, 1, 1, 2), mean = zeros(d, 1, 1, 1, 2), rstd = like(d, mean);
    qv_op measure = {.kind = QV_OP_BN_MEASURE, .a.bn = {.eps = 0.25f, .repeat = 1, .count = 1}};
    qv_tensor measured[] = {mean, rstd, like(d, mean), like(d, mean)};
    assert_int_equal(qv_reference(&measure, &one, measured), QV_ERR_USAGE);
    for (int odd = 0; odd < 2; odd++) {
        int channels = odd ? 3 : 4, sets = odd ? 1 : 2;
        qv_op sums = {.kind = QV_OP_BN_GRAD_SUMS, .a.bn = {.eps = 0.25f, .repeat = sets, .count = 2}}, apply = sums;
        apply.kind = QV_OP_BN_GRAD_APPLY;
        qv_tensor x = normal(d, 2, 1, 1, channels), dy = normal(d, 2, 1, 1, channels * sets),
                  coef = normal(d, 2, 1, 1, 1);
        qv_tensor a = zeros(d, 1, 1, 1, channels), b = zeros(d, 1, 1, 1, channels * sets), dx = like(d, x), none = {0};
        qv_tensor in[] = {dy, x, a, a, b, b, coef}, apply_in[] = {dy, x, a, a, b, b, b, b, coef, none};
        assert_int_equal(qv_reference(&sums, in, (qv_tensor[]){b, b}), QV_ERR_USAGE);
        assert_int_equal(qv_reference(&apply, apply_in, &dx), QV_ERR_USAGE);
        in[6] = apply_in[8] = none;
        assert_int_equal(qv_reference(&sums, in, (qv_tensor[]){b, b}), QV_OK);
        assert_int_equal(qv_reference(&apply, apply_in, &dx), QV_OK);
    }
}

/* The output has mean beta and variance gamma^2 (less what eps takes), whatever the input's offset. */
static void bn_output_is_normal(void **state)
{
    struct desk *d = *state;
    struct norm b = norm_new(d, 0, 1, 0);
    double *x = b.x.data, *gamma = b.gamma.data;
    for (size_t i = 0; i < qv_tensor_len(&b.x); i++) x[i] = 1e3 + 1e-1 * x[i];
    norm_value(&b);
    const double *var = b.var.data;
    qv_op stats = {.kind = QV_OP_BN_STATS};
    qv_tensor mean = like(d, b.mean), after = like(d, b.mean);
    run(&stats, &b.y, (qv_tensor[]){mean, after});
    assert_same(mean, b.beta, 1e-10); /* 1000 / 0.1 deviations, 24 terms of 1e-16 */
    for (int c = 0; c < 4; c++)
        assert_near(((double *)after.data)[c], gamma[c] * gamma[c] * var[c] / (var[c] + (double)1e-5f), 1e-10);
}

/* x with its samples in reverse order. */
static qv_tensor reversed(struct desk *d, qv_tensor x)
{
    qv_tensor y = like(d, x);
    size_t len = qv_tensor_len(&x) / (size_t)x.n;
    for (size_t n = 0; n < (size_t)x.n; n++)
        memcpy((double *)y.data + n * len, (double *)x.data + ((size_t)x.n - 1 - n) * len, len * sizeof(double));
    return y;
}

static void order_of_samples_does_not_matter(void **state)
{
    struct desk *d = *state;
    struct norm b = norm_new(d, 1, 2, 0);
    qv_tensor y = given(d, b.y.n, b.y.h, b.y.w, b.y.c, b.y.data);
    b.x = reversed(d, b.x);
    norm_value(&b);
    assert_same(reversed(d, b.y), y, 1e-13);
    qv_op op = {.kind = QV_OP_CONV, .a.conv = {3, 1, 1, 1}};
    qv_tensor w = normal(d, 2, 3, 3, 4), first = zeros(d, 3, 2, 4, 2), second = like(d, first);
    run(&op, (qv_tensor[]){b.x, w}, &first);
    run(&op, (qv_tensor[]){reversed(d, b.x), w}, &second);
    assert_same(reversed(d, second), first, 0);
}

/* --- the shifted shortcut --- */

static void shift_by_hand(void **state)
{
    struct desk *d = *state;
    qv_op shift = {.kind = QV_OP_SHIFT}, grad = {.kind = QV_OP_SHIFT_GRAD};
    qv_tensor x = given(d, 1, 3, 4, 1, (double[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), dx = like(d, x);
    qv_tensor y = zeros(d, 1, 2, 2, 2), dy = given(d, 1, 2, 2, 2, (double[]){1, 2, 3, 4, 5, 6, 7, 8});
    run(&shift, (qv_tensor[]){x}, &y);
    assert_all(y, (double[]){1, 6, 3, 8, 9, 0, 11, 0}, 0);
    run(&grad, (qv_tensor[]){dy}, &dx);
    assert_all(dx, (double[]){1, 0, 3, 0, 0, 2, 0, 4, 5, 0, 7, 0}, 0);
}

/* <dy, shift(x)> = <shift_grad(dy), x>, odd and even extents. */
static void shift_grad_is_the_transpose(void **state)
{
    struct desk *d = *state;
    qv_op shift = {.kind = QV_OP_SHIFT}, grad = {.kind = QV_OP_SHIFT_GRAD};
    for (int h = 1; h < 5; h++) {
        for (int w = 1; w < 5; w++) {
            qv_tensor x = normal(d, 2, h, w, 3), dx = like(d, x);
            qv_tensor dy = normal(d, 2, (h + 1) / 2, (w + 1) / 2, 6), y = like(d, dy);
            run(&shift, (qv_tensor[]){x}, &y);
            run(&grad, (qv_tensor[]){dy}, &dx);
            double magnitude, whole = dot(dy, y, &magnitude);
            assert_near(dot(dx, x, NULL), whole, 1e-13 * magnitude);
        }
    }
}

/* --- shake --- */

static void shake_by_hand(void **state)
{
    struct desk *d = *state;
    qv_op add = {.kind = QV_OP_SHAKE_ADD}, grad = {.kind = QV_OP_SHAKE_GRAD};
    qv_tensor z = given(d, 1, 1, 4, 2, (double[]){1, 10, 2, 20, 3, 30, 4, 40}), y = zeros(d, 1, 1, 4, 1);
    qv_tensor s = given(d, 1, 1, 4, 1, (double[]){100, 200, 300, 400}), dz = like(d, z);
    qv_tensor a = given(d, 1, 1, 1, 2, (double[]){1, 0.25});
    run(&add, (qv_tensor[]){z, a, s}, &y);
    assert_all(y, (double[]){101, 202, 300 + 0.75 + 22.5, 400 + 1 + 30}, 0);
    run(&grad, (qv_tensor[]){s, a}, &dz);
    assert_all(dz, (double[]){100, 0, 200, 0, 75, 225, 100, 300}, 0);
}

static void sign_by_hand(void **state)
{
    struct desk *d = *state;
    qv_op scale = {.kind = QV_OP_SCALE};
    qv_tensor x = given(d, 2, 1, 2, 2, (double[]){1, 2, 3, 4, 5, 6, 7, 8}), y = like(d, x);
    qv_tensor k = given(d, 2, 1, 1, 2, (double[]){1, -1, -1, 0.5});
    run(&scale, (qv_tensor[]){x, k}, &y);
    assert_all(y, (double[]){1, 2, -3, -4, -5, -6, 3.5, 4}, 0);
}

static qv_tensor draws(struct desk *d, int n, int bands)
{
    qv_tensor a = zeros(d, n, 1, 1, bands);
    double *v = a.data;
    for (int i = 0; i < n * bands; i++) v[i] = floor(qv_test_uniform(&d->rng, 0, 0x1p24)) * 0x1p-24;
    return a;
}

/* <g, add(z)> = <grad(g), z>; a = 1/2 is the mean; exchanging the branches is a -> 1 - a; grad is linear in g. */
static void shake_algebra(void **state)
{
    struct desk *d = *state;
    qv_op add = {.kind = QV_OP_SHAKE_ADD}, grad = {.kind = QV_OP_SHAKE_GRAD};
    qv_tensor z = normal(d, 3, 2, 5, 6), s = normal(d, 3, 2, 5, 3), none = like(d, s), a = draws(d, 3, 2);
    qv_tensor swapped = like(d, z), other = like(d, a), y = like(d, s), y2 = like(d, s), dz = like(d, z),
              dz2 = like(d, z);
    double *from = z.data, *to = swapped.data;
    for (int i = 0; i < 30 * 6; i++) to[i] = from[i / 6 * 6 + (i + 3) % 6];
    for (int i = 0; i < 6; i++) ((double *)other.data)[i] = 1 - ((double *)a.data)[i];
    run(&add, (qv_tensor[]){z, a, none}, &y);
    run(&add, (qv_tensor[]){swapped, other, none}, &y2);
    assert_same(y, y2, 0);
    run(&grad, (qv_tensor[]){s, a}, &dz);
    double magnitude, whole = dot(s, y, &magnitude);
    assert_near(dot(dz, z, NULL), whole, 1e-13 * magnitude);
    step_to(y2, none, s, 3);
    run(&grad, (qv_tensor[]){y2, a}, &dz2);
    step_to(dz, dz, dz, 2);
    assert_same(dz2, dz, 1e-14);
    for (int i = 0; i < 6; i++) ((double *)a.data)[i] = 0.5;
    run(&add, (qv_tensor[]){z, a, s}, &y);
    for (int i = 0; i < 90; i++) {
        int j = i / 3 * 6 + i % 3;
        assert_near(((double *)y.data)[i], ((double *)s.data)[i] + (from[j] + from[j + 3]) / 2, 1e-15 * 16);
    }
}

static void one_pass_equals_two(void **state)
{
    struct desk *d = *state;
    struct norm b = norm_new(d, 0, 1, 4);
    qv_op fused = {.kind = QV_OP_BN_SHAKE_ADD, .a.bn = b.op.a.bn}, add = {.kind = QV_OP_SHAKE_ADD};
    qv_tensor s = normal(d, 3, 2, 4, 2), one = like(d, s), two = like(d, s);
    run(&add, (qv_tensor[]){b.y, b.coef, s}, &two);
    run(&fused, (qv_tensor[]){b.x, b.mean, b.rstd, b.gamma, b.beta, b.coef, s}, &one);
    assert_same(one, two, 0);
}

/* --- the rest --- */

static void elementwise_by_hand(void **state)
{
    struct desk *d = *state;
    qv_op relu = {.kind = QV_OP_RELU}, grad = {.kind = QV_OP_RELU_GRAD}, add = {.kind = QV_OP_ADD};
    qv_tensor x = given(d, 1, 1, 1, 4, (double[]){-1, 0, 2, 3}), dy = given(d, 1, 1, 1, 4, (double[]){10, 20, 30, 40});
    qv_tensor y = like(d, x), dx = like(d, x);
    run(&relu, &x, &y);
    assert_all(y, (double[]){0, 0, 2, 3}, 0);
    run(&grad, (qv_tensor[]){dy, y, {0}}, &dx);
    assert_all(dx, (double[]){0, 0, 30, 40}, 0);
    run(&grad, (qv_tensor[]){dy, y, x}, &dx);
    assert_all(dx, (double[]){-1, 0, 32, 43}, 0);
    run(&add, (qv_tensor[]){x, dy}, &y);
    assert_all(y, (double[]){9, 20, 32, 43}, 0);
}

static void pool_and_linear(void **state)
{
    struct desk *d = *state;
    qv_op pool = {.kind = QV_OP_POOL}, pool_grad = {.kind = QV_OP_POOL_GRAD};
    qv_tensor x = given(d, 1, 1, 2, 2, (double[]){1, 10, 3, 30}), y = zeros(d, 1, 1, 1, 2), dx = like(d, x);
    run(&pool, &x, &y);
    assert_all(y, (double[]){2, 20}, 0);
    run(&pool_grad, &y, &dx);
    assert_all(dx, (double[]){1, 10, 1, 10}, 0);
    qv_op linear = {.kind = QV_OP_LINEAR}, linear_grad = {.kind = QV_OP_LINEAR_GRAD};
    qv_tensor in = normal(d, 5, 1, 1, 3), w = normal(d, 4, 1, 1, 3), b = normal(d, 1, 1, 1, 4);
    qv_tensor out = zeros(d, 5, 1, 1, 4), dout = normal(d, 5, 1, 1, 4), din = like(d, in), dw = like(d, w),
              db = like(d, b);
    run(&linear, (qv_tensor[]){in, w, b}, &out);
    run(&linear_grad, (qv_tensor[]){in, w, dout}, (qv_tensor[]){din, dw, db});
    double magnitude, whole = dot(dout, out, &magnitude), shift = dot(db, b, NULL);
    assert_near(dot(din, in, NULL) + shift, whole, 1e-14 * magnitude);
    assert_near(dot(dw, w, NULL) + shift, whole, 1e-14 * magnitude);
    qv_tensor eye = given(d, 4, 1, 1, 3, (double[]){1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1});
    run(&linear,
        (qv_tensor[]){given(d, 1, 1, 1, 3, (double[]){2, 3, 5}), eye, given(d, 1, 1, 1, 4, (double[]){0, 1, 0, -1})},
        (qv_tensor[]){y = zeros(d, 1, 1, 1, 4)});
    assert_all(y, (double[]){2, 4, 5, 9}, 0);
}

struct entropy {
    qv_op op;
    qv_tensor logits, labels, weight, others, share, loss, dlogits, probs;
};

static double entropy_value(void *user)
{
    struct entropy *e = user;
    run(&e->op, (qv_tensor[]){e->logits, e->labels, e->weight, e->others, e->share},
        (qv_tensor[]){e->loss, e->dlogits, e->probs});
    const double *loss = e->loss.data;
    return loss[0] / loss[1];
}

static struct entropy entropy_new(struct desk *d, int n, int k, const int32_t *labels, float smoothing)
{
    struct entropy e = {.op = {.kind = QV_OP_LOSS, .a.loss = {smoothing}}};
    e.logits = normal(d, n, 1, 1, k), e.dlogits = like(d, e.logits), e.probs = like(d, e.logits);
    e.labels = bytes(d, n, 1, 1, 1, sizeof *labels);
    memcpy(e.labels.data, labels, (size_t)n * sizeof *labels);
    e.weight = zeros(d, 1, 1, 1, k), e.loss = zeros(d, 1, 1, 1, 2);
    for (int i = 0; i < k; i++) ((double *)e.weight.data)[i] = 1 + i;
    return e;
}

static void loss_by_hand(void **state)
{
    struct desk *d = *state;
    struct entropy e = entropy_new(d, 3, 2, (int32_t[]){0, 1, -1}, 0);
    double *x = e.logits.data, *loss = e.loss.data;
    memcpy(x, (double[]){0, log(3), 1000, 1000, -1000, -1000}, 6 * sizeof *x);
    entropy_value(&e);
    assert_near(loss[0], log(4) + 2 * log(2), 1e-12); /* 1000 + log 2 - 1000 keeps 13 digits */
    assert_near(loss[1], 3, 0);
    assert_all(e.probs, (double[]){0.25, 0.75, 0.5, 0.5, 0.5, 0.5}, 1e-15);
    assert_all(e.dlogits, (double[]){-0.25, 0.25, 1.0 / 3, -1.0 / 3, 0, 0}, 1e-15);
    e.op.a.loss.smoothing = 0.5f;
    entropy_value(&e); /* the target of class 0 is 3/4, of class 1 1/4 */
    assert_near(loss[0], 0.75 * log(4) + 0.25 * log(4.0 / 3) + 2 * log(2), 1e-12);
    memset(e.labels.data, 0xFF, 3 * sizeof(int32_t));
    entropy_value(&e);
    assert_all(e.loss, (double[]){0, 0}, 0);
    assert_all(e.dlogits, (double[6]){0}, 0);
}

/* A quarter of label 0 (weight 1) and three quarters of label 1 (weight 2); then half of label 1, the rest unlabelled. */
static void loss_of_a_mixture(void **state)
{
    struct desk *d = *state;
    struct entropy e = entropy_new(d, 2, 2, (int32_t[]){0, 1}, 0);
    double *x = e.logits.data, *loss = e.loss.data;
    e.others = bytes(d, 2, 1, 1, 1, sizeof(int32_t));
    memcpy(e.others.data, (int32_t[]){1, -1}, 2 * sizeof(int32_t));
    e.share = given(d, 2, 1, 1, 1, (double[]){0.25, 0.5});
    memcpy(x, (double[]){0, log(3), 0, 0}, 4 * sizeof *x);
    entropy_value(&e);
    assert_near(loss[1], 0.25 + 1.5 + 1, 0);
    assert_near(loss[0], 0.25 * log(4) + 1.5 * log(4.0 / 3) + log(2), 1e-15);
    qv_tensor gradient = given(d, 2, 1, 1, 2, e.dlogits.data);
    check_gradient(d, entropy_value, &e, e.logits, gradient);
}

static void loss_gradient(void **state)
{
    struct desk *d = *state;
    for (int smooth = 0; smooth < 2; smooth++) {
        struct entropy e = entropy_new(d, 5, 4, (int32_t[]){2, -1, 0, 3, 3}, smooth ? 0.125f : 0);
        entropy_value(&e);
        qv_tensor gradient = given(d, 5, 1, 1, 4, e.dlogits.data);
        check_gradient(d, entropy_value, &e, e.logits, gradient);
        const double *g = gradient.data;
        for (int n = 0; n < 5; n++) assert_near(g[4 * n] + g[4 * n + 1] + g[4 * n + 2] + g[4 * n + 3], 0, 1e-15);
    }
}

/* Rows to unit length, cosines with a classifier's unit rows, the margin. */
struct bent {
    qv_op op;
    qv_tensor x, w, row, norm, direction, w_norm, cosines, labels, weight, others, share, step;
    qv_tensor loss, dcos, dnorm, logits, probs, drow, ddirection;
};

static double bent_value(void *user)
{
    struct bent *b = user;
    qv_op unit = {.kind = QV_OP_UNIT}, linear = {.kind = QV_OP_LINEAR};
    bool lengths = b->op.a.margin.kind == QV_MARGIN_SPHERE;
    run(&unit, &b->x, (qv_tensor[]){b->row, b->norm});
    run(&unit, &b->w, (qv_tensor[]){b->direction, b->w_norm});
    run(&linear, (qv_tensor[]){b->row, b->direction, {0}}, &b->cosines);
    run(&b->op,
        (qv_tensor[]){b->cosines, b->labels, b->weight, lengths ? b->norm : (qv_tensor){0}, b->others, b->share, b->step},
        (qv_tensor[]){b->loss, b->dcos, lengths ? b->dnorm : (qv_tensor){0}, b->logits, b->probs});
    const double *loss = b->loss.data;
    return loss[0] / loss[1];
}

enum { BENT_ROWS = 6, BENT_CLASSES = 4, BENT_DIMS = 3 };

static struct bent bent_new(struct desk *d, const qv_margin_attr *a, bool mixed)
{
    struct bent b = {.op = {.kind = QV_OP_MARGIN, .a.margin = *a}};
    b.x = normal(d, BENT_ROWS, 1, 1, BENT_DIMS), b.w = normal(d, BENT_CLASSES, 1, 1, BENT_DIMS);
    b.row = like(d, b.x), b.direction = like(d, b.w), b.norm = zeros(d, 1, 1, 1, BENT_ROWS);
    b.w_norm = zeros(d, 1, 1, 1, BENT_CLASSES), b.dnorm = like(d, b.norm), b.cosines = zeros(d, BENT_ROWS, 1, 1, BENT_CLASSES);
    b.dcos = like(d, b.cosines), b.logits = like(d, b.cosines), b.probs = like(d, b.cosines), b.loss = zeros(d, 1, 1, 1, 2);
    b.drow = like(d, b.row), b.ddirection = like(d, b.direction);
    b.labels = bytes(d, BENT_ROWS, 1, 1, 1, sizeof(int32_t));
    memcpy(b.labels.data, (int32_t[]){0, 3, -1, 2, 1, 3}, BENT_ROWS * sizeof(int32_t));
    b.weight = given(d, 1, 1, 1, BENT_CLASSES, (double[]){1, 0.5, 2, 1.5});
    b.step = bytes(d, 1, 1, 1, 1, sizeof(qv_step_state));
    ((qv_step_state *)b.step.data)->step = 5;
    if (!mixed) return b;
    b.others = bytes(d, BENT_ROWS, 1, 1, 1, sizeof(int32_t));
    memcpy(b.others.data, (int32_t[]){3, 1, 2, -1, 0, 0}, BENT_ROWS * sizeof(int32_t));
    b.share = given(d, BENT_ROWS, 1, 1, 1, (double[]){0.25, 0.5, 0.75, 1, 0.125, 0});
    return b;
}

/* Distance to where a margin's slope has a kink: multiples of pi / m, pi - m, and the ends. */
static double from_kinks(const struct bent *b)
{
    const double *c = b->cosines.data;
    const qv_margin_attr *a = &b->op.a.margin;
    double least = 1, m = (double)a->m;
    for (int i = 0; i < BENT_ROWS * BENT_CLASSES; i++) {
        least = fmin(least, 1 - fabs(c[i]));
        if (a->kind == QV_MARGIN_ANGLE) least = fmin(least, fabs(c[i] + cos(m)));
        for (int k = 1; k < (int)m && a->kind == QV_MARGIN_SPHERE; k++)
            least = fmin(least, fabs(c[i] - cos(k * 3.14159265358979 / m)));
    }
    return least;
}

static void check_margin(struct desk *d, const qv_margin_attr *a, bool mixed)
{
    qv_op linear_grad = {.kind = QV_OP_LINEAR_GRAD}, unit_grad = {.kind = QV_OP_UNIT_GRAD};
    struct bent b = bent_new(d, a, mixed);
    bent_value(&b);
    while (from_kinks(&b) < 1e-2) {
        randomize(d, b.x);
        bent_value(&b);
    }
    qv_tensor dx = like(d, b.x), dw = like(d, b.w), lengths = a->kind == QV_MARGIN_SPHERE ? b.dnorm : (qv_tensor){0};
    run(&linear_grad, (qv_tensor[]){b.row, b.direction, b.dcos}, (qv_tensor[]){b.drow, b.ddirection, {0}});
    run(&unit_grad, (qv_tensor[]){b.drow, b.row, b.norm, lengths}, &dx);
    run(&unit_grad, (qv_tensor[]){b.ddirection, b.direction, b.w_norm, {0}}, &dw);
    check_gradient(d, bent_value, &b, b.x, dx);
    check_gradient(d, bent_value, &b, b.w, dw);
}

static void margin_gradients(void **state)
{
    static const qv_margin_attr kinds[] = {
        {.kind = QV_MARGIN_NONE, .scale = 4},
        {.kind = QV_MARGIN_SPHERE, .m = 1, .lambda = 2},
        {.kind = QV_MARGIN_SPHERE, .m = 2},
        {.kind = QV_MARGIN_SPHERE, .m = 3, .lambda = 10, .lambda_min = 1, .lambda_decay = 0.5f},
        {.kind = QV_MARGIN_SPHERE, .m = 4, .lambda_min = 0.5f, .smoothing = 0.125f},
        {.kind = QV_MARGIN_COSINE, .scale = 4, .m = 0.2f},
        {.kind = QV_MARGIN_COSINE, .scale = 4, .m = 0.2f, .smoothing = 0.125f},
        {.kind = QV_MARGIN_ANGLE, .scale = 4, .m = 0.3f},
        {.kind = QV_MARGIN_ANGLE, .scale = 4, .m = 1.5f, .smoothing = 0.125f},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof *kinds; i++) {
        void *desk = NULL;
        assert_int_equal(desk_open(&desk), 0);
        check_margin(desk, &kinds[i / 2], i % 2);
        desk_close(&desk);
    }
}

/* At an angle of 60 degrees: cos 60 - 1/4; A-Softmax of m 3: cos 180 = -1; ArcFace beyond pi: -2 - cos. */
static void margins_by_hand(void **state)
{
    struct desk *d = *state;
    struct bent b = {.op = {.kind = QV_OP_MARGIN}};
    qv_tensor c = given(d, 1, 1, 1, 2, (double[]){0.5, 0}), none = {0}, loss = zeros(d, 1, 1, 1, 2);
    qv_tensor dcos = like(d, c), logits = like(d, c), probs = like(d, c), weight = given(d, 1, 1, 1, 2, (double[]){2, 1});
    qv_tensor label = bytes(d, 1, 1, 1, 1, sizeof(int32_t)), step = bytes(d, 1, 1, 1, 1, sizeof(qv_step_state));
    const double right_angle = 3.14159265358979323846 / 2;
    const struct {
        qv_margin_attr a;
        double cosine, bent;
    } cases[] = {
        {{.kind = QV_MARGIN_NONE, .scale = 8}, 0.5, 0.5},
        {{.kind = QV_MARGIN_COSINE, .scale = 8, .m = 0.25f}, 0.5, 0.25},
        {{.kind = QV_MARGIN_SPHERE, .scale = 8, .m = 3}, 0.5, -1},
        {{.kind = QV_MARGIN_SPHERE, .scale = 8, .m = 3, .lambda = 3}, 0.5, (3 * 0.5 - 1) / 4},
        {{.kind = QV_MARGIN_SPHERE, .scale = 8, .m = 2}, -0.5, 0.5 - 2},
        {{.kind = QV_MARGIN_ANGLE, .scale = 8, .m = 0.5f}, 0, -sin(0.5)},
        {{.kind = QV_MARGIN_ANGLE, .scale = 8, .m = 1.5f}, -sin(1), -2 - cos(right_angle + 1 + 1.5)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b.op.a.margin = cases[i].a;
        ((double *)c.data)[0] = cases[i].cosine;
        run(&b.op, (qv_tensor[]){c, label, weight, none, none, none, step}, (qv_tensor[]){loss, dcos, none, logits, probs});
        assert_all(logits, (double[]){8 * cases[i].cosine, 0}, 0);
        assert_near(((double *)loss.data)[0], 2 * log1p(exp(-8 * cases[i].bent)), 1e-12);
        assert_near(((double *)probs.data)[0], 1 / (1 + exp(-8 * cases[i].cosine)), 1e-14);
    }
}

struct centered {
    qv_op op;
    qv_tensor x, labels, weight, entropy, others, share, centers, loss, dx;
};

static double centered_value(void *user)
{
    struct centered *c = user;
    run(&c->op, (qv_tensor[]){c->x, c->labels, c->weight, c->entropy, c->others, c->share},
        (qv_tensor[]){c->centers, c->loss, c->dx});
    const double *loss = c->loss.data;
    return loss[0] / loss[1];
}

/* Rows 1 and 3 of class 0 (weight 2), 10 of class 1 (weight 1), one unlabelled. */
static void center_by_hand(void **state)
{
    struct desk *d = *state;
    struct centered c = {.op = {.kind = QV_OP_CENTER, .a.center = {.weight = 0.5f, .rate = 0}}};
    c.x = given(d, 4, 1, 1, 1, (double[]){1, 3, 10, 7}), c.dx = like(d, c.x), c.loss = zeros(d, 1, 1, 1, 2);
    c.labels = bytes(d, 4, 1, 1, 1, sizeof(int32_t));
    memcpy(c.labels.data, (int32_t[]){0, 0, 1, -1}, 4 * sizeof(int32_t));
    c.weight = given(d, 1, 1, 1, 2, (double[]){2, 1}), c.entropy = given(d, 1, 1, 1, 2, (double[]){100, 5});
    c.centers = given(d, 2, 1, 1, 1, (double[]){0, 8});
    centered_value(&c);
    assert_all(c.loss, (double[]){100 + 0.25 * (2 * 1 + 2 * 9 + 4), 5}, 1e-12);
    assert_all(c.dx, (double[]){0.5 * 2 * 1 / 5, 0.5 * 2 * 3 / 5, 0.5 * 2 / 5, 0}, 1e-15);
    qv_tensor gradient = given(d, 4, 1, 1, 1, c.dx.data);
    check_gradient(d, centered_value, &c, c.x, gradient);
    c.op.a.center.rate = 0.5f;
    centered_value(&c);
    assert_all(c.centers, (double[]){0.5 * 4 / 3, 8 + 0.5 * 2 / 2}, 1e-15);
}

/* All numbers are exact in binary. Element 0 decays, element 1 does not. */
static void sgd_by_hand(void **state)
{
    struct desk *d = *state;
    qv_op op = {.kind = QV_OP_SGD, .a.sgd = {.momentum = 0.5f, .weight_decay = 0.5f, .nesterov = 1, .decayed = 1}};
    qv_tensor step = bytes(d, 1, 1, 1, 1, sizeof(qv_step_state));
    *(qv_step_state *)step.data = (qv_step_state){.lr = 0.25f};
    qv_tensor p = given(d, 1, 1, 1, 2, (double[]){1, 1}), m = like(d, p), g = given(d, 1, 1, 1, 2, (double[]){0.5, 1});
    run(&op, (qv_tensor[]){step, g, {0}}, (qv_tensor[]){p, m});
    assert_all(m, (double[]){1, 1}, 0);
    assert_all(p, (double[]){0.625, 0.625}, 0);
    memset(g.data, 0, 2 * sizeof(double));
    run(&op, (qv_tensor[]){step, g, {0}}, (qv_tensor[]){p, m});
    assert_all(m, (double[]){0.8125, 0.5}, 0);
    assert_all(p, (double[]){0.625 - 0.25 * (0.3125 + 0.40625), 0.625 - 0.25 * 0.25}, 0);
    op.a.sgd.nesterov = 0;
    op.a.sgd.decayed = 0;
    run(&op, (qv_tensor[]){step, g, {0}}, (qv_tensor[]){p, m});
    assert_all(m, (double[]){0.40625, 0.25}, 0);
    assert_all(p, (double[]){0.625 - 0.25 * (0.3125 + 0.40625) - 0.25 * 0.40625, 0.625 - 0.25 * 0.25 - 0.25 * 0.25}, 0);
}

static void clip_by_hand(void **state)
{
    struct desk *d = *state;
    qv_op op = {.kind = QV_OP_CLIP, .a.clip = {.most = 2}};
    qv_tensor g = given(d, 1, 1, 1, 3, (double[]){2, 1, -2}), scale = zeros(d, 1, 1, 1, 1);
    run(&op, &g, &scale);
    assert_all(scale, (double[]){2.0 / 3}, 1e-16);
    op.a.clip.most = 3;
    run(&op, &g, &scale);
    assert_all(scale, (double[]){1}, 0);
    for (size_t i = 0; i < 3; i++) {
        ((double *)g.data)[1] = (double[]){NAN, INFINITY, 1e200}[i];
        run(&op, &g, &scale);
        assert_true(isnan(*(double *)scale.data));
    }
    /* The scale comes before weight decay. */
    qv_op sgd = {.kind = QV_OP_SGD, .a.sgd = {.weight_decay = 0.5f, .decayed = 1}};
    qv_tensor step = bytes(d, 1, 1, 1, 1, sizeof(qv_step_state)), p = given(d, 1, 1, 1, 1, (double[]){4}), m = like(d, p);
    ((qv_step_state *)step.data)->lr = 1;
    *(double *)scale.data = 0.25;
    run(&sgd, (qv_tensor[]){step, given(d, 1, 1, 1, 1, (double[]){8}), scale}, (qv_tensor[]){p, m});
    assert_all(p, (double[]){4 - (0.25 * 8 + 0.5 * 4)}, 0);
}

/* The algorithm as the paper writes it: corrected averages in variables of their own, decay apart from the step. */
static void adamw_as_the_paper_has_it(void **state)
{
    struct desk *d = *state;
    enum { LEN = 5, STEPS = 7 };
    qv_op op = {.kind = QV_OP_ADAMW,
                .a.adamw = {.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .weight_decay = 0.125f, .decayed = 3}};
    const double b1 = (double)0.9f, b2 = (double)0.999f, eps = (double)1e-8f, rate = (double)0.01f;
    qv_tensor step = bytes(d, 1, 1, 1, 1, sizeof(qv_step_state)), p = normal(d, 1, 1, 1, LEN), m = like(d, p), v = like(d, p);
    double want[LEN], first[LEN] = {0}, second[LEN] = {0}, power1 = 1, power2 = 1;
    memcpy(want, p.data, sizeof want);
    for (int t = 0; t < STEPS; t++) {
        qv_tensor g = normal(d, 1, 1, 1, LEN);
        *(qv_step_state *)step.data = (qv_step_state){.lr = 0.01f, .step = (uint64_t)t};
        run(&op, (qv_tensor[]){step, g, {0}}, (qv_tensor[]){p, m, v});
        power1 *= b1, power2 *= b2;
        for (int i = 0; i < LEN; i++) {
            double x = ((double *)g.data)[i];
            first[i] = b1 * first[i] + (1 - b1) * x;
            second[i] = b2 * second[i] + (1 - b2) * x * x;
            double mean = first[i] / (1 - power1), square = second[i] / (1 - power2);
            if (i < 3) want[i] *= 1 - rate * 0.125;
            want[i] -= rate * mean / (sqrt(square) + eps);
        }
        assert_all(p, want, 1e-13); /* a dozen roundings a step, and 1 - power2 loses three digits */
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, desk_open, desk_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(conv_and_its_transposes),
        TEST(conv_of_an_impulse),
        TEST(bn_gradients),
        TEST(bn_gradient_of_a_whole_share),
        TEST(nothing_gives_nothing),
        TEST(bn_by_hand),
        TEST(bn_output_is_normal),
        TEST(order_of_samples_does_not_matter),
        TEST(shift_by_hand),
        TEST(shift_grad_is_the_transpose),
        TEST(shake_by_hand),
        TEST(sign_by_hand),
        TEST(shake_algebra),
        TEST(one_pass_equals_two),
        TEST(bn_refuses_what_has_no_meaning),
        TEST(elementwise_by_hand),
        TEST(pool_and_linear),
        TEST(loss_by_hand),
        TEST(loss_of_a_mixture),
        TEST(loss_gradient),
        TEST(margin_gradients),
        TEST(margins_by_hand),
        TEST(center_by_hand),
        TEST(sgd_by_hand),
        TEST(clip_by_hand),
        TEST(adamw_as_the_paper_has_it),
    };
    return cmocka_run_group_tests_name("ref", tests, NULL, NULL);
}
