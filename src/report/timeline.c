#include "report/timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/svg.h"

enum { BINS = 512, COLORS = 10 };

struct qv_timeline {
    char *const *classes;
    int n_classes;
    double *sums;  /* [BINS][classes] */
    double *ends;  /* [BINS] seconds: of the last decision of each */
    size_t *heard; /* [BINS]: decisions that were not silence */
    size_t n, each; /* bins in use; decisions a full one holds */
    size_t in_last;
};

/* Told apart by colour-blind readers too (Okabe and Ito, 2008), then greys. */
static const char *const colors[COLORS] = {"#d55e00", "#f0e442", "#009e73", "#56b4e9", "#cc79a7",
                                           "#0072b2", "#e69f00", "#444444", "#888888", "#bbbbbb"};

qv_status qv_timeline_new(qv_ctx *ctx, qv_timeline **out, char *const *classes, int n_classes)
{
    qv_status status = QV_OK;
    qv_timeline *t = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &t, 1, sizeof *t));
    t->classes = classes;
    t->n_classes = n_classes;
    t->each = 1;
    QV_TRY(qv_alloc(ctx, &t->sums, (size_t)BINS * (size_t)n_classes, sizeof *t->sums));
    QV_TRY(qv_alloc(ctx, &t->ends, BINS, sizeof *t->ends));
    QV_TRY(qv_alloc(ctx, &t->heard, BINS, sizeof *t->heard));
    *out = t;
    t = NULL;
done:
    qv_timeline_free(t);
    return status;
}

void qv_timeline_free(qv_timeline *t)
{
    if (!t) return;
    free(t->sums);
    free(t->ends);
    free(t->heard);
    free(t);
}

/* Two bins become one. */
static void halve(qv_timeline *t)
{
    size_t k = (size_t)t->n_classes;
    for (size_t i = 0; i < BINS / 2; i++) {
        t->heard[i] = t->heard[2 * i] + t->heard[2 * i + 1];
        t->ends[i] = t->ends[2 * i + 1];
        for (size_t c = 0; c < k; c++) t->sums[i * k + c] = t->sums[2 * i * k + c] + t->sums[(2 * i + 1) * k + c];
    }
    memset(t->heard + BINS / 2, 0, BINS / 2 * sizeof *t->heard);
    memset(t->sums + BINS / 2 * k, 0, BINS / 2 * k * sizeof *t->sums);
    t->n = BINS / 2;
    t->each *= 2;
    t->in_last = t->each;
}

void qv_timeline_add(qv_timeline *t, double end, const double *probs)
{
    if (t->n == BINS && t->in_last == t->each) halve(t);
    if (t->n == 0 || t->in_last == t->each) {
        t->n++;
        t->in_last = 0;
    }
    size_t last = t->n - 1, k = (size_t)t->n_classes;
    t->in_last++;
    t->ends[last] = end;
    if (!probs) return;
    t->heard[last]++;
    for (size_t c = 0; c < k; c++) t->sums[last * k + c] += probs[c];
}

/* Sum of the mean probabilities of classes [0, c) in a bin. */
static double below(const qv_timeline *t, size_t bin, int c)
{
    double sum = 0;
    for (int i = 0; i < c; i++) sum += t->sums[bin * (size_t)t->n_classes + (size_t)i];
    return t->heard[bin] ? sum / (double)t->heard[bin] : 0;
}

/* One class's share of every bin, as a path of rectangles. */
static void draw_class(const qv_timeline *t, const qv_plot *p, int c, qv_buf *b)
{
    qv_buf_printf(b, "<path class=\"c%d\" d=\"", c % COLORS);
    for (size_t i = 0; i < t->n; i++) {
        if (!t->heard[i]) continue;
        double x0 = qv_axis_at(&p->x, i ? t->ends[i - 1] : 0), x1 = qv_axis_at(&p->x, t->ends[i]);
        double y0 = qv_axis_at(&p->y, below(t, i, c)), y1 = qv_axis_at(&p->y, below(t, i, c + 1));
        qv_buf_printf(b, "M%.2f %.2fH%.2fV%.2fH%.2fZ", x0, y0, x1, y1, x0);
    }
    qv_buf_printf(b, "\"><title>");
    qv_markup_text(b, t->classes[c]);
    qv_buf_puts(b, "</title></path>\n");
}

static void style(qv_buf *b)
{
    qv_buf_puts(b, "<style>svg{background:#fff;font-family:sans-serif}text{fill:#222}.tick,.title{font-size:11px}"
                   ".label{font-size:12px}.axis{stroke:#666}.grid{stroke:#ddd}");
    for (int i = 0; i < COLORS; i++) qv_buf_printf(b, ".c%d{fill:%s}", i, colors[i]);
    qv_buf_puts(b, "</style>\n");
}

static void legend(const qv_timeline *t, qv_buf *b, double x, double y)
{
    char cls[16];
    for (int c = t->n_classes - 1; c >= 0; c--, y += 18) { /* as they lie, from the top */
        snprintf(cls, sizeof cls, "c%d", c % COLORS);
        qv_svg_rect(b, cls, x, y - 10, 12, 12, 1);
        qv_svg_text_fit(b, "label", x + 18, y, QV_START, t->classes[c], 130, 12);
    }
}

void qv_timeline_draw(const qv_timeline *t, const char *title, qv_buf *b)
{
    double seconds = t->n ? t->ends[t->n - 1] : 1, unit = seconds >= 7200 ? 3600 : seconds >= 180 ? 60 : 1;
    double height = 60 + 18 * (t->n_classes > 9 ? t->n_classes : 9);
    qv_plot in_units = {.x = qv_axis_exact(0, seconds / unit, 10, 50, 720), .y = qv_axis_exact(0, 1, 5, height - 40, 30)};
    qv_plot in_seconds = in_units;
    in_seconds.x = qv_axis_exact(0, seconds, 10, 50, 720);
    qv_buf_printf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"%.0f\" viewBox=\"0 0 900 %.0f\" role=\"img\">\n<title>",
                  height, height);
    qv_markup_text(b, title);
    qv_buf_puts(b, "</title>\n");
    style(b);
    qv_plot_frame(b, &in_units, unit == 1 ? "seconds" : unit == 60 ? "minutes" : "hours", "probability");
    for (int c = 0; c < t->n_classes; c++) draw_class(t, &in_seconds, c, b);
    legend(t, b, 740, 40);
    qv_svg_end(b);
}
