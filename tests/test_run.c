/* A whole training over the embedded corpus: what the run folder holds, and that a run which was interrupted at any
 * step ends with the same bits as one that was not. */
#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/safetensors.h"
#include "data/audio.h"
#include "data/resample.h"
#include "data/synth.h"
#include "run/record.h"
#include "run/run.h"
#include "support/support.h"
#include "train/checkpoint.h"

static const char *corpus; /* made once: 4 speakers x 4 emotions x 1 sentence */

typedef struct fixture {
    qv_ctx *ctx;
    qv_settings settings;
    qv_run_options options;
    char *dir, *out, *cache;
    int cancel;        /* the flag */
    int steps_allowed; /* then it goes up */
    int steps;
    bool stop_reading; /* goes up at the first recording */
    qv_buf log;
} fixture;

static char *below(const char *dir, const char *name)
{
    qv_ctx *ctx = qv_ctx_new();
    char *path;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, name));
    qv_ctx_free(ctx);
    return path;
}

static void on_log(void *user, qv_log_level level, const char *text)
{
    fixture *x = user;
    (void)level;
    qv_buf_printf(&x->log, "%s\n", text);
}

static void on_progress(void *user, const qv_progress *p)
{
    fixture *x = user;
    if (strcmp(p->unit, "steps") == 0 && ++x->steps == x->steps_allowed) x->cancel = 1;
    if (strcmp(p->unit, "files") == 0 && x->stop_reading) x->cancel = 1;
}

/* Two folds of 8 training recordings: 2 steps an epoch, 6 epochs, evaluation after each second. */
static void tiny_settings(fixture *x)
{
    qv_settings *s = &x->settings;
    qv_assert_ok(x->ctx, qv_settings_init(x->ctx, s));
    char *manifest = below(corpus, "manifest.csv");
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, s, "corpus.manifest", manifest));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, s, "split.folds", "2"));
    free(manifest);
    s->val_speakers = 0;
    s->mels = 8;
    s->patch_seconds = 8 * s->hop;
    s->width = 2;
    s->batch = 4;
    s->epochs = 6;
    s->eval_every = 2;
    s->threads = 1;
}

static int setup(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    x->ctx = qv_ctx_new();
    x->dir = qv_test_tmpdir();
    x->out = below(x->dir, "run");
    x->cache = below(corpus, "cache");
    x->options = (qv_run_options){.out = x->out, .cache_dir = x->cache, .command = "quaver train"};
    tiny_settings(x);
    qv_ctx_on_log(x->ctx, on_log, x);
    qv_ctx_on_progress(x->ctx, on_progress, x);
    qv_ctx_cancel_flag(x->ctx, &x->cancel);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    fixture *x = *state;
    qv_settings_free(&x->settings);
    qv_buf_free(&x->log);
    qv_test_rmdir(x->dir);
    free(x->out);
    free(x->cache);
    qv_ctx_free(x->ctx);
    free(x);
    return 0;
}

static qv_status run(fixture *x, const char *out)
{
    qv_summary summary;
    x->options.out = out;
    x->cancel = 0;
    x->steps = 0;
    qv_status status = qv_run(x->ctx, &x->settings, &x->options, &summary);
    qv_summary_free(&summary);
    return status;
}

static void assert_message(const fixture *x, const char *part)
{
    if (strstr(qv_ctx_message(x->ctx), part)) return;
    print_error("expected \"%s\" in: %s\n", part, qv_ctx_message(x->ctx));
    fail();
}

static char *text_of(fixture *x, const char *out, const char *name, size_t *size)
{
    char *path = below(out, name), *text;
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, path, 1 << 24, &text, size));
    free(path);
    return text;
}

/* results.csv without the columns that a clock fills. */
static char *timeless(char *rows)
{
    qv_buf b = {0};
    for (char *line = rows; *line;) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        for (int column = 0; line < end; column++) {
            size_t n = strcspn(line, ",\n");
            if (column != 3 && column != 11) {
                qv_buf_add(&b, line, n);
                qv_buf_puts(&b, ",");
            }
            line += n + 1;
        }
        qv_buf_puts(&b, "\n");
        line = end + 1;
    }
    free(rows);
    return b.data;
}

static void assert_same_file(fixture *x, const char *a, const char *b, const char *name)
{
    size_t n, m;
    char *one = text_of(x, a, name, &n), *two = text_of(x, b, name, &m);
    if (strcmp(name, "results.csv") == 0) {
        one = timeless(one);
        two = timeless(two);
        n = strlen(one);
        m = strlen(two);
    }
    if (n != m || memcmp(one, two, n) != 0) print_error("%s differs in %s and %s\n", name, a, b);
    assert_true(n == m && memcmp(one, two, n) == 0);
    free(one);
    free(two);
}

static void assert_same_run(fixture *x, const char *a, const char *b)
{
    static const char *const files[] = {"config.ini",
                                        "results.csv",
                                        "predictions.csv",
                                        "fold-1/best.safetensors",
                                        "fold-2/best.safetensors",
                                        "fold-1/last.safetensors",
                                        "fold-2/last.safetensors"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) assert_same_file(x, a, b, files[i]);
}

/* ---- tests ---- */

static void the_folder_holds_all(void **state)
{
    static const char *const files[] = {"config.ini",
                                        "results.csv",
                                        "results.jsonl",
                                        "predictions.csv",
                                        "summary.json",
                                        "report.html",
                                        "model-card.md",
                                        "fold-1/best.safetensors",
                                        "fold-1/last.safetensors",
                                        "fold-2/best.safetensors",
                                        "fold-2/last.safetensors"};
    fixture *x = *state;
    qv_summary summary, read = {0};
    qv_settings then;
    qv_buf values = {0};
    qv_assert_ok(x->ctx, qv_run(x->ctx, &x->settings, &x->options, &summary));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = below(x->out, files[i]);
        if (!qv_path_exists(path)) print_error("there is no %s\n", files[i]);
        assert_true(qv_path_exists(path));
        free(path);
    }
    assert_int_equal(summary.n_folds, 2);
    assert_int_equal(summary.recordings, 16);
    assert_int_equal(summary.overlap, 0);
    assert_int_equal(summary.pooled.n, 16);
    assert_true(summary.finished && summary.threads == 1 && summary.parameters > 0);
    assert_int_equal(summary.folds[0].epoch, x->settings.epochs);
    qv_assert_ok(x->ctx, qv_summary_read(x->ctx, &read, x->out));
    assert_string_equal(read.manifest_hash, summary.manifest_hash);
    assert_true(read.pooled.ua == summary.pooled.ua);
    qv_assert_ok(x->ctx, qv_settings_init(x->ctx, &then));
    qv_assert_ok(x->ctx, qv_run_settings(x->ctx, &then, x->out));
    assert_null(qv_settings_differ(&then, &x->settings, "", &values));
    assert_non_null(strstr(x->log.data, "speakers on both sides: 0"));
    qv_buf_free(&values);
    qv_settings_free(&then);
    qv_summary_free(&read);
    qv_summary_free(&summary);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

static void records_have_a_row_an_epoch_and_recording(void **state)
{
    fixture *x = *state;
    size_t size;
    qv_assert_ok(x->ctx, run(x, x->out));
    char *rows = text_of(x, x->out, "results.csv", &size), *predictions = text_of(x, x->out, "predictions.csv", &size);
    char *json = text_of(x, x->out, "results.jsonl", &size);
    assert_memory_equal(
        rows, "fold,epoch,step,seconds,lr,loss,train_ua,val_ua,test_ua,gap_val,gap_test,samples_per_second\n1,1,2,",
        96);
    assert_int_equal(count_lines(rows), 1 + 2 * 6);
    assert_int_equal(count_lines(json), 2 * 6);
    assert_int_equal(count_lines(predictions), 1 + 16);
    free(rows);
    free(json);
    free(predictions);
}

/* The learning rate is that of the epoch's last step: the first epoch ends with the second of the 4 steps of warm-up,
 * the last one with the last of the cosine's 8, 7 of which are done then. */
static void a_row_has_the_rate_of_its_last_step(void **state)
{
    fixture *x = *state;
    qv_records r = {0};
    char *names[] = {"a", "b", "c", "d"};
    qv_assert_ok(x->ctx, run(x, x->out));
    char *predictions = below(x->out, "predictions.csv"); /* of classes that do not matter here */
    assert_int_equal(remove(predictions), 0);
    free(predictions);
    r.classes = names, r.n_classes = 4;
    qv_assert_ok(x->ctx, qv_records_read(x->ctx, &r, x->out));
    assert_int_equal(r.n_rows, 12);
    assert_true(r.rows[0].lr == x->settings.lr * 2 / 4);
    assert_true(fabs(r.rows[5].lr - x->settings.lr * 0.5 * (1 + cos(acos(-1) * 7 / 8))) <= 1e-15);
    qv_records_free(&r);
}

/* Interrupts after so many steps, again and again, until the run is done; how often that was. */
static int run_in_pieces(fixture *x, const char *out, int steps)
{
    int interruptions = 0;
    qv_status status;
    x->steps_allowed = steps;
    x->options.resume = false;
    while ((status = run(x, out)) == QV_ERR_INTERRUPTED) {
        x->options.resume = true;
        assert_true(++interruptions <= 30);
        assert_int_equal(x->steps, steps); /* the step at hand was finished, none was begun */
    }
    qv_assert_ok(x->ctx, status);
    x->steps_allowed = 0;
    return interruptions;
}

/* 2 folds x 6 epochs x 2 steps; stops fall inside of epochs, between them, and into evaluations. */
static void pieces_make_the_whole(void **state)
{
    static const int lengths[] = {1, 3, 4, 5, 7, 12, 13};
    fixture *x = *state;
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_int_equal(x->steps, 24);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char name[16];
        snprintf(name, sizeof name, "pieces-%d", lengths[i]);
        char *out = below(x->dir, name);
        assert_int_equal(run_in_pieces(x, out, lengths[i]), 24 / lengths[i]);
        assert_same_run(x, x->out, out);
        free(out);
    }
    assert_non_null(strstr(x->log.data, "interrupted in fold 2 after step 1 of 12; --resume goes on from there"));
    assert_non_null(strstr(x->log.data, "fold 2: going on after step 1, in epoch 1"));
}

/* Validation speakers choose the epoch; the choice and its weights must survive. */
static void the_best_epoch_survives(void **state)
{
    fixture *x = *state;
    x->settings.val_speakers = 1;
    x->settings.epoch_rule = QV_EPOCH_BEST;
    x->settings.bn_eval = QV_BN_EVEN;
    x->settings.batch = 3;
    qv_assert_ok(x->ctx, run(x, x->out));
    char *out = below(x->dir, "pieces");
    assert_true(run_in_pieces(x, out, 3) > 3);
    assert_same_run(x, x->out, out);
    free(out);
}

/* Only the batch norms' statistics are other ones: what the optimizer remembers is of the best epoch, too. */
static void the_best_checkpoint_is_of_one_step(void **state)
{
    fixture *x = *state;
    x->settings.val_speakers = 1;
    x->settings.epoch_rule = QV_EPOCH_BEST;
    x->settings.batch = 3;
    x->settings.epochs = 12;
    x->settings.eval_every = 1;
    qv_assert_ok(x->ctx, run(x, x->out));
    x->settings.bn_eval = QV_BN_EVEN;
    char *even = below(x->dir, "even");
    qv_assert_ok(x->ctx, run(x, even));
    size_t moments = 0, others = 0;
    for (int fold = 1; fold <= 2; fold++) {
        char name[40];
        qv_st_file *a, *b, *last;
        snprintf(name, sizeof name, "fold-%d/best.safetensors", fold);
        char *one = below(x->out, name), *two = below(even, name);
        qv_assert_ok(x->ctx, qv_st_open(x->ctx, &a, one));
        qv_assert_ok(x->ctx, qv_st_open(x->ctx, &b, two));
        snprintf(name, sizeof name, "fold-%d/last.safetensors", fold);
        char *end = below(even, name);
        qv_assert_ok(x->ctx, qv_st_open(x->ctx, &last, end));
        for (size_t i = 0; i < qv_st_count(a); i++) {
            const qv_st_tensor *t = qv_st_at(a, i), *u = qv_st_find(b, t->name), *v = qv_st_find(last, t->name);
            if (strstr(t->name, ".running_")) continue;
            assert_memory_equal(t->data, u->data, t->bytes);
            moments += strstr(t->name, ".moment") != NULL;
            others += strstr(t->name, ".moment") && memcmp(t->data, v->data, t->bytes) != 0;
        }
        qv_st_close(a), qv_st_close(b), qv_st_close(last);
        free(one), free(two), free(end);
    }
    assert_true(moments > 0 && others > 0); /* else the best epochs were the last ones */
    free(even);
}

/* It ends some evaluations behind the best one, resumed or not; without val there is nothing to be patient with. */
static void patience_ends_a_training(void **state)
{
    fixture *x = *state;
    x->settings.val_speakers = 1;
    x->settings.epoch_rule = QV_EPOCH_BEST;
    x->settings.batch = 3;
    x->settings.epochs = 60;
    x->settings.eval_every = 1;
    x->settings.patience = 2;
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_non_null(strstr(x->log.data, "stays the best on val"));
    char *out = below(x->dir, "pieces");
    assert_true(run_in_pieces(x, out, 1) > 3);
    assert_same_run(x, x->out, out);
    free(out);
    x->settings.val_speakers = 0;
    out = below(x->dir, "without");
    assert_int_equal(run(x, out), QV_ERR_USAGE);
    assert_message(x, "eval.patience = 2 needs");
    free(out);
}

static bool has_config(const char *out)
{
    char *config = below(out, "config.ini");
    bool there = qv_path_exists(config);
    free(config);
    return there;
}

/* Recordings are read before anything is trained, for hours where there are many. */
static void reading_can_be_interrupted(void **state)
{
    fixture *x = *state;
    char *whole = below(x->dir, "whole");
    qv_assert_ok(x->ctx, run(x, whole));
    x->options.no_cache = true;
    x->options.cache_dir = NULL;
    x->stop_reading = true;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    assert_int_equal(x->steps, 0);
    x->options.resume = true;
    x->settings.batch = 5;
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "begun with another train.batch");
    x->settings.batch = 4;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    x->stop_reading = false;
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_same_run(x, whole, x->out);
    free(whole);
}

static void a_mistake_begins_no_run(void **state)
{
    fixture *x = *state;
    x->settings.batch = 9;
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "training set of 8 recordings; 8 is the largest that fits");
    assert_false(has_config(x->out));
    x->settings.batch = 4;
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_true(has_config(x->out));
}

/* What a process that was killed leaves: an older checkpoint beside newer records. */
static void an_older_checkpoint_is_gone_on_with(void **state)
{
    fixture *x = *state;
    char *last = below(x->out, "fold-1/last.safetensors"), *other = below(x->dir, "whole");
    size_t size;
    x->steps_allowed = 4;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    char *old = text_of(x, x->out, "fold-1/last.safetensors", &size);
    x->options.resume = true;
    x->steps_allowed = 5;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, last, old, size));
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
    x->options.resume = false;
    qv_assert_ok(x->ctx, run(x, other));
    assert_same_run(x, x->out, other);
    free(old);
    free(other);
    free(last);
}

/* A checkpoint whose place is none must not be gone on from. */
static void a_checkpoint_out_of_place_is_refused(void **state)
{
    fixture *x = *state;
    size_t size;
    char *last = below(x->out, "fold-1/last.safetensors");
    x->steps_allowed = 4;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    char *data = text_of(x, x->out, "fold-1/last.safetensors", &size), *at = NULL;
    for (size_t i = 0; i + 10 < size && !at; i++)
        if (memcmp(data + i, "\"step\":\"4\"", 10) == 0) at = data + i;
    assert_non_null(at);
    at[8] = '9';
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, last, data, size));
    x->options.resume = true;
    assert_int_equal(run(x, x->out), QV_ERR_DATA);
    assert_message(x, "fold-1/last.safetensors: step 9");
    free(data);
    free(last);
}

/* Another fold's checkpoint has heard who is tested here; another order of classes means other answers. */
static void a_checkpoint_of_something_else_is_refused(void **state)
{
    static const struct {
        const char *then, *now, *want;
    } cases[] = {
        {"\"fold\":\"1\"", "\"fold\":\"2\"", "fold-1/last.safetensors is of fold 2, not of fold 1"},
        {"[\\\"anger\\\",\\\"happiness\\\"", "[\\\"happiness\\\",\\\"anger\\\"", "tells other classes apart"},
    };
    fixture *x = *state;
    char *last = below(x->out, "fold-1/last.safetensors");
    x->steps_allowed = 4;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    x->options.resume = true;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        size_t size, n = strlen(cases[k].then);
        char *data = text_of(x, x->out, "fold-1/last.safetensors", &size), *at = NULL;
        for (size_t i = 0; i + n < size && !at; i++)
            if (memcmp(data + i, cases[k].then, n) == 0) at = data + i;
        assert_non_null(at);
        memcpy(at, cases[k].now, n);
        qv_assert_ok(x->ctx, qv_write_file(x->ctx, last, data, size));
        assert_int_equal(run(x, x->out), QV_ERR_DATA);
        assert_message(x, cases[k].want);
        memcpy(at, cases[k].then, n);
        qv_assert_ok(x->ctx, qv_write_file(x->ctx, last, data, size));
        free(data);
    }
    free(last);
}

/* The corpus is a copy of one, whose first recording can be spoilt. */
static void a_recording_that_is_gone_is_missed(void **state)
{
    fixture *x = *state;
    char *manifest = below(x->dir, "manifest.csv"), *first = below(x->dir, "s01_anger_01.wav");
    size_t size, length;
    char *text = text_of(x, corpus, "manifest.csv", &size), *sound = text_of(x, corpus, "wav/s01_anger_01.wav", &length);
    qv_buf b = {0};
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        int n = (int)strcspn(line, "\n");
        bool own = strncmp(line, "wav/s01_anger_01", 16) == 0;
        if (line == text)
            qv_buf_printf(&b, "%.*s\n", n, line);
        else
            qv_buf_printf(&b, "%s%s%.*s\n", own ? "" : corpus, own ? "" : "/wav/", n - 4, line + 4);
    }
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, manifest, b.data, b.len));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, first, sound, length));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "corpus.manifest", manifest));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, first, "gone", 4));
    x->settings.batch = 8; /* the second fold's training is one short of that */
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "training set of 7 recordings");
    assert_int_equal(x->steps, 0);
    x->settings.batch = 4;
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, first, sound, length));
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    x->options.resume = true;
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, first, "gone", 4));
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "0 of the recordings of");
    assert_message(x, "1 cannot be read now; bring them back");
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, first, sound, length));
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    assert_null(strstr(x->log.data, "are others than when"));
    sound[length - 1] ^= 1; /* as long as it was */
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, first, sound, length));
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
    qv_test_says(x->log.data, "are others than when");
    qv_buf_free(&b);
    free(text), free(sound), free(manifest), free(first);
}

/* Where no validation recording can be read the last epoch would count, and the summary would say that the best does.
 */
static void a_choice_needs_something_to_judge_by(void **state)
{
    static const char *const emotions[] = {"anger", "happiness", "neutral", "sadness"};
    static const char *const parts[] = {"train", "train", "test"};
    fixture *x = *state;
    char *manifest = below(x->dir, "split.csv"), *gone = below(x->dir, "gone.wav");
    qv_buf b = {0};
    qv_buf_puts(&b, "file,speaker,emotion,split\n");
    for (int s = 0; s < 3; s++)
        for (int e = 0; e < 4; e++)
            qv_buf_printf(&b, "%s/wav/s0%d_%s_01.wav,s0%d,%s,%s\n", corpus, s + 1, emotions[e], s + 1, emotions[e],
                          parts[s]);
    qv_buf_printf(&b, "%s,s04,anger,val\n", gone);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, manifest, b.data, b.len));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, gone, "gone", 4));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "corpus.manifest", manifest));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "split.folds", "split"));
    x->settings.epoch_rule = QV_EPOCH_BEST;
    assert_int_equal(run(x, x->out), QV_ERR_DATA);
    assert_message(x, "nothing to judge by in fold split: of its 1 validation recordings none can be read");
    x->settings.epoch_rule = QV_EPOCH_LAST;
    qv_assert_ok(x->ctx, run(x, x->out));
    qv_buf_free(&b);
    free(manifest), free(gone);
}

/* A run that is finished and whose weights were removed is none that all is well with. */
static void lost_weights_are_missed(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run(x, x->out));
    char *best = below(x->out, "fold-2/best.safetensors");
    assert_int_equal(remove(best), 0);
    x->options.resume = true;
    qv_assert_ok(x->ctx, run(x, x->out));
    qv_test_says(x->log.data, "fold-2/best.safetensors, which fold 2 had when it was finished, is gone");
    assert_null(strstr(x->log.data, "which fold 1 had"));
    free(best);
}

/* The largest settings there are: what is to be removed is counted back without an overflow. */
static void nothing_is_kept_for_ever(void **state)
{
    fixture *x = *state;
    x->settings.keep = x->settings.eval_every = 1000000;
    qv_assert_ok(x->ctx, run(x, x->out));
    char *kept = below(x->out, "fold-1/epoch-0006.safetensors");
    assert_true(qv_path_exists(kept));
    free(kept);
}

/* A process that is killed in writing a checkpoint leaves part of it, under a name that nobody would write again. */
static void what_killed_writes_left_is_removed(void **state)
{
    static const char *const left[] = {"fold-2/last.safetensors.tmp-12", "fold-2/best.safetensors.tmp-3",
                                       "fold-2/epoch-0002.safetensors.tmp-99"},
                             *const theirs[] = {"fold-2/epoch-0002.safetensors.tmp-",
                                                "fold-2/epoch-x.safetensors.tmp-1", "fold-2/notes.tmp-1"};
    enum { LEFT = sizeof left / sizeof *left, THEIRS = sizeof theirs / sizeof *theirs };
    fixture *x = *state;
    x->settings.keep = 1;
    for (int force = 0; force < 2; force++) {
        x->options.resume = x->options.force = false;
        x->steps_allowed = force ? 0 : 3;
        if (!force) assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
        for (int i = 0; i < LEFT; i++) qv_test_put(x->ctx, x->out, left[i], "half of");
        for (int i = 0; i < THEIRS; i++) qv_test_put(x->ctx, x->out, theirs[i], "somebody's");
        x->options.resume = !force;
        x->options.force = force;
        x->steps_allowed = force; /* --force has removed it before the first step */
        assert_int_equal(run(x, x->out), force ? QV_ERR_INTERRUPTED : QV_OK);
        for (int i = 0; i < LEFT + THEIRS; i++) {
            char *path = below(x->out, i < LEFT ? left[i] : theirs[i - LEFT]);
            assert_true(qv_path_exists(path) == (i >= LEFT));
            free(path);
        }
    }
}

static void another_configuration_is_refused(void **state)
{
    fixture *x = *state;
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    x->options.resume = true;
    x->settings.lr = 0.125;
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "train.lr (0.05 then, 0.125 now)");
    x->settings.lr = 0.05;
    x->settings.isa = 1; /* says only how, and is warned of, at least where base is not the best */
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
}

/* They are noted, and a resume where they are others says so and goes on, also where an earlier program noted less. */
static void other_libraries_are_told_of(void **state)
{
    fixture *x = *state;
    qv_summary summary = {0};
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    qv_assert_ok(x->ctx, qv_summary_read(x->ctx, &summary, x->out));
    qv_test_says(summary.libraries, qv_cpu_conv_name().text);
    qv_test_says(summary.libraries, qv_decoder_name());
    qv_test_says(summary.libraries, qv_resampler_name());
    x->options.resume = true;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    assert_null(strstr(x->log.data, "another library"));
    qv_assert_ok(x->ctx, qv_summary_set(x->ctx, &summary.libraries, "%s", qv_cpu_conv_name().text));
    qv_assert_ok(x->ctx, qv_summary_write(x->ctx, &summary, x->out));
    qv_summary_free(&summary);
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
    qv_test_says(x->log.data, "was begun with another library");
}

static void another_corpus_is_refused(void **state)
{
    fixture *x = *state;
    char *manifest = below(x->dir, "manifest.csv");
    size_t size;
    char *text = text_of(x, corpus, "manifest.csv", &size);
    qv_buf b = {0};
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) { /* the same files, seen from here */
        int n = (int)strcspn(line, "\n");
        if (line == text)
            qv_buf_printf(&b, "%.*s\n", n, line);
        else
            qv_buf_printf(&b, "%s/%.*s\n", corpus, n, line);
    }
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, manifest, b.data, b.len));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "corpus.manifest", manifest));
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    b.data[--b.len] = '\0'; /* a recording fewer */
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, manifest, b.data, (size_t)(strrchr(b.data, '\n') + 1 - b.data)));
    x->options.resume = true;
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "manifest.csv has changed since");
    qv_buf_free(&b);
    free(text);
    free(manifest);
}

static void other_folds_are_refused(void **state)
{
    fixture *x = *state;
    char *folds = below(x->dir, "folds.txt");
    const char before[] = "1: s01 s02\n2: s03 s04\n", after[] = "1: s01 s03\n2: s02 s04\n";
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, folds, before, strlen(before)));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "split.folds", folds));
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    x->options.resume = true;
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, folds, after, strlen(after)));
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "have changed since");
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, folds, before, strlen(before)));
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
    free(folds);
}

static void a_finished_folder_is_kept(void **state)
{
    fixture *x = *state;
    size_t n, m;
    qv_assert_ok(x->ctx, run(x, x->out));
    char *before = text_of(x, x->out, "results.csv", &n);
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "--force");
    char *after = text_of(x, x->out, "results.csv", &m);
    assert_true(n == m && memcmp(before, after, n) == 0);
    x->options.resume = true; /* nothing is left to do */
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_int_equal(x->steps, 0);
    free(before);
    free(after);
}

static void force_starts_anew(void **state)
{
    fixture *x = *state;
    char *other = below(x->dir, "other"), *stale = below(x->out, "fold-2/last.safetensors");
    char *older = below(x->out, "fold-9/best.safetensors"), *mine = below(x->out, "fold-8/notes.txt");
    char *kept = below(x->out, "fold-8/epoch-0003.safetensors"), *nine = below(x->out, "fold-9");
    qv_assert_ok(x->ctx, run(x, x->out));
    qv_test_put(x->ctx, x->out, "fold-9/best.safetensors", "of a run with more folds");
    qv_test_put(x->ctx, x->out, "fold-8/epoch-0003.safetensors", "");
    qv_test_put(x->ctx, x->out, "fold-8/notes.txt", "somebody's");
    x->settings.seed = 2;
    x->options.force = true;
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    assert_false(qv_path_exists(stale)); /* of the first seed */
    assert_false(qv_path_exists(older) || qv_path_exists(nine) || qv_path_exists(kept));
    assert_true(qv_path_exists(mine));
    free(older), free(mine), free(kept), free(nine);
    x->options.force = false;
    x->options.resume = true;
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
    x->options.resume = false;
    qv_assert_ok(x->ctx, run(x, other));
    assert_same_run(x, x->out, other);
    free(stale);
    free(other);
}

/* What somebody keeps there is not a run's to remove. */
static void a_folder_of_something_else_is_left_alone(void **state)
{
    fixture *x = *state;
    static const char *const theirs[] = {"fold-9/best.safetensors", "results.csv"};
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
        char *path = below(x->out, theirs[i]), *other = below(x->out, "fold-x/epoch-notes.txt");
        qv_test_put(x->ctx, x->out, theirs[i], "kept");
        qv_test_put(x->ctx, x->out, "fold-x/epoch-notes.txt", "kept");
        assert_int_equal(run(x, x->out), QV_ERR_USAGE);
        assert_message(x, "is there, though no run that could be gone on with");
        assert_true(qv_path_exists(path) && qv_path_exists(other));
        assert_int_equal(remove(path), 0);
        free(path), free(other);
    }
    qv_assert_ok(x->ctx, run(x, x->out));
    char *other = below(x->out, "fold-x/epoch-notes.txt");
    assert_true(qv_path_exists(other));
    free(other);
}

/* By whatever name: the weights to begin with would be gone before they are read. */
static void the_start_is_found_behind_links(void **state)
{
    fixture *x = *state;
    char *folder = below(x->dir, "elsewhere"), *moved = below(x->out, "fold-1"), *link = below(x->dir, "link.safetensors");
    char *best = below(x->out, "fold-1/best.safetensors");
    x->settings.epochs = 2;
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_int_equal(rename(moved, folder), 0);
    assert_int_equal(symlink(folder, moved), 0);
    assert_int_equal(symlink(best, link), 0);
    x->options.force = true;
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "train.init_from", link));
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "which is cleared first");
    assert_true(qv_path_exists(link));
    free(folder), free(moved), free(link), free(best);
}

static char **speakers_of(fixture *x, const char *path, int *n)
{
    qv_checkpoint *c;
    qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &c, path));
    char **names = calloc((size_t)c->n_speakers + 1, sizeof *names);
    *n = c->n_speakers;
    for (int i = 0; i < *n; i++) names[i] = strdup(c->speakers[i]);
    qv_checkpoint_close(c);
    return names;
}

/* Whom the weights to begin with have heard is no new voice: the run says so, and so do its own weights, which hand it
 * on. */
static void what_it_begins_with_has_heard_voices(void **state)
{
    fixture *x = *state;
    char *first = below(x->dir, "first"), *moved = below(x->dir, "moved.safetensors");
    char *start = below(first, "fold-1/best.safetensors"), *end = below(x->out, "fold-1/best.safetensors");
    qv_summary summary = {0};
    int n;
    x->settings.epochs = 2;
    qv_assert_ok(x->ctx, run(x, first)); /* its fold 1 trains on the speakers that fold 2 tests */
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "train.init_from", start));
    x->options.dry_run = true;
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_non_null(strstr(x->log.data, "2 of the speakers who are tested have the names of those that"));
    x->options.dry_run = false;
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    assert_int_equal(rename(start, moved), 0);
    x->options.resume = true;
    x->options.command = "quaver train --resume";
    x->steps_allowed = 0;
    assert_int_equal(run(x, x->out), QV_ERR_IO);
    assert_message(x, "with whose weights fold 2 has yet to begin");
    assert_int_equal(x->steps, 0); /* fold 1 could go on, but this is better known at once */
    assert_int_equal(rename(moved, start), 0);
    qv_assert_ok(x->ctx, run(x, x->out));
    qv_assert_ok(x->ctx, qv_summary_read(x->ctx, &summary, x->out));
    assert_int_equal(summary.heard, 2);
    assert_int_equal(summary.n_notes, 1);
    assert_non_null(strstr(summary.notes[0], "Speakers who are tested have the names"));
    assert_string_equal(summary.command, "quaver train"); /* what repeats all of it */
    qv_summary_free(&summary);
    char **names = speakers_of(x, end, &n);
    assert_int_equal(n, 2);
    for (int i = 0; i < n; i++) free(names[i]);
    free(names), free(end);
    end = below(x->out, "fold-2/best.safetensors");
    names = speakers_of(x, end, &n);
    assert_int_equal(n, 4); /* its own two, and those that the start had heard */
    for (int i = 0; i < n; i++) free(names[i]);
    free(names), free(first), free(moved), free(start), free(end);
}

/* Whatever its path leads to meanwhile: while a fold has yet to begin it must be what the others began with, and no
 * longer. */
static void all_folds_begin_with_the_same_weights(void **state)
{
    fixture *x = *state;
    char *first = below(x->dir, "first"), *whole = below(x->dir, "whole"), *start = below(x->dir, "start.safetensors");
    size_t size, other_size;
    x->settings.epochs = 2;
    qv_assert_ok(x->ctx, run(x, first));
    char *weights = text_of(x, first, "fold-1/best.safetensors", &size);
    char *others = text_of(x, first, "fold-2/best.safetensors", &other_size);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, start, weights, size));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "train.init_from", start));
    qv_assert_ok(x->ctx, run(x, whole));
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    x->options.resume = true;
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, start, others, other_size));
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "start.safetensors holds other weights than when");
    assert_message(x, "fold 2 has yet to begin");
    assert_int_equal(x->steps, 0);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, start, weights, size));
    x->steps_allowed = 2; /* the last of fold 1, the first of fold 2 */
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    assert_int_equal(remove(start), 0);
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
    assert_same_run(x, whole, x->out);
    free(first), free(whole), free(start), free(weights), free(others);
}

/* One that a program without that hash has begun goes on as it did. */
static void a_start_that_nobody_noted_is_believed(void **state)
{
    fixture *x = *state;
    char *first = below(x->dir, "first"), *start = below(first, "fold-1/best.safetensors");
    qv_summary summary = {0};
    size_t size;
    x->settings.epochs = 2;
    qv_assert_ok(x->ctx, run(x, first));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "train.init_from", start));
    x->steps_allowed = 3;
    assert_int_equal(run(x, x->out), QV_ERR_INTERRUPTED);
    qv_assert_ok(x->ctx, qv_summary_read(x->ctx, &summary, x->out));
    assert_int_equal(strlen(summary.start_hash), 32);
    free(summary.start_hash);
    summary.start_hash = NULL;
    qv_assert_ok(x->ctx, qv_summary_write(x->ctx, &summary, x->out));
    qv_summary_free(&summary);
    char *others = text_of(x, first, "fold-2/best.safetensors", &size);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, start, others, size));
    x->options.resume = true;
    x->steps_allowed = 0;
    qv_assert_ok(x->ctx, run(x, x->out));
    qv_assert_ok(x->ctx, qv_summary_read(x->ctx, &summary, x->out));
    assert_null(summary.start_hash); /* what fold 1 began with is not known */
    qv_summary_free(&summary);
    free(first), free(start), free(others);
}

/* Mistakes are found before the earlier run is given up. */
static void force_gives_up_nothing_for_a_mistake(void **state)
{
    fixture *x = *state;
    char *last = below(x->out, "fold-2/last.safetensors"), *nowhere = below(x->dir, "nowhere");
    qv_assert_ok(x->ctx, run(x, x->out));
    x->options.force = true;
    x->settings.batch = 99;
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "train.batch = 99");
    x->settings.batch = 4;
    x->settings.patience = 2;
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "eval.patience = 2");
    x->settings.patience = 0;
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "train.init_from", nowhere));
    assert_int_equal(run(x, x->out), QV_ERR_IO);
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "train.init_from", last));
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "which is cleared first; copy it elsewhere");
    x->settings.width = 3;
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "net.width");
    assert_true(qv_path_exists(last));
    char *other = below(x->dir, "other");
    x->settings.width = 2;
    x->options.force = false;
    qv_assert_ok(x->ctx, run(x, other));
    free(other), free(nowhere), free(last);
}

static void folds_without_a_class_are_refused(void **state)
{
    fixture *x = *state;
    char *folds = below(x->dir, "folds.txt"), *wavs = below(corpus, "wav/s"), *manifest = below(x->dir, "lonely.csv");
    qv_buf b = {0};
    qv_buf_puts(&b, "file,speaker,emotion\n");
    for (int speaker = 1; speaker <= 4; speaker++)
        for (int e = 0; e < 3 + (speaker == 2); e++) /* one emotion is shown by the second speaker alone */
            qv_buf_printf(&b, "%s%02d_%s_01.wav,%d,%s\n", wavs, speaker, qv_synth_emotions[e], speaker,
                          qv_synth_emotions[e]);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, manifest, b.data, b.len));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, folds, "one: 1 2\ntwo: 3 4\n", 18));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "corpus.manifest", manifest));
    qv_assert_ok(x->ctx, qv_settings_set(x->ctx, &x->settings, "split.folds", folds));
    assert_int_equal(run(x, x->out), QV_ERR_DATA);
    assert_message(x, qv_synth_emotions[3]);
    assert_false(qv_path_exists(x->out)); /* refused before anything was written */
    qv_buf_free(&b);
    free(manifest);
    free(wavs);
    free(folds);
}

static void a_folder_that_cannot_be_written_is_refused(void **state)
{
    fixture *x = *state;
    char *file = below(x->dir, "file"), *under = below(file, "run");
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, file, "", 0));
    assert_int_equal(run(x, under), QV_ERR_IO);
    assert_message(x, file);
    assert_int_equal(x->steps, 0);
    free(under);
    free(file);
}

static void a_folder_in_use_is_refused(void **state)
{
    fixture *x = *state;
    qv_lock other;
    bool taken;
    qv_assert_ok(x->ctx, qv_make_dirs(x->ctx, x->out));
    qv_assert_ok(x->ctx, qv_lock_take(x->ctx, &other, x->out, 0, &taken));
    assert_int_equal(run(x, x->out), QV_ERR_USAGE);
    assert_message(x, "another process");
    assert_int_equal(x->steps, 0);
    qv_lock_release(&other);
    qv_assert_ok(x->ctx, run(x, x->out));
}

/* The learning rate lets the weights grow until they leave the range of float. */
static void broken_numbers_leave_the_last_good_checkpoint(void **state)
{
    fixture *x = *state;
    qv_checkpoint *c;
    char *last = below(x->out, "fold-1/last.safetensors");
    x->settings.lr = 100;
    x->settings.momentum = 0.9999;
    x->settings.weight_decay = 10;
    x->settings.schedule = QV_SCHEDULE_CONSTANT;
    x->settings.epochs = 1000;
    assert_int_equal(run(x, x->out), QV_ERR_NUMERIC);
    assert_message(x, "step");
    assert_message(x, "train.lr");
    assert_message(x, qv_path_exists(last) ? last : "no checkpoint yet");
    if (qv_path_exists(last)) {
        qv_assert_ok(x->ctx, qv_checkpoint_open(x->ctx, &c, last));
        qv_checkpoint_close(c);
    }
    free(last);
}

static int make_corpus(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_synth_options o = qv_synth_defaults();
    o.speakers = 4;
    o.sentences = 1;
    corpus = qv_test_tmpdir();
    qv_assert_ok(ctx, qv_synth_corpus(ctx, corpus, &o));
    qv_ctx_free(ctx);
    return 0;
}

static int remove_corpus(void **state)
{
    (void)state;
    qv_test_rmdir((char *)(uintptr_t)corpus);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_folder_holds_all, setup, teardown),
        cmocka_unit_test_setup_teardown(records_have_a_row_an_epoch_and_recording, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_has_the_rate_of_its_last_step, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_make_the_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(the_best_checkpoint_is_of_one_step, setup, teardown),
        cmocka_unit_test_setup_teardown(a_choice_needs_something_to_judge_by, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_weights_are_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_best_epoch_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(patience_ends_a_training, setup, teardown),
        cmocka_unit_test_setup_teardown(an_older_checkpoint_is_gone_on_with, setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_out_of_place_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_of_something_else_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_can_be_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mistake_begins_no_run, setup, teardown),
        cmocka_unit_test_setup_teardown(a_recording_that_is_gone_is_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_kept_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(what_killed_writes_left_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(another_configuration_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(other_libraries_are_told_of, setup, teardown),
        cmocka_unit_test_setup_teardown(another_corpus_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(other_folds_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_finished_folder_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(force_starts_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(what_it_begins_with_has_heard_voices, setup, teardown),
        cmocka_unit_test_setup_teardown(all_folds_begin_with_the_same_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_that_nobody_noted_is_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_of_something_else_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(the_start_is_found_behind_links, setup, teardown),
        cmocka_unit_test_setup_teardown(force_gives_up_nothing_for_a_mistake, setup, teardown),
        cmocka_unit_test_setup_teardown(folds_without_a_class_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_written_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_in_use_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_numbers_leave_the_last_good_checkpoint, setup, teardown),
    };
    return cmocka_run_group_tests(tests, make_corpus, remove_corpus);
}
