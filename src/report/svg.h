/* Plots as SVG inside an HTML page: a small layer of axes, lines, bands, bars and cells.
 *
 * Everything is drawn in user units (a chart about 380 wide is readable from a phone to a desk) and
 * gets its colours and dashes from the page by class names, so that light, dark and print need no
 * second drawing. Classes used here: axis, grid, tick, label, title; all others are the caller's. */
#ifndef QV_REPORT_SVG_H
#define QV_REPORT_SVG_H

#include "base/buf.h"

/* Text with the five characters of markup written as entities, control characters dropped, and U+FFFD for every byte
 * that is not UTF-8. */
void qv_markup_text(qv_buf *b, const char *text);
/* printf whose result is escaped; at most 1023 bytes of it. */
void qv_markup_printf(qv_buf *b, const char *fmt, ...) QV_PRINTF(2, 3);

/* Opens a picture of width x height units. `id` is unique in the page; title and description are for
 * readers who do not see it. */
void qv_svg_begin(qv_buf *b, const char *id, double width, double height, const char *title, const char *desc);
void qv_svg_end(qv_buf *b);

void qv_svg_line(qv_buf *b, const char *cls, double x0, double y0, double x1, double y1);
/* A rectangle; `opacity` of its filling, 1 for none. */
void qv_svg_rect(qv_buf *b, const char *cls, double x, double y, double w, double h, double opacity);
void qv_svg_circle(qv_buf *b, const char *cls, double x, double y, double radius);
typedef enum qv_anchor { QV_START, QV_MIDDLE, QV_END } qv_anchor;
void qv_svg_text(qv_buf *b, const char *cls, double x, double y, qv_anchor anchor, const char *text);
/* Text cut to about `units` by an ellipsis in its middle (names often differ at their ends); the whole of it as a
 * tooltip. `size` is that of its font. */
void qv_svg_text_fit(qv_buf *b, const char *cls, double x, double y, qv_anchor anchor, const char *text, double units,
                     double size);
/* Estimated width of text in a sans-serif font of `size`. */
double qv_text_width(const char *text, double size);

/* A linear scale: values low..high lie at from..to (units); ticks at multiples of step. */
typedef struct qv_axis {
    double low, high, step, from, to;
    int digits; /* behind the point, in tick labels */
} qv_axis;

/* The smallest range of whole steps (1, 2 or 5 times a power of ten) that holds low..high with at most
 * `ticks` steps. Values that are not finite, or low == high, give a range round what is there. */
qv_axis qv_axis_nice(double low, double high, int ticks, double from, double to);
/* Exactly low..high; ticks at nice steps within it. */
qv_axis qv_axis_exact(double low, double high, int ticks, double from, double to);
double qv_axis_at(const qv_axis *a, double value);

/* The area between x.from, y.to (top) and x.to, y.from (bottom). */
typedef struct qv_plot {
    qv_axis x, y;
} qv_plot;

/* Grid lines, ticks and axis titles (NULL: none; y's stands above the axis). */
void qv_plot_frame(qv_buf *b, const qv_plot *p, const char *x_title, const char *y_title);
/* A line through the points; those with a NaN are left out. Values outside the axes are clamped to them. */
void qv_plot_line(qv_buf *b, const qv_plot *p, const char *cls, const double *x, const double *y, size_t n);
/* The area between two lines over the same x. */
void qv_plot_band(qv_buf *b, const qv_plot *p, const char *cls, const double *x, const double *low, const double *high,
                  size_t n);

/* The label at the right end of a line. */
typedef struct qv_key {
    const char *label;
    double at; /* value at the line's end; NaN: no label */
} qv_key;

/* Names at the right border of the plot, moved apart where they would touch; at most 8. */
void qv_plot_ends(qv_buf *b, const qv_plot *p, const qv_key *keys, size_t n);

#endif
