/* Patterns, recipes, reports; the real corpora where they are; the command. */
#include <sys/wait.h>
#include <unistd.h>

#include "data/folds.h"
#include "data/pattern.h"
#include "data/scan.h"
#include "support/support.h"

typedef struct fixture {
    qv_ctx *ctx;
    char *dir;
    qv_manifest *m;
    qv_corpus_report report;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->ctx = qv_ctx_new();
    f->dir = qv_test_tmpdir();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    qv_test_rmdir(f->dir);
    qv_manifest_free(f->m);
    qv_corpus_report_free(&f->report);
    qv_ctx_free(f->ctx);
    free(f);
    return 0;
}

/* A file below the fixture's folder; its own name is its content unless a text is given. */
static void put(fixture *f, const char *name, const char *text)
{
    qv_test_put(f->ctx, f->dir, name, text ? text : name);
}

static qv_status scan_dir(fixture *f, const char *name, const char *dir, qv_corpus_options o)
{
    const qv_recipe *recipe;
    qv_assert_ok(f->ctx, qv_recipe_find(f->ctx, &recipe, name));
    qv_manifest_free(f->m);
    qv_corpus_report_free(&f->report);
    return qv_corpus_scan(f->ctx, &f->m, &f->report, recipe, dir, &o);
}

static qv_status scan(fixture *f, const char *name, qv_corpus_options o) { return scan_dir(f, name, f->dir, o); }

static void patterns_tell_where_they_fail(void **state)
{
    fixture *f = *state;
    qv_pattern *p;
    assert_int_equal(qv_pattern_new(f->ctx, &p, "a(b"), QV_ERR_USAGE);
    assert_null(p);
    qv_test_says(qv_ctx_message(f->ctx), "missing closing parenthesis, at offset 3");
    assert_int_equal(qv_pattern_new(f->ctx, &p, "(?<a>x)(?<a>y)"), QV_ERR_USAGE);
    assert_int_equal(qv_pattern_new(f->ctx, &p, "\\C"), QV_ERR_USAGE);
    assert_int_equal(qv_pattern_new(f->ctx, &p, "\xFF"), QV_ERR_USAGE);
    qv_buf names = {0};
    for (int i = 0; i <= 256; i++) {
        if (names.len) assert_int_equal(qv_pattern_new(f->ctx, &p, names.data), QV_OK), qv_pattern_free(p);
        qv_buf_printf(&names, "(?<g%d>)", i);
    }
    assert_int_equal(qv_pattern_new(f->ctx, &p, names.data), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(f->ctx), "257 named groups; at most 256");
    qv_buf_free(&names);
}

static void patterns_find_groups(void **state)
{
    fixture *f = *state;
    qv_pattern *p;
    bool matched;
    size_t begin, end;
    qv_assert_ok(f->ctx, qv_pattern_new(f->ctx, &p, "(?J)(?<b>x)(?<a>\xC3\xA4+)?|(?<b>y)"));
    assert_int_equal(qv_pattern_groups(p), 2);
    assert_string_equal(qv_pattern_group_name(p, 0), "a");
    qv_assert_ok(f->ctx, qv_pattern_match(f->ctx, p, "..y", &matched));
    assert_true(matched);
    assert_false(qv_pattern_range(p, 0, &begin, &end));
    assert_true(qv_pattern_range(p, 1, &begin, &end));
    assert_true(begin == 2 && end == 3);
    qv_assert_ok(f->ctx, qv_pattern_match(f->ctx, p, "\xFFx\xC3\xA4\xC3\xA4", &matched)); /* not UTF-8 as a whole */
    assert_true(matched && qv_pattern_range(p, 0, &begin, &end));
    assert_true(begin == 2 && end == 6);
    qv_assert_ok(f->ctx, qv_pattern_match(f->ctx, p, "", &matched));
    assert_false(matched);
    qv_pattern_free(p);
}

static void hostile_patterns_end(void **state)
{
    fixture *f = *state;
    qv_pattern *p;
    bool matched = true;
    qv_assert_ok(f->ctx, qv_pattern_new(f->ctx, &p, "^(a|aa|a?)+(?<emotion>b)$"));
    assert_int_equal(qv_pattern_match(f->ctx, p, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabb", &matched), QV_ERR_USAGE);
    assert_false(matched);
    qv_test_says(qv_ctx_message(f->ctx), "match limit exceeded");
    qv_pattern_free(p);
}

static void maps(void **state)
{
    (void)state;
    const char *value;
    size_t n;
    assert_true(qv_map_find("W=anger  b=x", "w", 1, &value, &n) && n == 5 && strncmp(value, "anger", 5) == 0);
    assert_true(qv_map_find("W=anger  b=x", "B", 1, &value, &n) && n == 1);
    assert_false(qv_map_find("W=anger", "anger", 5, &value, &n));
    assert_false(qv_map_find("WW=anger", "W", 1, &value, &n));
    assert_false(qv_map_find(NULL, "W", 1, &value, &n));
}

/* A small tree of the grammar; the counts cannot be right, and are said not to be. */
static void emodb_names(void **state)
{
    fixture *f = *state;
    put(f, "03a01Fa.wav", NULL);
    put(f, "08b10Wb.FLAC", NULL);
    put(f, "deep/16a07Ta.aiff", NULL);
    put(f, "14a05Ac.mp3", NULL);
    put(f, "README.txt", NULL);
    put(f, ".DS_Store", NULL);
    qv_assert_ok(f->ctx, scan(f, "emodb", (qv_corpus_options){0}));
    assert_int_equal(f->m->n, 4);
    assert_int_equal(f->report.no_audio, 1);
    assert_false(f->report.complete);
    qv_test_says(f->report.text.data, "NOT AS EXPECTED: 4 recordings of 4 speakers, the corpus has 535 of 10");
    qv_test_says(f->report.text.data, "anger 1 of 127");
    const qv_item *a = &f->m->items[0], *fear = &f->m->items[2], *sad = &f->m->items[3];
    assert_string_equal(a->emotion, "happiness");
    assert_string_equal(a->speaker, "03");
    assert_string_equal(a->gender, "male");
    assert_string_equal(a->name, "03a01Fa.wav");
    assert_string_equal(fear->emotion, "fear");
    assert_string_equal(fear->gender, "female");
    assert_string_equal(sad->name, "deep/16a07Ta.aiff");
    assert_int_equal(f->m->n_extra, 2);
    assert_string_equal(f->m->extra[0], "sentence");
    assert_string_equal(sad->extra[0], "a07");
    assert_string_equal(sad->extra[1], "a");
}

static void names_not_understood(void **state)
{
    fixture *f = *state;
    put(f, "03a01Fa.wav", NULL);
    put(f, "04a01Fa.wav", NULL); /* no such speaker */
    put(f, "03a01Xa.wav", NULL); /* no such emotion */
    put(f,
        "a\xFF"
        "b.wav",
        NULL);
    assert_int_equal(scan(f, "emodb", (qv_corpus_options){0}), QV_ERR_DATA);
    assert_null(f->m);
    qv_test_says(qv_ctx_message(f->ctx), "3 names in ");
    qv_test_says(f->report.text.data, "not understood: 3 names\n  03a01Xa.wav\n  04a01Fa.wav\n");
    qv_assert_ok(f->ctx, scan(f, "emodb", (qv_corpus_options){.lenient = true}));
    assert_int_equal(f->m->n, 1);
    assert_int_equal(f->report.n_unknown, 3);
    assert_int_equal(scan_dir(f, "emodb", "/no/such/folder", (qv_corpus_options){0}), QV_ERR_USAGE);
    assert_int_equal(scan(f, "emodb", (qv_corpus_options){.pattern = "x"}), QV_ERR_USAGE);
    assert_int_equal(scan(f, "pattern", (qv_corpus_options){0}), QV_ERR_USAGE);
}

static void ravdess_takes_speech_only(void **state)
{
    fixture *f = *state;
    put(f, "Actor_01/03-01-05-02-01-02-01.wav", NULL);
    put(f, "Actor_24/03-01-08-01-01-01-24.flac", NULL);
    put(f, "Actor_01/03-02-05-02-01-02-01.wav", NULL);
    put(f, "Actor_01/01-01-05-02-01-02-01.wav", NULL);
    qv_assert_ok(f->ctx, scan(f, "ravdess", (qv_corpus_options){0}));
    assert_int_equal(f->m->n, 2);
    assert_int_equal(f->report.other_part, 2);
    assert_string_equal(f->m->items[0].emotion, "anger");
    assert_string_equal(f->m->items[0].gender, "male");
    assert_string_equal(f->m->items[1].gender, "female");
    assert_string_equal(f->m->items[1].emotion, "surprise");
    assert_int_equal(f->m->n_extra, 3); /* intensity, repetition, statement: what is constant is no column */
}

static void folders_and_speakers(void **state)
{
    fixture *f = *state;
    put(f, "joy/anna/1.wav", NULL);
    put(f, "joy/bert/1.ogg", NULL);
    put(f, "anger/anna/2.wav", NULL);
    qv_assert_ok(f->ctx, scan(f, "folders", (qv_corpus_options){0}));
    assert_int_equal(f->m->n, 3);
    assert_int_equal(f->m->n_speakers, 2);
    assert_string_equal(f->m->items[0].emotion, "anger");
    put(f, "stray.wav", NULL);
    assert_int_equal(scan(f, "folders", (qv_corpus_options){0}), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "such as stray.wav");
}

static void folders_without_speakers(void **state)
{
    fixture *f = *state;
    put(f, "joy/1.wav", NULL);
    put(f, "anger/2.wav", NULL);
    qv_assert_ok(f->ctx, scan(f, "folders", (qv_corpus_options){0}));
    assert_string_equal(f->m->speakers[0], "?");
    qv_test_says(f->report.text.data, "nothing tells the speakers");
}

/* Some stores leave links to what was not fetched. */
static void links_that_lead_nowhere_are_named(void **state)
{
    fixture *f = *state;
    char *link, *text;
    put(f, "joy/anna/1.wav", NULL);
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &link, f->dir, "joy/anna/2.wav"));
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &text, f->dir, "joy/readme.txt"));
    assert_int_equal(symlink("nothing", text), 0); /* of no concern */
    qv_assert_ok(f->ctx, scan(f, "folders", (qv_corpus_options){0}));
    assert_int_equal(symlink("nothing", link), 0);
    assert_int_equal(scan(f, "folders", (qv_corpus_options){0}), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "joy/anna/2.wav (a link that leads nowhere)");
    qv_assert_ok(f->ctx, scan(f, "folders", (qv_corpus_options){.lenient = true}));
    assert_int_equal(f->m->n, 1);
    free(link), free(text);
}

static void own_patterns(void **state)
{
    fixture *f = *state;
    put(f, "x/anna_W_1.wav", NULL);
    put(f, "x/bert_T_2.wav", NULL);
    put(f, "y/anna_W_3.wav", NULL);
    qv_corpus_options o = {.pattern = "^(?<speaker>[a-z]+)_(?<emotion>[A-Z])_(?<take>\\d)",
                           .labels = "W=anger,T=sadness"};
    qv_assert_ok(f->ctx, scan(f, "pattern", o));
    assert_int_equal(f->m->n, 3);
    assert_string_equal(f->m->classes[1], "sadness");
    assert_string_equal(f->m->items[2].extra[0], "3");
    o.pattern = "^(?<session>[a-z])/(?<speaker>[a-z]+)_(?<emotion>[A-Z])";
    qv_assert_ok(f->ctx, scan(f, "pattern", o));
    assert_string_equal(f->m->items[2].session, "y");
    o.labels = "W,S";
    assert_int_equal(scan(f, "pattern", o), QV_ERR_USAGE);
    o.pattern = "^(?<speaker>[a-z]+)_";
    assert_int_equal(scan(f, "pattern", o), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(f->ctx), "(?<emotion>...)");
    o.pattern = "(?<emotion>.)(?<start>.)";
    assert_int_equal(scan(f, "pattern", o), QV_ERR_USAGE);
    o.pattern = "(?<emotion>";
    assert_int_equal(scan(f, "pattern", o), QV_ERR_USAGE);
    const qv_recipe *r;
    assert_int_equal(qv_recipe_find(f->ctx, &r, "emodv"), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(f->ctx), "did you mean 'emodb'");
}

static void too_many_emotions_are_refused(void **state)
{
    fixture *f = *state;
    for (int i = 0; i <= QV_MOST_CLASSES; i++) {
        char name[32];
        snprintf(name, sizeof name, "anna_%04d.wav", i);
        put(f, name, NULL);
    }
    qv_corpus_options o = {.pattern = "^(?<speaker>[a-z]+)_(?<emotion>\\d+)"};
    assert_int_equal(scan(f, "pattern", o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx),
                 "1001 different emotions, at most 1000 are taken; among them '0000', '0500' and "
                 "'1000': if these are none, look at the group emotion of --pattern");
    o.labels = "0000,0001";
    qv_assert_ok(f->ctx, scan(f, "pattern", o));
    assert_int_equal(f->m->n, 2);
}

/* Points may separate what a name says; what follows the last one is the ending. */
static void names_end_with_their_last_point(void **state)
{
    static const char other[] = "warning: 1 recordings have name, speaker and emotion of another, such as x/a.ang.1.";
    fixture *f = *state;
    qv_corpus_options o = {.pattern = "^(?<speaker>[a-z])\\.(?<emotion>[a-z]+)\\."};
    put(f, "x/a.ang.0.wav", NULL);
    put(f, "x/a.ang.1.wav", NULL);
    qv_assert_ok(f->ctx, scan(f, "pattern", o));
    assert_null(strstr(f->report.text.data, "of another"));
    put(f, "x/a.ang.1.flac", NULL);
    qv_assert_ok(f->ctx, scan(f, "pattern", o));
    qv_test_says(f->report.text.data, other);
}

static void same_content_is_found(void **state)
{
    fixture *f = *state;
    put(f, "joy/a/1.wav", "one");
    put(f, "joy/a/2.wav", "two");
    put(f, "joy/b/3.wav", "one");
    put(f, "rage/a/4.wav", "one");
    put(f, "rage/b/5.wav", "three");
    put(f, "rage/b/6.wav", "");
    put(f, "rage/b/7.wav", "");
    put(f, "rage/b/8.wav", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    qv_assert_ok(f->ctx, scan(f, "folders", (qv_corpus_options){0}));
    assert_int_equal(f->m->n, 8);
    assert_int_equal(f->report.duplicates, 2);
    qv_test_says(f->report.text.data, "same content: joy/a/1.wav = joy/b/3.wav (but not of the same speaker)");
    qv_test_says(f->report.text.data, "same content: joy/a/1.wav = rage/a/4.wav (but not of the same emotion)");
    qv_test_says(f->report.text.data, "2 files are empty");
    qv_test_says(f->report.text.data, "1 files are Git LFS pointers");
    qv_assert_ok(f->ctx, scan(f, "folders", (qv_corpus_options){.unique = true}));
    assert_int_equal(f->m->n, 6);
    assert_string_equal(f->m->items[0].name, "joy/a/1.wav");
    assert_string_equal(f->m->items[2].name, "rage/b/5.wav");
}

static void every_allocation_may_fail(void **state)
{
    fixture *f = *state;
    put(f, "joy/a/1.wav", "one");
    put(f, "rage/b/2.wav", "one");
    put(f, "stray.wav", NULL);
    qv_corpus_options o = {.lenient = true, .unique = true, .labels = "joy,rage=joy"};
    qv_status s = QV_ERR_MEMORY;
    size_t nth = 1;
    for (; s == QV_ERR_MEMORY && nth < 1000; nth++) {
        const qv_recipe *recipe;
        qv_assert_ok(f->ctx, qv_recipe_find(f->ctx, &recipe, "folders"));
        qv_manifest_free(f->m);
        qv_corpus_report_free(&f->report);
        qv_ctx_fail_alloc(f->ctx, nth);
        s = qv_corpus_scan(f->ctx, &f->m, &f->report, recipe, f->dir, &o);
    }
    qv_ctx_fail_alloc(f->ctx, 0);
    assert_true(s == QV_ERR_USAGE); /* `unique` left nothing of rage */
    assert_true(nth > 20);
}

static void real_emodb(void **state)
{
    fixture *f = *state;
    const char *dir = qv_test_corpus("emodb");
    if (!dir) skip();
    qv_assert_ok(f->ctx, scan_dir(f, "emodb", dir, (qv_corpus_options){0}));
    assert_true(f->m->n == 339 || f->m->n == 535);
    assert_true(f->report.complete);
    assert_int_equal(f->m->n_speakers, 10);
    qv_assert_ok(f->ctx, scan_dir(f, "emodb", dir, (qv_corpus_options){.labels = "anger,happiness,neutral,sadness"}));
    assert_int_equal(f->m->n, 339);
    qv_folds *folds;
    qv_fold_options o = {.val_speakers = 2};
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, f->m, QV_SOURCE_DIR "/data/folds/emodb.txt", &o));
    assert_int_equal(folds->n, 5);
    size_t tested = 0;
    for (size_t k = 0; k < folds->n; k++) tested += folds->folds[k].items[QV_PART_TEST];
    assert_int_equal(tested, 339);
    qv_folds_free(folds);
}

static void real_ravdess(void **state)
{
    fixture *f = *state;
    const char *dir = qv_test_corpus("ravdess");
    if (!dir) skip();
    qv_assert_ok(f->ctx, scan_dir(f, "ravdess", dir, (qv_corpus_options){0}));
    assert_int_equal(f->m->n, 1440);
    assert_true(f->report.complete);
    assert_int_equal(f->report.duplicates, 1);
    qv_test_says(f->report.text.data, "03-01-03-01-02-01-07");
    qv_test_says(f->report.text.data, "03-01-03-01-02-02-07");
    qv_folds *folds;
    qv_fold_options o = {0};
    qv_assert_ok(f->ctx, qv_folds_make(f->ctx, &folds, f->m, QV_SOURCE_DIR "/data/folds/ravdess.txt", &o));
    assert_int_equal(folds->n, 6);
    for (size_t k = 0; k < 6; k++) assert_int_equal(folds->folds[k].items[QV_PART_TEST], 240);
    qv_folds_free(folds);
}

/* Exit code of `quaver corpus WORDS`, output and messages in files of the fixture's folder. */
static int run_command(const fixture *f, const char *words)
{
    char line[4096];
    snprintf(line, sizeof line, "cd '%s' && '%s/quaver' corpus %s > out 2> err", f->dir, QV_BINARY_DIR, words);
    int rc = system(line);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static void assert_file_says(fixture *f, const char *name, const char *want)
{
    qv_test_file_says(f->ctx, f->dir, name, want);
}

static void the_command(void **state)
{
    fixture *f = *state;
    if (access(QV_BINARY_DIR "/quaver", X_OK) != 0) {
        fprintf(stderr, "SKIPPED: no program at %s/quaver\n", QV_BINARY_DIR);
        skip();
    }
    put(f, "c/joy/anna/1.wav", NULL);
    put(f, "c/rage/anna/1.wav", NULL);
    assert_int_equal(run_command(f, "folders c"), 0);
    assert_file_says(f, "out", "file,speaker,emotion\n/");
    assert_file_says(f, "err", "2 recordings in c");
    assert_int_equal(run_command(f, "folders c --labels=rage -o m.csv"), 0);
    assert_file_says(f, "m.csv", "file,speaker,emotion\nc/rage/anna/1.wav,anna,rage\n");
    assert_int_equal(run_command(f, "folders c -n -o none.csv"), 0);
    assert_int_equal(run_command(f, "folders c -o no/such/folder/m.csv"), 1);
    assert_int_equal(run_command(f, "synth s --speakers 2 --sentences 1"), 0);
    assert_file_says(f, "s/manifest.csv", "\nwav/s02_sadness_01.wav,s02,sadness,male,synth,1\n");
    assert_int_equal(run_command(f, "synth s"), 2);
    assert_int_equal(run_command(f, "list"), 0);
    assert_file_says(f, "out", "ravdess");
    assert_int_equal(run_command(f, "--help"), 0);
    assert_file_says(f, "out", "quaver corpus emodb wav --out emodb.csv");
    static const char *const wrong[] = {"",
                                        "folders",
                                        "fodlers c",
                                        "folders c d",
                                        "folders c --lable x",
                                        "folders c --out",
                                        "synth t --speakers 1",
                                        "synth t --seed -1",
                                        "synth t --labels joy",
                                        "folders c --seed 3",
                                        "folders none",
                                        "pattern c -p '('"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (run_command(f, wrong[i]) != 2) fail_msg("quaver corpus %s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(patterns_tell_where_they_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(patterns_find_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_patterns_end, setup, teardown),
        cmocka_unit_test(maps),
        cmocka_unit_test_setup_teardown(emodb_names, setup, teardown),
        cmocka_unit_test_setup_teardown(names_not_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(ravdess_takes_speech_only, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_and_speakers, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_without_speakers, setup, teardown),
        cmocka_unit_test_setup_teardown(links_that_lead_nowhere_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(own_patterns, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_emotions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_end_with_their_last_point, setup, teardown),
        cmocka_unit_test_setup_teardown(same_content_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(real_emodb, setup, teardown),
        cmocka_unit_test_setup_teardown(real_ravdess, setup, teardown),
        cmocka_unit_test_setup_teardown(the_command, setup, teardown),
    };
    return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
