#include <math.h>

#include "backend/ref/ref.h"

/* probs = softmax(logits) over K classes, by way of p[K] in double; returns log(sum of exp(logits)). */
static double softmax(const qv_real *logits, size_t classes, double *p, qv_real *probs)
{
    double max = (double)logits[0], sum = 0;
    for (size_t k = 1; k < classes; k++) max = fmax(max, (double)logits[k]);
    for (size_t k = 0; k < classes; k++) sum += p[k] = exp((double)logits[k] - max);
    for (size_t k = 0; k < classes; k++) {
        p[k] /= sum;
        probs[k] = (qv_real)p[k];
    }
    return max + log(sum);
}

/* Probability that the smoothed target of a row with this label gives to class k. */
static double target(double smoothing, size_t classes, int32_t label, size_t k)
{
    return (k == (size_t)label ? 1 - smoothing : 0) + smoothing / (double)classes;
}

/* A batch without any label has loss 0, weight 0 and gradient 0. */
int QV_REF(loss)(const qv_call *call, size_t *need)
{
    size_t samples = (size_t)call->in[0].n, classes = (size_t)call->in[0].c;
    if (need) return *need = classes * sizeof(double), QV_OK;
    const qv_real *logits = call->in[0].data, *weight = call->in[2].data;
    const int32_t *labels = call->in[1].data;
    qv_real *loss = call->out[0].data, *dlogits = call->out[1].data, *probs = call->out[2].data;
    double *p = call->scratch, smoothing = (double)call->op->a.loss.smoothing, total = 0, sum = 0;
    for (size_t n = 0; n < samples; n++)
        if (labels[n] >= 0) total += (double)weight[labels[n]];
    for (size_t n = 0; n < samples; n++) {
        double log_sum = softmax(logits + n * classes, classes, p, probs + n * classes);
        double w = labels[n] >= 0 ? (double)weight[labels[n]] : 0, scale = total > 0 ? w / total : 0;
        for (size_t k = 0; k < classes; k++) {
            double t = target(smoothing, classes, labels[n], k);
            if (w > 0) sum += w * t * (log_sum - (double)logits[n * classes + k]);
            dlogits[n * classes + k] = (qv_real)(scale * (p[k] - t));
        }
    }
    loss[0] = (qv_real)sum;
    loss[1] = (qv_real)total;
    return QV_OK;
}
