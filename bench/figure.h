/* A figure of a line of JSON, which has no NaN and no infinity: those are null. */
#ifndef QV_BENCH_FIGURE_H
#define QV_BENCH_FIGURE_H

#include <math.h>
#include <stdio.h>

#include "base/status.h"

typedef struct qv_figure {
    char text[32];
} qv_figure;

/* format: of one double. For printf("%s", qv_figure_of("%.3f", x).text). */
QV_PRINTF(1, 0) static inline qv_figure qv_figure_of(const char *format, double x)
{
    qv_figure f = {"null"};
    if (isfinite(x)) snprintf(f.text, sizeof f.text, format, x);
    return f;
}

#endif
