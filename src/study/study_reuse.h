/* Records of other studies for the runs that are the same in this one. */
#ifndef QV_STUDY_STUDY_REUSE_H
#define QV_STUDY_STUDY_REUSE_H

#include "study/study_own.h"

/* Copies to OUT, under this study's names, the records of the study in `folder` that have the settings, manifest, fold
 * and seed of runs of which OUT has none. The folder stays as it is. QV_ERR_DATA where it holds no study, or a record
 * that is damaged or of other folds. */
qv_status qv_study_reuse(qv_ctx *ctx, const qv_study *s, const qv_plan *p, qv_run_lock *lock, const char *out,
                         const char *folder);

#endif
