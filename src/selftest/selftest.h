/* Does this program compute what it should, on this device? What people run after installing, and what the tests run.
 *
 *   ops       every op, forward and backward, on fresh random data in many shapes, each element within a bound that
 *             follows from the magnitudes and lengths of its sums
 *   steps     whole steps and evaluations of small networks of every block order, op by op on the device's own numbers;
 *             again with buffers that share memory, which must give the same bits
 *   training  fifty steps with the trainer, their losses against those of the reference in double; again, to the bit */
#ifndef QV_SELFTEST_H
#define QV_SELFTEST_H

#include "backend/check/trial.h"
#include "train/settings.h"

/* One line of the table. */
typedef struct qv_selftest_row {
    const char *part; /* "op", "step", "training" */
    char name[40];    /* the op, or the network */
    char what[176];   /* where the worst element is: the case's shape and options, the layer, the step */
    size_t cases, failed;
    qv_verdict worst;
    char trouble[200]; /* what is wrong beside the numbers, "": nothing */
} qv_selftest_row;

/* What can be left out: each op, all steps, the training. */
enum { QV_SELFTEST_STEPS = QV_OP_COUNT, QV_SELFTEST_TRAINING, QV_SELFTEST_PARTS };

typedef struct qv_selftest_options {
    const qv_settings *settings; /* [run]: device, precision, threads, instruction set */
    uint64_t seed;
    bool thorough;   /* also cases with tensors beyond the caches */
    size_t limit;    /* cases of ops with a longer operand are left out (emulations); 0: none are */
    bool every_case; /* a row a case and not an op */
    bool left_out[QV_SELFTEST_PARTS];
    void (*on_row)(void *user, const qv_selftest_row *row);
    void *user;
} qv_selftest_options;

typedef struct qv_selftest_result {
    char device[256]; /* as qv_exec_describe */
    size_t cases, failed, elements;
    double seconds;
} qv_selftest_result;

/* Leaves out what the list names (ops, "step", "training", between commas), or what it does not name. QV_ERR_USAGE for
 * a name that there is not, and where nothing is left. */
qv_status qv_selftest_leave_out(qv_ctx *ctx, qv_selftest_options *o, const char *list, bool named);

/* Status is QV_OK whether or not something is outside its bound: result->failed says so. QV_ERR_DEVICE: the GPU does
 * nothing more in this process; what it did last is a row, and what was to come is not tested. */
qv_status qv_selftest(qv_ctx *ctx, const qv_selftest_options *o, qv_selftest_result *result);

#endif
