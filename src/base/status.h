/* Inside view of the context: raising errors, messages, memory. */
#ifndef QV_BASE_STATUS_H
#define QV_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quaver/status.h"

#if defined(__GNUC__)
#define QV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define QV_PRINTF(fmt, args)
#endif

/* Sets the message and returns `status`. Clean-up code must not call it: the first cause counts. */
qv_status qv_fail(qv_ctx *ctx, qv_status status, const char *fmt, ...) QV_PRINTF(3, 4);

/* As qv_fail, followed by ": " and strerror(errno). QV_ERR_IO; QV_ERR_MEMORY where the process or the system is out of
 * memory or of file handles, which says nothing about the file at hand. */
qv_status qv_fail_errno(qv_ctx *ctx, const char *fmt, ...) QV_PRINTF(2, 3);

/* Puts "text: " before the message at hand; for callers that know file or line. Returns `status`. */
qv_status qv_fail_prefix(qv_ctx *ctx, qv_status status, const char *fmt, ...) QV_PRINTF(3, 4);

void qv_info(qv_ctx *ctx, const char *fmt, ...) QV_PRINTF(2, 3);
void qv_warn(qv_ctx *ctx, const char *fmt, ...) QV_PRINTF(2, 3);
void qv_debug(qv_ctx *ctx, const char *fmt, ...) QV_PRINTF(2, 3);

/* Reports progress of the task `what`; restarts the clock when `what` changes. */
void qv_report(qv_ctx *ctx, const char *what, const char *unit, double done, double total);
/* The same with words of the caller's own instead of a rate. */
void qv_report_note(qv_ctx *ctx, const char *what, const char *unit, double done, double total, const char *note);

/* QV_ERR_INTERRUPTED once the caller's flag is up, else QV_OK. */
qv_status qv_poll(qv_ctx *ctx);

/* A second flag, of the wish that what is at hand be saved now; NULL (the default): never. */
void qv_ctx_save_flag(qv_ctx *ctx, volatile int *flag);
/* Whether it is up; takes it down. */
bool qv_save_wanted(qv_ctx *ctx);

/* Seconds of a monotonic clock. */
double qv_now(void);

/* Zeroed memory for n elements of `size` bytes; *out is NULL after failure (also when
 * n * size overflows). n = 0 gives a valid pointer. Released with free(). */
qv_status qv_alloc(qv_ctx *ctx, void *out, size_t n, size_t size);

/* Grows *array (capacity *cap elements of `size` bytes) to hold at least n; doubles. */
qv_status qv_grow(qv_ctx *ctx, void *array, size_t *cap, size_t n, size_t size);

/* A copy of the string, and of n bytes of one that holds as many. */
qv_status qv_strdup(qv_ctx *ctx, char **out, const char *s);
qv_status qv_strndup(qv_ctx *ctx, char **out, const char *s, size_t n);
/* A list of n texts, with them; texts may be NULL. */
void qv_free_texts(char **texts, size_t n);

/* The caller hands a test's wish to the context: the nth allocation from now fails. 0: none. */
void qv_ctx_fail_alloc(qv_ctx *ctx, size_t nth);

/* Leaves the enclosing function by its label `done` with `status` set to the failure.
 * The one control-flow macro of the project: every function that owns something has
 * `qv_status status = QV_OK;` at its top and one exit at `done:`. */
#define QV_TRY(expr)                     \
    do {                                 \
        status = (expr);                 \
        if (status != QV_OK) goto done;  \
    } while (0)

#endif
