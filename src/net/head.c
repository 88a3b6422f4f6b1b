#include "net/head.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

static const double pi = 3.14159265358979323846;

static bool trains(const qv_lowering *l) { return l->b.list == QV_LIST_TRAIN; }

static bool has_margin(const qv_net_config *c) { return c->head >= QV_HEAD_A_SOFTMAX; }

/* A-Softmax keeps the length of the features, the other two have a scale in its place. */
static bool keeps_length(const qv_net_config *c) { return c->head == QV_HEAD_A_SOFTMAX; }

double qv_widest_angle(int directions, int dims)
{
    if (dims == 1) return directions <= 2 ? pi : 0;
    if (dims == 2) return directions == 1 ? pi : 2 * pi / directions;
    return directions <= dims + 1 ? acos(-1.0 / fmax(directions - 1, 1)) : pi / 2;
}

/* To four digits, so that what a message leaves can be had. */
static double rounded_down(double x)
{
    const double digit = pow(10, floor(log10(x)) - 3);
    return floor(x / digit) * digit;
}

/* Even a row that lies on its own direction must have room for the margin. */
qv_status qv_head_check(qv_ctx *ctx, const qv_net_config *c)
{
    int dims = c->embed ? c->embed : c->width << (QV_STAGES - 1);
    double angle = qv_widest_angle(c->classes, dims), m = (double)c->margin.m;
    double most = c->head == QV_HEAD_COSFACE ? 1 - cos(angle) : angle;
    if (!has_margin(c)) return QV_OK;
    if (angle <= 0)
        return qv_fail(
            ctx, QV_ERR_USAGE,
            "a head of cosines cannot tell %d classes apart in %d dimension: two of them share a direction; a "
            "larger net.embed, or train.head = softmax",
            c->classes, dims);
    if (keeps_length(c)) return QV_OK;
    if (dims == 1)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "a head of cosines alone has no gradient in one dimension, where only a sign is left of the "
                       "features; a larger net.embed, or train.head = a-softmax or softmax");
    if (m <= most * (1 + FLT_EPSILON)) return QV_OK; /* m was rounded to a float */
    bool cosface = c->head == QV_HEAD_COSFACE;
    return qv_fail(
        ctx, QV_ERR_USAGE,
        "%s = %g is more than %d classes in %d dimensions can have: their directions are at most %.4g degrees "
        "apart, which leaves %g%s; a smaller margin, or a larger net.embed",
        cosface ? "head.cosface_margin" : "head.arcface_margin", m, c->classes, dims, angle * 180 / pi,
        rounded_down(most), cosface ? " (1 - cos of that)" : " radians");
}

static void make_linear(qv_lowering *l, qv_linear *n, const char *name, int from, int to, bool bias)
{
    *n = (qv_linear){.name = name, .from = from, .to = to, .b = -1, .db = -1};
    char p[32];
    snprintf(p, sizeof p, "%s.weight", name);
    n->w = qv_param(l, p, to, 1, 1, from, QV_INIT_UNIFORM, 1 / sqrtf((float)from), true, &n->dw);
    snprintf(p, sizeof p, "%s.bias", name);
    if (bias) n->b = qv_param(l, p, 1, 1, 1, to, QV_INIT_ZERO, 0, false, &n->db);
}

/* w: the layer's own weights, or these brought to unit length. */
static void linear_forward(qv_lowering *l, qv_linear *n, int x, int w, int y)
{
    n->x = x;
    qv_add_op(&l->b, QV_OP_LINEAR, (int[]){x, w, n->b}, &y);
}

/* Gradients of the weights that it ran with, dw, and of its biases; returns that at x. */
static int linear_backward(qv_lowering *l, const qv_linear *n, int w, int dw, int dy)
{
    char name[32];
    snprintf(name, sizeof name, "%s.dx", n->name);
    int dx = qv_work_like(l, n->x, 0, name);
    qv_add_op(&l->b, QV_OP_LINEAR_GRAD, (int[]){n->x, w, dy}, (int[]){dx, dw, n->db});
    return dx;
}

static qv_unit unit_forward(qv_lowering *l, const char *name, int x)
{
    char p[32];
    qv_unit u = {.y = qv_work_like(l, x, 0, name)};
    snprintf(p, sizeof p, "%s.norm", name);
    u.norm = qv_work(l, QV_REAL, 1, 1, 1, qv_buffer_at(l, x)->n, p);
    qv_add_op(&l->b, QV_OP_UNIT, &x, (int[]){u.y, u.norm});
    return u;
}

/* dnorm -1: the length was of no use. */
static void unit_backward(qv_lowering *l, qv_unit u, int dy, int dnorm, int dx)
{
    qv_add_op(&l->b, QV_OP_UNIT_GRAD, (int[]){dy, u.y, u.norm, dnorm}, &dx);
}

void qv_head_make(qv_lowering *l, qv_head *h, int channels)
{
    const qv_net_config *c = &l->net->config;
    int features = c->embed ? c->embed : channels;
    *h = (qv_head){.centers = -1};
    if (c->embed) make_linear(l, &h->embed, "embed", channels, c->embed, true);
    make_linear(l, &h->classifier, "linear", features, c->classes, !has_margin(c));
    if (c->head != QV_HEAD_CENTER) return;
    qv_buffer centers = {
        .dtype = QV_REAL, .role = QV_ROLE_RUNNING, .n = c->classes, .h = 1, .w = 1, .c = features, .alias = -1};
    h->centers = qv_add_buffer(&l->b, centers, "linear.centers");
}

void qv_head_forward(qv_lowering *l, qv_head *h, int pooled)
{
    const qv_net *net = l->net;
    const qv_net_config *c = &net->config;
    h->features = pooled;
    if (c->embed) {
        h->features = trains(l) ? qv_work(l, QV_REAL, c->batch, 1, 1, c->embed, "embedding") : net->embedding;
        linear_forward(l, &h->embed, pooled, h->embed.w, h->features);
    }
    if (!has_margin(c)) {
        linear_forward(l, &h->classifier, h->features, h->classifier.w, trains(l) ? net->logits : net->eval_logits);
        return;
    }
    h->row = unit_forward(l, "row", h->features);
    h->direction = unit_forward(l, "direction", h->classifier.w);
    h->cosines = qv_work_like(l, net->logits, 0, "cosines");
    linear_forward(l, &h->classifier, h->row.y, h->direction.y, h->cosines);
}

/* Cross entropy into `loss`; returns the gradient at the logits. */
static int entropy(qv_lowering *l, int loss)
{
    const qv_net *net = l->net;
    int dlogits = qv_work_like(l, net->logits, 0, "dlogits");
    const int in[] = {trains(l) ? net->logits : net->eval_logits, trains(l) ? net->labels : net->eval_labels,
                      net->class_weights, trains(l) ? net->others : -1, trains(l) ? net->share : -1};
    qv_op *op = qv_add_op(&l->b, QV_OP_LOSS, in, (int[]){loss, dlogits, trains(l) ? net->probs : net->eval_probs});
    if (trains(l)) op->a.loss.smoothing = net->config.smoothing;
    return dlogits;
}

/* The same with the margin, which evaluation goes without; *dnorm: the gradient at the lengths, -1 where none count. */
static int margin_entropy(qv_lowering *l, const qv_head *h, int loss, int *dnorm)
{
    const qv_net *net = l->net;
    const qv_net_config *c = &net->config;
    int dcos = qv_work_like(l, net->logits, 0, "dcosines");
    *dnorm = keeps_length(c) ? qv_work_like(l, h->row.norm, 0, "row.norm.dx") : -1;
    const int in[] = {h->cosines,
                      trains(l) ? net->labels : net->eval_labels,
                      net->class_weights,
                      keeps_length(c) ? h->row.norm : -1,
                      trains(l) ? net->others : -1,
                      trains(l) ? net->share : -1,
                      net->state};
    const int out[] = {loss, dcos, *dnorm, trains(l) ? net->logits : net->eval_logits,
                       trains(l) ? net->probs : net->eval_probs};
    qv_op *op = qv_add_op(&l->b, QV_OP_MARGIN, in, out);
    op->a.margin = c->margin;
    op->a.margin.smoothing = trains(l) ? c->smoothing : 0;
    if (!trains(l)) op->a.margin.kind = QV_MARGIN_NONE;
    return dcos;
}

/* The gradient at the features of a head of cosines. */
static int margin_train(qv_lowering *l, qv_head *h)
{
    int dnorm, dcos = margin_entropy(l, h, l->net->loss, &dnorm);
    qv_add_layer(&l->b, "head.backward");
    int ddirection = qv_work_like(l, h->direction.y, 0, "direction.dx"), dx = qv_work_like(l, h->features, 0, "row.dx");
    int drow = linear_backward(l, &h->classifier, h->direction.y, ddirection, dcos);
    unit_backward(l, h->direction, ddirection, -1, h->classifier.dw);
    unit_backward(l, h->row, drow, dnorm, dx);
    return dx;
}

/* The gradient at the features of the softmax, alone or with the centers. */
static int softmax_train(qv_lowering *l, qv_head *h)
{
    const qv_net *net = l->net;
    bool centered = h->centers >= 0;
    int plain = centered ? qv_work_like(l, net->loss, 0, "entropy") : net->loss;
    int dlogits = entropy(l, plain), pull = -1;
    if (centered) {
        pull = qv_work_like(l, h->features, 0, "center.dx");
        const int in[] = {h->features, net->labels, net->class_weights, plain, net->others, net->share};
        qv_op *op = qv_add_op(&l->b, QV_OP_CENTER, in, (int[]){h->centers, net->loss, pull});
        op->a.center = net->config.center;
    }
    qv_add_layer(&l->b, "head.backward");
    int d = linear_backward(l, &h->classifier, h->classifier.w, h->classifier.dw, dlogits);
    if (!centered) return d;
    int sum = qv_work_like(l, d, 0, "features.dx");
    qv_add_op(&l->b, QV_OP_ADD, (int[]){d, pull}, &sum);
    return sum;
}

int qv_head_train(qv_lowering *l, qv_head *h)
{
    int d = has_margin(&l->net->config) ? margin_train(l, h) : softmax_train(l, h);
    return h->embed.to ? linear_backward(l, &h->embed, h->embed.w, h->embed.dw, d) : d;
}

void qv_head_judge(qv_lowering *l, qv_head *h)
{
    int unused_loss = qv_work(l, QV_REAL, 1, 1, 1, 2, "loss"), unused_norm;
    if (has_margin(&l->net->config))
        margin_entropy(l, h, unused_loss, &unused_norm);
    else
        entropy(l, unused_loss);
}
