/* cuDNN backend API: CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR. */
#include "fused_graph.h"

/* Tensors between the operations, after those in memory. */
enum { SCALED = FUSED_TENSORS, SHIFTED, RECTIFIED, TENSORS };
enum { MUL, ADD, RELU, POINTWISE };
enum { MOST_OPERATIONS = POINTWISE + 2 };

typedef struct graph {
    cudnnBackendDescriptor_t tensors[TENSORS], pointwise[POINTWISE], convolution, graph;
    cudnnBackendDescriptor_t operations[MOST_OPERATIONS];
    int n;
} graph;

/* Those of a convolution alone, and more after them. */
int64_t fused_uid(int tensor) { return qv_dnn_uid(QV_DNN_X) + tensor; }

/* [1,c,1,1] */
static qv_dnn_layout channels(const qv_dnn_layout *of, cudnnDataType_t type)
{
    return (qv_dnn_layout){.dims = {1, of->dims[1], 1, 1}, .type = type};
}

static qv_dnn_layout layout_of(const fused_key *key, int t)
{
    const qv_dnn_layout x = qv_dnn_layout_of(&key->conv, QV_DNN_X);
    qv_dnn_layout y = qv_dnn_layout_of(&key->conv, QV_DNN_Y), l;
    y.pitch = key->pitch;
    switch (t) {
    case FUSED_W:
        l = qv_dnn_layout_of(&key->conv, QV_DNN_W);
        break;
    case FUSED_Y:
        l = y;
        break;
    case FUSED_SCALE:
    case FUSED_BIAS:
        l = channels(&x, CUDNN_DATA_FLOAT);
        break;
    case FUSED_SUM:
    case FUSED_SQUARES:
        l = channels(&y, CUDNN_DATA_FLOAT);
        break;
    default:
        l = x;
        l.inner = t >= SCALED;
        if (t == SCALED || t == SHIFTED) l.type = CUDNN_DATA_FLOAT; /* rounded once, as bn_apply does */
    }
    l.uid = fused_uid(t);
    return l;
}

/* y = mode(x, b); ReLU has no b. */
static void add_pointwise(qv_desc_maker *m, graph *g, int i, cudnnPointwiseMode_t mode, int x, int b, int y)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t d = qv_desc_new(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    qv_desc_set(m, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    qv_desc_set(m, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    qv_desc_finalize(m, d);
    g->pointwise[i] = d;

    d = qv_desc_new(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->pointwise[i]);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->tensors[x]);
    if (b >= 0)
        qv_desc_set(m, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->tensors[b]);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->tensors[y]);
    qv_desc_finalize(m, d);
    g->operations[g->n++] = d;
}

static void add_statistics(qv_desc_maker *m, graph *g)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;
    cudnnBackendDescriptor_t d = qv_desc_new(m, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR), *t = g->tensors;
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1, &mode);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t[FUSED_Y]);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t[FUSED_SUM]);
    qv_desc_set(m, d, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t[FUSED_SQUARES]);
    qv_desc_finalize(m, d);
    g->operations[g->n++] = d;
}

static void make_graph(qv_desc_maker *m, graph *g, const qv_dnn_target *target, const fused_key *key)
{
    *g = (graph){.n = 0};
    for (int t = 0; t < TENSORS; t++) {
        const qv_dnn_layout l = layout_of(key, t);
        if (fused_uses(key, t)) g->tensors[t] = qv_dnn_make_tensor(m, &l);
    }
    const bool applies = (key->parts & FUSED_APPLY) != 0;
    if (applies) {
        add_pointwise(m, g, MUL, CUDNN_POINTWISE_MUL, FUSED_X, FUSED_SCALE, SCALED);
        add_pointwise(m, g, ADD, CUDNN_POINTWISE_ADD, SCALED, FUSED_BIAS, SHIFTED);
        add_pointwise(m, g, RELU, CUDNN_POINTWISE_RELU_FWD, SHIFTED, -1, RECTIFIED);
    }
    const cudnnBackendDescriptor_t convolved[3] = {
        [QV_DNN_X] = g->tensors[applies ? RECTIFIED : FUSED_X],
        [QV_DNN_W] = g->tensors[FUSED_W],
        [QV_DNN_Y] = g->tensors[FUSED_Y],
    };
    g->convolution = qv_dnn_make_convolution(m, &key->conv);
    g->operations[g->n++] = qv_dnn_make_operation(m, &key->conv, convolved, g->convolution);
    if (key->parts & FUSED_STATS) add_statistics(m, g);
    g->graph = qv_dnn_make_graph(m, target, g->operations, g->n);
}

static void free_graph(graph *g)
{
    qv_desc_free(g->graph);
    for (int i = 0; i < g->n; i++) qv_desc_free(g->operations[i]);
    qv_desc_free(g->convolution);
    for (int i = 0; i < POINTWISE; i++) qv_desc_free(g->pointwise[i]);
    for (int t = 0; t < TENSORS; t++) qv_desc_free(g->tensors[t]);
}

qv_status fused_find(qv_ctx *ctx, const qv_dnn_target *target, const fused_key *key, const qv_dnn_options *o,
                     qv_dnn_engine *engines, int cap, int *n, qv_dnn_census *census)
{
    char text[FUSED_TEXT];
    graph g;
    *n = 0;
    fused_text(key, text);
    qv_desc_maker m = {.ctx = ctx, .what = text};
    make_graph(&m, &g, target, key);
    const qv_dnn_query query = {target, g.graph, text, (qv_precision)key->conv.precision, o};
    if (m.status == QV_OK) m.status = qv_dnn_search(ctx, &query, engines, cap, n, census);
    free_graph(&g);
    return m.status;
}
