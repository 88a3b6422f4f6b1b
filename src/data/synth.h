/* The embedded corpus: speech made by a source and filters, for the demo, tests and trying things out.
 *
 * Four emotions (anger, happiness, neutral, sadness) differ in level and range of pitch, contour, tempo, intensity,
 * spectral tilt and jitter. Speakers differ in all of these too, and in how strongly they show what they feel, so
 * that unknown speakers are neither guessed nor known. Two genders take turns.
 *
 * Files are the same to the bit on every machine: only sums, products, quotients and roots, which IEEE 754 rounds
 * in one way, and no function of the C library that may differ in its last bit. */
#ifndef QV_DATA_SYNTH_H
#define QV_DATA_SYNTH_H

#include "base/status.h"

enum { QV_SYNTH_RATE = 16000, QV_SYNTH_EMOTIONS = 4, QV_SYNTH_MAX = 99 };

typedef struct qv_synth_options {
    int speakers, sentences; /* 2..QV_SYNTH_MAX, 1..QV_SYNTH_MAX (8, 8) */
    uint64_t seed;           /* (1) */
    bool force;              /* also where dir holds a manifest.csv */
} qv_synth_options;
qv_synth_options qv_synth_defaults(void);

/* Writes DIR/wav/sSS_EMOTION_TT.wav (16 kHz, 16 bit, mono) for every speaker, emotion and sentence, then
 * DIR/manifest.csv with file, speaker, emotion, gender, corpus and sentence. A recording does not depend on how many
 * others are made. QV_ERR_USAGE for numbers out of range, and where a manifest.csv is there already. */
qv_status qv_synth_corpus(qv_ctx *ctx, const char *dir, const qv_synth_options *options);

/* One recording: n samples, released with free(). speaker and sentence count from 0, emotion is an index of
 * qv_synth_emotions. */
qv_status qv_synth_wave(qv_ctx *ctx, uint64_t seed, int speaker, int emotion, int sentence, int16_t **samples,
                        size_t *n);

extern const char *const qv_synth_emotions[QV_SYNTH_EMOTIONS];
/* "male" or "female". */
const char *qv_synth_gender(int speaker);

#endif
