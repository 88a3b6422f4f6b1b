/* Kernels that see a tensor as one long vector: element i of every operand belongs together. */
#ifndef QV_FLAT_CUH
#define QV_FLAT_CUH

#include "kernels/device.cuh"

/* A block takes QV_FLAT_ITEMS x QV_BLOCK vectors, neighbouring threads neighbouring vectors; the last
 * len % V elements fall to the first threads of the grid. F: plain data with
 *   template <int V> struct loaded;
 *   template <int V> loaded<V> load(size_t i) const, which reads elements i .. i+V-1;
 *   template <int V> void take(size_t i, const loaded<V> &), which writes them.
 * In a block without an end all its loads are under way before the first store. */
template <int V, class F> __global__ void __launch_bounds__(QV_BLOCK) qv_flat(F f, size_t len)
{
    constexpr size_t SPAN = (size_t)QV_FLAT_ITEMS * QV_BLOCK;
    const size_t first = blockIdx.x * SPAN + threadIdx.x;
    if ((blockIdx.x + 1) * SPAN * V <= len) {
        typename F::template loaded<V> x[QV_FLAT_ITEMS];
#pragma unroll
        for (int k = 0; k < QV_FLAT_ITEMS; k++) x[k] = f.template load<V>((first + (size_t)k * QV_BLOCK) * V);
#pragma unroll
        for (int k = 0; k < QV_FLAT_ITEMS; k++) f.take((first + (size_t)k * QV_BLOCK) * V, x[k]);
    } else {
        for (int k = 0; k < QV_FLAT_ITEMS; k++) {
            const size_t i = (first + (size_t)k * QV_BLOCK) * V;
            if (i + V <= len) f.take(i, f.template load<V>(i));
        }
    }
    if (V > 1 && first < len % V) {
        const size_t i = len - len % V + first;
        f.take(i, f.template load<1>(i));
    }
}

template <int V, class F> inline int qv_flat_launch(const F &f, size_t len, void *stream)
{
    const uint64_t blocks = qv_flat_blocks(len, V);
    if (blocks == 0 || blocks > QV_GRID_X) return QV_REFUSED;
    QV_LAUNCH((qv_flat<V, F>), dim3((uint32_t)blocks), dim3(QV_BLOCK), stream, f, len);
    return qv_launch_error();
}

/* T: what the operands are stored in; p: all of them. Every length will do, since the tail has a path of its own. */
template <class T, class F, class... P> inline int qv_flat_run(const F &f, size_t len, void *stream, const P *...p)
{
    constexpr int V = qv_wide_of<T>;
    return qv_wide<T>(V, p...) ? qv_flat_launch<V>(f, len, stream) : qv_flat_launch<1>(f, len, stream);
}

#endif
