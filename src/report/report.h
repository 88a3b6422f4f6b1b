/* The run folder as a record: summary.json, and report.html made from the folder.
 *
 * What a report reads (everything else in the folder is ignored):
 *   RUN/results.csv      fold,epoch,step,seconds,lr,loss,train_ua,val_ua,test_ua,gap_val,gap_test,samples_per_second
 *                        one row an epoch and fold; UA in 0..1, gaps in points; cells that were not evaluated are empty
 *   RUN/predictions.csv  fold,part,file,[start,end,channel,]speaker,truth,predicted,p_<class>...
 *                        part is test or val; one row a recording, over full windows
 *   RUN/config.ini       the effective configuration; shown as it is
 *   RUN/summary.json     as below
 *
 * summary.json, format 1. Unknown keys are ignored; a number that does not exist (an empty part, too few
 * speakers) is null. UA and WA are in 0..1, gaps in points (100 * difference of UA), hashes in hexadecimal.
 *   {
 *     "format": 1,
 *     "quaver": "0.1.0",                program's version
 *     "program": "9f..",                XXH3, of 128 bits, of the program file
 *     "command": "quaver train ...",    what repeats the run
 *     "manifest": {"path": "..", "hash": "..", "recordings_hash": "..", "content_hash": "..", "recordings": 339, "skipped": 0, "speakers":
 * 10}, "classes": ["anger", ..], "seed": "1", "device": "cpu", "threads": 2, "isa": "avx2", "libraries": "oneDNN 2.6.3,
 * libsndfile-1.2.0, ..", "network": "preact-bn, width 16, 1 block a stage", "parameters": 171234, "started":
 * "2031-01-02T03:04:05Z", "finished": "..." or null while folds are missing, "protocol": {"split": "speaker-disjoint"
 * or "random", "folds": "data/folds/emodb.txt", "folds_planned": 5, "folds_hash": "..", "start_hash": "..", of the file
 * that train.init_from names "overlap": 0, "labels": "..", "normalization": "corpus", "loudness": "none", "heard": 0,
 * "transductive": false, "bn_eval": "running", "validation": "..", "epoch_rule": ".."}, "notes": ["..", ..], further
 * lines for the reader, in the words of the program "folds": [{"name": "1", "epoch": 60, "overlap": 0, "seconds": 41.5,
 * "gap_test": 17.1, "gap_val": null, "train": {"n": 271, "speakers": 8, "ua": 0.98, "wa": 0.98}, "val": {..}, "test":
 * {..}}, ..], "mean": {"train_ua": {"mean": 0.98, "sd": 0.01}, "val_ua": .., "test_ua": .., "test_wa": .., "gap_test":
 * .., "gap_val": ..},          over the folds where the number exists; sd has n - 1 below the line "pooled": {"n": 339,
 * "speakers": 10, "ua": 0.82, "wa": 0.83, "macro_f1": 0.81, "chance_ua": 0.25, "chance_wa": 0.37, "ua_interval": [0.77,
 * 0.86] or null, "wa_interval": [..], "classes": [{"name": "anger", "n": 127, "predicted": 130, "recall": ..,
 * "precision": .., "f1": ..}], "confusion": [[..], ..]}   rows are the truth; test recordings of all folds together;
 *                                         null while there are none
 *   } */
#ifndef QV_REPORT_REPORT_H
#define QV_REPORT_REPORT_H

#include "base/buf.h"
#include "train/metrics.h"

/* n = 0: the part is empty; ua and wa do not count then. */
typedef struct qv_part_score {
    size_t n;
    int speakers;
    double ua, wa;
} qv_part_score;

typedef struct qv_fold_summary {
    char *name;
    qv_part_score train, val, test; /* full windows, evaluation mode */
    double gap_test, gap_val;       /* set by qv_summary_finish; NaN where a part is empty */
    double seconds;
    int epoch;   /* whose weights these are, from 1 */
    int overlap; /* speakers in both training and test: 0 unless the split is random */
} qv_fold_summary;

/* Mean and standard deviation (n - 1) over the folds where the number exists; NaN for n = 0, sd also for 1. */
typedef struct qv_spread {
    double mean, sd;
    int n;
} qv_spread;

/* Zero-initialize, fill, qv_summary_pool, qv_summary_finish, qv_summary_write. All text is owned (malloc);
 * NULL and "" count as unknown and are left out. */
typedef struct qv_summary {
    char *version, *program, *command;
    char *manifest, *manifest_hash, *recordings_hash; /* of each recording: rate, channels, length, whether it can be read */
    char *content_hash;                               /* of the bytes of their files */
    size_t recordings, skipped;
    int speakers;
    char **classes;
    int n_classes;
    uint64_t seed;
    char *device, *isa, *libraries, *network;
    int threads;
    size_t parameters;
    char *started, *finished; /* ISO 8601; finished stays NULL while folds are missing */
    char *split, *fold_spec, *folds_hash, *labels, *normalization, *loudness, *bn_eval, *validation, *epoch_rule;
    char *start_hash; /* of the file of train.init_from, as all folds begin with it */
    int folds_planned;
    int heard; /* speakers who are tested and whom train.init_from's training has heard */
    bool transductive; /* statistics of the test speaker's own unlabelled recordings were used */
    char **notes;
    size_t n_notes, cap_notes;
    qv_fold_summary *folds;
    size_t n_folds, cap_folds;
    /* Set by qv_summary_finish: the largest overlap of a fold, and means over folds. */
    int overlap;
    qv_spread train_ua, val_ua, test_ua, test_wa, gap_test, gap_val;
    /* Set by qv_summary_pool. */
    qv_metrics pooled;
    qv_bootstrap interval;
} qv_summary;

void qv_summary_free(qv_summary *s);

/* Replaces *field by formatted text of its own. */
qv_status qv_summary_set(qv_ctx *ctx, char **field, const char *fmt, ...) QV_PRINTF(3, 4);
/* Copies of the class names. */
qv_status qv_summary_classes(qv_ctx *ctx, qv_summary *s, char *const *names, int n);
qv_status qv_summary_note(qv_ctx *ctx, qv_summary *s, const char *fmt, ...) QV_PRINTF(3, 4);
/* A zeroed fold at the end of the list with a copy of the name; valid until the next call. */
qv_status qv_summary_fold(qv_ctx *ctx, qv_summary *s, const char *name, qv_fold_summary **out);
/* Test answers of all finished folds; a.classes must be n_classes. Uses s->seed. */
qv_status qv_summary_pool(qv_ctx *ctx, qv_summary *s, const qv_answers *a);
/* Gaps, overlap and means from the folds. */
void qv_summary_finish(qv_summary *s);

/* RUN/summary.json, whole or not at all. */
qv_status qv_summary_write(qv_ctx *ctx, const qv_summary *s, const char *run);
/* What it writes, as text. */
qv_status qv_summary_json(qv_ctx *ctx, const qv_summary *s, qv_buf *out);
/* The figures of one evaluation: the keys of its part "pooled", with "skipped" and "transductive" from elsewhere in it.
 * Reads skipped, transductive, classes, n_classes, pooled and interval of s; pooled.n must not be 0. */
qv_status qv_scores_json(qv_ctx *ctx, const qv_summary *s, qv_buf *out);
/* Into a zeroed struct; whatever the file holds, a returned summary is consistent (counts, labels, ranges),
 * else QV_ERR_DATA with file and key. */
qv_status qv_summary_read(qv_ctx *ctx, qv_summary *out, const char *run);

/* Ten lines for the end of `quaver train`, fewer where a line has nothing to say (one fold, no error). The last
 * names the report inside `run`; NULL: no such line. */
void qv_summary_lines(qv_buf *b, const qv_summary *s, const char *run);

/* Reads RUN and writes RUN/report.html: one file, no script, nothing from outside. `out` (may be NULL)
 * gets the path. A missing or damaged file of the folder is an error that names it, but for results.csv and
 * config.ini: the report then says what it lacks. */
qv_status qv_report_write(qv_ctx *ctx, const char *run, char **out);

#endif
