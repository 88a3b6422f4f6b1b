/* Checkpoints: saved and loaded to the bit, training goes on as if never interrupted, hostile files are refused. */
#include <math.h>

#include "base/safetensors.h"
#include "support/support.h"
#include "support/toy.h"
#include "train/import.h"

static const qv_toy_shape shape = {
    .speakers = 3, .classes = 2, .takes = 2, .mels = 8, .shortest = 5, .longest = 20, .apart = 3};

typedef struct fixture {
    qv_ctx *ctx;
    qv_toy toy;
    qv_settings settings;
    qv_dataset *data;
    qv_trainer *trainer;    /* trains on all but the last speaker */
    char *dir, *good, *bad; /* paths */
    qv_checkpoint *c;
} fixture;

enum { TRAINING = 8 };

static qv_trainer *new_trainer(const fixture *x, qv_device device)
{
    qv_trainer *t;
    qv_settings s = x->settings;
    qv_trainer_options o = {.items = x->toy.all, .n_items = TRAINING, .fold = 3};
    s.device = (int)device;
    qv_assert_ok(x->ctx, qv_trainer_new(x->ctx, &t, &s, x->data, &o, x->toy.manifest->n_classes));
    return t;
}

static void train(const fixture *x, qv_trainer *t, uint64_t epochs, qv_loss *loss)
{
    qv_assert_ok(x->ctx, qv_trainer_run(x->ctx, t, epochs, loss));
}

static void save(fixture *x, qv_trainer *t, qv_device device, const qv_checkpoint_info *info)
{
    qv_settings s = x->settings;
    s.device = (int)device;
    qv_assert_ok(x->ctx, qv_checkpoint_save(x->ctx, t, &s, x->data, "fold 1", info, x->good));
}

static int setup(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    bool in_training[12] = {false};
    x->ctx = qv_test_ctx();
    qv_toy_make(x->ctx, &x->toy, &shape, qv_test_seed());
    qv_toy_settings(x->ctx, &x->settings, shape.mels);
    for (int i = 0; i < TRAINING; i++) in_training[i] = true;
    qv_assert_ok(
        x->ctx, qv_dataset_new(x->ctx, &x->data, x->toy.manifest, &x->toy.features, QV_NORM_CORPUS, in_training, NULL));
    x->trainer = new_trainer(x, QV_DEVICE_CPU);
    x->dir = qv_test_tmpdir();
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &x->good, x->dir, "good.safetensors"));
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &x->bad, x->dir, "bad.safetensors"));
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    fixture *x = *state;
    qv_checkpoint_close(x->c);
    qv_trainer_free(x->trainer);
    qv_dataset_free(x->data);
    qv_settings_free(&x->settings);
    qv_toy_free(&x->toy);
    qv_test_rmdir(x->dir);
    free(x->good);
    free(x->bad);
    qv_ctx_free(x->ctx);
    free(x);
    return 0;
}

/* ---- round trips ---- */

static bool is_state(const qv_buffer *b)
{
    return b->alias < 0 && (b->role == QV_ROLE_PARAM || b->role == QV_ROLE_RUNNING || qv_role_is_memory(b->role));
}

/* All that a training changes; `rounded`: b holds a's values as floats. */
static void assert_same_state(qv_trainer *a, qv_trainer *b, bool rounded)
{
    const qv_program *p = qv_trainer_net(a)->program;
    int compared = 0;
    for (size_t i = 0; i < p->n_buffers; i++) {
        if (!is_state(&p->buffers[i])) continue;
        size_t n = qv_buffer_len(&p->buffers[i]);
        double *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
        qv_exec_read(qv_trainer_exec(a), (int)i, 0, n, x);
        qv_exec_read(qv_trainer_exec(b), (int)i, 0, n, y);
        for (size_t k = 0; rounded && k < n; k++) x[k] = (double)(float)x[k];
        assert_memory_equal(x, y, n * sizeof *x);
        free(x);
        free(y);
        compared++;
    }
    assert_true(compared > 20);
}

static void goes_on_to_the_bit(fixture *x, qv_device device)
{
    qv_trainer *one = new_trainer(x, device), *two = new_trainer(x, device);
    qv_loss loss = {0}, other;
    train(x, one, 3, &loss);
    qv_checkpoint_info info = {.step = qv_trainer_step(one), .epoch = 2, .loss = {loss.sum, 2}, .best_epoch = 1, .best_ua = 0.1 + 0.2};
    save(x, one, device, &info);
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_load(x->ctx, x->c, two, true));
    assert_int_equal(qv_trainer_step(two), qv_trainer_step(one));
    assert_same_state(one, two, false);
    other = loss;
    train(x, one, 7, &loss);
    train(x, two, 7, &other);
    assert_true(other.steps == loss.steps && other.sum == loss.sum);
    assert_same_state(one, two, false);
    qv_checkpoint_close(x->c);
    x->c = NULL;
    qv_trainer_free(one);
    qv_trainer_free(two);
}

static void training_goes_on_to_the_bit(void **state)
{
    goes_on_to_the_bit(*state, QV_DEVICE_CPU);
    goes_on_to_the_bit(*state, QV_DEVICE_REF32);
    goes_on_to_the_bit(*state, QV_DEVICE_REF);
}

static void all_that_is_said_comes_back(void **state)
{
    fixture *x = *state;
    qv_buf values = {0};
    qv_checkpoint_info info = {.step = 6, .epoch = 2, .loss = {1.0 / 3, 2}, .best_epoch = 1, .best_ua = 0.1 + 0.2};
    save(x, x->trainer, QV_DEVICE_CPU, &info);
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    const qv_checkpoint *c = x->c;
    assert_null(qv_settings_differ(&c->settings, &x->settings, "", &values));
    assert_string_equal(c->fold, "fold 1");
    assert_int_equal(c->n_classes, 2);
    assert_string_equal(c->classes[1], "c1");
    assert_int_equal(c->n_speakers, 2); /* s3 is not trained on */
    assert_string_equal(c->speakers[0], "s1");
    assert_string_equal(c->speakers[1], "s2");
    assert_true(c->info.step == 6 && c->info.epoch == 2 && c->info.best_epoch == 1 && c->info.best_ua == 0.1 + 0.2);
    assert_true(c->info.loss.sum == 1.0 / 3 && c->info.loss.steps == 2);
    assert_memory_equal(c->norm, x->data->norm, 2 * 8 * sizeof *c->norm);
    qv_buf_free(&values);
}

static double value_of(qv_trainer *t, size_t buffer, size_t k)
{
    double v;
    qv_exec_read(qv_trainer_exec(t), (int)buffer, k, 1, &v);
    return v;
}

/* Weights and statistics are those of the first training, moments and the step are not; where `classifier` says no,
 * that has its own start. */
static void assert_start(qv_trainer *first, qv_trainer *fresh, qv_trainer *t, bool classifier)
{
    const qv_program *p = qv_trainer_net(t)->program;
    assert_int_equal(qv_trainer_step(t), 0);
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        if (!is_state(b)) continue;
        bool own = qv_role_is_memory(b->role) || (!classifier && strncmp(b->name, "linear.", 7) == 0);
        for (size_t k = 0; k < qv_buffer_len(b); k++)
            assert_true(value_of(t, i, k) == value_of(own ? fresh : first, i, k));
    }
}

static void a_training_begins_with_the_weights_of_another(void **state)
{
    fixture *x = *state;
    qv_loss loss = {0};
    bool new_head;
    char *const others[] = {"c0", "c9"};
    train(x, x->trainer, 2, &loss);
    save(x, x->trainer, QV_DEVICE_CPU, &(qv_checkpoint_info){0});
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    for (int same = 0; same < 2; same++) {
        qv_trainer *t = new_trainer(x, QV_DEVICE_CPU), *fresh = new_trainer(x, QV_DEVICE_CPU);
        char *const *classes = same ? x->toy.manifest->classes : others;
        qv_assert_ok(x->ctx, qv_checkpoint_start(x->ctx, x->c, t, &x->settings, classes, 2, &new_head));
        assert_int_equal(new_head, !same);
        assert_start(x->trainer, fresh, t, same);
        qv_trainer_free(t), qv_trainer_free(fresh);
    }
    assert_true(qv_checkpoint_heard(x->c, "s1") && qv_checkpoint_heard(x->c, "other/s1") &&
                !qv_checkpoint_heard(x->c, "s3"));
}

static void another_network_is_no_start(void **state)
{
    fixture *x = *state;
    bool new_head;
    save(x, x->trainer, QV_DEVICE_CPU, &(qv_checkpoint_info){0});
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    static const struct {
        const char *key, *value, *message;
    } cases[] = {{"net.width", "3", "net.width (2 then, 3 now)"},
                 {"net.order", "relu", "net.order"},
                 {"features.hop", "0.01", "features.hop"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_settings s = x->settings;
        qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &s, cases[i].key, cases[i].value));
        assert_int_equal(qv_checkpoint_start(x->ctx, x->c, x->trainer, &s, x->toy.manifest->classes, 2, &new_head),
                         QV_ERR_USAGE);
        assert_non_null(strstr(qv_ctx_message(x->ctx), cases[i].message));
    }
    qv_settings s = x->settings; /* what belongs to the recordings may differ */
    s.normalize = QV_NORM_SPEAKER;
    s.loudness = 1 - s.loudness;
    qv_assert_ok(x->ctx, qv_checkpoint_start(x->ctx, x->c, x->trainer, &s, x->toy.manifest->classes, 2, &new_head));
    qv_checkpoint_close(x->c);
    /* Nor does what a file of an older version says of sound, where there was none. */
    x->settings.kind = QV_KIND_NPY;
    x->settings.rate = 8000;
    save(x, x->trainer, QV_DEVICE_CPU, &(qv_checkpoint_info){0});
    x->settings.rate = 16000;
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_alike(x->ctx, x->c, &x->settings));
}

static void adamw_goes_on_to_the_bit(void **state)
{
    fixture *x = *state;
    x->settings.optimizer = QV_OPTIMIZER_ADAMW;
    x->settings.clip = 0.5;
    x->settings.lr = 0.002;
    goes_on_to_the_bit(x, QV_DEVICE_CPU);
    goes_on_to_the_bit(x, QV_DEVICE_REF);
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    assert_non_null(qv_st_find(x->c->file, "stem.conv.square"));
}

static void predicting_takes_no_moments(void **state)
{
    fixture *x = *state;
    qv_loss loss = {0};
    double a[12 * 2], b[12 * 2];
    qv_trainer *other = new_trainer(x, QV_DEVICE_CPU);
    train(x, x->trainer, 2, &loss);
    save(x, x->trainer, QV_DEVICE_CPU, &(qv_checkpoint_info){0});
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_load(x->ctx, x->c, other, false));
    assert_int_equal(qv_trainer_step(other), 0);
    qv_assert_ok(x->ctx, qv_trainer_predict(x->ctx, x->trainer, x->toy.all, x->toy.n, true, a));
    qv_assert_ok(x->ctx, qv_trainer_predict(x->ctx, other, x->toy.all, x->toy.n, true, b));
    assert_memory_equal(a, b, sizeof a);
    qv_trainer_free(other);
}

static void devices_read_each_other(void **state)
{
    fixture *x = *state;
    qv_trainer *wide = new_trainer(x, QV_DEVICE_REF), *narrow = new_trainer(x, QV_DEVICE_CPU);
    qv_loss loss = {0};
    train(x, wide, 2, &loss);
    save(x, wide, QV_DEVICE_REF, &(qv_checkpoint_info){0});
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_load(x->ctx, x->c, narrow, true));
    assert_same_state(wide, narrow, true);
    qv_checkpoint_close(x->c);
    save(x, narrow, QV_DEVICE_CPU, &(qv_checkpoint_info){0});
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_load(x->ctx, x->c, wide, true));
    assert_same_state(narrow, wide, false);
    qv_trainer_free(wide);
    qv_trainer_free(narrow);
}

static void a_save_that_fails_leaves_the_old_file(void **state)
{
    fixture *x = *state;
    char *beyond;
    save(x, x->trainer, QV_DEVICE_CPU, &(qv_checkpoint_info){0});
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &beyond, x->good, "below-a-file.safetensors"));
    assert_int_equal(
        qv_checkpoint_save(x->ctx, x->trainer, &x->settings, x->data, "1", &(qv_checkpoint_info){0}, beyond),
        QV_ERR_IO);
    assert_non_null(strstr(qv_ctx_message(x->ctx), beyond));
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    free(beyond);
}

/* ---- files that are not what they claim ---- */

/* A copy of the good file with one thing changed. */
typedef struct change {
    const char *drop, *reshape, *spoil, *retype; /* a tensor */
    float with;                                  /* what it is spoilt with; 0: NaN */
    const char *key, *value;                     /* a metadatum; value NULL: dropped */
    const char *old[3], *new[3];                 /* parts of the settings */
    const char *expected[2];                     /* in the message, beside the file's name */
    qv_status status;                            /* 0: QV_ERR_DATA */
} change;

static bool named(const char *wish, const qv_st_tensor *t) { return wish && strcmp(wish, t->name) == 0; }

static void add_tensor(const fixture *x, qv_st_writer *w, const qv_st_tensor *t, const change *ch)
{
    static float spoilt[1 << 16];
    size_t dims[QV_ST_MAX_DIMS];
    const void *data = t->data;
    if (named(ch->drop, t)) return;
    memcpy(dims, t->shape, sizeof dims);
    int last = t->ndim - 1;
    if (named(ch->reshape, t)) dims[last]--;
    if (named(ch->spoil, t)) {
        assert_true(t->count <= 1 << 16);
        memcpy(spoilt, t->data, t->bytes);
        spoilt[t->count - 1] = ch->with != 0 ? ch->with : NAN;
        data = spoilt;
    }
    qv_assert_ok(x->ctx,
                 qv_st_add(x->ctx, w, t->name, named(ch->retype, t) ? QV_ST_I32 : t->dtype, t->ndim, dims, data));
}

/* The text with its first `old` replaced. */
static char *replaced(const char *text, const char *old, const char *new)
{
    qv_buf b = {0};
    const char *at = strstr(text, old);
    assert_non_null(at);
    qv_buf_add(&b, text, (size_t)(at - text));
    qv_buf_puts(&b, new);
    qv_buf_puts(&b, at + strlen(old));
    return b.data;
}

static void add_metadata(const fixture *x, qv_st_writer *w, const qv_st_file *f, const change *ch)
{
    for (size_t i = 0; i < qv_st_meta_count(f); i++) {
        const char *key, *value;
        char *text = NULL;
        qv_st_meta_at(f, i, &key, &value);
        bool changed = ch->key && strcmp(key, ch->key) == 0;
        if (changed && !ch->value) continue;
        for (size_t k = 0; k < 3 && ch->old[k] && strcmp(key, "settings") == 0; k++) {
            char *before = text;
            text = replaced(before ? before : value, ch->old[k], ch->new[k]);
            free(before);
        }
        qv_assert_ok(x->ctx, qv_st_add_meta(x->ctx, w, key, changed ? ch->value : text ? text : value));
        free(text);
    }
}

static void write_changed(const fixture *x, const change *ch)
{
    qv_st_file *f;
    qv_st_writer *w;
    qv_assert_ok(x->ctx, qv_st_open(x->ctx, &f, x->good));
    qv_assert_ok(x->ctx, qv_st_writer_new(x->ctx, &w));
    for (size_t i = 0; i < qv_st_count(f); i++) add_tensor(x, w, qv_st_at(f, i), ch);
    add_metadata(x, w, f, ch);
    qv_assert_ok(x->ctx, qv_st_write(x->ctx, w, x->bad));
    qv_st_writer_free(w);
    qv_st_close(f);
}

/* Opening the bad file, or putting it to work, fails; where the data are to blame the message names the file. */
static void assert_refused(fixture *x, qv_status why, const char *const expected[2])
{
    qv_status status = qv_checkpoint_open(x->ctx, &x->c, x->bad);
    if (status == QV_OK) {
        qv_settings s = x->c->settings;
        qv_trainer *t = NULL;
        qv_trainer_options none = {.fold = 0};
        status = qv_trainer_new(x->ctx, &t, &s, x->data, &none, x->c->n_classes);
        if (status == QV_OK) status = qv_checkpoint_load(x->ctx, x->c, t, true);
        qv_trainer_free(t);
    }
    const char *message = qv_ctx_message(x->ctx);
    bool all = status == why && (why != QV_ERR_DATA || strstr(message, "bad.safetensors"));
    for (int k = 0; k < 2 && expected[k]; k++) all = all && strstr(message, expected[k]);
    if (!all) print_error("%s: \"%s\"; expected: %s, %s\n", qv_status_name(status), message, expected[0], expected[1]);
    assert_true(all);
    qv_checkpoint_close(x->c);
    x->c = NULL;
}

static const change changes[] = {
    {.drop = "stem.conv", .expected = {"stem.conv"}},
    {.drop = "norm", .expected = {"norm"}},
    {.reshape = "linear.weight", .expected = {"linear.weight", "2"}},
    {.spoil = "linear.weight", .expected = {"linear.weight", "nan"}},
    {.spoil = "norm", .expected = {"norm", "is nan; a positive scale"}},
    {.spoil = "norm", .with = -1, .expected = {"norm", "is -1; a positive scale"}},
    {.spoil = "stage1.block0.bn2.running_var", .with = -1e-5f, .expected = {"bn2.running_var", "negative variance"}},
    {.retype = "linear.bias", .expected = {"linear.bias", "I32"}},
    {.key = "format", .expected = {"format"}},
    {.key = "format", .value = "pt", .expected = {"not a checkpoint"}},
    {.key = "format_version", .value = "2", .expected = {"newer"}},
    {.key = "format_version", .value = "two", .expected = {"format_version", "two"}},
    {.key = "settings", .expected = {"settings"}},
    {.key = "settings", .value = "width", .expected = {":1", "key = value"}},
    {.key = "settings", .value = "[net]\nwidht = 3", .expected = {":2", "net.width"}},
    {.key = "settings",
     .value = "[net]\nnewthing = 3",
     .expected = {"): metadata \"settings\":2: there is no setting net.newthing"}},
    {.key = "quaver",
     .value = "9.8.7",
     .old = {"width = 2"},
     .new = {"newthing = 3"},
     .expected = {"written by quaver 9.8.7): metadata \"settings\":", "no setting net.newthing"}},
    {.key = "settings", .value = "[net]\nwidth = 1e9", .expected = {":2", "from 1 to"}},
    {.key = "settings", .value = "[net]\nwidth = nan", .expected = {":2", "net.width"}},
    {.key = "settings", .value = "[net]\nwidth = \"\x01\x7F\"", .expected = {":2", "net.width"}},
    {.key = "classes", .expected = {"classes"}},
    {.key = "classes", .value = "[\"c0\"]", .expected = {"classes"}},
    {.key = "classes", .value = "[\"c0\", 1]", .expected = {"classes"}},
    {.key = "classes", .value = "[\"c0\", \"\\u001b[2J\"]", .expected = {"classes"}},
    {.key = "classes", .value = "[\"c0\", \"c0\"]", .expected = {"classes", "c0 twice"}},
    {.key = "classes", .value = "{\"c0\": \"c1\"}", .expected = {"classes"}},
    {.key = "classes", .value = "[\"c0\", \"c1\"", .expected = {"classes"}},
    {.key = "classes", .value = "[\"c0\", \"c1\", \"c2\"]", .expected = {"linear", "3"}},
    {.key = "speakers", .expected = {"speakers"}},
    {.key = "speakers", .value = "[[]]", .expected = {"speakers"}},
    {.key = "fold", .expected = {"fold"}},
    {.key = "step", .value = "-1", .expected = {"step"}},
    {.key = "step", .value = "99999999999999999999", .expected = {"step"}},
    {.key = "epoch", .value = "11", .expected = {"epoch", "10"}},    /* of 10 */
    {.key = "best_epoch", .value = "2", .expected = {"best_epoch"}}, /* after epoch 1 */
    {.key = "best_ua", .value = "inf", .expected = {"best_ua"}},
    {.key = "best_ua", .value = "1.5", .expected = {"best_ua", "from -1 to 1"}},
    {.key = "loss_steps", .value = "3", .expected = {"loss_steps"}}, /* of 2 */
    {.key = "loss_sum", .value = "0x", .expected = {"loss_sum"}},
    {.key = "loss_sum", .expected = {"loss_sum"}},
    {.old = {"width = 2"}, .new = {"width = 4"}, .expected = {"conv", "4"}},
    {.old = {"blocks = 1"}, .new = {"blocks = 2"}, .expected = {"block"}},
    {.old = {"width = 2"}, .new = {"width = 2\nwidth = 2"}, .expected = {"net.width", "twice"}},
    {.old = {"groups = 1"}, .new = {"groups = 3"}, .expected = {"net.groups"}},
    {.old = {"fft = 512"}, .new = {"fft = 500"}, .expected = {"settings", "features.fft"}},
    {.old = {"low = 0"}, .new = {"low = 9000"}, .expected = {"settings", "features.low"}},
    {.old = {"mels = 8"}, .new = {"mels = 9"}, .expected = {"norm", "9"}},
    {.old = {"width = 2", "blocks = 1"}, .new = {"width = 1024", "blocks = 64"}, .expected = {"stem"}},
    {.old = {"width = 2", "seconds = 0.16", "hop = 0.02"},
     .new = {"width = 1024", "seconds = 60", "hop = 0.001"},
     .expected = {"metadata \"settings\": patches of 60000 frames", "net.width smaller"}},
    {.old = {"batch = 4", "seconds = 0.16", "hop = 0.02"},
     .new = {"batch = 65536", "seconds = 60", "hop = 0.001"},
     .status = QV_ERR_MEMORY},
};

static void changed_files_are_refused(void **state)
{
    fixture *x = *state;
    qv_checkpoint_info info = {.step = 2, .epoch = 1, .loss = {1, 1}, .best_epoch = 1, .best_ua = 0.5};
    save(x, x->trainer, QV_DEVICE_CPU, &info);
    write_changed(x, &(change){0}); /* a mere copy is fine */
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->bad));
    qv_assert_ok(x->ctx, qv_checkpoint_load(x->ctx, x->c, x->trainer, true));
    qv_checkpoint_close(x->c);
    x->c = NULL;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_changed(x, &changes[i]);
        assert_refused(x, changes[i].status ? changes[i].status : QV_ERR_DATA, changes[i].expected);
    }
}

/* A file of weights as others write them, all 0.5, but for element 0 of one tensor and the last of "norm". Linear
 * layers have two dimensions there, also with one output. */
static void put_weights(const fixture *x, const char *spoilt, float with, float last_scale)
{
    static float halves[1 << 16], other[1 << 16];
    const qv_program *p = qv_trainer_net(x->trainer)->program;
    qv_st_writer *w;
    float norm[2 * 8];
    for (size_t i = 0; i < 1 << 16; i++) halves[i] = other[i] = 0.5f;
    for (size_t i = 0; i < 16; i++) norm[i] = i < 15 ? 1 : last_scale;
    other[0] = with;
    qv_assert_ok(x->ctx, qv_st_writer_new(x->ctx, &w));
    qv_assert_ok(x->ctx, qv_st_add(x->ctx, w, "norm", QV_ST_F32, 2, (size_t[]){2, 8}, norm));
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        size_t conv[] = {(size_t)b->n, (size_t)b->c, (size_t)b->h, (size_t)b->w}, vector[] = {(size_t)b->c};
        bool flat = b->n == 1 && b->h == 1 && b->w == 1, linear = strcmp(b->name, "embed.weight") == 0;
        if (b->alias >= 0 || (b->role != QV_ROLE_PARAM && b->role != QV_ROLE_RUNNING)) continue;
        assert_true(qv_buffer_len(b) <= 1 << 16);
        qv_assert_ok(x->ctx, qv_st_add(x->ctx, w, b->name, QV_ST_F32,
                                       linear ? 2
                                       : flat ? 1
                                              : 4,
                                       flat && !linear ? vector : conv, strcmp(b->name, spoilt) == 0 ? other : halves));
    }
    qv_assert_ok(x->ctx, qv_st_write(x->ctx, w, x->bad));
    qv_st_writer_free(w);
}

/* What import writes can be read; what could not be, it refuses. */
static void an_import_can_be_read(void **state)
{
    fixture *x = *state;
    static const char variance[] = "stage1.block0.bn2.running_var", weight[] = "linear.weight";
    static const struct {
        const char *spoilt;
        float with, scale;
        const char *says;
    } cases[] = {{variance, -1e-5f, 1, "no negative variance"},
                 {weight, NAN, 1, "a finite float"},
                 {weight, 0, 0, "element 15 of \"norm\" is 0; a positive scale was expected"},
                 {weight, 0, -1, "element 15 of \"norm\" is -1; a positive scale was expected"}};
    const qv_import in = {.weights = x->bad,
                          .settings = &x->settings,
                          .classes = x->toy.manifest->classes,
                          .n_classes = x->toy.manifest->n_classes};
    put_weights(x, variance, 0, 1);
    qv_assert_ok(x->ctx, qv_import_write(x->ctx, &in, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_load(x->ctx, x->c, x->trainer, false));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_weights(x, cases[i].spoilt, cases[i].with, cases[i].scale);
        assert_int_equal(qv_import_write(x->ctx, &in, x->good), QV_ERR_DATA);
        qv_test_says(qv_ctx_message(x->ctx), cases[i].says);
    }
}

/* Names that no checkpoint may have are not written. */
static void an_import_has_names_for_its_classes(void **state)
{
    fixture *x = *state;
    static char *const lists[][2] = {{"c0", "c0"}, {"c0", "c\x1b[2J"}, {"c0", "caf\xe9"}, {"", "c1"}, {"c0", NULL}};
    static const char *const says[] = {"c0 twice", "no name", "no name", "no name", "2 to 1000"};
    qv_import in = {.weights = x->bad, .settings = &x->settings};
    put_weights(x, "", 0, 1);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char *names[] = {lists[i][0], lists[i][1]};
        in.classes = names;
        in.n_classes = names[1] ? 2 : 1;
        assert_int_equal(qv_import_write(x->ctx, &in, x->good), QV_ERR_USAGE);
        qv_test_says(qv_ctx_message(x->ctx), says[i]);
        assert_false(qv_path_exists(x->good));
    }
}

/* Its weights are a row there and a vector here. */
static void an_import_takes_a_layer_with_one_output(void **state)
{
    fixture *x = *state;
    const qv_import in = {.weights = x->bad,
                          .settings = &x->settings,
                          .classes = x->toy.manifest->classes,
                          .n_classes = x->toy.manifest->n_classes};
    qv_trainer_free(x->trainer);
    x->settings.embed = 1;
    x->trainer = new_trainer(x, QV_DEVICE_CPU);
    put_weights(x, "embed.weight", 0.25f, 1);
    qv_assert_ok(x->ctx, qv_import_write(x->ctx, &in, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_load(x->ctx, x->c, x->trainer, false));
}

static void an_import_takes_the_settings_of_a_gpu(void **state)
{
    fixture *x = *state;
    const qv_import in = {.weights = x->bad,
                          .settings = &x->settings,
                          .classes = x->toy.manifest->classes,
                          .n_classes = x->toy.manifest->n_classes};
    put_weights(x, "", 0, 1);
    x->settings.device = QV_DEVICE_CUDA;
    x->settings.precision = QV_PRECISION_BF16;
    qv_assert_ok(x->ctx, qv_import_write(x->ctx, &in, x->good));
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &x->c, x->good));
    assert_int_equal(x->c->settings.device, QV_DEVICE_CPU);
    assert_int_equal(x->c->settings.precision, QV_PRECISION_FP32);
}

/* What nothing could open is not trained or written; what is opened is judged in batches that fit. */
static void a_window_has_a_limit(void **state)
{
    fixture *x = *state;
    static const struct {
        int kind, frames, mels, width, batch; /* batch: of 8, 0: refused */
        const char *says;
    } cases[] = {{QV_KIND_MEL, 64, 64, 16, 8, NULL},
                 {QV_KIND_MEL, 6000, 64, 32, 1, NULL}, /* a minute in hops of 0.01 s, --preset reference */
                 {QV_KIND_IMAGE, 1024, 1024, 2, 4, NULL},
                 {QV_KIND_IMAGE, 4096, 4096, 2, 1, NULL},
                 {QV_KIND_IMAGE, 1448, 1448, 16, 1, NULL},
                 {QV_KIND_IMAGE, 1449, 1449, 16, 0, "images of 1449 rows with 1449 values"},
                 {QV_KIND_NPY, 60000, 1024, 64, 0, "make patch.frames or net.width smaller"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_checkpoint c = {.settings = x->settings}; /* borrowed texts */
        c.settings.kind = cases[i].kind;
        c.settings.patch_frames = cases[i].frames;
        c.settings.mels = cases[i].mels;
        c.settings.width = cases[i].width;
        c.settings.batch = 8;
        qv_status status = qv_checkpoint_check_size(x->ctx, &c.settings);
        assert_int_equal(status, cases[i].batch ? QV_OK : QV_ERR_USAGE);
        if (cases[i].batch) assert_int_equal(qv_checkpoint_batch(&c), cases[i].batch);
        if (cases[i].says) qv_test_says(qv_ctx_message(x->ctx), cases[i].says);
    }
    qv_settings large = x->settings;
    large.patch_frames = 1 << 16;
    large.width = 1024;
    const qv_import in = {.weights = x->bad,
                          .settings = &large,
                          .classes = x->toy.manifest->classes,
                          .n_classes = x->toy.manifest->n_classes};
    put_weights(x, "", 0, 1);
    assert_int_equal(qv_import_write(x->ctx, &in, x->good), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "make patch.frames or net.width smaller");
    assert_false(qv_path_exists(x->good));
}

static void put(const fixture *x, const void *data, size_t n)
{
    FILE *f = fopen(x->bad, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void lying_headers_are_refused(void **state)
{
    fixture *x = *state;
    char *data;
    size_t size;
    static const uint64_t lengths[] = {0, 1, 8, 1u << 20, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    save(x, x->trainer, QV_DEVICE_CPU, &(qv_checkpoint_info){0});
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, x->good, 1 << 24, &data, &size));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *copy = malloc(size);
        memcpy(copy, data, size);
        memcpy(copy, &lengths[i], sizeof lengths[i]);
        put(x, copy, size);
        assert_refused(x, QV_ERR_DATA, (const char *const[2]){NULL});
        free(copy);
    }
    uint64_t header;
    memcpy(&header, data, sizeof header);
    const size_t cuts[] = {0,        1,        7,       8, 9, header, 8 + header - 1, 8 + header, 8 + header + 4,
                           size / 2, size - 4, size - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        put(x, data, cuts[i]);
        assert_refused(x, QV_ERR_DATA, (const char *const[2]){NULL});
    }
    free(data);
}

static void foreign_files_are_refused(void **state)
{
    fixture *x = *state;
    qv_st_writer *w;
    float one = 1;
    qv_assert_ok(x->ctx, qv_st_writer_new(x->ctx, &w));
    qv_assert_ok(x->ctx, qv_st_add(x->ctx, w, "bert.embeddings.weight", QV_ST_F32, 1, (size_t[]){1}, &one));
    qv_assert_ok(x->ctx, qv_st_write(x->ctx, w, x->bad));
    assert_refused(x, QV_ERR_DATA, (const char *const[2]){"not a checkpoint of this program"});
    qv_st_writer_free(w);
    put(x, "PK\x03\x04 this is a zip file, as PyTorch writes it, and no safetensors at all", 60);
    assert_refused(x, QV_ERR_DATA, (const char *const[2]){NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_goes_on_to_the_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(all_that_is_said_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_training_begins_with_the_weights_of_another, setup, teardown),
        cmocka_unit_test_setup_teardown(another_network_is_no_start, setup, teardown),
        cmocka_unit_test_setup_teardown(adamw_goes_on_to_the_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(predicting_takes_no_moments, setup, teardown),
        cmocka_unit_test_setup_teardown(devices_read_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_save_that_fails_leaves_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_import_can_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(an_import_has_names_for_its_classes, setup, teardown),
        cmocka_unit_test_setup_teardown(an_import_takes_a_layer_with_one_output, setup, teardown),
        cmocka_unit_test_setup_teardown(an_import_takes_the_settings_of_a_gpu, setup, teardown),
        cmocka_unit_test_setup_teardown(a_window_has_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_headers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_files_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
