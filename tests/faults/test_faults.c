/* Every error path: the nth allocation, or the nth call that reads or writes, of a whole command fails. Each command
 * runs in a child with the program's own main; it must end with exit code 1 and a message, or as if nothing had
 * happened, and after a training that failed --resume ends with the bits of one that never did.
 *
 * usage: test_faults [EVERY [FIRST]]: tries n = FIRST, FIRST + EVERY, ...; 1 tries each. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "faults.h"
#include "support/support.h"

int quaver_main(int argc, char **argv);

enum { MAX_ARGS = 40 };

typedef struct fixture {
    qv_ctx *ctx;
    char *dir;
    size_t every, first;
    size_t tried, failed, tolerated, broken; /* injections; commands that ended in an error, or all the same; bugs */
} fixture;

/* A command line, cut at its blanks; "@" at the start of a word is the private folder. */
typedef struct command {
    char text[4096];
    char *argv[MAX_ARGS + 1];
    int argc;
} command;

static void cut(const fixture *x, const char *line, command *c)
{
    size_t n = 0;
    for (; *line && n < sizeof c->text - 512; line++) {
        if (*line == '@')
            n += (size_t)snprintf(c->text + n, sizeof c->text - n, "%s", x->dir);
        else
            c->text[n++] = *line;
    }
    c->text[n] = '\0';
    c->argc = 0;
    for (char *word = strtok(c->text, " "); word && c->argc < MAX_ARGS; word = strtok(NULL, " ")) c->argv[c->argc++] = word;
    c->argv[c->argc] = NULL;
}

typedef struct outcome {
    int code; /* exit code, or -signal */
    size_t seen[QV_FAULT_KINDS];
    char said[2048];
} outcome;

typedef struct fault {
    qv_fault_kind kind;
    size_t nth;
    bool stay;
    rlim_t handles; /* file handles below this number alone; 0: as ever */
} fault;

static void lower_handles(rlim_t handles)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0 || setrlimit(RLIMIT_NOFILE, &(struct rlimit){handles, now.rlim_max}) != 0)
        exit(98);
}

static _Noreturn void child(const fixture *x, const char *line, const fault *f, int report, int err)
{
    command c;
    cut(x, line, &c);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (int k = 0; k < QV_FAULT_KINDS; k++)
        qv_faults_set((qv_fault_kind)k, f && (int)f->kind == k ? f->nth : 0, f && f->stay);
    if (f && f->handles) lower_handles(f->handles);
    int code = quaver_main(c.argc, c.argv);
    size_t seen[QV_FAULT_KINDS] = {qv_faults_seen(QV_FAULT_MEMORY), qv_faults_seen(QV_FAULT_IO)};
    for (int k = 0; k < QV_FAULT_KINDS; k++) qv_faults_set((qv_fault_kind)k, 0, false);
    if (write(report, seen, sizeof seen) != (ssize_t)sizeof seen) code = 99;
    exit(code);
}

/* Runs the command in a child. */
static outcome run(const fixture *x, const char *line, const fault *f)
{
    outcome o = {0};
    char path[4096];
    int ends[2], status;
    snprintf(path, sizeof path, "%s/said", x->dir);
    int err = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(err >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) child(x, line, f, ends[1], err);
    close(ends[1]);
    if (read(ends[0], o.seen, sizeof o.seen) != (ssize_t)sizeof o.seen) memset(o.seen, 0, sizeof o.seen);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    ssize_t n = pread(err, o.said, sizeof o.said - 1, 0);
    o.said[n > 0 ? n : 0] = '\0';
    close(err);
    return o;
}

static void shell(const fixture *x, const char *format)
{
    char line[4096];
    snprintf(line, sizeof line, format, x->dir);
    if (system(line) != 0) fail_msg("%s", line);
}

/* A file of the private folder; NULL where there is none. */
static char *content(const fixture *x, const char *name, size_t *size)
{
    char path[4096], *text;
    snprintf(path, sizeof path, "%s/%s", x->dir, name);
    qv_ctx *ctx = qv_ctx_new();
    qv_status status = qv_read_file(ctx, path, (size_t)1 << 26, &text, size);
    qv_ctx_free(ctx);
    return status == QV_OK ? text : NULL;
}

static bool same(const fixture *x, const char *a, const char *b)
{
    size_t n = 0, m = 0;
    char *p = content(x, a, &n), *q = content(x, b, &m);
    bool equal = p && q && n == m && memcmp(p, q, n) == 0;
    free(p);
    free(q);
    return equal;
}

static void broke(fixture *x, const char *line, const fault *f, const outcome *o, const char *why)
{
    x->broken++;
    print_error("%s: %s %zu%s of `quaver %s`: %s (code %d): %s\n", why, f->kind == QV_FAULT_MEMORY ? "allocation" : "call",
                f->nth, f->stay ? " and all later ones" : "", strchr(line, ' ') + 1, "", o->code, o->said);
}

/* One command under test: what stands before it, what it writes, what repairs it. */
typedef struct subject {
    const char *before;      /* shell, with %s for the folder; NULL: nothing */
    const char *line;        /* "quaver train ..." */
    const char *repair;      /* run after a failure; NULL: nothing */
    const char *out[4];      /* files that must be those of ... */
    const char *expected[4]; /* ... the run without a fault, in the end */
} subject;

static void try_one(fixture *x, const subject *s, const fault *f)
{
    if (s->before) shell(x, s->before);
    outcome o = run(x, s->line, f);
    x->tried++;
    if (o.code != 0 && o.code != 1) {
        broke(x, s->line, f, &o, "neither done nor failed");
        return;
    }
    *(o.code ? &x->failed : &x->tolerated) += 1;
    if (o.code == 1 && !strstr(o.said, "quaver")) broke(x, s->line, f, &o, "no message");
    if (o.code == 1 && !s->repair) return;
    if (o.code == 1) {
        outcome again = run(x, s->repair, NULL);
        if (again.code == 2) again = run(x, s->line, NULL); /* it failed before there was anything to go on with */
        if (again.code != 0) {
            broke(x, s->line, f, &again, "cannot be gone on with");
            return;
        }
    }
    for (int i = 0; i < 4 && s->out[i]; i++)
        if (!same(x, s->out[i], s->expected[i])) broke(x, s->line, f, &o, s->out[i]);
}

static void try_all(fixture *x, const subject *s)
{
    if (s->before) shell(x, s->before);
    outcome whole = run(x, s->line, NULL);
    if (whole.code != 0) fail_msg("%s: %s", s->line, whole.said);
    for (int k = 0; k < QV_FAULT_KINDS; k++) assert_true(whole.seen[k] > 0); /* else nothing would be made to fail */
    size_t before = x->broken;
    for (int k = 0; k < QV_FAULT_KINDS; k++) /* calls are fewer than allocations, and of more kinds */
        for (int stay = 0; stay < 2; stay++)
            for (size_t n = x->first; n <= whole.seen[k]; n += k == QV_FAULT_IO ? (x->every + 7) / 8 : x->every)
                try_one(x, s, &(fault){.kind = (qv_fault_kind)k, .nth = n, .stay = stay});
    printf("%-40.40s %zu allocations, %zu calls; %zu tried so far, %zu failed, %zu tolerated\n", s->line,
           whole.seen[QV_FAULT_MEMORY], whole.seen[QV_FAULT_IO], x->tried, x->failed, x->tolerated);
    fflush(stdout);
    assert_int_equal(x->broken, before);
}

#define TINY " --features.mels=4 --patch.seconds=0.16 --width 2 --batch 4 --epochs 2 --eval.every=1 -j 1"
static const char train_line[] = "quaver train -q --manifest @/corpus/manifest.csv --out @/run --folds 2 --cache @/cache" TINY;

static void training_fails_at_every_call(void **state)
{
    static const subject s = {"rm -rf %1$s/run %1$s/cache", train_line, "quaver train -q --resume --out @/run --cache @/cache",
                              {"run/predictions.csv", "run/fold-1/best.safetensors", "run/fold-2/last.safetensors"},
                              {"whole/predictions.csv", "whole/fold-1/best.safetensors", "whole/fold-2/last.safetensors"}};
    try_all(*state, &s);
}

static void resuming_fails_at_every_call(void **state)
{
    static const subject s = {"rm -rf %1$s/run && cp -r %1$s/half %1$s/run",
                              "quaver train -q --resume --out @/run --cache @/cache",
                              "quaver train -q --resume --out @/run --cache @/cache",
                              {"run/predictions.csv", "run/fold-2/last.safetensors"},
                              {"whole/predictions.csv", "whole/fold-2/last.safetensors"}};
    fixture *x = *state;
    shell(x, "rm -rf %1$s/half && cp -r %1$s/whole %1$s/half && rm -r %1$s/half/fold-2 %1$s/half/summary.json");
    try_all(x, &s);
}

static void predicting_fails_at_every_call(void **state)
{
    static const subject s = {"rm -rf %1$s/answers.csv",
                              "quaver predict --checkpoint @/whole/fold-1/best.safetensors --out @/answers.csv @/corpus/wav",
                              NULL, {"answers.csv"}, {"expected.csv"}};
    fixture *x = *state;
    outcome o = run(x, "quaver predict --checkpoint @/whole/fold-1/best.safetensors --out @/expected.csv @/corpus/wav", NULL);
    assert_int_equal(o.code, 0);
    try_all(x, &s);
}

static void scoring_fails_at_every_call(void **state)
{
    static const subject s = {
        NULL, "quaver eval --checkpoint @/whole/fold-1/best.safetensors --manifest @/corpus/manifest.csv", NULL, {0}, {0}};
    try_all(*state, &s);
}

static void making_a_manifest_fails_at_every_call(void **state)
{
    static const subject s = {
        "rm -f %s/made.csv",
        "quaver corpus pattern @/corpus/wav --pattern ^(?<speaker>[^_]+)_(?<emotion>[^_]+)_ --out @/made.csv", NULL,
        {"made.csv"}, {"expected-made.csv"}};
    fixture *x = *state;
    outcome o = run(x, "quaver corpus pattern @/corpus/wav --pattern ^(?<speaker>[^_]+)_(?<emotion>[^_]+)_ --out @/expected-made.csv", NULL);
    if (o.code != 0) fail_msg("%s", o.said);
    try_all(x, &s);
}

static void reporting_fails_at_every_call(void **state)
{
    static const subject s = {NULL, "quaver report @/whole", NULL, {0}, {0}};
    try_all(*state, &s);
}

/* Growth for a key as much as for a value, also where later allocations succeed. */
static void a_text_of_json_is_whole_or_none(void **state)
{
    (void)state;
    json_t *root = json_object();
    char key[64];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%0*d", 1 + i % 60, i);
        assert_int_equal(json_object_set_new(root, key, json_integer(i % 3)), 0);
    }
    char *whole = qv_json_text(root, JSON_COMPACT), *text;
    assert_non_null(whole);
    size_t lost = 0;
    do {
        qv_faults_set(QV_FAULT_MEMORY, lost + 1, false);
        text = qv_json_text(root, JSON_COMPACT);
        qv_faults_set(QV_FAULT_MEMORY, 0, false);
        if (text)
            assert_string_equal(text, whole);
        else
            lost++;
    } while (!text);
    assert_true(lost > 4);
    free(text);
    free(whole);
    json_decref(root);
}

/* Real lack of file handles, from the first one on: the test itself holds those below 8 or so. */
static void few_handles_end_with_a_message(void **state)
{
    fixture *x = *state;
    int failed = 0;
    for (rlim_t handles = 4; handles < 20; handles++) {
        shell(x, "rm -rf %1$s/run %1$s/cache");
        outcome o = run(x, train_line, &(fault){.handles = handles});
        assert_in_range(o.code, 0, 1);
        if (o.code == 1 && !strstr(o.said, "quaver")) fail_msg("no message with %d handles: %s", (int)handles, o.said);
        failed += o.code;
        o = run(x, "quaver train -q --resume --out @/run --cache @/cache", NULL);
        if (o.code == 2) o = run(x, train_line, NULL);
        assert_int_equal(o.code, 0);
        assert_true(same(x, "run/predictions.csv", "whole/predictions.csv"));
    }
    assert_true(failed > 0);
}

/* The recordings go away between a training and its resumption: what is cached serves, what is not is named. */
static void a_vanished_corpus_is_named(void **state)
{
    fixture *x = *state;
    shell(x, "rm -rf %1$s/run && cp -r %1$s/whole %1$s/run && rm -r %1$s/run/fold-2 %1$s/run/summary.json && mv %1$s/corpus/wav %1$s/gone");
    outcome o = run(x, "quaver train -q --resume --out @/run --cache @/cache", NULL);
    shell(x, "mv %1$s/gone %1$s/corpus/wav");
    assert_int_equal(o.code, 1);
    if (!strstr(o.said, "cannot find")) fail_msg("%s", o.said);
    o = run(x, "quaver train -q --resume --out @/run --cache @/cache", NULL);
    assert_int_equal(o.code, 0);
    assert_true(same(x, "run/predictions.csv", "whole/predictions.csv"));
}

static int setup(void **state)
{
    fixture *x = *state;
    x->ctx = qv_test_ctx();
    x->dir = qv_test_tmpdir();
    outcome o = run(x, "quaver corpus synth @/corpus --speakers 4 --sentences 1", NULL);
    if (o.code == 0)
        o = run(x, "quaver train -q --manifest @/corpus/manifest.csv --out @/whole --folds 2 --cache @/cache" TINY, NULL);
    if (o.code != 0) print_error("%s\n", o.said);
    return o.code;
}

static int teardown(void **state)
{
    fixture *x = *state;
    printf("%zu faults: %zu commands failed, %zu did not mind, %zu did what they must not\n", x->tried, x->failed,
           x->tolerated, x->broken);
    qv_test_rmdir(x->dir);
    qv_ctx_free(x->ctx);
    return 0;
}

int main(int argc, char **argv)
{
    static fixture x;
    x.every = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    x.first = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    if (x.every < 1 || x.first < 1) return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(training_fails_at_every_call, &x),
        cmocka_unit_test_prestate(resuming_fails_at_every_call, &x),
        cmocka_unit_test_prestate(predicting_fails_at_every_call, &x),
        cmocka_unit_test_prestate(scoring_fails_at_every_call, &x),
        cmocka_unit_test_prestate(making_a_manifest_fails_at_every_call, &x),
        cmocka_unit_test_prestate(reporting_fails_at_every_call, &x),
        cmocka_unit_test(a_text_of_json_is_whole_or_none),
        cmocka_unit_test_prestate(few_handles_end_with_a_message, &x),
        cmocka_unit_test_prestate(a_vanished_corpus_is_named, &x),
    };
    void *state = &x;
    if (setup(&state) != 0) return 1;
    int failures = cmocka_run_group_tests_name("faults", tests, NULL, NULL);
    teardown(&state);
    return failures;
}
