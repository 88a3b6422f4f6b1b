/* The seam between kernels and what runs them: nvcc, or the emulation of tests/simt, which
 * compiles the same .cu files as plain C++ and reports races, divergent barriers and accesses
 * out of bounds.
 *
 * Besides plain CUDA (qualifiers, threadIdx, __syncthreads(), shuffles with a mask, integer
 * atomics, dim3, float4, intrinsics with explicit rounding) a kernel uses, from here:
 *
 *   QV_SHARED(type, name, extents)      shared array "name", as in QV_SHARED(float, s, [2][32]);
 *   QV_DYN_SHARED(type, name);          pointer to the shared memory that the launch asks for
 *   QV_LAUNCH(kernel, grid, block, stream, arguments...);
 *                                       templates in parentheses; arguments are plain data
 *   QV_LAUNCH_SHARED(kernel, grid, block, shared_bytes, stream, arguments...);
 *   qv_launch_error()                   of the launches since the last call: 0, or the CUDA error
 *   qv_kernel_error(kernel)             0: the program has this kernel for the current GPU; or the CUDA error
 *   qv_ld4(p), qv_st4(p, v)             float4 at a float pointer on 16 bytes
 *   qv_ld16(p), qv_st16(p, v)           uint4 at any pointer on 16 bytes
 *   QV_ACQUIRE_GRID();                  a fence, where a thread has drawn a ticket and its block goes on to
 *                                       read what others wrote before theirs (last block finishes)
 *
 * Rules that the emulation rests on: blocks are a multiple of 32 threads wherever a warp works
 * together; all threads meet a barrier, all lanes of the mask a shuffle, on the same source
 * line, and none returns before it; what a warp exchanges through shared memory needs
 * __syncwarp(); nothing spins on memory; pointers that are absent are nullptr. */
#ifndef QV_SIMT_H
#define QV_SIMT_H

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define QV_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define QV_DYN_SHARED(type, name)                                    \
    extern __shared__ __align__(16) unsigned char qv_dynamic_shared[]; \
    type *const name = reinterpret_cast<type *>(qv_dynamic_shared)
#define QV_LAUNCH(kernel, grid, block, stream, ...) \
    kernel<<<(grid), (block), 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define QV_LAUNCH_SHARED(kernel, grid, block, shared_bytes, stream, ...) \
    kernel<<<(grid), (block), (shared_bytes), static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define QV_ACQUIRE_GRID() __threadfence()

static inline int qv_launch_error(void) { return static_cast<int>(cudaGetLastError()); }
template <class... P> static inline int qv_kernel_error(void (*kernel)(P...))
{
    cudaFuncAttributes found;
    const cudaError_t e = cudaFuncGetAttributes(&found, reinterpret_cast<const void *>(kernel));
    if (e != cudaSuccess) cudaGetLastError(); /* no launch's */
    return static_cast<int>(e);
}

__device__ static inline float4 qv_ld4(const float *p) { return *reinterpret_cast<const float4 *>(p); }
__device__ static inline void qv_st4(float *p, float4 v) { *reinterpret_cast<float4 *>(p) = v; }
__device__ static inline uint4 qv_ld16(const void *p) { return *static_cast<const uint4 *>(p); }
__device__ static inline void qv_st16(void *p, uint4 v) { *static_cast<uint4 *>(p) = v; }

#else

#include "tests/simt/device.h"

#define QV_SHARED(type, name, ...)         \
    typedef type qv_shared_##name __VA_ARGS__; \
    static char qv_key_##name;             \
    qv_shared_##name &name = simt::shared<qv_shared_##name>(&qv_key_##name, #name)
#define QV_DYN_SHARED(type, name) type *const name = static_cast<type *>(simt::dynamic_shared(alignof(type)))
#define QV_LAUNCH(kernel, grid, block, stream, ...) \
    simt::launcher(#kernel, kernel, (grid), (block), 0, (stream))(__VA_ARGS__)
#define QV_LAUNCH_SHARED(kernel, grid, block, shared_bytes, stream, ...) \
    simt::launcher(#kernel, kernel, (grid), (block), (shared_bytes), (stream))(__VA_ARGS__)
#define QV_ACQUIRE_GRID simt::Site{__FILE__, __LINE__}.acquire_grid

static inline int qv_launch_error(void) { return simt::launch_error(); }
template <class... P> static inline int qv_kernel_error(void (*)(P...)) { return simt::kernel_error(); }

#define qv_ld4 simt::Site{__FILE__, __LINE__}.load4
#define qv_st4 simt::Site{__FILE__, __LINE__}.store4
#define qv_ld16 simt::Site{__FILE__, __LINE__}.load16
#define qv_st16 simt::Site{__FILE__, __LINE__}.store16

#endif
#endif
