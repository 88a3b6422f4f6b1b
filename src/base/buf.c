#include "base/buf.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/real.h"

/* Room for n more bytes and the terminating NUL. */
static bool reserve(qv_buf *b, size_t n)
{
    if (b->failed || n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap ? b->cap : 256;
    while (cap < need) cap *= 2;
    char *p = realloc(b->data, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->data = p;
    b->cap = cap;
    return true;
}

void qv_buf_add(qv_buf *b, const void *bytes, size_t n)
{
    if (!reserve(b, n)) return;
    if (n) memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void qv_buf_puts(qv_buf *b, const char *s) { qv_buf_add(b, s, strlen(s)); }

void qv_buf_printf(qv_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = qv_vformat(NULL, 0, fmt, ap);
    if (n < 0) {
        b->failed = true;
    } else if (reserve(b, (size_t)n)) {
        qv_vformat(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void qv_buf_real(qv_buf *b, double x)
{
    char text[32];
    double back;
    for (int digits = 6; digits <= 17; digits++) {
        qv_format(text, sizeof text, "%.*g", digits, x);
        if (qv_read_real(text, &back) && back == x) break;
    }
    qv_buf_puts(b, text);
}

qv_status qv_buf_check(qv_ctx *ctx, const qv_buf *b)
{
    return b->failed ? qv_fail(ctx, QV_ERR_MEMORY, "no memory for a text of more than %zu bytes", b->len) : QV_OK;
}

qv_status qv_buf_take(qv_ctx *ctx, qv_buf *b, char **out)
{
    qv_status status = b->data || b->failed ? qv_buf_check(ctx, b) : qv_strdup(ctx, &b->data, "");
    *out = status == QV_OK ? b->data : NULL;
    if (status != QV_OK) free(b->data);
    *b = (qv_buf){0};
    return status;
}

void qv_buf_free(qv_buf *b)
{
    free(b->data);
    *b = (qv_buf){0};
}
