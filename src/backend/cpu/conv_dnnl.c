/* Convolutions by oneDNN 2.x or 3.x: the only file that knows it.
 *
 * Activations are passed as they lie (NHWC). Weights change every step and are brought into
 * the layout that the primitive likes, weight gradients back, by a prepared reorder inside the
 * call's scratch; everything a run needs is made with the plan.
 *
 * The batch is cut into slices of equal size, each run on one thread of our own pool: two
 * pools, ours and OpenMP's, would wait for each other with all processors busy. How many
 * slices there are depends on the batch alone (as long as there are more of them than
 * threads), and weight gradients are summed over them in order, so that a result does not
 * depend on the number of threads. */
#include <oneapi/dnnl/dnnl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/round.h"

/* The OpenMP runtime's own call: oneDNN takes its threads from there, and not every compiler
 * that can build this file brings omp.h. */
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
extern void omp_set_num_threads(int threads);
extern int omp_get_max_threads(void);
static int use_threads(int threads)
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}
#else
static int use_threads(int threads) { return threads; }
#endif

/* Version 3 hides memory descriptors behind a pointer and joins two steps of making a primitive. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t desc_ref;
static desc_ref ref_of(const dnnl_memory_desc_t *d) { return *d; }
static void free_desc(dnnl_memory_desc_t *d)
{
    if (*d) dnnl_memory_desc_destroy(*d);
    *d = NULL;
}
static dnnl_status_t make_desc(dnnl_memory_desc_t *d, int n, const dnnl_dims_t dims, const dnnl_dims_t strides)
{
    return strides ? dnnl_memory_desc_create_with_strides(d, n, dims, dnnl_f32, strides)
                   : dnnl_memory_desc_create_with_tag(d, n, dims, dnnl_f32, dnnl_format_tag_any);
}
#else
typedef const dnnl_memory_desc_t *desc_ref;
static desc_ref ref_of(const dnnl_memory_desc_t *d) { return d; }
static void free_desc(dnnl_memory_desc_t *d) { (void)d; }
static dnnl_status_t make_desc(dnnl_memory_desc_t *d, int n, const dnnl_dims_t dims, const dnnl_dims_t strides)
{
    return strides ? dnnl_memory_desc_init_by_strides(d, n, dims, dnnl_f32, strides)
                   : dnnl_memory_desc_init_by_tag(d, n, dims, dnnl_f32, dnnl_format_tag_any);
}
#endif

enum { ALIGN = 64, SLICES = 8 };

/* Makes a whole convolution as the layers see it, whichever of the three is wanted. */
typedef struct geometry {
    int kind, channels; /* QV_OP_CONV, ...; of x, a group */
    dnnl_dims_t strides, dilates, pads;
    dnnl_memory_desc_t x, y, w, w_any; /* w: as the program keeps it */
} geometry;

/* A share of the batch, on one thread. */
typedef struct slice {
    dnnl_stream_t stream;
    dnnl_memory_t x, y, w, scratchpad; /* w: as the primitive takes or gives it */
} slice;

typedef struct plan {
    int kind;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t conv, reorder; /* reorder NULL: the primitive takes the weights as they are */
    dnnl_memory_t w, packed, reorder_pad;
    size_t n_slices, x_floats, y_floats; /* floats: of a slice */
    size_t packed_bytes, pad_bytes, reorder_bytes;
    slice *slices;
} plan;

static qv_status check(qv_ctx *ctx, dnnl_status_t s, const char *what)
{
    if (s == dnnl_success) return QV_OK;
    return qv_fail(ctx, s == dnnl_out_of_memory ? QV_ERR_MEMORY : QV_ERR_UNSUPPORTED, "oneDNN: %s failed (status %d)",
                   what, (int)s);
}

/* The smallest number that divides the batch into enough equal parts. */
static size_t count_slices(size_t batch, size_t threads)
{
    size_t n = threads > SLICES ? threads : SLICES;
    if (n > batch) n = batch;
    while (batch % n != 0) n++;
    return n;
}

/* Of one slice. */
static qv_status describe_activation(qv_ctx *ctx, dnnl_memory_desc_t *d, const qv_tensor *t, size_t slices)
{
    const dnnl_dim_t c = t->c, w = t->w, h = t->h;
    const dnnl_dims_t dims = {t->n / (dnnl_dim_t)slices, c, h, w}, strides = {h * w * c, 1, w * c, c};
    return check(ctx, make_desc(d, 4, dims, strides), "describing an activation");
}

static qv_status describe_weights(qv_ctx *ctx, geometry *g, const qv_conv_attr *a, dnnl_dim_t out, dnnl_dim_t in)
{
    qv_status status = QV_OK;
    const dnnl_dim_t k = a->kernel, groups = a->groups, filter = k * k * in;
    const dnnl_dims_t dims = {groups, out / groups, in, k, k}, strides = {out / groups * filter, filter, 1, k * in, in};
    const int skip = groups == 1;
    QV_TRY(check(ctx, make_desc(&g->w, 5 - skip, dims + skip, strides + skip), "describing the weights"));
    QV_TRY(check(ctx, make_desc(&g->w_any, 5 - skip, dims + skip, NULL), "describing the weights"));
done:
    return status;
}

/* Which operand of the op is the activation before the convolution, after it, and the weights. */
static void operands(int kind, const qv_tensor *in, const qv_tensor *out, const qv_tensor **x, const qv_tensor **y,
                     const qv_tensor **w)
{
    *x = kind == QV_OP_CONV_GRAD_X ? &out[0] : &in[0];
    *y = kind == QV_OP_CONV ? &out[0] : kind == QV_OP_CONV_GRAD_X ? &in[0] : &in[1];
    *w = kind == QV_OP_CONV_GRAD_W ? &out[0] : &in[1];
}

static qv_status describe(qv_ctx *ctx, geometry *g, plan *p, const qv_op *op, const qv_tensor *in, const qv_tensor *out,
                          int threads)
{
    qv_status status = QV_OK;
    const qv_conv_attr *a = &op->a.conv;
    const qv_tensor *x, *y, *w;
    operands(op->kind, in, out, &x, &y, &w);
    g->kind = op->kind;
    g->channels = x->c / a->groups;
    p->n_slices = count_slices((size_t)x->n, (size_t)threads);
    p->x_floats = qv_tensor_len(x) / p->n_slices;
    p->y_floats = qv_tensor_len(y) / p->n_slices;
    for (int i = 0; i < 2; i++) {
        g->strides[i] = a->stride;
        g->pads[i] = a->pad;
    }
    QV_TRY(describe_activation(ctx, &g->x, x, p->n_slices));
    QV_TRY(describe_activation(ctx, &g->y, y, p->n_slices));
    QV_TRY(describe_weights(ctx, g, a, y->c, x->c / a->groups));
done:
    return status;
}

/* The weight gradient of a strided 1x1 convolution gathers the positions that it needs in the scratchpad: oneDNN 2.6
 * counts the channels that there are and writes whole vectors, past the end. Other implementations do not gather. */
static bool overruns(const geometry *g, int kind, const_dnnl_primitive_desc_t pd)
{
    enum { VECTOR = 16 };
    static const char gathering[] = "jit_1x1";
    const char *name = "";
    if (kind != QV_OP_CONV_GRAD_W || g->strides[0] == 1 || g->channels >= VECTOR) return false;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return strncmp(name, gathering, sizeof gathering - 1) == 0;
}

#if DNNL_VERSION_MAJOR >= 3
/* From a first implementation to one that can be trusted. */
static dnnl_status_t pick(dnnl_primitive_desc_t pd, const geometry *g, int kind, dnnl_status_t s)
{
    while (s == dnnl_success && overruns(g, kind, pd)) s = dnnl_primitive_desc_next_impl(pd);
    return s;
}

static dnnl_status_t make_pd(dnnl_primitive_desc_t *pd, const geometry *g, dnnl_engine_t engine, int kind,
                             const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
    if (kind == QV_OP_CONV)
        return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training, alg, g->x, g->w_any, NULL,
                                                              g->y, g->strides, g->dilates, g->pads, g->pads, attr);
    if (kind == QV_OP_CONV_GRAD_X)
        return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, alg, g->x, g->w_any, g->y, g->strides,
                                                                    g->dilates, g->pads, g->pads, hint, attr);
    dnnl_status_t s = dnnl_convolution_backward_weights_primitive_desc_create(
        pd, engine, alg, g->x, g->w_any, NULL, g->y, g->strides, g->dilates, g->pads, g->pads, hint, attr);
    return pick(*pd, g, kind, s);
}
#else
/* The first implementation that can be trusted. */
static dnnl_status_t pick(dnnl_primitive_desc_t *pd, const geometry *g, int kind, dnnl_primitive_desc_iterator_t it)
{
    dnnl_status_t s;
    do {
        *pd = dnnl_primitive_desc_iterator_fetch(it);
        if (!*pd) return dnnl_out_of_memory;
        if (!overruns(g, kind, *pd)) return dnnl_success;
        dnnl_primitive_desc_destroy(*pd);
        *pd = NULL;
        s = dnnl_primitive_desc_iterator_next(it);
    } while (s == dnnl_success);
    return s;
}

static dnnl_status_t make_pd(dnnl_primitive_desc_t *pd, const geometry *g, dnnl_engine_t engine, int kind,
                             const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
    dnnl_convolution_desc_t d;
    dnnl_primitive_desc_iterator_t it;
    dnnl_status_t s;
    if (kind == QV_OP_CONV)
        s = dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, alg, &g->x, &g->w_any, NULL, &g->y, g->strides,
                                               g->pads, g->pads);
    else if (kind == QV_OP_CONV_GRAD_X)
        s = dnnl_convolution_backward_data_desc_init(&d, alg, &g->x, &g->w_any, &g->y, g->strides, g->pads, g->pads);
    else
        s = dnnl_convolution_backward_weights_desc_init(&d, alg, &g->x, &g->w_any, NULL, &g->y, g->strides, g->pads,
                                                        g->pads);
    if (s == dnnl_success) s = dnnl_primitive_desc_iterator_create(&it, &d, attr, engine, hint);
    if (s != dnnl_success) return s;
    s = pick(pd, g, kind, it);
    dnnl_primitive_desc_iterator_destroy(it);
    return s;
}
#endif

/* The descriptor of the convolution; the backward ones want that of the forward as a hint. */
static qv_status make_conv_pd(qv_ctx *ctx, dnnl_primitive_desc_t *pd, const geometry *g, dnnl_engine_t engine,
                              const_dnnl_primitive_attr_t attr)
{
    qv_status status = QV_OK;
    dnnl_primitive_desc_t forward = NULL;
    if (g->kind != QV_OP_CONV)
        QV_TRY(check(ctx, make_pd(&forward, g, engine, QV_OP_CONV, attr, NULL), "planning the forward convolution"));
    QV_TRY(check(ctx, make_pd(pd, g, engine, g->kind, attr, forward), "planning a convolution"));
done:
    if (forward) dnnl_primitive_desc_destroy(forward);
    return status;
}

static desc_ref scratchpad_of(const_dnnl_primitive_desc_t pd)
{
    return dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
}

static qv_status make_memory(qv_ctx *ctx, plan *p, dnnl_memory_t *m, desc_ref d)
{
    return check(ctx, dnnl_memory_create(m, d, p->engine, DNNL_MEMORY_NONE), "naming a buffer");
}

/* From the program's weights to the primitive's, or for a weight gradient the other way. */
static qv_status make_reorder(qv_ctx *ctx, plan *p, const geometry *g, desc_ref packed, const_dnnl_primitive_attr_t attr)
{
    qv_status status = QV_OK;
    dnnl_primitive_desc_t pd = NULL;
    const bool back = p->kind == QV_OP_CONV_GRAD_W;
    desc_ref from = back ? packed : ref_of(&g->w), to = back ? ref_of(&g->w) : packed;
    p->packed_bytes = dnnl_memory_desc_get_size(packed);
    QV_TRY(make_memory(ctx, p, &p->w, ref_of(&g->w)));
    QV_TRY(make_memory(ctx, p, &p->packed, packed));
    if (dnnl_memory_desc_equal(packed, ref_of(&g->w))) goto done;
    QV_TRY(check(ctx, dnnl_reorder_primitive_desc_create(&pd, from, p->engine, to, p->engine, attr), "planning a reorder"));
    QV_TRY(check(ctx, dnnl_primitive_create(&p->reorder, pd), "making a reorder"));
    QV_TRY(make_memory(ctx, p, &p->reorder_pad, scratchpad_of(pd)));
    p->reorder_bytes = dnnl_memory_desc_get_size(scratchpad_of(pd));
done:
    if (pd) dnnl_primitive_desc_destroy(pd);
    return status;
}

static qv_status make_slices(qv_ctx *ctx, plan *p, const geometry *g, desc_ref packed, desc_ref pad)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &p->slices, p->n_slices, sizeof *p->slices));
    for (size_t i = 0; i < p->n_slices; i++) {
        slice *s = &p->slices[i];
        QV_TRY(check(ctx, dnnl_stream_create(&s->stream, p->engine, dnnl_stream_default_flags), "creating a stream"));
        QV_TRY(make_memory(ctx, p, &s->x, ref_of(&g->x)));
        QV_TRY(make_memory(ctx, p, &s->y, ref_of(&g->y)));
        QV_TRY(make_memory(ctx, p, &s->w, packed));
        QV_TRY(make_memory(ctx, p, &s->scratchpad, pad));
    }
done:
    return status;
}

static qv_status make_conv(qv_ctx *ctx, plan *p, const geometry *g, const_dnnl_primitive_attr_t attr)
{
    qv_status status = QV_OK;
    dnnl_primitive_desc_t pd = NULL;
    const dnnl_query_t weights = p->kind == QV_OP_CONV_GRAD_W ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    QV_TRY(make_conv_pd(ctx, &pd, g, p->engine, attr));
    QV_TRY(check(ctx, dnnl_primitive_create(&p->conv, pd), "making a convolution"));
    p->pad_bytes = dnnl_memory_desc_get_size(scratchpad_of(pd));
    QV_TRY(make_slices(ctx, p, g, dnnl_primitive_desc_query_md(pd, weights, 0), scratchpad_of(pd)));
    QV_TRY(make_reorder(ctx, p, g, dnnl_primitive_desc_query_md(pd, weights, 0), attr));
done:
    if (pd) dnnl_primitive_desc_destroy(pd);
    return status;
}

/* The packed weights (of every slice, where they are its result), the slices' pads, the reorder's. */
static size_t packed_copies(const plan *p) { return p->kind == QV_OP_CONV_GRAD_W ? p->n_slices : 1; }

static size_t scratch_bytes(const plan *p)
{
    return qv_round_up(p->packed_bytes, ALIGN) * packed_copies(p) + qv_round_up(p->pad_bytes, ALIGN) * p->n_slices +
           qv_round_up(p->reorder_bytes, ALIGN);
}

static qv_status make_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                           void **out_plan, size_t *need)
{
    qv_status status = QV_OK;
    plan *p = NULL;
    geometry g;
    dnnl_primitive_attr_t attr = NULL;
    memset(&g, 0, sizeof g);
    *out_plan = NULL;
    *need = 0;
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    p->kind = op->kind;
    QV_TRY(check(ctx, dnnl_engine_create(&p->engine, dnnl_cpu, 0), "creating the engine"));
    QV_TRY(check(ctx, dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags), "creating the stream"));
    QV_TRY(check(ctx, dnnl_primitive_attr_create(&attr), "creating attributes"));
    QV_TRY(check(ctx, dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), "setting the scratchpad"));
    QV_TRY(describe(ctx, &g, p, op, in, out, o->threads));
    QV_TRY(make_conv(ctx, p, &g, attr));
    *need = scratch_bytes(p);
    *out_plan = p;
    p = NULL;
done:
    if (attr) dnnl_primitive_attr_destroy(attr);
    free_desc(&g.x);
    free_desc(&g.y);
    free_desc(&g.w);
    free_desc(&g.w_any);
    qv_direct_plan_free(p);
    return status;
}

qv_status qv_direct_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                         void **out_plan, size_t *need)
{
    const int before = use_threads(1); /* the thread is the caller's, who may have OpenMP code of its own */
    const qv_status status = make_plan(ctx, op, in, out, o, out_plan, need);
    use_threads(before);
    return status;
}

static void free_memory(dnnl_memory_t m)
{
    if (m) dnnl_memory_destroy(m);
}

void qv_direct_plan_free(void *plan_)
{
    plan *p = plan_;
    if (!p) return;
    for (size_t i = 0; p->slices && i < p->n_slices; i++) {
        slice *s = &p->slices[i];
        free_memory(s->x);
        free_memory(s->y);
        free_memory(s->w);
        free_memory(s->scratchpad);
        if (s->stream) dnnl_stream_destroy(s->stream);
    }
    free(p->slices);
    free_memory(p->w);
    free_memory(p->packed);
    free_memory(p->reorder_pad);
    if (p->conv) dnnl_primitive_destroy(p->conv);
    if (p->reorder) dnnl_primitive_destroy(p->reorder);
    if (p->stream) dnnl_stream_destroy(p->stream);
    if (p->engine) dnnl_engine_destroy(p->engine);
    free(p);
}

/* As far as sums in float go: what a set has for other types does not matter. The numbers mean other sets elsewhere. */
static const char *isa_name(unsigned isa)
{
#if QV_X86
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core) return ", AVX-512";
    if ((isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2) return ", AVX2";
    return (isa & dnnl_cpu_isa_sse41) == dnnl_cpu_isa_sse41 ? ", SSE4.1" : "";
#else
    (void)isa;
    return "";
#endif
}

qv_conv_name qv_cpu_conv_name(void)
{
    const dnnl_version_t *v = dnnl_version();
    qv_conv_name name;
    snprintf(name.text, sizeof name.text, "oneDNN %d.%d.%d%s", v->major, v->minor, v->patch,
             isa_name((unsigned)dnnl_get_effective_cpu_isa()));
    return name;
}

void qv_cpu_conv_limit(const char *max_isa)
{
    if (!max_isa || strcmp(max_isa, "avx512") == 0) return;
    dnnl_set_max_cpu_isa(strcmp(max_isa, "base") == 0 ? dnnl_cpu_isa_sse41 : dnnl_cpu_isa_avx2);
}

static int run_reorder(plan *p, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, p->reorder_pad}};
    return dnnl_primitive_execute(p->reorder, p->stream, 3, args) != dnnl_success;
}

static int run_slice(const plan *p, const slice *s)
{
    static const int names[3][3] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                    {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                    {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    const int *name = names[p->kind == QV_OP_CONV ? 0 : p->kind == QV_OP_CONV_GRAD_X ? 1 : 2];
    const dnnl_exec_arg_t args[] = {
        {name[0], s->x}, {name[1], s->w}, {name[2], s->y}, {DNNL_ARG_SCRATCHPAD, s->scratchpad}};
    return dnnl_primitive_execute(p->conv, s->stream, 4, args) != dnnl_success ||
           dnnl_stream_wait(s->stream) != dnnl_success;
}

static int set_data(dnnl_memory_t m, const void *data)
{
    return m && dnnl_memory_set_data_handle(m, (void *)(uintptr_t)data) != dnnl_success;
}

typedef struct job {
    plan *p;
    const float *x, *y; /* one of them is written; oneDNN asks for pointers without const anyway */
    char *packed, *pads;
    atomic_int failed;
} job;

static void run_slices(void *user, int chunk, size_t begin, size_t end)
{
    job *j = user;
    const plan *p = j->p;
    (void)chunk;
    use_threads(1); /* a worker of our pool, which stays so; the caller's thread is put back by who called */
    for (size_t i = begin; i < end; i++) {
        const slice *s = &p->slices[i];
        const size_t copy = packed_copies(p) == 1 ? 0 : i;
        if (set_data(s->x, j->x + i * p->x_floats) || set_data(s->y, j->y + i * p->y_floats) ||
            set_data(s->w, j->packed + copy * qv_round_up(p->packed_bytes, ALIGN)) ||
            set_data(s->scratchpad, j->pads + i * qv_round_up(p->pad_bytes, ALIGN)) || run_slice(p, s))
            atomic_store(&j->failed, 1);
    }
}

/* Adds the slices' weight gradients into the first's. */
static void sum_slices(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    float *restrict sum = (float *)j->packed;
    (void)chunk;
    for (size_t i = 1; i < j->p->n_slices; i++) {
        const float *part = (const float *)(j->packed + i * qv_round_up(j->p->packed_bytes, ALIGN));
        for (size_t k = begin; k < end; k++) sum[k] += part[k];
    }
}

static int run(plan *p, const qv_call *call)
{
    const bool gradient = p->kind == QV_OP_CONV_GRAD_W;
    const qv_tensor *x, *y, *w;
    operands(p->kind, call->in, call->out, &x, &y, &w);
    char *packed = call->scratch, *pads = packed + qv_round_up(p->packed_bytes, ALIGN) * packed_copies(p);
    job j = {.p = p, .x = x->data, .y = y->data, .packed = p->reorder || gradient ? packed : w->data, .pads = pads};
    int failed = set_data(p->w, w->data) | set_data(p->packed, packed) |
                 set_data(p->reorder_pad, pads + qv_round_up(p->pad_bytes, ALIGN) * p->n_slices);
    if (p->reorder && !gradient) failed |= run_reorder(p, p->w, p->packed);
    qv_parallel(call->pool, p->n_slices, 1, run_slices, &j);
    if (gradient) {
        qv_parallel(call->pool, p->packed_bytes / sizeof(float), 1024, sum_slices, &j);
        if (p->reorder)
            failed |= run_reorder(p, p->packed, p->w);
        else
            memcpy(w->data, packed, p->packed_bytes);
    }
    failed |= dnnl_stream_wait(p->stream) != dnnl_success;
    return failed || atomic_load(&j.failed) ? QV_ERR_INTERNAL : 0;
}

int qv_direct_conv(const qv_call *call, size_t *need)
{
    plan *p = call->plan;
    if (!p) return QV_ERR_INTERNAL;
    if (need) return (*need = scratch_bytes(p)), 0;
    const int before = use_threads(1);
    const int status = run(p, call);
    use_threads(before);
    return status;
}
