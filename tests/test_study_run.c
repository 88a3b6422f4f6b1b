/* Running a study: records depend on nothing but their seeds; shards, seeds that come later, recordings that cannot be
 * read, trainings that fail, other processes in the same folder. */
#include <glob.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/toy_study.h"

static void records_do_not_depend_on_threads_or_shards(void **state)
{
    qv_toy_study *x = *state;
    char one[300], two[300], three[300];
    x->o.threads = 1;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "one", ""));
    uint64_t digest = qv_toy_study_digest(x, "one", 24);
    x->o.threads = 3;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "three", ""));
    assert_true(qv_toy_study_digest(x, "three", 24) == digest);
    x->o.threads = 2;
    x->o.shards = 3;
    for (int i = 1; i <= 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "shard%d", i);
        x->o.shard = i;
        qv_assert_ok(x->ctx, qv_toy_study_run(x, name, ""));
        qv_toy_study_digest(x, name, 8);
    }
    snprintf(one, sizeof one, "%s/shard1", x->dir);
    snprintf(two, sizeof two, "%s/shard2", x->dir);
    snprintf(three, sizeof three, "%s/shard3", x->dir);
    const char *shards[] = {one, two, three};
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, qv_toy_study_folder(x, "merged"), shards, 3, NULL, NULL));
    assert_true(qv_toy_study_digest(x, "merged", 24) == digest);
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, qv_toy_study_folder(x, "merged"), shards, 1, NULL,
                                        NULL)); /* again: nothing new */
    char *a = qv_toy_study_file(x, "one", "report.csv"), *b = qv_toy_study_file(x, "merged", "report.csv");
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* Cards are dealt one by one: no shard has more runs of a cell than another. */
static void shards_are_equal(void **state)
{
    qv_toy_study *x = *state;
    x->o.shards = 4;
    for (int i = 1; i <= 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "hand%d", i);
        x->o.shard = i;
        qv_assert_ok(x->ctx, qv_toy_study_run(x, name, ""));
        qv_findings f;
        qv_toy_study_findings(x, &f, name);
        for (size_t k = 0; k < f.study->n_cells; k++) assert_int_equal(qv_result_cell(&f.results, 0, k)->runs, 1);
        qv_findings_free(&f);
    }
}

/* A folder of another study among those to be joined leaves nothing half done. */
static void a_merge_looks_before_it_writes(void **state)
{
    qv_toy_study *x = *state;
    char one[300], two[300], more[300];
    x->o.shards = 12;
    x->o.shard = 1;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "part", ""));
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "foreign", "[settings]\nnet.blocks = 2\n"));
    x->o.seeds = 3;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "more", ""));
    snprintf(one, sizeof one, "%s/part", x->dir);
    snprintf(two, sizeof two, "%s/foreign", x->dir);
    snprintf(more, sizeof more, "%s/more", x->dir);
    assert_int_equal(
        qv_study_merge(x->ctx, qv_toy_study_folder(x, "joined"), (const char *[]){one, two}, 2, NULL, NULL),
        QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "was begun with another study");
    assert_false(qv_path_exists(qv_toy_study_folder(x, "joined")));
    char *answer = NULL; /* what was there counts as a part, with its seeds */
    qv_assert_ok(x->ctx, qv_study_merge(x->ctx, more, (const char *[]){one}, 1, NULL, &answer));
    qv_test_says(answer, "Interim: 3 of 36 runs are in");
    free(answer);
}

static void more_seeds_go_on(void **state)
{
    qv_toy_study *x = *state;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "more", ""));
    char *before = qv_toy_study_file(x, "more", "records/made/preact_even/fold-1.seed-2.jsonl");
    x->o.seeds = 3;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "more", ""));
    qv_toy_study_digest(x, "more", 36);
    x->o.seeds = 0; /* nobody asks: those that are there */
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "more", ""));
    qv_toy_study_digest(x, "more", 36);
    x->o.seeds = 2;
    assert_int_equal(qv_toy_study_run(x, "more", ""), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(x->ctx), "has 3 already, and what is taken away after looking is chosen");
    char *after = qv_toy_study_file(x, "more", "records/made/preact_even/fold-1.seed-2.jsonl");
    assert_string_equal(before, after); /* also its clock: it was not trained again */
    free(before);
    free(after);
}

/* Nor does a damaged plan, or none, take any away: the records say how many there are. */
static void seeds_are_not_forgotten(void **state)
{
    qv_toy_study *x = *state;
    x->o.seeds = 3;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "forgotten", ""));
    qv_toy_study_write(x, "forgotten", "records/made/copy-of-2026.jsonl", ""); /* of no seed */
    char *plan = qv_toy_study_file(x, "forgotten", "plan.json"), *path = qv_toy_study_path(x, "forgotten", "plan.json");
    for (int gone = 0; gone < 2; gone++) {
        if (gone)
            assert_int_equal(remove(path), 0);
        else
            qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, plan, strlen(plan) / 2));
        x->o.seeds = 2;
        assert_int_equal(qv_toy_study_run(x, "forgotten", ""), QV_ERR_USAGE);
        qv_test_says(qv_ctx_message(x->ctx), "has 3 already, and what is taken away after looking is chosen");
        x->o.seeds = 0;
        qv_assert_ok(x->ctx, qv_toy_study_run(x, "forgotten", ""));
        qv_toy_study_digest(x, "forgotten", 36);
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
    qv_toy_study *x = *state;
    x->o.shards = 12;
    x->o.shard = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        x->o.seeds = cases[i].asked;
        x->o.command = cases[i].command;
        qv_assert_ok(x->ctx, qv_toy_study_run(x, "command", ""));
        char *plan = qv_toy_study_file(x, "command", "plan.json");
        qv_test_says(plan, cases[i].kept);
        free(plan);
    }
}

/* What a process that is killed between writing and renaming leaves is removed when the run is done again. */
static void leftovers_are_removed(void **state)
{
    qv_toy_study *x = *state;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "left", ""));
    char *path = qv_toy_study_path(x, "left", "records/made/preact_even/fold-1.seed-1.jsonl"),
         *left = qv_toy_study_path(x, "left", "records/made/preact_even/fold-1.seed-1.jsonl.tmp-7");
    assert_int_equal(rename(path, left), 0);
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "left", ""));
    assert_true(qv_path_exists(path) && !qv_path_exists(left));
    free(path);
    free(left);
}

/* Folds that cannot be are the study file's fault, which is named. */
static void impossible_folds_are_named(void **state)
{
    qv_toy_study *x = *state;
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", "[corpus made]\nembedded = 2 1\nfolds = 9\n"));
    x->o.out = qv_toy_study_folder(x, "folds");
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "study.ini:1: corpus made: 9 folds cannot be made of 2 speakers");
    qv_study_free(s);
}

/* Makes wavs of the embedded corpus unreadable, as many as the pattern finds. */
static void spoil(qv_toy_study *x, const char *pattern)
{
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) qv_assert_ok(x->ctx, qv_write_file(x->ctx, found.gl_pathv[i], "x", 1));
    globfree(&found);
}

/* Trainings with a recording and without it do not compare: the folder stays as it was, for the files that it had. */
static void other_unread_recordings_are_refused(void **state)
{
    qv_toy_study *x = *state;
    char pattern[400], *wav;
    size_t size;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "unread", ""));
    const uint64_t digest = qv_toy_study_digest(x, "unread", 24);
    snprintf(pattern, sizeof pattern, "%s/corpus-made/wav/s03_anger_*.wav", qv_toy_study_folder(x, "unread"));
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, found.gl_pathv[0], 1 << 24, &wav, &size));
    spoil(x, found.gl_pathv[0]);
    assert_int_equal(qv_toy_study_run(x, "unread", ""), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "corpus made: 0 of its recordings could not be read for ");
    qv_test_says(qv_ctx_message(x->ctx), "1 for this command");
    assert_true(qv_toy_study_digest(x, "unread", 24) == digest);
    wav[size - 1] ^= 1; /* another sound in a file of the same name and length */
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, found.gl_pathv[0], wav, size));
    assert_int_equal(qv_toy_study_run(x, "unread", ""), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "corpus made: the files of its recordings have the hash ");
    assert_true(qv_toy_study_digest(x, "unread", 24) == digest);
    wav[size - 1] ^= 1;
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, found.gl_pathv[0], wav, size));
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "unread", ""));
    globfree(&found);
    free(wav);
}

/* Figures and tests are over the others, and so is what is said of them. */
static void unread_speakers_are_not_counted(void **state)
{
    qv_toy_study *x = *state;
    char pattern[400], manifest[400];
    const char *const given[] = {manifest};
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "eight", ""));
    snprintf(manifest, sizeof manifest, "%s/corpus-made/manifest.csv", qv_toy_study_folder(x, "eight"));
    snprintf(pattern, sizeof pattern, "%s/corpus-made/wav/s02_*.wav", qv_toy_study_folder(x, "eight"));
    spoil(x, pattern);
    x->o.manifests = given, x->o.n_manifests = 1;
    x->o.shard = 2, x->o.shards = 2; /* with the fold of s02 */
    for (int whole = 0; whole < 2; whole++) {
        qv_assert_ok(x->ctx, qv_toy_study_run(x, "seven", ""));
        qv_findings f;
        qv_toy_study_findings(x, &f, "seven");
        assert_int_equal(qv_results_heard(&f.results, 0), 7);
        for (size_t k = 0; k < f.study->n_cells && whole; k++)
            assert_true(qv_result_cell(&f.results, 0, k)->seed_sd > 0);
        qv_findings_free(&f);
        char *page = qv_toy_study_file(x, "seven", "report.html"), *tex = qv_toy_study_file(x, "seven", "report.tex");
        qv_test_says(page, " 8 speakers (7 with figures), 4 classes, 2 folds.");
        qv_test_says(page, "Corpus made has 7 test speakers; it takes 8.");
        qv_test_says(page, "1 of the 8 test speakers of corpus made: no recording could be read");
        assert_int_equal(strstr(page, "It cannot be said: with 7 speakers of made, 2 seeds in 2 folds") != NULL, whole);
        qv_test_says(tex, "\n% made: 7 speakers, 2 folds, seeds: 2\n");
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
    qv_toy_study *x = *state;
    char pattern[400];
    qv_toy_study_run_text(x, "mute", text);
    snprintf(pattern, sizeof pattern, "%s/corpus-made/wav/s02_*.wav", qv_toy_study_folder(x, "mute"));
    spoil(x, pattern);
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text));
    assert_int_equal(qv_study_run(x->ctx, s, &x->o, NULL), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "corpus made: fold s02: none of the recordings that it tests could be read");
    qv_study_free(s);
}

/* Of four seeds and folds a cell, all of `even` fail. */
static const char failing[] = "[compare other]\ndifference = preact shaken - preact-bn shaken gamma0=1\n"
                              "[study]\nclaim = own\n"
                              "[cells even]\ntrain.lr = 100\ntrain.weight_decay = 10\n";

/* The comparison with what cannot be trained has no p, and the others have theirs, of a family no smaller for it. */
static void runs_that_fail_are_counted(void **state)
{
    qv_toy_study *x = *state;
    qv_findings f;
    qv_buf answer = {0};
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "broken", failing));
    qv_toy_study_findings(x, &f, "broken");
    const qv_results *r = &f.results;
    assert_true(r->runs == 24 && r->failed == 12 && r->verdict == QV_UNTRAINED);
    assert_true(qv_result_cell(r, 0, 0)->runs == 0 && qv_result_cell(r, 0, 0)->failed == 4);
    assert_true(qv_result_cell(r, 0, 1)->runs == 4 && qv_result_cell(r, 0, 1)->failed == 0);
    const qv_comparison_result *own = &r->comparisons[0], *other = &r->comparisons[1];
    assert_true(own->failed == 4 && isnan(own->p) && isnan(own->adjusted) && !own->significant);
    assert_string_equal(qv_comparison_verdict(r, own), "runs failed");
    assert_true(other->failed == 0 && other->p > 0 && other->adjusted == fmin(1, 2 * other->p));
    qv_buf plan = {0};
    x->o.out = qv_toy_study_folder(x, "planned");
    qv_assert_ok(x->ctx, qv_study_predict(x->ctx, f.study, &x->o, &plan)); /* what can be run can be foreseen */
    qv_buf_free(&plan);
    char *csv = qv_toy_study_file(x, "broken", "report.csv"), *page = qv_toy_study_file(x, "broken", "report.html");
    assert_null(strstr(csv, "nan"));
    qv_test_says(page, "<td>0<span class=\"sub\">4 failed</span></td>");
    free(csv), free(page);
    qv_study_answer(r, &answer);
    qv_test_says(answer.data, "It cannot be said: 12 of 24 runs failed, 4 of preact even, 4 of preact-bn even "
                              "gamma0=0.1 and 4 of preact-bn even gamma0=1, and a setting");
    qv_buf_free(&answer);
    qv_findings_free(&f);
}

/* A failure is kept as any other result is: the same command does not try it again, unless its record is removed. */
static void a_failure_is_a_record(void **state)
{
    qv_toy_study *x = *state;
    qv_study_record record = {0};
    struct stat before, after;
    char *path;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "failed", failing));
    path = qv_toy_study_path(x, "failed", "records/made/preact_even/fold-2.seed-1.jsonl");
    qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &record, path));
    assert_non_null(strstr(record.failed, "try a lower train.lr"));
    assert_null(strstr(record.failed, "checkpoint"));
    qv_study_record_free(&record);
    const uint64_t digest = qv_toy_study_digest(x, "failed", 24);
    assert_int_equal(stat(path, &before), 0);
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "failed", failing));
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino && qv_toy_study_digest(x, "failed", 24) == digest);
    assert_int_equal(remove(path), 0);
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "failed", failing));
    assert_true(qv_path_exists(path) && qv_toy_study_digest(x, "failed", 24) == digest);
    free(path);
}

/* Another process, which does fn and says whether all of it went well. */
static pid_t other_process(qv_toy_study *x, bool (*fn)(qv_toy_study *x, int ready), int *ready)
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

static size_t count_records(const qv_toy_study *x, const char *out)
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
static bool hold_a_run(qv_toy_study *x, int ready)
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
    qv_toy_study *x = *state;
    char out[300];
    int ready;
    qv_assert_ok(x->ctx, qv_make_dirs(x->ctx, qv_toy_study_folder(x, "shared")));
    pid_t child = other_process(x, hold_a_run, &ready);
    snprintf(out, sizeof out, "%s/./shared//", x->dir);
    qv_study *s = qv_toy_study_parse(x->ctx, qv_toy_study_head, qv_toy_study_axes, qv_toy_study_compare);
    x->o.out = out;
    qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
    qv_study_free(s);
    assert_went_well(child, ready);
    assert_int_equal(count_records(x, "shared"), 24);
}

/* Works by the plan of a folder until it is ended. */
static bool work_by_the_plan(qv_toy_study *x, int ready)
{
    qv_run_lock lock;
    char out[300];
    snprintf(out, sizeof out, "%s/busy", x->dir);
    if (qv_run_lock_open(x->ctx, &lock, out) != QV_OK) return false;
    if (qv_run_lock_share(x->ctx, &lock, "running") != QV_OK || write(ready, "", 1) != 1) return false;
    for (;;) pause();
}

/* With other folds, which are of the same study file where they stand in a file of their own. */
static qv_status run_other_folds(qv_toy_study *x, const char *folds, const char *text)
{
    char more[400];
    qv_study *s;
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, folds, text, strlen(text)));
    snprintf(more, sizeof more,
             "[corpus made]\nembedded = 4 1\nfolds = %s\n[settings]\nnet.width = 2\ntrain.batch = 4\n"
             "train.epochs = 2\nfeatures.mels = 8\npatch.seconds = 0.16\n",
             folds);
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", more));
    x->o.out = qv_toy_study_folder(x, "busy");
    qv_status status = qv_study_run(x->ctx, s, &x->o, NULL);
    qv_study_free(s);
    return status;
}

/* Their folders stay, as after a process that was killed in its first training. */
static void remove_records(const qv_toy_study *x, const char *out)
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
    qv_toy_study *x = *state;
    char folds[300];
    int ready;
    snprintf(folds, sizeof folds, "%s/folds.txt", x->dir);
    qv_assert_ok(x->ctx, run_other_folds(x, folds, first));
    remove_records(x, "busy");
    pid_t child = other_process(x, work_by_the_plan, &ready);
    char *before = qv_toy_study_file(x, "busy", "plan.json");
    assert_int_equal(run_other_folds(x, folds, second), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "have other folds");
    char *after = qv_toy_study_file(x, "busy", "plan.json");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_do_not_depend_on_threads_or_shards, qv_toy_study_setup,
                                        qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(shards_are_equal, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_merge_looks_before_it_writes, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(more_seeds_go_on, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(seeds_are_not_forgotten, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(the_command_repeats_the_study, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(leftovers_are_removed, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(impossible_folds_are_named, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(other_unread_recordings_are_refused, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(unread_speakers_are_not_counted, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_fold_without_a_readable_test_is_named, qv_toy_study_setup,
                                        qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(runs_that_fail_are_counted, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_failure_is_a_record, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_run_is_guarded_however_its_folder_is_spelled, qv_toy_study_setup,
                                        qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_plan_at_work_is_not_replaced, qv_toy_study_setup, qv_toy_study_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
