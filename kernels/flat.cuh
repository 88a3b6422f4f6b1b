/* Kernels that see a tensor as one long vector: element i of every operand belongs together. */
#ifndef QV_FLAT_CUH
#define QV_FLAT_CUH

#include "kernels/device.cuh"

/* A block takes QV_FLAT_ITEMS x QV_BLOCK vectors, neighbouring threads neighbouring vectors; the last
 * len % V elements fall to the first threads of the grid. F: plain data with
 * `template <int V> __device__ void run(size_t i)`, which treats elements i .. i+V-1. */
template <int V, class F> __global__ void __launch_bounds__(QV_BLOCK) qv_flat(F f, size_t len)
{
    const size_t first = (size_t)blockIdx.x * (QV_FLAT_ITEMS * QV_BLOCK) + threadIdx.x;
#pragma unroll
    for (int k = 0; k < QV_FLAT_ITEMS; k++) {
        const size_t i = (first + (size_t)k * QV_BLOCK) * V;
        if (i + V <= len) f.template run<V>(i);
    }
    if (V > 1 && first < len % V) f.template run<1>(len - len % V + first);
}

template <class F> inline int qv_flat_run(const F &f, size_t len, bool wide, void *stream)
{
    const uint64_t blocks = qv_flat_blocks(len, wide ? 4 : 1);
    if (blocks == 0 || blocks > QV_GRID_X) return QV_REFUSED;
    if (wide)
        QV_LAUNCH((qv_flat<4, F>), dim3((uint32_t)blocks), dim3(QV_BLOCK), 0, stream, f, len);
    else
        QV_LAUNCH((qv_flat<1, F>), dim3((uint32_t)blocks), dim3(QV_BLOCK), 0, stream, f, len);
    return qv_launch_error();
}

#endif
