/* Permutation test and bootstrap. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/order.h"
#include "base/philox.h"
#include "study/stats.h"

/* ---- sign flips ---- */

/* Sums of the groups, of which there are *groups; those of zero flip to themselves, so they change no p and are left
 * out. */
static size_t group_sums(const double *d, const int *group, size_t n, double *sums, double tie, size_t *groups)
{
    size_t units = 0;
    *groups = 0;
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        while (group && first < i && group[first] != group[i]) first++;
        if (group && first < i) continue; /* counted with the first of its group */
        ++*groups;
        double sum = d[i];
        for (size_t j = i + 1; group && j < n; j++)
            if (group[j] == group[i]) sum += d[j];
        if (fabs(sum) > tie) sums[units++] = sum;
    }
    return units;
}

/* What may part two orders of summation of the same numbers: half an ulp of the largest partial sum, each addition. */
static double tie_of(const double *d, size_t n)
{
    double magnitude = 0;
    for (size_t i = 0; i < n; i++) magnitude += fabs(d[i]);
    return 4 * (double)n * DBL_EPSILON * magnitude;
}

/* All 2^n signed sums of x[n], sorted. */
static qv_status signed_sums(qv_ctx *ctx, double **out, const double *x, size_t n)
{
    size_t count = (size_t)1 << n;
    qv_status status = qv_alloc(ctx, out, count, sizeof **out);
    if (status != QV_OK) return status;
    double *s = *out;
    for (size_t i = 0; i < n; i++) s[0] -= x[i];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0, half = (size_t)1 << i; k < half; k++) s[half + k] = s[k] + 2 * x[i];
    qv_sort(s, count);
    return QV_OK;
}

/* Share of the 2^n signed sums that reach `seen`: each sum of one half meets those of the other that complete it. */
static qv_status exact_share(qv_ctx *ctx, double *share, const double *x, size_t n, double seen)
{
    qv_status status = QV_OK;
    double *a = NULL, *b = NULL, hits = 0;
    size_t half = n / 2, na = (size_t)1 << half, nb = (size_t)1 << (n - half), enough = nb;
    QV_TRY(signed_sums(ctx, &a, x, half));
    QV_TRY(signed_sums(ctx, &b, x + half, n - half));
    for (size_t i = 0; i < na; i++) {
        while (enough > 0 && a[i] + b[enough - 1] >= seen) enough--;
        hits += (double)(nb - enough);
    }
    *share = hits / ((double)na * (double)nb);
done:
    free(a);
    free(b);
    return status;
}

static double drawn_share(const double *x, size_t n, double seen, uint64_t seed, size_t draws)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    size_t hits = 0;
    for (size_t k = 0; k < draws; k++) {
        double sum = 0;
        qv_philox4 bits = {{0}};
        for (size_t i = 0; i < n; i++) {
            if (i % 128 == 0) {
                const uint32_t counter[4] = {(uint32_t)k, (uint32_t)(k >> 32), (uint32_t)(i / 128), 0};
                bits = qv_philox(counter, key);
            }
            sum += bits.v[i / 32 % 4] >> (i % 32) & 1 ? x[i] : -x[i];
        }
        hits += sum >= seen;
    }
    return (1 + (double)hits) / (1 + (double)draws);
}

/* draws: 0 where all flips are counted. */
static double smallest_of(size_t units, size_t draws)
{
    double all = ldexp(1, -(int)(units < 1000 ? units : 1000));
    return draws ? fmax(all, 1 / (1 + (double)draws)) : all;
}

double qv_flip_smallest(size_t units) { return smallest_of(units, units <= QV_FLIP_EXACT ? 0 : QV_FLIP_DRAWS); }

/* draws: 0 for exact where that is possible. The sum of a flip differs from the one seen by twice that of what it
 * turns: where both are equal by the noise of all n, twice, at most. Unequal ones as near are too rare to show in p. */
static qv_status flip(qv_ctx *ctx, qv_flip_test *out, const double *d, const int *group, size_t n, double noise,
                      uint64_t seed, size_t draws)
{
    qv_status status = QV_OK;
    double *x, seen = 0, tie = tie_of(d, n) + 2 * (double)n * noise;
    *out = (qv_flip_test){.p = NAN, .smallest = NAN};
    QV_TRY(qv_alloc(ctx, &x, n, sizeof *x));
    if (n == 0) goto done;
    const size_t units = group_sums(d, group, n, x, tie, &out->units);
    out->exact = draws == 0 && out->units <= QV_FLIP_EXACT;
    if (draws == 0) draws = QV_FLIP_DRAWS;
    out->smallest = smallest_of(out->units, out->exact ? 0 : draws);
    for (size_t i = 0; i < units; i++) seen += x[i];
    if (out->exact)
        QV_TRY(exact_share(ctx, &out->p, x, units, seen - tie));
    else
        out->p = drawn_share(x, units, seen - tie, seed, draws);
done:
    free(x);
    return status;
}

qv_status qv_flip_signs(qv_ctx *ctx, qv_flip_test *out, const double *d, const int *group, size_t n, double noise,
                        uint64_t seed)
{
    return flip(ctx, out, d, group, n, noise, seed, 0);
}

qv_status qv_flip_drawn(qv_ctx *ctx, qv_flip_test *out, const double *d, const int *group, size_t n, double noise,
                        uint64_t seed, size_t draws)
{
    return flip(ctx, out, d, group, n, noise, seed, draws);
}

/* ---- bootstrap ---- */

/* Mean of n values drawn with replacement; the product's high word favours none by more than n * 2^-32. */
static double resampled_mean(const double *x, uint32_t n, uint32_t draw, const uint32_t key[2])
{
    double sum = 0;
    for (uint32_t j = 0; j < n; j += 4) {
        const uint32_t counter[4] = {draw, j, 0, 1};
        qv_philox4 r = qv_philox(counter, key);
        for (uint32_t l = 0; l < 4 && j + l < n; l++) sum += x[((uint64_t)r.v[l] * n) >> 32];
    }
    return sum / n;
}

/* Acceleration of the mean: a sixth of the skewness of the jackknife's means. */
static double acceleration(const double *x, size_t n, double mean)
{
    double square = 0, cube = 0;
    for (size_t i = 0; i < n; i++) {
        double e = x[i] - mean; /* the mean less that without x[i], times n - 1 */
        square += e * e;
        cube += e * e * e;
    }
    return square > 0 ? cube / (6 * pow(square, 1.5)) : 0;
}

/* Level of the bootstrap distribution that BCa takes for the normal quantile z. */
static double bca_level(double z0, double a, double z) { return qv_normal_below(z0 + (z0 + z) / (1 - a * (z0 + z))); }

static void bca_bounds(qv_interval *out, const double *sorted, size_t draws, const double *x, size_t n, double mean,
                       double noise)
{
    const double tie = tie_of(x, n) / (double)n + 2 * noise;
    double below = 0;
    /* ties with the mean count half, as SciPy has it: else discrete values would shift the interval */
    for (size_t k = 0; k < draws; k++) below += sorted[k] < mean - tie ? 1 : sorted[k] <= mean + tie ? 0.5 : 0;
    if (below == 0 || below == (double)draws) return; /* few draws, all on one side: no level to correct by */
    double z0 = qv_normal_quantile(below / (double)draws), a = acceleration(x, n, mean), z = qv_normal_quantile(0.975);
    out->bca_low = qv_quantile(sorted, draws, bca_level(z0, a, -z));
    out->bca_high = qv_quantile(sorted, draws, bca_level(z0, a, z));
}

qv_status qv_interval_mean(qv_ctx *ctx, qv_interval *out, const double *x, size_t n, double noise, uint64_t seed,
                           size_t draws)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    double *means, mean = 0, low = INFINITY, high = -INFINITY;
    *out = (qv_interval){NAN, NAN, NAN, NAN};
    if (n < QV_INTERVAL_LEAST) return QV_OK;
    qv_status status = qv_alloc(ctx, &means, draws, sizeof *means);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < n; i++) {
        mean += x[i] / (double)n;
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    if (high - low <= 2 * noise) { /* nothing varies */
        *out = (qv_interval){mean, mean, mean, mean};
    } else {
        for (size_t k = 0; k < draws; k++) means[k] = resampled_mean(x, (uint32_t)n, (uint32_t)k, key);
        qv_sort(means, draws);
        out->low = qv_quantile(means, draws, 0.025);
        out->high = qv_quantile(means, draws, 0.975);
        bca_bounds(out, means, draws, x, n, mean, noise);
    }
    free(means);
    return QV_OK;
}
