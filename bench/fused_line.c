#include "fused_line.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "kernels/kernels.h"

enum { CANDIDATES = 8 };

/* A way to compute it: enqueued as it is once, then as a graph. */
typedef qv_status (*way)(qv_ctx *ctx, const fused_line *l, cudaStream_t stream);

static qv_status cuda_status(qv_ctx *ctx, int error, const char *what)
{
    if (error == 0) return QV_OK;
    cudaGetLastError(); /* else the next line's first launch would be blamed */
    return qv_fail(ctx, QV_ERR_DEVICE, "%s: CUDA error %d: %s", what, error, cudaGetErrorString((cudaError_t)error));
}

static bool applies(const fused_line *l) { return (l->key.parts & FUSED_APPLY) != 0; }
static bool measures(const fused_line *l) { return (l->key.parts & FUSED_STATS) != 0; }

/* --- the ways --- */

static qv_status run_apply(qv_ctx *ctx, const fused_line *l, cudaStream_t stream)
{
    const fused_operands *o = &l->o;
    const qv_tensor in[QV_MAX_IN] = {o->x, o->mean, o->rstd, o->gamma, o->beta};
    const qv_tensor out[QV_MAX_OUT] = {o->applied};
    const qv_call call = {.op = &l->apply, .in = in, .out = out, .scratch = o->scratch, .stream = stream};
    return cuda_status(ctx, qv_cuda_bn_apply(&call, NULL), "bn_apply");
}

static qv_status run_measure(qv_ctx *ctx, const fused_line *l, cudaStream_t stream)
{
    const qv_tensor in[QV_MAX_IN] = {l->o.y};
    qv_tensor out[QV_MAX_OUT] = {{0}};
    memcpy(out, l->o.statistics, sizeof l->o.statistics);
    const qv_call call = {.op = &l->measure, .in = in, .out = out, .scratch = l->o.scratch, .stream = stream};
    return cuda_status(ctx, qv_cuda_bn_measure(&call, NULL), "bn_measure");
}

static qv_status run_finalize(qv_ctx *ctx, const fused_line *l, cudaStream_t stream)
{
    const qv_tensor *s = l->o.statistics, out[QV_MAX_OUT] = {l->o.spare, s[2], s[3]};
    qv_tensor in[QV_MAX_IN] = {s[0], s[0]};
    in[0].data = l->o.sum, in[1].data = l->o.squares;
    const qv_call call = {.op = &l->finalize, .in = in, .out = out, .scratch = l->o.scratch, .stream = stream};
    return cuda_status(ctx, qv_cuda_bn_finalize(&call, NULL), "bn_finalize");
}

static qv_status run_apart(qv_ctx *ctx, const fused_line *l, cudaStream_t stream)
{
    qv_status status = QV_OK;
    const fused_operands *o = &l->o;
    if (applies(l)) QV_TRY(run_apply(ctx, l, stream));
    QV_TRY(qv_dnn_run(ctx, l->b->dnn, l->apart, stream, applies(l) ? o->applied.data : o->x.data, o->w.data, o->y.data,
                      o->scratch));
    if (measures(l)) QV_TRY(run_measure(ctx, l, stream));
done:
    return status;
}

static void *at(const fused_line *l, void *p, size_t elements)
{
    return (char *)p + elements * (l->b->precision == QV_PRECISION_BF16 ? 2 : 4);
}

static qv_status run_fused(qv_ctx *ctx, const fused_line *l, cudaStream_t stream)
{
    qv_status status = QV_OK;
    const fused_operands *o = &l->o;
    const size_t cin = (size_t)l->key.conv.cin, cout = (size_t)l->key.conv.cout;
    for (size_t i = 0; i < (size_t)l->launches; i++) {
        const void *tensors[FUSED_TENSORS] = {
            [FUSED_X] = o->x.data,
            [FUSED_W] = at(l, o->w.data, i * qv_tensor_len(&o->w) / (size_t)l->launches),
            [FUSED_Y] = at(l, o->y2, i * cout),
            [FUSED_SCALE] = (float *)o->scale + i * cin,
            [FUSED_BIAS] = (float *)o->bias + i * cin,
            [FUSED_SUM] = (float *)o->sum + i * cout,
            [FUSED_SQUARES] = (float *)o->squares + i * cout,
        };
        QV_TRY(fused_run(ctx, l->b->fused, l->plan, stream, tensors, o->scratch));
    }
    if (measures(l)) QV_TRY(run_finalize(ctx, l, stream));
done:
    return status;
}

/* The way as a graph, after a first run that loads what the libraries load lazily. */
static qv_status capture(const fused_line *l, way w, cudaGraphExec_t *exec)
{
    qv_status status = QV_OK;
    qv_ctx *ctx = l->b->ctx;
    cudaStream_t stream = l->b->t.stream;
    cudaGraph_t graph = NULL;
    *exec = NULL;
    QV_TRY(w(ctx, l, stream));
    QV_TRY(cuda_status(ctx, (int)cudaStreamSynchronize(stream), "a first run"));
    QV_TRY(cuda_status(ctx, (int)cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing"));
    status = w(ctx, l, stream);
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
    if (status == QV_OK) status = cuda_status(ctx, (int)ended, "ending a capture");
    if (status == QV_OK) status = cuda_status(ctx, (int)cudaGraphInstantiate(exec, graph, 0), "instantiating a graph");
    if (graph) cudaGraphDestroy(graph);
done:
    return status;
}

static int launch(const void *user, cudaStream_t stream)
{
    return (int)cudaGraphLaunch(*(const cudaGraphExec_t *)user, stream);
}

static double time_graph(const fused_bench *b, const char *name, const cudaGraphExec_t *graph, double seconds)
{
    float ms[GPU_TIME_MOST];
    const gpu_work w = {name, launch, graph};
    const int runs = gpu_time_runs(&b->t, &w, seconds, ms);
    return (double)ms[runs / 2];
}

/* --- operands --- */

static qv_tensor real(int n, int h, int w, int c) { return (qv_tensor){NULL, n, h, w, c, QV_REAL}; }

static qv_tensor activation(const fused_bench *b, int n, int h, int w, int c)
{
    qv_tensor t = real(n, h, w, c);
    t.dtype = b->precision == QV_PRECISION_BF16 ? QV_BF16 : QV_REAL;
    return t;
}

static size_t bytes_of(const qv_tensor *t) { return qv_tensor_len(t) * (t->dtype == QV_BF16 ? 2 : 4); }

/* Made on the host by `value` of the index. */
static void make(qv_tensor *t, float (*value)(size_t i))
{
    const size_t n = qv_tensor_len(t);
    float *wide = calloc(n, sizeof *wide);
    qv_bf16 *narrow = calloc(n, sizeof *narrow);
    if (!wide || !narrow) gpu_check((int)cudaErrorMemoryAllocation, "memory of the host");
    for (size_t i = 0; i < n; i++) narrow[i] = qv_bf16_of(wide[i] = value(i));
    t->data = gpu_alloc(bytes_of(t));
    gpu_send(t->data, t->dtype == QV_BF16 ? (const void *)narrow : wide, bytes_of(t));
    free(wide);
    free(narrow);
}

/* Powers of two and their sums, so that scale = rstd gamma and bias = beta - mean scale are exact. */
static float half(size_t i) { return (void)i, 0.5f; }
static float two(size_t i) { return (void)i, 2.0f; }
static float gamma_at(size_t i) { return i % 2 ? 1.0f : 0.5f; }
static float beta_at(size_t i) { return 0.25f * (float)(i % 3); }
static float scale_at(size_t i) { return 2.0f * gamma_at(i); }
static float bias_at(size_t i) { return beta_at(i) - 0.5f * scale_at(i); }
static float one(size_t i) { return (void)i, 1.0f; }
/* In (-0.5, 0.5]. */
static float weight_at(size_t i) { return (float)((uint32_t)i * 2654435761u >> 20) / 4096 - 0.5f + 1.0f / 4096; }

static void make_statistics(fused_operands *o, int channels)
{
    for (int i = 0; i < 4; i++) {
        o->statistics[i] = real(1, 1, 1, channels);
        make(&o->statistics[i], one);
    }
    o->spare = real(1, 1, 1, channels);
    make(&o->spare, one);
    o->statistics[4] = real(1, 1, 1, qv_ticket_words(channels));
    o->statistics[4].data = gpu_alloc(bytes_of(&o->statistics[4]));
    gpu_check((int)cudaMemset(o->statistics[4].data, 0, bytes_of(&o->statistics[4])), "clearing counters");
    o->sum = gpu_alloc((size_t)channels * sizeof(float));
    o->squares = gpu_alloc((size_t)channels * sizeof(float));
}

static void make_coefficients(fused_operands *o, int cin, int read)
{
    qv_tensor scale = real(1, 1, 1, cin), bias = scale;
    o->mean = o->rstd = real(1, 1, 1, read);
    o->gamma = o->beta = scale;
    make(&o->mean, half);
    make(&o->rstd, two);
    make(&o->gamma, gamma_at);
    make(&o->beta, beta_at);
    make(&scale, scale_at);
    make(&bias, bias_at);
    o->scale = scale.data, o->bias = bias.data;
}

static void make_operands(fused_line *l)
{
    const qv_dnn_key *k = &l->c->conv;
    fused_operands *o = &l->o;
    int64_t y[4];
    const int read = applies(l) ? k->cin / l->c->apply : k->cin;
    qv_dnn_dims(k, QV_DNN_Y, y);
    o->x = activation(l->b, k->n, k->h, k->w, read);
    o->y = activation(l->b, k->n, (int)y[2], (int)y[3], k->cout);
    o->w = activation(l->b, k->cout, k->kernel, k->kernel, k->cin / k->groups);
    o->x.data = gpu_alloc(bytes_of(&o->x));
    gpu_fill(&l->b->t, o->x.data, qv_tensor_len(&o->x), o->x.dtype == QV_BF16);
    o->y.data = gpu_alloc(bytes_of(&o->y));
    o->y2 = gpu_alloc(bytes_of(&o->y));
    make(&o->w, weight_at);
    if (measures(l)) make_statistics(o, k->cout);
    if (!applies(l)) return;
    o->applied = activation(l->b, k->n, k->h, k->w, k->cin);
    o->applied.data = gpu_alloc(bytes_of(&o->applied));
    make_coefficients(o, k->cin, read);
}

static void free_operands(fused_operands *o)
{
    void *const all[] = {o->x.data,    o->applied.data, o->y.data,    o->w.data,  o->mean.data,
                         o->rstd.data, o->gamma.data,   o->beta.data, o->y2,      o->scale,
                         o->bias,      o->sum,          o->squares,   o->scratch, o->spare.data};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gpu_free(all[i]);
    for (int i = 0; i < 5; i++) gpu_free(o->statistics[i].data);
    *o = (fused_operands){.sum = NULL};
}

/* What bn_measure and the plans ask for. */
static void make_scratch(fused_line *l, fused_plan *const *plans, int n)
{
    size_t need = 0, most = qv_dnn_workspace(l->apart);
    const qv_tensor in[QV_MAX_IN] = {l->o.y};
    qv_tensor out[QV_MAX_OUT] = {{0}};
    memcpy(out, l->o.statistics, sizeof l->o.statistics);
    const qv_call call = {.op = &l->measure, .in = in, .out = out};
    if (measures(l)) gpu_check(qv_cuda_bn_measure(&call, &need), "bn_measure");
    if (need > most) most = need;
    for (int i = 0; i < n; i++)
        if (fused_workspace(plans[i]) > most) most = fused_workspace(plans[i]);
    l->o.scratch = gpu_alloc(most);
}

/* --- do both say the same? --- */

static double *receive(const qv_tensor *like, const void *from)
{
    const size_t n = qv_tensor_len(like);
    void *raw = malloc(bytes_of(like));
    double *values = calloc(n, sizeof *values);
    if (!raw || !values) gpu_check((int)cudaErrorMemoryAllocation, "memory of the host");
    gpu_check((int)cudaMemcpy(raw, from, bytes_of(like), cudaMemcpyDeviceToHost), "receiving results");
    for (size_t i = 0; i < n; i++)
        values[i] =
            like->dtype == QV_BF16 ? (double)qv_bf16_value(((const qv_bf16 *)raw)[i]) : (double)((const float *)raw)[i];
    free(raw);
    return values;
}

/* NaN stays. */
static double larger(double a, double b) { return !(b <= a) ? b : a; }

static double off_values(const fused_line *l)
{
    double *a = receive(&l->o.y, l->o.y.data), *f = receive(&l->o.y, l->o.y2), worst = 0, squares = 0;
    const size_t n = qv_tensor_len(&l->o.y);
    for (size_t i = 0; i < n; i++) {
        worst = larger(worst, fabs(f[i] - a[i]));
        squares += a[i] * a[i];
    }
    free(a);
    free(f);
    return worst / sqrt(squares / (double)n);
}

/* Means apart by so many deviations, deviations by such a part. */
static double off_statistics(const fused_line *l)
{
    const qv_tensor *s = l->o.statistics;
    const double positions = (double)qv_tensor_len(&l->o.y) / s[0].c, eps = (double)l->measure.a.bn.eps;
    double *mean = receive(&s[0], s[0].data), *rstd = receive(&s[1], s[1].data), *sum = receive(&s[0], l->o.sum),
           *squares = receive(&s[0], l->o.squares), worst = 0;
    for (int i = 0; i < s[0].c; i++) {
        const double m = sum[i] / positions, var = squares[i] / positions - m * m;
        worst = larger(worst, fabs(m - mean[i]) * rstd[i]);
        worst = larger(worst, fabs(sqrt(var + eps) * rstd[i] - 1));
    }
    free(mean), free(rstd), free(sum), free(squares);
    return worst;
}

static double off(const fused_line *l)
{
    const double y = off_values(l);
    return measures(l) ? larger(y, off_statistics(l)) : y;
}

static void receive_statistics(const fused_line *l, float *both)
{
    const size_t n = qv_tensor_len(&l->o.statistics[0]), bytes = n * sizeof *both;
    gpu_check((int)cudaStreamSynchronize(l->b->t.stream), "computing statistics");
    gpu_check((int)cudaMemcpy(both, l->o.sum, bytes, cudaMemcpyDeviceToHost), "receiving results");
    gpu_check((int)cudaMemcpy(both + n, l->o.squares, bytes, cudaMemcpyDeviceToHost), "receiving results");
}

static bool repeats(const fused_line *l, cudaGraphExec_t fused)
{
    enum { TIMES = 8 };
    if (!measures(l)) return true;
    const size_t bytes = 2 * qv_tensor_len(&l->o.statistics[0]) * sizeof(float);
    float *first = malloc(bytes), *then = malloc(bytes);
    if (!first || !then) gpu_check((int)cudaErrorMemoryAllocation, "memory of the host");
    bool same = true;
    receive_statistics(l, first);
    for (int i = 0; i < TIMES && same; i++) {
        gpu_check(launch(&fused, l->b->t.stream), "computing statistics");
        receive_statistics(l, then);
        same = memcmp(first, then, bytes) == 0;
    }
    free(first);
    free(then);
    return same;
}

/* The ways in turn. */
qv_status fused_line_time(const fused_line *l, fused_times *t)
{
    static const way ways[] = {run_apart, run_fused, run_apply};
    static const char *const names[] = {"apart", "fused", "again"};
    enum { WAYS = 3 };
    qv_status status = QV_OK;
    cudaGraphExec_t graphs[WAYS] = {NULL};
    double found[WAYS][FUSED_MOST_ROUNDS] = {{0}}, *const out[WAYS] = {&t->apart, &t->fused, &t->again};
    const fused_bench *b = l->b;
    const int n = applies(l) ? WAYS : WAYS - 1;
    for (int i = 0; i < n; i++) QV_TRY(capture(l, ways[i], &graphs[i]));
    t->off = off(l);
    t->same_bits = repeats(l, graphs[1]);
    for (int r = 0; r < b->rounds; r++)
        for (int i = 0; i < n; i++) found[i][r] = time_graph(b, names[i], &graphs[i], b->seconds / (n * b->rounds));
    for (int i = 0; i < n; i++) {
        qv_bench_sort(found[i], b->rounds);
        *out[i] = found[i][b->rounds / 2];
    }
done:
    for (int i = 0; i < n; i++)
        if (graphs[i]) cudaGraphExecDestroy(graphs[i]);
    return status;
}

void fused_line_bytes(const fused_line *l, double *apart, double *fused)
{
    const fused_operands *o = &l->o;
    const double x = (double)bytes_of(&o->x), y = (double)bytes_of(&o->y), w = (double)bytes_of(&o->w);
    const double applied = applies(l) ? (double)bytes_of(&o->applied) : 0;
    *apart = x + 2 * applied + w + y + (measures(l) ? y : 0);
    *fused = l->launches * x + w + y;
}

/* The fastest of the plans becomes the line's, the others go. */
static qv_status choose(fused_line *l, fused_plan **plans, int n)
{
    qv_status status = QV_OK;
    int best = 0;
    double least = 0;
    for (int i = 0; i < n && n > 1; i++) {
        cudaGraphExec_t graph;
        l->plan = plans[i];
        QV_TRY(capture(l, run_fused, &graph));
        const double ms = time_graph(l->b, "a candidate", &graph, 0.1 * l->b->seconds);
        cudaGraphExecDestroy(graph);
        if (i == 0 || ms < least) least = ms, best = i;
    }
done:
    l->plan = NULL;
    for (int i = 0; i < n; i++) {
        if (status == QV_OK && i == best)
            l->plan = plans[i];
        else
            fused_plan_free(plans[i]);
    }
    return status;
}

static qv_op bn_op(qv_op_kind kind, const fused_case *c, int repeat)
{
    int64_t y[4];
    qv_op op = {.kind = (int32_t)kind};
    qv_dnn_dims(&c->conv, QV_DNN_Y, y);
    op.a.bn = (qv_bn_attr){.eps = 1e-5f, .momentum = 0.1f, .relu = 1, .repeat = repeat, .count = y[0] * y[2] * y[3]};
    return op;
}

bool fused_line_init(fused_line *l, const fused_bench *b, const fused_case *c, int parts)
{
    *l = (fused_line){.b = b, .c = c};
    if (!fused_graph_of(c, parts, &l->key, &l->launches)) return false;
    l->apply = bn_op(QV_OP_BN_APPLY, c, c->apply);
    l->measure = bn_op(QV_OP_BN_MEASURE, c, 1);
    l->finalize = bn_op(QV_OP_BN_FINALIZE, c, 1);
    return true;
}

qv_status fused_line_plan(fused_line *l)
{
    qv_status status = QV_OK;
    const fused_bench *b = l->b;
    fused_plan *plans[CANDIDATES];
    int n = 0;
    QV_TRY(fused_plans(b->ctx, b->fused, &l->key, plans, b->autotune ? CANDIDATES : 1, &n));
    status = qv_dnn_plan_for(b->ctx, b->dnn, &l->c->conv, &l->apart);
    if (status != QV_OK) {
        while (n > 0) fused_plan_free(plans[--n]);
        return qv_fail_prefix(b->ctx, QV_ERR_DEVICE, "the program's own plan");
    }
    make_operands(l);
    make_scratch(l, plans, n);
    status = choose(l, plans, n);
done:
    return status;
}

void fused_line_free(fused_line *l)
{
    fused_plan_free(l->plan);
    free_operands(&l->o);
    l->plan = NULL;
}
