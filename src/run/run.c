#include "run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/io.h"
#include "data/audio.h"
#include "data/folds.h"
#include "data/resample.h"
#include "quaver_build.h"
#include "report/card.h"
#include "run/fold.h"
#include "run/folder.h"
#include "train/model.h"

/* All that a run holds while it goes on. */
typedef struct run_state {
    const qv_settings *s;
    const qv_run_options *o;
    qv_manifest *manifest;
    qv_folds *folds;
    qv_buf left_out; /* who is in no fold; empty: everybody is in one */
    qv_features *features;
    qv_pool *pool;
    qv_gpu_device *gpu; /* shared by all folds; NULL on the CPU */
    qv_records records;
    qv_summary *summary;
    qv_lock lock;     /* on the folder */
    bool start_known; /* by a hash of train.init_from */
    int heard;        /* speakers who are tested and whom the weights that it begins with know by name */
} run_state;

qv_status qv_program_hash(qv_ctx *ctx, char **out)
{
    static const char program[] = "/proc/self/exe";
    char text[QV_HASH_TEXT];
    if (!qv_path_exists(program)) return qv_strdup(ctx, out, "unknown"); /* a root without /proc */
    qv_status status = qv_hash_file_text(ctx, program, text);
    return status == QV_OK ? qv_strdup(ctx, out, text) : status;
}

static qv_status now_text(qv_ctx *ctx, char **field)
{
    char text[32];
    time_t t = time(NULL);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return qv_summary_set(ctx, field, "%s", text);
}

/* " anger 24, joy 13": the classes of one part. */
static void print_classes(const run_state *r, const qv_fold *fold, qv_part part, size_t *per_class, qv_buf *b)
{
    const qv_manifest *m = r->manifest;
    memset(per_class, 0, (size_t)m->n_classes * sizeof *per_class);
    for (size_t i = 0; i < m->n; i++)
        if (fold->part[i] == part) per_class[m->items[i].label]++;
    for (int c = 0; c < m->n_classes; c++) qv_buf_printf(b, "%s%s %zu", c ? ", " : " (", m->classes[c], per_class[c]);
    qv_buf_puts(b, ")");
}

/* Who is in which part of each fold, before anything is trained. */
static qv_status print_parts(qv_ctx *ctx, const run_state *r)
{
    static const char *const names[] = {"train", "val", "test"};
    static const qv_part parts[] = {QV_PART_TRAIN, QV_PART_VAL, QV_PART_TEST};
    size_t *per_class;
    qv_status status = qv_alloc(ctx, &per_class, (size_t)r->manifest->n_classes, sizeof *per_class);
    if (status != QV_OK) return status;
    for (size_t f = 0; f < r->folds->n; f++) {
        const qv_fold *fold = &r->folds->folds[f];
        qv_buf b = {0};
        qv_buf_printf(&b, "fold %s:", fold->name);
        for (int k = 0; k < 3; k++) {
            if (fold->items[parts[k]] == 0) continue;
            qv_buf_printf(&b, "%s %s %zu of %d speakers", k ? ";" : "", names[k], fold->items[parts[k]],
                          fold->speakers[parts[k]]);
            print_classes(r, fold, parts[k], per_class, &b);
        }
        qv_buf_printf(&b, "; speakers on both sides: %d", fold->overlap);
        if (!b.failed) qv_info(ctx, "%s", b.data);
        qv_buf_free(&b);
    }
    free(per_class);
    return QV_OK;
}

/* What one of several corpora brings (id -1: rows that name none), and which classes it lacks. */
static qv_status print_corpus(qv_ctx *ctx, const qv_manifest *m, int id)
{
    size_t *per_class = NULL, n = 0, speakers = 0, absent = 0;
    bool *heard = NULL;
    qv_buf b = {0};
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &per_class, (size_t)m->n_classes, sizeof *per_class));
    QV_TRY(qv_alloc(ctx, &heard, (size_t)m->n_speakers, sizeof *heard));
    for (size_t i = 0; i < m->n; i++) {
        const qv_item *item = &m->items[i];
        if (item->corpus_id != id || item->label < 0) continue;
        n++;
        per_class[item->label]++;
        speakers += !heard[item->speaker_id];
        heard[item->speaker_id] = true;
    }
    if (id < 0 && n == 0) goto done;
    qv_buf_printf(&b, "%s%s: %zu recordings of %zu speakers (", id < 0 ? "no corpus" : "corpus ",
                  id < 0 ? "" : m->corpora[id], n, speakers);
    for (int c = 0; c < m->n_classes; c++)
        if (per_class[c]) qv_buf_printf(&b, "%s %zu, ", m->classes[c], per_class[c]);
    for (int c = 0; c < m->n_classes; c++)
        if (!per_class[c]) qv_buf_printf(&b, "%s%s", absent++ ? ", " : "absent: ", m->classes[c]);
    if (!absent && b.len > 2 && !b.failed) b.len -= 2;
    qv_buf_puts(&b, ")");
    if (!b.failed) qv_info(ctx, "%s", b.data);
done:
    qv_buf_free(&b);
    free(per_class);
    free(heard);
    return status;
}

static qv_status print_corpora(qv_ctx *ctx, const qv_manifest *m)
{
    qv_status status = QV_OK;
    for (int id = 0; m->n_corpora > 1 && id < m->n_corpora; id++) QV_TRY(print_corpus(ctx, m, id));
    if (m->n_corpora > 1) QV_TRY(print_corpus(ctx, m, -1));
done:
    return status;
}

static qv_status load_folds(qv_ctx *ctx, run_state *r)
{
    const qv_settings *s = r->s;
    qv_status status = QV_OK;
    qv_manifest_options mo = {.labels = *s->labels ? s->labels : NULL, .need_emotion = true};
    QV_TRY(qv_manifest_read_list(ctx, &r->manifest, s->manifest, &mo));
    QV_TRY(qv_manifest_check_classes(ctx, r->manifest));
    QV_TRY(print_corpora(ctx, r->manifest));
    qv_fold_options folds = {.test_fraction = s->test_fraction,
                             .val_speakers = s->val_speakers,
                             .random = s->split == QV_SPLIT_RANDOM,
                             .seed = s->seed};
    QV_TRY(qv_folds_make(ctx, &r->folds, r->manifest, s->folds, &folds));
    QV_TRY(print_parts(ctx, r));
    QV_TRY(qv_folds_left_out(ctx, r->folds, r->manifest, &r->left_out));
    if (r->left_out.len) qv_warn(ctx, "%s", r->left_out.data);
done:
    return status;
}

/* Before the recordings are read: a GPU that cannot be used is better known at once. */
static qv_status open_device(qv_ctx *ctx, run_state *r)
{
    const qv_settings *s = r->s;
    qv_status status = qv_precision_check(ctx, (qv_device)s->device, (qv_precision)s->precision);
    if (status != QV_OK) return status;
    if (s->device != QV_DEVICE_CUDA) return qv_cpu_conv_limit(qv_settings_isa(s)), QV_OK;
    return qv_gpu_open(ctx, &r->gpu, s->gpu);
}

static qv_status load_features(qv_ctx *ctx, run_state *r)
{
    const qv_settings *s = r->s;
    qv_status status = QV_OK;
    int threads = qv_threads(s->threads);
    QV_TRY(qv_pool_new(ctx, &r->pool, threads));
    qv_feature_config c = qv_settings_features(s);
    qv_feature_options fo = {.cache_dir = r->o->cache_dir, .no_cache = r->o->no_cache, .threads = threads};
    QV_TRY(qv_features_open(ctx, &r->features, r->manifest, &c, &fo));
    for (size_t i = 0; i < r->folds->n; i++)
        QV_TRY(qv_fold_check_training(ctx, r->manifest, r->features, &r->folds->folds[i]));
done:
    return status;
}

/* A run that is resumed has its notes already. */
static qv_status note_once(qv_ctx *ctx, qv_summary *m, const char *text)
{
    for (size_t i = 0; i < m->n_notes; i++)
        if (strcmp(m->notes[i], text) == 0) return QV_OK;
    return qv_summary_note(ctx, m, "%s", text);
}

/* With speaker normalization: eval and predict refuse such voices, and their figures here mean little. */
static qv_status note_short_voices(qv_ctx *ctx, run_state *r)
{
    const qv_manifest *m = r->manifest;
    qv_buf b = {0};
    double *seconds = NULL;
    int n = 0;
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &seconds, (size_t)m->n_speakers, sizeof *seconds));
    for (size_t i = 0; i < m->n; i++) seconds[m->items[i].speaker_id] += r->features->entries[i].frames * r->features->config.hop;
    for (int id = 0; id < m->n_speakers; id++) n += seconds[id] > 0 && seconds[id] < QV_MIN_SPEAKER_SECONDS;
    if (n == 0) goto done;
    qv_buf_printf(&b, "Of %d speakers there are fewer than %g s, too little to normalize by (eval and predict refuse them).", n,
                  QV_MIN_SPEAKER_SECONDS);
    QV_TRY(qv_buf_check(ctx, &b));
    qv_warn(ctx, "%s", b.data);
    QV_TRY(note_once(ctx, r->summary, b.data));
done:
    free(seconds);
    qv_buf_free(&b);
    return status;
}

/* Only a random split takes those of whom nobody knows who speaks. */
static qv_status note_unknown_voices(qv_ctx *ctx, run_state *r)
{
    size_t n = 0;
    char text[128];
    for (size_t i = 0; i < r->manifest->n; i++) n += strcmp(r->manifest->items[i].speaker, QV_NO_SPEAKER) == 0;
    if (n == 0 || !r->folds->random) return QV_OK;
    snprintf(text, sizeof text, "Who speaks is not known of %zu recordings: they count as one speaker here.", n);
    return note_once(ctx, r->summary, text);
}

/* What should be known of the split before its figures are believed. */
static qv_status note_split(qv_ctx *ctx, run_state *r)
{
    qv_status status = QV_OK;
    if (r->folds->random)
        QV_TRY(note_once(ctx, r->summary,
                         "The split is random: the same speakers train and test, so these figures say little about new "
                         "voices."));
    QV_TRY(note_unknown_voices(ctx, r));
    if (r->left_out.len) QV_TRY(note_once(ctx, r->summary, r->left_out.data));
    if (r->s->normalize == QV_NORM_SPEAKER) QV_TRY(note_short_voices(ctx, r));
    if (r->heard) r->summary->heard = r->heard; /* a resume has it already */
    if (r->heard)
        QV_TRY(note_once(
            ctx, r->summary,
            "Speakers who are tested have the names of those that the weights at the beginning were trained on: "
            "if they are the same people, these figures say little about new voices."));
done:
    return status;
}

static qv_status describe_epoch_rule(qv_ctx *ctx, run_state *r)
{
    const qv_settings *s = r->s;
    qv_summary *m = r->summary;
    const bool validated = qv_folds_validated(r->folds), best = s->epoch_rule == QV_EPOCH_BEST;
    qv_status status = QV_OK;
    if (validated && s->val_speakers && !r->folds->val_given && !r->folds->random)
        QV_TRY(qv_summary_set(ctx, &m->validation, "%d training speakers held out", s->val_speakers));
    else
        QV_TRY(qv_summary_set(ctx, &m->validation, "%s",
                              !validated            ? "none"
                              : r->folds->val_given ? "as the folds say"
                                                    : "recordings dealt out at random"));
    if (s->val_speakers && r->folds->val_given)
        qv_warn(ctx, "split.val_speakers = %d holds nobody out: the folds say themselves what validates", s->val_speakers);
    qv_fold_warn_of_choice(ctx, "", s, r->folds);
    QV_TRY(qv_summary_set(ctx, &m->epoch_rule, "%s",
                          best && validated ? "best UA on the validation recordings" : "last epoch"));
done:
    return status;
}

static qv_status describe_protocol(qv_ctx *ctx, run_state *r)
{
    const qv_settings *s = r->s;
    qv_summary *m = r->summary;
    qv_status status = QV_OK;
    QV_TRY(qv_summary_set(ctx, &m->split, "%s", r->folds->random ? "random" : "speaker-disjoint"));
    QV_TRY(qv_summary_set(ctx, &m->fold_spec, "%s", *s->folds ? s->folds : "one split"));
    QV_TRY(qv_summary_set(ctx, &m->labels, "%s", s->labels));
    QV_TRY(qv_summary_set(ctx, &m->normalization, "%s", qv_settings_choice(s, "features.normalize")));
    QV_TRY(qv_summary_set(ctx, &m->loudness, "%s", qv_settings_choice(s, "features.loudness")));
    QV_TRY(qv_summary_set(ctx, &m->bn_eval, "%s", qv_settings_choice(s, "eval.bn")));
    QV_TRY(describe_epoch_rule(ctx, r));
    m->transductive = s->normalize == QV_NORM_SPEAKER;
    m->folds_planned = (int)r->folds->n;
    QV_TRY(note_split(ctx, r));
done:
    return status;
}

/* Replaces a text of the summary. A resume where it was another is no longer the same to the bit, and says so. */
static qv_status note_maker(qv_ctx *ctx, const run_state *r, char **field, const char *what, const char *now)
{
    if (*field && strcmp(*field, now) != 0)
        qv_warn(ctx, "%s was begun with another %s (%s, now %s): the rest may differ in the last bits", r->o->out, what,
                *field, now);
    return qv_summary_set(ctx, field, "%s", now);
}

/* What multiplies, what decodes and what resamples. */
static qv_status note_libraries(qv_ctx *ctx, run_state *r)
{
    qv_buf text = {0};
    qv_status status = QV_OK;
    qv_buf_printf(&text, "%s, %s, %s", r->gpu ? qv_gpu_describe(r->gpu) : qv_cpu_conv_name().text, qv_decoder_name(),
                  qv_resampler_name());
    QV_TRY(qv_buf_check(ctx, &text));
    QV_TRY(note_maker(ctx, r, &r->summary->libraries, "library", text.data));
done:
    qv_buf_free(&text);
    return status;
}

/* What the bits of a record depend on beside settings and recordings. */
static qv_status note_makers(qv_ctx *ctx, run_state *r)
{
    qv_summary *m = r->summary;
    qv_status status = QV_OK;
    qv_op_fn ops[QV_OP_COUNT];
    const char *isa;
    char *program = NULL;
    int threads = qv_pool_threads(r->pool);
    QV_TRY(qv_program_hash(ctx, &program));
    QV_TRY(note_maker(ctx, r, &m->program, "program", program));
    QV_TRY(note_libraries(ctx, r));
    qv_cpu_ops(ops, qv_settings_isa(r->s), &isa);
    if (r->s->device == QV_DEVICE_CPU) QV_TRY(note_maker(ctx, r, &m->isa, "instruction set", isa));
    if (m->threads && m->threads != threads)
        qv_warn(ctx, "%s was begun with %d threads, now %d: the rest may differ in the last bits", r->o->out,
                m->threads, threads);
    m->threads = threads;
done:
    free(program);
    return status;
}

/* "preact, width 16, 1 block a stage, shake.forward = even": what tells it from other networks, and how it
 * is shaken and by which head it learns; nothing that has no effect. */
static qv_status describe_network(qv_ctx *ctx, run_state *r)
{
    static const char *const shown[] = {"net.", "shake.", "train.head"};
    static const char *const said[] = {"net.order ", "net.width ", "net.blocks "};
    qv_settings s = *r->s; /* its texts stay the run's */
    qv_buf changed = {0}, text = {0};
    qv_status status = QV_OK;
    QV_TRY(qv_settings_idle(ctx, &s));
    QV_TRY(qv_settings_changed(ctx, &s, &changed));
    qv_buf_printf(&text, "%s, width %d, %d block%s a stage", qv_order_name((qv_block_order)s.order), s.width, s.blocks,
                  s.blocks == 1 ? "" : "s");
    for (const char *line = changed.data; line && *line; line += strcspn(line, "\n") + 1) {
        bool taken = false;
        for (size_t i = 0; i < 3; i++) taken = taken || strncmp(line, shown[i], strlen(shown[i])) == 0;
        for (size_t i = 0; i < 3; i++) taken = taken && strncmp(line, said[i], strlen(said[i])) != 0;
        if (taken) qv_buf_printf(&text, ", %.*s", (int)strcspn(line, "\n"), line);
    }
    QV_TRY(qv_buf_check(ctx, &text));
    QV_TRY(qv_summary_set(ctx, &r->summary->network, "%s", text.data));
done:
    qv_buf_free(&changed);
    qv_buf_free(&text);
    return status;
}

static qv_status start_summary(qv_ctx *ctx, run_state *r)
{
    const qv_settings *s = r->s;
    qv_summary *m = r->summary;
    qv_status status = QV_OK;
    QV_TRY(qv_summary_set(ctx, &m->version, "%s", QV_VERSION));
    QV_TRY(note_makers(ctx, r));
    if (r->o->command && !m->command) QV_TRY(qv_summary_set(ctx, &m->command, "%s", r->o->command));
    QV_TRY(qv_summary_set(ctx, &m->manifest, "%s", s->manifest));
    QV_TRY(qv_summary_set(ctx, &m->manifest_hash, "%016llx", (unsigned long long)r->manifest->hash));
    m->recordings = r->manifest->n;
    m->skipped = r->features->skipped;
    m->speakers = r->manifest->n_speakers;
    QV_TRY(qv_summary_classes(ctx, m, r->manifest->classes, r->manifest->n_classes));
    m->seed = s->seed;
    QV_TRY(qv_summary_set(ctx, &m->device, "%s", qv_settings_choice(s, "run.device")));
    QV_TRY(describe_network(ctx, r));
    if (!m->started) QV_TRY(now_text(ctx, &m->started));
    QV_TRY(describe_protocol(ctx, r));
done:
    return status;
}

static bool is_finished(const qv_summary *m, const char *fold)
{
    for (size_t i = 0; i < m->n_folds; i++)
        if (strcmp(m->folds[i].name, fold) == 0) return true;
    return false;
}

/* Of every recording's part in every fold: what a fold file said when it was read. */
static qv_status note_folds(qv_ctx *ctx, const run_state *r)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < r->folds->n; i++) {
        const qv_fold *f = &r->folds->folds[i];
        hash = XXH64(f->name, strlen(f->name), hash);
        hash = XXH64(f->part, r->manifest->n, hash);
    }
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    const char *before = r->summary->folds_hash;
    if (before && strcmp(text, before) != 0)
        return qv_fail(ctx, QV_ERR_USAGE, "the folds (%s) have changed since %s was begun; --force starts anew",
                       r->s->folds[0] ? r->s->folds : "one split", r->o->out);
    return qv_summary_set(ctx, &r->summary->folds_hash, "%s", text);
}

/* A recording that can be read no more, or that is another one, makes the rest of a training another training. */
static qv_status note_recordings(qv_ctx *ctx, const run_state *r)
{
    uint64_t hash = 0;
    const qv_features *f = r->features;
    for (size_t i = 0; i < f->n; i++) {
        const qv_feature_entry *e = &f->entries[i];
        const int32_t known[] = {e->frames > 0, e->source_rate, e->channels};
        hash = XXH64(known, sizeof known, hash);
        hash = XXH64(&e->seconds, sizeof e->seconds, hash);
    }
    qv_summary *m = r->summary;
    char facts[32], bytes[32];
    snprintf(facts, sizeof facts, "%016llx", (unsigned long long)hash);
    snprintf(bytes, sizeof bytes, "%016llx", (unsigned long long)qv_features_content(f));
    const bool other_facts = m->recordings_hash && strcmp(facts, m->recordings_hash) != 0;
    const bool other_bytes = m->content_hash && strcmp(bytes, m->content_hash) != 0;
    if (other_facts && f->skipped != m->skipped)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "%zu of the recordings of %s could not be read when %s was begun, %zu cannot be read now; bring them "
                       "back, or --force starts anew",
                       m->skipped, r->s->manifest, r->o->out, f->skipped);
    if (other_facts || other_bytes)
        qv_warn(ctx, "recordings of %s are others than when %s was begun: the rest is another training than the beginning",
                r->s->manifest, r->o->out);
    qv_status status = qv_summary_set(ctx, &m->recordings_hash, "%s", facts);
    return status == QV_OK ? qv_summary_set(ctx, &m->content_hash, "%s", bytes) : status;
}

static bool resumes(const run_state *r) { return r->o->resume && !r->o->force; }

/* Whether the fold has its training, as the settings say, still to begin. */
static qv_status will_begin(qv_ctx *ctx, const run_state *r, const qv_fold *fold, bool *will)
{
    bool begun = is_finished(r->summary, fold->name);
    qv_status status = begun || !resumes(r) ? QV_OK : qv_run_folder_begun(ctx, r->o->out, r->folds, fold, &begun);
    *will = !begun;
    return status;
}

/* train.init_from, for a fold that begins: all begin with the same weights, whatever the path leads to meanwhile. */
static qv_status note_start(qv_ctx *ctx, const run_state *r, const qv_fold *fold)
{
    const char *from = r->s->init_from, *before = r->summary->start_hash;
    char text[QV_HASH_TEXT];
    bool will;
    qv_status status = will_begin(ctx, r, fold, &will);
    if (status != QV_OK || !will) return status;
    if (!qv_path_exists(from))
        return qv_fail(ctx, QV_ERR_IO,
                       "there is no %s, with whose weights fold %s has yet to begin (train.init_from); bring it back",
                       from, fold->name);
    status = qv_hash_file_text(ctx, from, text);
    if (status != QV_OK) return status;
    if (before && strcmp(text, before) != 0)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "%s holds other weights than when %s was begun (XXH3 %s then, %s now), and fold %s has yet to "
                       "begin with them (train.init_from); bring the first back, or --force starts anew",
                       from, r->o->out, before, text, fold->name);
    return qv_summary_set(ctx, &r->summary->start_hash, "%s", text);
}

/* The same of all folds, before hours are spent on the first. earlier: the summary is of an earlier process; one of an
 * earlier program says nothing of the weights, and what its folds began with is not known. */
static qv_status note_starts(qv_ctx *ctx, run_state *r, bool earlier)
{
    r->start_known = *r->s->init_from && (!earlier || r->summary->start_hash);
    for (size_t i = 0; r->start_known && i < r->folds->n; i++) {
        qv_status status = note_start(ctx, r, &r->folds->folds[i]);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

/* What an earlier process left: its finished folds and their records. */
static qv_status load_progress(qv_ctx *ctx, run_state *r)
{
    qv_status status = QV_OK;
    bool there;
    r->records.classes = r->manifest->classes;
    r->records.n_classes = r->manifest->n_classes;
    r->records.parts = qv_manifest_has_parts(r->manifest);
    QV_TRY(qv_run_folder_has(ctx, r->o->out, "summary.json", &there));
    if (there) {
        QV_TRY(qv_summary_read(ctx, r->summary, r->o->out));
        char hash[32];
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->manifest->hash);
        if (r->summary->manifest_hash && strcmp(hash, r->summary->manifest_hash) != 0)
            return qv_fail(ctx, QV_ERR_USAGE, "%s has changed since %s was begun; --force starts anew", r->s->manifest,
                           r->o->out);
    }
    QV_TRY(note_folds(ctx, r));
    QV_TRY(note_recordings(ctx, r));
    QV_TRY(note_starts(ctx, r, there));
    QV_TRY(qv_records_read(ctx, &r->records, r->o->out));
done:
    return status;
}

/* All test answers of finished folds, scored together. */
static qv_status pool_answers(qv_ctx *ctx, run_state *r)
{
    const qv_records *rec = &r->records;
    qv_status status = QV_OK;
    int *truth = NULL, *predicted = NULL, *speaker = NULL;
    size_t n = 0;
    QV_TRY(qv_alloc(ctx, &truth, rec->n_predictions, sizeof *truth));
    QV_TRY(qv_alloc(ctx, &predicted, rec->n_predictions, sizeof *predicted));
    QV_TRY(qv_alloc(ctx, &speaker, rec->n_predictions, sizeof *speaker));
    for (size_t i = 0; i < rec->n_predictions; i++) {
        const qv_prediction *p = &rec->predictions[i];
        if (strcmp(p->part, "test") != 0 || !is_finished(r->summary, p->fold)) continue;
        int id = 0;
        while (id < r->manifest->n_speakers && strcmp(r->manifest->speakers[id], p->speaker) != 0) id++;
        if (id == r->manifest->n_speakers) continue;
        truth[n] = p->truth;
        predicted[n] = p->predicted;
        speaker[n++] = id;
    }
    qv_answers a = {truth, predicted, speaker, n, rec->n_classes, r->manifest->n_speakers};
    QV_TRY(qv_summary_pool(ctx, r->summary, &a));
done:
    free(truth);
    free(predicted);
    free(speaker);
    return status;
}

static qv_status write_summary(qv_ctx *ctx, run_state *r)
{
    qv_status status = QV_OK;
    QV_TRY(pool_answers(ctx, r));
    qv_summary_finish(r->summary);
    QV_TRY(qv_records_write(ctx, &r->records, r->o->out));
    if (r->summary->n_folds == r->folds->n && !r->summary->finished) QV_TRY(now_text(ctx, &r->summary->finished));
    QV_TRY(qv_summary_write(ctx, r->summary, r->o->out));
done:
    return status;
}

static qv_status train_fold(qv_ctx *ctx, run_state *r, size_t index)
{
    const qv_fold *fold = &r->folds->folds[index];
    qv_status status = QV_OK;
    char *folder = NULL;
    qv_fold_summary result = {0}, *slot;
    if (is_finished(r->summary, fold->name)) {
        qv_info(ctx, "fold %s is finished already", fold->name);
        return qv_run_folder_warn_of_lost(ctx, r->o->out, r->folds, fold);
    }
    if (r->start_known) QV_TRY(note_start(ctx, r, fold)); /* a fold before may have taken days */
    QV_TRY(qv_run_folder_of(ctx, r->o->out, r->folds, fold, r->lock.file != 0, &folder));
    qv_fold_job job = {.settings = r->s,
                       .manifest = r->manifest,
                       .features = r->features,
                       .fold = fold,
                       .index = (int)index,
                       .count = (int)r->folds->n,
                       .run = r->o->out,
                       .folder = folder,
                       .records = &r->records,
                       .pool = r->pool,
                       .gpu = r->gpu,
                       .resume = resumes(r),
                       .parameters = &r->summary->parameters};
    QV_TRY(qv_fold_train(ctx, &job, &result));
    QV_TRY(qv_summary_fold(ctx, r->summary, fold->name, &slot));
    result.name = slot->name;
    *slot = result;
    QV_TRY(write_summary(ctx, r));
done:
    free(folder);
    return status;
}

static qv_part_score count_part(const qv_fold *fold, qv_part part)
{
    return (qv_part_score){fold->items[part], fold->speakers[part], NAN, NAN};
}

/* The recordings and folds of a dry run, with no results. */
static qv_status plan_summary(qv_ctx *ctx, const run_state *r)
{
    qv_summary *m = r->summary;
    qv_fold_summary *to;
    qv_status status = QV_OK;
    m->recordings = r->manifest->n;
    m->speakers = r->manifest->n_speakers;
    QV_TRY(qv_summary_classes(ctx, m, r->manifest->classes, r->manifest->n_classes));
    for (size_t i = 0; i < r->folds->n; i++) {
        const qv_fold *fold = &r->folds->folds[i];
        QV_TRY(qv_summary_fold(ctx, m, fold->name, &to));
        to->train = count_part(fold, QV_PART_TRAIN);
        to->val = count_part(fold, QV_PART_VAL);
        to->test = count_part(fold, QV_PART_TEST);
        to->overlap = fold->overlap;
    }
done:
    return status;
}

static qv_status check_plan(qv_ctx *ctx, const run_state *r)
{
    return qv_fold_check_plan(ctx, r->s, r->manifest, r->features, r->folds, &r->summary->parameters);
}

/* A voice that the first training has heard is no new one. */
static qv_status count_heard(qv_ctx *ctx, run_state *r, const qv_checkpoint *c)
{
    const qv_manifest *m = r->manifest;
    bool *tested;
    qv_status status = qv_alloc(ctx, &tested, (size_t)m->n_speakers, sizeof *tested);
    if (status != QV_OK) return status;
    for (size_t k = 0; k < r->folds->n; k++)
        for (size_t i = 0; i < m->n; i++)
            if (r->folds->folds[k].part[i] == QV_PART_TEST) tested[m->items[i].speaker_id] = true;
    for (int id = 0; id < m->n_speakers; id++) r->heard += tested[id] && qv_checkpoint_heard(c, m->speakers[id]);
    free(tested);
    qv_checkpoint_warn_of_heard(ctx, (size_t)r->heard, c->path);
    return QV_OK;
}

/* train.init_from: before what the folder holds is given up for it. */
static qv_status check_start(qv_ctx *ctx, run_state *r, bool anew)
{
    const char *from = r->s->init_from;
    qv_checkpoint *c = NULL;
    bool cleared;
    qv_status status = QV_OK;
    if (!*from || !anew) return QV_OK; /* what is gone on with has no need of it */
    QV_TRY(qv_checkpoint_open(ctx, &c, from));
    QV_TRY(qv_checkpoint_alike(ctx, c, r->s));
    QV_TRY(qv_run_folder_owns(ctx, r->o->out, from, &cleared));
    if (cleared)
        status = qv_fail(ctx, QV_ERR_USAGE, "%s is of the run in %s, which is cleared first; copy it elsewhere, or take another --out",
                         from, r->o->out);
    else
        status = count_heard(ctx, r, c);
done:
    qv_checkpoint_close(c);
    return status;
}

/* What a training would begin with. */
static qv_status tell_plan(qv_ctx *ctx, run_state *r, bool anew)
{
    const qv_fold *first = &r->folds->folds[0];
    const uint64_t steps = qv_steps(r->s->epochs, first->items[QV_PART_TRAIN], (size_t)r->s->batch);
    const qv_feature_config features = qv_settings_features(r->s);
    qv_status status = qv_precision_check(ctx, (qv_device)r->s->device, (qv_precision)r->s->precision);
    if (status == QV_OK) status = qv_feature_check(ctx, &features);
    if (status == QV_OK) status = check_plan(ctx, r);
    if (status == QV_OK) status = check_start(ctx, r, anew);
    if (status != QV_OK) return status;
    qv_info(ctx,
            "a network with %zu parameters; %d epochs, %llu steps in all, in fold %s. Nothing was trained or written",
            r->summary->parameters, r->s->epochs, (unsigned long long)steps, first->name);
    return plan_summary(ctx, r);
}

/* Recordings are read for as long as it takes: who interrupts that has a run to go on with. Under --force the folder may
 * hold what must not be gone on with. *reserved: it was no run before. */
static qv_status reserve(qv_ctx *ctx, const run_state *r, bool *reserved)
{
    bool there;
    if (r->o->force) return QV_OK;
    qv_status status = qv_run_folder_has(ctx, r->o->out, "config.ini", &there);
    if (status != QV_OK || there) return status;
    *reserved = true;
    return qv_run_folder_configure(ctx, r->o->out, r->s);
}

qv_status qv_run(qv_ctx *ctx, qv_settings *s, const qv_run_options *o, qv_summary *summary)
{
    qv_status status = QV_OK;
    run_state r = {.s = s, .o = o, .summary = summary};
    bool anew = false, reserved = false, told;
    *summary = (qv_summary){0};
    if (!*s->manifest) return qv_fail(ctx, QV_ERR_USAGE, "no manifest: --manifest FILE names the recordings");
    QV_TRY(load_folds(ctx, &r));
    QV_TRY(qv_settings_detect(ctx, s, r.manifest));
    QV_TRY(qv_run_folder_open(ctx, &r.lock, s, o, &anew));
    if (o->dry_run) {
        status = tell_plan(ctx, &r, anew);
        goto done;
    }
    QV_TRY(open_device(ctx, &r));
    QV_TRY(reserve(ctx, &r, &reserved));
    QV_TRY(load_features(ctx, &r));
    QV_TRY(qv_run_folder_has(ctx, o->out, "summary.json", &told));
    if (anew || !told) { /* all that can be known of mistakes is known before an earlier run is given up */
        QV_TRY(check_plan(ctx, &r));
        QV_TRY(check_start(ctx, &r, true));
    }
    reserved = false;
    if (anew) QV_TRY(qv_run_folder_clear(ctx, o->out));
    QV_TRY(load_progress(ctx, &r));
    QV_TRY(qv_run_folder_configure(ctx, o->out, s)); /* a resume may have changed what does not matter to the result */
    QV_TRY(start_summary(ctx, &r));
    QV_TRY(write_summary(ctx, &r));
    for (size_t i = 0; i < r.folds->n; i++) {
        QV_TRY(train_fold(ctx, &r, i));
    }
    QV_TRY(qv_report_write(ctx, o->out, NULL));
    QV_TRY(qv_card_write(ctx, s, summary, o->out));
done:
    if (reserved && status == QV_ERR_INTERRUPTED)
        qv_fail(ctx, status, "interrupted while recordings were read; --resume goes on from there");
    else if (reserved)
        qv_run_folder_forget(o->out);
    qv_records_free(&r.records);
    qv_features_close(r.features);
    qv_gpu_close(r.gpu);
    qv_pool_free(r.pool);
    qv_folds_free(r.folds);
    qv_buf_free(&r.left_out);
    qv_manifest_free(r.manifest);
    qv_lock_release(&r.lock);
    return status;
}
