/* What a run folder remembers: a row an epoch (results.csv, results.jsonl) and a row a recording
 * (predictions.csv). Both files are rewritten whole, so they are complete at every moment. */
#ifndef QV_RUN_RECORD_H
#define QV_RUN_RECORD_H

#include "base/buf.h"
#include "data/manifest.h"

typedef struct qv_epoch_row {
    char fold[64];
    int epoch;
    uint64_t step;
    double seconds, lr, loss;         /* lr of the last step, loss the mean of all */
    double train_ua, val_ua, test_ua; /* NaN: not evaluated */
    double rate;                      /* training patches a second */
} qv_epoch_row;

typedef struct qv_prediction {
    char fold[64];
    char part[8]; /* "test" or "val" */
    char *file, *speaker;
    char place[QV_PART_CELLS][32]; /* in the file, as qv_item_part says */
    int truth, predicted;
    double *probs; /* [classes] */
} qv_prediction;

typedef struct qv_records {
    qv_epoch_row *rows;
    size_t n_rows, cap_rows;
    qv_prediction *predictions;
    size_t n_predictions, cap_predictions;
    char *const *classes; /* borrowed */
    int n_classes;
    bool parts; /* predictions.csv says which part of its file a recording is */
} qv_records;

void qv_records_free(qv_records *r);

qv_status qv_records_add_row(qv_ctx *ctx, qv_records *r, const qv_epoch_row *row);
/* Copies the texts and the probabilities. */
qv_status qv_records_add_prediction(qv_ctx *ctx, qv_records *r, const qv_prediction *p);
/* Forgets the fold's predictions, and its rows after `epoch`. */
void qv_records_drop(qv_records *r, const char *fold, int epoch);

/* RUN/results.csv, RUN/results.jsonl, RUN/predictions.csv. Numbers of the rows read back to the same bits. */
qv_status qv_records_write(qv_ctx *ctx, const qv_records *r, const char *run);
/* Reads what is there into a record whose classes and `parts` are set; missing files are empty ones. */
qv_status qv_records_read(qv_ctx *ctx, qv_records *r, const char *run);

#endif
