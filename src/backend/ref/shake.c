#include "backend/ref/ref.h"
#include "kernels/coef.h"

int QV_REF(shake_coef)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_step_state *s = call->in[0].data;
    qv_real *alpha = call->out[0].data, *beta = call->out[1].data;
    qv_real *alpha_sign = call->out[2].data, *beta_sign = call->out[3].data;
    uint32_t samples = (uint32_t)call->out[0].n, bands = (uint32_t)call->out[0].c;
    for (uint32_t n = 0; n < samples; n++) {
        for (uint32_t b = 0; b < bands; b++) {
            qv_coef k = qv_coef_at(s, &call->op->a.shake, n, b);
            size_t i = (size_t)n * bands + b;
            alpha[i] = (qv_real)k.alpha;
            beta[i] = (qv_real)k.beta;
            if (alpha_sign) alpha_sign[i] = (qv_real)k.alpha_sign;
            if (beta_sign) beta_sign[i] = (qv_real)k.beta_sign;
        }
    }
    return QV_OK;
}

int QV_REF(shake_add)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *alpha = &call->in[1], *shape = &call->out[0];
    const qv_real *z = call->in[0].data, *s = call->in[2].data;
    qv_real *y = shape->data;
    size_t rows = qv_ref_rows(shape), channels = (size_t)shape->c, h = (size_t)shape->h, w = (size_t)shape->w;
    for (size_t m = 0; m < rows; m++) {
        qv_real a = qv_ref_coef(alpha, m / (h * w), m % w, w);
        const qv_real *z1 = z + 2 * m * channels, *z2 = z1 + channels;
        for (size_t c = 0; c < channels; c++) y[m * channels + c] = s[m * channels + c] + a * z1[c] + (1 - a) * z2[c];
    }
    return QV_OK;
}

int QV_REF(shake_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *shape = &call->in[0], *beta = &call->in[1];
    const qv_real *g = shape->data;
    qv_real *dz = call->out[0].data;
    size_t rows = qv_ref_rows(shape), channels = (size_t)shape->c, h = (size_t)shape->h, w = (size_t)shape->w;
    for (size_t m = 0; m < rows; m++) {
        qv_real b = qv_ref_coef(beta, m / (h * w), m % w, w);
        qv_real *dz1 = dz + 2 * m * channels, *dz2 = dz1 + channels;
        for (size_t c = 0; c < channels; c++) {
            dz1[c] = b * g[m * channels + c];
            dz2[c] = (1 - b) * g[m * channels + c];
        }
    }
    return QV_OK;
}

int QV_REF(scale)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *shape = &call->in[0];
    const qv_real *x = shape->data;
    qv_real *y = call->out[0].data;
    size_t rows = qv_ref_rows(shape), channels = (size_t)shape->c, h = (size_t)shape->h, w = (size_t)shape->w;
    for (size_t m = 0; m < rows; m++) {
        qv_real k = qv_ref_coef(&call->in[1], m / (h * w), m % w, w);
        for (size_t c = 0; c < channels; c++) y[m * channels + c] = k * x[m * channels + c];
    }
    return QV_OK;
}

/* The shortcut's value, normalized where it has statistics. */
static qv_real shortcut(const qv_call *call, size_t i, size_t c)
{
    const qv_real *s = call->in[6].data, *mean = call->in[7].data, *rstd = call->in[8].data;
    const qv_real *gamma = call->in[9].data, *beta = call->in[10].data;
    return mean ? qv_ref_normalize(s[i], mean[c], rstd[c], gamma[c], beta[c]) : s[i];
}

static int shake_normalized(const qv_call *call, bool end)
{
    const qv_tensor *alpha = &call->in[5], *shape = &call->out[0];
    const qv_real *u = call->in[0].data, *mean = call->in[1].data, *rstd = call->in[2].data;
    const qv_real *gamma = call->in[3].data, *beta = call->in[4].data, *s = call->in[6].data;
    qv_real *y = shape->data;
    size_t rows = qv_ref_rows(shape), channels = (size_t)shape->c, h = (size_t)shape->h, w = (size_t)shape->w;
    for (size_t m = 0; m < rows; m++) {
        qv_real a = qv_ref_coef(alpha, m / (h * w), m % w, w);
        const qv_real *u1 = u + 2 * m * channels;
        for (size_t c = 0, d = channels; c < channels; c++, d++) {
            qv_real z1 = qv_ref_normalize(u1[c], mean[c], rstd[c], gamma[c], beta[c]);
            qv_real z2 = qv_ref_normalize(u1[d], mean[d], rstd[d], gamma[d], beta[d]);
            const size_t i = m * channels + c;
            y[i] = (end ? shortcut(call, i, c) : s[i]) + a * z1 + (1 - a) * z2;
        }
    }
    return QV_OK;
}

int QV_REF(bn_shake_add)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    return shake_normalized(call, false);
}

int QV_REF(block_end)(const qv_call *call, size_t *need)
{
    qv_call measure = *call;
    measure.in = &call->out[0];
    measure.out = &call->out[1];
    if (need) return call->out[1].data ? QV_REF(bn_measure)(&measure, need) : qv_no_scratch(need);
    shake_normalized(call, true);
    return call->out[1].data ? QV_REF(bn_measure)(&measure, NULL) : QV_OK;
}
