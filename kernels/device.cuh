/* What all kernels share: vectors of channels, a thread's place, sums over a block.
 *
 * Numbers are computed in float, V neighbouring channels at a time (qv_pack). In memory they are float or bf16:
 * T below is the type that an op's activations are stored in, and a vector of them is 16 bytes (4 floats, 8 bf16),
 * or one element where channels or addresses do not fit that. */
#ifndef QV_DEVICE_CUH
#define QV_DEVICE_CUH

#include "kernels/bf16.h"
#include "kernels/geometry.h"
#include "kernels/kernels.h"
#include "kernels/qv_simt.h"

/* The architecture that is compiled for, 900 for 9.0; 0 on the host and under the emulation. Only the number of rows
 * under way may depend on it, which changes no bit of a result. */
#ifdef __CUDA_ARCH__
inline constexpr int qv_arch = __CUDA_ARCH__;
#else
inline constexpr int qv_arch = 0;
#endif

/* V neighbouring channels as numbers. */
template <int V> struct qv_pack {
    float v[V];
};

/* The same as they lie in memory: what a load brings is unpacked only when it is needed, so that loads under way
 * hold few registers. */
template <class T, int V> struct qv_raw;
template <> struct qv_raw<float, 1> {
    float x;
};
template <> struct qv_raw<float, 4> {
    float4 x;
};
template <> struct qv_raw<float, 8> {
    float4 x, y;
};
template <> struct qv_raw<qv_bf16, 1> {
    qv_bf16 x;
};
template <> struct qv_raw<qv_bf16, 8> {
    uint4 x;
};

/* Elements of a 16-byte vector. */
template <class T> inline constexpr int qv_wide_of = 16 / (int)sizeof(T);

template <int V, class T> __device__ inline qv_raw<T, V> qv_fetch(const T *p)
{
    qv_raw<T, V> r;
    if constexpr (V == 1) {
        r.x = *p;
    } else if constexpr (sizeof(T) == 2) {
        r.x = qv_ld16(p);
    } else {
        r.x = qv_ld4(p);
        if constexpr (V == 8) r.y = qv_ld4(p + 4);
    }
    return r;
}

template <class T, int V> __device__ inline qv_pack<V> qv_unpack(const qv_raw<T, V> &r)
{
    qv_pack<V> p;
    if constexpr (V == 1) {
        if constexpr (sizeof(T) == 2)
            p.v[0] = qv_bf16_value(r.x);
        else
            p.v[0] = r.x;
    } else if constexpr (sizeof(T) == 2) {
        const unsigned words[4] = {r.x.x, r.x.y, r.x.z, r.x.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            p.v[2 * i] = __uint_as_float(words[i] << 16);
            p.v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        }
    } else {
        p.v[0] = r.x.x, p.v[1] = r.x.y, p.v[2] = r.x.z, p.v[3] = r.x.w;
        if constexpr (V == 8) p.v[4] = r.y.x, p.v[5] = r.y.y, p.v[6] = r.y.z, p.v[7] = r.y.w;
    }
    return p;
}

/* Two neighbours rounded: one instruction on a GPU. */
__device__ inline unsigned qv_round_pair(float low, float high)
{
#ifdef __CUDA_ARCH__
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return __bfloat16_as_ushort(pair.x) | (unsigned)__bfloat16_as_ushort(pair.y) << 16;
#else
    return qv_bf16_of(low).bits | (unsigned)qv_bf16_of(high).bits << 16;
#endif
}

/* As it will be stored; what is computed from a result later must be computed from this. */
template <class T, int V> __device__ inline qv_raw<T, V> qv_round(const qv_pack<V> &p)
{
    qv_raw<T, V> r;
    if constexpr (V == 1) {
        if constexpr (sizeof(T) == 2)
            r.x = qv_bf16_of(p.v[0]);
        else
            r.x = p.v[0];
    } else if constexpr (sizeof(T) == 2) {
        r.x = make_uint4(qv_round_pair(p.v[0], p.v[1]), qv_round_pair(p.v[2], p.v[3]), qv_round_pair(p.v[4], p.v[5]),
                         qv_round_pair(p.v[6], p.v[7]));
    } else {
        r.x = make_float4(p.v[0], p.v[1], p.v[2], p.v[3]);
        if constexpr (V == 8) r.y = make_float4(p.v[4], p.v[5], p.v[6], p.v[7]);
    }
    return r;
}

/* p in global memory. Of two neighbouring stores through float4, nvcc 13 splits one into four scalars; the
 * intrinsic is one instruction whatever stands around it. */
__device__ inline void qv_put16(float *p, float4 v)
{
#ifdef __CUDA_ARCH__
    __stwb(reinterpret_cast<float4 *>(p), v);
#else
    qv_st4(p, v);
#endif
}

template <class T, int V> __device__ inline void qv_put(T *p, const qv_raw<T, V> &r)
{
    if constexpr (V == 1) {
        *p = r.x;
    } else if constexpr (sizeof(T) == 2) {
#ifdef __CUDA_ARCH__
        __stwb(reinterpret_cast<uint4 *>(p), r.x);
#else
        qv_st16(p, r.x);
#endif
    } else {
        qv_put16(p, r.x);
        if constexpr (V == 8) qv_put16(p + 4, r.y);
    }
}

template <int V, class T> __device__ inline qv_pack<V> qv_load(const T *p) { return qv_unpack<T, V>(qv_fetch<V>(p)); }
template <int V, class T> __device__ inline void qv_store(T *p, const qv_pack<V> &v)
{
    qv_put<T, V>(p, qv_round<T, V>(v));
}

/* May these tensors be moved a vector of T at a time? An absent one (NULL) is no hindrance. */
template <class T, class... P> inline bool qv_wide(uint32_t channels, const P *...p)
{
    return channels % qv_wide_of<T> == 0 && ((reinterpret_cast<uintptr_t>(p) % 16 == 0) && ...);
}

template <class T = const float> inline T *qv_data(const qv_tensor &t) { return static_cast<T *>(t.data); }

/* Are these stored alike? An absent one is like all others. */
template <class... X> inline bool qv_alike(const qv_tensor &first, const X &...t)
{
    return ((!t.data || (t.dtype == QV_BF16) == (first.dtype == QV_BF16)) && ...);
}
/* Is none of these bf16? Parameters, statistics, coefficients and what the loss sees are floats always. */
template <class... X> inline bool qv_floats(const X &...t) { return ((t.dtype != QV_BF16) && ...); }

/* f(T()) for the type that an activation is stored in. */
template <class F> inline int qv_by_type(const qv_tensor &t, F f)
{
    return t.dtype == QV_BF16 ? f(qv_bf16()) : f(float());
}

/* May these coefficients [N, 1, 1, bands] be read for every image of x? */
inline bool qv_coef_fits(const qv_tensor &coef, const qv_tensor &x)
{
    return qv_plane_fits(x.h, x.w, coef.c) && coef.n == x.n && coef.h == 1 && coef.w == 1 && qv_floats(coef);
}

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

/* The share of rows of a block that sums. Sums run from the last row to the first, block by block, passes from the
 * first to the last: each finds in the cache what the one before it touched last. */
__device__ inline uint32_t qv_last_first() { return gridDim.x - 1 - blockIdx.x; }

/* Goes down a thread's rows: f.take(f.load(row), row) for each, both in the order of the rows. The loads of GROUP
 * rows are under way before the first is needed; a plain loop would wait for each, since its exit is tested in
 * between. */
template <uint32_t GROUP, class F> __device__ inline void qv_each_row(const qv_rows &g, const qv_place &at, F &f)
{
    const uint64_t lanes = g.lanes;
    uint64_t row = at.row;
    for (; row + (GROUP - 1) * lanes < at.end; row += GROUP * lanes) {
        typename F::loaded x[GROUP];
#pragma unroll
        for (uint32_t k = 0; k < GROUP; k++) x[k] = f.load(row + k * lanes);
#pragma unroll
        for (uint32_t k = 0; k < GROUP; k++) f.take(x[k], row + k * lanes);
    }
    for (; row < at.end; row += lanes) f.take(f.load(row), row);
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
