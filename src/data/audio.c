/* Recordings of any format libsndfile reads, as mono samples at one rate. */
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "data/audio.h"
#include "data/resample.h"
#include "data/whole.h"

/* Limits on what a header may claim; hours bound the memory that a small compressed file can ask for. */
enum { SOURCE_RATE_MIN = 1000, SOURCE_RATE_MAX = 768000, CHANNELS_MAX = 64, HOURS_MAX = 4 };

enum { BLOCK = 16384, HEAD = 64 };

/* Quiet sound compresses to some hundred samples a byte; only what is hardly anything but digital silence passes a
 * thousand. Below the first number (17 minutes at 16 kHz, 64 MiB) nobody asks. */
enum { SAMPLES_FREE = 1 << 24, SAMPLES_PER_BYTE = 1000 };

const char *qv_decoder_name(void) { return sf_version_string(); }

/* What the file seems to be, for a message about one that is no audio. */
static const char *describe_head(const unsigned char *head, size_t n)
{
    if (qv_is_lfs_pointer(head, n))
        return "it is a git-lfs pointer, not the recording: run \"git lfs pull\" where it came from";
    if (n >= 6 && memcmp(head, "\x93NUMPY", 6) == 0)
        return "it holds frames (NPY), not sound; a training is on the one or the other, and so are its checkpoints";
    if (n >= 4 && (memcmp(head, "RIFF", 4) == 0 || memcmp(head, "fLaC", 4) == 0 || memcmp(head, "OggS", 4) == 0 ||
                   memcmp(head, "FORM", 4) == 0))
        return "its header is damaged, or its coding is unknown to libsndfile";
    size_t text = 0;
    while (text < n && (head[text] >= 0x20 || (head[text] >= '\t' && head[text] <= '\r')) && head[text] != 0x7f) text++;
    if (text == n) return "it is text, not audio";
    return "it is not audio in a format that libsndfile knows";
}

/* Bytes that a header may take. */
enum { HEADER_MOST = 4096 };

/* Samples that an MPEG stream may lack when it is read: a header that counts a frame or two too many; and those that it
 * may call no sound, two numbers of twelve bits. */
enum { MPEG_SLACK = 4 * 1152, MPEG_DELAY = 2 * 4095 };

/* The state of one reading. */
typedef struct reader {
    FILE *stream; /* what `file` reads, and does not close */
    SNDFILE *file;
    SF_INFO info;
    off_t size; /* bytes of the file */
    qv_mpeg mpeg;
    sf_count_t left;     /* frames still wanted; those of the whole rest when the end is open */
    sf_count_t position; /* frames read or passed over */
    int channel;         /* 1, 2, ...; 0: their average */
    bool open_end;
    bool endless; /* the file does not say how long it is: FLAC, when its encoder wrote into a pipe */
    float *interleaved; /* [BLOCK][channels] */
    float *mono;        /* [BLOCK] */
    qv_resampler *resampler; /* NULL: rates are equal */
    qv_samples out;
    bool sound; /* a sample other than 0 was seen */
    qv_audio_fn take; /* NULL: all samples stay in `out` */
    void *user;
} reader;

static bool is_mpeg(const reader *r) { return (r->info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG; }

/* Refuses what is no regular file, is empty or shorter than its header says. The stream is closed by close_reader. */
static qv_status open_stream(qv_ctx *ctx, reader *r, const char *path, unsigned char *head, size_t *n)
{
    struct stat st;
    qv_status status = qv_open_regular(ctx, path, "it", &r->stream, &st);
    if (status != QV_OK) return status;
    if (st.st_size == 0) return qv_fail(ctx, QV_ERR_DATA, "the file is empty (0 bytes)");
    r->size = st.st_size;
    *n = fread(head, 1, HEAD, r->stream);
    if (ferror(r->stream)) return qv_fail_errno(ctx, "cannot read it");
    if (*n == 0) return qv_fail(ctx, QV_ERR_IO, "the file was emptied while it was opened");
    return qv_whole_check(ctx, r->stream, (uint64_t)st.st_size, &r->mpeg);
}

/* Where an MPEG stream does not say how long it is, libsndfile stops where the size of the first frame and that of the
 * file let it guess the end; and it does not look far for the first. The frames are known, so it gets a file of them
 * alone, which seems long enough for any guess: the largest frame of a layer has 56 times the bytes of the smallest. */
static sf_count_t mpeg_bytes(const reader *r) { return (sf_count_t)(r->mpeg.end - r->mpeg.begin); }
static sf_count_t mpeg_size(void *user) { return mpeg_bytes(user); }

static sf_count_t mpeg_tell(void *user)
{
    const reader *r = user;
    return ftell(r->stream) - (sf_count_t)r->mpeg.begin;
}

static sf_count_t mpeg_seek(sf_count_t by, int from, void *user)
{
    const reader *r = user;
    const sf_count_t end = mpeg_bytes(r);
    const sf_count_t to = by + (from == SEEK_SET ? 0 : from == SEEK_CUR ? mpeg_tell(user) : end);
    if (to < 0 || fseek(r->stream, (long)r->mpeg.begin + to, SEEK_SET) != 0) return -1;
    return from == SEEK_END && by == 0 && !r->mpeg.says ? 64 * end + (1 << 20) : to;
}

static sf_count_t mpeg_read(void *to, sf_count_t n, void *user)
{
    const reader *r = user;
    const sf_count_t left = mpeg_bytes(r) - mpeg_tell(user);
    return left > 0 ? (sf_count_t)fread(to, 1, (size_t)(n < left ? n : left), r->stream) : 0;
}

static qv_status open_mpeg(qv_ctx *ctx, reader *r)
{
    SF_VIRTUAL_IO io = {mpeg_size, mpeg_seek, mpeg_read, NULL, mpeg_tell};
    if (fseek(r->stream, (long)r->mpeg.begin, SEEK_SET) != 0) return qv_fail_errno(ctx, "cannot read it");
    r->info = (SF_INFO){0};
    r->file = sf_open_virtual(&io, SFM_READ, &r->info, r);
    return QV_OK;
}

/* libsndfile knows of all frames, less what a header calls an encoder's delay and padding. */
static qv_status check_mpeg(qv_ctx *ctx, reader *r)
{
    const double rate = r->info.samplerate;
    if (!is_mpeg(r) || r->mpeg.samples == 0) return QV_OK;
    if (r->info.frames < r->mpeg.samples - MPEG_DELAY) /* a header that it does not know, or it guesses otherwise */
        return qv_fail(ctx, QV_ERR_DATA, "libsndfile would read %.2f of its %.2f s: convert it to WAV or FLAC",
                       (double)r->info.frames / rate, (double)r->mpeg.samples / rate);
    if (!r->mpeg.says && r->info.frames > r->mpeg.samples) r->info.frames = r->mpeg.samples;
    return QV_OK;
}

/* By a descriptor of ours: what the system refuses is seen when that is opened. libsndfile keeps the reason why it
 * opened nothing in a variable that all threads share. It would also guess a format from a name's ending. */
static qv_status open_descriptor(qv_ctx *ctx, reader *r)
{
    int fd = dup(fileno(r->stream)); /* libsndfile closes it where it opens nothing, asked to or not */
    if (fd < 0 || lseek(fd, 0, SEEK_SET) != 0) {
        qv_status status = qv_fail_errno(ctx, "cannot read it");
        if (fd >= 0) close(fd);
        return status;
    }
    r->file = sf_open_fd(fd, SFM_READ, &r->info, SF_TRUE);
    return QV_OK;
}

static qv_status open_file(qv_ctx *ctx, reader *r, const char *path)
{
    unsigned char head[HEAD];
    size_t n = 0;
    qv_status status = open_stream(ctx, r, path, head, &n);
    if (status != QV_OK) return status;
    if (r->mpeg.samples == 0 || r->mpeg.says) status = open_descriptor(ctx, r);
    if (status == QV_OK && !r->file && r->mpeg.samples > 0) status = open_mpeg(ctx, r);
    if (status != QV_OK) return status;
    if (!r->file && qv_has_ending(path, "mp3")) { /* rubbish before its first frame: only for the name does libsndfile look further */
        r->info = (SF_INFO){0};
        r->file = sf_open(path, SFM_READ, &r->info);
    }
    if (!r->file) return qv_fail(ctx, QV_ERR_DATA, "%s", describe_head(head, n));
    status = check_mpeg(ctx, r);
    if (status != QV_OK) return status;
    r->endless = r->info.frames == SF_COUNT_MAX;
    if (r->info.samplerate < SOURCE_RATE_MIN || r->info.samplerate > SOURCE_RATE_MAX)
        return qv_fail(ctx, QV_ERR_DATA, "a sampling rate of %d Hz; %d to %d are supported", r->info.samplerate,
                       SOURCE_RATE_MIN, SOURCE_RATE_MAX);
    if (r->info.channels < 1 || r->info.channels > CHANNELS_MAX)
        return qv_fail(ctx, QV_ERR_DATA, "%d channels; 1 to %d are supported", r->info.channels, CHANNELS_MAX);
    if (r->channel > r->info.channels)
        return qv_fail(ctx, QV_ERR_DATA, "channel %d is asked for, it has %d", r->channel, r->info.channels);
    return QV_OK;
}

size_t qv_samples_check(const float *samples, size_t n)
{
    size_t i = 0;
    while (i < n && fabsf(samples[i]) <= 1e10f) i++;
    return i;
}

/* The average of the channels, or the wanted one; refuses what is not a number. */
static qv_status mix(qv_ctx *ctx, reader *r, size_t n)
{
    size_t channels = (size_t)r->info.channels;
    size_t first = r->channel ? (size_t)r->channel - 1 : 0, last = r->channel ? first + 1 : channels;
    float scale = 1.0f / (float)(last - first);
    const float *x = r->interleaved;
    size_t bad = qv_samples_check(x, n * channels);
    if (bad < n * channels)
        return qv_fail(ctx, QV_ERR_DATA, "the sample at %.3f s is %g; numbers near [-1, 1] were expected",
                       (double)(r->position + (sf_count_t)(bad / channels)) / r->info.samplerate, (double)x[bad]);
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (size_t c = first; c < last; c++) sum += x[i * channels + c];
        r->mono[i] = sum * scale;
    }
    for (size_t i = 0; i < n && !r->sound; i++) r->sound = r->mono[i] != 0;
    return QV_OK;
}

/* Reads one block of at most `most` frames; *got = 0 at the end of the file. */
static qv_status read_block(qv_ctx *ctx, reader *r, sf_count_t most, size_t *got)
{
    sf_count_t n = sf_readf_float(r->file, r->interleaved, most < BLOCK ? most : BLOCK);
    const int error = sf_error(r->file); /* of this call alone: the next one of some formats takes it back */
    *got = n > 0 ? (size_t)n : 0;
    if (error == SF_ERR_SYSTEM) return qv_fail(ctx, QV_ERR_IO, "cannot read it: %s", sf_strerror(r->file));
    if (r->endless && error != SF_ERR_NO_ERROR) /* nothing else would tell a torn file from its end */
        return qv_fail(ctx, QV_ERR_DATA, "damaged after %.3f s: %s", (double)(r->position + n) / r->info.samplerate,
                       sf_strerror(r->file));
    qv_status status = mix(ctx, r, *got);
    r->position += n > 0 ? n : 0;
    return status;
}

/* To the start: by seeking where that is exact, else by reading. */
static qv_status skip_to(qv_ctx *ctx, reader *r, sf_count_t start)
{
    int coding = r->info.format & SF_FORMAT_TYPEMASK;
    bool exact = coding == SF_FORMAT_WAV || coding == SF_FORMAT_AIFF || coding == SF_FORMAT_FLAC;
    if (exact && !r->endless && r->info.seekable && sf_seek(r->file, start, SEEK_SET) == start) {
        r->position = start;
        return QV_OK;
    }
    while (r->position < start) {
        size_t got;
        qv_status status = read_block(ctx, r, start - r->position, &got);
        if (status != QV_OK) return status;
        if (got == 0) break;
    }
    return QV_OK;
}

static qv_status select_part(qv_ctx *ctx, reader *r, double start, double end, int out_rate)
{
    const double rate = r->info.samplerate, most = HOURS_MAX * 3600.0;
    const double length = r->endless ? HUGE_VAL : (double)r->info.frames / rate;
    if (!(start >= 0) || (end >= 0 && !(end > start)))
        return qv_fail(ctx, QV_ERR_DATA, "the part from %g s to %g s is empty", start, end);
    if (r->info.frames <= 0 && r->size > HEADER_MOST)
        return qv_fail(ctx, QV_ERR_DATA,
                       "by its header it holds no samples, in %lld bytes; of a recording that was never finished \"sox "
                       "--ignore-length FILE NEW\" makes one that can be read",
                       (long long)r->size);
    if (r->info.frames <= 0) return qv_fail(ctx, QV_ERR_DATA, "it holds no samples");
    if (start >= length)
        return qv_fail(ctx, QV_ERR_DATA, "the part begins at %g s, but the recording ends at %g s", start, length);
    r->open_end = end < 0 || end >= length;
    const double last = !r->open_end ? end : r->endless ? start + most : length;
    if (last - start > most)
        return qv_fail(ctx, QV_ERR_DATA, "%.1f hours long, %d are supported: give it as parts with start and end",
                       (last - start) / 3600, HOURS_MAX);
    double samples = (last - start) * out_rate;
    if (!r->endless && samples > SAMPLES_FREE && samples > (double)r->size * SAMPLES_PER_BYTE)
        return qv_fail(ctx, QV_ERR_DATA, "%.2f hours of sound in %lld bytes: no recording compresses so well",
                       (last - start) / 3600, (long long)r->size);
    sf_count_t first = (sf_count_t)llround(start * rate);
    if (r->open_end && r->endless)
        r->left = (sf_count_t)(most * rate) + 1; /* one more than may be there */
    else
        r->left = (r->open_end ? r->info.frames : (sf_count_t)llround(end * rate)) - first;
    if (r->left <= 0) return qv_fail(ctx, QV_ERR_DATA, "the part from %g s to %g s holds no sample", start, last);
    return first > 0 ? skip_to(ctx, r, first) : QV_OK;
}

static qv_status append(qv_ctx *ctx, qv_samples *out, const float *x, size_t n)
{
    qv_status status = qv_grow(ctx, &out->data, &out->cap, out->n + n, sizeof *out->data);
    if (status != QV_OK) return status;
    memcpy(out->data + out->n, x, n * sizeof *x);
    out->n += n;
    return QV_OK;
}

/* To the caller, where they are wanted block by block. */
static qv_status hand_on(qv_ctx *ctx, reader *r)
{
    if (!r->take || r->out.n == 0) return QV_OK;
    qv_status status = r->take(ctx, r->user, r->out.data, r->out.n);
    r->out.n = 0;
    return status;
}

/* What a header would have told before. */
static qv_status check_endless(qv_ctx *ctx, const reader *r, sf_count_t got)
{
    if (got == 0) return qv_fail(ctx, QV_ERR_DATA, "it holds no samples, or none as late as the part begins");
    if (r->open_end && r->left == 0)
        return qv_fail(ctx, QV_ERR_DATA, "longer than %d hours: give it as parts with start and end", HOURS_MAX);
    return QV_OK;
}

static qv_status check_density(qv_ctx *ctx, const reader *r)
{
    if (!r->endless || r->out.n <= SAMPLES_FREE || (double)r->out.n <= (double)r->size * SAMPLES_PER_BYTE) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "more than %zu samples in %lld bytes: no recording compresses so well", r->out.n,
                   (long long)r->size);
}

static qv_status read_samples(qv_ctx *ctx, reader *r)
{
    qv_status status = QV_OK;
    sf_count_t wanted = r->left;
    while (r->left > 0) {
        size_t got;
        QV_TRY(qv_poll(ctx));
        QV_TRY(read_block(ctx, r, r->left, &got));
        if (got == 0) break;
        r->left -= (sf_count_t)got;
        QV_TRY(r->resampler ? qv_resampler_push(ctx, r->resampler, r->mono, got, &r->out)
                            : append(ctx, &r->out, r->mono, got));
        QV_TRY(hand_on(ctx, r));
        QV_TRY(check_density(ctx, r));
    }
    if (r->endless) QV_TRY(check_endless(ctx, r, wanted - r->left));
    if (!r->endless && r->left > 0 && (r->left == wanted || r->left > (is_mpeg(r) ? MPEG_SLACK : 0))) {
        status = qv_fail(ctx, QV_ERR_DATA, "truncated or damaged: %lld of %lld samples could be read",
                         (long long)(wanted - r->left), (long long)wanted);
        goto done;
    }
    if (r->resampler) QV_TRY(qv_resampler_end(ctx, r->resampler, &r->out));
    status = hand_on(ctx, r);
done:
    return status;
}

/* As many samples as the rates' ratio gives, whatever the filter's delay made of it. */
static qv_status fix_length(qv_ctx *ctx, qv_samples *out, double frames, double ratio)
{
    size_t n = (size_t)llround(frames * ratio);
    if (n == 0) n = 1;
    qv_status status = qv_grow(ctx, &out->data, &out->cap, n, sizeof *out->data);
    if (status != QV_OK) return status;
    if (out->n < n) memset(out->data + out->n, 0, (n - out->n) * sizeof *out->data);
    out->n = n;
    return QV_OK;
}

static void close_reader(reader *r)
{
    if (r->file) sf_close(r->file);
    if (r->stream) fclose(r->stream);
    qv_resampler_free(r->resampler);
    free(r->interleaved);
    free(r->mono);
    free(r->out.data);
}

static qv_status open_reader(qv_ctx *ctx, reader *r, const char *path, int rate)
{
    qv_status status = QV_OK;
    QV_TRY(open_file(ctx, r, path));
    QV_TRY(qv_alloc(ctx, &r->interleaved, BLOCK * (size_t)r->info.channels, sizeof *r->interleaved));
    QV_TRY(qv_alloc(ctx, &r->mono, BLOCK, sizeof *r->mono));
    if (r->info.samplerate != rate) QV_TRY(qv_resampler_new(ctx, &r->resampler, r->info.samplerate, rate));
done:
    return status;
}

static qv_status read_audio(qv_ctx *ctx, qv_audio *out, const char *path, double start, double end, int channel,
                            int rate)
{
    qv_status status = QV_OK;
    reader r = {.channel = channel};
    QV_TRY(open_reader(ctx, &r, path, rate));
    QV_TRY(select_part(ctx, &r, start, end, rate));
    r.sound = false;
    sf_count_t wanted = r.left;
    QV_TRY(read_samples(ctx, &r));
    if (!r.sound) {
        status = qv_fail(ctx, QV_ERR_DATA,
                         r.info.channels > 1 && !channel ? "all samples are zero once the channels are averaged"
                                                         : "all samples are zero");
        goto done;
    }
    QV_TRY(fix_length(ctx, &r.out, (double)(wanted - r.left), (double)rate / r.info.samplerate));
    *out = (qv_audio){r.out.data, r.out.n, r.info.samplerate, r.info.channels};
    r.out = (qv_samples){0};
done:
    close_reader(&r);
    return status;
}

qv_status qv_audio_read_channel(qv_ctx *ctx, qv_audio *out, const char *path, double start, double end, int channel,
                                int rate)
{
    *out = (qv_audio){0};
    qv_status status = read_audio(ctx, out, path, start, end, channel, rate);
    return status == QV_OK ? QV_OK : qv_fail_prefix(ctx, status, "%s", path);
}

qv_status qv_audio_read(qv_ctx *ctx, qv_audio *out, const char *path, double start, double end, int rate)
{
    return qv_audio_read_channel(ctx, out, path, start, end, 0, rate);
}

qv_status qv_audio_each(qv_ctx *ctx, const char *path, int rate, qv_audio_fn take, void *user)
{
    reader r = {.take = take, .user = user};
    qv_status status = open_reader(ctx, &r, path, rate);
    r.left = r.info.frames;
    if (status == QV_OK && r.left <= 0) status = qv_fail(ctx, QV_ERR_DATA, "it holds no samples");
    if (status == QV_OK) status = read_samples(ctx, &r);
    close_reader(&r);
    return status == QV_OK ? QV_OK : qv_fail_prefix(ctx, status, "%s", path);
}

void qv_audio_free(qv_audio *a)
{
    free(a->samples);
    *a = (qv_audio){0};
}

/* Headerless formats would be guesses. */
bool qv_is_audio(const char *path)
{
    static const char endings[] = "wav wave aif aiff aifc au snd flac ogg oga opus mp3 caf w64 rf64 sph nist voc sf";
    return qv_has_ending(path, endings);
}
