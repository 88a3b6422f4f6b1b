/* A device for the real cuDNN to believe in: the few calls of cuDNN, cuBLAS and the CUDA runtime that need one are
 * defined here instead and work on the host's memory. Plans are the library's own; what they compute is worked out
 * from the attributes that the program gave to its graph and variant pack, by cuDNN's definitions, in plain loops. */
#ifndef QV_TEST_FAKE_DEVICE_H
#define QV_TEST_FAKE_DEVICE_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <stdbool.h>

typedef struct fake_device {
    cudnnBackendDescriptor_t properties; /* what heuristics are asked about, in place of the handle's device */
    long fail_at;                        /* the call of this number fails, 0: none */
    long calls;
    long descriptors, handles, allocations, streams, events; /* alive */
    long executed, products, timed;
    long broken;                 /* so many of the next plans to be executed fail */
    unsigned broken_modes;       /* bit i: heuristics of mode i fail */
    float times[128];            /* milliseconds that the timing of run i is said to take */
    size_t memory;               /* bytes that can be allocated at once, 0: any */
    cublasComputeType_t compute; /* of the last product */
    cublasMath_t math;
    size_t workspace; /* of the last product */
} fake_device;

extern fake_device fake;

#endif
