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

/* Up to two labels of a row and the weight of each. */
typedef struct labels {
    int32_t label[2];
    double weight[2];
} labels;

static labels labels_of(const qv_call *call, size_t n)
{
    const qv_real *class_weight = call->in[2].data, *share = call->in[4].data;
    const int32_t *own = call->in[1].data, *other = call->in[3].data;
    double l = share ? (double)share[n] : 1;
    labels r = {{own[n], share ? other[n] : -1}, {l, 1 - l}};
    for (int i = 0; i < 2; i++) r.weight[i] *= r.label[i] >= 0 ? (double)class_weight[r.label[i]] : 0;
    return r;
}

/* Probability that the smoothed target of a label gives to class k. */
static double target(double smoothing, size_t classes, int32_t label, size_t k)
{
    return (k == (size_t)label ? 1 - smoothing : 0) + smoothing / (double)classes;
}

/* A batch without any label has loss 0, weight 0 and gradient 0. */
int QV_REF(loss)(const qv_call *call, size_t *need)
{
    size_t samples = (size_t)call->in[0].n, classes = (size_t)call->in[0].c;
    if (need) return *need = classes * sizeof(double), QV_OK;
    const qv_real *logits = call->in[0].data;
    qv_real *loss = call->out[0].data, *dlogits = call->out[1].data, *probs = call->out[2].data;
    double *p = call->scratch, smoothing = (double)call->op->a.loss.smoothing, total = 0, sum = 0;
    for (size_t n = 0; n < samples; n++) {
        labels of = labels_of(call, n);
        total += of.weight[0] + of.weight[1];
    }
    for (size_t n = 0; n < samples; n++) {
        double log_sum = softmax(logits + n * classes, classes, p, probs + n * classes);
        labels of = labels_of(call, n);
        for (size_t k = 0; k < classes; k++) {
            double t = 0, w = of.weight[0] + of.weight[1];
            for (int i = 0; i < 2; i++) t += of.weight[i] * target(smoothing, classes, of.label[i], k);
            if (w > 0) sum += t * (log_sum - (double)logits[n * classes + k]);
            dlogits[n * classes + k] = (qv_real)(w > 0 ? (w * p[k] - t) / total : 0);
        }
    }
    loss[0] = (qv_real)sum;
    loss[1] = (qv_real)total;
    return QV_OK;
}
