/* The cuDNN graph of a convolution with its neighbours, and the engines for it. */
#ifndef QV_BENCH_FUSED_GRAPH_H
#define QV_BENCH_FUSED_GRAPH_H

#include "backend/cuda/dnn_plan.h"
#include "fused_case.h"

/* The unique id of a tensor in graphs and variant packs. */
int64_t fused_uid(int tensor);

/* As qv_dnn_find, of the fused graph. */
qv_status fused_find(qv_ctx *ctx, const qv_dnn_target *target, const fused_key *key, const qv_dnn_options *o,
                     qv_dnn_engine *engines, int cap, int *n, qv_dnn_census *census);

#endif
