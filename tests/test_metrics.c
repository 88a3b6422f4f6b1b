/* Measures: worked by hand, against scikit-learn, and the bootstrap against its exact distribution. */
#include <math.h>

#include "base/order.h"
#include "base/philox.h"
#include "support/support.h"
#include "train/metrics.h"

/* Sums of a few exact quotients: each operation is off by half an ulp of a number below 1, at most 16 of them. */
static void assert_near(double value, double expected) { assert_true(fabs(value - expected) <= 16 * 0x1p-53); }

/* Class 2 of 3 never occurs, class 1 is never the answer.
 *   truth 0 0 0 0 1 1, answers 0 0 0 2 0 2: recall 3/4 and 0, UA 3/8, WA 3/6;
 *   F1 of 0: 6/8, of 1: 0, of 2: 0 (answered, never right), macro 1/4. */
static void worked_by_hand(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const int truth[] = {0, 0, 0, 0, 1, 1}, predicted[] = {0, 0, 0, 2, 0, 2};
    qv_answers a = {truth, predicted, NULL, 6, 3, 0};
    qv_metrics m;
    qv_assert_ok(ctx, qv_metrics_compute(ctx, &m, &a));
    assert_int_equal(m.n, 6);
    assert_int_equal(m.present, 2);
    static const size_t confusion[] = {3, 0, 1, 1, 0, 1, 0, 0, 0};
    assert_memory_equal(m.confusion, confusion, sizeof confusion);
    assert_true(m.ua == 0.375 && m.wa == 0.5 && m.macro_f1 == 0.25);
    assert_near(m.chance_wa, 4.0 / 6);
    assert_true(m.chance_ua == 0.5);
    assert_true(m.score[0].recall == 0.75 && m.score[0].precision == 0.75 && m.score[0].f1 == 0.75);
    assert_true(m.score[1].recall == 0 && isnan(m.score[1].precision) && m.score[1].f1 == 0);
    assert_true(isnan(m.score[2].recall) && m.score[2].precision == 0 && m.score[2].f1 == 0);
    assert_true(qv_confusion_ua(confusion, 3) == 0.375 && qv_confusion_wa(confusion, 3) == 0.5);
    qv_metrics again;
    qv_assert_ok(ctx, qv_metrics_from_confusion(ctx, &again, confusion, 3));
    assert_memory_equal(again.confusion, confusion, sizeof confusion);
    assert_true(again.ua == m.ua && again.wa == m.wa && again.macro_f1 == m.macro_f1 && again.n == m.n);
    qv_metrics_free(&again);
    qv_metrics_free(&m);
    qv_ctx_free(ctx);
}

/* A class that stands once, on one side only, counts with F1 0; one that stands nowhere does not. */
static void a_class_that_stands_once_counts(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const int once[] = {0, 1}, first[] = {0, 0};
    for (int swapped = 0; swapped < 2; swapped++) {
        qv_answers a = {swapped ? first : once, swapped ? once : first, NULL, 2, 3, 0};
        qv_metrics m;
        qv_assert_ok(ctx, qv_metrics_compute(ctx, &m, &a));
        assert_near(m.macro_f1, 1.0 / 3); /* of 2/3 and 0 */
        assert_true(m.score[1].f1 == 0 && isnan(m.score[2].f1));
        qv_metrics_free(&m);
    }
    qv_ctx_free(ctx);
}

static void nothing_gives_no_number(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_answers a = {NULL, NULL, NULL, 0, 4, 0};
    qv_metrics m;
    qv_assert_ok(ctx, qv_metrics_compute(ctx, &m, &a));
    assert_true(isnan(m.ua) && isnan(m.wa) && isnan(m.macro_f1) && isnan(m.chance_ua) && isnan(m.chance_wa));
    assert_int_equal(m.present, 0);
    qv_metrics_free(&m);
    qv_ctx_free(ctx);
}

/* Python, scikit-learn 1.x:
 *   i = np.arange(60); t = (i*i + i//7) % 4; p = np.where(i % 3 == 0, (t + 1 + i%2) % 4, t); t[t == 3] = 2
 *   balanced_accuracy_score(t, p), accuracy_score(t, p), f1_score(t, p, average="macro"),
 *   precision_recall_fscore_support(t, p, labels=range(4)), confusion_matrix(t, p, labels=range(4)) */
static void agrees_with_scikit_learn(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    int truth[60], predicted[60];
    for (int i = 0; i < 60; i++) {
        int t = (i * i + i / 7) % 4;
        predicted[i] = i % 3 == 0 ? (t + 1 + i % 2) % 4 : t;
        truth[i] = t == 3 ? 2 : t;
    }
    qv_answers a = {truth, predicted, NULL, 60, 4, 0};
    qv_metrics m;
    qv_assert_ok(ctx, qv_metrics_compute(ctx, &m, &a));
    static const size_t confusion[] = {12, 3, 3, 0, 0, 9, 2, 3, 4, 2, 11, 11, 0, 0, 0, 0};
    assert_memory_equal(m.confusion, confusion, sizeof confusion);
    assert_near(m.ua, 0.5674603174603174);
    assert_near(m.wa, 0.5333333333333333);
    assert_near(m.macro_f1, 0.46218487394957986);
    static const double recall[] = {0.66666667, 0.64285714, 0.39285714}, precision[] = {0.75, 0.64285714, 0.6875, 0},
                        f1[] = {0.70588235, 0.64285714, 0.5, 0};
    for (int c = 0; c < 4; c++) { /* printed with 8 digits */
        if (c < 3) assert_true(fabs(m.score[c].recall - recall[c]) <= 0.5e-8);
        assert_true(fabs(m.score[c].precision - precision[c]) <= 0.5e-8);
        assert_true(fabs(m.score[c].f1 - f1[c]) <= 0.5e-8);
    }
    qv_metrics_free(&m);
    qv_ctx_free(ctx);
}

static void label_outside_is_refused(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    const int good[] = {0, 1}, bad[] = {0, 2}, negative[] = {-1, 0};
    qv_metrics m;
    qv_bootstrap b;
    qv_speaker_score *s;
    size_t n;
    assert_int_equal(qv_metrics_compute(ctx, &m, &(qv_answers){good, bad, NULL, 2, 2, 0}), QV_ERR_INTERNAL);
    assert_int_equal(qv_metrics_compute(ctx, &m, &(qv_answers){negative, good, NULL, 2, 2, 0}), QV_ERR_INTERNAL);
    assert_int_equal(qv_metrics_by_speaker(ctx, &s, &n, &(qv_answers){good, good, bad, 2, 2, 2}), QV_ERR_INTERNAL);
    assert_int_equal(qv_bootstrap_speakers(ctx, &b, &(qv_answers){good, good, bad, 2, 2, 2}, 1), QV_ERR_INTERNAL);
    qv_ctx_free(ctx);
}

/* What stands before the first answer and after the last is nobody's. */
static void only_the_answers_are_read(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    enum { N = 18 };
    int truth[N + 2], predicted[N + 2], speaker[N + 2];
    for (int i = 0; i < N + 2; i++) truth[i] = i % 2, predicted[i] = i % 3 == 0, speaker[i] = i % 9;
    for (int end = 0; end < N + 2; end += N + 1) truth[end] = predicted[end] = speaker[end] = -1;
    qv_answers a = {truth + 1, predicted + 1, speaker + 1, N, 2, 9};
    qv_metrics m;
    qv_bootstrap b;
    qv_speaker_score *s;
    size_t n;
    qv_assert_ok(ctx, qv_metrics_compute(ctx, &m, &a));
    assert_int_equal(m.n, N);
    qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &b, &a, 1));
    assert_int_equal(b.speakers, 9);
    qv_assert_ok(ctx, qv_metrics_by_speaker(ctx, &s, &n, &a));
    assert_int_equal(n, 9);
    for (size_t i = 0; i < n; i++) assert_int_equal(s[i].n, 2);
    free(s);
    qv_metrics_free(&m);
    qv_ctx_free(ctx);
}

static void speakers_one_by_one(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const int truth[] = {0, 0, 1, 0, 1, 1}, predicted[] = {0, 1, 1, 0, 0, 1}, speaker[] = {2, 2, 2, 0, 0, 0};
    qv_answers a = {truth, predicted, speaker, 6, 2, 3};
    qv_speaker_score *s;
    size_t n;
    qv_assert_ok(ctx, qv_metrics_by_speaker(ctx, &s, &n, &a));
    assert_int_equal(n, 2);
    assert_true(s[0].speaker == 0 && s[0].n == 3 && s[0].ua == 0.75);
    assert_near(s[0].wa, 2.0 / 3);
    assert_true(s[1].speaker == 2 && s[1].n == 3 && s[1].ua == 0.75);
    free(s);
    qv_ctx_free(ctx);
}

/* Speakers of very different worth: speaker s answers s of its 7 + s recordings right in class 0,
 * and 7 - s of its 5 in class 1 as far as they go. */
enum { SPEAKERS = 8, MOST = SPEAKERS * (14 + 5) };

static size_t uneven_answers(int truth[MOST], int predicted[MOST], int speaker[MOST])
{
    size_t n = 0;
    for (int s = 0; s < SPEAKERS; s++)
        for (int i = 0; i < 12 + s; i++, n++) {
            truth[n] = i >= 7 + s;
            bool right = truth[n] ? i - (7 + s) < 7 - s : i < s;
            predicted[n] = right ? truth[n] : 1 - truth[n];
            speaker[n] = s;
        }
    return n;
}

/* Probability, under the exact bootstrap distribution, of a WA below `x` (and of at most `x`). */
typedef struct exact {
    double x, below, at_most;
    int weight[SPEAKERS];
    size_t right[SPEAKERS], all[SPEAKERS];
} exact;

static void enumerate(exact *e, int s, int left, double p)
{
    if (s == SPEAKERS - 1) {
        e->weight[s] = left;
        for (int i = 2; i <= left; i++) p /= i;
        size_t right = 0, all = 0;
        for (int i = 0; i < SPEAKERS; i++)
            right += (size_t)e->weight[i] * e->right[i], all += (size_t)e->weight[i] * e->all[i];
        double wa = (double)right / (double)all;
        if (wa < e->x) e->below += p;
        if (wa <= e->x) e->at_most += p;
        return;
    }
    for (int w = 0; w <= left; w++) {
        e->weight[s] = w;
        if (w > 1) p /= w;
        enumerate(e, s + 1, left - w, p);
    }
}

/* The percentiles of 2000 draws, put into the exact distribution, must on average over many intervals be within five
 * standard errors of their share, and one draw (the interpolation reaches over one). */
static void interval_fits_the_exact_distribution(void **state)
{
    (void)state;
    enum { INTERVALS = 64 };
    qv_ctx *ctx = qv_test_ctx();
    int truth[MOST], predicted[MOST], speaker[MOST];
    size_t n = uneven_answers(truth, predicted, speaker);
    qv_answers a = {truth, predicted, speaker, n, 2, SPEAKERS};
    double all_draws = pow(SPEAKERS, SPEAKERS), permutations = 40320; /* 8! */
    double below[2] = {0}, at_most[2] = {0};
    for (uint64_t k = 0; k < INTERVALS; k++) {
        qv_bootstrap b;
        qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &b, &a, qv_test_seed() + k));
        assert_true(qv_bootstrap_valid(&b));
        for (int side = 0; side < 2; side++) {
            exact e = {.x = side ? b.wa_high : b.wa_low};
            for (size_t i = 0; i < n; i++) e.all[speaker[i]]++, e.right[speaker[i]] += truth[i] == predicted[i];
            enumerate(&e, 0, SPEAKERS, permutations / all_draws);
            below[side] += e.below / INTERVALS;
            at_most[side] += e.at_most / INTERVALS;
        }
    }
    double slack = 5 * sqrt(0.025 * 0.975 / QV_BOOTSTRAP_RESAMPLES / INTERVALS) + 1.0 / QV_BOOTSTRAP_RESAMPLES;
    assert_true(below[0] <= 0.025 + slack && at_most[0] >= 0.025 - slack);
    assert_true(below[1] <= 0.975 + slack && at_most[1] >= 0.975 - slack);
    qv_ctx_free(ctx);
}

/* The same draws, made here once more, one number of Philox after the other. */
static void interval_is_that_of_its_draws(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    int truth[MOST], predicted[MOST], speaker[MOST], right[SPEAKERS] = {0}, all[SPEAKERS] = {0};
    size_t n = uneven_answers(truth, predicted, speaker);
    qv_answers a = {truth, predicted, speaker, n, 2, SPEAKERS};
    static double wa[QV_BOOTSTRAP_RESAMPLES];
    for (size_t i = 0; i < n; i++) all[speaker[i]]++, right[speaker[i]] += truth[i] == predicted[i];
    for (uint32_t seed = 0; seed < 32; seed++) { /* many values are equal: one draw more or less does not always show */
        const uint32_t key[2] = {seed, 5};
        for (uint32_t k = 0; k < QV_BOOTSTRAP_RESAMPLES; k++) {
            int hits = 0, count = 0;
            for (uint32_t j = 0; j < SPEAKERS; j++) {
                const uint32_t counter[4] = {k, j / 4 * 4, 0, 0};
                uint64_t s = (uint64_t)qv_philox(counter, key).v[j % 4] * SPEAKERS >> 32;
                hits += right[s];
                count += all[s];
            }
            wa[k] = (double)hits / count;
        }
        qv_sort(wa, QV_BOOTSTRAP_RESAMPLES);
        qv_bootstrap b;
        qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &b, &a, (uint64_t)key[1] << 32 | key[0]));
        assert_near(b.wa_low, qv_quantile(wa, QV_BOOTSTRAP_RESAMPLES, 0.025));
        assert_near(b.wa_high, qv_quantile(wa, QV_BOOTSTRAP_RESAMPLES, 0.975));
    }
    qv_ctx_free(ctx);
}

static bool same_interval(const qv_bootstrap *a, const qv_bootstrap *b)
{
    return a->ua_low == b->ua_low && a->ua_high == b->ua_high && a->wa_low == b->wa_low && a->wa_high == b->wa_high;
}

static void interval_depends_on_nothing_but_answers_and_seed(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    int truth[MOST], predicted[MOST], speaker[MOST];
    size_t n = uneven_answers(truth, predicted, speaker);
    qv_answers a = {truth, predicted, speaker, n, 2, SPEAKERS};
    qv_bootstrap b, turned, other;
    qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &b, &a, 7));
    for (size_t i = 0; i < n / 2; i++) {
        int *rows[] = {truth, predicted, speaker};
        for (int r = 0; r < 3; r++) {
            int t = rows[r][i];
            rows[r][i] = rows[r][n - 1 - i];
            rows[r][n - 1 - i] = t;
        }
    }
    qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &turned, &a, 7));
    assert_true(same_interval(&b, &turned));
    qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &other, &a, 8));
    assert_false(same_interval(&b, &other));
    qv_ctx_free(ctx);
}

/* All speakers alike: every draw is the same. One speaker fewer than eight: no interval. */
static void interval_at_its_borders(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    int truth[16], predicted[16] = {0}, speaker[16];
    for (int i = 0; i < 16; i++) truth[i] = i % 2, speaker[i] = i / 2;
    qv_answers a = {truth, predicted, speaker, 16, 2, 8};
    qv_bootstrap b;
    qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &b, &a, 1));
    assert_true(b.ua_low == 0.5 && b.ua_high == 0.5 && b.wa_low == 0.5 && b.wa_high == 0.5);
    qv_answers but_first = {truth + 1, predicted + 1, speaker + 1, 15, 2, 8}; /* the first speaker has one recording left */
    qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &b, &but_first, 1));
    assert_int_equal(b.speakers, 8);
    a.n = 14; /* the eighth speaker has a number but no recording */
    qv_assert_ok(ctx, qv_bootstrap_speakers(ctx, &b, &a, 1));
    assert_int_equal(b.speakers, 7);
    assert_true(!qv_bootstrap_valid(&b) && isnan(b.ua_low) && isnan(b.wa_high));
    qv_ctx_free(ctx);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    int truth[MOST], predicted[MOST], speaker[MOST];
    qv_answers a = {truth, predicted, speaker, uneven_answers(truth, predicted, speaker), 2, SPEAKERS};
    for (size_t nth = 1; nth <= 6; nth++) {
        qv_bootstrap b;
        qv_ctx_fail_alloc(ctx, nth);
        assert_int_equal(qv_bootstrap_speakers(ctx, &b, &a, 1), QV_ERR_MEMORY);
    }
    for (size_t nth = 1; nth <= 2; nth++) {
        qv_metrics m;
        qv_speaker_score *s;
        size_t n;
        qv_ctx_fail_alloc(ctx, nth);
        assert_int_equal(qv_metrics_compute(ctx, &m, &a), QV_ERR_MEMORY);
        qv_ctx_fail_alloc(ctx, nth);
        assert_int_equal(qv_metrics_by_speaker(ctx, &s, &n, &a), QV_ERR_MEMORY);
    }
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_by_hand),
        cmocka_unit_test(a_class_that_stands_once_counts),
        cmocka_unit_test(nothing_gives_no_number),
        cmocka_unit_test(agrees_with_scikit_learn),
        cmocka_unit_test(label_outside_is_refused),
        cmocka_unit_test(only_the_answers_are_read),
        cmocka_unit_test(speakers_one_by_one),
        cmocka_unit_test(interval_fits_the_exact_distribution),
        cmocka_unit_test(interval_is_that_of_its_draws),
        cmocka_unit_test(interval_depends_on_nothing_but_answers_and_seed),
        cmocka_unit_test(interval_at_its_borders),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
