#include "train/listener.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/audio.h"

static const double longest_span = 600;

struct qv_listener {
    qv_predictor *predictor;
    double rate;
    size_t span, step; /* samples */
    float *samples;    /* [span]: the last ones */
    size_t n;
    uint64_t position, next; /* samples heard; when the next decision is due */
    double *probs;
    qv_decision_fn fn;
    void *user;
};

qv_status qv_listener_new(qv_ctx *ctx, qv_listener **out, qv_predictor *p, double span, double step, qv_decision_fn fn,
                          void *user)
{
    qv_status status = QV_OK;
    qv_listener *l = NULL;
    double rate = qv_predictor_rate(p);
    *out = NULL;
    if (!(step >= 0.01 && step <= span && span <= longest_span))
        return qv_fail(ctx, QV_ERR_USAGE, "a decision every %g s about the last %g s: 0.01 <= step <= span <= %g is needed", step,
                       span, longest_span);
    QV_TRY(qv_alloc(ctx, &l, 1, sizeof *l));
    *l = (qv_listener){.predictor = p, .rate = rate, .fn = fn, .user = user};
    l->span = (size_t)llround(span * rate);
    l->step = (size_t)llround(step * rate);
    l->next = l->step;
    QV_TRY(qv_alloc(ctx, &l->samples, l->span, sizeof *l->samples));
    QV_TRY(qv_alloc(ctx, &l->probs, (size_t)qv_predictor_classes(p), sizeof *l->probs));
    *out = l;
    l = NULL;
done:
    qv_listener_free(l);
    return status;
}

void qv_listener_free(qv_listener *l)
{
    if (!l) return;
    free(l->samples);
    free(l->probs);
    free(l);
}

static qv_status decide(qv_ctx *ctx, qv_listener *l)
{
    double sum = 0;
    for (size_t i = 0; i < l->n; i++) sum += (double)l->samples[i] * (double)l->samples[i];
    qv_decision d = {.start = (double)(l->position - l->n) / l->rate,
                     .end = (double)l->position / l->rate,
                     .level = 10 * log10(sum / (double)l->n),
                     .probs = sum > 0 ? l->probs : NULL};
    if (d.probs) {
        qv_status status = qv_predictor_samples(ctx, l->predictor, l->samples, l->n, l->probs);
        if (status != QV_OK) return status;
    }
    return l->fn(ctx, l->user, &d);
}

/* Appends, after what is too old has made room. */
static void keep(qv_listener *l, const float *samples, size_t n)
{
    size_t left = l->span - l->n;
    if (n > left) {
        memmove(l->samples, l->samples + (n - left), (l->n - (n - left)) * sizeof *l->samples);
        l->n -= n - left;
    }
    memcpy(l->samples + l->n, samples, n * sizeof *samples);
    l->n += n;
    l->position += n;
}

qv_status qv_listener_push(qv_ctx *ctx, void *listener, const float *samples, size_t n)
{
    qv_listener *l = listener;
    size_t bad = qv_samples_check(samples, n);
    if (bad < n)
        return qv_fail(ctx, QV_ERR_DATA, "the sample at %.3f s is %g; numbers near [-1, 1] were expected",
                       (double)(l->position + bad) / l->rate, (double)samples[bad]);
    while (n > 0) {
        size_t due = (size_t)(l->next - l->position), count = n < due ? n : due;
        keep(l, samples, count);
        samples += count;
        n -= count;
        if (l->position < l->next) continue;
        l->next += l->step;
        qv_status status = qv_poll(ctx);
        if (status == QV_OK) status = decide(ctx, l);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

qv_status qv_listener_end(qv_ctx *ctx, qv_listener *l)
{
    bool rest = l->position > l->next - l->step;
    return rest ? decide(ctx, l) : QV_OK;
}
