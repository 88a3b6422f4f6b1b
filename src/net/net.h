/* Networks of two-branch residual blocks, described once and lowered to a program. */
#ifndef QV_NET_H
#define QV_NET_H

#include "backend/program.h"

/* Where the normalization stands in a branch; each branch is shaken at its end (the design's table). */
typedef enum qv_block_order {
    QV_ORDER_PREACT,    /* BN ReLU conv BN ReLU conv */
    QV_ORDER_PREACT_BN, /* BN ReLU conv BN ReLU conv BN */
    QV_ORDER_RELU,      /* ReLU conv BN ReLU conv */
    QV_ORDER_RELU_BN    /* ReLU conv BN ReLU conv BN */
} qv_block_order;

/* The classifier and its loss. CENTER: softmax, and the embeddings are drawn to a center of their class; the others:
 * cosines between the embedding and each class's direction, the right one to win by a margin (kernels/op.h). */
typedef enum qv_head_kind {
    QV_HEAD_SOFTMAX,
    QV_HEAD_CENTER,
    QV_HEAD_A_SOFTMAX,
    QV_HEAD_COSFACE,
    QV_HEAD_ARCFACE
} qv_head_kind;

typedef enum qv_optimizer { QV_OPTIMIZER_SGD, QV_OPTIMIZER_ADAMW } qv_optimizer;
/* Of a block that halves both axes: a strided 1x1 convolution; or Gastaldi's, ReLU and two strided 1x1 convolutions, the
 * second of what lies one pixel down and to the right, side by side (arXiv:1705.07485). A batch norm ends both. */
typedef enum qv_shortcut { QV_SHORTCUT_CONV, QV_SHORTCUT_SHIFT } qv_shortcut;

enum { QV_STAGES = 3 };

typedef struct qv_net_config {
    qv_block_order order;
    int width;  /* channels of the first stage; doubles from stage to stage */
    int blocks; /* a stage; depth is 6 * blocks + 2 */
    int groups; /* of each branch's convolutions */
    int embed;  /* numbers of the embedding layer before the classifier, linear and without ReLU; 0: no such layer */
    qv_shortcut shortcut;
    qv_shake_mode forward, backward;
    qv_shake_level level;
    int bands;   /* sub-bands with coefficients of their own */
    float affine;   /* m: coefficients uniform in [-m, 1 + m]; 0 to 1 */
    float negative; /* chance that a pair of coefficients changes its sign; 0 to 1/2 */
    float relaxed;  /* chance that the coefficients of a block, of the last with `deeper`, are even */
    bool deeper;    /* that chance grows linearly from block to block, from 0 at the network's input */
    float gamma0; /* start of the scale of the normalization before the shake */
    float bn_eps, bn_momentum;
    int frames, mels; /* one patch */
    int channels;     /* values a band: several of images. 0 counts as 1 */
    int classes;
    int batch;
    qv_head_kind head;
    qv_margin_attr margin; /* of the last three heads; its smoothing is not looked at */
    qv_center_attr center; /* of QV_HEAD_CENTER */
    float smoothing;
    qv_gather_attr augment; /* of training patches; windows is not looked at */
    float mixup;            /* alpha of Beta(alpha, alpha), 0: none */
    qv_optimizer optimizer;
    float momentum, weight_decay;
    bool nesterov;
    bool decay_all; /* weight decay on scales, shifts and biases, too */
    float beta1, beta2, adam_eps; /* of AdamW */
    float clip;                   /* length of all gradients together, at most; 0: any */
    int set_size;    /* recordings in the training set */
    int norms;       /* rows of the normalization table */
    int utterances;  /* in the feature matrix */
    bool measure;    /* lower the list MEASURE, too */
} qv_net_config;

/* Values a frame of the feature matrix. */
static inline int qv_net_values(const qv_net_config *c) { return c->mels * (c->channels > 1 ? c->channels : 1); }

/* A lowered network: the program and the buffers that the host deals with. */
typedef struct qv_net {
    qv_net_config config;
    qv_program *program;
    int state, feats, utts, norm, order, windows, labels, class_weights; /* host -> program */
    int quantiles;  /* of the shares of a mixture, -1: no mixup */
    int others, share; /* TRAIN: second labels and the share of the first, -1 without mixup */
    int input, logits, loss, probs;                                       /* TRAIN: program -> host */
    int eval_input, eval_logits, eval_probs, eval_labels;                 /* EVAL */
    int embedding, embedding_size; /* EVAL: [batch] rows of so many numbers; -1 and 0 where there are none */
    int input_grad; /* dL/d input when asked for, else -1 */
    int64_t parameters;
    int batch_norms; /* with scale and shift of their own */
} qv_net;

/* QV_ERR_USAGE naming the setting that makes no sense: sizes, channels that groups do not
 * divide, a batch norm over fewer than two values, a batch larger than the training set, a margin
 * wider than the angles between so many classes. */
qv_status qv_net_check(qv_ctx *ctx, const qv_net_config *c);

typedef struct qv_net_options {
    bool input_grad; /* also the gradient of the patches (tests) */
    bool embedding;  /* EVAL also without an embedding layer: the pooled features before the final ReLU */
    bool no_gather;  /* the patches and labels are written by the host (tests, benches) */
} qv_net_options;

qv_status qv_net_new(qv_ctx *ctx, qv_net **out, const qv_net_config *c, const qv_net_options *options);
void qv_net_free(qv_net *net);

/* The largest angle that the nearest two of so many directions in so many dimensions can have, in radians, or an upper
 * bound of it: 0 for three in one, the regular polygon in two, the simplex up to dims + 1, else a right angle (Rankin
 * 1955). */
double qv_widest_angle(int directions, int dims);

/* "preact-bn" and so on. */
const char *qv_order_name(qv_block_order order);

/* Values of a parameter at the start, in double: He normal (fan-out of one branch), uniform,
 * constants; drawn by Philox from the seed and the parameter's place among all. values: [len]. */
void qv_init_values(const qv_program *p, int buffer, const uint32_t key[2], double *values);

#endif
