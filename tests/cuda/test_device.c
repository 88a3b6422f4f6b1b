/* What the CUDA backend says when it cannot: no GPU, the wrong one, too little memory, a call that fails. */
#include <cuda_runtime_api.h>

#include "backend/check/trial.h"
#include "lab.h"
#include "tests/simt/fake_dnn.h"
#include "tests/simt/simt.h"

static void assert_says(const qv_ctx *ctx, const char *const *words)
{
    for (; *words; words++) {
        if (!strstr(qv_ctx_message(ctx), *words))
            print_error("\"%s\" is missing in: %s\n", *words, qv_ctx_message(ctx));
        assert_non_null(strstr(qv_ctx_message(ctx), *words));
    }
}

/* ---- opening ---- */

static void a_gpu_has_an_ordinal_and_a_uuid(void **state)
{
    (void)state;
    static const char *const names[] = {"", "0", "1", "GPU-10", "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"};
    qv_ctx *ctx = qv_test_ctx();
    simt_set_device(2, 9, 0, 13000);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        qv_gpu_device *g;
        qv_assert_ok(ctx, qv_gpu_open(ctx, &g, names[i]));
        assert_non_null(strstr(qv_gpu_describe(g), "SIMT emulation"));
        qv_gpu_close(g);
    }
    simt_set_device(1, 9, 0, 12040);
    qv_ctx_free(ctx);
}

static void what_cannot_be_used_is_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        int count, major, minor, driver;
        const char *which, *words[5];
    } rows[] = {
        {1,
         9,
         0,
         12020,
         "",
         {"--device cuda cannot be used", "the driver speaks CUDA 12.2", "CUDA 12.4", "--device cpu"}},
        {1, 7, 5, 13000, "0", {"--device cuda:0", "SIMT emulation has compute capability 7.5", "8.0 or later"}},
        {0, 9, 0, 13000, "", {"--device cuda cannot be used", "cuDNN 9.8", "--device cpu works without"}},
        {2,
         9,
         0,
         13000,
         "2",
         {"--device cuda:2", "there is only cuda:0, SIMT emulation (GPU-00010203-", "cuda:1", "(GPU-10111213-"}},
        {1, 9, 0, 13000, "GPU-ff", {"--device cuda:GPU-ff", "there is only cuda:0, SIMT emulation (GPU-00010203-"}},
        {1, 9, 0, 13000, "GPU-", {"--device cuda:GPU-", "there is only"}},
        {1, 9, 0, 13000, "x", {"--device cuda:x", "there is only"}},
        {1, 9, 0, 13000, "99999999999999999999", {"there is only"}},
    };
    qv_ctx *ctx = qv_ctx_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_gpu_device *g;
        simt_set_device(rows[i].count, rows[i].major, rows[i].minor, rows[i].driver);
        assert_int_equal(qv_gpu_open(ctx, &g, rows[i].which), QV_ERR_DEVICE);
        assert_null(g);
        assert_says(ctx, rows[i].words);
    }
    simt_set_device(1, 9, 0, 12040);
    qv_ctx_free(ctx);
}

/* A program that was built for other GPUs would fail at the first launch. */
static void a_gpu_without_kernels_is_refused(void **state)
{
    (void)state;
    static const struct {
        cudaError_t answer;
        const char *words[6];
    } rows[] = {
        {cudaErrorNoKernelImageForDevice,
         {"--device cuda:0 cannot be used: SIMT emulation has compute capability 8.9", "this program has kernels for ",
          "-DCMAKE_CUDA_ARCHITECTURES=89", "--device cpu"}},
        {cudaErrorInvalidDeviceFunction, {"-DCMAKE_CUDA_ARCHITECTURES=89"}},
        {cudaErrorUnsupportedPtxVersion, {"-DCMAKE_CUDA_ARCHITECTURES=89"}},
        {cudaErrorUnknown, {"looking for a kernel", "unknown error"}},
    };
    qv_ctx *ctx = qv_ctx_new();
    simt_set_device(1, 8, 9, 13000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_gpu_device *g;
        simt_set_kernels(rows[i].answer);
        assert_int_equal(qv_gpu_open(ctx, &g, "0"), QV_ERR_DEVICE);
        assert_null(g);
        assert_says(ctx, rows[i].words);
    }
    simt_set_kernels(cudaSuccess);
    simt_set_device(1, 9, 0, 12040);
    qv_ctx_free(ctx);
}

static void other_devices_have_one_precision(void **state)
{
    (void)state;
    lab l;
    qv_trainer *t;
    lab_open(&l);
    l.settings.device = QV_DEVICE_CPU;
    l.settings.precision = QV_PRECISION_BF16;
    qv_trainer_options o = {.items = l.toy.all, .n_items = l.toy.n};
    assert_int_equal(qv_trainer_new(l.ctx, &t, &l.settings, l.data, &o, 3), QV_ERR_USAGE);
    assert_says(l.ctx, (const char *const[]){"run.precision = bf16", "run.device = cuda", NULL});
    lab_close(&l);
}

/* ---- memory ---- */

/* The batch that the message names does fit, and twice as many do not. */
static void too_large_a_batch_hears_what_would_fit(void **state)
{
    (void)state;
    lab l;
    qv_trainer *t;
    lab_open(&l);
    size_t items[400]; /* a set that no batch exceeds */
    for (size_t i = 0; i < 400; i++) items[i] = i % l.toy.n;
    qv_trainer_options o = {.items = items, .n_items = 400};
    l.settings.batch = 200;
    size_t room = (size_t)6 << 20;
    simt_set_memory(room);
    assert_int_equal(qv_trainer_new(l.ctx, &t, &l.settings, l.data, &o, 3), QV_ERR_MEMORY);
    assert_says(l.ctx, (const char *const[]){"a batch of 200 needs", "MiB are free", "train.batch = ", NULL});
    const char *number = strstr(qv_ctx_message(l.ctx), "train.batch = ");
    int fits = atoi(number + strlen("train.batch = "));
    assert_in_range(fits, 2, 199);
    l.settings.batch = fits;
    o.resident_limit = 1;
    simt_set_memory(room + ((size_t)1 << 20)); /* for features, which the message is not about */
    qv_assert_ok(l.ctx, qv_trainer_new(l.ctx, &t, &l.settings, l.data, &o, 3));
    qv_trainer_free(t);
    l.settings.batch = 2 * fits;
    assert_int_equal(qv_trainer_new(l.ctx, &t, &l.settings, l.data, &o, 3), QV_ERR_MEMORY);
    simt_set_memory(100000);
    assert_int_equal(qv_trainer_new(l.ctx, &t, &l.settings, l.data, &o, 3), QV_ERR_MEMORY);
    assert_says(l.ctx, (const char *const[]){"even a batch of 1 would not fit", NULL});
    simt_set_memory(0);
    lab_close(&l);
}

/* So much is free from now on. */
static void set_memory_free(size_t bytes)
{
    size_t left, total;
    simt_set_memory(0);
    assert_int_equal(cudaMemGetInfo(&left, &total), cudaSuccess);
    simt_set_memory(total - left + bytes);
}

/* Features do not take what trainings to come will want, and trainings that are there want no more. */
static void features_leave_room_for_who_is_expected(void **state)
{
    (void)state;
    static const size_t beside = (size_t)256 << 20; /* what is left free beside features in any case */
    static const struct {
        int expected, there;
        bool streamed;
    } rows[] = {{0, 0, false}, {1, 0, false}, {2, 0, true}, {2, 1, false}, {3, 1, true}};
    lab l;
    lab_open(&l);
    qv_trainer *t = lab_trainer(&l, &l.settings, NULL);
    const size_t bytes = qv_exec_bytes(qv_trainer_exec(t)); /* an arena */
    qv_trainer_free(t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv_trainer *other = NULL;
        qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
        if (rows[i].expected) qv_gpu_expect(l.gpu, rows[i].expected);
        simt_set_memory(0);
        if (rows[i].there) other = lab_trainer(&l, &l.settings, &(qv_trainer_options){.resident_limit = 1});
        set_memory_free(beside + bytes + bytes / 2);
        t = lab_trainer(&l, &l.settings, NULL);
        assert_int_equal(qv_exec_bytes(qv_trainer_exec(t)) > bytes, rows[i].streamed);
        simt_set_memory(0);
        qv_trainer_free(t), qv_trainer_free(other);
        qv_gpu_close(l.gpu);
    }
    l.gpu = NULL;
    lab_close(&l);
}

/* Who finds no room beside features hears of them. */
static void features_in_the_way_are_named(void **state)
{
    (void)state;
    lab l;
    qv_trainer *t;
    lab_open(&l);
    qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL);
    qv_trainer_options o = {.items = l.toy.all, .n_items = l.toy.n, .gpu = l.gpu};
    set_memory_free(100000);
    assert_int_equal(qv_trainer_new(l.ctx, &t, &l.settings, l.data, &o, 3), QV_ERR_MEMORY);
    assert_says(l.ctx,
                (const char *const[]){"MiB are free: ", "trainings beside it hold features of 0.", "(-j)", NULL});
    simt_set_memory(0);
    qv_trainer_free(a);
    lab_close(&l);
}

/* Features that leave no room are streamed without being asked. */
static void features_that_do_not_fit_are_streamed(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL);
    simt_set_memory((size_t)250 << 20); /* less than is left free beside features */
    qv_trainer *b = lab_trainer(&l, &l.settings, NULL);
    assert_true(qv_exec_bytes(qv_trainer_exec(b)) > qv_exec_bytes(qv_trainer_exec(a)));
    assert_true(lab_train(&l, a, 2).sum == lab_train(&l, b, 2).sum);
    lab_assert_same_weights(a, b);
    simt_set_memory(0);
    qv_trainer_free(a), qv_trainer_free(b);
    lab_close(&l);
}

/* The same where somebody else takes the memory in the moment between. */
static void features_that_no_longer_fit_are_streamed(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL);
    simt_fail_allocation(2); /* the first is the arena */
    qv_trainer *b = lab_trainer(&l, &l.settings, NULL);
    simt_fail_allocation(0);
    assert_true(qv_exec_bytes(qv_trainer_exec(b)) > qv_exec_bytes(qv_trainer_exec(a)));
    assert_true(lab_train(&l, a, 2).sum == lab_train(&l, b, 2).sum);
    lab_assert_same_weights(a, b);
    qv_trainer_free(a), qv_trainer_free(b);
    lab_close(&l);
}

/* ---- failures ---- */

/* All that a training does, with one call that fails: the first failure is reported, nothing is left behind. *reached:
 * the call came before the end, where nobody could be told any more. */
static qv_status use(lab *l, const qv_trainer_options *options, bool *reached)
{
    qv_status status = QV_OK;
    qv_trainer *t = NULL;
    qv_loss loss = {0};
    double probs[24 * 3];
    qv_trainer_options o = *options;
    o.items = l->toy.all;
    o.n_items = 8;
    QV_TRY(qv_trainer_new(l->ctx, &t, &l->settings, l->data, &o, 3));
    QV_TRY(qv_trainer_run(l->ctx, t, 2, &loss)); /* four steps: eager, captured, replayed */
    QV_TRY(qv_trainer_predict(l->ctx, t, l->toy.all, 3, true, probs));
    QV_TRY(qv_trainer_predict(l->ctx, t, l->toy.all, 3, true, probs));
    status = qv_exec_check(l->ctx, qv_trainer_exec(t));
done:
    *reached = simt_calls_left() == 0;
    qv_trainer_free(t);
    return status;
}

/* Counts what the backend says where it goes on after a failure. */
static void count_recovery(void *user, qv_log_level level, const char *text)
{
    (void)level;
    *(int *)user += strstr(text, "captured once more") || strstr(text, "they are streamed");
}

static void any_call_may_fail(void **state)
{
    (void)state;
    static const qv_trainer_options ways[] = {{0}, {.resident_limit = 1}, {.profile = true}, {.keep_buffers = true}};
    lab l;
    lab_open(&l);
    l.settings.width = 2;
    qv_ctx *ctx = l.ctx;
    l.ctx = qv_ctx_new(); /* a quiet one */
    int recovered = 0;
    qv_ctx_on_log(l.ctx, count_recovery, &recovered);
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        long n, failures = 0;
        for (n = 1;; n += 1 + n / 50) {
            int before = simt_resources();
            recovered = 0;
            simt_fail_call(n);
            bool reached;
            qv_status status = use(&l, &ways[way], &reached);
            simt_fail_call(0);
            assert_int_equal(simt_resources(), before);
            assert_true((status == QV_OK) == (!reached || recovered)); /* no failure goes unnoticed */
            if (!reached) break;
            if (recovered) continue;
            if (status != QV_ERR_DEVICE && status != QV_ERR_MEMORY)
                print_error("call %ld: %s: %s\n", n, qv_status_name(status), qv_ctx_message(l.ctx));
            assert_true(status == QV_ERR_DEVICE || status == QV_ERR_MEMORY);
            assert_true(strlen(qv_ctx_message(l.ctx)) > 0);
            failures++;
        }
        assert_true(n > 200 && failures > 100);
    }
    qv_ctx_free(l.ctx);
    l.ctx = ctx;
    lab_close(&l);
}

/* Somebody outside may end one capture; where the second ends too, something is wrong. */
static void a_capture_is_tried_twice(void **state)
{
    (void)state;
    lab l;
    qv_loss loss = {0};
    lab_open(&l);
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL), *b = lab_trainer(&l, &l.settings, NULL);
    lab_train(&l, a, 1);
    simt_break_captures(1);
    lab_train(&l, b, 1);
    lab_assert_same_weights(a, b);
    qv_trainer_free(a), qv_trainer_free(b);
    a = lab_trainer(&l, &l.settings, NULL);
    simt_break_captures(2);
    assert_int_equal(qv_trainer_run(l.ctx, a, 1, &loss), QV_ERR_DEVICE);
    assert_says(l.ctx, (const char *const[]){"the training step could not be captured, twice", "cudaStreamEndCapture",
                                             "the capture failed earlier", NULL});
    qv_trainer_free(a);
    lab_close(&l);
}

/* A read from a device that failed is NaN, and the next call says why. */
static void a_failed_read_is_no_number(void **state)
{
    (void)state;
    lab l;
    double x[3];
    qv_loss loss = {0};
    lab_open(&l);
    qv_trainer *t = lab_trainer(&l, &l.settings, NULL);
    qv_exec *e = qv_trainer_exec(t);
    int buffer = qv_trainer_net(t)->class_weights;
    simt_fail_call(1);
    qv_exec_read(e, buffer, 0, 3, x);
    simt_fail_call(0);
    assert_true(x[0] != x[0] && x[1] != x[1] && x[2] != x[2]);
    qv_exec_read(e, buffer, 0, 3, x); /* the failure stays */
    assert_true(x[0] != x[0]);
    assert_int_equal(qv_exec_check(l.ctx, e), QV_ERR_DEVICE);
    assert_int_equal(qv_trainer_run(l.ctx, t, 1, &loss), QV_ERR_DEVICE);
    assert_says(l.ctx, (const char *const[]){"cudaMemcpyAsync of 12 bytes", "unknown error", NULL});
    qv_trainer_free(t);
    lab_close(&l);
}

typedef struct answers {
    size_t cases, failed;
} answers;

static void count_answer(void *user, const qv_case *c)
{
    answers *a = user;
    a->cases++;
    a->failed += !qv_case_passed(c);
}

/* Whatever call of a check of ops fails, the others are still asked, and one case says that something failed. */
static void a_failure_is_the_answer_of_one_case(void **state)
{
    (void)state;
    const qv_exec_options d = {.device = QV_DEVICE_CUDA};
    const qv_choice choice = {.seed = qv_test_seed(), .limit = 512};
    qv_ctx *ctx = qv_ctx_new(); /* a quiet one */
    size_t noticed = 0, all = 0;
    for (long n = 0, reached = 1; reached; n += 1 + n / 10) {
        answers a = {0};
        int before = simt_resources();
        simt_fail_call(n); /* 0: none */
        qv_status status = qv_check_op(ctx, &d, QV_OP_ADD, &choice, count_answer, &a);
        reached = n == 0 || simt_calls_left() == 0;
        simt_fail_call(0);
        assert_int_equal(simt_resources(), before);
        assert_true(status == QV_OK || status == QV_ERR_MEMORY);
        if (n == 0) all = a.cases;
        if (status == QV_OK) assert_int_equal(a.cases, all);
        assert_true(a.failed <= (n != 0));
        noticed += a.failed;
    }
    assert_true(all > 1 && noticed > 5);
    qv_ctx_free(ctx);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_has_an_ordinal_and_a_uuid),
        cmocka_unit_test(what_cannot_be_used_is_refused_in_words),
        cmocka_unit_test(a_gpu_without_kernels_is_refused),
        cmocka_unit_test(other_devices_have_one_precision),
        cmocka_unit_test(too_large_a_batch_hears_what_would_fit),
        cmocka_unit_test(features_leave_room_for_who_is_expected),
        cmocka_unit_test(features_in_the_way_are_named),
        cmocka_unit_test(features_that_do_not_fit_are_streamed),
        cmocka_unit_test(features_that_no_longer_fit_are_streamed),
        cmocka_unit_test(any_call_may_fail),
        cmocka_unit_test(a_capture_is_tried_twice),
        cmocka_unit_test(a_failed_read_is_no_number),
        cmocka_unit_test(a_failure_is_the_answer_of_one_case),
    };
    return cmocka_run_group_tests_name("the GPU that is not there", tests, NULL, NULL);
}
