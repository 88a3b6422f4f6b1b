/* Inside view of the CPU backend: what its files share. */
#ifndef QV_CPU_H
#define QV_CPU_H

#include "backend/backend.h"
#include "base/parallel.h"

/* c[m][n] = a[m][k] b[k][n], or += with `add`; row-major, `ld` floats from row to row. */
typedef struct qv_gemm_args {
    const float *a, *b;
    float *c;
    size_t m, n, k, lda, ldb, ldc;
    bool a_transposed; /* a is stored [k][m] */
    bool add;
} qv_gemm_args;

/* A 3x3 convolution with stride 1 and padding 1, or one of its gradients, for the Winograd kernels: both
 * activations are [N,H,W,groups * channels]. */
typedef struct qv_winograd {
    int kind; /* QV_OP_CONV, ... */
    size_t n, h, w, groups;
    size_t from, to; /* channels a group: of the first input and of the output; CONV_GRAD_W: of x and of dy */
    int threads;     /* the scratch has room for so many */
} qv_winograd;

/* Runs the call; with `need` not NULL only stores there how many bytes of scratch it wants. */
typedef int (*qv_winograd_fn)(const qv_winograd *g, const qv_call *call, size_t *need);

/* A direct convolution, or one of its gradients, for the kernels that read strips (isa/strips.h). */
typedef struct qv_strips {
    int kind; /* QV_OP_CONV, ... */
    size_t n, kernel, stride, pad, groups;
    size_t from_h, from_w, to_h, to_w; /* of the first input and of the output; CONV_GRAD_W: of x and of dy */
    size_t from, to;                   /* channels a group, likewise */
    int threads;                       /* the scratch has room for so many */
} qv_strips;

typedef int (*qv_strips_fn)(const qv_strips *g, const qv_call *call, size_t *need);

/* What is compiled once an instruction set (isa/). A row of `ops` may be NULL: the reference's is taken. */
typedef struct qv_isa {
    const char *name;
    qv_op_fn ops[QV_OP_COUNT];
    void (*gemm)(const qv_gemm_args *g);
    /* The first of each also for CONV_GRAD_X; channels: multiples of 16. */
    qv_winograd_fn winograd_conv, winograd_grad_w;
    qv_strips_fn strips_conv, strips_grad_w; /* NULL: there is none */
} qv_isa;

extern const qv_isa qv_isa_base;
#if QV_X86
extern const qv_isa qv_isa_avx2, qv_isa_avx512;
#endif

/* The best set of this processor that is not above max_isa ("avx512", "avx2", "base"; NULL: no limit). */
const qv_isa *qv_isa_best(const char *max_isa);

/* The three convolutions; call->plan comes from qv_cpu_plan. */
int qv_cpu_conv(const qv_call *call, size_t *need);

/* What does the convolutions that the kernels of isa/ do not (conv_dnnl.c, or conv_plain.c without oneDNN): a plan
 * made once an op, its scratch in *need, and the call with that plan. */
qv_status qv_direct_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                         void **plan, size_t *need);
void qv_direct_plan_free(void *plan);
int qv_direct_conv(const qv_call *call, size_t *need);

#endif
