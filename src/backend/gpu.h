/* What NVIDIA GPUs this machine has, asked of the driver alone: works in every build. */
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

#endif
