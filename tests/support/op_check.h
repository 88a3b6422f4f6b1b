/* One check for all ops on all backends: each case of src/backend/check is run on a backend and its worst
 * element compared with the reference in double, fed the same numbers.
 *
 * Around every operand stand guard bytes; outputs and scratch start as garbage, another one in each of
 * two runs, which must agree to the last bit; inputs must stay as they are. Nothing here uses cmocka. */
#ifndef QV_TEST_OP_CHECK_H
#define QV_TEST_OP_CHECK_H

#include "backend/check/problem.h"
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
    size_t every; /* of those that are left, the first and then each of so many; 0: all */

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

#endif
