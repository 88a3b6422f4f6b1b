/* Lists of recordings in other programs' formats, as manifests. */
#ifndef QV_DATA_IMPORT_H
#define QV_DATA_IMPORT_H

#include "data/corpus_report.h"

struct qv_import;

typedef struct qv_import_kind {
    const char *name, *title;
    qv_status (*read)(qv_ctx *ctx, struct qv_import *list, const char *path);
    bool from_here; /* relative paths start from the current folder, not from the list's own */
} qv_import_kind;

extern const qv_import_kind qv_import_kinds[];
extern const size_t qv_n_import_kinds;

typedef struct qv_import_options {
    const char *root;    /* folder where relative paths start; NULL: as the kind has it */
    const char *columns; /* map "emotion=class_label speaker=who": other names of columns, or NULL */
    const char *pattern; /* PCRE on the file's name whose groups fill what the list leaves open, or NULL */
    const char *labels;  /* as for qv_corpus_scan */
    bool unique;
} qv_import_options;

/* Reads `path` (Kaldi: a data folder) as `kind` says. Nothing is run and no recording is opened, but all must exist.
 * QV_ERR_USAGE for an unknown kind, QV_ERR_DATA with file and line for what the format does not allow. The report is
 * filled as by a scan. */
qv_status qv_corpus_import(qv_ctx *ctx, qv_manifest **out, qv_corpus_report *report, const char *kind, const char *path,
                           const qv_import_options *options);

#endif
