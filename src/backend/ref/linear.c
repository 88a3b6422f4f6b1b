#include "backend/ref/ref.h"

int QV_REF(linear)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *x = call->in[0].data, *w = call->in[1].data, *b = call->in[2].data;
    qv_real *y = call->out[0].data;
    size_t samples = (size_t)call->in[0].n, channels = (size_t)call->in[0].c, classes = (size_t)call->out[0].c;
    for (size_t n = 0; n < samples; n++) {
        for (size_t k = 0; k < classes; k++) {
            double sum = b ? (double)b[k] : 0;
            for (size_t c = 0; c < channels; c++) sum += (double)x[n * channels + c] * (double)w[k * channels + c];
            y[n * classes + k] = (qv_real)sum;
        }
    }
    return QV_OK;
}

/* dw[k,c] = sum over n of dy[n,k] x[n,c]; db[k] = sum over n of dy[n,k] */
static void grad_weights(const qv_real *x, const qv_real *dy, size_t samples, size_t channels, size_t classes,
                         qv_real *dw, qv_real *db)
{
    for (size_t k = 0; k < classes; k++) {
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t n = 0; n < samples; n++) sum += (double)dy[n * classes + k] * (double)x[n * channels + c];
            dw[k * channels + c] = (qv_real)sum;
        }
        if (!db) continue;
        double sum = 0;
        for (size_t n = 0; n < samples; n++) sum += (double)dy[n * classes + k];
        db[k] = (qv_real)sum;
    }
}

int QV_REF(linear_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *x = call->in[0].data, *w = call->in[1].data, *dy = call->in[2].data;
    qv_real *dx = call->out[0].data;
    size_t samples = (size_t)call->in[0].n, channels = (size_t)call->in[0].c, classes = (size_t)call->in[2].c;
    for (size_t n = 0; n < samples; n++) {
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t k = 0; k < classes; k++) sum += (double)dy[n * classes + k] * (double)w[k * channels + c];
            dx[n * channels + c] = (qv_real)sum;
        }
    }
    grad_weights(x, dy, samples, channels, classes, call->out[1].data, call->out[2].data);
    return QV_OK;
}
