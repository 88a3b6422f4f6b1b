/* What must hold for every network, whatever its numbers: on random ones, in double. */
#include <math.h>

#include "support/net_run.h"
#include "support/support.h"
#include "support/toy.h"

enum { NETS = 6, HEADS = QV_HEAD_ARCFACE + 1 };

/* Rounding of a step in double: some thousand operations in a row, relative to the tensor's length. */
static const double rounding = 1e-11;

static const qv_net_run_options by_hand = {
    .exec = {.device = QV_DEVICE_REF, .keep_buffers = true}, .host_coefficients = true};

static double dot(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* The loss at parameters + h * direction. */
static double loss_at(qv_ctx *ctx, qv_net_run *r, const double *start, const double *direction, double h)
{
    double *moved = calloc(r->n_parameters, sizeof *moved);
    for (size_t i = 0; i < r->n_parameters; i++) moved[i] = start[i] + h * direction[i];
    qv_net_run_write(r, r->parameters, moved);
    double loss = qv_net_run_step(ctx, r);
    free(moved);
    return loss;
}

/* beta = alpha in every block: then the backward pass is the gradient of the forward pass. */
static void keep_coefficients(qv_net_run *r)
{
    const qv_program *p = r->net->program;
    for (size_t i = 0; i < p->n_buffers; i++) {
        char name[64], *dot_at;
        snprintf(name, sizeof name, "%s", p->buffers[i].name);
        dot_at = strrchr(name, '.');
        if (p->buffers[i].role != QV_ROLE_IO || !dot_at || strcmp(dot_at, ".alpha") != 0) continue;
        strcpy(dot_at, ".beta");
        double *a = qv_net_run_read(r, (int)i, NULL);
        qv_net_run_write(r, qv_net_run_find(r, name), a);
        free(a);
    }
}

/* Central differences at h and h / 2 agree unless the way crosses a kink of a ReLU; such a way says nothing. Between
 * them they leave an error of h^2 times the third derivative, and of 1e-16 / h. */
static bool derivative(qv_ctx *ctx, qv_net_run *r, const double *start, const double *direction, double *slope)
{
    const double h = 1e-6;
    double wide = (loss_at(ctx, r, start, direction, h) - loss_at(ctx, r, start, direction, -h)) / (2 * h);
    double narrow = (loss_at(ctx, r, start, direction, h / 2) - loss_at(ctx, r, start, direction, -h / 2)) / h;
    *slope = narrow;
    return fabs(wide - narrow) <= 1e-6 * (fabs(narrow) + 1);
}

static void gradient_is_the_slope_in_every_direction(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed();
    int smooth = 0;
    for (int net = 0; net < NETS; net++) {
        qv_net_run r;
        qv_net_config c = qv_random_net(&random);
        qv_give_head(&c, (qv_head_kind)(net % HEADS));
        qv_net_run_new(ctx, &r, &c, random, &by_hand);
        keep_coefficients(&r);
        double *start = qv_net_run_read(&r, r.parameters, NULL), *direction = calloc(r.n_parameters, sizeof *direction);
        qv_net_run_step(ctx, &r);
        double *g = qv_net_run_read(&r, r.gradients, NULL);
        for (int way = 0; way < 6; way++) {
            for (size_t i = 0; i < r.n_parameters; i++) direction[i] = qv_test_normal(&random);
            double length = qv_distance(direction, NULL, r.n_parameters), slope;
            for (size_t i = 0; i < r.n_parameters; i++) direction[i] /= length;
            if (!derivative(ctx, &r, start, direction, &slope)) continue;
            double expected = dot(g, direction, r.n_parameters);
            if (!(fabs(expected - slope) <= 1e-5 * (fabs(slope) + 0.01 * qv_distance(g, NULL, r.n_parameters)))) {
                char text[640];
                qv_print_net(&c, text, sizeof text);
                fail_msg("slope %.12g, gradient says %.12g: %s", slope, expected, text);
            }
            smooth++;
        }
        free(start), free(direction), free(g);
        qv_net_run_free(&r);
    }
    assert_true(smooth >= 2 * NETS); /* else nothing was tested */
    qv_ctx_free(ctx);
}

/* Rows of a buffer whose first axis is the sample, each moved on by one. */
static void rotate(qv_net_run *r, int id)
{
    size_t n, samples = (size_t)r->net->config.batch;
    double *x = qv_net_run_read(r, id, &n), *y = calloc(n, sizeof *y);
    for (size_t i = 0; i < n; i++) y[(i + n / samples) % n] = x[i];
    qv_net_run_write(r, id, y);
    free(x), free(y);
}

static void assert_same(const qv_net_config *c, const double *x, const double *y, size_t n, const char *what)
{
    double length = qv_distance(x, NULL, n), apart = qv_distance(x, y, n);
    if (apart <= rounding * length && length > 0) return;
    char text[640];
    qv_print_net(c, text, sizeof text);
    fail_msg("%s: apart %g of %g: %s", what, apart, length, text);
}

static void order_of_samples_does_not_matter(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed() + 1;
    for (int net = 0; net < NETS; net++) {
        qv_net_run r;
        qv_net_config c = qv_random_net(&random);
        c.level = QV_LEVEL_SAMPLE;
        qv_net_run_new(ctx, &r, &c, random, &by_hand);
        double before = qv_net_run_step(ctx, &r);
        double *g = qv_net_run_read(&r, r.gradients, NULL);
        rotate(&r, r.net->input);
        int32_t labels[16], moved[16];
        qv_exec_read_bytes(r.exec, r.net->labels, 0, sizeof *labels * (size_t)c.batch, labels);
        for (int i = 0; i < c.batch; i++) moved[(i + 1) % c.batch] = labels[i];
        qv_exec_write_bytes(r.exec, r.net->labels, 0, sizeof *labels * (size_t)c.batch, moved);
        for (size_t i = 0; i < r.net->program->n_buffers; i++) {
            const qv_buffer *b = &r.net->program->buffers[i];
            if (b->role == QV_ROLE_IO && (strstr(b->name, ".alpha") || strstr(b->name, ".beta"))) rotate(&r, (int)i);
        }
        double after = qv_net_run_step(ctx, &r);
        double *h = qv_net_run_read(&r, r.gradients, NULL);
        assert_true(fabs(before - after) <= rounding * fabs(before));
        assert_same(&c, g, h, r.n_parameters, "gradients of other orders of samples");
        free(g), free(h);
        qv_net_run_free(&r);
    }
    qv_ctx_free(ctx);
}

/* "stage1.block0.conv1" and its kin hold both branches, one behind the other. */
static bool holds_both_branches(const qv_buffer *b)
{
    return strncmp(b->name, "stage", 5) == 0 && (strstr(b->name, ".conv") || strstr(b->name, ".bn")) &&
           !strstr(b->name, "shortcut");
}

static void exchange_halves(double *x, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        double t = x[i];
        x[i] = x[i + n / 2];
        x[i + n / 2] = t;
    }
}

static void exchange_parameters(qv_net_run *r)
{
    const qv_program *p = r->net->program;
    for (size_t i = 0; i < p->n_buffers; i++) {
        size_t n;
        if (p->buffers[i].role != QV_ROLE_PARAM || p->buffers[i].alias >= 0 || !holds_both_branches(&p->buffers[i]))
            continue;
        double *x = qv_net_run_read(r, (int)i, &n);
        exchange_halves(x, n);
        qv_net_run_write(r, (int)i, x);
        free(x);
    }
}

static void mirror_coefficients(qv_net_run *r)
{
    const qv_program *p = r->net->program;
    for (size_t i = 0; i < p->n_buffers; i++) {
        size_t n;
        const char *end = strrchr(p->buffers[i].name, '.');
        if (p->buffers[i].role != QV_ROLE_IO || !end || (strcmp(end, ".alpha") != 0 && strcmp(end, ".beta") != 0)) continue;
        if (strstr(p->buffers[i].name, ".sign.")) continue; /* of both branches */
        double *x = qv_net_run_read(r, (int)i, &n);
        for (size_t k = 0; k < n; k++) x[k] = 1 - x[k];
        qv_net_run_write(r, (int)i, x);
        free(x);
    }
}

/* All gradients of the network, those of both branches exchanged. */
static double *exchanged_gradients(const qv_net_run *r, bool exchange, size_t *n)
{
    const qv_program *p = r->net->program;
    double *all = calloc(r->n_parameters, sizeof *all);
    *n = 0;
    for (size_t i = 0; i < p->n_buffers; i++) {
        size_t len;
        if (p->buffers[i].role != QV_ROLE_GRAD || p->buffers[i].alias >= 0) continue;
        double *x = qv_net_run_read(r, (int)i, &len);
        if (exchange && holds_both_branches(&p->buffers[i])) exchange_halves(x, len);
        memcpy(all + *n, x, len * sizeof *x);
        *n += len;
        free(x);
    }
    return all;
}

static void branches_can_be_exchanged(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed() + 2;
    for (int net = 0; net < NETS; net++) {
        qv_net_run r;
        size_t n;
        qv_net_config c = qv_random_net(&random);
        qv_net_run_new(ctx, &r, &c, random, &by_hand);
        double before = qv_net_run_step(ctx, &r);
        double *g = exchanged_gradients(&r, false, &n);
        exchange_parameters(&r);
        mirror_coefficients(&r);
        double after = qv_net_run_step(ctx, &r);
        double *h = exchanged_gradients(&r, true, &n);
        if (!(fabs(before - after) <= rounding * fabs(before))) fail_msg("loss %.15g, exchanged %.15g", before, after);
        assert_same(&c, g, h, n, "gradients of exchanged branches");
        free(g), free(h);
        qv_net_run_free(&r);
    }
    qv_ctx_free(ctx);
}

static void backward_is_linear_in_the_gradient_that_comes_in(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed() + 3;
    qv_net_run_options o = by_hand;
    o.host_dlogits = true;
    for (int net = 0; net < NETS; net++) {
        qv_net_run r;
        qv_net_config c = qv_random_net(&random);
        qv_give_head(&c, QV_HEAD_SOFTMAX); /* the others have no gradient at the logits alone */
        qv_net_run_new(ctx, &r, &c, random, &o);
        double *d[3], *g[3], factor = qv_test_uniform(&random, -3, 3);
        d[0] = qv_net_run_read(&r, r.dlogits, NULL);
        d[1] = calloc(r.n_logits, sizeof(double)), d[2] = calloc(r.n_logits, sizeof(double));
        for (size_t i = 0; i < r.n_logits; i++) {
            d[1][i] = qv_test_normal(&random);
            d[2][i] = d[0][i] + factor * d[1][i];
        }
        for (int k = 0; k < 3; k++) {
            qv_net_run_write(&r, r.dlogits, d[k]);
            qv_net_run_step(ctx, &r);
            g[k] = qv_net_run_read(&r, r.gradients, NULL);
        }
        for (size_t i = 0; i < r.n_parameters; i++) g[0][i] += factor * g[1][i];
        assert_same(&c, g[2], g[0], r.n_parameters, "gradient of a sum, sum of gradients");
        for (int k = 0; k < 3; k++) free(d[k]), free(g[k]);
        qv_net_run_free(&r);
    }
    qv_ctx_free(ctx);
}

/* A convolution that a batch norm follows: its weights' size does not matter, so their gradient stands at right angles
 * to them and shrinks as they grow. eps breaks this by eps over the variance; here it is 1e-12. */
static void size_of_normalized_weights_does_not_matter(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed() + 4;
    for (int net = 0; net < NETS; net++) {
        qv_net_run r;
        size_t n;
        qv_net_config c = qv_random_net(&random);
        c.order = net % 2 ? QV_ORDER_RELU : QV_ORDER_RELU_BN;
        c.groups = 1;
        c.bn_eps = 1e-12f;
        qv_net_run_new(ctx, &r, &c, random, &by_hand);
        int w = qv_net_run_find(&r, "stem.conv"), dw = qv_net_run_find(&r, "stem.conv.grad");
        double before = qv_net_run_step(ctx, &r);
        double *x = qv_net_run_read(&r, w, &n), *g = qv_net_run_read(&r, dw, NULL);
        double length = qv_distance(x, NULL, n) * qv_distance(g, NULL, n);
        assert_true(fabs(dot(x, g, n)) <= 1e-9 * length);
        for (size_t i = 0; i < n; i++) x[i] *= 3;
        qv_net_run_write(&r, w, x);
        double after = qv_net_run_step(ctx, &r);
        double *h = qv_net_run_read(&r, dw, NULL);
        for (size_t i = 0; i < n; i++) h[i] *= 3;
        assert_true(fabs(before - after) <= 1e-9 * fabs(before));
        assert_true(qv_distance(g, h, n) <= 1e-8 * qv_distance(g, NULL, n));
        free(x), free(g), free(h);
        qv_net_run_free(&r);
    }
    qv_ctx_free(ctx);
}

static void size_of_a_batch_does_not_change_answers(void **state)
{
    (void)state;
    static const qv_toy_shape shape = {
        .speakers = 2, .classes = 3, .takes = 2, .mels = 8, .shortest = 3, .longest = 40, .apart = 2};
    static const int batches[] = {1, 2, 3, 7, 32};
    qv_ctx *ctx = qv_test_ctx();
    qv_toy toy;
    qv_settings s;
    qv_dataset *data;
    qv_toy_make(ctx, &toy, &shape, qv_test_seed());
    qv_toy_settings(ctx, &s, shape.mels);
    qv_assert_ok(ctx, qv_dataset_new(ctx, &data, toy.manifest, &toy.features, QV_NORM_UTTERANCE, NULL, NULL));
    for (int device = 0; device < 3; device++) {
        double first[64], probs[64];
        for (int k = 0; k < 5; k++) {
            qv_trainer *t;
            qv_trainer_options o = {0};
            s.device = device, s.batch = batches[k];
            qv_assert_ok(ctx, qv_trainer_new(ctx, &t, &s, data, &o, shape.classes));
            qv_assert_ok(ctx, qv_trainer_predict(ctx, t, toy.all, toy.n, true, k ? probs : first));
            /* Floats: convolutions may be cut another way. A probability is a few roundings of 2^-24 off. */
            double bound = device == QV_DEVICE_REF ? 1e-14 : 64 * 0x1p-24;
            for (size_t i = 0; k && i < toy.n * 3; i++)
                if (!(fabs(probs[i] - first[i]) <= bound))
                    fail_msg("batch %d on %s: %.9g, %.9g alone", batches[k], qv_settings_choice(&s, "run.device"),
                             probs[i], first[i]);
            qv_trainer_free(t);
        }
    }
    qv_dataset_free(data);
    qv_settings_free(&s);
    qv_toy_free(&toy);
    qv_ctx_free(ctx);
}

int main(void)
{
    printf("QV_SEED=%llu\n", (unsigned long long)qv_test_seed());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_is_the_slope_in_every_direction),
        cmocka_unit_test(order_of_samples_does_not_matter),
        cmocka_unit_test(branches_can_be_exchanged),
        cmocka_unit_test(backward_is_linear_in_the_gradient_that_comes_in),
        cmocka_unit_test(size_of_normalized_weights_does_not_matter),
        cmocka_unit_test(size_of_a_batch_does_not_change_answers),
    };
    return cmocka_run_group_tests_name("properties", tests, NULL, NULL);
}
