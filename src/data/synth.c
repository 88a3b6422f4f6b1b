#include "data/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "data/manifest_own.h"

enum { WAV_HEADER = 44 };

qv_synth_options qv_synth_defaults(void) { return (qv_synth_options){.speakers = 8, .sentences = 8, .seed = 1}; }

static unsigned char *put_tag(unsigned char *p, const char *tag)
{
    memcpy(p, tag, 4);
    return p + 4;
}

/* RIFF header and samples, little endian whatever the machine. */
static void encode_wav(unsigned char *p, const int16_t *samples, size_t n)
{
    uint32_t bytes = (uint32_t)n * 2;
    p = qv_put_uint(put_tag(p, "RIFF"), bytes + WAV_HEADER - 8, 4);
    p = qv_put_uint(put_tag(put_tag(p, "WAVE"), "fmt "), 16, 4);
    p = qv_put_uint(qv_put_uint(p, 1, 2), 1, 2); /* PCM, mono */
    p = qv_put_uint(qv_put_uint(p, QV_SYNTH_RATE, 4), QV_SYNTH_RATE * 2, 4);
    p = qv_put_uint(qv_put_uint(p, 2, 2), 16, 2); /* bytes a frame, bits */
    p = qv_put_uint(put_tag(p, "data"), bytes, 4);
    for (size_t i = 0; i < n; i++) p = qv_put_uint(p, (uint16_t)samples[i], 2);
}

/* Without the care of qv_write_file: the manifest, written last, says that all are there. What lies there goes first: it
 * may be a link to elsewhere. */
static qv_status write_wav(qv_ctx *ctx, const char *path, const int16_t *samples, size_t n)
{
    qv_status status = QV_OK;
    unsigned char *bytes = NULL;
    size_t size = WAV_HEADER + 2 * n;
    unlink(path);
    FILE *f = fopen(path, "wbx");
    if (!f) return qv_fail_errno(ctx, "cannot write %s", path);
    QV_TRY(qv_alloc(ctx, &bytes, size, 1));
    encode_wav(bytes, samples, n);
    if (fwrite(bytes, 1, size, f) != size) status = qv_fail_errno(ctx, "cannot write %s", path);
done:
    if (fclose(f) != 0 && status == QV_OK) status = qv_fail_errno(ctx, "cannot write %s", path);
    free(bytes);
    return status;
}

static qv_status add_row(qv_ctx *ctx, qv_manifest *m, const char *path, int speaker, int emotion, int sentence)
{
    qv_status status = QV_OK;
    char who[16], what[16];
    snprintf(who, sizeof who, "s%02d", speaker + 1);
    snprintf(what, sizeof what, "%d", sentence + 1);
    QV_TRY(
        qv_manifest_add(ctx, m, path, qv_path_base(path), who, qv_synth_emotions[emotion], qv_synth_gender(speaker)));
    qv_item *item = &m->items[m->n - 1];
    QV_TRY(qv_strdup(ctx, &item->corpus, "synth"));
    QV_TRY(qv_alloc(ctx, &item->extra, 1, sizeof *item->extra));
    QV_TRY(qv_strdup(ctx, &item->extra[0], what));
done:
    return status;
}

static qv_status make_recording(qv_ctx *ctx, qv_manifest *m, const char *dir, const qv_synth_options *o, int index)
{
    qv_status status = QV_OK;
    int sentence = index % o->sentences, emotion = index / o->sentences % QV_SYNTH_EMOTIONS;
    int speaker = index / o->sentences / QV_SYNTH_EMOTIONS;
    char name[64], *path = NULL;
    int16_t *samples = NULL;
    size_t n;
    snprintf(name, sizeof name, "s%02d_%s_%02d.wav", speaker + 1, qv_synth_emotions[emotion], sentence + 1);
    QV_TRY(qv_path_join(ctx, &path, dir, name));
    QV_TRY(qv_synth_wave(ctx, o->seed, speaker, emotion, sentence, &samples, &n));
    QV_TRY(write_wav(ctx, path, samples, n));
    QV_TRY(add_row(ctx, m, path, speaker, emotion, sentence));
done:
    free(samples);
    free(path);
    return status;
}

static qv_status check_options(qv_ctx *ctx, const qv_synth_options *o, const char *manifest)
{
    if (o->speakers < 2 || o->speakers > QV_SYNTH_MAX || o->sentences < 1 || o->sentences > QV_SYNTH_MAX) {
        return qv_fail(ctx, QV_ERR_USAGE, "%d speakers and %d sentences: 2 to %d and 1 to %d can be made", o->speakers,
                       o->sentences, QV_SYNTH_MAX, QV_SYNTH_MAX);
    }
    if (!o->force && qv_path_exists(manifest)) {
        return qv_fail(ctx, QV_ERR_USAGE, "%s exists; --force overwrites it", manifest);
    }
    return QV_OK;
}

qv_status qv_synth_corpus(qv_ctx *ctx, const char *dir, const qv_synth_options *options)
{
    qv_status status = QV_OK;
    qv_manifest *m = NULL;
    char *manifest = NULL, *wav = NULL;
    int n;
    if (!*dir) return qv_fail(ctx, QV_ERR_USAGE, "the name of the folder to write to is empty");
    QV_TRY(qv_path_join(ctx, &manifest, dir, "manifest.csv"));
    QV_TRY(qv_path_join(ctx, &wav, dir, "wav"));
    QV_TRY(check_options(ctx, options, manifest));
    n = options->speakers * options->sentences * QV_SYNTH_EMOTIONS;
    QV_TRY(qv_make_dirs(ctx, wav));
    QV_TRY(qv_manifest_new(ctx, &m));
    QV_TRY(qv_alloc(ctx, &m->extra, 1, sizeof *m->extra));
    m->n_extra = 1;
    QV_TRY(qv_strdup(ctx, &m->extra[0], "sentence"));
    for (int i = 0; i < n; i++) {
        QV_TRY(qv_poll(ctx));
        QV_TRY(make_recording(ctx, m, wav, options, i));
        qv_report(ctx, "speech", "files", i + 1, n);
    }
    QV_TRY(qv_manifest_write(ctx, m, manifest, NULL));
done:
    qv_manifest_free(m);
    free(manifest);
    free(wav);
    return status;
}
