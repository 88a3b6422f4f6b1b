/* Memory of the device, whatever implements the CUDA runtime. A failure ends the test program. */
#ifndef QV_TEST_DEVICE_H
#define QV_TEST_DEVICE_H

#include <cuda_runtime_api.h>
#include <stdlib.h>

#include "support/support.h"

/* Is there one to test on? If not, says so in the words by which ctest knows a test that was passed over. */
static inline bool device_there(void)
{
    int devices = 0;
    bool there = cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
    if (!there) fprintf(stderr, "ALL TESTS SKIPPED: no CUDA device\n");
    return there;
}

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
