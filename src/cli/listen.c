/* quaver predict --stream and --timeline: a decision every so often about sound that goes on. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/csv.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cli.h"
#include "data/audio.h"
#include "data/feature_config.h"
#include "data/resample.h"
#include "report/timeline.h"
#include "train/listener.h"
#include "train/metrics.h"

enum { BLOCK = 16384 };

/* How raw samples are written down; little-endian. */
typedef struct encoding {
    const char *name;
    size_t bytes;
} encoding;
static const encoding encodings[] = {{"s16", 2}, {"s24", 3}, {"s32", 4}, {"f32", 4}, {"u8", 1}};
enum { S16, S24, S32, F32, U8, ENCODINGS };

typedef struct listening {
    const qv_listen_words *words;
    qv_predictor *predictor;
    qv_timeline *timeline; /* NULL: no picture is wanted */
    char **classes;
    int n_classes;
    const char *file; /* in every line; NULL: no such column */
    size_t lines;     /* written of it */
    FILE *out;
} listening;

static void print_csv(const listening *l, const qv_decision *d, int best, qv_buf *b)
{
    if (l->file) {
        qv_csv_cell(b, l->file);
        qv_buf_puts(b, ",");
    }
    qv_buf_printf(b, "%.2f,%.2f,", d->start, d->end);
    if (d->probs) {
        qv_buf_printf(b, "%.1f,", d->level);
        qv_csv_cell(b, l->classes[best]);
    } else {
        qv_buf_puts(b, ",");
    }
    for (int k = 0; k < l->n_classes; k++) d->probs ? qv_buf_printf(b, ",%.6f", d->probs[k]) : qv_buf_puts(b, ",");
    qv_buf_puts(b, "\n");
}

static qv_status print_json(qv_ctx *ctx, const listening *l, const qv_decision *d, int best, qv_buf *b)
{
    json_t *row = json_object(), *all = d->probs ? json_object() : json_null();
    int failed = 0;
    for (int k = 0; d->probs && k < l->n_classes; k++)
        failed |= json_object_set_new(all, l->classes[k], json_real(d->probs[k]));
    if (l->file) failed |= json_object_set_new(row, "file", json_string(l->file));
    failed |= json_object_set_new(row, "start", json_real(d->start));
    failed |= json_object_set_new(row, "end", json_real(d->end));
    failed |= json_object_set_new(row, "level_db", d->probs ? json_real(d->level) : json_null());
    failed |= json_object_set_new(row, "predicted", d->probs ? json_string(l->classes[best]) : json_null());
    failed |= json_object_set_new(row, "probabilities", all);
    char *text = failed ? NULL : qv_json_text(row, JSON_COMPACT | JSON_REAL_PRECISION(7));
    if (text) qv_buf_printf(b, "%s\n", text);
    qv_status status = text ? QV_OK : qv_fail(ctx, QV_ERR_MEMORY, "no memory for a line of JSON");
    free(text);
    json_decref(row);
    return status;
}

/* One line, out at once: somebody may be waiting at the other end of a pipe. */
static qv_status on_decision(qv_ctx *ctx, void *user, const qv_decision *d)
{
    listening *l = user;
    qv_buf b = {0};
    const int best = d->probs ? qv_largest(d->probs, l->n_classes) : 0;
    qv_status status = QV_OK;
    if (l->words->json)
        status = print_json(ctx, l, d, best, &b);
    else
        print_csv(l, d, best, &b);
    if (status == QV_OK) status = qv_buf_check(ctx, &b);
    if (status == QV_OK && (fwrite(b.data, 1, b.len, l->out) != b.len || fflush(l->out) != 0))
        status = qv_fail_errno(ctx, "cannot write the decisions");
    l->lines += status == QV_OK;
    if (l->timeline) qv_timeline_add(l->timeline, d->end, d->probs);
    qv_buf_free(&b);
    return status;
}

static qv_status print_header(qv_ctx *ctx, const listening *l)
{
    static const char *const first[] = {"file", "start", "end", "level_db", "predicted"};
    enum { CELLS = sizeof first / sizeof *first };
    const int from = l->words->stream; /* no file */
    qv_buf b = {0};
    if (l->words->json) return QV_OK;
    qv_csv_header(&b, first + from, (size_t)(CELLS - from), "p_", l->classes, (size_t)l->n_classes);
    qv_status status = qv_buf_check(ctx, &b);
    if (status == QV_OK && (fwrite(b.data, 1, b.len, l->out) != b.len || fflush(l->out) != 0))
        status = qv_fail_errno(ctx, "cannot write the decisions");
    qv_buf_free(&b);
    return status;
}

/* One sample as a float of full scale 1. */
static float decode(int kind, const unsigned char *p)
{
    const uint32_t bits = (uint32_t)qv_get_uint(p, encodings[kind].bytes, false);
    float x;
    switch (kind) {
    case S16: return (float)(int16_t)bits / 32768.0f;
    case S24: return (float)(int32_t)(bits << 8) / 2147483648.0f;
    case S32: return (float)(int32_t)bits / 2147483648.0f;
    case U8: return ((float)bits - 128.0f) / 128.0f;
    default: memcpy(&x, &bits, sizeof x); return x;
    }
}

/* Waits for bytes without losing sight of the wish to stop; *got = 0 at the end. */
static qv_status read_some(qv_ctx *ctx, unsigned char *data, size_t room, size_t *got)
{
    for (;;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        qv_status status = qv_poll(ctx);
        if (status != QV_OK) return status;
        int ready = poll(&p, 1, 200);
        if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
        ssize_t n = ready < 0 ? -1 : read(STDIN_FILENO, data, room);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return qv_fail_errno(ctx, "cannot read standard input");
        *got = (size_t)n;
        return QV_OK;
    }
}

typedef struct raw_reader {
    int kind;
    size_t channels, frame; /* bytes of all channels */
    unsigned char bytes[BLOCK];
    size_t n; /* bytes that are not decoded yet */
    float mono[BLOCK];
    qv_resampler *resampler;
    qv_samples resampled;
} raw_reader;

/* Whole frames become samples; what is left of one waits. */
static size_t take_frames(raw_reader *r)
{
    size_t frames = r->n / r->frame;
    for (size_t i = 0; i < frames; i++) {
        float sum = 0;
        for (size_t c = 0; c < r->channels; c++)
            sum += decode(r->kind, r->bytes + i * r->frame + c * encodings[r->kind].bytes);
        r->mono[i] = sum / (float)r->channels;
    }
    r->n -= frames * r->frame;
    memmove(r->bytes, r->bytes + frames * r->frame, r->n);
    return frames;
}

/* As floats may be anything, they are looked at before the resampler's filter spreads them. */
static qv_status check_samples(qv_ctx *ctx, const float *x, size_t n)
{
    size_t bad = qv_samples_check(x, n);
    if (bad == n) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA,
                   "standard input holds the sample %g; numbers near [-1, 1] were expected: is it f32?",
                   (double)x[bad]);
}

static qv_status push(qv_ctx *ctx, raw_reader *r, qv_listener *l, size_t n)
{
    qv_status status = check_samples(ctx, r->mono, n);
    if (status != QV_OK || !r->resampler) return status == QV_OK ? qv_listener_push(ctx, l, r->mono, n) : status;
    status = n ? qv_resampler_push(ctx, r->resampler, r->mono, n, &r->resampled) : qv_resampler_end(ctx, r->resampler, &r->resampled);
    if (status == QV_OK) status = qv_listener_push(ctx, l, r->resampled.data, r->resampled.n);
    r->resampled.n = 0;
    return status;
}

static qv_status find_encoding(qv_ctx *ctx, const char *name, int *kind)
{
    for (*kind = 0; *kind < ENCODINGS; ++*kind)
        if (strcmp(encodings[*kind].name, name) == 0) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "--encoding %s: expected s16, s24, s32, f32 or u8", name);
}

static qv_status stream(qv_ctx *ctx, const listening *l, qv_listener *listener)
{
    qv_status status = QV_OK;
    const qv_listen_words *w = l->words;
    raw_reader *r = NULL;
    int rate = w->rate > 0 ? (int)w->rate : 16000;
    size_t got = 1;
    QV_TRY(qv_alloc(ctx, &r, 1, sizeof *r));
    QV_TRY(find_encoding(ctx, w->encoding ? w->encoding : "s16", &r->kind));
    r->channels = w->channels > 0 ? (size_t)w->channels : 1;
    r->frame = r->channels * encodings[r->kind].bytes;
    if (rate != qv_predictor_rate(l->predictor))
        QV_TRY(qv_resampler_new(ctx, &r->resampler, rate, qv_predictor_rate(l->predictor)));
    for (;;) {
        QV_TRY(read_some(ctx, r->bytes + r->n, sizeof r->bytes - r->n, &got));
        if (got == 0) break;
        r->n += got;
        size_t frames = take_frames(r);
        if (frames) QV_TRY(push(ctx, r, listener, frames));
    }
    if (r->n) qv_warn(ctx, "standard input ended inside a sample: %zu bytes too many", r->n);
    if (r->resampler) QV_TRY(push(ctx, r, listener, 0));
    status = qv_listener_end(ctx, listener);
done:
    if (r) {
        qv_resampler_free(r->resampler);
        free(r->resampled.data);
    }
    free(r);
    return status;
}

static qv_status new_listener(qv_ctx *ctx, listening *l, qv_listener **out)
{
    const qv_listen_words *w = l->words;
    double step = w->step > 0 ? w->step : 1, span = w->span > 0 ? w->span : step > 4 ? step : 4;
    return qv_listener_new(ctx, out, l->predictor, span, step, on_decision, l);
}

static qv_status one_timeline(qv_ctx *ctx, listening *l, const char *path)
{
    qv_status status = QV_OK;
    qv_listener *listener = NULL;
    l->file = path;
    l->lines = 0;
    if (l->words->json && !qv_is_utf8(path))
        return qv_fail(ctx, QV_ERR_DATA, "%s: its name is not UTF-8 and cannot stand in JSON; rename it", path);
    QV_TRY(new_listener(ctx, l, &listener));
    QV_TRY(qv_audio_each(ctx, path, qv_predictor_rate(l->predictor), qv_listener_push, listener));
    status = qv_listener_end(ctx, listener);
done:
    qv_listener_free(listener);
    return status;
}

static qv_status write_picture(qv_ctx *ctx, const listening *l)
{
    qv_buf b = {0};
    qv_timeline_draw(l->timeline, qv_path_base(l->words->inputs[0]), &b);
    qv_status status = qv_buf_check(ctx, &b);
    if (status == QV_OK) status = qv_write_file(ctx, l->words->svg, b.data, b.len);
    qv_buf_free(&b);
    return status;
}

static qv_status check_outputs(qv_ctx *ctx, const qv_listen_words *w)
{
    const char *const outs[][2] = {{"--out", w->out}, {"--svg", w->svg}};
    qv_status status = qv_cli_not_input(ctx, "--svg", w->svg, w->out);
    for (size_t i = 0; i < 2 && status == QV_OK; i++) {
        status = qv_cli_not_input(ctx, outs[i][0], outs[i][1], w->checkpoint);
        if (status == QV_OK) status = qv_cli_not_input(ctx, outs[i][0], outs[i][1], w->stats);
        for (int k = 0; k < w->n_inputs && status == QV_OK; k++)
            status = qv_cli_not_input(ctx, outs[i][0], outs[i][1], w->inputs[k]);
    }
    return status;
}

/* All recordings; one that cannot be read to its end is told, and counted in the exit code. Lines that are there are
 * kept; where one recording alone gives none, nothing is written. */
static qv_status timelines(qv_ctx *ctx, listening *l)
{
    qv_status status = QV_OK;
    const qv_listen_words *w = l->words;
    qv_out out = {0};
    int failed = 0;
    QV_TRY(check_outputs(ctx, w));
    if (w->svg) QV_TRY(qv_out_try(ctx, w->svg));
    if (w->out) {
        QV_TRY(qv_out_open(ctx, &out, w->out));
        l->out = out.f;
    }
    QV_TRY(print_header(ctx, l));
    if (w->svg) QV_TRY(qv_timeline_new(ctx, &l->timeline, l->classes, l->n_classes));
    for (int i = 0; i < w->n_inputs; i++) {
        status = one_timeline(ctx, l, w->inputs[i]);
        bool of_file = status == QV_ERR_DATA || status == QV_ERR_UNSUPPORTED ||
                       (status == QV_ERR_IO && access(w->inputs[i], R_OK) != 0);
        bool alone = w->n_inputs == 1 && l->lines == 0;
        if (status != QV_OK && (!of_file || alone)) goto done;
        if (status != QV_OK) qv_warn(ctx, "%s %s", l->lines ? "stopped in" : "left out", qv_ctx_message(ctx));
        failed += status != QV_OK;
    }
    status = QV_OK;
    if (w->svg) QV_TRY(write_picture(ctx, l));
    if (w->out) QV_TRY(qv_out_commit(ctx, &out));
    if (failed) status = qv_fail(ctx, QV_ERR_DATA, "%d of %d recordings could not be read to their end", failed, w->n_inputs);
done:
    qv_out_close(&out);
    return status;
}

static qv_status copy_classes(qv_ctx *ctx, listening *l)
{
    qv_status status = QV_OK;
    int n = qv_predictor_classes(l->predictor);
    QV_TRY(qv_alloc(ctx, &l->classes, (size_t)n, sizeof *l->classes));
    for (; l->n_classes < n; l->n_classes++)
        QV_TRY(qv_strdup(ctx, &l->classes[l->n_classes], qv_predictor_class(l->predictor, l->n_classes)));
done:
    return status;
}

/* Before anything is written about sound that this checkpoint cannot judge. */
static qv_status check_checkpoint(qv_ctx *ctx, const qv_listen_words *w)
{
    qv_checkpoint *c = NULL;
    qv_status status = qv_checkpoint_open(ctx, &c, w->checkpoint);
    if (status != QV_OK) return status;
    if (c->settings.kind != QV_KIND_MEL)
        status = qv_fail(ctx, QV_ERR_USAGE, "%s judges %s; --timeline and --stream need sound", w->checkpoint,
                         c->settings.kind == QV_KIND_IMAGE ? "images" : "frames");
    else if (c->settings.normalize == QV_NORM_SPEAKER && !w->stats)
        status =
            qv_fail(ctx, QV_ERR_USAGE,
                    "%s normalizes by speaker: --timeline and --stream need the voice's statistics, --speaker-stats "
                    "FILE (quaver stats)",
                    w->checkpoint);
    qv_checkpoint_close(c);
    return status;
}

qv_status qv_cli_listen(qv_ctx *ctx, const qv_listen_words *w)
{
    qv_status status = QV_OK;
    listening l = {.words = w, .out = stdout};
    qv_listener *listener = NULL;
    QV_TRY(check_checkpoint(ctx, w));
    QV_TRY(qv_predictor_open_speaker(ctx, &l.predictor, w->checkpoint, w->stats, w->threads));
    QV_TRY(copy_classes(ctx, &l));
    if (!w->stream) {
        status = timelines(ctx, &l);
        goto done;
    }
    QV_TRY(print_header(ctx, &l));
    QV_TRY(new_listener(ctx, &l, &listener));
    status = stream(ctx, &l, listener);
done:
    qv_listener_free(listener);
    qv_timeline_free(l.timeline);
    qv_free_texts(l.classes, (size_t)l.n_classes);
    qv_predictor_close(l.predictor);
    return status;
}
