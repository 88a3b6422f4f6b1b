/* The functions of exec.h on a GPU. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/own.h"
#include "kernels/bf16.h"

static void cuda_free(qv_exec *base)
{
    cuda_exec *e = (cuda_exec *)base;
    if (!e) return;
    if (e->gpu) cudaSetDevice(qv_gpu_ordinal(e->gpu));
    if (e->feed.stream) cudaStreamSynchronize(e->feed.stream);
    if (e->stream) cudaStreamSynchronize(e->stream);
    qv_cuda_drop_graphs(e);
    qv_cuda_unbind(e);
    qv_feed_free(&e->feed);
    qv_steps_free(&e->steps);
    for (size_t i = 0; i < base->p->n_buffers; i++) {
        if (e->bound && e->bound[i]) qv_resident_release(e->gpu, e->bound[i]);
        if (e->mirror) free(e->mirror[i]);
    }
    free(e->bound);
    free(e->mirror);
    qv_cuda_release(e);
    qv_stage_free(&e->stage);
    if (e->gpu) qv_handles_leave(qv_gpu_handles(e->gpu), e->dnn);
    if (e->stream) cudaStreamDestroy(e->stream);
    if (e->owns_gpu) qv_gpu_close(e->gpu);
    qv_ctx_free(e->own_ctx);
    free(e);
}

static qv_status cuda_run(qv_ctx *ctx, qv_exec *base, qv_list list)
{
    cuda_exec *e = (cuda_exec *)base;
    qv_status status = QV_OK;
    QV_TRY(qv_cuda_use(ctx, e));
    QV_TRY(qv_exec_check(ctx, base));
    QV_TRY(qv_cuda_launch(ctx, e, list));
    status = qv_cuda_check(ctx, cudaStreamSynchronize(e->stream), "cudaStreamSynchronize after a list of %zu ops",
                           base->p->lists[list].n);
done:
    return status;
}

/* The first failure counts. */
static void note(cuda_exec *e, qv_status status)
{
    if (e->failed == QV_OK) e->failed = status;
}

/* The context for a call that has none. After a failure nothing more is tried, so that its message stays. */
static bool begin(cuda_exec *e)
{
    if (e->failed == QV_OK) note(e, qv_cuda_use(e->own_ctx, e));
    return e->failed == QV_OK;
}

static qv_status cuda_check(qv_ctx *ctx, const qv_exec *base)
{
    const cuda_exec *e = (const cuda_exec *)base;
    return e->failed == QV_OK ? QV_OK : qv_fail(ctx, e->failed, "%s", qv_ctx_message(e->own_ctx));
}

static qv_status write_from(cuda_exec *e, char *to, size_t n, size_t size, const double *src)
{
    qv_status status = QV_OK;
    for (size_t at = 0; at < n;) {
        size_t bytes = (n - at) * size;
        void *room;
        QV_TRY(qv_stage_room(e->own_ctx, &e->stage, e->stream, &bytes, &room));
        size_t count = bytes / size;
        for (size_t i = 0; i < count; i++) {
            float value = (float)src[at + i];
            if (size == sizeof(float))
                ((float *)room)[i] = value;
            else
                ((qv_bf16 *)room)[i] = qv_bf16_of(value);
        }
        QV_TRY(qv_stage_send(e->own_ctx, e->stream, to + at * size, room, count * size));
        at += count;
    }
done:
    return status;
}

static size_t size_of(const cuda_exec *e, int buffer)
{
    return qv_cuda_tensor(e, buffer).dtype == QV_BF16 ? sizeof(uint16_t) : sizeof(float);
}

static void cuda_write(qv_exec *base, int buffer, size_t at, size_t n, const double *src)
{
    cuda_exec *e = (cuda_exec *)base;
    size_t size = size_of(e, buffer);
    if (begin(e)) note(e, write_from(e, (char *)qv_cuda_buffer(e, buffer) + at * size, n, size, src));
}

static void cuda_write_bytes(qv_exec *base, int buffer, size_t at, size_t n, const void *src)
{
    cuda_exec *e = (cuda_exec *)base;
    if (e->mirror[buffer]) memcpy((char *)e->mirror[buffer] + at, src, n);
    if (buffer == base->o.loop.state) e->steps.known = false;
    if (begin(e))
        note(e, qv_stage_write(e->own_ctx, &e->stage, e->stream, (char *)qv_cuda_buffer(e, buffer) + at, src, n));
}

/* Up to QV_STAGE_BACK bytes into memory of the host; false: it failed, now or before. */
static bool fetch(cuda_exec *e, const char *from, size_t bytes)
{
    if (begin(e)) note(e, qv_stage_read(e->own_ctx, &e->stage, e->stream, from, bytes));
    return e->failed == QV_OK;
}

static void cuda_read(qv_exec *base, int buffer, size_t at, size_t n, double *dst)
{
    cuda_exec *e = (cuda_exec *)base;
    size_t size = size_of(e, buffer), most = QV_STAGE_BACK / size;
    const char *from = (const char *)qv_cuda_buffer(e, buffer) + at * size;
    for (size_t done = 0; done < n; done += most) {
        size_t count = n - done < most ? n - done : most;
        bool good = fetch(e, from + done * size, count * size);
        for (size_t i = 0; i < count; i++) {
            const char *back = e->stage.back + i * size;
            if (!good)
                dst[done + i] = NAN;
            else
                dst[done + i] = size == sizeof(float) ? (double)*(const float *)(const void *)back
                                                      : (double)qv_bf16_value(*(const qv_bf16 *)(const void *)back);
        }
    }
}

static void cuda_read_bytes(qv_exec *base, int buffer, size_t at, size_t n, void *dst)
{
    cuda_exec *e = (cuda_exec *)base;
    const char *from = (const char *)qv_cuda_buffer(e, buffer) + at;
    for (size_t done = 0; done < n; done += QV_STAGE_BACK) {
        size_t count = n - done < QV_STAGE_BACK ? n - done : QV_STAGE_BACK;
        bool good = fetch(e, from + done, count);
        if (good)
            memcpy((char *)dst + done, e->stage.back, count);
        else
            memset((char *)dst + done, 0, count);
    }
}

/* Gives back what was bound before, then makes the new memory resident, or a feed of it. Captured lists hold the
 * old addresses. */
static qv_status cuda_bind(qv_ctx *ctx, qv_exec *base, int buffer, const void *data, size_t bytes)
{
    cuda_exec *e = (cuda_exec *)base;
    qv_status status = QV_OK;
    QV_TRY(qv_cuda_use(ctx, e));
    QV_TRY(qv_cuda_check(ctx, cudaStreamSynchronize(e->stream), "cudaStreamSynchronize before new features"));
    qv_cuda_drop_graphs(e);
    if (e->bound[buffer]) qv_resident_release(e->gpu, e->bound[buffer]);
    e->bound[buffer] = NULL;
    qv_feed_free(&e->feed);
    QV_TRY(qv_resident_take(ctx, e, data, bytes, &e->bound[buffer]));
    if (!e->bound[buffer]) QV_TRY(qv_feed_new(ctx, e, data));
    for (int k = 0; k < QV_LIST_COUNT; k++)
        for (size_t i = 0; i < base->p->lists[k].n; i++) e->ops[k][i].op = base->p->lists[k].ops[i];
    status = qv_cuda_bind(ctx, e);
done:
    return status;
}

static double cuda_seconds(const qv_exec *base, qv_list list, size_t i)
{
    return ((const cuda_exec *)base)->ops[list][i].seconds;
}

static const qv_exec_class cuda_class = {.free = cuda_free,
                                         .run = cuda_run,
                                         .submit = qv_cuda_submit,
                                         .collect = qv_cuda_collect,
                                         .read = cuda_read,
                                         .write = cuda_write,
                                         .read_bytes = cuda_read_bytes,
                                         .write_bytes = cuda_write_bytes,
                                         .check = cuda_check,
                                         .bind = cuda_bind,
                                         .seconds = cuda_seconds};

/* The GPU, its stream, and what every call goes through. */
static qv_status open_device(qv_ctx *ctx, cuda_exec *e)
{
    const qv_exec_options *o = &e->base.o;
    qv_status status = QV_OK;
    e->gpu = o->gpu;
    if (!e->gpu) {
        QV_TRY(qv_gpu_open(ctx, &e->gpu, o->which));
        e->owns_gpu = true;
    }
    e->own_ctx = qv_ctx_new();
    if (!e->own_ctx) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for a context");
    QV_TRY(qv_cuda_use(ctx, e));
    QV_TRY(qv_cuda_check(ctx, cudaStreamCreateWithFlags(&e->stream, cudaStreamNonBlocking), "cudaStreamCreate"));
    QV_TRY(qv_stage_new(ctx, &e->stage));
    QV_TRY(qv_steps_new(ctx, e));
    qv_dnn_options d = {.workspace_limit = o->workspace ? o->workspace : QV_WORKSPACE, .autotune = o->autotune};
    QV_TRY(qv_handles_take(ctx, qv_gpu_handles(e->gpu), &e->dnn, &d));
    snprintf(e->base.description, sizeof e->base.description, "cuda (%s, %s)", qv_gpu_describe(e->gpu),
             qv_precision_name(o->precision));
done:
    return status;
}

qv_status qv_cuda_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o)
{
    qv_status status = QV_OK;
    cuda_exec *e = NULL;
    bool narrow = o->precision == QV_PRECISION_BF16;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &e, 1, sizeof *e));
    e->base = (qv_exec){.class = &cuda_class, .p = p, .o = *o, .depth = QV_RING};
    QV_TRY(open_device(ctx, e));
    if (!o->no_fuse) QV_TRY(qv_program_fuse(ctx, p, QV_FUSE_BLOCKS));
    QV_TRY(
        qv_program_plan(ctx, p, (qv_sizes){sizeof(float), narrow ? sizeof(uint16_t) : sizeof(float)}, o->keep_buffers));
    QV_TRY(qv_alloc(ctx, &e->bound, p->n_buffers, sizeof *e->bound));
    QV_TRY(qv_feed_mirror(ctx, e));
    QV_TRY(qv_cuda_prepare(ctx, e, &e->scratch_bytes));
    QV_TRY(qv_cuda_allocate(ctx, e));
    QV_TRY(qv_cuda_bind(ctx, e));
    *out = &e->base;
    e = NULL;
done:
    cuda_free((qv_exec *)e);
    return status;
}
