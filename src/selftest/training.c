/* Fifty steps of a small network with the trainer, against the reference in double.
 *
 * Errors of single steps grow with training, so no bound of a sum holds here. What a device may differ by is measured
 * on the reference: trainings whose weights are moved before every step, at random, by as much as a convolution of that
 * precision may err relative to the magnitudes of its terms (the bound of one op, kept by each of them elsewhere in
 * this test). A device may be off by three times as much as the worst of them has been so far. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "selftest/own.h"
#include "train/trainer.h"

/* With 9 recordings and batches of 8 an epoch is one step, but for every eighth; batches cross epochs. */
enum {
    RECORDINGS = 9,
    BATCH = 8,
    EPOCHS = 44,
    CLASSES = 3,
    MELS = 16,
    FRAMES = 16,
    WIDTH = 4,
    LONGEST = 40,
    MOVED = 4
};

typedef struct corpus {
    qv_features features;
    qv_dataset data;
    qv_utterance utterances[RECORDINGS];
    size_t items[RECORDINGS];
    float norm[2 * MELS], frames[RECORDINGS * LONGEST * MELS];
} corpus;

/* Each class raises a band of its own above the noise. */
static void make_corpus(corpus *c, uint64_t seed)
{
    int at = 0;
    for (int i = 0; i < RECORDINGS; i++) {
        int frames = FRAMES / 2 + (int)(qv_random_next(&seed) % (LONGEST - FRAMES / 2));
        c->utterances[i] = (qv_utterance){at, frames, i % CLASSES, 0, 0};
        c->items[i] = (size_t)i;
        for (int k = 0; k < frames * MELS; k++)
            c->frames[at * MELS + k] = (float)(qv_random_normal(&seed) + (k % MELS / 5 == i % CLASSES ? 1 : 0));
        at += frames;
    }
    for (int m = 0; m < MELS; m++) c->norm[MELS + m] = 1;
    c->features.data = c->frames;
    c->features.frames = at;
    c->features.config.mels = MELS;
    c->features.n = RECORDINGS;
    c->data = (qv_dataset){
        .features = &c->features, .utterances = c->utterances, .n = RECORDINGS, .norm = c->norm, .norms = 1, .rows = 1};
}

/* The user's device and a network of this test's. */
static qv_settings settings_of(const qv_selftest_run *r, qv_device device)
{
    qv_settings s = *r->o->settings; /* borrowed texts */
    s.device = device == QV_DEVICE_REF ? (int)QV_DEVICE_REF : s.device;
    if (device == QV_DEVICE_REF) s.precision = QV_PRECISION_FP32;
    s.mels = MELS;
    s.patch_seconds = FRAMES * s.hop;
    s.order = QV_ORDER_PREACT_BN;
    s.width = WIDTH;
    s.blocks = 1;
    s.batch = BATCH;
    s.epochs = EPOCHS;
    s.seed = r->o->seed;
    return s;
}

/* Adds sign * noise to the weights; noise[parameters] is drawn when it is added and taken away later. */
static qv_status move_weights(qv_ctx *ctx, qv_trainer *t, double relative, uint64_t *random, double *noise, int sign)
{
    const qv_program *p = qv_trainer_net(t)->program;
    size_t at = 0;
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        size_t n = qv_buffer_len(b);
        double *w;
        if (b->role != QV_ROLE_PARAM || !b->decayed || b->alias >= 0) continue;
        qv_status status = qv_alloc(ctx, &w, n, sizeof *w);
        if (status != QV_OK) return status;
        qv_exec_read(qv_trainer_exec(t), (int)i, 0, n, w);
        for (size_t k = 0; k < n; k++) {
            double *e = &noise[at + k];
            if (sign > 0) *e = w[k] * qv_random_uniform(random, -relative, relative);
            w[k] += sign * *e;
        }
        qv_exec_write(qv_trainer_exec(t), (int)i, 0, n, w);
        free(w);
        at += n;
    }
    return QV_OK;
}

/* Mean losses of the epochs; relative > 0: with moved weights, on the reference. */
static qv_status train(qv_selftest_run *r, const corpus *c, qv_device device, double relative, uint64_t random,
                       double losses[EPOCHS])
{
    qv_status status = QV_OK;
    qv_trainer *t = NULL;
    double *noise = NULL;
    qv_settings s = settings_of(r, device);
    qv_trainer_options o = {.items = c->items,
                            .n_items = RECORDINGS,
                            .task = "selftest, training",
                            .pool = r->device.pool,
                            .gpu = r->device.gpu};
    QV_TRY(qv_trainer_new(r->ctx, &t, &s, &c->data, &o, CLASSES));
    QV_TRY(qv_alloc(r->ctx, &noise, (size_t)qv_trainer_net(t)->parameters, sizeof *noise));
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        qv_loss loss = {0};
        if (relative > 0) QV_TRY(move_weights(r->ctx, t, relative, &random, noise, 1));
        QV_TRY(qv_trainer_run(r->ctx, t, (uint64_t)epoch + 1, &loss));
        if (relative > 0) QV_TRY(move_weights(r->ctx, t, relative, &random, noise, -1));
        losses[epoch] = loss.sum / (double)loss.steps;
    }
done:
    free(noise);
    qv_trainer_free(t);
    return status;
}

/* How far a convolution may be off, relative to the magnitudes of its terms: qv_chain of its longest sum (or, with
 * tensor cores, which cut, twice its length), and what its operands and result are rounded to. */
static double convolution_error(const qv_exec_options *d)
{
    const double u = 0x1p-24, terms = 9 * (WIDTH << 2), chain = fmin(terms, 7 * sqrt(terms));
    if (d->device == QV_DEVICE_REF) return 0;
    switch (d->precision) {
    case QV_PRECISION_TF32:
        return 2 * 0x1p-10 + (2 * terms + 4) * u;
    case QV_PRECISION_BF16:
        return 3 * 0x1p-8 + (2 * terms + 4) * u;
    default:
        return (chain + 2) * u;
    }
}

/* allowed[epoch] = 3 times the largest difference of moved trainings up to then. */
static qv_status find_allowed(qv_selftest_run *r, const corpus *c, const double truth[EPOCHS], double allowed[EPOCHS])
{
    double relative = convolution_error(&r->device), losses[EPOCHS];
    for (int i = 0; i < EPOCHS; i++) allowed[i] = 0;
    for (int k = 0; k < MOVED && relative > 0; k++) {
        qv_status status = train(r, c, QV_DEVICE_REF, relative, r->o->seed + (uint64_t)k, losses);
        if (status != QV_OK) return status;
        for (int i = 0; i < EPOCHS; i++) allowed[i] = fmax(allowed[i], 3 * fabs(losses[i] - truth[i]));
    }
    for (int i = 1; i < EPOCHS; i++) allowed[i] = fmax(allowed[i], allowed[i - 1]);
    return QV_OK;
}

static qv_status check_training(qv_selftest_run *r, corpus *c)
{
    qv_status status = QV_OK;
    double truth[EPOCHS], allowed[EPOCHS], losses[EPOCHS], again[EPOCHS];
    make_corpus(c, r->o->seed);
    qv_selftest_begin(r, "training", "50 steps");
    QV_TRY(train(r, c, QV_DEVICE_REF, 0, 0, truth));
    QV_TRY(find_allowed(r, c, truth, allowed));
    QV_TRY(train(r, c, r->device.device, 0, 0, losses));
    QV_TRY(train(r, c, r->device.device, 0, 0, again));
    for (int i = 0; i < EPOCHS; i++) {
        char what[64];
        double error = fabs(losses[i] - truth[i]), share = error == 0 ? 0 : error / allowed[i];
        qv_verdict v = {1,          (size_t) !(error <= allowed[i]), 0, (size_t)i, losses[i], truth[i],
                        allowed[i], isnan(share) ? INFINITY : share};
        snprintf(what, sizeof what, "loss of epoch %d of %d", i + 1, EPOCHS);
        qv_selftest_add(r, &(qv_case){.index = (size_t)i, .what = what, .verdict = v});
    }
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): bits are what is asked for */
    if (memcmp(losses, again, sizeof losses) != 0)
        qv_selftest_complain(r, "the same training twice gives other losses");
    qv_selftest_end(r);
done:
    return status;
}

qv_status qv_selftest_training(qv_selftest_run *r)
{
    corpus *c;
    qv_status status = qv_alloc(r->ctx, &c, 1, sizeof *c);
    if (status == QV_OK) status = qv_selftest_outlive(r, check_training(r, c));
    free(c);
    return status;
}
