/* Inside of cases*.c: how a case is made from its number, and how its bound is built.
 *
 * Bounds. u = 2^-24 is half a unit in the last place: one float operation on exact operands errs by at most u
 * times its result. A sum of n terms, added in any order, errs by at most (n - 1) u S with S the sum of the
 * terms' magnitudes; since single roundings have no common sign the error stays below 7 sqrt(n) u S save with
 * probability 2 exp(-49/2) = 5e-11 an element (Azuma's inequality; Higham and Mary 2019). qv_chain() is the
 * smaller of the two. To it come the few roundings that make a term and store the result. On exact data no
 * float operation rounds, and sums must be equal to the bit. */
#ifndef QV_CHECK_MAKER_H
#define QV_CHECK_MAKER_H

#include "backend/check/problem.h"
#include "base/random.h"

static const double QV_U = 0x1p-24;
/* Below this a float is subnormal or flushed to zero. */
static const double QV_TINY = 0x1p-126;

typedef struct qv_maker {
    qv_problem *p;
    size_t index; /* what qv_pick has left of the case's number */
    bool large;   /* choices by chance, one large shape */
    bool shaped;  /* qv_pick_shape was asked */
    uint64_t rng;
} qv_maker;

/* A row's case and bound: qv_make_conv, qv_bound_conv and so on. */
#define QV_OP(NAME, name, cpu, cuda, in, out)                                                                          \
    void qv_make_##name(qv_maker *m);                                                                                  \
    void qv_bound_##name(const qv_problem *p, const qv_tensor *expect, double *const *bound);
#include "backend/ops.def"
#undef QV_OP

/* One of `count` choices: the case's number is read digit by digit, each digit a choice. */
int qv_pick(qv_maker *m, size_t count);
/* A shape for an op that takes any, and exact data or random. */
qv_tensor qv_pick_shape(qv_maker *m);
void qv_pick_exact(qv_maker *m);
/* Adds to the case's description. */
void qv_describe(qv_maker *m, const char *fmt, ...) QV_PRINTF(2, 3);

static inline qv_tensor qv_shape(int n, int h, int w, int c) { return (qv_tensor){NULL, n, h, w, c, QV_REAL}; }
static inline qv_tensor qv_with_channels(qv_tensor t, int c) { return qv_shape(t.n, t.h, t.w, c); }
static inline qv_tensor qv_vector(int c) { return qv_shape(1, 1, 1, c); }
static inline size_t qv_rows(const qv_tensor *t) { return (size_t)t->n * (size_t)t->h * (size_t)t->w; }
static inline bool qv_power_of_two(size_t n) { return (n & (n - 1)) == 0; }
static inline double qv_as_float(double v) { return (double)(float)v; }

/* Zeroed memory for the operand's elements; NULL where there is none: the operand then has no data, which
 * qv_problem_make sees, so that makers need not report it. */
void *qv_room(qv_tensor *t, size_t size);
/* What is left of v where operand t of the problem is stored: a float, or a bf16. */
double qv_as_stored(const qv_maker *m, const qv_tensor *t, double v);
/* 0, or +- 1/2, 1, 2: products and short sums of these are exact in float. */
double qv_exact_value(qv_maker *m);
/* Normal with deviation `scale`, or an exact value. */
double qv_number(qv_maker *m, double scale);
/* An operand of the shape `of`, filled with qv_number; NULL as qv_room. */
double *qv_numbers(qv_maker *m, qv_tensor *t, qv_tensor of, double scale);
/* The counters of an op over c channels (kernels/merge.cuh): zeros, which must be zeros again. */
void qv_tickets_of(qv_tensor *t, int c);
/* Shares in [0,1]: multiples of 2^-24 as Philox gives them; exact: quarters, 0 and 1 among them. */
void qv_shares(qv_maker *m, qv_tensor *t, qv_tensor of);
/* A label: one of k classes, or one that names none of them, too small or too large. */
int32_t qv_label(qv_maker *m, bool known, int k);
/* The weight of a label's class, 0 where it names none. */
double qv_label_weight(const qv_tensor *weights, int32_t label);
/* Of a shake: shares, and as many more in [-1,2]; 1 less any of them is exact in float. */
void qv_coefficients(qv_maker *m, qv_tensor *t, qv_tensor of);

double qv_chain(size_t n);
/* For ops whose result is a sum of products of their inputs (shares in [0,1]): factors[k] u S for every
 * element of output k, S being the op's result on the magnitudes of its inputs. NaN where there is no memory for S. */
void qv_bound_by_magnitude(const qv_problem *p, const qv_tensor *expect, double *const *bound, const double *factors);
/* How many terms the sums of an output have, for the ops that multiply matrices; false for all others. */
bool qv_sum_lengths(const qv_problem *p, size_t lengths[QV_MAX_OUT]);
/* Bounds of those ops: qv_chain of the terms, and two roundings more. */
void qv_bound_sums(const qv_problem *p, const qv_tensor *expect, double *const *bound);
/* `roundings` of the result itself. */
void qv_bound_rounded(const qv_tensor *expect, double *bound, double roundings);

#endif
