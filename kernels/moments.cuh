/* Mean and variance in one pass over the data, by merging (count, mean, M2); M2: sum of squared distances from the
 * mean.
 *
 * A thread sums x - K and (x - K)^2 about its own first value K, a block merges (count, mean, M2)
 * by Chan's formula (Chan, Golub, LeVeque 1979), and so are blocks merged, in a fixed
 * order. K is one of the values summed, so (K - mean)^2 <= M2 and the difference of the two sums
 * loses no more than a factor (rows of the thread) whatever the data; E[x^2] - E[x]^2 would lose
 * everything at a mean of 1000 deviations. Means travel as distances from the channel's first
 * element, which keeps their rounding at the scale of the deviation, not of the mean. */
#ifndef QV_MOMENTS_CUH
#define QV_MOMENTS_CUH

#include "kernels/device.cuh"

/* v = mean[V], M2[V], count. */
template <int V> struct qv_moments {
    static __device__ inline void join(float (&a)[2 * V + 1], const float (&b)[2 * V + 1])
    {
        const float n = a[2 * V] + b[2 * V];
        if (!(b[2 * V] > 0)) return;
        const float share = b[2 * V] / n;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float d = b[i] - a[i];
            a[i] += d * share;
            a[V + i] += b[V + i] + d * d * (a[2 * V] * share);
        }
        a[2 * V] = n;
    }
};

/* A thread's values: sums of distances from the first of them, and of their squares. */
template <int V> struct qv_distances {
    qv_pack<V> shift;
    float count, sum[V], square[V];

    __device__ inline void add(const qv_pack<V> &p)
    {
        if (count == 0) shift = p;
        count += 1;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float d = p.v[i] - shift.v[i];
            sum[i] += d;
            square[i] = fmaf(d, d, square[i]);
        }
    }

    /* Of one value at least; the mean as its distance from origin. */
    __device__ inline void moments(const qv_pack<V> &origin, float (&m)[2 * V + 1]) const
    {
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float mean = sum[i] / count;
            m[i] = (shift.v[i] - origin.v[i]) + mean;
            m[V + i] = fmaxf(fmaf(-sum[i], mean, square[i]), 0.0f);
        }
        m[2 * V] = count;
    }
};

/* A block's moments into part: [block][2][channels], means and M2. */
template <int V>
__device__ inline void qv_store_moments(float *part, uint32_t block, uint32_t channels, uint32_t column,
                                        const float (&m)[2 * V + 1])
{
    float *out = part + (size_t)block * 2 * channels + (size_t)column * V;
    qv_pack<V> mean, m2;
#pragma unroll
    for (int i = 0; i < V; i++) mean.v[i] = m[i], m2.v[i] = m[V + i];
    qv_store(out, mean);
    qv_store(out + channels, m2);
}

#endif
