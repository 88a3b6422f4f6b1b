/* MPEG audio (MP3): frames that follow each other. No header of the whole says how many; a first frame without sound
 * may (Xing's), and libsndfile believes it, or else guesses from the first frame's size and the file's. So they are
 * counted. */
#include <string.h>

#include "base/bytes.h"
#include "data/whole_own.h"

enum {
    HEADER = 4,
    FRAME_MAX = 2881, /* bytes: layer II at 160 kbit/s and 8 kHz, 144 * 160000 / 8000, and a byte of padding */
    SLACK = 2         /* frames that Xing's header may be wrong by: some encoders count it, or forget the last one */
};

typedef struct frame {
    unsigned char header[HEADER];
    int layer, rate;
    bool low; /* MPEG 2 or 2.5 */
    uint32_t bytes, samples;
} frame;

static bool is_sync(const unsigned char *p) { return p[0] == 0xff && (p[1] & 0xe0) == 0xe0; }

/* Of no frame with a length: reserved values, and the rare "free format". */
static bool parse(const unsigned char *p, frame *f)
{
    static const int rates[3] = {44100, 48000, 32000};
    static const unsigned short kbits[5][14] = {
        {32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448}, /* MPEG 1, layers I, II, III */
        {32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
        {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
        {32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256}, /* the others, layer I; II and III */
        {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
    };
    const int version = p[1] >> 3 & 3, layer = 4 - (p[1] >> 1 & 3), kbit = p[2] >> 4, rate = p[2] >> 2 & 3;
    if (!is_sync(p) || version == 1 || layer == 4 || kbit == 0 || kbit == 15 || rate == 3) return false;
    memcpy(f->header, p, HEADER);
    f->layer = layer;
    f->low = version != 3;
    f->rate = rates[rate] >> (version == 3 ? 0 : version == 2 ? 1 : 2);
    f->samples = layer == 1 ? 384 : layer == 3 && f->low ? 576 : 1152;
    const uint32_t slot = layer == 1 ? 4 : 1, padding = p[2] >> 1 & 1;
    const uint32_t bits = 1000u * kbits[f->low ? (layer == 1 ? 3 : 4) : layer - 1][kbit - 1];
    f->bytes = (f->samples / 8 / slot * bits / (uint32_t)f->rate + padding) * slot;
    return true;
}

/* Of one version, layer and rate, as all frames of a stream are. */
static bool is_alike(const unsigned char *a, const unsigned char *b)
{
    return ((a[1] ^ b[1]) & 0x1e) == 0 && ((a[2] ^ b[2]) & 0x0c) == 0;
}

/* p: n bytes from a frame's first on. Another one like it follows, or the file's end: not by chance do they look like a
 * frame. */
static bool is_followed(const unsigned char *p, size_t n, const frame *f)
{
    if (f->bytes + HEADER > n) return f->bytes == n;
    frame next;
    return parse(p + f->bytes, &next) && is_alike(p, p + f->bytes);
}

/* Bytes of the ID3v2 tag that p begins with, 0: of none. */
static uint64_t tag_size(const unsigned char *p, size_t n)
{
    if (n < 10 || memcmp(p, "ID3", 3) != 0) return 0;
    uint64_t size = 0;
    for (int i = 6; i < 10; i++) size = size << 7 | (p[i] & 0x7f);
    return size + (p[5] & 0x10 ? 20 : 10);
}

/* The frames that were gone through. */
typedef struct walk {
    frame first;
    int64_t frames;
    int64_t promised; /* by Xing's frame, which is not counted; 0: it does not say, or there is none */
    uint64_t begin;   /* of the first, Xing's too */
    uint64_t end;     /* of the last whole frame */
    bool cut, mixed;  /* the file ends within a frame; another kind of frame follows */
} walk;

/* The next frame from *at on, in *p and *f, with all its bytes that are there. What is none (tags, rubbish) is passed
 * over: right behind a frame a header is one, and of another kind too, if its like follows; later only one like the
 * first. */
static bool next_frame(qv_window *w, const walk *k, uint64_t *at, const unsigned char **p, frame *f)
{
    const bool begun = k->end > 0;
    bool adjacent = true;
    for (;;) {
        size_t n = qv_window_look(w, *at, FRAME_MAX + HEADER, p);
        if (n < HEADER) return false;
        uint64_t tag = tag_size(*p, n);
        if (tag == 0 && is_sync(*p) && parse(*p, f)) {
            bool alike = !begun || is_alike(*p, k->first.header), followed = is_followed(*p, n, f);
            if (adjacent ? followed || (begun && alike) : followed && alike) return true;
        }
        if (tag == 0 && !begun && (*p)[0] != 0) return false;
        adjacent = adjacent && (tag > 0 || !begun);
        *at += tag > 0 ? tag : qv_window_zeros(w, *at);
    }
}

/* What encoders put before all other frames to say how many there are: zeros where its side information would be, and,
 * of some, a checksum before. */
static bool is_xing(const unsigned char *p, const frame *f, int64_t *promised)
{
    const bool mono = p[3] >> 6 == 3, summed = !(p[1] & 1);
    size_t at = HEADER + (size_t)(f->low ? (mono ? 9 : 17) : mono ? 17 : 32);
    if (f->layer != 3 || f->bytes < at + 14) return false;
    if (summed && p[at] == 0 && p[at + 1] == 0) at += 2;
    if (memcmp(p + at, "Xing", 4) != 0 && memcmp(p + at, "Info", 4) != 0) return false;
    uint64_t frames = p[at + 7] & 1 ? qv_get_uint(p + at + 8, 4, true) : 0;
    *promised = frames < 0x7fff0000u ? (int64_t)frames : 0; /* the largest are of who did not know */
    return true;
}

static void count_frames(qv_window *w, walk *k)
{
    const unsigned char *p;
    uint64_t at = 0;
    frame f;
    while (next_frame(w, k, &at, &p, &f)) {
        const bool first = k->end == 0;
        if (first) k->first = f, k->begin = at;
        k->mixed = !is_alike(f.header, k->first.header);
        k->cut = f.bytes > w->size - at;
        if (k->mixed || k->cut) return;
        if (!first || !is_xing(p, &f, &k->promised)) k->frames++;
        k->end = at += f.bytes;
    }
}

qv_status qv_whole_mpeg(qv_ctx *ctx, qv_window *w, qv_mpeg *out)
{
    static const char help[] = "not all of it would be read: convert it to WAV or FLAC";
    const unsigned char *p;
    walk k = {0};
    if (qv_window_look(w, 0, 10, &p) < 10 || !(is_sync(p) || tag_size(p, 10) > 0)) return QV_OK;
    count_frames(w, &k);
    if (k.frames == 0) return QV_OK; /* in another format behind a tag, or in free format */
    const double seconds = (double)k.first.samples / k.first.rate, there = (double)k.frames * seconds;
    const double promised = (double)k.promised * seconds;
    if (k.mixed)
        return qv_fail(ctx, QV_ERR_DATA, "joined: MPEG frames of another rate or layer follow at %.2f s; %s", there,
                       help);
    if (k.promised > k.frames + SLACK || (k.cut && k.promised > k.frames))
        return qv_fail(ctx, QV_ERR_DATA, "truncated or damaged: MPEG frames of %.2f s are there, its header promises %.2f s",
                       there, promised);
    if (k.promised > 0 && k.frames > k.promised + SLACK)
        return qv_fail(ctx, QV_ERR_DATA, "joined: its header promises %.2f s, its MPEG frames hold %.2f s; %s",
                       promised, there, help);
    if (k.cut && k.promised == 0)
        return qv_fail(ctx, QV_ERR_DATA,
                       "truncated: it ends within an MPEG frame, at %.2f s; if nothing is missing, convert it to WAV or FLAC",
                       there);
    *out = (qv_mpeg){k.frames * k.first.samples, k.begin, k.end, k.promised > 0};
    return QV_OK;
}
