#include "data/window.h"

#include <errno.h>

size_t qv_window_look(qv_window *w, uint64_t at, size_t want, const unsigned char **p)
{
    *p = w->bytes;
    if (w->error || w->stopped || at >= w->size) return 0;
    if (want > w->size - at) want = (size_t)(w->size - at);
    if (at < w->at || at - w->at + want > w->n) {
        w->stopped = qv_poll(w->ctx) != QV_OK;
        if (w->stopped) return 0;
        errno = 0;
        bool there = fseek(w->f, (long)at, SEEK_SET) == 0;
        w->at = at;
        w->n = there ? fread(w->bytes, 1, sizeof w->bytes, w->f) : 0;
        if (w->n < want && (!there || ferror(w->f))) w->error = errno ? errno : EIO;
        if (w->n < want) want = w->error ? 0 : w->n; /* without an error: the file has become shorter */
    }
    *p = w->bytes + (at - w->at);
    return want;
}

size_t qv_window_zeros(qv_window *w, uint64_t at)
{
    const unsigned char *p;
    size_t n = qv_window_look(w, at, 4096, &p), passed = 0;
    while (passed < n && p[passed] == 0) passed++;
    return passed ? passed : 1;
}
