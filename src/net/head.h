/* What stands behind the mean over positions: the embedding layer, where there is one, and the classifier. */
#ifndef QV_NET_HEAD_H
#define QV_NET_HEAD_H

#include "net/lower.h"

/* x [N,1,1,from] -> y [N,1,1,to] = x w^T + b. Parameters are made once and shared by both lists. */
typedef struct qv_linear {
    const char *name;
    int w, dw, b, db;
    int from, to;
    int x; /* of the list at hand */
} qv_linear;

typedef struct qv_head {
    qv_linear embed, classifier; /* embed.to is 0: no such layer */
    int pooled, features;        /* of the list at hand; features: what the classifier sees */
} qv_head;

/* channels: of the pooled features. */
void qv_head_make(qv_lowering *l, qv_head *h, int channels);
/* From the pooled features to the logits. */
void qv_head_forward(qv_lowering *l, qv_head *h, int pooled);
/* TRAIN: the loss; returns the gradient at the pooled features. */
int qv_head_train(qv_lowering *l, qv_head *h);
/* EVAL: the probabilities. */
void qv_head_judge(qv_lowering *l, qv_head *h);

#endif
