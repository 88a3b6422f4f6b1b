/* Memory of the device, whatever implements the CUDA runtime. A failure ends the test program. */
#ifndef QV_TEST_DEVICE_H
#define QV_TEST_DEVICE_H

#include <cuda_runtime_api.h>
#include <stdlib.h>

#include "support/support.h"

static inline void check(cudaError_t e)
{
    if (e == cudaSuccess) return;
    print_error("CUDA: %s\n", cudaGetErrorString(e));
    exit(1);
}

static inline void *device_alloc(size_t bytes)
{
    void *p = NULL;
    check(cudaMalloc(&p, bytes ? bytes : 1));
    return p;
}

static inline void device_free(void *p) { check(cudaFree(p)); }

#endif
