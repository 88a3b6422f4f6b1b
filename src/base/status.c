#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

enum { QV_MESSAGE_MAX = 2048 };

struct qv_ctx {
    char message[QV_MESSAGE_MAX];
    qv_log_fn log;
    void *log_user;
    qv_progress_fn progress;
    void *progress_user;
    const volatile int *cancel;
    volatile int *save;
    char task[64];
    double task_start;
    size_t fail_alloc;
};

qv_ctx *qv_ctx_new(void) { return calloc(1, sizeof(qv_ctx)); }

void qv_ctx_free(qv_ctx *ctx) { free(ctx); }

const char *qv_ctx_message(const qv_ctx *ctx) { return ctx->message; }

void qv_ctx_on_log(qv_ctx *ctx, qv_log_fn fn, void *user)
{
    ctx->log = fn;
    ctx->log_user = user;
}

void qv_ctx_on_progress(qv_ctx *ctx, qv_progress_fn fn, void *user)
{
    ctx->progress = fn;
    ctx->progress_user = user;
}

void qv_ctx_cancel_flag(qv_ctx *ctx, const volatile int *flag) { ctx->cancel = flag; }

void qv_ctx_save_flag(qv_ctx *ctx, volatile int *flag) { ctx->save = flag; }

bool qv_save_wanted(qv_ctx *ctx)
{
    if (!ctx->save || !*ctx->save) return false;
    *ctx->save = 0;
    return true;
}

void qv_ctx_fail_alloc(qv_ctx *ctx, size_t nth) { ctx->fail_alloc = nth; }

const char *qv_status_name(qv_status s)
{
    static const char *const names[] = {
        [QV_OK] = "QV_OK",
        [QV_ERR_USAGE] = "QV_ERR_USAGE",
        [QV_ERR_DATA] = "QV_ERR_DATA",
        [QV_ERR_IO] = "QV_ERR_IO",
        [QV_ERR_MEMORY] = "QV_ERR_MEMORY",
        [QV_ERR_DEVICE] = "QV_ERR_DEVICE",
        [QV_ERR_UNSUPPORTED] = "QV_ERR_UNSUPPORTED",
        [QV_ERR_NUMERIC] = "QV_ERR_NUMERIC",
        [QV_ERR_INTERRUPTED] = "QV_ERR_INTERRUPTED",
        [QV_ERR_INTERNAL] = "QV_ERR_INTERNAL",
    };
    size_t i = (size_t)s;
    return i < sizeof names / sizeof *names ? names[i] : "unknown status";
}

/* What stands in files and their names must not steer the terminal that it is shown on, nor begin a line of its own. */
static void calm(char *text)
{
    qv_calm(text);
    for (char *s = text; (s = strchr(s, '\n'));) *s = '?';
}

/* Formats into a buffer of its own first: an argument may be the message itself. */
static void set_message(qv_ctx *ctx, const char *suffix, const char *fmt, va_list ap)
{
    char text[QV_MESSAGE_MAX];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    if (n < 0) n = 0;
    size_t used = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    snprintf(text + used, sizeof text - used, "%s", suffix);
    calm(text);
    memcpy(ctx->message, text, sizeof text);
}

qv_status qv_fail(qv_ctx *ctx, qv_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_message(ctx, "", fmt, ap);
    va_end(ap);
    return status;
}

static qv_status status_of(int error)
{
    return error == ENOMEM || error == EMFILE || error == ENFILE ? QV_ERR_MEMORY : QV_ERR_IO;
}

qv_status qv_fail_errno(qv_ctx *ctx, const char *fmt, ...)
{
    char reason[256];
    qv_status status = status_of(errno);
    snprintf(reason, sizeof reason, ": %s", strerror(errno));
    va_list ap;
    va_start(ap, fmt);
    set_message(ctx, reason, fmt, ap);
    va_end(ap);
    return status;
}

qv_status qv_fail_prefix(qv_ctx *ctx, qv_status status, const char *fmt, ...)
{
    char rest[QV_MESSAGE_MAX];
    snprintf(rest, sizeof rest, ": %.*s", QV_MESSAGE_MAX - 3, ctx->message);
    va_list ap;
    va_start(ap, fmt);
    set_message(ctx, rest, fmt, ap);
    va_end(ap);
    return status;
}

static void emit(qv_ctx *ctx, qv_log_level level, const char *fmt, va_list ap)
{
    if (!ctx->log) return;
    char text[QV_MESSAGE_MAX];
    vsnprintf(text, sizeof text, fmt, ap);
    calm(text);
    ctx->log(ctx->log_user, level, text);
}

void qv_info(qv_ctx *ctx, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(ctx, QV_LOG_INFO, fmt, ap);
    va_end(ap);
}

void qv_warn(qv_ctx *ctx, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(ctx, QV_LOG_WARNING, fmt, ap);
    va_end(ap);
}

void qv_debug(qv_ctx *ctx, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(ctx, QV_LOG_DEBUG, fmt, ap);
    va_end(ap);
}

double qv_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void qv_report(qv_ctx *ctx, const char *what, const char *unit, double done, double total)
{
    qv_report_note(ctx, what, unit, done, total, NULL);
}

void qv_report_note(qv_ctx *ctx, const char *what, const char *unit, double done, double total, const char *note)
{
    if (!ctx->progress) return;
    if (strncmp(ctx->task, what, sizeof ctx->task - 1) != 0) {
        snprintf(ctx->task, sizeof ctx->task, "%s", what);
        ctx->task_start = qv_now();
    }
    qv_progress p = {what, unit, done, total, qv_now() - ctx->task_start, note};
    ctx->progress(ctx->progress_user, &p);
}

qv_status qv_poll(qv_ctx *ctx)
{
    if (!ctx->cancel || !*ctx->cancel) return QV_OK;
    return qv_fail(ctx, QV_ERR_INTERRUPTED, "interrupted");
}

static bool allocation_fails(qv_ctx *ctx)
{
    if (ctx->fail_alloc == 0) return false;
    return --ctx->fail_alloc == 0;
}

qv_status qv_alloc(qv_ctx *ctx, void *out, size_t n, size_t size)
{
    void *p = allocation_fails(ctx) ? NULL : calloc(n ? n : 1, size ? size : 1);
    memcpy(out, &p, sizeof p);
    if (p) return QV_OK;
    return qv_fail(ctx, QV_ERR_MEMORY, "no memory for %zu elements of %zu bytes", n, size);
}

qv_status qv_grow(qv_ctx *ctx, void *array, size_t *cap, size_t n, size_t size)
{
    if (n <= *cap) return QV_OK;
    size_t want = *cap ? *cap : 16;
    while (want < n && want <= SIZE_MAX / 2) want *= 2;
    void *p;
    memcpy(&p, array, sizeof p);
    void *q = NULL;
    if (want >= n && want <= SIZE_MAX / size && !allocation_fails(ctx)) q = realloc(p, want * size);
    if (!q) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for %zu elements of %zu bytes", n, size);
    memcpy(array, &q, sizeof q);
    *cap = want;
    return QV_OK;
}

qv_status qv_strdup(qv_ctx *ctx, char **out, const char *s) { return qv_strndup(ctx, out, s, strlen(s)); }

qv_status qv_strndup(qv_ctx *ctx, char **out, const char *s, size_t n)
{
    qv_status status = qv_alloc(ctx, out, n + 1, 1);
    if (status == QV_OK) memcpy(*out, s, n);
    return status;
}

void qv_free_texts(char **texts, size_t n)
{
    for (size_t i = 0; texts && i < n; i++) free(texts[i]);
    free(texts);
}
