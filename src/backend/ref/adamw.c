#include <math.h>

#include "backend/ref/ref.h"

int QV_REF(adamw)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_adamw_attr *a = &call->op->a.adamw;
    const qv_step_state *state = call->in[0].data;
    const qv_real *grad = call->in[1].data, *scale = call->in[2].data;
    qv_real *param = call->out[0].data, *moment = call->out[1].data, *square = call->out[2].data;
    double rate = (double)state->lr, b1 = (double)a->beta1, b2 = (double)a->beta2, t = (double)state->step + 1;
    double first = 1 - pow(b1, t), second = 1 - pow(b2, t);
    for (size_t i = 0; i < qv_tensor_len(&call->out[0]); i++) {
        double decay = i < (size_t)a->decayed ? (double)a->weight_decay : 0;
        double g = (scale ? (double)*scale : 1) * (double)grad[i];
        double m = b1 * (double)moment[i] + (1 - b1) * g, v = b2 * (double)square[i] + (1 - b2) * g * g;
        moment[i] = (qv_real)m;
        square[i] = (qv_real)v;
        double step = m / first / (sqrt(v / second) + (double)a->eps);
        param[i] = (qv_real)((double)param[i] - rate * (step + decay * (double)param[i]));
    }
    return QV_OK;
}
