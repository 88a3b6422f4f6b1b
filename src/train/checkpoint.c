#include "train/checkpoint.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/order.h"
#include "base/real.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "quaver_build.h"

static const char format_name[] = "quaver-checkpoint";
enum { FORMAT = 1 };

/* Values in the largest buffer of an evaluation: of the windows that are judged at once, 64 MiB of floats, and of one
 * window alone, 256 MiB: a minute of 80 bands every 10 ms in 64 channels a branch. Some four such buffers are alive at
 * a time, so a file cannot ask for more than about a GiB. */
enum { BATCH_VALUES = 1 << 24, WINDOW_VALUES = 1 << 26 };

static bool is_saved(const qv_buffer *b)
{
    return qv_buffer_is_learned(b) || (b->alias < 0 && qv_role_is_memory(b->role));
}

/* Four dimensions, or one where the first three are 1: vectors. */
static int shape_of(const qv_buffer *b, size_t shape[4])
{
    const int32_t dims[4] = {b->n, b->h, b->w, b->c};
    int n = 0;
    bool vector = b->n == 1 && b->h == 1 && b->w == 1;
    for (int i = vector ? 3 : 0; i < 4; i++) shape[n++] = (size_t)dims[i];
    return n;
}

/* Memory of all tensors, converted to the file's number. */
typedef struct staging {
    char *data;
    size_t used;
} staging;

/* False where a value is no number that any device can hold: a checkpoint of it would be good for nothing. */
static bool stage(staging *st, qv_exec *e, int id, size_t n, bool wide, double *scratch)
{
    qv_exec_read(e, id, 0, n, scratch);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(scratch[i]) <= FLT_MAX)) return false;
    if (wide) {
        memcpy(st->data + st->used, scratch, n * sizeof(double));
        return true;
    }
    float *f = (float *)(void *)(st->data + st->used);
    for (size_t i = 0; i < n; i++) f[i] = (float)scratch[i];
    return true;
}

static qv_status add_buffers(qv_ctx *ctx, qv_st_writer *w, staging *st, qv_trainer *t, bool wide)
{
    const qv_program *p = qv_trainer_net(t)->program;
    size_t total = 0, largest = 0, size = wide ? sizeof(double) : sizeof(float);
    for (size_t i = 0; i < p->n_buffers; i++) {
        size_t n = qv_buffer_len(&p->buffers[i]);
        if (!is_saved(&p->buffers[i])) continue;
        total += n;
        if (n > largest) largest = n;
    }
    double *scratch = NULL;
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &st->data, total, size));
    QV_TRY(qv_alloc(ctx, &scratch, largest, sizeof *scratch));
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        if (!is_saved(b)) continue;
        size_t n = qv_buffer_len(b), shape[4];
        int dims = shape_of(b, shape);
        if (!stage(st, qv_trainer_exec(t), (int)i, n, wide, scratch)) {
            status = qv_fail(ctx, QV_ERR_NUMERIC, "\"%s\" is not finite after step %llu and is not saved", b->name,
                             (unsigned long long)qv_trainer_step(t));
            goto done;
        }
        QV_TRY(qv_st_add(ctx, w, b->name, wide ? QV_ST_F64 : QV_ST_F32, dims, shape, st->data + st->used));
        st->used += n * size;
    }
done:
    free(scratch);
    return status;
}

static qv_status meta_printf(qv_ctx *ctx, qv_st_writer *w, const char *key, const char *fmt, ...) QV_PRINTF(4, 5);
static qv_status meta_printf(qv_ctx *ctx, qv_st_writer *w, const char *key, const char *fmt, ...)
{
    char text[128];
    va_list ap;
    va_start(ap, fmt);
    qv_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    return qv_st_add_meta(ctx, w, key, text);
}

static qv_status add_names(qv_ctx *ctx, qv_st_writer *w, const char *key, char *const *names, int n)
{
    json_t *list = qv_json_names(names, (size_t)n);
    char *text = qv_json_text(list, JSON_COMPACT);
    qv_status status = text ? qv_st_add_meta(ctx, w, key, text) : qv_fail(ctx, QV_ERR_MEMORY, "no memory for names");
    free(text);
    json_decref(list);
    return status;
}

/* Those with a name whose recordings are trained on, and those that were before. */
static qv_status add_speakers(qv_ctx *ctx, qv_st_writer *w, const qv_trainer *t, const qv_manifest *m,
                              const qv_checkpoint_info *info)
{
    qv_status status = QV_OK;
    size_t n_items;
    const size_t *items = qv_trainer_items(t, &n_items);
    bool *heard = NULL;
    char **names = NULL;
    int n = 0, once = 0;
    QV_TRY(qv_alloc(ctx, &heard, (size_t)m->n_speakers, sizeof *heard));
    QV_TRY(qv_alloc(ctx, &names, (size_t)m->n_speakers + (size_t)info->n_heard, sizeof *names));
    for (size_t i = 0; i < n_items; i++) heard[m->items[items[i]].speaker_id] = true;
    for (int id = 0; id < m->n_speakers; id++)
        if (heard[id] && strcmp(m->speakers[id], QV_NO_SPEAKER) != 0) names[n++] = m->speakers[id];
    for (int i = 0; i < info->n_heard; i++) names[n++] = info->heard[i];
    qsort(names, (size_t)n, sizeof *names, qv_by_text);
    for (int i = 0; i < n; i++)
        if (once == 0 || strcmp(names[i], names[once - 1]) != 0) names[once++] = names[i];
    QV_TRY(add_names(ctx, w, "speakers", names, once));
done:
    free(heard);
    free(names);
    return status;
}

static qv_status add_metadata(qv_ctx *ctx, qv_st_writer *w, const qv_trainer *t, const qv_settings *s,
                              const qv_manifest *m, const char *fold, const qv_checkpoint_info *info)
{
    qv_status status = QV_OK;
    qv_buf settings = {0};
    qv_settings_print(s, &settings);
    QV_TRY(qv_buf_check(ctx, &settings));
    QV_TRY(qv_st_add_meta(ctx, w, "format", format_name));
    QV_TRY(meta_printf(ctx, w, "format_version", "%d", FORMAT));
    QV_TRY(qv_st_add_meta(ctx, w, "quaver", QV_VERSION));
    QV_TRY(qv_st_add_meta(ctx, w, "settings", settings.data));
    QV_TRY(add_names(ctx, w, "classes", m->classes, m->n_classes));
    QV_TRY(add_speakers(ctx, w, t, m, info));
    QV_TRY(qv_st_add_meta(ctx, w, "fold", fold));
    QV_TRY(meta_printf(ctx, w, "step", "%llu", (unsigned long long)info->step));
    QV_TRY(meta_printf(ctx, w, "epoch", "%d", info->epoch));
    QV_TRY(meta_printf(ctx, w, "best_epoch", "%d", info->best_epoch));
    QV_TRY(meta_printf(ctx, w, "best_ua", "%.17g", info->best_ua));
    if (info->loss.steps) {
        QV_TRY(meta_printf(ctx, w, "loss_sum", "%.17g", info->loss.sum));
        QV_TRY(meta_printf(ctx, w, "loss_steps", "%llu", (unsigned long long)info->loss.steps));
    }
done:
    qv_buf_free(&settings);
    return status;
}

/* The last row is that of everything; the others are those of several corpora. */
static qv_status add_norms(qv_ctx *ctx, qv_st_writer *w, const qv_dataset *d)
{
    qv_status status = QV_OK;
    size_t mels = (size_t)d->features->config.mels, corpora = (size_t)d->norms - 1;
    QV_TRY(qv_st_add(ctx, w, "norm", QV_ST_F32, 2, (size_t[]){2, mels}, d->norm + corpora * 2 * mels));
    if (corpora == 0) goto done;
    QV_TRY(qv_st_add(ctx, w, "norm.corpora", QV_ST_F32, 3, (size_t[]){corpora, 2, mels}, d->norm));
    QV_TRY(add_names(ctx, w, "corpora", d->manifest->corpora, d->manifest->n_corpora));
done:
    return status;
}

qv_status qv_checkpoint_save(qv_ctx *ctx, qv_trainer *t, const qv_settings *s, const qv_dataset *d, const char *fold,
                             const qv_checkpoint_info *info, const char *path)
{
    qv_status status = QV_OK;
    qv_st_writer *w = NULL;
    staging st = {0};
    if (qv_trainer_broken(t))
        return qv_fail(ctx, QV_ERR_NUMERIC, "%s is not written: a loss was not finite, and so are the weights", path);
    QV_TRY(qv_st_writer_new(ctx, &w));
    QV_TRY(add_buffers(ctx, w, &st, t, s->device == QV_DEVICE_REF));
    if (s->normalize == QV_NORM_CORPUS) QV_TRY(add_norms(ctx, w, d));
    QV_TRY(add_metadata(ctx, w, t, s, d->manifest, fold, info));
    QV_TRY(qv_exec_check(ctx, qv_trainer_exec(t)));
    status = qv_st_write(ctx, w, path);
done:
    qv_st_writer_free(w);
    free(st.data);
    return status;
}

static qv_status damaged(qv_ctx *ctx, const qv_checkpoint *c, const char *what)
{
    return qv_fail(ctx, QV_ERR_DATA, "%s: %s", c->path, what);
}

/* Metadata that must be there. */
static qv_status need_meta(qv_ctx *ctx, const qv_checkpoint *c, const char *key, const char **value)
{
    *value = qv_st_meta(c->file, key);
    if (*value) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: no metadata \"%s\": not a checkpoint of this program", c->path, key);
}

static qv_status read_count(qv_ctx *ctx, const qv_checkpoint *c, const char *key, uint64_t max, uint64_t *out)
{
    const char *text;
    char *end;
    qv_status status = need_meta(ctx, c, key, &text);
    if (status != QV_OK) return status;
    errno = 0;
    unsigned long long x = strtoull(text, &end, 10);
    if (end == text || *end || errno || *text == '-' || x > max)
        return qv_fail(ctx, QV_ERR_DATA, "%s: metadata \"%s\" is \"%.40s\", a whole number up to %llu was expected",
                       c->path, key, text, (unsigned long long)max);
    *out = x;
    return QV_OK;
}

static qv_status read_real(qv_ctx *ctx, const qv_checkpoint *c, const char *key, double least, double most, double *out)
{
    const char *text;
    qv_status status = need_meta(ctx, c, key, &text);
    if (status != QV_OK) return status;
    if (qv_read_real(text, out) && *out >= least && *out <= most) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: metadata \"%s\" is \"%.40s\", a number from %g to %g was expected", c->path, key,
                   text, least, most);
}

static qv_status check_format(qv_ctx *ctx, const qv_checkpoint *c)
{
    qv_status status = QV_OK;
    const char *format;
    uint64_t version;
    QV_TRY(need_meta(ctx, c, "format", &format));
    if (strcmp(format, format_name) != 0) return damaged(ctx, c, "not a checkpoint of this program");
    QV_TRY(read_count(ctx, c, "format_version", UINT64_MAX, &version));
    if (version > FORMAT)
        return qv_fail(ctx, QV_ERR_DATA,
                       "%s: checkpoint format %llu is newer than the %d that this program reads; use a newer quaver",
                       c->path, (unsigned long long)version, FORMAT);
done:
    return status;
}

/* The text of settings as it was printed: one "key = value" a line under its [section]. What this program does not know
 * another one has written, so messages name that one's version. */
static qv_status read_settings(qv_ctx *ctx, qv_checkpoint *c)
{
    const char *text, *version = qv_st_meta(c->file, "quaver");
    qv_buf name = {0};
    qv_status status = QV_OK;
    QV_TRY(need_meta(ctx, c, "settings", &text));
    qv_buf_puts(&name, c->path);
    if (version) qv_buf_printf(&name, " (written by quaver %.40s)", version);
    qv_buf_puts(&name, ": metadata \"settings\"");
    QV_TRY(qv_buf_check(ctx, &name));
    status = qv_settings_parse(ctx, &c->settings, name.data, text);
    qv_settings_idle_features(&c->settings);
    if (status == QV_ERR_USAGE) status = QV_ERR_DATA; /* what a file says is nobody's wrong word */
done:
    qv_buf_free(&name);
    return status;
}

static bool is_name(const char *s) { return *s && !qv_has_control(s) && qv_is_utf8(s); }

/* A list of `least` to `most` names. */
static qv_status read_names(qv_ctx *ctx, const qv_checkpoint *c, const char *key, size_t least, size_t most,
                            char ***names, int *count)
{
    qv_status status = QV_OK;
    const char *text;
    json_t *list = NULL;
    QV_TRY(need_meta(ctx, c, key, &text));
    list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < least || n > most) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s: metadata \"%s\" is not a list of %zu to %zu names", c->path, key, least,
                         most);
        goto done;
    }
    QV_TRY(qv_alloc(ctx, names, n, sizeof **names));
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name || !is_name(name)) {
            status = qv_fail(ctx, QV_ERR_DATA, "%s: metadata \"%s\" holds something that is not a name", c->path, key);
            goto done;
        }
        QV_TRY(qv_strdup(ctx, &(*names)[i], name));
        *count = (int)i + 1;
    }
done:
    json_decref(list);
    return status;
}

qv_status qv_checkpoint_check_classes(qv_ctx *ctx, char *const *names, int n)
{
    if (n < 2 || n > QV_MOST_CLASSES)
        return qv_fail(ctx, QV_ERR_USAGE, "the classes are %d; 2 to %d are needed", n, QV_MOST_CLASSES);
    for (int i = 0; i < n; i++) {
        if (!is_name(names[i]))
            return qv_fail(
                ctx, QV_ERR_USAGE,
                "the classes hold \"%s\", which is no name: it is empty, not UTF-8, or holds a control character",
                names[i]);
        for (int k = 0; k < i; k++) /* they could not be told apart in any answer */
            if (strcmp(names[i], names[k]) == 0)
                return qv_fail(ctx, QV_ERR_USAGE, "the classes hold %s twice", names[i]);
    }
    return QV_OK;
}

static qv_status read_classes(qv_ctx *ctx, qv_checkpoint *c)
{
    qv_status status = read_names(ctx, c, "classes", 2, QV_MOST_CLASSES, &c->classes, &c->n_classes);
    if (status != QV_OK) return status;
    status = qv_checkpoint_check_classes(ctx, c->classes, c->n_classes);
    return status == QV_OK ? QV_OK : qv_fail_prefix(ctx, QV_ERR_DATA, "%s: metadata \"classes\"", c->path);
}

static qv_status read_norm(qv_ctx *ctx, qv_checkpoint *c)
{
    if (c->settings.normalize != QV_NORM_CORPUS) return QV_OK;
    const qv_st_tensor *t;
    size_t mels = (size_t)c->settings.mels;
    qv_status status = qv_st_need(ctx, c->file, "norm", QV_ST_F32, 2, (size_t[]){2, mels}, &t);
    if (status != QV_OK) return status;
    status = qv_alloc(ctx, &c->norm, 2 * mels, sizeof *c->norm);
    if (status != QV_OK) return status;
    memcpy(c->norm, t->data, t->bytes);
    return qv_norm_check(ctx, c->path, "norm", c->norm, 1, mels);
}

static qv_status read_corpus_norms(qv_ctx *ctx, qv_checkpoint *c)
{
    qv_status status = QV_OK;
    const qv_st_tensor *t;
    size_t mels = (size_t)c->settings.mels, n;
    if (!c->norm || !qv_st_find(c->file, "norm.corpora")) return QV_OK;
    QV_TRY(read_names(ctx, c, "corpora", 2, QV_MOST_CORPORA, &c->corpora, &c->n_corpora));
    n = (size_t)c->n_corpora * 2 * mels;
    QV_TRY(qv_st_need(ctx, c->file, "norm.corpora", QV_ST_F32, 3, (size_t[]){(size_t)c->n_corpora, 2, mels}, &t));
    QV_TRY(qv_alloc(ctx, &c->corpus_norm, n, sizeof *c->corpus_norm));
    memcpy(c->corpus_norm, t->data, t->bytes);
    status = qv_norm_check(ctx, c->path, "norm.corpora", c->corpus_norm, (size_t)c->n_corpora, mels);
done:
    return status;
}

enum { SHOWN = 10 }; /* names in a message */

static void list_name(qv_buf *out, int *n, const char *before, const char *name, size_t length)
{
    if (++*n <= SHOWN) qv_buf_printf(out, "%s%s%.*s%s", *n > 1 ? ", " : "", before, (int)length, name, before);
    if (*n == SHOWN + 1) qv_buf_puts(out, ", ...");
}

/* Corpora that a checkpoint was asked for and does not have. */
typedef struct strangers {
    qv_buf names;
    int n;
} strangers;

/* The row of a corpus of that name, else that of all, which the name is noted for. */
static const float *norm_of(const qv_checkpoint *c, const char *corpus, size_t n, strangers *s)
{
    for (int k = 0; k < c->n_corpora; k++)
        if (strlen(c->corpora[k]) == n && memcmp(c->corpora[k], corpus, n) == 0)
            return c->corpus_norm + (size_t)k * 2 * (size_t)c->settings.mels;
    if (n) list_name(&s->names, &s->n, "'", corpus, n);
    return c->norm;
}

/* Another name of a list changes its figures, which nobody would guess. */
static qv_status warn_of_strangers(qv_ctx *ctx, const qv_checkpoint *c, strangers *s)
{
    qv_buf known = {0};
    int n = 0;
    qv_status status = QV_OK;
    if (c->n_corpora == 0 || s->n == 0) return QV_OK;
    for (int k = 0; k < c->n_corpora; k++) list_name(&known, &n, "", c->corpora[k], strlen(c->corpora[k]));
    QV_TRY(qv_buf_check(ctx, &known));
    QV_TRY(qv_buf_check(ctx, &s->names));
    qv_warn(ctx,
            "no corpus %s among those of %s (%s): %s recordings are normalized by all that trained; a column corpus "
            "names it",
            s->names.data, c->path, known.data, s->n > 1 ? "their" : "its");
done:
    qv_buf_free(&known);
    return status;
}

qv_status qv_checkpoint_norms(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, float **out)
{
    size_t row = 2 * (size_t)c->settings.mels, several = (size_t)qv_dataset_corpora(m, true), length;
    const char *name = qv_corpus_name(m->path ? m->path : "", &length);
    strangers s = {0};
    *out = NULL;
    if (!c->norm) return QV_OK;
    qv_status status = qv_alloc(ctx, out, (several + 1) * row, sizeof **out);
    if (status != QV_OK) return status;
    if (m->n_corpora == 1) name = m->corpora[0], length = strlen(name);
    const float *last = several ? c->norm : norm_of(c, name, length, &s);
    for (size_t k = 0; k < several; k++)
        memcpy(*out + k * row, norm_of(c, m->corpora[k], strlen(m->corpora[k]), &s), row * sizeof **out);
    memcpy(*out + several * row, last, row * sizeof **out);
    status = warn_of_strangers(ctx, c, &s);
    qv_buf_free(&s.names);
    return status;
}

static qv_status read_info(qv_ctx *ctx, qv_checkpoint *c)
{
    qv_status status = QV_OK;
    const char *fold;
    uint64_t epoch, best_epoch;
    QV_TRY(need_meta(ctx, c, "fold", &fold));
    QV_TRY(qv_strdup(ctx, &c->fold, fold));
    QV_TRY(read_count(ctx, c, "step", (uint64_t)1 << 62, &c->info.step));
    QV_TRY(read_count(ctx, c, "epoch", (uint64_t)c->settings.epochs, &epoch));
    QV_TRY(read_count(ctx, c, "best_epoch", epoch, &best_epoch));
    QV_TRY(read_real(ctx, c, "best_ua", -1, 1, &c->info.best_ua));
    if (qv_st_meta(c->file, "loss_steps")) {
        QV_TRY(read_count(ctx, c, "loss_steps", c->info.step, &c->info.loss.steps));
        QV_TRY(read_real(ctx, c, "loss_sum", -DBL_MAX, DBL_MAX, &c->info.loss.sum));
    }
    c->info.epoch = (int)epoch;
    c->info.best_epoch = (int)best_epoch;
done:
    return status;
}

/* The buffer's tensor, of either float type. */
static qv_status need_tensor(qv_ctx *ctx, const qv_checkpoint *c, const qv_buffer *b, const qv_st_tensor **t)
{
    size_t shape[4];
    int dims = shape_of(b, shape);
    *t = qv_st_find(c->file, b->name);
    bool wide = *t && (*t)->dtype == QV_ST_F64;
    return qv_st_need(ctx, c->file, b->name, wide ? QV_ST_F64 : QV_ST_F32, dims, shape, t);
}

/* Of one window, in the widest of the large layers: both branches side by side. */
static int64_t window_values(const qv_settings *s)
{
    return (int64_t)qv_settings_patch_frames(s) * s->mels * 2 * s->width;
}

int qv_checkpoint_batch(const qv_checkpoint *c)
{
    int64_t most = BATCH_VALUES / window_values(&c->settings);
    return most < 1 ? 1 : most < c->settings.batch ? (int)most : c->settings.batch;
}

qv_status qv_checkpoint_check_size(qv_ctx *ctx, const qv_settings *s)
{
    const int64_t values = window_values(s);
    const bool image = s->kind == QV_KIND_IMAGE;
    if (values <= WINDOW_VALUES) return QV_OK;
    return qv_fail(
        ctx, QV_ERR_USAGE,
        "%s of %d %s with %d values (features.mels) in 2 x %d channels (net.width) are %lld numbers a layer; a "
        "checkpoint with more than %d would not be opened: make %s or net.width smaller",
        image ? "images" : "patches", qv_settings_patch_frames(s), image ? "rows" : "frames", s->mels, s->width,
        (long long)values, WINDOW_VALUES,
        image             ? "the images"
        : s->patch_frames ? "patch.frames"
                          : "patch.seconds");
}

/* Settings that promise a larger network than the file holds would cost memory and time before anybody looked. */
static qv_status check_network(qv_ctx *ctx, const qv_checkpoint *c)
{
    qv_status status = QV_OK;
    qv_net *net = NULL;
    qv_net_config config = qv_settings_net(&c->settings);
    config.classes = c->n_classes;
    config.utterances = config.norms = 1;
    qv_feature_config features = qv_settings_features(&c->settings);
    status = qv_feature_check(ctx, &features);
    if (status != QV_OK) return qv_fail_prefix(ctx, QV_ERR_DATA, "%s: metadata \"settings\"", c->path);
    status = qv_checkpoint_check_size(ctx, &c->settings);
    if (status != QV_OK) return qv_fail_prefix(ctx, QV_ERR_DATA, "%s: metadata \"settings\"", c->path);
    status = qv_net_new(ctx, &net, &config, NULL);
    if (status == QV_ERR_USAGE) status = qv_fail_prefix(ctx, QV_ERR_DATA, "%s: metadata \"settings\"", c->path);
    if (status != QV_OK) goto done;
    for (size_t i = 0; i < net->program->n_buffers; i++) {
        const qv_buffer *b = &net->program->buffers[i];
        const qv_st_tensor *t;
        if (is_saved(b) && !qv_role_is_memory(b->role)) QV_TRY(need_tensor(ctx, c, b, &t));
    }
done:
    qv_net_free(net);
    return status;
}

qv_status qv_checkpoint_open(qv_ctx *ctx, qv_checkpoint **out, const char *path)
{
    qv_status status = QV_OK;
    qv_checkpoint *c = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &c, 1, sizeof *c));
    QV_TRY(qv_strdup(ctx, &c->path, path));
    QV_TRY(qv_settings_init(ctx, &c->settings));
    QV_TRY(qv_st_open(ctx, &c->file, path));
    QV_TRY(check_format(ctx, c));
    QV_TRY(read_settings(ctx, c));
    QV_TRY(read_classes(ctx, c));
    QV_TRY(read_names(ctx, c, "speakers", 0, 1000000, &c->speakers, &c->n_speakers));
    QV_TRY(read_norm(ctx, c));
    QV_TRY(read_corpus_norms(ctx, c));
    QV_TRY(read_info(ctx, c));
    QV_TRY(check_network(ctx, c));
    *out = c;
    c = NULL;
done:
    qv_checkpoint_close(c);
    return status;
}

void qv_checkpoint_close(qv_checkpoint *c)
{
    if (!c) return;
    qv_settings_free(&c->settings);
    qv_free_texts(c->classes, (size_t)c->n_classes);
    qv_free_texts(c->speakers, (size_t)c->n_speakers);
    free(c->fold);
    free(c->norm);
    qv_free_texts(c->corpora, (size_t)c->n_corpora);
    free(c->corpus_norm);
    qv_st_close(c->file);
    free(c->path);
    free(c);
}

const char *qv_checkpoint_fault(const char *name, double x)
{
    static const char variance[] = ".running_var";
    size_t n = strlen(name), suffix = sizeof variance - 1;
    if (!(fabs(x) <= FLT_MAX)) return "a finite float"; /* any device must be able to hold it */
    if (x < 0 && n >= suffix && strcmp(name + n - suffix, variance) == 0) return "no negative variance";
    return NULL;
}

qv_status qv_checkpoint_tensor(qv_ctx *ctx, const qv_checkpoint *c, const qv_buffer *b, double *values)
{
    const qv_st_tensor *t;
    qv_status status = need_tensor(ctx, c, b, &t);
    if (status != QV_OK) return status;
    bool wide = t->dtype == QV_ST_F64;
    for (size_t i = 0; i < t->count; i++) {
        values[i] = wide ? ((const double *)t->data)[i] : ((const float *)t->data)[i];
        const char *wanted = qv_checkpoint_fault(b->name, values[i]);
        if (wanted)
            return qv_fail(ctx, QV_ERR_DATA, "%s: element %zu of tensor \"%s\" is %g; %s was expected", c->path, i, b->name,
                           values[i], wanted);
    }
    return QV_OK;
}

/* Its outputs are the classes. */
static bool is_classifier(const qv_buffer *b) { return strncmp(b->name, "linear.", 7) == 0; }

static qv_status load(qv_ctx *ctx, const qv_checkpoint *c, qv_trainer *t, bool moments, bool classifier)
{
    qv_status status = QV_OK;
    const qv_program *p = qv_trainer_net(t)->program;
    double *values = NULL;
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        if (!is_saved(b) || (qv_role_is_memory(b->role) && !moments) || (is_classifier(b) && !classifier)) continue;
        QV_TRY(qv_alloc(ctx, &values, qv_buffer_len(b), sizeof *values));
        QV_TRY(qv_checkpoint_tensor(ctx, c, b, values));
        qv_exec_write(qv_trainer_exec(t), (int)i, 0, qv_buffer_len(b), values);
        free(values);
        values = NULL;
    }
    status = qv_exec_check(ctx, qv_trainer_exec(t));
done:
    free(values);
    return status;
}

qv_status qv_checkpoint_load(qv_ctx *ctx, const qv_checkpoint *c, qv_trainer *t, bool resume)
{
    qv_status status = load(ctx, c, t, resume, true);
    if (status == QV_OK && resume) qv_trainer_set_step(t, c->info.step);
    return status;
}

qv_status qv_checkpoint_alike(qv_ctx *ctx, const qv_checkpoint *c, const qv_settings *s)
{
    qv_status status = QV_OK;
    qv_settings now = *s; /* its texts stay the caller's */
    qv_buf values = {0};
    now.loudness = c->settings.loudness;
    now.normalize = c->settings.normalize;
    const char *differs = qv_settings_differ(&c->settings, &now, "net.", &values);
    if (!differs) differs = qv_settings_differ(&c->settings, &now, "features.", &values);
    if (differs)
        status = qv_fail(ctx, QV_ERR_USAGE, "%s has another %s (%s); a training that begins with its weights needs the same",
                         c->path, differs, values.failed ? "" : values.data);
    qv_buf_free(&values);
    return status;
}

qv_status qv_checkpoint_start(qv_ctx *ctx, const qv_checkpoint *c, qv_trainer *t, const qv_settings *s,
                              char *const *classes, int n_classes, bool *new_head)
{
    *new_head = n_classes != c->n_classes || c->settings.head != s->head;
    for (int k = 0; k < n_classes && !*new_head; k++) *new_head = strcmp(classes[k], c->classes[k]) != 0;
    qv_status status = qv_checkpoint_alike(ctx, c, s);
    return status == QV_OK ? load(ctx, c, t, false, !*new_head) : status;
}

/* Of several corpora the training knows CORPUS/SPEAKER, of one the name alone. */
static const char *own_name(const char *speaker)
{
    const char *slash = strchr(speaker, '/');
    return slash ? slash + 1 : speaker;
}

bool qv_checkpoint_heard(const qv_checkpoint *c, const char *speaker)
{
    for (int i = 0; i < c->n_speakers; i++) {
        bool both = strchr(c->speakers[i], '/') && strchr(speaker, '/');
        if (both ? strcmp(c->speakers[i], speaker) == 0 : strcmp(own_name(c->speakers[i]), own_name(speaker)) == 0)
            return true;
    }
    return false;
}

void qv_checkpoint_warn_of_heard(qv_ctx *ctx, size_t speakers, const char *path)
{
    if (speakers)
        qv_warn(
            ctx,
            "%zu of the speakers who are tested have the names of those that %s was trained on: if they are the same "
            "people, the figures say little about new voices",
            speakers, path);
}
