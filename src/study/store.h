/* Finished runs of a study, one small file each: OUT/records/CORPUS/CELL/fold-FOLD.seed-SEED.jsonl.
 *
 * The first line is the result: the same seeds give the same bytes, whatever the number of threads, processes or
 * shards. The second says what made it and when, and has the XXH3 of the first ("check").
 *   {"format": 1, "corpus": "emodb", "cell": "preact-bn shaken gamma0=0.1", "fold": "03", "seed": 1,
 *    "manifest": "XXH3", "settings": "section.key = value\n..", "classes": ["anger", ..],
 *    "epoch": 60, "parameters": 171234,
 *    "running": {"train": {"n", "speakers", "ua", "wa"}, "val": .. or null,
 *                "speakers": [{"name": "03", "ua", "wa", "confusion": [[truth][answer]]}, ..]},
 *    "even": null or as "running",     after taking the statistics of batch norm anew (train/recalibrate.h)
 *    "embedding": null or {"dims": 2, "train": {"centre": .., .. (study/symmetry.h), "points": null or [[x, y, class], ..]},
 *                  "test": ..}      points where there are two dimensions
 *    "curve": {"epoch": [..], "loss": [..], "train_ua": [..], "val_ua": [.. or null], "test_ua": [..]},
 *    "scales": [{"layer": "stage1.block0", "mean": 0.12}, ..],     mean |gamma| before the shake
 *    "moved": [..], "apart": [..]}     of each block (train/branches.h); records of earlier programs do not have them
 *   {"version": .., "program": .., "device": .., "isa": .., "libraries": .., "seconds": .., "finished": .., "check": ..,
 *    "reused": ..}     hash of the study file that it was trained for, where that is another
 * A training that failed because its numbers were not finite is a result, too: in place of all from "epoch" on it has
 * "failed": "why".
 * Unknown keys are ignored. Written beside, fsynced and renamed: a file is whole or not there. */
#ifndef QV_STUDY_STORE_H
#define QV_STUDY_STORE_H

#include "report/report.h"
#include "study/symmetry.h"

typedef struct qv_record_speaker {
    char *name;
    double ua, wa;
    size_t *confusion; /* [classes][classes] */
} qv_record_speaker;

/* What the network makes of one part's recordings. */
typedef struct qv_record_shape {
    qv_symmetry symmetry;
    double *points; /* [n_points][2]; none: other dimensions than two */
    int *labels;
    size_t n_points;
} qv_record_shape;

/* A number a layer, of what qv_profile_keys names. */
typedef enum qv_profile_kind { QV_PROFILE_SCALES, QV_PROFILE_MOVED, QV_PROFILE_APART, QV_PROFILES } qv_profile_kind;
extern const char *const qv_profile_keys[QV_PROFILES];
enum { QV_MOST_LAYERS = 256 }; /* of a profile: three stages of at most 64 blocks */

typedef struct qv_record_profile {
    char **layers;
    double *mean; /* NaN: not a finite number */
    size_t n;
} qv_record_profile;

enum { QV_RUN_EPOCH, QV_RUN_LOSS, QV_RUN_TRAIN, QV_RUN_VAL, QV_RUN_TEST, QV_RUN_COLUMNS };

/* How the weights that count do with one choice of batch norm's statistics. */
typedef struct qv_record_scores {
    qv_part_score train, val;
    qv_record_speaker *speakers; /* tested; none: there are no scores */
    size_t n_speakers;
} qv_record_scores;

/* Bytes that are read of one; a study whose records could have more is refused before it trains. */
enum { QV_LARGEST_RECORD = 64 << 20 };

/* Zero-initialized is empty; all text and lists are owned. */
typedef struct qv_study_record {
    char *corpus, *cell, *fold, *manifest, *settings;
    uint64_t seed;
    char **classes;
    int n_classes;
    char *failed; /* why there is nothing of what follows; NULL: trained to its end */
    int epoch;
    size_t parameters;
    qv_record_scores running, even;
    size_t dims; /* of the embedding; 0: it was not looked at */
    qv_record_shape shape[2]; /* training and test */
    double *curve[QV_RUN_COLUMNS]; /* [n_curve]; NaN: not evaluated */
    size_t n_curve;
    qv_record_profile profiles[QV_PROFILES];
    /* second line */
    char *version, *program, *device, *isa, *libraries, *finished;
    double seconds;
    char *check;
    char *reused; /* NULL: trained for this study */
} qv_study_record;

void qv_study_record_free(qv_study_record *r);

/* The file of a run below OUT; `cell` as a file name. */
qv_status qv_study_record_path(qv_ctx *ctx, char **path, const char *out, const char *corpus, const char *cell,
                               const char *fold, uint64_t seed);
qv_status qv_study_record_write(qv_ctx *ctx, const qv_study_record *r, const char *path);
/* Into a zeroed struct. QV_ERR_DATA names the file and what is wrong; what is read is consistent. */
qv_status qv_study_record_read(qv_ctx *ctx, qv_study_record *r, const char *path);
/* The first line alone, checked against its check; for comparing and copying records. */
qv_status qv_study_record_line(qv_ctx *ctx, char **line, const char *path);

#endif
