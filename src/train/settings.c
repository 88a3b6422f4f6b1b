#include "train/settings.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/ini.h"
#include "base/io.h"
#include "base/nearest.h"
#include "base/real.h"
#include "base/text.h"

typedef enum kind { INT, REAL, TEXT, CHOICE, BOOL, SEED } kind;

typedef struct setting {
    const char *name; /* "section.key", in the order of the printed file */
    kind kind;
    size_t at;              /* offset in qv_settings */
    const char *start;      /* default, as text */
    double low, high;       /* INT, REAL */
    const char *choices[6]; /* CHOICE: the names of 0, 1, ... */
    bool harmless;          /* may differ when a run is resumed */
    const char *help;
} setting;

#define AT(field) offsetof(qv_settings, field)
static const setting table[] = {
    {"corpus.manifest", TEXT, AT(manifest), "", 0, 0, {0}, false, "CSV with file, speaker, emotion; several: a.csv,b.csv"},
    {"corpus.labels", TEXT, AT(labels), "", 0, 0, {0}, false, "select and merge classes: anger,joy=happiness; | between those of several manifests"},
    {"corpus.licence", TEXT, AT(licence), "", 0, 0, {0}, true, "of the training data, as a text: for the model card and exports"},
    {"features.kind", CHOICE, AT(kind), "mel", 0, 0, {"mel", "npy", "image"}, false,
     "mel: of sound; npy: frames from files; image: rows of images; chosen by itself for a manifest of .npy files and a folder of images"},
    {"features.rate", INT, AT(rate), "16000", 1000, 192000, {0}, false, "Hz; recordings are resampled to it"},
    {"features.window", REAL, AT(window), "0.025", 0.001, 1, {0}, false, "seconds a frame"},
    {"features.hop", REAL, AT(hop), "0.02", 0.001, 1, {0}, false, "seconds from frame to frame, at most a window; of kind npy those of the files, 0.01 for openSMILE's"},
    {"features.fft", INT, AT(fft), "512", 16, 65536, {0}, false, "points, a power of two"},
    {"features.mels", INT, AT(mels), "64", 1, 4096, {0}, false, "mel bands, at most 1024; of npy and image the values of a frame in the files"},
    {"features.channels", INT, AT(channels), "1", 1, 4, {0}, false, "channels of the images in the files; those of a pixel stand side by side in a frame"},
    {"features.low", REAL, AT(low), "0", 0, 96000, {0}, false, "Hz, lowest band's lower edge"},
    {"features.high", REAL, AT(high), "8000", 1, 96000, {0}, false, "Hz, highest band's upper edge: at most half of features.rate"},
    {"features.floor", REAL, AT(floor), "1e-10", 1e-30, 1, {0}, false, "mel energies below count as this"},
    {"features.trim", REAL, AT(trim), "40", 0, 200, {0}, false, "dB under the peak; quieter edges are cut; 0: none"},
    {"features.loudness", CHOICE, AT(loudness), "none", 0, 0, {"none", "rms"}, false, "rms: all recordings equally loud"},
    {"features.normalize", CHOICE, AT(normalize), "corpus", 0, 0, {"none", "corpus", "speaker", "utterance"}, false,
     "mean and deviation of each band over what; speaker uses the test speakers' unlabelled recordings"},
    {"patch.seconds", REAL, AT(patch_seconds), "1.28", 0.02, 60, {0}, false, "length of a patch"},
    {"patch.frames", INT, AT(patch_frames), "0", 0, 65536, {0}, false, "length of a patch in frames; 0: as the seconds say"},
    {"net.order", CHOICE, AT(order), "preact-bn", 0, 0, {"preact", "preact-bn", "relu", "relu-bn"}, false,
     "where the normalization stands; -bn: before the shake"},
    {"net.width", INT, AT(width), "16", 1, 1024, {0}, false, "channels of the first stage"},
    {"net.blocks", INT, AT(blocks), "1", 1, 64, {0}, false, "blocks a stage; depth is 6 * blocks + 2"},
    {"net.groups", INT, AT(groups), "1", 1, 1024, {0}, false, "groups of each branch's convolutions"},
    {"net.embed", INT, AT(embed), "0", 0, 4096, {0}, false, "numbers of a linear layer without ReLU before the classifier; 0: no such layer"},
    {"net.shortcut", CHOICE, AT(shortcut), "conv", 0, 0, {"conv", "shift"}, false,
     "of blocks that halve both axes: a strided 1x1 convolution; shift: ReLU, then two of them, the second moved by a pixel, side by side"},
    {"shake.forward", CHOICE, AT(forward), "shake", 0, 0, {"even", "shake"}, false, "coefficients of the forward pass"},
    {"shake.backward", CHOICE, AT(backward), "shake", 0, 0, {"even", "shake", "keep"}, false, "of the backward pass"},
    {"shake.level", CHOICE, AT(level), "sample", 0, 0, {"batch", "sample"}, false, "one draw for whom"},
    {"shake.bands", INT, AT(bands), "1", 1, 64, {0}, false, "sub-bands with draws of their own"},
    {"shake.affine", REAL, AT(affine), "0", 0, 1, {0}, false, "m: coefficients are drawn from -m to 1 + m, so one of a pair may be negative"},
    {"shake.signed", REAL, AT(negative), "0", 0, 0.5, {0}, false, "chance that both coefficients of a pair change their sign"},
    {"shake.keep", REAL, AT(keep_chance), "1", 0, 1, {0}, false, "chance that a block is shaken, drawn for forward and backward at once; else it is even"},
    {"shake.keep_depth", CHOICE, AT(keep_depth), "constant", 0, 0, {"constant", "linear"}, false,
     "linear: the chance falls from block to block, from 1 at the input to shake.keep in the last"},
    {"shake.gamma0", REAL, AT(gamma0), "0.1", 0, 10, {0}, false, "start of the scale of the normalization before the shake"},
    {"bn.eps", REAL, AT(bn_eps), "1e-5", 1e-12, 1, {0}, false, "added to the variance"},
    {"bn.momentum", REAL, AT(bn_momentum), "0.1", 0, 1, {0}, false, "share of the newest batch in the running statistics"},
    {"train.epochs", INT, AT(epochs), "60", 1, 1000000, {0}, false, "passes over the training recordings"},
    {"train.batch", INT, AT(batch), "32", 1, 65536, {0}, false, "recordings a step, at most those that train"},
    {"train.lr", REAL, AT(lr), "0.05", 0, 100, {0}, false, "learning rate after the warm-up"},
    {"train.schedule", CHOICE, AT(schedule), "cosine", 0, 0, {"constant", "cosine", "step"}, false, "of the learning rate"},
    {"train.step_epochs", REAL, AT(step_epochs), "20", 1e-3, 1e6, {0}, false, "schedule step: epochs from one fall of the rate to the next"},
    {"train.step_factor", REAL, AT(step_factor), "0.1", 0, 1, {0}, false, "schedule step: what the rate is multiplied by"},
    {"train.warmup", REAL, AT(warmup), "2", 0, 1000000, {0}, false, "epochs of linear warm-up"},
    {"train.optimizer", CHOICE, AT(optimizer), "sgd", 0, 0, {"sgd", "adamw"}, false, "adamw wants a far smaller train.lr, such as 0.002"},
    {"train.beta1", REAL, AT(beta1), "0.9", 0, 0.9999, {0}, false, "adamw: of the mean of the gradients"},
    {"train.beta2", REAL, AT(beta2), "0.999", 0, 0.9999, {0}, false, "adamw: of the mean of their squares"},
    {"train.adam_eps", REAL, AT(adam_eps), "1e-8", 1e-12, 1, {0}, false, "adamw: added to the root of that"},
    {"train.clip", REAL, AT(clip), "0", 0, 1e6, {0}, false, "all gradients together are cut to this length; 0: never"},
    {"train.momentum", REAL, AT(momentum), "0.9", 0, 0.9999, {0}, false, "of sgd"},
    {"train.nesterov", BOOL, AT(nesterov), "yes", 0, 0, {0}, false, "Nesterov's momentum"},
    {"train.weight_decay", REAL, AT(weight_decay), "1e-4", 0, 10, {0}, false, "on the weights of convolutions and linear layers"},
    {"train.decay_all", BOOL, AT(decay_all), "no", 0, 0, {0}, false, "weight decay on scales, shifts and biases too"},
    {"train.class_weights", CHOICE, AT(class_weights), "balanced", 0, 0, {"none", "balanced"}, false,
     "balanced: every class weighs the same in the loss"},
    {"train.sampling", CHOICE, AT(sampling), "natural", 0, 0, {"natural", "balanced"}, false,
     "balanced: every class is drawn equally often; train.class_weights then has no effect"},
    {"train.smoothing", REAL, AT(smoothing), "0", 0, 0.99, {0}, false, "label smoothing; a recording's class weight then applies to its whole smoothed loss"},
    {"train.mixup", REAL, AT(mixup), "0", 0, 100, {0}, false,
     "train on mixtures of two recordings, their shares drawn from Beta(a, a); 0: none"},
    {"train.init_from", TEXT, AT(init_from), "", 0, 0, {0}, false, "a checkpoint: begin with its weights, with a new classifier where the classes differ"},
    {"train.head", CHOICE, AT(head), "softmax", 0, 0, {"softmax", "center", "a-softmax", "cosface", "arcface"}, false,
     "classifier and loss: docs/heads.md"},
    {"train.seed", SEED, AT(seed), "1", 0, 0, {0}, false, "of everything random"},
    {"head.center", REAL, AT(center), "0.01", 0, 1000, {0}, false, "train.head center: weight of the center loss"},
    {"head.center_rate", REAL, AT(center_rate), "0.5", 0, 1, {0}, false, "share of the way to its class' mean that a center moves in one step"},
    {"head.scale", REAL, AT(scale), "16", 1e-3, 1000, {0}, false, "cosface, arcface: what cosines are multiplied by before the softmax"},
    {"head.cosface_margin", REAL, AT(cosface_margin), "0.2", 0, 2, {0}, false, "cosine"},
    {"head.arcface_margin", REAL, AT(arcface_margin), "0.3", 0, 3, {0}, false, "radians"},
    {"head.sphere_margin", INT, AT(sphere_margin), "3", 1, QV_SPHERE_MOST, {0}, false, "a-softmax: so many times the angle"},
    {"head.sphere_lambda", REAL, AT(sphere_lambda), "1000", 0, 1e9, {0}, false,
     "a-softmax: weight lambda of the plain cosine (that with the margin has weight 1) at the first step"},
    {"head.sphere_lambda_min", REAL, AT(sphere_lambda_min), "5", 0, 1e9, {0}, false, "the least that it falls to"},
    {"head.sphere_lambda_decay", REAL, AT(sphere_lambda_decay), "0.12", 0, 1000, {0}, false,
     "at step n lambda is sphere_lambda / (1 + this times n)"},
    {"augment.speed", REAL, AT(speed), "0", 0, 0.9, {0}, false, "training patches play at up to so much more or less of their speed"},
    {"augment.warp", REAL, AT(warp), "0", 0, 0.9, {0}, false, "band m shows band m (1 + u), u drawn between minus and plus this"},
    {"augment.gain", REAL, AT(gain), "0", 0, 60, {0}, false, "dB, louder or softer by up to so much"},
    {"augment.voices", REAL, AT(voices), "0", 0, 1, {0}, false,
     "means and deviations of a training patch's bands move up to this share of the way to those of another training speaker; also with normalize = speaker, no effect with utterance"},
    {"augment.time_masks", INT, AT(time_masks), "0", 0, QV_MASKS, {0}, false, "so many stretches of time are blanked"},
    {"augment.time_width", REAL, AT(time_width), "0.2", 0, 60, {0}, false, "seconds, each of them at most"},
    {"augment.mel_masks", INT, AT(mel_masks), "0", 0, QV_MASKS, {0}, false, "so many runs of mel bands are blanked"},
    {"augment.mel_width", INT, AT(mel_width), "6", 0, 1024, {0}, false, "bands, each of them at most"},
    {"augment.pad", INT, AT(pad), "0", 0, 64, {0}, false, "pixels: images move by up to so many either way, zeros moving in"},
    {"augment.flip", BOOL, AT(flip), "no", 0, 0, {0}, false, "every other image, by chance, is mirrored left to right"},
    {"split.mode", CHOICE, AT(split), "speakers", 0, 0, {"speakers", "random"}, false,
     "random: speakers are on both sides, results are too good"},
    {"split.folds", TEXT, AT(folds), "", 0, 0, {0}, false, "speaker, session, corpus, a number, column, split, or a fold file; empty: one split"},
    {"split.test_fraction", REAL, AT(test_fraction), "0.2", 0, 0.9, {0}, false, "of the speakers, for one split without a split column"},
    {"split.val_speakers", INT, AT(val_speakers), "0", 0, 10000, {0}, false, "training speakers held out to choose the epoch"},
    {"eval.every", INT, AT(eval_every), "5", 1, 1000000, {0}, false, "epochs from one evaluation to the next"},
    {"eval.epoch", CHOICE, AT(epoch_rule), "last", 0, 0, {"last", "best"}, false, "whose weights count; best: by UA on val, which split.val_speakers or the folds name"},
    {"eval.bn", CHOICE, AT(bn_eval), "running", 0, 0, {"running", "even"}, false,
     "batch norm's statistics in the final evaluation: the running averages, or even: measured anew over the training windows with all coefficients 1/2"},
    {"eval.patience", INT, AT(patience), "0", 0, 1000000, {0}, false,
     "with epoch best: evaluations without a better one, then the fold's training ends; 0: never"},
    {"run.device", CHOICE, AT(device), "cpu", 0, 0, {"cpu", "ref", "ref32", "cuda"}, false, "what trains"},
    {"run.gpu", TEXT, AT(gpu), "", 0, 0, {0}, true, "which: 0, 1, ... or GPU-UUID; empty: the first; --device cuda:1 says both"},
    {"run.precision", CHOICE, AT(precision), "fp32", 0, 0, {"fp32", "tf32", "bf16"}, false,
     "how a GPU multiplies and stores; tf32 and bf16 are faster and rounder"},
    {"run.workspace", INT, AT(workspace), "256", 1, 65536, {0}, false, "MiB that a convolution on a GPU may use for itself"},
    {"run.autotune", BOOL, AT(autotune), "no", 0, 0, {0}, false,
     "time a GPU's convolutions first: faster, but runs may then differ in the last bits"},
    {"run.threads", INT, AT(threads), "0", 0, 1024, {0}, true, "of the CPU; 0: as many as there are processors"},
    {"run.keep", INT, AT(keep), "0", 0, 1000000, {0}, true, "checkpoints of the newest evaluated epochs to keep besides last and best"},
    {"run.isa", CHOICE, AT(isa), "auto", 0, 0, {"auto", "base", "avx2", "avx512"}, true, "best instruction set to use, here and in oneDNN"},
};
#undef AT
enum { SETTINGS = sizeof table / sizeof *table };

static void *field(const qv_settings *s, const setting *t)
{
    void *p;
    const char *at = (const char *)s + t->at;
    memcpy(&p, &at, sizeof p); /* the caller's settings are const where they are only read */
    return p;
}

static qv_status bad_value(qv_ctx *ctx, const setting *t, const char *value, const char *expected)
{
    return qv_fail(ctx, QV_ERR_USAGE, "%s = %.200s: expected %s", t->name, value, expected);
}

/* Only what a line of a settings file and a checkpoint's metadata can hold. */
static qv_status set_text(qv_ctx *ctx, qv_settings *s, const setting *t, const char *value)
{
    char *copy, **text = field(s, t);
    size_t n = strlen(value);
    if (strpbrk(value, "\n\r")) return bad_value(ctx, t, value, "one line");
    if (qv_utf8_check(value, n) != n) return bad_value(ctx, t, value, "UTF-8 text");
    if (n && (qv_is_blank(value[0]) || qv_is_blank(value[n - 1])))
        return bad_value(ctx, t, value, "text without spaces around it");
    qv_status status = qv_strdup(ctx, &copy, value);
    if (status != QV_OK) return status;
    free(*text);
    *text = copy;
    return QV_OK;
}

static qv_status set_number(qv_ctx *ctx, qv_settings *s, const setting *t, const char *value)
{
    char range[96];
    double x;
    bool fine = qv_read_real(value, &x) && x >= t->low && x <= t->high && (t->kind != INT || x == floor(x));
    qv_format(range, sizeof range, "a%s number from %g to %g", t->kind == INT ? " whole" : "", t->low, t->high);
    if (!fine) return bad_value(ctx, t, value, range);
    if (t->kind == INT)
        *(int *)field(s, t) = (int)x;
    else
        *(double *)field(s, t) = x;
    return QV_OK;
}

static qv_status set_choice(qv_ctx *ctx, qv_settings *s, const setting *t, const char *value)
{
    qv_buf names = {0};
    for (int i = 0; i < 6 && t->choices[i]; i++) {
        if (strcmp(t->choices[i], value) == 0) {
            *(int *)field(s, t) = i;
            qv_buf_free(&names);
            return QV_OK;
        }
        qv_buf_printf(&names, "%s%s", i ? ", " : "one of ", t->choices[i]);
    }
    qv_status status = bad_value(ctx, t, value, names.failed ? "another name" : names.data);
    qv_buf_free(&names);
    return status;
}

static qv_status set_bool(qv_ctx *ctx, qv_settings *s, const setting *t, const char *value)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(value, yes[i]) == 0) return (*(int *)field(s, t) = 1), QV_OK;
        if (strcmp(value, no[i]) == 0) return (*(int *)field(s, t) = 0), QV_OK;
    }
    return bad_value(ctx, t, value, "yes or no");
}

static qv_status set_seed(qv_ctx *ctx, qv_settings *s, const setting *t, const char *value)
{
    char *end;
    errno = 0;
    unsigned long long x = strtoull(value, &end, 10);
    if (end == value || *end || errno || *value == '-') return bad_value(ctx, t, value, "a whole number from 0 to 2^64 - 1");
    *(uint64_t *)field(s, t) = x;
    return QV_OK;
}

static qv_status set_value(qv_ctx *ctx, qv_settings *s, const setting *t, const char *value)
{
    switch (t->kind) {
    case INT:
    case REAL: return set_number(ctx, s, t, value);
    case TEXT: return set_text(ctx, s, t, value);
    case CHOICE: return set_choice(ctx, s, t, value);
    case BOOL: return set_bool(ctx, s, t, value);
    case SEED: return set_seed(ctx, s, t, value);
    }
    return QV_OK;
}

const char *qv_settings_near(const char *name)
{
    const char *names[2 * SETTINGS];
    for (int i = 0; i < SETTINGS; i++) {
        names[2 * i] = table[i].name;
        names[2 * i + 1] = strchr(table[i].name, '.') + 1;
    }
    const char *best = qv_nearest(name, names, 2 * SETTINGS);
    for (int i = 0; best && i < SETTINGS; i++)
        if (best == names[2 * i + 1]) return table[i].name;
    return best;
}

static const setting *find(const char *name)
{
    for (int i = 0; i < SETTINGS; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

/* "cuda:1": the device, and which. */
static qv_status set_device(qv_ctx *ctx, qv_settings *s, const setting *t, const char *value)
{
    static const char prefix[] = "cuda:";
    const char *which = strncmp(value, prefix, strlen(prefix)) == 0 ? value + strlen(prefix) : NULL;
    qv_status status = set_value(ctx, s, t, which ? "cuda" : value);
    return status == QV_OK && which ? set_value(ctx, s, find("run.gpu"), which) : status;
}

qv_status qv_settings_set(qv_ctx *ctx, qv_settings *s, const char *name, const char *value)
{
    const setting *t = find(name);
    if (t && t->at == offsetof(qv_settings, device)) return set_device(ctx, s, t, value);
    if (t) return set_value(ctx, s, t, value);
    const char *near = qv_settings_near(name);
    if (near) return qv_fail(ctx, QV_ERR_USAGE, "there is no setting %s; did you mean %s?", name, near);
    return qv_fail(ctx, QV_ERR_USAGE, "there is no setting %s; `quaver help settings` lists them", name);
}

qv_status qv_settings_init(qv_ctx *ctx, qv_settings *s)
{
    *s = (qv_settings){0};
    for (int i = 0; i < SETTINGS; i++) {
        qv_status status = set_value(ctx, s, &table[i], table[i].start);
        if (status != QV_OK) {
            qv_settings_free(s);
            return status;
        }
    }
    return QV_OK;
}

void qv_settings_free(qv_settings *s)
{
    for (int i = 0; i < SETTINGS; i++)
        if (table[i].kind == TEXT) free(*(char **)field(s, &table[i]));
    *s = (qv_settings){0};
}

qv_status qv_settings_preset(qv_ctx *ctx, qv_settings *s, const char *name)
{
    if (strcmp(name, "small") == 0) {
        s->width = 16;
        s->blocks = 1;
    } else if (strcmp(name, "reference") == 0) {
        s->width = 32;
        s->blocks = 2;
    } else {
        return qv_fail(ctx, QV_ERR_USAGE, "there is no preset %s; expected small or reference", name);
    }
    s->order = QV_ORDER_PREACT_BN;
    return QV_OK;
}

/* A text of settings, and which it has given so far. */
typedef struct reading {
    qv_settings *s;
    bool given[SETTINGS];
} reading;

static qv_status read_line(qv_ctx *ctx, void *user, const qv_ini_line *l)
{
    reading *r = user;
    char full[192];
    if (!l->key) return QV_OK;
    snprintf(full, sizeof full, "%s%s%.100s", l->section, *l->section ? "." : "", l->key);
    const setting *known = find(full);
    if (known && r->given[known - table]) return qv_fail(ctx, QV_ERR_USAGE, "%s is given twice", full);
    if (known) r->given[known - table] = true;
    if (known && known->kind != TEXT) qv_ini_cut_comment(l->value); /* texts are taken whole: a path may hold " ;" */
    return qv_settings_set(ctx, r->s, full, l->value);
}

qv_status qv_settings_parse(qv_ctx *ctx, qv_settings *s, const char *name, const char *text)
{
    reading r = {.s = s};
    return qv_ini_parse(ctx, name, text, read_line, &r);
}

qv_status qv_settings_read(qv_ctx *ctx, qv_settings *s, const char *path)
{
    char *text = NULL;
    size_t size;
    qv_status status = qv_read_file(ctx, path, (size_t)1 << 20, &text, &size);
    if (status == QV_OK && strlen(text) != size)
        status = qv_fail(ctx, QV_ERR_DATA, "%s holds a NUL byte: not a settings file", path);
    if (status == QV_OK) status = qv_settings_parse(ctx, s, path, text);
    free(text);
    return status;
}

static void print_value(const qv_settings *s, const setting *t, qv_buf *out)
{
    const void *p = field(s, t);
    switch (t->kind) {
    case INT: qv_buf_printf(out, "%d", *(const int *)p); break;
    case REAL: qv_buf_real(out, *(const double *)p); break;
    case TEXT: qv_buf_puts(out, *(char *const *)p); break;
    case CHOICE: qv_buf_puts(out, t->choices[*(const int *)p]); break;
    case BOOL: qv_buf_puts(out, *(const int *)p ? "yes" : "no"); break;
    case SEED: qv_buf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)p); break;
    }
}

/* Starts a section where the name of t is the first of one. */
static void print_section(const setting *t, qv_buf *out)
{
    size_t n = strcspn(t->name, ".");
    if (t > table && strncmp(t[-1].name, t->name, n + 1) == 0) return;
    qv_buf_printf(out, "%s[%.*s]\n", t > table ? "\n" : "", (int)n, t->name);
}

void qv_settings_print(const qv_settings *s, qv_buf *out)
{
    for (int i = 0; i < SETTINGS; i++) {
        print_section(&table[i], out);
        qv_buf_printf(out, "%s = ", strchr(table[i].name, '.') + 1);
        print_value(s, &table[i], out);
        qv_buf_puts(out, "\n");
    }
}

/* A number where JSON's integers hold it. */
static json_t *seed_json(uint64_t seed)
{
    return seed <= INT64_MAX ? json_integer((json_int_t)seed) : json_sprintf("%llu", (unsigned long long)seed);
}

static json_t *value_json(const qv_settings *s, const setting *t)
{
    const void *p = field(s, t);
    switch (t->kind) {
    case INT: return json_integer(*(const int *)p);
    case REAL: return json_real(*(const double *)p);
    case TEXT: return json_string(*(char *const *)p);
    case CHOICE: return json_string(t->choices[*(const int *)p]);
    case BOOL: return json_boolean(*(const int *)p);
    case SEED: return seed_json(*(const uint64_t *)p);
    }
    return NULL;
}

json_t *qv_settings_json(const qv_settings *s)
{
    json_t *all = json_object();
    for (int i = 0; i < SETTINGS; i++) {
        if (json_object_set_new(all, table[i].name, value_json(s, &table[i])) == 0) continue;
        json_decref(all);
        return NULL;
    }
    return all;
}

qv_status qv_settings_changed(qv_ctx *ctx, const qv_settings *s, qv_buf *out)
{
    qv_settings start;
    qv_status status = qv_settings_init(ctx, &start);
    for (int i = 0; status == QV_OK && i < SETTINGS; i++) {
        if (table[i].harmless) continue;
        qv_buf a = {0}, b = {0};
        print_value(&start, &table[i], &a);
        print_value(s, &table[i], &b);
        status = qv_buf_check(ctx, a.failed ? &a : &b);
        if (status == QV_OK && strcmp(a.data, b.data) != 0) qv_buf_printf(out, "%s = %s\n", table[i].name, b.data);
        qv_buf_free(&a);
        qv_buf_free(&b);
    }
    qv_settings_free(&start);
    return status == QV_OK ? qv_buf_check(ctx, out) : status;
}

qv_status qv_settings_defaults(qv_ctx *ctx, qv_buf *out)
{
    qv_settings start;
    qv_status status = qv_settings_init(ctx, &start);
    for (int i = 0; status == QV_OK && i < SETTINGS; i++) {
        if (table[i].harmless) continue;
        qv_buf_printf(out, "%s = ", table[i].name);
        print_value(&start, &table[i], out);
        qv_buf_puts(out, "\n");
    }
    qv_settings_free(&start);
    return status == QV_OK ? qv_buf_check(ctx, out) : status;
}

void qv_settings_help(qv_buf *out)
{
    for (int i = 0; i < SETTINGS; i++) {
        const setting *t = &table[i];
        print_section(t, out);
        qv_buf_printf(out, "  %-16s %s", strchr(t->name, '.') + 1, t->help);
        if (t->kind == INT || t->kind == REAL) qv_buf_printf(out, " (%g to %g)", t->low, t->high);
        for (int k = 0; k < 6 && t->choices[k]; k++) qv_buf_printf(out, "%s%s", k ? "|" : " (", t->choices[k]);
        if (t->choices[0]) qv_buf_puts(out, ")");
        if (*t->start) qv_buf_printf(out, " [%s]", t->start);
        qv_buf_puts(out, "\n");
    }
}

static bool same_value(const qv_settings *a, const qv_settings *b, const setting *t)
{
    const void *x = field(a, t), *y = field(b, t);
    switch (t->kind) {
    case REAL: return *(const double *)x == *(const double *)y;
    case TEXT: return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case SEED: return *(const uint64_t *)x == *(const uint64_t *)y;
    case INT:
    case CHOICE:
    case BOOL: break;
    }
    return *(const int *)x == *(const int *)y;
}

/* In a sentence, where an empty text would be a gap. */
static void tell_value(const qv_settings *s, const setting *t, qv_buf *out)
{
    const size_t before = out->len;
    print_value(s, t, out);
    if (out->len == before) qv_buf_puts(out, "none");
}

const char *qv_settings_differ(const qv_settings *a, const qv_settings *b, const char *section, qv_buf *values)
{
    for (int i = 0; i < SETTINGS; i++) {
        const setting *t = &table[i];
        if (t->harmless || strncmp(t->name, section, strlen(section)) != 0 || same_value(a, b, t)) continue;
        tell_value(a, t, values);
        qv_buf_puts(values, " then, ");
        tell_value(b, t, values);
        qv_buf_puts(values, " now");
        return t->name;
    }
    return NULL;
}

const char *qv_settings_name(size_t i) { return i < SETTINGS ? table[i].name : NULL; }

const char *qv_settings_choice(const qv_settings *s, const char *name)
{
    const setting *t = find(name);
    return t->choices[*(const int *)field(s, t)];
}

const char *qv_settings_isa(const qv_settings *s) { return s->isa ? find("run.isa")->choices[s->isa] : NULL; }
