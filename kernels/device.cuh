/* What all kernels share: vectors of channels, a thread's place, sums over a block. */
#ifndef QV_DEVICE_CUH
#define QV_DEVICE_CUH

#include "kernels/geometry.h"
#include "kernels/kernels.h"
#include "kernels/qv_simt.h"

/* V neighbouring channels, 16 bytes for V = 4. */
template <int V> struct qv_pack {
    float v[V];
};

template <int V> __device__ inline qv_pack<V> qv_load(const float *p)
{
    qv_pack<V> r;
    if constexpr (V == 4) {
        const float4 f = qv_ld4(p);
        r.v[0] = f.x, r.v[1] = f.y, r.v[2] = f.z, r.v[3] = f.w;
    } else {
        r.v[0] = *p;
    }
    return r;
}

/* p in global memory. Of two neighbouring stores through float4, nvcc 13 splits one into four scalars; the
 * intrinsic is one instruction whatever stands around it. */
template <int V> __device__ inline void qv_store(float *p, const qv_pack<V> &r)
{
    if constexpr (V == 4) {
        const float4 f = make_float4(r.v[0], r.v[1], r.v[2], r.v[3]);
#ifdef __CUDA_ARCH__
        __stwb(reinterpret_cast<float4 *>(p), f);
#else
        qv_st4(p, f);
#endif
    } else {
        *p = r.v[0];
    }
}

/* May these tensors be moved 4 channels at a time? An absent one (NULL) is no hindrance. */
template <class... P> inline bool qv_wide(uint32_t channels, const P *...p)
{
    return channels % 4 == 0 && ((reinterpret_cast<uintptr_t>(p) % 16 == 0) && ...);
}

template <class T = const float> inline T *qv_data(const qv_tensor &t) { return static_cast<T *>(t.data); }

/* Rows of a tensor: its positions over all samples. */
inline uint64_t qv_positions(const qv_tensor &t) { return (uint64_t)t.n * (uint64_t)t.h * (uint64_t)t.w; }

/* A thread's share of a qv_rows: rows `row`, row + lanes, ... below `end`; none where it idles. */
struct qv_place {
    uint32_t column, lane, slot; /* slot: thread of the block */
    uint64_t row, end;
};

__device__ inline qv_place qv_place_of(const qv_rows &g, uint32_t block)
{
    qv_place at;
    at.slot = threadIdx.x;
    at.lane = threadIdx.x / g.width;
    at.column = blockIdx.y * g.width + threadIdx.x % g.width;
    at.row = block * g.chunk + at.lane;
    at.end = (block + 1) * g.chunk < g.rows ? (block + 1) * g.chunk : g.rows;
    if (at.lane >= g.lanes || at.column >= g.vectors) at.end = at.row;
    return at;
}

/* Goes down a thread's rows: f.add(f.load(row), row) for each, in order. The loads of GROUP rows are under way
 * before the first is needed; a plain loop would wait for each, since its exit is tested in between. */
template <class F> __device__ inline void qv_each_row(const qv_rows &g, const qv_place &at, F &f)
{
    constexpr uint32_t GROUP = 4;
    const uint64_t lanes = g.lanes;
    uint64_t row = at.row;
    for (; row + (GROUP - 1) * lanes < at.end; row += GROUP * lanes) {
        typename F::loaded x[GROUP];
#pragma unroll
        for (uint32_t k = 0; k < GROUP; k++) x[k] = f.load(row + k * lanes);
#pragma unroll
        for (uint32_t k = 0; k < GROUP; k++) f.add(x[k], row + k * lanes);
    }
    for (; row < at.end; row += lanes) f.add(f.load(row), row);
}

/* Merges K values a thread over the lanes of a block, column by column, by a tree of fixed shape;
 * lane 0 ends with the result. Merge::join(a, b) folds b into a. All threads of the block call,
 * once a kernel (the shared memory is not handed back). */
template <class Merge, int K> __device__ inline void qv_join_lanes(float (&v)[K], const qv_rows &g, const qv_place &at)
{
    QV_SHARED(float, s, [K][QV_BLOCK]);
#pragma unroll
    for (int k = 0; k < K; k++) s[k][at.slot] = v[k];
    for (uint32_t n = g.lanes; n > 1;) {
        const uint32_t half = (n + 1) / 2;
        __syncthreads();
        if (at.lane + half < n) {
            float other[K];
#pragma unroll
            for (int k = 0; k < K; k++) other[k] = s[k][at.slot + half * g.width];
            Merge::join(v, other);
#pragma unroll
            for (int k = 0; k < K; k++) s[k][at.slot] = v[k];
        }
        n = half;
    }
}

struct qv_sum {
    template <int K> static __device__ inline void join(float (&a)[K], const float (&b)[K])
    {
#pragma unroll
        for (int k = 0; k < K; k++) a[k] += b[k];
    }
};

#endif
