/* What one row of a batch shows of a recording or an image: from where, how fast, over which bands, what is masked.
 *
 * Another voice is another row of the normalization (train/dataset.h).
 *
 * All of it is drawn and followed in integers (positions in 2^-16 of a frame or band), so that every backend
 * shows the same values of the feature matrix; only the arithmetic on them is the backend's. Frames and bands
 * are repeated or left out, never averaged: averages of neighbours are smoother than any recording, and a
 * network trained on them fails on recordings. Plain C11, C++ and CUDA. */
#ifndef QV_KERNELS_PATCH_H
#define QV_KERNELS_PATCH_H

#include "base/philox.h"
#include "kernels/op.h"

enum { QV_ONE = 1 << 16 };

/* A run of frames or bands of the patch that holds zeros. */
typedef struct qv_span {
    int32_t begin, end;
} qv_span;

typedef struct qv_patch {
    int64_t first_frame; /* of the recording, in the feature matrix */
    int32_t frames;      /* of the recording; 0: padding, all zeros */
    int32_t norm, label;
    int64_t start;          /* where the patch begins, 2^-16 frames */
    int32_t step, mel_step; /* from frame to frame and from band to band, 2^-16 */
    float gain;             /* added to every value before the normalization */
    int32_t bounded;        /* 1: what lies before and behind the recording is zeros, not the recording again */
    int32_t mel_shift;      /* band m shows band m + this, or zeros where there is none */
    int32_t flip;           /* 1: of these the last comes first */
    qv_span time[QV_MASKS], mel[QV_MASKS];
} qv_patch;

/* Row `n` of the whole batch: what it is in the run of epochs. */
typedef struct qv_row {
    uint64_t epoch, position;
} qv_row;

static inline QV_HD qv_row qv_row_at(const qv_step_state *s, uint32_t n)
{
    const uint64_t row = s->step * s->batch + n;
    qv_row r = {row / s->set_size, row % s->set_size};
    return r;
}

static inline QV_HD qv_philox4 qv_row_draw(const qv_step_state *s, const qv_row *r, qv_purpose purpose, uint32_t which)
{
    const uint32_t counter[4] = {(uint32_t)s->step, (uint32_t)r->position, (uint32_t)purpose << 24 | which,
                                 (uint32_t)r->epoch};
    return qv_philox(counter, s->key);
}

/* One of the whole numbers 0 to most, most < 2^40, each as likely as 24 bits can tell. */
static inline QV_HD uint64_t qv_whole(uint32_t draw, uint64_t most)
{
    return ((uint64_t)(draw >> 8) * (most + 1)) >> 24;
}

/* 1 - range to 1 + range, all in 2^-16. */
static inline QV_HD int32_t qv_about_one(uint32_t draw, int32_t range)
{
    return QV_ONE - range + (int32_t)qv_whole(draw, 2 * (uint64_t)range);
}

static inline QV_HD qv_span qv_span_of(uint32_t width_draw, uint32_t place_draw, int32_t widest, int32_t size)
{
    const int32_t width = (int32_t)qv_whole(width_draw, (uint64_t)(widest < size ? widest : size));
    qv_span m = {(int32_t)qv_whole(place_draw, (uint64_t)(size - width)), 0};
    m.end = m.begin + width;
    return m;
}

static inline QV_HD qv_patch qv_patch_at(const qv_utterance *u, int64_t start)
{
    qv_patch v = {u->first_frame, u->frames, u->norm, u->label, start * QV_ONE, QV_ONE, QV_ONE, 0, 0, 0, 0, {{0, 0}}, {{0, 0}}};
    return v;
}

/* An evaluation window. */
static inline QV_HD qv_patch qv_patch_given(const qv_utterance *utts, qv_window w)
{
    if (w.utterance >= 0) return qv_patch_at(&utts[w.utterance], w.start);
    const qv_utterance nothing = {0, 0, -1, 0, 0};
    return qv_patch_at(&nothing, 0);
}

/* Row n of the whole batch as the sampler draws it, for patches of frames x mels. */
static inline QV_HD qv_patch qv_patch_drawn(const qv_step_state *s, const qv_utterance *utts, const int32_t *order,
                                            const qv_gather_attr *a, uint32_t n, int32_t frames, int32_t mels)
{
    const qv_row row = qv_row_at(s, n);
    const qv_utterance *u = &utts[order[row.epoch % 2 * s->set_size + row.position]];
    const qv_philox4 crop = qv_row_draw(s, &row, QV_DRAW_CROP, 0);
    qv_patch v = qv_patch_at(u, 0);
    if (a->speed > 0 || a->warp > 0 || a->gain > 0) {
        const qv_philox4 d = qv_row_draw(s, &row, QV_DRAW_AUGMENT, 0);
        v.step = qv_about_one(d.v[0], a->speed);
        v.mel_step = qv_about_one(d.v[1], a->warp);
        v.gain = a->gain * (2 * qv_uniform(d.v[2]) - 1);
    }
    if (a->voices > 0) v.norm = u->voices + (int32_t)qv_whole(crop.v[1], (uint64_t)a->voices - 1);
    /* Whole frames at the recording's own speed, where any other start would show the same frames. */
    const int64_t unit = a->speed > 0 ? 1 : QV_ONE,
                  spare = ((int64_t)u->frames * QV_ONE - (int64_t)frames * v.step) / unit;
    if (spare > 0) v.start = (int64_t)qv_whole(crop.v[0], (uint64_t)spare) * unit;
    if (a->pad > 0 || a->flip > 0) {
        const qv_philox4 d = qv_row_draw(s, &row, QV_DRAW_AUGMENT, 1);
        v.start += ((int64_t)qv_whole(d.v[0], 2 * (uint64_t)a->pad) - a->pad) * QV_ONE;
        v.mel_shift = (int32_t)qv_whole(d.v[1], 2 * (uint64_t)a->pad) - a->pad;
        v.bounded = a->pad > 0;
        v.flip = a->flip > 0 && d.v[2] >> 31;
    }
    for (int32_t i = 0; i < QV_MASKS; i++) {
        if (i >= a->time_masks && i >= a->mel_masks) continue;
        const qv_philox4 d = qv_row_draw(s, &row, QV_DRAW_MASK, (uint32_t)i);
        if (i < a->time_masks) v.time[i] = qv_span_of(d.v[0], d.v[1], a->time_width, frames);
        if (i < a->mel_masks) v.mel[i] = qv_span_of(d.v[2], d.v[3], a->mel_width, mels);
    }
    return v;
}

/* Mixup: the row that row n is mixed with, and n's own share of the mixture (quantiles: qv_gather_attr). */
static inline QV_HD uint32_t qv_mix_partner(const qv_step_state *s, uint32_t n) { return s->batch - 1 - n; }

static inline QV_HD float qv_mix_share(const qv_step_state *s, uint32_t n, const float *quantiles)
{
    const qv_row row = qv_row_at(s, n);
    return quantiles[qv_row_draw(s, &row, QV_DRAW_MIX, 0).v[0] >> 20];
}

/* Row of the feature matrix that frame t of the patch shows, unless it is blank. Past the end the recording begins
 * again. */
static inline QV_HD uint64_t qv_patch_frame(const qv_patch *v, int32_t t)
{
    const uint32_t at = (uint32_t)((uint64_t)(v->start + (int64_t)t * v->step + QV_ONE / 2) >> 16);
    return (uint64_t)v->first_frame + at % (uint32_t)v->frames;
}

/* Band that band m of the patch shows, -1: none. The last one stands for those above. */
static inline QV_HD int32_t qv_patch_mel(const qv_patch *v, int32_t m, int32_t mels)
{
    const int64_t at = ((int64_t)m * v->mel_step + QV_ONE / 2) >> 16;
    const int32_t band = at < mels ? (int32_t)at : mels - 1, moved = (v->flip ? mels - 1 - band : band) + v->mel_shift;
    return moved >= 0 && moved < mels ? moved : -1;
}

/* The same of the values of a frame, of which each band has `channels` side by side. */
static inline QV_HD int32_t qv_patch_value(const qv_patch *v, int32_t i, int32_t mels, int32_t channels)
{
    const int32_t m = channels == 1 ? i : i / channels, band = qv_patch_mel(v, m, mels);
    return band < 0 ? -1 : band * channels + (i - m * channels);
}

/* Every value in its place: nothing warps, moves or mirrors the bands. */
static inline QV_HD int qv_patch_straight(const qv_patch *v)
{
    return v->mel_step == QV_ONE && v->mel_shift == 0 && !v->flip;
}

static inline QV_HD int qv_in_spans(const qv_span masks[QV_MASKS], int32_t at)
{
    for (int i = 0; i < QV_MASKS; i++)
        if (at >= masks[i].begin && at < masks[i].end) return 1;
    return 0;
}

/* Does frame t of the patch show nothing? */
static inline QV_HD int qv_patch_blank(const qv_patch *v, int32_t t)
{
    if (v->frames == 0 || qv_in_spans(v->time, t)) return 1;
    const int64_t at = v->start + (int64_t)t * v->step + QV_ONE / 2;
    return v->bounded && (at < 0 || at >= (int64_t)v->frames * QV_ONE);
}

#endif
