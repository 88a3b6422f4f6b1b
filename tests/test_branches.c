/* How far apart branches are: against what the network's own buffers hold, and for branches that are known. */
#include "train/branches.h"

#include <math.h>

#include "support/support.h"
#include "support/toy.h"

enum { MELS = 8, BATCH = 5, BLOCKS = 3 };

static const qv_toy_shape shape = {
    .speakers = 3, .classes = 2, .takes = 2, .mels = MELS, .shortest = 6, .longest = 20, .apart = 3};

/* A trainer of all recordings, after an epoch. */
static void open_bench(qv_toy_bench *b, qv_device device, const char *order)
{
    qv_toy_bench_open(b, &shape);
    qv_assert_ok(b->ctx, qv_settings_set(b->ctx, &b->settings, "net.order", order));
    b->settings.device = (int)device;
    b->settings.batch = BATCH;
    qv_toy_bench_train(b, b->toy.n, 1);
}

static qv_branches *measure(qv_toy_bench *b)
{
    qv_branches *found;
    size_t n;
    qv_assert_ok(b->ctx,
                 qv_branches_measure(b->ctx, b->trainer, &b->settings, b->data, b->toy.all, b->toy.n, &found, &n));
    assert_int_equal(n, BLOCKS);
    return found;
}

/* Sums of squares over the recordings, one at a time. */
static qv_branches one_by_one(qv_toy_bench *b, int stage)
{
    char z_name[64], y_name[64];
    double apart = 0, together = 0, output = 0, probs[8];
    qv_branches found;
    snprintf(found.layer, sizeof found.layer, "stage%d.block0", stage);
    snprintf(z_name, sizeof z_name, "eval.%s.bn3.out", found.layer);
    snprintf(y_name, sizeof y_name, "eval.%s.out", found.layer);
    for (size_t i = 0; i < b->toy.n; i++) {
        size_t all, all_z;
        qv_assert_ok(b->ctx, qv_trainer_predict(b->ctx, b->trainer, &b->toy.all[i], 1, false, probs));
        double *y = qv_toy_bench_values(b, y_name, &all), *z = qv_toy_bench_values(b, z_name, &all_z);
        size_t c = (size_t)b->settings.width << (stage - 1), positions = all / BATCH / c;
        assert_int_equal(all_z, 2 * all);
        for (size_t p = 0; p < positions; p++)
            for (size_t k = 0; k < c; k++) {
                double z1 = z[p * 2 * c + k], z2 = z[p * 2 * c + c + k];
                apart += (z1 - z2) * (z1 - z2) / 4;
                together += (z1 + z2) * (z1 + z2) / 4;
                output += y[p * c + k] * y[p * c + k];
            }
        free(y), free(z);
    }
    found.moved = sqrt(apart / output);
    found.apart = sqrt(apart / together);
    return found;
}

/* Fused or not, in any batches; a float backend rounds each number by 2^-24 after sums of up to 9 * 16 terms, and its
 * own numbers are what it is compared with. */
static void it_is_what_the_buffers_say(void **state)
{
    (void)state;
    static const qv_device devices[] = {QV_DEVICE_REF, QV_DEVICE_CPU};
    for (size_t d = 0; d < 2; d++) {
        qv_toy_bench b;
        open_bench(&b, devices[d], "preact-bn");
        qv_branches *found = measure(&b);
        double bound = devices[d] == QV_DEVICE_REF ? 1e-12 : 1e-5;
        for (int k = 0; k < BLOCKS; k++) {
            qv_branches want = one_by_one(&b, k + 1);
            assert_string_equal(found[k].layer, want.layer);
            assert_true(found[k].moved > 0 && found[k].apart > 0);
            assert_true(fabs(found[k].moved - want.moved) <= bound * want.moved);
            assert_true(fabs(found[k].apart - want.apart) <= bound * want.apart);
        }
        free(found);
        qv_toy_bench_close(&b);
    }
}

static void write_halves(const qv_toy_bench *b, const char *name, double first, double second)
{
    size_t n;
    double *v = qv_toy_bench_values(b, name, &n);
    for (size_t i = 0; i < n; i++) v[i] = i < n / 2 ? first : second;
    qv_exec_write(qv_trainer_exec(b->trainer), qv_toy_bench_buffer(b, name), 0, n, v);
    free(v);
}

/* Normalized branches without scale are their shifts, 3 and 1: half their difference is 1, their sum 4; equal ones are
 * not apart at all. The other blocks' figures stay finite. */
static void branches_that_are_known(void **state)
{
    (void)state;
    qv_toy_bench b;
    open_bench(&b, QV_DEVICE_CPU, "relu-bn");
    write_halves(&b, "stage2.block0.bn3.gamma", 0, 0);
    write_halves(&b, "stage2.block0.bn3.beta", 3, 1);
    qv_branches *found = measure(&b);
    assert_true(found[1].apart == 0.5);
    assert_true(found[1].moved > 0 && isfinite(found[1].moved));
    free(found);
    write_halves(&b, "stage2.block0.bn3.beta", 2, 2);
    found = measure(&b);
    assert_true(found[1].apart == 0 && found[1].moved == 0);
    assert_true(isfinite(found[2].apart) && isfinite(found[2].moved) && found[2].apart > 0);
    free(found);
    qv_toy_bench_close(&b);
}

int main(void)
{
    printf("QV_SEED=%llu\n", (unsigned long long)qv_test_seed());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_the_buffers_say),
        cmocka_unit_test(branches_that_are_known),
    };
    return cmocka_run_group_tests_name("branches", tests, NULL, NULL);
}
