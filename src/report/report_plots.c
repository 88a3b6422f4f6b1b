/* The report's pictures. Charts of 380 units fit a phone and, two beside each other, a desk. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/page.h"
#include "report/report_data.h"
#include "report/svg.h"

enum { WIDTH = 380, FONT = 11 };

/* ---- learning curves ---- */

/* Lines over one set of epochs: a fold's own, or the mean over folds. */
typedef struct lines {
    double *column[QV_CURVE_COLUMNS];
    size_t n;
} lines;

static lines fold_lines(const qv_run_data *d, const qv_curve *c)
{
    lines l = {.n = c->n};
    for (size_t i = 0; i < QV_CURVE_COLUMNS; i++) l.column[i] = d->column[i] + c->begin;
    return l;
}

static void lines_free(lines *l)
{
    for (size_t i = 0; i < QV_CURVE_COLUMNS; i++) free(l->column[i]);
}

/* The curve's first row at `epoch`; false where the column has no value there. */
static bool value_at(const qv_run_data *d, const qv_curve *c, size_t column, double epoch, double *out)
{
    const double *epochs = d->column[QV_EPOCH] + c->begin;
    size_t low = 0, high = c->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (epochs[middle] < epoch)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == c->n || epochs[low] != epoch) return false;
    *out = d->column[column][c->begin + low];
    return !isnan(*out);
}

/* Mean over the finished folds (all, where none is) at the epochs where each of them has a value. */
static qv_status mean_lines(qv_ctx *ctx, lines *l, const qv_run_data *d)
{
    qv_status status = QV_OK;
    const qv_curve *first = NULL;
    for (size_t i = 0; i < d->n_curves && !first; i++)
        if (d->curves[i].finished) first = &d->curves[i];
    bool only_finished = first != NULL;
    if (!first) first = &d->curves[0];
    *l = (lines){.n = first->n};
    for (size_t c = 0; c < QV_CURVE_COLUMNS; c++) QV_TRY(qv_alloc(ctx, &l->column[c], l->n, sizeof(double)));
    for (size_t i = 0; i < l->n; i++) {
        double epoch = l->column[QV_EPOCH][i] = d->column[QV_EPOCH][first->begin + i];
        for (size_t c = QV_LOSS; c < QV_CURVE_COLUMNS; c++) {
            double sum = 0, x = 0;
            size_t used = 0, wanted = 0;
            for (size_t j = 0; j < d->n_curves; j++) {
                if (only_finished && !d->curves[j].finished) continue;
                wanted++;
                if (!value_at(d, &d->curves[j], c, epoch, &x)) continue;
                sum += x;
                used++;
            }
            l->column[c][i] = used == wanted ? sum / (double)used : NAN;
        }
    }
done:
    return status;
}

static double last_value(const lines *l, size_t column)
{
    for (size_t i = l->n; i-- > 0;)
        if (!isnan(l->column[column][i])) return l->column[column][i];
    return NAN;
}

static double largest(const double *x, size_t n, double from)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] > from) from = x[i];
    return from;
}

static double last_epoch(const qv_run_data *d)
{
    double last = 1;
    for (size_t i = 0; i < d->n_curves; i++)
        last = largest(d->column[QV_EPOCH] + d->curves[i].begin, d->curves[i].n, last);
    return last;
}

static const struct {
    size_t column;
    const char *cls, *label;
} parts[] = {
    {QV_TRAIN_UA, "line train", "training"},
    {QV_VAL_UA, "line val", "validation"},
    {QV_TEST_UA, "line test", "test"},
};
enum { N_PARTS = sizeof parts / sizeof *parts };

static void gap_and_lines(qv_buf *b, const qv_plot *p, const lines *l)
{
    qv_plot_band(b, p, "gap", l->column[QV_EPOCH], l->column[QV_TEST_UA], l->column[QV_TRAIN_UA], l->n);
    for (size_t i = 0; i < N_PARTS; i++)
        qv_plot_line(b, p, parts[i].cls, l->column[QV_EPOCH], l->column[parts[i].column], l->n);
}

static void chance_line(qv_buf *b, const qv_plot *p, double chance)
{
    if (isnan(chance)) return;
    double at = qv_axis_at(&p->y, chance);
    qv_svg_line(b, "chance", p->x.from, at, p->x.to, at);
}

/* The last values in words; parts without any are left out. */
static void put_ends(qv_buf *b, const lines *l)
{
    const char *sign = ":";
    qv_buf_puts(b, "UA over epochs");
    for (size_t i = 0; i < N_PARTS; i++) {
        double at = last_value(l, parts[i].column);
        if (isnan(at)) continue;
        qv_buf_printf(b, "%s %s %.3f", sign, parts[i].label, at);
        sign = ",";
    }
    qv_buf_puts(b, sign[0] == ',' ? " at the end" : "");
}

static void ua_figure(qv_buf *b, const qv_run_data *d, const lines *mean)
{
    enum { HEIGHT = 250 };
    qv_plot p = {qv_axis_exact(0, last_epoch(d), 6, 32, WIDTH - 62), qv_axis_exact(0, 1, 5, HEIGHT - 34, 12)};
    qv_key keys[N_PARTS + 1];
    qv_buf desc = {0};
    for (size_t i = 0; i < N_PARTS; i++) keys[i] = (qv_key){parts[i].label, last_value(mean, parts[i].column)};
    keys[N_PARTS] = (qv_key){"chance", d->summary.pooled.chance_ua};
    put_ends(&desc, mean);
    qv_page_figure(b, "chart", "Unweighted accuracy (UA)");
    qv_svg_begin(b, "ua", WIDTH, HEIGHT, "Learning curves: unweighted accuracy", desc.failed ? "" : desc.data);
    b->failed = b->failed || desc.failed;
    qv_buf_free(&desc);
    qv_plot_frame(b, &p, "epoch", NULL);
    for (size_t j = 0; j < d->n_curves && d->n_curves > 1; j++) {
        lines fold = fold_lines(d, &d->curves[j]);
        qv_plot_line(b, &p, "line thin train", fold.column[QV_EPOCH], fold.column[QV_TRAIN_UA], fold.n);
        qv_plot_line(b, &p, "line thin test", fold.column[QV_EPOCH], fold.column[QV_TEST_UA], fold.n);
    }
    chance_line(b, &p, d->summary.pooled.chance_ua);
    gap_and_lines(b, &p, mean);
    qv_plot_ends(b, &p, keys, N_PARTS + 1);
    qv_svg_end(b);
    qv_buf_puts(b, "</figure>\n");
}

static void loss_figure(qv_buf *b, const qv_run_data *d, const lines *mean)
{
    enum { HEIGHT = 250 };
    double top = 0;
    for (size_t j = 0; j < d->n_curves; j++)
        top = largest(d->column[QV_LOSS] + d->curves[j].begin, d->curves[j].n, top);
    qv_plot p = {qv_axis_exact(0, last_epoch(d), 6, 38, WIDTH - 16), qv_axis_nice(0, top, 6, HEIGHT - 34, 12)};
    qv_page_figure(b, "chart", "Training loss");
    char desc[96] = "No loss was written";
    double last = last_value(mean, QV_LOSS);
    if (!isnan(last)) snprintf(desc, sizeof desc, "Loss over epochs: %.3g at the end", last);
    qv_svg_begin(b, "loss", WIDTH, HEIGHT, "Learning curves: training loss", desc);
    qv_plot_frame(b, &p, "epoch", NULL);
    for (size_t j = 0; j < d->n_curves && d->n_curves > 1; j++) {
        lines fold = fold_lines(d, &d->curves[j]);
        qv_plot_line(b, &p, "line thin train", fold.column[QV_EPOCH], fold.column[QV_LOSS], fold.n);
    }
    qv_plot_line(b, &p, "line train", mean->column[QV_EPOCH], mean->column[QV_LOSS], mean->n);
    qv_svg_end(b);
    qv_buf_puts(b, "</figure>\n");
}

static void fold_figure(qv_buf *b, const qv_run_data *d, size_t j)
{
    enum { SMALL = 180, HEIGHT = 118 };
    const qv_curve *c = &d->curves[j];
    lines l = fold_lines(d, c);
    qv_plot p = {qv_axis_exact(0, last_epoch(d), 3, 24, SMALL - 8), qv_axis_exact(0, 1, 2, HEIGHT - 20, 6)};
    char id[32];
    qv_buf desc = {0};
    snprintf(id, sizeof id, "fold%zu", j);
    put_ends(&desc, &l);
    qv_buf_puts(b, "<figure class=\"small\"><figcaption>");
    qv_markup_printf(b, "%s%s", c->fold, c->finished ? "" : " (unfinished)");
    qv_buf_puts(b, "</figcaption>\n");
    qv_svg_begin(b, id, SMALL, HEIGHT, "UA of one fold", desc.failed ? "" : desc.data);
    b->failed = b->failed || desc.failed;
    qv_buf_free(&desc);
    qv_plot_frame(b, &p, NULL, NULL);
    chance_line(b, &p, d->summary.pooled.chance_ua);
    gap_and_lines(b, &p, &l);
    qv_svg_end(b);
    qv_buf_puts(b, "</figure>\n");
}

static void curves_legend(qv_buf *b, const qv_run_data *d)
{
    static const char *const names[] = {"training", "validation", "test", "gap", "chance"};
    static const char *const cls[] = {"line train", "line val", "line test", "gap", "chance"};
    bool val = false;
    for (size_t j = 0; j < d->n_curves; j++) {
        lines l = fold_lines(d, &d->curves[j]);
        val = val || !isnan(last_value(&l, QV_VAL_UA));
    }
    qv_buf_puts(b, "<p class=\"legend\">");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((i == 1 && !val) || (i == 4 && isnan(d->summary.pooled.chance_ua))) continue;
        qv_buf_puts(b, "<span><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\">");
        if (i == 3)
            qv_svg_rect(b, cls[i], 0, 0, 26, 10, 1);
        else
            qv_svg_line(b, cls[i], 0, 5, 26, 5);
        qv_buf_printf(b, "</svg>%s</span> ", names[i]);
    }
    qv_buf_puts(b, "</p>\n");
}

static void curves_note(qv_buf *b, const qv_run_data *d)
{
    qv_buf_printf(
        b,
        "<p class=\"about\">%sUA here is on the middle window of each recording; all figures elsewhere are on full "
        "windows. Test is drawn only: nothing that chooses reads it.</p>\n",
        d->n_curves > 1 ? "Bold: mean of the finished folds; thin: single folds. " : "");
}

qv_status qv_report_curves(qv_ctx *ctx, qv_buf *b, const qv_run_data *d)
{
    lines mean = {0};
    if (d->n_curves == 0) {
        qv_buf_puts(b, "<p>There is no results.csv with epochs in this folder: no curves.</p>\n");
        return QV_OK;
    }
    qv_status status = mean_lines(ctx, &mean, d);
    if (status == QV_OK) {
        curves_legend(b, d);
        qv_buf_puts(b, "<div class=\"two\">\n");
        ua_figure(b, d, &mean);
        loss_figure(b, d, &mean);
        qv_buf_puts(b, "</div>\n");
        curves_note(b, d);
    }
    lines_free(&mean);
    if (status != QV_OK || d->n_curves < 2) return status;
    qv_buf_puts(b, "<h3>UA of each fold</h3>\n<div class=\"many\">\n");
    for (size_t j = 0; j < d->n_curves; j++) fold_figure(b, d, j);
    qv_buf_puts(b, "</div>\n");
    return QV_OK;
}

/* ---- confusion matrix ---- */

/* Shares at which the text on a cell changes its colour: in the light page from dark to bright ink above the
 * second, in the dark page from bright to dark above the first. There black and white have the same contrast
 * (4.5 or more) with the colour of the cell as report_style.c defines it. */
static const char *cell_class(double share) { return share > 0.74 ? "cell hi" : share > 0.55 ? "cell mid" : "cell lo"; }

static void confusion_cell(qv_buf *b, const qv_metrics *m, int t, int p, double x, double y, double size)
{
    size_t n = m->confusion[t * m->classes + p];
    double share = m->score[t].n ? (double)n / (double)m->score[t].n : 0;
    char text[32];
    if (size < 15) { /* no room for a frame, nor for a number */
        qv_svg_rect(b, "heat bare", x, y, size, size, share);
        return;
    }
    qv_svg_rect(b, t == p ? "heat hit" : "heat", x + 1, y + 1, size - 2, size - 2, share);
    bool both = size >= 30 && n > 0;
    snprintf(text, sizeof text, "%zu", n);
    qv_svg_text(b, n > 0 ? cell_class(share) : "tick", x + size / 2, y + size / 2 + (both ? -1 : 4), QV_MIDDLE, text);
    if (!both) return;
    snprintf(text, sizeof text, "%.0f%s%%", 100 * share, size >= 40 ? "\xC2\xA0" : "");
    qv_buf_printf(b, "<g class=\"share\">");
    qv_svg_text(b, cell_class(share), x + size / 2, y + size / 2 + 12, QV_MIDDLE, text);
    qv_buf_puts(b, "</g>\n");
}

/* How the columns are named: level, slanted, or upright in columns too narrow for slanted text. */
typedef struct naming {
    double degrees, width, height; /* room for one name along its line; of all above the cells */
} naming;

static naming name_columns(double widest, double size)
{
    if (widest <= size - 2) return (naming){0, size, FONT};
    double width = fmin(widest, 76) + 1;
    return size >= 16 ? (naming){-40, width, 0.65 * width + 8} : (naming){-90, width, width};
}

static void column_name(qv_buf *b, const char *name, double x, double y, const naming *how, const char *cls)
{
    if (how->degrees == 0) {
        qv_svg_text_fit(b, cls, x, y, QV_MIDDLE, name, how->width, FONT);
        return;
    }
    qv_buf_printf(b, "<g transform=\"translate(%.1f %.1f) rotate(%g)\">", x + (how->degrees < -45 ? 3 : -3), y,
                  how->degrees);
    qv_svg_text_fit(b, cls, 0, 0, QV_START, name, how->width, FONT);
    qv_buf_puts(b, "</g>\n");
}

/* "happiness is most often taken for anger" and the like, for readers who do not see the matrix. */
static void confusion_desc(qv_buf *b, const qv_summary *s)
{
    const qv_metrics *m = &s->pooled;
    qv_buf_printf(b, "Rows are the truth, columns the answers of the model.");
    for (int t = 0; t < m->classes; t++) {
        const qv_class_score *k = &m->score[t];
        if (k->n > 0) qv_buf_printf(b, " %s: %zu of %zu right.", s->classes[t], m->confusion[t * m->classes + t], k->n);
    }
}

void qv_report_confusion(qv_buf *b, const qv_run_data *d)
{
    const qv_summary *s = &d->summary;
    const qv_metrics *m = &s->pooled;
    double wide = 0;
    for (int c = 0; c < m->classes; c++) wide = fmax(wide, qv_text_width(s->classes[c], FONT));
    double left = fmin(wide, 96) + 10, size = fmin(68, (WIDTH - left - 24) / m->classes);
    const char *cls = size < 12 ? "label tiny" : "label";
    naming names = name_columns(wide, size);
    double top = 30 + names.height;
    qv_buf desc = {0};
    confusion_desc(&desc, s);
    qv_page_figure(b, "chart", "Confusion matrix");
    qv_svg_begin(b, "confusion", WIDTH, top + size * m->classes + 4, "Confusion matrix", desc.failed ? "" : desc.data);
    b->failed = b->failed || desc.failed;
    qv_buf_free(&desc);
    qv_svg_text(b, "title", left + size * m->classes / 2, 11, QV_MIDDLE, "answer");
    qv_svg_text(b, "title", left - 8, top - 8, QV_END, "truth");
    for (int t = 0; t < m->classes; t++) {
        double y = top + size * t;
        qv_svg_text_fit(b, cls, left - 8, y + size / 2 + 4, QV_END, s->classes[t], left - 9, FONT);
        column_name(b, s->classes[t], left + size * (t + 0.5), top - 8, &names, cls);
        for (int p = 0; p < m->classes; p++) confusion_cell(b, m, t, p, left + size * p, y, size);
    }
    qv_svg_end(b);
    qv_buf_puts(b, "<p class=\"under\">Recordings, and per cent of the row. Right answers are framed.</p></figure>\n");
}

/* ---- speakers ---- */

enum { MOST_BARS = 48, BAR_ROW = 17 };

static int best_first(const void *a, const void *b)
{
    const qv_speaker_score *x = a, *y = b;
    if (x->ua != y->ua) return x->ua > y->ua ? -1 : 1;
    return (x->speaker > y->speaker) - (x->speaker < y->speaker);
}

static void speaker_bar(qv_buf *b, const qv_run_data *d, const qv_speaker_score *s, const qv_axis *x, double y)
{
    char text[48];
    qv_svg_text_fit(b, "label", x->from - 6, y + 9.5, QV_END, d->speakers[s->speaker], x->from - 10, FONT);
    qv_svg_rect(b, "track", x->from, y, x->to - x->from, BAR_ROW - 5, 1);
    qv_svg_rect(b, "bar", x->from, y, qv_axis_at(x, s->ua) - x->from, BAR_ROW - 5, 1);
    snprintf(text, sizeof text, "%.2f", s->ua);
    qv_svg_text(b, "label num", x->to + 34, y + 9.5, QV_END, text);
    snprintf(text, sizeof text, "%zu", s->n);
    qv_svg_text(b, "tick", WIDTH - 4, y + 9.5, QV_END, text);
}

/* The rows that are drawn: all, or the best and the worst of very many. */
static void speaker_bars(qv_buf *b, const qv_run_data *d, const qv_speaker_score *s, size_t n, const qv_axis *x,
                         double top)
{
    double y = top;
    for (size_t i = 0; i < n; i++) {
        if (n > MOST_BARS && i == MOST_BARS / 2) {
            char text[64];
            i = n - MOST_BARS / 2;
            snprintf(text, sizeof text, "%zu more between", n - MOST_BARS);
            qv_svg_text(b, "tick", (x->from + x->to) / 2, y + 9.5, QV_MIDDLE, text);
            y += BAR_ROW;
        }
        speaker_bar(b, d, &s[i], x, y);
        y += BAR_ROW;
    }
}

static void speaker_figure(qv_buf *b, const qv_run_data *d, const qv_speaker_score *s, size_t n)
{
    enum { TOP = 20 };
    size_t rows = n > MOST_BARS ? MOST_BARS + 1 : n;
    double bottom = TOP + (double)rows * BAR_ROW, wide = 0;
    for (size_t i = 0; i < n; i++) wide = fmax(wide, qv_text_width(d->speakers[s[i].speaker], FONT));
    qv_axis x = qv_axis_exact(0, 1, 5, 12 + fmin(fmax(wide, 24), 110), WIDTH - 72);
    double chance = d->summary.pooled.chance_ua, at = qv_axis_at(&x, chance);
    char desc[160], text[32];
    snprintf(desc, sizeof desc, "%zu speakers; UA from %.3f to %.3f, chance %.3f", n, s[n - 1].ua, s[0].ua, chance);
    qv_page_figure(b, "chart", "Each speaker");
    qv_svg_begin(b, "speakers", WIDTH, bottom + 22, "Unweighted accuracy of each test speaker", desc);
    qv_svg_text(b, "title", x.to + 34, 11, QV_END, "UA");
    qv_svg_text(b, "title", WIDTH - 4, 11, QV_END, "n");
    speaker_bars(b, d, s, n, &x, TOP);
    if (isfinite(chance)) {
        qv_svg_line(b, "chance over", at, TOP - 4, at, bottom);
        qv_svg_text(b, "tick", at, 11, QV_MIDDLE, "chance");
    }
    for (int i = 0; i <= 5; i++) {
        snprintf(text, sizeof text, "%.1f", i / 5.0);
        qv_svg_text(b, "tick", qv_axis_at(&x, i / 5.0), bottom + 13, QV_MIDDLE, text);
    }
    qv_svg_end(b);
    qv_buf_puts(
        b, "<p class=\"under\">UA over the classes that a speaker has; n is the number of recordings.</p></figure>\n");
}

qv_status qv_report_speakers(qv_ctx *ctx, qv_buf *b, const qv_run_data *d)
{
    qv_speaker_score *s = NULL;
    size_t n = 0;
    qv_answers a = qv_run_answers(d);
    qv_status status = qv_metrics_by_speaker(ctx, &s, &n, &a);
    if (status == QV_OK && n > 0) {
        qsort(s, n, sizeof *s, best_first);
        speaker_figure(b, d, s, n);
    }
    free(s);
    return status;
}

/* ---- strip ---- */

void qv_report_strip(qv_buf *b, const char *id, const char *title, double value, double low, double high, double chance)
{
    enum { STRIP = 200, MIDDLE = 9 };
    qv_axis x = qv_axis_exact(0, 1, 5, 2, STRIP - 2);
    char desc[128];
    if (isnan(value)) return;
    int n = snprintf(desc, sizeof desc, "%.3f on a line from 0 to 1", value);
    if (!isnan(chance)) snprintf(desc + n, sizeof desc - (size_t)n, ", chance at %.3f", chance);
    qv_svg_begin(b, id, STRIP, 18, title, desc);
    qv_svg_line(b, "axis", x.from, MIDDLE, x.to, MIDDLE);
    if (!isnan(chance)) qv_svg_line(b, "chance", qv_axis_at(&x, chance), 2, qv_axis_at(&x, chance), 16);
    if (!isnan(low))
        qv_svg_rect(b, "interval", qv_axis_at(&x, low), MIDDLE - 3, qv_axis_at(&x, high) - qv_axis_at(&x, low), 6, 1);
    qv_svg_rect(b, "dot", qv_axis_at(&x, value) - 1.5, 2, 3, 14, 1);
    qv_svg_end(b);
}
