/* Distributions, t-tests, Holm. */
#include "study/stats.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/beta.h"

/* ---- distributions ---- */

/* The middle of an interval; false: no number lies inside it any more. */
static bool halve(double low, double high, double *middle)
{
    *middle = (low + high) / 2;
    return low < *middle && *middle < high;
}

double qv_t_above(double t, double df)
{
    if (isnan(t) || !(df > 0)) return NAN;
    /* For small |t| the tail is near a half: from the middle no digits are lost. */
    double x = df / (df + t * t);
    double both = t * t < df ? 1 - qv_beta_inc(0.5, df / 2, t * t / (df + t * t)) : qv_beta_inc(df / 2, 0.5, x);
    return t > 0 ? both / 2 : 1 - both / 2;
}

double qv_t_quantile_above(double p, double df)
{
    double low = 0, high = 1, middle;
    while (qv_t_above(high, df) > p) high *= 2;
    while (halve(low, high, &middle)) {
        if (qv_t_above(middle, df) > p)
            low = middle;
        else
            high = middle;
    }
    return high;
}

double qv_normal_below(double z) { return erfc(-z / sqrt(2)) / 2; }

/* Bisection: called a few times an interval, so speed is no matter. */
double qv_normal_quantile(double p)
{
    double low = -40, high = 40, middle;
    while (halve(low, high, &middle)) {
        if (qv_normal_below(middle) < p)
            low = middle;
        else
            high = middle;
    }
    return middle;
}

/* ---- t-tests ---- */

static double mean_of(const double *d, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += d[i];
    return sum / (double)n;
}

static double variance_of(const double *d, size_t n, double mean)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (d[i] - mean) * (d[i] - mean);
    return sum / (double)(n - 1);
}

/* Differences that are equal up to the noise and the rounding of their mean have no deviation. */
static bool all_equal(const double *d, size_t n, double noise)
{
    for (size_t i = 1; i < n; i++)
        if (fabs(d[i] - d[0]) > 2 * noise + 8 * DBL_EPSILON * fabs(d[0])) return false;
    return true;
}

/* No difference at all speaks for nothing. */
static double p_of(double t, double df) { return isnan(t) ? 1 : qv_t_above(t, df); }

qv_t_test qv_t_paired(const double *d, size_t n, double noise)
{
    qv_t_test r = {NAN, NAN, NAN, NAN, NAN};
    if (n == 0) return r;
    r.mean = mean_of(d, n);
    if (n < 2) return r;
    r.sd = all_equal(d, n, noise) ? 0 : sqrt(variance_of(d, n, r.mean));
    r.t = r.mean / (r.sd / sqrt((double)n)); /* without a deviation infinite, or NaN where there is no difference */
    r.p = p_of(r.t, (double)n - 1);
    if (r.sd > 0) r.dz = r.mean / r.sd;
    return r;
}

double qv_t_corrected(const double *d, size_t n, double ratio, double noise)
{
    if (n < 2) return NAN;
    double mean = mean_of(d, n), variance = all_equal(d, n, noise) ? 0 : variance_of(d, n, mean);
    return p_of(mean / sqrt(variance * (1 / (double)n + ratio)), (double)n - 1);
}

/* ---- Holm ---- */

typedef struct ranked {
    double p;
    size_t at;
} ranked;

static int by_p(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return (x->p > y->p) - (x->p < y->p);
}

qv_status qv_holm(qv_ctx *ctx, const double *p, double *adjusted, size_t n)
{
    ranked *order;
    size_t m = 0;
    qv_status status = qv_alloc(ctx, &order, n, sizeof *order);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < n; i++) {
        adjusted[i] = NAN;
        if (!isnan(p[i])) order[m++] = (ranked){p[i], i};
    }
    qsort(order, m, sizeof *order, by_p);
    double so_far = 0;
    for (size_t k = 0; k < m; k++) {
        so_far = fmax(so_far, fmin(1, (double)(m - k) * order[k].p));
        adjusted[order[k].at] = so_far;
    }
    free(order);
    return QV_OK;
}
