/* Study files: what they mean, and how they are refused. */
#include <glob.h>

#include "support/toy_study.h"

static void settings_without_effect_are_one_cell(void **state)
{
    qv_ctx *ctx = *state;
    static const char *const names[] = {"preact even",
                                        "preact shaken",
                                        "preact-bn even gamma0=0.1",
                                        "preact-bn even gamma0=1",
                                        "preact-bn shaken gamma0=0.1",
                                        "preact-bn shaken gamma0=1"};
    qv_study *s = qv_toy_study_parse(ctx, qv_toy_study_head, qv_toy_study_axes, qv_toy_study_compare);
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
    qv_study *s = qv_toy_study_parse(
        ctx, qv_toy_study_head, qv_toy_study_axes,
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
        {"[cells shaken]\nnet.order = relu\n",
         "study.ini:25: [cells shaken] sets net.order, which the axis order sets"},
        {"[cells shaken]\nrun.isa = base\n", "study.ini:25: [cells shaken] sets run.isa, which is of all trainings"},
        {"[axis p]\na = run.isa=base\nb = train.lr=0.3\n", "study.ini:24: the axis p sets run.isa, which is of all"},
        {"[cells shaken]\ntrain.lr = 0.1\n[cells preact]\ntrain.lr = 0.3\n",
         "study.ini:27: [cells preact] sets train.lr to 0.3, and [cells shaken] (line 25) to 0.1: some cells are in "
         "both"},
        {"[cells shaken preact]\ntrain.lr = 0.1\n[cells shaken]\ntrain.lr = 0.3\n", "(line 25) to 0.1: some cells"},
        {"[study]\nclaim = ,\n[compare x]\ndifference = preact even - preact shaken\n",
         "study.ini:25: claim = ,: expected names of comparisons"},
        {"; Gr\xf6\xdf"
         "e\n",
         "study.ini:24: byte 0xf6 is not UTF-8; save the file as UTF-8"},
    };
    qv_ctx *ctx = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_buf text = {0};
        qv_study *s;
        qv_buf_printf(&text, "%s%s%s", qv_toy_study_head, qv_toy_study_axes, cases[i].more);
        qv_status status = qv_study_parse(ctx, &s, "study.ini", text.data);
        if (status != QV_ERR_DATA || !strstr(qv_ctx_message(ctx), cases[i].message))
            print_error("expected \"%s\" in: %s\n", cases[i].message,
                        status == QV_OK ? "no error" : qv_ctx_message(ctx));
        assert_int_equal(status, QV_ERR_DATA);
        qv_test_says(qv_ctx_message(ctx), cases[i].message);
        assert_null(s);
        qv_buf_free(&text);
    }
}

static void special_cells_are_set_anew(void **state)
{
    qv_ctx *ctx = *state;
    qv_study *s = qv_toy_study_parse(ctx, qv_toy_study_head, qv_toy_study_axes,
                                     "[cells shaken]\ntrain.epochs = 8\n[cells preact shaken]\ntrain.epochs = 16\n");
    static const int want[] = {4, 16, 4, 4, 8, 8};
    for (size_t i = 0; i < 6; i++) assert_int_equal(s->cells[i].settings.epochs, want[i]);
    qv_study_free(s);
}

/* Levels that train the same are one cell, whose name is still its own. */
static void equal_levels_are_one_cell(void **state)
{
    qv_ctx *ctx = *state;
    qv_study *s = qv_toy_study_parse(
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
    qv_study *s = qv_toy_study_parse(
        ctx, "[corpus made]\nembedded = 8 1\n[axis head]\nsetting = train.head\nvalues = softmax, cosface\n",
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
    s = qv_toy_study_parse(ctx, "[corpus made]\nembedded = 8 1\n", text.data, "");
    assert_int_equal(strlen(s->cells[1].settings.init_from), 4001);
    qv_study_free(s);
    text.len = 0;
    path[4000] = 'x', path[5000] = '\0';
    qv_buf_printf(&text, "[corpus made]\nembedded = 8 1\n[axis start]\nnone =\nold = train.init_from=/%s\n", path);
    assert_int_equal(qv_study_parse(ctx, &s, "study.ini", text.data), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "study.ini:5: level old: expected section.key=value of at most");
    text.len = 0;
    path[36] = '\0';
    qv_buf_printf(&text,
                  "[axis a]\n%s1 = train.lr=0.1\nb = train.lr=0.2\n[axis c]\n%s2 = bn.eps=0.1\nd = bn.eps=0.2\n"
                  "[cells %s1 %s2]\ntrain.epochs = 7\n",
                  path, path, path, path);
    s = qv_toy_study_parse(ctx, "[corpus made]\nembedded = 8 1\n", text.data, "");
    assert_int_equal(s->cells[0].settings.epochs, 7);
    qv_study_free(s);
    text.len = 0;
    qv_buf_puts(&text, "[corpus made]\nembedded = 8 1\n");
    path[36] = '\0';
    for (int i = 0; i < 6; i++) qv_buf_printf(&text, "[axis a%d]\n%s-%d = %s=0.0%d\n", i, path, i, keys[i], i + 1);
    assert_int_equal(qv_study_parse(ctx, &s, "study.ini", text.data), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "has a name of more than 200 letters");
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
    qv_test_says(qv_ctx_message(ctx), "study.ini:7: [axis width] compares net.width, so the command line");
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_without_effect_are_one_cell),
        cmocka_unit_test(differences_of_differences_have_weights),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(special_cells_are_set_anew),
        cmocka_unit_test(equal_levels_are_one_cell),
        cmocka_unit_test(settings_of_other_heads_and_optimizers_are_idle),
        cmocka_unit_test(long_words_are_whole_or_refused),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(ready_studies_can_be_read),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
