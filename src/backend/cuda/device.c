/* A GPU opened by name, or refused in words; and memory of the host that all execs on it share a copy of. */
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/own.h"
#include "kernels/step.h"
#include "quaver_build.h"

struct qv_gpu_device {
    int ordinal;
    int expected;         /* execs at a time, as far as that was said */
    pthread_mutex_t lock; /* of the list and the count */
    qv_resident *resident;
    int execs; /* that have their memory */
    qv_handles handles;
    char description[192];
};

/* Of the driver, as it counts CUDA versions: a program runs with older ones of its toolkit's own major version. */
static int least_driver(void)
{
    const int major = CUDART_VERSION / 1000 * 1000;
    return major > QV_GPU_CUDA ? major : QV_GPU_CUDA;
}

static qv_status refuse(qv_ctx *ctx, const char *which, const char *found)
{
    return qv_fail(
        ctx, QV_ERR_DEVICE,
        "--device cuda%s%s cannot be used: %s; needed are an NVIDIA GPU of compute capability %d.%d or later, a "
        "driver for CUDA %d.%d or later, and cuDNN %d.%d or later; --device cpu works without",
        *which ? ":" : "", which, found, QV_GPU_MAJOR, QV_GPU_MINOR, least_driver() / 1000, least_driver() / 10 % 100,
        QV_GPU_CUDNN / 10000, QV_GPU_CUDNN / 100 % 100);
}

/* "GPU-1b2c..." as the driver's own tools print it. */
static void print_uuid(const cudaUUID_t *id, char text[48])
{
    size_t at = (size_t)snprintf(text, 48, "GPU");
    for (size_t i = 0; i < sizeof id->bytes; i++) {
        bool dash = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
        at += (size_t)snprintf(text + at, 48 - at, "%s%02x", dash ? "-" : "", (unsigned)(unsigned char)id->bytes[i]);
    }
}

/* What the runtime answers where there is no GPU, in the driver's words. */
static qv_status refuse_all(qv_ctx *ctx, const char *which, cudaError_t e)
{
    qv_gpu gpus[QV_MAX_GPUS];
    qv_buf why = {0};
    int driver;
    qv_gpu_list(gpus, &driver, &why);
    if (why.len == 0) qv_buf_printf(&why, "%s (%s)", cudaGetErrorString(e), cudaGetErrorName(e));
    qv_status status = refuse(ctx, which, why.failed ? "there is no GPU" : why.data);
    qv_buf_free(&why);
    return status;
}

static qv_status check_driver(qv_ctx *ctx, const char *which)
{
    int driver = 0;
    char found[96];
    qv_status status = qv_cuda_check(ctx, cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
    if (status != QV_OK || driver == 0 || driver >= least_driver()) return status;
    snprintf(found, sizeof found, "the driver speaks CUDA %d.%d", driver / 1000, driver / 10 % 100);
    return refuse(ctx, which, found);
}

/* Names of all GPUs, for who asked for one that is not there. */
static qv_status refuse_name(qv_ctx *ctx, const char *which, int count)
{
    qv_buf found = {0};
    qv_buf_puts(&found, "there is only");
    for (int i = 0; i < count; i++) {
        struct cudaDeviceProp p;
        char uuid[48];
        if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
        print_uuid(&p.uuid, uuid);
        qv_buf_printf(&found, "%s cuda:%d, %s (%s)", i ? "," : "", i, p.name, uuid);
    }
    qv_status status = refuse(ctx, which, found.failed ? "it is not there" : found.data);
    qv_buf_free(&found);
    return status;
}

/* The ordinal that the name means, or -1. */
static int find(const char *which, int count)
{
    if (!*which) return 0;
    if (strspn(which, "0123456789") == strlen(which)) {
        long n = strtol(which, NULL, 10);
        return n < count ? (int)n : -1;
    }
    for (int i = 0; i < count && strlen(which) > strlen("GPU-"); i++) {
        struct cudaDeviceProp p;
        char uuid[48];
        if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
        print_uuid(&p.uuid, uuid);
        if (strncmp(uuid, which, strlen(which)) == 0) return i;
    }
    return -1;
}

/* What a build for other GPUs alone would else say at the first launch. Loading a kernel may end captures. */
static qv_status check_kernels(qv_ctx *ctx, const char *which, const struct cudaDeviceProp *p)
{
    qv_cuda_lock(true);
    const cudaError_t e = (cudaError_t)qv_cuda_find_kernel();
    qv_cuda_unlock();
    if (e != cudaErrorNoKernelImageForDevice && e != cudaErrorInvalidDeviceFunction &&
        e != cudaErrorUnsupportedPtxVersion)
        return qv_cuda_check(ctx, e, "looking for a kernel");
    return qv_fail(
        ctx, QV_ERR_DEVICE,
        "--device cuda%s%s cannot be used: %s has compute capability %d.%d; this program has kernels for %s: "
        "build it for this GPU (-DCMAKE_CUDA_ARCHITECTURES=%d%d); --device cpu works without",
        *which ? ":" : "", which, p->name, p->major, p->minor, QV_CUDA_ARCHS, p->major, p->minor);
}

/* Compute capability; kernels; and cuDNN and cuBLAS, which answer for themselves. */
static qv_status examine(qv_ctx *ctx, qv_gpu_device *g, const char *which)
{
    qv_status status = QV_OK;
    qv_dnn *dnn = NULL;
    struct cudaDeviceProp p;
    char found[384];
    QV_TRY(qv_cuda_check(ctx, cudaGetDeviceProperties(&p, g->ordinal), "cudaGetDeviceProperties of device %d",
                         g->ordinal));
    if (p.major < QV_GPU_MAJOR || (p.major == QV_GPU_MAJOR && p.minor < QV_GPU_MINOR)) {
        snprintf(found, sizeof found, "%s has compute capability %d.%d", p.name, p.major, p.minor);
        return refuse(ctx, which, found);
    }
    QV_TRY(qv_cuda_check(ctx, cudaSetDevice(g->ordinal), "cudaSetDevice(%d)", g->ordinal));
    QV_TRY(check_kernels(ctx, which, &p));
    QV_TRY(qv_handles_take(ctx, &g->handles, &dnn, &(qv_dnn_options){.workspace_limit = QV_WORKSPACE}));
    snprintf(g->description, sizeof g->description, "%.60s, %s", p.name, qv_dnn_describe(dnn));
done:
    qv_handles_leave(&g->handles, dnn);
    return status;
}

qv_status qv_gpu_open(qv_ctx *ctx, qv_gpu_device **out, const char *which)
{
    qv_status status = QV_OK;
    qv_gpu_device *g = NULL;
    int count = 0;
    *out = NULL;
    if (!which) which = "";
    QV_TRY(check_driver(ctx, which));
    cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess || count == 0) {
        cudaGetLastError();
        return refuse_all(ctx, which, e);
    }
    QV_TRY(qv_alloc(ctx, &g, 1, sizeof *g));
    pthread_mutex_init(&g->lock, NULL);
    qv_handles_init(&g->handles);
    g->ordinal = find(which, count);
    if (g->ordinal < 0) QV_TRY(refuse_name(ctx, which, count));
    QV_TRY(examine(ctx, g, which));
    *out = g;
    g = NULL;
done:
    qv_gpu_close(g);
    return status;
}

void qv_gpu_close(qv_gpu_device *g)
{
    if (!g) return;
    if (g->handles.first) cudaSetDevice(g->ordinal); /* whose they are */
    qv_handles_free(&g->handles);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

qv_status qv_gpu_answers(qv_ctx *ctx, const qv_gpu_device *g)
{
    qv_status status = qv_cuda_check(ctx, cudaSetDevice(g->ordinal), "cudaSetDevice(%d)", g->ordinal);
    if (status != QV_OK) return status;
    qv_cuda_lock(true);
    const cudaError_t e = cudaDeviceSynchronize();
    qv_cuda_unlock();
    return qv_cuda_check(ctx, e, "cudaDeviceSynchronize");
}

const char *qv_gpu_describe(const qv_gpu_device *g) { return g->description; }

int qv_gpu_ordinal(const qv_gpu_device *g) { return g->ordinal; }

void qv_gpu_expect(qv_gpu_device *g, int execs) { g->expected = execs; }

void qv_gpu_count(qv_gpu_device *g, int change)
{
    pthread_mutex_lock(&g->lock);
    g->execs += change;
    pthread_mutex_unlock(&g->lock);
}

qv_handles *qv_gpu_handles(qv_gpu_device *g) { return &g->handles; }

/* Leaves room for what others still need: graphs, plans, the runtime's own; and the execs to come, which are taken to
 * be as large as this one. */
static qv_status fits(qv_ctx *ctx, const cuda_exec *e, size_t bytes, bool *yes)
{
    const qv_gpu_device *g = e->gpu;
    const size_t to_come = g->expected > g->execs ? (size_t)(g->expected - g->execs) : 0;
    const size_t reserve = ((size_t)256 << 20) + to_come * e->base.bytes;
    size_t left = 0, total = 0;
    qv_status status = qv_cuda_check(ctx, cudaMemGetInfo(&left, &total), "cudaMemGetInfo");
    size_t limit = e->base.o.resident_limit ? e->base.o.resident_limit : SIZE_MAX;
    *yes = bytes <= limit && left > reserve && bytes <= left - reserve;
    return status;
}

static qv_status make_resident(qv_ctx *ctx, cuda_exec *e, const void *host, size_t bytes, qv_resident **out)
{
    qv_status status = QV_OK;
    qv_resident *r = NULL;
    bool yes;
    *out = NULL;
    QV_TRY(fits(ctx, e, bytes, &yes));
    if (!yes) return QV_OK;
    QV_TRY(qv_alloc(ctx, &r, 1, sizeof *r));
    r->host = host;
    r->bytes = bytes;
    cudaError_t error = cudaMalloc(&r->device, bytes);
    if (error == cudaErrorMemoryAllocation) { /* somebody was faster: as if it had not fitted */
        cudaGetLastError();
        qv_debug(ctx, "no room for %zu bytes of features any more: they are streamed", bytes);
        goto done;
    }
    QV_TRY(qv_cuda_check(ctx, error, "cudaMalloc of %zu bytes of features", bytes));
    QV_TRY(qv_stage_write(ctx, &e->stage, e->stream, r->device, host, bytes));
    /* Who shares it has a stream of its own. */
    QV_TRY(qv_cuda_check(ctx, cudaStreamSynchronize(e->stream), "cudaStreamSynchronize after %zu bytes of features",
                         bytes));
    *out = r;
    r = NULL;
done:
    if (r && r->device) cudaFree(r->device);
    free(r);
    return status;
}

qv_status qv_resident_take(qv_ctx *ctx, cuda_exec *e, const void *host, size_t bytes, void **out)
{
    qv_gpu_device *g = e->gpu;
    qv_status status = QV_OK;
    *out = NULL;
    pthread_mutex_lock(&g->lock);
    qv_resident *r = g->resident;
    while (r && (r->host != host || r->bytes != bytes)) r = r->next;
    if (!r) {
        status = make_resident(ctx, e, host, bytes, &r);
        if (r) {
            r->next = g->resident;
            g->resident = r;
        }
    }
    if (r) {
        r->users++;
        *out = r->device;
    }
    pthread_mutex_unlock(&g->lock);
    return status;
}

size_t qv_resident_bytes(qv_gpu_device *g)
{
    size_t bytes = 0;
    pthread_mutex_lock(&g->lock);
    for (const qv_resident *r = g->resident; r; r = r->next) bytes += r->bytes;
    pthread_mutex_unlock(&g->lock);
    return bytes;
}

void qv_resident_release(qv_gpu_device *g, const void *device)
{
    pthread_mutex_lock(&g->lock);
    for (qv_resident **r = &g->resident; *r; r = &(*r)->next) {
        if ((*r)->device != device) continue;
        qv_resident *gone = *r;
        if (--gone->users == 0) {
            *r = gone->next;
            cudaFree(gone->device);
            free(gone);
        }
        break;
    }
    pthread_mutex_unlock(&g->lock);
}

qv_status qv_cuda_use(qv_ctx *ctx, const cuda_exec *e)
{
    int ordinal = qv_gpu_ordinal(e->gpu);
    return qv_cuda_check(ctx, cudaSetDevice(ordinal), "cudaSetDevice(%d)", ordinal);
}
