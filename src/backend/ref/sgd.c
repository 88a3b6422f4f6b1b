#include "backend/ref/ref.h"

int QV_REF(sgd)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_sgd_attr *a = &call->op->a.sgd;
    const qv_step_state *state = call->in[0].data;
    const qv_real *grad = call->in[1].data, *scale = call->in[2].data;
    qv_real *param = call->out[0].data, *moment = call->out[1].data;
    double rate = (double)state->lr, mu = (double)a->momentum;
    size_t len = qv_tensor_len(&call->out[0]);
    for (size_t i = 0; i < len; i++) {
        double decay = i < (size_t)a->decayed ? (double)a->weight_decay : 0;
        double d = (scale ? (double)*scale : 1) * (double)grad[i] + decay * (double)param[i];
        double m = mu * (double)moment[i] + d;
        moment[i] = (qv_real)m;
        param[i] = (qv_real)((double)param[i] - rate * (a->nesterov ? d + mu * m : m));
    }
    return QV_OK;
}
