/* The emotion of every piece of a stream: 16-bit samples on standard input, at the checkpoint's rate, one channel.
 *
 *     cc pieces.c $(pkg-config --cflags --libs quaver) -o pieces
 *     sox call.wav -t raw -e signed -b 16 -c 1 -r 16000 - | ./pieces best.safetensors 2
 *
 * A recording of a voice for which `quaver stats` has written statistics: qv_predictor_open_speaker. */
#include <quaver/quaver.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static qv_status pieces(qv_ctx *ctx, qv_predictor *p, size_t size, int16_t *raw, float *samples, double *probs)
{
    double at = 0, rate = qv_predictor_rate(p);
    for (size_t n; (n = fread(raw, sizeof *raw, size, stdin)) > 0; at += (double)n / rate) {
        int silent = 1, best = 0;
        for (size_t i = 0; i < n; i++) {
            samples[i] = (float)raw[i] / 32768;
            if (raw[i]) silent = 0;
        }
        if (silent) continue; /* nothing to judge */
        qv_status status = qv_predictor_samples(ctx, p, samples, n, probs);
        if (status != QV_OK) return status;
        for (int i = 1; i < qv_predictor_classes(p); i++)
            if (probs[i] > probs[best]) best = i;
        printf("%.2f,%s,%.6f\n", at, qv_predictor_class(p, best), probs[best]);
        fflush(stdout);
    }
    return QV_OK;
}

int main(int argc, char **argv)
{
    double seconds = argc == 3 ? atof(argv[2]) : 0;
    if (!(seconds >= 0.1 && seconds <= 600)) {
        fprintf(stderr, "usage: pieces CHECKPOINT SECONDS\n");
        return 2;
    }
    qv_predictor *p = NULL;
    qv_ctx *ctx = qv_ctx_new();
    qv_status status = ctx ? qv_predictor_open(ctx, &p, argv[1], 0) : QV_ERR_MEMORY;
    if (status == QV_OK) {
        size_t size = (size_t)(seconds * qv_predictor_rate(p));
        int16_t *raw = malloc(size * sizeof *raw);
        float *samples = malloc(size * sizeof *samples);
        double *probs = malloc((size_t)qv_predictor_classes(p) * sizeof *probs);
        status = raw && samples && probs ? pieces(ctx, p, size, raw, samples, probs) : QV_ERR_MEMORY;
        free(raw);
        free(samples);
        free(probs);
    }
    if (status != QV_OK) fprintf(stderr, "pieces: %s\n", ctx ? qv_ctx_message(ctx) : qv_status_name(status));
    qv_predictor_close(p);
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : 1;
}
