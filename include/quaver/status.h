/* Status codes and the context that every call that can fail takes first.
 *
 * A function that can fail returns a qv_status; anything but QV_OK leaves one
 * sentence in the context that says what was found, what was expected and what
 * to do. The library never prints and never ends the process. */
#ifndef QUAVER_STATUS_H
#define QUAVER_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qv_status {
    QV_OK = 0,
    QV_ERR_USAGE,       /* the caller asked for something that makes no sense */
    QV_ERR_DATA,        /* a file or its content is not what it should be */
    QV_ERR_IO,          /* the operating system refused to read or write */
    QV_ERR_MEMORY,      /* not enough memory */
    QV_ERR_DEVICE,      /* an accelerator that was asked for cannot be used */
    QV_ERR_UNSUPPORTED, /* known, but not built into this program */
    QV_ERR_NUMERIC,     /* NaN or infinity where a number was needed */
    QV_ERR_INTERRUPTED, /* the caller's cancel flag was raised */
    QV_ERR_INTERNAL     /* a promise between two modules was broken */
} qv_status;

typedef enum qv_log_level { QV_LOG_DEBUG, QV_LOG_INFO, QV_LOG_WARNING } qv_log_level;

/* One progress report. `total` is 0 where it is not known. `done == total` ends it. */
typedef struct qv_progress {
    const char *what; /* "features", "training fold 2/5": the same for all reports of one task */
    const char *unit; /* "files", "steps" */
    double done, total;
    double seconds; /* since the first report of this task */
    const char *note; /* what else there is to say, instead of a rate; NULL: nothing */
} qv_progress;

typedef void (*qv_log_fn)(void *user, qv_log_level level, const char *text);
typedef void (*qv_progress_fn)(void *user, const qv_progress *p);

/* Not thread-safe: one context a thread. Worker threads inside the library report
 * through a context of their own that is merged by the thread that owns them. */
typedef struct qv_ctx qv_ctx;

/* NULL only when there is no memory for it. */
qv_ctx *qv_ctx_new(void);
void qv_ctx_free(qv_ctx *ctx);

/* Message of the last failure; "" if there was none. Valid until the next failing call. */
const char *qv_ctx_message(const qv_ctx *ctx);

/* Where messages and progress go; NULL (the default) drops them. */
void qv_ctx_on_log(qv_ctx *ctx, qv_log_fn fn, void *user);
void qv_ctx_on_progress(qv_ctx *ctx, qv_progress_fn fn, void *user);

/* The library polls *flag between steps and files and ends with QV_ERR_INTERRUPTED
 * once it is not zero. A signal handler may set it. NULL (the default): never. */
void qv_ctx_cancel_flag(qv_ctx *ctx, const volatile int *flag);

/* "QV_ERR_DATA" and so on. */
const char *qv_status_name(qv_status s);

#ifdef __cplusplus
}
#endif
#endif
