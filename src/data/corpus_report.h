/* What a scan or an import found, and in words. */
#ifndef QV_DATA_CORPUS_REPORT_H
#define QV_DATA_CORPUS_REPORT_H

#include "base/buf.h"
#include "data/manifest.h"
#include "data/recipe.h"

/* What was found, also after a failure. Zero-initialized is empty. */
typedef struct qv_corpus_report {
    size_t found;                     /* recordings whose names were understood, before labels and `unique` */
    size_t other_part;                /* recordings of another part of the corpus (recipe's `keep`) */
    size_t no_audio;                  /* files whose ending is none of a recording */
    size_t videos;                    /* of these, films, whose sound would have to be taken out first */
    size_t left_out[QV_LEFT_OUT_MAX]; /* recordings, by the recipe's reasons */
    size_t undecided;                 /* recordings left out since their raters do not agree */
    size_t unlabelled;                /* recordings that no label file names */
    char *unlabelled_name;            /* the first of them */
    size_t label_files, labels;       /* read; lines of them that name a recording */
    size_t duplicates;                /* recordings whose content an earlier one has */
    bool complete;                    /* all counts as expected */
    char **unknown;                   /* [n_unknown] names that were not understood */
    size_t n_unknown, cap_unknown;
    qv_buf text; /* all of it in words, lines */
} qv_corpus_report;
void qv_corpus_report_free(qv_corpus_report *r);

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
