#include "train/model.h"

#include <stdlib.h>
#include <string.h>

/* A voice's statistics need enough of it. */
static qv_status check_speakers(qv_ctx *ctx, const qv_dataset *d, bool one)
{
    const qv_manifest *m = d->manifest;
    for (int id = 0; id < m->n_speakers; id++) {
        double seconds = qv_dataset_speaker_seconds(d, id);
        if (seconds > 0 && !one && strcmp(m->speakers[id], QV_NO_SPEAKER) == 0)
            return qv_fail(ctx, QV_ERR_USAGE, "the checkpoint normalizes by speaker, but %s does not say who speaks everywhere",
                           m->path ? m->path : "the list of recordings");
        if (seconds > 0 && seconds < QV_MIN_SPEAKER_SECONDS)
            return qv_fail(ctx, QV_ERR_USAGE,
                           "the checkpoint normalizes by speaker, but of %s%s there are only %.1f s; give at least "
                           "%.0f s of each voice, or --speaker-stats FILE (quaver stats), or train with --normalize corpus",
                           one ? "the voice" : "speaker ", one ? "" : m->speakers[id], seconds, QV_MIN_SPEAKER_SECONDS);
    }
    return QV_OK;
}

static void merge_speakers(qv_manifest *m)
{
    for (size_t i = 0; i < m->n; i++) m->items[i].speaker_id = 0;
}

void qv_model_answers_free(qv_model_answers *a)
{
    free(a->probs);
    free(a->embeddings);
    *a = (qv_model_answers){0};
}

static qv_status classify(qv_ctx *ctx, const qv_checkpoint *c, const qv_dataset *d, const qv_settings *s,
                          const qv_trainer_options *o, qv_model_answers *answers)
{
    qv_status status = QV_OK;
    qv_trainer *t = NULL;
    size_t *items = NULL;
    QV_TRY(qv_trainer_new(ctx, &t, s, d, o, c->n_classes));
    QV_TRY(qv_checkpoint_load(ctx, c, t, false));
    QV_TRY(qv_alloc(ctx, &items, d->n, sizeof *items));
    QV_TRY(qv_alloc(ctx, &answers->probs, d->n * (size_t)c->n_classes, sizeof *answers->probs));
    if (o->embeddings) {
        answers->dims = qv_trainer_net(t)->embedding_size;
        QV_TRY(qv_alloc(ctx, &answers->embeddings, d->n * (size_t)answers->dims, sizeof *answers->embeddings));
    }
    for (size_t i = 0; i < d->n; i++) items[i] = i;
    status = qv_trainer_embed(ctx, t, items, d->n, true, answers->probs, answers->embeddings);
    if (status == QV_ERR_NUMERIC) status = qv_fail_prefix(ctx, status, "%s", c->path);
done:
    free(items);
    qv_trainer_free(t);
    return status;
}

qv_status qv_model_classify(qv_ctx *ctx, const qv_checkpoint *c, qv_manifest *m, const qv_model_options *o,
                            qv_features **features, qv_model_answers *answers)
{
    qv_status status = QV_OK;
    qv_dataset *d = NULL;
    qv_trainer_options to = {.embeddings = o->embeddings};
    float *norms = NULL;
    int threads = qv_threads(o->threads);
    qv_settings s = c->settings; /* borrowed texts */
    qv_feature_config fc = qv_settings_features(&s);
    qv_feature_options fo = {.cache_dir = o->cache_dir, .no_cache = o->no_cache, .threads = threads};
    *features = NULL;
    *answers = (qv_model_answers){0};
    qv_settings_move(&s, o->device, o->gpu);
    s.batch = qv_checkpoint_batch(c);
    if (s.device == QV_DEVICE_CPU) qv_cpu_conv_limit(qv_settings_isa(&s));
    if (o->one_speaker) merge_speakers(m);
    if (s.device == QV_DEVICE_CUDA) QV_TRY(qv_gpu_open(ctx, &to.gpu, s.gpu)); /* before the recordings are read */
    QV_TRY(qv_pool_new(ctx, &to.pool, threads));
    QV_TRY(qv_features_open(ctx, features, m, &fc, &fo));
    if (!o->norm) QV_TRY(qv_checkpoint_norms(ctx, c, m, &norms));
    /* Statistics from elsewhere are one row for all. */
    QV_TRY(qv_dataset_new(ctx, &d, m, *features, o->norm ? QV_NORM_NONE : (qv_normalization)s.normalize, NULL,
                          o->norm ? o->norm : norms));
    for (size_t i = 0; i < d->n; i++) d->utterances[i].label = -1; /* the manifest numbers its classes in its own way */
    if (s.normalize == QV_NORM_SPEAKER && !o->norm) QV_TRY(check_speakers(ctx, d, o->one_speaker));
    QV_TRY(classify(ctx, c, d, &s, &to, answers));
done:
    free(norms);
    qv_dataset_free(d);
    qv_pool_free(to.pool);
    qv_gpu_close(to.gpu);
    return status;
}
