/* Every hand-written kernel alone on a GPU: time, rate, and its share of what a copy reaches in the same run.
 *
 *   bench_kernels [--only KERNEL] [--seconds S] [--table] [--small]
 *
 * One JSON line a case; with --table a line to read. A case is a kernel, a shape, and how activations are stored. The
 * shapes are the reference network's (64x64 patches, batch 64); those of its first stage also with a batch that moves
 * 512 MiB or more, well beyond any L2. Bytes: the least that the op has to move (op_case.h). A case runs for S seconds
 * (0.2), the emptying of the L2 between runs included; the rate is that of the median. The copy is measured before the
 * cases, which is what their shares are of, and again after them: the last line has both. Whether results are right,
 * others test. --small: tiny shapes, one run each, to see that everything runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/check/problem.h"
#include "gpu_time.h"
#include "kernels/table.h"
#include "kernels/step.h"
#include "op_case.h"

enum { BATCH = 64 };
static const double GROWN_BYTES = 512.0 * 1048576, COPY_BYTES = 512.0 * 1048576;

static int to_bf16(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    return qv_cuda_to_bf16(c->in[0].data, c->out[0].data, qv_tensor_len(&c->in[0]), c->stream);
}

static int from_bf16(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    return qv_cuda_from_bf16(c->in[0].data, c->out[0].data, qv_tensor_len(&c->in[0]), c->stream);
}

/* A kernel that is an op's, or, with a name, one that has the operands of that op. */
typedef struct row {
    op_case k;
    const char *name;
    qv_op_fn fn;
} row;

#define OP(op, size, in, out, relu, repeat, options)                                                                   \
    {                                                                                                                  \
        {QV_OP_##op, 0, size, in, out, 0, 0, 0, relu, repeat, options}, NULL, NULL                                     \
    }
#define STEM(op)                                                                                                       \
    {                                                                                                                  \
        {QV_OP_##op, 0, 64, 1, 32, 3, 1, 1, 0, 0, 0}, NULL, NULL                                                       \
    }
#define CONVERT(fn, size, c)                                                                                           \
    {                                                                                                                  \
        {QV_OP_RELU, 0, size, c, c, 0, 0, 0, 0, 0, 0}, #fn, fn                                                         \
    }
/* What runs, or may run, on blocks whose branches are C wide on [size, size]. */
#define STAGE(size, c)                                                                                                 \
    OP(BN_STATS, size, c, c, 0, 1, 0), OP(BN_STATS, size, 2 * (c), 2 * (c), 0, 1, 0),                                  \
        OP(BN_MEASURE, size, c, c, 0, 1, 0), OP(BN_MEASURE, size, 2 * (c), 2 * (c), 0, 1, 0),                          \
        OP(BN_FINALIZE, size, c, c, 0, 1, 0), OP(BN_APPLY, size, c, 2 * (c), 1, 2, 0),                                 \
        OP(BN_APPLY, size, 2 * (c), 2 * (c), 1, 1, 0), OP(BN_SHAKE_ADD, size, c, c, 0, 1, 0),                          \
        OP(BLOCK_END, size, c, c, 0, 1, 0), OP(BLOCK_END, size, c, c, 0, 1, OP_MEASURED),                              \
        OP(BLOCK_END, size, c, c, 0, 1, OP_NORMED | OP_MEASURED), OP(BN_GRAD_SUMS, size, c, 2 * (c), 1, 2, OP_TICKET), \
        OP(BN_GRAD_SUMS, size, 2 * (c), 2 * (c), 1, 1, OP_TICKET),                                                     \
        OP(BN_GRAD_SUMS, size, 2 * (c), 2 * (c), 0, 1, OP_COEF | OP_TICKET),                                           \
        OP(BN_GRAD_APPLY, size, c, 2 * (c), 1, 2, OP_ADDEND), OP(BN_GRAD_APPLY, size, 2 * (c), 2 * (c), 1, 1, 0),      \
        OP(BN_GRAD_APPLY, size, 2 * (c), 2 * (c), 0, 1, OP_COEF), OP(RELU, size, c, c, 0, 0, 0),                       \
        OP(RELU_GRAD, size, c, c, 0, 0, OP_ADDEND), OP(ADD, size, c, c, 0, 0, 0), OP(SHAKE_ADD, size, c, c, 0, 0, 0),  \
        OP(SHAKE_GRAD, size, c, c, 0, 0, 0), OP(SCALE, size, c, c, 0, 0, 0), OP(SHIFT, (size) / 2, c, c, 0, 0, 0),     \
        OP(SHIFT_GRAD, (size) / 2, c, c, 0, 0, 0), OP(POOL, size, c, c, 0, 0, 0), OP(POOL_GRAD, size, c, c, 0, 0, 0)

static const row rows[] = {
    STEM(CONV),
    STEM(CONV_GRAD_W),
    OP(GATHER, 64, 1, 1, 0, 0, 0),
    OP(GATHER, 64, 1, 1, 0, 0, OP_MIXED),
    OP(SHAKE_COEF, 1, 1, 1, 0, 0, 0),
    OP(LOSS, 1, 4, 4, 0, 0, 0),
    /* As many parameters as the reference network has, and a few. */
    OP(SGD, 64, 21573, 21573, 0, 0, 0),
    OP(ADAMW, 64, 21573, 21573, 0, 0, 0),
    OP(CLIP, 64, 21573, 21573, 0, 0, 0),
    CONVERT(to_bf16, 64, 32),
    CONVERT(from_bf16, 64, 32),
    STAGE(64, 32),
    STAGE(32, 64),
    STAGE(16, 128),
};

typedef struct bench {
    const char *only;
    double seconds;
    bool table, small;
    gpu_time t;
    double copy; /* GB/s, read and written, before the cases */
} bench;

/* What is timed: a kernel, or (fn NULL) a copy. */
typedef struct job {
    const char *name;
    qv_op_fn fn;
    qv_call call;
    void *to, *from;
    size_t bytes;
} job;

/* --- operands --- */

/* Recordings of twice a patch's frames, one behind the other. */
static void send_utterances(void *to, int n, int frames)
{
    qv_utterance *u = calloc((size_t)n, sizeof *u);
    if (!u) gpu_check((int)cudaErrorMemoryAllocation, "memory of the host");
    for (int i = 0; i < n; i++) u[i] = (qv_utterance){(int64_t)i * frames, frames, i % 4, 0, 0};
    gpu_send(to, u, (size_t)n * sizeof *u);
    free(u);
}

static void send_order(void *to, size_t n)
{
    int32_t *order = calloc(n, sizeof *order);
    if (!order) gpu_check((int)cudaErrorMemoryAllocation, "memory of the host");
    for (size_t i = 0; i < n; i++) order[i] = (int32_t)(i * 7919 % (n / 2));
    gpu_send(to, order, n * sizeof *order);
    free(order);
}

/* Numbers are in (0, 1], so that coefficients and variances are possible ones; counters and labels 0. */
static void make_operand(const bench *b, qv_op_kind kind, bool output, int i, qv_tensor *t, int batch)
{
    if (!t->n) return;
    const size_t record = qv_operand_size(kind, output, i, NULL), len = qv_tensor_len(t);
    const bool number = record == 0 || (kind == QV_OP_GATHER && !output && (i == 1 || i == 3 || i == 6));
    t->data = gpu_alloc(len * (number ? sizeof(float) : record));
    if (number) {
        gpu_fill(&b->t, t->data, len, t->dtype == QV_BF16);
    } else if (record == sizeof(qv_step_state)) {
        const qv_step_state s = {.key = {1, 2}, .set_size = (uint64_t)batch, .batch = (uint32_t)batch, .lr = 1e-3f};
        gpu_send(t->data, &s, sizeof s);
    } else {
        gpu_check((int)cudaMemset(t->data, 0, len * record), "clearing counters");
    }
}

static void make_operands(const bench *b, const qv_op *op, qv_tensor *in, qv_tensor *out, int batch)
{
    const qv_op_kind kind = (qv_op_kind)op->kind;
    for (int i = 0; i < QV_MAX_IN; i++) make_operand(b, kind, false, i, &in[i], batch);
    for (int i = 0; i < QV_MAX_OUT; i++) make_operand(b, kind, true, i, &out[i], batch);
    if (kind != QV_OP_GATHER) return;
    send_utterances(in[2].data, batch, 2 * out[0].h);
    send_order(in[4].data, 2 * (size_t)batch);
}

/* --- time --- */

static int enqueue(const void *user, cudaStream_t stream)
{
    const job *j = user;
    return j->fn ? j->fn(&j->call, NULL)
                 : (int)cudaMemcpyAsync(j->to, j->from, j->bytes, cudaMemcpyDeviceToDevice, stream);
}

static int time_runs(const bench *b, const job *j, float ms[GPU_TIME_MOST])
{
    const gpu_work w = {j->name, enqueue, j};
    return gpu_time_runs(&b->t, &w, b->seconds, ms);
}

static double rate(double bytes, double ms) { return ms > 0 ? 1e-6 * bytes / ms : 0; }

/* GB/s of a copy of what the cases compute with: memory of zeros may be moved faster. */
static double measure_copy(const bench *b)
{
    float ms[GPU_TIME_MOST];
    job j = {.name = "copy", .bytes = b->small ? 4096 : (size_t)COPY_BYTES};
    j.to = gpu_alloc(j.bytes), j.from = gpu_alloc(j.bytes);
    gpu_fill(&b->t, j.from, j.bytes / sizeof(float), false);
    const int runs = time_runs(b, &j, ms);
    gpu_free(j.to);
    gpu_free(j.from);
    return rate(2.0 * (double)j.bytes, (double)ms[runs / 2]);
}

/* --- cases --- */

static void print_case(const bench *b, const char *name, const op_case *k, int batch, const char *stored, double bytes,
                       const float *ms, int runs)
{
    char shape[OP_CASE_TEXT];
    const double median = (double)ms[runs / 2], found = rate(bytes, median), share = b->copy > 0 ? found / b->copy : 0;
    op_case_text(k, shape);
    if (b->table)
        printf("%-14s %-30s n%-6d %-5s %10.2f MB %9.4f %9.4f ms %8.1f GB/s %4.0f %%\n", name, shape, batch, stored,
               1e-6 * bytes, (double)ms[0], median, found, 100 * share);
    else
        printf("{\"bench\": \"kernels\", \"kernel\": \"%s\", \"shape\": \"%s\", \"batch\": %d, \"stored\": \"%s\", "
               "\"bytes\": %.0f, \"runs\": %d, \"min_ms\": %.4f, \"median_ms\": %.4f, \"gb_per_s\": %.1f, "
               "\"copy_gb_per_s\": %.1f, \"share\": %.3f}\n",
               name, shape, batch, stored, bytes, runs, (double)ms[0], median, found, b->copy, share);
    fflush(stdout);
}

/* The shapes of a case; a conversion has its output, or its input, in bf16. */
static void shape_case(const row *r, const op_case *k, int batch, bool bf16, qv_op *op, qv_tensor *in, qv_tensor *out)
{
    op_case_shapes(k, batch, bf16, op, in, out);
    if (r->fn == to_bf16) out[0].dtype = QV_BF16;
    if (r->fn == from_bf16) in[0].dtype = QV_BF16;
}

static void run_case(const bench *b, const row *r, const op_case *k, int batch, bool bf16)
{
    float ms[GPU_TIME_MOST];
    qv_op op;
    qv_tensor in[QV_MAX_IN] = {{0}}, out[QV_MAX_OUT] = {{0}};
    size_t need = 0;
    job j = {.name = r->name ? r->name : qv_op_info_of(k->kind).name, .fn = r->fn ? r->fn : qv_kernels[k->kind]};
    shape_case(r, k, batch, bf16, &op, in, out);
    make_operands(b, &op, in, out, batch);
    j.call = (qv_call){.op = &op, .in = in, .out = out, .stream = b->t.stream};
    gpu_check(j.fn(&j.call, &need), j.name);
    j.call.scratch = gpu_alloc(need);
    const int runs = time_runs(b, &j, ms);
    print_case(b, j.name, k, batch, r->name ? "both" : bf16 ? "bf16" : "float", op_case_bytes(&op, in, out), ms, runs);
    gpu_free(j.call.scratch);
    for (int i = 0; i < QV_MAX_IN; i++)
        if (in[i].data) gpu_free(in[i].data);
    for (int i = 0; i < QV_MAX_OUT; i++)
        if (out[i].data) gpu_free(out[i].data);
}

/* The batch, a power of two times `batch`, with which the case moves so much. */
static int grown_batch(const row *r, const op_case *k, int batch, bool bf16, double bytes)
{
    for (;; batch *= 2) {
        qv_op op;
        qv_tensor in[QV_MAX_IN] = {{0}}, out[QV_MAX_OUT] = {{0}};
        shape_case(r, k, batch, bf16, &op, in, out);
        if (op_case_bytes(&op, in, out) >= bytes) return batch;
    }
}

static bool has_activations(qv_op_kind kind)
{
    const qv_op_info info = qv_op_info_of(kind);
    for (int i = 0; i < info.n_in; i++)
        if (qv_operand_is_activation(kind, false, i)) return true;
    for (int i = 0; i < info.n_out; i++)
        if (qv_operand_is_activation(kind, true, i)) return true;
    return false;
}

static void run_row(const bench *b, const row *r)
{
    op_case k = r->k;
    const char *name = r->name ? r->name : qv_op_info_of(k.kind).name;
    const bool grows = k.size == 64 && k.kind != QV_OP_BN_FINALIZE;
    const int batch = b->small ? 2 : BATCH, stored = !r->name && has_activations(k.kind) ? 2 : 1;
    if (b->only && strcmp(b->only, name) != 0) return;
    if (b->small && (k.kind == QV_OP_SGD || k.kind == QV_OP_ADAMW || k.kind == QV_OP_CLIP)) k.in = k.out = 1001;
    if (b->small && k.size > 1) k.size /= 8;
    for (int bf16 = 0; bf16 < stored; bf16++) {
        run_case(b, r, &k, batch, bf16 == 1);
        if (grows) run_case(b, r, &k, grown_batch(r, &k, batch, bf16 == 1, b->small ? 65536 : GROWN_BYTES), bf16 == 1);
    }
}

static void print_copies(const bench *b, double again)
{
    if (b->table)
        printf("copy %.1f GB/s before, of which the shares are, and %.1f after\n", b->copy, again);
    else
        printf("{\"bench\": \"kernels\", \"copy_gb_per_s\": %.1f, \"copy_again_gb_per_s\": %.1f}\n", b->copy, again);
}

static bool is_kernel(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(name, rows[i].name ? rows[i].name : qv_op_info_of(rows[i].k.kind).name) == 0) return true;
    return false;
}

/* False where an option is not known, or its value makes no sense. */
static bool parse(bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *end = "";
        if (strcmp(argv[i], "--table") == 0)
            b->table = true;
        else if (strcmp(argv[i], "--small") == 0)
            b->small = true, b->seconds = 0;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            b->only = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            b->seconds = strtod(argv[++i], &end);
        else
            return false;
        if (*end) return false;
    }
    return b->seconds >= 0 && b->seconds <= 60 && (!b->only || is_kernel(b->only));
}

int main(int argc, char **argv)
{
    bench b = {.seconds = 0.2};
    struct cudaDeviceProp device;
    if (!parse(&b, argc, argv)) {
        fprintf(stderr, "usage: bench_kernels [--only KERNEL] [--seconds S] [--table] [--small]\n");
        return 2;
    }
    if (gpu_lacks()) {
        printf("bench_kernels: skipped, no CUDA device: %s\n", gpu_lacks());
        return 0;
    }
    gpu_check((int)cudaGetDeviceProperties(&device, 0), "asking the device");
    gpu_time_start(&b.t, b.small);
    b.copy = measure_copy(&b);
    if (b.table)
        printf("%s, compute capability %d.%d: copy %.1f GB/s, read and written\n", device.name, device.major,
               device.minor, b.copy);
    else
        printf("{\"bench\": \"kernels\", \"device\": \"%s\", \"compute_capability\": \"%d.%d\", \"copy_gb_per_s\": "
               "%.1f}\n",
               device.name, device.major, device.minor, b.copy);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) run_row(&b, &rows[i]);
    print_copies(&b, measure_copy(&b));
    gpu_time_stop(&b.t);
    return 0;
}
