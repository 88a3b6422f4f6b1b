/* The three convolutions of the CPU: which algorithm takes which, and the plan that remembers it. */
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "quaver_build.h"

/* The first that is not NULL is what runs. */
typedef struct plan {
    qv_winograd_fn winograd;
    qv_strips_fn strips;
    void *direct;
    qv_winograd tiles;
    qv_strips rows;
} plan;

/* Winograd's products are a quarter of the direct sum's; what comes on top is paid for every channel in
 * and out (the transforms: the more channels, the less they weigh) and every pair of channels (the filters:
 * the more tiles, the less they weigh). Measured with AVX-512 and AVX2 from 16 to 256 channels a group and
 * from 4x4 to 64x64 positions it is 1.6 to 3 times as fast as oneDNN's direct sum, save where fewer than 20
 * tiles meet 128 channels. oneDNN has no limit on channels, this one takes whole vectors. */
enum { CHANNELS = 16, TILE = 4, TILES_MIN = 32 };

static bool is_convolution(const qv_op *op)
{
    return op->kind == QV_OP_CONV || op->kind == QV_OP_CONV_GRAD_X || op->kind == QV_OP_CONV_GRAD_W;
}

static bool whole_channels(const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    const qv_tensor *other = op->kind == QV_OP_CONV_GRAD_W ? &in[1] : &out[0];
    return in[0].c / op->a.conv.groups % CHANNELS == 0 && other->c / op->a.conv.groups % CHANNELS == 0;
}

bool qv_takes_winograd(const qv_cpu_options *o, const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    const qv_conv_attr *a = &op->a.conv;
    if (o->direct || !is_convolution(op) || a->kernel != 3 || a->stride != 1 || a->pad != 1) return false;
    const int64_t tiles = (int64_t)in[0].n * ((in[0].h + TILE - 1) / TILE) * ((in[0].w + TILE - 1) / TILE);
    return whole_channels(op, in, out) && tiles >= TILES_MIN;
}

static void plan_winograd(plan *p, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                          size_t *need)
{
    const qv_isa *isa = qv_isa_best(o->isa);
    const bool gradient = op->kind == QV_OP_CONV_GRAD_W;
    const size_t groups = (size_t)op->a.conv.groups;
    p->winograd = gradient ? isa->winograd_grad_w : isa->winograd_conv;
    p->tiles = (qv_winograd){.kind = op->kind, .n = (size_t)in->n, .h = (size_t)in->h, .w = (size_t)in->w,
                             .groups = groups, .from = (size_t)in->c / groups,
                             .to = (size_t)(gradient ? in[1].c : out->c) / groups, .threads = o->threads};
    p->winograd(&p->tiles, NULL, need);
}

/* The set's own strips; with AVX-512 there are none, since oneDNN's convolutions were not measured against, so that a
 * build without oneDNN takes those of AVX2. NULL: none. */
static const qv_isa *strips_of(const char *max_isa)
{
    const qv_isa *isa = qv_isa_best(max_isa);
#if !QV_HAVE_ONEDNN
    if (!isa->strips_conv) isa = qv_isa_best("avx2");
#endif
    return isa->strips_conv ? isa : NULL;
}

/* Measured with AVX2 and stride 2: with 32 and 64 channels a group about twice as fast as oneDNN's direct sum, with 16 a
 * little faster, with 8 slower, since they fill no panel; a single tap leaves too little to do with a strip. */
bool qv_takes_strips(const qv_cpu_options *o, const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    const qv_conv_attr *a = &op->a.conv;
    return strips_of(o->isa) && a->kernel > 1 && a->pad < a->kernel && whole_channels(op, in, out);
}

static void plan_strips(plan *p, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                        size_t *need)
{
    const qv_isa *isa = strips_of(o->isa);
    const qv_conv_attr *a = &op->a.conv;
    const bool gradient = op->kind == QV_OP_CONV_GRAD_W;
    const qv_tensor *to = gradient ? &in[1] : out;
    const size_t groups = (size_t)a->groups;
    p->strips = gradient ? isa->strips_grad_w : isa->strips_conv;
    p->rows = (qv_strips){.kind = op->kind, .n = (size_t)in->n, .kernel = (size_t)a->kernel, .stride = (size_t)a->stride,
                          .pad = (size_t)a->pad, .groups = groups, .from_h = (size_t)in->h, .from_w = (size_t)in->w,
                          .to_h = (size_t)to->h, .to_w = (size_t)to->w, .from = (size_t)in->c / groups,
                          .to = (size_t)to->c / groups, .threads = o->threads};
    p->strips(&p->rows, NULL, need);
}

qv_status qv_cpu_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                      void **out_plan, size_t *need)
{
    qv_status status = QV_OK;
    plan *p = NULL;
    *out_plan = NULL;
    *need = 0;
    if (!is_convolution(op)) return QV_OK;
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    if (qv_takes_winograd(o, op, in, out))
        plan_winograd(p, op, in, out, o, need);
    else if (qv_takes_strips(o, op, in, out))
        plan_strips(p, op, in, out, o, need);
    else
        QV_TRY(qv_direct_plan(ctx, op, in, out, o, &p->direct, need));
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
    if (p->winograd) return p->winograd(&p->tiles, call, need);
    if (p->strips) return p->strips(&p->rows, call, need);
    qv_call direct = *call;
    direct.plan = p->direct;
    return qv_direct_conv(&direct, need);
}
