/* What the direct convolutions of one instruction set share: the positions along an axis, the strips.
 *
 * A strip is one row of the first input, a group's channels alone, with zeros before and after it. A filter's row of
 * taps then reads one run of taps * channels floats, wherever it stands; a row of outputs needs a strip for each row
 * of taps. So a direct sum is a product of matrices whose left rows overlap in memory, and nothing is gathered for it
 * but the strips. */
#ifndef QV_STRIPS_H
#define QV_STRIPS_H

#include "backend/cpu/isa/isa.h"

enum {
    QV_STRIP_OUTPUTS = 48, /* at least so many positions share a reading of the filters */
    QV_STRIP_AHEAD = 16    /* pixels that are asked for before they are copied */
};

/* Positions of the output along an axis that meet the same taps: all of a convolution; of a gradient in x those whose
 * number leaves the same rest, the phase, when divided by the stride. */
typedef struct qv_axis {
    size_t count, taps;
    size_t tap;      /* of the filter; the one whose source comes first */
    ptrdiff_t first; /* where that tap of the first position reads; may lie before the input */
} qv_axis;

/* Of `size` positions. From tap to tap the source moves by one; the filter's tap of a gradient by less one stride. */
static inline qv_axis qv_axis_of(const qv_strips *g, size_t phase, size_t size)
{
    if (g->kind != QV_OP_CONV_GRAD_X) return (qv_axis){.count = size, .taps = g->kernel, .first = -(ptrdiff_t)g->pad};
    const size_t least = (phase + g->pad) % g->stride;
    qv_axis a = {.count = (size + g->stride - 1 - phase) / g->stride};
    if (least >= g->kernel) return a;
    a.taps = (g->kernel - 1 - least) / g->stride + 1;
    a.tap = least + (a.taps - 1) * g->stride;
    a.first = (ptrdiff_t)((phase + g->pad - least) / g->stride) - (ptrdiff_t)(a.taps - 1);
    return a;
}

/* How far the source moves from position to position. */
static inline size_t qv_strip_step(const qv_strips *g) { return g->kind == QV_OP_CONV_GRAD_X ? 1 : g->stride; }

/* Floats of a strip; a kernel's width of zeros on either side is more than any position reads. */
static inline size_t qv_strip_floats(const qv_strips *g) { return (g->from_w + 2 * g->kernel) * g->from; }

/* Rows of `width` outputs that are computed together. */
static inline size_t qv_strip_rows(size_t width) { return (QV_STRIP_OUTPUTS + width - 1) / width; }

/* The row `h` of sample n of x, or zeros where there is none. */
static inline void qv_fill_strip(const qv_strips *g, const float *x, size_t n, ptrdiff_t h, size_t group,
                                 float *restrict to)
{
    const size_t all = g->groups * g->from, margin = g->kernel * g->from, row = g->from_w * g->from;
    if (h < 0 || h >= (ptrdiff_t)g->from_h) {
        memset(to, 0, (row + 2 * margin) * sizeof *to);
        return;
    }
    const float *pixel = x + (n * g->from_h + (size_t)h) * g->from_w * all + group * g->from;
    memset(to, 0, margin * sizeof *to);
    memset(to + margin + row, 0, margin * sizeof *to);
    to += margin;
    for (size_t q = 0; q < g->from_w; q++, pixel += all, to += g->from) {
        qv_prefetch(pixel + QV_STRIP_AHEAD * all, g->from);
        for (size_t c = 0; c < g->from; c += QV_WIDTH) qv_store(to + c, qv_load(pixel + c));
    }
}

/* The strips of rows [begin, end) of outputs, a row of taps behind the other; `down` are the positions of a sample. */
static inline void qv_fill_strips(const qv_strips *g, const float *x, const qv_axis *down, size_t begin, size_t end,
                                  size_t group, float *to)
{
    for (size_t row = begin; row < end; row++) {
        const size_t n = row / down->count, i = row % down->count;
        for (size_t t = 0; t < down->taps; t++, to += qv_strip_floats(g))
            qv_fill_strip(g, x, n, (ptrdiff_t)(i * qv_strip_step(g) + t) + down->first, group, to);
    }
}

#endif
