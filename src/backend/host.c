/* Runs programs on the host: backends ref, ref32 and cpu differ in their table of ops alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/exec_own.h"

enum { ALIGN = 64 };

/* An op bound to memory. */
typedef struct bound_op {
    qv_op_fn fn;
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
    void *plan;
    double seconds;
} bound_op;

typedef struct host_exec {
    qv_exec base;
    qv_op_fn table[QV_OP_COUNT];
    size_t real_size;
    void *regions[QV_ROLE_COUNT];
    const void **bound; /* [n_buffers]: memory of EXTERN buffers */
    void *scratch;
    bound_op *ops[QV_LIST_COUNT];
    int32_t *first[QV_LIST_COUNT], *last[QV_LIST_COUNT];
    bool stepped; /* a step's loss waits to be collected */
} host_exec;

static void *buffer_data(const host_exec *e, int id)
{
    const qv_buffer *b = &e->base.p->buffers[id];
    if (b->role == QV_ROLE_EXTERN) {
        void *p;
        memcpy(&p, &e->bound[id], sizeof p); /* a const that ops only read */
        return p;
    }
    if (b->alias >= 0) return e->regions[b->alias];
    return (char *)e->regions[b->role] + b->offset;
}

static qv_tensor tensor_of(const host_exec *e, int32_t id)
{
    if (id < 0) return (qv_tensor){0};
    const qv_buffer *b = &e->base.p->buffers[id];
    return (qv_tensor){buffer_data(e, id), b->n, b->h, b->w, b->c, QV_REAL};
}

static qv_status choose_table(qv_ctx *ctx, host_exec *e)
{
    int threads = qv_pool_threads(e->base.o.pool);
    const char *isa = NULL;
    switch (e->base.o.device) {
    case QV_DEVICE_REF:
        memcpy(e->table, qv_ref_ops, sizeof e->table);
        e->real_size = sizeof(double);
        snprintf(e->base.description, sizeof e->base.description, "ref (double, 1 thread)");
        return QV_OK;
    case QV_DEVICE_REF32:
        memcpy(e->table, qv_ref32_ops, sizeof e->table);
        e->real_size = sizeof(float);
        snprintf(e->base.description, sizeof e->base.description, "ref32 (float, 1 thread)");
        return QV_OK;
    case QV_DEVICE_CPU:
        qv_cpu_ops(e->table, e->base.o.isa, &isa);
        e->real_size = sizeof(float);
        snprintf(e->base.description, sizeof e->base.description, "cpu (%s, %s%s, %d thread%s)", isa, e->base.o.direct ? "" : "Winograd, ",
                 qv_cpu_conv_name().text, threads, threads == 1 ? "" : "s");
        return QV_OK;
    case QV_DEVICE_CUDA:
        break;
    }
    return qv_fail(ctx, QV_ERR_INTERNAL, "device %d is not the host", (int)e->base.o.device);
}

static qv_status allocate(qv_ctx *ctx, host_exec *e, void **out, size_t bytes)
{
    size_t whole = (bytes / ALIGN + 1) * ALIGN;
    /* Asked beforehand: a system that promises more than it has ends the process when the pages are touched. */
    double there = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    *out = (double)e->base.bytes + (double)whole <= there ? aligned_alloc(ALIGN, whole) : NULL;
    if (!*out) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for %zu MiB of buffers; a smaller train.batch needs less", whole >> 20);
    memset(*out, 0, whole);
    e->base.bytes += whole;
    return QV_OK;
}

/* Resolves operands and prepares one op; *need grows to the scratch that it wants. */
static qv_status bind_op(qv_ctx *ctx, host_exec *e, const qv_op *op, bound_op *b, size_t *need)
{
    size_t bytes = 0;
    b->fn = e->table[op->kind];
    for (int k = 0; k < QV_MAX_IN; k++) b->in[k] = tensor_of(e, op->in[k]);
    for (int k = 0; k < QV_MAX_OUT; k++) b->out[k] = tensor_of(e, op->out[k]);
    bool conv = op->kind == QV_OP_CONV || op->kind == QV_OP_CONV_GRAD_X || op->kind == QV_OP_CONV_GRAD_W;
    if (conv && e->base.o.device == QV_DEVICE_CPU) {
        qv_cpu_options o = {.isa = e->base.o.isa, .threads = qv_pool_threads(e->base.o.pool), .direct = e->base.o.direct};
        qv_status status = qv_cpu_plan(ctx, op, b->in, b->out, &o, &b->plan, &bytes);
        if (status != QV_OK) return status;
    } else {
        qv_call call = {.op = op, .in = b->in, .out = b->out, .pool = e->base.o.pool};
        if (b->fn(&call, &bytes) != 0)
            return qv_fail(ctx, QV_ERR_UNSUPPORTED, "%s cannot run %s with these shapes", e->base.description,
                           qv_op_info_of((qv_op_kind)op->kind).name);
    }
    if (bytes > *need) *need = bytes;
    return QV_OK;
}

static qv_status bind_lists(qv_ctx *ctx, host_exec *e)
{
    qv_status status = QV_OK;
    size_t need = 0;
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        const qv_op_list *l = &e->base.p->lists[k];
        QV_TRY(qv_alloc(ctx, &e->ops[k], l->n, sizeof *e->ops[k]));
        for (size_t i = 0; i < l->n; i++) QV_TRY(bind_op(ctx, e, &l->ops[i], &e->ops[k][i], &need));
        if (e->base.o.poison) QV_TRY(qv_program_lifetimes(ctx, e->base.p, (qv_list)k, &e->first[k], &e->last[k]));
    }
    QV_TRY(allocate(ctx, e, &e->scratch, need));
done:
    return status;
}

static void host_free(qv_exec *base)
{
    host_exec *e = (host_exec *)base;
    if (!e) return;
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        if (e->ops[k])
            for (size_t i = 0; i < e->base.p->lists[k].n; i++) qv_cpu_plan_free(e->ops[k][i].plan);
        free(e->ops[k]);
        free(e->first[k]);
        free(e->last[k]);
    }
    for (int r = 0; r < QV_ROLE_COUNT; r++) free(e->regions[r]);
    free(e->bound);
    free(e->scratch);
    free(e);
}

static void fill_nan(host_exec *e, int id)
{
    memset(buffer_data(e, id), 0xFF, qv_buffer_bytes(&e->base.p->buffers[id], e->base.p->sizes));
}

/* After op i: what nobody reads any more becomes NaN. */
static void poison_dead(host_exec *e, qv_list list, size_t i)
{
    for (size_t id = 0; id < e->base.p->n_buffers; id++)
        if (e->last[list][id] == (int32_t)i) fill_nan(e, (int)id);
}

static qv_status host_run(qv_ctx *ctx, qv_exec *base, qv_list list)
{
    host_exec *e = (host_exec *)base;
    const qv_op_list *l = &e->base.p->lists[list];
    for (size_t i = 0; i < l->n; i++) {
        bound_op *b = &e->ops[list][i];
        qv_call call = {.op = &l->ops[i], .in = b->in, .out = b->out, .scratch = e->scratch, .pool = e->base.o.pool, .plan = b->plan};
        double start = e->base.o.profile ? qv_now() : 0;
        int error = b->fn(&call, NULL);
        if (error)
            return qv_fail(ctx, QV_ERR_INTERNAL, "%s of %s failed with code %d on %s",
                           qv_op_info_of((qv_op_kind)l->ops[i].kind).name, e->base.p->layers[l->ops[i].layer], error,
                           e->base.description);
        if (e->base.o.profile) b->seconds += qv_now() - start;
        if (e->base.o.poison) poison_dead(e, list, i);
    }
    e->base.profiled[list] += e->base.o.profile;
    return QV_OK;
}

static void host_read(qv_exec *base, int buffer, size_t at, size_t n, double *dst)
{
    const host_exec *e = (const host_exec *)base;
    const void *data = buffer_data(e, buffer);
    if (e->real_size == sizeof(double)) {
        memcpy(dst, (const double *)data + at, n * sizeof *dst);
        return;
    }
    const float *src = (const float *)data + at;
    for (size_t i = 0; i < n; i++) dst[i] = src[i];
}

static void host_write(qv_exec *base, int buffer, size_t at, size_t n, const double *src)
{
    const host_exec *e = (const host_exec *)base;
    void *data = buffer_data(e, buffer);
    if (e->real_size == sizeof(double)) {
        memcpy((double *)data + at, src, n * sizeof *src);
        return;
    }
    float *dst = (float *)data + at;
    for (size_t i = 0; i < n; i++) dst[i] = (float)src[i];
}

static void host_read_bytes(qv_exec *base, int buffer, size_t at, size_t n, void *dst)
{
    memcpy(dst, (const char *)buffer_data((const host_exec *)base, buffer) + at, n);
}

static void host_write_bytes(qv_exec *base, int buffer, size_t at, size_t n, const void *src)
{
    memcpy((char *)buffer_data((const host_exec *)base, buffer) + at, src, n);
}

/* Nothing here can fail. */
static qv_status host_check(qv_ctx *ctx, const qv_exec *base)
{
    (void)ctx, (void)base;
    return QV_OK;
}

static qv_status host_submit(qv_ctx *ctx, qv_exec *base, const qv_step_state *s)
{
    host_exec *e = (host_exec *)base;
    const qv_loop *loop = &base->o.loop;
    qv_step_state state = *s;
    state.lr = loop->rate(loop->user, s->step);
    host_write_bytes(base, loop->state, 0, sizeof state, &state);
    qv_status status = host_run(ctx, base, QV_LIST_TRAIN);
    e->stepped = status == QV_OK;
    return status;
}

static qv_status host_collect(qv_ctx *ctx, qv_exec *base, double sums[2])
{
    host_exec *e = (host_exec *)base;
    if (!e->stepped) return qv_fail(ctx, QV_ERR_INTERNAL, "no step is on its way");
    host_read(base, base->o.loop.loss, 0, 2, sums);
    e->stepped = false;
    return QV_OK;
}

static qv_status host_bind(qv_ctx *ctx, qv_exec *base, int buffer, const void *data, size_t bytes)
{
    host_exec *e = (host_exec *)base;
    (void)ctx, (void)bytes;
    e->bound[buffer] = data;
    void *p = buffer_data(e, buffer);
    for (int k = 0; k < QV_LIST_COUNT; k++)
        for (size_t i = 0; i < e->base.p->lists[k].n; i++)
            for (int j = 0; j < QV_MAX_IN; j++)
                if (e->base.p->lists[k].ops[i].in[j] == buffer) e->ops[k][i].in[j].data = p;
    return QV_OK;
}

static double host_seconds(const qv_exec *base, qv_list list, size_t i)
{
    return ((const host_exec *)base)->ops[list][i].seconds;
}

static const qv_exec_class host_class = {.free = host_free,
                                         .run = host_run,
                                         .submit = host_submit,
                                         .collect = host_collect,
                                         .read = host_read,
                                         .write = host_write,
                                         .read_bytes = host_read_bytes,
                                         .write_bytes = host_write_bytes,
                                         .check = host_check,
                                         .bind = host_bind,
                                         .seconds = host_seconds};

qv_status qv_host_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o)
{
    qv_status status = QV_OK;
    host_exec *e = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &e, 1, sizeof *e));
    e->base.class = &host_class;
    e->base.depth = 1;
    e->base.p = p;
    e->base.o = *o;
    QV_TRY(choose_table(ctx, e));
    if (o->device == QV_DEVICE_CPU && !o->no_fuse) QV_TRY(qv_program_fuse(ctx, p, QV_FUSE_PAIRS));
    QV_TRY(qv_program_plan(ctx, p, (qv_sizes){e->real_size, e->real_size}, o->keep_buffers));
    for (int r = 0; r < QV_ROLE_COUNT; r++) QV_TRY(allocate(ctx, e, &e->regions[r], p->region_bytes[r]));
    QV_TRY(qv_alloc(ctx, &e->bound, p->n_buffers, sizeof *e->bound));
    QV_TRY(bind_lists(ctx, e));
    *out = &e->base;
    e = NULL;
done:
    host_free((qv_exec *)e);
    return status;
}
