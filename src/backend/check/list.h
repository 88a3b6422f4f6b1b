/* A list of a program, op by op: each op of a device against the reference, fed what the device itself had before it.
 *
 * Errors of the ops before it do not add up in what is compared, so each op keeps the bound of its own sums, which is
 * narrow and holds for every network; that all ops are there and in order is seen since a buffer that was read too
 * early or written too late does not fit what lies in it after the run. */
#ifndef QV_CHECK_LIST_H
#define QV_CHECK_LIST_H

#include "backend/check/trial.h"

/* What is to be run. */
typedef struct qv_list_run {
    const qv_program *program;
    qv_exec *exec; /* of the program, with keep_buffers: after the run every buffer must hold what was last in it */
    qv_list list;
    int features;        /* the QV_ROLE_EXTERN buffer, -1: none */
    const float *frames; /* what it is bound to */
} qv_list_run;

/* Runs the list once and hands each of its ops to fn, in order: index is its place, what its layer and operands. */
qv_status qv_check_list(qv_ctx *ctx, const qv_exec_options *d, const qv_list_run *f, qv_case_fn fn, void *user);

#endif
