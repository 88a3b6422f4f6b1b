/* Checkpoints: safetensors files with weights, running statistics, the optimizer's moments and,
 * as metadata, everything needed to predict or to go on.
 *
 * Tensors: each parameter and running statistic by its name in the program ("stage1.block0.conv1",
 * convolutions [out][kernel][kernel][in / groups], both branches side by side), "NAME.moment" (with adamw also
 * "NAME.square") for the optimizer, "norm" [2][mels] (mean, 1 / deviation) for corpus normalization; of several corpora also
 * "norm.corpora" [corpora][2][mels] with the metadata "corpora", a list of names. F64 from the device
 * `ref`, else F32.
 * Metadata: format, format_version, quaver, settings (INI), classes and speakers (JSON lists of names), fold, step,
 * epoch, best_epoch, best_ua, and from within an epoch its loss_sum and
 * loss_steps. */
#ifndef QV_TRAIN_CHECKPOINT_H
#define QV_TRAIN_CHECKPOINT_H

#include "train/trainer.h"

typedef struct qv_checkpoint_info {
    uint64_t step;
    int epoch;       /* passes done and evaluated */
    qv_loss loss;    /* of the steps since then */
    int best_epoch;  /* 0: none yet */
    double best_ua;  /* on val, of best_epoch */
    char *const *heard; /* [n_heard] of whom the weights that the training began with know more; not read, but a
                           checkpoint's speakers are these, too */
    int n_heard;
} qv_checkpoint_info;

/* Writes the file whole or not at all. `fold` names what it was trained on. QV_ERR_NUMERIC where a weight is not
 * finite: the file that was there stays. */
qv_status qv_checkpoint_save(qv_ctx *ctx, qv_trainer *t, const qv_settings *s, const qv_dataset *d, const char *fold,
                             const qv_checkpoint_info *info, const char *path);

typedef struct qv_checkpoint {
    char *path;
    qv_settings settings; /* of its training */
    char **classes;
    int n_classes;
    char **speakers; /* whose recordings it, and what it began with, was trained on, as far as they have names; sorted */
    int n_speakers;
    char *fold;
    qv_checkpoint_info info;
    float *norm; /* [2][mels], or NULL where the normalization is not over the corpus; of several: of all together */
    char **corpora; /* [n_corpora], none where it was trained on one */
    int n_corpora;
    float *corpus_norm; /* [n_corpora][2][mels] */
    struct qv_st_file *file;
} qv_checkpoint;

/* Whether a speaker has the name of one that it was trained on. Of several corpora a training knows CORPUS/SPEAKER, of one
 * the name alone; where one side does not know the corpus, the name decides. */
bool qv_checkpoint_heard(const qv_checkpoint *c, const char *speaker);

/* Where so many of the speakers who are tested are heard by the weights at `path`, which a training begins with. */
void qv_checkpoint_warn_of_heard(qv_ctx *ctx, size_t speakers, const char *path);

/* Reads and checks everything but the values of the weights. QV_ERR_DATA says what is wrong with which file; a network
 * whose single window would take absurd memory is refused too. */
qv_status qv_checkpoint_open(qv_ctx *ctx, qv_checkpoint **out, const char *path);
void qv_checkpoint_close(qv_checkpoint *c);

/* Normalization rows for the recordings of a manifest, as qv_dataset_new takes them: those of its corpora where the
 * checkpoint knows them by the column `corpus`, or by the file's name where there is none, else those of all. A name
 * that a checkpoint of several does not know is warned of. *out is NULL where the normalization is not over the corpus;
 * release it with free(). */
qv_status qv_checkpoint_norms(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, float **out);

/* What a value of the program's buffer `name` must be and x is not: a finite float, and no negative variance. NULL: it
 * is fine. */
const char *qv_checkpoint_fault(const char *name, double x);

/* The values of one of the program's buffers, [len], without fault, or QV_ERR_DATA. */
qv_status qv_checkpoint_tensor(qv_ctx *ctx, const qv_checkpoint *c, const qv_buffer *b, double *values);

/* QV_ERR_USAGE where these are no names of classes that a checkpoint may have: too few or too many, one that is empty,
 * not UTF-8, with a control character, or there twice. */
qv_status qv_checkpoint_check_classes(qv_ctx *ctx, char *const *names, int n);

/* QV_ERR_USAGE where a single window of the network of these settings, as qv_settings_detect leaves them, takes more
 * memory than a file may ask for: nothing could open its checkpoints, so nothing should train it. */
qv_status qv_checkpoint_check_size(qv_ctx *ctx, const qv_settings *s);

/* How many windows to judge at once: those of a step of its training, or fewer where that would take much memory. Which
 * number it is does not matter to the answers. */
int qv_checkpoint_batch(const qv_checkpoint *c);

/* Weights and running statistics into a trainer built with the checkpoint's settings; with `resume` also the
 * moments and the step. Missing tensors, other shapes and weights that are not finite are refused. */
qv_status qv_checkpoint_load(qv_ctx *ctx, const qv_checkpoint *c, qv_trainer *t, bool resume);

/* QV_ERR_USAGE names the first setting of the network or of the features in which another training differs (loudness and
 * normalization may). */
qv_status qv_checkpoint_alike(qv_ctx *ctx, const qv_checkpoint *c, const qv_settings *s);

/* The weights and running statistics as the beginning of another training, which must be alike; the classifier alone
 * keeps its own start where `classes` or train.head are not those of the checkpoint, which *new_head then says. */
qv_status qv_checkpoint_start(qv_ctx *ctx, const qv_checkpoint *c, qv_trainer *t, const qv_settings *s,
                              char *const *classes, int n_classes, bool *new_head);

#endif
