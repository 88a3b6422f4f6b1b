/* Who trains, who chooses the epoch, who is tested: speaker-disjoint partitions of a manifest. */
#ifndef QV_DATA_FOLDS_H
#define QV_DATA_FOLDS_H

#include "base/buf.h"
#include "data/manifest.h"

typedef enum qv_part { QV_PART_UNUSED, QV_PART_TRAIN, QV_PART_VAL, QV_PART_TEST } qv_part;
/* As many folds as a report shows; each is a training. */
enum { QV_PARTS = 4, QV_FOLD_NAME = 48, QV_MOST_FOLDS = 1000 };

typedef struct qv_fold {
    char name[QV_FOLD_NAME]; /* unique among the folds; letters, digits, '-', '_', '.' inside: fit for a file name */
    unsigned char *part;     /* [items of the manifest] a qv_part */
    size_t items[QV_PARTS];  /* recordings of each part */
    int speakers[QV_PARTS];  /* speakers of each part */
    int overlap;             /* speakers tested who also train or choose: 0 but for random splits */
} qv_fold;

typedef struct qv_folds {
    qv_fold *folds;
    size_t n;
    bool random;    /* asked for as such: speakers may be shared */
    bool val_given; /* they name recordings to validate by themselves: val_speakers holds out nobody there */
} qv_folds;

typedef struct qv_fold_options {
    double test_fraction; /* for one split: of the speakers (random: of the recordings), in (0, 1) */
    int val_speakers;     /* training speakers held out to choose the epoch; 0: none */
    bool random;          /* recordings are dealt out whatever their speaker: for comparison only */
    uint64_t seed;        /* of the random deal; nothing else depends on it */
} qv_fold_options;

/* Cuts the manifest by `spec`:
 *   ""        one split: by the column `split` where there is one, else test_fraction of the speakers
 *   "split"   one split, by the column: train, val (also dev, valid, validation), test; empty: unused
 *   "speaker" each speaker once
 *   "session" each session once
 *   "corpus"  each corpus once, tested by what the others taught
 *   "K"       K groups of speakers of nearly equal size, genders spread evenly
 *   "column"  each value of the column `fold` once; empty: unused
 *   "random"  as "", with options->random alone
 *   a path    a fold file: lines `name: speaker speaker ...`, `#` begins a comment. The speakers of a line
 *             `train:` train in every fold; speakers that no line names are left out.
 * Recordings without a label (-1) are unused. Validation speakers are taken from those who would train, genders in
 * proportion, the next in order after the first tested one, never one who is the last to show a class.
 * With options->random, "" and K deal recordings (each class by itself), "split" and "column" may share speakers,
 * the others are QV_ERR_USAGE, and validation takes val_speakers / speakers of the recordings.
 * QV_ERR_DATA, with the line where there is one: an unknown speaker ("?"), a speaker in two groups, a fold file that
 * names a speaker the manifest lacks, a fold that tests nothing or leaves a class out of training. */
qv_status qv_folds_make(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, const char *spec,
                        const qv_fold_options *options);
void qv_folds_free(qv_folds *folds);
/* Whether there are recordings to choose the epoch by: held out, or named by the folds. */
bool qv_folds_validated(const qv_folds *folds);
/* Adds to `text` how many recordings with a label no fold trains on or tests, and whose they are; nothing where there
 * are none. */
qv_status qv_folds_left_out(qv_ctx *ctx, const qv_folds *folds, const qv_manifest *m, qv_buf *text);

#endif
