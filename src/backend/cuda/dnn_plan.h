/* From a key to cuDNN plans: the operation graph, the engines that heuristics offer, the filters. All of it works
 * without a device, for one described in words; tests/cuda drives the real library so. */
#ifndef QV_BACKEND_CUDA_DNN_PLAN_H
#define QV_BACKEND_CUDA_DNN_PLAN_H

#include "backend/cuda/dnn_desc.h"
#include "backend/cuda/dnn_key.h"

/* What plans are made for. Exactly one is set: a handle on the device at hand, or a finalized
 * CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR of a device that need not be there (its plans cannot be run). */
typedef struct qv_dnn_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t device;
} qv_dnn_target;

/* A device described in JSON, keys as in docs/gpu-libraries.md. Freed with qv_desc_free. */
qv_status qv_dnn_device(qv_ctx *ctx, cudnnBackendDescriptor_t *out, const char *json);

/* The unique ids of tensors in graphs and variant packs. */
static inline int64_t qv_dnn_uid(qv_dnn_tensor t) { return (int64_t)t + 1; }

/* A tensor of a graph, its channels innermost: N,C,H,W of activations, K,C/groups,R,S of weights. */
typedef struct qv_dnn_layout {
    int64_t dims[4], uid;
    cudnnDataType_t type;
    int64_t pitch; /* channels from one position to the next; 0: dims[1] */
    bool inner;    /* only between operations of the graph, never in memory */
} qv_dnn_layout;
qv_dnn_layout qv_dnn_layout_of(const qv_dnn_key *key, qv_dnn_tensor t);

/* The pieces of a graph, also of one with several operations. NULL after a failure, which m keeps. */
cudnnBackendDescriptor_t qv_dnn_make_tensor(qv_desc_maker *m, const qv_dnn_layout *t);
cudnnBackendDescriptor_t qv_dnn_make_convolution(qv_desc_maker *m, const qv_dnn_key *key);
cudnnBackendDescriptor_t qv_dnn_make_operation(qv_desc_maker *m, const qv_dnn_key *key,
                                               const cudnnBackendDescriptor_t tensors[3],
                                               cudnnBackendDescriptor_t convolution);
cudnnBackendDescriptor_t qv_dnn_make_graph(qv_desc_maker *m, const qv_dnn_target *target,
                                           const cudnnBackendDescriptor_t *operations, int n);

/* One convolution as an operation graph, with everything that it refers to. */
typedef struct qv_dnn_graph {
    cudnnBackendDescriptor_t tensors[3], convolution, operation, graph;
} qv_dnn_graph;

/* Of a checked key of a convolution. qv_dnn_graph_free also after a failure. */
qv_status qv_dnn_graph_make(qv_ctx *ctx, qv_dnn_graph *g, const qv_dnn_target *target, const qv_dnn_key *key);
void qv_dnn_graph_free(qv_dnn_graph *g);

/* A plan that may be run: what an engine says of itself. */
typedef struct qv_dnn_engine {
    cudnnBackendDescriptor_t config, plan;
    int64_t index;
    unsigned numerical, behavior; /* bit i: has note i of cudnnBackendNumericalNote_t, cudnnBackendBehaviorNote_t */
    cudnnBackendHeurMode_t mode;  /* which list it came from */
    size_t workspace;
} qv_dnn_engine;

void qv_dnn_engine_free(qv_dnn_engine *e);

/* What became of the configurations that heuristics offered. */
typedef enum qv_dnn_verdict {
    QV_DNN_TAKEN,
    QV_DNN_DROP_NONDETERMINISTIC,
    QV_DNN_DROP_REDUCED,     /* inputs or sums in fewer bits than asked for */
    QV_DNN_DROP_TENSOR_CORE, /* strict fp32: they would round the inputs to TF32 */
    QV_DNN_DROP_TRANSFORM,   /* Winograd and FFT: not the direct sum whose error the tests bound */
    QV_DNN_DROP_COMPILED,    /* compiled at run time, while others are left */
    QV_DNN_DROP_REFUSED,     /* the library could not finalize it */
    QV_DNN_DROP_WORKSPACE,   /* wants more than options allow */
    QV_DNN_VERDICTS
} qv_dnn_verdict;

typedef struct qv_dnn_census {
    int offered, n[QV_DNN_VERDICTS];
} qv_dnn_census;

/* The filter: what the notes of an engine mean for a precision. */
qv_dnn_verdict qv_dnn_judge(qv_precision precision, unsigned numerical);

/* Up to `cap` engines with finalized plans for a checked key of a convolution, in the order of the heuristics: mode A,
 * mode B where options ask for tuning, then the fallbacks. Engines compiled at run time are left out as long as there
 * are others, since each costs about a second, unless options ask for tuning. QV_ERR_UNSUPPORTED, with the census in
 * words, where there is none. census may be NULL. */
qv_status qv_dnn_find(qv_ctx *ctx, const qv_dnn_target *target, const qv_dnn_key *key, const qv_dnn_options *o,
                      qv_dnn_engine *engines, int cap, int *n, qv_dnn_census *census);

/* What engines are looked for. */
typedef struct qv_dnn_query {
    const qv_dnn_target *target;
    cudnnBackendDescriptor_t graph;
    const char *what; /* in words, for messages */
    qv_precision precision;
    const qv_dnn_options *options;
} qv_dnn_query;

/* The same for any finalized graph. */
qv_status qv_dnn_search(qv_ctx *ctx, const qv_dnn_query *query, qv_dnn_engine *engines, int cap, int *n,
                        qv_dnn_census *census);

/* The tensors of a graph that lie in memory, and where. */
enum { QV_DNN_MOST_TENSORS = 8 };
typedef struct qv_dnn_pack {
    int n;
    int64_t uids[QV_DNN_MOST_TENSORS];
    const void *pointers[QV_DNN_MOST_TENSORS];
} qv_dnn_pack;

/* Enqueues a plan on a stream (cudaStream_t). */
qv_status qv_dnn_execute(qv_ctx *ctx, cudnnHandle_t handle, const char *what, const qv_dnn_engine *e, void *stream,
                         const qv_dnn_pack *operands, void *workspace);

/* The plan of a key. Pointers are in the order a, b, out of the key. */
qv_status qv_dnn_engine_run(qv_ctx *ctx, cudnnHandle_t handle, const qv_dnn_key *key, const qv_dnn_engine *e,
                            void *stream, const void *const operands[3], void *workspace);

/* Times the engines on memory of its own and returns the fastest one's place in *best; those that fail are left out, and
 * it is an error where all do. Not while capturing. */
qv_status qv_dnn_tune(qv_ctx *ctx, cudnnHandle_t handle, const qv_dnn_key *key, const qv_dnn_engine *engines, int n,
                      int *best);

#endif
