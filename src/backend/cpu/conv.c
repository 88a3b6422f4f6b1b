/* The three convolutions of the CPU: which algorithm takes which, and the plan that remembers it. */
#include <stdlib.h>

#include "backend/cpu/cpu.h"

typedef struct plan {
    qv_winograd_fn run; /* NULL: the direct convolution's plan is what runs */
    qv_winograd winograd;
    void *direct;
} plan;

/* Winograd's transforms cost as much for every channel in as out, the products fall to a quarter: with 16
 * channels or more a group it is ahead of the direct sums on all shapes tried (bench_ops conv). */
bool qv_takes_winograd(const qv_cpu_options *o, const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    const qv_conv_attr *a = &op->a.conv;
    const int width = (int)qv_isa_best(o->isa)->width, from = in[0].c / a->groups;
    const int to = (op->kind == QV_OP_CONV_GRAD_W ? in[1].c : out[0].c) / a->groups;
    if (o->direct) return false;
    return width >= 8 && a->kernel == 3 && a->stride == 1 && a->pad == 1 && from % width == 0 && to % width == 0 &&
           from >= 16 && to >= 16;
}

qv_status qv_cpu_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                      void **out_plan, size_t *need)
{
    qv_status status = QV_OK;
    plan *p = NULL;
    *out_plan = NULL;
    *need = 0;
    if (op->kind != QV_OP_CONV && op->kind != QV_OP_CONV_GRAD_X && op->kind != QV_OP_CONV_GRAD_W) return QV_OK;
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    if (qv_takes_winograd(o, op, in, out)) {
        const qv_tensor *to = op->kind == QV_OP_CONV_GRAD_W ? &in[1] : &out[0];
        const size_t groups = (size_t)op->a.conv.groups;
        const qv_isa *isa = qv_isa_best(o->isa);
        p->run = op->kind == QV_OP_CONV_GRAD_W ? isa->winograd_grad_w : isa->winograd_conv;
        p->winograd = (qv_winograd){.kind = op->kind, .n = (size_t)in->n, .h = (size_t)in->h, .w = (size_t)in->w,
                                    .groups = groups, .from = (size_t)in->c / groups, .to = (size_t)to->c / groups,
                                    .threads = o->threads};
        p->run(&p->winograd, NULL, need);
    } else {
        QV_TRY(qv_direct_plan(ctx, op, in, out, o, &p->direct, need));
    }
    *out_plan = p;
    p = NULL;
done:
    qv_cpu_plan_free(p);
    return status;
}

void qv_cpu_plan_free(void *plan_)
{
    plan *p = plan_;
    if (!p) return;
    qv_direct_plan_free(p->direct);
    free(p);
}

int qv_cpu_conv(const qv_call *call, size_t *need)
{
    const plan *p = call->plan;
    if (!p) return QV_ERR_INTERNAL;
    if (p->run) return p->run(&p->winograd, call, need);
    qv_call direct = *call;
    direct.plan = p->direct;
    return qv_direct_conv(&direct, need);
}
