/* Convolutions, passes and the update of one training step of the reference network, each op alone: time, rate, and its
 * share of what the processor can do, measured before and after. Not there: the batch's cut, coefficients, the classifier
 * and its loss, and what is done once a channel, which take microseconds.
 *
 *   bench_ops [--threads N] [--batch N] [--isa NAME] [--only OP] [--rounds N] [--direct] [--json]
 *
 * A line an op: how often a step runs it, least and median milliseconds of one run, the rate
 * (convolutions GFLOP/s, passes GB/s, counting every operand once), and its share of the FMA
 * peak or of the bandwidth of a copy with non-temporal stores. Winograd's convolutions count the
 * direct sum's work and may pass 100 %; --direct does without them. With one thread the thread's own
 * processor time is taken, so that other work on the machine disturbs less. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "backend/check/problem.h"
#include "base/parallel.h"
#include "bench.h"
#include "figure.h"
#include "op_case.h"

#if QV_X86
#include <immintrin.h>
#endif

enum { MAX_ROUNDS = 99, COPY_FLOATS = 32 << 20 };

#define CONVS(count, size, in, out, kernel, stride, groups)                   \
    {QV_OP_CONV, count, size, in, out, kernel, stride, groups, 0, 0, 0},   \
    {QV_OP_CONV_GRAD_X, count, size, in, out, kernel, stride, groups, 0, 0, 0}, \
    {QV_OP_CONV_GRAD_W, count, size, in, out, kernel, stride, groups, 0, 0, 0}
/* The passes of `count` blocks on [size, size], both branches C wide, after a first normalization of `in` channels. */
#define BLOCK_PASSES(count, size, c)                                                        \
    {QV_OP_BN_STATS, 2 * (count), size, 2 * (c), 2 * (c), 0, 0, 0, 0, 1, 0},             \
    {QV_OP_BN_APPLY, count, size, 2 * (c), 2 * (c), 0, 0, 0, 1, 1, 0},                   \
    {QV_OP_BN_SHAKE_ADD, count, size, c, c, 0, 0, 0, 0, 1, 0},                           \
    {QV_OP_BN_GRAD_SUMS, count, size, 2 * (c), 2 * (c), 0, 0, 0, 0, 1, OP_COEF},               \
    {QV_OP_BN_GRAD_APPLY, count, size, 2 * (c), 2 * (c), 0, 0, 0, 0, 1, OP_COEF},              \
    {QV_OP_BN_GRAD_SUMS, count, size, 2 * (c), 2 * (c), 0, 0, 0, 1, 1, 0},               \
    {QV_OP_BN_GRAD_APPLY, count, size, 2 * (c), 2 * (c), 0, 0, 0, 1, 1, 0}
#define ENTRY_PASSES(count, size, in)                                                       \
    {QV_OP_BN_STATS, count, size, in, in, 0, 0, 0, 0, 1, 0},                             \
    {QV_OP_BN_APPLY, count, size, in, 2 * (in), 0, 0, 0, 1, 2, 0},                       \
    {QV_OP_BN_GRAD_SUMS, count, size, in, 2 * (in), 0, 0, 0, 1, 2, 0},                   \
    {QV_OP_BN_GRAD_APPLY, count, size, in, 2 * (in), 0, 0, 0, 1, 2, OP_ADDEND}
#define SHORTCUT_PASSES(size, c)                                                            \
    {QV_OP_BN_STATS, 1, size, c, c, 0, 0, 0, 0, 1, 0},                                   \
    {QV_OP_BN_APPLY, 1, size, c, c, 0, 0, 0, 0, 1, 0},                                   \
    {QV_OP_BN_GRAD_SUMS, 1, size, c, c, 0, 0, 0, 0, 1, 0},                               \
    {QV_OP_BN_GRAD_APPLY, 1, size, c, c, 0, 0, 0, 0, 1, 0}

/* Reference network, preact-bn: width 32, two blocks a stage. The last rows (count 0) are of other orders. */
static const op_case cases[] = {
    {QV_OP_CONV, 1, 64, 1, 32, 3, 1, 1, 0, 0, 0},
    {QV_OP_CONV_GRAD_W, 1, 64, 1, 32, 3, 1, 1, 0, 0, 0},
    CONVS(4, 64, 64, 64, 3, 1, 2),
    CONVS(1, 64, 64, 128, 3, 2, 2),
    CONVS(3, 32, 128, 128, 3, 1, 2),
    CONVS(1, 64, 32, 64, 1, 2, 1),
    CONVS(1, 32, 128, 256, 3, 2, 2),
    CONVS(3, 16, 256, 256, 3, 1, 2),
    CONVS(1, 32, 64, 128, 1, 2, 1),
    ENTRY_PASSES(3, 64, 32),
    BLOCK_PASSES(2, 64, 32),
    SHORTCUT_PASSES(32, 64),
    ENTRY_PASSES(2, 32, 64),
    BLOCK_PASSES(2, 32, 64),
    SHORTCUT_PASSES(16, 128),
    ENTRY_PASSES(1, 16, 128),
    BLOCK_PASSES(2, 16, 128),
    {QV_OP_BN_STATS, 1, 16, 128, 128, 0, 0, 0, 0, 1, 0},
    {QV_OP_BN_APPLY, 1, 16, 128, 128, 0, 0, 0, 1, 1, 0},
    {QV_OP_BN_GRAD_SUMS, 1, 16, 128, 128, 0, 0, 0, 1, 1, 0},
    {QV_OP_BN_GRAD_APPLY, 1, 16, 128, 128, 0, 0, 0, 1, 1, 0},
    {QV_OP_POOL, 1, 16, 128, 128, 0, 0, 0, 0, 0, 0},
    {QV_OP_POOL_GRAD, 1, 16, 128, 128, 0, 0, 0, 0, 0, 0},
    {QV_OP_RELU, 0, 64, 32, 32, 0, 0, 0, 0, 0, 0},
    {QV_OP_RELU_GRAD, 0, 64, 32, 32, 0, 0, 0, 0, 0, 0},
    {QV_OP_ADD, 0, 64, 32, 32, 0, 0, 0, 0, 0, 0},
    {QV_OP_SHAKE_ADD, 0, 64, 32, 32, 0, 0, 0, 0, 0, 0},
    {QV_OP_SHAKE_GRAD, 0, 64, 32, 32, 0, 0, 0, 0, 0, 0},
    {QV_OP_SCALE, 0, 64, 32, 32, 0, 0, 0, 0, 0, 0},
    {QV_OP_SHIFT, 0, 32, 32, 32, 0, 0, 0, 0, 0, 0},
    {QV_OP_SHIFT_GRAD, 0, 32, 32, 32, 0, 0, 0, 0, 0, 0},
    /* At batch 64 as many parameters as the network has, and a few. */
    {QV_OP_SGD, 1, 1, 21573, 21573, 0, 0, 0, 0, 0, 0},
    {QV_OP_ADAMW, 0, 1, 21573, 21573, 0, 0, 0, 0, 0, 0},
    {QV_OP_CLIP, 0, 1, 21573, 21573, 0, 0, 0, 0, 0, 0},
    CONVS(0, 64, 32, 64, 3, 1, 1),
    CONVS(0, 64, 32, 128, 3, 2, 1),
};

typedef struct bench {
    int threads, batch, rounds;
    const char *isa, *only;
    bool direct, json;
    qv_ctx *ctx;
    qv_pool *pool;
    qv_op_fn table[QV_OP_COUNT];
    const char *isa_found;
    double peak, copy; /* GFLOP/s, GB/s */
} bench;

static double clock_now(const bench *b)
{
    struct timespec t;
    clock_gettime(b->threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *filled(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "no memory for %zu floats\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++) p[i] = 0.001f * (float)(i * 2654435761u % 2003u) - 1.0f;
    return p;
}

#if QV_X86
enum { CHAINS = 12, FMA_STEPS = 4000000 };

__attribute__((target("avx512f"))) static float fma_avx512(void)
{
    __m512 a[CHAINS], b = _mm512_set1_ps(0.999f), c = _mm512_set1_ps(0.001f), sum = _mm512_setzero_ps();
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_set1_ps((float)i);
    for (int k = 0; k < FMA_STEPS; k++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) a[i] = _mm512_fmadd_ps(a[i], b, c);
    for (int i = 0; i < CHAINS; i++) sum = _mm512_add_ps(sum, a[i]);
    return _mm512_cvtss_f32(sum);
}

__attribute__((target("avx2,fma"))) static float fma_avx2(void)
{
    __m256 a[CHAINS], b = _mm256_set1_ps(0.999f), c = _mm256_set1_ps(0.001f), sum = _mm256_setzero_ps();
    for (int i = 0; i < CHAINS; i++) a[i] = _mm256_set1_ps((float)i);
    for (int k = 0; k < FMA_STEPS; k++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) a[i] = _mm256_fmadd_ps(a[i], b, c);
    for (int i = 0; i < CHAINS; i++) sum = _mm256_add_ps(sum, a[i]);
    return _mm256_cvtss_f32(sum);
}

__attribute__((target("avx2,fma"))) static void copy_past_caches(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i + 8 <= n; i += 8) _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
    _mm_sfence();
}

typedef struct limits_job {
    bool wide, has_avx2;
    float *to, *from, *kept; /* kept[thread]: results that must not be optimized away */
} limits_job;

static void fma_thread(void *user, int chunk, size_t begin, size_t end)
{
    limits_job *j = user;
    (void)begin, (void)end;
    j->kept[chunk * 16] = j->wide ? fma_avx512() : fma_avx2();
}

static void copy_thread(void *user, int chunk, size_t begin, size_t end)
{
    limits_job *j = user;
    (void)chunk;
    copy_past_caches(j->to + begin, j->from + begin, end - begin);
}

/* What the processor can do, best of three; zero where it is too old to be asked. */
static void measure_limits(bench *b)
{
    limits_job j = {__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
                    NULL, NULL, NULL};
    if (!j.has_avx2) return;
    j.to = filled(COPY_FLOATS), j.from = filled(COPY_FLOATS), j.kept = filled((size_t)b->threads * 16);
    double flops = 2.0 * FMA_STEPS * CHAINS * (j.wide ? 16 : 8) * b->threads, bytes = 2.0 * sizeof(float) * COPY_FLOATS;
    b->peak = b->copy = 0;
    for (int i = 0; i < 3; i++) {
        double t0 = clock_now(b);
        qv_parallel(b->pool, (size_t)b->threads, 1, fma_thread, &j);
        double t1 = clock_now(b);
        qv_parallel(b->pool, COPY_FLOATS, 16, copy_thread, &j);
        double t2 = clock_now(b);
        if (flops / (t1 - t0) * 1e-9 > b->peak) b->peak = flops / (t1 - t0) * 1e-9;
        if (bytes / (t2 - t1) * 1e-9 > b->copy) b->copy = bytes / (t2 - t1) * 1e-9;
    }
    free(j.to);
    free(j.from);
    free(j.kept);
}
#else
static void measure_limits(bench *b) { (void)b; }
#endif

/* Host memory behind every operand that is there; the optimizers' first is the state of a step. */
static void fill(qv_op_kind kind, bool output, qv_tensor *t, int n)
{
    bool io;
    for (int i = 0; i < n; i++) {
        const size_t record = t[i].n ? qv_operand_size(kind, output, i, &io) : 0;
        if (!t[i].n) continue;
        t[i].data = filled(qv_tensor_len(&t[i]) * (record > sizeof(float) ? record / sizeof(float) : 1));
        if (record == sizeof(qv_step_state))
            *(qv_step_state *)t[i].data = (qv_step_state){.set_size = 1, .batch = 1, .lr = 1e-3f};
    }
}

/* Seconds of one run, sorted; false after a message. */
static bool time_rounds(bench *b, qv_op *op, qv_tensor *in, qv_tensor *out, double *seconds)
{
    void *plan = NULL;
    size_t bytes = 0, need = 0;
    const qv_cpu_options options = {.isa = b->isa, .threads = b->threads, .direct = b->direct};
    if (qv_cpu_plan(b->ctx, op, in, out, &options, &plan, &bytes) != QV_OK) {
        fprintf(stderr, "%s: %s\n", qv_op_info_of((qv_op_kind)op->kind).name, qv_ctx_message(b->ctx));
        return false;
    }
    qv_call call = {.op = op, .in = in, .out = out, .pool = b->pool, .plan = plan};
    int failed = b->table[op->kind](&call, &need);
    call.scratch = filled(need / sizeof(float) + 1);
    failed |= b->table[op->kind](&call, NULL);
    for (int i = 0; i < b->rounds && !failed; i++) {
        const double start = clock_now(b);
        failed |= b->table[op->kind](&call, NULL);
        seconds[i] = clock_now(b) - start;
    }
    qv_bench_sort(seconds, b->rounds);
    free(call.scratch);
    qv_cpu_plan_free(plan);
    if (failed) fprintf(stderr, "%s failed\n", qv_op_info_of((qv_op_kind)op->kind).name);
    return !failed;
}

/* GFLOP of a convolution, GB of a pass. */
static double work_of(const bench *b, const op_case *k, const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    if (k->kernel) {
        const int half = (k->size + 2 * (k->kernel / 2) - k->kernel) / k->stride + 1;
        return 2e-9 * b->batch * half * half * k->out * (k->in / k->groups) * k->kernel * k->kernel;
    }
    return 1e-9 * op_case_bytes(op, in, out);
}

static void print_case(const bench *b, const op_case *k, double least, double median, double work)
{
    char shape[OP_CASE_TEXT];
    const double limit = k->kernel ? b->peak : b->copy;
    op_case_text(k, shape);
    if (b->json) {
        printf("{\"bench\": \"ops\", \"op\": \"%s\", \"shape\": \"%s\", \"a_step\": %d, \"batch\": %d, \"threads\": %d, \"min_ms\": %.3f, "
               "\"median_ms\": %.3f, \"rate\": %s, \"unit\": \"%s\", \"limit\": %.1f}\n",
               qv_op_info_of(k->kind).name, shape, k->count, b->batch, b->threads, 1e3 * least, 1e3 * median,
               qv_figure_of("%.1f", work / least).text, k->kernel ? "GFLOP/s" : "GB/s", limit);
        fflush(stdout);
        return;
    }
    printf("%-14s %-26s x%d %9.3f %9.3f ms %7.1f %s", qv_op_info_of(k->kind).name, shape, k->count, 1e3 * least,
           1e3 * median, work / least, k->kernel ? "GFLOP/s" : "GB/s   ");
    if (limit > 0) printf(" %4.0f %%", 100 * work / least / limit);
    printf("\n");
    fflush(stdout);
}

static bool run_case(bench *b, const op_case *k, double totals[4])
{
    qv_op op;
    qv_tensor in[QV_MAX_IN] = {{0}}, out[QV_MAX_OUT] = {{0}};
    double seconds[MAX_ROUNDS];
    op_case_shapes(k, b->batch, false, &op, in, out);
    fill(k->kind, false, in, QV_MAX_IN);
    fill(k->kind, true, out, QV_MAX_OUT);
    bool ok = time_rounds(b, &op, in, out, seconds);
    if (ok) {
        print_case(b, k, seconds[0], seconds[b->rounds / 2], work_of(b, k, &op, in, out));
        totals[k->kernel ? (int)(k->kind - QV_OP_CONV) : 3] += k->count * seconds[b->rounds / 2];
    }
    for (int i = 0; i < QV_MAX_IN; i++) free(in[i].data);
    for (int i = 0; i < QV_MAX_OUT; i++) free(out[i].data);
    return ok;
}

static void print_limits(const bench *b, const char *when)
{
    if (b->json)
        printf("{\"bench\": \"ops\", \"limits\": \"%s\", \"isa\": \"%s\", \"convolutions\": \"%s\", \"threads\": %d, \"fma_gflops\": %.0f, "
               "\"copy_gb_per_s\": %.1f}\n",
               when, b->isa_found, qv_cpu_conv_name().text, b->threads, b->peak, b->copy);
    else
        printf("%s: %s, %s, %d threads, batch %d: FMA peak %.0f GFLOP/s, copy %.1f GB/s\n", when, b->isa_found,
               qv_cpu_conv_name().text, b->threads, b->batch, b->peak, b->copy);
}

static bool is_case(const char *name)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, qv_op_info_of(cases[i].kind).name) == 0) return true;
    return false;
}

/* False where an option is not known, or its value makes no sense. */
static bool parse(bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--direct") == 0) {
            b->direct = true;
            continue;
        }
        if (strcmp(argv[i], "--json") == 0) {
            b->json = true;
            continue;
        }
        if (i + 1 == argc) return false;
        const char *name = argv[i++];
        if (strcmp(name, "--threads") == 0)
            b->threads = atoi(argv[i]);
        else if (strcmp(name, "--batch") == 0)
            b->batch = atoi(argv[i]);
        else if (strcmp(name, "--rounds") == 0)
            b->rounds = atoi(argv[i]);
        else if (strcmp(name, "--isa") == 0)
            b->isa = argv[i];
        else if (strcmp(name, "--only") == 0)
            b->only = argv[i];
        else
            return false;
    }
    return b->threads >= 1 && b->batch >= 1 && b->rounds >= 1 && b->rounds <= MAX_ROUNDS && (!b->only || is_case(b->only));
}

int main(int argc, char **argv)
{
    bench b = {.threads = qv_cpu_count(), .batch = 64, .rounds = 7};
    double totals[4] = {0};
    bool ok = true;
    if (!parse(&b, argc, argv)) {
        fprintf(stderr, "usage: bench_ops [--threads N] [--batch N] [--isa avx512|avx2|base] [--only OP] [--rounds N] "
                        "[--direct] [--json]\n");
        return 2;
    }
    b.ctx = qv_bench_ctx();
    if (!b.ctx || qv_pool_new(b.ctx, &b.pool, b.threads) != QV_OK) return 1;
    qv_cpu_conv_limit(b.isa);
    qv_cpu_ops(b.table, b.isa, &b.isa_found);
    measure_limits(&b);
    print_limits(&b, "before");
    for (size_t i = 0; i < sizeof cases / sizeof *cases && ok; i++)
        if (!b.only || strcmp(b.only, qv_op_info_of(cases[i].kind).name) == 0) ok = run_case(&b, &cases[i], totals);
    if (!b.json)
        printf("a step, medians: conv %.1f + conv_grad_x %.1f + conv_grad_w %.1f = %.1f ms; passes %.1f ms\n", 1e3 * totals[0],
               1e3 * totals[1], 1e3 * totals[2], 1e3 * (totals[0] + totals[1] + totals[2]), 1e3 * totals[3]);
    measure_limits(&b);
    print_limits(&b, "afterwards");
    qv_pool_free(b.pool);
    qv_ctx_free(b.ctx);
    return ok ? 0 : 1;
}
