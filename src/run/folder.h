/* The folder of a run: whose it is, what of an earlier run is given up, and where each fold keeps its files. */
#ifndef QV_RUN_FOLDER_H
#define QV_RUN_FOLDER_H

#include "base/io.h"
#include "data/folds.h"
#include "run/run.h"

/* Before hours are spent: may this run write there? Makes and locks the folder (no dry run does), and refuses that of
 * a study, of another process, of a run that is neither gone on with nor given up, and without config.ini one with any
 * file that qv_run_folder_clear would remove; with resume also other settings, by name. *anew: nothing that lies there is gone on with. */
qv_status qv_run_folder_open(qv_ctx *ctx, qv_lock *lock, const qv_settings *s, const qv_run_options *o, bool *anew);

/* Removes what an earlier run has left, in the folder and in those of its folds, whatever folds it had: nobody must
 * take that for this run's. config.ini is the last to go. */
qv_status qv_run_folder_clear(qv_ctx *ctx, const char *out);

/* config.ini */
qv_status qv_run_folder_configure(qv_ctx *ctx, const char *out, const qv_settings *s);
/* Without it: nothing was begun. */
void qv_run_folder_forget(const char *out);
/* *there: it has a file of that name. */
qv_status qv_run_folder_has(qv_ctx *ctx, const char *out, const char *name, bool *there);

/* The run folder itself where there is one split, else fold-NAME in it; made, without the left-overs of a process that
 * was killed (locked: nobody else writes there). */
qv_status qv_run_folder_of(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold, bool locked,
                           char **path);
/* *begun: it holds a checkpoint to go on from. Makes nothing. */
qv_status qv_run_folder_begun(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold, bool *begun);
/* Of a fold that is finished: warns where the weights that count are gone. Makes nothing. */
qv_status qv_run_folder_warn_of_lost(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold);

#endif
