/* A growing byte buffer: text under construction. */
#ifndef QV_BASE_BUF_H
#define QV_BASE_BUF_H

#include "base/status.h"

/* Zero-initialized is empty. `data` is always NUL-terminated once something was added.
 * After a failed addition `failed` stays set and further additions do nothing, so that
 * a long run of qv_buf_printf needs one check at its end: qv_buf_check. */
typedef struct qv_buf {
    char *data;
    size_t len, cap;
    bool failed;
} qv_buf;

void qv_buf_add(qv_buf *b, const void *bytes, size_t n);
void qv_buf_puts(qv_buf *b, const char *s);
/* As qv_format. */
void qv_buf_printf(qv_buf *b, const char *fmt, ...) QV_PRINTF(2, 3);
/* The shortest decimal (of 6 digits or more) that reads back as x, which is finite. */
void qv_buf_real(qv_buf *b, double x);
qv_status qv_buf_check(qv_ctx *ctx, const qv_buf *b);
/* The text to *out, to be released with free(); *b is empty then, also where there was no memory. */
qv_status qv_buf_take(qv_ctx *ctx, qv_buf *b, char **out);
void qv_buf_free(qv_buf *b);

#endif
