/* cuDNN's descriptors without ceremony: create, set, finalize. The first failure stays in `status` and later calls
 * do nothing, so that a graph reads as it is and is asked once at its end. */
#ifndef QV_BACKEND_CUDA_DNN_DESC_H
#define QV_BACKEND_CUDA_DNN_DESC_H

#include <cudnn.h>

#include "base/status.h"

typedef struct qv_desc_maker {
    qv_ctx *ctx;
    const char *what; /* the key in words, for messages */
    qv_status status;
} qv_desc_maker;

/* NULL after a failure. */
cudnnBackendDescriptor_t qv_desc_new(qv_desc_maker *m, cudnnBackendDescriptorType_t type);
void qv_desc_set(qv_desc_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                 cudnnBackendAttributeType_t type, int64_t n, const void *values);
void qv_desc_finalize(qv_desc_maker *m, cudnnBackendDescriptor_t d);
/* Stores up to n values and returns how many there are. A descriptor that is asked for must have been created. */
int64_t qv_desc_get(qv_desc_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                    cudnnBackendAttributeType_t type, int64_t n, void *values);
/* NULL is fine. */
void qv_desc_free(cudnnBackendDescriptor_t d);

/* The message of a call that failed, from the status and cuDNN's own last words. QV_ERR_UNSUPPORTED for the
 * NOT_SUPPORTED family, QV_ERR_MEMORY without memory, else QV_ERR_DEVICE. To be called right after the failure. */
qv_status qv_cudnn_failed(qv_ctx *ctx, cudnnStatus_t s, const char *call, const char *what);

#endif
