/* One training of a study, from its settings to its record. */
#ifndef QV_STUDY_STUDY_TRAIN_H
#define QV_STUDY_STUDY_TRAIN_H

#include "study/study_records.h"

/* What made the records of this process. */
typedef struct qv_maker {
    char *program;
    const char *isa;
    qv_gpu_device *gpu; /* that they share; NULL: none */
} qv_maker;

typedef struct qv_study_job {
    const qv_study *study;
    const qv_study_data *data;
    const qv_maker *maker;
    qv_run_id run;
} qv_study_job;

/* Trains on the calling thread alone. *out is the caller's to free. */
qv_status qv_study_train(qv_ctx *ctx, const qv_study_job *job, qv_study_record *out);

#endif
