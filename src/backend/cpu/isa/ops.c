/* The passes of one instruction set. */
#include "backend/cpu/isa/isa.h"

#define QV_STRING_OF(a) #a
#define QV_STRING(a) QV_STRING_OF(a)

const qv_isa QV_FN(qv_isa) = {
    .name = QV_STRING(QV_ISA),
    .gemm = QV_FN(qv_gemm),
#if !defined(__AVX512F__)
    .strips_conv = QV_FN(qv_strips_conv),
    .strips_grad_w = QV_FN(qv_strips_grad_w),
#endif
    .winograd_conv = QV_FN(qv_winograd_conv),
    .winograd_grad_w = QV_FN(qv_winograd_grad_w),
    .ops = {[QV_OP_BN_STATS] = QV_FN(qv_bn_stats),
            [QV_OP_BN_APPLY] = QV_FN(qv_bn_apply),
            [QV_OP_BN_GRAD_SUMS] = QV_FN(qv_bn_grad_sums),
            [QV_OP_BN_GRAD_APPLY] = QV_FN(qv_bn_grad_apply),
            [QV_OP_RELU] = QV_FN(qv_relu),
            [QV_OP_RELU_GRAD] = QV_FN(qv_relu_grad),
            [QV_OP_ADD] = QV_FN(qv_add),
            [QV_OP_SHAKE_ADD] = QV_FN(qv_shake_add),
            [QV_OP_SHAKE_GRAD] = QV_FN(qv_shake_grad),
            [QV_OP_SCALE] = QV_FN(qv_scale),
            [QV_OP_SHIFT] = QV_FN(qv_shift),
            [QV_OP_SHIFT_GRAD] = QV_FN(qv_shift_grad),
            [QV_OP_BN_SHAKE_ADD] = QV_FN(qv_bn_shake_add),
            [QV_OP_POOL] = QV_FN(qv_pool),
            [QV_OP_POOL_GRAD] = QV_FN(qv_pool_grad),
            [QV_OP_CLIP] = QV_FN(qv_clip),
            [QV_OP_SGD] = QV_FN(qv_sgd),
            [QV_OP_ADAMW] = QV_FN(qv_adamw),
            [QV_OP_GATHER] = QV_FN(qv_gather)},
};
