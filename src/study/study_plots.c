/* The pictures of a study. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "net/block.h"
#include "report/page.h"
#include "report/svg.h"
#include "study/study_report.h"

enum { WIDTH = 380, HEIGHT = 270, FONT = 11, COLOURS = 8 };

/* Widens low..high to hold x, where that is a number. */
static void reach(double *low, double *high, double x)
{
    if (isnan(x)) return;
    *low = fmin(*low, x);
    *high = fmax(*high, x);
}

static double chance_of(const qv_results *r, size_t corpus) { return 1 / (double)r->plan->corpora[corpus].n_classes; }

static void open_colour(qv_buf *b, size_t k) { qv_buf_printf(b, "<g class=\"k%zu\">\n", k % COLOURS); }

/* Numbered names under a picture; cells without records, or without the profile that is shown, are left out. */
static void cell_legend(qv_buf *b, const qv_results *r, size_t corpus, qv_profile_kind shown)
{
    qv_buf_puts(b, "<p class=\"legend\">");
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        if (c->runs == 0 || (shown < QV_PROFILES && c->profiles[shown].n == 0)) continue;
        qv_buf_printf(b, "<span><b class=\"key k%zu\">%zu</b>", k % COLOURS, k + 1);
        qv_markup_text(b, r->study->cells[k].name);
        qv_buf_puts(b, "</span> ");
    }
    qv_buf_puts(b, "</p>\n");
}

static void numbered_mark(qv_buf *b, size_t k, double x, double y)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", k + 1);
    qv_svg_circle(b, "mark", x, y, 7.5);
    qv_svg_text(b, "num", x, y + 3, QV_MIDDLE, text);
}

/* ---- accuracy against gap ---- */

static void scatter_point(qv_buf *b, const qv_plot *p, const qv_cell_result *c, size_t k)
{
    double x = qv_axis_at(&p->x, c->mean_gap), y = qv_axis_at(&p->y, c->mean_ua);
    open_colour(b, k);
    if (!isnan(c->gap_interval.bca_low))
        qv_svg_line(b, "whisker", qv_axis_at(&p->x, c->gap_interval.bca_low), y,
                    qv_axis_at(&p->x, c->gap_interval.bca_high), y);
    if (!isnan(c->ua_interval.bca_low))
        qv_svg_line(b, "whisker", x, qv_axis_at(&p->y, c->ua_interval.bca_low), x,
                    qv_axis_at(&p->y, c->ua_interval.bca_high));
    numbered_mark(b, k, x, y);
    qv_buf_puts(b, "</g>\n");
}

void qv_study_scatter(qv_buf *b, const qv_results *r, size_t corpus)
{
    double x0 = HUGE_VAL, x1 = -HUGE_VAL, y0 = HUGE_VAL, y1 = -HUGE_VAL;
    char id[32];
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        const double gaps[] = {c->mean_gap, c->gap_interval.bca_low, c->gap_interval.bca_high};
        const double uas[] = {c->mean_ua, c->ua_interval.bca_low, c->ua_interval.bca_high};
        for (int i = 0; i < 3; i++) {
            reach(&x0, &x1, gaps[i]);
            reach(&y0, &y1, uas[i]);
        }
    }
    qv_plot p = {qv_axis_nice(x0, x1, 7, 40, WIDTH - 14), qv_axis_nice(y0, y1, 6, HEIGHT - 36, 22)};
    snprintf(id, sizeof id, "scatter%zu", corpus);
    qv_page_figure(b, "chart", "One point a setting: up and to the left is better");
    qv_svg_begin(b, id, WIDTH, HEIGHT, "Accuracy against gap",
                 "The same figures as in the table of settings, with their intervals.");
    qv_plot_frame(b, &p, "gap, points", "UA of test speakers");
    for (size_t k = r->study->n_cells; k-- > 0;) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        if (c->runs) scatter_point(b, &p, c, k);
    }
    qv_svg_end(b);
    cell_legend(b, r, corpus, QV_PROFILES);
    qv_buf_puts(b, "<p class=\"under\">Lines: 95 % intervals over the test speakers.</p></figure>\n");
}

/* ---- forest ---- */

enum { FOREST_ROW = 30, FOREST_TOP = 10 };

static double in_points(bool gap, double x) { return gap ? x : 100 * x; }

static void forest_row(qv_buf *b, const qv_results *r, const qv_comparison_result *c, bool gap, const qv_axis *x,
                       double y)
{
    const qv_measure_result *m = gap ? &c->gap : &c->ua;
    const double *each = gap ? c->d_gap : c->d_ua;
    qv_svg_text_fit(b, "label", x->from - 8, y + 4, QV_END, r->study->comparisons[c->comparison].name, x->from - 12,
                    FONT);
    for (size_t k = 0; k < r->n_speakers[c->corpus]; k++)
        if (!isnan(each[k])) qv_svg_circle(b, "speaker", qv_axis_at(x, in_points(gap, each[k])), y + 8, 1.9);
    if (!isnan(m->interval.bca_low))
        qv_svg_line(b, "whisk", qv_axis_at(x, in_points(gap, m->interval.bca_low)), y,
                    qv_axis_at(x, in_points(gap, m->interval.bca_high)), y);
    if (!isnan(m->mean)) qv_svg_circle(b, "point", qv_axis_at(x, in_points(gap, m->mean)), y, 4);
}

void qv_study_forest(qv_buf *b, const qv_results *r, size_t corpus, bool gap)
{
    double low = 0, high = 0, wide = 40;
    size_t rows = 0;
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (c->corpus != corpus) continue;
        rows++;
        wide = fmax(wide, qv_text_width(r->study->comparisons[c->comparison].name, FONT));
        for (size_t k = 0; k < r->n_speakers[corpus]; k++)
            reach(&low, &high, in_points(gap, gap ? c->d_gap[k] : c->d_ua[k]));
    }
    double bottom = FOREST_TOP + (double)rows * FOREST_ROW;
    qv_axis x = qv_axis_nice(low, high, 6, 14 + fmin(wide, 130), WIDTH - 12);
    qv_plot p = {x, qv_axis_exact(1, 2, 1, bottom, FOREST_TOP)};
    char id[32];
    snprintf(id, sizeof id, "forest%zu%s", corpus, gap ? "gap" : "ua");
    qv_page_figure(b, "chart", gap ? "Gap: left of zero it shrinks" : "Accuracy: right of zero it rises");
    qv_svg_begin(b, id, WIDTH, bottom + 34, gap ? "Differences of the gap" : "Differences of UA",
                 "The same figures as in the table of comparisons; small dots are single speakers.");
    p.y.step = 10; /* no tick within: rows have no values */
    qv_plot_frame(b, &p, gap ? "gap, points" : "UA, points", NULL);
    qv_svg_line(b, "zero", qv_axis_at(&x, 0), FOREST_TOP - 6, qv_axis_at(&x, 0), bottom);
    double y = FOREST_TOP + 8;
    for (size_t i = 0; i < r->n_comparisons; i++) {
        if (r->comparisons[i].corpus != corpus) continue;
        forest_row(b, r, &r->comparisons[i], gap, &x, y);
        y += FOREST_ROW;
    }
    qv_svg_end(b);
    qv_buf_puts(
        b,
        "<p class=\"under\">Large dot and line: mean and 95 % interval; small dots: single speakers.</p></figure>\n");
}

/* ---- learning curves ---- */

/* The last mean that is a number: where patience ends trainings, the runs are of different lengths. NaN: none is. */
static double last_of(const qv_cell_result *c, int column)
{
    size_t i = c->n_curve;
    while (i > 0 && isnan(c->curve[column][i - 1])) i--;
    return i > 0 ? c->curve[column][i - 1] : NAN;
}

static void curve_figure(qv_buf *b, const qv_results *r, size_t corpus, size_t k, double epochs)
{
    enum { SMALL = 200, LOW = 132 };
    const qv_cell_result *c = qv_result_cell(r, corpus, k);
    qv_plot p = {qv_axis_exact(0, epochs, 3, 24, SMALL - 8), qv_axis_exact(0, 1, 2, LOW - 20, 6)};
    double chance = qv_axis_at(&p.y, chance_of(r, corpus));
    char id[40], desc[128];
    snprintf(id, sizeof id, "curve%zu-%zu", corpus, k);
    snprintf(desc, sizeof desc, "UA over epochs: training %.3f and test %.3f at the end", last_of(c, QV_RUN_TRAIN),
             last_of(c, QV_RUN_TEST));
    qv_buf_printf(b, "<figure class=\"small\"><figcaption><b class=\"key k%zu\">%zu</b>", k % COLOURS, k + 1);
    qv_markup_text(b, r->study->cells[k].name);
    qv_buf_puts(b, "</figcaption>\n");
    qv_svg_begin(b, id, SMALL, LOW, "Learning curve of one setting", desc);
    qv_plot_frame(b, &p, NULL, NULL);
    qv_svg_line(b, "chance", p.x.from, chance, p.x.to, chance);
    qv_plot_band(b, &p, "gap", c->curve[QV_RUN_EPOCH], c->curve[QV_RUN_TEST], c->curve[QV_RUN_TRAIN], c->n_curve);
    qv_plot_line(b, &p, "line train", c->curve[QV_RUN_EPOCH], c->curve[QV_RUN_TRAIN], c->n_curve);
    qv_plot_line(b, &p, "line val", c->curve[QV_RUN_EPOCH], c->curve[QV_RUN_VAL], c->n_curve);
    qv_plot_line(b, &p, "line test", c->curve[QV_RUN_EPOCH], c->curve[QV_RUN_TEST], c->n_curve);
    qv_svg_end(b);
    qv_buf_puts(b, "</figure>\n");
}

static void curve_legend(qv_buf *b, bool val)
{
    static const char *const names[] = {"training", "validation", "test", "chance"};
    static const char *const cls[] = {"line train", "line val", "line test", "chance"};
    qv_buf_puts(b, "<p class=\"legend\">");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (i == 1 && !val) continue;
        qv_buf_puts(b, "<span><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\">");
        qv_svg_line(b, cls[i], 0, 5, 26, 5);
        qv_buf_printf(b, "</svg>%s</span> ", names[i]);
    }
    qv_buf_puts(b, "</p>\n");
}

void qv_study_curves(qv_buf *b, const qv_results *r, size_t corpus)
{
    double epochs = 1;
    bool val = false;
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        if (c->n_curve == 0) continue;
        epochs = fmax(epochs, c->curve[QV_RUN_EPOCH][c->n_curve - 1]);
        val = val || !isnan(last_of(c, QV_RUN_VAL));
    }
    curve_legend(b, val);
    qv_buf_puts(b, "<div class=\"many\">\n");
    for (size_t k = 0; k < r->study->n_cells; k++)
        if (qv_result_cell(r, corpus, k)->n_curve) curve_figure(b, r, corpus, k, epochs);
    qv_buf_puts(
        b,
        "</div>\n<p class=\"about\">Means over all runs of a setting; UA on the middle window of each recording, all "
        "other figures are on full windows. Test is drawn only: nothing that chooses reads it.</p>\n");
}

/* ---- embeddings ---- */

static void points_of(qv_buf *b, const qv_plot *p, const qv_record_shape *s, const char *cls, double radius)
{
    for (size_t i = 0; i < s->n_points; i++) {
        open_colour(b, (size_t)s->labels[i]);
        qv_svg_circle(b, cls, qv_axis_at(&p->x, s->points[2 * i]), qv_axis_at(&p->y, s->points[2 * i + 1]), radius);
        qv_buf_puts(b, "</g>\n");
    }
}

/* A square about the origin, so that angles look like what they are. */
static void embedding_figure(qv_buf *b, const qv_results *r, size_t corpus, size_t k)
{
    enum { SIDE = 230 };
    const qv_cell_result *c = qv_result_cell(r, corpus, k);
    double far = 1e-9;
    char id[40];
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; i < 2 * c->shape[part].n_points; i++) far = fmax(far, fabs(c->shape[part].points[i]));
    qv_plot p = {qv_axis_exact(-far, far, 2, 6, SIDE - 6), qv_axis_exact(-far, far, 2, SIDE - 6, 6)};
    snprintf(id, sizeof id, "embedding%zu-%zu", corpus, k);
    qv_buf_printf(b, "<figure class=\"small\"><figcaption><b class=\"key plain\">%zu</b>", k + 1);
    qv_markup_text(b, r->study->cells[k].name);
    qv_buf_puts(b, "</figcaption>\n");
    qv_svg_begin(b, id, SIDE, SIDE, "Embedding of one setting", "One dot a recording, about the origin.");
    qv_svg_line(b, "grid", 6, SIDE / 2.0, SIDE - 6, SIDE / 2.0);
    qv_svg_line(b, "grid", SIDE / 2.0, 6, SIDE / 2.0, SIDE - 6);
    points_of(b, &p, &c->shape[0], "seen", 2.4);
    points_of(b, &p, &c->shape[1], "new", 3.6);
    qv_svg_end(b);
    qv_buf_puts(b, "</figure>\n");
}

void qv_study_embeddings(qv_buf *b, const qv_results *r, size_t corpus)
{
    const qv_plan_corpus *c = &r->plan->corpora[corpus];
    size_t drawn = 0;
    for (size_t k = 0; k < r->study->n_cells; k++) {
        if (qv_result_cell(r, corpus, k)->shape[0].n_points == 0) continue;
        if (drawn++ == 0) {
            qv_buf_puts(b, "<h2>Embeddings</h2>\n<p class=\"legend\">");
            for (size_t i = 0; i < c->n_classes; i++) {
                qv_buf_printf(b, "<span><b class=\"key k%zu\">&nbsp;</b>", i % COLOURS);
                qv_markup_text(b, c->classes[i]);
                qv_buf_puts(b, "</span> ");
            }
            qv_buf_puts(b, "</p>\n<div class=\"many large\">\n");
        }
        embedding_figure(b, r, corpus, k);
    }
    if (drawn)
        qv_buf_puts(b, "</div>\n<p class=\"about\">The first run of each setting that is there. Dots: training recordings; "
                       "rings: test recordings. Each picture has its own scale, and the origin in its middle.</p>\n");
}

/* ---- gamma0 ---- */

/* Whether two settings are the same but for shake.gamma0; the defaults stand in neither. */
static bool same_but_gamma(const char *a, const char *b)
{
    static const char key[] = "shake.gamma0 = ";
    for (;;) {
        if (strncmp(a, key, sizeof key - 1) == 0) a = strchr(a, '\n') + 1;
        if (strncmp(b, key, sizeof key - 1) == 0) b = strchr(b, '\n') + 1;
        size_t n = strcspn(a, "\n");
        if (n == 0 || strncmp(a, b, n + 1) != 0) return n == 0 && *b == '\0';
        a += n + 1, b += n + 1;
    }
}

/* Whether two cells have other levels on axes of gamma0 alone; what [cells] set for them may differ, too. */
static bool other_gamma_level(const qv_study *s, size_t a, size_t b)
{
    for (size_t x = 0; x < s->n_axes; x++) {
        const int la = s->cells[a].level[x], lb = s->cells[b].level[x];
        if (la == lb) continue;
        if (la < 0 || lb < 0 || !qv_study_sets_only(&s->axes[x].levels[la], "shake.gamma0") ||
            !qv_study_sets_only(&s->axes[x].levels[lb], "shake.gamma0"))
            return false;
    }
    return true;
}

/* Cells that differ in gamma0, where that has an effect. */
static bool same_group(const qv_study *s, size_t a, size_t b)
{
    return qv_order_norm_before_shake((qv_block_order)s->cells[a].settings.order) &&
           (same_but_gamma(s->cells[a].identity, s->cells[b].identity) || other_gamma_level(s, a, b));
}

/* Whether a line joins cells that differ in more than gamma0. */
static bool differ_in_more(const qv_study *s)
{
    for (size_t a = 0; a < s->n_cells; a++)
        for (size_t b = 0; b < a; b++)
            if (same_group(s, a, b) && !same_but_gamma(s->cells[a].identity, s->cells[b].identity)) return true;
    return false;
}

/* The first of a group of at least two. */
static bool first_of_group(const qv_study *s, size_t k)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_cells; i++) {
        if (!same_group(s, k, i)) continue;
        if (i < k) return false;
        n++;
    }
    return n > 1;
}

static double value_of(const qv_cell_result *c, bool gap) { return gap ? c->mean_gap : c->mean_ua; }
static const qv_interval *interval_of(const qv_cell_result *c, bool gap)
{
    return gap ? &c->gap_interval : &c->ua_interval;
}

/* One group's points by rising gamma0. */
static size_t group_points(const qv_results *r, size_t corpus, size_t first, bool gap, size_t *cells, double *x,
                           double *y)
{
    const qv_study *s = r->study;
    size_t n = 0;
    for (size_t k = first; k < s->n_cells && n < 64; k++) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        if (!same_group(s, first, k) || c->runs == 0) continue;
        size_t at = n++;
        for (; at > 0 && x[at - 1] > s->cells[k].settings.gamma0; at--)
            x[at] = x[at - 1], y[at] = y[at - 1], cells[at] = cells[at - 1];
        x[at] = s->cells[k].settings.gamma0;
        y[at] = value_of(c, gap);
        cells[at] = k;
    }
    return n;
}

static void gamma_group(qv_buf *b, const qv_results *r, size_t corpus, size_t first, bool gap, const qv_plot *p)
{
    size_t cells[64];
    double x[64], y[64];
    size_t n = group_points(r, corpus, first, gap, cells, x, y);
    open_colour(b, first);
    qv_plot_line(b, p, "trace", x, y, n);
    qv_buf_puts(b, "</g>\n");
    for (size_t i = 0; i < n; i++) {
        const qv_interval *in = interval_of(qv_result_cell(r, corpus, cells[i]), gap);
        double at = qv_axis_at(&p->x, x[i]);
        open_colour(b, cells[i]);
        if (!isnan(in->bca_low))
            qv_svg_line(b, "whisker", at, qv_axis_at(&p->y, in->bca_low), at, qv_axis_at(&p->y, in->bca_high));
        numbered_mark(b, cells[i], at, qv_axis_at(&p->y, y[i]));
        qv_buf_puts(b, "</g>\n");
    }
}

/* Widens the axes to a group. */
static void reach_group(const qv_results *r, size_t corpus, size_t first, bool gap, double *low, double *high,
                        double *last)
{
    for (size_t k = first; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        if (!same_group(r->study, first, k)) continue;
        reach(low, high, value_of(c, gap));
        reach(low, high, interval_of(c, gap)->bca_low);
        reach(low, high, interval_of(c, gap)->bca_high);
        *last = fmax(*last, r->study->cells[k].settings.gamma0);
    }
}

static void gamma_figure(qv_buf *b, const qv_results *r, size_t corpus, bool gap)
{
    enum { BESIDE = 5 };
    double low = HUGE_VAL, high = -HUGE_VAL, last = 0;
    char id[32];
    size_t groups = 0, drawn = 0;
    for (size_t k = 0; k < r->study->n_cells; k++) {
        if (!first_of_group(r->study, k)) continue;
        reach_group(r, corpus, k, gap, &low, &high, &last);
        groups++;
    }
    qv_plot p = {qv_axis_nice(0, last, 5, 48, WIDTH - 26), qv_axis_nice(low, high, 5, HEIGHT - 76, 22)};
    snprintf(id, sizeof id, "gamma%zu%s", corpus, gap ? "gap" : "ua");
    qv_page_figure(b, "chart", gap ? "Start of the scale against gap" : "Start of the scale against accuracy");
    qv_svg_begin(b, id, WIDTH, HEIGHT - 40, gap ? "gamma0 against gap" : "gamma0 against UA",
                 "The same figures as in the table of settings; lines join settings that differ in gamma0.");
    qv_plot_frame(b, &p, "gamma0", gap ? "gap, points" : "UA of test speakers");
    for (size_t k = 0; k < r->study->n_cells; k++) {
        if (!first_of_group(r->study, k)) continue;
        double aside = BESIDE * ((double)drawn++ - (double)(groups - 1) / 2);
        qv_plot beside = p; /* so that no group's marks cover those of another */
        beside.x.from += aside, beside.x.to += aside;
        gamma_group(b, r, corpus, k, gap, &beside);
    }
    qv_svg_end(b);
    qv_buf_printf(b, "<p class=\"under\">Lines join settings that differ in gamma0 %s.</p></figure>\n",
                  differ_in_more(r->study) ? "and in what the study file sets for each, such as the epochs" : "alone");
}

void qv_study_gamma(qv_buf *b, const qv_results *r, size_t corpus)
{
    bool any = false;
    for (size_t k = 0; k < r->study->n_cells; k++) any = any || first_of_group(r->study, k);
    if (!any) return;
    gamma_figure(b, r, corpus, false);
    gamma_figure(b, r, corpus, true);
}

/* ---- layer by layer ---- */

static void profile_line(qv_buf *b, const qv_profile *from, size_t k, const qv_plot *p)
{
    double x[QV_MOST_LAYERS];
    for (size_t i = 0; i < from->n; i++) x[i] = (double)i + 1;
    open_colour(b, k);
    qv_plot_band(b, p, "spread", x, from->low, from->high, from->n);
    qv_plot_line(b, p, "trace", x, from->mean, from->n);
    qv_buf_puts(b, "</g>\n");
}

/* The cell's number stands a share of the way along its line: those of equal lines would cover each other at the end.
 */
static void profile_mark(qv_buf *b, const qv_profile *from, size_t k, const qv_plot *p, double share)
{
    double at = share * (double)(from->n - 1);
    size_t before = (size_t)at, after = before + 1 < from->n ? before + 1 : before;
    double y = from->mean[before] + (at - (double)before) * (from->mean[after] - from->mean[before]);
    if (isnan(y)) return;
    open_colour(b, k);
    numbered_mark(b, k, qv_axis_at(&p->x, 1 + at), qv_axis_at(&p->y, y));
    qv_buf_puts(b, "</g>\n");
}

typedef struct profile_words {
    const char *caption, *title, *description, *axis, *under;
} profile_words;

static const profile_words profile_texts[QV_PROFILES] = {
    [QV_PROFILE_SCALES] = {"Learned scales before the shake", "Learned scales, block by block",
                           "Mean absolute scale of the normalization before the shake, at the end of training.",
                           "mean |gamma|", ""},
    [QV_PROFILE_MOVED] = {"What a coefficient can move", "Half the difference of the branches, block by block",
                          "Root mean square of half the difference of the two branches, in that of the block's output.",
                          "share of the output",
                          "Half the difference of the branches in the block's output, root mean squares: what the shake "
                          "moves. "},
    [QV_PROFILE_APART] = {"How far apart the branches are", "Difference over sum of the branches, block by block",
                          "Root mean square of the difference of the two branches, in that of their sum.",
                          "difference / sum", "1: branches that have nothing to do with each other; 0: equal ones. "},
};

static void profile_figure(qv_buf *b, const qv_results *r, size_t corpus, qv_profile_kind kind)
{
    const profile_words *t = &profile_texts[kind];
    double high = 0;
    size_t blocks = 0, traces = 0, drawn = 0;
    char id[32];
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_profile *p = &qv_result_cell(r, corpus, k)->profiles[kind];
        if (p->n > blocks) blocks = p->n;
        traces += p->n > 0;
        for (size_t i = 0; i < p->n; i++) high = fmax(high, p->high[i]);
    }
    if (blocks == 0) return;
    qv_plot p = {qv_axis_exact(1, fmax(2, (double)blocks), blocks < 8 ? (int)blocks : 8, 40, WIDTH - 18),
                 qv_axis_nice(0, high, 5, HEIGHT - 76, 22)};
    p.x.step = fmax(1, round(p.x.step));
    p.x.digits = 0;
    snprintf(id, sizeof id, "%s%zu", qv_profile_keys[kind], corpus);
    qv_page_figure(b, "chart", t->caption);
    qv_svg_begin(b, id, WIDTH, HEIGHT - 40, t->title, t->description);
    qv_plot_frame(b, &p, "block, from the input", t->axis);
    for (size_t k = 0; k < r->study->n_cells; k++)
        if (qv_result_cell(r, corpus, k)->profiles[kind].n)
            profile_line(b, &qv_result_cell(r, corpus, k)->profiles[kind], k, &p);
    for (size_t k = 0; k < r->study->n_cells; k++)
        if (qv_result_cell(r, corpus, k)->profiles[kind].n)
            profile_mark(b, &qv_result_cell(r, corpus, k)->profiles[kind], k, &p, (double)++drawn / (double)traces);
    qv_svg_end(b);
    cell_legend(b, r, corpus, kind);
    qv_buf_printf(b, "<p class=\"under\">%sLine: mean of the runs; area: from the smallest to the largest run.</p></figure>\n",
                  t->under);
}

void qv_study_profiles(qv_buf *b, const qv_results *r, size_t corpus)
{
    for (int k = 0; k < QV_PROFILES; k++) profile_figure(b, r, corpus, (qv_profile_kind)k);
}
