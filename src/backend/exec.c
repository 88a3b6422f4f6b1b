/* Hands each call to the implementation that the exec was made by. */
#include "backend/exec_own.h"

qv_status qv_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o)
{
    *out = NULL;
    qv_status status = qv_precision_check(ctx, o->device, o->precision);
    if (status != QV_OK) return status;
    return o->device == QV_DEVICE_CUDA ? qv_cuda_exec_new(ctx, out, p, o) : qv_host_exec_new(ctx, out, p, o);
}

qv_status qv_precision_check(qv_ctx *ctx, qv_device device, qv_precision precision)
{
    if (device == QV_DEVICE_CUDA || precision == QV_PRECISION_FP32) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "run.precision = %s needs run.device = cuda; elsewhere it is fp32",
                   qv_precision_name(precision));
}

void qv_exec_free(qv_exec *e)
{
    if (e) e->class->free(e);
}

qv_status qv_exec_run(qv_ctx *ctx, qv_exec *e, qv_list list) { return e->class->run(ctx, e, list); }

qv_status qv_exec_submit(qv_ctx *ctx, qv_exec *e, const qv_step_state *s) { return e->class->submit(ctx, e, s); }

qv_status qv_exec_collect(qv_ctx *ctx, qv_exec *e, double sums[2]) { return e->class->collect(ctx, e, sums); }

uint64_t qv_exec_depth(const qv_exec *e) { return e->depth; }

void qv_exec_read(qv_exec *e, int buffer, size_t at, size_t n, double *dst) { e->class->read(e, buffer, at, n, dst); }

void qv_exec_write(qv_exec *e, int buffer, size_t at, size_t n, const double *src)
{
    e->class->write(e, buffer, at, n, src);
}

void qv_exec_read_bytes(qv_exec *e, int buffer, size_t at, size_t n, void *dst)
{
    e->class->read_bytes(e, buffer, at, n, dst);
}

void qv_exec_write_bytes(qv_exec *e, int buffer, size_t at, size_t n, const void *src)
{
    e->class->write_bytes(e, buffer, at, n, src);
}

qv_status qv_exec_check(qv_ctx *ctx, const qv_exec *e) { return e->class->check(ctx, e); }

qv_status qv_exec_bind(qv_ctx *ctx, qv_exec *e, int buffer, const void *data, size_t bytes)
{
    return e->class->bind(ctx, e, buffer, data, bytes);
}

const char *qv_exec_describe(const qv_exec *e) { return e->description; }

size_t qv_exec_bytes(const qv_exec *e) { return e->bytes; }

size_t qv_exec_without_plan(const qv_exec *e) { return e->without_plan; }

double qv_exec_seconds(const qv_exec *e, qv_list list, size_t i)
{
    return e->profiled[list] ? e->class->seconds(e, list, i) / (double)e->profiled[list] : 0;
}
