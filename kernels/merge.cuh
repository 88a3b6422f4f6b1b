/* The end of a sum over all rows, without a second launch: the block that comes last merges what all have left.
 *
 * Blocks draw tickets. The last of each QV_MERGE neighbours merges their partial results into one, the last of these
 * merges those. Which block that is depends on chance, what it adds up and in which order does not: the same call
 * gives the same bits. The counters are zero before and after. */
#ifndef QV_MERGE_CUH
#define QV_MERGE_CUH

#include "kernels/device.cuh"

static_assert(QV_BLOCK == 256 && QV_MERGE == 16 && QV_SUM_BLOCKS == 512, "qv_ticket_words of op.h counts so");

/* True in all threads of the block that draws the last of `count` tickets; what the others wrote before theirs can
 * then be read. All threads of the block call. */
__device__ inline bool qv_draws_last(unsigned *ticket, uint32_t count)
{
    QV_SHARED(uint32_t, last, [1]);
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last[0] = atomicInc(ticket, count - 1) == count - 1;
        QV_ACQUIRE_GRID();
    }
    __syncthreads();
    return last[0] != 0;
}

/* Partial results: two numbers a channel and block, [blocks][2][channels], and behind them those of the groups. */
struct qv_parts {
    float *part;
    unsigned *ticket; /* [columns of blocks][1 + groups] */
    uint32_t channels;
    uint64_t rows, chunk; /* all, and of one block */
};

inline QV_HD size_t qv_parts_floats(uint32_t blocks, uint32_t channels)
{
    return ((size_t)blocks + qv_up(blocks, QV_MERGE)) * 2 * channels;
}

/* Merges n partial results from `first` on, each of `chunk` rows but the last. Join::join(a, b) of kernels/device.cuh
 * on (two numbers, rows). */
template <class Join>
__device__ inline void qv_merge_run(const float *part, const qv_parts &p, uint32_t first, uint32_t n, uint64_t chunk,
                                    uint32_t channel, float (&sum)[3])
{
    constexpr uint32_t GROUP = 8;
    for (uint32_t k = 0; k < n; k += GROUP) {
        float2 x[GROUP];
#pragma unroll
        for (uint32_t j = 0; j < GROUP; j++) {
            const float *in = part + (size_t)(first + k + j) * 2 * p.channels + channel;
            x[j] = k + j < n ? make_float2(__ldcg(in), __ldcg(in + p.channels)) : make_float2(0, 0);
        }
#pragma unroll
        for (uint32_t j = 0; j < GROUP; j++) {
            const uint64_t begin = (first + k + j) * chunk, left = p.rows > begin ? p.rows - begin : 0;
            const float other[3] = {x[j].x, x[j].y, k + j < n ? (float)(left < chunk ? left : chunk) : 0.0f};
            if (k + j < n) Join::join(sum, other);
        }
    }
}

/* Called by all threads of all blocks when `block` has written its partial results. In the block that ends the sum
 * done(channel, sum) runs once for each channel of the column: `sides` runs of `width` channels, `apart` apart. */
template <class Join, class Done>
__device__ inline void qv_merge_blocks(const qv_parts &p, uint32_t block, uint32_t first, uint32_t width,
                                       uint32_t sides, uint32_t apart, Done done)
{
    const uint32_t groups = (gridDim.x + QV_MERGE - 1) / QV_MERGE, group = block / QV_MERGE, begin = group * QV_MERGE;
    unsigned *ticket = p.ticket + blockIdx.y * (1 + groups);
    const uint32_t left = gridDim.x - begin, members = left < QV_MERGE ? left : (uint32_t)QV_MERGE;
    float *merged = p.part + (size_t)gridDim.x * 2 * p.channels;
    if (!qv_draws_last(ticket + 1 + group, members)) return;
    for (uint32_t i = threadIdx.x; i < sides * width; i += blockDim.x) {
        const uint32_t c = i / width * apart + first + i % width;
        float sum[3] = {};
        qv_merge_run<Join>(p.part, p, begin, members, p.chunk, c, sum);
        merged[(size_t)group * 2 * p.channels + c] = sum[0];
        merged[((size_t)group * 2 + 1) * p.channels + c] = sum[1];
    }
    if (!qv_draws_last(ticket, groups)) return;
    for (uint32_t i = threadIdx.x; i < sides * width; i += blockDim.x) {
        const uint32_t c = i / width * apart + first + i % width;
        float sum[3] = {};
        qv_merge_run<Join>(merged, p, 0, groups, p.chunk * QV_MERGE, c, sum);
        done(c, sum);
    }
}

/* Channels of a column of blocks, of one side: from *first on. */
__device__ inline uint32_t qv_column_channels(const qv_rows &g, uint32_t v, uint32_t *first)
{
    const uint32_t begin = blockIdx.y * g.width, left = g.vectors - begin;
    *first = begin * v;
    return (left < g.width ? left : g.width) * v;
}

/* For sums as they are; the third number, rows, plays no part. */
struct qv_pair_sum {
    static __device__ inline void join(float (&a)[3], const float (&b)[3])
    {
        a[0] += b[0];
        a[1] += b[1];
    }
};

#endif
