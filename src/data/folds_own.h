/* Between the files that make folds. */
#ifndef QV_DATA_FOLDS_OWN_H
#define QV_DATA_FOLDS_OWN_H

#include "data/folds.h"

/* Groups of a recording other than its number: it trains in every fold, or it is in none. */
enum { QV_GROUP_TRAIN = -1, QV_GROUP_OUT = -2 };

/* Recordings in groups; each group is tested in one fold. */
typedef struct qv_grouping {
    int *group;   /* [items] */
    char **names; /* [n] */
    size_t n, cap;
} qv_grouping;

qv_status qv_group_add(qv_ctx *ctx, qv_grouping *g, const char *name);

/* Fill a grouping whose `group` holds QV_GROUP_OUT everywhere. */
qv_status qv_group_by_speaker(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m);
qv_status qv_group_by_column(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, int column, bool may_be_empty);
qv_status qv_group_evenly(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, int k);
qv_status qv_group_at_random(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, int k, uint64_t seed);
qv_status qv_group_by_file(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, const char *path);

/* Genders by number: of_speaker[speaker] in [0, n), 0 where none is known. Release of_speaker with free(). */
qv_status qv_speaker_genders(qv_ctx *ctx, const qv_manifest *m, int **of_speaker, int *n);

/* order[0..n) = the recordings that have a label, each class together and shuffled by the seed. */
qv_status qv_shuffle_classes(qv_ctx *ctx, const qv_manifest *m, uint64_t seed, size_t **order, size_t *n);

/* "m.csv:12" for messages, or the recording's name where the manifest was not read from a file. */
const char *qv_item_place(const qv_manifest *m, const qv_item *item, char *text, size_t size);

#endif
