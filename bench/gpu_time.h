/* Time on a GPU, for the benches of single kernels and graphs: what is enqueued on a stream, alone, on a cold L2. Where
 * CUDA fails, the process ends with 1 and the call's name. */
#ifndef QV_BENCH_GPU_TIME_H
#define QV_BENCH_GPU_TIME_H

#include <cuda_runtime_api.h>

#include "backend/backend.h"
#include "kernels/bf16.h"

enum { GPU_TIME_MOST = 8192, GPU_TIME_AT_ONCE = 16 };

typedef struct gpu_time {
    cudaStream_t stream;
    bool small; /* to see that everything runs: each run once */
    cudaEvent_t begin[GPU_TIME_AT_ONCE], end[GPU_TIME_AT_ONCE];
    qv_tensor clean, clean_sums; /* what is read between two runs */
    float *pattern;
    qv_bf16 *half_pattern; /* the same in bf16 */
} gpu_time;

void gpu_time_start(gpu_time *t, bool small);
void gpu_time_stop(gpu_time *t);

/* Ends the process where error is none of CUDA's successes. */
void gpu_check(int error, const char *what);
/* "no device" in words where there is none, else NULL. */
const char *gpu_lacks(void);

void *gpu_alloc(size_t bytes);
void gpu_free(void *p); /* NULL is fine */
void gpu_send(void *to, const void *from, size_t bytes);
/* n numbers in (0, 1], the same ones at each call. */
void gpu_fill(const gpu_time *t, void *p, size_t n, bool bf16);

/* enqueue puts the work on the stream and returns CUDA's error. It runs for so many seconds, the emptying of the L2
 * between two runs included, after a few that are not counted. Milliseconds of each, sorted; returns how many. */
typedef struct gpu_work {
    const char *name;
    int (*enqueue)(const void *user, cudaStream_t stream);
    const void *user;
} gpu_work;
int gpu_time_runs(const gpu_time *t, const gpu_work *w, double seconds, float ms[GPU_TIME_MOST]);

#endif
