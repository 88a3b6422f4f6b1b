/* Launchers of the hand-written kernels, one for each row of the op list that says CUDA, and direct convolutions
 * for where cuDNN has no plan.
 *
 * Operands as in backend/ops.def, activations NHWC, real = float; activations also in bf16, where
 * their tensors say QV_BF16. Mixtures that make no sense are refused. A launcher checks, chooses
 * the geometry, enqueues on call->stream and returns the CUDA error of the launch (0: none);
 * it allocates nothing and waits for nothing, so it can be captured into a graph. Scratch is
 * asked for by `need` (kernels/op.h). Channels that fill 16 bytes (4 floats, 8 bf16) with pointers on
 * 16 bytes move in such pieces, all others one by one. No float atomics: the same call gives
 * the same bits. */
#ifndef QV_KERNELS_H
#define QV_KERNELS_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

#define QV_KERNEL_CUDA(name) int qv_cuda_##name(const qv_call *call, size_t *need);
#define QV_KERNEL_DNN(name)
#define QV_KERNEL_NONE(name)
#define QV_OP(NAME, name, cpu, cuda, in, out) QV_KERNEL_##cuda(name)
#include "backend/ops.def"
#undef QV_OP
#undef QV_KERNEL_CUDA
#undef QV_KERNEL_DNN
#undef QV_KERNEL_NONE

/* kernels/conv.cu: direct convolutions, for shapes that cuDNN has no plan for. Weights and their gradient float, or
 * bf16 where the activations are. */
int qv_cuda_conv(const qv_call *call, size_t *need);
int qv_cuda_conv_grad_x(const qv_call *call, size_t *need);
int qv_cuda_conv_grad_w(const qv_call *call, size_t *need);

#ifdef __cplusplus
}
#endif
#endif
