/* A program loaded on a device, ready to run. */
#ifndef QV_EXEC_H
#define QV_EXEC_H

#include "backend/gpu.h"
#include "backend/program.h"
#include "base/parallel.h"

typedef struct qv_exec qv_exec;

#define QV_WORKSPACE ((size_t)256 << 20)

/* What an exec must know of a program to do its training steps without the host between them. */
typedef struct qv_loop {
    int state, loss;                                 /* buffers: the qv_step_state, and sum and weight of a step's loss */
    float (*rate)(const void *user, uint64_t step);  /* learning rate of a step; NULL: only qv_exec_run is called */
    const void *user;
} qv_loop;

typedef struct qv_exec_options {
    qv_device device;
    qv_gpu_device *gpu;     /* CUDA: borrowed, may be shared; NULL: one of its own, `which` */
    const char *which;      /* as qv_gpu_open takes it */
    qv_precision precision; /* CUDA; all others are QV_PRECISION_FP32 */
    size_t workspace;       /* CUDA: bytes that a convolution may ask for; 0: QV_WORKSPACE */
    bool autotune;          /* CUDA: time convolutions instead of trusting the heuristics */
    size_t resident_limit;  /* CUDA: larger QV_ROLE_EXTERN memory is streamed; 0: what does not fit */
    qv_loop loop;
    qv_pool *pool;      /* CPU: threads, borrowed; NULL: one */
    bool no_fuse;       /* run the canonical list */
    bool keep_buffers;  /* every buffer keeps its content until the next run */
    bool poison;        /* fill a buffer with NaN when its life ends: finds uses after it */
    bool profile;       /* time every op */
    const char *isa;    /* CPU: best instruction set allowed, NULL: what there is */
    bool direct;        /* CPU: no Winograd convolutions */
} qv_exec_options;

/* QV_ERR_USAGE for a precision that the device does not have. */
qv_status qv_precision_check(qv_ctx *ctx, qv_device device, qv_precision precision);

/* Takes over the program (fuses it, plans its memory) but does not own it. Parameters and
 * running statistics hold zeros until written. QV_ERR_DEVICE, with what was found and what is
 * needed, where the device cannot be used. */
qv_status qv_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o);
void qv_exec_free(qv_exec *e);

/* Runs the list and waits for its end. */
qv_status qv_exec_run(qv_ctx *ctx, qv_exec *e, qv_list list);

/* A training step by options.loop: its number, keys and sizes are in *s, its rate comes from loop.rate. Returns
 * before its end where the device allows; at most qv_exec_depth steps may be on their way, and they follow each
 * other (s->step grows by 1) unless none is. What is written to buffers meanwhile takes its turn between the steps. */
qv_status qv_exec_submit(qv_ctx *ctx, qv_exec *e, const qv_step_state *s);
/* Waits for the oldest step on its way and takes its loss: weighted sum, and sum of the weights. */
qv_status qv_exec_collect(qv_ctx *ctx, qv_exec *e, double sums[2]);
uint64_t qv_exec_depth(const qv_exec *e);

/* Elements [at, at + n) of a buffer of reals, converted to and from double. A device that fails meanwhile gives
 * NaN (zero bytes), and says so in qv_exec_check. */
void qv_exec_read(qv_exec *e, int buffer, size_t at, size_t n, double *dst);
void qv_exec_write(qv_exec *e, int buffer, size_t at, size_t n, const double *src);
/* The same for buffers of other types, in bytes. */
void qv_exec_read_bytes(qv_exec *e, int buffer, size_t at, size_t n, void *dst);
void qv_exec_write_bytes(qv_exec *e, int buffer, size_t at, size_t n, const void *src);
/* The first failure of a read or write so far. */
qv_status qv_exec_check(qv_ctx *ctx, const qv_exec *e);
/* Memory of a QV_ROLE_EXTERN buffer; must outlive the exec or the next bind, and not change meanwhile. */
qv_status qv_exec_bind(qv_ctx *ctx, qv_exec *e, int buffer, const void *data, size_t bytes);

/* "cpu (avx512, Winograd, oneDNN 2.6.3, 2 threads)" and the like. */
const char *qv_exec_describe(const qv_exec *e);
/* Bytes of all memory that the exec holds. */
size_t qv_exec_bytes(const qv_exec *e);
/* Convolutions that run slower than they might, on the program's own kernel for want of a plan of the libraries. */
size_t qv_exec_without_plan(const qv_exec *e);
/* Seconds that op i takes in a run of the list, with options.profile: the mean of the runs that were timed, on a GPU
 * all but the first, which loads what the libraries load lazily. 0: none was. */
double qv_exec_seconds(const qv_exec *e, qv_list list, size_t i);

#endif
