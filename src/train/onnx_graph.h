/* The few parts of an ONNX graph that the export is made of (onnx.proto, IR version 8).
 *
 * Each call appends to one of the graph's lists; a failure for want of memory stays in the buffers. */
#ifndef QV_TRAIN_ONNX_GRAPH_H
#define QV_TRAIN_ONNX_GRAPH_H

#include "base/buf.h"

typedef struct qv_onnx_graph {
    qv_buf nodes, tensors, values; /* fields of GraphProto: node; initializer; input and output */
    qv_buf metadata;               /* fields of ModelProto */
    bool overflow;                 /* a constant was too large for float32 */
} qv_onnx_graph;

void qv_onnx_graph_free(qv_onnx_graph *g);

/* Attributes of a node, to be handed to the next qv_onnx_node, which frees them. */
void qv_onnx_int(qv_buf *attributes, const char *name, int64_t value);
void qv_onnx_ints(qv_buf *attributes, const char *name, const int64_t *values, size_t n);

/* One node. `in` and `out` are lists of names that NULL ends; attributes may be NULL. */
void qv_onnx_node(qv_onnx_graph *g, const char *op, const char *const *in, const char *const *out, qv_buf *attributes);

/* Constants: float32 from doubles, row-major; int64. */
void qv_onnx_floats(qv_onnx_graph *g, const char *name, const int64_t *dims, size_t n_dims, const double *values);
void qv_onnx_int64s(qv_onnx_graph *g, const char *name, const int64_t *values, size_t n);

/* A float32 input or output of the whole graph; its first dimension is the batch, of any size. */
void qv_onnx_input(qv_onnx_graph *g, const char *name, const int64_t *dims, size_t n_dims);
void qv_onnx_output(qv_onnx_graph *g, const char *name, const int64_t *dims, size_t n_dims);

void qv_onnx_metadata(qv_onnx_graph *g, const char *key, const char *value);

/* The whole model, opset 17, to a file that appears complete or not at all. QV_ERR_UNSUPPORTED above the
 * 2 GiB that a Protocol Buffers message may have, QV_ERR_NUMERIC where a constant is no float32. */
qv_status qv_onnx_write(qv_ctx *ctx, const qv_onnx_graph *g, const char *name, const char *path);

#endif
