#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/order.h"
#include "base/philox.h"

static double ratio(size_t a, size_t b) { return b ? (double)a / (double)b : NAN; }

/* Sum of row c, and of its diagonal in *hits. */
static size_t row_sum(const size_t *confusion, int classes, int c, size_t *hits)
{
    const size_t *row = confusion + (size_t)c * (size_t)classes;
    size_t sum = 0;
    for (int j = 0; j < classes; j++) sum += row[j];
    *hits = row[c];
    return sum;
}

double qv_confusion_ua(const size_t *confusion, int classes)
{
    double sum = 0;
    int present = 0;
    for (int c = 0; c < classes; c++) {
        size_t hits, n = row_sum(confusion, classes, c, &hits);
        if (n == 0) continue;
        sum += ratio(hits, n);
        present++;
    }
    return present ? sum / present : NAN;
}

double qv_confusion_wa(const size_t *confusion, int classes)
{
    size_t all = 0, right = 0;
    for (int c = 0; c < classes; c++) {
        size_t hits;
        all += row_sum(confusion, classes, c, &hits);
        right += hits;
    }
    return ratio(right, all);
}

static void score_classes(qv_metrics *m)
{
    size_t largest = 0;
    double f1_sum = 0;
    int f1_classes = 0;
    for (int c = 0; c < m->classes; c++) {
        qv_class_score *s = &m->score[c];
        size_t hits;
        s->n = row_sum(m->confusion, m->classes, c, &hits);
        for (int i = 0; i < m->classes; i++) s->predicted += m->confusion[i * m->classes + c];
        s->recall = ratio(hits, s->n);
        s->precision = ratio(hits, s->predicted);
        s->f1 = ratio(2 * hits, s->n + s->predicted);
        m->n += s->n;
        if (s->n > 0) m->present++;
        if (s->n > largest) largest = s->n;
        if (s->n + s->predicted == 0) continue;
        f1_sum += s->f1;
        f1_classes++;
    }
    m->ua = qv_confusion_ua(m->confusion, m->classes);
    m->wa = qv_confusion_wa(m->confusion, m->classes);
    m->macro_f1 = f1_classes ? f1_sum / f1_classes : NAN;
    m->chance_ua = ratio(1, (size_t)m->present);
    m->chance_wa = ratio(largest, m->n);
}

static qv_status metrics_new(qv_ctx *ctx, qv_metrics *m, int classes)
{
    *m = (qv_metrics){.classes = classes};
    qv_status status = qv_alloc(ctx, &m->confusion, (size_t)classes, (size_t)classes * sizeof *m->confusion);
    if (status == QV_OK) status = qv_alloc(ctx, &m->score, (size_t)classes, sizeof *m->score);
    if (status != QV_OK) qv_metrics_free(m);
    return status;
}

static qv_status check_answers(qv_ctx *ctx, const qv_answers *a, bool speakers)
{
    for (size_t i = 0; i < a->n; i++) {
        int t = a->truth[i], p = a->predicted[i];
        if (t < 0 || t >= a->classes || p < 0 || p >= a->classes)
            return qv_fail(ctx, QV_ERR_INTERNAL, "answer %zu has truth %d and prediction %d, both must be in 0..%d", i,
                           t, p, a->classes - 1);
        if (speakers && (a->speaker[i] < 0 || a->speaker[i] >= a->speakers))
            return qv_fail(ctx, QV_ERR_INTERNAL, "answer %zu has speaker %d, it must be in 0..%d", i, a->speaker[i],
                           a->speakers - 1);
    }
    return QV_OK;
}

int qv_largest(const double *probs, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (probs[k] > probs[best]) best = k;
    return best;
}

qv_status qv_metrics_compute(qv_ctx *ctx, qv_metrics *out, const qv_answers *a)
{
    qv_status status = QV_OK;
    *out = (qv_metrics){0};
    QV_TRY(check_answers(ctx, a, false));
    QV_TRY(metrics_new(ctx, out, a->classes));
    for (size_t i = 0; i < a->n; i++) out->confusion[a->truth[i] * a->classes + a->predicted[i]]++;
    score_classes(out);
done:
    return status;
}

qv_status qv_metrics_from_confusion(qv_ctx *ctx, qv_metrics *out, const size_t *confusion, int classes)
{
    qv_status status = metrics_new(ctx, out, classes);
    if (status != QV_OK) return status;
    memcpy(out->confusion, confusion, (size_t)classes * (size_t)classes * sizeof *confusion);
    score_classes(out);
    return QV_OK;
}

void qv_metrics_free(qv_metrics *m)
{
    free(m->confusion);
    free(m->score);
    *m = (qv_metrics){0};
}

/* UA and WA of counts a class; the recordings of a class may all be missing. */
static void accuracy(const size_t *hits, const size_t *counts, int classes, double *ua, double *wa)
{
    double sum = 0;
    size_t right = 0, all = 0;
    int present = 0;
    for (int c = 0; c < classes; c++) {
        if (counts[c] == 0) continue;
        sum += ratio(hits[c], counts[c]);
        right += hits[c];
        all += counts[c];
        present++;
    }
    *ua = present ? sum / present : NAN;
    *wa = ratio(right, all);
}

qv_status qv_metrics_by_speaker(qv_ctx *ctx, qv_speaker_score **out, size_t *n, const qv_answers *a)
{
    qv_status status = QV_OK;
    size_t *tally = NULL, k = (size_t)a->classes, width = 2 * k;
    *out = NULL;
    *n = 0;
    QV_TRY(check_answers(ctx, a, true));
    QV_TRY(qv_alloc(ctx, &tally, (size_t)a->speakers, width * sizeof *tally));
    QV_TRY(qv_alloc(ctx, out, (size_t)a->speakers, sizeof **out));
    for (size_t i = 0; i < a->n; i++) {
        size_t *of = tally + (size_t)a->speaker[i] * width;
        of[a->truth[i]] += a->truth[i] == a->predicted[i];
        of[k + (size_t)a->truth[i]]++;
    }
    for (int s = 0; s < a->speakers; s++) {
        const size_t *of = tally + (size_t)s * width;
        qv_speaker_score row = {.speaker = s};
        for (size_t c = 0; c < k; c++) row.n += of[k + c];
        if (row.n == 0) continue;
        accuracy(of, of + k, a->classes, &row.ua, &row.wa);
        (*out)[(*n)++] = row;
    }
done:
    free(tally);
    return status;
}

/* n of the n clusters with replacement: weight[s] becomes how often s came. The product's high
 * word favours no cluster by more than n * 2^-32. */
static void draw_clusters(const int *clusters, uint32_t n, uint32_t resample, const uint32_t key[2], size_t *weight)
{
    for (uint32_t j = 0; j < n; j += 4) {
        const uint32_t counter[4] = {resample, j, 0, 0};
        qv_philox4 r = qv_philox(counter, key);
        for (uint32_t l = 0; l < 4 && j + l < n; l++) weight[clusters[((uint64_t)r.v[l] * n) >> 32]]++;
    }
}

/* Memory of one bootstrap. */
typedef struct boot {
    int *clusters; /* speakers with recordings */
    size_t *weight, *hits, *counts;
    double *ua, *wa;
} boot;

static qv_status boot_new(qv_ctx *ctx, boot *w, const qv_answers *a)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &w->clusters, (size_t)a->speakers, sizeof *w->clusters));
    QV_TRY(qv_alloc(ctx, &w->weight, (size_t)a->speakers, sizeof *w->weight));
    QV_TRY(qv_alloc(ctx, &w->hits, (size_t)a->classes, sizeof *w->hits));
    QV_TRY(qv_alloc(ctx, &w->counts, (size_t)a->classes, sizeof *w->counts));
    QV_TRY(qv_alloc(ctx, &w->ua, QV_BOOTSTRAP_RESAMPLES, sizeof *w->ua));
    QV_TRY(qv_alloc(ctx, &w->wa, QV_BOOTSTRAP_RESAMPLES, sizeof *w->wa));
done:
    return status;
}

static void boot_free(boot *w)
{
    free(w->clusters);
    free(w->weight);
    free(w->hits);
    free(w->counts);
    free(w->ua);
    free(w->wa);
}

static void resample(boot *w, const qv_answers *a, int clusters, uint32_t r, const uint32_t key[2])
{
    memset(w->weight, 0, (size_t)a->speakers * sizeof *w->weight);
    memset(w->hits, 0, (size_t)a->classes * sizeof *w->hits);
    memset(w->counts, 0, (size_t)a->classes * sizeof *w->counts);
    draw_clusters(w->clusters, (uint32_t)clusters, r, key, w->weight);
    for (size_t i = 0; i < a->n; i++) {
        size_t times = w->weight[a->speaker[i]];
        w->counts[a->truth[i]] += times;
        if (a->truth[i] == a->predicted[i]) w->hits[a->truth[i]] += times;
    }
    accuracy(w->hits, w->counts, a->classes, &w->ua[r], &w->wa[r]);
}

qv_status qv_bootstrap_speakers(qv_ctx *ctx, qv_bootstrap *out, const qv_answers *a, uint64_t seed)
{
    qv_status status = QV_OK;
    boot w = {0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const size_t n = QV_BOOTSTRAP_RESAMPLES;
    *out = (qv_bootstrap){0, NAN, NAN, NAN, NAN};
    QV_TRY(check_answers(ctx, a, true));
    QV_TRY(boot_new(ctx, &w, a));
    for (size_t i = 0; i < a->n; i++) w.weight[a->speaker[i]] = 1;
    for (int s = 0; s < a->speakers; s++)
        if (w.weight[s]) w.clusters[out->speakers++] = s;
    if (!qv_bootstrap_valid(out)) goto done;
    for (uint32_t r = 0; r < n; r++) resample(&w, a, out->speakers, r, key);
    qv_sort(w.ua, n);
    qv_sort(w.wa, n);
    out->ua_low = qv_quantile(w.ua, n, 0.025);
    out->ua_high = qv_quantile(w.ua, n, 0.975);
    out->wa_low = qv_quantile(w.wa, n, 0.025);
    out->wa_high = qv_quantile(w.wa, n, 0.975);
done:
    boot_free(&w);
    return status;
}
