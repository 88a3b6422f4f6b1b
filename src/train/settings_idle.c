/* Settings that change nothing beside the others. */
#include "net/block.h"
#include "train/settings.h"

/* Coefficients that are all one half have no draws. */
static void idle_shake(qv_settings *s, const qv_settings *start)
{
    if (s->forward == QV_SHAKE_EVEN && s->backward != QV_SHAKE_SHAKE) { /* keep: as forward, so even too */
        s->backward = QV_SHAKE_EVEN;
        s->level = start->level;
        s->bands = start->bands;
        s->affine = start->affine;
        s->negative = start->negative;
        s->keep_chance = start->keep_chance;
    }
    if (s->keep_chance == start->keep_chance) s->keep_depth = start->keep_depth;
    if (!qv_order_norm_before_shake((qv_block_order)s->order)) s->gamma0 = start->gamma0;
}

static void idle_head(qv_settings *s, const qv_settings *start)
{
    if (s->head != QV_HEAD_CENTER) s->center = start->center, s->center_rate = start->center_rate;
    if (s->head != QV_HEAD_COSFACE) s->cosface_margin = start->cosface_margin;
    if (s->head != QV_HEAD_ARCFACE) s->arcface_margin = start->arcface_margin;
    if (s->head != QV_HEAD_COSFACE && s->head != QV_HEAD_ARCFACE) s->scale = start->scale;
    if (s->head == QV_HEAD_A_SOFTMAX) return;
    s->sphere_margin = start->sphere_margin;
    s->sphere_lambda = start->sphere_lambda;
    s->sphere_lambda_min = start->sphere_lambda_min;
    s->sphere_lambda_decay = start->sphere_lambda_decay;
}

static void idle_optimizer(qv_settings *s, const qv_settings *start)
{
    if (s->optimizer != QV_OPTIMIZER_SGD) s->momentum = start->momentum, s->nesterov = start->nesterov;
    if (s->optimizer != QV_OPTIMIZER_ADAMW)
        s->beta1 = start->beta1, s->beta2 = start->beta2, s->adam_eps = start->adam_eps;
    if (s->weight_decay == 0) s->decay_all = start->decay_all;
    if (s->schedule != QV_SCHEDULE_STEP) s->step_epochs = start->step_epochs, s->step_factor = start->step_factor;
}

static void idle_data(qv_settings *s, const qv_settings *start)
{
    if (s->sampling == QV_SAMPLING_BALANCED) s->class_weights = start->class_weights;
    if (s->time_masks == 0) s->time_width = start->time_width;
    if (s->mel_masks == 0) s->mel_width = start->mel_width;
    if (s->normalize == QV_NORM_UTTERANCE) s->voices = start->voices;
    if (s->patch_frames > 0) s->patch_seconds = start->patch_seconds;
}

void qv_settings_idle_features(qv_settings *s)
{
    const qv_feature_config start = qv_feature_defaults();
    if (s->kind == QV_KIND_MEL) return;
    s->rate = start.rate;
    s->window = start.window;
    s->fft = start.fft;
    s->low = start.low;
    s->high = start.high;
    s->floor = start.floor;
    s->trim = start.trim;
    s->loudness = (int)start.loudness;
}

qv_status qv_settings_idle(qv_ctx *ctx, qv_settings *s)
{
    qv_settings start;
    qv_status status = qv_settings_init(ctx, &start);
    if (status != QV_OK) return status;
    idle_shake(s, &start);
    idle_head(s, &start);
    idle_optimizer(s, &start);
    idle_data(s, &start);
    qv_settings_idle_features(s);
    qv_settings_free(&start);
    return QV_OK;
}
