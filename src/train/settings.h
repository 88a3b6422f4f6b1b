/* All settings of a training: one table gives their names, defaults, ranges and help.
 *
 * They are read from INI files (`[section]`, `key = value`), then from overrides
 * "section.key=value"; a name that is not in the table is an error that names the nearest one. */
#ifndef QV_TRAIN_SETTINGS_H
#define QV_TRAIN_SETTINGS_H

#include "backend/exec.h"
#include "base/buf.h"
#include "base/json.h"
#include "data/features.h"
#include "net/net.h"

typedef enum qv_normalization { QV_NORM_NONE, QV_NORM_CORPUS, QV_NORM_SPEAKER, QV_NORM_UTTERANCE } qv_normalization;
typedef enum qv_class_weighting { QV_WEIGHTS_NONE, QV_WEIGHTS_BALANCED } qv_class_weighting;
typedef enum qv_keep_depth { QV_KEEP_CONSTANT, QV_KEEP_LINEAR } qv_keep_depth;
typedef enum qv_bn_eval { QV_BN_RUNNING, QV_BN_EVEN } qv_bn_eval;
typedef enum qv_epoch_rule { QV_EPOCH_LAST, QV_EPOCH_BEST } qv_epoch_rule;
typedef enum qv_schedule { QV_SCHEDULE_CONSTANT, QV_SCHEDULE_COSINE, QV_SCHEDULE_STEP } qv_schedule;
typedef enum qv_sampling { QV_SAMPLING_NATURAL, QV_SAMPLING_BALANCED } qv_sampling;
typedef enum qv_split { QV_SPLIT_SPEAKERS, QV_SPLIT_RANDOM } qv_split;

typedef struct qv_settings {
    /* [corpus] */
    char *manifest, *labels, *licence;
    /* [features] */
    int kind, rate, fft, mels, channels, loudness, normalize;
    double window, hop, low, high, floor, trim;
    /* [patch] */
    double patch_seconds;
    int patch_frames;
    /* [net] */
    int order, width, blocks, groups, embed, shortcut;
    /* [shake] */
    int forward, backward, level, bands, keep_depth;
    double affine, negative, keep_chance, gamma0;
    /* [bn] */
    double bn_eps, bn_momentum;
    /* [train] */
    int epochs, batch, schedule, nesterov, decay_all, class_weights, sampling;
    int optimizer;
    double beta1, beta2, adam_eps, clip;
    double lr, momentum, weight_decay, warmup, smoothing, mixup, step_epochs, step_factor;
    uint64_t seed;
    char *init_from;
    /* [head] */
    int head, sphere_margin;
    double center, center_rate, scale, cosface_margin, arcface_margin, sphere_lambda, sphere_lambda_min, sphere_lambda_decay;
    /* [augment] */
    int time_masks, mel_masks, mel_width, pad, flip;
    double speed, warp, gain, voices, time_width;
    /* [split] */
    char *folds;
    int split, val_speakers;
    double test_fraction;
    /* [eval] */
    int eval_every, epoch_rule, patience, bn_eval;
    /* [run] */
    char *gpu; /* which one: an ordinal or a UUID */
    int device, precision, workspace, autotune, threads, isa, keep;
} qv_settings;

/* Every setting at its default. */
qv_status qv_settings_init(qv_ctx *ctx, qv_settings *s);
void qv_settings_free(qv_settings *s);

/* "preset small" or "preset reference" over what is there. */
qv_status qv_settings_preset(qv_ctx *ctx, qv_settings *s, const char *name);

/* Reads an INI file; messages name file and line. `;` or `#` begins a comment: at the start of a line, and after a
 * blank behind a value that is not a text. Lines may have any length. */
qv_status qv_settings_read(qv_ctx *ctx, qv_settings *s, const char *path);
/* The same from text; `name` stands for the file in messages. */
qv_status qv_settings_parse(qv_ctx *ctx, qv_settings *s, const char *name, const char *text);

/* "section.key" and its value as text; what an option --section.key=value carries. */
qv_status qv_settings_set(qv_ctx *ctx, qv_settings *s, const char *name, const char *value);

/* All settings as an INI text that reads back to the same. */
void qv_settings_print(const qv_settings *s, qv_buf *out);
/* The same as an object, "section.key": number, text or truth. NULL: no memory, or a text that is not UTF-8. */
json_t *qv_settings_json(const qv_settings *s);
/* Appends the settings that are not at their defaults, but for those that only say where and how fast, as "section.key =
 * value" lines in the table's order: what a setting that a later version adds leaves as it is. */
qv_status qv_settings_changed(qv_ctx *ctx, const qv_settings *s, qv_buf *out);
/* Appends what all others are at, the defaults, with the same exceptions, in the same lines. */
qv_status qv_settings_defaults(qv_ctx *ctx, qv_buf *out);
/* As print, each with its default, range or choices and one line of help: `quaver help settings`. */
void qv_settings_help(qv_buf *out);

/* The first setting of a section ("net."; "": of all) in which a and b differ, as "section.key" with both values in *values; settings that only
 * say where and how fast (device of the same arithmetic, threads) do not count. NULL: none. */
const char *qv_settings_differ(const qv_settings *a, const qv_settings *b, const char *section, qv_buf *values);

/* Puts settings that change nothing beside the others at their defaults: equal trainings then have equal settings. */
qv_status qv_settings_idle(qv_ctx *ctx, qv_settings *s);
/* Of these those of [features] alone: what is said of sound, where the kind is another. */
void qv_settings_idle_features(qv_settings *s);

/* Settings of a training for use on another device; precisions that it does not have become fp32. gpu is borrowed:
 * NULL for the first one. */
void qv_settings_move(qv_settings *s, qv_device device, char *gpu);

/* The parts that other modules take. */
qv_feature_config qv_settings_features(const qv_settings *s);
qv_net_config qv_settings_net(const qv_settings *s);
int qv_settings_patch_frames(const qv_settings *s);
/* Lets the manifest's files decide on the features (qv_feature_detect), puts those that then change nothing at their
 * defaults (qv_settings_idle_features), and refuses what makes no sense of them: QV_ERR_USAGE names the setting. */
qv_status qv_settings_detect(qv_ctx *ctx, qv_settings *s, const qv_manifest *m);
/* [run] as options of an exec; pool and what a caller asks for besides are left zero. */
qv_exec_options qv_settings_exec(const qv_settings *s);
/* Best instruction set allowed, NULL: what there is. */
const char *qv_settings_isa(const qv_settings *s);

/* Name of setting i in the order of the printed file; NULL past the last. */
const char *qv_settings_name(size_t i);
/* The setting that was meant by a name, with its section or without: "widht" leads to net.width. NULL: none is near. */
const char *qv_settings_near(const char *name);
/* The word that is chosen for the setting of that name, which must be one of words. */
const char *qv_settings_choice(const qv_settings *s, const char *name);

#endif
