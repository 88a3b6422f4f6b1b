#include "backend/ref/ref.h"

int QV_REF(relu)(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_real *x = c->in[0].data;
    qv_real *y = c->out[0].data;
    size_t n = qv_tensor_len(&c->in[0]);
    for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
    return 0;
}

int QV_REF(relu_grad)(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_real *dy = c->in[0].data, *y = c->in[1].data, *addend = c->in[2].data;
    qv_real *dx = c->out[0].data;
    size_t n = qv_tensor_len(&c->in[0]);
    for (size_t i = 0; i < n; i++) dx[i] = (addend ? addend[i] : 0) + (y[i] > 0 ? dy[i] : 0);
    return 0;
}
