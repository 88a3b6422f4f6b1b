/* The two-branch residual block. Both branches lie side by side in tensors of 2C channels. */
#ifndef QV_NET_BLOCK_H
#define QV_NET_BLOCK_H

#include "net/lower.h"

typedef struct qv_block {
    char scope[32]; /* "stage1.block0." */
    int index, cin, cout, stride;
    qv_norm bn1, bn2, bn3, shortcut_bn;
    qv_conv conv1, conv2, shortcut;
    /* of the list at hand */
    int x, relu_x, shortcut_relu, z, alpha, beta, alpha_sign, beta_sign, y; /* signs: -1 where no pair can be negative */
} qv_block;

/* Makes the parameters. */
void qv_block_make(qv_lowering *l, qv_block *k, int index, int stage, int place, int cin, int cout, int stride);
/* Returns the block's output. */
int qv_block_forward(qv_lowering *l, qv_block *k, int x);
/* g: gradient at the output; returns the gradient at x. */
int qv_block_backward(qv_lowering *l, qv_block *k, int g);

bool qv_order_preact(qv_block_order o);
bool qv_order_norm_before_shake(qv_block_order o);

#endif
