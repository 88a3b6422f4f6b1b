/* quaver doctor */
#define _DEFAULT_SOURCE /* gnu_get_libc_version */
#include <gnu/libc-version.h>
#include <jansson.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "backend/backend.h"
#include "backend/gpu.h"
#include "base/io.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "quaver_build.h"
#if QV_HAVE_SOXR
#include <soxr.h>
#endif

static const char help_text[] =
    "Usage: quaver doctor\n\n"
    "What this program is made of, what processor and GPUs it finds, and what they can be used for.\n";

static void print_libraries(void)
{
    char pcre[64] = "?", sndfile[128] = "?";
    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    sf_command(NULL, SFC_GET_LIB_VERSION, sndfile, sizeof sndfile);
    printf("libraries\n  libsndfile   %s\n", sndfile);
#if QV_HAVE_SOXR
    printf("  soxr         %s\n", soxr_version());
#else
    printf("  soxr         not built in: resampling by an own windowed sinc\n");
#endif
    printf("  convolutions %s\n", qv_cpu_conv_name());
    printf("  jansson      %s\n  pcre2        %s\n  xxhash       %u\n  libc         %s\n", jansson_version_str(), pcre,
           XXH_versionNumber(), gnu_get_libc_version());
}

static void print_processor(void)
{
    qv_op_fn table[QV_OP_COUNT];
    const char *isa;
    qv_cpu_ops(table, NULL, &isa);
    printf("processor\n  processors this process may use: %d\n  instruction set used: %s\n", qv_cpu_count(), isa);
}

/* Can `train --device cuda` use it? The very question that training asks, answered in its words. */
static void print_use(int ordinal)
{
    char name[16];
    qv_gpu_device *gpu;
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) return;
    snprintf(name, sizeof name, "%d", ordinal);
    if (qv_gpu_open(ctx, &gpu, name) == QV_OK) {
        printf("  --device cuda:%d can be used: %s\n", ordinal, qv_gpu_describe(gpu));
        qv_gpu_close(gpu);
    } else {
        printf("  %s\n", qv_ctx_message(ctx));
    }
    qv_ctx_free(ctx);
}

static void print_gpus(void)
{
    qv_gpu gpus[QV_MAX_GPUS];
    qv_buf why = {0};
    int driver, n = qv_gpu_list(gpus, &driver, &why);
    puts("GPUs");
    if (n == 0) printf("  none can be used: %s\n", why.failed || !why.data ? "unknown reason" : why.data);
    for (int i = 0; i < n; i++)
        printf("  %d: %s, compute capability %d.%d, %.1f GiB\n", i, gpus[i].name, gpus[i].major, gpus[i].minor,
               (double)gpus[i].memory / (1 << 30));
    if (driver) printf("  driver speaks CUDA %d.%d\n", driver / 1000, driver / 10 % 100);
    if (QV_HAVE_CUDA) printf("  kernels compiled by CUDA %s for %s\n", QV_CUDA_VERSION, QV_CUDA_ARCHS);
    for (int i = 0; i < (n ? n : 1); i++) print_use(i);
    qv_buf_free(&why);
}

qv_status qv_cmd_doctor(qv_ctx *ctx, int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(help_text, stdout);
        return QV_OK;
    }
    if (argc > 1) return qv_fail(ctx, QV_ERR_USAGE, "unexpected word %s; quaver doctor takes none", argv[1]);
    printf("quaver %s, %s, %s\n", QV_VERSION, QV_COMPILER, QV_BUILD_TYPE);
    print_libraries();
    print_processor();
    print_gpus();
    return QV_OK;
}
