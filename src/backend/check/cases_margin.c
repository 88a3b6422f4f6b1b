/* Cases and bounds of the heads: unit rows, margins, centers. */
#include <math.h>

#include "backend/check/maker.h"

/* Rows that are short, whole blocks of threads and beyond; one channel: a direction is a sign. */
static const struct {
    int n, c;
} rows[] = {{1, 1}, {4, 2}, {7, 3}, {5, 64}, {33, 16}, {3, 257}, {2, 1003}, {300, 8}};

static void pick_rows(qv_maker *m, int *n, int *c)
{
    int i = qv_pick(m, sizeof rows / sizeof *rows);
    *n = rows[i].n, *c = rows[i].c;
    qv_describe(m, "%d rows of %d", *n, *c);
}

void qv_make_unit(qv_maker *m)
{
    int n, c;
    pick_rows(m, &n, &c);
    int scale = qv_pick(m, 3);
    qv_describe(m, "%s", (const char *[]){"", " small", " with a row of zeros"}[scale]);
    double *x = qv_numbers(m, &m->p->in[0], qv_shape(n, 1, 1, c), scale == 1 ? 1e-6 : 1);
    for (int i = 0; x && i < c && scale == 2; i++) x[i] = 0;
    m->p->out[0] = qv_shape(n, 1, 1, c);
    m->p->out[1] = qv_vector(n);
}

/* A sum of C squares, halved by the root; the root, its inverse and a product. */
void qv_bound_unit(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    double sum = (qv_chain((size_t)p->in[0].c) + 1) / 2;
    qv_bound_rounded(&expect[0], bound[0], sum + 4);
    qv_bound_rounded(&expect[1], bound[1], sum + 1);
}

void qv_make_unit_grad(qv_maker *m)
{
    qv_problem *p = m->p;
    int n, c;
    pick_rows(m, &n, &c);
    int zeros = qv_pick(m, 2), outward = qv_pick(m, 2);
    qv_describe(m, "%s%s", zeros ? " with a row of zeros" : "", outward ? " outward" : "");
    qv_numbers(m, &p->in[0], qv_shape(n, 1, 1, c), 1);
    double *y = qv_numbers(m, &p->in[1], qv_shape(n, 1, 1, c), 1), *norm = qv_numbers(m, &p->in[2], qv_vector(n), 1);
    for (int i = 0; y && norm && i < n; i++) {
        double sum = 0;
        for (int k = 0; k < c; k++) sum += y[i * c + k] * y[i * c + k];
        bool none = zeros && i == 0;
        for (int k = 0; k < c; k++) y[i * c + k] = none || sum == 0 ? 0 : qv_as_float(y[i * c + k] / sqrt(sum));
        norm[i] = none ? 0 : qv_as_float(fabs(norm[i]) + 0.1);
    }
    if (outward) qv_numbers(m, &p->in[3], qv_vector(n), 1);
    p->out[0] = qv_shape(n, 1, 1, c);
}

/* <y, dy> is a sum of C terms, then a product, a difference, a quotient (an inverse and a product), and what is added.
 */
void qv_bound_unit_grad(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const double *dy = p->in[0].data, *y = p->in[1].data, *norm = p->in[2].data, *dnorm = p->in[3].data;
    size_t n = (size_t)p->in[0].n, c = (size_t)p->in[0].c;
    (void)expect;
    for (size_t i = 0; i < n * c; i++) {
        size_t row = i / c;
        double sum = 0, inverse = norm[row] <= (double)QV_NO_LENGTH ? 0 : 1 / norm[row];
        for (size_t k = 0; k < c; k++) sum += fabs(dy[row * c + k] * y[row * c + k]);
        double along = fabs(y[i]) * sum, outward = dnorm ? fabs(dnorm[row] * y[i]) : 0;
        bound[0][i] = QV_U * (((qv_chain(c) + 5) * along + 4 * fabs(dy[i])) * inverse + 2 * outward) + QV_TINY;
    }
}

static const struct {
    int n, k;
} batches[] = {{1, 2}, {5, 4}, {64, 8}, {3, 7}, {300, 3}};

/* Labels and class weights of n rows, and of their mixtures. */
static void make_labels(qv_maker *m, int n, int k, int others)
{
    qv_problem *p = m->p;
    int known = qv_pick(m, 3);
    qv_describe(m, " %s", (const char *[]){"all labelled", "some labelled", "none labelled"}[known]);
    p->in[1] = qv_shape(n, 1, 1, 1);
    int32_t *label = qv_room(&p->in[1], sizeof *label);
    for (int i = 0; label && i < n; i++) label[i] = qv_label(m, known == 0 || (known == 1 && i % 3 != 1), k);
    double *weight = qv_numbers(m, &p->in[2], qv_vector(k), 1);
    for (int i = 0; weight && i < k; i++) weight[i] = qv_as_float(fabs(weight[i]) + 0.1);
    if (!qv_pick(m, 2)) return;
    qv_describe(m, " mixed");
    p->in[others] = qv_shape(n, 1, 1, 1);
    int32_t *other = qv_room(&p->in[others], sizeof *other);
    for (int i = 0; label && other && i < n; i++) other[i] = label[n - 1 - i];
    qv_shares(m, &p->in[others + 1], qv_shape(n, 1, 1, 1));
}

/* The share of label i of a row times its class's weight, i < 2; *label: -1 where there is none. */
static double weight_of(const qv_problem *p, int others, size_t n, int i, int32_t *label)
{
    const int32_t *own = p->in[1].data, *other = p->in[others].data;
    const double *share = p->in[others + 1].data;
    double l = share ? share[n] : 1;
    *label = i == 0 ? own[n] : share ? other[n] : -1;
    if (*label >= p->in[2].c) *label = -1;
    return (i == 0 ? l : 1 - l) * qv_label_weight(&p->in[2], *label);
}

void qv_make_margin(qv_maker *m)
{
    static const qv_margin_attr kinds[] = {
        {.kind = QV_MARGIN_NONE, .scale = 16},
        {.kind = QV_MARGIN_SPHERE, .scale = 1, .m = 3, .lambda = 1000, .lambda_min = 5, .lambda_decay = 0.12f},
        {.kind = QV_MARGIN_SPHERE, .scale = 4, .m = 4},
        {.kind = QV_MARGIN_COSINE, .scale = 16, .m = 0.2f},
        {.kind = QV_MARGIN_ANGLE, .scale = 16, .m = 0.3f},
    };
    qv_problem *p = m->p;
    int i = qv_pick(m, sizeof batches / sizeof *batches), n = batches[i].n, k = batches[i].k;
    int kind = qv_pick(m, sizeof kinds / sizeof *kinds);
    p->op.a.margin = kinds[kind];
    p->op.a.margin.smoothing = qv_pick(m, 2) ? 0.1f : 0;
    qv_describe(m, "%d rows %d classes kind %d m %g smoothing %g", n, k, kinds[kind].kind, (double)kinds[kind].m,
                (double)p->op.a.margin.smoothing);
    make_labels(m, n, k, 4);
    double *c = qv_numbers(m, &p->in[0], qv_shape(n, 1, 1, k), 1);
    for (int j = 0; c && j < n * k; j++) c[j] = j % 11 == 3 ? (j & 1 ? 1 : -1) : qv_as_float(sin(2 * c[j]));
    if (kinds[kind].kind == QV_MARGIN_SPHERE) {
        p->in[6] = qv_vector(1);
        qv_step_state *state = qv_room(&p->in[6], sizeof *state);
        if (state) *state = (qv_step_state){.set_size = 1, .batch = 1, .step = 700};
        double *norm = qv_numbers(m, &p->in[3], qv_vector(n), 2);
        for (int j = 0; norm && j < n; j++) norm[j] = qv_as_float(fabs(norm[j]) + 0.05);
        p->out[2] = qv_vector(n);
    }
    p->out[0] = qv_vector(2);
    p->out[1] = p->out[3] = p->out[4] = qv_shape(n, 1, 1, k);
}

/* What with_margin may be off by, and how large its slope is and may be off by, in units of u.
 *
 * COSINE: one rounding of c - m, at most 1 + m. ANGLE: (1 - c)(1 + c) errs by 3 u of itself, its root by 2.5, with the
 * product by sin m and the constant's own rounding 4.5; c cos m by 2; their difference and -2 - that by 4. The slope c
 * / sine * sin m + cos m by 6.5 u of the first and 2 of all. SPHERE, m <= 4: T_2 errs by 3 u, T_3 by 9, T_4 by 24, and
 * -2k rounds at 7; U_3 by 26, which m takes to 104; lambda by 4 of itself; then one product, one sum and a quotient of
 * numbers up to 7 and 16. */
typedef struct bend {
    double value, value_error, slope, slope_error;
} bend;

static bend bend_of(const qv_margin_attr *a, double c)
{
    double m = (double)a->m, sine = sqrt(fmax((1 - c) * (1 + c), 0x1p-20));
    switch (a->kind) {
    case QV_MARGIN_COSINE:
        return (bend){fabs(c - m), 1 + m, 1, 0};
    case QV_MARGIN_ANGLE: {
        double steep = fabs(c) / sine * sin(m);
        return (bend){3, 11, steep + cos(m), 6.5 * steep + 2 * (steep + cos(m))};
    }
    case QV_MARGIN_SPHERE:
        return (bend){7, 86, 16, 220};
    default:
        return (bend){fabs(c), 0, 1, 0};
    }
}

/* One label of one row: its logits, bent, and what each may be off by. */
typedef struct bent_row {
    double a, span, large, off; /* off: of a logit, absolute */
    double log_sum, own, max;
    bend g;
    size_t classes;
    int32_t label;
    const double *c;
} bent_row;

static double with_margin(const qv_problem *p, double c)
{
    const qv_margin_attr *a = &p->op.a.margin;
    const qv_step_state *state = p->in[6].data;
    double m = (double)a->m, angle = acos(fmax(-1, fmin(1, c))), step = state ? (double)state->step : 0;
    double lambda = fmax((double)a->lambda_min, (double)a->lambda / (1 + (double)a->lambda_decay * step));
    double k = fmin(floor(m * angle / 3.14159265358979323846), m - 1);
    switch (a->kind) {
    case QV_MARGIN_COSINE:
        return c - m;
    case QV_MARGIN_ANGLE:
        return cos(angle + m) * (c < -cos(m) ? -1 : 1) - (c < -cos(m) ? 2 : 0);
    case QV_MARGIN_SPHERE:
        return (lambda * c + (fmod(k, 2) > 0 ? -1 : 1) * cos(m * angle) - 2 * k) / (1 + lambda);
    default:
        return c;
    }
}

static bent_row bend_row(const qv_problem *p, size_t n, int32_t label)
{
    const double *norm = p->in[3].data;
    bent_row r = {.a = norm ? norm[n] : (double)p->op.a.margin.scale, .classes = (size_t)p->in[0].c, .label = label};
    r.c = (const double *)p->in[0].data + n * r.classes;
    double low = INFINITY, high = -INFINITY, sum = 0;
    if (label >= 0) {
        r.own = r.a * with_margin(p, r.c[label]);
        r.g = bend_of(&p->op.a.margin, r.c[label]);
    }
    for (size_t k = 0; k < r.classes; k++) {
        double z = k == (size_t)label ? r.own : r.a * r.c[k];
        low = fmin(low, z), high = fmax(high, z);
    }
    for (size_t k = 0; k < r.classes; k++) sum += exp((k == (size_t)label ? r.own : r.a * r.c[k]) - high);
    r.max = high;
    r.log_sum = high + log(sum);
    r.span = high - low;
    r.large = fmax(fabs(low), fabs(high));
    r.off = QV_U * (r.large + r.a * r.g.value_error);
    return r;
}

static double prob(const bent_row *r, size_t k)
{
    return exp((k == (size_t)r->label ? r->own : r->a * r->c[k]) - r->log_sum);
}

/* As in qv_bound_loss, and what the logits were off by before: twice, since the largest may be off the other way. */
static double relative(const bent_row *r) { return QV_U * (2 * r->span + qv_chain(r->classes) + 12) + 2 * r->off; }

/* Adds what one label brings. */
static void bound_label(const qv_problem *p, size_t n, const bent_row *r, double w, double total, double *const *bound)
{
    double smoothing = (double)p->op.a.margin.smoothing, classes = (double)r->classes, outward = 0;
    double factor = (qv_chain((size_t)p->in[0].n) + 12) * QV_U;
    bound[0][0] += w * (relative(r) + 2 * r->off + 3 * QV_U * (r->span + log(classes) + r->large) +
                        qv_chain(r->classes) * QV_U * r->span);
    for (size_t k = 0; k < r->classes; k++) {
        bool right = k == (size_t)r->label;
        double q = prob(r, k), t = (right ? 1 - smoothing : 0) + smoothing / classes;
        double off = w / total * (relative(r) * q + factor * (q + t)), d = w / total * fabs(q - t);
        double slope = right ? r->g.slope : 1, value = right ? r->g.value : fabs(r->c[k]);
        bound[1][n * r->classes + k] += r->a * (off * slope + d * (right ? r->g.slope_error : 0) * QV_U) + QV_TINY;
        outward += off * value + d * (right ? r->g.value_error : 0) * QV_U;
        outward += (qv_chain(r->classes) + 2) * QV_U * w / total * (q + t) * value;
    }
    if (bound[2]) bound[2][n] += outward + QV_TINY;
}

void qv_bound_margin(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t samples = (size_t)p->in[0].n;
    const double *loss = expect[0].data, *probs = expect[4].data;
    for (size_t n = 0; n < samples; n++) {
        bent_row plain = bend_row(p, n, -1);
        for (size_t k = 0; k < plain.classes; k++)
            bound[4][n * plain.classes + k] = relative(&plain) * probs[n * plain.classes + k] + QV_TINY;
        for (int i = 0; i < 2; i++) {
            int32_t label;
            double w = weight_of(p, 4, n, i, &label);
            if (!(w > 0)) continue;
            bent_row r = bend_row(p, n, label);
            bound_label(p, n, &r, w, loss[1], bound);
        }
    }
    qv_bound_rounded(&expect[3], bound[3], 1);
    bound[0][0] += (qv_chain(samples) + 4) * QV_U * loss[0];
    bound[0][1] = (qv_chain(samples) + 2) * QV_U * loss[1];
}

void qv_make_center(qv_maker *m)
{
    qv_problem *p = m->p;
    int i = qv_pick(m, sizeof batches / sizeof *batches), n = batches[i].n, k = batches[i].k;
    int c = (int[]){2, 33}[qv_pick(m, 2)];
    p->op.a.center = (qv_center_attr){.weight = 0.01f, .rate = 0.5f};
    qv_describe(m, "%d rows of %d, %d classes", n, c, k);
    make_labels(m, n, k, 4);
    qv_numbers(m, &p->in[0], qv_shape(n, 1, 1, c), 1);
    double *entropy = qv_numbers(m, &p->in[3], qv_vector(2), 1);
    float total = 0;
    for (int j = 0; j < 2 * n; j++) {
        int32_t label;
        total += (float)weight_of(p, 4, (size_t)(j / 2), j % 2, &label);
    }
    if (entropy) {
        entropy[0] = fabs(entropy[0]);
        entropy[1] = (double)total;
    }
    qv_numbers(m, &p->out[0], qv_shape(k, 1, 1, c), 1);
    p->out[1] = qv_vector(2);
    p->out[2] = qv_shape(n, 1, 1, c);
}

/* A difference of exact numbers, its square and weight, the sum over channels and rows. */
void qv_bound_center(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const double *x = p->in[0].data, *center = p->out[0].data, *entropy = p->in[3].data, *after = expect[0].data;
    const double *share = p->in[5].data, *loss = expect[1].data;
    const int32_t *own = p->in[1].data, *other = p->in[4].data;
    const qv_center_attr *a = &p->op.a.center;
    size_t samples = (size_t)p->in[0].n, channels = (size_t)p->in[0].c, numbers = qv_tensor_len(&p->out[0]);
    bound[1][0] = QV_U * ((qv_chain(samples) + qv_chain(2 * channels) + 8) * (loss[0] - entropy[0]) + 2 * loss[0]);
    for (size_t i = 0; i < samples * channels; i++)
        for (int j = 0; j < 2; j++) {
            int32_t label;
            double w = weight_of(p, 4, i / channels, j, &label);
            if (!(w > 0)) continue;
            double apart = fabs(x[i] - center[(size_t)label * channels + i % channels]);
            bound[2][i] += 8 * QV_U * (double)a->weight * w / entropy[1] * apart + QV_TINY;
        }
    for (size_t i = 0; i < numbers; i++) {
        double sum = 0, count = 0;
        for (size_t n = 0; n < samples; n++)
            for (int j = 0; j < 2; j++) {
                double part = share ? (j ? 1 - share[n] : share[n]) : 1 - j;
                if ((j ? (share ? other[n] : -1) : own[n]) != (int32_t)(i / channels)) continue;
                sum += part * fabs(center[i] - x[n * channels + i % channels]);
                count += part;
            }
        double step = (double)a->rate * sum / (1 + count);
        bound[0][i] = QV_U * (2 * fabs(after[i]) + (2 * qv_chain(2 * samples) + 8) * step);
    }
}
