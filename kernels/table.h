/* The hand-written kernels by op: the rows of ops.def that say CUDA, and the convolutions, which say DNN and have a direct
 * kernel where cuDNN has no plan; NULL for others. */
#ifndef QV_KERNELS_TABLE_H
#define QV_KERNELS_TABLE_H

#include "backend/backend.h"
#include "kernels/kernels.h"

#define ROW_CUDA(NAME, name) [QV_OP_##NAME] = qv_cuda_##name,
#define ROW_DNN(NAME, name)
#define ROW_NONE(NAME, name)
static const qv_op_fn qv_kernels[QV_OP_COUNT] = {
#define QV_OP(NAME, name, cpu, cuda, in, out) ROW_##cuda(NAME, name)
#include "backend/ops.def"
#undef QV_OP
    [QV_OP_CONV] = qv_cuda_conv,
    [QV_OP_CONV_GRAD_X] = qv_cuda_conv_grad_x,
    [QV_OP_CONV_GRAD_W] = qv_cuda_conv_grad_w,
};
#undef ROW_CUDA
#undef ROW_DNN
#undef ROW_NONE

#endif
