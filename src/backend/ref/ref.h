/* The reference ops: the definition in code. Plain loops in the formula's order, double
 * accumulators, one thread. Each file is compiled twice: qv_real double (the oracle, names
 * qv_ref_X) and float (names qv_ref32_X, what fills the rows that no faster code takes). */
#ifndef QV_REF_H
#define QV_REF_H

#include "backend/backend.h"

#if QV_REAL_DOUBLE
typedef double qv_real;
#define QV_REF(name) qv_ref_##name
#define QV_REF_TABLE qv_ref_ops
#else
typedef float qv_real;
#define QV_REF(name) qv_ref32_##name
#define QV_REF_TABLE qv_ref32_ops
#endif

#define QV_OP(NAME, name, cpu, cuda, in, out) int QV_REF(name)(const qv_call *call, size_t *need);
#include "backend/ops.def"
#undef QV_OP

/* N*H*W of a tensor: the rows of C channels that it holds. */
static inline size_t qv_ref_rows(const qv_tensor *t) { return (size_t)t->n * (size_t)t->h * (size_t)t->w; }

/* Batch norm of one number, before the ReLU. Forward and backward both call this, since the
 * mask of the one must be the mask of the other to the last bit. */
static inline qv_real qv_ref_normalize(qv_real x, qv_real mean, qv_real rstd, qv_real gamma, qv_real beta)
{
    return (x - mean) * (rstd * gamma) + beta;
}

/* The coefficient of sample n at position q of W along frequency, from table [N,1,1,B]. */
static inline qv_real qv_ref_coef(const qv_tensor *table, size_t n, size_t q, size_t w)
{
    const qv_real *data = table->data;
    size_t bands = (size_t)table->c;
    return data[n * bands + q * bands / w];
}

#endif
