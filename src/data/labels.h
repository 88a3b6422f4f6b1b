/* --labels: which emotions are classes, which are merged, in which order they stand. */
#ifndef QV_DATA_LABELS_H
#define QV_DATA_LABELS_H

#include "base/status.h"

/* "anger,joy=happiness": rows of `joy` become `happiness`. Classes keep the order of their first mention.
 * "boredom?" and "joy?=happiness": fine where no recording has that emotion. */
typedef struct qv_label_map {
    char **from;
    int *to; /* [n] index into classes */
    bool *optional; /* [n] */
    size_t n;
    char **classes;
    int n_classes;
} qv_label_map;

/* QV_ERR_USAGE for an empty name, and for a name that is mapped twice. Zeroes *map first. */
qv_status qv_label_map_parse(qv_ctx *ctx, qv_label_map *map, const char *labels);
/* Each name a class of its own, in this order, whatever it is made of; none must be there. */
qv_status qv_label_map_of(qv_ctx *ctx, qv_label_map *map, char *const *names, int n);
void qv_label_map_free(qv_label_map *map);
/* The first of the parts between '|', [*n] without the blanks around it; returns what stands behind it, NULL: nothing.
 */
const char *qv_labels_part(const char *labels, const char **part, size_t *n);
/* The same text with each part (they stand between '|', one a manifest) that is the name of a .labels file replaced by
 * what the file says: lines such as `joy = happiness`, `#` begins a comment, every name optional. Free *out. */
qv_status qv_labels_expand(qv_ctx *ctx, char **out, const char *labels);

/* Index of the class, -1 where the emotion is not named. */
int qv_label_map_find(const qv_label_map *map, const char *emotion);

#endif
