/* From recordings to log-mel frames, cached in one mapped file. */
#ifndef QV_DATA_FEATURES_H
#define QV_DATA_FEATURES_H

#include "base/parallel.h"
#include "data/feature_config.h"
#include "data/manifest.h"

/* Lets the files decide: where all of them end in .npy the kind becomes NPY, and of that kind `mels` what the first one
 * that can be read has. QV_ERR_USAGE where sound and .npy stand in one manifest. Images are of the kind IMAGE and decide
 * on all that counts of it. */
qv_status qv_feature_detect(qv_ctx *ctx, const qv_manifest *m, qv_feature_config *c);

/* One recording: why it was left out, or where its frames are. */
typedef struct qv_feature_entry {
    int64_t first_frame;
    int32_t frames;      /* 0: skipped */
    int32_t source_rate; /* Hz of the file; 0 where it is not sound, as the channels */
    int32_t channels;
    float seconds; /* before trimming */
    uint64_t content; /* hash of the bytes of its file; 0 where it was skipped */
    char *skipped; /* NULL, or the reason in words, which begins with the file's path */
} qv_feature_entry;

/* Frames of all items of a manifest, row-major [frames][mels], read-only mapped memory. */
typedef struct qv_features {
    qv_feature_config config;
    const float *data;
    int64_t frames;
    qv_feature_entry *entries; /* [n], as the manifest's items */
    size_t n, skipped;
    bool from_cache;
    void *map; /* owned by features.c */
    size_t map_size;
} qv_features;

typedef struct qv_feature_options {
    const char *cache_dir; /* NULL: $XDG_CACHE_HOME/quaver, else ~/.cache/quaver */
    bool no_cache;         /* keep them in memory only */
    int threads;
} qv_feature_options;

/* Features of every item: from the cache when nothing that made it has changed (settings,
 * program's feature version, the resampler's, the decoder's, each file's path, size, time stamp, start, end and
 * channel), else computed by a pool of threads with progress, written to the cache and mapped. A recording that cannot
 * be read, is empty, all zeros or holds NaN is skipped with its reason in the entry, and warned of; all of them
 * skipped is QV_ERR_DATA. Frames of another size than config.mels are QV_ERR_USAGE. A damaged cache file is made again.
 */
qv_status qv_features_open(qv_ctx *ctx, qv_features **out, const qv_manifest *m, const qv_feature_config *c,
                           const qv_feature_options *o);
/* Of the bytes of all files, in the manifest's order. */
uint64_t qv_features_content(const qv_features *f);
void qv_features_close(qv_features *f);

/* Frames of one item of a kind that is not MEL, [entry.frames][mels], released with free(). Its times are cut to whole
 * frames of config.hop seconds, the nearest ones. Errors as of qv_features_open. */
qv_status qv_frames_read(qv_ctx *ctx, const qv_item *item, const qv_feature_config *c, float **out, qv_feature_entry *entry);

#endif
