#include "net/block.h"

#include <math.h>
#include <stdio.h>

bool qv_order_preact(qv_block_order o) { return o == QV_ORDER_PREACT || o == QV_ORDER_PREACT_BN; }

bool qv_order_norm_before_shake(qv_block_order o) { return o == QV_ORDER_PREACT_BN || o == QV_ORDER_RELU_BN; }

static bool downsamples(const qv_block *k) { return k->stride != 1 || k->cin != k->cout; }

void qv_block_make(qv_lowering *l, qv_block *k, int index, int stage, int place, int cin, int cout, int stride)
{
    const qv_net_config *c = &l->net->config;
    bool preact = qv_order_preact(c->order);
    *k = (qv_block){.index = index, .cin = cin, .cout = cout, .stride = stride};
    snprintf(k->scope, sizeof k->scope, "stage%d.block%d.", stage, place);
    l->scope = k->scope;
    if (preact) qv_norm_make(l, &k->bn1, "bn1", cin, 2, true, 1);
    int in = preact ? 2 * cin : cin;
    qv_conv_make(l, &k->conv1, "conv1", in, 2 * cout, 3, stride, preact ? 2 * c->groups : 1, cout);
    qv_norm_make(l, &k->bn2, "bn2", 2 * cout, 1, true, 1);
    qv_conv_make(l, &k->conv2, "conv2", 2 * cout, 2 * cout, 3, 1, 2 * c->groups, cout);
    if (qv_order_norm_before_shake(c->order)) qv_norm_make(l, &k->bn3, "bn3", 2 * cout, 1, false, c->gamma0);
    if (downsamples(k)) {
        if (c->shortcut == QV_SHORTCUT_SHIFT) /* both paths as one convolution of two groups */
            qv_conv_make(l, &k->shortcut, "shortcut.conv", 2 * cin, cout, 1, 1, 2, cout / 2);
        else
            qv_conv_make(l, &k->shortcut, "shortcut.conv", cin, cout, 1, stride, 1, cout);
        qv_norm_make(l, &k->shortcut_bn, "shortcut.bn", cout, 1, false, 1);
    }
    l->scope = "";
    l->net->batch_norms += (preact ? 2 : 0) + 2 + (qv_order_norm_before_shake(c->order) ? 2 : 0) + (downsamples(k) ? 1 : 0);
}

/* Relaxed, block by block: p_l = 1 - l/L (1 - p_L) of stochastic depth (Huang et al., ECCV 2016, equation 4). */
static double relaxed(const qv_net_config *c, const qv_block *k)
{
    return (double)c->relaxed * (c->deeper ? (k->index + 1.0) / (QV_STAGES * c->blocks) : 1);
}

static int coefficients(qv_lowering *l, const char *name)
{
    const qv_net_config *c = &l->net->config;
    return qv_work(l, QV_REAL, c->batch, 1, 1, c->bands, name);
}

/* The coefficients of this block; even ones where nothing is trained. */
static void draw(qv_lowering *l, qv_block *k)
{
    const qv_net_config *c = &l->net->config;
    bool shaken = l->b.list == QV_LIST_TRAIN, negative = shaken && c->negative > 0;
    k->alpha = coefficients(l, "alpha");
    k->beta = coefficients(l, "beta");
    k->alpha_sign = negative ? coefficients(l, "sign.alpha") : -1;
    k->beta_sign = negative ? coefficients(l, "sign.beta") : -1;
    int out[] = {k->alpha, k->beta, k->alpha_sign, k->beta_sign};
    qv_op *op = qv_add_op(&l->b, QV_OP_SHAKE_COEF, (int[]){l->net->state}, out);
    op->a.shake = (qv_shake_attr){.forward = shaken ? (int32_t)c->forward : QV_SHAKE_EVEN,
                                  .backward = shaken ? (int32_t)c->backward : QV_SHAKE_EVEN,
                                  .level = (int32_t)c->level,
                                  .layer = k->index,
                                  .affine = (int32_t)lround((double)c->affine * 0x1p22),
                                  .negative = (int32_t)lround((double)c->negative * 0x1p24),
                                  .relaxed = (int32_t)lround(relaxed(c, k) * 0x1p24)};
}

/* x times the sign of each row's pair; x itself where no pair can be negative. */
static int apply_sign(qv_lowering *l, int x, int sign, const char *name)
{
    if (sign < 0) return x;
    int y = qv_work_like(l, x, 0, name);
    qv_add_op(&l->b, QV_OP_SCALE, (int[]){x, sign}, (int[]){y});
    return y;
}

/* What the branches of the relu orders and the shifted shortcut begin with. */
static int rectified(qv_lowering *l, int x, const char *name)
{
    int y = qv_work_like(l, x, 0, name);
    qv_add_op(&l->b, QV_OP_RELU, (int[]){x}, (int[]){y});
    return y;
}

static int shortcut_forward(qv_lowering *l, qv_block *k)
{
    const qv_net_config *c = &l->net->config;
    if (!downsamples(k)) return k->x;
    int s = k->relu_x >= 0 ? k->relu_x : k->x;
    k->shortcut_relu = -1;
    if (c->shortcut == QV_SHORTCUT_SHIFT) {
        if (k->relu_x < 0) s = k->shortcut_relu = rectified(l, k->x, "shortcut.relu");
        const qv_buffer in = *qv_buffer_at(l, s);
        int paths = qv_work(l, in.dtype, in.n, (in.h + 1) / 2, (in.w + 1) / 2, 2 * in.c, "shortcut.paths");
        qv_add_op(&l->b, QV_OP_SHIFT, (int[]){s}, (int[]){paths});
        s = paths;
    }
    s = qv_conv_forward(l, &k->shortcut, s);
    return qv_norm_forward(l, &k->shortcut_bn, s);
}

int qv_block_forward(qv_lowering *l, qv_block *k, int x)
{
    qv_block_order order = l->net->config.order;
    qv_add_layer(&l->b, "%s", k->scope);
    l->scope = k->scope;
    k->x = x;
    k->relu_x = -1;
    int a;
    if (qv_order_preact(order)) {
        a = qv_norm_forward(l, &k->bn1, x);
    } else {
        a = k->relu_x = rectified(l, x, "relu");
    }
    a = qv_conv_forward(l, &k->conv1, a);
    a = qv_norm_forward(l, &k->bn2, a);
    a = qv_conv_forward(l, &k->conv2, a);
    if (qv_order_norm_before_shake(order)) a = qv_norm_forward(l, &k->bn3, a);
    k->z = a;
    int s = shortcut_forward(l, k);
    draw(l, k);
    k->y = qv_work_like(l, k->z, k->cout, "out");
    int signed_z = apply_sign(l, k->z, k->alpha_sign, "signed.z");
    qv_add_op(&l->b, QV_OP_SHAKE_ADD, (int[]){signed_z, k->alpha, s}, (int[]){k->y});
    l->scope = "";
    return k->y;
}

/* Gradient at the shortcut's input, behind the ReLU of the relu orders; g itself where the shortcut is the identity. */
static int shortcut_backward(qv_lowering *l, qv_block *k, int g)
{
    if (!downsamples(k)) return g;
    int d = qv_norm_backward(l, &k->shortcut_bn, g, -1);
    d = qv_conv_backward(l, &k->shortcut, d, true);
    if (l->net->config.shortcut != QV_SHORTCUT_SHIFT) return d;
    int dx = qv_work_like(l, k->x, 0, "shortcut.paths.dx");
    qv_add_op(&l->b, QV_OP_SHIFT_GRAD, (int[]){d}, (int[]){dx});
    if (k->shortcut_relu < 0) return dx;
    d = qv_work_like(l, k->x, 0, "shortcut.relu.dx");
    qv_add_op(&l->b, QV_OP_RELU_GRAD, (int[]){dx, k->shortcut_relu, -1}, (int[]){d});
    return d;
}

/* Gradient at x of the relu orders: da arrives behind the ReLU, ds at the shortcut's input, which lies
 * behind the ReLU too where the block downsamples. */
static int relu_backward(qv_lowering *l, qv_block *k, int da, int ds)
{
    int addend = ds;
    if (downsamples(k)) {
        int sum = qv_work_like(l, da, 0, "relu.dy");
        qv_add_op(&l->b, QV_OP_ADD, (int[]){da, ds}, (int[]){sum});
        da = sum;
        addend = -1;
    }
    int dx = qv_work_like(l, k->x, 0, "relu.dx");
    qv_add_op(&l->b, QV_OP_RELU_GRAD, (int[]){da, k->relu_x, addend}, (int[]){dx});
    return dx;
}

int qv_block_backward(qv_lowering *l, qv_block *k, int g)
{
    qv_block_order order = l->net->config.order;
    qv_add_layer(&l->b, "%sbackward", k->scope);
    l->scope = k->scope;
    int d = qv_work_like(l, k->z, 0, "dz");
    int signed_g = apply_sign(l, g, k->beta_sign, "signed.dy");
    qv_add_op(&l->b, QV_OP_SHAKE_GRAD, (int[]){signed_g, k->beta}, (int[]){d});
    if (qv_order_norm_before_shake(order)) d = qv_norm_backward(l, &k->bn3, d, -1);
    d = qv_conv_backward(l, &k->conv2, d, true);
    d = qv_norm_backward(l, &k->bn2, d, -1);
    d = qv_conv_backward(l, &k->conv1, d, true);
    int ds = shortcut_backward(l, k, g);
    d = qv_order_preact(order) ? qv_norm_backward(l, &k->bn1, d, ds) : relu_backward(l, k, d, ds);
    l->scope = "";
    return d;
}
