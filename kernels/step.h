/* What a training step on a GPU needs beside the ops of the list. What takes a stream (cudaStream_t) enqueues on it,
 * allocates and waits for nothing, and returns the CUDA error of the launch, 0: none. */
#ifndef QV_STEP_H
#define QV_STEP_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The end of a step, so that the next replay of a captured one is the next step: keeps the loss in
 * ring[step % ring_size] and moves *state on, step + 1 with the rate rates[(step + 1) % n_rates].
 * loss [2], ring [ring_size][2], rates [n_rates]. */
int qv_cuda_advance(qv_step_state *state, const float *loss, float *ring, uint32_t ring_size, const float *rates,
                    uint32_t n_rates, void *stream);

/* 0: the program has kernels for the current GPU; or the CUDA error of asking for one. May wait for the device. */
int qv_cuda_find_kernel(void);

/* to[i] = from[i] in bfloat16, to the nearest, ties to even; NaN stays NaN. n > 0 elements, any alignment. */
int qv_cuda_to_bf16(const float *from, uint16_t *to, size_t n, void *stream);
/* to[i] = from[i], exactly. */
int qv_cuda_from_bf16(const uint16_t *from, float *to, size_t n, void *stream);

#ifdef __cplusplus
}
#endif
#endif
