#include "backend/ref/ref.h"

int QV_REF(relu)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *x = call->in[0].data;
    qv_real *y = call->out[0].data;
    size_t len = qv_tensor_len(&call->out[0]);
    for (size_t i = 0; i < len; i++) y[i] = x[i] < 0 ? 0 : x[i];
    return QV_OK;
}

int QV_REF(relu_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *dy = call->in[0].data, *y = call->in[1].data, *addend = call->in[2].data;
    qv_real *dx = call->out[0].data;
    size_t len = qv_tensor_len(&call->out[0]);
    for (size_t i = 0; i < len; i++) dx[i] = (addend ? addend[i] : 0) + (y[i] > 0 ? dy[i] : 0);
    return QV_OK;
}

int QV_REF(add)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *a = call->in[0].data, *b = call->in[1].data;
    qv_real *y = call->out[0].data;
    size_t len = qv_tensor_len(&call->out[0]);
    for (size_t i = 0; i < len; i++) y[i] = a[i] + b[i];
    return QV_OK;
}
