/* A training over folds, from manifest to report: the run folder. */
#ifndef QV_RUN_RUN_H
#define QV_RUN_RUN_H

#include "report/report.h"
#include "train/settings.h"

typedef struct qv_run_options {
    const char *out;       /* the run folder */
    const char *command;   /* what repeats the run, for the report; may be NULL */
    const char *cache_dir; /* of the features; NULL: the user's */
    bool no_cache;
    bool force;  /* start anew over what the folder holds */
    bool resume; /* go on with what it holds */
    /* Read, check and tell everything up to the first recording; write nothing. The summary then has the recordings,
     * speakers and classes, the network's parameters and who is in which part of each fold. */
    bool dry_run;
} qv_run_options;

/* Trains every fold that is not finished, then writes summary and report. The folder holds config.ini,
 * results.csv and .jsonl, predictions.csv, summary.json, report.html, and a folder a fold with
 * best.safetensors and last.safetensors (in the run folder itself where there is one split).
 *
 * A folder with a finished run is refused without force, an unfinished one without resume or force; with
 * resume, settings that differ from the folder's are refused by name. s gets what the files decide: features.kind of .npy
 * files and images, and what goes with it. *summary is the caller's to free. */
qv_status qv_run(qv_ctx *ctx, qv_settings *s, const qv_run_options *o, qv_summary *summary);

/* Whether a file, by whatever name, is one that a run in the folder has made: a checkpoint, a curve, a figure. */
qv_status qv_run_folder_owns(qv_ctx *ctx, const char *out, const char *file, bool *owns);

/* Settings of the run in a folder, for a resume that is told nothing else. */
qv_status qv_run_settings(qv_ctx *ctx, qv_settings *s, const char *out);

/* XXH3, of 128 bits, of the program file that runs, in hexadecimal; "unknown" where there is no /proc to find it by. */
qv_status qv_program_hash(qv_ctx *ctx, char **out);

#endif
