/* Convolutions with their neighbours on a GPU: a door beside that of backend/cuda/dnn.h, for a peer of the program's
 * separate ops. The rest is as there: NHWC, deterministic engines only, QV_ERR_UNSUPPORTED where there is none. */
#ifndef QV_BENCH_FUSED_CONV_H
#define QV_BENCH_FUSED_CONV_H

#include "fused_case.h"

typedef struct fused_dnn fused_dnn;
typedef struct fused_plan fused_plan;

/* On the current CUDA device. */
qv_status fused_open(qv_ctx *ctx, fused_dnn **out, const qv_dnn_options *o);
void fused_close(fused_dnn *d);

/* Up to `most` plans of a key in the order of the heuristics, which go with fused_plan_free, before fused_close. */
qv_status fused_plans(qv_ctx *ctx, fused_dnn *d, const fused_key *key, fused_plan **plans, int most, int *n);
void fused_plan_free(fused_plan *p);

/* Bytes of device memory, on 256. */
size_t fused_workspace(const fused_plan *p);
const char *fused_describe(const fused_plan *p);

/* Enqueues a plan on a stream (cudaStream_t); may be captured, after a first run. */
qv_status fused_run(qv_ctx *ctx, fused_dnn *d, const fused_plan *p, void *stream,
                    const void *const tensors[FUSED_TENSORS], void *workspace);

#endif
