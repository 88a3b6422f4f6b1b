#include <math.h>
#include <string.h>

#include "backend/ref/ref.h"

/* Two passes over x: mean, then squared deviations from it. */
int QV_REF(bn_stats)(const qv_call *call, size_t *need)
{
    size_t rows = qv_ref_rows(&call->in[0]), channels = (size_t)call->in[0].c;
    if (need) return *need = 2 * channels * sizeof(double), QV_OK;
    const qv_real *x = call->in[0].data;
    qv_real *mean = call->out[0].data, *var = call->out[1].data;
    double *sum = call->scratch, *square = sum + channels;
    memset(sum, 0, 2 * channels * sizeof *sum);
    for (size_t m = 0; m < rows; m++)
        for (size_t c = 0; c < channels; c++) sum[c] += (double)x[m * channels + c];
    for (size_t c = 0; c < channels; c++) sum[c] /= (double)rows;
    for (size_t m = 0; m < rows; m++) {
        for (size_t c = 0; c < channels; c++) {
            double d = (double)x[m * channels + c] - sum[c];
            square[c] += d * d;
        }
    }
    for (size_t c = 0; c < channels; c++) {
        mean[c] = (qv_real)sum[c];
        var[c] = (qv_real)(square[c] / (double)rows);
    }
    return QV_OK;
}

/* A single value has no variance: bn.count below 2 is QV_ERR_USAGE unless bn.eval. */
int QV_REF(bn_finalize)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_bn_attr *a = &call->op->a.bn;
    if (!a->eval && a->count < 2) return QV_ERR_USAGE;
    const qv_real *mean = call->in[0].data, *var = call->in[1].data;
    qv_real *rstd = call->out[0].data, *rmean = call->out[1].data, *rvar = call->out[2].data;
    double m = (double)a->momentum, unbias = (double)a->count / (double)(a->count - 1);
    for (int32_t c = 0; c < call->out[0].c; c++) {
        if (!a->eval) {
            rmean[c] = (qv_real)((1 - m) * (double)rmean[c] + m * (double)mean[c]);
            rvar[c] = (qv_real)((1 - m) * (double)rvar[c] + m * unbias * (double)var[c]);
        }
        rstd[c] = (qv_real)(1 / sqrt((double)(a->eval ? rvar[c] : var[c]) + (double)a->eps));
    }
    return QV_OK;
}

int QV_REF(bn_apply)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_bn_attr *a = &call->op->a.bn;
    const qv_real *x = call->in[0].data, *mean = call->in[1].data, *rstd = call->in[2].data;
    const qv_real *gamma = call->in[3].data, *beta = call->in[4].data;
    qv_real *y = call->out[0].data;
    size_t rows = qv_ref_rows(&call->in[0]), channels = (size_t)call->in[0].c, sets = (size_t)a->repeat;
    for (size_t m = 0; m < rows; m++) {
        for (size_t j = 0; j < sets * channels; j++) {
            size_t c = j % channels;
            qv_real z = qv_ref_normalize(x[m * channels + c], mean[c], rstd[c], gamma[j], beta[j]);
            y[m * sets * channels + j] = a->relu && z < 0 ? 0 : z;
        }
    }
    return QV_OK;
}

/* What both halves of the gradient read. Channel j of [0, sets * channels) belongs to channel
 * j % channels of x. */
struct grad {
    const qv_bn_attr *a;
    const qv_real *dy, *x, *mean, *rstd, *gamma, *beta;
    const qv_tensor *coef; /* NULL: dy is as it stands */
    size_t rows, channels, sets, h, w;
};

static struct grad grad_of(const qv_call *call, const qv_tensor *coef)
{
    const qv_tensor *x = &call->in[1];
    return (struct grad){.a = &call->op->a.bn,
                         .dy = call->in[0].data,
                         .x = x->data,
                         .mean = call->in[2].data,
                         .rstd = call->in[3].data,
                         .gamma = call->in[4].data,
                         .beta = call->in[5].data,
                         .coef = coef->data ? coef : NULL,
                         .rows = qv_ref_rows(x),
                         .channels = (size_t)x->c,
                         .sets = (size_t)call->op->a.bn.repeat,
                         .h = (size_t)x->h,
                         .w = (size_t)x->w};
}

/* The gradient that reaches the normalization's output j in row m: v of ops.def. */
static double reaching(const struct grad *g, size_t m, size_t j)
{
    size_t c = j % g->channels;
    if (g->a->relu) {
        qv_real x = g->x[m * g->channels + c];
        if (!(qv_ref_normalize(x, g->mean[c], g->rstd[c], g->gamma[j], g->beta[j]) > 0)) return 0;
    }
    if (!g->coef) return (double)g->dy[m * g->sets * g->channels + j];
    size_t half = g->channels / 2;
    double b = (double)qv_ref_coef(g->coef, m / (g->h * g->w), m % g->w, g->w);
    return (j < half ? b : 1 - b) * (double)g->dy[m * half + j % half];
}

static double normalized(const struct grad *g, size_t m, size_t c)
{
    return ((double)g->x[m * g->channels + c] - (double)g->mean[c]) * (double)g->rstd[c];
}

/* coef has no meaning with bn.repeat 2, or without two halves of the channels: QV_ERR_USAGE. */
int QV_REF(bn_grad_sums)(const qv_call *call, size_t *need)
{
    struct grad g = grad_of(call, &call->in[6]);
    size_t len = g.sets * g.channels;
    if (g.coef && (g.sets != 1 || g.channels % 2)) return QV_ERR_USAGE;
    if (need) return *need = 2 * len * sizeof(double), QV_OK;
    qv_real *dgamma = call->out[0].data, *dbeta = call->out[1].data;
    double *sum_xh = call->scratch, *sum = sum_xh + len;
    memset(sum_xh, 0, 2 * len * sizeof *sum_xh);
    for (size_t m = 0; m < g.rows; m++) {
        for (size_t j = 0; j < len; j++) {
            double v = reaching(&g, m, j);
            sum[j] += v;
            sum_xh[j] += v * normalized(&g, m, j % g.channels);
        }
    }
    for (size_t j = 0; j < len; j++) {
        dgamma[j] = (qv_real)sum_xh[j];
        dbeta[j] = (qv_real)sum[j];
    }
    return QV_OK;
}

/* As bn_grad_sums. */
int QV_REF(bn_grad_apply)(const qv_call *call, size_t *need)
{
    struct grad g = grad_of(call, &call->in[8]);
    if (g.coef && (g.sets != 1 || g.channels % 2)) return QV_ERR_USAGE;
    if (need) return qv_no_scratch(need);
    const qv_real *dgamma = call->in[6].data, *dbeta = call->in[7].data, *addend = call->in[9].data;
    qv_real *dx = call->out[0].data;
    double count = (double)g.rows;
    for (size_t m = 0; m < g.rows; m++) {
        for (size_t c = 0; c < g.channels; c++) {
            double xh = normalized(&g, m, c), sum = addend ? (double)addend[m * g.channels + c] : 0;
            for (size_t j = c; j < g.sets * g.channels; j += g.channels)
                sum += (double)g.gamma[j] * (double)g.rstd[c] *
                       (reaching(&g, m, j) - (double)dbeta[j] / count - xh * (double)dgamma[j] / count);
            dx[m * g.channels + c] = (qv_real)sum;
        }
    }
    return QV_OK;
}

/* scratch of bn_stats, then its variance. */
int QV_REF(bn_measure)(const qv_call *call, size_t *need)
{
    size_t channels = (size_t)call->in[0].c, bytes = 0;
    qv_tensor stats[2] = {call->out[0], call->out[0]};
    qv_call first = *call;
    first.out = stats;
    int error = QV_REF(bn_stats)(&first, &bytes);
    if (error) return error;
    if (need) return *need = bytes + channels * sizeof(qv_real), QV_OK;
    stats[1].data = (char *)call->scratch + bytes;
    error = QV_REF(bn_stats)(&first, NULL);
    qv_call second = *call;
    second.in = stats;
    second.out = &call->out[1];
    return error ? error : QV_REF(bn_finalize)(&second, NULL);
}
