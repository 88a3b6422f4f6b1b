#include "tests/simt/samples.h"

#include <stdint.h>

#include "kernels/qv_simt.h"

namespace {

constexpr unsigned ALL = 0xffffffffu;

__device__ inline float warp_sum(float v)
{
    for (unsigned d = 16; d; d /= 2) v += __shfl_down_sync(ALL, v, d);
    return v;
}

/* Twice, so that the shared memory is used again. */
template <int VARIANT> __global__ void sum(const float *x, float *y)
{
    QV_SHARED(float, s, [8]);
    float total = 0;
    for (int half = 0; half < 2; half++) {
        const unsigned i = blockIdx.x * 256 + static_cast<unsigned>(half) * 128 + threadIdx.x;
        const float v = warp_sum(x[i]);
        if (half && VARIANT != SUM_NO_REUSE_BARRIER) __syncthreads();
        if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
        if (VARIANT != SUM_NO_BARRIER) __syncthreads();
        for (int w = 0; w < 4; w++) total += s[w];
    }
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}

/* Thread 7 reads what thread 70 alone writes. */
__global__ void one_pair(const float *x, float *y)
{
    QV_SHARED(float, s, [1]);
    if (threadIdx.x == 7) s[0] = 0;
    __syncthreads();
    if (threadIdx.x == 70) s[0] = x[70];
    if (threadIdx.x == 7) y[blockIdx.x] = s[0];
}

template <bool SYNC> __global__ void lanes(const float *x, float *y)
{
    QV_SHARED(float, s, [32]);
    s[threadIdx.x] = x[threadIdx.x];
    if (SYNC) __syncwarp();
    y[threadIdx.x] = s[(threadIdx.x + 1) % 32];
}

__global__ void warp(unsigned *y)
{
    const unsigned t = threadIdx.x;
    const unsigned a = __shfl_sync(ALL, t, 5), b = __shfl_up_sync(ALL, t, 3), c = __shfl_down_sync(ALL, t, 4, 8);
    const unsigned d = __shfl_xor_sync(ALL, t, 16), e = __ballot_sync(ALL, t % 3 == 0);
    const int any = __any_sync(ALL, t == 31), all = __all_sync(ALL, t < 31);
    unsigned low = 0;
    if (t < 16) low = __shfl_sync(0xffffu, t, 15);
    /* 0 waits for 1, which comes late; 2 already waits for 0. */
    if (t == 1) __syncwarp(2);
    if (t < 2) __syncwarp(3);
    if (t == 0 || t == 2) __syncwarp(5);
    const double wide = __shfl_sync(ALL, t + 0.5, 9);
    const unsigned out[9] = {a, b, c, d, e, unsigned(any), unsigned(all), low, unsigned(wide * 2)};
    for (unsigned i = 0; i < 9; i++) y[i * 32 + t] = out[i];
}

template <int VARIANT> __global__ void ticket(const float *x, float *part, unsigned *counter, float *y)
{
    QV_SHARED(unsigned, mine, [1]);
    const float v = warp_sum(x[blockIdx.x * 32 + threadIdx.x]);
    if (VARIANT == TICKET_OTHERS_FENCE && threadIdx.x == 1) __threadfence();
    if (threadIdx.x == 0) {
        if (VARIANT == TICKET_EARLY_FENCE) __threadfence();
        part[blockIdx.x] = v;
        if (VARIANT == TICKET_RIGHT || VARIANT == TICKET_NO_ACQUIRE) __threadfence();
        mine[0] = atomicInc(counter, gridDim.x - 1);
        if (VARIANT == TICKET_LATE_FENCE) __threadfence();
    }
    __syncthreads();
    if (mine[0] != gridDim.x - 1) return;
    if (VARIANT != TICKET_NO_ACQUIRE) QV_ACQUIRE_GRID();
    float total = 0;
    for (unsigned b = threadIdx.x; b < gridDim.x; b += 32) total += part[b];
    total = warp_sum(total);
    if (threadIdx.x == 0) y[0] = total;
}

template <bool ATOMIC> __global__ void count(int *y)
{
    if (ATOMIC)
        atomicAdd(y, 1);
    else
        y[0] = y[0] + 1;
}

__global__ void twice(const float *x, float *y, int n, int over)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) y[i] = 2 * x[i + over];
}

template <bool RAW> __global__ void vector(const float *x, float *y, int shift)
{
    const float *from = x + 4 * threadIdx.x + shift;
    float4 v;
    if (RAW)
        v = *reinterpret_cast<const float4 *>(from);
    else
        v = qv_ld4(from);
    qv_st4(y + 4 * threadIdx.x, make_float4(2 * v.x, 2 * v.y, 2 * v.z, 2 * v.w));
}

__global__ void divergent_shuffle(float *y)
{
    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_down_sync(ALL, 1.0f, 1);
}

__global__ void two_site_shuffle(float *y)
{
    if (threadIdx.x < 16)
        y[threadIdx.x] = __shfl_down_sync(ALL, 1.0f, 1);
    else
        y[threadIdx.x] = __shfl_down_sync(ALL, 2.0f, 1);
}

__global__ void shuffle_with(float *y, unsigned mask, int source, int width)
{
    y[threadIdx.x] = __shfl_sync(mask, 1.0f, source, width);
}

__global__ void shuffle_and_barrier(float *y)
{
    if (threadIdx.x == 3)
        __syncthreads();
    else
        y[threadIdx.x] = __shfl_down_sync(ALL, 1.0f, 1);
}

/* 0 waits for 1, which waits for 2, which waits for 0. */
__global__ void masks_in_a_ring()
{
    const unsigned masks[3] = {3, 6, 5};
    if (threadIdx.x < 3) __syncwarp(masks[threadIdx.x]);
}

__global__ void divergent_barrier(float *y)
{
    if (threadIdx.x < 32) __syncthreads();
    y[threadIdx.x] = 1;
}

__global__ void two_site_barrier(float *y)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 1;
}

__global__ void early_return(float *y)
{
    if (threadIdx.x == 40) return;
    __syncthreads();
    y[threadIdx.x] = 1;
}

__global__ void static_overrun(float *y, unsigned at)
{
    QV_SHARED(float, s, [32]);
    float *p = s;
    p[threadIdx.x] = 1;
    if (threadIdx.x == 0) y[0] = p[at];
}

__global__ void dynamic_overrun(float *y, unsigned at)
{
    QV_DYN_SHARED(float, s);
    s[threadIdx.x] = 1;
    if (threadIdx.x == 0) y[0] = s[at];
}

__global__ void unwritten(float *y)
{
    QV_SHARED(float, s, [64]);
    if (threadIdx.x < 32) s[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x + 1];
}

__global__ void overflow(float *y, int big) { y[threadIdx.x] = static_cast<float>(big * static_cast<int>(threadIdx.x + 2)); }

/* Threads 0 and 1 write the halves of a word, thread 2 reads the first. */
__global__ void half_words(float *y)
{
    QV_SHARED(uint16_t, s, [32]);
    if (threadIdx.x < 2) s[threadIdx.x] = 1;
    if (threadIdx.x == 2) y[0] = s[0];
}

__global__ void idle() {}

__global__ void add(const float *x, float *y) { y[threadIdx.x] += x[threadIdx.x]; }

} // namespace

extern "C" int sample_sum(void *stream, sum_variant v, const float *x, float *y, int blocks)
{
    const dim3 grid(static_cast<unsigned>(blocks));
    switch (v) {
    case SUM_RIGHT: QV_LAUNCH((sum<SUM_RIGHT>), grid, 128, stream, x, y); break;
    case SUM_NO_BARRIER: QV_LAUNCH((sum<SUM_NO_BARRIER>), grid, 128, stream, x, y); break;
    case SUM_NO_REUSE_BARRIER: QV_LAUNCH((sum<SUM_NO_REUSE_BARRIER>), grid, 128, stream, x, y); break;
    case SUM_ONE_PAIR: QV_LAUNCH(one_pair, grid, 128, stream, x, y); break;
    }
    return qv_launch_error();
}

extern "C" int sample_lanes(void *stream, int syncwarp, const float *x, float *y)
{
    if (syncwarp)
        QV_LAUNCH((lanes<true>), 1, 32, stream, x, y);
    else
        QV_LAUNCH((lanes<false>), 1, 32, stream, x, y);
    return qv_launch_error();
}

extern "C" int sample_warp(void *stream, unsigned *y)
{
    QV_LAUNCH(warp, 1, 32, stream, y);
    return qv_launch_error();
}

extern "C" int sample_ticket(void *stream, ticket_variant v, const float *x, float *part, unsigned *counter, float *y, int blocks)
{
    const dim3 grid(static_cast<unsigned>(blocks));
    switch (v) {
    case TICKET_RIGHT: QV_LAUNCH((ticket<TICKET_RIGHT>), grid, 32, stream, x, part, counter, y); break;
    case TICKET_NO_FENCE: QV_LAUNCH((ticket<TICKET_NO_FENCE>), grid, 32, stream, x, part, counter, y); break;
    case TICKET_LATE_FENCE: QV_LAUNCH((ticket<TICKET_LATE_FENCE>), grid, 32, stream, x, part, counter, y); break;
    case TICKET_EARLY_FENCE: QV_LAUNCH((ticket<TICKET_EARLY_FENCE>), grid, 32, stream, x, part, counter, y); break;
    case TICKET_OTHERS_FENCE: QV_LAUNCH((ticket<TICKET_OTHERS_FENCE>), grid, 32, stream, x, part, counter, y); break;
    case TICKET_NO_ACQUIRE: QV_LAUNCH((ticket<TICKET_NO_ACQUIRE>), grid, 32, stream, x, part, counter, y); break;
    }
    return qv_launch_error();
}

extern "C" int sample_count(void *stream, int atomic, int *y, int blocks, int threads)
{
    if (atomic)
        QV_LAUNCH((count<true>), static_cast<unsigned>(blocks), static_cast<unsigned>(threads), stream, y);
    else
        QV_LAUNCH((count<false>), static_cast<unsigned>(blocks), static_cast<unsigned>(threads), stream, y);
    return qv_launch_error();
}

extern "C" int sample_double(void *stream, const float *x, float *y, int n, int over)
{
    QV_LAUNCH(twice, static_cast<unsigned>(n + 63) / 64, 64, stream, x, y, n, over);
    return qv_launch_error();
}

extern "C" int sample_vector(void *stream, int raw, const float *x, float *y, int shift)
{
    if (raw)
        QV_LAUNCH((vector<true>), 1, 16, stream, x, y, shift);
    else
        QV_LAUNCH((vector<false>), 1, 16, stream, x, y, shift);
    return qv_launch_error();
}

extern "C" int sample_defect(void *stream, defect d, float *y, int threads)
{
    const dim3 block(static_cast<unsigned>(threads));
    const unsigned n = static_cast<unsigned>(threads);
    switch (d) {
    case DEFECT_DIVERGENT_SHUFFLE: QV_LAUNCH(divergent_shuffle, 1, block, stream, y); break;
    case DEFECT_TWO_SITE_SHUFFLE: QV_LAUNCH(two_site_shuffle, 1, block, stream, y); break;
    case DEFECT_LANE_NOT_IN_MASK: QV_LAUNCH(shuffle_with, 1, block, stream, y, 0xffffu, 3, 32); break;
    case DEFECT_SOURCE_NOT_IN_MASK: QV_LAUNCH(shuffle_with, 1, block, stream, y, 0xffffu, 20, 32); break;
    case DEFECT_PARTIAL_WARP: QV_LAUNCH(shuffle_with, 1, block, stream, y, ALL, 3, 32); break;
    case DEFECT_WIDTH: QV_LAUNCH(shuffle_with, 1, block, stream, y, ALL, 3, 12); break;
    case DEFECT_SHUFFLE_AND_BARRIER: QV_LAUNCH(shuffle_and_barrier, 1, block, stream, y); break;
    case DEFECT_MASKS_IN_A_RING: QV_LAUNCH(masks_in_a_ring, 1, block, stream); break;
    case DEFECT_DIVERGENT_BARRIER: QV_LAUNCH(divergent_barrier, 1, block, stream, y); break;
    case DEFECT_TWO_SITE_BARRIER: QV_LAUNCH(two_site_barrier, 1, block, stream, y); break;
    case DEFECT_EARLY_RETURN: QV_LAUNCH(early_return, 1, block, stream, y); break;
    case DEFECT_SHARED_STATIC_OVERRUN: QV_LAUNCH(static_overrun, 1, block, stream, y, n); break;
    case DEFECT_SHARED_DYNAMIC_OVERRUN: QV_LAUNCH_SHARED(dynamic_overrun, 1, block, n * sizeof(float), stream, y, n); break;
    case DEFECT_SHARED_UNWRITTEN: QV_LAUNCH(unwritten, 1, block, stream, y); break;
    case DEFECT_OVERFLOW: QV_LAUNCH(overflow, 1, block, stream, y, 0x40000000); break;
    case DEFECT_HALF_WORDS: QV_LAUNCH(half_words, 1, block, stream, y); break;
    }
    return qv_launch_error();
}

extern "C" int sample_shape(void *stream, unsigned grid_x, unsigned grid_y, unsigned block_x, unsigned block_z,
                            unsigned long shared)
{
    QV_LAUNCH_SHARED(idle, dim3(grid_x, grid_y), dim3(block_x, 1, block_z), shared, stream);
    return qv_launch_error();
}

extern "C" int sample_add(void *stream, const float *x, float *y)
{
    QV_LAUNCH(add, 1, 64, stream, x, y);
    return qv_launch_error();
}
