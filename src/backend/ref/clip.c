#include <float.h>
#include <math.h>

#include "backend/ref/ref.h"

int QV_REF(clip)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_real *grad = call->in[0].data;
    qv_real *scale = call->out[0].data;
    double sum = 0, most = (double)call->op->a.clip.most;
    for (size_t i = 0; i < qv_tensor_len(&call->in[0]); i++) sum += (double)grad[i] * (double)grad[i];
    double length = sqrt(sum);
    if (!(length <= FLT_MAX))
        *scale = (qv_real)NAN;
    else
        *scale = (qv_real)(length <= most ? 1 : most / length);
    return QV_OK;
}
