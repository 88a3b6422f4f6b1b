/* Features of a whole corpus: a pool of threads over its files, results taken in the manifest's order. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "data/features.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/hash.h"
#include "base/io.h"
#include "data/audio.h"
#include "data/cache.h"
#include "data/extractor.h"
#include "data/resample.h"

/* Raised whenever the same recording would give other numbers than before. */
enum { FEATURE_VERSION = 2 };

/* Of one recording, a GiB of floats: 18 hours of 64 bands every 16 ms. The settings may be a stranger's checkpoint's. */
enum { MOST_VALUES = 1 << 28 };

/* Results that may lie ready for each thread before the oldest is taken: bounds the memory. */
enum { AHEAD = 4 };

/* One recording's result on its way from a worker to the collector. */
typedef struct result {
    bool ready;
    qv_status status;
    char *message;
    float *frames;
    qv_feature_entry entry;
} result;

typedef struct job {
    const qv_manifest *m;
    const qv_feature_config *config;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t next, collected; /* items handed out; items taken */
    result *ring;           /* [slots], item i in slot i % slots */
    size_t slots;
    bool stop;
} job;

typedef struct worker {
    job *job;
    qv_ctx *ctx;
    qv_extractor *extractor;
    const char *hashed; /* the last file, and its hash: several parts of one follow each other */
    uint64_t content;
    pthread_t thread;
    bool started;
} worker;

/* Where the frames go: the cache file or memory. */
typedef struct store {
    const bool *readable; /* [m->n] files that could be opened when the cache's id was made; NULL: nothing is cached */
    bool to_file;
    qv_cache_writer writer;
    qv_samples memory;
} store;

static qv_status extract(worker *w, const qv_item *item, result *r)
{
    qv_status status = QV_OK;
    qv_audio audio = {0};
    const qv_feature_config *c = w->job->config;
    if (c->kind != QV_KIND_MEL) return qv_frames_read(w->ctx, item, c, &r->frames, &r->entry);
    QV_TRY(qv_audio_read_channel(w->ctx, &audio, item->file, item->start, item->end, item->channel, c->rate));
    r->entry.source_rate = audio.source_rate;
    r->entry.channels = audio.channels;
    r->entry.seconds = (float)((double)audio.n / c->rate);
    size_t begin, end;
    qv_extractor_trim(w->extractor, audio.samples, audio.n, &begin, &end);
    qv_extractor_loudness(w->extractor, audio.samples + begin, end - begin);
    int64_t frames = qv_extractor_frames(w->extractor, end - begin);
    if (frames > MOST_VALUES / c->mels) {
        status = qv_fail(w->ctx, QV_ERR_DATA,
                         "%s: %lld frames of %d bands are too many at once: give it as parts with start and end, or take a "
                         "longer features.hop",
                         item->file, (long long)frames, c->mels);
        goto done;
    }
    QV_TRY(qv_alloc(w->ctx, &r->frames, (size_t)frames * (size_t)c->mels, sizeof *r->frames));
    qv_extractor_run(w->extractor, audio.samples + begin, end - begin, r->frames, true);
    r->entry.frames = (int32_t)frames;
done:
    qv_audio_free(&audio);
    return status;
}

/* Once more through the file, which the system has at hand by now. */
static qv_status hash_file(worker *w, const char *file, uint64_t *content)
{
    qv_status status = QV_OK;
    XXH128_hash_t hash;
    if (!w->hashed || strcmp(w->hashed, file) != 0) {
        w->hashed = NULL;
        QV_TRY(qv_hash_file(w->ctx, file, &hash));
        w->content = hash.low64;
        w->hashed = file;
    }
    *content = w->content;
done:
    return status;
}

/* The next item to work on, once there is a slot for it; false when there is none left. */
static bool take_item(job *j, size_t *i)
{
    pthread_mutex_lock(&j->lock);
    while (!j->stop && j->next < j->m->n && j->next >= j->collected + j->slots)
        pthread_cond_wait(&j->changed, &j->lock);
    bool taken = !j->stop && j->next < j->m->n;
    if (taken) *i = j->next++;
    pthread_mutex_unlock(&j->lock);
    return taken;
}

static void *work(void *arg)
{
    worker *w = arg;
    job *j = w->job;
    size_t i;
    while (take_item(j, &i)) {
        result r = {.ready = true};
        r.status = extract(w, &j->m->items[i], &r);
        if (r.status == QV_OK) r.status = hash_file(w, j->m->items[i].file, &r.entry.content);
        if (r.status != QV_OK) r.message = strdup(qv_ctx_message(w->ctx));
        pthread_mutex_lock(&j->lock);
        j->ring[i % j->slots] = r;
        pthread_cond_broadcast(&j->changed);
        pthread_mutex_unlock(&j->lock);
    }
    return NULL;
}

/* Waits for item i; polls the caller's wish to stop meanwhile. */
static qv_status take_result(qv_ctx *ctx, job *j, size_t i, result *r)
{
    qv_status status = qv_poll(ctx);
    result *slot = &j->ring[i % j->slots];
    pthread_mutex_lock(&j->lock);
    while (status == QV_OK && !slot->ready) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 100 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&j->changed, &j->lock, &until);
        status = qv_poll(ctx);
    }
    if (status == QV_OK) {
        *r = *slot;
        *slot = (result){0};
        j->collected = i + 1;
        pthread_cond_broadcast(&j->changed);
    }
    pthread_mutex_unlock(&j->lock);
    return status;
}

/* What is wrong with one recording alone, against what ends the whole run: a file that may be opened, or could be when
 * the cache's id was made, and yet cannot be read, is the system's failure. Left out, it would be missing from the
 * cache ever after: its state is that of the id again once the system has recovered. */
static bool is_skip(const store *s, size_t i, qv_status status, const char *file)
{
    if (status != QV_ERR_IO) return status == QV_ERR_DATA || status == QV_ERR_UNSUPPORTED;
    return access(file, R_OK) != 0 && !(s->readable && s->readable[i]);
}

static qv_status keep_result(qv_ctx *ctx, qv_features *f, size_t i, const char *file, result *r, store *s)
{
    if (r->status != QV_OK && !r->message) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for a message");
    if (r->status != QV_OK && !is_skip(s, i, r->status, file)) return qv_fail(ctx, r->status, "%s", r->message);
    qv_feature_entry *e = &f->entries[i];
    *e = r->entry;
    e->first_frame = f->frames;
    e->skipped = r->message;
    r->message = NULL;
    f->skipped += e->skipped != NULL;
    f->frames += e->frames;
    size_t n = (size_t)e->frames * (size_t)f->config.mels;
    if (n == 0) return QV_OK;
    if (s->to_file) return qv_cache_append(ctx, &s->writer, r->frames, n);
    qv_status status = qv_grow(ctx, &s->memory.data, &s->memory.cap, s->memory.n + n, sizeof(float));
    if (status != QV_OK) return status;
    memcpy(s->memory.data + s->memory.n, r->frames, n * sizeof(float));
    s->memory.n += n;
    return QV_OK;
}

static void free_result(result *r)
{
    free(r->message);
    free(r->frames);
}

static qv_status collect(qv_ctx *ctx, job *j, qv_features *f, store *s)
{
    qv_report(ctx, "features", "files", 0, (double)f->n);
    for (size_t i = 0; i < f->n; i++) {
        result r;
        qv_status status = take_result(ctx, j, i, &r);
        if (status != QV_OK) return status;
        status = keep_result(ctx, f, i, j->m->items[i].file, &r, s);
        free_result(&r);
        if (status != QV_OK) return status;
        qv_report(ctx, "features", "files", (double)(i + 1), (double)f->n);
    }
    return QV_OK;
}

static qv_status start_workers(qv_ctx *ctx, job *j, worker *workers, int n)
{
    for (int i = 0; i < n; i++) {
        worker *w = &workers[i];
        w->job = j;
        w->ctx = qv_ctx_new();
        if (!w->ctx) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for a thread's context");
        qv_status status = j->config->kind == QV_KIND_MEL ? qv_extractor_new(ctx, &w->extractor, j->config) : QV_OK;
        if (status != QV_OK) return status;
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            return qv_fail(ctx, QV_ERR_MEMORY, "the system refused to start thread %d of %d", i + 1, n);
        w->started = true;
    }
    return QV_OK;
}

static void stop_workers(job *j, worker *workers, int n)
{
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < n; i++) {
        if (workers[i].started) pthread_join(workers[i].thread, NULL);
        qv_extractor_free(workers[i].extractor);
        qv_ctx_free(workers[i].ctx);
    }
    for (size_t i = 0; i < j->slots; i++) free_result(&j->ring[i]);
}

static void init_lock(job *j)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->changed, &attr);
    pthread_condattr_destroy(&attr);
}

static qv_status compute(qv_ctx *ctx, qv_features *f, const qv_manifest *m, int threads, store *s)
{
    qv_status status = QV_OK;
    worker *workers = NULL;
    job j = {.m = m, .config = &f->config, .slots = (size_t)threads * AHEAD};
    init_lock(&j);
    QV_TRY(qv_alloc(ctx, &j.ring, j.slots, sizeof *j.ring));
    QV_TRY(qv_alloc(ctx, &workers, (size_t)threads, sizeof *workers));
    status = start_workers(ctx, &j, workers, threads);
    if (status == QV_OK) status = collect(ctx, &j, f, s);
    stop_workers(&j, workers, threads);
    if (status == QV_OK && f->skipped == f->n)
        status = qv_fail(ctx, QV_ERR_DATA, "none of the %zu recordings can be used; the first: %s", f->n,
                         f->entries[0].skipped);
done:
    pthread_cond_destroy(&j.changed);
    pthread_mutex_destroy(&j.lock);
    free(j.ring);
    free(workers);
    return status;
}

/* Settings, program and list of files into one hash, the files' state into another. readable: [m->n]. */
static qv_status identify(qv_ctx *ctx, const qv_manifest *m, const qv_feature_config *c, qv_cache_id *id,
                          bool *readable)
{
    qv_status status = QV_OK;
    qv_buf settings = {0}, sources = {0};
    qv_buf_printf(&settings, "%d %s %d %a %a %d %d %a %a %a %a %d %zu", FEATURE_VERSION, qv_resampler_name(), c->rate,
                  c->window, c->hop, c->fft, c->mels, c->low, c->high, c->floor, c->trim, (int)c->loudness, m->n);
    if (c->kind == QV_KIND_MEL) /* what one decoder cannot read another can: what was left out is kept, too */
        qv_buf_printf(&settings, "\n%s\n", qv_decoder_name());
    else
        qv_buf_printf(&settings, "\nkind %d\n", (int)c->kind);
    for (size_t i = 0; i < m->n; i++) {
        const qv_item *item = &m->items[i];
        char *path = realpath(item->file, NULL);
        if (!path && errno == ENOMEM) {
            status = qv_fail_errno(ctx, "cannot find %s", item->file);
            goto done;
        }
        struct stat st = {0};
        bool there = stat(item->file, &st) == 0;
        readable[i] = access(item->file, R_OK) == 0;
        qv_buf_puts(&settings, path ? path : item->file);
        qv_buf_printf(&settings, "\n%a %a\n", item->start, item->end);
        if (item->channel) qv_buf_printf(&settings, "channel %d\n", item->channel);
        if (m->images) qv_buf_printf(&settings, "image %lld\n", (long long)item->index);
        qv_buf_printf(&sources, "%d %d %lld %lld %ld\n", there, readable[i], (long long)st.st_size,
                      (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        free(path);
    }
    QV_TRY(qv_buf_check(ctx, &settings));
    QV_TRY(qv_buf_check(ctx, &sources));
    id->settings = XXH3_64bits(settings.data, settings.len);
    id->sources = XXH3_64bits(sources.data, sources.len);
done:
    qv_buf_free(&settings);
    qv_buf_free(&sources);
    return status;
}

static qv_status default_dir(qv_ctx *ctx, char **out)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/') return qv_path_join(ctx, out, xdg, "quaver");
    if (home && home[0] == '/') return qv_path_join(ctx, out, home, ".cache/quaver");
    return qv_fail(ctx, QV_ERR_IO, "no folder for the feature cache: neither XDG_CACHE_HOME nor HOME is set");
}

static qv_status cache_path(qv_ctx *ctx, char **out, const char *dir, const qv_cache_id *id)
{
    qv_status status = QV_OK;
    char *home = NULL, name[64];
    *out = NULL;
    if (dir)
        QV_TRY(qv_strdup(ctx, &home, dir));
    else
        QV_TRY(default_dir(ctx, &home));
    QV_TRY(qv_make_dirs(ctx, home));
    snprintf(name, sizeof name, "features-%016llx.qvf", (unsigned long long)id->settings);
    QV_TRY(qv_path_join(ctx, out, home, name));
done:
    free(home);
    return status;
}

/* A folder that was asked for must work; without one, the lack of a place is no reason to stop. */
static qv_status create_cache(qv_ctx *ctx, store *s, const char *path, const qv_feature_options *o)
{
    qv_status status = path ? qv_cache_create(ctx, &s->writer, path) : QV_ERR_IO;
    s->to_file = status == QV_OK;
    if (status != QV_ERR_IO || o->cache_dir) return status;
    qv_warn(ctx, "features are kept in memory only: %s", qv_ctx_message(ctx));
    return QV_OK;
}

static qv_status make(qv_ctx *ctx, qv_features *f, const qv_manifest *m, const qv_feature_options *o, const char *path,
                      const qv_cache_id *id, const bool *readable)
{
    qv_status status = QV_OK;
    store s = {.readable = readable};
    bool hit = false;
    if (!o->no_cache) QV_TRY(create_cache(ctx, &s, path, o));
    QV_TRY(compute(ctx, f, m, o->threads, &s));
    if (!s.to_file) {
        f->data = s.memory.data;
        s.memory.data = NULL;
        goto done;
    }
    QV_TRY(qv_cache_commit(ctx, &s.writer, f, id));
    for (size_t i = 0; i < f->n; i++) free(f->entries[i].skipped);
    memset(f->entries, 0, f->n * sizeof *f->entries);
    f->skipped = 0;
    QV_TRY(qv_cache_map(ctx, f, path, id, &hit));
    if (!hit) status = qv_fail(ctx, QV_ERR_IO, "the feature cache %s cannot be read back after it was written", path);
done:
    qv_cache_close(&s.writer);
    free(s.memory.data);
    return status;
}

/* Waits for who is making the same features. */
static qv_status lock_cache(qv_ctx *ctx, qv_lock *lock, const char *path, const qv_cache_id *id)
{
    static const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    qv_status status = QV_OK;
    char *dir = NULL;
    bool taken = false;
    QV_TRY(qv_path_dir(ctx, &dir, path));
    QV_TRY(qv_lock_take(ctx, lock, dir, id->settings, &taken));
    if (!taken) qv_info(ctx, "another process is making these features (%s); waiting for it", path);
    while (!taken) {
        QV_TRY(qv_poll(ctx));
        nanosleep(&pause, NULL);
        QV_TRY(qv_lock_take(ctx, lock, dir, id->settings, &taken));
    }
    if (lock->file) qv_out_sweep(dir, qv_path_base(path));
done:
    free(dir);
    return status;
}

static void tell(qv_ctx *ctx, const qv_features *f, const qv_manifest *m)
{
    size_t resampled = 0, mixed = 0, used = f->n - f->skipped;
    const char *cached = f->from_cache ? " (cached)" : "";
    for (size_t i = 0; i < f->n; i++) {
        const qv_feature_entry *e = &f->entries[i];
        resampled += !e->skipped && e->source_rate != f->config.rate;
        mixed += e->channels > 1 && m->items[i].channel == 0;
    }
    if (f->config.kind == QV_KIND_MEL)
        qv_info(ctx, "features%s: %zu recordings, %lld frames; %zu resampled to %d Hz, %zu averaged over channels", cached,
                used, (long long)f->frames, resampled, f->config.rate, mixed);
    else if (f->config.kind == QV_KIND_IMAGE)
        qv_info(ctx, "features%s: %zu images of %d x %d in %d channel%s", cached, used, f->config.rows,
                f->config.mels / f->config.channels, f->config.channels, f->config.channels > 1 ? "s" : "");
    else
        qv_info(ctx, "features%s: %zu recordings, %lld frames of %d values from .npy files, one every %g s", cached, used,
                (long long)f->frames, f->config.mels, f->config.hop);
    if (f->skipped) qv_warn(ctx, "%zu of %zu recordings were left out:", f->skipped, f->n);
    for (size_t i = 0; i < f->n; i++)
        if (f->entries[i].skipped) qv_warn(ctx, "  %s", f->entries[i].skipped);
}

qv_status qv_features_open(qv_ctx *ctx, qv_features **out, const qv_manifest *m, const qv_feature_config *c,
                           const qv_feature_options *o)
{
    qv_status status = QV_OK;
    qv_features *f = NULL;
    char *path = NULL;
    qv_cache_id id = {0};
    qv_lock lock = {0};
    bool *readable = NULL;
    *out = NULL;
    QV_TRY(qv_feature_check(ctx, c));
    if (m->images != (c->kind == QV_KIND_IMAGE))
        return qv_fail(ctx, QV_ERR_USAGE, "%s holds %s, where %s were expected", m->path ? m->path : "the list",
                       m->images ? "images" : "no images", m->images ? "recordings" : "they");
    if (m->n == 0) return qv_fail(ctx, QV_ERR_DATA, "the manifest lists no recordings");
    if (o->threads < 1) return qv_fail(ctx, QV_ERR_USAGE, "%d threads cannot compute features", o->threads);
    QV_TRY(qv_alloc(ctx, &f, 1, sizeof *f));
    f->config = *c;
    f->n = m->n;
    QV_TRY(qv_alloc(ctx, &f->entries, f->n, sizeof *f->entries));
    if (!o->no_cache) {
        QV_TRY(qv_alloc(ctx, &readable, m->n, sizeof *readable));
        QV_TRY(identify(ctx, m, c, &id, readable));
        status = cache_path(ctx, &path, o->cache_dir, &id);
        if (status != QV_OK && (status != QV_ERR_IO || o->cache_dir)) goto done;
        status = QV_OK;
        if (path) QV_TRY(qv_cache_map(ctx, f, path, &id, &f->from_cache));
        if (path && !f->from_cache) {
            QV_TRY(lock_cache(ctx, &lock, path, &id));
            QV_TRY(qv_cache_map(ctx, f, path, &id, &f->from_cache)); /* who had the lock may have made them */
        }
    }
    if (!f->from_cache) QV_TRY(make(ctx, f, m, o, path, &id, path ? readable : NULL));
    tell(ctx, f, m);
    *out = f;
    f = NULL;
done:
    qv_lock_release(&lock);
    free(path);
    free(readable);
    qv_features_close(f);
    return status;
}

uint64_t qv_features_content(const qv_features *f)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < f->n; i++) hash = XXH3_64bits_withSeed(&f->entries[i].content, sizeof(uint64_t), hash);
    return hash;
}

void qv_features_close(qv_features *f)
{
    if (!f) return;
    for (size_t i = 0; f->entries && i < f->n; i++) free(f->entries[i].skipped);
    free(f->entries);
    if (f->map)
        munmap(f->map, f->map_size);
    else
        free((void *)(uintptr_t)f->data);
    free(f);
}
