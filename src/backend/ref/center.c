#include "backend/ref/entropy.h"

/* Squared distances, weighted, and their gradient; the centers as they are. */
static double pull(const qv_call *call, const qv_real *centers, double total)
{
    const qv_real *x = call->in[0].data;
    qv_real *dx = call->out[2].data;
    size_t samples = (size_t)call->in[0].n, channels = (size_t)call->in[0].c;
    double weight = (double)call->op->a.center.weight, sum = 0;
    for (size_t n = 0; n < samples; n++) {
        qv_ref_labels of = qv_ref_head_labels(call, n);
        for (size_t c = 0; c < channels; c++) {
            double d = 0;
            for (int i = 0; i < 2; i++) {
                if (!(of.weight[i] > 0)) continue;
                double apart = (double)x[n * channels + c] - (double)centers[(size_t)of.label[i] * channels + c];
                sum += of.weight[i] * weight / 2 * apart * apart;
                d += of.weight[i] * weight * apart;
            }
            dx[n * channels + c] = (qv_real)(d != 0 ? d / total : 0);
        }
    }
    return sum;
}

static void move(const qv_call *call, qv_real *centers)
{
    const qv_real *x = call->in[0].data;
    size_t samples = (size_t)call->in[0].n, channels = (size_t)call->in[0].c, classes = (size_t)call->out[0].n;
    for (size_t k = 0; k < classes; k++)
        for (size_t c = 0; c < channels; c++) {
            qv_real *center = &centers[k * channels + c];
            double sum = 0, rows = 0;
            for (size_t n = 0; n < samples; n++) {
                qv_ref_labels of = qv_ref_head_labels(call, n);
                for (int i = 0; i < 2; i++) {
                    if (of.label[i] != (int32_t)k) continue;
                    sum += of.share[i] * ((double)*center - (double)x[n * channels + c]);
                    rows += of.share[i];
                }
            }
            *center = (qv_real)((double)*center - (double)call->op->a.center.rate * sum / (1 + rows));
        }
}

int QV_REF(center)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *entropy = call->in[3].data;
    qv_real *centers = call->out[0].data, *loss = call->out[1].data;
    loss[0] = (qv_real)((double)entropy[0] + pull(call, centers, (double)entropy[1]));
    loss[1] = entropy[1];
    move(call, centers);
    return QV_OK;
}
