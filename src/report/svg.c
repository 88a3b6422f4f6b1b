#include "report/svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void qv_markup_text(qv_buf *b, const char *text)
{
    size_t size = strlen(text), bad = qv_utf8_check(text, size);
    for (const char *s = text; *s; s++) {
        unsigned char c = (unsigned char)*s;
        size_t i = (size_t)(s - text);
        if (i == bad) { /* a name of a file may be any bytes, a page may not */
            qv_buf_puts(b, "\xEF\xBF\xBD");
            bad = i + 1 + qv_utf8_check(s + 1, size - i - 1);
            continue;
        }
        switch (c) {
        case '&':
            qv_buf_puts(b, "&amp;");
            break;
        case '<':
            qv_buf_puts(b, "&lt;");
            break;
        case '>':
            qv_buf_puts(b, "&gt;");
            break;
        case '"':
            qv_buf_puts(b, "&quot;");
            break;
        case '\'':
            qv_buf_puts(b, "&#39;");
            break;
        default:
            if (c >= 0x20 ? c != 0x7f : c == '\n' || c == '\t') qv_buf_add(b, s, 1);
        }
    }
}

/* Cuts a broken UTF-8 sequence off the end. */
static void trim_utf8(char *s, size_t n)
{
    size_t i = n;
    while (i > 0 && ((unsigned char)s[i - 1] & 0xC0) == 0x80) i--;
    if (i == 0) return;
    unsigned char lead = (unsigned char)s[i - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (n - (i - 1) < want) s[i - 1] = '\0';
}

void qv_markup_printf(qv_buf *b, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n >= sizeof text) trim_utf8(text, sizeof text - 1);
    qv_markup_text(b, text);
}

void qv_svg_begin(qv_buf *b, const char *id, double width, double height, const char *title, const char *desc)
{
    qv_buf_printf(b, "<svg viewBox=\"0 0 %.6g %.6g\" role=\"img\" aria-labelledby=\"%s-t %s-d\">\n<title id=\"%s-t\">",
                  width, height, id, id, id);
    qv_markup_text(b, title);
    qv_buf_printf(b, "</title><desc id=\"%s-d\">", id);
    qv_markup_text(b, desc);
    qv_buf_puts(b, "</desc>\n");
}

void qv_svg_end(qv_buf *b) { qv_buf_puts(b, "</svg>\n"); }

void qv_svg_line(qv_buf *b, const char *cls, double x0, double y0, double x1, double y1)
{
    qv_buf_printf(b, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", cls, x0, y0, x1, y1);
}

void qv_svg_rect(qv_buf *b, const char *cls, double x, double y, double w, double h, double opacity)
{
    qv_buf_printf(b, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"", cls, x, y, fmax(w, 0),
                  fmax(h, 0));
    if (opacity < 1) qv_buf_printf(b, " fill-opacity=\"%.3f\"", opacity);
    qv_buf_puts(b, "/>\n");
}

void qv_svg_circle(qv_buf *b, const char *cls, double x, double y, double radius)
{
    qv_buf_printf(b, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", cls, x, y, radius);
}

static const char *anchor_name(qv_anchor a) { return a == QV_START ? "start" : a == QV_MIDDLE ? "middle" : "end"; }

static void open_text(qv_buf *b, const char *cls, double x, double y, qv_anchor anchor)
{
    qv_buf_printf(b, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", cls, x, y, anchor_name(anchor));
}

void qv_svg_text(qv_buf *b, const char *cls, double x, double y, qv_anchor anchor, const char *text)
{
    open_text(b, cls, x, y, anchor);
    qv_markup_text(b, text);
    qv_buf_puts(b, "</text>\n");
}

/* Ems of one character, from the common sans-serif fonts and on the wide side. */
static double em(unsigned char c)
{
    if (c == 0) return 0;
    if (strchr("iIjl.,:;|!'()[] ftr", c)) return 0.40;
    if (strchr("mwMW@%", c)) return 0.95;
    if (c >= 'A' && c <= 'Z') return 0.72;
    if (c >= 0xE0) return 1.0;
    return 0.60;
}

/* Bytes of the first character. */
static size_t step_utf8(const char *s)
{
    size_t n = 1;
    while (((unsigned char)s[n] & 0xC0) == 0x80) n++;
    return n;
}

double qv_text_width(const char *text, double size)
{
    double sum = 0;
    for (const char *s = text; *s; s += step_utf8(s)) sum += em((unsigned char)*s);
    return sum * size;
}

/* Bytes at the start of `text` that fit into `units`. */
static size_t fit_head(const char *text, double units, double size)
{
    const char *s = text;
    for (double left = units; *s; s += step_utf8(s)) {
        left -= size * em((unsigned char)*s);
        if (left < 0) break;
    }
    return (size_t)(s - text);
}

/* The longest end of `text`, not before `from`, that fits into `units`. */
static const char *fit_tail(const char *text, const char *from, double units, double size)
{
    const char *s = text + strlen(text);
    for (double left = units; s > from;) {
        const char *before = s - 1;
        while (before > from && ((unsigned char)*before & 0xC0) == 0x80) before--;
        left -= size * em((unsigned char)*before);
        if (left < 0) break;
        s = before;
    }
    return s;
}

void qv_svg_text_fit(qv_buf *b, const char *cls, double x, double y, qv_anchor anchor, const char *text, double units,
                     double size)
{
    if (qv_text_width(text, size) <= units) {
        qv_svg_text(b, cls, x, y, anchor, text);
        return;
    }
    qv_buf part = {0};
    double half = (units - size) / 2; /* the ellipsis takes one em */
    size_t head = fit_head(text, half, size);
    qv_buf_add(&part, text, head);
    qv_buf_puts(&part, "\xE2\x80\xA6");
    qv_buf_puts(&part, fit_tail(text, text + head, half, size));
    open_text(b, cls, x, y, anchor);
    qv_buf_puts(b, "<title>");
    qv_markup_text(b, text);
    qv_buf_puts(b, "</title>");
    qv_markup_text(b, part.failed ? "" : part.data);
    qv_buf_puts(b, "</text>\n");
    b->failed = b->failed || part.failed;
    qv_buf_free(&part);
}

/* The next of 1, 2, 5 times a power of ten that is at least x. */
static double nice_step(double x)
{
    double power = pow(10, floor(log10(x)));
    double digit = x / power;
    /* a hair of tolerance: 0.2 / 0.1 is not 2 */
    return power * (digit <= 1 + 1e-9 ? 1 : digit <= 2 + 1e-9 ? 2 : digit <= 5 + 1e-9 ? 5 : 10);
}

static int digits_of(double step)
{
    double d = -floor(log10(step) + 1e-9);
    return d <= 0 ? 0 : d >= 4 ? 4 : (int)d;
}

/* A range that is one: finite, rising, and not so narrow that steps vanish beside the values. */
static void sane_range(double *low, double *high)
{
    if (!isfinite(*low) || !isfinite(*high)) *low = 0, *high = 1;
    double size = fmax(fabs(*low), fabs(*high));
    if (size > 1e300) *low = 0, *high = 1, size = 1;
    if (*high - *low > 1e-9 * size) return;
    double half = size > 0 ? size / 2 : 0.5;
    *low -= half;
    *high += half;
}

qv_axis qv_axis_exact(double low, double high, int ticks, double from, double to)
{
    sane_range(&low, &high);
    double step = nice_step((high - low) / ticks);
    return (qv_axis){low, high, step, from, to, digits_of(step)};
}

qv_axis qv_axis_nice(double low, double high, int ticks, double from, double to)
{
    sane_range(&low, &high);
    double step = nice_step((high - low) / ticks);
    /* widening to whole steps may take one step more than asked for: then the next larger step */
    for (;;) {
        double first = floor(low / step + 1e-9), last = ceil(high / step - 1e-9);
        if (last - first <= ticks) return (qv_axis){first * step, last * step, step, from, to, digits_of(step)};
        step = nice_step(step * 1.5);
    }
}

double qv_axis_at(const qv_axis *a, double value)
{
    double share = (value - a->low) / (a->high - a->low);
    return a->from + (a->to - a->from) * fmin(1, fmax(0, share));
}

static void tick_text(char out[32], const qv_axis *a, double value)
{
    double shown = fabs(value) < a->step / 2 ? 0.0 : value;
    if (a->step < 1e-4 || fabs(value) >= 1e6)
        snprintf(out, 32, "%.4g", shown);
    else
        snprintf(out, 32, "%.*f", a->digits, shown);
}

void qv_plot_frame(qv_buf *b, const qv_plot *p, const char *x_title, const char *y_title)
{
    const qv_axis *x = &p->x, *y = &p->y;
    char text[32];
    for (double i = ceil(y->low / y->step - 1e-9); i * y->step <= y->high + 1e-9 * y->step; i++) {
        double at = qv_axis_at(y, i * y->step);
        qv_svg_line(b, "grid", x->from, at, x->to, at);
        tick_text(text, y, i * y->step);
        qv_svg_text(b, "tick", x->from - 6, at + 3.5, QV_END, text);
    }
    for (double i = ceil(x->low / x->step - 1e-9); i * x->step <= x->high + 1e-9 * x->step; i++) {
        double at = qv_axis_at(x, i * x->step);
        qv_svg_line(b, "axis", at, y->from, at, y->from + 4);
        tick_text(text, x, i * x->step);
        qv_svg_text(b, "tick", at, y->from + 15, QV_MIDDLE, text);
    }
    qv_svg_line(b, "axis", x->from, y->from, x->to, y->from);
    if (x_title) qv_svg_text(b, "title", x->to, y->from + 29, QV_END, x_title);
    if (y_title) qv_svg_text(b, "title", x->from, y->to - 9, QV_START, y_title);
}

void qv_plot_line(qv_buf *b, const qv_plot *p, const char *cls, const double *x, const double *y, size_t n)
{
    char command = 'M';
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        if (command == 'M') qv_buf_printf(b, "<path class=\"%s\" d=\"", cls);
        qv_buf_printf(b, "%c%.1f %.1f", command, qv_axis_at(&p->x, x[i]), qv_axis_at(&p->y, y[i]));
        command = 'L';
    }
    if (command == 'L') qv_buf_puts(b, "\"/>\n");
}

void qv_plot_band(qv_buf *b, const qv_plot *p, const char *cls, const double *x, const double *low, const double *high,
                  size_t n)
{
    char command = 'M';
    for (size_t i = 0; i < 2 * n; i++) {
        size_t j = i < n ? i : 2 * n - 1 - i; /* there along the upper line, back along the lower */
        if (isnan(x[j]) || isnan(low[j]) || isnan(high[j])) continue;
        if (command == 'M') qv_buf_printf(b, "<path class=\"%s\" d=\"", cls);
        qv_buf_printf(b, "%c%.1f %.1f", command, qv_axis_at(&p->x, x[j]), qv_axis_at(&p->y, i < n ? high[j] : low[j]));
        command = 'L';
    }
    if (command == 'L') qv_buf_puts(b, "Z\"/>\n");
}

enum { MOST_ENDS = 8, END_ROW = 13 };

void qv_plot_ends(qv_buf *b, const qv_plot *p, const qv_key *keys, size_t n)
{
    const qv_key *of[MOST_ENDS];
    double y[MOST_ENDS];
    size_t m = 0;
    for (size_t i = 0; i < n && m < MOST_ENDS; i++) {
        if (isnan(keys[i].at)) continue;
        double at = qv_axis_at(&p->y, keys[i].at);
        size_t j = m++; /* inserted from top to bottom */
        for (; j > 0 && y[j - 1] > at; j--) y[j] = y[j - 1], of[j] = of[j - 1];
        y[j] = at;
        of[j] = &keys[i];
    }
    for (size_t i = 1; i < m; i++) y[i] = fmax(y[i], y[i - 1] + END_ROW);
    double over = m ? y[m - 1] - p->y.from : 0;
    for (size_t i = m; over > 0 && i-- > 0;) {
        double limit = i + 1 < m ? y[i + 1] - END_ROW : p->y.from;
        y[i] = fmin(y[i], limit);
    }
    for (size_t i = 0; i < m; i++) qv_svg_text(b, "label", p->x.to + 6, y[i] + 3.5, QV_START, of[i]->label);
}
