/* A convolution, its data gradient and its weight gradient as cuDNN operation graphs of one operation each, and the
 * pieces of such graphs. cuDNN backend API, CUDNN_BACKEND_OPERATION_CONVOLUTION_*_DESCRIPTOR. */
#include <string.h>

#include "backend/cuda/dnn_plan.h"

qv_status qv_dnn_device(qv_ctx *ctx, cudnnBackendDescriptor_t *out, const char *json)
{
    qv_desc_maker m = {.ctx = ctx, .what = "the description of a device"};
    cudnnBackendDescriptor_t d = qv_desc_new(&m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    qv_desc_set(&m, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json) + 1, json);
    qv_desc_finalize(&m, d);
    *out = m.status == QV_OK ? d : NULL;
    if (m.status != QV_OK) qv_desc_free(d);
    return m.status;
}

cudnnBackendDescriptor_t qv_dnn_make_tensor(qv_desc_maker *m, const qv_dnn_layout *t)
{
    const int64_t h = t->dims[2], w = t->dims[3], pitch = t->pitch ? t->pitch : t->dims[1];
    const int64_t strides[4] = {h * w * pitch, 1, w * pitch, pitch}, alignment = 16;
    cudnnBackendDescriptor_t d = qv_desc_new(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    qv_desc_set(m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t->type);
    qv_desc_set(m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t->dims);
    qv_desc_set(m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    qv_desc_set(m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &t->uid);
    qv_desc_set(m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (t->inner) qv_desc_set(m, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t->inner);
    qv_desc_finalize(m, d);
    return d;
}

qv_dnn_layout qv_dnn_layout_of(const qv_dnn_key *key, qv_dnn_tensor t)
{
    qv_dnn_layout l = {.type = key->precision == QV_PRECISION_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT,
                       .uid = qv_dnn_uid(t)};
    qv_dnn_dims(key, t, l.dims);
    return l;
}

/* Sums are in fp32 in every precision; the groups follow from the channels of x and w. */
cudnnBackendDescriptor_t qv_dnn_make_convolution(qv_desc_maker *m, const qv_dnn_key *key)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t axes = 2, ones[2] = {1, 1};
    const int64_t pads[2] = {key->pad, key->pad}, strides[2] = {key->stride, key->stride};

    cudnnBackendDescriptor_t d = qv_desc_new(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    qv_desc_set(m, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    qv_desc_set(m, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    qv_desc_set(m, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
    qv_desc_set(m, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    qv_desc_set(m, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    qv_desc_set(m, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    qv_desc_set(m, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    qv_desc_finalize(m, d);
    return d;
}

/* How the three operations call the same things. */
typedef struct operation_names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t tensors[3]; /* by qv_dnn_tensor; a gradient stands where its tensor does */
    cudnnBackendAttributeName_t convolution, alpha, beta;
} operation_names;

static const operation_names names[] = {
    [QV_DNN_CONV] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                     {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [QV_DNN_CONV_GRAD_X] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                            {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [QV_DNN_CONV_GRAD_W] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                            {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* out = 1 * op(a, b) + 0 * out: what out holds before is never read. */
cudnnBackendDescriptor_t qv_dnn_make_operation(qv_desc_maker *m, const qv_dnn_key *key,
                                               const cudnnBackendDescriptor_t tensors[3],
                                               cudnnBackendDescriptor_t convolution)
{
    const operation_names *name = &names[key->kind];
    const float alpha = 1.0f, beta = 0.0f;
    cudnnBackendDescriptor_t d = qv_desc_new(m, name->type);
    for (int t = QV_DNN_X; t <= QV_DNN_Y; t++)
        qv_desc_set(m, d, name->tensors[t], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[t]);
    qv_desc_set(m, d, name->convolution, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &convolution);
    qv_desc_set(m, d, name->alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    qv_desc_set(m, d, name->beta, CUDNN_TYPE_FLOAT, 1, &beta);
    qv_desc_finalize(m, d);
    return d;
}

cudnnBackendDescriptor_t qv_dnn_make_graph(qv_desc_maker *m, const qv_dnn_target *target,
                                           const cudnnBackendDescriptor_t *operations, int n)
{
    cudnnBackendDescriptor_t d = qv_desc_new(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (target->handle) qv_desc_set(m, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, operations);
    qv_desc_finalize(m, d);
    return d;
}

qv_status qv_dnn_graph_make(qv_ctx *ctx, qv_dnn_graph *g, const qv_dnn_target *target, const qv_dnn_key *key)
{
    char text[QV_DNN_TEXT];
    qv_dnn_key_text(key, text);
    qv_desc_maker m = {.ctx = ctx, .what = text};
    *g = (qv_dnn_graph){{NULL}, NULL, NULL, NULL};
    for (int t = QV_DNN_X; t <= QV_DNN_Y; t++) {
        const qv_dnn_layout layout = qv_dnn_layout_of(key, (qv_dnn_tensor)t);
        g->tensors[t] = qv_dnn_make_tensor(&m, &layout);
    }
    g->convolution = qv_dnn_make_convolution(&m, key);
    g->operation = qv_dnn_make_operation(&m, key, g->tensors, g->convolution);
    g->graph = qv_dnn_make_graph(&m, target, &g->operation, 1);
    return m.status;
}

void qv_dnn_graph_free(qv_dnn_graph *g)
{
    qv_desc_free(g->graph);
    qv_desc_free(g->operation);
    qv_desc_free(g->convolution);
    for (int t = QV_DNN_X; t <= QV_DNN_Y; t++) qv_desc_free(g->tensors[t]);
}

qv_status qv_dnn_execute(qv_ctx *ctx, cudnnHandle_t handle, const char *what, const qv_dnn_engine *e, void *stream,
                         const qv_dnn_pack *operands, void *workspace)
{
    cudnnStatus_t s = cudnnSetStream(handle, stream);
    if (s != CUDNN_STATUS_SUCCESS) return qv_cudnn_failed(ctx, s, "cudnnSetStream", what);

    qv_desc_maker m = {.ctx = ctx, .what = what};
    const int64_t n = operands->n;
    cudnnBackendDescriptor_t pack = qv_desc_new(&m, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    qv_desc_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, operands->uids);
    qv_desc_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, operands->pointers);
    qv_desc_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    qv_desc_finalize(&m, pack);
    if (m.status == QV_OK && (s = cudnnBackendExecute(handle, e->plan, pack)) != CUDNN_STATUS_SUCCESS)
        m.status = qv_cudnn_failed(ctx, s, "cudnnBackendExecute", what);
    qv_desc_free(pack);
    return m.status;
}

qv_status qv_dnn_engine_run(qv_ctx *ctx, cudnnHandle_t handle, const qv_dnn_key *key, const qv_dnn_engine *e,
                            void *stream, const void *const operands[3], void *workspace)
{
    char text[QV_DNN_TEXT];
    qv_dnn_pack pack = {.n = 3};
    qv_dnn_key_text(key, text);
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++) {
        pack.uids[i] = qv_dnn_uid(qv_dnn_tensor_of(key, (qv_dnn_operand)i));
        pack.pointers[i] = operands[i];
    }
    return qv_dnn_execute(ctx, handle, text, e, stream, &pack, workspace);
}
