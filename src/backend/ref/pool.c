#include <string.h>

#include "backend/ref/ref.h"

int QV_REF(pool)(const qv_call *call, size_t *need)
{
    const qv_tensor *shape = &call->in[0];
    size_t channels = (size_t)shape->c, area = (size_t)shape->h * (size_t)shape->w;
    if (need) return *need = channels * sizeof(double), QV_OK;
    const qv_real *x = shape->data;
    qv_real *y = call->out[0].data;
    double *sum = call->scratch;
    for (size_t n = 0; n < (size_t)shape->n; n++) {
        memset(sum, 0, channels * sizeof *sum);
        for (size_t m = n * area; m < (n + 1) * area; m++)
            for (size_t c = 0; c < channels; c++) sum[c] += (double)x[m * channels + c];
        for (size_t c = 0; c < channels; c++) y[n * channels + c] = (qv_real)(sum[c] / (double)area);
    }
    return QV_OK;
}

int QV_REF(pool_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *shape = &call->out[0];
    const qv_real *dy = call->in[0].data;
    qv_real *dx = shape->data;
    size_t rows = qv_ref_rows(shape), channels = (size_t)shape->c, area = (size_t)shape->h * (size_t)shape->w;
    for (size_t m = 0; m < rows; m++)
        for (size_t c = 0; c < channels; c++) dx[m * channels + c] = dy[m / area * channels + c] / (qv_real)area;
    return QV_OK;
}
