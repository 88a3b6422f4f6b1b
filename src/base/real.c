#include "base/real.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

/* Of this thread alone: no other notices. Without memory for it the thread keeps its own. */
static locale_t enter_plain(locale_t *plain)
{
    *plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return uselocale(*plain);
}

static void leave_plain(locale_t plain, locale_t before)
{
    uselocale(before);
    if (plain != (locale_t)0) freelocale(plain);
}

bool qv_read_real(const char *text, double *out)
{
    char *end;
    locale_t plain, before = enter_plain(&plain);
    errno = 0;
    double x = strtod(text, &end);
    bool whole = end != text && *end == '\0' && errno == 0;
    leave_plain(plain, before);
    *out = whole ? x : 0;
    return whole;
}

int qv_format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = qv_vformat(out, size, fmt, ap);
    va_end(ap);
    return n;
}

int qv_vformat(char *out, size_t size, const char *fmt, va_list ap)
{
    locale_t plain, before = enter_plain(&plain);
    int n = vsnprintf(out, size, fmt, ap);
    leave_plain(plain, before);
    return n;
}
