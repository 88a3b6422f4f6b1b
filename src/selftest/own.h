/* Inside of the selftest. */
#ifndef QV_SELFTEST_OWN_H
#define QV_SELFTEST_OWN_H

#include "selftest/selftest.h"

typedef struct qv_selftest_run {
    qv_ctx *ctx;
    const qv_selftest_options *o;
    qv_selftest_result *result;
    qv_exec_options device; /* with the pool, and the GPU opened */
    qv_selftest_row row;    /* being filled */
} qv_selftest_run;

/* table.c: a row begins; cases are added; it is handed out. With every_case, each case is. Whoever wants to hear of it
 * (qv_debug) hears what begins before it does, and how it ended: that it does not end is seen so. */
void qv_selftest_begin(qv_selftest_run *r, const char *part, const char *name);
void qv_selftest_add(void *run, const qv_case *c);
void qv_selftest_end(qv_selftest_run *r);
/* Counts as a case that did not pass. */
void qv_selftest_complain(qv_selftest_run *r, const char *fmt, ...) QV_PRINTF(2, 3);
/* The status of what a row is for. That the device failed is the row's answer, and the others are still to be asked:
 * but where it does nothing more after that, no other row would say anything. */
qv_status qv_selftest_outlive(qv_selftest_run *r, qv_status status);

qv_status qv_selftest_steps(qv_selftest_run *r);
qv_status qv_selftest_training(qv_selftest_run *r);

#endif
