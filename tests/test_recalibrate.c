/* eval.bn = even: the batch norms' statistics are those of the training windows, without the shake. */
#include "train/recalibrate.h"

#include <math.h>

#include "support/support.h"
#include "support/toy.h"

/* Two windows a recording: one from 0, one that ends with it. */
enum { MELS = 8, PATCH = 8, FRAMES = 11, TRAINING = 12, BATCH = 6, WINDOWS = 2 * TRAINING };

static const qv_toy_shape shape = {
    .speakers = 4, .classes = 3, .takes = 2, .mels = MELS, .shortest = FRAMES, .longest = FRAMES, .apart = 3};

/* A trainer of the first half of the recordings, after two epochs. */
static void open_bench(qv_toy_bench *b, qv_device device, qv_bn_eval how)
{
    qv_toy_bench_open(b, &shape);
    b->settings.device = (int)device;
    b->settings.batch = BATCH;
    b->settings.bn_eval = (int)how;
    qv_toy_bench_train(b, TRAINING, 2);
}

/* What the first batch norm sees of every window in evaluation: [windows][positions][channels], released with free().
 */
static double *first_inputs(const qv_toy_bench *b, size_t *channels, size_t *rows)
{
    qv_net *net = qv_trainer_net(b->trainer);
    qv_exec *e = qv_trainer_exec(b->trainer);
    double *all = NULL;
    size_t n = 0;
    *channels = (size_t)net->config.width;
    for (int first = 0; first < WINDOWS; first += BATCH) {
        qv_window w[BATCH];
        for (int i = 0; i < BATCH; i++) w[i] = (qv_window){(first + i) / 2, (first + i) % 2 * (FRAMES - PATCH)};
        qv_exec_write_bytes(e, net->windows, 0, sizeof w, w);
        qv_assert_ok(b->ctx, qv_exec_run(b->ctx, e, QV_LIST_EVAL));
        double *batch = qv_toy_bench_values(b, "eval.stem.conv.out", &n);
        if (!all) all = calloc(n * (WINDOWS / BATCH), sizeof *all);
        memcpy(all + (size_t)(first / BATCH) * n, batch, n * sizeof *all);
        free(batch);
    }
    *rows = n * (WINDOWS / BATCH) / *channels;
    return all;
}

/* The mean and the unbiased variance over all windows and positions. A sum of n terms in double is off by no more than
 * n 2^-53 of the sum of their magnitudes. */
static void the_first_batch_norm_sees_all_windows(void **state)
{
    (void)state;
    qv_toy_bench b;
    size_t channels, rows, n;
    open_bench(&b, QV_DEVICE_REF, QV_BN_EVEN);
    double *x = first_inputs(&b, &channels, &rows);
    qv_assert_ok(b.ctx, qv_recalibrate(b.ctx, b.trainer, b.data));
    double *mean = qv_toy_bench_values(&b, "stage1.block0.bn1.running_mean", &n),
           *var = qv_toy_bench_values(&b, "stage1.block0.bn1.running_var", &n);
    assert_int_equal(n, channels);
    for (size_t c = 0; c < channels; c++) {
        double sum = 0, square = 0, size = 0;
        for (size_t r = 0; r < rows; r++) sum += x[r * channels + c], size += fabs(x[r * channels + c]);
        sum /= (double)rows, size /= (double)rows;
        for (size_t r = 0; r < rows; r++) square += (x[r * channels + c] - sum) * (x[r * channels + c] - sum);
        square /= (double)(rows - 1);
        double unit = (double)rows * 0x1p-53;
        assert_true(fabs(mean[c] - sum) <= 2 * unit * size);
        assert_true(fabs(var[c] - square) <= 4 * unit * (square + size * size));
    }
    free(x), free(mean), free(var);
    qv_toy_bench_close(&b);
}

/* A running average is pulled towards no batch: what stood there before does not matter. */
static void it_gives_the_same_bits_again(void **state)
{
    (void)state;
    static const qv_device devices[] = {QV_DEVICE_REF, QV_DEVICE_REF32, QV_DEVICE_CPU};
    for (int k = 0; k < 3; k++) {
        qv_toy_bench b;
        size_t n;
        open_bench(&b, devices[k], QV_BN_EVEN);
        const char *name = "stage3.block0.bn2.running_var";
        double *before = qv_toy_bench_values(&b, name, &n);
        qv_assert_ok(b.ctx, qv_recalibrate(b.ctx, b.trainer, b.data));
        double *once = qv_toy_bench_values(&b, name, &n);
        qv_assert_ok(b.ctx, qv_recalibrate(b.ctx, b.trainer, b.data));
        double *twice = qv_toy_bench_values(&b, name, &n);
        assert_memory_not_equal(before, once, n * sizeof *once);
        assert_memory_equal(once, twice, n * sizeof *once);
        free(before), free(once), free(twice);
        qv_toy_bench_close(&b);
    }
}

/* Nothing but the statistics changes, and nothing of the test recordings goes into them. */
static void test_recordings_and_weights_are_left_alone(void **state)
{
    (void)state;
    qv_toy_bench b;
    size_t n;
    open_bench(&b, QV_DEVICE_REF, QV_BN_EVEN);
    double *weights = qv_toy_bench_values(&b, "stage1.block0.conv1", &n);
    qv_assert_ok(b.ctx, qv_recalibrate(b.ctx, b.trainer, b.data));
    double *after = qv_toy_bench_values(&b, "stage1.block0.conv1", &n);
    assert_memory_equal(weights, after, n * sizeof *after);
    free(weights), free(after);
    double *var = qv_toy_bench_values(&b, "final.bn.running_var", &n);
    for (int64_t i = b.toy.features.entries[TRAINING].first_frame * MELS; i < b.toy.features.frames * MELS; i++)
        b.toy.frames[i] = 1e3f;
    qv_assert_ok(b.ctx, qv_recalibrate(b.ctx, b.trainer, b.data));
    after = qv_toy_bench_values(&b, "final.bn.running_var", &n);
    assert_memory_equal(var, after, n * sizeof *after);
    free(var), free(after);
    qv_toy_bench_close(&b);
}

static void a_trainer_without_the_list_says_so(void **state)
{
    (void)state;
    qv_toy_bench b;
    open_bench(&b, QV_DEVICE_REF, QV_BN_RUNNING);
    assert_int_equal(qv_recalibrate(b.ctx, b.trainer, b.data), QV_ERR_INTERNAL);
    qv_toy_bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_batch_norm_sees_all_windows),
        cmocka_unit_test(it_gives_the_same_bits_again),
        cmocka_unit_test(test_recordings_and_weights_are_left_alone),
        cmocka_unit_test(a_trainer_without_the_list_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
