/* A study run to its end: every cell on every corpus, fold and seed, one thread a training.
 *
 * OUT holds study.ini (the file it was begun with), plan.json (who is tested in which fold, how many seeds), records/
 * (store.h), lock, the embedded corpora, and report.html, report.csv, report.tex. A run is trained by who holds its
 * byte of the lock file, so any number of processes, on one machine or several that share the folder, work together;
 * the lock of a process that died is free. A record that is there is never made again. */
#ifndef QV_STUDY_STUDY_H
#define QV_STUDY_STUDY_H

#include "study/plan.h"

typedef struct qv_study_options {
    const char *out;
    const char *command;          /* what repeats it, for the report; may be NULL */
    const char *const *manifests; /* [n_manifests] "FILE" (one corpus) or "NAME=FILE": instead of the study file's */
    size_t n_manifests;
    const char *const *reuse; /* [n_reuse] folders of studies whose records serve where they are of the same trainings */
    size_t n_reuse;
    const char *cache_dir; /* of the features; NULL: the user's */
    bool no_cache;
    int threads;       /* 0: one a processor */
    int seeds;         /* 0: as the study file says, or as many as OUT has, if those are more */
    int shard, shards; /* 1..shards; 0: all */
} qv_study_options;

/* Trains what is missing and writes the report; answer (may be NULL) gets its first sentences, for free().
 * QV_ERR_INTERRUPTED loses the runs in flight alone. A run whose numbers are not finite is a result, of its settings:
 * recorded as failed, and not tried again. */
qv_status qv_study_run(qv_ctx *ctx, qv_study *s, const qv_study_options *o, char **answer);

/* Cells, runs and the time that they will take, from a few steps of each cell, as many cells at a time as there are threads; trains
 * and records nothing. Text to be printed. */
qv_status qv_study_predict(qv_ctx *ctx, qv_study *s, const qv_study_options *o, qv_buf *text);

/* Joins the records of folders of one study in `out`, and writes the report there. Another study is refused before
 * anything is written, by the first line that differs; records of the same run must be the same. command: what repeats
 * the joining, for the page; NULL: not said. */
qv_status qv_study_merge(qv_ctx *ctx, const char *out, const char *const *folders, size_t n, const char *command,
                         char **answer);

#endif
