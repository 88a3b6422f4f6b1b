#include "selftest/selftest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "selftest/own.h"

void qv_selftest_begin(qv_selftest_run *r, const char *part, const char *name)
{
    r->row = (qv_selftest_row){.part = part};
    snprintf(r->row.name, sizeof r->row.name, "%s", name);
}

/* Whether a case is worse than what the row shows: trouble first, then shares of the bound. */
static bool is_worse(const qv_selftest_row *row, const qv_case *c)
{
    if (row->cases == 0) return true;
    if (c->trouble || row->trouble[0]) return c->trouble && !row->trouble[0];
    return c->verdict.share > row->worst.share;
}

void qv_selftest_add(void *run, const qv_case *c)
{
    qv_selftest_run *r = run;
    qv_selftest_row *row = &r->row;
    size_t elements = row->worst.elements + c->verdict.elements, wrong = row->worst.wrong + c->verdict.wrong;
    if (is_worse(row, c)) {
        row->worst = c->verdict;
        snprintf(row->what, sizeof row->what, "%s", c->what);
        snprintf(row->trouble, sizeof row->trouble, "%s", c->trouble ? c->trouble : "");
    }
    row->worst.elements = elements;
    row->worst.wrong = wrong;
    row->cases++;
    row->failed += !qv_case_passed(c);
    r->result->cases++;
    r->result->failed += !qv_case_passed(c);
    r->result->elements += c->verdict.elements;
    if (r->o->every_case) qv_selftest_end(r);
}

void qv_selftest_end(qv_selftest_run *r)
{
    if (r->row.cases == 0) return;
    qv_selftest_row row = r->row;
    r->o->on_row(r->o->user, &row);
    qv_selftest_begin(r, row.part, row.name);
}

void qv_selftest_complain(qv_selftest_run *r, const char *fmt, ...)
{
    char text[sizeof r->row.trouble];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    qv_selftest_add(r, &(qv_case){.what = "", .trouble = text});
}

static qv_status check_ops(qv_selftest_run *r)
{
    for (int kind = 0; kind < QV_OP_COUNT; kind++) {
        const char *name = qv_op_info_of((qv_op_kind)kind).name;
        qv_report(r->ctx, "selftest, ops", "ops", kind, QV_OP_COUNT);
        qv_selftest_begin(r, "op", name);
        qv_status status = qv_check_op(r->ctx, &r->device, (qv_op_kind)kind,
                                       &(qv_choice){r->o->seed, r->o->limit, r->o->thorough}, qv_selftest_add, r);
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
    QV_TRY(qv_pool_new(ctx, &pool, o->settings->threads ? o->settings->threads : qv_cpu_count()));
    r.device = qv_settings_exec(o->settings);
    r.device.pool = pool;
    if (r.device.device == QV_DEVICE_CUDA) QV_TRY(qv_gpu_open(ctx, &gpu, r.device.which));
    r.device.gpu = gpu;
    QV_TRY(check_ops(&r));
    QV_TRY(qv_selftest_steps(&r));
    QV_TRY(qv_selftest_training(&r));
    result->seconds = qv_now() - start;
done:
    qv_gpu_close(gpu);
    qv_pool_free(pool);
    return status;
}
