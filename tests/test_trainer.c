#define _DEFAULT_SOURCE /* setitimer */
/* The trainer on frames made up in memory: what it sees, how it learns, what its answers depend on. */
#include <math.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "base/beta.h"
#include "support/support.h"
#include "support/toy.h"

static const qv_toy_shape shape = {
    .speakers = 4, .classes = 3, .takes = 2, .mels = 16, .shortest = 5, .longest = 30, .apart = 3};

static void open_data(qv_toy_bench *b, const bool *in_training)
{
    bool all[1000];
    for (size_t i = 0; i < b->toy.n; i++) all[i] = true;
    qv_assert_ok(b->ctx, qv_dataset_new_training(b->ctx, &b->data, b->toy.manifest, &b->toy.features, &b->settings,
                                                 in_training ? in_training : all));
}

/* Another trainer over the same data. n_items 0: it cannot train. */
static qv_trainer *new_trainer(const qv_toy_bench *b, const qv_settings *s, size_t n_items)
{
    qv_trainer *t;
    qv_trainer_options o = {.items = b->toy.all, .n_items = n_items};
    qv_assert_ok(b->ctx, qv_trainer_new(b->ctx, &t, s, b->data, &o, b->toy.manifest->n_classes));
    return t;
}

static void open_trainer(qv_toy_bench *b)
{
    open_data(b, NULL);
    b->trainer = new_trainer(b, &b->settings, b->toy.n);
}

static double train(const qv_toy_bench *b, uint64_t epochs)
{
    qv_loss loss = {0};
    qv_assert_ok(b->ctx, qv_trainer_run(b->ctx, b->trainer, epochs, &loss));
    return loss.sum / (double)loss.steps;
}

static double *predict(const qv_toy_bench *b, qv_trainer *t)
{
    double *probs = calloc(b->toy.n * (size_t)b->toy.manifest->n_classes, sizeof *probs);
    qv_assert_ok(b->ctx, qv_trainer_predict(b->ctx, t, b->toy.all, b->toy.n, true, probs));
    return probs;
}

/* ---- learning ---- */

static void learns_what_is_separable_on(qv_device device)
{
    qv_toy_bench b;
    qv_toy_bench_open(&b, &shape);
    b.settings.device = (int)device;
    b.settings.width = 4;
    b.settings.epochs = 60;
    open_trainer(&b);
    size_t classes = (size_t)b.toy.manifest->n_classes, right = 0;
    double first = train(&b, 1), last = first;
    for (uint64_t epoch = 2; epoch <= 60; epoch++) last = train(&b, epoch);
    double *probs = predict(&b, b.trainer);
    for (size_t i = 0; i < b.toy.n; i++) {
        const double *p = probs + i * classes;
        double sum = p[0] + p[1] + p[2];
        assert_true(fabs(sum - 1) <= 1e-5);
        right += p[b.toy.manifest->items[i].label] > 0.5;
    }
    if (!(last < 0.5 * first)) print_error("loss from %g to %g\n", first, last);
    assert_true(last < 0.5 * first);
    assert_int_equal(right, b.toy.n);
    free(probs);
    qv_toy_bench_close(&b);
}

static void learns_what_is_separable(void **state)
{
    (void)state;
    learns_what_is_separable_on(QV_DEVICE_REF);
    learns_what_is_separable_on(QV_DEVICE_CPU);
}

/* All augmentation at once: the classes are still told apart, and the mixtures are those of Beta(0.4, 0.4). */
static void learns_from_augmented_mixtures(void **state)
{
    (void)state;
    qv_toy_bench b;
    qv_toy_bench_open(&b, &shape);
    qv_settings *s = &b.settings;
    s->width = 4, s->epochs = 60;
    s->speed = 0.2, s->warp = 0.05, s->gain = 1, s->voices = 1, s->mixup = 0.4;
    s->time_masks = 1, s->time_width = 2 * s->hop, s->mel_masks = 1, s->mel_width = 2;
    open_trainer(&b);
    double share[4];
    int extreme = 0, rows = 0;
    for (uint64_t epoch = 1; epoch <= 60; epoch++) {
        train(&b, epoch);
        qv_exec_read(qv_trainer_exec(b.trainer), qv_trainer_net(b.trainer)->share, 0, 4, share);
        for (int i = 0; i < 4; i++, rows++) extreme += share[i] < 0.1 || share[i] > 0.9;
    }
    double expected = 2 * qv_beta_inc(0.4, 0.4, 0.1);
    assert_true(fabs((double)extreme / rows - expected) <= 5 * sqrt(expected * (1 - expected) / rows));
    double *probs = predict(&b, b.trainer);
    for (size_t i = 0; i < b.toy.n; i++) {
        const double *p = probs + i * 3;
        int label = b.toy.manifest->items[i].label;
        for (int k = 0; k < 3; k++) assert_true(p[k] <= p[label]);
    }
    free(probs);
    qv_toy_bench_close(&b);
}

/* ---- what a step sees ---- */

/* Half of the recordings of one class, the rest of two: each is a third of what is drawn, and weighs 1. */
static void balanced_sampling_draws_classes_alike(void **state)
{
    (void)state;
    qv_toy_bench b;
    qv_toy_bench_open(&b, &(qv_toy_shape){.speakers = 4, .classes = 3, .takes = 4, .mels = 8, .shortest = 8, .longest = 8});
    b.settings.sampling = QV_SAMPLING_BALANCED;
    b.settings.batch = 12;
    open_data(&b, NULL);
    size_t items[48], n = 0;
    for (size_t i = 0; i < b.toy.n; i++)
        if (b.toy.manifest->items[i].label == 0 || b.toy.manifest->items[i].speaker_id < 2) items[n++] = i;
    assert_int_equal(n, 32);
    qv_trainer_options o = {.items = items, .n_items = n};
    qv_assert_ok(b.ctx, qv_trainer_new(b.ctx, &b.trainer, &b.settings, b.data, &o, 3));
    qv_exec *e = qv_trainer_exec(b.trainer);
    const qv_net *net = qv_trainer_net(b.trainer);
    double weights[3];
    qv_exec_read(e, net->class_weights, 0, 3, weights);
    for (int k = 0; k < 3; k++) assert_true(weights[k] == 1);
    int drawn[3] = {0}, seen[48] = {0};
    train(&b, 1);
    int32_t order[32];
    qv_exec_read_bytes(e, net->order, 0, sizeof order, order);
    for (int i = 0; i < 32; i++) drawn[b.data->utterances[order[i]].label]++, seen[order[i]]++;
    for (int k = 0; k < 3; k++) assert_true(drawn[k] == 10 || drawn[k] == 11);
    for (size_t i = 0; i < b.toy.n; i++) assert_true(seen[i] <= (b.data->utterances[i].label == 0 ? 1 : 2));
    qv_toy_bench_close(&b);
}

/* What is left of a round goes to other classes in each epoch. */
static void balanced_epochs_draw_classes_alike(void **state)
{
    (void)state;
    enum { CLASSES = 3, N = 40 };
    qv_toy_bench b;
    qv_toy_bench_open(
        &b, &(qv_toy_shape){.speakers = 4, .classes = CLASSES, .takes = 4, .mels = 8, .shortest = 8, .longest = 8});
    b.settings.sampling = QV_SAMPLING_BALANCED;
    b.settings.batch = 8;
    b.settings.epochs = 2 * CLASSES;
    open_data(&b, NULL);
    qv_trainer_options o = {.items = b.toy.all, .n_items = N};
    qv_assert_ok(b.ctx, qv_trainer_new(b.ctx, &b.trainer, &b.settings, b.data, &o, CLASSES));
    int drawn[CLASSES] = {0};
    for (uint64_t epoch = 0; epoch < 2 * CLASSES; epoch++) {
        int32_t order[N];
        train(&b, epoch + 1);
        qv_exec_read_bytes(qv_trainer_exec(b.trainer), qv_trainer_net(b.trainer)->order, (epoch & 1) * sizeof order,
                           sizeof order, order);
        for (int i = 0; i < N; i++) drawn[b.data->utterances[order[i]].label]++;
    }
    for (int k = 0; k < CLASSES; k++) assert_int_equal(drawn[k], 2 * N);
    qv_toy_bench_close(&b);
}

/* Row n of a batch is mixed with the last but n: which classes meet there must be chance, too. */
static void balanced_classes_are_mixed_with_all_others(void **state)
{
    (void)state;
    enum { CLASSES = 4, BATCH = 8, N = 32, EPOCHS = 16 };
    qv_toy_bench b;
    qv_toy_bench_open(&b, &(qv_toy_shape){.speakers = 2, .classes = CLASSES, .takes = 4, .mels = 8, .shortest = 8, .longest = 8});
    b.settings.sampling = QV_SAMPLING_BALANCED;
    b.settings.mixup = 0.4;
    b.settings.batch = BATCH;
    b.settings.epochs = EPOCHS;
    open_trainer(&b);
    assert_int_equal(b.toy.n, N);
    int met[CLASSES][CLASSES] = {{0}};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int32_t order[N];
        train(&b, epoch + 1);
        qv_exec_read_bytes(qv_trainer_exec(b.trainer), qv_trainer_net(b.trainer)->order, (epoch & 1) * sizeof order,
                           sizeof order, order);
        for (int i = 0; i < N; i++) {
            const int other = i - i % BATCH + BATCH - 1 - i % BATCH;
            met[b.data->utterances[order[i]].label][b.data->utterances[order[other]].label]++;
        }
    }
    for (int i = 0; i < CLASSES; i++)
        for (int k = 0; k < CLASSES; k++) assert_true(met[i][k] > 0);
    qv_toy_bench_close(&b);
}

static void epoch_orders_are_permutations(void **state)
{
    (void)state;
    enum { MOST = 100 };
    static const size_t sizes[] = {1, 2, 7, MOST};
    int32_t order[MOST], before[MOST] = {0};
    uint32_t keys[2][2] = {{1, 2}, {1, 3}};
    for (size_t k = 0; k < 4 * 2 * 5; k++) {
        size_t n = sizes[k / 10];
        bool seen[MOST] = {false};
        qv_epoch_order(order, n, keys[k / 5 % 2], k % 5);
        for (size_t i = 0; i < n; i++) {
            assert_in_range(order[i], 0, n - 1);
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
        }
        if (n == MOST) assert_memory_not_equal(order, before, sizeof order);
        memcpy(before, order, n * sizeof *order);
        qv_epoch_order(order, n, keys[k / 5 % 2], k % 5);
        assert_memory_equal(order, before, n * sizeof *order);
    }
}

/* Every recording is a class of its own with the weight 4^class: the sum of the weights that comes with a step's
 * loss, read in base 4, says how often each recording was in the batch. */
enum { RECORDINGS = 10, STRADDLING_BATCH = 4 };

typedef struct watch {
    const qv_toy_bench *b;
    int times[RECORDINGS];
    int steps, most;
} watch;

static void look_at_batch(void *user, const qv_progress *p)
{
    watch *w = user;
    double sums[2];
    int count = 0, missing = 0;
    (void)p;
    for (int i = 0; i < RECORDINGS; i++) missing += w->times[i] == 0;
    qv_exec_read(qv_trainer_exec(w->b->trainer), qv_trainer_net(w->b->trainer)->loss, 0, 2, sums);
    uint64_t digits = (uint64_t)sums[1];
    for (int i = 0; i < RECORDINGS; i++, digits /= 4) {
        w->times[i] += (int)(digits % 4);
        count += (int)(digits % 4);
        if (w->times[i] > w->most) w->most = w->times[i];
    }
    assert_int_equal(count, STRADDLING_BATCH);
    int still = 0;
    for (int i = 0; i < RECORDINGS; i++) still += w->times[i] == 0;
    int expected = missing > STRADDLING_BATCH ? missing - STRADDLING_BATCH : 0;
    assert_int_equal(still, expected); /* nobody comes twice before everybody came once */
    w->steps++;
}

static void every_recording_is_seen_once_an_epoch(void **state)
{
    (void)state;
    qv_toy_bench b;
    double weights[RECORDINGS];
    qv_toy_bench_open(
        &b, &(qv_toy_shape){.speakers = 1, .classes = RECORDINGS, .takes = 1, .mels = 8, .shortest = 8, .longest = 9});
    b.settings.device = QV_DEVICE_REF;
    b.settings.lr = 0;
    b.settings.class_weights = QV_WEIGHTS_NONE;
    open_trainer(&b);
    for (int i = 0; i < RECORDINGS; i++) weights[i] = pow(4, i);
    qv_exec_write(qv_trainer_exec(b.trainer), qv_trainer_net(b.trainer)->class_weights, 0, RECORDINGS, weights);
    for (int pair = 1; pair <= 3; pair++) { /* two epochs are five batches */
        watch w = {.b = &b};
        qv_ctx_on_progress(b.ctx, look_at_batch, &w);
        train(&b, 2 * (uint64_t)pair);
        assert_int_equal(w.steps, 5);
        for (int i = 0; i < RECORDINGS; i++) assert_int_equal(w.times[i], 2);
    }
    qv_toy_bench_close(&b);
}

static void windows_cover_the_recording(void **state)
{
    (void)state;
    for (int patch = 1; patch <= 17; patch++)
        for (int frames = 1; frames <= 80; frames++) {
            int n = qv_window_count(frames, patch, true), end = 0;
            assert_int_equal(qv_window_count(frames, patch, false), 1);
            int middle = qv_window_start(frames, patch, false, 0);
            assert_int_equal(middle, frames > patch ? (frames - patch) / 2 : 0);
            assert_true(n >= 1 && (frames > patch || n == 1));
            for (int i = 0; i < n; i++) {
                int start = qv_window_start(frames, patch, true, i);
                assert_true(start >= 0 && (frames <= patch ? start == 0 : start + patch <= frames));
                assert_true(start <= end);                  /* no frame is left out */
                assert_true(i == 0 || start + patch > end); /* no window is idle */
                if (i > 0 && i < n - 1) assert_int_equal(end - start, patch - (patch > 1 ? patch / 2 : 1));
                end = start + patch;
            }
            assert_true(end >= frames);
        }
}

static void rates_follow_the_schedule(void **state)
{
    (void)state;
    qv_toy_bench b;
    qv_toy_bench_open(&b, &(qv_toy_shape){.speakers = 5, .classes = 2, .takes = 1, .mels = 8, .shortest = 8, .longest = 8});
    b.settings.batch = 5;
    b.settings.warmup = 2;
    b.settings.lr = 0.5;
    open_trainer(&b);
    assert_int_equal(qv_trainer_steps(b.trainer, 10), 20);
    assert_int_equal(qv_trainer_steps(b.trainer, 1.1), 3);
    const struct {
        uint64_t step;
        double cosine, constant;
    } rates[] = {{0, 0.125, 0.125},
                 {1, 0.25, 0.25},
                 {3, 0.5, 0.5},
                 {4, 0.5, 0.5},
                 {8, 0.25 + 0.25 * sqrt(0.5), 0.5},
                 {12, 0.25, 0.5},
                 {16, 0.25 - 0.25 * sqrt(0.5), 0.5},
                 {20, 0, 0.5},
                 {21, 0, 0.5}};
    qv_settings constant = b.settings, warm = b.settings, falls = b.settings;
    falls.schedule = QV_SCHEDULE_STEP, falls.step_epochs = 3, falls.step_factor = 0.5;
    qv_trainer *falling = new_trainer(&b, &falls, b.toy.n);
    for (uint64_t i = 4; i < 20; i++) assert_true(fabs(qv_trainer_rate(falling, i) - 0.5 * pow(0.5, (double)(i / 6))) <= 1e-15);
    assert_true(fabs(qv_trainer_rate(falling, 1) - 0.25) <= 1e-15); /* warm-up as ever */
    qv_trainer_free(falling);
    falls.warmup = 0, falls.batch = 4, falls.step_epochs = 1; /* 2.5 steps an epoch: a fall in every third or second */
    falling = new_trainer(&b, &falls, b.toy.n);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(qv_trainer_rate(falling, i) == 0.5 * pow(0.5, (double)(4 * i / 10)));
    qv_trainer_free(falling);
    falls.step_epochs = 0.1; /* a recording: four falls a step */
    falling = new_trainer(&b, &falls, b.toy.n);
    for (uint64_t i = 0; i < 200; i++) assert_true(qv_trainer_rate(falling, i) == 0.5 * pow(0.5, (double)(4 * i)));
    qv_trainer_free(falling);
    constant.schedule = QV_SCHEDULE_CONSTANT;
    warm.warmup = 1000; /* longer than all the training */
    qv_trainer *even = new_trainer(&b, &constant, b.toy.n), *cold = new_trainer(&b, &warm, b.toy.n);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        assert_true(fabs(qv_trainer_rate(b.trainer, rates[i].step) - rates[i].cosine) <= 1e-15);
        assert_true(fabs(qv_trainer_rate(even, rates[i].step) - rates[i].constant) <= 1e-15);
    }
    for (uint64_t i = 0; i < 20; i++) assert_true(fabs(qv_trainer_rate(cold, i) - 0.5 * (double)(i + 1) / 20) <= 1e-15);
    qv_trainer_free(even);
    qv_trainer_free(cold);
    qv_toy_bench_close(&b);
}

/* ---- numbers that are none ---- */

static void count_steps(void *user, const qv_progress *p) { *(double *)user = p->done; }

static void a_loss_that_is_none_names_the_step(void **state)
{
    (void)state;
    for (int device = QV_DEVICE_CPU; device <= QV_DEVICE_REF32; device++) {
        qv_toy_bench b;
        double done = 0;
        char expected[32];
        qv_loss loss = {0};
        qv_toy_bench_open(&b, &shape);
        b.settings.device = device;
        b.settings.normalize = QV_NORM_NONE;
        for (int k = 0; k < shape.mels * b.toy.features.entries[5].frames; k++)
            b.toy.frames[b.toy.features.entries[5].first_frame * shape.mels + k] = NAN;
        open_trainer(&b);
        qv_ctx_on_progress(b.ctx, count_steps, &done);
        assert_int_equal(qv_trainer_run(b.ctx, b.trainer, 1, &loss), QV_ERR_NUMERIC);
        snprintf(expected, sizeof expected, "at step %d", (int)done);
        if (!strstr(qv_ctx_message(b.ctx), expected)) print_error("%s in: %s\n", expected, qv_ctx_message(b.ctx));
        const char *end = strstr(qv_ctx_message(b.ctx), expected);
        assert_non_null(end);
        assert_string_equal(end, expected);
        assert_int_equal(loss.steps, (int)done);
        qv_toy_bench_close(&b);
    }
}

static void damaged_weights_give_no_answer(void **state)
{
    (void)state;
    qv_toy_bench b;
    double probs[1000];
    qv_toy_bench_open(&b, &shape);
    open_trainer(&b);
    const qv_program *p = qv_trainer_net(b.trainer)->program;
    size_t i = 0;
    while (p->buffers[i].role != QV_ROLE_PARAM) i++;
    qv_exec_write(qv_trainer_exec(b.trainer), (int)i, 0, 1, &(double){NAN});
    assert_int_equal(qv_trainer_predict(b.ctx, b.trainer, b.toy.all, b.toy.n, true, probs), QV_ERR_NUMERIC);
    assert_non_null(strstr(qv_ctx_message(b.ctx), "not finite"));
    qv_toy_bench_close(&b);
}

static volatile int wish;
static void stop(int signal) { wish = signal; }

/* Between two batches of one recording, too: it may be hours long. */
static void a_long_recording_can_be_left(void **state)
{
    (void)state;
    const qv_toy_shape one = {.speakers = 1, .classes = 2, .takes = 1, .mels = 8, .shortest = 40000, .longest = 40000};
    qv_toy_bench b;
    double probs[2];
    size_t item = 0;
    qv_toy_bench_open(&b, &one);
    b.settings.batch = 2;
    open_trainer(&b);
    clock_t begin = clock();
    qv_assert_ok(b.ctx, qv_trainer_predict(b.ctx, b.trainer, &item, 1, true, probs));
    const long third = (long)((double)(clock() - begin) / CLOCKS_PER_SEC * 1e6 / 3);
    const struct itimerval in = {.it_value = {.tv_sec = third / 1000000, .tv_usec = third % 1000000}};
    qv_ctx_cancel_flag(b.ctx, &wish);
    assert_true(signal(SIGPROF, stop) != SIG_ERR);
    assert_int_equal(setitimer(ITIMER_PROF, &in, NULL), 0); /* of processor time */
    assert_int_equal(qv_trainer_predict(b.ctx, b.trainer, &item, 1, true, probs), QV_ERR_INTERRUPTED);
    qv_toy_bench_close(&b);
}

/* ---- what answers depend on ---- */

/* Parameters and running statistics of one trainer into another; `by` moves each weight by so many units of float's
 * last place, up or down by chance. */
static void copy_weights(qv_trainer *to, qv_trainer *from, double by, uint64_t *random)
{
    const qv_program *p = qv_trainer_net(from)->program;
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        if (b->alias >= 0 || (b->role != QV_ROLE_PARAM && b->role != QV_ROLE_RUNNING)) continue;
        size_t n = qv_buffer_len(b);
        double *values = malloc(n * sizeof *values);
        qv_exec_read(qv_trainer_exec(from), (int)i, 0, n, values);
        for (size_t k = 0; k < n && by > 0; k++) values[k] *= 1 + (qv_test_next(random) & 1 ? by : -by) * 0x1p-24;
        qv_exec_write(qv_trainer_exec(to), (int)i, 0, n, values);
        free(values);
    }
}

/* A trained bench, its answers, and a trainer of other settings with the same weights. */
static qv_trainer *twin(const qv_toy_bench *b, const qv_settings *s)
{
    qv_trainer *t = new_trainer(b, s, 0);
    copy_weights(t, b->trainer, 0, NULL);
    return t;
}

static void answers_depend_on_the_recording_alone(void **state)
{
    (void)state;
    qv_toy_bench b;
    qv_toy_bench_open(&b, &shape);
    b.settings.device = QV_DEVICE_REF;
    open_trainer(&b);
    train(&b, 2);
    size_t n = b.toy.n, row = (size_t)b.toy.manifest->n_classes;
    double *all = predict(&b, b.trainer);
    static const int batches[] = {1, 3, 7, 200};
    for (int k = 0; k < 4; k++) {
        qv_settings s = b.settings;
        size_t backwards[1000];
        double other[1000];
        s.batch = batches[k];
        qv_trainer *t = twin(&b, &s);
        double *same = predict(&b, t);
        assert_memory_equal(same, all, n * row * sizeof *all);
        for (size_t i = 0; i < n; i++) backwards[i] = n - 1 - i;
        qv_assert_ok(b.ctx, qv_trainer_predict(b.ctx, t, backwards, n, true, other));
        for (size_t i = 0; i < n; i++)
            assert_memory_equal(other + i * row, all + backwards[i] * row, row * sizeof *all);
        free(same);
        qv_trainer_free(t);
    }
    free(all);
    qv_toy_bench_close(&b);
}

/* A float backend rounds every product and partial sum. The longest sums of this network have 9 * 16 terms, so that a
 * layer's roundings do no more than moving each of its weights by 7 sqrt(144) = 84 half units in the last place (the
 * bound of support/op_maker.h); how far that moves the answers is measured on the reference, eight times. */
static double allowed_error(const qv_toy_bench *b, const double *answers)
{
    uint64_t random = qv_test_seed();
    qv_trainer *moved = new_trainer(b, &b->settings, 0);
    double most = 0;
    for (int run = 0; run < 8; run++) {
        copy_weights(moved, b->trainer, 84, &random);
        double *other = predict(b, moved);
        for (size_t i = 0; i < b->toy.n * 3; i++) most = fmax(most, fabs(other[i] - answers[i]));
        free(other);
    }
    qv_trainer_free(moved);
    return most;
}

static void devices_agree(void **state)
{
    (void)state;
    qv_toy_bench b;
    qv_toy_bench_open(&b, &shape);
    b.settings.device = QV_DEVICE_REF;
    b.settings.width = 4;
    open_trainer(&b);
    train(&b, 2);
    double *answers = predict(&b, b.trainer), bound = allowed_error(&b, answers);
    static const qv_device devices[] = {QV_DEVICE_REF32, QV_DEVICE_CPU};
    for (int k = 0; k < 2; k++) {
        qv_settings s = b.settings;
        double worst = 0;
        s.device = (int)devices[k];
        qv_trainer *t = twin(&b, &s);
        double *other = predict(&b, t);
        for (size_t i = 0; i < b.toy.n * 3; i++) {
            double error = fabs(other[i] - answers[i]);
            if (!(error <= worst)) worst = error;
        }
        if (!(worst <= bound))
            print_error("%s is off by %g, allowed are %g\n", qv_settings_choice(&s, "run.device"), worst, bound);
        assert_true(worst <= bound);
        free(other);
        qv_trainer_free(t);
    }
    assert_true(bound < 0.01); /* else nothing was compared */
    free(answers);
    qv_toy_bench_close(&b);
}

/* ---- normalization ---- */

enum { CONSTANT_BAND = 3 };

/* Mean and deviation of one band over the recordings that `take` accepts. */
static void band_moments(const qv_toy_bench *b, int band, const bool *take, double *mean, double *deviation)
{
    double sum = 0, square = 0, n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < b->toy.n; i++) {
            const qv_feature_entry *e = &b->toy.features.entries[i];
            for (int64_t t = e->first_frame; take[i] && t < e->first_frame + e->frames; t++) {
                double x = (double)b->toy.frames[t * shape.mels + band];
                if (pass == 0) {
                    sum += x;
                    n++;
                } else {
                    square += (x - sum / n) * (x - sum / n);
                }
            }
        }
    *mean = sum / n;
    *deviation = sqrt(square / n);
}

static void assert_row(const qv_toy_bench *b, int row, const bool *take)
{
    for (int j = 0; j < shape.mels; j++) {
        const float *norm = b->data->norm + row * 2 * shape.mels;
        double mean, deviation;
        band_moments(b, j, take, &mean, &deviation);
        assert_true(fabs(norm[j] - mean) <= fabs(mean) * 0x1p-23 + 1e-12);
        assert_true(isfinite(norm[shape.mels + j]) && norm[shape.mels + j] > 0);
        if (j == CONSTANT_BAND)
            assert_true(fabs(norm[shape.mels + j] * deviation) <= 1e-3); /* not blown up */
        else
            assert_true(fabs(norm[shape.mels + j] * deviation - 1) <= 0x1p-22);
    }
}

static void open_normalized(qv_toy_bench *b, qv_normalization how, const bool *in_training)
{
    qv_toy_bench_open(b, &shape);
    b->settings.normalize = (int)how;
    for (int64_t t = 0; t < b->toy.features.frames; t++) b->toy.frames[t * shape.mels + CONSTANT_BAND] = -23.02585f;
    open_data(b, in_training);
}

static void corpus_normalization_looks_at_training_alone(void **state)
{
    (void)state;
    qv_toy_bench b;
    bool training[1000] = {false};
    float before[2 * 16];
    for (int i = 0; i < 18; i++) training[i] = true; /* three of four speakers */
    open_normalized(&b, QV_NORM_CORPUS, training);
    assert_int_equal(b.data->norms, 1);
    assert_row(&b, 0, training);
    memcpy(before, b.data->norm, sizeof before);
    int64_t first_test = b.toy.features.entries[18].first_frame * shape.mels;
    b.toy.frames[first_test] += 1000;
    qv_dataset_free(b.data);
    open_data(&b, training);
    assert_memory_equal(b.data->norm, before, sizeof before);
    b.toy.frames[first_test - 1] += 1000; /* the last of training */
    qv_dataset_free(b.data);
    open_data(&b, training);
    assert_memory_not_equal(b.data->norm, before, sizeof before);
    qv_toy_bench_close(&b);
}

static void a_dataset_without_normalization_is_refused(void **state)
{
    (void)state;
    qv_toy_bench b;
    qv_trainer *t;
    qv_toy_bench_open(&b, &shape);
    open_data(&b, NULL);
    b.data->rows = 0;
    const qv_trainer_options o = {.items = b.toy.all, .n_items = b.toy.n};
    assert_int_equal(qv_trainer_new(b.ctx, &t, &b.settings, b.data, &o, b.toy.manifest->n_classes), QV_ERR_USAGE);
    assert_string_equal(qv_ctx_message(b.ctx), "the dataset has 0 rows of normalization; at least one is needed");
    assert_null(t);
    qv_toy_bench_close(&b);
}

static void speakers_and_utterances_have_their_own(void **state)
{
    (void)state;
    qv_toy_bench b;
    open_normalized(&b, QV_NORM_SPEAKER, NULL);
    assert_int_equal(b.data->norms, shape.speakers);
    for (int row = 0; row < shape.speakers; row++) {
        bool take[1000] = {false};
        for (size_t i = 0; i < b.toy.n; i++) take[i] = b.toy.manifest->items[i].speaker_id == row;
        assert_row(&b, row, take);
    }
    for (size_t i = 0; i < b.toy.n; i++)
        assert_int_equal(b.data->utterances[i].norm, b.toy.manifest->items[i].speaker_id);
    qv_toy_bench_close(&b);
    open_normalized(&b, QV_NORM_UTTERANCE, NULL);
    assert_int_equal(b.data->norms, b.toy.n);
    for (size_t row = 0; row < b.toy.n; row++) {
        bool take[1000] = {false};
        take[row] = true;
        assert_row(&b, (int)row, take);
        assert_int_equal(b.data->utterances[row].norm, row);
    }
    qv_toy_bench_close(&b);
}

static void no_normalization_and_one_that_is_given(void **state)
{
    (void)state;
    qv_toy_bench b;
    float given[2 * 16];
    open_normalized(&b, QV_NORM_NONE, NULL);
    for (int j = 0; j < shape.mels; j++) {
        assert_true(b.data->norm[j] == 0 && b.data->norm[shape.mels + j] == 1);
        given[j] = (float)j;
        given[shape.mels + j] = 1 / (float)(j + 1);
    }
    qv_dataset_free(b.data);
    qv_assert_ok(b.ctx, qv_dataset_new(b.ctx, &b.data, b.toy.manifest, &b.toy.features, QV_NORM_CORPUS, NULL, given));
    assert_memory_equal(b.data->norm, given, sizeof given);
    qv_toy_bench_close(&b);
}

/* Row `at` of the table gives speaker a's frames the mean and deviation that lie `share` of the way to the other's, then
 * normalizes as row `by` does. */
static void assert_voice(const qv_toy_bench *b, int at, int by, const bool *a, const bool *other, double share)
{
    for (int j = 0; j < shape.mels; j++) {
        const float *norm = b->data->norm + by * 2 * shape.mels, *row = b->data->norm + at * 2 * shape.mels;
        double mean, to, deviation, to_deviation;
        band_moments(b, j, a, &mean, &deviation);
        band_moments(b, j, other, &to, &to_deviation);
        double g = 1 + share * (fmax(to_deviation, 1e-3) / fmax(deviation, 1e-3) - 1), target = mean + share * (to - mean);
        double r = g * (double)norm[shape.mels + j], got = (mean - (double)row[j]) * (double)row[shape.mels + j];
        /* each of the table's floats is off by half a unit, its moments by no more */
        double size = fabs(mean) + fabs(target) + fabs((double)norm[j]) + fabs((double)row[j]);
        assert_true(fabs((double)row[shape.mels + j] / r - 1) <= 8 * 0x1p-24);
        assert_true(fabs(got - (target - (double)norm[j]) / g * r) <= 8 * 0x1p-24 * size * r * (1 + 1 / g));
    }
}

enum { TRAINING = 3, EACH = 128 };

/* From row `first` on; speaker a is normalized by row a * each_own. */
static void assert_voices(const qv_toy_bench *b, bool of[TRAINING][1000], int first, int each_own)
{
    assert_int_equal(b->data->voices, EACH);
    assert_int_equal(b->data->rows, first + TRAINING * EACH);
    for (int a = 0; a < TRAINING; a++)
        for (int k = 0; k < EACH; k++)
            assert_voice(b, first + a * EACH + k, a * each_own, of[a], of[(a + 1 + k) % TRAINING],
                         fmod((k + 1) * 0.6180339887498949, 1));
}

static void voices_stand_between_those_of_training(void **state)
{
    (void)state;
    qv_toy_bench b;
    bool of[TRAINING][1000] = {{false}}, training[1000] = {false};
    float plain[2 * 16];
    for (int i = 0; i < 18; i++) training[i] = of[i / 6][i] = true;
    open_normalized(&b, QV_NORM_CORPUS, training);
    memcpy(plain, b.data->norm, sizeof plain);
    qv_dataset_free(b.data);
    b.settings.voices = 1;
    open_data(&b, training);
    assert_int_equal(b.data->norms, 1);
    assert_memory_equal(b.data->norm, plain, sizeof plain);
    for (int i = 0; i < 18; i++) {
        assert_int_equal(b.data->utterances[i].norm, 0);
        assert_int_equal(b.data->utterances[i].voices, 1 + i / 6 * EACH);
    }
    assert_voices(&b, of, 1, 0);
    qv_dataset_free(b.data);
    b.settings.normalize = QV_NORM_SPEAKER;
    open_data(&b, training);
    assert_int_equal(b.data->norms, shape.speakers);
    for (int i = 0; i < 18; i++) assert_int_equal(b.data->utterances[i].norm, i / 6);
    assert_voices(&b, of, shape.speakers, 1);
    qv_dataset_free(b.data);
    b.settings.normalize = QV_NORM_UTTERANCE;
    open_data(&b, training);
    assert_int_equal(b.data->voices, 0);
    qv_toy_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_what_is_separable),
        cmocka_unit_test(learns_from_augmented_mixtures),
        cmocka_unit_test(balanced_sampling_draws_classes_alike),
        cmocka_unit_test(balanced_epochs_draw_classes_alike),
        cmocka_unit_test(balanced_classes_are_mixed_with_all_others),
        cmocka_unit_test(epoch_orders_are_permutations),
        cmocka_unit_test(every_recording_is_seen_once_an_epoch),
        cmocka_unit_test(windows_cover_the_recording),
        cmocka_unit_test(rates_follow_the_schedule),
        cmocka_unit_test(a_loss_that_is_none_names_the_step),
        cmocka_unit_test(damaged_weights_give_no_answer),
        cmocka_unit_test(a_long_recording_can_be_left),
        cmocka_unit_test(answers_depend_on_the_recording_alone),
        cmocka_unit_test(devices_agree),
        cmocka_unit_test(corpus_normalization_looks_at_training_alone),
        cmocka_unit_test(a_dataset_without_normalization_is_refused),
        cmocka_unit_test(speakers_and_utterances_have_their_own),
        cmocka_unit_test(no_normalization_and_one_that_is_given),
        cmocka_unit_test(voices_stand_between_those_of_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
