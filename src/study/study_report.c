/* The tables as CSV and LaTeX, and the three files. */
#include "study/study_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"

/* ---- CSV ---- */

enum { TEXTS = 3, NUMBERS = 27 };
static const char *const csv_names[TEXTS + NUMBERS] = {"kind",
                                                       "corpus",
                                                       "name",
                                                       "runs",
                                                       "speakers",
                                                       "train_ua",
                                                       "ua",
                                                       "ua_low",
                                                       "ua_high",
                                                       "gap",
                                                       "gap_low",
                                                       "gap_high",
                                                       "seed_sd",
                                                       "wa",
                                                       "dz_ua",
                                                       "dz_gap",
                                                       "p_ua",
                                                       "p_gap",
                                                       "p",
                                                       "p_holm",
                                                       "smallest_p",
                                                       "p_t_ua",
                                                       "p_t_gap",
                                                       "p_speakers_ua",
                                                       "p_speakers_gap",
                                                       "p_resampled_ua",
                                                       "p_resampled_gap",
                                                       "significant",
                                                       "even_ua",
                                                       "even_gap"};

static void put_row(qv_buf *b, const char *kind, const char *corpus, const char *name, const double x[NUMBERS])
{
    const char *texts[TEXTS] = {kind, corpus, name};
    qv_csv_write(b, texts, TEXTS);
    if (b->len) b->len--; /* the numbers go on in the same line */
    for (size_t i = 0; i < NUMBERS; i++) {
        qv_buf_puts(b, ",");
        if (isfinite(x[i])) qv_buf_real(b, x[i]);
    }
    qv_buf_puts(b, "\n");
}

static void csv_cell(qv_buf *b, const qv_results *r, size_t corpus, size_t cell)
{
    const qv_cell_result *c = qv_result_cell(r, corpus, cell);
    double x[NUMBERS] = {(double)c->runs,
                         (double)c->speakers,
                         c->mean_train,
                         c->mean_ua,
                         c->ua_interval.bca_low,
                         c->ua_interval.bca_high,
                         c->mean_gap,
                         c->gap_interval.bca_low,
                         c->gap_interval.bca_high,
                         c->seed_sd,
                         c->mean_wa};
    for (size_t i = 11; i < NUMBERS; i++) x[i] = NAN;
    x[NUMBERS - 2] = c->even_ua;
    x[NUMBERS - 1] = c->even_gap;
    put_row(b, "cell", r->plan->corpora[corpus].name, r->study->cells[cell].name, x);
}

static void csv_comparison(qv_buf *b, const qv_results *r, const qv_comparison_result *c)
{
    const double x[NUMBERS] = {NAN,
                               (double)c->speakers,
                               NAN,
                               c->ua.mean,
                               c->ua.interval.bca_low,
                               c->ua.interval.bca_high,
                               c->gap.mean,
                               c->gap.interval.bca_low,
                               c->gap.interval.bca_high,
                               NAN,
                               NAN,
                               c->ua.t.dz,
                               c->gap.t.dz,
                               c->ua.flip.p,
                               c->gap.flip.p,
                               c->p,
                               c->adjusted,
                               c->smallest,
                               c->ua.t.p,
                               c->gap.t.p,
                               c->ua.alone.p,
                               c->gap.alone.p,
                               c->ua.corrected,
                               c->gap.corrected,
                               c->complete ? c->significant : NAN,
                               NAN,
                               NAN};
    put_row(b, "comparison", r->plan->corpora[c->corpus].name, r->study->comparisons[c->comparison].name, x);
}

void qv_study_csv(qv_buf *b, const qv_results *r)
{
    qv_csv_write(b, csv_names, TEXTS + NUMBERS);
    for (size_t i = 0; i < r->plan->n_corpora; i++)
        for (size_t k = 0; k < r->study->n_cells; k++) csv_cell(b, r, i, k);
    for (size_t i = 0; i < r->n_comparisons; i++) csv_comparison(b, r, &r->comparisons[i]);
}

/* ---- LaTeX ---- */

static void tex_text(qv_buf *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            qv_buf_puts(b, "\\textbackslash{}");
        else if (*p == '~' || *p == '^')
            qv_buf_printf(b, "\\%c{}", *p);
        else
            qv_buf_printf(b, strchr("#$%&_{}", *p) ? "\\%c" : "%c", *p);
    }
}

static void tex_number(qv_buf *b, int digits, double x, double low, double high, bool sign)
{
    if (isnan(x)) {
        qv_buf_puts(b, " & --");
        return;
    }
    qv_buf_printf(b, sign ? " & $%+.*f$" : " & $%.*f$", digits, x);
    if (!isnan(low)) qv_buf_printf(b, sign ? " [$%+.*f$, $%+.*f$]" : " [$%.*f$, $%.*f$]", digits, low, digits, high);
}

static void tex_p(qv_buf *b, double p)
{
    if (isnan(p))
        qv_buf_puts(b, " & --");
    else
        qv_buf_printf(b, p < 0.0001 ? " & $<0.0001$" : " & $%.4f$", p);
}

static void tex_begin(qv_buf *b, const char *columns, const char *head)
{
    qv_buf_printf(b, "\\begin{tabular}{%s}\n\\hline\n%s \\\\\n\\hline\n", columns, head);
}

static void tex_cells(qv_buf *b, const qv_results *r, size_t corpus)
{
    tex_begin(b, "lrrr", "setting & UA train & UA test & gap (points)");
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        tex_text(b, r->study->cells[k].name);
        tex_number(b, 3, c->mean_train, NAN, NAN, false);
        tex_number(b, 3, c->mean_ua, c->ua_interval.bca_low, c->ua_interval.bca_high, false);
        tex_number(b, 1, c->mean_gap, c->gap_interval.bca_low, c->gap_interval.bca_high, false);
        qv_buf_puts(b, " \\\\\n");
    }
    qv_buf_puts(b, "\\hline\n\\end{tabular}\n\n");
}

static void tex_comparisons(qv_buf *b, const qv_results *r, size_t corpus)
{
    tex_begin(b, "lrrrrrr", "comparison & UA (points) & gap (points) & $p$ UA & $p$ gap & $p$ both & Holm");
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (c->corpus != corpus) continue;
        tex_text(b, r->study->comparisons[c->comparison].name);
        tex_number(b, 1, 100 * c->ua.mean, 100 * c->ua.interval.bca_low, 100 * c->ua.interval.bca_high, true);
        tex_number(b, 1, c->gap.mean, c->gap.interval.bca_low, c->gap.interval.bca_high, true);
        tex_p(b, c->ua.flip.p);
        tex_p(b, c->gap.flip.p);
        tex_p(b, c->p);
        tex_p(b, c->adjusted);
        qv_buf_puts(b, " \\\\\n");
    }
    qv_buf_puts(b, "\\hline\n\\end{tabular}\n\n");
}

void qv_study_tex(qv_buf *b, const qv_results *r)
{
    qv_buf answer = {0};
    qv_study_answer(r, &answer);
    qv_buf_printf(b, "%% %s\n\n", answer.failed || !answer.data ? "" : answer.data);
    b->failed = b->failed || answer.failed;
    qv_buf_free(&answer);
    for (size_t i = 0; i < r->plan->n_corpora; i++) {
        qv_buf_printf(b, "%% %s: %zu speakers, seeds: %d; intervals: 95 %%, BCa bootstrap over speakers\n",
                      r->plan->corpora[i].name, r->n_speakers[i], r->plan->seeds);
        tex_cells(b, r, i);
        if (r->study->n_comparisons) tex_comparisons(b, r, i);
    }
}

/* ---- files ---- */

static qv_status write_text(qv_ctx *ctx, const char *out, const char *name, const qv_buf *b, char **kept)
{
    char *path = NULL;
    qv_status status = qv_buf_check(ctx, b);
    if (status == QV_OK) status = qv_path_join(ctx, &path, out, name);
    if (status == QV_OK) status = qv_write_file(ctx, path, b->data, b->len);
    if (status == QV_OK && kept) {
        *kept = path;
        return QV_OK;
    }
    free(path);
    return status;
}

qv_status qv_study_report(qv_ctx *ctx, const char *out, char **path)
{
    qv_status status = QV_OK;
    qv_study *s = NULL;
    qv_plan plan = {0};
    qv_results r = {0};
    qv_buf page = {0}, csv = {0}, tex = {0};
    if (path) *path = NULL;
    QV_TRY(qv_study_of_folder(ctx, &s, out));
    QV_TRY(qv_plan_read(ctx, &plan, s, out));
    QV_TRY(qv_results_make(ctx, &r, s, &plan, out));
    QV_TRY(qv_study_page(ctx, &page, &r));
    qv_study_csv(&csv, &r);
    qv_study_tex(&tex, &r);
    QV_TRY(write_text(ctx, out, "report.csv", &csv, NULL));
    QV_TRY(write_text(ctx, out, "report.tex", &tex, NULL));
    QV_TRY(write_text(ctx, out, "report.html", &page, path));
done:
    qv_buf_free(&page);
    qv_buf_free(&csv);
    qv_buf_free(&tex);
    qv_results_free(&r);
    qv_plan_free(&plan);
    qv_study_free(s);
    return status;
}
