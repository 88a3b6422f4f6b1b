/* The statistics of a study: against SciPy and statsmodels (fixtures/stats.json), against enumeration, and by
 * simulated studies with known truth. */
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/beta.h"
#include "base/order.h"
#include "base/philox.h"
#include "study/study_compare.h"
#include "support/support.h"
#include "train/metrics.h"

static json_t *fixtures;

static double number(const json_t *list, size_t i) { return json_number_value(json_array_get(list, i)); }

static void assert_near(double got, double want, double bound, const char *what)
{
    if (!(fabs(got - want) <= bound)) {
        print_error("%s: got %.17g, expected %.17g, off by %g, bound %g\n", what, got, want, got - want, bound);
        fail();
    }
}

/* ---- fixtures ---- */

/* Relative error of the front factor exp(lgamma...): each term is rounded once or twice, their sum is exponentiated. */
static double beta_bound(double a, double b, double x)
{
    return 16 * DBL_EPSILON *
           (4 + fabs(lgamma(a + b)) + fabs(lgamma(a)) + fabs(lgamma(b)) + fabs(a * log(x)) + fabs(b * log1p(-x)));
}

static void distributions_agree_with_scipy(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(fixtures, "beta"), i, row)
    {
        double a = number(row, 0), b = number(row, 1), x = number(row, 2), want = number(row, 3);
        bool direct = x < (a + 1) / (a + b + 2);
        assert_near(qv_beta_inc(a, b, x), want, beta_bound(a, b, x) * (direct ? want : 1), "beta");
    }
    json_array_foreach(json_object_get(fixtures, "t"), i, row)
    {
        double t = number(row, 0), df = number(row, 1), want = number(row, 2), x = df / (df + t * t);
        double scale = t > 0 && t * t >= df ? want : 1;
        double bound = t == 0 ? 0 : beta_bound(df / 2, 0.5, fmin(fmax(x, 1e-300), 1 - 1e-16));
        assert_near(qv_t_above(t, df), want, bound * scale, "t");
        if (want > 1e-12 && want < 0.5) /* bisected to the last bits */
            assert_near(qv_t_above(qv_t_quantile_above(want, df), df), want, 1e-12 * want + bound * scale,
                        "t quantile");
    }
    json_array_foreach(json_object_get(fixtures, "normal"), i, row)
    {
        double p = number(row, 0), z = number(row, 1);
        double slope = sqrt(2 * 3.14159265358979323846) * exp(z * z / 2);
        assert_near(qv_normal_quantile(p), z, 8 * DBL_EPSILON * (fabs(z) + slope), "normal quantile");
    }
}

static size_t read_case(const json_t *c, double d[64])
{
    const json_t *list = json_object_get(c, "d");
    size_t n = json_array_size(list);
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++) d[i] = number(list, i);
    return n;
}

static double member(const json_t *c, const char *key) { return json_number_value(json_object_get(c, key)); }

static void t_tests_agree_with_scipy(void **state)
{
    (void)state;
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(fixtures, "cases"), i, c)
    {
        double d[64], size = 0;
        size_t n = read_case(c, d);
        for (size_t k = 0; k < n; k++) size = fmax(size, fabs(d[k]));
        qv_t_test r = qv_t_paired(d, n, 0);
        double of_mean = 4 * (double)n * DBL_EPSILON * size;
        assert_near(r.mean, member(c, "mean"), of_mean, "mean");
        assert_near(r.sd, member(c, "sd"), 4 * of_mean, "sd");
        /* a relative error e of sd is one of t and dz, and |t| times the density of t bounds what it does to p */
        double e = 8 * of_mean / r.sd + 8 * of_mean / fabs(r.mean);
        assert_near(r.t, member(c, "t"), e * fabs(r.t), "t");
        assert_near(r.dz, member(c, "dz"), e * fabs(r.dz), "dz");
        double tail = (double)n * e + 1e3 * DBL_EPSILON; /* p falls at most with the power n of t */
        assert_near(r.p, member(c, "p"), tail * fmax(r.p, r.t < 0 ? 1 : 0), "p");
        double corrected = qv_t_corrected(d, n, member(c, "ratio"), 0);
        assert_near(corrected, member(c, "corrected"), tail * fmax(corrected, r.t < 0 ? 1 : 0), "corrected p");
    }
}

static void flips_agree_with_scipy(void **state)
{
    qv_ctx *ctx = *state;
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(fixtures, "cases"), i, c)
    {
        double d[64];
        size_t n = read_case(c, d);
        const json_t *want = json_object_get(c, "flips");
        qv_flip_test r;
        qv_assert_ok(ctx, qv_flip_signs(ctx, &r, d, NULL, n, 0, 1));
        double p = member(want, "p"), draws = 200000;
        assert_true(r.exact && r.units == n && r.smallest == ldexp(1, -(int)n));
        /* SciPy's draws have a binomial error: six deviations and the one that it adds */
        double bound = json_is_true(json_object_get(want, "exact")) ? DBL_EPSILON : 6 * sqrt(r.p / draws) + 1 / draws;
        assert_near(r.p, p, bound, "sign flips");
    }
}

static void intervals_agree_with_scipy(void **state)
{
    enum { DRAWS = 200000 }; /* as the fixture's */
    qv_ctx *ctx = *state;
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(fixtures, "cases"), i, c)
    {
        double d[64];
        size_t n = read_case(c, d);
        qv_interval r;
        qv_assert_ok(ctx, qv_interval_mean(ctx, &r, d, n, 0, 5, DRAWS));
        const json_t *percentile = json_object_get(c, "percentile"), *bca = json_object_get(c, "bca");
        if (!percentile) {
            assert_true(n < QV_INTERVAL_LEAST && isnan(r.low) && isnan(r.high) && isnan(r.bca_low));
            continue;
        }
        /* A drawn quantile q has the deviation sqrt(q (1 - q) / draws) / density: 0.0061 standard errors of the mean
         * at the normal's 2.5 %; two of them differ, six deviations, and as much again for the drawn bias of BCa.
         * Discrete differences have means that are whole steps apart. */
        double error = number(percentile, 2), bound = 2 * 6 * sqrt(2) * 0.0061 * error;
        if (strncmp(json_string_value(json_object_get(c, "name")), "discrete", 8) == 0)
            bound += 1.0 / (double)(n * (n == 10 ? 28 : 12));
        assert_near(r.low, number(percentile, 0), bound, "percentile, low");
        assert_near(r.high, number(percentile, 1), bound, "percentile, high");
        assert_near(r.bca_low, number(bca, 0), bound, "BCa, low");
        assert_near(r.bca_high, number(bca, 1), bound, "BCa, high");
    }
}

/* The same draws of -x give the same intervals turned round: few draws, so that each of them counts. */
static void interval_of_the_opposite_is_the_opposite(void **state)
{
    enum { N = 11, DRAWS = 400 };
    qv_ctx *ctx = *state;
    uint64_t random = qv_test_seed();
    double x[2][N];
    qv_interval r[2];
    for (int i = 0; i < N; i++) x[0][i] = exp(qv_test_normal(&random)), x[1][i] = -x[0][i];
    for (int k = 0; k < 2; k++) qv_assert_ok(ctx, qv_interval_mean(ctx, &r[k], x[k], N, 0, 5, DRAWS));
    double bound = 1e-12 * (r[0].bca_high - r[0].bca_low);
    assert_true(bound > 0);
    assert_near(r[1].low, -r[0].high, bound, "percentile, low");
    assert_near(r[1].high, -r[0].low, bound, "percentile, high");
    assert_near(r[1].bca_low, -r[0].bca_high, bound, "BCa, low");
    assert_near(r[1].bca_high, -r[0].bca_low, bound, "BCa, high");
}

static void quantiles_are_linear_between_two_values(void **state)
{
    (void)state;
    double x[] = {16, 1, 8, 4, 2};
    static const double want[][2] = {{0, 1}, {0.25, 2}, {0.375, 3}, {0.5, 4}, {0.875, 12}, {0.9375, 14}, {1, 16}};
    qv_sort(x, 5);
    for (int i = 0; i < 5; i++) assert_true(x[i] == ldexp(1, i));
    for (size_t k = 0; k < sizeof want / sizeof *want; k++) assert_true(qv_quantile(x, 5, want[k][0]) == want[k][1]);
    assert_true(qv_quantile(x + 2, 1, 0.3) == 4);
}

/* Few draws, made here once more, one number of Philox after the other, so that each order statistic counts. */
static void interval_is_that_of_its_draws(void **state)
{
    enum { N = 10, MOST = 95 };
    const uint32_t key[2] = {5, 0};
    qv_ctx *ctx = *state;
    uint64_t random = qv_test_seed();
    double x[N], means[MOST];
    for (int i = 0; i < N; i++) x[i] = qv_test_normal(&random);
    for (size_t draws = 1; draws <= MOST; draws += 47) {
        for (uint32_t k = 0; k < draws; k++) {
            means[k] = 0;
            for (uint32_t j = 0; j < N; j++) {
                const uint32_t counter[4] = {k, j / 4 * 4, 0, 1};
                means[k] += x[((uint64_t)qv_philox(counter, key).v[j % 4] * N) >> 32] / N;
            }
        }
        qv_sort(means, draws);
        qv_interval r;
        qv_assert_ok(ctx, qv_interval_mean(ctx, &r, x, N, 0, 5, draws));
        for (int side = 0; side < 2; side++) {
            double at = (side ? 0.975 : 0.025) * (double)(draws - 1), over = at - floor(at);
            double want = (1 - over) * means[(size_t)floor(at)] + (draws > 1 ? over * means[(size_t)floor(at) + 1] : 0);
            assert_near(side ? r.high : r.low, want, 64 * DBL_EPSILON * 4, "a quantile of few draws");
        }
        if (draws == 1) assert_true(isnan(r.bca_low) && isnan(r.bca_high)); /* no draw on one side of the mean */
    }
}

static void holm_agrees_with_statsmodels(void **state)
{
    qv_ctx *ctx = *state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(fixtures, "holm"), i, row)
    {
        const json_t *in = json_array_get(row, 0), *want = json_array_get(row, 1);
        double p[16], got[16];
        size_t n = json_array_size(in);
        for (size_t k = 0; k < n; k++) p[k] = number(in, k);
        p[n] = NAN; /* a comparison without records must not count */
        qv_assert_ok(ctx, qv_holm(ctx, p, got, n + 1));
        for (size_t k = 0; k < n; k++) assert_near(got[k], number(want, k), 4 * DBL_EPSILON * got[k], "Holm");
        assert_true(isnan(got[n]));
    }
}

/* ---- corners ---- */

static void identical_records_give_one(void **state)
{
    qv_ctx *ctx = *state;
    const double zero[10] = {0};
    qv_flip_test f;
    qv_interval i;
    qv_t_test t = qv_t_paired(zero, 10, 0);
    assert_true(t.p == 1 && t.mean == 0 && t.sd == 0 && isnan(t.t) && isnan(t.dz));
    assert_true(qv_t_corrected(zero, 10, 0.25, 0) == 1);
    qv_assert_ok(ctx, qv_flip_signs(ctx, &f, zero, NULL, 10, 0, 1));
    assert_true(f.p == 1);
    qv_assert_ok(ctx, qv_flip_drawn(ctx, &f, zero, NULL, 10, 0, 1, 99));
    assert_true(f.p == 1);
    qv_assert_ok(ctx, qv_interval_mean(ctx, &i, zero, 10, 0, 1, 1000));
    assert_true(i.low == 0 && i.high == 0 && i.bca_low == 0 && i.bca_high == 0);
}

static void equal_differences_are_certain(void **state)
{
    (void)state;
    double d[9];
    for (int i = 0; i < 9; i++) d[i] = 0.1;
    qv_t_test t = qv_t_paired(d, 9, 0);
    assert_true(t.sd == 0 && isinf(t.t) && t.p == 0);
    for (int i = 0; i < 9; i++) d[i] = -0.1;
    assert_true(qv_t_paired(d, 9, 0).p == 1);
}

static void too_little_gives_nothing(void **state)
{
    qv_ctx *ctx = *state;
    const double one = 0.5;
    qv_flip_test f;
    assert_true(isnan(qv_t_paired(&one, 0, 0).mean) && isnan(qv_t_paired(&one, 1, 0).p));
    qv_assert_ok(ctx, qv_flip_signs(ctx, &f, &one, NULL, 0, 0, 1));
    assert_true(isnan(f.p) && isnan(f.smallest));
    qv_assert_ok(ctx, qv_flip_signs(ctx, &f, &one, NULL, 1, 0, 1));
    assert_true(f.p == 0.5 && f.smallest == 0.5);
}

/* By the definition: every flip of every group, one after the other. */
static double enumerated(const double *d, const int *group, size_t n, int groups)
{
    size_t hits = 0, all = (size_t)1 << groups;
    for (size_t mask = 0; mask < all; mask++) {
        double sum = 0, seen = 0;
        for (size_t i = 0; i < n; i++) {
            seen += d[i];
            sum += mask >> group[i] & 1 ? -d[i] : d[i];
        }
        hits += sum >= seen - 1e-12;
    }
    return (double)hits / (double)all;
}

static void flips_are_counted_by_groups(void **state)
{
    qv_ctx *ctx = *state;
    uint64_t random = qv_test_seed();
    for (int round = 0; round < 200; round++) {
        double d[12];
        int group[12], named[12];
        int groups = 1 + (int)(qv_test_next(&random) % 9);
        for (int i = 0; i < 12; i++) {
            d[i] = (double)((int)(qv_test_next(&random) % 7) - 2) / 28; /* ties and zeros */
            group[i] = i < groups ? i : (int)(qv_test_next(&random) % (uint64_t)groups);
            named[i] = 1000 - 7 * group[i];
        }
        qv_flip_test f;
        qv_assert_ok(ctx, qv_flip_signs(ctx, &f, d, named, 12, 0, 1));
        assert_true(f.exact && f.units == (size_t)groups && f.smallest == ldexp(1, -groups));
        assert_near(f.p, enumerated(d, group, 12, groups), DBL_EPSILON, "flips of groups");
    }
}

static void drawn_flips_come_near_the_exact(void **state)
{
    qv_ctx *ctx = *state;
    uint64_t random = qv_test_seed();
    double d[30];
    qv_flip_test exact, drawn;
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 30; i++) d[i] = qv_test_normal(&random) * 0.05 + 0.006 * round;
        qv_assert_ok(ctx, qv_flip_signs(ctx, &exact, d, NULL, 30, 0, 1));
        qv_assert_ok(ctx, qv_flip_drawn(ctx, &drawn, d, NULL, 30, 0, 9, 99999));
        assert_true(exact.exact && !drawn.exact && drawn.smallest == 1e-5);
        assert_near(drawn.p, exact.p, 6 * sqrt(exact.p / 1e5) + 1e-5, "drawn flips"); /* binomial, six deviations */
    }
    double many[200];
    for (int i = 0; i < 200; i++) many[i] = 1;
    qv_assert_ok(ctx, qv_flip_signs(ctx, &drawn, many, NULL, 200, 0, 1));
    assert_true(!drawn.exact && drawn.p == ldexp(1, -20) && drawn.smallest == drawn.p);
    assert_true(qv_flip_smallest(31) == ldexp(1, -20) && qv_flip_smallest(30) == ldexp(1, -30) &&
                qv_flip_smallest(0) == 1);
}

/* ---- what rounding has made of differences ---- */

enum { HEARD = 10, NAMES = 4, OFTEN = 50, TIMES = 3 };

/* UA of each speaker, the mean over seeds, as the program has it; *right: all that were named rightly. */
static double mean_ua(const int right[TIMES][NAMES], int *all)
{
    double sum = 0;
    *all = 0;
    for (int t = 0; t < TIMES; t++) {
        size_t confusion[NAMES * NAMES] = {0};
        for (int k = 0; k < NAMES; k++) {
            confusion[k * NAMES + k] = (size_t)right[t][k];
            confusion[k * NAMES + (k + 1) % NAMES] = (size_t)(OFTEN - right[t][k]);
            *all += right[t][k];
        }
        sum += qv_confusion_ua(confusion, NAMES);
    }
    return sum / TIMES;
}

/* d: the difference of two settings' UA; gains: the same in recordings. */
static void draw_small_gain(uint64_t *random, double *d, double *gains)
{
    int right[TIMES][NAMES], all[2];
    double ua[2];
    for (int setting = 0; setting < 2; setting++) {
        for (int i = 0; i < TIMES * NAMES; i++) {
            int *n = &right[i / NAMES][i % NAMES];
            *n = 0;
            for (int j = 0; j < OFTEN; j++) *n += qv_test_uniform(random, 0, 1) < (setting ? 0.99 : 0.985);
        }
        ua[setting] = mean_ua(right, &all[setting]);
    }
    *d = ua[1] - ua[0];
    *gains = all[1] - all[0];
}

/* Whole recordings are counted without rounding; the means of the same recordings must lead to the same p. */
static void small_gains_tie_as_their_counts_do(void **state)
{
    qv_ctx *ctx = *state;
    uint64_t random = qv_test_seed();
    const double noise = 32 * DBL_EPSILON;
    for (int round = 0; round < 300; round++) {
        double d[HEARD], gains[HEARD];
        int group[HEARD];
        const int groups = round % 2 ? HEARD : HEARD / 2;
        for (int i = 0; i < HEARD; i++) group[i] = i % groups;
        for (int i = 0; i < HEARD; i++) draw_small_gain(&random, &d[i], &gains[i]);
        qv_flip_test exact, drawn, counts;
        qv_assert_ok(ctx, qv_flip_signs(ctx, &exact, d, group, HEARD, noise, 1));
        assert_near(exact.p, enumerated(gains, group, HEARD, groups), DBL_EPSILON, "flips of small gains");
        qv_assert_ok(ctx, qv_flip_drawn(ctx, &drawn, d, group, HEARD, noise, 1, 999));
        qv_assert_ok(ctx, qv_flip_drawn(ctx, &counts, gains, group, HEARD, 0, 1, 999));
        assert_near(drawn.p, counts.p, DBL_EPSILON, "drawn flips of small gains");
    }
}

/* A draw whose mean is that of all counts half, in recordings as in means of them. */
static void intervals_of_small_gains_are_those_of_their_counts(void **state)
{
    enum { DRAWS = 400 };
    qv_ctx *ctx = *state;
    uint64_t random = qv_test_seed();
    for (int round = 0; round < 100; round++) {
        double d[HEARD], gains[HEARD], noise = 32 * DBL_EPSILON, unit = TIMES * NAMES * OFTEN;
        for (int i = 0; i < HEARD; i++) draw_small_gain(&random, &d[i], &gains[i]);
        qv_interval got, want;
        qv_assert_ok(ctx, qv_interval_mean(ctx, &got, d, HEARD, noise, 1, DRAWS));
        qv_assert_ok(ctx, qv_interval_mean(ctx, &want, gains, HEARD, 0, 1, DRAWS));
        assert_near(got.bca_low, want.bca_low / unit, 1e-12, "BCa of small gains, low");
        assert_near(got.bca_high, want.bca_high / unit, 1e-12, "BCa of small gains, high");
    }
}

/* In recordings: 56 of the 1024 flips have the sum or more, whatever the gains are over. */
static void the_same_gains_have_the_same_p(void **state)
{
    static const int gains[HEARD] = {0, 6, 0, 1, 5, -3, 3, -1, 3, 4};
    qv_ctx *ctx = *state;
    uint64_t random = qv_test_seed();
    for (int round = 0; round < 100; round++) {
        double d[HEARD];
        for (int i = 0; i < HEARD; i++) {
            int right[TIMES][NAMES], all;
            for (int j = 0; j < TIMES * NAMES; j++) right[j / NAMES][j % NAMES] = 40 + (int)(qv_test_next(&random) % 5);
            const double before = mean_ua(right, &all);
            for (int left = abs(gains[i]); left > 0; left--)
                right[qv_test_next(&random) % TIMES][qv_test_next(&random) % NAMES] += gains[i] < 0 ? -1 : 1;
            d[i] = mean_ua(right, &all) - before;
        }
        qv_flip_test f;
        qv_assert_ok(ctx, qv_flip_signs(ctx, &f, d, NULL, HEARD, 32 * DBL_EPSILON, 1));
        assert_near(f.p, 56.0 / 1024, 0, "p of the gains");
    }
}

static void one_recording_each_is_no_deviation(void **state)
{
    qv_ctx *ctx = *state;
    qv_interval r;
    double d[HEARD];
    for (int i = 0; i < HEARD; i++) d[i] = (385 + i) / 400.0 - (384 + i) / 400.0;
    qv_t_test t = qv_t_paired(d, HEARD, 32 * DBL_EPSILON);
    assert_true(t.sd == 0 && isinf(t.t) && isnan(t.dz) && t.p == 0);
    assert_true(qv_t_corrected(d, HEARD, 0.1, 32 * DBL_EPSILON) == 0);
    qv_assert_ok(ctx, qv_interval_mean(ctx, &r, d, HEARD, 32 * DBL_EPSILON, 1, 1000));
    assert_true(r.low == t.mean && r.high == t.mean && r.bca_low == t.mean && r.bca_high == t.mean);
}

/* ---- simulated studies ---- */

typedef struct truth {
    int speakers, per_fold, seeds;
    double gain;    /* of one setting over the other, in test */
    double run_sd;  /* of a training's luck: each setting, fold and seed by itself */
    double learned; /* share of the training recordings that both settings get right */
} truth;

enum { CLASSES = 4, EACH = 5, MOST = 24, MOST_SEEDS = 5 };

/* UA of one speaker: of each class EACH recordings, each right with the same probability. Discrete, so with ties. */
static double heard(uint64_t *random, double p)
{
    int right = 0;
    for (int i = 0; i < CLASSES * EACH; i++) right += qv_test_uniform(random, 0, 1) < p;
    return (double)right / (CLASSES * EACH);
}

/* What two settings give each speaker, seeds averaged, and in which fold. */
typedef struct outcome {
    double ua[2][MOST], gap[2][MOST]; /* of 1, in points */
    int fold[MOST];
} outcome;

/* A speaker, a seed and a fold are easier or harder for both settings; the luck of a training meets all speakers of its
 * fold. */
static void simulate(uint64_t *random, const truth *t, outcome *o)
{
    double seed_effect[MOST_SEEDS];
    for (int k = 0; k < t->seeds; k++) seed_effect[k] = 0.03 * qv_test_normal(random);
    *o = (outcome){.fold = {0}};
    for (int first = 0; first < t->speakers; first += t->per_fold) {
        double fold_effect = 0.05 * qv_test_normal(random), skill[MOST];
        for (int s = first; s < first + t->per_fold; s++) skill[s] = 0.62 + fold_effect + 0.08 * qv_test_normal(random);
        for (int k = 0; k < t->seeds; k++)
            for (int setting = 0; setting < 2; setting++) {
                double luck = t->run_sd * qv_test_normal(random) + seed_effect[k];
                double train = heard(random, t->learned + luck / 4);
                for (int s = first; s < first + t->per_fold; s++) {
                    double u = heard(random, skill[s] + luck + (setting ? t->gain : 0));
                    o->ua[setting][s] += u / t->seeds;
                    o->gap[setting][s] += 100 * (train - u) / t->seeds;
                    o->fold[s] = first / t->per_fold;
                }
            }
    }
}

/* Three pairs of settings, each with a comparison. */
static const char three_pairs[] = "[corpus made]\nembedded = 4 1\n"
                                  "[axis pair]\nsetting = net.width\nvalues = 2, 3, 4\n"
                                  "[axis rate]\nlow = train.lr=0.1\nhigh = train.lr=0.2\n"
                                  "[compare 2]\ndifference = pair=2 high - pair=2 low\n"
                                  "[compare 3]\ndifference = pair=3 high - pair=3 low\n"
                                  "[compare 4]\ndifference = pair=4 high - pair=4 low\n";

/* Whether a study of these outcomes finds something, as its report says. */
static bool finds(qv_ctx *ctx, const qv_study *s, const truth *t, outcome o[3])
{
    qv_plan_fold folds[MOST];
    qv_plan_corpus corpus = {.n_classes = CLASSES, .folds = folds, .n_folds = (size_t)(t->speakers / t->per_fold)};
    qv_plan plan = {.corpora = &corpus, .n_corpora = 1, .seeds = t->seeds};
    size_t speakers = (size_t)t->speakers, significant = 0;
    int *fold = o[0].fold;
    qv_cell_result cells[6] = {{0}};
    qv_results r = {.study = s, .plan = &plan, .cells = cells, .n_speakers = &speakers, .fold_of = &fold};
    for (size_t f = 0; f < corpus.n_folds; f++) folds[f] = (qv_plan_fold){.train = 9, .test = 1};
    for (size_t k = 0; k < 6; k++) cells[k].ua = o[k / 2].ua[k % 2], cells[k].gap = o[k / 2].gap[k % 2];
    qv_assert_ok(ctx, qv_results_compare(ctx, &r));
    for (size_t i = 0; i < r.n_comparisons; i++) {
        significant += r.comparisons[i].significant;
        free(r.comparisons[i].d_ua);
        free(r.comparisons[i].d_gap);
    }
    free(r.comparisons);
    return significant > 0;
}

/* How many of `studies` find something. */
static int found(qv_ctx *ctx, uint64_t *random, const truth *t, int studies)
{
    qv_study *s;
    int n = 0;
    qv_assert_ok(ctx, qv_study_parse(ctx, &s, "study.ini", three_pairs));
    assert_int_equal(s->n_cells, 6);
    for (int i = 0; i < studies; i++) {
        outcome o[3];
        for (int c = 0; c < 3; c++) simulate(random, t, &o[c]);
        n += finds(ctx, s, t, o);
    }
    qv_study_free(s);
    return n;
}

/* The most findings in `studies` that chance at the level allows: five binomial deviations above. */
static double most_by_chance(int studies) { return studies * 0.05 + 5 * sqrt(studies * 0.05 * 0.95); }

static void identical_settings_are_rarely_significant(void **state)
{
    static const truth truths[] = {
        {.speakers = 10, .per_fold = 1, .seeds = 3, .run_sd = 0.02, .learned = 0.95},
        {.speakers = 10, .per_fold = 1, .seeds = 1, .run_sd = 0.10, .learned = 0.8},
        {.speakers = 24, .per_fold = 2, .seeds = 2, .run_sd = 0.10, .learned = 0.9},
    };
    enum { STUDIES = 400 };
    uint64_t random = qv_test_seed();
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++) {
        int n = found(*state, &random, &truths[i], STUDIES);
        print_message("identical settings, case %zu: significant in %d of %d studies\n", i, n, STUDIES);
        assert_true(n <= most_by_chance(STUDIES));
    }
}

static void a_planted_improvement_is_found(void **state)
{
    static const truth planted = {
        .speakers = 10, .per_fold = 1, .seeds = 3, .gain = 0.15, .run_sd = 0.03, .learned = 0.95};
    enum { STUDIES = 100 };
    uint64_t random = qv_test_seed();
    /* A speaker's difference has a mean of 0.15 and a deviation of about 0.09: 1.6 of them, which ten speakers show
     * in all but a few studies. */
    int n = found(*state, &random, &planted, STUDIES);
    print_message("a planted improvement: found in %d of %d studies\n", n, STUDIES);
    assert_true(n >= 90);
}

/* The UA test alone, so that nothing else makes it careful. */
static int rejections(qv_ctx *ctx, uint64_t *random, const truth *t, int studies, bool whole_folds)
{
    int n = 0;
    for (int i = 0; i < studies; i++) {
        double d[MOST];
        outcome o;
        qv_flip_test a;
        simulate(random, t, &o);
        for (int k = 0; k < t->speakers; k++) d[k] = o.ua[1][k] - o.ua[0][k];
        qv_assert_ok(ctx, qv_flip_signs(ctx, &a, d, whole_folds ? o.fold : NULL, (size_t)t->speakers, 0, 1));
        n += a.p <= 0.05;
    }
    return n;
}

/* Why the verdict flips folds: the luck of one training meets all its speakers, and speakers that are flipped one by
 * one count it several times. */
static void speakers_of_one_fold_are_flipped_together(void **state)
{
    static const truth t = {.speakers = 24, .per_fold = 4, .seeds = 1, .run_sd = 0.15, .learned = 0.9};
    enum { STUDIES = 1000 };
    uint64_t random = qv_test_seed();
    int alone = rejections(*state, &random, &t, STUDIES, false), whole = rejections(*state, &random, &t, STUDIES, true);
    print_message("folds of four, nothing to find: %d of %d by speakers, %d by folds\n", alone, STUDIES, whole);
    assert_true(alone > most_by_chance(STUDIES));
    assert_true(whole <= most_by_chance(STUDIES));
}

static int load(void **state)
{
    json_error_t error;
    fixtures = json_load_file(QV_SOURCE_DIR "/tests/fixtures/stats.json", 0, &error);
    if (!fixtures) print_error("tests/fixtures/stats.json: %s\n", error.text);
    *state = qv_test_ctx();
    return fixtures ? 0 : -1;
}

static int unload(void **state)
{
    json_decref(fixtures);
    qv_ctx_free(*state);
    return 0;
}

/* All that is computed of n numbers, twice, between other neighbours each time. */
static void neighbours_are_not_read(void **state)
{
    (void)state;
    enum { N = 11 };
    qv_ctx *ctx = qv_test_ctx();
    struct {
        qv_t_test t;
        double corrected, holm[N];
        qv_interval interval;
        double flips[3];
    } found[2];
    memset(found, 0, sizeof found);
    for (int k = 0; k < 2; k++) {
        const double around = k ? 1e300 : 0;
        double d[N + 2] = {around}, p[N + 2] = {around}, *x = d + 1;
        int group[N + 2] = {0};
        d[N + 1] = p[N + 1] = around;
        group[N + 1] = k;
        for (int i = 0; i < N; i++)
            x[i] = (i * 7 % 5 - 1.5) / 8, p[i + 1] = (i * 3 % N + 1) / 40.0, group[i + 1] = i / 2;
        found[k].t = qv_t_paired(x, N, 0);
        found[k].corrected = qv_t_corrected(x, N, 0.1, 0);
        qv_assert_ok(ctx, qv_holm(ctx, p + 1, found[k].holm, N));
        qv_assert_ok(ctx, qv_interval_mean(ctx, &found[k].interval, x, N, 0, 3, 500));
        for (int j = 0; j < 3; j++) {
            qv_flip_test f;
            qv_assert_ok(ctx, j < 2 ? qv_flip_signs(ctx, &f, x, j ? group + 1 : NULL, N, 0, 3)
                                    : qv_flip_drawn(ctx, &f, x, group + 1, N, 0, 3, 500));
            assert_int_equal(f.units, j ? (N + 1) / 2 : N);
            assert_true(f.p > 0 && f.p < 1);
            found[k].flips[j] = f.p;
        }
    }
    assert_memory_equal(&found[0], &found[1], sizeof found[0]);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions_agree_with_scipy),
        cmocka_unit_test(t_tests_agree_with_scipy),
        cmocka_unit_test(flips_agree_with_scipy),
        cmocka_unit_test(intervals_agree_with_scipy),
        cmocka_unit_test(interval_of_the_opposite_is_the_opposite),
        cmocka_unit_test(quantiles_are_linear_between_two_values),
        cmocka_unit_test(interval_is_that_of_its_draws),
        cmocka_unit_test(holm_agrees_with_statsmodels),
        cmocka_unit_test(identical_records_give_one),
        cmocka_unit_test(equal_differences_are_certain),
        cmocka_unit_test(too_little_gives_nothing),
        cmocka_unit_test(flips_are_counted_by_groups),
        cmocka_unit_test(drawn_flips_come_near_the_exact),
        cmocka_unit_test(small_gains_tie_as_their_counts_do),
        cmocka_unit_test(intervals_of_small_gains_are_those_of_their_counts),
        cmocka_unit_test(the_same_gains_have_the_same_p),
        cmocka_unit_test(one_recording_each_is_no_deviation),
        cmocka_unit_test(identical_settings_are_rarely_significant),
        cmocka_unit_test(a_planted_improvement_is_found),
        cmocka_unit_test(speakers_of_one_fold_are_flipped_together),
        cmocka_unit_test(neighbours_are_not_read),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
