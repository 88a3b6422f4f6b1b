#include "backend/cuda/dnn.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/dnn_blas.h"
#include "backend/cuda/dnn_plan.h"
#include "backend/gpu.h"
#include "base/round.h"

enum {
    CANDIDATES = 12, /* plans of one key that tuning compares */
    ALIGNMENT = 16,  /* of every operand, as the graphs say */
    GRANULE = 256    /* of a workspace: pointer and size */
};

struct qv_dnn_plan {
    qv_dnn_key key;
    qv_dnn_engine engine; /* convolutions */
    size_t workspace;
    char name[96];
};

struct qv_dnn {
    cudnnHandle_t cudnn;
    cublasHandle_t cublas;
    qv_dnn_options options;
    int capability_major;
    qv_dnn_plan **plans;
    size_t n_plans, cap_plans;
    char text[64];
};

static qv_status cublas_version(qv_ctx *ctx, int version[3])
{
    static const libraryPropertyType parts[3] = {MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    for (int i = 0; i < 3; i++) {
        cublasStatus_t s = cublasGetProperty(parts[i], &version[i]);
        if (s != CUBLAS_STATUS_SUCCESS) return qv_cublas_failed(ctx, s, "cublasGetProperty", "its version");
    }
    return QV_OK;
}

/* Of the libraries that were found at run time, which need not be those that the program was built with. */
static qv_status check_versions(qv_ctx *ctx, qv_dnn *d)
{
    qv_status status = QV_OK;
    int cublas[3];
    size_t found = cudnnGetVersion(), scale = found < 90000 ? 10 : 100; /* 8907 is 8.9.7, 90800 is 9.8.0 */
    const size_t cudnn[3] = {found / scale / 100, found / 100 % scale, found % 100};
    if (found < QV_GPU_CUDNN)
        return qv_fail(ctx, QV_ERR_DEVICE, "cuDNN %zu.%zu.%zu was found; %d.%d or newer is needed", cudnn[0], cudnn[1],
                       cudnn[2], QV_GPU_CUDNN / 10000, QV_GPU_CUDNN / 100 % 100);
    QV_TRY(cublas_version(ctx, cublas));
    if (cublas[0] < 12 || (cublas[0] == 12 && cublas[1] < 4))
        return qv_fail(ctx, QV_ERR_DEVICE, "cuBLAS %d.%d.%d was found; 12.4 or newer is needed", cublas[0], cublas[1],
                       cublas[2]);
    snprintf(d->text, sizeof d->text, "cuDNN %zu.%zu.%zu, cuBLAS %d.%d.%d", cudnn[0], cudnn[1], cudnn[2], cublas[0],
             cublas[1], cublas[2]);
done:
    return status;
}

static qv_status open_cudnn(qv_ctx *ctx, qv_dnn *d)
{
    cudnnStatus_t s = cudnnCreate(&d->cudnn);
    if (s == CUDNN_STATUS_SUCCESS) return QV_OK;
    d->cudnn = NULL;
    return qv_cudnn_failed(ctx, s, "cudnnCreate", "the current device");
}

static qv_status open_cublas(qv_ctx *ctx, qv_dnn *d)
{
    cublasStatus_t s = cublasCreate(&d->cublas);
    if (s == CUBLAS_STATUS_SUCCESS) return qv_blas_init(ctx, d->cublas);
    d->cublas = NULL;
    return qv_cublas_failed(ctx, s, "cublasCreate", "the current device");
}

static qv_status ask_device(qv_ctx *ctx, qv_dnn *d)
{
    int device = 0;
    cudaError_t e = cudaGetDevice(&device);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&d->capability_major, cudaDevAttrComputeCapabilityMajor, device);
    if (e == cudaSuccess) return QV_OK;
    return qv_fail(ctx, QV_ERR_DEVICE, "the current CUDA device does not say its compute capability: %s (%d)",
                   cudaGetErrorString(e), (int)e);
}

qv_status qv_dnn_new(qv_ctx *ctx, qv_dnn **out, const qv_dnn_options *o)
{
    qv_status status = QV_OK;
    qv_dnn *d = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &d, 1, sizeof *d));
    d->options = *o;
    QV_TRY(check_versions(ctx, d));
    QV_TRY(ask_device(ctx, d));
    QV_TRY(open_cudnn(ctx, d));
    QV_TRY(open_cublas(ctx, d));
    *out = d;
done:
    if (status != QV_OK) qv_dnn_free(d);
    return status;
}

static void free_plan(qv_dnn_plan *p)
{
    qv_dnn_engine_free(&p->engine);
    free(p);
}

void qv_dnn_free(qv_dnn *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->n_plans; i++) free_plan(d->plans[i]);
    free(d->plans);
    if (d->cublas) cublasDestroy(d->cublas);
    if (d->cudnn) cudnnDestroy(d->cudnn);
    free(d);
}

const char *qv_dnn_describe(const qv_dnn *d) { return d->text; }

static qv_status plan_convolution(qv_ctx *ctx, const qv_dnn *d, qv_dnn_plan *p)
{
    qv_status status = QV_OK;
    qv_dnn_engine engines[CANDIDATES];
    int n = 0, best = 0;
    const qv_dnn_target target = {.handle = d->cudnn};
    QV_TRY(qv_dnn_find(ctx, &target, &p->key, &d->options, engines, d->options.autotune ? CANDIDATES : 1, &n, NULL));
    if (n > 1) QV_TRY(qv_dnn_tune(ctx, d->cudnn, &p->key, engines, n, &best));
    p->engine = engines[best];
    p->workspace = qv_round_up(p->engine.workspace, GRANULE);
    snprintf(p->name, sizeof p->name, "cuDNN engine %lld, workspace %zu", (long long)p->engine.index, p->workspace);
done:
    for (int i = 0; i < n; i++)
        if (status != QV_OK || i != best) qv_dnn_engine_free(&engines[i]);
    return status;
}

/* cuBLAS chooses by itself; ours to say is how much workspace it has, which is part of that choice. */
static qv_status plan_product(qv_ctx *ctx, const qv_dnn *d, qv_dnn_plan *p)
{
    size_t most = qv_blas_workspace(d->capability_major), limit = d->options.workspace_limit / GRANULE * GRANULE;
    p->workspace = limit < most ? limit : most;
    snprintf(p->name, sizeof p->name, "cublasGemmEx, workspace %zu", p->workspace);
    if (p->workspace >= QV_BLAS_LEAST_WORKSPACE) return QV_OK;
    return qv_fail(ctx, QV_ERR_UNSUPPORTED, "cuBLAS wants %d bytes of workspace; %zu are allowed",
                   QV_BLAS_LEAST_WORKSPACE, d->options.workspace_limit);
}

const qv_dnn_plan *qv_dnn_known(const qv_dnn *d, const qv_dnn_key *key)
{
    for (size_t i = 0; i < d->n_plans; i++)
        if (memcmp(&d->plans[i]->key, key, sizeof *key) == 0) return d->plans[i];
    return NULL;
}

/* That a handle takes no stream is said when it is given one for a run. */
void qv_dnn_rest(qv_dnn *d)
{
    cudnnSetStream(d->cudnn, NULL);
    cublasSetStream(d->cublas, NULL);
}

qv_status qv_dnn_plan_for(qv_ctx *ctx, qv_dnn *d, const qv_dnn_key *key, const qv_dnn_plan **out)
{
    qv_status status = QV_OK;
    qv_dnn_plan *p = NULL;
    *out = qv_dnn_known(d, key);
    if (*out) return QV_OK;
    QV_TRY(qv_dnn_check(ctx, key));
    QV_TRY(qv_grow(ctx, &d->plans, &d->cap_plans, d->n_plans + 1, sizeof d->plans[0]));
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    p->key = *key;
    QV_TRY(key->kind == QV_DNN_PRODUCT ? plan_product(ctx, d, p) : plan_convolution(ctx, d, p));
    d->plans[d->n_plans++] = p;
    *out = p;
done:
    if (status != QV_OK && p) free_plan(p);
    return status;
}

size_t qv_dnn_workspace(const qv_dnn_plan *plan) { return plan->workspace; }

const char *qv_dnn_plan_describe(const qv_dnn_plan *plan) { return plan->name; }

static bool aligned(const void *p, size_t bytes) { return p && (uintptr_t)p % bytes == 0; }

qv_status qv_dnn_run(qv_ctx *ctx, qv_dnn *d, const qv_dnn_plan *plan, void *stream, const void *a, const void *b,
                     void *out, void *workspace)
{
    char text[QV_DNN_TEXT];
    const void *const operands[3] = {a, b, out};
    if (!aligned(a, ALIGNMENT) || !aligned(b, ALIGNMENT) || !aligned(out, ALIGNMENT) ||
        (plan->workspace > 0 && !aligned(workspace, GRANULE))) {
        qv_dnn_key_text(&plan->key, text);
        return qv_fail(ctx, QV_ERR_INTERNAL, "%s: a %p, b %p, out %p must lie on %d bytes, workspace %p on %d", text, a,
                       b, out, ALIGNMENT, workspace, GRANULE);
    }
    if (plan->key.kind == QV_DNN_PRODUCT)
        return qv_blas_run(ctx, d->cublas, &plan->key, stream, a, b, out, workspace, plan->workspace);
    return qv_dnn_engine_run(ctx, d->cudnn, &plan->key, &plan->engine, stream, operands,
                             plan->workspace > 0 ? workspace : NULL);
}
