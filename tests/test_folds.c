/* Folds: every spec on small manifests made by hand; the shipped fold files; refusals. */
#include <unistd.h>

#include "data/folds.h"
#include "support/support.h"

typedef struct fixture {
    qv_ctx *ctx;
    char *dir, *path;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->ctx = qv_ctx_new();
    f->dir = qv_test_tmpdir();
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &f->path, f->dir, "f.txt"));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    qv_test_rmdir(f->dir);
    qv_ctx_free(f->ctx);
    free(f->path);
    free(f);
    return 0;
}

/* Speakers "01".. with 2 + s % 3 recordings of each of two emotions; odd numbers are men. */
static qv_manifest *manifest(qv_ctx *ctx, int speakers)
{
    qv_manifest *m;
    qv_assert_ok(ctx, qv_manifest_new(ctx, &m));
    for (int s = 1; s <= speakers; s++) {
        for (int i = 0; i < 2 * (2 + s % 3); i++) {
            char speaker[8], name[16];
            snprintf(speaker, sizeof speaker, "%02d", s);
            snprintf(name, sizeof name, "%02d-%d.wav", s, i);
            qv_assert_ok(
                ctx, qv_manifest_add(ctx, m, name, name, speaker, i % 2 ? "joy" : "anger", s % 2 ? "male" : "female"));
            m->items[m->n - 1].line = (int)m->n + 1;
        }
    }
    qv_assert_ok(ctx, qv_strdup(ctx, &m->path, "m.csv"));
    qv_assert_ok(ctx, qv_manifest_finish(ctx, m, NULL));
    return m;
}

/* What holds for every speaker-disjoint partition. */
static void assert_sound(const qv_manifest *m, const qv_folds *folds)
{
    for (size_t k = 0; k < folds->n; k++) {
        const qv_fold *f = &folds->folds[k];
        unsigned parts[64] = {0};
        size_t n = 0;
        for (size_t i = 0; i < m->n; i++) parts[m->items[i].speaker_id] |= 1u << f->part[i];
        for (int s = 0; s < m->n_speakers; s++) assert_int_equal(parts[s] & (parts[s] - 1), 0);
        for (int p = 0; p < QV_PARTS; p++) n += f->items[p];
        assert_int_equal(n, m->n);
        assert_int_equal(f->overlap, 0);
    }
}

/* The speakers of a part, as "01 02". */
static const char *who(const qv_manifest *m, const qv_fold *f, qv_part part)
{
    static char text[512];
    text[0] = '\0';
    for (int s = 0; s < m->n_speakers; s++) {
        for (size_t i = 0; i < m->n; i++) {
            if (m->items[i].speaker_id != s || f->part[i] != part) continue;
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", text[0] ? " " : "", m->speakers[s]);
            break;
        }
    }
    return text;
}

static void one_speaker_at_a_time(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 6);
    qv_folds *folds;
    qv_fold_options o = {.val_speakers = 2};
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "speaker", &o));
    assert_int_equal(folds->n, 6);
    assert_sound(m, folds);
    assert_string_equal(folds->folds[2].name, "03");
    assert_string_equal(who(m, &folds->folds[2], QV_PART_TEST), "03");
    assert_string_equal(who(m, &folds->folds[2], QV_PART_VAL), "04 05"); /* one of each gender, next in order */
    assert_string_equal(who(m, &folds->folds[5], QV_PART_VAL), "01 02");
    assert_int_equal(folds->folds[0].speakers[QV_PART_TRAIN], 3);
    assert_int_equal(folds->folds[0].items[QV_PART_TEST], 6);
    qv_folds_free(folds);
    o.val_speakers = 5;
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "speaker", &o), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(f->ctx), "4 can be had"));
    assert_null(folds);
    qv_manifest_free(m);
}

static void groups_are_even(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 12);
    qv_fold_options o = {.val_speakers = 0};
    for (int k = 2; k <= 6; k++) {
        char spec[8];
        qv_folds *folds;
        snprintf(spec, sizeof spec, "%d", k);
        qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, spec, &o));
        assert_sound(m, folds);
        int tested[16] = {0};
        for (int j = 0; j < k; j++) {
            int men = 0, women = 0;
            for (int s = 0; s < m->n_speakers; s++) {
                bool here = strstr(who(m, &folds->folds[j], QV_PART_TEST), m->speakers[s]) != NULL;
                tested[s] += here;
                men += here && s % 2 == 0;
                women += here && s % 2 == 1;
            }
            assert_in_range(men, 6 / k, (6 + k - 1) / k);
            assert_in_range(women, 6 / k, (6 + k - 1) / k);
        }
        for (int s = 0; s < m->n_speakers; s++) assert_int_equal(tested[s], 1);
        qv_folds_free(folds);
    }
    qv_folds *folds;
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "1", &o), QV_ERR_USAGE);
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "13", &o), QV_ERR_USAGE);
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "999999999999", &o), QV_ERR_USAGE);
    qv_manifest_free(m);
}

static void columns(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 12);
    qv_folds *folds;
    qv_fold_options o = {.val_speakers = 1};
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "session", &o), QV_ERR_DATA);
    assert_memory_equal(qv_ctx_message(f->ctx), "m.csv:2: no session", 19);
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "column", &o), QV_ERR_DATA);
    for (size_t i = 0; i < m->n; i++) {
        char text[16];
        snprintf(text, sizeof text, "Ses/%d", m->items[i].speaker_id / 2 * 2);
        qv_assert_ok(f->ctx, qv_strdup(f->ctx, &m->items[i].session, text));
        if (m->items[i].speaker_id < 10) qv_assert_ok(f->ctx, qv_strdup(f->ctx, &m->items[i].fold, text + 4));
    }
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "session", &o));
    assert_sound(m, folds);
    assert_int_equal(folds->n, 6);
    assert_string_equal(folds->folds[5].name, "Ses_10"); /* numbers in order, names fit for files */
    assert_string_equal(who(m, &folds->folds[5], QV_PART_TEST), "11 12");
    qv_folds_free(folds);
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "column", &o));
    assert_sound(m, folds);
    assert_int_equal(folds->n, 5);
    assert_string_equal(who(m, &folds->folds[0], QV_PART_UNUSED), "11 12");
    qv_folds_free(folds);

    m->items[0].fold[0] = '8';
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "column", &o), QV_ERR_DATA);
    assert_memory_equal(qv_ctx_message(f->ctx), "m.csv:3: speaker '01' stands also in another part (m.csv:2)", 59);
    o.random = true;
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "column", &o));
    assert_int_equal(folds->folds[4].overlap, 1);
    qv_folds_free(folds);
    qv_manifest_free(m);
}

static void one_split(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 12);
    qv_folds *folds;
    qv_fold_options o = {.test_fraction = 0.25, .val_speakers = 2};
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "", &o));
    assert_sound(m, folds);
    assert_int_equal(folds->n, 1);
    assert_int_equal(folds->folds[0].speakers[QV_PART_TEST], 3);
    assert_int_equal(folds->folds[0].speakers[QV_PART_VAL], 2);
    assert_int_equal(folds->folds[0].speakers[QV_PART_TRAIN], 7);
    qv_folds_free(folds);
    o.test_fraction = 0;
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "", &o), QV_ERR_USAGE);

    static const char *const splits[] = {"train", "train", "dev", "test", NULL};
    for (size_t i = 0; i < m->n; i++) {
        int s = m->items[i].speaker_id;
        const char *text = splits[s < 4 ? s : 4];
        if (s >= 4) text = s < 8 ? "train" : NULL;
        if (text) qv_assert_ok(f->ctx, qv_strdup(f->ctx, &m->items[i].split, text));
    }
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "", &o));
    assert_sound(m, folds);
    assert_string_equal(who(m, &folds->folds[0], QV_PART_VAL), "03");
    assert_string_equal(who(m, &folds->folds[0], QV_PART_UNUSED), "09 10 11 12");
    qv_folds_free(folds);
    strcpy(m->items[0].split, "test");
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "split", &o), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(f->ctx), "m.csv:3: speaker '01'"));
    strcpy(m->items[0].split, "tset");
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "split", &o), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(f->ctx), "m.csv:2: split 'tset'"));
    qv_manifest_free(m);
}

static void random_must_be_asked_for(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 10);
    qv_folds *folds, *again;
    qv_fold_options o = {.test_fraction = 0.2, .val_speakers = 1, .random = true, .seed = 7};
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "5", &o));
    assert_true(folds->random);
    assert_true(folds->folds[0].overlap > 5);
    size_t tested = 0;
    for (int k = 0; k < 5; k++) tested += folds->folds[k].items[QV_PART_TEST];
    assert_int_equal(tested, m->n);
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &again, m, "5", &o));
    for (int k = 0; k < 5; k++) assert_memory_equal(folds->folds[k].part, again->folds[k].part, m->n);
    qv_folds_free(again);
    o.seed = 8;
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &again, m, "5", &o));
    assert_memory_not_equal(folds->folds[0].part, again->folds[0].part, m->n);
    qv_folds_free(folds), qv_folds_free(again);

    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "", &o));
    assert_int_equal(folds->folds[0].items[QV_PART_TEST], 2 * ((m->n / 2 + 2) / 5));
    assert_true(folds->folds[0].items[QV_PART_VAL] > 0);
    qv_folds_free(folds);
    o.random = false; /* not by a word among the other ways to cut */
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "random", &o), QV_ERR_USAGE);
    assert_non_null(strstr(qv_ctx_message(f->ctx), "says so with --split random"));
    o.random = true;
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "random", &o));
    assert_true(folds->random);
    qv_folds_free(folds);
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "speaker", &o), QV_ERR_USAGE);
    qv_manifest_free(m);
}

static qv_status from_text(fixture *f, qv_folds **folds, const qv_manifest *m, const char *text)
{
    qv_fold_options o = {.val_speakers = 1};
    qv_assert_ok(f->ctx, qv_write_file(f->ctx, f->path, text, strlen(text)));
    return qv_folds_make(f->ctx, folds, m, f->path, &o);
}

static void fold_files(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 8);
    qv_folds *folds;
    qv_assert_ok(f->ctx, from_text(f, &folds, m, "# all\r\n\ntrain: 01 02 # always\na b: 03\t04\r\n ../c : 05 06"));
    assert_sound(m, folds);
    assert_int_equal(folds->n, 2);
    assert_string_equal(folds->folds[0].name, "a_b");
    assert_string_equal(folds->folds[1].name, "_._c");
    assert_string_equal(who(m, &folds->folds[0], QV_PART_TEST), "03 04");
    assert_string_equal(who(m, &folds->folds[0], QV_PART_VAL), "05");
    assert_string_equal(who(m, &folds->folds[0], QV_PART_TRAIN), "01 02 06");
    assert_string_equal(who(m, &folds->folds[0], QV_PART_UNUSED), "07 08");
    qv_folds_free(folds);

    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "no fold in it"},
        {"train: 01 02\n", "no fold in it"},
        {"1: 01\n2: 02 01\n", "f.txt:2: speaker '01' stands already in line 1"},
        {"1: 01\n2: 02 02\n", "f.txt:2: speaker '02' stands already in line 2"},
        {"1: 01\n\n2: 99\n", "f.txt:3: the manifest has no speaker '99'"},
        {"1: 01\n1: 02\n", "f.txt:2: fold '1' stands already in line 1"},
        {"1: 01\n2:\n", "f.txt:2: fold '2' names no speaker"},
        {"1: 01 \"02\n", "f.txt:1: a quote is not closed"},
        {"1 01\n", "f.txt:1: a fold is a line such as"},
        {": 01\n", "f.txt:1: a fold is a line such as"},
        {"1: \xFF\n", ":1: byte 0xff is not UTF-8"},
        {"1: 01 02\n", "fold 1 leaves no recording of 'anger' to train on"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int want = QV_ERR_DATA;
        assert_int_equal(from_text(f, &folds, m, cases[i].text), want);
        if (!strstr(qv_ctx_message(f->ctx), cases[i].want)) fail_msg("%s", qv_ctx_message(f->ctx));
    }
    qv_fold_options o = {0};
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "speakers", &o), QV_ERR_USAGE);
    qv_manifest_free(m);
    static const struct {
        const char *manifest, *folds, *want;
    } columns[] = {
        {"file,speaker,emotion\na.wav,01,anger\nb.wav,02,anger\n", "split", "nothing in its column 'split'"},
        {"file,speaker,emotion,corpus\na.wav,01,anger,x\nb.wav,02,anger,x\n", "corpus",
         "all recordings are of one corpus, 'x'"},
        {"file,speaker,emotion,session\na.wav,01,anger,1\nb.wav,02,anger,\n", "session", "or take --folds speaker"},
        {"file,speaker,emotion\na.wav,,anger\nb.wav,,anger\n", "2", "since no speaker is known"},
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        qv_assert_ok(f->ctx, qv_write_file(f->ctx, f->path, columns[i].manifest, strlen(columns[i].manifest)));
        qv_assert_ok(f->ctx, qv_manifest_read(f->ctx, &m, f->path,
                                              &(qv_manifest_options){.need_emotion = true, .allow_missing = true}));
        assert_true(qv_folds_make(f->ctx, &folds, m, columns[i].folds, &o) != QV_OK);
        qv_test_says(qv_ctx_message(f->ctx), columns[i].want);
        qv_manifest_free(m);
    }
}

static void names_with_blanks_stand_in_quotes(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"Joey and Chandler", "Dr. Who", "No #5", "Ross"};
    qv_manifest *m;
    qv_folds *folds;
    qv_assert_ok(f->ctx, qv_manifest_new(f->ctx, &m));
    for (int i = 0; i < 8; i++)
        qv_assert_ok(f->ctx, qv_manifest_add(f->ctx, m, "x", "x", names[i / 2], i % 2 ? "joy" : "anger", NULL));
    qv_assert_ok(f->ctx, qv_manifest_finish(f->ctx, m, NULL));
    qv_assert_ok(f->ctx, from_text(f, &folds, m, "1: \"Joey and Chandler\"Ross # two\n2: \"No #5\"\t\"Dr. Who\"\n"));
    assert_string_equal(who(m, &folds->folds[0], QV_PART_TEST), "Joey and Chandler Ross");
    assert_string_equal(who(m, &folds->folds[1], QV_PART_TEST), "Dr. Who No #5");
    qv_folds_free(folds);
    qv_assert_ok(f->ctx, from_text(f, &folds, m, "1: \"Dr. Who\" Ross # \"x\n2: \"Joey and Chandler\" \"No #5\"# y\" z\n"));
    assert_string_equal(who(m, &folds->folds[0], QV_PART_TEST), "Dr. Who Ross");
    assert_string_equal(who(m, &folds->folds[1], QV_PART_TEST), "Joey and Chandler No #5");
    qv_folds_free(folds);
    assert_int_equal(from_text(f, &folds, m, "1: a\"b # c \"d\n"), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "no speaker 'a\"b'");
    assert_int_equal(from_text(f, &folds, m, "1: Dr. Who\n"), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "f.txt:1: the manifest has no speaker 'Dr.'; did you mean \"Dr. Who\", in quotes?");
    qv_manifest_free(m);
}

static void class_left_out_and_unknown_speaker(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 4);
    qv_folds *folds;
    qv_fold_options o = {.val_speakers = 1};
    qv_assert_ok(f->ctx, qv_manifest_add(f->ctx, m, "x", "x", "03", "fear", NULL));
    qv_assert_ok(f->ctx, qv_manifest_finish(f->ctx, m, NULL));
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "speaker", &o), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(f->ctx), "fold 03 leaves no recording of 'fear'"));
    /* The last speaker to show a class is never held out for validation. */
    qv_assert_ok(f->ctx, from_text(f, &folds, m, "train: 01 03\n1: 02 04\n"));
    assert_string_equal(who(m, &folds->folds[0], QV_PART_VAL), "01");
    qv_folds_free(folds);
    qv_assert_ok(f->ctx, qv_manifest_add(f->ctx, m, "y", "y.wav", NULL, "joy", NULL));
    qv_assert_ok(f->ctx, qv_manifest_finish(f->ctx, m, "anger,joy"));
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "speaker", &o), QV_ERR_DATA);
    assert_memory_equal(qv_ctx_message(f->ctx), "y.wav: no speaker", 17);
    o = (qv_fold_options){.test_fraction = 0.2};
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "", &o), QV_ERR_DATA);
    o.random = true;
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "", &o));
    qv_folds_free(folds);
    qv_manifest_free(m);
}

/* A manifest of so many speakers, each of its own gender if `genders`; one recording of each class. */
static qv_manifest *crowd(qv_ctx *ctx, int speakers, bool genders)
{
    qv_manifest *m;
    qv_assert_ok(ctx, qv_manifest_new(ctx, &m));
    for (int i = 0; i < 2 * speakers; i++) {
        char name[16];
        snprintf(name, sizeof name, "%05d", i / 2);
        qv_assert_ok(ctx, qv_manifest_add(ctx, m, "x", "x", name, i % 2 ? "joy" : "anger", genders ? name : NULL));
    }
    qv_assert_ok(ctx, qv_manifest_finish(ctx, m, NULL));
    return m;
}

static void numbers_have_limits(void **state)
{
    fixture *f = *state;
    qv_fold_options o = {0};
    qv_folds *folds;
    qv_manifest *m = crowd(f->ctx, QV_MOST_FOLDS, false);
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, "speaker", &o));
    qv_folds_free(folds);
    qv_manifest_free(m);
    m = crowd(f->ctx, QV_MOST_FOLDS + 1, false);
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "speaker", &o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "1001 folds of 2002 recordings are too many");
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "1001", &o), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(f->ctx), "ask for 2 to 1000");
    qv_manifest_free(m);
    m = crowd(f->ctx, 101, true);
    assert_int_equal(qv_folds_make(f->ctx, &folds, m, "2", &o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "more than 100 different values of 'gender'");
    qv_manifest_free(m);
}

static void fold_files_of_other_systems(void **state)
{
    fixture *f = *state;
    qv_folds *folds;
    qv_manifest *m = manifest(f->ctx, 4);
    qv_assert_ok(f->ctx, from_text(f, &folds, m, "\xEF\xBB\xBFone: 01 02\rtwo: 03 04\r\n"));
    assert_true(folds->n == 2 && strcmp(folds->folds[1].name, "two") == 0);
    qv_folds_free(folds);
    qv_manifest_free(m);
}

static void shipped_files(void **state)
{
    fixture *f = *state;
    static const char *const emodb[] = {"03", "08", "09", "10", "11", "12", "13", "14", "15", "16"};
    static const char men[] = "03 10 11 12 15";
    qv_manifest *m;
    qv_folds *folds;
    qv_fold_options o = {.val_speakers = 2};
    qv_assert_ok(f->ctx, qv_manifest_new(f->ctx, &m));
    for (int i = 0; i < 20; i++) {
        const char *s = emodb[i / 2];
        qv_assert_ok(f->ctx, qv_manifest_add(f->ctx, m, "x", "x", s, i % 2 ? "a" : "b", strstr(men, s) ? "m" : "f"));
    }
    qv_assert_ok(f->ctx, qv_manifest_finish(f->ctx, m, NULL));
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, QV_SOURCE_DIR "/data/folds/emodb.txt", &o));
    assert_int_equal(folds->n, 5);
    assert_sound(m, folds);
    for (size_t k = 0; k < 5; k++) {
        for (int part = QV_PART_VAL; part <= QV_PART_TEST; part++) {
            int count[2] = {0};
            for (size_t i = 0; i < m->n; i++) {
                if (folds->folds[k].part[i] == part) count[m->items[i].gender[0] == 'm']++;
            }
            assert_int_equal(count[0], 2);
            assert_int_equal(count[1], 2);
        }
    }
    qv_folds_free(folds);
    qv_manifest_free(m);

    static const struct {
        const char *path;
        size_t n;
        int tested, used;
    } ravdess[] = {{QV_SOURCE_DIR "/data/folds/ravdess.txt", 6, 24, 24},
                   {QV_SOURCE_DIR "/data/folds/ravdess-01-12.txt", 3, 12, 12},
                   {QV_SOURCE_DIR "/data/folds/ravdess-13-24.txt", 3, 12, 24}};
    m = manifest(f->ctx, 24);
    for (size_t c = 0; c < 3; c++) {
        qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, m, ravdess[c].path, &o));
        assert_int_equal(folds->n, ravdess[c].n);
        assert_sound(m, folds);
        int tested = 0;
        for (size_t k = 0; k < folds->n; k++) tested += folds->folds[k].speakers[QV_PART_TEST];
        assert_int_equal(tested, ravdess[c].tested);
        assert_int_equal(24 - folds->folds[0].speakers[QV_PART_UNUSED], ravdess[c].used);
        qv_folds_free(folds);
    }
    qv_manifest_free(m);
}

/* Nobody is left out in silence. */
static void who_is_in_no_fold_is_named(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 6);
    qv_folds *folds;
    qv_buf text = {0};
    qv_assert_ok(f->ctx, from_text(f, &folds, m, "1: 01 02\n2: 03 04\ntrain: 05\n"));
    qv_assert_ok(f->ctx, qv_folds_left_out(f->ctx, folds, m, &text));
    assert_non_null(strstr(text.data, " of 1 speaker are in no fold (06)"));
    qv_folds_free(folds);
    text.len = 0;
    qv_assert_ok(f->ctx, from_text(f, &folds, m, "1: 01 02\n2: 03 04\ntrain: 05 06\n"));
    qv_assert_ok(f->ctx, qv_folds_left_out(f->ctx, folds, m, &text));
    assert_int_equal(text.len, 0);
    qv_folds_free(folds);
    qv_buf_free(&text);
    qv_manifest_free(m);
}

static void every_allocation_may_fail(void **state)
{
    fixture *f = *state;
    qv_manifest *m = manifest(f->ctx, 6);
    static const char *const specs[] = {"", "speaker", "3", "random", "f"};
    qv_assert_ok(f->ctx, qv_write_file(f->ctx, f->path, "1: 01 02\n2: 03 04\n", 18));
    for (int k = 0; k < 5; k++) {
        qv_fold_options o = {.test_fraction = 0.3, .val_speakers = 1, .random = strcmp(specs[k], "random") == 0};
        qv_status s = QV_ERR_MEMORY;
        size_t nth = 1;
        for (; s == QV_ERR_MEMORY && nth < 1000; nth++) {
            qv_folds *folds;
            qv_ctx_fail_alloc(f->ctx, nth);
            s = qv_folds_make(f->ctx, &folds, m, k == 4 ? f->path : specs[k], &o);
            qv_folds_free(folds);
        }
        qv_ctx_fail_alloc(f->ctx, 0);
        assert_int_equal(s, QV_OK);
        assert_true(nth > 5);
    }
    qv_manifest_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_speaker_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(groups_are_even, setup, teardown),
        cmocka_unit_test_setup_teardown(columns, setup, teardown),
        cmocka_unit_test_setup_teardown(one_split, setup, teardown),
        cmocka_unit_test_setup_teardown(random_must_be_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_in_no_fold_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(fold_files, setup, teardown),
        cmocka_unit_test_setup_teardown(names_with_blanks_stand_in_quotes, setup, teardown),
        cmocka_unit_test_setup_teardown(class_left_out_and_unknown_speaker, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_have_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(fold_files_of_other_systems, setup, teardown),
        cmocka_unit_test_setup_teardown(shipped_files, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup, teardown),
    };
    return cmocka_run_group_tests_name("folds", tests, NULL, NULL);
}
