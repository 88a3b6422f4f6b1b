#include "fused_case.h"

#include <stdio.h>
#include <string.h>

#include "net/net.h"
#include "train/settings.h"

const char *fused_parts_name(int parts)
{
    static const char *const names[] = {"conv", "conv+stats", "apply+conv", "apply+conv+stats"};
    return names[parts & FUSED_BOTH];
}

void fused_text(const fused_key *key, char text[FUSED_TEXT])
{
    char conv[QV_DNN_TEXT];
    qv_dnn_key_text(&key->conv, conv);
    snprintf(text, FUSED_TEXT, "%s: %s%s", fused_parts_name(key->parts), conv, key->pitch ? ", one branch" : "");
}

bool fused_uses(const fused_key *key, int tensor)
{
    if (tensor == FUSED_SUM || tensor == FUSED_SQUARES) return (key->parts & FUSED_STATS) != 0;
    return tensor < FUSED_SCALE || (key->parts & FUSED_APPLY) != 0;
}

static bool measures(const qv_op_list *l, int32_t y)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind == QV_OP_BN_MEASURE && l->ops[i].in[0] == y) return true;
    return false;
}

static int sets_applied(const qv_op_list *l, int32_t x)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind == QV_OP_BN_APPLY && l->ops[i].out[0] == x)
            return l->ops[i].a.bn.relu ? l->ops[i].a.bn.repeat : 0;
    return 0;
}

static fused_case case_of(const qv_program *p, const qv_op_list *l, const qv_op *op, qv_precision precision)
{
    const qv_buffer *x = &p->buffers[op->in[0]], *y = &p->buffers[op->out[0]];
    return (fused_case){.conv = {.kind = QV_DNN_CONV,
                                 .precision = (int32_t)precision,
                                 .n = x->n,
                                 .h = x->h,
                                 .w = x->w,
                                 .cin = x->c,
                                 .cout = y->c,
                                 .kernel = op->a.conv.kernel,
                                 .stride = op->a.conv.stride,
                                 .pad = op->a.conv.pad,
                                 .groups = op->a.conv.groups},
                        .count = 1,
                        .stats = measures(l, op->out[0]),
                        .apply = sets_applied(l, op->in[0])};
}

static bool is_product(const qv_conv_attr *a) { return a->kernel == 1 && a->stride == 1 && a->groups == 1; }

static bool same(const fused_case *a, const fused_case *b)
{
    return memcmp(&a->conv, &b->conv, sizeof a->conv) == 0 && a->stats == b->stats && a->apply == b->apply;
}

static qv_status collect(qv_ctx *ctx, const qv_program *p, qv_precision precision, fused_case *cases, int cap, int *n)
{
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) {
        if (l->ops[i].kind != QV_OP_CONV || is_product(&l->ops[i].a.conv)) continue;
        const fused_case c = case_of(p, l, &l->ops[i], precision);
        int k = 0;
        while (k < *n && !same(&cases[k], &c)) k++;
        if (k == cap) return qv_fail(ctx, QV_ERR_INTERNAL, "more than %d kinds of convolutions", cap);
        if (k == *n)
            cases[(*n)++] = c;
        else
            cases[k].count++;
    }
    return QV_OK;
}

qv_status fused_cases(qv_ctx *ctx, const char *preset, qv_precision precision, int batch, int size, fused_case *cases,
                      int cap, int *n)
{
    qv_status status = QV_OK;
    qv_settings s = {0};
    qv_net *net = NULL;
    *n = 0;
    QV_TRY(qv_settings_init(ctx, &s));
    QV_TRY(qv_settings_preset(ctx, &s, preset));
    qv_net_config c = qv_settings_net(&s);
    c.batch = batch, c.set_size = batch, c.frames = c.mels = size, c.classes = 4;
    QV_TRY(qv_net_new(ctx, &net, &c, NULL));
    QV_TRY(qv_program_fuse(ctx, net->program, QV_FUSE_BLOCKS));
    QV_TRY(collect(ctx, net->program, precision, cases, cap, n));
done:
    qv_net_free(net);
    qv_settings_free(&s);
    return status;
}

bool fused_graph_of(const fused_case *c, int parts, fused_key *key, int *launches)
{
    if (((parts & FUSED_STATS) && !c->stats) || ((parts & FUSED_APPLY) && !c->apply)) return false;
    *key = (fused_key){.conv = c->conv, .parts = parts};
    *launches = 1;
    if (!(parts & FUSED_APPLY) || c->apply == 1) return true;
    *launches = c->apply;
    key->pitch = c->conv.cout;
    key->conv.cin /= c->apply, key->conv.cout /= c->apply, key->conv.groups /= c->apply;
    return true;
}
