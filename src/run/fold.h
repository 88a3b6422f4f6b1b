/* The training of one fold: epochs, evaluation, checkpoints, its records. */
#ifndef QV_RUN_FOLD_H
#define QV_RUN_FOLD_H

#include "data/folds.h"
#include "report/report.h"
#include "run/record.h"
#include "train/trainer.h"

enum { QV_FOLD_TRAIN, QV_FOLD_VAL, QV_FOLD_TEST, QV_FOLD_PARTS };

/* The recordings of one part that could be read, and what the network that counts says of them. */
typedef struct qv_fold_part {
    size_t *items; /* places in the manifest */
    size_t n;
    double *probs;      /* [n][classes] */
    double *embeddings; /* [n][qv_net.embedding_size]; NULL where they are not wanted */
} qv_fold_part;

typedef struct qv_fold_job {
    const qv_settings *settings;
    const qv_manifest *manifest;
    const qv_features *features;
    const qv_fold *fold;
    int index, count;   /* 0-based place among the folds */
    const char *run;    /* the run folder: records; NULL: they stay in memory */
    const char *folder; /* the fold's checkpoints; NULL: none are written */
    qv_records *records;
    qv_pool *pool;
    qv_gpu_device *gpu; /* CUDA: borrowed */
    bool resume;        /* go on from last.safetensors, if it is there */
    size_t *parameters; /* gets how many the network has */
    bool embeddings;    /* `finished` wants those of the parts */
    /* The same weights with batch norm's statistics taken anew (train/recalibrate.h), and their predictions; NULL: nobody
     * asks. */
    qv_fold_summary *even;
    qv_records *even_records;
    /* Called at the end with the weights that count, the trainer's dataset and parts[QV_FOLD_PARTS]; NULL: nobody asks. */
    qv_status (*finished)(qv_ctx *ctx, void *user, qv_trainer *t, const qv_dataset *d, const qv_fold_part *parts);
    void *user;
} qv_fold_job;

/* QV_ERR_DATA where of some class no recording is left to train on: folds are made before recordings are read, and
 * those that cannot be may have been all of it. */
qv_status qv_fold_check_training(qv_ctx *ctx, const qv_manifest *m, const qv_features *f, const qv_fold *fold);

/* Whether every fold can be trained as the settings say, before hours are spent on the first: with the recordings that can
 * be read, f NULL: with all. QV_ERR_USAGE: the network, a batch larger than the set, nothing to judge eval.patience by, voices
 * wanted where nobody says who speaks. *parameters: how many the network has. */
qv_status qv_fold_check_plan(qv_ctx *ctx, const qv_settings *s, const qv_manifest *m, const qv_features *f,
                             const qv_folds *folds, size_t *parameters);

/* Says that eval.epoch = best is the last epoch where the folds have nothing to judge by. who: what the words begin with,
 * "" or "cell NAME: ". */
void qv_fold_warn_of_choice(qv_ctx *ctx, const char *who, const qv_settings *s, const qv_folds *folds);

/* Trains, where they are wanted keeping RUN's records and the fold's last.safetensors up to date, then evaluates the chosen weights
 * (best.safetensors) over full windows and adds their predictions to the records. */
qv_status qv_fold_train(qv_ctx *ctx, const qv_fold_job *job, qv_fold_summary *out);

#endif
