/* What the files that make manifests share; everybody else uses manifest.h. */
#ifndef QV_DATA_MANIFEST_OWN_H
#define QV_DATA_MANIFEST_OWN_H

#include "data/manifest.h"

/* One more zeroed item (end -1, label -1) at the end of m; what is put into it is the manifest's. */
qv_status qv_manifest_append(qv_ctx *ctx, qv_manifest *m, qv_item **item);

/* One more of m->sources: a list or label file that its rows are made from. */
qv_status qv_manifest_add_source(qv_ctx *ctx, qv_manifest *m, const char *path);

/* Applies the options' labels and numbers classes and speakers. options->labels may be NULL. */
qv_status qv_manifest_number(qv_ctx *ctx, qv_manifest *m, const qv_manifest_options *options);
/* With these classes in this order instead, whatever their names; options->labels is not looked at. */
qv_status qv_manifest_number_as(qv_ctx *ctx, qv_manifest *m, const qv_manifest_options *options, char *const *classes,
                                int n_classes);

/* Names the corpora, and speakers by their corpus where there are several; after the last row, before the numbers. */
qv_status qv_manifest_corpora(qv_ctx *ctx, qv_manifest *m);

/* Warns of speakers, and of classes, whose names differ in nothing but the case of ASCII letters, and where some names
 * have accents as characters of their own and others do not: the same name in both ways would be two. */
qv_status qv_manifest_warn_of_like(qv_ctx *ctx, const qv_manifest *m);

/* Whether the cells of a column are names that are compared: two that look alike would keep one voice, one class or one
 * fold apart. */
bool qv_column_names(int column);
/* QV_ERR_DATA where such a name holds a control character, or begins or ends with white space. */
qv_status qv_check_name(qv_ctx *ctx, int column, const char *text);

/* Names of the columns that have a meaning, in the order in which they are written. */
enum {
    QV_COLUMN_FILE,
    QV_COLUMN_SPEAKER,
    QV_COLUMN_EMOTION,
    QV_COLUMN_GENDER,
    QV_COLUMN_SESSION,
    QV_COLUMN_START,
    QV_COLUMN_END,
    QV_COLUMN_CHANNEL,
    QV_COLUMN_SPLIT,
    QV_COLUMN_FOLD,
    QV_COLUMN_CORPUS,
    QV_COLUMNS
};
extern const char *const qv_manifest_columns[QV_COLUMNS];

enum { QV_TIME_MAX = 1000000000 }; /* seconds; what nanoseconds in 64 bits can hold */

/* Seconds as plain decimal digits, such as 1.25, to QV_TIME_MAX; false for anything else. The same in every locale. */
bool qv_parse_time(const char *text, double *seconds);

/* Where the text of a column lives in an item; NULL for start, end and channel. */
char **qv_item_text(qv_item *item, int column);

/* XXH3 of all cells as they were written, but without the folder that all recordings lie in: a list that was made anew
 * beside another copy of the corpus has the same. Of an empty list 0. */
uint64_t qv_manifest_hash_rows(const qv_manifest *m);

#endif
