/* bn_stats, bn_finalize, bn_measure: mean and variance of each channel over all samples and positions, and what
 * training makes of them.
 *
 * Elements moved: each x is read once (the minimum), and 8 bytes a channel and block of partial
 * results, under 1/30 of x where x is large. How the sums are made: kernels/moments.cuh; a second launch
 * merges the blocks. bn_measure is all three in one launch: the last block merges (kernels/merge.cuh). */
#include "kernels/bn.cuh"
#include "kernels/merge.cuh"
#include "kernels/moments.cuh"

namespace {

template <class T, int V> struct value_rows {
    using loaded = qv_raw<T, V>;
    const T *x;
    uint32_t channels, column;
    qv_distances<V> d;

    __device__ inline loaded load(uint64_t row) const { return qv_fetch<V>(x + qv_offset(row, channels, column, V)); }
    __device__ inline void take(const loaded &in, uint64_t) { d.add(qv_unpack(in)); }
};

/* Leaves the moments of a block's rows in part: [block][2][channels], means and M2. */
template <class T, int V>
__device__ inline void measure_block(const T *x, float *part, const qv_rows &g, uint32_t block, uint32_t channels)
{
    const qv_place at = qv_place_of(g, block);
    float m[2 * V + 1] = {};
    if (at.row < at.end) {
        value_rows<T, V> f = {x, channels, at.column, {}};
        const qv_raw<T, V> origin = f.load(0);
        qv_each_row<4>(g, at, f);
        f.d.moments(qv_unpack(origin), m);
    }
    qv_join_lanes<qv_moments<V>>(m, g, at);
    if (at.lane == 0 && at.column < g.vectors) qv_store_moments<V>(part, block, channels, at.column, m);
}

template <class T, int V>
__global__ void __launch_bounds__(QV_BLOCK) stats_blocks(const T *x, float *part, qv_rows g, uint32_t channels)
{
    measure_block<T, V>(x, part, g, qv_last_first(), channels);
}

template <class T, int V>
__global__ void __launch_bounds__(QV_BLOCK, 3) stats_whole(const T *x, qv_parts p, qv_rows g, qv_finish f)
{
    const uint32_t block = qv_last_first();
    uint32_t first;
    const uint32_t width = qv_column_channels(g, V, &first);
    measure_block<T, V>(x, p.part, g, block, p.channels);
    qv_merge_blocks<qv_moments<1>>(p, block, first, width, 1, 0, [=](uint32_t c, const float(&m)[3]) {
        f.statistics(c, qv_load<1>(x + c).v[0] + m[0], m[1] / (float)g.rows);
    });
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
    __device__ inline void take(const loaded &p, uint64_t block)
    {
        const uint64_t left = rows - block * chunk;
        const float other[3] = {p.x, p.y, (float)(left < chunk ? left : chunk)};
        qv_moments<1>::join(m, other);
    }
};

/* g deals the partial results (its rows) of all channels (its vectors); whole: how x was dealt. */
template <class T>
__global__ void __launch_bounds__(QV_BLOCK)
    stats_merge(const T *x, const float *part, float *mean, float *var, qv_rows g, qv_rows whole)
{
    const qv_place at = qv_place_of(g, 0);
    block_moments b = {part, g.vectors, at.column, whole.rows, whole.chunk, {}};
    qv_each_row<4>(g, at, b);
    qv_join_lanes<qv_moments<1>>(b.m, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        mean[at.column] = qv_load<1>(x + at.column).v[0] + b.m[0];
        var[at.column] = b.m[1] / (float)whole.rows;
    }
}

qv_rows geometry(const qv_tensor &x, uint32_t v) { return qv_sums_rows(qv_positions(x), (uint32_t)x.c / v); }

template <class T, int V> int run(const qv_call *c)
{
    const T *x = qv_data<const T>(c->in[0]);
    const uint32_t channels = (uint32_t)c->in[0].c;
    const qv_rows g = geometry(c->in[0], V), merge = qv_merge_rows(g.blocks, channels);
    float *part = static_cast<float *>(c->scratch);
    if (g.columns == 0 || merge.columns == 0) return QV_REFUSED;
    QV_LAUNCH((stats_blocks<T, V>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream, x, part, g, channels);
    const int error = qv_launch_error();
    if (error) return error;
    QV_LAUNCH((stats_merge<T>), dim3(1, merge.columns), dim3(merge.threads), c->stream, x, part,
              qv_data<float>(c->out[0]), qv_data<float>(c->out[1]), merge, g);
    return qv_launch_error();
}

template <class T, int V> int run_whole(const qv_call *c)
{
    const qv_rows g = geometry(c->in[0], V);
    const uint32_t channels = (uint32_t)c->in[0].c;
    if (g.columns == 0) return QV_REFUSED;
    const qv_parts p = {static_cast<float *>(c->scratch), qv_data<unsigned>(c->out[4]), channels, g.rows, g.chunk};
    QV_LAUNCH((stats_whole<T, V>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream, qv_data<const T>(c->in[0]),
              p, g, qv_finish_of(c->out, c->op->a.bn));
    return qv_launch_error();
}

__global__ void __launch_bounds__(QV_BLOCK) finalize(const float *mean, const float *var, float *rstd, float *rmean,
                                                     float *rvar, uint32_t channels, qv_bn_attr a)
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
    if (qv_tensor_len(&x) == 0 || !qv_floats(c->out[0], c->out[1])) return QV_REFUSED;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        const uint32_t narrow = geometry(x, 1).blocks;
        const uint32_t wide = x.c % qv_wide_of<T> == 0 ? geometry(x, qv_wide_of<T>).blocks : narrow;
        if (need) return *need = sizeof(float) * 2 * (narrow > wide ? narrow : wide) * (size_t)x.c, 0;
        return qv_wide<T>((uint32_t)x.c, x.data, c->scratch) ? run<T, qv_wide_of<T>>(c) : run<T, 1>(c);
    });
}

extern "C" int qv_cuda_bn_measure(const qv_call *c, size_t *need)
{
    const qv_tensor &x = c->in[0], *out = c->out;
    if (qv_tensor_len(&x) == 0 || c->op->a.bn.count < 2 || !qv_floats(out[0], out[1], out[2], out[3]))
        return QV_REFUSED;
    if (qv_tensor_len(&out[4]) < (size_t)qv_ticket_words(x.c)) return QV_REFUSED;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        const uint32_t channels = (uint32_t)x.c, narrow = geometry(x, 1).blocks;
        const uint32_t wide = x.c % qv_wide_of<T> == 0 ? geometry(x, qv_wide_of<T>).blocks : narrow;
        if (need) return *need = sizeof(float) * qv_parts_floats(narrow > wide ? narrow : wide, channels), 0;
        return qv_wide<T>(channels, x.data, c->scratch) ? run_whole<T, qv_wide_of<T>>(c) : run_whole<T, 1>(c);
    });
}

extern "C" int qv_cuda_bn_finalize(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_bn_attr &a = c->op->a.bn;
    const uint32_t channels = (uint32_t)c->out[0].c;
    if (channels == 0 || (!a.eval && a.count < 2)) return QV_REFUSED;
    if (!qv_floats(c->in[0], c->in[1], c->out[0], c->out[1], c->out[2])) return QV_REFUSED;
    QV_LAUNCH(finalize, dim3((channels + QV_BLOCK - 1) / QV_BLOCK), dim3(QV_BLOCK), c->stream, qv_data(c->in[0]),
              qv_data(c->in[1]), qv_data<float>(c->out[0]), qv_data<float>(c->out[1]), qv_data<float>(c->out[2]),
              channels, a);
    return qv_launch_error();
}
