/* bn_stats, bn_finalize: mean and variance of each channel over all samples and positions.
 *
 * Bytes: 4 an element, each x read once (the minimum), and 8 a channel and block of partial
 * results, under 1/30 of x where x is large.
 *
 * A thread sums x - K and (x - K)^2 about its own first value K, a block merges (count, mean, M2)
 * by Chan's formula (Chan, Golub, LeVeque 1979), a second launch merges the blocks in a fixed
 * order. K is one of the values summed, so (K - mean)^2 <= M2 and the difference of the two sums
 * loses no more than a factor (rows of the thread) whatever the data; E[x^2] - E[x]^2 would lose
 * everything at a mean of 1000 deviations. Means travel as distances from the channel's first
 * element, which keeps their rounding at the scale of the deviation, not of the mean. */
#include "kernels/device.cuh"

namespace {

/* v = mean[V], M2[V], count. */
template <int V> struct moments {
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

/* A thread's rows of x: sums of distances from the first of them, and of their squares. */
template <int V> struct distances {
    using loaded = qv_pack<V>;
    const float *x;
    uint32_t channels, column;
    qv_pack<V> shift;
    float count, sum[V], square[V];

    __device__ inline loaded load(uint64_t row) const { return qv_load<V>(x + qv_offset(row, channels, column, V)); }
    __device__ inline void add(const loaded &p, uint64_t)
    {
        count += 1;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float d = p.v[i] - shift.v[i];
            sum[i] += d;
            square[i] = fmaf(d, d, square[i]);
        }
    }
};

template <int V>
__global__ void __launch_bounds__(QV_BLOCK) stats_blocks(const float *x, float *part, qv_rows g, uint32_t channels)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    float m[2 * V + 1] = {};
    if (at.row < at.end) {
        distances<V> d = {x, channels, at.column, {}, 0, {}, {}};
        const qv_pack<V> origin = d.load(0);
        d.shift = d.load(at.row);
        qv_each_row(g, at, d);
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float mean = d.sum[i] / d.count;
            m[i] = (d.shift.v[i] - origin.v[i]) + mean;
            m[V + i] = fmaxf(fmaf(-d.sum[i], mean, d.square[i]), 0.0f);
        }
        m[2 * V] = d.count;
    }
    qv_join_lanes<moments<V>>(m, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        float *out = part + (size_t)blockIdx.x * 2 * channels + (size_t)at.column * V;
        qv_pack<V> mean, m2;
#pragma unroll
        for (int i = 0; i < V; i++) mean.v[i] = m[i], m2.v[i] = m[V + i];
        qv_store<V>(out, mean);
        qv_store<V>(out + channels, m2);
    }
}

/* Partial results of one channel. */
struct block_moments {
    using loaded = float2;
    const float *part;
    uint32_t channels, column;
    uint64_t rows, chunk; /* how x was dealt */
    float m[3];

    __device__ inline loaded load(uint64_t block) const
    {
        const float *in = part + block * 2 * channels + column;
        return make_float2(in[0], in[channels]);
    }
    __device__ inline void add(const loaded &p, uint64_t block)
    {
        const uint64_t left = rows - block * chunk;
        const float other[3] = {p.x, p.y, (float)(left < chunk ? left : chunk)};
        moments<1>::join(m, other);
    }
};

/* g deals the partial results (its rows) of all channels (its vectors); whole: how x was dealt. */
__global__ void __launch_bounds__(QV_BLOCK)
    stats_merge(const float *x, const float *part, float *mean, float *var, qv_rows g, qv_rows whole)
{
    const qv_place at = qv_place_of(g, 0);
    block_moments b = {part, g.vectors, at.column, whole.rows, whole.chunk, {}};
    qv_each_row(g, at, b);
    qv_join_lanes<moments<1>>(b.m, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        mean[at.column] = x[at.column] + b.m[0];
        var[at.column] = b.m[1] / (float)whole.rows;
    }
}

template <int V> int run(const qv_call *c, const qv_rows &g)
{
    const float *x = qv_data(c->in[0]);
    const uint32_t channels = (uint32_t)c->in[0].c;
    float *part = static_cast<float *>(c->scratch);
    QV_LAUNCH((stats_blocks<V>), dim3(g.blocks, g.columns), dim3(g.threads), 0, c->stream, x, part, g, channels);
    const int error = qv_launch_error();
    if (error) return error;
    const qv_rows merge = qv_merge_rows(g.blocks, channels);
    if (merge.columns == 0) return QV_REFUSED;
    QV_LAUNCH(stats_merge, dim3(1, merge.columns), dim3(merge.threads), 0, c->stream, x, part,
              qv_data<float>(c->out[0]), qv_data<float>(c->out[1]), merge, g);
    return qv_launch_error();
}

qv_rows geometry(const qv_tensor &x, uint32_t v) { return qv_sums_rows(qv_positions(x), (uint32_t)x.c / v); }

__global__ void __launch_bounds__(QV_BLOCK)
    finalize(const float *mean, const float *var, float *rstd, float *rmean, float *rvar, uint32_t channels, qv_bn_attr a)
{
    const uint32_t c = blockIdx.x * QV_BLOCK + threadIdx.x;
    if (c >= channels) return;
    if (a.eval) {
        rstd[c] = 1.0f / sqrtf(rvar[c] + a.eps);
        return;
    }
    const float keep = 1.0f - a.momentum;
    const float unbiased = var[c] * ((float)a.count / (float)(a.count - 1));
    rstd[c] = 1.0f / sqrtf(var[c] + a.eps);
    rmean[c] = keep * rmean[c] + a.momentum * mean[c];
    rvar[c] = keep * rvar[c] + a.momentum * unbiased;
}

} // namespace

extern "C" int qv_cuda_bn_stats(const qv_call *c, size_t *need)
{
    const qv_tensor &x = c->in[0];
    if (qv_tensor_len(&x) == 0) return QV_REFUSED;
    const qv_rows narrow = geometry(x, 1), g = x.c % 4 == 0 ? geometry(x, 4) : narrow;
    const uint32_t most = narrow.blocks > g.blocks ? narrow.blocks : g.blocks;
    if (need) return (*need = sizeof(float) * 2 * most * (size_t)x.c), 0;
    if (narrow.columns == 0) return QV_REFUSED;
    return qv_wide((uint32_t)x.c, x.data, c->scratch) ? run<4>(c, g) : run<1>(c, narrow);
}

extern "C" int qv_cuda_bn_finalize(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_bn_attr &a = c->op->a.bn;
    const uint32_t channels = (uint32_t)c->out[0].c;
    if (channels == 0 || (!a.eval && a.count < 2)) return QV_REFUSED;
    QV_LAUNCH(finalize, dim3((channels + QV_BLOCK - 1) / QV_BLOCK), dim3(QV_BLOCK), 0, c->stream, qv_data(c->in[0]),
              qv_data(c->in[1]), qv_data<float>(c->out[0]), qv_data<float>(c->out[1]), qv_data<float>(c->out[2]),
              channels, a);
    return qv_launch_error();
}
