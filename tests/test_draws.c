/* Random draws of the reference: coefficients of the shake, order and crops of the sampler. */
#include <math.h>

#include "base/philox.h"
#include "kernels/patch.h"
#include "support/op_check.h"
#include "support/support.h"

enum { N = 64, MAX = 4096 };

/* Coefficients of one call. */
struct draws {
    double alpha[MAX], beta[MAX], alpha_sign[MAX], beta_sign[MAX];
};

static qv_step_state step_state(uint64_t step)
{
    return (qv_step_state){.key = {11, 22}, .step = step, .set_size = 1000, .batch = N, .first = 0};
}

static void draw(struct draws *d, qv_shake_attr a, qv_step_state s, int n, int bands)
{
    qv_op op = {.kind = QV_OP_SHAKE_COEF, .a.shake = a};
    qv_tensor state = {&s, 1, 1, 1, 1, QV_REAL};
    double *const to[] = {d->alpha, d->beta, d->alpha_sign, d->beta_sign};
    qv_tensor out[QV_MAX_OUT] = {0};
    for (int i = 0; i < 4; i++) out[i] = (qv_tensor){to[i], n, 1, 1, bands, QV_REAL};
    assert_true(n * bands <= MAX);
    assert_int_equal(qv_reference(&op, &state, out), QV_OK);
}

static const qv_shake_attr shaken = {
    .forward = QV_SHAKE_SHAKE, .backward = QV_SHAKE_SHAKE, .level = QV_LEVEL_SAMPLE, .layer = 3};

/* A mean of `count` independent terms of the given variance stays within 5 deviations but once in two million times. */
static double five_deviations(double variance, int count) { return 5 * sqrt(variance / count); }

static void coefficients_are_uniform_and_independent(void **state)
{
    (void)state;
    struct draws d;
    double alpha = 0, square = 0, beta = 0, product = 0;
    int count = 0, cells[16] = {0};
    for (uint64_t step = 0; step < 100; step++) {
        draw(&d, shaken, step_state(step), N, 4);
        for (int i = 0; i < N * 4; i++, count++) {
            double a = d.alpha[i], b = d.beta[i];
            assert_true(a >= 0 && a < 1 && b >= 0 && b < 1);
            assert_true(a * 0x1p24 == floor(a * 0x1p24));
            alpha += a - 0.5, beta += b - 0.5, product += (a - 0.5) * (b - 0.5), square += (a - 0.5) * (a - 0.5);
            cells[(int)(a * 4) * 4 + (int)(b * 4)]++;
        }
    }
    assert_true(fabs(alpha / count) <= five_deviations(1.0 / 12, count));
    assert_true(fabs(beta / count) <= five_deviations(1.0 / 12, count));
    assert_true(fabs(product / count) <= five_deviations(1.0 / 144, count));
    assert_true(fabs(square / count - 1.0 / 12) <= five_deviations(1.0 / 180, count));
    double chi = 0, expected = count / 16.0; /* of the joint distribution, 15 degrees of freedom */
    for (int i = 0; i < 16; i++) chi += (cells[i] - expected) * (cells[i] - expected) / expected;
    assert_true(chi < 15 + 5 * sqrt(30));
}

/* Draws that differ in one part of their counter or key alone. */
static void neighbouring_draws_are_independent(void **state)
{
    (void)state;
    enum { STEP, LAYER, KEY, ROW, BAND, AXES, BANDS = 4 };
    double product[AXES] = {0};
    int count[AXES] = {0};
    for (uint64_t step = 0; step < 100; step++) {
        struct draws d, other[3];
        qv_shake_attr layer = shaken;
        qv_step_state key = step_state(step);
        layer.layer++;
        key.key[0]++;
        draw(&d, shaken, step_state(step), N, BANDS);
        draw(&other[STEP], shaken, step_state(step + 1000), N, BANDS);
        draw(&other[LAYER], layer, step_state(step), N, BANDS);
        draw(&other[KEY], shaken, key, N, BANDS);
        for (int i = 0; i < N * BANDS; i++) {
            const double *next[AXES] = {&other[STEP].alpha[i], &other[LAYER].alpha[i], &other[KEY].alpha[i],
                                        i / BANDS + 1 < N ? &d.alpha[i + BANDS] : NULL,
                                        i % BANDS + 1 < BANDS ? &d.alpha[i + 1] : NULL};
            for (int axis = 0; axis < AXES; axis++) {
                if (!next[axis]) continue;
                product[axis] += (d.alpha[i] - 0.5) * (*next[axis] - 0.5);
                count[axis]++;
            }
        }
    }
    for (int axis = 0; axis < AXES; axis++)
        assert_true(fabs(product[axis] / count[axis]) <= five_deviations(1.0 / 144, count[axis]));
}

/* The counters of the design, written out once more: bits 24.. of the third word are the purpose. */
static void coefficients_are_philox_of_the_design(void **state)
{
    (void)state;
    struct draws d;
    qv_shake_attr a = shaken;
    qv_step_state s = {.key = {5, 6}, .step = 1234567, .set_size = 37, .batch = 20, .first = 8};
    const uint32_t key[] = {5, 6};
    int relaxed = 0;
    a.negative = 1 << 22;
    a.relaxed = 1 << 23;
    draw(&d, a, s, 12, 2);
    for (uint32_t n = 0; n < 12; n++) {
        uint64_t row = (uint64_t)1234567 * 20 + 8 + n;
        uint32_t counter[] = {1234567, (uint32_t)(row % 37), 8u << 24 | 3, (uint32_t)(row / 37)};
        bool even = qv_philox(counter, key).v[0] >> 8 < 1 << 23;
        relaxed += even;
        for (uint32_t band = 0; band < 2; band++) {
            size_t i = n * 2 + band;
            counter[2] = 1u << 24 | band << 16 | 3;
            qv_philox4 r = qv_philox(counter, key);
            assert_true(d.alpha[i] == (even ? 0.5 : (r.v[0] >> 8) / 16777216.0));
            assert_true(d.beta[i] == (even ? 0.5 : (r.v[1] >> 8) / 16777216.0));
            assert_true(d.alpha_sign[i] == (!even && r.v[2] >> 30 == 0 ? -1 : 1));
            assert_true(d.beta_sign[i] == (!even && r.v[3] >> 30 == 0 ? -1 : 1));
        }
    }
    assert_true(relaxed > 0 && relaxed < 12);
}

/* Rows 0..N of one call are those of two calls with half the batch each, as two ranks would make them. */
static void split_of_the_batch_does_not_matter(void **state)
{
    (void)state;
    struct draws whole, part;
    for (int level = QV_LEVEL_BATCH; level <= QV_LEVEL_SAMPLE; level++) {
        qv_shake_attr a = shaken;
        a.level = level;
        qv_step_state s = step_state(77);
        draw(&whole, a, s, N, 2);
        for (int rank = 0; rank < 2; rank++) {
            s.first = (uint32_t)rank * N / 2;
            draw(&part, a, s, N / 2, 2);
            assert_memory_equal(part.alpha, whole.alpha + rank * N, N * sizeof(double));
            assert_memory_equal(part.beta, whole.beta + rank * N, N * sizeof(double));
        }
    }
}

static int equal_numbers(const double *a, const double *b, int n)
{
    int equal = 0;
    for (int i = 0; i < n; i++) equal += a[i] == b[i];
    return equal;
}

/* Two independent numbers of 24 bits agree once in 16 million times: among N pairs none may. */
static void draws_differ_where_they_should(void **state)
{
    (void)state;
    struct draws d, other;
    draw(&d, shaken, step_state(5), N, 1);
    assert_int_equal(equal_numbers(d.alpha, d.beta, N), 0);
    for (int i = 1; i < N; i++) assert_true(d.alpha[i] != d.alpha[0]);
    qv_shake_attr layer = shaken;
    layer.layer = 4;
    draw(&other, layer, step_state(5), N, 1);
    assert_int_equal(equal_numbers(d.alpha, other.alpha, N), 0);
    draw(&other, shaken, step_state(6), N, 1);
    assert_int_equal(equal_numbers(d.alpha, other.alpha, N), 0);
    qv_step_state s = step_state(5);
    s.key[1]++;
    draw(&other, shaken, s, N, 1);
    assert_int_equal(equal_numbers(d.alpha, other.alpha, N), 0);
    draw(&other, shaken, step_state(5), N, 2);
    for (int i = 0; i < N; i++) {
        assert_true(other.alpha[2 * i] == d.alpha[i]); /* band 0 is there whatever the number of bands */
        assert_true(other.alpha[2 * i + 1] != d.alpha[i]);
    }
}

static void modes_and_levels(void **state)
{
    (void)state;
    struct draws d, plain;
    draw(&plain, shaken, step_state(9), N, 2);
    draw(&d, (qv_shake_attr){.forward = QV_SHAKE_EVEN, .backward = QV_SHAKE_EVEN, .level = QV_LEVEL_SAMPLE, .layer = 3},
         step_state(9), N, 2);
    for (int i = 0; i < 2 * N; i++) assert_true(d.alpha[i] == 0.5 && d.beta[i] == 0.5);
    draw(&d,
         (qv_shake_attr){.forward = QV_SHAKE_SHAKE, .backward = QV_SHAKE_KEEP, .level = QV_LEVEL_SAMPLE, .layer = 3},
         step_state(9), N, 2);
    assert_memory_equal(d.alpha, plain.alpha, 2 * N * sizeof(double));
    assert_memory_equal(d.beta, plain.alpha, 2 * N * sizeof(double));
    draw(&d, (qv_shake_attr){.forward = QV_SHAKE_EVEN, .backward = QV_SHAKE_KEEP, .level = QV_LEVEL_SAMPLE, .layer = 3},
         step_state(9), N, 2);
    for (int i = 0; i < 2 * N; i++) assert_true(d.beta[i] == 0.5);
    draw(&d,
         (qv_shake_attr){.forward = QV_SHAKE_EVEN, .backward = QV_SHAKE_SHAKE, .level = QV_LEVEL_SAMPLE, .layer = 3},
         step_state(9), N, 2);
    assert_memory_equal(d.beta, plain.beta, 2 * N * sizeof(double)); /* even forward does not change the other draw */
    draw(&d,
         (qv_shake_attr){.forward = QV_SHAKE_SHAKE, .backward = QV_SHAKE_SHAKE, .level = QV_LEVEL_BATCH, .layer = 3},
         step_state(9), N, 2);
    for (int i = 2; i < 2 * N; i++) assert_true(d.alpha[i] == d.alpha[i % 2] && d.beta[i] == d.beta[i % 2]);
    assert_true(d.alpha[0] != d.alpha[1]);
}

/* What so many draws of the kind say, relaxed ones apart. */
struct moments {
    double alpha, square, product, signs, both; /* means about 1/2; of the signs, and of the product of the two */
    double low, high;
    int count, relaxed;
};

static struct moments moments_of(qv_shake_attr a)
{
    struct draws d;
    struct moments m = {.low = 9, .high = -9};
    for (uint64_t step = 0; step < 100; step++) {
        draw(&d, a, step_state(step), N, 4);
        for (int i = 0; i < N * 4; i++) {
            bool even = d.alpha[i] == 0.5 && d.beta[i] == 0.5 && d.alpha_sign[i] == 1 && d.beta_sign[i] == 1;
            double x = d.alpha[i] - 0.5, y = d.beta[i] - 0.5;
            assert_true(fabs(d.alpha_sign[i]) == 1 && fabs(d.beta_sign[i]) == 1);
            m.relaxed += even;
            if (even) continue;
            m.count++;
            m.alpha += x, m.square += x * x, m.product += x * y;
            m.signs += d.alpha_sign[i], m.both += d.alpha_sign[i] * d.beta_sign[i];
            m.low = fmin(m.low, d.alpha[i]), m.high = fmax(m.high, d.alpha[i]);
        }
    }
    double *const means[] = {&m.alpha, &m.square, &m.product, &m.signs, &m.both};
    for (int i = 0; i < 5 && m.count; i++) *means[i] /= m.count;
    return m;
}

/* U[-m, 1 + m] has the variance v = (1 + 2m)^2 / 12 and the fourth moment 9/5 v^2 about its mean. */
static void affine_coefficients_are_uniform(void **state)
{
    (void)state;
    static const double ms[] = {0x1p-22, 0.1, 0.5, 1};
    for (int i = 0; i < 4; i++) {
        qv_shake_attr a = shaken;
        a.affine = (int32_t)lround(ms[i] * 0x1p22);
        double m = a.affine * 0x1p-22, v = (1 + 2 * m) * (1 + 2 * m) / 12, edge = 20 * (1 + 2 * m) / 25600;
        struct moments s = moments_of(a);
        assert_true(fabs(s.alpha) <= five_deviations(v, s.count));
        assert_true(fabs(s.square - v) <= five_deviations(0.8 * v * v, s.count));
        assert_true(fabs(s.product) <= five_deviations(v * v, s.count));
        /* the ends are reached: none of 25600 draws within 20 of their distances of an end is as likely as exp(-20) */
        assert_true(s.low >= -m && s.low < -m + edge && s.high <= 1 + m && s.high > 1 + m - edge);
        assert_true(s.signs == 1 && s.relaxed == 0);
    }
}

/* Every value is exact in float, and so is 1 less it. */
static void affine_coefficients_are_floats(void **state)
{
    (void)state;
    struct draws d;
    qv_shake_attr a = shaken;
    a.affine = 1 << 22;
    draw(&d, a, step_state(8), N, 4);
    for (int i = 0; i < 4 * N; i++) {
        const float k = (float)d.alpha[i], rest = 1 - k;
        qv_philox4 r =
            qv_philox((uint32_t[]){8, (uint32_t)((8 * N + i / 4) % 1000), 1u << 24 | (uint32_t)(i % 4) << 16 | 3,
                                   (uint32_t)((8 * N + i / 4) / 1000)},
                      (uint32_t[]){11, 22});
        assert_true((double)k == d.alpha[i] && (double)rest == 1 - d.alpha[i]);
        assert_true(d.alpha[i] == floor((r.v[0] >> 8) * 0x1p-24 * (3 * 0x1p22 + 1)) * 0x1p-22 - 1);
    }
}

static void signs_are_independent_of_each_other_and_of_the_coefficients(void **state)
{
    (void)state;
    struct draws d, plain;
    qv_shake_attr a = shaken;
    const double p = 0.25;
    a.negative = (int32_t)(p * 0x1p24);
    struct moments s = moments_of(a);
    double mean = 1 - 2 * p, variance = 1 - mean * mean;
    assert_true(fabs(s.signs - mean) <= five_deviations(variance, s.count));
    assert_true(fabs(s.both - mean * mean) <= five_deviations(1 - mean * mean * mean * mean, s.count));
    draw(&plain, shaken, step_state(9), N, 2);
    draw(&d, a, step_state(9), N, 2);
    assert_memory_equal(d.alpha, plain.alpha, 2 * N * sizeof(double)); /* the sign stands beside the pair */
    a.backward = QV_SHAKE_KEEP;
    draw(&d, a, step_state(9), N, 2);
    assert_memory_equal(d.beta_sign, d.alpha_sign, 2 * N * sizeof(double));
    a.forward = a.backward = QV_SHAKE_EVEN;
    draw(&d, a, step_state(9), N, 2);
    for (int i = 0; i < 2 * N; i++) assert_true(d.alpha_sign[i] == 1 && d.beta_sign[i] == 1);
}

/* One draw for a block and a row, whatever the band: all is even, or all is as without it. */
static void relaxed_rows_are_even_forward_and_backward(void **state)
{
    (void)state;
    struct draws d, plain;
    qv_shake_attr a = shaken;
    const double p = 0.375;
    a.negative = 1 << 22;
    draw(&plain, a, step_state(9), N, 4);
    a.relaxed = (int32_t)(p * 0x1p24);
    draw(&d, a, step_state(9), N, 4);
    for (int n = 0; n < N; n++) {
        bool even = d.alpha[4 * n] == 0.5;
        for (int i = 4 * n; i < 4 * n + 4; i++) {
            assert_true(d.alpha[i] == (even ? 0.5 : plain.alpha[i]) && d.beta[i] == (even ? 0.5 : plain.beta[i]));
            assert_true(d.alpha_sign[i] == (even ? 1 : plain.alpha_sign[i]));
            assert_true(d.beta_sign[i] == (even ? 1 : plain.beta_sign[i]));
        }
    }
    struct moments s = moments_of(a);
    int rows = (s.count + s.relaxed) / 4;
    assert_true(fabs((double)s.relaxed / 4 / rows - p) <= five_deviations(p * (1 - p), rows));
    a.level = QV_LEVEL_BATCH;
    draw(&d, a, step_state(9), N, 4);
    for (int i = 4; i < 4 * N; i++) assert_true(d.alpha[i] == d.alpha[i % 4] && d.beta[i] == d.beta[i % 4]);
    a.relaxed = 1 << 24;
    assert_int_equal(moments_of(a).count, 0);
}

/* --- batches --- */

enum { SET = 5, MELS = 2, PATCH = 4, ROWS = 6 };

/* Recording r has 3 + 2 r frames; frame f of it holds 100 r + f and its negative. */
struct set {
    qv_step_state state;
    float feats[MELS * 100], norm[2 * 2 * MELS];
    qv_utterance utts[SET];
    int32_t order[2 * SET], labels[ROWS];
    qv_window windows[ROWS];
    double x[ROWS * PATCH * MELS];
    float *quantiles; /* NULL: no mixtures */
    int32_t others[ROWS];
    double share[ROWS];
};

static void set_init(struct set *s)
{
    static const float norm[] = {0, 0, 1, 1, 1, -1, 0.5f, 2};
    static const int32_t order[] = {4, 3, 2, 1, 0, 0, 2, 4, 1, 3};
    *s = (struct set){.state = {.key = {1, 2}, .set_size = SET, .batch = ROWS}};
    memcpy(s->norm, norm, sizeof norm);
    memcpy(s->order, order, sizeof order);
    int64_t frame = 0;
    for (int r = 0; r < SET; r++) {
        s->utts[r] = (qv_utterance){frame, 3 + 2 * r, 10 + r, 0, 0};
        for (int f = 0; f < s->utts[r].frames; f++, frame++) {
            s->feats[frame * MELS] = (float)(100 * r + f);
            s->feats[frame * MELS + 1] = -s->feats[frame * MELS];
        }
    }
}

static void gather_as(struct set *s, qv_gather_attr a)
{
    qv_op op = {.kind = QV_OP_GATHER, .a.gather = a};
    bool mixed = s->quantiles != NULL;
    qv_tensor in[QV_MAX_IN] = {{&s->state, 1, 1, 1, 1, QV_REAL},
                               {s->feats, 1, 1, 100, MELS, QV_REAL},
                               {s->utts, 1, 1, 1, SET, QV_REAL},
                               {s->norm, 2, 1, 2, MELS, QV_REAL},
                               {a.windows ? NULL : s->order, a.windows ? 0 : 1, 1, 1, 2 * SET, QV_REAL},
                               {a.windows ? s->windows : NULL, a.windows ? 1 : 0, 1, 1, ROWS, QV_REAL},
                               {s->quantiles, mixed, 1, 1, QV_QUANTILES, QV_REAL}};
    qv_tensor out[QV_MAX_OUT] = {{s->x, ROWS, PATCH, MELS, 1, QV_REAL},
                                 {s->labels, 1, 1, 1, ROWS, QV_REAL},
                                 {mixed ? s->others : NULL, mixed, 1, 1, ROWS, QV_REAL},
                                 {mixed ? s->share : NULL, mixed, 1, 1, ROWS, QV_REAL}};
    assert_int_equal(qv_reference(&op, in, out), QV_OK);
}

static void gather(struct set *s, bool windows) { gather_as(s, (qv_gather_attr){.windows = windows}); }

static double at(const struct set *s, int row, int frame, int mel) { return s->x[(row * PATCH + frame) * MELS + mel]; }

static void windows_wrap_pad_and_normalize(void **state)
{
    (void)state;
    struct set s;
    set_init(&s);
    static const qv_window windows[] = {{0, 0}, {0, 2}, {4, 9}, {-1, 0}, {1, 1}, {3, 0}};
    memcpy(s.windows, windows, sizeof windows);
    s.utts[1].norm = 1;
    gather(&s, true);
    static const double first[ROWS][PATCH] = {{0, 1, 2, 0}, {2, 0, 1, 2},         {409, 410, 400, 401},
                                              {0, 0, 0, 0}, {50, 50.5, 51, 51.5}, {300, 301, 302, 303}};
    for (int n = 0; n < ROWS; n++)
        for (int t = 0; t < PATCH; t++) assert_true(at(&s, n, t, 0) == first[n][t]);
    assert_true(at(&s, 4, 0, 1) == (-101.0 + 1) * 2);
    static const int32_t labels[] = {10, 10, 14, -1, 11, 13};
    assert_memory_equal(s.labels, labels, sizeof labels);
}

/* One endless sequence of epochs: their orders stand in turn in the two halves of the table. */
static void rows_follow_the_order_over_the_end_of_an_epoch(void **state)
{
    (void)state;
    static const int32_t sequence[] = {4, 3, 2, 1, 0, 0, 2, 4, 1, 3, 4, 3};
    struct set s, half;
    for (uint64_t step = 0; step < 2; step++) {
        set_init(&s);
        s.state.step = step;
        gather(&s, false);
        for (int n = 0; n < ROWS; n++) assert_int_equal(s.labels[n], 10 + sequence[step * ROWS + (uint64_t)n]);
        set_init(&half);
        half.state = s.state, half.state.first = ROWS / 2;
        gather(&half, false);
        assert_memory_equal(half.x, s.x + ROWS / 2 * PATCH * MELS, sizeof half.x / 2);
    }
}

/* The counter of a crop, written out once more: purpose 2, no band, no layer. */
static void crops_are_philox_of_the_design(void **state)
{
    (void)state;
    struct set s;
    set_init(&s);
    s.state.step = 41;
    gather(&s, false);
    for (uint32_t n = 0; n < ROWS; n++) {
        uint32_t row = 41 * ROWS + n;
        qv_philox4 r = qv_philox((uint32_t[]){41, row % SET, 2u << 24, row / SET}, s.state.key);
        int utterance = s.labels[n] - 10, choices = s.utts[utterance].frames - PATCH + 1;
        double start = choices > 1 ? floor((r.v[0] >> 8) / 16777216.0 * choices) : 0;
        assert_true(at(&s, (int)n, 0, 0) == 100 * utterance + start);
    }
}

/* Starts 0 to frames - patch, each as often as the others; a recording shorter than the patch starts at 0. */
static void crops_are_uniform(void **state)
{
    (void)state;
    enum { STEPS = 2000 };
    int starts[SET][16] = {0}, seen[SET] = {0};
    struct set s;
    set_init(&s);
    for (s.state.step = 0; s.state.step < STEPS; s.state.step++) {
        gather(&s, false);
        for (int n = 0; n < ROWS; n++) {
            int r = s.labels[n] - 10, start = (int)at(&s, n, 0, 0) - 100 * r;
            assert_true(start >= 0 && start < 16);
            starts[r][start]++, seen[r]++;
        }
    }
    for (int r = 0; r < SET; r++) {
        int choices = s.utts[r].frames > PATCH ? s.utts[r].frames - PATCH + 1 : 1;
        double share = 1.0 / choices;
        assert_true(seen[r] > STEPS);
        for (int k = 0; k < 16; k++) {
            if (k >= choices)
                assert_int_equal(starts[r][k], 0);
            else
                assert_true(fabs((double)starts[r][k] / seen[r] - share) <=
                            five_deviations(share * (1 - share), seen[r]));
        }
    }
}

/* A draw of 24 bits among 0 to most, as the design says it. */
static int64_t among(uint32_t draw, int64_t most)
{
    return (int64_t)floor((double)(draw >> 8) / 16777216.0 * (double)(most + 1));
}

/* Frame t shows the recording at start + t * step, step within 1 +- speed; nothing is averaged. */
static void speed_repeats_and_skips_frames(void **state)
{
    (void)state;
    struct set s;
    set_init(&s);
    s.state.step = 7;
    const int32_t range = QV_ONE / 2;
    bool faster = false, slower = false;
    for (; s.state.step < 60; s.state.step++) {
        gather_as(&s, (qv_gather_attr){.speed = range});
        for (uint32_t n = 0; n < ROWS; n++) {
            uint32_t row = (uint32_t)s.state.step * ROWS + n, where[2] = {row % SET, row / SET};
            uint32_t step = (uint32_t)s.state.step;
            qv_philox4 pace = qv_philox((uint32_t[]){step, where[0], 5u << 24, where[1]}, s.state.key);
            qv_philox4 crop = qv_philox((uint32_t[]){step, where[0], 2u << 24, where[1]}, s.state.key);
            int r = s.labels[n] - 10;
            int64_t each = QV_ONE - range + among(pace.v[0], 2 * range);
            int64_t spare = (int64_t)s.utts[r].frames * QV_ONE - PATCH * each;
            int64_t start = spare > 0 ? among(crop.v[0], spare) : 0;
            for (int t = 0; t < PATCH; t++) {
                int64_t frame = (int64_t)floor((double)(start + t * each) / QV_ONE + 0.5) % s.utts[r].frames;
                assert_true(at(&s, (int)n, t, 0) == (double)(100 * r + frame));
            }
            faster |= each > QV_ONE, slower |= each < QV_ONE;
        }
    }
    assert_true(faster && slower);
}

/* Either of two rows of the normalization, as often; windows keep the recording's own. */
static void voices_are_drawn_alike(void **state)
{
    (void)state;
    enum { STEPS = 2000 };
    struct set s;
    int second = 0, all = 0;
    set_init(&s);
    s.norm[2 * MELS] = 1e4f; /* the mean of row 1 */
    for (int r = 0; r < SET; r++) s.utts[r].voices = 0, s.utts[r].norm = 1;
    for (; s.state.step < STEPS; s.state.step++) {
        gather_as(&s, (qv_gather_attr){.voices = 2});
        for (int n = 0; n < ROWS; n++, all++) second += at(&s, n, 0, 0) < 0;
    }
    assert_true(fabs((double)second / all - 0.5) <= five_deviations(0.25, all));
    gather(&s, true);
    for (int n = 0; n < ROWS; n++) assert_true(at(&s, n, 0, 0) < 0);
}

/* Band 1 shows round(step), step uniform in 0.1 to 1.9: band 0 below 0.5, else itself; there is no band above. */
static void warp_moves_bands(void **state)
{
    (void)state;
    enum { STEPS = 2000 };
    struct set s;
    int moved = 0, all = 0;
    set_init(&s);
    for (; s.state.step < STEPS; s.state.step++) {
        gather_as(&s, (qv_gather_attr){.warp = 9 * QV_ONE / 10});
        for (int n = 0; n < ROWS; n++) {
            if (s.labels[n] == 10) continue; /* its first frame is 0 in both bands */
            bool same = at(&s, n, 0, 1) == at(&s, n, 0, 0);
            for (int t = 0; t < PATCH; t++) assert_true(at(&s, n, t, 1) == (same ? 1 : -1) * at(&s, n, t, 0));
            moved += same, all++;
        }
    }
    double share = 0.4 / 1.8;
    assert_true(fabs((double)moved / all - share) <= five_deviations(share * (1 - share), all));
}

static void gain_moves_all_values_of_a_patch_alike(void **state)
{
    (void)state;
    struct set plain, louder;
    double least = 0, most = 0;
    set_init(&plain), set_init(&louder);
    for (; plain.state.step < 100; plain.state.step++, louder.state.step++) {
        gather(&plain, false);
        gather_as(&louder, (qv_gather_attr){.gain = 0.5f});
        for (int n = 0; n < ROWS; n++) {
            double gain = at(&louder, n, 0, 0) - at(&plain, n, 0, 0);
            least = fmin(least, gain), most = fmax(most, gain);
            for (int i = 0; i < PATCH * MELS; i++)
                assert_true(fabs(louder.x[n * PATCH * MELS + i] - plain.x[n * PATCH * MELS + i] - gain) <= 1e-12);
        }
    }
    assert_true(least >= -0.5 && least < -0.45 && most <= 0.5 && most > 0.45);
}

/* Widths 0 to 2, each as often, in one piece. */
static void masks_blank_runs(void **state)
{
    (void)state;
    enum { STEPS = 2000 };
    struct set s;
    int widths[PATCH + 1] = {0};
    set_init(&s);
    for (int r = 0; r < SET; r++)
        for (int f = 0; f < s.utts[r].frames; f++)
            for (int m = 0; m < MELS; m++) s.feats[(s.utts[r].first_frame + f) * MELS + m] = 1;
    for (; s.state.step < STEPS; s.state.step++) {
        gather_as(&s, (qv_gather_attr){.time_masks = 1, .time_width = 2});
        for (int n = 0; n < ROWS; n++) {
            int blank = 0, edges = 0;
            for (int t = 0; t < PATCH; t++) {
                assert_true(at(&s, n, t, 0) == at(&s, n, t, 1));
                blank += at(&s, n, t, 0) == 0;
                edges += t > 0 && (at(&s, n, t, 0) == 0) != (at(&s, n, t - 1, 0) == 0);
            }
            assert_true(edges <= 2 && blank <= 2);
            widths[blank]++;
        }
    }
    for (int w = 0; w <= 2; w++)
        assert_true(fabs(widths[w] / (double)(STEPS * ROWS) - 1.0 / 3) <= five_deviations(2.0 / 9, STEPS * ROWS));
    gather_as(&s, (qv_gather_attr){.time_masks = QV_MASKS, .time_width = 100, .mel_masks = QV_MASKS, .mel_width = 100});
    for (int i = 0; i < ROWS * PATCH * MELS; i++) assert_true(s.x[i] == 0 || s.x[i] == 1);
}

/* Frame t shows t + dy, band m shows m + dx, both -1 to 1 and zeros where there is none; mirrored every other time. */
static void images_move_and_mirror(void **state)
{
    (void)state;
    enum { STEPS = 2000 };
    struct set s;
    int moves[3] = {0}, mirrored = 0;
    set_init(&s);
    for (int r = 0; r < SET; r++) s.utts[r].frames = PATCH < s.utts[r].frames ? PATCH : s.utts[r].frames;
    for (; s.state.step < STEPS; s.state.step++) {
        gather_as(&s, (qv_gather_attr){.pad = 1, .flip = 1});
        for (uint32_t n = 0; n < ROWS; n++) {
            uint32_t row = (uint32_t)s.state.step * ROWS + n, step = (uint32_t)s.state.step;
            qv_philox4 d = qv_philox((uint32_t[]){step, row % SET, 5u << 24 | 1, row / SET}, s.state.key);
            int r = s.labels[n] - 10, dy = (int)among(d.v[0], 2) - 1, dx = (int)among(d.v[1], 2) - 1;
            bool flip = d.v[2] >= 1u << 31;
            for (int t = 0; t < PATCH; t++)
                for (int m = 0; m < MELS; m++) {
                    int frame = t + dy, band = (flip ? MELS - 1 - m : m) + dx;
                    bool there = frame >= 0 && frame < s.utts[r].frames && band >= 0 && band < MELS;
                    assert_true(at(&s, (int)n, t, m) == (there ? (band ? -1 : 1) * (100.0 * r + frame) : 0));
                }
            moves[dy + 1]++, mirrored += flip;
        }
    }
    for (int k = 0; k < 3; k++)
        assert_true(fabs(moves[k] / (double)(STEPS * ROWS) - 1.0 / 3) <= five_deviations(2.0 / 9, STEPS * ROWS));
    assert_true(fabs(mirrored / (double)(STEPS * ROWS) - 0.5) <= five_deviations(0.25, STEPS * ROWS));
}

/* Row n is mixed with the row as far from the other end, both as they would be alone. */
static void mixtures_are_of_two_rows(void **state)
{
    (void)state;
    static float quantiles[QV_QUANTILES];
    struct set plain, mixed;
    for (int i = 0; i < QV_QUANTILES; i++) quantiles[i] = (float)i / QV_QUANTILES;
    set_init(&plain), set_init(&mixed);
    plain.state.step = mixed.state.step = 3;
    mixed.quantiles = quantiles;
    gather(&plain, false);
    gather(&mixed, false);
    for (int n = 0; n < ROWS; n++) {
        int other = ROWS - 1 - n;
        uint32_t row = 3 * ROWS + (uint32_t)n;
        qv_philox4 r = qv_philox((uint32_t[]){3, row % SET, 7u << 24, row / SET}, mixed.state.key);
        double l = mixed.share[n];
        assert_true(l == (double)quantiles[r.v[0] >> 20]);
        assert_int_equal(mixed.labels[n], plain.labels[n]);
        assert_int_equal(mixed.others[n], plain.labels[other]);
        for (int i = 0; i < PATCH * MELS; i++) {
            double want = l * plain.x[n * PATCH * MELS + i] + (1 - l) * plain.x[other * PATCH * MELS + i];
            assert_true(fabs(mixed.x[n * PATCH * MELS + i] - want) <= 1e-12);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coefficients_are_uniform_and_independent),
        cmocka_unit_test(neighbouring_draws_are_independent),
        cmocka_unit_test(coefficients_are_philox_of_the_design),
        cmocka_unit_test(split_of_the_batch_does_not_matter),
        cmocka_unit_test(draws_differ_where_they_should),
        cmocka_unit_test(modes_and_levels),
        cmocka_unit_test(affine_coefficients_are_uniform),
        cmocka_unit_test(affine_coefficients_are_floats),
        cmocka_unit_test(signs_are_independent_of_each_other_and_of_the_coefficients),
        cmocka_unit_test(relaxed_rows_are_even_forward_and_backward),
        cmocka_unit_test(windows_wrap_pad_and_normalize),
        cmocka_unit_test(rows_follow_the_order_over_the_end_of_an_epoch),
        cmocka_unit_test(crops_are_philox_of_the_design),
        cmocka_unit_test(crops_are_uniform),
        cmocka_unit_test(speed_repeats_and_skips_frames),
        cmocka_unit_test(voices_are_drawn_alike),
        cmocka_unit_test(warp_moves_bands),
        cmocka_unit_test(gain_moves_all_values_of_a_patch_alike),
        cmocka_unit_test(masks_blank_runs),
        cmocka_unit_test(images_move_and_mirror),
        cmocka_unit_test(mixtures_are_of_two_rows),
    };
    return cmocka_run_group_tests_name("draws", tests, NULL, NULL);
}
