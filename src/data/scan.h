/* A recipe at work on a folder. */
#ifndef QV_DATA_SCAN_H
#define QV_DATA_SCAN_H

#include "data/corpus_report.h"

typedef struct qv_corpus_options {
    const char *pattern; /* for recipes without one; it sees the path if it holds a '/', else the name */
    const char *labels;  /* as for qv_manifest_read, applied at the end */
    bool lenient;        /* names that are not understood are left out, else they are an error */
    bool unique;         /* of recordings with the same content only the first is kept */
    const char *tables;  /* folder where label files are looked for too, or NULL */
    const char *only;    /* "column=value": only such recordings are kept; NULL: all */
    int channel;         /* instead of the recipe's, 0: that one */
} qv_corpus_options;

/* A manifest of the recordings below `dir`, in the order of their paths, with report. QV_ERR_DATA where names are not
 * understood (see lenient) or nothing is found. */
qv_status qv_corpus_scan(qv_ctx *ctx, qv_manifest **out, qv_corpus_report *report, const qv_recipe *recipe,
                         const char *dir, const qv_corpus_options *options);

#endif
