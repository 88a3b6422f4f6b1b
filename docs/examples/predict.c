/* The emotion of recordings, by the installed library alone.
 *
 *     cc predict.c $(pkg-config --cflags --libs quaver) -o predict
 *     ./predict runs/emodb/fold-1/best.safetensors recording.wav ... */
#include <quaver/quaver.h>
#include <stdio.h>
#include <stdlib.h>

static qv_status predict(qv_ctx *ctx, qv_predictor *p, const char *path, double *probs)
{
    qv_status status = qv_predictor_file(ctx, p, path, probs);
    if (status != QV_OK) return status;
    int best = 0;
    for (int i = 1; i < qv_predictor_classes(p); i++)
        if (probs[i] > probs[best]) best = i;
    printf("%s,%s", path, qv_predictor_class(p, best));
    for (int i = 0; i < qv_predictor_classes(p); i++) printf(",%.6f", probs[i]);
    printf("\n");
    return QV_OK;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: predict CHECKPOINT RECORDING...\n");
        return 2;
    }
    qv_predictor *p = NULL;
    double *probs = NULL;
    qv_ctx *ctx = qv_ctx_new();
    qv_status status = ctx ? qv_predictor_open(ctx, &p, argv[1], 0) : QV_ERR_MEMORY;
    if (status == QV_OK) probs = calloc((size_t)qv_predictor_classes(p), sizeof *probs);
    if (status == QV_OK && !probs) status = QV_ERR_MEMORY;
    for (int i = 2; i < argc && status == QV_OK; i++) status = predict(ctx, p, argv[i], probs);
    if (status != QV_OK) fprintf(stderr, "predict: %s\n", ctx ? qv_ctx_message(ctx) : qv_status_name(status));
    free(probs);
    qv_predictor_close(p);
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : 1;
}
