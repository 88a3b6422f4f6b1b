/* Between the readers of foreign lists. */
#ifndef QV_DATA_IMPORT_OWN_H
#define QV_DATA_IMPORT_OWN_H

#include "data/import.h"
#include "data/manifest_own.h"
#include "data/pattern.h"

typedef struct qv_import {
    const qv_import_options *options;
    qv_manifest *m;
    qv_pattern *pattern;
    const char *root;
} qv_import;

/* One recording: `cells` by the columns of a manifest, NULL or "" where the list says nothing; `list` and `line` are
 * for messages. */
qv_status qv_import_row(qv_ctx *ctx, qv_import *in, const char *list, int line, const char *const *cells);

qv_status qv_import_nkululeko(qv_ctx *ctx, qv_import *in, const char *path);
qv_status qv_import_huggingface(qv_ctx *ctx, qv_import *in, const char *path);
qv_status qv_import_emobox(qv_ctx *ctx, qv_import *in, const char *path);
qv_status qv_import_kaldi(qv_ctx *ctx, qv_import *in, const char *path);

#endif
