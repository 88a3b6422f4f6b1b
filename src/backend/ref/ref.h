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

#endif
