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

/* What is compiled once an instruction set (isa/). A row of `ops` may be NULL: the reference's is taken. */
typedef struct qv_isa {
    const char *name;
    qv_op_fn ops[QV_OP_COUNT];
    void (*gemm)(const qv_gemm_args *g);
} qv_isa;

extern const qv_isa qv_isa_base;
#if QV_X86
extern const qv_isa qv_isa_avx2, qv_isa_avx512;
#endif

/* The best set of this processor that is not above max_isa ("avx512", "avx2", "base"; NULL: no limit). */
const qv_isa *qv_isa_best(const char *max_isa);

/* The three convolutions; call->plan comes from qv_cpu_plan. */
int qv_cpu_conv(const qv_call *call, size_t *need);

#endif
