/* The runs of a study and their records: which file belongs to which run, and that it holds that run. */
#ifndef QV_STUDY_STUDY_RECORDS_H
#define QV_STUDY_STUDY_RECORDS_H

#include "study/store.h"
#include "study/study_own.h"

typedef struct qv_run_id {
    size_t corpus, fold, cell;
    uint64_t seed;
} qv_run_id;

qv_status qv_run_path(qv_ctx *ctx, char **path, const qv_study *s, const qv_plan *p, const char *out,
                      const qv_run_id *run);

/* QV_ERR_DATA where a record is not of this very run: other settings, another manifest, fold or seed, or speakers whom the
 * fold does not test. */
qv_status qv_run_check(qv_ctx *ctx, const qv_study_record *r, const qv_study *s, const qv_plan *p, const qv_run_id *run);

/* The record at `path` into a zeroed struct; QV_ERR_DATA also where it is not of this very run. */
qv_status qv_run_read(qv_ctx *ctx, qv_study_record *r, const qv_study *s, const qv_plan *p, const qv_run_id *run,
                      const char *path);

/* Every run of the plan in order: seeds, corpora, folds, cells; r is NULL where there is no record. */
typedef qv_status (*qv_record_fn)(qv_ctx *ctx, void *user, const qv_study_record *r, const qv_run_id *run);
qv_status qv_records_each(qv_ctx *ctx, const qv_study *s, const qv_plan *p, const char *out, qv_record_fn fn,
                          void *user);

#endif
