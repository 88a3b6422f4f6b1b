/* Records of other studies for the runs that are the same in this one: equal settings, starting weights, manifest, recordings that
 * could be read, recordings on either side of the fold, and seed. */
#ifndef QV_STUDY_STUDY_REUSE_H
#define QV_STUDY_STUDY_REUSE_H

#include "study/study_records.h"

/* Another study's folder. Zeroed: none. */
typedef struct qv_reuse {
    const char *folder; /* borrowed */
    qv_study *study;
    qv_plan plan;
} qv_reuse;

/* For the plan `p`. QV_ERR_USAGE or QV_ERR_DATA where the folder holds no study, or one with other defaults. */
qv_status qv_reuse_open(qv_ctx *ctx, qv_reuse *x, const char *folder, const qv_plan *p);
void qv_reuse_close(qv_reuse *x);

/* Copies its record of a run of this study to `path`, under this study's names; *taken is false where it has none.
 * QV_ERR_DATA where the record is damaged. */
qv_status qv_reuse_take(qv_ctx *ctx, const qv_reuse *x, const qv_study *s, const qv_plan *p, const qv_run_id *run,
                        const char *path, bool *taken);

#endif
