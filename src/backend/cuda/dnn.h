/* Convolutions and matrix products on a GPU: the one narrow door to cuDNN and cuBLAS.
 *
 * A plan is built for a key (which operation, which shapes, which precision) and run on a stream.
 * Nothing of the libraries' own types is seen outside, so that a second implementation in plain loops
 * can stand behind the door where there is no GPU (tests/simt). A key that an implementation has no
 * plan for is answered with QV_ERR_UNSUPPORTED; who asks has a kernel of kernels/ to fall back on.
 *
 * Activations are NHWC, weights [cout][kernel][kernel][cin / groups], products row-major, all
 * contiguous and on 16 bytes. One qv_dnn belongs to one host thread and one stream at a time.
 *
 * BF16 means all three operands: the weights that a convolution reads are a copy in bf16, and a weight gradient comes
 * out in bf16 (cuDNN has no engine that writes it in fp32); who asks converts both. A plan's kernels are loaded at its
 * first run, so run it once before a stream is captured. */
#ifndef QV_BACKEND_CUDA_DNN_H
#define QV_BACKEND_CUDA_DNN_H

#include "backend/backend.h"

/* What a plan computes, and its operands a, b -> out. */
typedef enum qv_dnn_kind {
    QV_DNN_CONV,        /* x [n,h,w,cin], w -> y [n,p,q,cout] */
    QV_DNN_CONV_GRAD_X, /* dy, w -> dx */
    QV_DNN_CONV_GRAD_W, /* x, dy -> dw */
    QV_DNN_PRODUCT      /* op(a) [rows,depth], op(b) [depth,columns] -> out [rows,columns] */
} qv_dnn_kind;

/* precision: a qv_precision. Compared as bytes: fields that a kind does not use are 0. */
typedef struct qv_dnn_key {
    int32_t kind, precision;
    int32_t n, h, w, cin;                       /* convolutions: of x */
    int32_t cout, kernel, stride, pad, groups;
    int32_t rows, columns, depth;               /* products */
    int32_t transpose_a, transpose_b;           /* stored [depth,rows], [columns,depth] */
    int32_t accumulate;                         /* out += instead of = */
} qv_dnn_key;

typedef struct qv_dnn_options {
    size_t workspace_limit; /* bytes that one plan may ask for */
    bool autotune;          /* time the candidates instead of trusting the heuristics */
} qv_dnn_options;

typedef struct qv_dnn qv_dnn;
typedef struct qv_dnn_plan qv_dnn_plan;

/* On the current CUDA device. QV_ERR_DEVICE names the library, its version and the one needed. */
qv_status qv_dnn_new(qv_ctx *ctx, qv_dnn **out, const qv_dnn_options *o);
void qv_dnn_free(qv_dnn *d);

/* The plan of a key, made at its first asking and kept until qv_dnn_free. Only deterministic ones: the same call
 * gives the same bits. QV_ERR_UNSUPPORTED: there is none. QV_ERR_USAGE: the key makes no sense. Not while a stream is
 * being captured. */
qv_status qv_dnn_plan_for(qv_ctx *ctx, qv_dnn *d, const qv_dnn_key *key, const qv_dnn_plan **out);

/* The plan of a key that one was asked for before; NULL: none was made. */
const qv_dnn_plan *qv_dnn_known(const qv_dnn *d, const qv_dnn_key *key);

/* Forgets the stream of the last run, which may end now; all plans stay. */
void qv_dnn_rest(qv_dnn *d);

/* Bytes of device memory, on 256, that a run wants as workspace. Runs that may overlap need one each. */
size_t qv_dnn_workspace(const qv_dnn_plan *plan);

/* "cuDNN engine 28, workspace 4096" and the like: what reproduces a run to the bit, besides the versions. */
const char *qv_dnn_plan_describe(const qv_dnn_plan *plan);

/* Enqueues a plan on a stream (cudaStream_t); may be captured. Does not wait. */
qv_status qv_dnn_run(qv_ctx *ctx, qv_dnn *d, const qv_dnn_plan *plan, void *stream, const void *a, const void *b, void *out,
                     void *workspace);

/* "cuDNN 9.13.0, cuBLAS 13.0.0" and the like. */
const char *qv_dnn_describe(const qv_dnn *d);

#endif
