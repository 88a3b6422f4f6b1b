/* A corpus as the rest of the program sees it: one row a recording. */
#ifndef QV_DATA_MANIFEST_H
#define QV_DATA_MANIFEST_H

#include <stdio.h>

#include "base/status.h"

/* Stands where nobody says who speaks. */
#define QV_NO_SPEAKER "?"

typedef struct qv_item {
    char *file;    /* path that can be opened: relative ones were joined to the manifest's folder */
    char *name;    /* as written in the manifest; what predictions and messages show */
    char *speaker; /* never "", but QV_NO_SPEAKER: refused where speakers matter */
    char *emotion; /* after --labels; NULL in a manifest made for prediction */
    char *gender, *session, *split, *fold, *corpus; /* NULL where there is no such column or cell */
    double start, end; /* seconds; end < 0: to the end of the file */
    int channel;       /* 1, 2, ...: this one alone; 0: the average of all */
    int label;         /* index into qv_manifest.classes, -1: none */
    int speaker_id;    /* index into qv_manifest.speakers */
    int corpus_id;     /* index into qv_manifest.corpora, -1: none */
    int source;        /* index into qv_manifest.sources */
    int line;          /* of the manifest, for messages */
    int64_t index;     /* of images: which of the file's */
    uint64_t device, inode; /* of the file: equal where two paths lead to one; 0: missing, or not read */
    char **extra;      /* cells of the other columns, as many as qv_manifest.n_extra */
} qv_item;

/* More than these are no emotions and no corpora, but another column; reports show as many. */
enum { QV_MOST_CLASSES = 1000, QV_MOST_CORPORA = 1000 };

/* Start, end and channel as a manifest writes them; empty where a recording is taken from its beginning, to its end,
 * with the average of its channels. */
enum { QV_PART_CELLS = 3 };
void qv_item_part(const qv_item *item, char cells[QV_PART_CELLS][32]);

typedef struct qv_manifest {
    char *path;
    qv_item *items;
    size_t n;
    char **classes; /* sorted by name, or in the order of --labels where that names them */
    int n_classes;
    char **speakers; /* sorted by name */
    int n_speakers;
    char **corpora; /* values of `corpus`, in the order of their first rows; of several manifests never empty */
    int n_corpora;
    char **sources; /* the manifests it was read from, NULL where that is `path` alone; of an import or a scan the lists
                       and label files */
    int n_sources;
    char **extra; /* names of columns that are kept but not understood */
    int n_extra;
    uint64_t hash; /* of its rows and the label map, the same wherever the corpus lies; of images: of their files */
    bool images;   /* of a folder of images (data/images.h), not of recordings */
} qv_manifest;

/* Whether any recording is a part or a channel of its file, so that the file alone does not name it. */
bool qv_manifest_has_parts(const qv_manifest *m);

typedef struct qv_manifest_options {
    const char *labels;  /* "anger,joy=happiness,...", or NULL: every emotion is a class */
    bool need_emotion;   /* training and evaluation; else the column may be absent */
    bool keep_unlisted;  /* recordings whose emotion `labels` does not name: kept with label -1, else dropped and counted */
    bool allow_missing;  /* recordings that are not there are rows all the same: whoever reads them lists them */
    bool allow_absent;   /* a name in `labels` that no recording has is fine (a checkpoint's classes) */
} qv_manifest_options;

/* Reads and checks a manifest: columns, quotes, duplicate rows, times, that each emotion is
 * known to `labels`. Files are not opened, but must exist (allow_missing: need not). Messages name file and line. A
 * folder with the files of a published set of images (data/images.h) is a manifest of these. */
qv_status qv_manifest_read(qv_ctx *ctx, qv_manifest **out, const char *path, const qv_manifest_options *options);
/* The same of several, "a.csv,b.csv" (unless that is the name of one file), as one: `corpus` is filled by the file's
 * name where a manifest has no such column, columns that are not understood are dropped, options->labels are one text
 * for all or one for each between '|'. Where there is more than one corpus, in one manifest or in several, speakers
 * are named CORPUS/SPEAKER, since equal names mean nothing then. The hash is over all of them. */
qv_status qv_manifest_read_list(qv_ctx *ctx, qv_manifest **out, const char *paths, const qv_manifest_options *options);
/* The name of a corpus whose rows do not say it, [n]: "emodb" of "lists/emodb.csv". */
const char *qv_corpus_name(const char *path, size_t *n);
/* Refuses a manifest with fewer than the two classes that can be told apart. */
qv_status qv_manifest_check_classes(qv_ctx *ctx, const qv_manifest *m);
/* Takes out the items for which keep[i] is false; the others stay in their order, and all numbers what they are. */
void qv_manifest_keep(qv_manifest *m, const bool *keep);
/* Writes it as CSV; paths relative to the manifest's folder (path != NULL) or absolute (NULL: to `f`). */
qv_status qv_manifest_write(qv_ctx *ctx, const qv_manifest *m, const char *path, FILE *f);
void qv_manifest_free(qv_manifest *m);

/* For `predict` and recipes: an empty manifest that rows are added to. Speaker may be NULL ("?"). */
qv_status qv_manifest_new(qv_ctx *ctx, qv_manifest **out);
qv_status qv_manifest_add(qv_ctx *ctx, qv_manifest *m, const char *file, const char *name, const char *speaker,
                          const char *emotion, const char *gender);
/* Sorts classes and speakers and numbers the items; after the last add. */
qv_status qv_manifest_finish(qv_ctx *ctx, qv_manifest *m, const char *labels);

#endif
