/* Trainings from several threads of the host at once, on one GPU with one copy of the features, or each streaming them:
 * each as if alone. */
#include <pthread.h>
#include <stdatomic.h>

#include "lab.h"
#include "tests/simt/fake_dnn.h"
#include "tests/simt/simt.h"

enum { TRAININGS = 4, EPOCHS = 2, CLASSES = 3, MESSAGE = 256 };

/* What one training leaves, and how it went. */
typedef struct training {
    const lab *lab;
    qv_settings settings;
    qv_trainer_options options;
    pthread_barrier_t *ready; /* NULL: it is alone */
    qv_trainer *trainer;
    qv_status status;
    char message[MESSAGE];
    double loss, *probs; /* [recordings][CLASSES] */
} training;

/* They meet when all have their memory, and again when somebody has looked at it. */
static void meet(training *t)
{
    for (int i = 0; t->ready && i < 2; i++) pthread_barrier_wait(t->ready);
}

static qv_status train(qv_ctx *ctx, training *t)
{
    qv_status status = QV_OK;
    const lab *l = t->lab;
    qv_trainer_options o = t->options;
    o.items = l->toy.all, o.n_items = l->toy.n, o.gpu = l->gpu;
    status = qv_trainer_new(ctx, &t->trainer, &t->settings, l->data, &o, CLASSES);
    meet(t); /* also after a failure: others wait */
    if (status != QV_OK) return status;
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        qv_loss loss = {0};
        QV_TRY(qv_trainer_run(ctx, t->trainer, epoch, &loss));
        t->loss += loss.sum;
        QV_TRY(qv_trainer_predict(ctx, t->trainer, l->toy.all, l->toy.n, true, t->probs));
    }
done:
    return status;
}

static void *run(void *user)
{
    training *t = user;
    qv_ctx *ctx = qv_ctx_new();
    t->status = ctx ? train(ctx, t) : QV_ERR_MEMORY;
    if (ctx && t->status != QV_OK) snprintf(t->message, sizeof t->message, "%s", qv_ctx_message(ctx));
    qv_ctx_free(ctx);
    return NULL;
}

/* Different in all that makes a training: draws, width, order of blocks, precision, and one that launches its ops
 * without a graph. */
static void prepare(training *t, const lab *l, size_t resident_limit, pthread_barrier_t *ready)
{
    for (int i = 0; i < TRAININGS; i++) {
        t[i] = (training){.lab = l, .settings = l->settings, .ready = ready};
        t[i].settings.seed = (uint64_t)i + 1;
        t[i].options.resident_limit = resident_limit;
        t[i].probs = calloc(l->toy.n * CLASSES, sizeof *t[i].probs);
        assert_non_null(t[i].probs);
    }
    t[0].settings.width = 2;
    t[1].settings.order = QV_ORDER_RELU;
    t[1].options.profile = true;
    t[2].settings.precision = QV_PRECISION_BF16;
}

static void assert_well(const training *t)
{
    if (t->status != QV_OK) print_error("training %llu: %s\n", (unsigned long long)t->settings.seed, t->message);
    assert_int_equal(t->status, QV_OK);
}

/* Returns how many allocations all of them have on the device. */
static size_t run_together(training *t, pthread_barrier_t *ready)
{
    pthread_t threads[TRAININGS];
    size_t before = simt_live_allocations();
    for (int i = 0; i < TRAININGS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, &t[i]), 0);
    pthread_barrier_wait(ready);
    size_t allocations = simt_live_allocations() - before;
    pthread_barrier_wait(ready);
    for (int i = 0; i < TRAININGS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < TRAININGS; i++) assert_well(&t[i]);
    return allocations;
}

static void free_all(training *t)
{
    for (int i = 0; i < TRAININGS; i++) {
        qv_trainer_free(t[i].trainer);
        free(t[i].probs);
    }
}

static void assert_same(const training *a, const training *b)
{
    assert_true(a->loss == b->loss);
    assert_memory_equal(a->probs, b->probs, a->lab->toy.n * CLASSES * sizeof *a->probs);
    lab_assert_same_weights(a->trainer, b->trainer);
}

static void trainings_in_threads_do_not_see_each_other(void **state)
{
    (void)state;
    lab l;
    training alone[TRAININGS], together[TRAININGS];
    pthread_barrier_t ready;
    lab_open(&l);
    prepare(alone, &l, 0, NULL);
    for (int i = 0; i < TRAININGS; i++) {
        run(&alone[i]);
        assert_well(&alone[i]);
    }
    qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
    assert_int_equal(pthread_barrier_init(&ready, NULL, TRAININGS + 1), 0);
    for (size_t limit = 0; limit < 2; limit++) {
        prepare(together, &l, limit, &ready);
        size_t allocations = run_together(together, &ready);
        /* An arena each, and the features once; or batches each. */
        assert_int_equal(allocations, limit ? 2 * TRAININGS : TRAININGS + 1);
        for (int i = 0; i < TRAININGS; i++) assert_same(&together[i], &alone[i]);
        free_all(together);
    }
    pthread_barrier_destroy(&ready);
    free_all(alone);
    lab_close(&l);
}

/* Features come and go while others train on the same copy. */
static void the_last_user_gives_the_features_back(void **state)
{
    (void)state;
    lab l;
    training t[TRAININGS];
    pthread_t threads[TRAININGS];
    lab_open(&l);
    qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
    size_t before = simt_live_allocations();
    for (int round = 0; round < 2; round++) {
        prepare(t, &l, 0, NULL);
        for (int i = 0; i < TRAININGS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, &t[i]), 0);
        for (int i = 0; i < TRAININGS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_well(&t[i]);
            qv_trainer_free(t[i].trainer);
            t[i].trainer = NULL;
        }
        free_all(t);
        assert_int_equal(simt_live_allocations(), before);
    }
    lab_close(&l);
}

/* One training after the other on a GPU has the plans of the one before; another GPU handle of the same GPU, none. */
static void plans_outlive_their_training(void **state)
{
    (void)state;
    lab l;
    training t[TRAININGS];
    lab_open(&l);
    qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
    prepare(t, &l, 0, NULL);
    long made[3];
    for (int i = 0; i < 3; i++) {
        const long before = simt_dnn_plans();
        if (i == 2) {
            qv_gpu_close(l.gpu);
            qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
        }
        run(&t[3]);
        assert_well(&t[3]);
        made[i] = simt_dnn_plans() - before;
        qv_trainer_free(t[3].trainer);
        t[3].trainer = NULL;
    }
    assert_true(made[0] > 0 && made[1] == 0 && made[2] == made[0]);
    free_all(t);
    lab_close(&l);
}

/* Captures one training after the other, until somebody has seen enough. */
typedef struct capturing {
    const lab *l;
    atomic_bool enough, ended;
    atomic_int captures;
    qv_status status;
    char message[MESSAGE];
} capturing;

static qv_status capture_often(qv_ctx *ctx, capturing *c)
{
    qv_status status = QV_OK;
    qv_trainer *t = NULL;
    qv_trainer_options o = {.items = c->l->toy.all, .n_items = c->l->toy.n, .gpu = c->l->gpu};
    QV_TRY(qv_trainer_new(ctx, &t, &c->l->settings, c->l->data, &o, CLASSES));
    for (uint64_t epoch = 1; !c->enough; epoch++) {
        qv_loss loss = {0};
        QV_TRY(qv_trainer_use(ctx, t, c->l->data)); /* new addresses: captured anew */
        QV_TRY(qv_trainer_run(ctx, t, epoch, &loss));
        c->captures++;
    }
done:
    qv_trainer_free(t);
    return status;
}

static void *keep_capturing(void *user)
{
    capturing *c = user;
    qv_ctx *ctx = qv_ctx_new();
    c->status = ctx ? capture_often(ctx, c) : QV_ERR_MEMORY;
    c->ended = true;
    if (ctx && c->status != QV_OK) snprintf(c->message, sizeof c->message, "%s", qv_ctx_message(ctx));
    qv_ctx_free(ctx);
    return NULL;
}

/* Opening a GPU makes handles of the libraries and frees them, which ends captures that are under way. */
static void handles_go_between_captures(void **state)
{
    (void)state;
    enum { CAPTURES = 30 };
    lab l;
    capturing c = {.l = &l};
    pthread_t thread;
    lab_open(&l);
    qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
    assert_int_equal(pthread_create(&thread, NULL, keep_capturing, &c), 0);
    while (c.captures < CAPTURES && !c.ended) {
        qv_gpu_device *other;
        qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &other, ""));
        qv_gpu_close(other);
    }
    c.enough = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (c.status != QV_OK) print_error("after %d captures: %s\n", c.captures, c.message);
    assert_int_equal(c.status, QV_OK);
    lab_close(&l);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trainings_in_threads_do_not_see_each_other),
        cmocka_unit_test(the_last_user_gives_the_features_back),
        cmocka_unit_test(plans_outlive_their_training),
        cmocka_unit_test(handles_go_between_captures),
    };
    return cmocka_run_group_tests_name("trainings in threads", tests, NULL, NULL);
}
