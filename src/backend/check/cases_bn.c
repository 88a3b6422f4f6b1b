/* Cases and bounds of batch norm. */
#include <math.h>
#include <stdlib.h>

#include "backend/check/maker.h"

/* Statistics as they would be, and x that fits them: deviations of about 1/rstd from the mean. `offset`: the mean
 * is 1000 deviations away from zero, where the difference of two large sums has no correct digit left. */
static void bn_operands(qv_maker *m, qv_tensor of, bool offset, qv_tensor *x, qv_tensor *mean, qv_tensor *rstd)
{
    static const double scales[] = {0.5, 1, 2};
    *mean = *rstd = qv_vector(of.c);
    *x = of;
    double *mu = qv_room(mean, sizeof *mu), *r = qv_room(rstd, sizeof *r), *v = qv_room(x, sizeof *v);
    if (!mu || !r || !v) return;
    for (int c = 0; c < of.c; c++) {
        r[c] = m->p->exact ? scales[qv_random_next(&m->rng) % 3] : qv_as_float(qv_random_uniform(&m->rng, 0.3, 3));
        mu[c] = offset ? qv_as_float((c % 2 ? -1000 : 1000) / r[c]) : qv_number(m, 1);
    }
    for (size_t i = 0; i < qv_tensor_len(x); i++) {
        size_t c = i % (size_t)of.c;
        v[i] = m->p->exact ? qv_exact_value(m) : qv_as_stored(m, x, mu[c] + qv_random_normal(&m->rng) / r[c]);
    }
}

/* Random, random with an offset, exact. */
static bool pick_bn_data(qv_maker *m)
{
    int data = qv_pick(m, 3);
    m->p->exact = data == 2;
    qv_describe(m, "%s", (const char *[]){"", " offset", " exact"}[data]);
    return data == 1;
}

void qv_make_bn_stats(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m), mean, rstd;
    int data = qv_pick(m, 3);
    bn_operands(m, of, data == 1, &m->p->in[0], &mean, &rstd);
    if (data == 2) { /* no variance at all: it must come out as 0 and not below */
        double *x = m->p->in[0].data;
        for (size_t i = 0; x && i < qv_tensor_len(&m->p->in[0]); i++) x[i] = 37.25;
    }
    qv_describe(m, "%s", (const char *[]){"", " offset", " constant"}[data]);
    free(mean.data), free(rstd.data);
    m->p->out[0] = m->p->out[1] = qv_vector(of.c);
}

/* Asked for: that no chain of roundings at the scale of the mean is longer than two levels of summing, 2 sqrt(M)
 * (or that deviations from a first estimate are summed). With e the error that this leaves in a mean, the means of
 * blocks of sqrt(M) rows differ by about a deviation / M^(1/4) in earnest, so merging them errs by 2 e deviation /
 * M^(1/4) + e^2. The difference of mean square and squared mean errs by u mean^2 and fails at 1000 deviations. */
typedef struct bn_estimate {
    double mean, var;     /* of a channel */
    double e_mean, e_var; /* how far a float backend may be from them */
} bn_estimate;

static bool is_constant(const double *v, size_t rows, size_t channels, size_t c)
{
    size_t m = 1;
    while (m < rows && v[m * channels + c] == v[c]) m++;
    return m >= rows;
}

static bn_estimate estimate(const double *v, size_t rows, size_t channels, size_t c)
{
    bn_estimate e = {0};
    double spread = 0, n = (double)rows, block = sqrt(n);
    for (size_t m = 0; m < rows; m++) e.mean += v[m * channels + c] / n;
    for (size_t m = 0; m < rows; m++) {
        double off = fabs(v[m * channels + c] - e.mean);
        spread += off / n;
        e.var += off * off / n;
    }
    e.e_mean = QV_U * ((qv_chain((size_t)(2 * block)) + 3) * fabs(e.mean) + qv_chain(rows) * spread);
    e.e_var = (qv_chain(rows) + 6) * QV_U * e.var + 2 * e.e_mean * sqrt(e.var / block) + e.e_mean * e.e_mean;
    return e;
}

void qv_bound_bn_stats(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_tensor *x = &p->in[0];
    for (int c = 0; c < expect[0].c; c++) {
        bn_estimate e = estimate(x->data, qv_rows(x), (size_t)x->c, (size_t)c);
        bound[0][c] = e.e_mean;
        bound[1][c] = is_constant(x->data, qv_rows(x), (size_t)x->c, (size_t)c) ? 0 : e.e_var;
    }
}

void qv_make_bn_finalize(qv_maker *m)
{
    static const int channels[] = {1, 3, 16, 33, 64, 300};
    static const int64_t counts[] = {2, 4096, (int64_t)1 << 33};
    int c = channels[qv_pick(m, 6)];
    qv_bn_attr *a = &m->p->op.a.bn;
    *a = (qv_bn_attr){.eps = 1e-5f, .momentum = 0.1f, .repeat = 1};
    a->count = counts[qv_pick(m, 3)];
    a->eval = qv_pick(m, 2);
    qv_describe(m, "%d channels, count %lld%s", c, (long long)a->count, a->eval ? ", eval" : "");
    if (!a->eval) {
        qv_numbers(m, &m->p->in[0], qv_vector(c), 10);
        double *var = qv_numbers(m, &m->p->in[1], qv_vector(c), 1);
        for (int i = 0; var && i < c; i++) var[i] = i == 1 ? 0 : qv_as_float(var[i] * var[i]);
    }
    m->p->out[0] = qv_vector(c);
    qv_numbers(m, &m->p->out[1], qv_vector(c), 10);
    double *rvar = qv_numbers(m, &m->p->out[2], qv_vector(c), 1);
    for (int i = 0; rvar && i < c; i++) rvar[i] = qv_as_float(rvar[i] * rvar[i]);
}

/* rstd: a sum, a root, a quotient, each at most 2 ulp on a GPU. Running estimates: 1 - m, M/(M-1), three products
 * and a sum of two terms; nothing at all in evaluation. */
void qv_bound_bn_finalize(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_bn_attr *a = &p->op.a.bn;
    qv_bound_rounded(&expect[0], bound[0], 6);
    if (a->eval) return;
    const double *in[2] = {p->in[0].data, p->in[1].data};
    for (int k = 1; k < 3; k++) {
        const double *old = p->out[k].data;
        for (size_t i = 0; i < qv_tensor_len(&expect[k]); i++)
            bound[k][i] =
                6 * QV_U * ((1 - (double)a->momentum) * fabs(old[i]) + 2 * (double)a->momentum * fabs(in[k - 1][i]));
    }
}

/* Running estimates to start from, and the counters: the last three outputs of what ends in BN_MEASURE. */
static void make_finish(qv_maker *m, qv_tensor *out, qv_tensor of)
{
    m->p->op.a.bn.momentum = 0.1f;
    m->p->op.a.bn.count = (int64_t)qv_rows(&of);
    out[0] = out[1] = qv_vector(of.c);
    qv_numbers(m, &out[2], qv_vector(of.c), 10);
    double *rvar = qv_numbers(m, &out[3], qv_vector(of.c), 1);
    for (int i = 0; rvar && i < of.c; i++) rvar[i] = qv_as_float(rvar[i] * rvar[i]);
    qv_tickets_of(&out[4], of.c);
}

void qv_make_bn_measure(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m), mean, rstd;
    if (qv_rows(&of) < 2) of.n = 2;
    bool offset = qv_pick(m, 2);
    qv_describe(m, "%s", offset ? " offset" : "");
    m->p->op.a.bn = (qv_bn_attr){.eps = 1e-5f, .repeat = 1};
    bn_operands(m, of, offset, &m->p->in[0], &mean, &rstd);
    free(mean.data), free(rstd.data);
    make_finish(m, m->p->out, of);
}

/* The derivative of rstd is -rstd/2 / (var + eps): twice that allows for its growth within e_var. */
void qv_bound_bn_measure(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_bn_attr *a = &p->op.a.bn;
    const qv_tensor *x = &p->in[0];
    const double *rmean = p->out[2].data, *rvar = p->out[3].data, *rstd = expect[1].data;
    double keep = 1 - (double)a->momentum, take = (double)a->momentum,
           unbias = (double)a->count / (double)(a->count - 1);
    for (size_t c = 0; c < (size_t)x->c; c++) {
        bn_estimate e = estimate(x->data, qv_rows(x), (size_t)x->c, c);
        bound[0][c] = e.e_mean;
        bound[1][c] = rstd[c] * (6 * QV_U + e.e_var / (e.var + (double)a->eps));
        bound[2][c] = 6 * QV_U * (keep * fabs(rmean[c]) + 2 * take * fabs(e.mean)) + 2 * take * e.e_mean;
        bound[3][c] = 6 * QV_U * (keep * fabs(rvar[c]) + 2 * take * unbias * e.var) + 2 * take * unbias * e.e_var;
    }
}

/* What pre-activation j of row m is made of, in magnitude; x, mean, rstd, gamma, beta stand one after the other. */
static double bn_magnitude(const qv_tensor *x, size_t m, size_t j, double *value)
{
    size_t channels = (size_t)x->c, c = j % channels;
    const double *v = x[0].data, *mean = x[1].data, *rstd = x[2].data, *gamma = x[3].data, *beta = x[4].data;
    double scaled = (v[m * channels + c] - mean[c]) * (rstd[c] * gamma[j]);
    if (value) *value = scaled + beta[j];
    return fabs(scaled) + fabs(beta[j]);
}

void qv_make_bn_apply(qv_maker *m)
{
    qv_problem *p = m->p;
    qv_tensor of = qv_pick_shape(m);
    bool offset = pick_bn_data(m);
    p->op.a.bn = (qv_bn_attr){.eps = 1e-5f, .relu = qv_pick(m, 2), .repeat = 1 + qv_pick(m, 2)};
    qv_describe(m, " relu %d repeat %d", p->op.a.bn.relu, p->op.a.bn.repeat);
    int wide = of.c * p->op.a.bn.repeat;
    bn_operands(m, of, offset, &p->in[0], &p->in[1], &p->in[2]);
    qv_numbers(m, &p->in[3], qv_vector(wide), 1);
    qv_numbers(m, &p->in[4], qv_vector(wide), 1);
    p->out[0] = qv_with_channels(of, wide);
}

/* Difference, product of scales, product, sum; a ReLU brings nothing apart. */
void qv_bound_bn_apply(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t wide = (size_t)expect[0].c;
    if (p->exact) return;
    for (size_t i = 0; i < qv_tensor_len(&expect[0]); i++)
        bound[0][i] = 4 * QV_U * bn_magnitude(&p->in[0], i / wide, i % wide, NULL);
}

/* Moves x away from the ReLU's kink by more than a float's error there, so that every backend takes the same side.
 * Exact data may stand on the kink: it does so everywhere. */
static void avoid_kinks(qv_maker *m, const qv_tensor *x, size_t wide)
{
    double *v = x[0].data;
    const double *mean = x[1].data, *rstd = x[2].data;
    size_t channels = (size_t)x->c;
    bool whole = v && mean && rstd && x[3].data && x[4].data;
    for (size_t i = 0; i < qv_tensor_len(x) && whole && !m->p->exact; i++) {
        for (size_t j = i % channels; j < wide; j += channels) {
            double value, magnitude = bn_magnitude(x, i / channels, j, &value);
            if (fabs(value) > 16 * QV_U * magnitude) continue;
            v[i] = qv_as_stored(m, x, mean[i % channels] + qv_random_normal(&m->rng) / rstd[i % channels]);
            j = i % channels - channels; /* look at all sets again */
        }
    }
}

/* How a gradient of batch norm may be asked for. */
static const struct {
    int relu, repeat, bands; /* bands 0: no coefficients */
    bool addend;             /* for bn_grad_apply */
} grads[] = {
    {0, 1, 0, false}, {1, 1, 0, false}, {1, 2, 0, true}, {0, 2, 0, false},
    {1, 1, 0, true},  {0, 1, 1, false}, {0, 1, 4, true}, {1, 1, 2, false},
};

/* dy x mean rstd gamma beta of both ops; coef at in[coef]. Returns whether an addend is asked for. */
static bool make_grad(qv_maker *m, int coef)
{
    qv_problem *p = m->p;
    qv_tensor of = qv_pick_shape(m);
    bool offset = pick_bn_data(m);
    int i = qv_pick(m, sizeof grads / sizeof *grads), bands = grads[i].bands;
    p->op.a.bn = (qv_bn_attr){.eps = 1e-5f, .relu = grads[i].relu, .repeat = grads[i].repeat};
    qv_describe(m, " relu %d repeat %d bands %d addend %d", grads[i].relu, grads[i].repeat, bands, grads[i].addend);
    qv_tensor x = qv_with_channels(of, bands ? 2 * of.c : of.c);
    int wide = x.c * grads[i].repeat;
    qv_numbers(m, &p->in[0], qv_with_channels(of, bands ? of.c : wide), 1);
    bn_operands(m, x, offset, &p->in[1], &p->in[2], &p->in[3]);
    qv_numbers(m, &p->in[4], qv_vector(wide), 1);
    qv_numbers(m, &p->in[5], qv_vector(wide), 1);
    if (bands) qv_coefficients(m, &p->in[coef], qv_shape(of.n, 1, 1, bands));
    if (grads[i].relu) avoid_kinks(m, &p->in[1], (size_t)wide);
    return grads[i].addend;
}

/* |v| of ops.def for channel j of row m. *unsure: as much again where a float's error decides the side of the ReLU's
 * kink (whole steps come there; cases avoid it). */
static double reaching(const qv_problem *p, int coef, size_t m, size_t j, double *unsure)
{
    const qv_tensor *x = &p->in[1], *table = &p->in[coef];
    const double *dy = p->in[0].data, *share = table->data;
    size_t wide = (size_t)p->in[0].c, w = (size_t)x->w, area = (size_t)x->h * w, bands = (size_t)table->c;
    double value, magnitude = bn_magnitude(x, m, j, &value), v = fabs(dy[m * wide + j % wide]);
    if (share) {
        double b = share[m / area * bands + m % w * bands / w];
        v *= fabs(j < wide ? b : 1 - b);
    }
    *unsure = p->op.a.bn.relu && !p->exact && fabs(value) <= 4 * QV_U * magnitude ? v : 0;
    return p->op.a.bn.relu && !(value > 0) ? 0 : v;
}

static double xh_of(const qv_problem *p, size_t m, size_t c)
{
    const qv_tensor *x = &p->in[1];
    const double *v = x[0].data, *mean = x[1].data, *rstd = x[2].data;
    return fabs(v[m * (size_t)x->c + c] - mean[c]) * rstd[c];
}

void qv_make_bn_grad_sums(qv_maker *m)
{
    make_grad(m, 6);
    m->p->out[0] = m->p->out[1] = qv_vector(m->p->in[4].c);
    if (m->p->op.a.bn.relu || m->p->in[6].data) qv_tickets_of(&m->p->out[2], m->p->in[1].c);
}

/* Sums of M terms; a term of dbeta is at most one product, one of dgamma three roundings more. */
void qv_bound_bn_grad_sums(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t wide = qv_tensor_len(&expect[0]), channels = (size_t)p->in[1].c, rows = qv_rows(&p->in[1]);
    if (p->exact) return;
    for (size_t m = 0; m < rows; m++) {
        for (size_t j = 0; j < wide; j++) {
            double unsure, v = reaching(p, 6, m, j, &unsure), xh = xh_of(p, m, j % channels);
            bound[0][j] += ((qv_chain(rows) + 6) * QV_U * v + unsure) * xh;
            bound[1][j] += (qv_chain(rows) + 3) * QV_U * v + unsure;
        }
    }
}

void qv_make_bn_grad_apply(qv_maker *m)
{
    qv_problem *p = m->p;
    bool addend = make_grad(m, 8);
    double size = sqrt((double)qv_rows(&p->in[1])); /* of a sum of so many terms of mean 0 */
    qv_numbers(m, &p->in[6], qv_vector(p->in[4].c), size);
    qv_numbers(m, &p->in[7], qv_vector(p->in[4].c), size);
    p->out[0] = qv_shape(p->in[1].n, p->in[1].h, p->in[1].w, p->in[1].c);
    if (addend) qv_numbers(m, &p->in[9], p->out[0], 1);
}

/* Each of the up to seven terms passes fewer than eight roundings. Exact: while M is a power of two and its
 * fractions fit the 24 bits. */
void qv_bound_bn_grad_apply(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t channels = (size_t)p->in[1].c, wide = (size_t)p->in[4].c, rows = qv_rows(&p->in[1]);
    const double *rstd = p->in[3].data, *gamma = p->in[4].data, *addend = p->in[9].data;
    const double *dgamma = p->in[6].data, *dbeta = p->in[7].data;
    if (p->exact && qv_power_of_two(rows) && rows <= 64) return;
    for (size_t i = 0; i < qv_tensor_len(&expect[0]); i++) {
        size_t m = i / channels, c = i % channels;
        double sum = addend ? fabs(addend[i]) : 0, other_side = 0;
        for (size_t j = c; j < wide; j += channels) {
            double unsure, v = reaching(p, 8, m, j, &unsure), scale = fabs(gamma[j]) * rstd[c];
            sum += scale * (v + (fabs(dbeta[j]) + xh_of(p, m, c) * fabs(dgamma[j])) / (double)rows);
            other_side += scale * unsure;
        }
        bound[0][i] = 12 * QV_U * sum + other_side + QV_TINY;
    }
}

void qv_make_bn_shake_add(qv_maker *m)
{
    qv_problem *p = m->p;
    qv_tensor of = qv_pick_shape(m);
    bool offset = pick_bn_data(m);
    int bands = (int[]){1, 2, 4}[qv_pick(m, 3)];
    qv_describe(m, " bands %d", bands);
    p->op.a.bn = (qv_bn_attr){.eps = 1e-5f, .repeat = 1};
    bn_operands(m, qv_with_channels(of, 2 * of.c), offset, &p->in[0], &p->in[1], &p->in[2]);
    qv_numbers(m, &p->in[3], qv_vector(2 * of.c), 1);
    qv_numbers(m, &p->in[4], qv_vector(2 * of.c), 1);
    qv_coefficients(m, &p->in[5], qv_shape(of.n, 1, 1, bands));
    qv_numbers(m, &p->in[6], of, 1);
    p->out[0] = of;
}

/* bn_apply's four roundings and shake_add's four. */
void qv_bound_bn_shake_add(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_tensor *y = &expect[0];
    const double *alpha = p->in[5].data, *s = p->in[6].data;
    size_t channels = (size_t)y->c, w = (size_t)y->w, area = (size_t)y->h * w, bands = (size_t)p->in[5].c;
    if (p->exact) return;
    for (size_t i = 0; i < qv_tensor_len(y); i++) {
        size_t m = i / channels, c = i % channels;
        double a = alpha[m / area * bands + m % w * bands / w];
        double first = bn_magnitude(&p->in[0], m, c, NULL), second = bn_magnitude(&p->in[0], m, c + channels, NULL);
        bound[0][i] = 8 * QV_U * (fabs(s[i]) + fabs(a) * first + fabs(1 - a) * second);
    }
}

/* How the end of a block may be asked for. */
static const struct {
    int bands;
    bool norm, measure; /* the shortcut's batch norm, the statistics of the result */
} ends[] = {{1, false, false}, {4, true, false}, {1, false, true}, {1, true, true}, {2, true, true}};

void qv_make_block_end(qv_maker *m)
{
    qv_problem *p = m->p;
    qv_tensor of = qv_pick_shape(m);
    int i = qv_pick(m, sizeof ends / sizeof *ends);
    if (qv_rows(&of) < 2) of.n = 2;
    bool offset = pick_bn_data(m);
    qv_describe(m, " bands %d norm %d measure %d", ends[i].bands, ends[i].norm, ends[i].measure);
    p->op.a.bn = (qv_bn_attr){.eps = 1e-5f, .repeat = 1};
    bn_operands(m, qv_with_channels(of, 2 * of.c), offset, &p->in[0], &p->in[1], &p->in[2]);
    qv_numbers(m, &p->in[3], qv_vector(2 * of.c), 1);
    qv_numbers(m, &p->in[4], qv_vector(2 * of.c), 1);
    qv_coefficients(m, &p->in[5], qv_shape(of.n, 1, 1, ends[i].bands));
    if (ends[i].norm) {
        bn_operands(m, of, offset, &p->in[6], &p->in[7], &p->in[8]);
        qv_numbers(m, &p->in[9], qv_vector(of.c), 1);
        qv_numbers(m, &p->in[10], qv_vector(of.c), 1);
    } else {
        qv_numbers(m, &p->in[6], of, 1);
    }
    p->out[0] = of;
    if (ends[i].measure) make_finish(m, &p->out[1], of);
}

/* y as in bn_shake_add, four roundings more for a normalized shortcut. The statistics are those of y as it is stored,
 * which only who reads it can tell: qv_answer_follow. */
void qv_bound_block_end(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_tensor *y = &expect[0];
    const double *alpha = p->in[5].data, *s = p->in[6].data;
    size_t channels = (size_t)y->c, w = (size_t)y->w, area = (size_t)y->h * w, bands = (size_t)p->in[5].c;
    if (p->exact) return;
    for (size_t i = 0; i < qv_tensor_len(y); i++) {
        size_t m = i / channels, c = i % channels;
        double a = alpha[m / area * bands + m % w * bands / w];
        double first = bn_magnitude(&p->in[0], m, c, NULL), second = bn_magnitude(&p->in[0], m, c + channels, NULL);
        double third = p->in[7].data ? bn_magnitude(&p->in[6], m, c, NULL) : fabs(s[i]);
        bound[0][i] = 8 * QV_U * (third + fabs(a) * first + fabs(1 - a) * second);
    }
}
