/* Log-mel frames of ten minutes of synthetic speech-like audio at 16 kHz, on one core: 25 ms
 * windows every 10 ms, 512 points, 64 mels, logarithm; as bench/peers/features.py has the other
 * libraries do. Prints milliseconds (least and median of the rounds) and times real time; time is
 * that of the processor, so that a busy machine does not distort it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"
#include "data/extractor.h"
#include "figure.h"

enum { RATE = 16000, SECONDS = 600, SAMPLES = RATE * SECONDS, ROUNDS = 15 };

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void synthesize(float *x)
{
    uint32_t noise = 1;
    for (int i = 0; i < SAMPLES; i++) {
        noise = noise * 1664525u + 1013904223u;
        float phase = (float)(i % 128) / 128; /* 125 Hz */
        x[i] = 0.3f * (phase - 0.5f) + 1e-11f * (float)(int32_t)noise;
    }
}

static void print_row(const char *what, double *seconds)
{
    qsort(seconds, ROUNDS, sizeof *seconds, ascending);
    printf("{\"bench\": \"features\", \"what\": \"%s\", \"ms_min\": %.2f, \"ms_median\": %.2f, "
           "\"x_real_time\": %s}\n",
           what, 1e3 * seconds[0], 1e3 * seconds[ROUNDS / 2], qv_figure_of("%.0f", SECONDS / seconds[ROUNDS / 2]).text);
}

int main(void)
{
    int failed = 1;
    qv_feature_config c = qv_feature_defaults();
    c.hop = 0.010;
    qv_extractor *e = NULL;
    float *samples = NULL, *mel = NULL;
    double run[ROUNDS], trim[ROUNDS];
    qv_ctx *ctx = qv_bench_ctx();
    if (!ctx || qv_extractor_new(ctx, &e, &c) != QV_OK) goto done;
    size_t frames = (size_t)qv_extractor_frames(e, SAMPLES), begin, end;
    if (qv_alloc(ctx, &samples, SAMPLES, sizeof *samples) != QV_OK) goto done;
    if (qv_alloc(ctx, &mel, frames * (size_t)c.mels, sizeof *mel) != QV_OK) goto done;
    synthesize(samples);
    for (int r = -1; r < ROUNDS; r++) {
        double t0 = processor_seconds();
        qv_extractor_run(e, samples, SAMPLES, mel, true);
        double t1 = processor_seconds();
        qv_extractor_trim(e, samples, SAMPLES, &begin, &end);
        if (r >= 0) run[r] = t1 - t0, trim[r] = processor_seconds() - t1;
    }
    print_row("log-mel", run);
    print_row("trim", trim);
    failed = 0;
done:
    if (failed) fprintf(stderr, "bench_features: %s\n", ctx ? qv_ctx_message(ctx) : "no memory");
    free(samples);
    free(mel);
    qv_extractor_free(e);
    qv_ctx_free(ctx);
    return failed;
}
