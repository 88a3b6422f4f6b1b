#include "backend/ref/entropy.h"

static qv_ref_labels labels_of(const qv_call *call, size_t n)
{
    return qv_ref_labels_of(&call->in[1], &call->in[2], &call->in[3], &call->in[4], n);
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
        qv_ref_labels of = labels_of(call, n);
        total += of.weight[0] + of.weight[1];
    }
    for (size_t n = 0; n < samples; n++) {
        for (size_t k = 0; k < classes; k++) p[k] = (double)logits[n * classes + k];
        double log_sum = qv_ref_softmax(p, classes);
        qv_ref_labels of = labels_of(call, n);
        for (size_t k = 0; k < classes; k++) {
            double t = 0, w = of.weight[0] + of.weight[1];
            for (int i = 0; i < 2; i++) t += of.weight[i] * qv_ref_target(smoothing, classes, of.label[i], k);
            if (w > 0) sum += t * (log_sum - (double)logits[n * classes + k]);
            dlogits[n * classes + k] = (qv_real)(w > 0 ? (w * p[k] - t) / total : 0);
            probs[n * classes + k] = (qv_real)p[k];
        }
    }
    loss[0] = (qv_real)sum;
    loss[1] = (qv_real)total;
    return QV_OK;
}
