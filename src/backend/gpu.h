/* GPUs: what this machine has, asked of the driver alone, which works in every build; and one opened to be used. */
#ifndef QV_BACKEND_GPU_H
#define QV_BACKEND_GPU_H

#include "base/buf.h"

typedef struct qv_gpu {
    char name[96];
    int major, minor; /* compute capability */
    size_t memory;    /* bytes */
} qv_gpu;

enum { QV_MAX_GPUS = 64 };

/* Fills gpus[QV_MAX_GPUS] and returns how many there are. 0: *why says, in words, what was looked for and not
 * found. *driver is the CUDA version that the driver speaks (12040 is 12.4), 0 without a driver. */
int qv_gpu_list(qv_gpu *gpus, int *driver, qv_buf *why);

/* What is needed, as the driver counts CUDA versions (12040 is 12.4) and cuDNN its own (90800 is 9.8.0, the first that
 * plans for a device that is only described: what the tests do). */
enum { QV_GPU_MAJOR = 8, QV_GPU_MINOR = 0, QV_GPU_CUDA = 12040, QV_GPU_CUDNN = 90800 };

/* A GPU opened for use, and what execs on it share: one copy of the features that they train on. Execs of several
 * threads may share it. */
typedef struct qv_gpu_device qv_gpu_device;

/* which: "" or NULL for the first, an ordinal, or the start of a UUID ("GPU-..."). QV_ERR_DEVICE says what was found
 * and what is needed. */
qv_status qv_gpu_open(qv_ctx *ctx, qv_gpu_device **out, const char *which);
/* Before the first exec on it: so many are to be there at a time. Features leave room for those that are still to come,
 * or are streamed. */
void qv_gpu_expect(qv_gpu_device *g, int execs);
/* After the last exec on it. */
void qv_gpu_close(qv_gpu_device *g);
/* Whether it still computes after an error: some, such as an address that is not there, end all that the process can do
 * with it. QV_ERR_DEVICE: it does not. */
qv_status qv_gpu_answers(qv_ctx *ctx, const qv_gpu_device *g);
/* "NVIDIA H100, cuDNN 9.13.0, cuBLAS 13.0.0" and the like. */
const char *qv_gpu_describe(const qv_gpu_device *g);

#endif
