/* Studies: what a study file means and how it is refused; that records depend on nothing but their seeds. */
#include <jansson.h>
#include <math.h>

#include "study/study_report.h"
#include "study/study_train.h"
#include "support/support.h"

/* Two folds of four speakers, trainings of milliseconds. */
static const char head[] = "[study]\nquestion = Which?\nseeds = 2\nbaseline = preact even\n"
                           "[corpus made]\nembedded = 8 1\nfolds = 2\n"
                           "[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\nnet.width = 2\ntrain.batch = 4\n"
                           "train.epochs = 4\neval.every = 2\n";
static const char axes[] =
    "[axis order]\nsetting = net.order\nvalues = preact, preact-bn\n"
    "[axis shake]\neven = shake.forward=even, shake.backward=even\nshaken = shake.forward=shake, shake.backward=shake\n"
    "[axis gamma0]\nsetting = shake.gamma0\nvalues = 0.1, 1\n";
static const char compare[] = "[compare own]\ndifference = preact-bn shaken gamma0=1 - preact-bn even gamma0=1\n";

static qv_study *parsed(qv_ctx *ctx, const char *a, const char *b, const char *c)
{
    qv_buf text = {0};
    qv_study *s;
    qv_buf_printf(&text, "%s%s%s", a, b, c);
    qv_assert_ok(ctx, qv_study_parse(ctx, &s, "study.ini", text.data));
    qv_buf_free(&text);
    return s;
}

/* ---- study files ---- */

static void settings_without_effect_are_one_cell(void **state)
{
    qv_ctx *ctx = *state;
    static const char *const names[] = {"preact even",
                                        "preact shaken",
                                        "preact-bn even gamma0=0.1",
                                        "preact-bn even gamma0=1",
                                        "preact-bn shaken gamma0=0.1",
                                        "preact-bn shaken gamma0=1"};
    qv_study *s = parsed(ctx, head, axes, compare);
    assert_int_equal(s->n_combinations, 8);
    assert_int_equal(s->n_cells, 6);
    for (size_t i = 0; i < 6; i++) assert_string_equal(s->cells[i].name, names[i]);
    assert_int_equal(s->baseline, 0);
    assert_int_equal(s->cells[0].level[2], -1);
    assert_int_equal(s->cells[3].level[2], 1);
    assert_true(s->comparisons[0].weight[5] == 1 && s->comparisons[0].weight[3] == -1 &&
                s->comparisons[0].weight[0] == 0);
    assert_true(s->comparisons[0].ua && s->comparisons[0].gap && s->comparisons[0].claimed);
    qv_study_free(s);
}

static void differences_of_differences_have_weights(void **state)
{
    qv_ctx *ctx = *state;
    qv_study *s =
        parsed(ctx, head, axes,
               "[compare x]\ndifference = (preact-bn shaken gamma0=1 - preact-bn even gamma0=1) - (shaken preact - "
               "preact even)\nexpect = gap\n"
               "[cells shaken]\ntrain.epochs = 8\n");
    static const double want[] = {1, -1, 0, -1, 0, 1};
    for (size_t i = 0; i < 6; i++) assert_true(s->comparisons[0].weight[i] == want[i]);
    assert_true(!s->comparisons[0].ua && s->comparisons[0].gap);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(s->cells[i].settings.epochs, strstr(s->cells[i].name, "shaken") ? 8 : 4);
    qv_study_free(s);
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *more, *message;
    } cases[] = {
        {"[axes]\n", "study.ini:24: there is no section [axes]; did you mean [axis]?"},
        {"[compare x]\ndiffrence = a - b\n", "study.ini:25: [compare x] has no diffrence; did you mean difference?"},
        {"[compare x]\n", "study.ini:24: comparison x has no difference"},
        {"[compare x]\ndifference = preact evn - preact shaken\n",
         "study.ini:25: there is no level evn; did you mean even?"},
        {"[compare x]\ndifference = preact even - preact-bn\n", "study.ini:25: \"preact-bn\" fits 4 cells"},
        {"[compare x]\ndifference = preact even - preact even\n", "study.ini:25: comparison x: the cells cancel"},
        {"[compare x]\ndifference = preact even + preact shaken - preact shaken\n", "adds up to +1 cells"},
        {"[compare x]\ndifference = (preact even - preact shaken\n", "expected ) at the end"},
        {"[compare x]\ndifference = preact even preact-bn\n", "names two levels of the axis order"},
        {"[compare x]\ndifference = ordr=preact even - preact shaken\n", "there is no axis ordr; did you mean order?"},
        {"[settings]\nnet.widht = 3\n", "study.ini:25: there is no setting net.widht; did you mean net.width?"},
        {"[settings]\nnet.blocks = wide\n", "study.ini:25: net.blocks = wide: expected"},
        {"[settings]\neval.bn = even\n", "study.ini:25: eval.bn cannot be set here: a study has both"},
        {"[settings]\ntrain.seed = 3\n", "study.ini:25: train.seed cannot be set here: [study] has it"},
        {"[settings]\ntrain.lr = 0.1\ntrain.lr = 0.2\n", "study.ini:26: train.lr is given twice in [settings]"},
        {"[cells shaken]\ntrain.lr = 0.1\n[cells even]\ntrain.lr = 0.3\n[cells shaken]\ntrain.lr = 0.1\n",
         "study.ini:29: train.lr is given twice in [cells shaken]"},
        {"[cells shakn]\ntrain.epochs = 3\n", "study.ini:25: there is no level shakn; did you mean shaken?"},
        {"[axis order]\n", "study.ini:24: there is a axis order already"},
        {"[axis empty]\n", "study.ini:24: axis empty has no levels"},
        {"[axis a/b]\n", "a name has 1 to 40 letters"},
        {"[study]\nseeds = 0\n", "study.ini:25: seeds = 0: expected a whole number from 1"},
        {"[study]\nalpha = 1.5\n", "study.ini:25: alpha = 1.5"},
        {"[study]\nclaim = y\n[compare x]\ndifference = preact even - preact shaken\n",
         "study.ini:25: there is no comparison y; did you mean x?"},
        {"[corpus two]\nfolds = speaker\n", "corpus two needs either manifest = FILE or embedded"},
        {"stray\n", "study.ini:24: expected key = value"},
    };
    qv_ctx *ctx = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_buf text = {0};
        qv_study *s;
        qv_buf_printf(&text, "%s%s%s", head, axes, cases[i].more);
        qv_status status = qv_study_parse(ctx, &s, "study.ini", text.data);
        if (status != QV_ERR_DATA || !strstr(qv_ctx_message(ctx), cases[i].message))
            print_error("expected \"%s\" in: %s\n", cases[i].message,
                        status == QV_OK ? "no error" : qv_ctx_message(ctx));
        assert_int_equal(status, QV_ERR_DATA);
        assert_non_null(strstr(qv_ctx_message(ctx), cases[i].message));
        assert_null(s);
        qv_buf_free(&text);
    }
}

static void ready_studies_can_be_read(void **state)
{
    static const char *const files[] = {"quick", "paper", "gamma", "bands", "vicinal", "cross-corpus", "symmetry", "negative"};
    qv_ctx *ctx = *state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        qv_study *s;
        snprintf(path, sizeof path, "%s/data/studies/%s.ini", QV_SOURCE_DIR, files[i]);
        qv_assert_ok(ctx, qv_study_read(ctx, &s, path, NULL));
        assert_true(s->n_cells > 1 && s->n_comparisons > 0 && s->question);
        qv_study_free(s);
    }
}

/* ---- running ---- */

typedef struct fixture {
    qv_ctx *ctx;
    char *dir, *cache;
    qv_study_options o;
    char out[256];
} fixture;

static int setup(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    x->ctx = qv_test_ctx();
    x->dir = qv_test_tmpdir();
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &x->cache, x->dir, "cache"));
    x->o = (qv_study_options){.cache_dir = x->cache, .threads = 2};
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    fixture *x = *state;
    qv_test_rmdir(x->dir);
    free(x->cache);
    qv_ctx_free(x->ctx);
    free(x);
    return 0;
}

static const char *folder(fixture *x, const char *name)
{
    snprintf(x->out, sizeof x->out, "%s/%s", x->dir, name);
    return x->out;
}

static qv_status run_text(fixture *x, const char *out, const char *more)
{
    qv_buf text = {0};
    qv_study *s;
    qv_buf_printf(&text, "%s%s%s%s", head, axes, compare, more);
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text.data));
    x->o.out = folder(x, out);
    qv_status status = qv_study_run(x->ctx, s, &x->o);
    qv_study_free(s);
    qv_buf_free(&text);
    return status;
}

/* The results of a folder; every planned run must be there where `whole`. */
static qv_results results_of(fixture *x, const char *out, qv_study **s, qv_plan *plan)
{
    qv_results r;
    const char *path = folder(x, out);
    qv_assert_ok(x->ctx, qv_study_of_folder(x->ctx, s, path));
    qv_assert_ok(x->ctx, qv_plan_read(x->ctx, plan, *s, path));
    qv_assert_ok(x->ctx, qv_results_make(x->ctx, &r, *s, plan, path));
    return r;
}

static uint64_t digest_of(fixture *x, const char *out, size_t runs)
{
    qv_study *s;
    qv_plan plan;
    qv_results r = results_of(x, out, &s, &plan);
    uint64_t digest = r.digest;
    assert_int_equal(r.runs, runs);
    qv_results_free(&r);
    qv_plan_free(&plan);
    qv_study_free(s);
    return digest;
}

static char *text_of(fixture *x, const char *out, const char *name)
{
    char *path, *text;
    size_t size;
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, out), name));
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, path, 1 << 24, &text, &size));
    free(path);
    return text;
}

static void assert_message(const fixture *x, const char *part)
{
    if (!strstr(qv_ctx_message(x->ctx), part)) print_error("expected \"%s\" in: %s\n", part, qv_ctx_message(x->ctx));
    assert_non_null(strstr(qv_ctx_message(x->ctx), part));
}

static void records_do_not_depend_on_threads_or_shards(void **state)
{
    fixture *x = *state;
    char one[300], two[300], three[300];
    x->o.threads = 1;
    qv_assert_ok(x->ctx, run_text(x, "one", ""));
    uint64_t digest = digest_of(x, "one", 24);
    x->o.threads = 3;
    qv_assert_ok(x->ctx, run_text(x, "three", ""));
    assert_true(digest_of(x, "three", 24) == digest);
    x->o.threads = 2;
    x->o.shards = 3;
    for (int i = 1; i <= 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "shard%d", i);
        x->o.shard = i;
        qv_assert_ok(x->ctx, run_text(x, name, ""));
        digest_of(x, name, 8);
    }
    snprintf(one, sizeof one, "%s/shard1", x->dir);
    snprintf(two, sizeof two, "%s/shard2", x->dir);
    snprintf(three, sizeof three, "%s/shard3", x->dir);
    const char *shards[] = {one, two, three};
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, folder(x, "merged"), shards, 3));
    assert_true(digest_of(x, "merged", 24) == digest);
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, folder(x, "merged"), shards, 1)); /* again: nothing new */
    char *a = text_of(x, "one", "report.csv"), *b = text_of(x, "merged", "report.csv");
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void more_seeds_go_on(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "more", ""));
    char *before = text_of(x, "more", "records/made/preact_even/fold-1.seed-2.jsonl");
    x->o.seeds = 3;
    qv_assert_ok(x->ctx, run_text(x, "more", ""));
    digest_of(x, "more", 36);
    char *after = text_of(x, "more", "records/made/preact_even/fold-1.seed-2.jsonl");
    assert_string_equal(before, after); /* also its clock: it was not trained again */
    free(before);
    free(after);
}

/* What qv_settings_idle says has no effect has none: the networks are the same to the bit. */
static void idle_settings_change_nothing(void **state)
{
    fixture *x = *state;
    qv_study *s = parsed(x->ctx, head, axes, "");
    qv_study_corpora data;
    qv_maker maker = {.program = (char[]){"test"}, .isa = "test"};
    static const char *const changes[][2] = {
        {"shake.gamma0", "0.7"}, {"shake.level", "batch"}, {"shake.bands", "2"},  {"shake.backward", "keep"},
        {"shake.affine", "0.5"}, {"shake.signed", "0.2"},  {"shake.keep", "0.5"}, {"shake.keep_depth", "linear"}};
    x->o.out = folder(x, "idle");
    qv_assert_ok(x->ctx, qv_study_load(x->ctx, &data, s, &x->o));
    qv_study_job job = {
        .study = s, .data = qv_study_data_of(&data, 0, 0), .maker = &maker, .seed = 3}; /* preact even */
    qv_study_record want, got;
    qv_assert_ok(x->ctx, qv_study_train(x->ctx, &job, &want));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        qv_settings *c = &s->cells[0].settings, idle = *c;
        qv_assert_ok(x->ctx, qv_settings_set(x->ctx, c, changes[i][0], changes[i][1]));
        qv_assert_ok(x->ctx, qv_study_train(x->ctx, &job, &got));
        for (size_t k = 0; k < want.n_curve; k++) assert_true(want.curve[QV_RUN_LOSS][k] == got.curve[QV_RUN_LOSS][k]);
        assert_true(want.running.train.ua == got.running.train.ua && want.n_curve == got.n_curve);
        assert_true(want.even.train.ua == got.even.train.ua && want.even.n_speakers == want.running.n_speakers);
        qv_study_record_free(&got);
        qv_assert_ok(x->ctx, qv_settings_idle(x->ctx, c));
        qv_buf values = {0};
        assert_null(qv_settings_differ(c, &idle, "", &values));
        qv_buf_free(&values);
    }
    qv_study_record_free(&want);
    qv_study_unload(&data, s);
    qv_study_free(s);
}

/* The weights of the best epoch, which no file keeps. */
static void the_best_epoch_is_taken(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx,
                 run_text(x, "best", "[settings]\nsplit.val_speakers = 2\neval.epoch = best\n"
                                    "[cells even]\ntrain.batch = 3\n[cells shaken]\ntrain.batch = 3\n"));
    qv_study *s;
    qv_plan plan;
    qv_results r = results_of(x, "best", &s, &plan);
    const qv_cell_result *c = qv_result_cell(&r, 0, 5);
    assert_true(c->least_epoch >= 2 && c->most_epoch <= 4 && c->least_epoch % 2 == 0);
    assert_true(c->curve[QV_RUN_VAL][0] >= 0); /* NaN is not */
    qv_results_free(&r);
    qv_plan_free(&plan);
    qv_study_free(s);
}

static void profiles_are_of_the_blocks(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "scales", ""));
    qv_study *s;
    qv_plan plan;
    qv_results r = results_of(x, "scales", &s, &plan);
    assert_int_equal(qv_result_cell(&r, 0, 0)->profiles[QV_PROFILE_SCALES].n, 0); /* nothing is normalized there */
    for (size_t k = 0; k < s->n_cells; k++)
        assert_true(qv_result_cell(&r, 0, k)->even_ua > 0 && qv_result_cell(&r, 0, k)->even_ua <= 1);
    const qv_profile *low = qv_result_cell(&r, 0, 4)->profiles, *high = qv_result_cell(&r, 0, 5)->profiles;
    for (int kind = 0; kind < QV_PROFILES; kind++) {
        const qv_profile *p = &low[kind];
        assert_int_equal(p->n, 3);
        assert_string_equal(p->layers[1], "stage2.block0");
        for (size_t i = 0; i < 3; i++) assert_true(0 < p->low[i] && p->low[i] <= p->mean[i] && p->mean[i] <= p->high[i]);
    }
    for (size_t i = 0; i < 3; i++) { /* a few steps away from where they started */
        double scale[] = {low[QV_PROFILE_SCALES].mean[i], high[QV_PROFILE_SCALES].mean[i]};
        assert_true(scale[0] > 0.02 && scale[0] < 0.5 && scale[1] > 0.5 && scale[1] < 1.5);
        assert_true(low[QV_PROFILE_MOVED].mean[i] < high[QV_PROFILE_MOVED].mean[i]);
    }
    qv_results_free(&r);
    qv_plan_free(&plan);
    qv_study_free(s);
}

/* ---- refusals ---- */

static void another_study_is_refused(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "begun", ""));
    assert_int_equal(run_text(x, "begun", "[study]\nalpha = 0.01\n"), QV_ERR_USAGE);
    assert_message(x, "\"alpha = 0.05\" then, \"alpha = 0.01\" now");
    assert_int_equal(run_text(x, "begun", "[compare late]\ndifference = preact even - preact shaken\n"), QV_ERR_USAGE);
    assert_message(x, "was begun with another study");
    qv_assert_ok(x->ctx, run_text(x, "begun", "; a remark is no change\n"));
}

static void damaged_records_are_named(void **state)
{
    fixture *x = *state;
    char *path;
    qv_assert_ok(x->ctx, run_text(x, "damaged", ""));
    char *text = text_of(x, "damaged", "records/made/preact_even/fold-2.seed-1.jsonl");
    qv_assert_ok(x->ctx,
                 qv_path_join(x->ctx, &path, folder(x, "damaged"), "records/made/preact_even/fold-2.seed-1.jsonl"));
    char *ua = strstr(text, "\"ua\":0.");
    assert_non_null(ua);
    ua[7] = ua[7] == '9' ? '8' : '9'; /* better than it was */
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
    assert_int_equal(run_text(x, "damaged", ""), QV_ERR_DATA);
    assert_message(x, "fold-2.seed-1.jsonl is damaged (remove it, and the run is done again)");
    for (size_t n = 0; n < strlen(text); n += 97) { /* cut short anywhere */
        qv_study_record r = {0};
        qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, n));
        assert_int_equal(qv_study_record_read(x->ctx, &r, path), QV_ERR_DATA);
    }
    assert_int_equal(remove(path), 0);
    qv_assert_ok(x->ctx, run_text(x, "damaged", ""));
    qv_assert_ok(x->ctx, run_text(x, "undamaged", ""));
    assert_true(digest_of(x, "damaged", 24) == digest_of(x, "undamaged", 24));
    free(path);
    free(text);
}

/* What a process that is killed between writing and renaming leaves is removed when the run is done again. */
static void leftovers_are_removed(void **state)
{
    fixture *x = *state;
    char *path, *left;
    qv_assert_ok(x->ctx, run_text(x, "left", ""));
    qv_assert_ok(x->ctx,
                 qv_path_join(x->ctx, &path, folder(x, "left"), "records/made/preact_even/fold-1.seed-1.jsonl"));
    qv_assert_ok(x->ctx,
                 qv_path_join(x->ctx, &left, folder(x, "left"), "records/made/preact_even/fold-1.seed-1.jsonl.tmp-7"));
    assert_int_equal(rename(path, left), 0);
    qv_assert_ok(x->ctx, run_text(x, "left", ""));
    assert_true(qv_path_exists(path) && !qv_path_exists(left));
    free(path);
    free(left);
}

static void no_memory_is_an_error(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "memory", ""));
    for (size_t n = 1;; n += 13) {
        qv_ctx_fail_alloc(x->ctx, n);
        qv_status status = qv_study_report(x->ctx, folder(x, "memory"), NULL);
        qv_ctx_fail_alloc(x->ctx, 0);
        if (status == QV_OK) break;
        assert_int_equal(status, QV_ERR_MEMORY);
    }
}

/* ---- report ---- */

static void an_unfinished_study_has_no_verdict(void **state)
{
    fixture *x = *state;
    x->o.shard = 1;
    x->o.shards = 2;
    qv_assert_ok(x->ctx, run_text(x, "half", ""));
    char *page = text_of(x, "half", "report.html"), *csv = text_of(x, "half", "report.csv");
    assert_non_null(strstr(page, "Interim: 12 of 24 runs are in, so there is no verdict yet."));
    assert_null(strstr(page, ">significant<"));
    assert_non_null(strstr(page, "<td>interim</td>"));
    assert_null(strstr(page, "<script"));
    char *row = strstr(csv, "\ncomparison,made,own,");
    assert_non_null(row);
    size_t commas = 0; /* no p before the end: p_ua is the 17th column */
    for (char *p = row; commas < 16; p++)
        if (*p == ',' && ++commas == 16) assert_memory_equal(p, ",,,,,", 5);
    free(page);
    free(csv);
}

/* What networks make of the recordings goes into records, tables and pictures; points only of two dimensions. */
static void embeddings_are_measured_and_drawn(void **state)
{
    fixture *x = *state;
    static const char *const names[] = {"plane", "pooled"};
    for (int k = 0; k < 2; k++) {
        qv_study *s;
        qv_plan plan;
        qv_assert_ok(x->ctx, run_text(x, names[k], k ? "" : "[settings]\nnet.embed = 2\n"));
        qv_results r = results_of(x, names[k], &s, &plan);
        const qv_cell_result *c = qv_result_cell(&r, 0, 0);
        char *page = text_of(x, names[k], "report.html");
        assert_true(k ? c->dims > 2 && c->shape[0].n_points == 0 : c->dims == 2);
        assert_non_null(strstr(page, "<h2>Symmetry</h2>"));
        assert_int_equal(strstr(page, "<h2>Embeddings</h2>") != NULL, k == 0);
        for (int part = 0; part < 2; part++)
            assert_true(c->symmetry[part][0].mean >= 0 && c->symmetry[part][0].mean <= 1);
        if (k == 0) assert_true(c->shape[0].n_points == 16 && c->shape[1].n_points == 16); /* two folds of 32 recordings */
        free(page);
        qv_results_free(&r);
        qv_plan_free(&plan);
        qv_study_free(s);
    }
}

/* Records whose outcome is known: the larger the weight of a cell, the better, and just as the claim has it. */
static void plant(fixture *x, const char *out, double gain)
{
    qv_study *s;
    qv_plan plan;
    const char *path = folder(x, out);
    qv_assert_ok(x->ctx, qv_study_of_folder(x->ctx, &s, path));
    qv_assert_ok(x->ctx, qv_plan_read(x->ctx, &plan, s, path));
    for (size_t f = 0; f < plan.corpora[0].n_folds; f++)
        for (size_t c = 0; c < s->n_cells; c++) {
            char *file;
            qv_study_record r = {0};
            qv_assert_ok(x->ctx, qv_study_record_path(x->ctx, &file, path, "made", s->cells[c].file,
                                                      plan.corpora[0].folds[f].name, s->first_seed));
            qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, file));
            r.running.train = (qv_part_score){.n = 100, .speakers = 7, .ua = 0.95, .wa = 0.95};
            for (size_t i = 0; i < r.running.n_speakers; i++) {
                memset(r.running.speakers[i].confusion, 0, 16 * sizeof(size_t));
                size_t right = 60 + (3 * f) % 7 + (c == 1 ? (size_t)(gain * 100) + f % 3 : 0);
                for (size_t k = 0; k < 4; k++) {
                    r.running.speakers[i].confusion[5 * k] = right;
                    r.running.speakers[i].confusion[4 * k + (k + 1) % 4] = 100 - right;
                }
            }
            qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, file));
            qv_study_record_free(&r);
            free(file);
        }
    qv_plan_free(&plan);
    qv_study_free(s);
}

static void the_verdict_follows_the_numbers(void **state)
{
    static const char text[] = "[study]\nquestion = Is <b> better?\n[corpus made]\nembedded = 8 1\nfolds = speaker\n"
                               "[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\nnet.width = 2\ntrain.batch = 4\n"
                               "train.epochs = 1\n[axis width]\nsetting = net.width\nvalues = 2, 3\n"
                               "[compare wide]\ndifference = width=3 - width=2\n";
    static const struct {
        double gain;
        const char *answer;
    } cases[] = {
        {0.2, "Yes: with 8 speakers of made, 1 seed, the one of the comparisons that the claim needs shows a higher "
              "accuracy and a smaller gap, significant at 0.05 after Holm&#39;s correction. wide: UA +20.9 points, "
              "gap -20.9 points, p = 0.0039."},
        {0, "No: with 8 speakers of made, 1 seed, 0 of the 1 comparisons"}};
    fixture *x = *state;
    for (size_t i = 0; i < 2; i++) {
        qv_study *s;
        char name[16];
        snprintf(name, sizeof name, "verdict%zu", i);
        qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text));
        x->o.out = folder(x, name);
        qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o));
        qv_study_free(s);
        plant(x, name, cases[i].gain - (i == 1 ? 0.01 : 0));
        qv_assert_ok(x->ctx, qv_study_report(x->ctx, folder(x, name), NULL));
        char *page = text_of(x, name, "report.html");
        if (!strstr(page, cases[i].answer)) print_error("%s\n", strstr(page, "class=\"lead\""));
        assert_non_null(strstr(page, cases[i].answer));
        assert_non_null(strstr(page, "Is &lt;b&gt; better?"));
        free(page);
    }
}

static int open_context(void **state)
{
    *state = qv_test_ctx();
    return 0;
}

static int close_context(void **state)
{
    qv_ctx_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest files[] = {
        cmocka_unit_test(settings_without_effect_are_one_cell),
        cmocka_unit_test(differences_of_differences_have_weights),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(ready_studies_can_be_read),
    };
    const struct CMUnitTest runs[] = {
        cmocka_unit_test_setup_teardown(records_do_not_depend_on_threads_or_shards, setup, teardown),
        cmocka_unit_test_setup_teardown(more_seeds_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_settings_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_best_epoch_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(profiles_are_of_the_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(embeddings_are_measured_and_drawn, setup, teardown),
        cmocka_unit_test_setup_teardown(another_study_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_records_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(leftovers_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unfinished_study_has_no_verdict, setup, teardown),
        cmocka_unit_test_setup_teardown(the_verdict_follows_the_numbers, setup, teardown),
    };
    int failed = cmocka_run_group_tests(files, open_context, close_context);
    return failed + cmocka_run_group_tests(runs, NULL, NULL);
}
