/* Several corpora as one: names, labels, normalization, folds, and a training from beginning to prediction. */
#include <math.h>
#include <sys/wait.h>

#include "data/folds.h"
#include "data/labels.h"
#include "support/support.h"
#include "train/checkpoint.h"
#include "train/dataset.h"

typedef struct fixture {
    qv_ctx *ctx;
    char *dir;
    qv_buf log;
} fixture;

static void on_log(void *user, qv_log_level level, const char *text)
{
    (void)level;
    qv_buf_printf(&((fixture *)user)->log, "%s\n", text);
}

static void put(fixture *f, const char *name, const char *text) { qv_test_put(f->ctx, f->dir, name, text); }

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->ctx = qv_ctx_new();
    f->dir = qv_test_tmpdir();
    qv_ctx_on_log(f->ctx, on_log, f);
    static const char *const names[] = {"a1.wav", "a2.wav", "a3.wav", "b1.wav", "b2.wav"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) put(f, names[i], "x");
    put(f, "one.csv", "file,speaker,emotion,note\na1.wav,1,joy,x\na2.wav,2,anger,y\na3.wav,1,boredom,z\n");
    put(f, "two.csv", "emotion,file,speaker\nhappiness,b1.wav,1\nanger,b2.wav,3\n");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    qv_test_rmdir(f->dir);
    qv_buf_free(&f->log);
    qv_ctx_free(f->ctx);
    free(f);
    return 0;
}

static qv_status read_list(fixture *f, qv_manifest **m, const char *labels)
{
    qv_buf paths = {0};
    qv_manifest_options o = {.need_emotion = true, .labels = labels};
    qv_buf_printf(&paths, "%s/one.csv, %s/two.csv", f->dir, f->dir);
    qv_status status = qv_manifest_read_list(f->ctx, m, paths.data, &o);
    qv_buf_free(&paths);
    return status;
}

static void equal_names_stay_different_speakers(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_assert_ok(f->ctx, read_list(f, &m, NULL));
    assert_int_equal(m->n, 5);
    assert_int_equal(m->n_extra, 0);
    assert_int_equal(m->n_speakers, 4);
    assert_string_equal(m->items[0].speaker, "one/1");
    assert_string_equal(m->items[3].speaker, "two/1");
    assert_int_equal(m->n_corpora, 2);
    assert_string_equal(m->corpora[1], "two");
    assert_int_equal(m->items[4].corpus_id, 1);
    assert_int_equal(m->n_classes, 4);
    qv_folds *folds;
    qv_fold_options o = {0};
    put(f, "folds", "x: one/1 two/3\ny: one/2 two/1\n");
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "corpus", &o), QV_ERR_DATA); /* boredom is in one corpus only */
    qv_manifest_free(m);
    qv_assert_ok(f->ctx, read_list(f, &m, "anger,joy=happiness,happiness"));
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "corpus", &o));
    assert_int_equal(folds->n, 2);
    assert_string_equal(folds->folds[0].name, "one");
    assert_int_equal(folds->folds[0].items[QV_PART_TEST], 2);
    assert_int_equal(folds->folds[0].overlap, 0);
    qv_folds_free(folds);
    qv_manifest_free(m);
}

/* Or it would be tested where its twin is trained on, under two names of speakers. */
static void one_recording_is_in_one_list(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    put(f, "two.csv", "emotion,file,speaker\nhappiness,b1.wav,1\nboredom,./a3.wav,3\nanger,./a2.wav,3\n");
    assert_int_equal(read_list(f, &m, NULL), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "two.csv:3: ./a3.wav stands already in line 4 of ");
    assert_int_equal(read_list(f, &m, "anger,joy=happiness,happiness"), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "two.csv:4: ./a2.wav stands already in line 3 of ");
    qv_assert_ok(f->ctx, read_list(f, &m, "joy=happiness,anger|happiness")); /* what is left out is no twin */
    qv_manifest_free(m);
}

static void labels_for_all_or_for_each(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_assert_ok(f->ctx, read_list(f, &m, "anger,joy=happiness|happiness,anger=rage"));
    assert_int_equal(m->n, 4);
    assert_int_equal(m->n_classes, 3);
    assert_string_equal(m->classes[0], "anger");
    assert_string_equal(m->classes[2], "rage");
    assert_string_equal(m->items[3].emotion, "rage");
    uint64_t hash = m->hash;
    qv_manifest_free(m);
    qv_assert_ok(f->ctx, read_list(f, &m, "anger,joy=happiness|happiness,anger"));
    assert_true(m->hash != hash);
    hash = m->hash;
    qv_manifest_free(m);
    put(f, "two.csv", "emotion,file,speaker\nhappiness,b1.wav,1\nanger,b2.wav,4\n");
    qv_assert_ok(f->ctx, read_list(f, &m, "anger,joy=happiness|happiness,anger"));
    assert_true(m->hash != hash);
    qv_manifest_free(m);
    static const struct {
        const char *labels, *want;
    } cases[] = {
        {"anger,joy=happiness|anger,joy", "no recording has the emotion 'joy'"},
        {"anger|anger|anger", "3 lists for 2 manifests"},
        {"anger,fear", "no recording has the emotion 'fear'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_list(f, &m, cases[i].labels), QV_ERR_USAGE);
        if (!strstr(qv_ctx_message(f->ctx), cases[i].want)) fail_msg("%s", qv_ctx_message(f->ctx));
    }
}

static void what_cannot_be_one(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    put(f, "two.csv", "file,speaker,emotion,note\na1.wav,1,joy,x\na2.wav,2,anger,y\na3.wav,1,boredom,z\n");
    assert_int_equal(read_list(f, &m, NULL), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "two.csv:2: a1.wav stands already in line 2 of ");
    put(f, "sub/a1.wav", "");
    put(f, "sub/a2.wav", "");
    put(f, "sub/a3.wav", "");
    put(f, "two.csv", "file,speaker,emotion,note\nsub/a1.wav,1,joy,x\nsub/a2.wav,2,anger,y\nsub/a3.wav,1,boredom,z\n");
    qv_assert_ok(f->ctx, read_list(f, &m, NULL)); /* another copy of the corpus */
    qv_manifest_free(m);
    put(f, "two.csv", "file,speaker,emotion,corpus\nb1.wav,1,joy,one\n");
    qv_assert_ok(f->ctx, read_list(f, &m, NULL)); /* says so itself: more of the same corpus */
    assert_int_equal(m->n_corpora, 1);
    assert_int_equal(m->n_speakers, 2);
    qv_manifest_free(m);
    put(f, "sub/one.csv", "file,speaker,emotion\n../b1.wav,1,joy\n");
    qv_buf paths = {0};
    qv_buf_printf(&paths, "%s/one.csv,%s/sub/one.csv", f->dir, f->dir);
    qv_manifest_options o = {.need_emotion = true};
    assert_int_equal(qv_manifest_read_list(f->ctx, &m, paths.data, &o), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(f->ctx), "there is a corpus one already"));
    put(f, "sub/one.csv", "file,speaker,emotion,corpus\n../b1.wav,1,joy,Z\n../b2.wav,1,joy,\n");
    assert_int_equal(qv_manifest_read_list(f->ctx, &m, paths.data, &o), QV_ERR_DATA); /* in whichever row */
    assert_non_null(strstr(qv_ctx_message(f->ctx), "there is a corpus one already"));
    qv_buf_free(&paths);
}

/* What the rows say is a name, whatever it would mean in --labels. */
static void classes_of_each_may_have_any_name(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    put(f, "one.csv", "file,speaker,emotion\na1.wav,1,unsure?\na2.wav,2,\"happy, excited\"\na3.wav,1,a=b\n");
    qv_assert_ok(f->ctx, read_list(f, &m, "|happiness,anger"));
    assert_int_equal(m->n, 5);
    assert_int_equal(m->n_classes, 5);
    assert_string_equal(m->classes[0], "a=b");
    assert_string_equal(m->classes[1], "happy, excited");
    assert_string_equal(m->items[0].emotion, "unsure?");
    assert_int_equal(m->items[0].label, 2);
    assert_string_equal(m->classes[4], "anger");
    qv_manifest_free(m);
}

/* A row that names no corpus belongs to none. */
static void rows_may_have_no_corpus(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    char *path;
    qv_manifest_options o = {.need_emotion = true};
    put(f, "m.csv", "file,speaker,emotion,corpus\na1.wav,1,joy,\na2.wav,2,anger,x\na3.wav,1,joy,y\n");
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &path, f->dir, "m.csv"));
    qv_assert_ok(f->ctx, qv_manifest_read(f->ctx, &m, path, &o));
    assert_true(m->items[0].corpus_id == -1 && m->items[1].corpus_id == 0 && m->items[2].corpus_id == 1);
    qv_manifest_free(m);
    free(path);
}

static bool warns_of_accents(fixture *f, const char *a, const char *b)
{
    qv_manifest *m;
    qv_buf text = {0};
    qv_buf_printf(&text, "file,speaker,emotion\na1.wav,%s,x\na2.wav,%s,y\n", a, b);
    put(f, "one.csv", text.data);
    f->log.len = 0;
    qv_assert_ok(f->ctx, read_list(f, &m, NULL));
    qv_manifest_free(m);
    qv_buf_free(&text);
    return f->log.len && strstr(f->log.data, "accents as characters of their own");
}

static void one_name_in_two_spellings_is_warned_of(void **state)
{
    fixture *f = *state;
    assert_true(warns_of_accents(f, "Zo\xC3\xAB", "Zoe\xCC\x88")); /* composed, decomposed */
    assert_false(warns_of_accents(f, "Zo\xC3\xAB", "M\xC3\xBC" "ller"));
    assert_false(warns_of_accents(f, "Zoe\xCC\x88", "Mu\xCC\x88ller"));
    assert_false(warns_of_accents(f, "Zoe", "\xE5\xBC\xA0\xE4\xBC\x9F"));
}

static void files_of_labels(void **state)
{
    fixture *f = *state;
    char *text, *path;
    qv_assert_ok(f->ctx, qv_labels_expand(f->ctx, &text, "anger,joy=happiness"));
    assert_string_equal(text, "anger,joy=happiness");
    free(text);
    put(f, "x.labels", "# first\nanger\n\n joy = happiness # merged\r\ncalm\n");
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &path, f->dir, "x.labels"));
    qv_assert_ok(f->ctx, qv_labels_expand(f->ctx, &text, path));
    assert_string_equal(text, "anger?,joy?=happiness,calm?");
    qv_manifest *m;
    qv_assert_ok(f->ctx, read_list(f, &m, text));
    assert_int_equal(m->n_classes, 2); /* nobody is calm */
    assert_non_null(strstr(f->log.data, "no recording of calm"));
    assert_string_equal(m->items[0].emotion, "happiness");
    qv_manifest_free(m);
    free(text);
    put(f, "x.labels", "anger\njoy, happiness\n");
    assert_int_equal(qv_labels_expand(f->ctx, &text, path), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(f->ctx), "x.labels:2: one emotion a line"));
    put(f, "x.labels", "# nothing\n");
    assert_int_equal(qv_labels_expand(f->ctx, &text, path), QV_ERR_DATA);
    free(path);
    static const char *const shipped[] = {"six", "four", "iemocap4"};
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; i++) {
        char name[512];
        qv_label_map map;
        snprintf(name, sizeof name, "%s/data/labels/%s.labels", QV_SOURCE_DIR, shipped[i]);
        qv_assert_ok(f->ctx, qv_labels_expand(f->ctx, &text, name));
        qv_assert_ok(f->ctx, qv_label_map_parse(f->ctx, &map, text));
        assert_int_equal(map.n_classes, i == 0 ? 6 : 4);
        qv_label_map_free(&map);
        free(text);
    }
}

/* Frames of one band with known numbers: every corpus is measured by its own training part, one that does not train
 * by all that does. */
static void each_corpus_has_its_own_normalization(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_dataset *d;
    qv_assert_ok(f->ctx, read_list(f, &m, NULL));
    static const float frames[10] = {1, 3, 5, 7, 100, 100, 10, 30, 50, 50};
    qv_feature_entry entries[5] = {0};
    for (int i = 0; i < 5; i++) entries[i] = (qv_feature_entry){.first_frame = 2 * i, .frames = 2};
    qv_features features = {.config = {.mels = 1}, .data = frames, .frames = 10, .entries = entries, .n = 5};
    bool in_training[5] = {true, true, false, true, false};
    qv_assert_ok(f->ctx, qv_dataset_new(f->ctx, &d, m, &features, QV_NORM_CORPUS, in_training, NULL));
    assert_int_equal(d->norms, 3);
    assert_true(d->utterances[2].norm == 0 && d->utterances[4].norm == 1);
    assert_true(d->norm[0] == 4 && d->norm[2] == 20); /* means of 1 3 5 7 and of 10 30 */
    assert_true(fabs(d->norm[4] - 56.0 / 6) < 1e-6);  /* of all six */
    assert_true(fabs(d->norm[1] - 1 / sqrt(5)) < 1e-7 && fabs(d->norm[3] - 0.1) < 1e-8);
    qv_dataset_free(d);
    in_training[3] = false;
    qv_assert_ok(f->ctx, qv_dataset_new(f->ctx, &d, m, &features, QV_NORM_CORPUS, in_training, NULL));
    assert_memory_equal(d->norm + 2, d->norm + 4, 2 * sizeof *d->norm);
    assert_memory_equal(d->norm, d->norm + 4, 2 * sizeof *d->norm);
    qv_dataset_free(d);
    qv_manifest_free(m);
}

/* Where one corpus is named, the recordings of none beside it are measured as all that trained, not as that one. */
static void a_corpus_named_in_part(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_dataset *d;
    float *norms;
    char *path, *corpora[] = {"x", "y"};
    float all[2] = {3, 1}, of_each[4] = {1, 1, 2, 1};
    qv_checkpoint c = {
        .norm = all, .corpora = corpora, .n_corpora = 2, .corpus_norm = of_each, .settings = {.mels = 1}};
    qv_manifest_options o = {.need_emotion = true};
    put(f, "m.csv", "file,speaker,emotion,corpus\na1.wav,1,joy,\na2.wav,2,anger,y\na3.wav,1,joy,\n");
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &path, f->dir, "m.csv"));
    qv_assert_ok(f->ctx, qv_manifest_read(f->ctx, &m, path, &o));
    static const float frames[3] = {0};
    qv_feature_entry entries[3] = {{.frames = 1}, {.frames = 1, .first_frame = 1}, {.frames = 1, .first_frame = 2}};
    qv_features features = {.config = {.mels = 1}, .data = frames, .frames = 3, .entries = entries, .n = 3};
    qv_assert_ok(f->ctx, qv_checkpoint_norms(f->ctx, &c, m, &norms));
    qv_assert_ok(f->ctx, qv_dataset_new(f->ctx, &d, m, &features, QV_NORM_CORPUS, NULL, norms));
    static const float want[3] = {3, 2, 3};
    for (int i = 0; i < 3; i++) assert_true(d->norm[2 * d->utterances[i].norm] == want[i]);
    qv_dataset_free(d);
    bool all_train[3] = {true, true, true}; /* a training over one corpus has one row, as its checkpoint has */
    qv_assert_ok(f->ctx, qv_dataset_new(f->ctx, &d, m, &features, QV_NORM_CORPUS, all_train, NULL));
    assert_int_equal(d->norms, 1);
    qv_dataset_free(d);
    free(norms);
    qv_manifest_free(m);
    free(path);
}

static int run(const fixture *f, const char *words)
{
    char line[4096];
    snprintf(line, sizeof line, "cd '%s' && QUAVER='%s/quaver' && { %s; } > out 2> err", f->dir, QV_BINARY_DIR, words);
    int rc = system(line);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static void assert_file_says(fixture *f, const char *name, const char *want)
{
    qv_test_file_says(f->ctx, f->dir, name, want);
}

/* Two embedded corpora with the same speakers' names: trained together, resumed, scored apart. */
static void a_training_over_two(void **state)
{
    fixture *f = *state;
    const char train[] =
        "$QUAVER train -m x.csv -m y.csv --labels six.labels -f corpus -o run --epochs 1 --width 2 --batch 4 "
        "--features.mels=8 --patch.seconds=0.16 --cache cache";
    char line[1024];
    put(f, "six.labels", "anger\nsadness\nneutral\njoy=happiness\nhappiness\ndisgust\n");
    assert_int_equal(run(f, "$QUAVER corpus synth x --speakers 2 --sentences 1"), 0);
    assert_int_equal(run(f, "$QUAVER corpus synth y --speakers 2 --sentences 1 --seed 2"), 0);
    assert_int_equal(run(f, "sed 's/,synth,/,x,/; s/^wav/x\\/wav/' x/manifest.csv > x.csv; "
                            "grep -v sadness y/manifest.csv | sed 's/,synth,/,y,/; s/^wav/y\\/wav/' > y.csv"),
                     0);
    assert_int_equal(run(f, train), 1); /* nothing teaches sadness when x is left out */
    assert_file_says(f, "err", "'sadness'");
    snprintf(line, sizeof line, "%s --labels anger,neutral,happiness,disgust", train);
    assert_int_equal(run(f, line), 2); /* the second list of labels goes with the second manifest */
    assert_file_says(f, "err", "disgust");
    snprintf(line, sizeof line, "%s -f 2", train);
    assert_int_equal(run(f, line), 0);
    assert_file_says(f, "err", "corpus x: 8 recordings of 2 speakers (anger 2, sadness 2, neutral 2, happiness 2)");
    assert_file_says(f, "err",
                     "corpus y: 6 recordings of 2 speakers (anger 2, neutral 2, happiness 2, absent: sadness)");
    assert_file_says(f, "run/config.ini", "manifest = x.csv,y.csv\nlabels = anger?,sadness?,neutral?,joy?=happiness");
    assert_file_says(f, "run/predictions.csv", ",x/s01,");
    assert_int_equal(run(f, "$QUAVER train --resume -o run --cache cache"), 0);
    assert_int_equal(run(f, "$QUAVER eval -k run/fold-1/best.safetensors -m y.csv --cache cache"), 0);
    assert_file_says(f, "err", "of those trained on");
    assert_int_equal(run(f, "sed -i '$d' y.csv; $QUAVER train --resume -o run --cache cache"), 2);
    assert_file_says(f, "err", "has changed since");
    char *path;
    qv_checkpoint *c;
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &path, f->dir, "run/fold-1/best.safetensors"));
    qv_assert_ok(f->ctx, qv_checkpoint_open(f->ctx, &c, path));
    assert_int_equal(c->n_corpora, 2);
    assert_string_equal(c->corpora[1], "y");
    float *norms;
    char *corpora[] = {"y"};
    qv_manifest m = {.path = "elsewhere.csv"};
    f->log.len = 0;
    qv_assert_ok(f->ctx, qv_checkpoint_norms(f->ctx, c, &m, &norms));
    assert_memory_equal(norms, c->norm, 16 * sizeof *norms);
    qv_test_says(f->log.data, "no corpus 'elsewhere' among those of ");
    qv_test_says(f->log.data, "fold-1/best.safetensors (x, y): its recordings are normalized by all that trained");
    free(norms);
    f->log.len = 0;
    m.corpora = corpora;
    m.n_corpora = 1;
    qv_assert_ok(f->ctx, qv_checkpoint_norms(f->ctx, c, &m, &norms));
    assert_memory_equal(norms, c->corpus_norm + 16, 16 * sizeof *norms);
    assert_memory_not_equal(norms, c->norm, 16 * sizeof *norms);
    assert_int_equal(f->log.len, 0);
    free(norms);
    qv_checkpoint_close(c);
    free(path);
}

static void every_allocation_may_fail(void **state)
{
    fixture *f = *state;
    qv_status s = QV_ERR_MEMORY;
    size_t nth = 1;
    for (; s == QV_ERR_MEMORY && nth < 10000; nth++) {
        qv_manifest *m;
        qv_ctx_fail_alloc(f->ctx, nth);
        s = read_list(f, &m, "anger,joy=happiness,calm?|happiness,anger");
        assert_true(s == QV_OK || s == QV_ERR_MEMORY);
        qv_manifest_free(m);
    }
    qv_ctx_fail_alloc(f->ctx, 0);
    assert_int_equal(s, QV_OK);
    assert_true(nth > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equal_names_stay_different_speakers, setup, teardown),
        cmocka_unit_test_setup_teardown(one_recording_is_in_one_list, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_for_all_or_for_each, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_one, setup, teardown),
        cmocka_unit_test_setup_teardown(classes_of_each_may_have_any_name, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_may_have_no_corpus, setup, teardown),
        cmocka_unit_test_setup_teardown(one_name_in_two_spellings_is_warned_of, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(each_corpus_has_its_own_normalization, setup, teardown),
        cmocka_unit_test_setup_teardown(a_corpus_named_in_part, setup, teardown),
        cmocka_unit_test_setup_teardown(a_training_over_two, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup, teardown),
    };
    return cmocka_run_group_tests_name("several", tests, NULL, NULL);
}
