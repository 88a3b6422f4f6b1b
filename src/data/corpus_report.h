/* What a scan found, in words: the parts of qv_corpus_report's text. */
#ifndef QV_DATA_CORPUS_REPORT_H
#define QV_DATA_CORPUS_REPORT_H

#include "data/recipe.h"

/* Counts against the recipe's, and the names that were not understood; sets report->complete. */
qv_status qv_corpus_compare(qv_ctx *ctx, qv_corpus_report *r, const qv_recipe *recipe, const qv_manifest *m,
                            const char *dir);
/* Recordings with the same bytes, and files that are no recordings at a glance; sets report->duplicates.
 * unique: takes the later ones of equals out of the manifest. */
qv_status qv_corpus_twins(qv_ctx *ctx, qv_corpus_report *r, qv_manifest *m, bool unique);
/* The label files read, and labels that no recording has. */
qv_status qv_corpus_labels(qv_ctx *ctx, qv_corpus_report *r, const qv_lookup *t);
/* QV_ERR_DATA with a few of their names where there are more than QV_MOST_CLASSES; look_at: what tells the emotions. */
qv_status qv_corpus_check_classes(qv_ctx *ctx, const qv_manifest *m, const char *path, const char *look_at);
/* Recordings of each class by speaker: of the first of these, and of all together. */
qv_status qv_corpus_table(qv_ctx *ctx, qv_corpus_report *r, const qv_manifest *m);

#endif
