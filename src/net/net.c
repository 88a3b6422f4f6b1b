#include "net/net.h"

#include <stdlib.h>

#include "net/block.h"
#include "net/head.h"

const char *qv_order_name(qv_block_order order)
{
    static const char *const names[] = {"preact", "preact-bn", "relu", "relu-bn"};
    return names[order];
}

static qv_status check_range(qv_ctx *ctx, const char *key, long value, long low, long high)
{
    if (value >= low && value <= high) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "%s is %ld; it must lie between %ld and %ld", key, value, low, high);
}

qv_status qv_net_check(qv_ctx *ctx, const qv_net_config *c)
{
    qv_status status = QV_OK;
    QV_TRY(check_range(ctx, "net.width", c->width, 1, 4096));
    QV_TRY(check_range(ctx, "net.blocks", c->blocks, 1, 64));
    QV_TRY(check_range(ctx, "net.groups", c->groups, 1, c->width));
    QV_TRY(check_range(ctx, "net.embed", c->embed, 0, 4096));
    QV_TRY(check_range(ctx, "shake.bands", c->bands, 1, c->mels));
    QV_TRY(check_range(ctx, "number of classes", c->classes, 2, 1000));
    QV_TRY(check_range(ctx, "frames of a patch", c->frames, 1, 1 << 16));
    QV_TRY(check_range(ctx, "features.mels", c->mels, 1, 4096));
    QV_TRY(check_range(ctx, "features.channels", c->channels, 0, 4));
    QV_TRY(check_range(ctx, "train.batch", c->batch, 1, 1 << 16));
    if (c->width % c->groups != 0)
        return qv_fail(ctx, QV_ERR_USAGE, "net.groups = %d does not divide net.width = %d", c->groups, c->width);
    if (c->affine > 0 && c->negative > 0)
        return qv_fail(
            ctx, QV_ERR_USAGE,
            "shake.affine = %g and shake.signed = %g are two kinds of negative coefficients; set one of them to 0",
            (double)c->affine, (double)c->negative);
    if (c->groups > 1 && !qv_order_preact(c->order))
        return qv_fail(ctx, QV_ERR_USAGE, "net.groups = %d needs a preact order; net.order is %s", c->groups,
                       qv_order_name(c->order));
    if (c->set_size > 0 && c->batch > c->set_size)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "train.batch = %d is larger than the training set of %d recordings; %d is the largest that fits",
                       c->batch, c->set_size, c->set_size);
    QV_TRY(qv_head_check(ctx, c));
    long h = (c->frames + 3) / 4, w = (c->mels + 3) / 4;
    if (c->batch * h * w < 2)
        return qv_fail(
            ctx, QV_ERR_USAGE,
            "the batch norms of the last stage would see %ld value (batch %d, %ld x %ld); at least 2 are needed",
            c->batch * h * w, c->batch, h, w);
done:
    return status;
}

void qv_net_free(qv_net *net)
{
    if (!net) return;
    qv_program_free(net->program);
    free(net);
}

/* A buffer that the host writes or reads. */
static int io(qv_lowering *l, qv_role role, qv_dtype dtype, int n, int h, int w, int c, const char *name)
{
    qv_buffer b = {.dtype = dtype, .role = role, .n = n, .h = h, .w = w, .c = c, .alias = -1};
    return qv_add_buffer(&l->b, b, "%s", name);
}

static void make_host_buffers(qv_lowering *l)
{
    qv_net *net = l->net;
    const qv_net_config *c = &net->config;
    int channels = qv_net_values(c) / c->mels;
    int set = c->set_size > 0 ? c->set_size : 1, utts = c->utterances > 0 ? c->utterances : 1;
    int norms = c->norms > 0 ? c->norms : 1;
    net->state = io(l, QV_ROLE_IO, QV_BYTES, 1, 1, 1, sizeof(qv_step_state), "state");
    net->feats = io(l, QV_ROLE_EXTERN, QV_F32, 1, 1, 1, qv_net_values(c), "features");
    net->utts = io(l, QV_ROLE_IO, QV_BYTES, utts, 1, 1, sizeof(qv_utterance), "utterances");
    net->norm = io(l, QV_ROLE_IO, QV_F32, norms, 1, 2, qv_net_values(c), "norm");
    net->order = io(l, QV_ROLE_IO, QV_I32, 1, 1, 2, set, "order");
    net->windows = io(l, QV_ROLE_IO, QV_BYTES, c->batch, 1, 1, sizeof(qv_window), "windows");
    net->class_weights = io(l, QV_ROLE_IO, QV_REAL, 1, 1, 1, c->classes, "class_weights");
    net->labels = io(l, QV_ROLE_IO, QV_I32, c->batch, 1, 1, 1, "labels");
    net->quantiles = net->others = net->share = -1;
    if (c->mixup > 0) {
        net->quantiles = io(l, QV_ROLE_IO, QV_F32, 1, 1, 1, QV_QUANTILES, "quantiles");
        net->others = io(l, QV_ROLE_IO, QV_I32, c->batch, 1, 1, 1, "others");
        net->share = io(l, QV_ROLE_IO, QV_REAL, c->batch, 1, 1, 1, "share");
    }
    net->loss = io(l, QV_ROLE_IO, QV_REAL, 1, 1, 1, 2, "loss");
    net->probs = io(l, QV_ROLE_IO, QV_REAL, c->batch, 1, 1, c->classes, "probs");
    net->input = io(l, QV_ROLE_IO, QV_ACT, c->batch, c->frames, c->mels, channels, "input");
    net->logits = io(l, QV_ROLE_IO, QV_REAL, c->batch, 1, 1, c->classes, "logits");
    net->eval_input = io(l, QV_ROLE_IO, QV_ACT, c->batch, c->frames, c->mels, channels, "eval.input");
    net->eval_logits = io(l, QV_ROLE_IO, QV_REAL, c->batch, 1, 1, c->classes, "eval.logits");
    net->eval_probs = io(l, QV_ROLE_IO, QV_REAL, c->batch, 1, 1, c->classes, "eval.probs");
    net->eval_labels = io(l, QV_ROLE_IO, QV_I32, c->batch, 1, 1, 1, "eval.labels");
    net->embedding = net->embedding_size ? io(l, QV_ROLE_IO, QV_REAL, c->batch, 1, 1, net->embedding_size, "eval.embedding") : -1;
}

/* All layers with parameters. */
typedef struct layers {
    qv_conv stem;
    qv_norm stem_bn, final_bn;
    qv_block *blocks;
    int n_blocks;
    qv_head head;
    int features;                /* channels before it */
    int last, activated, pooled; /* of the list at hand: before and after the final ReLU, after the mean */
} layers;

static bool has_final_norm(const qv_net_config *c) { return c->order != QV_ORDER_RELU_BN; }

static void make_layers(qv_lowering *l, layers *m)
{
    const qv_net_config *c = &l->net->config;
    qv_conv_make(l, &m->stem, "stem.conv", qv_net_values(c) / c->mels, c->width, 3, 1, 1, c->width);
    if (!qv_order_preact(c->order)) {
        qv_norm_make(l, &m->stem_bn, "stem.bn", c->width, 1, false, 1);
        l->net->batch_norms++;
    }
    int cin = c->width;
    for (int i = 0; i < m->n_blocks; i++) {
        int stage = i / c->blocks, place = i % c->blocks;
        int cout = c->width << stage;
        qv_block_make(l, &m->blocks[i], i, stage + 1, place, cin, cout, stage > 0 && place == 0 ? 2 : 1);
        cin = cout;
    }
    if (has_final_norm(c)) {
        qv_norm_make(l, &m->final_bn, "final.bn", cin, 1, true, 1);
        l->net->batch_norms++;
    }
    m->features = cin;
    qv_head_make(l, &m->head, cin);
}

/* Up to what is pooled. */
static void forward_body(qv_lowering *l, layers *m, int x)
{
    const qv_net_config *c = &l->net->config;
    qv_add_layer(&l->b, "stem");
    x = qv_conv_forward(l, &m->stem, x);
    if (!qv_order_preact(c->order)) x = qv_norm_forward(l, &m->stem_bn, x);
    for (int i = 0; i < m->n_blocks; i++) x = qv_block_forward(l, &m->blocks[i], x);
    qv_add_layer(&l->b, "head");
    m->last = x;
    if (has_final_norm(c)) {
        x = qv_norm_forward(l, &m->final_bn, x);
    } else {
        x = qv_work_like(l, x, 0, "final.relu");
        qv_add_op(&l->b, QV_OP_RELU, (int[]){m->last}, (int[]){x});
    }
    m->activated = x;
}

static void forward(qv_lowering *l, layers *m, int x)
{
    forward_body(l, m, x);
    m->pooled = qv_work(l, QV_REAL, l->net->config.batch, 1, 1, m->features, "pooled");
    qv_add_op(&l->b, QV_OP_POOL, (int[]){m->activated}, (int[]){m->pooled});
    qv_head_forward(l, &m->head, m->pooled);
}

/* Gradient at the last block's output. */
static int final_backward(qv_lowering *l, layers *m, int dpooled)
{
    int d = qv_work_like(l, m->activated, 0, "pool.dx");
    qv_add_op(&l->b, QV_OP_POOL_GRAD, (int[]){dpooled}, (int[]){d});
    if (has_final_norm(&l->net->config)) return qv_norm_backward(l, &m->final_bn, d, -1);
    int dx = qv_work_like(l, m->last, 0, "final.dx");
    qv_add_op(&l->b, QV_OP_RELU_GRAD, (int[]){d, m->activated, -1}, (int[]){dx});
    return dx;
}

static void backward(qv_lowering *l, layers *m, int dpooled, bool input_grad)
{
    int g = final_backward(l, m, dpooled);
    for (int i = m->n_blocks - 1; i >= 0; i--) g = qv_block_backward(l, &m->blocks[i], g);
    qv_add_layer(&l->b, "stem.backward");
    if (!qv_order_preact(l->net->config.order)) g = qv_norm_backward(l, &m->stem_bn, g, -1);
    l->net->input_grad = qv_conv_backward(l, &m->stem, g, input_grad);
}

static int whole_region(qv_lowering *l, qv_role role, const char *name)
{
    qv_buffer b = {.dtype = QV_REAL, .role = role, .n = 1, .h = 1, .w = 1, .alias = (int32_t)role};
    return qv_add_buffer(&l->b, b, "%s", name);
}

static void update(qv_lowering *l)
{
    const qv_net_config *c = &l->net->config;
    qv_add_layer(&l->b, "update");
    int p = whole_region(l, QV_ROLE_PARAM, "parameters");
    int g = whole_region(l, QV_ROLE_GRAD, "gradients");
    int m = whole_region(l, QV_ROLE_MOMENT, "moments");
    int scale = c->clip > 0 ? qv_work(l, QV_REAL, 1, 1, 1, 1, "clip") : -1;
    if (c->clip > 0) qv_add_op(&l->b, QV_OP_CLIP, &g, &scale)->a.clip.most = c->clip;
    const int in[] = {l->net->state, g, scale};
    if (c->optimizer == QV_OPTIMIZER_ADAMW) {
        const int out[] = {p, m, whole_region(l, QV_ROLE_SQUARE, "squares")};
        qv_op *op = qv_add_op(&l->b, QV_OP_ADAMW, in, out);
        op->a.adamw = (qv_adamw_attr){
            .beta1 = c->beta1, .beta2 = c->beta2, .eps = c->adam_eps, .weight_decay = c->weight_decay};
        return;
    }
    qv_op *op = qv_add_op(&l->b, QV_OP_SGD, in, (int[]){p, m});
    op->a.sgd = (qv_sgd_attr){.momentum = c->momentum, .weight_decay = c->weight_decay, .nesterov = c->nesterov};
}

/* Training patches as the sampler draws, augments and mixes them. */
static void gather_drawn(qv_lowering *l)
{
    qv_net *net = l->net;
    qv_add_layer(&l->b, "batch");
    int in[] = {net->state, net->feats, net->utts, net->norm, net->order, -1, net->quantiles};
    int out[] = {net->input, net->labels, net->others, net->share};
    qv_op *op = qv_add_op(&l->b, QV_OP_GATHER, in, out);
    op->a.gather = net->config.augment;
    op->a.gather.windows = 0;
}

/* The windows that the host asked for, as they are. */
static void gather_windows(qv_lowering *l)
{
    qv_net *net = l->net;
    qv_add_layer(&l->b, "batch");
    int in[] = {net->state, net->feats, net->utts, net->norm, -1, net->windows, -1};
    qv_op *op = qv_add_op(&l->b, QV_OP_GATHER, in, (int[]){net->eval_input, net->eval_labels, -1, -1});
    op->a.gather = (qv_gather_attr){.windows = 1};
}

static void lower_training(qv_lowering *l, layers *m, const qv_net_options *o)
{
    qv_net *net = l->net;
    l->b.list = QV_LIST_TRAIN;
    if (!o->no_gather) gather_drawn(l);
    forward(l, m, net->input);
    backward(l, m, qv_head_train(l, &m->head), o->input_grad);
    update(l);
}

/* The mean of what the final ReLU sees. A batch norm in evaluation and the mean may change places, so that the one
 * works on a row a sample. */
static void pooled_as_embedding(qv_lowering *l, layers *m)
{
    const qv_norm *n = &m->final_bn;
    const qv_net_config *c = &l->net->config;
    int mean = has_final_norm(c) ? qv_work_like(l, m->pooled, 0, "pooled.last") : l->net->embedding;
    qv_add_op(&l->b, QV_OP_POOL, &m->last, &mean);
    if (!has_final_norm(c)) return;
    int in[] = {mean, n->mean, n->rstd, n->gamma, n->beta};
    qv_op *op = qv_add_op(&l->b, QV_OP_BN_APPLY, in, &l->net->embedding);
    op->a.bn = (qv_bn_attr){.eps = c->bn_eps, .repeat = 1, .eval = true, .count = c->batch};
}

static void lower_evaluation(qv_lowering *l, layers *m, const qv_net_options *o)
{
    qv_net *net = l->net;
    l->b.list = QV_LIST_EVAL;
    if (!o->no_gather) gather_windows(l);
    forward(l, m, net->eval_input);
    if (net->embedding >= 0 && !net->config.embed) pooled_as_embedding(l, m);
    qv_head_judge(l, &m->head);
}

static void lower_measuring(qv_lowering *l, layers *m, const qv_net_options *o)
{
    l->b.list = QV_LIST_MEASURE;
    if (!o->no_gather) gather_windows(l);
    forward_body(l, m, l->net->eval_input);
}

qv_status qv_net_new(qv_ctx *ctx, qv_net **out, const qv_net_config *c, const qv_net_options *options)
{
    qv_status status = QV_OK;
    qv_net *net = NULL;
    layers m = {0};
    qv_net_options none = {0};
    const qv_net_options *o = options ? options : &none;
    *out = NULL;
    QV_TRY(qv_net_check(ctx, c));
    QV_TRY(qv_alloc(ctx, &net, 1, sizeof *net));
    QV_TRY(qv_alloc(ctx, &net->program, 1, sizeof *net->program));
    net->config = *c;
    net->input_grad = -1;
    net->embedding_size = c->embed ? c->embed : o->embedding ? c->width << (QV_STAGES - 1) : 0;
    m.n_blocks = QV_STAGES * c->blocks;
    QV_TRY(qv_alloc(ctx, &m.blocks, (size_t)m.n_blocks, sizeof *m.blocks));
    qv_lowering l = {.b = {.ctx = ctx, .p = net->program}, .net = net, .scope = ""};
    make_host_buffers(&l);
    make_layers(&l, &m);
    lower_training(&l, &m, o);
    lower_evaluation(&l, &m, o);
    if (c->measure) lower_measuring(&l, &m, o);
    QV_TRY(l.b.status);
    *out = net;
    net = NULL;
done:
    free(m.blocks);
    qv_net_free(net);
    return status;
}
