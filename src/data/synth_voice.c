/* A glottal pulse train through four formants, driven by tracks that change every 5 ms. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "data/synth.h"

/* a * b + c must be two roundings everywhere; GCC keeps to that in ISO mode by itself. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum { FRAME = 80, FORMANTS = 4, MAX_SYLLABLES = 8, MAX_FRAMES = 1200, VOWELS = 6 };

const char *const qv_synth_emotions[QV_SYNTH_EMOTIONS] = {"anger", "happiness", "neutral", "sadness"};

const char *qv_synth_gender(int speaker) { return speaker % 2 ? "male" : "female"; }

/* ---- numbers that are the same everywhere ---- */

/* 2^x: Taylor on [-1/2, 1/2], about 1e-9 off. */
static double exp2_same(double x)
{
    static const double c[] = {1,
                               0.693147180559945309,
                               0.240226506959100712,
                               0.0555041086648215800,
                               0.00961812910762847716,
                               0.00133335581464284434,
                               0.000154035303933816100,
                               0.0000152527338040598403};
    double whole = floor(x + 0.5), f = x - whole, y = 0;
    for (int i = 7; i >= 0; i--) y = y * f + c[i];
    return ldexp(y, (int)whole);
}

/* cos(2 pi x): Taylor on [-1/2, 1/2], about 1e-6 off at its ends. */
static double cos_turns(double x)
{
    double t = (x - floor(x + 0.5)) * 6.28318530717958648, s = t * t, y = 0;
    for (int k = 9; k >= 1; k--) y = (1 + y) * (-s / ((2.0 * k - 1) * (2.0 * k)));
    return 1 + y;
}

static double decibels(double db) { return exp2_same(db * 0.166096404744368117); }

/* A sequence of its own for each purpose: drawing more for one changes nothing in another. */
typedef struct dice {
    uint32_t key[2], counter[4];
    qv_philox4 block;
    int left;
} dice;

enum { OF_SPEAKER = 1, OF_STYLE, OF_SENTENCE, OF_TAKE, OF_NOISE };

static dice new_dice(uint64_t seed, int purpose, int speaker, int emotion, int sentence)
{
    uint32_t who = (uint32_t)speaker << 16 | (uint32_t)emotion << 8 | (uint32_t)sentence;
    dice d = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32)}, .counter = {0, who, (uint32_t)purpose, 0x73796e74u}};
    return d;
}

/* Uniform in [-1, 1). */
static double roll(dice *d)
{
    if (d->left == 0) {
        d->block = qv_philox(d->counter, d->key);
        d->counter[0]++;
        d->left = 4;
    }
    return 2.0 * (double)qv_uniform(d->block.v[--d->left]) - 1.0;
}

/* About normal with this standard deviation, within 3 of them. */
static double spread(dice *d, double deviation)
{
    double sum = 0;
    for (int i = 0; i < 3; i++) sum += roll(d);
    return deviation * sum;
}

static int choose(dice *d, int n)
{
    int i = (int)((roll(d) + 1) * 0.5 * n);
    return i < n ? i : n - 1;
}

/* ---- who speaks, and how ---- */

/* How something is said. Pitch and tempo in octaves, so that shifts add. */
typedef struct manner {
    double pitch;  /* log2 Hz */
    double range;  /* octaves of an accent */
    double slope;  /* octaves from the first to the last syllable */
    double ending; /* octaves on the last syllable */
    double tempo;  /* log2 of the speed */
    double level;  /* dB */
    double bright; /* log2 of the source's bandwidth */
    double jitter; /* of a period, relative */
    double breath; /* noise in the source, relative */
    double tract;  /* log2 of the formants' scale: a smile makes the vocal tract shorter */
} manner;

/* What each emotion adds to a speaker's own manner. */
static const manner emotion_shift[QV_SYNTH_EMOTIONS] = {
    {.pitch = 0.30,
     .range = 0.14,
     .slope = -0.06,
     .ending = -0.12,
     .tempo = 0.18,
     .level = 6.0,
     .bright = 1.0,
     .jitter = 0.006,
     .breath = 0.00,
     .tract = 0.02},
    {.pitch = 0.42,
     .range = 0.26,
     .slope = 0.08,
     .ending = 0.20,
     .tempo = 0.06,
     .level = 2.5,
     .bright = 0.2,
     .jitter = 0.001,
     .breath = 0.00,
     .tract = 0.09},
    {.pitch = 0},
    {.pitch = -0.08,
     .range = -0.10,
     .slope = -0.10,
     .ending = -0.04,
     .tempo = -0.24,
     .level = -5.0,
     .bright = -0.8,
     .jitter = 0.004,
     .breath = 0.06,
     .tract = -0.04},
};

typedef struct speaker_traits {
    manner own;
    double show;  /* how strongly emotions are shown */
    double floor; /* dB of the room's noise under full scale */
} speaker_traits;

static speaker_traits make_speaker(uint64_t seed, int speaker)
{
    dice d = new_dice(seed, OF_SPEAKER, speaker, 0, 0);
    bool male = speaker % 2;
    speaker_traits t;
    t.own.pitch = (male ? 6.80 : 7.66) + 0.26 * roll(&d); /* 93..133 Hz, 169..242 Hz */
    t.own.range = 0.20 + 0.07 * roll(&d);
    t.own.slope = -0.10 + 0.06 * roll(&d);
    t.own.ending = -0.06 + 0.06 * roll(&d);
    t.own.tempo = 0.16 * roll(&d);
    t.own.level = 3.0 * roll(&d);
    t.own.bright = 0.45 * roll(&d);
    t.own.jitter = 0.006 + 0.004 * roll(&d);
    t.own.breath = 0.06 + 0.05 * roll(&d);
    t.own.tract = (male ? 0.0 : 0.21) + 0.10 * roll(&d);
    t.show = 1.15 + 0.30 * roll(&d);
    t.floor = -62.0 + 6.0 * roll(&d);
    return t;
}

static void add_scaled(manner *m, const manner *shift, double by)
{
    m->pitch += by * shift->pitch;
    m->range += by * shift->range;
    m->slope += by * shift->slope;
    m->ending += by * shift->ending;
    m->tempo += by * shift->tempo;
    m->level += by * shift->level;
    m->bright += by * shift->bright;
    m->jitter += by * shift->jitter;
    m->breath += by * shift->breath;
    m->tract += by * shift->tract;
}

static void scatter(manner *m, dice *d, double by)
{
    m->pitch += spread(d, 0.11 * by);
    m->range += spread(d, 0.06 * by);
    m->slope += spread(d, 0.06 * by);
    m->ending += spread(d, 0.08 * by);
    m->tempo += spread(d, 0.09 * by);
    m->level += spread(d, 2.2 * by);
    m->bright += spread(d, 0.32 * by);
    m->jitter += spread(d, 0.002 * by);
    m->breath += spread(d, 0.02 * by);
    m->tract += spread(d, 0.03 * by);
}

static double at_least(double x, double low) { return x < low ? low : x; }

/* Speaker, emotion, this speaker's way of showing it, and chance. */
static manner make_manner(uint64_t seed, const speaker_traits *t, int speaker, int emotion, int sentence)
{
    manner m = t->own;
    dice style = new_dice(seed, OF_STYLE, speaker, emotion, 0),
         take = new_dice(seed, OF_TAKE, speaker, emotion, sentence);
    add_scaled(&m, &emotion_shift[emotion], t->show * (1 + spread(&take, 0.12)));
    scatter(&m, &style, 0.4);
    scatter(&m, &take, 0.4);
    m.range = at_least(m.range, 0.02);
    m.jitter = at_least(m.jitter, 0.001);
    m.breath = at_least(m.breath, 0.005);
    return m;
}

/* ---- what is said ---- */

typedef enum onset { ONSET_NONE, ONSET_STOP, ONSET_FRICATIVE, ONSET_NASAL, ONSET_GLIDE, ONSETS } onset;

typedef struct syllable {
    onset onset;
    int vowel, place; /* place: the vowel a glide comes from, or how high a noise lies */
    bool accent;
    double onset_ms, vowel_ms;
} syllable;

static const double vowel_hz[VOWELS][FORMANTS] = {
    {730, 1090, 2440, 3400}, {530, 1840, 2480, 3500}, {270, 2290, 3010, 3600},
    {570, 840, 2410, 3300},  {300, 870, 2240, 3300},  {490, 1350, 1690, 3300},
};
static const double nasal_hz[FORMANTS] = {250, 1200, 2300, 3300};
static const double bandwidth_hz[FORMANTS] = {80, 100, 140, 200};

static int make_sentence(uint64_t seed, int sentence, syllable *s)
{
    dice d = new_dice(seed, OF_SENTENCE, 0, 0, sentence);
    static const double onset_ms[ONSETS] = {0, 85, 95, 65, 60};
    int n = 5 + choose(&d, 3), accent = choose(&d, 2);
    for (int i = 0; i < n; i++) {
        s[i].onset = (onset)choose(&d, ONSETS);
        s[i].vowel = choose(&d, VOWELS);
        s[i].place = choose(&d, VOWELS);
        s[i].accent = i % 2 == accent;
        s[i].onset_ms = onset_ms[s[i].onset];
        s[i].vowel_ms = (s[i].accent ? 150 : 105) * (1 + 0.15 * roll(&d)) * (i == n - 1 ? 1.35 : 1);
    }
    return n;
}

/* ---- tracks: one value every 5 ms ---- */

typedef struct frame {
    double pitch;        /* log2 Hz */
    double voice, noise; /* amplitudes */
    double noise_hz;
    double formant[FORMANTS];
} frame;

typedef struct tracks {
    frame frames[MAX_FRAMES];
    int n;
} tracks;

static void add_frames(tracks *t, int count, const frame *f)
{
    for (int i = 0; i < count && t->n < MAX_FRAMES; i++) t->frames[t->n++] = *f;
}

static int frames_of(double ms, double tempo)
{
    int n = (int)(ms * exp2_same(-tempo) / 5.0 + 0.5);
    return n > 1 ? n : 1;
}

static void add_onset(tracks *t, const syllable *s, const manner *m, frame f)
{
    int n = frames_of(s->onset_ms, m->tempo);
    const double *hz = s->onset == ONSET_NASAL ? nasal_hz : vowel_hz[s->place];
    f.noise_hz = 2200 + 700 * s->place;
    switch (s->onset) {
    case ONSET_STOP:
        f.voice = 0;
        add_frames(t, n - 2, &f);
        f.noise = 0.5;
        add_frames(t, 2, &f);
        break;
    case ONSET_FRICATIVE:
        f.voice = s->place % 2 ? 0.15 : 0;
        f.noise = 0.35;
        add_frames(t, n, &f);
        break;
    case ONSET_NASAL:
    case ONSET_GLIDE:
        f.voice = 0.5;
        memcpy(f.formant, hz, sizeof f.formant);
        add_frames(t, n, &f);
        break;
    default:
        break;
    }
}

static void add_pause(tracks *t, dice *d, frame f)
{
    f.voice = 0;
    add_frames(t, 12 + choose(d, 16), &f);
}

/* A one-pole filter over each track, so that nothing jumps. */
static void smooth(tracks *t, double formant_scale)
{
    for (int i = 0; i < t->n; i++) {
        frame *f = &t->frames[i], *last = &t->frames[i ? i - 1 : 0];
        for (int k = 0; k < FORMANTS; k++) {
            f->formant[k] *= formant_scale;
            if (i) f->formant[k] = last->formant[k] + 0.28 * (f->formant[k] - last->formant[k]);
        }
        if (i == 0) continue;
        f->pitch = last->pitch + 0.18 * (f->pitch - last->pitch);
        f->voice = last->voice + 0.35 * (f->voice - last->voice);
        f->noise = last->noise + 0.50 * (f->noise - last->noise);
    }
}

static void make_tracks(tracks *t, const manner *m, const syllable *s, int n, dice *d)
{
    frame f = {.pitch = m->pitch, .noise_hz = 3000};
    t->n = 0;
    memcpy(f.formant, vowel_hz[s[0].vowel], sizeof f.formant);
    add_pause(t, d, f);
    for (int i = 0; i < n; i++) {
        double along = n > 1 ? (double)i / (n - 1) - 0.5 : 0;
        f.pitch = m->pitch + m->slope * along + (s[i].accent ? m->range : -0.3 * m->range) + spread(d, 0.02);
        if (i == n - 1) f.pitch += m->ending;
        add_onset(t, &s[i], m, f);
        f.voice = s[i].accent ? 1.0 : 0.7;
        memcpy(f.formant, vowel_hz[s[i].vowel], sizeof f.formant);
        add_frames(t, frames_of(s[i].vowel_ms, m->tempo), &f);
    }
    add_pause(t, d, f);
    smooth(t, exp2_same(m->tract));
}

/* ---- sound ---- */

typedef struct resonator {
    double a, b, c, y1, y2;
} resonator;

/* Unit gain at 0 Hz (Klatt 1980). */
static void tune(resonator *r, double hz, double width)
{
    const double rate = QV_SYNTH_RATE;
    double radius = exp2_same(-4.53236014182719381 * width / rate); /* exp(-pi width / rate) */
    if (hz > 7600) hz = 7600;
    r->c = -radius * radius;
    r->b = 2 * radius * cos_turns(hz / rate);
    r->a = 1 - r->b - r->c;
}

static double resonate(resonator *r, double x)
{
    double y = r->a * x + r->b * r->y1 + r->c * r->y2;
    r->y2 = r->y1;
    r->y1 = y;
    return y;
}

typedef struct voice {
    resonator formant[FORMANTS], hiss;
    double phase, period, strength; /* of the glottal cycle at hand */
    double tilt, shape;             /* state and coefficient of the source's low-pass */
    dice noise, cycle;
} voice;

/* Derivative of the flow through the glottis: open for 60 % of the cycle, 2t - 3t^2, then shut (Klatt, Klatt 1990). */
static double source(voice *v, const manner *m, double hz)
{
    v->phase += hz / (QV_SYNTH_RATE * v->period);
    if (v->phase >= 1) {
        v->phase -= 1;
        v->period = 1 + spread(&v->cycle, m->jitter);
        v->strength = 1 + spread(&v->cycle, 3 * m->jitter);
    }
    double t = v->phase * (1 / 0.6), breath = m->breath * roll(&v->noise);
    double x = t < 1 ? v->strength * (2 * t - 3 * t * t) + breath : 0.3 * breath;
    v->tilt += v->shape * (x - v->tilt);
    return v->tilt;
}

static void render_frame(voice *v, const manner *m, const frame *f, double *out)
{
    double hz = exp2_same(f->pitch);
    for (int k = 0; k < FORMANTS; k++) tune(&v->formant[k], f->formant[k], bandwidth_hz[k]);
    tune(&v->hiss, f->noise_hz, 900);
    for (int i = 0; i < FRAME; i++) {
        double x = f->voice * source(v, m, hz);
        for (int k = 0; k < FORMANTS; k++) x = resonate(&v->formant[k], x);
        out[i] = x + 0.4 * resonate(&v->hiss, f->noise * roll(&v->noise));
    }
}

/* To the wanted level over the whole recording, lower where a peak would not fit, in 16 bits. */
static void quantize(const double *x, size_t n, double level, double floor_db, dice *noise, int16_t *out)
{
    double sum = 0, peak = 0, room = decibels(floor_db);
    for (size_t i = 0; i < n; i++) {
        double a = x[i] < 0 ? -x[i] : x[i];
        sum += x[i] * x[i];
        if (a > peak) peak = a;
    }
    double gain = decibels(level) / sqrt(sum / (double)n);
    if (gain * peak > 0.95) gain = 0.95 / peak;
    for (size_t i = 0; i < n; i++) {
        out[i] = (int16_t)floor((gain * x[i] + room * roll(noise)) * 32767.0 + 0.5);
    }
}

qv_status qv_synth_wave(qv_ctx *ctx, uint64_t seed, int speaker, int emotion, int sentence, int16_t **samples,
                        size_t *n)
{
    qv_status status = QV_OK;
    tracks *t = NULL;
    double *x = NULL;
    syllable said[MAX_SYLLABLES];
    speaker_traits who = make_speaker(seed, speaker);
    manner how = make_manner(seed, &who, speaker, emotion, sentence);
    voice v = {.period = 1, .strength = 1, .shape = at_least(exp2_same(how.bright - 1.6), 0.02)};
    v.noise = new_dice(seed, OF_NOISE, speaker, emotion, sentence);
    v.cycle = new_dice(seed, OF_NOISE + 1, speaker, emotion, sentence);
    if (v.shape > 0.95) v.shape = 0.95;
    *samples = NULL;
    QV_TRY(qv_alloc(ctx, &t, 1, sizeof *t));
    int syllables = make_sentence(seed, sentence, said);
    make_tracks(t, &how, said, syllables, &v.cycle);
    *n = (size_t)t->n * FRAME;
    QV_TRY(qv_alloc(ctx, &x, *n, sizeof *x));
    QV_TRY(qv_alloc(ctx, samples, *n, sizeof **samples));
    for (int i = 0; i < t->n; i++) render_frame(&v, &how, &t->frames[i], x + (size_t)i * FRAME);
    quantize(x, *n, -24.0 + how.level, who.floor, &v.noise, *samples);
done:
    free(t);
    free(x);
    return status;
}
