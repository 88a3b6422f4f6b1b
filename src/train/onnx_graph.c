#include "train/onnx_graph.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/io.h"
#include "base/protobuf.h"
#include "quaver_build.h"

/* Numbers of fields and enumerations in onnx.proto. */
enum { IR_VERSION = 8, OPSET = 17, TYPE_FLOAT = 1, TYPE_INT64 = 7, ATTRIBUTE_INT = 2, ATTRIBUTE_INTS = 7 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_I = 3, ATTRIBUTE_LIST = 8, ATTRIBUTE_TYPE = 20 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum {
    MODEL_IR = 1,
    MODEL_PRODUCER = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_METADATA = 14
};

void qv_onnx_graph_free(qv_onnx_graph *g)
{
    qv_buf_free(&g->nodes);
    qv_buf_free(&g->tensors);
    qv_buf_free(&g->values);
    qv_buf_free(&g->metadata);
}

void qv_onnx_int(qv_buf *attributes, const char *name, int64_t value)
{
    qv_buf a = {0};
    qv_pb_text(&a, ATTRIBUTE_NAME, name);
    qv_pb_int(&a, ATTRIBUTE_I, value);
    qv_pb_int(&a, ATTRIBUTE_TYPE, ATTRIBUTE_INT);
    qv_pb_message(attributes, NODE_ATTRIBUTE, &a);
}

void qv_onnx_ints(qv_buf *attributes, const char *name, const int64_t *values, size_t n)
{
    qv_buf a = {0};
    qv_pb_text(&a, ATTRIBUTE_NAME, name);
    for (size_t i = 0; i < n; i++) qv_pb_int(&a, ATTRIBUTE_LIST, values[i]);
    qv_pb_int(&a, ATTRIBUTE_TYPE, ATTRIBUTE_INTS);
    qv_pb_message(attributes, NODE_ATTRIBUTE, &a);
}

void qv_onnx_node(qv_onnx_graph *g, const char *op, const char *const *in, const char *const *out, qv_buf *attributes)
{
    qv_buf n = {0};
    for (int i = 0; in[i]; i++) qv_pb_text(&n, NODE_INPUT, in[i]);
    for (int i = 0; out[i]; i++) qv_pb_text(&n, NODE_OUTPUT, out[i]);
    qv_pb_text(&n, NODE_NAME, out[0]);
    qv_pb_text(&n, NODE_OP, op);
    if (attributes) {
        qv_buf_add(&n, attributes->data, attributes->len);
        n.failed = n.failed || attributes->failed;
        qv_buf_free(attributes);
    }
    qv_pb_message(&g->nodes, GRAPH_NODE, &n);
}

static void start_tensor(qv_buf *t, const char *name, int type, const int64_t *dims, size_t n_dims)
{
    for (size_t i = 0; i < n_dims; i++) qv_pb_int(t, TENSOR_DIMS, dims[i]);
    qv_pb_int(t, TENSOR_TYPE, type);
    qv_pb_text(t, TENSOR_NAME, name);
}

/* `size` low bytes of a number, little-endian as raw_data wants them. */
static void add_raw(qv_buf *raw, uint64_t bits, size_t size)
{
    unsigned char bytes[8];
    qv_put_uint(bytes, bits, size);
    qv_buf_add(raw, bytes, size);
}

void qv_onnx_floats(qv_onnx_graph *g, const char *name, const int64_t *dims, size_t n_dims, const double *values)
{
    qv_buf t = {0}, raw = {0};
    int64_t count = 1;
    for (size_t i = 0; i < n_dims; i++) count *= dims[i];
    for (int64_t i = 0; i < count; i++) {
        float x = (float)values[i];
        uint32_t bits;
        g->overflow = g->overflow || !isfinite(x);
        memcpy(&bits, &x, sizeof bits);
        add_raw(&raw, bits, sizeof bits);
    }
    start_tensor(&t, name, TYPE_FLOAT, dims, n_dims);
    qv_pb_message(&t, TENSOR_RAW, &raw);
    qv_pb_message(&g->tensors, GRAPH_TENSOR, &t);
}

void qv_onnx_int64s(qv_onnx_graph *g, const char *name, const int64_t *values, size_t n)
{
    qv_buf t = {0}, raw = {0};
    for (size_t i = 0; i < n; i++) add_raw(&raw, (uint64_t)values[i], sizeof values[i]);
    start_tensor(&t, name, TYPE_INT64, (int64_t[]){(int64_t)n}, 1);
    qv_pb_message(&t, TENSOR_RAW, &raw);
    qv_pb_message(&g->tensors, GRAPH_TENSOR, &t);
}

/* ValueInfoProto: name = 1, type = 2; TypeProto: tensor_type = 1; its elem_type = 1, shape = 2; TensorShapeProto:
 * dim = 1; a dimension is dim_value = 1 or dim_param = 2. */
static void add_value(qv_onnx_graph *g, uint32_t field, const char *name, const int64_t *dims, size_t n_dims)
{
    qv_buf shape = {0}, batch = {0}, tensor = {0}, type = {0}, value = {0};
    qv_pb_text(&batch, 2, "batch");
    qv_pb_message(&shape, 1, &batch);
    for (size_t i = 0; i < n_dims; i++) {
        qv_buf dim = {0};
        qv_pb_int(&dim, 1, dims[i]);
        qv_pb_message(&shape, 1, &dim);
    }
    qv_pb_int(&tensor, 1, TYPE_FLOAT);
    qv_pb_message(&tensor, 2, &shape);
    qv_pb_message(&type, 1, &tensor);
    qv_pb_text(&value, 1, name);
    qv_pb_message(&value, 2, &type);
    qv_pb_message(&g->values, field, &value);
}

void qv_onnx_input(qv_onnx_graph *g, const char *name, const int64_t *dims, size_t n_dims)
{
    add_value(g, GRAPH_INPUT, name, dims, n_dims);
}

void qv_onnx_output(qv_onnx_graph *g, const char *name, const int64_t *dims, size_t n_dims)
{
    add_value(g, GRAPH_OUTPUT, name, dims, n_dims);
}

void qv_onnx_metadata(qv_onnx_graph *g, const char *key, const char *value)
{
    qv_buf entry = {0};
    qv_pb_text(&entry, 1, key);
    qv_pb_text(&entry, 2, value);
    qv_pb_message(&g->metadata, MODEL_METADATA, &entry);
}

static void append(qv_buf *b, const qv_buf *part)
{
    qv_buf_add(b, part->data, part->len);
    b->failed = b->failed || part->failed;
}

qv_status qv_onnx_write(qv_ctx *ctx, const qv_onnx_graph *g, const char *name, const char *path)
{
    qv_buf graph = {0}, opset = {0}, model = {0};
    append(&graph, &g->nodes);
    qv_pb_text(&graph, GRAPH_NAME, name);
    append(&graph, &g->tensors);
    append(&graph, &g->values);
    qv_pb_int(&model, MODEL_IR, IR_VERSION);
    qv_pb_text(&model, MODEL_PRODUCER, "quaver");
    qv_pb_text(&model, MODEL_PRODUCER_VERSION, QV_VERSION);
    qv_pb_message(&model, MODEL_GRAPH, &graph);
    qv_pb_text(&opset, 1, "");
    qv_pb_int(&opset, 2, OPSET);
    qv_pb_message(&model, MODEL_OPSET, &opset);
    append(&model, &g->metadata);
    qv_status status = qv_buf_check(ctx, &model);
    if (status == QV_OK && model.len > INT32_MAX)
        status = qv_fail(ctx, QV_ERR_UNSUPPORTED, "the network has %zu bytes; an ONNX file may have 2 GiB", model.len);
    if (status == QV_OK && g->overflow)
        status = qv_fail(ctx, QV_ERR_NUMERIC,
                         "weights times the scales of their batch norm are no finite floats: a broken training");
    if (status == QV_OK) status = qv_write_file(ctx, path, model.data, model.len);
    qv_buf_free(&model);
    return status;
}
