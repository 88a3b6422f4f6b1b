#include "gpu_time.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/kernels.h"

enum { WARM_UP = 3, PATTERN = 1 << 18 };
/* What is read between two runs, [rows, 8, 8, channels] floats: 256 MiB, more than an L2 holds. */
enum { CLEAN_ROWS = 4096, CLEAN_CHANNELS = 256 };

void gpu_check(int error, const char *what)
{
    if (error == 0) return;
    fprintf(stderr, "%s: CUDA error %d: %s\n", what, error, cudaGetErrorString((cudaError_t)error));
    exit(1);
}

const char *gpu_lacks(void)
{
    int devices = 0;
    const cudaError_t found = cudaGetDeviceCount(&devices);
    return found != cudaSuccess ? cudaGetErrorString(found) : devices == 0 ? "none there" : NULL;
}

void *gpu_alloc(size_t bytes)
{
    void *p = NULL;
    char what[48];
    snprintf(what, sizeof what, "allocating %zu bytes", bytes);
    gpu_check((int)cudaMalloc(&p, bytes ? bytes : 1), what);
    return p;
}

void gpu_free(void *p)
{
    if (p) gpu_check((int)cudaFree(p), "freeing memory");
}

void gpu_send(void *to, const void *from, size_t bytes)
{
    gpu_check((int)cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "sending operands");
}

/* The pattern over and over: its beginning is sent, the rest copied from what is there. */
void gpu_fill(const gpu_time *t, void *p, size_t n, bool bf16)
{
    const size_t size = bf16 ? sizeof(qv_bf16) : sizeof(float), bytes = n * size, whole = PATTERN * size;
    size_t done = bytes < whole ? bytes : whole;
    gpu_send(p, bf16 ? (const void *)t->half_pattern : t->pattern, done);
    while (done < bytes) {
        const size_t more = done < bytes - done ? done : bytes - done;
        gpu_check((int)cudaMemcpy((char *)p + done, p, more, cudaMemcpyDeviceToDevice), "copying operands");
        done += more;
    }
}

static void make_pattern(gpu_time *t)
{
    t->pattern = calloc(PATTERN, sizeof *t->pattern);
    t->half_pattern = calloc(PATTERN, sizeof *t->half_pattern);
    if (!t->pattern || !t->half_pattern) gpu_check((int)cudaErrorMemoryAllocation, "memory of the host");
    for (uint32_t i = 0; i < PATTERN; i++) {
        t->pattern[i] = (float)(i * 2654435761u >> 20) / 4096 + 1.0f / 4096;
        t->half_pattern[i] = qv_bf16_of(t->pattern[i]);
    }
}

void gpu_time_start(gpu_time *t, bool small)
{
    const int rows = small ? 2 : CLEAN_ROWS;
    *t = (gpu_time){.small = small};
    gpu_check((int)cudaStreamCreate(&t->stream), "making a stream");
    for (int i = 0; i < GPU_TIME_AT_ONCE; i++) {
        gpu_check((int)cudaEventCreate(&t->begin[i]), "making an event");
        gpu_check((int)cudaEventCreate(&t->end[i]), "making an event");
    }
    make_pattern(t);
    t->clean = (qv_tensor){NULL, rows, 8, 8, CLEAN_CHANNELS, QV_REAL};
    t->clean_sums = (qv_tensor){NULL, rows, 1, 1, CLEAN_CHANNELS, QV_REAL};
    t->clean.data = gpu_alloc(qv_tensor_len(&t->clean) * sizeof(float));
    t->clean_sums.data = gpu_alloc(qv_tensor_len(&t->clean_sums) * sizeof(float));
    gpu_fill(t, t->clean.data, qv_tensor_len(&t->clean), false);
}

void gpu_time_stop(gpu_time *t)
{
    gpu_free(t->clean.data);
    gpu_free(t->clean_sums.data);
    for (int i = 0; i < GPU_TIME_AT_ONCE; i++) {
        gpu_check((int)cudaEventDestroy(t->begin[i]), "ending");
        gpu_check((int)cudaEventDestroy(t->end[i]), "ending");
    }
    gpu_check((int)cudaStreamDestroy(t->stream), "ending");
    free(t->pattern);
    free(t->half_pattern);
}

/* Fills the L2 with what nobody needs by reading: what a write leaves there would be written back during the next run,
 * at its expense. */
static void empty_cache(const gpu_time *t)
{
    const qv_op op = {.kind = QV_OP_POOL};
    const qv_call call = {.op = &op, .in = &t->clean, .out = &t->clean_sums, .stream = t->stream};
    gpu_check(qv_cuda_pool(&call, NULL), "emptying the cache");
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int gpu_time_runs(const gpu_time *t, const gpu_work *w, double seconds, float ms[GPU_TIME_MOST])
{
    const int at_once = t->small ? 1 : GPU_TIME_AT_ONCE;
    int runs = 0;
    for (int i = 0; i < (t->small ? 0 : WARM_UP); i++) gpu_check(w->enqueue(w->user, t->stream), w->name);
    gpu_check((int)cudaStreamSynchronize(t->stream), w->name);
    const double until = qv_now() + seconds;
    do {
        for (int i = 0; i < at_once; i++) {
            empty_cache(t);
            gpu_check((int)cudaEventRecord(t->begin[i], t->stream), w->name);
            gpu_check(w->enqueue(w->user, t->stream), w->name);
            gpu_check((int)cudaEventRecord(t->end[i], t->stream), w->name);
        }
        gpu_check((int)cudaStreamSynchronize(t->stream), w->name);
        for (int i = 0; i < at_once; i++)
            gpu_check((int)cudaEventElapsedTime(&ms[runs++], t->begin[i], t->end[i]), "reading the time");
    } while (qv_now() < until && runs + at_once <= GPU_TIME_MOST);
    qsort(ms, (size_t)runs, sizeof *ms, by_value);
    return runs;
}
