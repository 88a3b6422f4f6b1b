/* The run folder: summary.json there and back, report.html from realistic, extreme, hostile and damaged folders.
 *
 * QV_REPORT_OUT=DIR makes the realistic and the extreme folders below DIR instead, to be looked at in a browser. */
#include <ctype.h>
#include <math.h>

#include "report/card.h"
#include "report/report.h"
#include "report/svg.h"
#include "support/support.h"

/* ---- a run folder that looks like one ---- */

typedef struct run_shape {
    const char *name;
    int folds, planned, classes, speakers, each, epochs; /* `each` recordings of each speaker and class */
    bool val, overlap, transductive, curves;
    const char *const *class_names, *speaker_prefix, *fold_prefix;
} run_shape;

static const char *const emotions[] = {"anger", "happiness", "neutral",  "sadness",
                                       "fear",  "disgust",   "surprise", "calm"};

static const run_shape realistic = {.name = "realistic",
                                    .folds = 5,
                                    .planned = 5,
                                    .classes = 4,
                                    .speakers = 10,
                                    .each = 8,
                                    .epochs = 60,
                                    .val = true,
                                    .curves = true,
                                    .class_names = emotions,
                                    .speaker_prefix = "",
                                    .fold_prefix = "fold-"};

typedef struct run_text {
    qv_buf results, predictions;
    qv_summary summary;
    int *truth, *predicted, *speaker;
    size_t n;
    uint64_t random;
} run_text;

/* A cell of CSV as RFC 4180 quotes it. */
static void put_cell(qv_buf *b, const char *s)
{
    qv_buf_puts(b, "\"");
    for (; *s; s++) {
        qv_buf_add(b, s, 1);
        if (*s == '"') qv_buf_puts(b, "\"");
    }
    qv_buf_puts(b, "\"");
}

static const char *class_name(const run_shape *r, int c, char out[32])
{
    if (r->class_names) return r->class_names[c];
    snprintf(out, 32, "class %d", c + 1);
    return out;
}

static double saturating(double epoch, double level, double pace) { return level * (1 - exp(-epoch / pace)) + 0.25; }

static void write_curve(run_text *t, const run_shape *r, int f, int epochs)
{
    double skill = qv_test_uniform(&t->random, 0.45, 0.6);
    for (int e = 1; e <= epochs; e++) {
        double noise = 0.015 * qv_test_normal(&t->random);
        qv_buf_printf(&t->results, "%s%d,%d,%d,%.1f,%g,%.4f,", r->fold_prefix, f + 1, e, e * 9, e * 0.7,
                      0.05 * (1 + cos(3.14159 * e / r->epochs)) / 2, 1.35 * exp(-e / 18.0) + 0.05 + fabs(noise));
        if (e % 5) {
            qv_buf_puts(&t->results, ",,,,,512.5\n");
            continue;
        }
        double train = fmin(0.995, saturating(e, 0.74, 12) + noise);
        double val = fmin(1, saturating(e, skill, 8) + 1.5 * noise),
               test = fmin(1, saturating(e, skill - 0.02, 7) - noise);
        qv_buf_printf(&t->results, "%.4f,", train);
        if (r->val) qv_buf_printf(&t->results, "%.4f", val);
        qv_buf_printf(&t->results, ",%.4f,", test);
        if (r->val) qv_buf_printf(&t->results, "%.2f", 100 * (train - val));
        qv_buf_printf(&t->results, ",%.2f,512.5\n", 100 * (train - test));
    }
}

/* Answers of a model whose skill differs between speakers and classes. */
static void write_answers(run_text *t, const run_shape *r, int speaker, int fold)
{
    char name[32];
    double skill = 0.62 + 0.36 * (double)((speaker * 7) % r->speakers) / r->speakers;
    for (int i = 0; i < r->classes * r->each; i++) {
        int truth = i % r->classes, said = truth;
        if (truth == 3 && speaker % 3 == 0 && i >= r->classes) continue; /* classes of unlike size */
        if (qv_test_uniform(&t->random, 0, 1) > skill - (truth == 1 ? 0.2 : 0))
            said = truth < 2 ? 1 - truth : (int)(qv_test_next(&t->random) % (uint64_t)r->classes);
        qv_buf_printf(&t->predictions, "%s%d,test,wav/%d_%d.wav,", r->fold_prefix, fold + 1, speaker, i);
        snprintf(name, sizeof name, "%s%02d", r->speaker_prefix, speaker + 3);
        put_cell(&t->predictions, name);
        qv_buf_puts(&t->predictions, ",");
        put_cell(&t->predictions, class_name(r, truth, name));
        qv_buf_puts(&t->predictions, ",");
        put_cell(&t->predictions, class_name(r, said, name));
        qv_buf_puts(&t->predictions, ",0.5\n");
        t->truth[t->n] = truth;
        t->predicted[t->n] = said;
        t->speaker[t->n++] = speaker;
    }
}

static void fill_fold(qv_ctx *ctx, run_text *t, const run_shape *r, int f)
{
    qv_fold_summary *fold;
    char name[64];
    size_t before = t->n;
    int speakers = 0;
    for (int s = f; s < r->speakers; s += r->planned, speakers++) write_answers(t, r, s, f);
    qv_metrics m;
    qv_answers a = {t->truth + before, t->predicted + before, NULL, t->n - before, r->classes, 0};
    qv_assert_ok(ctx, qv_metrics_compute(ctx, &m, &a));
    snprintf(name, sizeof name, "%s%d", r->fold_prefix, f + 1);
    qv_assert_ok(ctx, qv_summary_fold(ctx, &t->summary, name, &fold));
    fold->epoch = r->epochs;
    fold->seconds = 41.5;
    fold->overlap = r->overlap ? r->speakers : 0;
    fold->test = (qv_part_score){m.n, speakers, m.ua, m.wa};
    fold->train = (qv_part_score){271, r->speakers - speakers - 2 * r->val, 0.97 + 0.005 * f / r->planned, 0.98};
    if (r->val) fold->val = (qv_part_score){64, 2, 0.83, 0.84};
    qv_metrics_free(&m);
}

static void fill_texts(qv_ctx *ctx, qv_summary *s, const run_shape *r)
{
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->version, "0.1.0"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->program, "9f86d081884c7d65"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->command,
                                     "quaver train --manifest emodb.csv --folds data/folds/emodb.txt "
                                     "--order preact-bn --out runs/%s",
                                     r->name));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->manifest, "corpora/emodb.csv"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->manifest_hash, "ab54d286adf3a1c9"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->device, "cpu"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->isa, "avx2"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->libraries, "sndfile 1.2.0, soxr 0.1.3, oneDNN 2.6.0"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->network, "preact-bn, width 16, 1 block a stage, gamma0 0.1"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->started, "2031-03-04T10:20:30Z"));
    if (r->folds == r->planned) qv_assert_ok(ctx, qv_summary_set(ctx, &s->finished, "2031-03-04T10:24:05Z"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->split, r->overlap ? "random" : "speaker-disjoint"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->fold_spec, "data/folds/emodb.txt"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->labels, "anger,happiness,neutral,sadness"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->normalization, r->transductive ? "speaker" : "corpus"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->loudness, "none"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->bn_eval, "running"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->validation, r->val ? "2 training speakers held out" : "none"));
    qv_assert_ok(ctx, qv_summary_set(ctx, &s->epoch_rule, "last epoch"));
}

static void fill_summary(qv_ctx *ctx, run_text *t, const run_shape *r)
{
    qv_summary *s = &t->summary;
    char *names[64], text[64][32];
    for (int c = 0; c < r->classes; c++) names[c] = (char *)(uintptr_t)class_name(r, c, text[c]);
    qv_assert_ok(ctx, qv_summary_classes(ctx, s, names, r->classes));
    fill_texts(ctx, s, r);
    s->recordings = (size_t)(r->speakers * r->classes * r->each);
    s->skipped = 2;
    s->speakers = r->speakers;
    s->seed = 0xfedcba9876543210;
    s->threads = 2;
    s->parameters = 171234;
    s->folds_planned = r->planned;
    s->transductive = r->transductive;
    if (r->transductive) qv_assert_ok(ctx, qv_summary_note(ctx, s, "2 recordings were left out: %s", "0 bytes"));
    for (int f = 0; f < r->folds; f++) fill_fold(ctx, t, r, f);
    qv_answers a = {t->truth, t->predicted, t->speaker, t->n, r->classes, r->speakers};
    qv_assert_ok(ctx, qv_summary_pool(ctx, s, &a));
    qv_summary_finish(s);
}

static void write_text(qv_ctx *ctx, const char *run, const char *name, const char *text, size_t size)
{
    char *path;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, run, name));
    qv_assert_ok(ctx, qv_write_file(ctx, path, text, size));
    free(path);
}

/* The whole file with a NUL behind it. */
static char *read_text(qv_ctx *ctx, const char *run, const char *name, size_t *size)
{
    char *path;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, run, name));
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *size = (size_t)ftell(f);
    rewind(f);
    char *text = calloc(*size + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *size, f), *size);
    fclose(f);
    free(path);
    return text;
}

static const char config_text[] =
    "[train]\nepochs = 60\nbatch = 32\nlr = 0.05\n\n[net]\norder = preact-bn\nwidth = 16\n";

/* The files of a run below `dir`; its path is the caller's. */
static char *make_run(qv_ctx *ctx, const char *dir, const run_shape *r)
{
    run_text t = {.random = qv_test_seed()};
    char *run;
    size_t most = (size_t)(r->speakers * r->classes * r->each);
    qv_assert_ok(ctx, qv_alloc(ctx, &t.truth, most, sizeof(int)));
    qv_assert_ok(ctx, qv_alloc(ctx, &t.predicted, most, sizeof(int)));
    qv_assert_ok(ctx, qv_alloc(ctx, &t.speaker, most, sizeof(int)));
    qv_assert_ok(ctx, qv_path_join(ctx, &run, dir, r->name));
    qv_assert_ok(ctx, qv_make_dirs(ctx, run));
    qv_buf_puts(&t.results,
                "fold,epoch,step,seconds,lr,loss,train_ua,val_ua,test_ua,gap_val,gap_test,samples_per_second\n");
    qv_buf_puts(&t.predictions, "fold,part,file,speaker,truth,predicted,p_x\n");
    fill_summary(ctx, &t, r);
    for (int f = 0; f < r->planned && f <= r->folds; f++)
        write_curve(&t, r, f, f < r->folds ? r->epochs : r->epochs / 3);
    qv_assert_ok(ctx, qv_summary_write(ctx, &t.summary, run));
    if (r->curves) write_text(ctx, run, "results.csv", t.results.data, t.results.len);
    write_text(ctx, run, "predictions.csv", t.predictions.data, t.predictions.len);
    write_text(ctx, run, "config.ini", config_text, strlen(config_text));
    qv_buf_free(&t.results);
    qv_buf_free(&t.predictions);
    qv_summary_free(&t.summary);
    free(t.truth), free(t.predicted), free(t.speaker);
    return run;
}

static char *make_report(qv_ctx *ctx, const char *run)
{
    char *path = NULL;
    size_t size;
    qv_assert_ok(ctx, qv_report_write(ctx, run, &path));
    assert_string_equal(qv_path_base(path), "report.html");
    free(path);
    return read_text(ctx, run, "report.html", &size);
}

/* ---- what any page must be ---- */

static bool is_void(const char *name)
{
    return strcmp(name, "meta") == 0 || strcmp(name, "br") == 0 || strcmp(name, "!DOCTYPE") == 0;
}

/* Every element is closed, in order; no attribute holds a bare quote or bracket. */
static void assert_balanced(const char *page)
{
    char open[64][16];
    int depth = 0;
    for (const char *s = strchr(page, '<'); s; s = strchr(s, '<')) {
        char name[16];
        bool end = s[1] == '/';
        size_t n = 0;
        for (s += 1 + end; (isalnum((unsigned char)*s) || *s == '!') && n < 15; s++) name[n++] = *s;
        name[n] = '\0';
        assert_true(n > 0);
        for (; *s && *s != '>'; s++) {
            assert_true(*s != '<');
            if (*s != '"') continue;
            s = strchr(s + 1, '"');
            assert_non_null(s);
        }
        bool alone = s[-1] == '/' || is_void(name);
        if (end) {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        } else if (!alone) {
            assert_true(depth < 64);
            strcpy(open[depth++], name);
        }
    }
    assert_int_equal(depth, 0);
}

static void assert_self_contained(const char *page)
{
    static const char *const never[] = {"<script", "<img",  "<link",  "<iframe",  "http:", "https:", "url(",
                                        "@import", " src=", " href=", " onerror", "nan",   "inf<",   "-0.0"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(page, never[i])) fail_msg("the page holds \"%s\": %.80s", never[i], strstr(page, never[i]) - 40);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    const char *s = text;
    while ((s = strstr(s, what))) {
        n++;
        s++;
    }
    return n;
}

static void assert_ids_unique(const char *page)
{
    for (const char *s = strstr(page, " id=\""); s; s = strstr(s + 1, " id=\"")) {
        char id[64];
        const char *end = strchr(s + 5, '"');
        assert_true(end - s < 60);
        snprintf(id, sizeof id, "%.*s\"", (int)(end - s), s);
        assert_int_equal(count(page, id), 1);
    }
}

static void assert_good_page(const char *page)
{
    assert_balanced(page);
    assert_self_contained(page);
    assert_ids_unique(page);
}

/* ---- tests ---- */

typedef struct fixture {
    qv_ctx *ctx;
    char *dir, *run;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (!f) return -1;
    f->ctx = qv_ctx_new();
    f->dir = qv_test_tmpdir();
    f->run = make_run(f->ctx, f->dir, &realistic);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    qv_test_rmdir(f->dir);
    free(f->run);
    qv_ctx_free(f->ctx);
    free(f);
    return 0;
}

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void assert_same_folds(const qv_summary *a, const qv_summary *b)
{
    assert_int_equal(a->n_folds, b->n_folds);
    for (size_t i = 0; i < a->n_folds; i++) {
        const qv_fold_summary *x = &a->folds[i], *y = &b->folds[i];
        assert_string_equal(x->name, y->name);
        assert_true(x->epoch == y->epoch && x->overlap == y->overlap && x->seconds == y->seconds);
        assert_true(same(x->gap_test, y->gap_test) && same(x->gap_val, y->gap_val));
        assert_true(x->train.n == y->train.n && x->val.n == y->val.n && x->test.n == y->test.n);
        assert_true(x->test.speakers == y->test.speakers && x->test.ua == y->test.ua && x->test.wa == y->test.wa);
    }
}

/* Whatever is written comes back to the bit, since a resumed run goes on from the file. */
static void summary_there_and_back(void **state)
{
    fixture *f = *state;
    qv_summary a, b;
    size_t size;
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &a, f->run));
    char *first = read_text(f->ctx, f->run, "summary.json", &size);
    qv_assert_ok(f->ctx, qv_summary_write(f->ctx, &a, f->run));
    char *second = read_text(f->ctx, f->run, "summary.json", &size);
    assert_string_equal(first, second);
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &b, f->run));
    assert_true(a.seed == 0xfedcba9876543210 && b.seed == a.seed && b.parameters == 171234 && b.skipped == 2);
    assert_string_equal(b.manifest_hash, "ab54d286adf3a1c9");
    assert_string_equal(b.epoch_rule, "last epoch");
    assert_int_equal(b.folds_planned, 5);
    assert_same_folds(&a, &b);
    assert_memory_equal(a.pooled.confusion, b.pooled.confusion, 16 * sizeof(size_t));
    assert_true(a.pooled.ua == b.pooled.ua && a.interval.ua_low == b.interval.ua_low && a.interval.speakers == 10);
    assert_true(a.interval.ua_low < a.pooled.ua && a.pooled.ua < a.interval.ua_high);
    qv_summary_free(&a), qv_summary_free(&b);
    free(first), free(second);
}

/* Means worked by hand; a fold without validation does not count in val's, one fold has no deviation. */
static void finish_takes_means(void **state)
{
    fixture *f = *state;
    qv_summary s = {0};
    static const double train[] = {1, 0.75, 0.5}, test[] = {0.5, 0.5, 0.25};
    for (int i = 0; i < 3; i++) {
        qv_fold_summary *fold;
        qv_assert_ok(f->ctx, qv_summary_fold(f->ctx, &s, "x", &fold));
        fold->train = (qv_part_score){8, 2, train[i], 0};
        fold->test = (qv_part_score){4, 1, test[i], 0.5};
        fold->overlap = i;
        if (i == 1) fold->val = (qv_part_score){4, 1, 0.25, 0.25};
    }
    qv_summary_finish(&s);
    assert_true(s.folds[0].gap_test == 50 && s.folds[1].gap_test == 25 && s.folds[1].gap_val == 50 &&
                isnan(s.folds[0].gap_val));
    assert_true(s.train_ua.mean == 0.75 && s.train_ua.sd == 0.25 && s.train_ua.n == 3);
    assert_true(s.val_ua.mean == 0.25 && isnan(s.val_ua.sd) && s.val_ua.n == 1);
    assert_int_equal(s.overlap, 2);
    qv_summary_free(&s);
}

static void bytes_that_are_no_text_survive(void **state)
{
    fixture *f = *state;
    qv_summary s;
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &s, f->run));
    qv_assert_ok(f->ctx, qv_summary_set(f->ctx, &s.manifest, "caf\xE9/\xFF\xFE.csv \"\\ \x01"));
    qv_assert_ok(f->ctx, qv_summary_write(f->ctx, &s, f->run));
    qv_summary_free(&s);
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &s, f->run));
    assert_string_equal(s.manifest, "caf?/??.csv \"\\ \x01");
    qv_summary_free(&s);
}

static void ten_lines(void **state)
{
    fixture *f = *state;
    qv_summary s;
    qv_buf b = {0};
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &s, f->run));
    qv_summary_lines(&b, &s, f->run);
    assert_int_equal(count(b.data, "\n"), 10);
    assert_null(strstr(b.data, "nan"));
    assert_non_null(strstr(b.data, "5 of 5 folds"));
    assert_non_null(strstr(b.data, "speaker-disjoint (0 speakers in both"));
    qv_buf_free(&b);
    qv_summary_free(&s);
}

static void page_of_a_realistic_run(void **state)
{
    fixture *f = *state;
    char *page = make_report(f->ctx, f->run), text[64];
    qv_summary s;
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &s, f->run));
    assert_good_page(page);
    snprintf(text, sizeof text, "accuracy of <strong>%.3f</strong>", s.pooled.ua);
    assert_int_equal(count(page, text), 1);
    snprintf(text, sizeof text, "<strong>%.1f points</strong>", s.gap_test.mean);
    assert_int_equal(count(page, text), 2); /* sentence and tile */
    assert_int_equal(count(page, "class=\"gap\" d="), 1 + 5);
    assert_int_equal(count(page, "class=\"heat"), 16);
    assert_int_equal(count(page, "class=\"bar\""), 10);
    assert_int_equal(count(page, "class=\"line thin test\""), 5);
    assert_int_equal(count(page, "order = preact-bn"), 1);
    assert_int_equal(count(page, "class=\"note\""), 0);
    qv_summary_free(&s);
    free(page);
}

/* Bars go from the best to the worst: their widths never rise. */
static void speakers_are_sorted(void **state)
{
    fixture *f = *state;
    char *page = make_report(f->ctx, f->run);
    double last = INFINITY;
    for (const char *s = strstr(page, "class=\"bar\""); s; s = strstr(s + 1, "class=\"bar\"")) {
        double width = strtod(strstr(s, "width=\"") + 7, NULL);
        assert_true(width <= last);
        last = width;
    }
    assert_true(last < INFINITY);
    free(page);
}

static const char *const two_classes[] = {"ja", "\xC3\xA4rgerlich & sehr, sehr lang geschrieben"};
static const run_shape extremes[] = {
    /* more speakers than fit beside the classes, slanted names */
    {"actors", 24, 24, 8, 24, 4, 40, false, false, true, true, emotions, "actor ", ""},
    /* too few speakers for an interval, no mean over folds */
    {"one-split", 1, 1, 4, 3, 5, 30, false, false, false, true, emotions, "s", "split"},
    {"unfinished", 2, 5, 4, 10, 6, 30, true, false, false, true, emotions, "", ""},
    {"nothing-yet", 0, 5, 4, 10, 6, 30, true, false, false, true, emotions, "", ""},
    {"random", 3, 3, 2, 9, 9, 25, true, true, false, true, two_classes, "a speaker with a long name ",
     "a fold with a long name "},
    /* no curves, upright names, cells without text, speakers left out */
    {"many", 2, 2, 30, 120, 1, 20, false, false, false, false, NULL, "", ""},
};
enum { N_EXTREMES = sizeof extremes / sizeof *extremes };

static void extreme_runs(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < N_EXTREMES; i++) {
        const run_shape *r = &extremes[i];
        char *run = make_run(f->ctx, f->dir, r), *page = make_report(f->ctx, run);
        assert_good_page(page);
        assert_int_equal(count(page, "Unfinished."), r->folds < r->planned);
        assert_int_equal(count(page, "Speakers overlap."), r->overlap);
        assert_int_equal(count(page, "Transductive."), r->transductive);
        int tested = 0;
        for (int s = 0; s < r->speakers; s++) tested += s % r->planned < r->folds;
        assert_int_equal(count(page, "too few speakers"), tested > 0 && tested < 8);
        assert_int_equal(count(page, "class=\"bar\""), tested > 48 ? 48 : tested);
        assert_int_equal(count(page, "no curves"), !r->curves);
        assert_int_equal(count(page, "class=\"heat bare\""), r->classes == 30 ? 900 : 0);
        free(page);
        free(run);
    }
}

/* Fails where Markdown would see a tag: a "<" that no backslash is before, outside of code. */
static void assert_no_tags(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '<') fail_msg("a tag: %.40s", at);
        if (*at == '\\' && at[1]) {
            at++;
            continue;
        }
        const size_t n = strspn(at, "`");
        const char *end = at + n; /* code lasts to a run of as many */
        for (size_t m = 0; n && *(end += strcspn(end, "`")) && (m = strspn(end, "`")) != n;) end += m;
        if (n) at = (*end ? end + n : at + n) - 1;
    }
}

/* Every text of the files is someone else's. */
static void hostile_names_stay_text(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"<script>alert(1)</script>", "\"><img src=x onerror=a>",
                                        "</title></svg></style>", "&lt;\x01'"};
    static const run_shape shape = {
        "</h1><script>", 2, 2, 4, 9, 3, 10, true, false, false, true, names, "<a href=\"x\">", "</td><iframe>&"};
    run_shape here = shape;
    here.name = "hostile"; /* a slash cannot be in a folder's name */
    char *run = make_run(f->ctx, f->dir, &here);
    static const char config[] = "</pre><script src=\"https://x\">";
    qv_summary s;
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &s, run));
    qv_assert_ok(f->ctx, qv_summary_note(f->ctx, &s, "<script>%s", "</p>"));
    qv_assert_ok(f->ctx, qv_summary_set(f->ctx, &s.command, "quaver '<script>'"));
    qv_assert_ok(f->ctx, qv_summary_set(f->ctx, &s.network, "<b onerror=1>"));
    qv_assert_ok(f->ctx, qv_summary_write(f->ctx, &s, run));
    qv_summary_free(&s);
    write_text(f->ctx, run, "config.ini", config, strlen(config));
    qv_assert_ok(f->ctx, qv_report_write(f->ctx, run, NULL));
    size_t size;
    char *page = read_text(f->ctx, run, "report.html", &size);
    assert_balanced(page);
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<img"));
    assert_null(strstr(page, "<iframe"));
    assert_null(strstr(page, "<a "));
    assert_null(strstr(page, "<b o"));
    assert_null(strchr(page, '\x01'));
    assert_non_null(strstr(page, "&lt;script&gt;alert(1)&lt;/script&gt;"));
    free(page);
    qv_settings settings;
    qv_assert_ok(f->ctx, qv_settings_init(f->ctx, &settings));
    qv_assert_ok(f->ctx, qv_settings_set(f->ctx, &settings, "corpus.licence", "<b>` # `"));
    qv_assert_ok(f->ctx, qv_summary_read(f->ctx, &s, run));
    qv_assert_ok(f->ctx, qv_summary_set(f->ctx, &s.command, "quaver `a` ``<b>\n# c"));
    qv_assert_ok(f->ctx, qv_summary_set(f->ctx, &s.manifest, "`<script>"));
    qv_assert_ok(f->ctx, qv_summary_set(f->ctx, &s.labels, "a=<b>"));
    qv_assert_ok(f->ctx, qv_card_write(f->ctx, &settings, &s, run));
    page = read_text(f->ctx, run, "model-card.md", &size);
    assert_no_tags(page);
    assert_non_null(strstr(page, "- List: `` `<script> `` ("));
    assert_non_null(strstr(page, "- Licence: \\<b\\>\\` # \\`\n"));
    assert_non_null(strstr(page, "- Classes selected and merged: `a=<b>`\n"));
    assert_non_null(strstr(page, "- Command: ```quaver `a` ``<b> # c```\n"));
    assert_non_null(strstr(page, "| \\<script\\>alert(1)\\</script\\> |"));
    free(page);
    qv_summary_free(&s);
    qv_settings_free(&settings);
    free(run);
}

/* Puts `to` in the place of the first `from` of a file, or instead of all of it where from is NULL. */
static void damage(qv_ctx *ctx, const char *run, const char *name, const char *from, const char *to)
{
    size_t size;
    char *text = read_text(ctx, run, name, &size);
    qv_buf b = {0};
    char *at = from ? strstr(text, from) : text;
    assert_non_null(at);
    qv_buf_add(&b, text, (size_t)(at - text));
    qv_buf_puts(&b, to);
    if (from) qv_buf_puts(&b, at + strlen(from));
    write_text(ctx, run, name, b.len ? b.data : "", b.len);
    qv_buf_free(&b);
    free(text);
}

static void damaged_files_are_named(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *file, *from, *to, *message;
    } cases[] = {
        {"summary.json", NULL, "", "summary.json"},
        {"summary.json", NULL, "[1]", "not an object"},
        {"summary.json", "\"format\": 1", "\"format\": 2", "\"format\" is 2"},
        {"summary.json", "\"folds_planned\": 5", "\"folds_planned\": -5", "folds_planned"},
        {"summary.json", "\"folds_planned\": 5", "\"folds_planned\": 5e300", "folds_planned"},
        {"summary.json", "\"transductive\": false", "\"transductive\": \"no\"", "transductive"},
        {"summary.json", "\"seed\": \"", "\"seed\": \"-", "seed"},
        {"summary.json", "\"seed\": \"", "\"seed\": \"99999999999999999999", "seed"},
        {"summary.json", "\"seconds\": 41.5", "\"seconds\": \"x\"", "seconds"},
        {"summary.json", "\"epoch\": 60", "\"epoch\": 99999999999999999999", "summary.json"},
        {"summary.json", "\"ua\": 0.", "\"ua\": 7.", "ua"},
        {"summary.json", "\"name\": \"fold-1\"", "\"name\": 1", "folds"},
        {"summary.json", "\"anger\"", "3", "classes"},
        {"summary.json", "\"ua_interval\": [", "\"ua_interval\": [2, ", "ua_interval"},
        {"summary.json", "\"ua_interval\": [", "\"ua_interval\": null, \"x\": [", "ua_interval"},
        {"summary.json", "\"confusion\": [", "\"confusion\": [[1], ", "confusion"},
        {"summary.json", "\"protocol\": {", "\"protocol\": 1, \"x\": {", "protocol"},
        {"summary.json", "\"anger\"", "\"\xFF\"", "summary.json"},
        {"results.csv", "train_ua", "training", "no column \"train_ua\""},
        {"results.csv", "fold-1,1,", "fold-1,one,", "results.csv:2: epoch"},
        {"results.csv", "fold-1,1,", "fold-1,nan,", "results.csv:2: epoch"},
        {"results.csv", "fold-1,1,", "fold-1,,", "results.csv:2: no epoch"},
        {"results.csv", "fold-1,1,9,", "fold-1,1,9,0,", "results.csv:2: 13 cells"},
        {"results.csv", NULL, "", "no column"},
        {"predictions.csv", "\"anger\"", "\"rage\"", "predictions.csv:2: truth is \"rage\""},
        {"predictions.csv", ",test,", ",exam,", "predictions.csv:2: part is \"exam\""},
        {"predictions.csv", "\"anger\"", "\"anger", "predictions.csv"},
        {"predictions.csv", "\"anger\"", "\xC3\x28", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *good = read_text(f->ctx, f->run, cases[i].file, &size);
        damage(f->ctx, f->run, cases[i].file, cases[i].from, cases[i].to);
        assert_int_equal(qv_report_write(f->ctx, f->run, NULL), QV_ERR_DATA);
        if (!strstr(qv_ctx_message(f->ctx), cases[i].message))
            fail_msg("case %zu: \"%s\" does not hold \"%s\"", i, qv_ctx_message(f->ctx), cases[i].message);
        write_text(f->ctx, f->run, cases[i].file, good, size);
        free(good);
    }
    qv_assert_ok(f->ctx, qv_report_write(f->ctx, f->run, NULL));
}

static void missing_files(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *file;
        qv_status status;
    } cases[] = {
        {"config.ini", QV_OK}, {"results.csv", QV_OK}, {"predictions.csv", QV_ERR_DATA}, {"summary.json", QV_ERR_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path;
        qv_assert_ok(f->ctx, qv_path_join(f->ctx, &path, f->run, cases[i].file));
        assert_int_equal(remove(path), 0);
        assert_int_equal(qv_report_write(f->ctx, f->run, NULL), cases[i].status);
        if (cases[i].status != QV_OK) assert_non_null(strstr(qv_ctx_message(f->ctx), cases[i].file));
        free(path);
    }
    assert_int_equal(qv_report_write(f->ctx, "/nowhere", NULL), QV_ERR_USAGE);
}

static void counts_that_disagree_are_shown(void **state)
{
    fixture *f = *state;
    damage(f->ctx, f->run, "predictions.csv", "\"anger\",\"anger\"", "\"anger\",\"sadness\"");
    char *page = make_report(f->ctx, f->run);
    assert_int_equal(count(page, "Files disagree."), 1);
    free(page);
}

/* Bytes changed at random and files cut anywhere: an answer or an error, never a crash. */
static void damage_at_random(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"summary.json", "results.csv", "predictions.csv"};
    uint64_t random = qv_test_seed();
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        char *good = read_text(f->ctx, f->run, names[i], &size), *bad = malloc(size);
        for (int round = 0; round < 150; round++) {
            size_t kept = round % 3 ? size : (size_t)(qv_test_next(&random) % size);
            memcpy(bad, good, size);
            for (int k = 0; k < 1 + round % 4; k++)
                bad[qv_test_next(&random) % size] = "0,9\"-e{]\n\xC3\0a"[qv_test_next(&random) % 12];
            write_text(f->ctx, f->run, names[i], bad, kept);
            qv_status status = qv_report_write(f->ctx, f->run, NULL);
            assert_true(status == QV_OK || status == QV_ERR_DATA);
        }
        write_text(f->ctx, f->run, names[i], good, size);
        free(good), free(bad);
    }
}

static void every_allocation_may_fail(void **state)
{
    fixture *f = *state;
    size_t nth = 1;
    for (;; nth++) {
        qv_ctx_fail_alloc(f->ctx, nth);
        qv_status status = qv_report_write(f->ctx, f->run, NULL);
        if (status == QV_OK) break;
        assert_int_equal(status, QV_ERR_MEMORY);
        assert_true(nth < 1000);
    }
    assert_true(nth > 50);
    qv_ctx_fail_alloc(f->ctx, 0);
}

static void markup_and_cuts(void **state)
{
    (void)state;
    qv_buf b = {0};
    qv_markup_text(&b, "<a & \"b\" 'c'>\x01\x7f\t\xC3\xA9");
    assert_string_equal(b.data, "&lt;a &amp; &quot;b&quot; &#39;c&#39;&gt;\t\xC3\xA9");
    qv_buf_free(&b);
    qv_markup_text(&b, "\xE9<\xC3\xA9\xC3");
    assert_string_equal(b.data, "\xEF\xBF\xBD&lt;\xC3\xA9\xEF\xBF\xBD");
    qv_buf_free(&b);
    char text[2000];
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = "\xE2\x80\xA6"[i % 3];
    text[sizeof text - 1] = '\0';
    qv_markup_printf(&b, "%s", text);
    assert_int_equal(b.len, 1023); /* 341 whole characters */
    qv_buf_free(&b);
    qv_markup_printf(&b, "x%s", text);
    assert_int_equal(b.len, 1 + 3 * 340);
    qv_buf_free(&b);
    qv_svg_text_fit(&b, "c", 0, 0, QV_START, "\xC3\xA4\xC3\xB6\xC3\xBC long & longer", 40, 10);
    /* 15 units on either side of the ellipsis: two letters of 6, and r (4) with e (6) */
    assert_non_null(strstr(b.data,
                           "<title>\xC3\xA4\xC3\xB6\xC3\xBC long &amp; longer</title>\xC3\xA4\xC3\xB6\xE2\x80\xA6"
                           "er</text>"));
    qv_buf_free(&b);
}

static void axes_are_nice(void **state)
{
    (void)state;
    static const struct {
        double low, high;
        int ticks;
        double first, last, step;
        int digits;
    } cases[] = {
        {0, 1.38, 6, 0, 1.5, 0.5, 1}, {0, 1, 5, 0, 1, 0.2, 1},     {0, 0.93, 5, 0, 1, 0.2, 1},
        {13, 87, 5, 0, 100, 20, 0},   {-3.2, 2.9, 4, -4, 4, 2, 0}, {5, 5, 5, 2, 8, 2, 0},
        {0, 0, 5, -0.5, 0.5, 0.5, 1}, {NAN, 3, 5, 0, 1, 0.2, 1},   {0, INFINITY, 5, 0, 1, 0.2, 1},
        {0, 4e6, 4, 0, 4e6, 1e6, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_axis a = qv_axis_nice(cases[i].low, cases[i].high, cases[i].ticks, 10, 110);
        double hair = 1e-9 * cases[i].step; /* steps are sums and products of a few rounded numbers */
        if (!(fabs(a.low - cases[i].first) <= hair && fabs(a.high - cases[i].last) <= hair &&
              fabs(a.step - cases[i].step) <= hair))
            fail_msg("case %zu: %g to %g by %g", i, a.low, a.high, a.step);
        assert_int_equal(a.digits, cases[i].digits);
        assert_true(qv_axis_at(&a, a.low) == 10 && qv_axis_at(&a, a.high) == 110);
        assert_true(qv_axis_at(&a, a.low - 100 * a.step) == 10);
    }
}

/* Labels stay in the plot's height and 13 units apart, in the order of their values. */
static void end_labels_do_not_touch(void **state)
{
    (void)state;
    qv_plot p = {qv_axis_exact(0, 1, 5, 0, 100), qv_axis_exact(0, 1, 5, 200, 0)};
    const qv_key keys[] = {{"low", 0.01}, {"none", NAN}, {"lower", 0.0}, {"high", 0.02}};
    qv_buf b = {0};
    qv_plot_ends(&b, &p, keys, 4);
    double last = -1;
    static const char *const order[] = {"high", "low", "lower"};
    const char *s = b.data;
    for (int i = 0; i < 3; i++) {
        s = strstr(s, " y=\"") + 4;
        double y = strtod(s, NULL);
        assert_true(y <= 200 + 3.5 + 0.05 && (i == 0 || y - last >= 13 - 0.1)); /* one digit is printed */
        last = y;
        s = strchr(s, '>') + 1;
        assert_memory_equal(s, order[i], strlen(order[i]));
    }
    assert_null(strstr(b.data, "none"));
    qv_buf_free(&b);
}

static int keep_runs(const char *dir)
{
    qv_ctx *ctx = qv_test_ctx();
    for (size_t i = 0; i <= N_EXTREMES; i++) {
        char *run = make_run(ctx, dir, i < N_EXTREMES ? &extremes[i] : &realistic);
        qv_status status = qv_report_write(ctx, run, NULL);
        printf("%s/report.html%s\n", run, status == QV_OK ? "" : ": failed");
        free(run);
    }
    qv_ctx_free(ctx);
    return 0;
}

int main(void)
{
    const char *keep = getenv("QV_REPORT_OUT");
    if (keep) return keep_runs(keep);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(summary_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finish_takes_means, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_text_survive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ten_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(page_of_a_realistic_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(speakers_are_sorted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(extreme_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_names_stay_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_that_disagree_are_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_at_random, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, set_up, tear_down),
        cmocka_unit_test(markup_and_cuts),
        cmocka_unit_test(axes_are_nice),
        cmocka_unit_test(end_labels_do_not_touch),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
