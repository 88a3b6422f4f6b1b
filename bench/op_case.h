/* Shapes of one run of an op in a network, and the bytes that it has to move: for the benches of single ops. */
#ifndef QV_BENCH_OP_CASE_H
#define QV_BENCH_OP_CASE_H

#include "backend/backend.h"

enum {
    OP_COEF = 1,      /* bn_grad_*: through a shake */
    OP_ADDEND = 2,    /* bn_grad_apply, relu_grad */
    OP_TICKET = 4,    /* bn_grad_sums: in one launch */
    OP_NORMED = 8,    /* block_end: the shortcut's batch norm is applied there */
    OP_MEASURED = 16, /* block_end: the next statistics are taken there */
    OP_MIXED = 32     /* gather: augmented, and mixed with another row */
};

/* x is [batch, size, size, in]; out: channels afterwards. */
typedef struct op_case {
    qv_op_kind kind;
    int count, size, in, out; /* count: runs a training step */
    int kernel, stride, groups;
    int relu, repeat;
    unsigned options;
} op_case;

/* The op and its operands in the order of ops.def, without data; absent ones have n = 0. in and out start zeroed.
 * Activations are QV_BF16 if asked for. */
void op_case_shapes(const op_case *k, int batch, bool bf16, qv_op *op, qv_tensor *in, qv_tensor *out);

/* The least that any implementation moves: every operand once, twice what is read and written; of gather's features
 * what its patches show. */
double op_case_bytes(const qv_op *op, const qv_tensor *in, const qv_tensor *out);

/* Channels, positions and options, at most 63 characters. */
enum { OP_CASE_TEXT = 64 };
void op_case_text(const op_case *k, char text[OP_CASE_TEXT]);

#endif
