#include "selftest/selftest.h"

#include <stdio.h>

#include "selftest/own.h"

static qv_status check_ops(qv_selftest_run *r)
{
    for (int kind = 0; kind < QV_OP_COUNT; kind++) {
        const char *name = qv_op_info_of((qv_op_kind)kind).name;
        qv_report(r->ctx, "selftest, ops", "ops", kind, QV_OP_COUNT);
        if (r->o->left_out[kind]) continue;
        qv_selftest_begin(r, "op", name);
        qv_status status = qv_check_op(r->ctx, &r->device, (qv_op_kind)kind,
                                       &(qv_choice){r->o->seed, r->o->limit, r->o->thorough}, qv_selftest_add, r);
        status = qv_selftest_outlive(r, status);
        if (status != QV_OK) return qv_fail_prefix(r->ctx, status, "%s", name);
        qv_selftest_end(r);
    }
    qv_report(r->ctx, "selftest, ops", "ops", QV_OP_COUNT, QV_OP_COUNT);
    return QV_OK;
}

qv_status qv_selftest(qv_ctx *ctx, const qv_selftest_options *o, qv_selftest_result *result)
{
    qv_status status = QV_OK;
    qv_pool *pool = NULL;
    qv_gpu_device *gpu = NULL;
    double start = qv_now();
    qv_selftest_run r = {.ctx = ctx, .o = o, .result = result};
    *result = (qv_selftest_result){0};
    QV_TRY(qv_pool_new(ctx, &pool, qv_threads(o->settings->threads)));
    r.device = qv_settings_exec(o->settings);
    r.device.pool = pool;
    if (r.device.device == QV_DEVICE_CUDA) QV_TRY(qv_gpu_open(ctx, &gpu, r.device.which));
    r.device.gpu = gpu;
    snprintf(result->device, sizeof result->device, "%s",
             gpu ? qv_gpu_describe(gpu) : qv_settings_choice(o->settings, "run.device"));
    QV_TRY(check_ops(&r));
    if (!o->left_out[QV_SELFTEST_STEPS]) QV_TRY(qv_selftest_steps(&r));
    if (!o->left_out[QV_SELFTEST_TRAINING]) QV_TRY(qv_selftest_training(&r));
done:
    qv_selftest_end(&r);
    result->seconds = qv_now() - start;
    qv_gpu_close(gpu);
    qv_pool_free(pool);
    return status;
}
