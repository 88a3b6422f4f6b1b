/* Studies: what a study file means and how it is refused; that records depend on nothing but their seeds. */
#include <glob.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
        {"[axis order]\n", "study.ini:24: [axis order] stands there already"},
        {"[axis empty]\n", "study.ini:24: axis empty has no levels"},
        {"[axis a/b]\n", "a name has 1 to 40 letters"},
        {"[study]\nseeds = 0\n", "study.ini:25: seeds = 0: expected a whole number from 1"},
        {"[study]\nalpha = 1.5\n", "study.ini:25: alpha = 1.5"},
        {"[study]\nclaim = y\n[compare x]\ndifference = preact even - preact shaken\n",
         "study.ini:25: there is no comparison y; did you mean x?"},
        {"[corpus two]\nfolds = speaker\n", "corpus two needs either manifest = FILE or embedded"},
        {"stray\n", "study.ini:24: expected key = value"},
        {"[study]\nseeds = 3\n", "study.ini:25: seeds is given twice in [study]"},
        {"[study]\nalpha = 0.1\nalpha = 0.2\n", "study.ini:26: alpha is given twice in [study]"},
        {"[compare x]\nexpect = ua\nexpect = gap\n", "study.ini:26: expect is given twice in [compare x]"},
        {"[corpus two]\nembedded = 4\n", "study.ini:25: embedded = 4: expected SPEAKERS SENTENCES"},
        {"[corpus two]\nembedded = 4 1\nembedded = 4 2\n", "study.ini:26: embedded is given twice"},
        {"[axis new]\nsettng = net.blocks\n", "study.ini:25: [axis new] has no settng; did you mean setting?"},
        {"[settings]\nsplit.test_fraction = 0.3\n", "split.test_fraction cannot be set here: the folds"},
        {"[axis p]\na = train.lr=0.1\na_b = train.lr=0.2\n[axis q]\nb_c = bn.eps=0.1\nc = bn.eps=0.2\n",
         "\"preact even a b_c\" and \"preact even a_b c\" would keep their records in one folder"},
        {"[axis p]\na = train.lr=0.1\nb = train.lr=0.2, train.lr=0.3\n", "study.ini:26: level b sets train.lr twice"},
        {"[axis p]\na = train.lr=0.1\nb = shake.gamma0=0.3\n",
         "sets shake.gamma0, which the axis p sets too: one of them would do nothing"},
        {"[cells shaken]\nnet.order = relu\n", "study.ini:25: [cells shaken] sets net.order, which the axis order sets"},
        {"[study]\nclaim = ,\n[compare x]\ndifference = preact even - preact shaken\n",
         "study.ini:25: claim = ,: expected names of comparisons"},
        {"; Gr\xf6\xdf"
         "e\n",
         "study.ini:24: this line is not UTF-8"},
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

/* Levels that train the same are one cell, whose name is still its own. */
static void equal_levels_are_one_cell(void **state)
{
    qv_ctx *ctx = *state;
    qv_study *s = parsed(
        ctx, "[corpus made]\nembedded = 8 1\n",
        "[axis lr]\nsetting = train.lr\nvalues = 0.1, 0.10, 0.2, 0.20\n[axis width]\nsetting = net.width\nvalues = 2\n",
        "[study]\nclaim = x\n[compare x]\ndifference = 0.20 - 0.10\n");
    assert_int_equal(s->n_cells, 2);
    assert_string_equal(s->cells[0].name, "lr=0.1 width=2");
    assert_string_equal(s->cells[1].name, "lr=0.2 width=2");
    assert_true(s->comparisons[0].weight[0] == -1 && s->comparisons[0].weight[1] == 1);
    qv_study_free(s);
}

static void settings_of_other_heads_and_optimizers_are_idle(void **state)
{
    qv_ctx *ctx = *state;
    static const char *const names[] = {"softmax sgd",           "softmax adamw",        "cosface scale=8 sgd",
                                        "cosface scale=8 adamw", "cosface scale=16 sgd", "cosface scale=16 adamw"};
    qv_study *s =
        parsed(ctx, "[corpus made]\nembedded = 8 1\n[axis head]\nsetting = train.head\nvalues = softmax, cosface\n",
               "[axis scale]\nsetting = head.scale\nvalues = 8, 16\n[axis optimizer]\nsetting = "
               "train.optimizer\nvalues = sgd, adamw\n",
               "[cells sgd]\ntrain.beta1 = 0.5\n[cells adamw]\ntrain.momentum = 0.5\n");
    assert_int_equal(s->n_cells, 6);
    for (size_t i = 0; i < 6; i++) assert_string_equal(s->cells[i].name, names[i]);
    assert_null(strstr(s->cells[0].identity, "beta1"));
    assert_null(strstr(s->cells[1].identity, "momentum"));
    qv_study_free(s);
}

/* A path as long as one may be, and names that make none. */
static void long_words_are_whole_or_refused(void **state)
{
    qv_ctx *ctx = *state;
    qv_study *s;
    static const char *const keys[] = {"train.lr",       "bn.eps",          "train.weight_decay",
                                       "train.momentum", "train.smoothing", "shake.gamma0"};
    qv_buf text = {0};
    char path[5001];
    memset(path, 'x', sizeof path);
    path[4000] = '\0';
    qv_buf_printf(&text, "[axis start]\nnone =\nold = train.init_from=/%s\n", path);
    s = parsed(ctx, "[corpus made]\nembedded = 8 1\n", text.data, "");
    assert_int_equal(strlen(s->cells[1].settings.init_from), 4001);
    qv_study_free(s);
    text.len = 0;
    path[4000] = 'x', path[5000] = '\0';
    qv_buf_printf(&text, "[corpus made]\nembedded = 8 1\n[axis start]\nnone =\nold = train.init_from=/%s\n", path);
    assert_int_equal(qv_study_parse(ctx, &s, "study.ini", text.data), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(ctx), "study.ini:5: level old: expected section.key=value of at most"));
    text.len = 0;
    path[36] = '\0';
    qv_buf_printf(&text,
                  "[axis a]\n%s1 = train.lr=0.1\nb = train.lr=0.2\n[axis c]\n%s2 = bn.eps=0.1\nd = bn.eps=0.2\n"
                  "[cells %s1 %s2]\ntrain.epochs = 7\n",
                  path, path, path, path);
    s = parsed(ctx, "[corpus made]\nembedded = 8 1\n", text.data, "");
    assert_int_equal(s->cells[0].settings.epochs, 7);
    qv_study_free(s);
    text.len = 0;
    qv_buf_puts(&text, "[corpus made]\nembedded = 8 1\n");
    path[36] = '\0';
    for (int i = 0; i < 6; i++) qv_buf_printf(&text, "[axis a%d]\n%s-%d = %s=0.0%d\n", i, path, i, keys[i], i + 1);
    assert_int_equal(qv_study_parse(ctx, &s, "study.ini", text.data), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(ctx), "has a name of more than 200 letters"));
    qv_buf_free(&text);
}

/* As with every training, an option wins over the file; the folder keeps the file as it was run. */
static void the_command_line_wins(void **state)
{
    qv_ctx *ctx = *state;
    static const qv_study_given given[] = {{"run.device", "cpu"}, {"train.epochs", "7"}};
    static const char text[] = "[corpus made]\nembedded = 8 1\n[settings]\nrun.device = ref ; slow\n train.epochs=3\n"
                               "[axis width]\nsetting = net.width\nvalues = 2, 3\n[cells width=3]\ntrain.epochs = 4\n"
                               "train.lr = 0.03";
    char old[sizeof text];
    qv_study *s, *again;
    char *dir = qv_test_tmpdir(), *path;
    memcpy(old, text, sizeof text);
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, "study.ini"));
    qv_assert_ok(ctx, qv_write_file(ctx, path, text, strlen(text)));
    qv_assert_ok(ctx, qv_study_read(ctx, &s, path, given, 2));
    qv_assert_ok(ctx, qv_study_parse(ctx, &again, path, s->text));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(s->cells[i].settings.device, QV_DEVICE_CPU);
        assert_int_equal(s->cells[i].settings.epochs, 7);
        assert_string_equal(s->cells[i].identity, again->cells[i].identity);
    }
    assert_true(s->cells[1].settings.lr == 0.03);
    qv_study_free(again);
    qv_study_free(s);
    assert_int_equal(qv_study_read(ctx, &s, path, (const qv_study_given[]){{"net.width", "4"}}, 1), QV_ERR_USAGE);
    assert_non_null(strstr(qv_ctx_message(ctx), "study.ini:7: [axis width] compares net.width, so the command line"));
    for (char *c = old; *c; c++) *c = *c == '\n' ? '\r' : *c; /* its lines are the same ones */
    qv_assert_ok(ctx, qv_write_file(ctx, path, old, strlen(old)));
    qv_assert_ok(ctx, qv_study_read(ctx, &s, path, given, 2));
    for (size_t i = 0; i < 2; i++) assert_int_equal(s->cells[i].settings.epochs, 7);
    assert_true(s->cells[1].settings.lr == 0.03);
    qv_study_free(s);
    qv_test_rmdir(dir);
    free(path);
}

static void ready_studies_can_be_read(void **state)
{
    qv_ctx *ctx = *state;
    glob_t files;
    size_t comparing = 0;
    assert_int_equal(glob(QV_SOURCE_DIR "/data/studies/*.ini", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        qv_study *s;
        qv_assert_ok(ctx, qv_study_read(ctx, &s, files.gl_pathv[i], NULL, 0));
        assert_true(s->n_cells > 1 && s->question);
        comparing += s->n_comparisons > 0;
        qv_study_free(s);
    }
    assert_true(comparing > 10 && comparing < files.gl_pathc); /* the others are tours */
    globfree(&files);
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
    qv_status status = qv_study_run(x->ctx, s, &x->o, NULL);
    qv_study_free(s);
    qv_buf_free(&text);
    return status;
}

static void read_findings(fixture *x, qv_findings *f, const char *out)
{
    qv_assert_ok(x->ctx, qv_findings_read(x->ctx, f, folder(x, out)));
}

static uint64_t digest_of(fixture *x, const char *out, size_t runs)
{
    qv_findings f;
    read_findings(x, &f, out);
    uint64_t digest = f.results.digest;
    assert_int_equal(f.results.runs, runs);
    qv_findings_free(&f);
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
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, folder(x, "merged"), shards, 3, NULL));
    assert_true(digest_of(x, "merged", 24) == digest);
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, folder(x, "merged"), shards, 1, NULL)); /* again: nothing new */
    char *a = text_of(x, "one", "report.csv"), *b = text_of(x, "merged", "report.csv");
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* Cards are dealt one by one: no shard has more runs of a cell than another. */
static void shards_are_equal(void **state)
{
    fixture *x = *state;
    x->o.shards = 4;
    for (int i = 1; i <= 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "hand%d", i);
        x->o.shard = i;
        qv_assert_ok(x->ctx, run_text(x, name, ""));
        qv_findings f;
        read_findings(x, &f, name);
        for (size_t k = 0; k < f.study->n_cells; k++) assert_int_equal(qv_result_cell(&f.results, 0, k)->runs, 1);
        qv_findings_free(&f);
    }
}

/* A folder of another study among those to be joined leaves nothing half done. */
static void a_merge_looks_before_it_writes(void **state)
{
    fixture *x = *state;
    char one[300], two[300], more[300];
    x->o.shards = 12;
    x->o.shard = 1;
    qv_assert_ok(x->ctx, run_text(x, "part", ""));
    qv_assert_ok(x->ctx, run_text(x, "foreign", "[settings]\nnet.blocks = 2\n"));
    x->o.seeds = 3;
    qv_assert_ok(x->ctx, run_text(x, "more", ""));
    snprintf(one, sizeof one, "%s/part", x->dir);
    snprintf(two, sizeof two, "%s/foreign", x->dir);
    snprintf(more, sizeof more, "%s/more", x->dir);
    assert_int_equal(qv_study_merge(x->ctx, folder(x, "joined"), (const char *[]){one, two}, 2, NULL), QV_ERR_USAGE);
    assert_message(x, "was begun with another study");
    assert_false(qv_path_exists(folder(x, "joined")));
    char *answer = NULL; /* what was there counts as a part, with its seeds */
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, more, (const char *[]){one}, 1, &answer));
    assert_non_null(strstr(answer, "Interim: 3 of 36 runs are in"));
    free(answer);
}

static void more_seeds_go_on(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "more", ""));
    char *before = text_of(x, "more", "records/made/preact_even/fold-1.seed-2.jsonl");
    x->o.seeds = 3;
    qv_assert_ok(x->ctx, run_text(x, "more", ""));
    digest_of(x, "more", 36);
    x->o.seeds = 0; /* nobody asks: those that are there */
    qv_assert_ok(x->ctx, run_text(x, "more", ""));
    digest_of(x, "more", 36);
    x->o.seeds = 2;
    assert_int_equal(run_text(x, "more", ""), QV_ERR_USAGE);
    assert_message(x, "has 3 already, and what is taken away after looking is chosen");
    char *after = text_of(x, "more", "records/made/preact_even/fold-1.seed-2.jsonl");
    assert_string_equal(before, after); /* also its clock: it was not trained again */
    free(before);
    free(after);
}

/* Nor does a damaged plan, or none, take any away: the records say how many there are. */
static void seeds_are_not_forgotten(void **state)
{
    fixture *x = *state;
    char *path;
    x->o.seeds = 3;
    qv_assert_ok(x->ctx, run_text(x, "forgotten", ""));
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, "forgotten"), "records/made/copy-of-2026.jsonl"));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, "", 0)); /* of no seed */
    free(path);
    char *plan = text_of(x, "forgotten", "plan.json");
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, "forgotten"), "plan.json"));
    for (int gone = 0; gone < 2; gone++) {
        if (gone)
            assert_int_equal(remove(path), 0);
        else
            qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, plan, strlen(plan) / 2));
        x->o.seeds = 2;
        assert_int_equal(run_text(x, "forgotten", ""), QV_ERR_USAGE);
        assert_message(x, "has 3 already, and what is taken away after looking is chosen");
        x->o.seeds = 0;
        qv_assert_ok(x->ctx, run_text(x, "forgotten", ""));
        digest_of(x, "forgotten", 36);
    }
    free(plan);
    free(path);
}

/* The command that the page shows trains as many seeds as the page has; what of it is not UTF-8 stands there as ?. */
static void the_command_repeats_the_study(void **state)
{
    static const struct {
        int asked;
        const char *command, *kept;
    } cases[] = {{0, "quaver study s.ini", "\"command\": \"quaver study s.ini\""},
                 {3, "quaver study s.ini --seeds 3", "\"command\": \"quaver study s.ini --seeds 3\""},
                 {0, "quaver study s.ini --out \xff", "\"command\": \"quaver study --seeds 3 s.ini --out ?\""},
                 {0, "quaver study -j 2 -- s.ini", "\"command\": \"quaver study --seeds 3 -j 2 -- s.ini\""}};
    fixture *x = *state;
    x->o.shards = 12;
    x->o.shard = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        x->o.seeds = cases[i].asked;
        x->o.command = cases[i].command;
        qv_assert_ok(x->ctx, run_text(x, "command", ""));
        char *plan = text_of(x, "command", "plan.json");
        if (!strstr(plan, cases[i].kept)) print_error("expected %s\n", cases[i].kept);
        assert_non_null(strstr(plan, cases[i].kept));
        free(plan);
    }
}

/* What qv_settings_idle says has no effect has none: the networks are the same to the bit. */
static void idle_settings_change_nothing(void **state)
{
    fixture *x = *state;
    qv_study *s = parsed(x->ctx, head, axes, "");
    qv_study_corpora data;
    qv_maker maker = {.program = (char[]){"test"}, .isa = "test"};
    /* beside "preact even": first a setting, then one that it makes idle; NULL: idle beside what is there */
    static const char *const changes[][4] = {
        {NULL, NULL, "shake.gamma0", "0.7"},
        {NULL, NULL, "shake.level", "batch"},
        {NULL, NULL, "shake.bands", "2"},
        {NULL, NULL, "shake.backward", "keep"},
        {NULL, NULL, "shake.affine", "0.5"},
        {NULL, NULL, "shake.signed", "0.2"},
        {NULL, NULL, "shake.keep", "0.5"},
        {NULL, NULL, "shake.keep_depth", "linear"},
        {NULL, NULL, "train.step_epochs", "1"},
        {NULL, NULL, "train.beta1", "0.5"},
        {NULL, NULL, "head.center", "0.5"},
        {NULL, NULL, "head.scale", "4"},
        {NULL, NULL, "head.sphere_margin", "2"},
        {NULL, NULL, "augment.time_width", "0.5"},
        {"train.optimizer", "adamw", "train.momentum", "0.5"},
        {"train.optimizer", "adamw", "train.nesterov", "no"},
        {"train.weight_decay", "0", "train.decay_all", "yes"},
        {"train.head", "a-softmax", "head.scale", "4"},
        {"train.head", "cosface", "head.arcface_margin", "0.1"},
        {"train.sampling", "balanced", "train.class_weights", "none"},
        {"features.normalize", "utterance", "augment.voices", "1"},
        {"patch.frames", "8", "patch.seconds", "0.5"},
    };
    x->o.out = folder(x, "idle");
    qv_assert_ok(x->ctx, qv_study_load(x->ctx, &data, s, &x->o));
    qv_study_job job = {
        .study = s, .data = qv_study_data_of(&data, 0, 0), .maker = &maker, .run = {.seed = 3}}; /* preact even */
    qv_settings *c = &s->cells[0].settings, start = *c;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        qv_study_record want, got;
        *c = start;
        if (changes[i][0]) qv_assert_ok(x->ctx, qv_settings_set(x->ctx, c, changes[i][0], changes[i][1]));
        qv_settings idle = *c;
        qv_assert_ok(x->ctx, qv_study_train(x->ctx, &job, &want));
        qv_assert_ok(x->ctx, qv_settings_set(x->ctx, c, changes[i][2], changes[i][3]));
        qv_assert_ok(x->ctx, qv_study_train(x->ctx, &job, &got));
        for (size_t k = 0; k < want.n_curve; k++) assert_true(want.curve[QV_RUN_LOSS][k] == got.curve[QV_RUN_LOSS][k]);
        assert_true(want.running.train.ua == got.running.train.ua && want.n_curve == got.n_curve);
        assert_true(want.even.train.ua == got.even.train.ua && want.even.n_speakers == want.running.n_speakers);
        qv_study_record_free(&got);
        qv_study_record_free(&want);
        qv_assert_ok(x->ctx, qv_settings_idle(x->ctx, c));
        qv_assert_ok(x->ctx, qv_settings_idle(x->ctx, &idle));
        qv_buf values = {0};
        assert_null(qv_settings_differ(c, &idle, "", &values));
        qv_buf_free(&values);
    }
    *c = start;
    qv_study_unload(&data, s);
    qv_study_free(s);
}

/* Folds that cannot be are the study file's fault, which is named. */
static void impossible_folds_are_named(void **state)
{
    fixture *x = *state;
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", "[corpus made]\nembedded = 2 1\nfolds = 9\n"));
    x->o.out = folder(x, "folds");
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_DATA);
    assert_message(x, "study.ini:1: corpus made: 9 folds cannot be made of 2 speakers");
    qv_study_free(s);
}

/* What a record has of who was answered what is the same as of these predictions. */
static void assert_same_answers(const qv_record_scores *s, const qv_records *from)
{
    size_t tested = 0;
    for (size_t i = 0; i < s->n_speakers; i++) {
        size_t confusion[16] = {0};
        for (size_t k = 0; k < from->n_predictions; k++) {
            const qv_prediction *p = &from->predictions[k];
            if (strcmp(p->part, "test") != 0 || strcmp(p->speaker, s->speakers[i].name) != 0) continue;
            confusion[p->truth * 4 + p->predicted]++;
            tested++;
        }
        assert_memory_equal(confusion, s->speakers[i].confusion, sizeof confusion);
    }
    assert_int_equal(from->n_classes, 4);
    assert_true(tested > 0);
}

/* The weights of the best epoch, which no file keeps: they do as those that a training with a folder reads back from
 * its best.safetensors, and not as the last ones. */
static void the_best_epoch_is_taken(void **state)
{
    fixture *x = *state;
    qv_study_corpora data;
    qv_maker maker = {.program = (char[]){"test"}, .isa = "test"};
    size_t earlier = 0, parameters;
    qv_study *s = parsed(x->ctx,
                         "[corpus made]\nembedded = 8 1\nfolds = 2\n[settings]\nfeatures.mels = 8\n"
                         "patch.seconds = 0.16\nnet.width = 2\ntrain.batch = 3\ntrain.epochs = 12\neval.every = 1\n"
                         "train.lr = 0.3\nsplit.val_speakers = 2\neval.epoch = best\n",
                         "", "");
    x->o.out = folder(x, "best");
    qv_assert_ok(x->ctx, qv_study_load(x->ctx, &data, s, &x->o));
    qv_study_job job = {.study = s, .data = qv_study_data_of(&data, 0, 0), .maker = &maker};
    for (size_t fold = 0; fold < job.data->folds->n; fold++) {
        qv_settings settings = s->cells[0].settings;
        qv_study_record got;
        qv_fold_summary want = {0};
        qv_records records = {.classes = job.data->manifest->classes, .n_classes = job.data->manifest->n_classes};
        job.run = (qv_run_id){.fold = fold, .seed = 1};
        qv_assert_ok(x->ctx, qv_study_train(x->ctx, &job, &got));
        settings.seed = 1;
        settings.threads = 1;
        qv_assert_ok(x->ctx, qv_settings_detect(x->ctx, &settings, job.data->manifest));
        qv_fold_job kept = {.settings = &settings,
                            .manifest = job.data->manifest,
                            .features = job.data->features,
                            .fold = &job.data->folds->folds[fold],
                            .index = (int)fold,
                            .count = (int)job.data->folds->n,
                            .folder = x->dir,
                            .records = &records,
                            .parameters = &parameters};
        qv_assert_ok(x->ctx, qv_fold_train(x->ctx, &kept, &want));
        assert_int_equal(got.epoch, want.epoch);
        assert_true(got.running.train.ua == want.train.ua && got.running.val.ua == want.val.ua);
        assert_same_answers(&got.running, &records);
        earlier += got.epoch < settings.epochs;
        qv_study_record_free(&got);
        qv_records_free(&records);
    }
    assert_true(earlier > 0); /* else all of this says nothing */
    qv_study_unload(&data, s);
    qv_study_free(s);
}

/* Without validation speakers "best" is the last epoch, and the page says so. */
static void nothing_is_chosen_without_validation(void **state)
{
    static const char *const more[] = {"", "split.val_speakers = 2\n"};
    static const char *const rule[] = {"the last one of the length that the study file sets",
                                       "the best UA on speakers held"};
    fixture *x = *state;
    for (size_t i = 0; i < 2; i++) {
        char name[16];
        qv_buf text = {0};
        snprintf(name, sizeof name, "rule%zu", i);
        qv_buf_printf(
            &text, "[settings]\neval.epoch = best\n%s[cells even]\ntrain.batch = 3\n[cells shaken]\ntrain.batch = 3\n",
            more[i]);
        qv_assert_ok(x->ctx, run_text(x, name, text.data));
        char *page = text_of(x, name, "report.html");
        assert_non_null(strstr(page, rule[i]));
        assert_null(strstr(page, rule[1 - i]));
        qv_buf_free(&text);
        free(page);
    }
}

static void profiles_are_of_the_blocks(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "scales", ""));
    qv_findings f;
    read_findings(x, &f, "scales");
    const qv_results *r = &f.results;
    assert_int_equal(qv_result_cell(r, 0, 0)->profiles[QV_PROFILE_SCALES].n, 0); /* nothing is normalized there */
    for (size_t k = 0; k < f.study->n_cells; k++)
        assert_true(qv_result_cell(r, 0, k)->even_ua > 0 && qv_result_cell(r, 0, k)->even_ua <= 1);
    const qv_profile *low = qv_result_cell(r, 0, 4)->profiles, *high = qv_result_cell(r, 0, 5)->profiles;
    for (int kind = 0; kind < QV_PROFILES; kind++) {
        const qv_profile *p = &low[kind];
        assert_int_equal(p->n, 3);
        assert_string_equal(p->layers[1], "stage2.block0");
        for (size_t i = 0; i < 3; i++)
            assert_true(0 < p->low[i] && p->low[i] <= p->mean[i] && p->mean[i] <= p->high[i]);
    }
    for (size_t i = 0; i < 3; i++) { /* a few steps away from where they started */
        double scale[] = {low[QV_PROFILE_SCALES].mean[i], high[QV_PROFILE_SCALES].mean[i]};
        assert_true(scale[0] > 0.02 && scale[0] < 0.5 && scale[1] > 0.5 && scale[1] < 1.5);
        assert_true(low[QV_PROFILE_MOVED].mean[i] < high[QV_PROFILE_MOVED].mean[i]);
    }
    qv_findings_free(&f);
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
    char *ini = text_of(x, "begun", "study.ini");
    const char *which = strstr(ini, "Which?");
    ((char *)which)[1] = 'i'; /* another question is another study, too */
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", ini));
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_USAGE);
    assert_message(x, "\"question = Which?\" then, \"question = Wiich?\" now");
    qv_study_free(s);
    free(ini);
}

static void run_study(fixture *x, const char *out, const char *text)
{
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text));
    x->o.out = folder(x, out);
    qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
    qv_study_free(s);
}

/* A record as if an earlier program had made it. */
static void make_older(fixture *x, const char *out, const char *record)
{
    char *text = text_of(x, out, record), *version = strstr(text, "{\"version\":\""), *path;
    assert_non_null(version);
    memcpy(version + 12, "0.0.9", 5);
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, out), record));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
    free(path);
    free(text);
}

/* What another study trained with the same settings and recordings is taken over under this one's names, and is what
 * would have been trained here; the rest is trained. */
static void the_same_trainings_are_reused(void **state)
{
    static const char common[] = "folds = 2\n[settings]\nnet.width = 2\ntrain.batch = 4\ntrain.epochs = 2\n"
                                 "features.mels = 8\npatch.seconds = 0.16\n";
    fixture *x = *state;
    char theirs[512], ours[512], from[300];
    const char *reuse[] = {from};
    snprintf(theirs, sizeof theirs,
             "[corpus made]\nembedded = 4 1\n%s[axis rate]\nsetting = train.lr\nvalues = 0.1, 0.02\n", common);
    snprintf(ours, sizeof ours,
             "[corpus mine]\nembedded = 4 1\n%s[axis speed]\nslow = train.lr=0.02\nfast = train.lr=0.3\n", common);
    run_study(x, "theirs", theirs);
    make_older(x, "theirs", "records/made/rate=0.02/fold-1.seed-1.jsonl");
    make_older(x, "theirs", "records/made/rate=0.1/fold-1.seed-1.jsonl");
    run_study(x, "fresh", ours);
    uint64_t digest = digest_of(x, "fresh", 4);
    snprintf(from, sizeof from, "%s/theirs", x->dir);
    x->o.reuse = reuse, x->o.n_reuse = 1;
    run_study(x, "ours", ours);
    assert_true(digest_of(x, "ours", 4) == digest);
    char *slow = text_of(x, "ours", "records/mine/slow/fold-1.seed-1.jsonl"),
         *fast = text_of(x, "ours", "records/mine/fast/fold-1.seed-1.jsonl");
    assert_non_null(strstr(slow, "{\"version\":\"0.0.9\""));
    assert_null(strstr(fast, "{\"version\":\"0.0.9\""));
    assert_true(strstr(slow, "\"reused\":\"") && !strstr(fast, "\"reused\":\""));
    char *page = text_of(x, "ours", "report.html");
    assert_non_null(strstr(page, "2 of the 4 runs were trained for another study."));
    free(page);
    free(slow), free(fast);
    snprintf(from, sizeof from, "%s/cache", x->dir);
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", ours));
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_USAGE);
    assert_message(x, "holds no study");
    qv_study_free(s);
}

static void run_folds(fixture *x, const char *out, const char *folds)
{
    char text[512], path[300];
    snprintf(path, sizeof path, "%s/folds.txt", x->dir);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, folds, strlen(folds)));
    snprintf(text, sizeof text,
             "[corpus mine]\nembedded = 4 1\nfolds = %s\n[settings]\nnet.width = 2\ntrain.batch = 4\n"
             "train.epochs = 1\nfeatures.mels = 8\npatch.seconds = 0.16\n",
             path);
    run_study(x, out, text);
}

/* Folds of one name are not always of one training. */
static void other_folds_are_not_reused(void **state)
{
    static const char record[] = "records/mine/all/fold-1.seed-1.jsonl";
    static const struct {
        const char *theirs, *ours, *message;
    } cases[] = {
        {"1: s01\n2: s02\n", "1: s01\n2: s02\ntrain: s03\n", "it trains on 4 recordings, fold 1 on 8"},
        {"1: s01\n2: s02 s03\n", "1: s01 s04\n2: s02 s03\n",
         "it tests 4 recordings of 1 speakers, fold 1 tests 8 of 2"},
        {"1: s01\n2: s02\ntrain: s03\n", "1: s01\n2: s02\ntrain: s04\n", NULL}, /* on as many others */
        {"2: s02\n1: s01\n", "1: s01\n2: s02\n", NULL},                         /* with other draws */
    };
    fixture *x = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char theirs[16], ours[16], from[300];
        const char *reuse[] = {from};
        snprintf(theirs, sizeof theirs, "theirs%zu", i);
        snprintf(ours, sizeof ours, "ours%zu", i);
        snprintf(from, sizeof from, "%s/%s", x->dir, theirs);
        x->o.n_reuse = 0;
        run_folds(x, theirs, cases[i].theirs);
        make_older(x, theirs, record);
        x->o.reuse = reuse, x->o.n_reuse = 1;
        run_folds(x, ours, cases[i].ours);
        char *trained = text_of(x, ours, record), *older = text_of(x, theirs, record), *path;
        assert_null(strstr(trained, "{\"version\":\"0.0.9\""));
        qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, ours), record));
        if (cases[i].message) { /* nor taken where it was copied by hand */
            qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, older, strlen(older)));
            assert_int_equal(qv_study_report(x->ctx, folder(x, ours), NULL, NULL), QV_ERR_DATA);
            assert_message(x, cases[i].message);
        }
        free(trained), free(older), free(path);
    }
}

/* In the plan of a folder's study, as a program of that default would have left it. */
static void move_default(fixture *x, const char *out, const char *from, const char *to)
{
    char *text = text_of(x, out, "plan.json"), *at = strstr(text, from), *path;
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, out), "plan.json"));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
    free(path);
    free(text);
}

/* Cells are named by what is off the defaults: under other defaults the same name is another training. */
static void other_defaults_are_another_study(void **state)
{
    fixture *x = *state;
    char from[300];
    const char *reuse[] = {from};
    snprintf(from, sizeof from, "%s/begun", x->dir);
    qv_assert_ok(x->ctx, run_text(x, "begun", ""));
    move_default(x, "begun", "train.momentum = 0.9", "train.momentum = 0.8");
    assert_int_equal(run_text(x, "begun", ""), QV_ERR_DATA);
    assert_message(x, "the default train.momentum = 0.8, this command of one with train.momentum = 0.9");
    qv_assert_ok(x->ctx, qv_study_report(x->ctx, folder(x, "begun"), NULL, NULL));
    x->o.reuse = reuse, x->o.n_reuse = 1;
    assert_int_equal(run_text(x, "ours", ""), QV_ERR_DATA);
    assert_message(x, "the default train.momentum = 0.8");
    move_default(x, "begun", "train.momentum = 0.8", "train.nomentum = 0.8"); /* one that is no more */
    qv_assert_ok(x->ctx, run_text(x, "ours", ""));
}

/* A manifest that was changed is refused before anything in the folder is. */
static void another_manifest_is_refused(void **state)
{
    fixture *x = *state;
    char other[400];
    const char *manifests[] = {other};
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini",
                                        "[settings]\ntrain.batch = 4\n[corpus made]\nembedded = 9 1\nfolds = 2\n"));
    x->o.out = folder(x, "other");
    x->o.shard = 1, x->o.shards = 100;
    qv_study_corpora data;
    qv_assert_ok(x->ctx, qv_study_load(x->ctx, &data, s, &x->o)); /* makes the corpus */
    qv_study_unload(&data, s);
    qv_study_free(s);
    snprintf(other, sizeof other, "made=%s/corpus-made/manifest.csv", folder(x, "other"));
    qv_assert_ok(x->ctx, run_text(x, "begun", ""));
    char *before = text_of(x, "begun", "plan.json");
    x->o.manifests = manifests, x->o.n_manifests = 1;
    assert_int_equal(run_text(x, "begun", ""), QV_ERR_DATA);
    assert_message(x, "results of two manifests are not one study");
    char *after = text_of(x, "begun", "plan.json");
    assert_string_equal(before, after);
    qv_assert_ok(x->ctx, qv_study_report(x->ctx, folder(x, "begun"), NULL, NULL));
    free(before);
    free(after);
}

/* A record copied over that of another seed or fold would count one training twice. */
static void records_of_other_runs_are_refused(void **state)
{
    static const char *const places[] = {"fold-1.seed-2.jsonl", "fold-2.seed-1.jsonl"};
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "twice", ""));
    char *text = text_of(x, "twice", "records/made/preact_even/fold-1.seed-1.jsonl");
    for (size_t i = 0; i < 2; i++) {
        char *path;
        qv_buf name = {0};
        qv_buf_printf(&name, "records/made/preact_even/%s", places[i]);
        char *own = text_of(x, "twice", name.data);
        qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, "twice"), name.data));
        qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
        assert_int_equal(qv_study_report(x->ctx, folder(x, "twice"), NULL, NULL), QV_ERR_DATA);
        assert_message(x, places[i]);
        assert_message(x, "this is another run, fold 1 with seed 1; remove it");
        assert_int_equal(run_text(x, "twice", ""), QV_ERR_DATA);
        qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, own, strlen(own)));
        qv_buf_free(&name);
        free(path);
        free(own);
    }
    free(text);
}

/* With one of another left out. */
static void a_speaker_counts_once(void **state)
{
    fixture *x = *state;
    for (int even = 0; even < 2; even++) {
        qv_study_record r = {0};
        char *path;
        qv_assert_ok(x->ctx, run_text(x, "once", ""));
        qv_assert_ok(x->ctx,
                     qv_path_join(x->ctx, &path, folder(x, "once"), "records/made/preact_even/fold-2.seed-1.jsonl"));
        qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
        qv_record_speaker *speakers = even ? r.even.speakers : r.running.speakers;
        assert_int_equal(strlen(speakers[0].name), strlen(speakers[1].name));
        memcpy(speakers[1].name, speakers[0].name, strlen(speakers[0].name));
        qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
        assert_int_equal(qv_study_report(x->ctx, folder(x, "once"), NULL, NULL), QV_ERR_DATA);
        assert_message(x, "fold-2.seed-1.jsonl: it has the speaker ");
        assert_int_equal(remove(path), 0);
        qv_study_record_free(&r);
        free(path);
    }
}

/* Makes wavs of the embedded corpus unreadable, as many as the pattern finds. */
static void spoil(fixture *x, const char *pattern)
{
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) qv_assert_ok(x->ctx, qv_write_file(x->ctx, found.gl_pathv[i], "x", 1));
    globfree(&found);
}

/* Trainings with a recording and without it do not compare: the folder stays as it was, for the files that it had. */
static void other_unread_recordings_are_refused(void **state)
{
    fixture *x = *state;
    char pattern[400], *wav;
    size_t size;
    qv_assert_ok(x->ctx, run_text(x, "unread", ""));
    const uint64_t digest = digest_of(x, "unread", 24);
    snprintf(pattern, sizeof pattern, "%s/corpus-made/wav/s03_anger_*.wav", folder(x, "unread"));
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, found.gl_pathv[0], 1 << 24, &wav, &size));
    spoil(x, found.gl_pathv[0]);
    assert_int_equal(run_text(x, "unread", ""), QV_ERR_DATA);
    assert_message(x, "corpus made: 0 of its recordings could not be read for ");
    assert_message(x, "1 for this command");
    assert_true(digest_of(x, "unread", 24) == digest);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, found.gl_pathv[0], wav, size));
    qv_assert_ok(x->ctx, run_text(x, "unread", ""));
    globfree(&found);
    free(wav);
}

/* Figures and tests are over the others, and so is what is said of them. */
static void unread_speakers_are_not_counted(void **state)
{
    fixture *x = *state;
    char pattern[400], manifest[400];
    const char *const given[] = {manifest};
    qv_assert_ok(x->ctx, run_text(x, "eight", ""));
    snprintf(manifest, sizeof manifest, "%s/corpus-made/manifest.csv", folder(x, "eight"));
    snprintf(pattern, sizeof pattern, "%s/corpus-made/wav/s02_*.wav", folder(x, "eight"));
    spoil(x, pattern);
    x->o.manifests = given, x->o.n_manifests = 1;
    x->o.shard = 2, x->o.shards = 2; /* with the fold of s02 */
    for (int whole = 0; whole < 2; whole++) {
        qv_assert_ok(x->ctx, run_text(x, "seven", ""));
        qv_findings f;
        read_findings(x, &f, "seven");
        assert_int_equal(qv_results_heard(&f.results, 0), 7);
        for (size_t k = 0; k < f.study->n_cells && whole; k++)
            assert_true(qv_result_cell(&f.results, 0, k)->seed_sd > 0);
        qv_findings_free(&f);
        char *page = text_of(x, "seven", "report.html"), *tex = text_of(x, "seven", "report.tex");
        assert_non_null(strstr(page, " 8 speakers (7 with figures), 4 classes, 2 folds."));
        assert_non_null(strstr(page, "Corpus made has 7 test speakers; it takes 8."));
        assert_non_null(strstr(page, "1 of the 8 test speakers of corpus made: no recording could be read"));
        assert_int_equal(strstr(page, "It cannot be said: with 7 speakers of made, 2 seeds in 2 folds") != NULL, whole);
        assert_non_null(strstr(tex, "\n% made: 7 speakers, 2 folds, seeds: 2\n"));
        free(page);
        free(tex);
        x->o.shard = 1;
    }
    x->o.n_manifests = 0;
}

/* A fold that could test nobody is no fold: said before the first training, not by a record that cannot be read. */
static void a_fold_without_a_readable_test_is_named(void **state)
{
    static const char text[] = "[corpus made]\nembedded = 4 1\nfolds = speaker\n[settings]\nfeatures.mels = 8\n"
                               "patch.seconds = 0.16\nnet.width = 2\ntrain.batch = 4\ntrain.epochs = 1\n";
    fixture *x = *state;
    char pattern[400];
    run_study(x, "mute", text);
    snprintf(pattern, sizeof pattern, "%s/corpus-made/wav/s02_*.wav", folder(x, "mute"));
    spoil(x, pattern);
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text));
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_DATA);
    assert_message(x, "corpus made: fold s02: none of the recordings that it tests could be read");
    qv_study_free(s);
}

/* A training of a single step, too, is timed from its beginning. */
static void short_trainings_are_foreseen(void **state)
{
    fixture *x = *state;
    for (int epochs = 1; epochs <= 3; epochs++) {
        char text[400];
        qv_study *s;
        qv_buf plan = {0};
        double step = 0;
        snprintf(text, sizeof text,
                 "[corpus made]\nembedded = 4 1\nfolds = 2\n[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\n"
                 "net.width = 2\ntrain.batch = 8\ntrain.epochs = %d\n",
                 epochs);
        qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text));
        x->o.out = folder(x, "foreseen");
        qv_assert_ok(x->ctx, qv_study_predict(x->ctx, s, &x->o, &plan));
        assert_int_equal(sscanf(strchr(plan.data, '\n'), " made all %lf", &step), 1);
        assert_true(step > 0 && step < 60e3); /* milliseconds */
        qv_buf_free(&plan);
        qv_study_free(s);
    }
}

/* What is printed of a p stands on its side of alpha. */
static void p_is_on_its_side(void **state)
{
    static const struct {
        double p;
        int digits;
        bool fixed;
        const char *want;
    } cases[] = {{0.05029, 3, true, "0.0503"},       {0.05, 3, true, "0.050"},     {0.04999, 3, true, "0.050"},
                 {0.0500001, 2, false, "0.0500001"}, {0.0039, 2, false, "0.0039"}, {1, 2, false, "1"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_buf b = {0};
        qv_study_p(&b, cases[i].p, cases[i].digits, cases[i].fixed, 0.05);
        assert_string_equal(b.data, cases[i].want);
        qv_buf_free(&b);
    }
}

/* Of four seeds and folds a cell, all of `even` fail. */
static const char failing[] = "[compare other]\ndifference = preact shaken - preact-bn shaken gamma0=1\n"
                              "[study]\nclaim = own\n"
                              "[cells even]\ntrain.lr = 100\ntrain.weight_decay = 10\n";

/* The comparison with what cannot be trained has no p, and the others have theirs, of a family no smaller for it. */
static void runs_that_fail_are_counted(void **state)
{
    fixture *x = *state;
    qv_findings f;
    qv_buf answer = {0};
    qv_assert_ok(x->ctx, run_text(x, "broken", failing));
    read_findings(x, &f, "broken");
    const qv_results *r = &f.results;
    assert_true(r->runs == 24 && r->failed == 12 && r->verdict == QV_UNTRAINED);
    assert_true(qv_result_cell(r, 0, 0)->runs == 0 && qv_result_cell(r, 0, 0)->failed == 4);
    assert_true(qv_result_cell(r, 0, 1)->runs == 4 && qv_result_cell(r, 0, 1)->failed == 0);
    const qv_comparison_result *own = &r->comparisons[0], *other = &r->comparisons[1];
    assert_true(own->failed == 4 && isnan(own->p) && isnan(own->adjusted) && !own->significant);
    assert_string_equal(qv_comparison_verdict(r, own), "runs failed");
    assert_true(other->failed == 0 && other->p > 0 && other->adjusted == fmin(1, 2 * other->p));
    qv_buf plan = {0};
    x->o.out = folder(x, "planned");
    qv_assert_ok(x->ctx, qv_study_predict(x->ctx, f.study, &x->o, &plan)); /* what can be run can be foreseen */
    qv_buf_free(&plan);
    char *csv = text_of(x, "broken", "report.csv"), *page = text_of(x, "broken", "report.html");
    assert_null(strstr(csv, "nan"));
    assert_non_null(strstr(page, "<td>0<span class=\"sub\">4 failed</span></td>"));
    free(csv), free(page);
    qv_study_answer(r, &answer);
    assert_non_null(strstr(answer.data, "It cannot be said: 12 of 24 runs failed, 4 of preact even, 4 of preact-bn even "
                                        "gamma0=0.1 and 4 of preact-bn even gamma0=1, and a setting"));
    qv_buf_free(&answer);
    qv_findings_free(&f);
}

/* A failure is kept as any other result is: the same command does not try it again, unless its record is removed. */
static void a_failure_is_a_record(void **state)
{
    fixture *x = *state;
    qv_study_record record = {0};
    struct stat before, after;
    char *path;
    qv_assert_ok(x->ctx, run_text(x, "failed", failing));
    qv_assert_ok(x->ctx,
                 qv_path_join(x->ctx, &path, folder(x, "failed"), "records/made/preact_even/fold-2.seed-1.jsonl"));
    qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &record, path));
    assert_non_null(strstr(record.failed, "try a lower train.lr"));
    assert_null(strstr(record.failed, "checkpoint"));
    qv_study_record_free(&record);
    const uint64_t digest = digest_of(x, "failed", 24);
    assert_int_equal(stat(path, &before), 0);
    qv_assert_ok(x->ctx, run_text(x, "failed", failing));
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino && digest_of(x, "failed", 24) == digest);
    assert_int_equal(remove(path), 0);
    qv_assert_ok(x->ctx, run_text(x, "failed", failing));
    assert_true(qv_path_exists(path) && digest_of(x, "failed", 24) == digest);
    free(path);
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

/* Numbers of a training that diverged and stayed finite, and points of a corpus that is large. */
static void what_is_written_is_read(void **state)
{
    enum { POINTS = 220000 };
    fixture *x = *state;
    qv_study_record r = {0}, again = {0};
    char *path;
    struct stat st;
    qv_assert_ok(x->ctx, run_text(x, "wild", "[settings]\nnet.embed = 2\n"));
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, "wild"),
                                      "records/made/preact-bn_even_gamma0=1/fold-2.seed-1.jsonl"));
    qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
    assert_true(r.n_curve > 1 && r.profiles[QV_PROFILE_MOVED].n > 1 && r.shape[1].n_points > 0);
    r.curve[QV_RUN_LOSS][0] = 3.3e13;
    r.curve[QV_RUN_LOSS][1] = 1e300;
    r.profiles[QV_PROFILE_MOVED].mean[0] = 3e38;
    r.shape[0].symmetry.spread = -1e31;
    r.shape[1].points[0] = 1e308;
    r.shape[1].points[1] = -1e308;
    free(r.shape[0].points), free(r.shape[0].labels);
    r.shape[0].n_points = POINTS;
    r.shape[0].points = calloc(POINTS, 2 * sizeof *r.shape[0].points);
    r.shape[0].labels = calloc(POINTS, sizeof *r.shape[0].labels);
    for (size_t i = 0; i < 2 * (size_t)POINTS; i++) r.shape[0].points[i] = -1.0 / (double)(i + 3);
    qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
    assert_true(stat(path, &st) == 0 && st.st_size > 9 << 20);
    qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &again, path));
    assert_true(again.curve[QV_RUN_LOSS][0] == 3.3e13 && again.curve[QV_RUN_LOSS][1] == 1e300);
    assert_true(again.profiles[QV_PROFILE_MOVED].mean[0] == 3e38 && again.shape[0].symmetry.spread == -1e31);
    assert_true(again.shape[1].points[0] == 1e308 && again.shape[0].n_points == POINTS);
    qv_study_record_free(&again);
    free(r.shape[0].points), free(r.shape[0].labels);
    r.shape[0] = (qv_record_shape){.symmetry = r.shape[0].symmetry};
    qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
    qv_assert_ok(x->ctx, run_text(x, "wild", "[settings]\nnet.embed = 2\n")); /* it goes on, and has a page */
    char *page = text_of(x, "wild", "report.html");
    assert_null(strstr(page, "\"nan\""));
    qv_study_record_free(&r);
    free(page);
    free(path);
}

/* What could not be read again is not trained. */
static void a_record_that_grows_too_large_is_foreseen(void **state)
{
    fixture *x = *state;
    qv_buf plan = {0};
    qv_study *s =
        parsed(x->ctx,
               "[corpus made]\nembedded = 4 1\nfolds = 2\n[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\n"
               "net.width = 2\ntrain.batch = 4\ntrain.epochs = 1000000\neval.every = 1\n",
               "", "");
    x->o.out = folder(x, "large");
    assert_int_equal(qv_study_predict(x->ctx, s, &x->o, &plan), QV_ERR_DATA);
    assert_message(x, "fold 1: a record of 2 test speakers with 4 classes, 0 points of net.embed = 2 and 1000001 "
                      "evaluations could take");
    qv_buf_free(&plan);
    qv_study_free(s);
}

/* A stranger's folder neither counts a fold twice nor makes a file elsewhere. */
static void a_strange_folder_does_no_harm(void **state)
{
    fixture *x = *state;
    qv_study *s;
    qv_plan plan;
    char *text, *path, *lock, *victim;
    qv_assert_ok(x->ctx, run_text(x, "strange", ""));
    text = text_of(x, "strange", "plan.json");
    char *name = strstr(text, "\"name\": \"2\"");
    assert_non_null(name);
    name[9] = '1';
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, "strange"), "plan.json"));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
    qv_assert_ok(x->ctx, qv_study_of_folder(x->ctx, &s, folder(x, "strange")));
    assert_int_equal(qv_plan_read(x->ctx, &plan, s, folder(x, "strange")), QV_ERR_DATA);
    assert_message(x, "another for each fold");
    qv_study_free(s);
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &lock, folder(x, "strange"), "lock"));
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &victim, x->dir, "victim"));
    assert_int_equal(remove(lock), 0);
    assert_int_equal(symlink(victim, lock), 0);
    assert_int_equal(run_text(x, "strange", ""), QV_ERR_IO);
    assert_false(qv_path_exists(victim));
    free(text), free(path), free(lock), free(victim);
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

/* The settings of the axis `what` change no figure: what rounding leaves of the difference of differences is none. */
static void equal_cells_are_no_difference(void **state)
{
    fixture *x = *state;
    qv_findings f;
    run_study(x, "equal",
              "[corpus made]\nembedded = 8 2\n[settings]\nnet.width = 2\ntrain.batch = 4\nfeatures.mels = 8\n"
              "patch.seconds = 0.16\n[axis what]\nsetting = eval.every\nvalues = 1, 2\n"
              "[axis length]\nsetting = train.epochs\nvalues = 2, 4\n[compare none]\n"
              "difference = (what=1 length=4 - what=1 length=2) - (what=2 length=4 - what=2 length=2)\n");
    read_findings(x, &f, "equal");
    const qv_comparison_result *c = &f.results.comparisons[0];
    for (size_t k = 0; k < c->speakers; k++) assert_true(c->d_ua[k] == 0 && c->d_gap[k] == 0);
    assert_int_equal(c->speakers, 8);
    assert_true(c->ua.flip.p == 1 && c->gap.flip.p == 1 && c->p == 1);
    qv_findings_free(&f);
}

/* ---- other processes ---- */

/* Another process, which does fn and says whether all of it went well. */
static pid_t other_process(fixture *x, bool (*fn)(fixture *x, int ready), int *ready)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) _exit(fn(x, ends[1]) ? 0 : 1);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    *ready = ends[0];
    return child;
}

static void assert_went_well(pid_t child, int ready)
{
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    close(ready);
}

static size_t count_records(const fixture *x, const char *out)
{
    char pattern[300];
    glob_t files;
    snprintf(pattern, sizeof pattern, "%s/%s/records/made/*/*.jsonl", x->dir, out);
    size_t n = glob(pattern, 0, NULL, &files) == 0 ? files.gl_pathc : 0;
    globfree(&files);
    return n;
}

static void pause_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); }

/* Holds the first run until all others have their record, and then for a while. */
static bool hold_a_run(fixture *x, int ready)
{
    qv_run_lock lock;
    bool taken = false;
    char out[300];
    snprintf(out, sizeof out, "%s/shared", x->dir);
    if (qv_run_lock_open(x->ctx, &lock, out) != QV_OK) return false;
    qv_run_lock_take(x->ctx, &lock, "records/made/preact_even/fold-1.seed-1.jsonl", false, &taken);
    if (!taken || write(ready, "", 1) != 1) return false;
    for (int i = 0; i < 3000 && count_records(x, "shared") < 23; i++) pause_a_little();
    for (int i = 0; i < 20; i++) pause_a_little();
    return count_records(x, "shared") == 23;
}

static void a_run_is_guarded_however_its_folder_is_spelled(void **state)
{
    fixture *x = *state;
    char out[300];
    int ready;
    qv_assert_ok(x->ctx, qv_make_dirs(x->ctx, folder(x, "shared")));
    pid_t child = other_process(x, hold_a_run, &ready);
    snprintf(out, sizeof out, "%s/./shared//", x->dir);
    qv_study *s = parsed(x->ctx, head, axes, compare);
    x->o.out = out;
    qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
    qv_study_free(s);
    assert_went_well(child, ready);
    assert_int_equal(count_records(x, "shared"), 24);
}

/* Works by the plan of a folder until it is ended. */
static bool work_by_the_plan(fixture *x, int ready)
{
    qv_run_lock lock;
    char out[300];
    snprintf(out, sizeof out, "%s/busy", x->dir);
    if (qv_run_lock_open(x->ctx, &lock, out) != QV_OK) return false;
    if (qv_run_lock_share(x->ctx, &lock, "running") != QV_OK || write(ready, "", 1) != 1) return false;
    for (;;) pause();
}

/* With other folds, which are of the same study file where they stand in a file of their own. */
static qv_status run_other_folds(fixture *x, const char *folds, const char *text)
{
    char more[400];
    qv_study *s;
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, folds, text, strlen(text)));
    snprintf(more, sizeof more,
             "[corpus made]\nembedded = 4 1\nfolds = %s\n[settings]\nnet.width = 2\ntrain.batch = 4\n"
             "train.epochs = 2\nfeatures.mels = 8\npatch.seconds = 0.16\n",
             folds);
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", more));
    x->o.out = folder(x, "busy");
    qv_status status = qv_study_run(x->ctx, s, &x->o, NULL);
    qv_study_free(s);
    return status;
}

/* Their folders stay, as after a process that was killed in its first training. */
static void remove_records(const fixture *x, const char *out)
{
    char pattern[300];
    glob_t files;
    snprintf(pattern, sizeof pattern, "%s/%s/records/made/*/*.jsonl", x->dir, out);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) assert_int_equal(remove(files.gl_pathv[i]), 0);
    globfree(&files);
}

static void a_plan_at_work_is_not_replaced(void **state)
{
    static const char first[] = "a: s01 s02\nb: s03 s04\n", second[] = "a: s01 s03\nb: s02 s04\n";
    fixture *x = *state;
    char folds[300];
    int ready;
    snprintf(folds, sizeof folds, "%s/folds.txt", x->dir);
    qv_assert_ok(x->ctx, run_other_folds(x, folds, first));
    remove_records(x, "busy");
    pid_t child = other_process(x, work_by_the_plan, &ready);
    char *before = text_of(x, "busy", "plan.json");
    assert_int_equal(run_other_folds(x, folds, second), QV_ERR_DATA);
    assert_message(x, "have other folds");
    char *after = text_of(x, "busy", "plan.json");
    assert_string_equal(before, after);
    qv_assert_ok(x->ctx, run_other_folds(x, folds, first)); /* who works by the same plan is welcome */
    remove_records(x, "busy");
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready);
    qv_assert_ok(x->ctx, run_other_folds(x, folds, second));
    free(before);
    free(after);
}

static void no_memory_is_an_error(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "memory", ""));
    for (size_t n = 1;; n += 13) {
        qv_ctx_fail_alloc(x->ctx, n);
        qv_status status = qv_study_report(x->ctx, folder(x, "memory"), NULL, NULL);
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
    assert_non_null(
        strstr(page, "The smallest p that the 2 folds of corpus made can give, corrected for 1 comparison, is 0.25"));
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

/* Of many speakers the tests take minutes: none are made for nothing, and a wish to stop is heard. */
static void early_looks_test_nothing(void **state)
{
    fixture *x = *state;
    volatile int stop = 0;
    x->o.shard = 1;
    x->o.shards = 2;
    for (int whole = 0; whole < 2; whole++) {
        qv_findings f;
        qv_assert_ok(x->ctx, run_text(x, "early", ""));
        read_findings(x, &f, "early");
        const qv_measure_result *m = &f.results.comparisons[0].gap;
        assert_int_equal(m->flip.units, whole ? 2 : 0);
        assert_int_equal(m->alone.units, whole ? 8 : 0);
        assert_true(!isnan(m->mean) && !isnan(m->t.dz));
        assert_int_equal(isnan(m->t.p) && isnan(m->flip.p) && isnan(m->alone.p) && isnan(m->corrected), !whole);
        qv_findings_free(&f);
        x->o.shard = 2;
    }
    qv_ctx_cancel_flag(x->ctx, &stop);
    stop = 1;
    assert_int_equal(qv_study_report(x->ctx, folder(x, "early"), NULL, NULL), QV_ERR_INTERRUPTED);
    qv_ctx_cancel_flag(x->ctx, NULL);
}

static void a_study_without_runs_has_a_page(void **state)
{
    fixture *x = *state;
    x->o.shard = x->o.shards = 100;
    qv_assert_ok(x->ctx, run_text(x, "empty", ""));
    char *page = text_of(x, "empty", "report.html"), *tex = text_of(x, "empty", "report.tex");
    assert_non_null(strstr(page, "Interim: 0 of 24 runs are in, so there is no verdict yet.</p>"));
    assert_non_null(strstr(page, "<p>No run is finished yet.</p>"));
    assert_non_null(strstr(page, "The smallest corrected <i>p</i> that can come out here is 0.25."));
    assert_null(strstr(page, "<svg")); /* no empty frames */
    assert_non_null(strstr(tex, "\nown & -- & -- & -- & -- & -- & -- & interim \\\\\n"));
    free(page);
    free(tex);
}

/* However an axis sets it, and only between settings that differ in nothing else. */
static void gamma0_is_drawn(void **state)
{
    static const struct {
        const char *axis;
        bool drawn;
    } cases[] = {
        {"[axis start]\nlow = shake.gamma0=0.1\nhigh = shake.gamma0=1\n", true},
        {"[axis start]\nlow = shake.gamma0=0.1\nhigh = shake.gamma0=1, bn.eps=0.1\n", false},
        {"[axis start]\nlow = shake.gamma0=0.1\nhigh = shake.gamma0=1\n[settings]\nnet.order = relu\n", false}};
    fixture *x = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        qv_study *s;
        qv_buf text = {0};
        const char *after_baseline = strstr(head, "[corpus");
        qv_buf_printf(&text, "%s%s", after_baseline, cases[i].axis);
        qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text.data));
        snprintf(name, sizeof name, "gamma%zu", i);
        x->o.out = folder(x, name);
        qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
        char *page = text_of(x, name, "report.html");
        assert_int_equal(strstr(page, "Start of the scale against accuracy") != NULL, cases[i].drawn);
        qv_study_free(s);
        qv_buf_free(&text);
        free(page);
    }
}

/* The three files say the same. */
static void assert_same_figures(const char *page, const char *csv, const char *tex, const qv_results *r)
{
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, 0, k);
        char text[64];
        snprintf(text, sizeof text, "<td>%.3f", c->mean_ua);
        assert_non_null(strstr(page, text));
        snprintf(text, sizeof text, " & $%.3f$", c->mean_ua);
        assert_non_null(strstr(tex, text));
        snprintf(text, sizeof text, "\nsymmetry-test,made,%s,", r->study->cells[k].name);
        assert_non_null(strstr(csv, text));
        snprintf(text, sizeof text, "\n%s & test & $%.3f$", r->study->cells[k].name, c->symmetry[1][0].mean);
        assert_non_null(strstr(tex, text));
        for (int part = 0; part < 2; part++)
            for (int m = 0; m < QV_SYMMETRY_MEASURES; m++) {
                const qv_seed_mean *s = &c->symmetry[part][m];
                assert_true(s->low >= qv_symmetry_ranges[m].low && s->high <= qv_symmetry_ranges[m].high);
                assert_true(s->low <= s->mean && s->mean <= s->high);
            }
    }
}

/* What networks make of the recordings goes into records, tables and pictures; points only of two dimensions. */
static void embeddings_are_measured_and_drawn(void **state)
{
    fixture *x = *state;
    static const char *const names[] = {"plane", "pooled"};
    for (int k = 0; k < 2; k++) {
        qv_assert_ok(x->ctx, run_text(x, names[k], k ? "" : "[settings]\nnet.embed = 2\n"));
        qv_findings f;
        read_findings(x, &f, names[k]);
        const qv_cell_result *c = qv_result_cell(&f.results, 0, 0);
        char *page = text_of(x, names[k], "report.html"), *csv = text_of(x, names[k], "report.csv"),
             *tex = text_of(x, names[k], "report.tex");
        assert_same_figures(page, csv, tex, &f.results);
        assert_true(k ? c->dims > 2 && c->shape[0].n_points == 0 : c->dims == 2);
        assert_non_null(strstr(page, "<h2>Symmetry</h2>"));
        assert_int_equal(strstr(page, "<h2>Embeddings</h2>") != NULL, k == 0);
        for (int part = 0; part < 2; part++)
            assert_true(c->symmetry[part][0].mean >= 0 && c->symmetry[part][0].mean <= 1);
        if (k == 0)
            assert_true(c->shape[0].n_points == 16 && c->shape[1].n_points == 16); /* two folds of 32 recordings */
        free(page);
        free(csv);
        free(tex);
        qv_findings_free(&f);
    }
}

/* The records of fold 1 are as where its test recordings lack a class: the means are of the other fold. */
static void a_fold_without_a_class_empties_no_symmetry(void **state)
{
    static const char *const runs[] = {"fold-1.seed-1", "fold-1.seed-2", "fold-2.seed-1", "fold-2.seed-2"};
    fixture *x = *state;
    double left[2] = {0};
    qv_assert_ok(x->ctx, run_text(x, "lacking", "[settings]\nnet.embed = 2\n"));
    for (size_t i = 0; i < 4; i++) {
        char *path, name[64];
        qv_study_record r = {0};
        snprintf(name, sizeof name, "records/made/preact_even/%s.jsonl", runs[i]);
        qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, folder(x, "lacking"), name));
        qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
        qv_symmetry *s = &r.shape[1].symmetry;
        left[0] += s->centre / 4;
        if (i >= 2) left[1] += s->spread / 2;
        for (int k = 1; k < QV_SYMMETRY_MEASURES && i < 2; k++) *qv_symmetry_at(s, k) = NAN;
        qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
        qv_study_record_free(&r);
        free(path);
    }
    qv_assert_ok(x->ctx, qv_study_report(x->ctx, folder(x, "lacking"), NULL, NULL));
    qv_findings f;
    read_findings(x, &f, "lacking");
    const qv_cell_result *c = qv_result_cell(&f.results, 0, 0);
    assert_true(fabs(c->symmetry[1][0].mean - left[0]) < 1e-12 && fabs(c->symmetry[1][5].mean - left[1]) < 1e-9);
    assert_true(c->symmetry[1][5].low <= left[1] && left[1] <= c->symmetry[1][5].high);
    assert_int_equal(qv_cell_measured(c, 0), 4);
    assert_int_equal(qv_cell_measured(c, 1), 2);
    char *page = text_of(x, "lacking", "report.html"), *csv = text_of(x, "lacking", "report.csv");
    assert_non_null(strstr(page, "<td>test<span class=\"sub\">some of 2 of 4 runs</span></td>"));
    assert_non_null(strstr(csv, "\nsymmetry-train,made,preact even,4,"));
    assert_non_null(strstr(csv, "\nsymmetry-test,made,preact even,2,"));
    qv_findings_free(&f);
    free(page);
    free(csv);
}

/* Of 100 recordings of each class, named rightly by each of two cells: of the speaker of each of eight folds. */
typedef size_t planted[8][2][4];

static void plant_scores(qv_record_scores *scores, const size_t right[4], int classes)
{
    for (size_t i = 0; i < scores->n_speakers; i++) {
        memset(scores->speakers[i].confusion, 0, 16 * sizeof(size_t));
        for (int k = 0; k < classes; k++) {
            scores->speakers[i].confusion[5 * k] = right[k];
            scores->speakers[i].confusion[4 * k + (k + 1) % 4] = 100 - right[k];
        }
    }
}

/* The first speaker is tested on so many of the four classes. */
static void plant_counts(fixture *x, const char *out, planted right, int first)
{
    qv_study *s;
    qv_plan plan;
    const char *path = folder(x, out);
    qv_assert_ok(x->ctx, qv_study_of_folder(x->ctx, &s, path));
    qv_assert_ok(x->ctx, qv_plan_read(x->ctx, &plan, s, path));
    for (size_t f = 0; f < plan.corpora[0].n_folds; f++) {
        plan.corpora[0].folds[f].test = f == 0 ? 100 * (size_t)first : 400;
        for (size_t c = 0; c < s->n_cells; c++) {
            char *file;
            qv_study_record r = {0};
            qv_assert_ok(x->ctx, qv_study_record_path(x->ctx, &file, path, "made", s->cells[c].file,
                                                      plan.corpora[0].folds[f].name, s->first_seed));
            qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, file));
            r.running.train.ua = r.running.train.wa = 0.95;
            plant_scores(&r.running, right[f][c], f == 0 ? first : 4);
            plant_scores(&r.even, right[f][c], f == 0 ? first : 4);
            qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, file));
            qv_study_record_free(&r);
            free(file);
        }
    }
    qv_assert_ok(x->ctx, qv_plan_write(x->ctx, &plan, path));
    qv_plan_free(&plan);
    qv_study_free(s);
}

/* Records whose outcome is known: the larger the weight of a cell, the better, and just as the claim has it. The first
 * speaker is tested on three of the four classes. */
static void plant(fixture *x, const char *out, double gain)
{
    planted right;
    for (size_t f = 0; f < 8; f++)
        for (size_t k = 0; k < 4; k++) {
            right[f][0][k] = 60 + (3 * f) % 7;
            right[f][1][k] = right[f][0][k] + (size_t)(gain * 100) + f % 3;
        }
    plant_counts(x, out, right, 3);
}

/* What is tested stands in report.csv: the mean of the speakers is that of the cell. */
static void assert_speakers(fixture *x, const char *out)
{
    qv_findings f;
    char *csv = text_of(x, out, "report.csv");
    read_findings(x, &f, out);
    const qv_cell_result *c = qv_result_cell(&f.results, 0, 0);
    size_t rows = 0;
    double ua = 0, gap = 0;
    for (const char *at = csv; (at = strstr(at, "\nspeaker,made,width=2,,,")); at++, rows++) {
        double train, own, less;
        char end[12] = "", want[12];
        assert_int_equal(sscanf(at, "\nspeaker,made,width=2,,,%lf,%lf,,,%lf,%*[,]%11s", &train, &own, &less, end), 4);
        snprintf(want, sizeof want, "s%02zu,s%02zu,", rows + 1, rows + 1);
        assert_string_equal(end, want);
        assert_true(fabs(less - 100 * (train - own)) < 1e-9);
        ua += own / 8, gap += less / 8;
    }
    assert_int_equal(rows, 8);
    assert_true(fabs(ua - c->mean_ua) < 1e-12 && fabs(gap - c->mean_gap) < 1e-9);
    qv_findings_free(&f);
    free(csv);
}

/* What the figures of blocks draw, a row a block; a block without normalization before the shake has no scale. */
static void blocks_stand_in_the_table(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, run_text(x, "blocks", ""));
    qv_findings f;
    read_findings(x, &f, "blocks");
    char *csv = text_of(x, "blocks", "report.csv");
    const char *at = strstr(csv, "\nblock,made,");
    size_t scaled = 0;
    for (size_t k = 0; k < f.results.study->n_cells; k++) {
        const qv_profile *p = qv_result_cell(&f.results, 0, k)->profiles;
        scaled += p[QV_PROFILE_SCALES].n > 0;
        assert_int_equal(p[QV_PROFILE_MOVED].n, 3);
        for (size_t i = 0; i < 3; i++) {
            qv_buf begin = {0}, end = {0};
            qv_buf_printf(&begin, "\nblock,made,%s,,", f.results.study->cells[k].name);
            qv_buf_puts(&end, ",");
            for (int kind = 0; kind < QV_PROFILES; kind++) {
                if (p[kind].n) qv_buf_real(&end, p[kind].mean[i]);
                qv_buf_puts(&end, ",");
            }
            qv_buf_printf(&end, ",,%s\n", p[QV_PROFILE_MOVED].layers[i]);
            const size_t line = strcspn(at + 1, "\n") + 2;
            assert_memory_equal(at, begin.data, begin.len);
            assert_memory_equal(at + line - end.len, end.data, end.len);
            at += line - 1;
            qv_buf_free(&begin);
            qv_buf_free(&end);
        }
    }
    assert_string_equal(at, "\n");
    assert_true(scaled > 0 && scaled < f.results.study->n_cells);
    qv_findings_free(&f);
    free(csv);
}

/* Of corpora with unlike numbers of folds, and never more than Holm's correction makes of the best. */
static void the_smallest_p_is_that_of_holm(void **state)
{
    enum { MOST_CORPORA = 3, EACH = 2 };
    static const size_t folds[][MOST_CORPORA] = {{24, 5, 5}, {4, 9, 6}, {10, 10, 10}, {5, 6, 7}, {2, 40, 3}};
    fixture *x = *state;
    const qv_study s = {.n_comparisons = EACH};
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        qv_plan_corpus corpora[MOST_CORPORA] = {0};
        const qv_plan plan = {.corpora = corpora, .n_corpora = MOST_CORPORA};
        double p[MOST_CORPORA * EACH], adjusted[MOST_CORPORA * EACH];
        for (size_t k = 0; k < MOST_CORPORA; k++) {
            corpora[k].n_folds = folds[i][k];
            for (size_t j = 0; j < EACH; j++) p[EACH * k + j] = qv_flip_smallest(folds[i][k]);
        }
        qv_assert_ok(x->ctx, qv_holm(x->ctx, p, adjusted, MOST_CORPORA * EACH));
        for (size_t k = 0; k < MOST_CORPORA; k++) assert_true(qv_plan_smallest_p(&s, &plan, k) == adjusted[EACH * k]);
    }
}

static const char two_widths[] = "[study]\nquestion = Is <b> better?\n[corpus made]\nembedded = 8 1\nfolds = speaker\n"
                                 "[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\nnet.width = 2\n"
                                 "train.batch = 4\ntrain.epochs = 1\n[axis width]\nsetting = net.width\n"
                                 "values = 2, 3\n[compare wide]\ndifference = width=3 - width=2\n";

/* Of all ways to turn the signs of eight whole numbers, the share whose sum is that of all, or more. */
static double share_of_counts(const int gains[8])
{
    int seen = 0, hits = 0;
    for (int i = 0; i < 8; i++) seen += gains[i];
    for (int flip = 0; flip < 256; flip++) {
        int sum = 0;
        for (int i = 0; i < 8; i++) sum += flip >> i & 1 ? -gains[i] : gains[i];
        hits += sum >= seen;
    }
    return hits / 256.0;
}

/* Gains are whole recordings: what ties in them must tie in the differences of means that a study makes of them. */
static void small_gains_are_those_of_whole_recordings(void **state)
{
    enum { ROUNDS = 40 };
    fixture *x = *state;
    uint64_t random = qv_test_seed();
    run_study(x, "small", two_widths);
    for (int round = 0; round < ROUNDS; round++) {
        const bool same = round == 0; /* each speaker one recording better */
        planted right;
        int gains[8] = {0};
        for (size_t i = 0; i < 32; i++) {
            const size_t f = i / 4, k = i % 4, gain = same ? k == f % 4 : qv_test_next(&random) % 4;
            right[f][0][k] = 90 + qv_test_next(&random) % 7;
            right[f][1][k] = right[f][0][k] + gain - !same;
            gains[f] += (int)gain - !same;
        }
        plant_counts(x, "small", right, 4);
        qv_findings f;
        read_findings(x, &f, "small");
        const qv_comparison_result *c = &f.results.comparisons[0];
        const double p = share_of_counts(gains);
        if (c->ua.flip.p != p || c->gap.flip.p != p)
            print_error("round %d: p %g and %g, of the counts %g\n", round, c->ua.flip.p, c->gap.flip.p, p);
        assert_true(c->ua.flip.p == p && c->ua.alone.p == p && c->gap.flip.p == p && c->gap.alone.p == p);
        assert_int_equal(c->ua.t.sd == 0 && isnan(c->ua.t.dz), same);
        assert_int_equal(c->gap.t.sd == 0 && isnan(c->gap.t.dz), same);
        qv_findings_free(&f);
    }
}

static void the_verdict_follows_the_numbers(void **state)
{
    static const struct {
        double gain;
        const char *answer;
    } cases[] = {
        {0.2, "Yes: with 8 speakers of made, 1 seed, the one comparison that the claim needs shows a higher "
              "accuracy and a smaller gap, significant at 0.05 after Holm&#39;s correction. wide: UA +20.9 points, "
              "gap -20.9 points, corrected p = 0.0039."},
        {0, "Not shown: with 8 speakers of made, 1 seed, the one comparison that the claim needs does not show a "
            "higher accuracy"}};
    fixture *x = *state;
    for (size_t i = 0; i < 2; i++) {
        qv_study *s;
        char name[16];
        snprintf(name, sizeof name, "verdict%zu", i);
        qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", two_widths));
        x->o.out = folder(x, name);
        qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
        qv_study_free(s);
        plant(x, name, cases[i].gain - (i == 1 ? 0.01 : 0));
        qv_assert_ok(x->ctx, qv_study_report(x->ctx, folder(x, name), NULL, NULL));
        char *page = text_of(x, name, "report.html");
        if (!strstr(page, cases[i].answer)) print_error("%s\n", strstr(page, "class=\"lead\""));
        assert_non_null(strstr(page, cases[i].answer));
        assert_non_null(strstr(page, "Is &lt;b&gt; better?"));
        assert_non_null(strstr(page, "1 of the 8 speakers of corpus made has not all 4 classes"));
        assert_speakers(x, name);
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
        cmocka_unit_test(equal_levels_are_one_cell),
        cmocka_unit_test(settings_of_other_heads_and_optimizers_are_idle),
        cmocka_unit_test(long_words_are_whole_or_refused),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(ready_studies_can_be_read),
    };
    const struct CMUnitTest runs[] = {
        cmocka_unit_test_setup_teardown(records_do_not_depend_on_threads_or_shards, setup, teardown),
        cmocka_unit_test_setup_teardown(a_merge_looks_before_it_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(shards_are_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(more_seeds_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_settings_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_folds_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(seeds_are_not_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command_repeats_the_study, setup, teardown),
        cmocka_unit_test_setup_teardown(the_best_epoch_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_chosen_without_validation, setup, teardown),
        cmocka_unit_test_setup_teardown(profiles_are_of_the_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(embeddings_are_measured_and_drawn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fold_without_a_class_empties_no_symmetry, setup, teardown),
        cmocka_unit_test_setup_teardown(another_study_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_speaker_counts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(other_unread_recordings_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(unread_speakers_are_not_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fold_without_a_readable_test_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(short_trainings_are_foreseen, setup, teardown),
        cmocka_unit_test(p_is_on_its_side),
        cmocka_unit_test_setup_teardown(runs_that_fail_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_is_a_record, setup, teardown),
        cmocka_unit_test_setup_teardown(records_of_other_runs_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_trainings_are_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(other_folds_are_not_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(other_defaults_are_another_study, setup, teardown),
        cmocka_unit_test_setup_teardown(another_manifest_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_records_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_that_grows_too_large_is_foreseen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_strange_folder_does_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(leftovers_are_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_cells_are_no_difference, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_is_guarded_however_its_folder_is_spelled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_at_work_is_not_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unfinished_study_has_no_verdict, setup, teardown),
        cmocka_unit_test_setup_teardown(early_looks_test_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(gamma0_is_drawn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_study_without_runs_has_a_page, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_stand_in_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(the_smallest_p_is_that_of_holm, setup, teardown),
        cmocka_unit_test_setup_teardown(small_gains_are_those_of_whole_recordings, setup, teardown),
        cmocka_unit_test_setup_teardown(the_verdict_follows_the_numbers, setup, teardown),
    };
    int failed = cmocka_run_group_tests(files, open_context, close_context);
    return failed + cmocka_run_group_tests(runs, NULL, NULL);
}
