/* Ops put to the test: cases with fresh random data, the reference's answer, and how far from it another backend
 * may be. One list of cases for all who ask: the tests of launchers, and `quaver selftest`. */
#ifndef QV_CHECK_PROBLEM_H
#define QV_CHECK_PROBLEM_H

#include "backend/backend.h"

/* One problem: an op with its operands. Reals are held in double and are floats in value; other types are as
 * they are. An output's data is NULL, or what an io operand starts with. Absent: in[].n == 0. */
typedef struct qv_problem {
    qv_op op;
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
    bool exact;  /* small powers of two: no float operation on them rounds */
    bool bf16;   /* cases are made with activations that are bf16 in value */
    bool failed; /* there was no memory for all operands */
    bool fed;    /* operands as a device left them: what it converts before a product was not rounded beforehand */
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
 * starts as zeros (equal to the bit). Bounds follow from the magnitudes and lengths of the sums. NaN where there was
 * no memory to find one. */
void qv_problem_bound(const qv_problem *p, const qv_tensor *expect, double *const *bound);
/* An output that is then stored in bf16: what was within the bound comes to lie between its rounded ends. */
void qv_bound_bf16(const qv_tensor *expect, double *bound);
/* The same for a convolution by Winograd's algorithm, which rounds exact data too. */
void qv_bound_winograd(const qv_problem *p, const qv_tensor *expect, double *bound);

/* Rounds the operands that a backend of this precision holds or multiplies in fewer bits, so that its own rounding
 * of them changes nothing; does nothing where `fed`. */
void qv_problem_round(qv_problem *p, qv_precision precision);
/* The bound for a backend of this precision, after qv_problem_round. */
void qv_problem_bound_in(const qv_problem *p, qv_precision precision, const qv_tensor *expect, double *const *bound);

/* The reference in double on operands in host memory; scratch is handled. Returns the op's status, or QV_ERR_MEMORY. */
int qv_reference(const qv_op *op, const qv_tensor *in, const qv_tensor *out);

/* Bytes of one element of operand i: 0 for a real, whose size is the backend's. *io: read and written. */
size_t qv_operand_size(qv_op_kind kind, bool output, int i, bool *io);
/* Is operand i an activation, or the gradient at one? */
bool qv_operand_is_activation(qv_op_kind kind, bool output, int i);

/* What the reference answers, reals in double, and room for the bounds, which start as zeros. */
typedef struct qv_answer {
    qv_tensor out[QV_MAX_OUT];
    double *bound[QV_MAX_OUT];
} qv_answer;

qv_status qv_answer_new(qv_ctx *ctx, qv_answer *a, const qv_problem *p);
void qv_answer_free(qv_answer *a);
/* Where an op goes on from its own output k as that lies in memory, rounded as it is (block_end takes the statistics of
 * its y), outputs behind it, and their bounds, become those that follow from what was found there: found[] has its
 * elements. Does nothing to other ops and outputs. To be called when k has been judged, on a backend that is not the
 * reference itself; without it what follows is asked to be equal to the bit. */
qv_status qv_answer_follow(qv_ctx *ctx, qv_answer *a, const qv_problem *p, int k, const double *found);

/* All elements of a problem's outputs against their bounds. Starts zeroed. */
typedef struct qv_verdict {
    size_t elements, wrong;
    int output; /* where the worst element is: that with the largest share of its bound */
    size_t at;
    double got, want, bound, share; /* share: error over bound, infinite beyond a bound of 0 and for NaN */
} qv_verdict;

/* Adds output k: found[] has its elements. */
void qv_verdict_add(qv_verdict *v, const qv_problem *p, const qv_answer *a, int k, const double *found);

#endif
