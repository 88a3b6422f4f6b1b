/* One training of a study: what its settings change, which epoch it is judged by, what its record has of it. */
#include "study/study_train.h"
#include "support/toy_study.h"

/* What qv_settings_idle says has no effect has none: the networks are the same to the bit. */
static void idle_settings_change_nothing(void **state)
{
    qv_toy_study *x = *state;
    qv_study *s = qv_toy_study_parse(x->ctx, qv_toy_study_head, qv_toy_study_axes, "");
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
    x->o.out = qv_toy_study_folder(x, "idle");
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
    qv_toy_study *x = *state;
    qv_study_corpora data;
    qv_maker maker = {.program = (char[]){"test"}, .isa = "test"};
    size_t earlier = 0, parameters;
    qv_study *s =
        qv_toy_study_parse(x->ctx,
                           "[corpus made]\nembedded = 8 1\nfolds = 2\n[settings]\nfeatures.mels = 8\n"
                           "patch.seconds = 0.16\nnet.width = 2\ntrain.batch = 3\ntrain.epochs = 12\neval.every = 1\n"
                           "train.lr = 0.3\nsplit.val_speakers = 2\neval.epoch = best\n",
                           "", "");
    x->o.out = qv_toy_study_folder(x, "best");
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
    qv_toy_study *x = *state;
    for (size_t i = 0; i < 2; i++) {
        char name[16];
        qv_buf text = {0};
        snprintf(name, sizeof name, "rule%zu", i);
        qv_buf_printf(
            &text, "[settings]\neval.epoch = best\n%s[cells even]\ntrain.batch = 3\n[cells shaken]\ntrain.batch = 3\n",
            more[i]);
        qv_assert_ok(x->ctx, qv_toy_study_run(x, name, text.data));
        char *page = qv_toy_study_file(x, name, "report.html");
        qv_test_says(page, rule[i]);
        assert_null(strstr(page, rule[1 - i]));
        qv_buf_free(&text);
        free(page);
    }
}

static void profiles_are_of_the_blocks(void **state)
{
    qv_toy_study *x = *state;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "scales", ""));
    qv_findings f;
    qv_toy_study_findings(x, &f, "scales");
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

/* A training of a single step, too, is timed from its beginning. */
static void short_trainings_are_foreseen(void **state)
{
    qv_toy_study *x = *state;
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
        x->o.out = qv_toy_study_folder(x, "foreseen");
        qv_assert_ok(x->ctx, qv_study_predict(x->ctx, s, &x->o, &plan));
        assert_int_equal(sscanf(strchr(plan.data, '\n'), " made all %lf", &step), 1);
        assert_true(step > 0 && step < 60e3); /* milliseconds */
        qv_buf_free(&plan);
        qv_study_free(s);
    }
}

/* What could not be read again is not trained. */
static void a_record_that_grows_too_large_is_foreseen(void **state)
{
    qv_toy_study *x = *state;
    qv_buf plan = {0};
    qv_study *s = qv_toy_study_parse(
        x->ctx,
        "[corpus made]\nembedded = 4 1\nfolds = 2\n[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\n"
        "net.width = 2\ntrain.batch = 4\ntrain.epochs = 1000000\neval.every = 1\n",
        "", "");
    x->o.out = qv_toy_study_folder(x, "large");
    assert_int_equal(qv_study_predict(x->ctx, s, &x->o, &plan), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx),
                 "fold 1: a record of 2 test speakers with 4 classes, 0 points of net.embed = 2 and 1000001 "
                 "evaluations could take");
    qv_buf_free(&plan);
    qv_study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(idle_settings_change_nothing, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(the_best_epoch_is_taken, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_chosen_without_validation, qv_toy_study_setup,
                                        qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(profiles_are_of_the_blocks, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(short_trainings_are_foreseen, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_record_that_grows_too_large_is_foreseen, qv_toy_study_setup,
                                        qv_toy_study_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
