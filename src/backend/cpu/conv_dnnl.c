/* Convolutions by oneDNN 2.x or 3.x: the only file that knows it.
 *
 * Activations are passed as they lie (NHWC). Weights change every step and are brought into
 * the layout that the primitive likes, weight gradients back, by a prepared reorder inside the
 * call's scratch; everything a run needs is made with the plan. */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"

/* The OpenMP runtime's own call: oneDNN takes its threads from there, and not every compiler
 * that can build this file brings omp.h. */
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
extern void omp_set_num_threads(int threads);
static void use_threads(int threads) { omp_set_num_threads(threads); }
#else
static void use_threads(int threads) { (void)threads; }
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

enum { ALIGN = 64 };

/* Makes a whole convolution as the layers see it, whichever of the three is wanted. */
typedef struct geometry {
    int kind; /* QV_OP_CONV, ... */
    dnnl_dims_t strides, dilates, pads;
    dnnl_memory_desc_t x, y, w, w_any; /* w: as the program keeps it */
} geometry;

typedef struct plan {
    int kind, threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t conv, reorder; /* reorder NULL: the primitive takes the weights as they are */
    dnnl_memory_t x, y, w, packed, scratchpad, reorder_pad;
    size_t packed_bytes, pad_bytes, reorder_bytes;
    char impl[96];
} plan;

static size_t padded(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static qv_status check(qv_ctx *ctx, dnnl_status_t s, const char *what)
{
    if (s == dnnl_success) return QV_OK;
    return qv_fail(ctx, s == dnnl_out_of_memory ? QV_ERR_MEMORY : QV_ERR_UNSUPPORTED, "oneDNN: %s failed (status %d)",
                   what, (int)s);
}

static qv_status describe_activation(qv_ctx *ctx, dnnl_memory_desc_t *d, const qv_tensor *t)
{
    const dnnl_dim_t c = t->c, w = t->w, h = t->h;
    const dnnl_dims_t dims = {t->n, c, h, w}, strides = {h * w * c, 1, w * c, c};
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

static qv_status describe(qv_ctx *ctx, geometry *g, const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    qv_status status = QV_OK;
    const qv_conv_attr *a = &op->a.conv;
    const qv_tensor *x, *y, *w;
    operands(op->kind, in, out, &x, &y, &w);
    g->kind = op->kind;
    for (int i = 0; i < 2; i++) {
        g->strides[i] = a->stride;
        g->pads[i] = a->pad;
    }
    QV_TRY(describe_activation(ctx, &g->x, x));
    QV_TRY(describe_activation(ctx, &g->y, y));
    QV_TRY(describe_weights(ctx, g, a, y->c, x->c / a->groups));
done:
    return status;
}

#if DNNL_VERSION_MAJOR >= 3
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
    return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, alg, g->x, g->w_any, NULL, g->y, g->strides,
                                                                   g->dilates, g->pads, g->pads, hint, attr);
}
#else
static dnnl_status_t make_pd(dnnl_primitive_desc_t *pd, const geometry *g, dnnl_engine_t engine, int kind,
                             const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
    dnnl_convolution_desc_t d;
    dnnl_status_t s;
    if (kind == QV_OP_CONV)
        s = dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, alg, &g->x, &g->w_any, NULL, &g->y, g->strides,
                                               g->pads, g->pads);
    else if (kind == QV_OP_CONV_GRAD_X)
        s = dnnl_convolution_backward_data_desc_init(&d, alg, &g->x, &g->w_any, &g->y, g->strides, g->pads, g->pads);
    else
        s = dnnl_convolution_backward_weights_desc_init(&d, alg, &g->x, &g->w_any, NULL, &g->y, g->strides, g->pads,
                                                        g->pads);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, engine, hint) : s;
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
    if (dnnl_memory_desc_equal(packed, ref_of(&g->w))) return QV_OK;
    p->packed_bytes = dnnl_memory_desc_get_size(packed);
    QV_TRY(check(ctx, dnnl_reorder_primitive_desc_create(&pd, from, p->engine, to, p->engine, attr), "planning a reorder"));
    QV_TRY(check(ctx, dnnl_primitive_create(&p->reorder, pd), "making a reorder"));
    QV_TRY(make_memory(ctx, p, &p->packed, packed));
    QV_TRY(make_memory(ctx, p, &p->reorder_pad, scratchpad_of(pd)));
    p->reorder_bytes = dnnl_memory_desc_get_size(scratchpad_of(pd));
done:
    if (pd) dnnl_primitive_desc_destroy(pd);
    return status;
}

static qv_status make_conv(qv_ctx *ctx, plan *p, const geometry *g, const_dnnl_primitive_attr_t attr)
{
    qv_status status = QV_OK;
    dnnl_primitive_desc_t pd = NULL;
    const char *impl = "";
    const dnnl_query_t weights = p->kind == QV_OP_CONV_GRAD_W ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    QV_TRY(make_conv_pd(ctx, &pd, g, p->engine, attr));
    QV_TRY(check(ctx, dnnl_primitive_create(&p->conv, pd), "making a convolution"));
    QV_TRY(make_memory(ctx, p, &p->x, ref_of(&g->x)));
    QV_TRY(make_memory(ctx, p, &p->y, ref_of(&g->y)));
    QV_TRY(make_memory(ctx, p, &p->w, ref_of(&g->w)));
    QV_TRY(make_memory(ctx, p, &p->scratchpad, scratchpad_of(pd)));
    p->pad_bytes = dnnl_memory_desc_get_size(scratchpad_of(pd));
    QV_TRY(make_reorder(ctx, p, g, dnnl_primitive_desc_query_md(pd, weights, 0), attr));
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&impl) == dnnl_success)
        snprintf(p->impl, sizeof p->impl, "%s", impl);
done:
    if (pd) dnnl_primitive_desc_destroy(pd);
    return status;
}

qv_status qv_cpu_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, int threads, void **out_plan,
                      size_t *need)
{
    qv_status status = QV_OK;
    plan *p = NULL;
    geometry g;
    dnnl_primitive_attr_t attr = NULL;
    memset(&g, 0, sizeof g);
    *out_plan = NULL;
    *need = 0;
    if (op->kind != QV_OP_CONV && op->kind != QV_OP_CONV_GRAD_X && op->kind != QV_OP_CONV_GRAD_W) return QV_OK;
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    p->kind = op->kind;
    p->threads = threads;
    use_threads(threads);
    QV_TRY(check(ctx, dnnl_engine_create(&p->engine, dnnl_cpu, 0), "creating the engine"));
    QV_TRY(check(ctx, dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags), "creating the stream"));
    QV_TRY(check(ctx, dnnl_primitive_attr_create(&attr), "creating attributes"));
    QV_TRY(check(ctx, dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), "setting the scratchpad"));
    QV_TRY(describe(ctx, &g, op, in, out));
    QV_TRY(make_conv(ctx, p, &g, attr));
    *need = padded(p->packed_bytes) + padded(p->pad_bytes) + padded(p->reorder_bytes);
    *out_plan = p;
    p = NULL;
done:
    if (attr) dnnl_primitive_attr_destroy(attr);
    free_desc(&g.x);
    free_desc(&g.y);
    free_desc(&g.w);
    free_desc(&g.w_any);
    qv_cpu_plan_free(p);
    return status;
}

void qv_cpu_plan_free(void *plan_)
{
    plan *p = plan_;
    if (!p) return;
    dnnl_memory_t memories[] = {p->x, p->y, p->w, p->packed, p->scratchpad, p->reorder_pad};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i]) dnnl_memory_destroy(memories[i]);
    if (p->conv) dnnl_primitive_destroy(p->conv);
    if (p->reorder) dnnl_primitive_destroy(p->reorder);
    if (p->stream) dnnl_stream_destroy(p->stream);
    if (p->engine) dnnl_engine_destroy(p->engine);
    free(p);
}

const char *qv_cpu_conv_name(void)
{
    /* filled by the preprocessor: the headers that this file was built with */
#define QV_TEXT_OF(a) #a
#define QV_TEXT(a) QV_TEXT_OF(a)
    return "oneDNN " QV_TEXT(DNNL_VERSION_MAJOR) "." QV_TEXT(DNNL_VERSION_MINOR) "." QV_TEXT(DNNL_VERSION_PATCH);
}

static int run_reorder(plan *p, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, p->reorder_pad}};
    return dnnl_primitive_execute(p->reorder, p->stream, 3, args) != dnnl_success;
}

static int run_conv(plan *p)
{
    static const int names[3][3] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                    {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                    {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    const int *name = names[p->kind == QV_OP_CONV ? 0 : p->kind == QV_OP_CONV_GRAD_X ? 1 : 2];
    const dnnl_exec_arg_t args[] = {{name[0], p->x},
                                    {name[1], p->packed ? p->packed : p->w},
                                    {name[2], p->y},
                                    {DNNL_ARG_SCRATCHPAD, p->scratchpad}};
    return dnnl_primitive_execute(p->conv, p->stream, 4, args) != dnnl_success;
}

static int set_data(dnnl_memory_t m, const void *data)
{
    return m && dnnl_memory_set_data_handle(m, (void *)(uintptr_t)data) != dnnl_success;
}

int qv_cpu_conv(const qv_call *call, size_t *need)
{
    plan *p = call->plan;
    if (!p) return QV_ERR_INTERNAL;
    if (need) return (*need = padded(p->packed_bytes) + padded(p->pad_bytes) + padded(p->reorder_bytes)), 0;
    const qv_tensor *x, *y, *w;
    char *packed = call->scratch, *pad = packed + padded(p->packed_bytes), *reorder_pad = pad + padded(p->pad_bytes);
    operands(p->kind, call->in, call->out, &x, &y, &w);
    use_threads(p->threads);
    int failed = set_data(p->x, x->data) | set_data(p->y, y->data) | set_data(p->w, w->data) | set_data(p->packed, packed) |
                 set_data(p->scratchpad, pad) | set_data(p->reorder_pad, reorder_pad);
    if (p->reorder && p->kind != QV_OP_CONV_GRAD_W) failed |= run_reorder(p, p->w, p->packed);
    failed |= run_conv(p);
    if (p->reorder && p->kind == QV_OP_CONV_GRAD_W) failed |= run_reorder(p, p->packed, p->w);
    failed |= dnnl_stream_wait(p->stream) != dnnl_success;
    return failed ? QV_ERR_INTERNAL : 0;
}
