#include "backend/cuda/dnn_desc.h"

#include <stdio.h>

static qv_status kind_of_failure(cudnnStatus_t s)
{
    if (CUDNN_STATUS_CATEGORY((int)s) == CUDNN_STATUS_NOT_SUPPORTED) return QV_ERR_UNSUPPORTED;
    if (s == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
        s == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        return QV_ERR_MEMORY;
    return QV_ERR_DEVICE;
}

qv_status qv_cudnn_failed(qv_ctx *ctx, cudnnStatus_t s, const char *call, const char *what)
{
    char last[512] = "";
    cudnnGetLastErrorString(last, sizeof last);
    last[sizeof last - 1] = '\0';
    return qv_fail(ctx, kind_of_failure(s), "%s failed for %s: %s (%d)%s%s", call, what, cudnnGetErrorString(s), (int)s,
                   last[0] ? ": " : "", last);
}

/* What a maker does with the status of every call; `number` is the descriptor type or the attribute. */
static void take(qv_desc_maker *m, cudnnStatus_t s, const char *call, int number)
{
    if (s == CUDNN_STATUS_SUCCESS) return;
    char text[64];
    snprintf(text, sizeof text, "%s(%d)", call, number);
    m->status = qv_cudnn_failed(m->ctx, s, text, m->what);
}

cudnnBackendDescriptor_t qv_desc_new(qv_desc_maker *m, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;
    if (m->status != QV_OK) return NULL;
    take(m, cudnnBackendCreateDescriptor(type, &d), "cudnnBackendCreateDescriptor", (int)type);
    return m->status == QV_OK ? d : NULL;
}

void qv_desc_set(qv_desc_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                 cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    if (m->status != QV_OK) return;
    take(m, cudnnBackendSetAttribute(d, name, type, n, values), "cudnnBackendSetAttribute", (int)name);
}

void qv_desc_finalize(qv_desc_maker *m, cudnnBackendDescriptor_t d)
{
    if (m->status != QV_OK) return;
    cudnnStatus_t s = cudnnBackendFinalize(d);
    if (s != CUDNN_STATUS_SUCCESS) m->status = qv_cudnn_failed(m->ctx, s, "cudnnBackendFinalize", m->what);
}

int64_t qv_desc_get(qv_desc_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                    cudnnBackendAttributeType_t type, int64_t n, void *values)
{
    int64_t count = 0;
    if (m->status != QV_OK) return 0;
    take(m, cudnnBackendGetAttribute(d, name, type, n, &count, values), "cudnnBackendGetAttribute", (int)name);
    return m->status == QV_OK ? count : 0;
}

void qv_desc_free(cudnnBackendDescriptor_t d)
{
    if (d) cudnnBackendDestroyDescriptor(d);
}
