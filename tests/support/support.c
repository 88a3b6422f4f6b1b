#define _XOPEN_SOURCE 700 /* nftw */
#include "support/support.h"

#include <ftw.h>
#include <unistd.h>

#include "base/random.h"

uint64_t qv_test_seed(void)
{
    const char *s = getenv("QV_SEED");
    return s ? strtoull(s, NULL, 10) : 1;
}

bool qv_test_wants_op(const char *name)
{
    const char *names = getenv("QV_OPS");
    size_t n = strlen(name);
    for (const char *at = names; at && (at = strstr(at, name)); at++)
        if ((at == names || at[-1] == ',') && (at[n] == ',' || at[n] == '\0')) return true;
    return !names;
}

uint64_t qv_test_next(uint64_t *state) { return qv_random_next(state); }

double qv_test_uniform(uint64_t *state, double low, double high) { return qv_random_uniform(state, low, high); }

double qv_test_normal(uint64_t *state) { return qv_random_normal(state); }

char *qv_test_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/quaver-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        exit(1);
    }
    return strdup(path);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void qv_test_rmdir(char *dir)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

void qv_test_put(qv_ctx *ctx, const char *dir, const char *name, const char *text)
{
    char *path, *parent;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, name));
    qv_assert_ok(ctx, qv_path_dir(ctx, &parent, path));
    qv_assert_ok(ctx, qv_make_dirs(ctx, parent));
    qv_assert_ok(ctx, qv_write_file(ctx, path, text, strlen(text)));
    free(path), free(parent);
}

void qv_test_says(const char *text, const char *want)
{
    if (!text || !strstr(text, want)) fail_msg("'%s' is not in:\n%s", want, text ? text : "nothing");
}

void qv_test_file_says(qv_ctx *ctx, const char *dir, const char *name, const char *want)
{
    char *path, *text;
    size_t size;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, name));
    qv_assert_ok(ctx, qv_read_file(ctx, path, 1 << 24, &text, &size));
    qv_test_says(text, want);
    free(path), free(text);
}

static void log_line(void *user, qv_log_level level, const char *text)
{
    (void)user;
    if (level != QV_LOG_DEBUG) fprintf(stderr, "  %s%s\n", level == QV_LOG_WARNING ? "warning: " : "", text);
}

qv_ctx *qv_test_ctx(void)
{
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) abort();
    qv_ctx_on_log(ctx, log_line, NULL);
    return ctx;
}

void qv_test_ok(qv_ctx *ctx, qv_status s, const char *file, int line)
{
    if (s == QV_OK) return;
    print_error("%s:%d: %s: %s (seed %llu)\n", file, line, qv_status_name(s), qv_ctx_message(ctx),
                (unsigned long long)qv_test_seed());
    fail();
}

const char *qv_test_corpus(const char *name)
{
    static char path[4096];
    const char *root = getenv("QV_CORPORA");
    snprintf(path, sizeof path, "%s/%s", root ? root : QV_SOURCE_DIR "/../shared/corpora", name);
    if (qv_is_dir(path)) return path;
    fprintf(stderr, "SKIPPED: no corpus at %s (set QV_CORPORA to the folder that holds it)\n", path);
    return NULL;
}
