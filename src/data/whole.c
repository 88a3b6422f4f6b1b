/* Formats that say how many bytes of samples they hold, or where they end. */
#include "data/whole.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "data/whole_own.h"

static qv_status compare(qv_ctx *ctx, uint64_t there, uint64_t promised)
{
    if (promised <= there) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "truncated: %llu of %llu bytes of samples are there", (unsigned long long)there,
                   (unsigned long long)promised);
}

/* Lengths near the type's end are what programs write that did not know the length. */
static bool is_known(uint64_t length, size_t bytes) { return length < (bytes == 4 ? 0x7fff0000u : UINT64_MAX >> 2); }

/* Files of chunks that follow each other, each with a name and a length before it. */
typedef struct layout {
    const char *magic; /* at 0 */
    size_t kind_at;
    const char *kind;
    size_t first;         /* chunk's place */
    const char *samples;  /* how the name of the chunk of samples begins */
    size_t name, length;  /* bytes of each */
    bool big_endian, own; /* own: the length counts name and length, too */
    size_t align;
} layout;

static const layout layouts[] = {
    {"RIFF", 8, "WAVE", 12, "data", 4, 4, false, false, 2}, {"RIFX", 8, "WAVE", 12, "data", 4, 4, true, false, 2},
    {"RF64", 8, "WAVE", 12, "data", 4, 4, false, false, 2}, {"FORM", 8, "AIF", 12, "SSND", 4, 4, true, false, 2},
    {"caff", 4, "", 8, "data", 4, 8, true, false, 1},       {"riff", 24, "wave", 40, "data", 16, 8, false, true, 8},
};

static qv_status check_chunks(qv_ctx *ctx, qv_window *w, const layout *l)
{
    enum { LONG = 16 }; /* bytes of RF64's chunk of long lengths: that of all, that of the samples */
    const size_t head = l->name + l->length;
    const unsigned char *p;
    uint64_t at = l->first, long_length = UINT64_MAX;
    size_t n;
    while ((n = qv_window_look(w, at, head + LONG, &p)) >= head) {
        uint64_t length = qv_get_uint(p + l->name, l->length, l->big_endian), there = w->size - at - head;
        if (l->own && length < head) break;
        if (l->own) length -= head;
        if (memcmp(p, l->samples, 4) == 0) {
            if (length == UINT32_MAX && l->length == 4 && long_length < UINT64_MAX >> 2)
                return compare(ctx, there, long_length);
            return is_known(length, l->length) ? compare(ctx, there, length) : QV_OK;
        }
        if (memcmp(p, "ds64", 4) == 0 && n == head + LONG) long_length = qv_get_uint(p + head + 8, 8, false);
        if (length > there) break;
        at += head + length + (l->align - length % l->align) % l->align;
    }
    return QV_OK;
}

static qv_status check_au(qv_ctx *ctx, qv_window *w, bool big_endian)
{
    const unsigned char *p;
    if (qv_window_look(w, 0, 12, &p) < 12) return QV_OK;
    uint64_t first = qv_get_uint(p + 4, 4, big_endian), length = qv_get_uint(p + 8, 4, big_endian);
    return is_known(length, 4) ? compare(ctx, first < w->size ? w->size - first : 0, length) : QV_OK;
}

/* What a line "NAME -i NUMBER" of the header says, of whatever type it claims to be; -1: there is none. */
static long long sphere_field(const char *header, const char *name)
{
    char key[40];
    snprintf(key, sizeof key, "\n%s -", name);
    const char *line = strstr(header, key);
    const char *number = line ? strchr(line + strlen(key), ' ') : NULL;
    return number ? strtoll(number, NULL, 10) : -1;
}

/* Text of so many bytes as its second line says. Only of samples that are not compressed is the size known. */
static qv_status check_sphere(qv_ctx *ctx, qv_window *w)
{
    char header[4097];
    const unsigned char *p;
    size_t n = qv_window_look(w, 0, sizeof header - 1, &p);
    memcpy(header, p, n);
    header[n] = '\0';
    long long first = strtoll(header + 8, NULL, 10);
    long long count = sphere_field(header, "sample_count"), bytes = sphere_field(header, "sample_n_bytes");
    long long channels = sphere_field(header, "channel_count");
    const char *coding = strstr(header, "\nsample_coding -s");
    if (coding && memchr(coding + 1, ',', strcspn(coding + 1, "\n"))) return QV_OK; /* "pcm,embedded-shorten-v2.00" */
    if (first <= 0 || count < 0 || count > 1LL << 40 || bytes < 1 || bytes > 8 || channels < 1 || channels > 1 << 10)
        return QV_OK;
    return compare(ctx, (uint64_t)first < w->size ? w->size - (uint64_t)first : 0,
                   (uint64_t)(count * bytes * channels));
}

/* Blocks, each with its kind and, but for the last, its length in 3 bytes. */
static qv_status check_voc(qv_ctx *ctx, qv_window *w)
{
    enum { ENDS = 0, HEAD = 4 };
    qv_status status = QV_OK;
    const unsigned char *p;
    uint64_t at = qv_window_look(w, 20, 2, &p) == 2 ? qv_get_uint(p, 2, false) : w->size;
    while (status == QV_OK && qv_window_look(w, at, HEAD, &p) == HEAD && p[0] != ENDS) {
        uint64_t length = qv_get_uint(p + 1, 3, false);
        status = compare(ctx, w->size - at - HEAD, length);
        at += HEAD + length;
    }
    return status;
}

enum { OGG_BEGINS = 2, OGG_ENDS = 4 }; /* flags of a page: the first, the last of its stream */

/* The bytes of the page that begins at `at`; 0: none does, SIZE_MAX: it does, but the file ends before it. */
static size_t ogg_page(qv_window *w, uint64_t at, int *flags)
{
    enum { HEAD = 27, SEGMENTS = 255 };
    const unsigned char *p;
    size_t n = qv_window_look(w, at, HEAD + SEGMENTS, &p);
    if (n < 4 || memcmp(p, "OggS", 4) != 0) return 0;
    if (n < HEAD || n < HEAD + (size_t)p[26]) return SIZE_MAX;
    size_t size = HEAD + (size_t)p[26];
    for (size_t i = 0; i < p[26]; i++) size += p[HEAD + i];
    *flags = p[5];
    return size <= w->size - at ? size : SIZE_MAX;
}

/* The last page says that it is. What follows it and is no page, tags and zeros that other programs add, is passed
 * over. libsndfile reads the first of several streams alone; those that are mixed begin with each other. */
static qv_status check_ogg(qv_ctx *ctx, qv_window *w)
{
    int flags = OGG_BEGINS;
    for (uint64_t at = 0; at < w->size && !w->error && !w->stopped;) {
        int before = flags;
        size_t page = ogg_page(w, at, &flags);
        if (page == SIZE_MAX) return qv_fail(ctx, QV_ERR_DATA, "truncated: it ends within a page of Ogg");
        if (flags & OGG_BEGINS && !(before & OGG_BEGINS))
            return qv_fail(ctx, QV_ERR_DATA,
                           "joined: another Ogg stream follows the first, and only that would be read; "
                           "convert it to WAV or FLAC");
        at += page ? page : qv_window_zeros(w, at);
    }
    if (flags & OGG_ENDS) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA,
                   "truncated: its last page of Ogg does not end the stream; if nothing is missing, "
                   "\"ffmpeg -i FILE -c copy NEW\" writes it with its end marked");
}

static qv_status check(qv_ctx *ctx, qv_window *w, qv_mpeg *mpeg)
{
    unsigned char head[32] = {0};
    const unsigned char *p;
    size_t n = qv_window_look(w, 0, sizeof head, &p);
    if (n > 0) memcpy(head, p, n);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const layout *l = &layouts[i];
        if (memcmp(head, l->magic, 4) == 0 && memcmp(head + l->kind_at, l->kind, strlen(l->kind)) == 0)
            return check_chunks(ctx, w, l);
    }
    if (memcmp(head, ".snd", 4) == 0 || memcmp(head, "dns.", 4) == 0) return check_au(ctx, w, head[0] == '.');
    if (memcmp(head, "NIST_1A\n", 8) == 0) return check_sphere(ctx, w);
    if (memcmp(head, "OggS", 4) == 0) return check_ogg(ctx, w);
    if (memcmp(head, "Creative Voice File", 19) == 0) return check_voc(ctx, w);
    return qv_whole_mpeg(ctx, w, mpeg);
}

qv_status qv_whole_check(qv_ctx *ctx, FILE *f, uint64_t size, qv_mpeg *mpeg)
{
    *mpeg = (qv_mpeg){0};
    qv_window w = {.ctx = ctx, .f = f, .size = size};
    qv_status status = check(ctx, &w, mpeg);
    if (w.stopped) return qv_poll(ctx);
    errno = w.error; /* what could not be read is not missing */
    return w.error ? qv_fail_errno(ctx, "cannot read it") : status;
}
