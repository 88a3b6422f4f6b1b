/* What a study concludes from: paired tests, intervals, corrections. Nothing here knows about networks.
 *
 * d[n] holds one difference a test speaker (seeds averaged first); every test is one-sided and asks whether the mean
 * is above zero. Exactly the same records (all d zero) give p = 1 in every test.
 *
 * noise: how far rounding may have moved each d[i], in its unit; 0 where nothing was rounded before. It is that of the
 * numbers which were subtracted, so d itself does not show it, and without it what is equal is not seen to be. */
#ifndef QV_STUDY_STATS_H
#define QV_STUDY_STATS_H

#include "base/status.h"

/* The share of Student's t with df > 0 degrees of freedom above t. */
double qv_t_above(double t, double df);

/* The t that Student's distribution exceeds with the probability p, 0 < p <= 0.5. */
double qv_t_quantile_above(double p, double df);

typedef struct qv_t_test {
    double mean, sd; /* n - 1 below the line */
    double t, p;     /* NaN for n < 2 */
    double dz;       /* Cohen's d of paired differences: mean / sd; NaN where sd is 0 */
} qv_t_test;

/* One-sided paired t-test. All differences equal (but for the noise) and above 0: sd is 0, t infinite and p 0. */
qv_t_test qv_t_paired(const double *d, size_t n, double noise);

/* The corrected resampled t-test (Nadeau and Bengio 2003): variance factor 1/n + ratio, df n - 1, with ratio the
 * recordings tested over those trained on. Made for random splits; under cross-validation a heuristic. */
double qv_t_corrected(const double *d, size_t n, double ratio, double noise);

/* Units up to which all sign flips are counted; beyond, so many are drawn. */
enum { QV_FLIP_EXACT = 30, QV_FLIP_DRAWS = (1 << 20) - 1 };

typedef struct qv_flip_test {
    double p;        /* share of flips whose sum is at least the one seen, that one included */
    double smallest; /* p of n differences above zero; what this n can attain at best */
    bool exact;
    size_t units; /* that are flipped */
} qv_flip_test;

/* What so many units can attain at best. */
double qv_flip_smallest(size_t units);

/* Paired sign-flip permutation test of the mean. Differences with the same group change sign together (speakers whom
 * the same networks judge are not independent); NULL: each alone. Groups are any numbers.
 * Exact for up to QV_FLIP_EXACT units: the 2^n sums are counted by pairing the sorted sums of two halves. Beyond, drawn
 * by Philox with the key `seed`, p = (1 + hits) / (1 + draws). Sums that noise and addition can part are ties. */
qv_status qv_flip_signs(qv_ctx *ctx, qv_flip_test *out, const double *d, const int *group, size_t n, double noise,
                        uint64_t seed);
/* The same with so many draws whatever n is: for tests of the one against the other. */
qv_status qv_flip_drawn(qv_ctx *ctx, qv_flip_test *out, const double *d, const int *group, size_t n, double noise,
                        uint64_t seed, size_t draws);

enum { QV_INTERVAL_LEAST = 8, QV_INTERVAL_DRAWS = 10000 };

/* 95 % intervals of a mean by the bootstrap over speakers: percentile, and BCa (Efron 1987: bias-corrected, accelerated
 * by the jackknife). Fewer than QV_INTERVAL_LEAST values: all four are NaN. Values that are equal but for the noise
 * have an interval of no length. */
typedef struct qv_interval {
    double low, high, bca_low, bca_high;
} qv_interval;
qv_status qv_interval_mean(qv_ctx *ctx, qv_interval *out, const double *x, size_t n, double noise, uint64_t seed,
                           size_t draws);

/* Holm (1979): p[n] to adjusted[n], at most 1; NaN stays NaN and does not count. */
qv_status qv_holm(qv_ctx *ctx, const double *p, double *adjusted, size_t n);

/* Normal distribution: share below z, and its inverse on (0, 1). */
double qv_normal_below(double z);
double qv_normal_quantile(double p);

#endif
