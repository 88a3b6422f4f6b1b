/* What stands behind the mean over positions: the embedding layer, where there is one, and the classifier. */
#ifndef QV_NET_HEAD_H
#define QV_NET_HEAD_H

#include "net/lower.h"

/* y [N,1,1,to] = x w^T + b. Parameters are made once and shared by both lists. */
typedef struct qv_linear {
    const char *name;
    int w, dw, b, db; /* b, db -1: no bias */
    int from, to;
    int x; /* of the list at hand */
} qv_linear;

/* Rows brought to unit length: y = x / norm. */
typedef struct qv_unit {
    int y, norm;
} qv_unit;

typedef struct qv_head {
    qv_linear embed, classifier; /* embed.to is 0: no such layer */
    int centers;
    /* of the list at hand */
    int features;           /* what the classifier sees */
    qv_unit row, direction; /* of the features and of the classifier's weights, where there is a margin */
    int cosines;
} qv_head;

/* QV_ERR_USAGE: a margin that so many classes cannot have. */
qv_status qv_head_check(qv_ctx *ctx, const qv_net_config *c);

/* channels: of the pooled features. */
void qv_head_make(qv_lowering *l, qv_head *h, int channels);
/* From the pooled features to what the loss sees. */
void qv_head_forward(qv_lowering *l, qv_head *h, int pooled);
/* TRAIN: the loss; returns the gradient at the pooled features. */
int qv_head_train(qv_lowering *l, qv_head *h);
/* EVAL: the probabilities. */
void qv_head_judge(qv_lowering *l, qv_head *h);

#endif
