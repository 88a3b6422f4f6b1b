/* The file that keeps the features of one corpus under one setting: a page of header, the frames,
 * a record a recording, the reasons of skips. Numbers are in the machine's own byte order. */
#ifndef QV_DATA_CACHE_H
#define QV_DATA_CACHE_H

#include "base/io.h"
#include "data/features.h"

/* What the frames were made of: settings, program and list of files; and the files' state. */
typedef struct qv_cache_id {
    uint64_t settings, sources;
} qv_cache_id;

typedef struct qv_cache_writer {
    qv_out out;
    void *hash; /* running hash of the frames */
} qv_cache_writer;

qv_status qv_cache_create(qv_ctx *ctx, qv_cache_writer *w, const char *path);
/* Appends n floats of frames. */
qv_status qv_cache_append(qv_ctx *ctx, qv_cache_writer *w, const float *data, size_t n);
/* Entries and header of f, whose frames were all appended; the file gets its name. */
qv_status qv_cache_commit(qv_ctx *ctx, qv_cache_writer *w, const qv_features *f, const qv_cache_id *id);
/* Removes what was not committed; harmless on a zeroed writer. */
void qv_cache_close(qv_cache_writer *w);

/* Maps the file and fills data, frames, entries, skipped and map of f, whose config and n say what
 * is expected. *hit is false where there is no such file, it was made of something else, or it is
 * damaged (then with a warning). Only lack of memory is an error. */
qv_status qv_cache_map(qv_ctx *ctx, qv_features *f, const char *path, const qv_cache_id *id, bool *hit);

#endif
