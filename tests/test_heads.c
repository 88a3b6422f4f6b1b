/* What stands behind the mean over positions. */
#include <math.h>

#include "support/net_run.h"
#include "support/support.h"

/* Sums of some hundred terms of size 1 in double. */
static const double rounding = 1e-12;

static const qv_net_run_options on_ref = {.exec = {.device = QV_DEVICE_REF, .keep_buffers = true}, .embedding = true};

static qv_net_config config(uint64_t *random, qv_block_order order, int embed)
{
    qv_net_config c = qv_random_net(random);
    c.order = order;
    c.groups = 1;
    c.embed = embed;
    qv_give_head(&c, QV_HEAD_SOFTMAX);
    return c;
}

static double *evaluate(qv_ctx *ctx, qv_net_run *r, const char *buffer, size_t *n)
{
    qv_assert_ok(ctx, qv_exec_run(ctx, r->exec, QV_LIST_EVAL));
    return qv_net_run_read(r, qv_net_run_find(r, buffer), n);
}

static void assert_close(const double *x, const double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= rounding * (1 + fabs(y[i]))))
            fail_msg("element %zu is %.17g and not %.17g", i, x[i], y[i]);
}

/* logits = embedding w^T + b, written out. */
static void embedding_feeds_the_classifier(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed();
    for (int embed = 1; embed <= 3; embed++) {
        qv_net_run r;
        qv_net_config c = config(&random, (qv_block_order)embed, embed);
        qv_net_run_new(ctx, &r, &c, random, &on_ref);
        assert_int_equal(r.net->embedding_size, embed);
        size_t n, rows = (size_t)c.batch, classes = (size_t)c.classes, dims = (size_t)embed;
        double *logits = evaluate(ctx, &r, "eval.logits", &n), *e = evaluate(ctx, &r, "eval.embedding", NULL);
        double *w = qv_net_run_read(&r, qv_net_run_find(&r, "linear.weight"), NULL);
        double *b = qv_net_run_read(&r, qv_net_run_find(&r, "linear.bias"), NULL);
        double *want = calloc(n, sizeof *want);
        for (size_t i = 0; i < rows * classes; i++) {
            want[i] = b[i % classes];
            for (size_t k = 0; k < dims; k++) want[i] += e[i / classes * dims + k] * w[i % classes * dims + k];
        }
        assert_int_equal(n, rows * classes);
        assert_close(logits, want, n);
        free(logits), free(e), free(w), free(b), free(want);
        qv_net_run_free(&r);
    }
    qv_ctx_free(ctx);
}

static void move_shift(qv_net_run *r, double by)
{
    int id = qv_net_run_find(r, "final.bn.beta");
    size_t n;
    double *beta = qv_net_run_read(r, id, &n);
    for (size_t i = 0; i < n; i++) beta[i] += by;
    qv_net_run_write(r, id, beta);
    free(beta);
}

/* Far from its kink the last ReLU does nothing: the pooled features are then the embedding. A shift of the last batch
 * norm moves the embedding by as much, where it would be cut off behind the ReLU. */
static void without_a_layer_it_is_what_the_last_relu_sees(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed();
    const double far = 1024;
    for (int order = QV_ORDER_PREACT; order <= QV_ORDER_RELU; order++) {
        qv_net_run r;
        qv_net_config c = config(&random, (qv_block_order)order, 0);
        size_t n, m;
        qv_net_run_new(ctx, &r, &c, random, &on_ref);
        assert_int_equal(r.net->embedding_size, 4 * c.width);
        double *near = evaluate(ctx, &r, "eval.embedding", &n);
        move_shift(&r, far);
        double *moved = evaluate(ctx, &r, "eval.embedding", &m), *pooled = evaluate(ctx, &r, "eval.pooled", NULL);
        assert_int_equal(n, m);
        assert_close(moved, pooled, n);
        for (size_t i = 0; i < n; i++) moved[i] -= far;
        assert_close(moved, near, n);
        free(near), free(moved), free(pooled);
        qv_net_run_free(&r);
    }
    qv_ctx_free(ctx);
}

static void of_relu_bn_it_is_the_mean_of_the_last_block(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed();
    qv_net_run r;
    qv_net_config c = config(&random, QV_ORDER_RELU_BN, 0);
    c.blocks = 1;
    qv_net_run_new(ctx, &r, &c, random, &on_ref);
    size_t n, whole, channels = (size_t)(4 * c.width);
    double *e = evaluate(ctx, &r, "eval.embedding", &n), *last = evaluate(ctx, &r, "eval.stage3.block0.out", &whole);
    double *mean = calloc(n, sizeof *mean);
    size_t positions = whole / n;
    for (size_t i = 0; i < whole; i++)
        mean[i / channels / positions * channels + i % channels] += last[i] / (double)positions;
    assert_close(e, mean, n);
    free(e), free(last), free(mean);
    qv_net_run_free(&r);
    qv_ctx_free(ctx);
}

/* ---- heads ---- */

static qv_net_config with_head(uint64_t *random, qv_head_kind head)
{
    qv_net_config c = config(random, (qv_block_order)(qv_test_next(random) % 4), 3);
    qv_give_head(&c, head);
    return c;
}

/* Steps along the weights of embedding and classifier: no ReLU lies behind them, so the loss has no kink there. */
typedef struct slope {
    qv_ctx *ctx;
    qv_net_run r;
    int ids[2];
    double *start[2], *direction[2];
} slope;

static double loss_along(slope *s, double h)
{
    for (int k = 0; k < 2; k++) {
        size_t n = qv_buffer_len(&s->r.net->program->buffers[s->ids[k]]);
        double *moved = calloc(n, sizeof *moved);
        assert_non_null(moved);
        for (size_t i = 0; i < n; i++) moved[i] = s->start[k][i] + h * s->direction[k][i];
        qv_net_run_write(&s->r, s->ids[k], moved);
        free(moved);
    }
    return qv_net_run_step(s->ctx, &s->r);
}

static void write_mixture(qv_net_run *r, uint64_t *random)
{
    double share[16];
    int32_t others[16];
    size_t rows = (size_t)r->net->config.batch;
    for (size_t i = 0; i < rows; i++) {
        share[i] = qv_test_uniform(random, 0, 1);
        others[i] = (int32_t)(qv_test_next(random) % (uint64_t)r->net->config.classes);
    }
    qv_net_run_write(r, r->net->share, share);
    qv_exec_write_bytes(r->exec, r->net->others, 0, sizeof *others * rows, others);
}

static void open_slope(slope *s, const qv_net_config *c, uint64_t *random)
{
    static const char *const names[] = {"embed.weight", "linear.weight"};
    qv_net_run_new(s->ctx, &s->r, c, *random, &on_ref);
    if (c->mixup > 0) write_mixture(&s->r, random);
    for (int k = 0; k < 2; k++) {
        size_t n;
        s->ids[k] = qv_net_run_find(&s->r, names[k]);
        s->start[k] = qv_net_run_read(&s->r, s->ids[k], &n);
        s->direction[k] = calloc(n, sizeof(double));
        assert_non_null(s->direction[k]);
        for (size_t i = 0; i < n; i++) s->direction[k][i] = qv_test_normal(random);
    }
}

static double slope_by_gradients(const slope *s, double *magnitude)
{
    double along = 0;
    *magnitude = 0;
    for (int k = 0; k < 2; k++) {
        char name[64];
        size_t n;
        snprintf(name, sizeof name, "%s.grad", s->r.net->program->buffers[s->ids[k]].name);
        double *g = qv_net_run_read(&s->r, qv_net_run_find(&s->r, name), &n);
        for (size_t i = 0; i < n; i++) {
            along += g[i] * s->direction[k][i];
            *magnitude += fabs(g[i] * s->direction[k][i]);
        }
        free(g);
    }
    return along;
}

static void close_slope(slope *s)
{
    for (int k = 0; k < 2; k++) free(s->start[k]), free(s->direction[k]);
    qv_net_run_free(&s->r);
}

/* Of rows with one label and with two. A step of 1e-5 leaves 1e-10 times third derivatives, which a scale of 4 makes
 * some hundred times the first, and 1e-16 / 1e-5 of the loss. */
static void gradient_of_every_head_is_its_slope(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed();
    const double h = 1e-5;
    for (int i = 0; i < 6 * (QV_HEAD_ARCFACE + 1); i++) {
        slope s = {.ctx = ctx};
        qv_net_config c = with_head(&random, (qv_head_kind)(i / 6));
        c.mixup = i % 2 ? 0.4f : 0;
        open_slope(&s, &c, &random);
        loss_along(&s, 0);
        double size, along = slope_by_gradients(&s, &size);
        double above = loss_along(&s, h), found = (above - loss_along(&s, -h)) / (2 * h);
        if (!(fabs(found - along) <= 1e-7 * (size + fabs(above))) || size == 0)
            fail_msg("head %d, mixup %g: slope %.12g, gradient says %.12g", (int)c.head, (double)c.mixup, found, along);
        close_slope(&s);
    }
    qv_ctx_free(ctx);
}

/* Logits are cosines times the scale, or times the length of the embedding. */
static void evaluation_goes_without_the_margin(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed();
    for (int head = QV_HEAD_A_SOFTMAX; head <= QV_HEAD_ARCFACE; head++) {
        qv_net_run r;
        qv_net_config c = with_head(&random, (qv_head_kind)head);
        qv_net_run_new(ctx, &r, &c, random, &on_ref);
        size_t n, classes = (size_t)c.classes;
        double *logits = evaluate(ctx, &r, "eval.logits", &n), *e = evaluate(ctx, &r, "eval.embedding", NULL);
        double *w = qv_net_run_read(&r, qv_net_run_find(&r, "linear.weight"), NULL);
        double *want = calloc(n, sizeof *want);
        for (size_t i = 0; i < n; i++) {
            const double *x = e + i / classes * 3, *d = w + i % classes * 3;
            double a = head == QV_HEAD_A_SOFTMAX ? 1 : (double)c.margin.scale / qv_distance(x, NULL, 3);
            for (int k = 0; k < 3; k++) want[i] += a * x[k] * d[k] / qv_distance(d, NULL, 3);
        }
        assert_close(logits, want, n);
        free(logits), free(e), free(w), free(want);
        qv_net_run_free(&r);
    }
    qv_ctx_free(ctx);
}

/* Wang et al. 2018: m <= 1 - cos(2 pi / C) in the plane, and C / (C - 1) where there is room for a simplex. */
static void impossible_margins_are_refused(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    uint64_t random = qv_test_seed();
    static const struct {
        qv_head_kind head;
        int classes, dims;
        double most;
    } cases[] = {
        {QV_HEAD_COSFACE, 4, 2, 1},
        {QV_HEAD_COSFACE, 7, 2, 0.37651019814},
        {QV_HEAD_COSFACE, 4, 3, 4.0 / 3},
        {QV_HEAD_COSFACE, 3, 2, 1.5},
        {QV_HEAD_COSFACE, 2, 2, 2},
        {QV_HEAD_COSFACE, 9, 3, 1},
        {QV_HEAD_ARCFACE, 6, 2, 3.14159265359 / 3},
        {QV_HEAD_ARCFACE, 3, 2, 3.14159265359 * 2 / 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_net_config c = config(&random, QV_ORDER_PREACT, cases[i].dims);
        c.classes = cases[i].classes;
        qv_give_head(&c, cases[i].head);
        c.embed = cases[i].dims;
        c.margin.m = (float)(cases[i].most - 1e-4);
        qv_assert_ok(ctx, qv_net_check(ctx, &c));
        c.margin.m = (float)cases[i].most;
        qv_assert_ok(ctx, qv_net_check(ctx, &c));
        c.margin.m = (float)(cases[i].most + 1e-4);
        assert_int_equal(qv_net_check(ctx, &c), QV_ERR_USAGE);
        qv_test_says(qv_ctx_message(ctx),
                     cases[i].head == QV_HEAD_COSFACE ? "head.cosface_margin" : "head.arcface_margin");
    }
    qv_net_config c = config(&random, QV_ORDER_PREACT, 1);
    c.classes = 3;
    c.head = QV_HEAD_A_SOFTMAX;
    assert_int_equal(qv_net_check(ctx, &c), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "share a direction");
    c.classes = 2;
    qv_assert_ok(ctx, qv_net_check(ctx, &c));
    for (int head = QV_HEAD_A_SOFTMAX + 1; head <= QV_HEAD_ARCFACE; head++) {
        qv_give_head(&c, (qv_head_kind)head);
        c.embed = 1;
        assert_int_equal(qv_net_check(ctx, &c), QV_ERR_USAGE);
        qv_test_says(qv_ctx_message(ctx), "no gradient in one dimension");
    }
    c = config(&random, QV_ORDER_PREACT, 2); /* what the message leaves can be had */
    c.classes = 4;
    qv_give_head(&c, QV_HEAD_ARCFACE);
    c.embed = 2;
    c.margin.m = 1.571F;
    assert_int_equal(qv_net_check(ctx, &c), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "leaves 1.57 radians");
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_feeds_the_classifier),
        cmocka_unit_test(without_a_layer_it_is_what_the_last_relu_sees),
        cmocka_unit_test(of_relu_bn_it_is_the_mean_of_the_last_block),
        cmocka_unit_test(gradient_of_every_head_is_its_slope),
        cmocka_unit_test(evaluation_goes_without_the_margin),
        cmocka_unit_test(impossible_margins_are_refused),
    };
    return cmocka_run_group_tests_name("heads", tests, NULL, NULL);
}
