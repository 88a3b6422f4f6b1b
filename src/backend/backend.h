/* The interface between a program and what runs it. */
#ifndef QV_BACKEND_H
#define QV_BACKEND_H

#include "base/status.h"
#include "kernels/op.h"

typedef enum qv_op_kind {
#define QV_OP(NAME, name, cpu, cuda, in, out) QV_OP_##NAME,
#include "backend/ops.def"
#undef QV_OP
    QV_OP_COUNT
} qv_op_kind;

/* A row of the op list. */
typedef struct qv_op_info {
    const char *name, *in, *out; /* operands as written in ops.def */
    bool cpu_own, cuda;          /* the cpu table overrides the reference; CUDA has it */
    int n_in, n_out;
} qv_op_info;

qv_op_info qv_op_info_of(qv_op_kind kind);

/* The reference ops, compiled in double and in float. */
extern const qv_op_fn qv_ref_ops[QV_OP_COUNT];
extern const qv_op_fn qv_ref32_ops[QV_OP_COUNT];
/* The reference in float with the rows of the CPU's own versions replaced: those for the
 * best instruction set that this processor has, of "avx512", "avx2", "base"; the name of
 * the set chosen is stored in *isa. max_isa: NULL, or the best set allowed. */
void qv_cpu_ops(qv_op_fn table[QV_OP_COUNT], const char *max_isa, const char **isa);

typedef struct qv_cpu_options {
    const char *isa; /* best instruction set allowed, NULL: what there is */
    int threads;     /* of the pool that calls will bring */
    bool direct;     /* convolutions as direct sums only, not by Winograd's algorithm */
} qv_cpu_options;

/* Prepared state of convolutions on the CPU (src/backend/cpu/conv*.c): made once per op,
 * NULL plan for every other kind. `need` gets the scratch bytes of the op. */
qv_status qv_cpu_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                      void **plan, size_t *need);
void qv_cpu_plan_free(void *plan);
/* Whether an op's plan is a Winograd convolution: its error has a bound of its own. */
bool qv_takes_winograd(const qv_cpu_options *o, const qv_op *op, const qv_tensor *in, const qv_tensor *out);
/* Whether a convolution that Winograd does not take is a direct sum by the CPU's own kernels, not the library's. */
bool qv_takes_strips(const qv_cpu_options *o, const qv_op *op, const qv_tensor *in, const qv_tensor *out);
/* What does the other convolutions: "oneDNN 2.6.3, AVX-512", of the library that is loaded and what it uses, or "own im2col
 * (built without oneDNN: slow)". */
typedef struct qv_conv_name {
    char text[64];
} qv_conv_name;
qv_conv_name qv_cpu_conv_name(void);
/* Keeps it to an instruction set (as qv_cpu_options.isa), for the whole process and once: before the first plan. Where that
 * comes too late, qv_cpu_conv_name says what is used. */
void qv_cpu_conv_limit(const char *max_isa);

/* How a device multiplies and stores. FP32: every product and sum in 24 bits, no tensor cores. TF32: products of 11
 * bits, sums of 24. BF16: activations and their gradients stored in bfloat16 (8 bits), sums of 24. */
typedef enum qv_precision { QV_PRECISION_FP32, QV_PRECISION_TF32, QV_PRECISION_BF16 } qv_precision;
/* "fp32", "tf32", "bf16". */
const char *qv_precision_name(qv_precision p);

/* What runs a program. */
typedef enum qv_device { QV_DEVICE_CPU, QV_DEVICE_REF, QV_DEVICE_REF32, QV_DEVICE_CUDA } qv_device;

#endif
