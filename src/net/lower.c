#include "net/lower.h"

#include <math.h>
#include <stdio.h>

const qv_buffer *qv_buffer_at(const qv_lowering *l, int id)
{
    static const qv_buffer nothing; /* after a failure of the builder */
    return id >= 0 ? &l->b.p->buffers[id] : &nothing;
}

bool qv_measures(const qv_lowering *l) { return l->b.list != QV_LIST_EVAL; }

int qv_work(qv_lowering *l, qv_dtype dtype, int n, int h, int w, int c, const char *name)
{
    static const char *const prefixes[QV_LIST_COUNT] = {"", "eval.", "measure."};
    qv_buffer b = {.dtype = dtype, .role = QV_ROLE_WORK, .n = n, .h = h, .w = w, .c = c, .alias = -1};
    return qv_add_buffer(&l->b, b, "%s%s%s", prefixes[l->b.list], l->scope, name);
}

int qv_work_like(qv_lowering *l, int like, int c, const char *name)
{
    qv_buffer b = *qv_buffer_at(l, like);
    return qv_work(l, b.dtype, b.n, b.h, b.w, c ? c : b.c, name);
}

int qv_param(qv_lowering *l, const char *name, int n, int h, int w, int c, qv_init init, float value, bool decayed,
             int *grad)
{
    qv_buffer b = {.dtype = QV_REAL, .n = n, .h = h, .w = w, .c = c, .alias = -1};
    b.decayed = decayed || l->net->config.decay_all;
    b.role = QV_ROLE_MOMENT;
    qv_add_buffer(&l->b, b, "%s%s.moment", l->scope, name);
    b.role = QV_ROLE_SQUARE;
    if (l->net->config.optimizer == QV_OPTIMIZER_ADAMW) qv_add_buffer(&l->b, b, "%s%s.square", l->scope, name);
    b.role = QV_ROLE_GRAD;
    *grad = qv_add_buffer(&l->b, b, "%s%s.grad", l->scope, name);
    b.role = QV_ROLE_PARAM;
    b.init = init;
    b.init_value = value;
    l->net->parameters += (int64_t)qv_buffer_len(&b);
    return qv_add_buffer(&l->b, b, "%s%s", l->scope, name);
}

void qv_conv_make(qv_lowering *l, qv_conv *c, const char *name, int cin, int cout, int kernel, int stride, int groups,
                  int fan_channels)
{
    *c = (qv_conv){.name = name, .cin = cin, .cout = cout, .kernel = kernel, .stride = stride, .groups = groups};
    float std = sqrtf(2.0f / (float)(kernel * kernel * fan_channels));
    c->w = qv_param(l, name, cout, kernel, kernel, cin / groups, QV_INIT_NORMAL, std, true, &c->dw);
}

static void set_conv_attr(qv_op *op, const qv_conv *c)
{
    op->a.conv = (qv_conv_attr){.kernel = c->kernel, .stride = c->stride, .pad = c->kernel / 2, .groups = c->groups};
}

int qv_conv_forward(qv_lowering *l, qv_conv *c, int x)
{
    qv_buffer in = *qv_buffer_at(l, x);
    int h = (in.h + 2 * (c->kernel / 2) - c->kernel) / c->stride + 1;
    int w = (in.w + 2 * (c->kernel / 2) - c->kernel) / c->stride + 1;
    char name[32];
    snprintf(name, sizeof name, "%s.out", c->name);
    c->x = x;
    c->y = qv_work(l, QV_ACT, in.n, h, w, c->cout, name);
    set_conv_attr(qv_add_op(&l->b, QV_OP_CONV, (int[]){x, c->w}, (int[]){c->y}), c);
    return c->y;
}

int qv_conv_backward(qv_lowering *l, qv_conv *c, int dy, bool want_dx)
{
    set_conv_attr(qv_add_op(&l->b, QV_OP_CONV_GRAD_W, (int[]){c->x, dy}, (int[]){c->dw}), c);
    if (!want_dx) return -1;
    char name[32];
    snprintf(name, sizeof name, "%s.dx", c->name);
    int dx = qv_work_like(l, c->x, 0, name);
    set_conv_attr(qv_add_op(&l->b, QV_OP_CONV_GRAD_X, (int[]){dy, c->w}, (int[]){dx}), c);
    return dx;
}

static int running(qv_lowering *l, const char *name, const char *what, int channels, float start)
{
    qv_buffer b = {.dtype = QV_REAL, .role = QV_ROLE_RUNNING, .n = 1, .h = 1, .w = 1, .c = channels, .alias = -1,
                   .init = QV_INIT_CONST, .init_value = start};
    return qv_add_buffer(&l->b, b, "%s%s.%s", l->scope, name, what);
}

void qv_norm_make(qv_lowering *l, qv_norm *n, const char *name, int channels, int repeat, bool relu, float gamma0)
{
    *n = (qv_norm){.name = name, .channels = channels, .repeat = repeat, .relu = relu};
    char p[32];
    snprintf(p, sizeof p, "%s.gamma", name);
    n->gamma = qv_param(l, p, 1, 1, 1, repeat * channels, QV_INIT_CONST, gamma0, false, &n->dgamma);
    snprintf(p, sizeof p, "%s.beta", name);
    n->beta = qv_param(l, p, 1, 1, 1, repeat * channels, QV_INIT_ZERO, 0, false, &n->dbeta);
    n->rmean = running(l, name, "running_mean", channels, 0);
    n->rvar = running(l, name, "running_var", channels, 1);
}

static void set_norm_attr(const qv_lowering *l, qv_op *op, const qv_norm *n)
{
    const qv_buffer *x = qv_buffer_at(l, n->x);
    op->a.bn = (qv_bn_attr){.eps = l->net->config.bn_eps,
                            .momentum = l->b.list == QV_LIST_MEASURE ? 1 : l->net->config.bn_momentum,
                            .relu = n->relu,
                            .repeat = n->repeat,
                            .eval = !qv_measures(l),
                            .count = (int64_t)x->n * x->h * x->w};
}

/* A vector of the channels of x. */
static int vector(qv_lowering *l, const qv_norm *n, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%s", n->name, what);
    return qv_work(l, QV_REAL, 1, 1, 1, n->channels, name);
}

int qv_norm_forward(qv_lowering *l, qv_norm *n, int x)
{
    n->x = x;
    n->rstd = vector(l, n, "rstd");
    int mean = -1, var = -1;
    if (qv_measures(l)) {
        mean = vector(l, n, "mean");
        var = vector(l, n, "var");
        set_norm_attr(l, qv_add_op(&l->b, QV_OP_BN_STATS, (int[]){x}, (int[]){mean, var}), n);
    }
    qv_op *finalize =
        qv_add_op(&l->b, QV_OP_BN_FINALIZE, (int[]){mean, var}, (int[]){n->rstd, n->rmean, n->rvar});
    set_norm_attr(l, finalize, n);
    n->mean = qv_measures(l) ? mean : n->rmean;
    char name[32];
    snprintf(name, sizeof name, "%s.out", n->name);
    n->y = qv_work_like(l, x, n->repeat * n->channels, name);
    int in[] = {x, n->mean, n->rstd, n->gamma, n->beta};
    set_norm_attr(l, qv_add_op(&l->b, QV_OP_BN_APPLY, in, &n->y), n);
    return n->y;
}

int qv_norm_backward(qv_lowering *l, qv_norm *n, int dy, int addend)
{
    int sums_in[] = {dy, n->x, n->mean, n->rstd, n->gamma, n->beta, -1};
    set_norm_attr(l, qv_add_op(&l->b, QV_OP_BN_GRAD_SUMS, sums_in, (int[]){n->dgamma, n->dbeta, -1}), n);
    char name[32];
    snprintf(name, sizeof name, "%s.dx", n->name);
    int dx = qv_work_like(l, n->x, 0, name);
    int in[] = {dy, n->x, n->mean, n->rstd, n->gamma, n->beta, n->dgamma, n->dbeta, -1, addend};
    set_norm_attr(l, qv_add_op(&l->b, QV_OP_BN_GRAD_APPLY, in, &dx), n);
    return dx;
}
