/* What other modules take of the settings. */
#include <math.h>
#include <string.h>

#include "kernels/patch.h"
#include "train/settings.h"

void qv_settings_move(qv_settings *s, qv_device device, char *gpu)
{
    s->device = (int)device;
    s->gpu = gpu ? gpu : s->gpu + strlen(s->gpu);
    if (device != QV_DEVICE_CUDA) s->precision = QV_PRECISION_FP32;
}

qv_feature_config qv_settings_features(const qv_settings *s)
{
    return (qv_feature_config){.kind = (qv_feature_kind)s->kind, .rate = s->rate, .window = s->window, .hop = s->hop, .fft = s->fft, .mels = s->mels,
                               .channels = s->channels, .rows = s->kind == QV_KIND_IMAGE ? s->patch_frames : 0,
                               .low = s->low, .high = s->high, .floor = s->floor, .trim = s->trim,
                               .loudness = (qv_loudness)s->loudness};
}

int qv_settings_patch_frames(const qv_settings *s)
{
    int n = s->patch_frames ? s->patch_frames : (int)lround(s->patch_seconds / s->hop);
    return n > 0 ? n : 1;
}

/* Some augmentations have a meaning for one kind of features alone. */
static qv_status check_augmentation(qv_ctx *ctx, const qv_settings *s)
{
    static const char *const files[] = {"sound", "frames from .npy files", "images"};
    enum { MEL = 1 << QV_KIND_MEL, NPY = 1 << QV_KIND_NPY, IMAGE = 1 << QV_KIND_IMAGE };
    const struct {
        const char *name;
        double value;
        int kinds;
        const char *why;
    } rows[] = {{"warp", s->warp, MEL, "moves along mel bands"},
                {"gain", s->gain, MEL, "adds decibels to log-mel energies"},
                {"speed", s->speed, MEL | NPY, "stretches time"},
                {"voices", s->voices, MEL | NPY, "takes one speaker for another"},
                {"pad", s->pad, IMAGE, "moves images"},
                {"flip", s->flip, IMAGE, "mirrors images"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].value > 0 && !(rows[i].kinds & 1 << s->kind))
            return qv_fail(ctx, QV_ERR_USAGE, "augment.%s = %g: it %s, and makes no sense of %s", rows[i].name,
                           rows[i].value, rows[i].why, files[s->kind]);
    return QV_OK;
}

qv_status qv_settings_detect(qv_ctx *ctx, qv_settings *s, const qv_manifest *m)
{
    qv_feature_config c = qv_settings_features(s);
    qv_status status = qv_feature_detect(ctx, m, &c);
    if (status != QV_OK) return status;
    s->kind = (int)c.kind;
    s->mels = c.mels;
    s->channels = c.kind == QV_KIND_IMAGE ? c.channels : 1;
    if (c.kind == QV_KIND_IMAGE) s->patch_frames = c.rows; /* it is shown whole */
    qv_settings_idle_features(s);
    return check_augmentation(ctx, s);
}

static qv_gather_attr augmentation(const qv_settings *s)
{
    const double nepers = log(10) / 10; /* of energy, a dB */
    return (qv_gather_attr){.speed = (int32_t)lround(s->speed * QV_ONE),
                            .warp = (int32_t)lround(s->warp * QV_ONE),
                            .gain = (float)(s->gain * nepers),
                            .time_masks = s->time_masks,
                            .time_width = (int32_t)lround(s->time_width / s->hop),
                            .mel_masks = s->mel_masks,
                            .mel_width = s->mel_width,
                            .pad = s->pad,
                            .flip = s->flip};
}

static qv_margin_attr margin(const qv_settings *s)
{
    qv_margin_attr a = {.scale = (float)s->scale};
    if (s->head == QV_HEAD_A_SOFTMAX)
        a = (qv_margin_attr){.kind = QV_MARGIN_SPHERE,
                             .scale = 1,
                             .m = (float)s->sphere_margin,
                             .lambda = (float)s->sphere_lambda,
                             .lambda_min = (float)s->sphere_lambda_min,
                             .lambda_decay = (float)s->sphere_lambda_decay};
    if (s->head == QV_HEAD_COSFACE) a.kind = QV_MARGIN_COSINE, a.m = (float)s->cosface_margin;
    if (s->head == QV_HEAD_ARCFACE) a.kind = QV_MARGIN_ANGLE, a.m = (float)s->arcface_margin;
    return a;
}

qv_net_config qv_settings_net(const qv_settings *s)
{
    return (qv_net_config){.order = (qv_block_order)s->order,
                           .width = s->width,
                           .blocks = s->blocks,
                           .groups = s->groups,
                           .embed = s->embed,
                           .shortcut = (qv_shortcut)s->shortcut,
                           .forward = (qv_shake_mode)s->forward,
                           .backward = (qv_shake_mode)s->backward,
                           .level = (qv_shake_level)s->level,
                           .bands = s->bands,
                           .affine = (float)s->affine,
                           .negative = (float)s->negative,
                           .relaxed = (float)(1 - s->keep_chance),
                           .deeper = s->keep_depth == QV_KEEP_LINEAR,
                           .gamma0 = (float)s->gamma0,
                           .bn_eps = (float)s->bn_eps,
                           .bn_momentum = (float)s->bn_momentum,
                           .frames = qv_settings_patch_frames(s),
                           .mels = s->mels / s->channels,
                           .channels = s->channels,
                           .batch = s->batch,
                           .head = (qv_head_kind)s->head,
                           .margin = margin(s),
                           .center = {(float)s->center, (float)s->center_rate},
                           .smoothing = (float)s->smoothing,
                           .augment = augmentation(s),
                           .mixup = (float)s->mixup,
                           .optimizer = (qv_optimizer)s->optimizer,
                           .beta1 = (float)s->beta1,
                           .beta2 = (float)s->beta2,
                           .adam_eps = (float)s->adam_eps,
                           .clip = (float)s->clip,
                           .momentum = (float)s->momentum,
                           .weight_decay = (float)s->weight_decay,
                           .nesterov = s->nesterov,
                           .decay_all = s->decay_all,
                           .measure = s->bn_eval == QV_BN_EVEN};
}

qv_exec_options qv_settings_exec(const qv_settings *s)
{
    return (qv_exec_options){.device = (qv_device)s->device,
                             .which = s->gpu,
                             .precision = (qv_precision)s->precision,
                             .workspace = (size_t)s->workspace << 20,
                             .autotune = s->autotune,
                             .isa = qv_settings_isa(s)};
}
