#include <math.h>

#include "backend/ref/ref.h"

int QV_REF(unit)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *x = call->in[0].data;
    qv_real *y = call->out[0].data, *norm = call->out[1].data;
    size_t rows = (size_t)call->in[0].n, channels = (size_t)call->in[0].c;
    for (size_t n = 0; n < rows; n++) {
        double sum = 0;
        for (size_t c = 0; c < channels; c++) sum += (double)x[n * channels + c] * (double)x[n * channels + c];
        double length = sqrt(sum), inverse = length <= (double)QV_NO_LENGTH ? 0 : 1 / length;
        for (size_t c = 0; c < channels; c++) y[n * channels + c] = (qv_real)((double)x[n * channels + c] * inverse);
        norm[n] = (qv_real)length;
    }
    return QV_OK;
}

int QV_REF(unit_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *dy = call->in[0].data, *y = call->in[1].data, *norm = call->in[2].data, *dnorm = call->in[3].data;
    qv_real *dx = call->out[0].data;
    size_t rows = (size_t)call->in[0].n, channels = (size_t)call->in[0].c;
    for (size_t n = 0; n < rows; n++) {
        double length = (double)norm[n], inverse = length <= (double)QV_NO_LENGTH ? 0 : 1 / length;
        double along = 0, outward = dnorm ? (double)dnorm[n] : 0;
        for (size_t c = 0; c < channels; c++) along += (double)dy[n * channels + c] * (double)y[n * channels + c];
        for (size_t c = 0; c < channels; c++) {
            size_t i = n * channels + c;
            dx[i] = (qv_real)(((double)dy[i] - (double)y[i] * along) * inverse + outward * (double)y[i]);
        }
    }
    return QV_OK;
}
