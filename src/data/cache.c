#include "data/cache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* The frames begin on a page of their own, so that the map serves vector loads and read-ahead. */
enum { DATA_AT = 4096, CACHE_VERSION = 2 };

typedef struct header {
    char magic[8];
    uint32_t version, byte_order;
    qv_cache_id id;
    uint64_t file_size, entries, frames, mels, text_size;
    uint64_t data_hash, table_hash;
    uint64_t header_hash; /* of all above */
} header;

/* As in the file; `reason` is 0 or 1 + the offset of a string in the text that follows the records. */
typedef struct record {
    int64_t first_frame;
    int32_t frames, source_rate, channels;
    float seconds;
    uint64_t content, reason;
} record;

static const char magic[8] = "QVFEAT\r\n";
static const uint32_t byte_order = 0x01020304;

static uint64_t hash_header(const header *h) { return XXH3_64bits(h, offsetof(header, header_hash)); }

qv_status qv_cache_create(qv_ctx *ctx, qv_cache_writer *w, const char *path)
{
    *w = (qv_cache_writer){0};
    qv_status status = qv_out_open(ctx, &w->out, path);
    if (status != QV_OK) return status;
    XXH3_state_t *hash = XXH3_createState();
    if (!hash) {
        status = qv_fail(ctx, QV_ERR_MEMORY, "no memory for a hash");
        goto done;
    }
    w->hash = hash;
    XXH3_64bits_reset(hash);
    if (fseek(w->out.f, DATA_AT, SEEK_SET) != 0) status = qv_fail_errno(ctx, "cannot write %s", w->out.path);
done:
    if (status != QV_OK) qv_cache_close(w);
    return status;
}

static qv_status put(qv_ctx *ctx, qv_cache_writer *w, const void *bytes, size_t n)
{
    if (n == 0 || fwrite(bytes, 1, n, w->out.f) == n) return QV_OK;
    return qv_fail_errno(ctx, "cannot write the feature cache %s (--cache DIR puts it elsewhere)", w->out.path);
}

qv_status qv_cache_append(qv_ctx *ctx, qv_cache_writer *w, const float *data, size_t n)
{
    XXH3_64bits_update(w->hash, data, n * sizeof *data);
    return put(ctx, w, data, n * sizeof *data);
}

/* Records and reasons as they stand in the file. */
static void build_table(const qv_features *f, qv_buf *records, qv_buf *text)
{
    for (size_t i = 0; i < f->n; i++) {
        const qv_feature_entry *e = &f->entries[i];
        record r = {e->first_frame,
                    e->frames,
                    e->source_rate,
                    e->channels,
                    e->seconds,
                    e->content,
                    e->skipped ? text->len + 1 : 0};
        qv_buf_add(records, &r, sizeof r);
        if (e->skipped) qv_buf_add(text, e->skipped, strlen(e->skipped) + 1);
    }
}

qv_status qv_cache_commit(qv_ctx *ctx, qv_cache_writer *w, const qv_features *f, const qv_cache_id *id)
{
    qv_status status = QV_OK;
    qv_buf table = {0}, text = {0};
    header h = {.version = CACHE_VERSION, .byte_order = byte_order, .id = *id, .entries = f->n};
    memcpy(h.magic, magic, sizeof magic);
    build_table(f, &table, &text);
    QV_TRY(qv_buf_check(ctx, &text));
    h.text_size = text.len;
    qv_buf_add(&table, text.data, text.len);
    QV_TRY(qv_buf_check(ctx, &table));
    h.frames = (uint64_t)f->frames;
    h.mels = (uint64_t)f->config.mels;
    h.file_size = DATA_AT + h.frames * h.mels * sizeof(float) + table.len;
    h.data_hash = XXH3_64bits_digest(w->hash);
    h.table_hash = XXH3_64bits(table.data, table.len);
    h.header_hash = hash_header(&h);
    QV_TRY(put(ctx, w, table.data, table.len));
    if (fseek(w->out.f, 0, SEEK_SET) != 0) {
        status = qv_fail_errno(ctx, "cannot write the feature cache %s", w->out.path);
        goto done;
    }
    QV_TRY(put(ctx, w, &h, sizeof h));
    QV_TRY(qv_out_commit(ctx, &w->out));
done:
    qv_buf_free(&table);
    qv_buf_free(&text);
    return status;
}

void qv_cache_close(qv_cache_writer *w)
{
    qv_out_close(&w->out);
    XXH3_freeState(w->hash);
    *w = (qv_cache_writer){0};
}

static const char no_header[] = "no whole header";

/* NULL, or what is wrong with the file; *other is set where nothing is, but it was made of something else. */
static const char *find_damage(const unsigned char *map, uint64_t size, const qv_features *f, const qv_cache_id *id,
                               bool *other)
{
    header h;
    *other = false;
    if (size < DATA_AT) return no_header;
    memcpy(&h, map, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0) return "no cache file";
    *other = h.version != CACHE_VERSION || h.byte_order != byte_order;
    if (*other) return NULL;
    if (h.header_hash != hash_header(&h)) return "damaged header";
    *other = h.id.settings != id->settings || h.id.sources != id->sources;
    if (*other) return NULL;
    if (h.file_size != size) return "wrong length";
    if (h.entries != f->n || h.mels != (uint64_t)f->config.mels) return "a header that contradicts itself";
    uint64_t left = size - DATA_AT, row = h.mels * sizeof(float);
    if (h.frames > left / row || h.entries > left / sizeof(record)) return "a header that contradicts itself";
    uint64_t data = h.frames * row, records = h.entries * sizeof(record);
    if (left - data < records || left - data - records != h.text_size) return "a header that contradicts itself";
    if (XXH3_64bits(map + DATA_AT, data) != h.data_hash) return "damaged frames";
    if (XXH3_64bits(map + DATA_AT + data, records + h.text_size) != h.table_hash) return "damaged records";
    return NULL;
}

/* Copies the records out; false where they contradict each other. */
static qv_status take_records(qv_ctx *ctx, qv_features *f, const unsigned char *table, const char *text,
                              uint64_t text_size, bool *sound)
{
    int64_t next = 0;
    *sound = text_size == 0 || text[text_size - 1] == '\0';
    for (size_t i = 0; i < f->n && *sound; i++) {
        record r;
        qv_feature_entry *e = &f->entries[i];
        memcpy(&r, table + i * sizeof r, sizeof r);
        *sound = r.first_frame == next && r.frames >= 0 && r.frames <= f->frames - next && r.reason <= text_size &&
                 (r.reason != 0) == (r.frames == 0);
        if (!*sound) break;
        next += r.frames;
        *e = (qv_feature_entry){r.first_frame, r.frames, r.source_rate, r.channels, r.seconds, r.content, NULL};
        if (!r.reason) continue;
        f->skipped++;
        qv_status status = qv_strdup(ctx, &e->skipped, text + r.reason - 1);
        if (status != QV_OK) return status;
    }
    *sound = *sound && next == f->frames;
    return QV_OK;
}

static qv_status use_map(qv_ctx *ctx, qv_features *f, const unsigned char *map, bool *sound)
{
    header h;
    memcpy(&h, map, sizeof h);
    f->frames = (int64_t)h.frames;
    f->data = (const float *)(const void *)(map + DATA_AT);
    const unsigned char *table = map + DATA_AT + h.frames * h.mels * sizeof(float);
    return take_records(ctx, f, table, (const char *)table + f->n * sizeof(record), h.text_size, sound);
}

/* Takes back what a map that is not used has put into f. */
static void forget(qv_features *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->entries[i].skipped);
        f->entries[i] = (qv_feature_entry){0};
    }
    if (f->map) munmap(f->map, f->map_size);
    f->map = NULL;
    f->map_size = 0;
    f->data = NULL;
    f->frames = 0;
    f->skipped = 0;
}

qv_status qv_cache_map(qv_ctx *ctx, qv_features *f, const char *path, const qv_cache_id *id, bool *hit)
{
    qv_status status = QV_OK;
    struct stat st;
    const char *damage = NULL;
    bool other = false, sound = false;
    *hit = false;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe in its place is damage, and no reason to wait */
    if (fd < 0) return QV_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < DATA_AT) {
        damage = no_header;
        goto done;
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        status = qv_fail_errno(ctx, "cannot map the feature cache %s", path);
        goto done;
    }
    f->map = map;
    f->map_size = (size_t)st.st_size;
    damage = find_damage(map, (uint64_t)st.st_size, f, id, &other);
    if (damage || other) goto done;
    QV_TRY(use_map(ctx, f, map, &sound));
    if (!sound) damage = "records that contradict each other";
    *hit = sound;
done:
    close(fd);
    if (!*hit) forget(f);
    if (damage) qv_warn(ctx, "the feature cache %s has %s; it is made again", path, damage);
    return status;
}
