/* Runs side by side: their figures, and what makes the comparison unfair. */
#ifndef QV_REPORT_COMPARE_H
#define QV_REPORT_COMPARE_H

#include "report/report.h"

typedef struct qv_comparison {
    char *const *runs;    /* [n], folders, borrowed */
    qv_summary *summaries; /* [n] */
    size_t n;
} qv_comparison;

/* Reads summary.json of each folder. Into a zeroed struct; free it after a failure too. */
qv_status qv_comparison_read(qv_ctx *ctx, qv_comparison *c, char *const *runs, size_t n);
void qv_comparison_free(qv_comparison *c);

/* A table for a terminal, one row a run. */
void qv_comparison_table(const qv_comparison *c, qv_buf *out);
/* Lines that say in what the runs differ that should be equal: recordings, classes, folds, split, unfinished runs. */
void qv_comparison_cautions(const qv_comparison *c, qv_buf *out);
/* A list of what is in each summary.json. */
qv_status qv_comparison_json(qv_ctx *ctx, const qv_comparison *c, qv_buf *out);
/* One HTML page in the report's style: each run's UA and WA with interval and chance on one scale, and the table. */
void qv_comparison_page(const qv_comparison *c, qv_buf *out);

#endif
