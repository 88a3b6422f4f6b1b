#include "backend/ref/entropy.h"

/* The share of the plain cosine in A-Softmax at this step. */
static double lambda_of(const qv_margin_attr *a, const qv_step_state *state)
{
    if (a->kind != QV_MARGIN_SPHERE) return 0;
    return fmax((double)a->lambda_min, (double)a->lambda / (1 + (double)a->lambda_decay * (double)state->step));
}

/* cos(m t) of c = cos t, and its slope in c: Chebyshev's polynomials T_m and m U_(m-1). */
static double multiple_angle(int m, double c, double *slope)
{
    double t[2] = {1, c}, u[2] = {0, 1};
    for (int i = 1; i < m; i++) {
        double next_t = 2 * c * t[1] - t[0], next_u = 2 * c * u[1] - u[0];
        t[0] = t[1], t[1] = next_t;
        u[0] = u[1], u[1] = next_u;
    }
    *slope = m * u[1];
    return t[1];
}

static double sphere(const qv_margin_attr *a, double lambda, double c, double *slope)
{
    int m = (int)a->m, k = 0;
    for (int i = 1; i < m; i++) k += c < cos(i * 3.14159265358979323846 / m);
    double sign = k % 2 ? -1 : 1, own, value = multiple_angle(m, c, &own);
    *slope = (lambda + sign * own) / (1 + lambda);
    return (lambda * c + sign * value - 2 * k) / (1 + lambda);
}

static double wider_angle(double m, double c, double *slope)
{
    double sine = sqrt(fmax((1 - c) * (1 + c), 0x1p-20)), sign = c < -cos(m) ? -1 : 1;
    *slope = sign * (cos(m) + c / sine * sin(m));
    return sign * (c * cos(m) - sine * sin(m)) - (sign < 0 ? 2 : 0);
}

/* g of ops.def, and its slope. */
static double with_margin(const qv_margin_attr *a, double lambda, double c, double *slope)
{
    *slope = 1;
    switch (a->kind) {
    case QV_MARGIN_SPHERE:
        return sphere(a, lambda, c, slope);
    case QV_MARGIN_COSINE:
        return c - (double)a->m;
    case QV_MARGIN_ANGLE:
        return wider_angle((double)a->m, c, slope);
    default:
        return c;
    }
}

/* Of one row: length a, cosines c; p: [K] of scratch. */
typedef struct row {
    const qv_real *c;
    double a, lambda, *p;
    size_t classes;
} row;

/* Adds the loss of one label, and w times its gradients. dcos: [K]. */
static double add_label(const qv_margin_attr *a, const row *r, int32_t label, double w, double *dcos, double *dnorm)
{
    double slope, loss = 0, g = with_margin(a, r->lambda, (double)r->c[label], &slope);
    for (size_t k = 0; k < r->classes; k++) r->p[k] = r->a * (k == (size_t)label ? g : (double)r->c[k]);
    double own = r->p[label], log_sum = qv_ref_softmax(r->p, r->classes);
    for (size_t k = 0; k < r->classes; k++) {
        bool right = k == (size_t)label;
        double t = qv_ref_target((double)a->smoothing, r->classes, label, k), d = w * (r->p[k] - t);
        loss += t * (log_sum - (right ? own : r->a * (double)r->c[k]));
        dcos[k] += d * r->a * (right ? slope : 1);
        *dnorm += d * (right ? g : (double)r->c[k]);
    }
    return w * loss;
}

static void write_probabilities(const row *r, qv_real *logits, qv_real *probs)
{
    for (size_t k = 0; k < r->classes; k++) logits[k] = (qv_real)(r->p[k] = r->a * (double)r->c[k]);
    qv_ref_softmax(r->p, r->classes);
    for (size_t k = 0; k < r->classes; k++) probs[k] = (qv_real)r->p[k];
}

int QV_REF(margin)(const qv_call *call, size_t *need)
{
    size_t samples = (size_t)call->in[0].n, classes = (size_t)call->in[0].c;
    if (need) return *need = 2 * classes * sizeof(double), QV_OK;
    const qv_margin_attr *a = &call->op->a.margin;
    const qv_real *cosines = call->in[0].data, *norm = call->in[3].data;
    qv_real *loss = call->out[0].data, *dcos = call->out[1].data, *dnorm = call->out[2].data;
    qv_real *logits = call->out[3].data, *probs = call->out[4].data;
    double *d = (double *)call->scratch + classes, total = 0, sum = 0;
    for (size_t n = 0; n < samples; n++) {
        qv_ref_labels of = qv_ref_head_labels(call, n);
        total += of.weight[0] + of.weight[1];
    }
    for (size_t n = 0; n < samples; n++) {
        row r = {cosines + n * classes, norm ? (double)norm[n] : (double)a->scale, lambda_of(a, call->in[6].data),
                 call->scratch, classes};
        qv_ref_labels of = qv_ref_head_labels(call, n);
        double outward = 0;
        write_probabilities(&r, logits + n * classes, probs + n * classes);
        for (size_t k = 0; k < classes; k++) d[k] = 0;
        for (int i = 0; i < 2; i++)
            if (of.weight[i] > 0) sum += add_label(a, &r, of.label[i], of.weight[i], d, &outward);
        for (size_t k = 0; k < classes; k++) dcos[n * classes + k] = (qv_real)(d[k] != 0 ? d[k] / total : 0);
        if (dnorm) dnorm[n] = (qv_real)(outward != 0 ? outward / total : 0);
    }
    loss[0] = (qv_real)sum;
    loss[1] = (qv_real)total;
    return QV_OK;
}
