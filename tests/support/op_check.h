/* One check for all ops on all backends: each case of op_cases.c is run on a backend and its worst
 * element compared with the reference in double, fed the same numbers.
 *
 * Around every operand stand guard bytes; outputs and scratch start as garbage, another one in each of
 * two runs, which must agree to the last bit; inputs must stay as they are. Nothing here uses cmocka. */
#ifndef QV_TEST_OP_CHECK_H
#define QV_TEST_OP_CHECK_H

#include "backend/backend.h"
#include "base/parallel.h"

/* What runs the ops. Zeroed fields: no pool, no plans, memory of the host, cases of every size. */
typedef struct qv_op_runner {
    const char *name;
    const qv_op_fn *table; /* rows may be NULL: qv_op_check then runs nothing and *cases is 0 */
    bool f64;              /* its reals are double */
    bool bf16;             /* its activations are bf16; the reference is fed what that leaves of them */
    qv_pool *pool;
    bool large;   /* also one case an op with tensors of more than 16 MiB, its options drawn from the seed */
    bool quiet;   /* failures are counted, not printed */
    size_t limit; /* cases with a longer operand than this are passed over; 0: none are */

    /* The CPU backend: its convolutions have a plan, and those that it does by Winograd a bound of their own. */
    const qv_cpu_options *cpu;

    /* A device's memory: 64-byte aligned; copy goes either way and returns when all work is done, 0 if it went well. */
    void *(*alloc)(size_t bytes);
    void (*release)(void *p);
    int (*copy)(void *to, const void *from, size_t bytes);
} qv_op_runner;

/* Runs all cases of one op with data from `seed`; failures are printed to stderr (backend, seed, op, case,
 * element, both values). Returns how many cases failed; *cases: how many were run. Ends the process when
 * there is no memory. */
int qv_op_check(const qv_op_runner *r, qv_op_kind kind, uint64_t seed, int *cases);

/* One problem: an op with its operands. Reals are held in double and are floats in value; other types are as
 * they are. An output's data is NULL, or what an io operand starts with. Absent: in[].n == 0. */
typedef struct qv_problem {
    qv_op op;
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
    bool exact; /* small powers of two: no float operation on them rounds */
    char what[96];
} qv_problem;

/* The i-th case of an op, or the one with tensors beyond the caches (ops that have such a case: those whose shapes
 * are free); false past the last. Release with qv_problem_free. */
enum { QV_PROBLEM_LARGE = 1 << 30 };
bool qv_problem_make(qv_problem *p, qv_op_kind kind, size_t i, uint64_t seed);
/* The same with activations that are bf16 in value. */
bool qv_problem_make_bf16(qv_problem *p, qv_op_kind kind, size_t i, uint64_t seed);
void qv_problem_free(qv_problem *p);

/* How far a float32 backend may be from `expect`, element by element: bound[k] has the length of output k and
 * starts as zeros (equal to the bit). Bounds follow from the magnitudes and lengths of the sums. */
void qv_problem_bound(const qv_problem *p, const qv_tensor *expect, double *const *bound);
/* An output that is then stored in bf16: where a float must be equal to the bit, `expect` becomes what it rounds to;
 * elsewhere the bound grows by half a unit in the last place of the largest value allowed. */
void qv_bound_bf16(qv_tensor *expect, double *bound);
/* The same for a convolution by Winograd's algorithm, which rounds exact data too. */
void qv_bound_winograd(const qv_problem *p, const qv_tensor *expect, double *bound);

/* The reference in double on operands in host memory; scratch is handled. Returns the op's status. */
int qv_reference(const qv_op *op, const qv_tensor *in, const qv_tensor *out);

/* Bytes of one element of operand i: 0 for a real, whose size is the backend's. *io: read and written. */
size_t qv_operand_size(qv_op_kind kind, bool output, int i, bool *io);
/* Is operand i an activation? */
bool qv_operand_is_activation(qv_op_kind kind, bool output, int i);

#endif
