/* The answer in words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "study/study_report.h"

void qv_study_p(qv_buf *b, double p, int digits, bool fixed, double alpha)
{
    enum { MOST = 15 };
    char text[32];
    do snprintf(text, sizeof text, fixed ? "%.*f" : "%.*g", digits, p);
    while (digits++ < MOST && (strtod(text, NULL) <= alpha) != (p <= alpha));
    qv_buf_puts(b, text);
}

/* A difference in points; none has no sign. */
static void put_points(qv_buf *b, const char *what, double x)
{
    qv_buf_printf(b, fabs(x) < 0.05 ? "%s %.1f points" : "%s %+.1f points", what, fabs(x) < 0.05 ? 0 : x);
}

/* "own-twin: UA +2.1 points, gap -4.0 points, corrected p = 0.012" */
static void put_finding(qv_buf *b, const qv_results *r, const qv_comparison_result *c, bool with_p)
{
    const qv_comparison *of = &r->study->comparisons[c->comparison];
    if (r->plan->n_corpora > 1) qv_buf_printf(b, "%s, ", r->plan->corpora[c->corpus].name);
    qv_buf_printf(b, "%s: ", of->name);
    put_points(b, "UA", 100 * c->ua.mean);
    put_points(b, ", gap", c->gap.mean);
    if (!with_p) return;
    qv_buf_printf(b, ", corrected p %s ", c->adjusted < 1e-4 ? "<" : "=");
    qv_study_p(b, fmax(c->adjusted, 1e-4), 2, false, r->study->alpha);
}

static void put_findings(qv_buf *b, const qv_results *r, bool with_p)
{
    enum { MOST = 6 };
    size_t listed = 0;
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (!r->study->comparisons[c->comparison].claimed || c->failed || isnan(c->ua.mean)) continue;
        if (listed == MOST) {
            qv_buf_puts(b, "; and more below");
            break;
        }
        qv_buf_puts(b, listed++ ? "; " : " ");
        put_finding(b, r, c, with_p);
    }
    if (listed) qv_buf_puts(b, ".");
}

static void put_size(qv_buf *b, const qv_results *r)
{
    for (size_t i = 0; i < r->plan->n_corpora; i++) {
        const size_t n = qv_results_heard(r, i);
        qv_buf_printf(b, "%s%zu speaker%s of %s", i ? " and " : "", n, n == 1 ? "" : "s", r->plan->corpora[i].name);
    }
    qv_buf_printf(b, ", %d %s", r->plan->seeds, r->plan->seeds == 1 ? "seed" : "seeds");
}

static void put_folds(qv_buf *b, const qv_results *r)
{
    for (size_t i = 0; i < r->plan->n_corpora; i++) {
        const size_t n = r->plan->corpora[i].n_folds;
        qv_buf_printf(b, "%s%zu fold%s", i ? " and " : "", n, n == 1 ? "" : "s");
    }
}

/* Of the comparisons that the claim needs, which may differ in it. */
static const char *what_is_expected(const qv_results *r)
{
    size_t ua = 0, gap = 0, n = 0;
    for (size_t i = 0; i < r->study->n_comparisons; i++) {
        const qv_comparison *c = &r->study->comparisons[i];
        if (!c->claimed) continue;
        n++;
        ua += c->ua;
        gap += c->gap;
    }
    if ((ua > 0 && ua < n) || (gap > 0 && gap < n)) return "what is expected of each";
    return ua && gap ? "a higher accuracy and a smaller gap" : ua ? "a higher accuracy" : "a smaller gap";
}

/* "all 3 comparisons that the claim needs show", and so on. */
static void put_share(qv_buf *b, const qv_results *r)
{
    static const char needs[] = "that the claim needs";
    if (r->claimed == 1)
        qv_buf_printf(b, "the one comparison %s %s", needs, r->upheld ? "shows" : "does not show");
    else if (r->upheld == r->claimed)
        qv_buf_printf(b, "all %zu comparisons %s show", r->claimed, needs);
    else if (r->upheld == 0)
        qv_buf_printf(b, "none of the %zu comparisons %s shows", r->claimed, needs);
    else
        qv_buf_printf(b, "%zu of the %zu comparisons %s %s", r->upheld, r->claimed, needs,
                      r->upheld == 1 ? "shows" : "show");
}

/* On all corpora. */
static size_t failed_of(const qv_results *r, size_t cell)
{
    size_t n = 0;
    for (size_t i = 0; i < r->plan->n_corpora; i++) n += qv_result_cell(r, i, cell)->failed;
    return n;
}

/* " 12 of preact even and 1 of preact shaken" */
static void put_failed_cells(qv_buf *b, const qv_results *r)
{
    size_t left = 0, listed = 0;
    for (size_t k = 0; k < r->study->n_cells; k++) left += failed_of(r, k) > 0;
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const size_t n = failed_of(r, k);
        if (n == 0) continue;
        qv_buf_printf(b, "%s %zu of %s", !listed ? "" : left == 1 ? " and" : ",", n, r->study->cells[k].name);
        listed++;
        left--;
    }
}

void qv_study_answer(const qv_results *r, qv_buf *b)
{
    switch (r->verdict) {
    case QV_INTERIM:
        qv_buf_printf(b, "Interim: %zu of %zu runs are in, so there is no verdict yet.", r->runs, r->planned);
        put_findings(b, r, false);
        return;
    case QV_NO_COMPARISON:
        qv_buf_puts(b, "The study file names no comparison, so there is no question to answer.");
        return;
    case QV_UNTRAINED:
        qv_buf_printf(b, "It cannot be said: %zu of %zu runs failed,", r->failed, r->planned);
        put_failed_cells(b, r);
        qv_buf_puts(b, ", and a setting that cannot be trained cannot be compared.");
        put_findings(b, r, false);
        return;
    case QV_TOO_FEW:
        qv_buf_puts(b, "It cannot be said: with ");
        put_size(b, r);
        qv_buf_puts(b, " in ");
        put_folds(b, r);
        qv_buf_printf(b, " and %zu comparison%s the smallest p that can come out is above %g, whatever the truth.",
                      r->n_comparisons, r->n_comparisons == 1 ? "" : "s", r->study->alpha);
        put_findings(b, r, false);
        return;
    case QV_CLAIM_HOLDS:
    case QV_CLAIM_FAILS:
        qv_buf_printf(b, "%s: with ", r->verdict == QV_CLAIM_HOLDS ? "Yes" : "Not shown");
        put_size(b, r);
        qv_buf_puts(b, ", ");
        put_share(b, r);
        qv_buf_printf(b, " %s, significant at %g after Holm's correction.", what_is_expected(r), r->study->alpha);
        put_findings(b, r, true);
    }
}
