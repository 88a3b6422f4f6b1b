#include "net/head.h"

#include <math.h>
#include <stdio.h>

static void make_linear(qv_lowering *l, qv_linear *n, const char *name, int from, int to)
{
    *n = (qv_linear){.name = name, .from = from, .to = to};
    char p[32];
    snprintf(p, sizeof p, "%s.weight", name);
    n->w = qv_param(l, p, to, 1, 1, from, QV_INIT_UNIFORM, 1 / sqrtf((float)from), true, &n->dw);
    snprintf(p, sizeof p, "%s.bias", name);
    n->b = qv_param(l, p, 1, 1, 1, to, QV_INIT_ZERO, 0, false, &n->db);
}

static void linear_forward(qv_lowering *l, qv_linear *n, int x, int y)
{
    n->x = x;
    qv_add_op(&l->b, QV_OP_LINEAR, (int[]){x, n->w, n->b}, &y);
}

/* Gradients of weights and bias; returns that at x. */
static int linear_backward(qv_lowering *l, const qv_linear *n, int dy)
{
    char name[32];
    snprintf(name, sizeof name, "%s.dx", n->name);
    int dx = qv_work_like(l, n->x, 0, name);
    qv_add_op(&l->b, QV_OP_LINEAR_GRAD, (int[]){n->x, n->w, dy}, (int[]){dx, n->dw, n->db});
    return dx;
}

void qv_head_make(qv_lowering *l, qv_head *h, int channels)
{
    const qv_net_config *c = &l->net->config;
    *h = (qv_head){0};
    if (c->embed) make_linear(l, &h->embed, "embed", channels, c->embed);
    make_linear(l, &h->classifier, "linear", c->embed ? c->embed : channels, c->classes);
}

void qv_head_forward(qv_lowering *l, qv_head *h, int pooled)
{
    qv_net *net = l->net;
    h->pooled = h->features = pooled;
    if (h->embed.to) {
        h->features = l->b.list == QV_LIST_TRAIN ? qv_work(l, QV_REAL, net->config.batch, 1, 1, h->embed.to, "embedding") : net->embedding;
        linear_forward(l, &h->embed, pooled, h->features);
    }
    linear_forward(l, &h->classifier, h->features, l->b.list == QV_LIST_TRAIN ? net->logits : net->eval_logits);
}

int qv_head_train(qv_lowering *l, qv_head *h)
{
    const qv_net *net = l->net;
    int dlogits = qv_work_like(l, net->logits, 0, "dlogits");
    qv_op *loss =
        qv_add_op(&l->b, QV_OP_LOSS, (int[]){net->logits, net->labels, net->class_weights, net->others, net->share},
                  (int[]){net->loss, dlogits, net->probs});
    loss->a.loss.smoothing = net->config.smoothing;
    qv_add_layer(&l->b, "head.backward");
    int d = linear_backward(l, &h->classifier, dlogits);
    return h->embed.to ? linear_backward(l, &h->embed, d) : d;
}

void qv_head_judge(qv_lowering *l, qv_head *h)
{
    (void)h;
    const qv_net *net = l->net;
    int unused_loss = qv_work(l, QV_REAL, 1, 1, 1, 2, "loss"),
        unused_grad = qv_work_like(l, net->eval_logits, 0, "dlogits");
    qv_add_op(&l->b, QV_OP_LOSS, (int[]){net->eval_logits, net->eval_labels, net->class_weights, -1, -1},
              (int[]){unused_loss, unused_grad, net->eval_probs});
}
