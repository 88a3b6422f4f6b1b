#include "study/study_compare.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "train/checkpoint.h"

/* What rounding can make of a speaker's weighted sum over cells. The k-th addition of a mean rounds a sum of up to k
 * terms, so the mean of n terms is off by up to n / 4 units in the last place: those of classes, twice in a gap, those
 * of seeds, and the sum over cells, which is no mean. The 16 is for single divisions and differences. */
static double noise_of(const qv_results *r, const qv_comparison_result *c, bool gap)
{
    const qv_comparison *of = &r->study->comparisons[c->comparison];
    const double most = gap ? 100 : 1, classes = (double)r->plan->corpora[c->corpus].n_classes;
    double weights = 0, terms = classes + r->plan->seeds;
    for (size_t i = 0; i < r->study->n_cells; i++) {
        weights += fabs(of->weight[i]);
        terms += of->weight[i] != 0;
    }
    return (16 + terms / 2) * DBL_EPSILON * most * weights;
}

/* The weighted sum over cells, a value a speaker; NaN where a cell has none. What rounding can make of cells that are
 * equal is no difference. */
static void contrast(const qv_results *r, const qv_comparison_result *c, bool gap, double noise, double *d)
{
    const qv_comparison *of = &r->study->comparisons[c->comparison];
    for (size_t k = 0; k < r->n_speakers[c->corpus]; k++) {
        d[k] = 0;
        for (size_t i = 0; i < r->study->n_cells; i++) {
            const qv_cell_result *cell = qv_result_cell(r, c->corpus, i);
            if (of->weight[i] != 0) d[k] += of->weight[i] * (gap ? cell->gap[k] : cell->ua[k]);
        }
        if (fabs(d[k]) <= noise) d[k] = 0;
    }
}

/* Recordings tested over those trained on, mean of the folds. */
static double test_ratio(const qv_plan_corpus *c)
{
    double sum = 0;
    for (size_t f = 0; f < c->n_folds; f++) sum += (double)c->folds[f].test / fmax(1, (double)c->folds[f].train);
    return sum / (double)c->n_folds;
}

/* p of the corrected resampled t-test: a difference a fold, the mean of its speakers. */
static qv_status corrected(qv_ctx *ctx, double *p, const double *d, const int *fold, size_t n, double noise,
                           const qv_plan_corpus *c)
{
    double *of_fold;
    size_t folds = 0;
    qv_status status = qv_alloc(ctx, &of_fold, c->n_folds, sizeof *of_fold);
    if (status != QV_OK) return status;
    for (size_t f = 0; f < c->n_folds; f++) {
        double sum = 0;
        size_t count = 0;
        for (size_t k = 0; k < n; k++)
            if (fold[k] == (int)f) {
                sum += d[k];
                count++;
            }
        if (count) of_fold[folds++] = sum / (double)count;
    }
    *p = qv_t_corrected(of_fold, folds, test_ratio(c), noise);
    free(of_fold);
    return QV_OK;
}

/* d: the difference of each speaker that has one, n of them; a fall is the improvement of a gap. tested: it is time
 * for a p. */
static qv_status measure(qv_ctx *ctx, qv_measure_result *m, double *d, const int *fold, size_t n, bool gap,
                         double noise, bool tested, const qv_plan_corpus *c)
{
    qv_status status = QV_OK;
    QV_TRY(qv_poll(ctx)); /* a million flips of many speakers take their time */
    QV_TRY(qv_interval_mean(ctx, &m->interval, d, n, noise, 1, QV_INTERVAL_DRAWS));
    for (size_t k = 0; gap && k < n; k++) d[k] = -d[k];
    m->t = qv_t_paired(d, n, noise);
    m->mean = gap ? 0 - m->t.mean : m->t.mean; /* no difference has no sign */
    if (!tested) { /* looking early is a way of choosing */
        m->t.p = m->flip.p = m->alone.p = m->corrected = NAN;
        goto done;
    }
    QV_TRY(qv_flip_signs(ctx, &m->flip, d, fold, n, noise, 1));
    QV_TRY(qv_flip_signs(ctx, &m->alone, d, NULL, n, noise, 1));
    QV_TRY(corrected(ctx, &m->corrected, d, fold, n, noise, c));
done:
    return status;
}

static qv_status compare(qv_ctx *ctx, const qv_results *r, qv_comparison_result *c)
{
    const qv_comparison *of = &r->study->comparisons[c->comparison];
    size_t all = r->n_speakers[c->corpus];
    qv_status status = QV_OK;
    double *d = NULL;
    int *fold = NULL;
    QV_TRY(qv_alloc(ctx, &d, all, sizeof *d));
    QV_TRY(qv_alloc(ctx, &fold, all, sizeof *fold));
    QV_TRY(qv_alloc(ctx, &c->d_ua, all, sizeof *c->d_ua));
    QV_TRY(qv_alloc(ctx, &c->d_gap, all, sizeof *c->d_gap));
    c->complete = r->runs == r->planned;
    for (size_t i = 0; i < r->study->n_cells; i++)
        if (of->weight[i] != 0) c->failed += qv_result_cell(r, c->corpus, i)->failed;
    const bool tested = c->complete && c->failed == 0;
    for (int gap = 0; gap < 2; gap++) {
        double *each = gap ? c->d_gap : c->d_ua;
        const double noise = noise_of(r, c, gap);
        contrast(r, c, gap, noise, each);
        c->speakers = 0;
        for (size_t k = 0; k < all; k++) {
            if (isnan(each[k])) continue;
            fold[c->speakers] = r->fold_of[c->corpus][k];
            d[c->speakers++] = each[k];
        }
        QV_TRY(measure(ctx, gap ? &c->gap : &c->ua, d, fold, c->speakers, gap, noise, tested,
                       &r->plan->corpora[c->corpus]));
    }
    c->p = of->ua && of->gap ? fmax(c->ua.flip.p, c->gap.flip.p) : of->ua ? c->ua.flip.p : c->gap.flip.p;
    if (!tested) c->p = NAN; /* fmax passes over a NaN */
done:
    free(d);
    free(fold);
    return status;
}

/* Holm takes the smallest p times all comparisons, the next times one fewer, and so on, and lets none fall below one
 * before it. At best all corpora whose folds allow a smaller p, and so come first, have theirs. */
double qv_plan_smallest_p(const qv_study *s, const qv_plan *p, size_t corpus)
{
    const double own = qv_flip_smallest(p->corpora[corpus].n_folds);
    double smallest = 0;
    for (size_t i = 0; i < p->n_corpora; i++) {
        const double it = qv_flip_smallest(p->corpora[i].n_folds);
        size_t left = s->n_comparisons * p->n_corpora;
        for (size_t k = 0; k < p->n_corpora; k++)
            if (qv_flip_smallest(p->corpora[k].n_folds) < it) left -= s->n_comparisons;
        if (it <= own) smallest = fmax(smallest, (double)left * it);
    }
    return fmin(1, smallest);
}

void qv_plan_warn(qv_ctx *ctx, const qv_study *s, const qv_plan *p)
{
    size_t family = s->n_comparisons * p->n_corpora;
    for (size_t i = 0; i < p->n_starts; i++) qv_checkpoint_warn_of_heard(ctx, p->starts[i].heard, p->starts[i].file);
    for (size_t i = 0; i < p->n_corpora && family > 0; i++) {
        double smallest = qv_plan_smallest_p(s, p, i);
        if (smallest <= s->alpha) continue;
        qv_warn(
            ctx,
            "corpus %s: %zu folds and %zu comparison%s can give no p below %.2g, so nothing can be significant at %g: "
            "the study can show, not prove",
            p->corpora[i].name, p->corpora[i].n_folds, family, family == 1 ? "" : "s", smallest, s->alpha);
    }
}

/* Holm over the whole family, also those that cannot be tested since runs failed: no p is the better for that. */
static qv_status correct(qv_ctx *ctx, qv_results *r)
{
    size_t n = r->n_comparisons;
    double *p = NULL, *adjusted = NULL;
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &p, n, sizeof *p));
    QV_TRY(qv_alloc(ctx, &adjusted, n, sizeof *adjusted));
    for (size_t i = 0; i < n; i++) p[i] = r->comparisons[i].failed ? 1 : r->comparisons[i].p;
    QV_TRY(qv_holm(ctx, p, adjusted, n));
    for (size_t i = 0; i < n; i++) {
        qv_comparison_result *c = &r->comparisons[i];
        c->adjusted = isnan(c->p) ? NAN : adjusted[i];
        c->smallest = qv_plan_smallest_p(r->study, r->plan, c->corpus);
        c->significant = c->complete && c->adjusted <= r->study->alpha;
    }
done:
    free(p);
    free(adjusted);
    return status;
}

const char *qv_comparison_verdict(const qv_results *r, const qv_comparison_result *c)
{
    if (!c->complete) return "interim";
    if (c->failed) return "runs failed";
    if (c->smallest > r->study->alpha) return "cannot be said";
    return c->significant ? "significant" : "not shown";
}

static void conclude(qv_results *r)
{
    bool attainable = true, trained = true;
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (!r->study->comparisons[c->comparison].claimed) continue;
        r->claimed++;
        r->upheld += c->significant;
        attainable = attainable && c->smallest <= r->study->alpha;
        trained = trained && c->failed == 0;
    }
    if (r->runs < r->planned)
        r->verdict = QV_INTERIM;
    else if (r->claimed == 0)
        r->verdict = QV_NO_COMPARISON;
    else if (!trained)
        r->verdict = QV_UNTRAINED;
    else if (!attainable)
        r->verdict = QV_TOO_FEW;
    else
        r->verdict = r->upheld == r->claimed ? QV_CLAIM_HOLDS : QV_CLAIM_FAILS;
}

qv_status qv_results_compare(qv_ctx *ctx, qv_results *r)
{
    size_t per_corpus = r->study->n_comparisons, n = r->plan->n_corpora * per_corpus;
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &r->comparisons, n, sizeof *r->comparisons));
    for (size_t i = 0; i < n; i++) {
        r->n_comparisons++;
        r->comparisons[i].corpus = i / per_corpus;
        r->comparisons[i].comparison = i % per_corpus;
        QV_TRY(compare(ctx, r, &r->comparisons[i]));
    }
    QV_TRY(correct(ctx, r));
    conclude(r);
done:
    return status;
}
