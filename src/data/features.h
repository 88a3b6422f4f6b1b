/* From recordings to log-mel frames, cached in one mapped file. */
#ifndef QV_DATA_FEATURES_H
#define QV_DATA_FEATURES_H

#include "base/parallel.h"
#include "data/manifest.h"

/* RMS: the trimmed recording is brought to a root mean square of -26 dB of full scale. */
typedef enum qv_loudness { QV_LOUDNESS_NONE, QV_LOUDNESS_RMS } qv_loudness;

/* What a manifest's files hold: sound, frames that somebody has computed (data/npy.h), or images (data/images.h), whose
 * frames are their rows. */
typedef enum qv_feature_kind { QV_KIND_MEL, QV_KIND_NPY, QV_KIND_IMAGE } qv_feature_kind;

/* All that decides the numbers. Where the kind is not MEL, hop and mels alone count. */
typedef struct qv_feature_config {
    qv_feature_kind kind;
    int rate;          /* Hz; everything is resampled to it (16000) */
    double window, hop; /* seconds (0.025, 0.020) */
    int fft;           /* points (512): a power of two that holds the window */
    int mels;          /* values a frame (64); of the other kinds as many as the files have: columns * channels of images */
    int channels;      /* of images; they lie side by side in each column. 0 counts as 1 */
    int rows;          /* of images */
    double low, high;  /* Hz (0, 8000) */
    double floor;      /* log(max(x, floor)) (1e-10) */
    double trim;       /* dB under the recording's peak; edges quieter are cut; 0: no trimming (40) */
    qv_loudness loudness;
} qv_feature_config;

qv_feature_config qv_feature_defaults(void);
/* QV_ERR_USAGE that names the setting which makes no sense. */
qv_status qv_feature_check(qv_ctx *ctx, const qv_feature_config *c);
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

/* Samples of a file (or its part from start to end seconds, end < 0 or past its end: to the end)
 * as mono floats at `rate`, channels averaged; full scale is 1. QV_ERR_DATA or QV_ERR_IO, with a
 * message that names the file, for what is no recording, truncated, joined of several, silent or not finite. */
typedef struct qv_audio {
    float *samples;
    size_t n;
    int source_rate, channels;
} qv_audio;
qv_status qv_audio_read(qv_ctx *ctx, qv_audio *out, const char *path, double start, double end, int rate);
/* The same of one channel alone, 1, 2, ...; 0: their average. */
qv_status qv_audio_read_channel(qv_ctx *ctx, qv_audio *out, const char *path, double start, double end, int channel,
                                int rate);
void qv_audio_free(qv_audio *a);
/* Index of the first sample that is none: not a number, or beyond 1e10, where squares would leave the range of float
 * (full scale is 1). n: all are fine. */
size_t qv_samples_check(const float *samples, size_t n);
/* The whole file block by block, in memory that does not depend on its length; any length. What `take` returns
 * ends the reading where it is not QV_OK. */
typedef qv_status (*qv_audio_fn)(qv_ctx *ctx, void *user, const float *samples, size_t n);
qv_status qv_audio_each(qv_ctx *ctx, const char *path, int rate, qv_audio_fn take, void *user);
/* What decodes recordings and its version, of the library that is loaded. */
const char *qv_decoder_name(void);

/* By its ending: is the file one that libsndfile decodes by a header of its own? */
bool qv_is_audio(const char *path);

/* Frames of one item of a kind that is not MEL, [entry.frames][mels], released with free(). Its times are cut to whole
 * frames of config.hop seconds, the nearest ones. Errors as of qv_features_open. */
qv_status qv_frames_read(qv_ctx *ctx, const qv_item *item, const qv_feature_config *c, float **out, qv_feature_entry *entry);

/* The front end alone: trims, sets loudness and computes log-mel frames of samples at
 * config.rate. An extractor holds window, filters and work space; one a thread. */
typedef struct qv_extractor qv_extractor;
qv_status qv_extractor_new(qv_ctx *ctx, qv_extractor **out, const qv_feature_config *c);
void qv_extractor_free(qv_extractor *e);
/* 1 + (n - window) / hop for n >= window samples; shorter input is padded with zeros to one frame. */
int64_t qv_extractor_frames(const qv_extractor *e, size_t n);
/* out: [frames][mels]; mel energies before the logarithm when log is false (tests compare these). */
void qv_extractor_run(qv_extractor *e, const float *samples, size_t n, float *out, bool log);
/* The range [*begin, *end) left by trimming: from the first to the end of the last of the frames
 * (`window` long, every `hop`, the last ones cut short by the end) whose mean square is at most
 * config.trim dB below the largest one's. Silence is left as it is. */
void qv_extractor_trim(const qv_extractor *e, const float *samples, size_t n, size_t *begin, size_t *end);
/* Applies config.loudness in place. */
void qv_extractor_loudness(const qv_extractor *e, float *samples, size_t n);

#endif
