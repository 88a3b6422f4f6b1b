/* A folder that is there already: what is refused, what is reused, what is damaged. */
#include <unistd.h>

#include "study/study_train.h"
#include "support/toy_study.h"

static void another_study_is_refused(void **state)
{
    qv_toy_study *x = *state;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "begun", ""));
    assert_int_equal(qv_toy_study_run(x, "begun", "[study]\nalpha = 0.01\n"), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "\"alpha = 0.05\" then, \"alpha = 0.01\" now");
    assert_int_equal(qv_toy_study_run(x, "begun", "[compare late]\ndifference = preact even - preact shaken\n"),
                     QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "was begun with another study");
    assert_int_equal(qv_toy_study_run(x, "begun", "[cells shaken]\ntrain.lr = 0.02\n"), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "cell preact shaken:");
    assert_int_equal(qv_toy_study_run(x, "begun", "[cells shaken]\ntrain.epochs = 5\n"), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx),
                 "study: cell preact shaken: \"train.epochs = 4\" then, \"train.epochs = 5\" now");
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "begun", "; a remark is no change\n"));
    char *ini = qv_toy_study_file(x, "begun", "study.ini");
    const char *which = strstr(ini, "Which?");
    ((char *)which)[1] = 'i'; /* another question is another study, too */
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", ini));
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "\"question = Which?\" then, \"question = Wiich?\" now");
    qv_study_free(s);
    free(ini);
}

/* A record as if an earlier program had made it. */
static void make_older(qv_toy_study *x, const char *out, const char *record)
{
    char *text = qv_toy_study_file(x, out, record), *version = strstr(text, "{\"version\":\"");
    assert_non_null(version);
    memcpy(version + 12, "0.0.9", 5);
    qv_toy_study_write(x, out, record, text);
    free(text);
}

/* What another study trained with the same settings and recordings is taken over under this one's names, and is what
 * would have been trained here; the rest is trained. */
static void the_same_trainings_are_reused(void **state)
{
    static const char common[] = "folds = 2\n[settings]\nnet.width = 2\ntrain.batch = 4\ntrain.epochs = 2\n"
                                 "features.mels = 8\npatch.seconds = 0.16\n";
    qv_toy_study *x = *state;
    char theirs[512], ours[512], from[300];
    const char *reuse[] = {from};
    snprintf(theirs, sizeof theirs,
             "[corpus made]\nembedded = 4 1\n%s[axis rate]\nsetting = train.lr\nvalues = 0.1, 0.02\n", common);
    snprintf(ours, sizeof ours,
             "[corpus mine]\nembedded = 4 1\n%s[axis speed]\nslow = train.lr=0.02\nfast = train.lr=0.3\n", common);
    qv_toy_study_run_text(x, "theirs", theirs);
    make_older(x, "theirs", "records/made/rate=0.02/fold-1.seed-1.jsonl");
    make_older(x, "theirs", "records/made/rate=0.1/fold-1.seed-1.jsonl");
    qv_toy_study_run_text(x, "fresh", ours);
    uint64_t digest = qv_toy_study_digest(x, "fresh", 4);
    snprintf(from, sizeof from, "%s/theirs", x->dir);
    x->o.reuse = reuse, x->o.n_reuse = 1;
    qv_toy_study_run_text(x, "ours", ours);
    assert_true(qv_toy_study_digest(x, "ours", 4) == digest);
    char *slow = qv_toy_study_file(x, "ours", "records/mine/slow/fold-1.seed-1.jsonl"),
         *fast = qv_toy_study_file(x, "ours", "records/mine/fast/fold-1.seed-1.jsonl");
    qv_test_says(slow, "{\"version\":\"0.0.9\"");
    assert_null(strstr(fast, "{\"version\":\"0.0.9\""));
    assert_true(strstr(slow, "\"reused\":\"") && !strstr(fast, "\"reused\":\""));
    char *page = qv_toy_study_file(x, "ours", "report.html");
    qv_test_says(page, "2 of the 4 runs were trained for another study.");
    free(page);
    free(slow), free(fast);
    snprintf(from, sizeof from, "%s/cache", x->dir);
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", ours));
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "holds no study");
    qv_study_free(s);
}

static void run_folds(qv_toy_study *x, const char *out, const char *folds)
{
    char text[512], path[300];
    snprintf(path, sizeof path, "%s/folds.txt", x->dir);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, folds, strlen(folds)));
    snprintf(text, sizeof text,
             "[corpus mine]\nembedded = 4 1\nfolds = %s\n[settings]\nnet.width = 2\ntrain.batch = 4\n"
             "train.epochs = 1\nfeatures.mels = 8\npatch.seconds = 0.16\n",
             path);
    qv_toy_study_run_text(x, out, text);
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
    qv_toy_study *x = *state;
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
        char *trained = qv_toy_study_file(x, ours, record), *older = qv_toy_study_file(x, theirs, record);
        assert_null(strstr(trained, "{\"version\":\"0.0.9\""));
        if (cases[i].message) { /* nor taken where it was copied by hand */
            qv_toy_study_write(x, ours, record, older);
            assert_int_equal(qv_study_report(x->ctx, qv_toy_study_folder(x, ours), NULL, NULL), QV_ERR_DATA);
            qv_test_says(qv_ctx_message(x->ctx), cases[i].message);
        }
        free(trained), free(older);
    }
}

/* In the plan of a folder's study, as a program of that default would have left it. */
static void move_default(qv_toy_study *x, const char *out, const char *from, const char *to)
{
    char *text = qv_toy_study_file(x, out, "plan.json"), *at = strstr(text, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    qv_toy_study_write(x, out, "plan.json", text);
    free(text);
}

/* Cells are named by what is off the defaults: under other defaults the same name is another training. */
static void other_defaults_are_another_study(void **state)
{
    qv_toy_study *x = *state;
    char from[300];
    const char *reuse[] = {from};
    snprintf(from, sizeof from, "%s/begun", x->dir);
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "begun", ""));
    move_default(x, "begun", "train.momentum = 0.9", "train.momentum = 0.8");
    assert_int_equal(qv_toy_study_run(x, "begun", ""), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx),
                 "the default train.momentum = 0.8, this command of one with train.momentum = 0.9");
    qv_assert_ok(x->ctx, qv_study_report(x->ctx, qv_toy_study_folder(x, "begun"), NULL, NULL));
    x->o.reuse = reuse, x->o.n_reuse = 1;
    assert_int_equal(qv_toy_study_run(x, "ours", ""), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "the default train.momentum = 0.8");
    move_default(x, "begun", "train.momentum = 0.8", "train.nomentum = 0.8"); /* one that is no more */
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "ours", ""));
}

/* A manifest that was changed is refused before anything in the folder is. */
static void another_manifest_is_refused(void **state)
{
    qv_toy_study *x = *state;
    char other[400];
    const char *manifests[] = {other};
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini",
                                        "[settings]\ntrain.batch = 4\n[corpus made]\nembedded = 9 1\nfolds = 2\n"));
    x->o.out = qv_toy_study_folder(x, "other");
    x->o.shard = 1, x->o.shards = 100;
    qv_study_corpora data;
    qv_assert_ok(x->ctx, qv_study_load(x->ctx, &data, s, &x->o)); /* makes the corpus */
    qv_study_unload(&data, s);
    qv_study_free(s);
    snprintf(other, sizeof other, "made=%s/corpus-made/manifest.csv", qv_toy_study_folder(x, "other"));
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "begun", ""));
    char *before = qv_toy_study_file(x, "begun", "plan.json");
    x->o.manifests = manifests, x->o.n_manifests = 1;
    assert_int_equal(qv_toy_study_run(x, "begun", ""), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "results of two manifests are not one study");
    char *after = qv_toy_study_file(x, "begun", "plan.json");
    assert_string_equal(before, after);
    qv_assert_ok(x->ctx, qv_study_report(x->ctx, qv_toy_study_folder(x, "begun"), NULL, NULL));
    free(before);
    free(after);
}

/* A record copied over that of another seed or fold would count one training twice. */
static void records_of_other_runs_are_refused(void **state)
{
    static const char *const places[] = {"fold-1.seed-2.jsonl", "fold-2.seed-1.jsonl"};
    qv_toy_study *x = *state;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "twice", ""));
    char *text = qv_toy_study_file(x, "twice", "records/made/preact_even/fold-1.seed-1.jsonl");
    for (size_t i = 0; i < 2; i++) {
        qv_buf name = {0};
        qv_buf_printf(&name, "records/made/preact_even/%s", places[i]);
        char *own = qv_toy_study_file(x, "twice", name.data);
        qv_toy_study_write(x, "twice", name.data, text);
        assert_int_equal(qv_study_report(x->ctx, qv_toy_study_folder(x, "twice"), NULL, NULL), QV_ERR_DATA);
        qv_test_says(qv_ctx_message(x->ctx), places[i]);
        qv_test_says(qv_ctx_message(x->ctx), "this is another run, fold 1 with seed 1; remove it");
        assert_int_equal(qv_toy_study_run(x, "twice", ""), QV_ERR_DATA);
        qv_toy_study_write(x, "twice", name.data, own);
        qv_buf_free(&name);
        free(own);
    }
    free(text);
}

/* With one of another left out. */
static void a_speaker_counts_once(void **state)
{
    qv_toy_study *x = *state;
    for (int even = 0; even < 2; even++) {
        qv_study_record r = {0};
        qv_assert_ok(x->ctx, qv_toy_study_run(x, "once", ""));
        char *path = qv_toy_study_path(x, "once", "records/made/preact_even/fold-2.seed-1.jsonl");
        qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
        qv_record_speaker *speakers = even ? r.even.speakers : r.running.speakers;
        assert_int_equal(strlen(speakers[0].name), strlen(speakers[1].name));
        memcpy(speakers[1].name, speakers[0].name, strlen(speakers[0].name));
        qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
        assert_int_equal(qv_study_report(x->ctx, qv_toy_study_folder(x, "once"), NULL, NULL), QV_ERR_DATA);
        qv_test_says(qv_ctx_message(x->ctx), "fold-2.seed-1.jsonl: it has the speaker ");
        assert_int_equal(remove(path), 0);
        qv_study_record_free(&r);
        free(path);
    }
}

static void damaged_records_are_named(void **state)
{
    qv_toy_study *x = *state;
    static const char record[] = "records/made/preact_even/fold-2.seed-1.jsonl";
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "damaged", ""));
    char *text = qv_toy_study_file(x, "damaged", record), *path = qv_toy_study_path(x, "damaged", record);
    char *ua = strstr(text, "\"ua\":0.");
    assert_non_null(ua);
    ua[7] = ua[7] == '9' ? '8' : '9'; /* better than it was */
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
    assert_int_equal(qv_toy_study_run(x, "damaged", ""), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "fold-2.seed-1.jsonl is damaged (remove it, and the run is done again)");
    for (size_t n = 0; n < strlen(text); n += 97) { /* cut short anywhere */
        qv_study_record r = {0};
        qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, n));
        assert_int_equal(qv_study_record_read(x->ctx, &r, path), QV_ERR_DATA);
    }
    assert_int_equal(remove(path), 0);
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "damaged", ""));
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "undamaged", ""));
    assert_true(qv_toy_study_digest(x, "damaged", 24) == qv_toy_study_digest(x, "undamaged", 24));
    free(path);
    free(text);
}

/* Numbers of a training that diverged and stayed finite, and points of a corpus that is large. */
static void what_is_written_is_read(void **state)
{
    enum { POINTS = 220000 };
    qv_toy_study *x = *state;
    qv_study_record r = {0}, again = {0};
    struct stat st;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "wild", "[settings]\nnet.embed = 2\n"));
    char *path = qv_toy_study_path(x, "wild", "records/made/preact-bn_even_gamma0=1/fold-2.seed-1.jsonl");
    qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
    assert_true(r.n_curve > 1 && r.profiles[QV_PROFILE_MOVED].n > 1 && r.shape[1].n_points > 0);
    r.curve[QV_RUN_LOSS][0] = 3.3e13;
    r.curve[QV_RUN_LOSS][1] = 1e300;
    r.profiles[QV_PROFILE_MOVED].mean[0] = 3e38;
    r.shape[0].symmetry.spread = 100.0 / 3;
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
    assert_true(again.profiles[QV_PROFILE_MOVED].mean[0] == 3e38 && again.shape[0].symmetry.spread == 100.0 / 3);
    assert_true(again.shape[1].points[0] == 1e308 && again.shape[0].n_points == POINTS);
    qv_study_record_free(&again);
    free(r.shape[0].points), free(r.shape[0].labels);
    r.shape[0] = (qv_record_shape){.symmetry = r.shape[0].symmetry};
    qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "wild", "[settings]\nnet.embed = 2\n")); /* it goes on, and has a page */
    char *page = qv_toy_study_file(x, "wild", "report.html");
    assert_null(strstr(page, "\"nan\""));
    r.shape[0].symmetry.spread = -1; /* nor is what cannot be */
    qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
    assert_int_equal(qv_study_record_read(x->ctx, &again, path), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "spread");
    qv_study_record_free(&r);
    free(page);
    free(path);
}

/* A stranger's folder neither counts a fold twice nor makes a file elsewhere. */
static void a_strange_folder_does_no_harm(void **state)
{
    qv_toy_study *x = *state;
    qv_study *s;
    qv_plan plan;
    char *victim;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "strange", ""));
    char *text = qv_toy_study_file(x, "strange", "plan.json"), *lock = qv_toy_study_path(x, "strange", "lock");
    char *name = strstr(text, "\"name\": \"2\"");
    assert_non_null(name);
    name[9] = '1';
    qv_toy_study_write(x, "strange", "plan.json", text);
    qv_assert_ok(x->ctx, qv_study_of_folder(x->ctx, &s, qv_toy_study_folder(x, "strange")));
    assert_int_equal(qv_plan_read(x->ctx, &plan, s, qv_toy_study_folder(x, "strange")), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "another for each fold");
    qv_study_free(s);
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &victim, x->dir, "victim"));
    assert_int_equal(remove(lock), 0);
    assert_int_equal(symlink(victim, lock), 0);
    assert_int_equal(qv_toy_study_run(x, "strange", ""), QV_ERR_IO);
    assert_false(qv_path_exists(victim));
    free(text), free(lock), free(victim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_study_is_refused, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(the_same_trainings_are_reused, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(other_folds_are_not_reused, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(other_defaults_are_another_study, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(another_manifest_is_refused, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(records_of_other_runs_are_refused, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_speaker_counts_once, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(damaged_records_are_named, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_read, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_strange_folder_does_no_harm, qv_toy_study_setup, qv_toy_study_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
