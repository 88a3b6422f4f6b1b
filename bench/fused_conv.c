#include "fused_conv.h"

#include <stdio.h>
#include <stdlib.h>

#include "fused_graph.h"

enum { MOST_PLANS = 16 };

struct fused_dnn {
    cudnnHandle_t handle;
    qv_dnn_options options;
};

struct fused_plan {
    fused_key key;
    qv_dnn_engine engine;
    char name[64];
};

qv_status fused_open(qv_ctx *ctx, fused_dnn **out, const qv_dnn_options *o)
{
    *out = NULL;
    fused_dnn *d;
    qv_status status = qv_alloc(ctx, &d, 1, sizeof *d);
    if (status != QV_OK) return status;
    d->options = *o;
    const cudnnStatus_t s = cudnnCreate(&d->handle);
    if (s == CUDNN_STATUS_SUCCESS) return (*out = d, QV_OK);
    free(d);
    return qv_cudnn_failed(ctx, s, "cudnnCreate", "the current device");
}

void fused_close(fused_dnn *d)
{
    if (!d) return;
    cudnnDestroy(d->handle);
    free(d);
}

qv_status fused_plans(qv_ctx *ctx, fused_dnn *d, const fused_key *key, fused_plan **plans, int most, int *n)
{
    qv_status status = QV_OK;
    const qv_dnn_target target = {.handle = d->handle};
    qv_dnn_engine engines[MOST_PLANS];
    int found = 0;
    *n = 0;
    QV_TRY(fused_find(ctx, &target, key, &d->options, engines, most < MOST_PLANS ? most : MOST_PLANS, &found, NULL));
    for (; *n < found; ++*n) {
        fused_plan *p;
        QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
        *p = (fused_plan){.key = *key, .engine = engines[*n]};
        snprintf(p->name, sizeof p->name, "cuDNN engine %lld, workspace %zu", (long long)p->engine.index,
                 p->engine.workspace);
        plans[*n] = p;
    }
done:
    for (int i = *n; i < found; i++) qv_dnn_engine_free(&engines[i]);
    if (status != QV_OK)
        while (*n > 0) fused_plan_free(plans[--*n]);
    return status;
}

void fused_plan_free(fused_plan *p)
{
    if (!p) return;
    qv_dnn_engine_free(&p->engine);
    free(p);
}

size_t fused_workspace(const fused_plan *p) { return p->engine.workspace; }

const char *fused_describe(const fused_plan *p) { return p->name; }

qv_status fused_run(qv_ctx *ctx, fused_dnn *d, const fused_plan *p, void *stream,
                    const void *const tensors[FUSED_TENSORS], void *workspace)
{
    char text[FUSED_TEXT];
    qv_dnn_pack pack = {.n = 0};
    fused_text(&p->key, text);
    for (int t = 0; t < FUSED_TENSORS; t++) {
        if (!fused_uses(&p->key, t)) continue;
        pack.uids[pack.n] = fused_uid(t);
        pack.pointers[pack.n++] = tensors[t];
    }
    return qv_dnn_execute(ctx, d->handle, text, &p->engine, stream, &pack, p->engine.workspace > 0 ? workspace : NULL);
}
