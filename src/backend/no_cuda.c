/* The GPU where the CUDA backend is not built: says why. */
#include "backend/exec_own.h"
#include "quaver_build.h"

qv_status qv_gpu_open(qv_ctx *ctx, qv_gpu_device **out, const char *which)
{
    (void)which;
    *out = NULL;
    return qv_fail(ctx, QV_ERR_DEVICE, "this program was built without the CUDA backend (%s); use --device cpu",
                   QV_GPU_LACKS);
}

void qv_gpu_expect(qv_gpu_device *g, int execs)
{
    (void)g;
    (void)execs;
}

void qv_gpu_close(qv_gpu_device *g) { (void)g; }

qv_status qv_gpu_answers(qv_ctx *ctx, const qv_gpu_device *g)
{
    (void)ctx;
    (void)g;
    return QV_OK;
}

const char *qv_gpu_describe(const qv_gpu_device *g)
{
    (void)g;
    return "";
}

qv_status qv_cuda_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o)
{
    qv_gpu_device *none;
    (void)p;
    *out = NULL;
    return qv_gpu_open(ctx, &none, o->which);
}
