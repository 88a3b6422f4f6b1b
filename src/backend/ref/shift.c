/* The two paths of the shifted shortcut, and back. */
#include "backend/ref/ref.h"

static size_t at(const qv_tensor *t, size_t n, size_t p, size_t q)
{
    return ((n * (size_t)t->h + p) * (size_t)t->w + q) * (size_t)t->c;
}

int QV_REF(shift)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *x = &call->in[0], *y = &call->out[0];
    const qv_real *from = x->data;
    qv_real *to = y->data;
    size_t h = (size_t)x->h, w = (size_t)x->w, channels = (size_t)x->c;
    for (size_t n = 0; n < (size_t)y->n; n++) {
        for (size_t p = 0; p < (size_t)y->h; p++) {
            for (size_t q = 0; q < (size_t)y->w; q++) {
                bool inside = 2 * p + 1 < h && 2 * q + 1 < w;
                for (size_t c = 0; c < channels; c++) {
                    to[at(y, n, p, q) + c] = from[at(x, n, 2 * p, 2 * q) + c];
                    to[at(y, n, p, q) + channels + c] = inside ? from[at(x, n, 2 * p + 1, 2 * q + 1) + c] : 0;
                }
            }
        }
    }
    return QV_OK;
}

int QV_REF(shift_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *dy = &call->in[0], *dx = &call->out[0];
    const qv_real *from = dy->data;
    qv_real *to = dx->data;
    size_t channels = (size_t)dx->c;
    for (size_t n = 0; n < (size_t)dx->n; n++) {
        for (size_t p = 0; p < (size_t)dx->h; p++) {
            for (size_t q = 0; q < (size_t)dx->w; q++) {
                const qv_real *path = from + at(dy, n, p / 2, q / 2) + p % 2 * channels;
                for (size_t c = 0; c < channels; c++) to[at(dx, n, p, q) + c] = p % 2 == q % 2 ? path[c] : 0;
            }
        }
    }
    return QV_OK;
}
