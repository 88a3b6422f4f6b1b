/* The cases of an op, run as programs on a device: what `quaver selftest` and the tests of devices do.
 *
 * Some cases make one program, an op each, and the program runs twice from garbage in all outputs, so that arena,
 * plans, streams and captured graphs of the device are in the way as in training. */
#ifndef QV_CHECK_TRIAL_H
#define QV_CHECK_TRIAL_H

#include "backend/check/problem.h"
#include "backend/exec.h"

/* How one case came out. */
typedef struct qv_case {
    qv_op_kind kind;
    size_t index; /* with the seed, what qv_problem_make makes it from */
    const char *what;
    const char *trouble; /* NULL, or what is wrong beside the numbers: refused, two runs differ, an input changed */
    qv_verdict verdict;
    /* What was asked, and how far from which answer one may be, while the case is handed out; NULL: no op was. */
    const qv_problem *problem;
    const qv_answer *answer;
} qv_case;

static inline bool qv_case_passed(const qv_case *c) { return !c->trouble && c->verdict.wrong == 0; }

/* Which cases. */
typedef struct qv_choice {
    uint64_t seed;
    size_t limit; /* none with a longer operand; 0: of any length */
    bool large;   /* also the one with tensors beyond the caches, where the op has one */
} qv_choice;

/* Runs cases of one op and hands each to fn. What a device refuses or does wrong is a case that did not pass; another
 * status than QV_OK means that the check could not be made, QV_ERR_DEVICE that the GPU does nothing more after what the
 * message says. */
typedef void (*qv_case_fn)(void *user, const qv_case *c);
qv_status qv_check_op(qv_ctx *ctx, const qv_exec_options *d, qv_op_kind kind, const qv_choice *choice, qv_case_fn fn,
                      void *user);

/* The bound of a problem's answer on this device. */
void qv_check_bound(const qv_exec_options *d, const qv_problem *p, qv_answer *a);

#endif
