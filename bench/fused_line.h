/* One fused pattern at one shape: its operands on the GPU, the ways to compute it, their times and what they say. */
#ifndef QV_BENCH_FUSED_LINE_H
#define QV_BENCH_FUSED_LINE_H

#include "fused_conv.h"
#include "gpu_time.h"

enum { FUSED_MOST_ROUNDS = 64 };

/* What all lines share. */
typedef struct fused_bench {
    qv_ctx *ctx;
    gpu_time t;
    qv_dnn *dnn;
    fused_dnn *fused;
    qv_precision precision;
    int rounds;
    double seconds; /* a line */
    bool autotune;
} fused_bench;

/* x is what bn_apply reads, `applied` what it makes, y and y2 what apart and fused make. */
typedef struct fused_operands {
    qv_tensor x, applied, y, w, mean, rstd, gamma, beta, statistics[5], spare;
    void *y2, *scale, *bias, *sum, *squares, *scratch;
} fused_operands;

typedef struct fused_line {
    const fused_bench *b;
    const fused_case *c;
    fused_key key;
    int launches;
    fused_operands o;
    qv_op apply, measure, finalize;
    const qv_dnn_plan *apart;
    fused_plan *plan; /* NULL: not supported */
} fused_line;

/* False where the case does not have the pattern. */
bool fused_line_init(fused_line *l, const fused_bench *b, const fused_case *c, int parts);
/* Plans and operands. QV_ERR_UNSUPPORTED: cuDNN has no plan for it. */
qv_status fused_line_plan(fused_line *l);
void fused_line_free(fused_line *l);

/* Milliseconds; off: how far apart and fused are from each other; same_bits: the fused statistics were the same every
 * time, which no note of cuDNN's engines promises. */
typedef struct fused_times {
    double apart, fused, again, off;
    bool same_bits;
} fused_times;
qv_status fused_line_time(const fused_line *l, fused_times *t);

/* The least that each way moves. */
void fused_line_bytes(const fused_line *l, double *apart, double *fused);

#endif
