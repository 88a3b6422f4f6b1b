/* quaver doctor */
#define _DEFAULT_SOURCE /* gnu_get_libc_version */
#include <gnu/libc-version.h>
#include <jansson.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "backend/backend.h"
#include "backend/gpu.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "data/audio.h"
#include "data/resample.h"
#include "quaver_build.h"

static const char help_text[] =
    "Usage: quaver doctor [--json]\n\n"
    "What this program is made of, what processor and GPUs it finds, and what they can be used for.\n\n"
    "      --json             the same as one JSON object\n"
    "  -h, --help             this text\n";

static const struct option options[] = {{"json", no_argument, NULL, 'J'}, {"help", no_argument, NULL, 'h'}, {0}};
static const char letters[] = "h";

const struct option *qv_cli_doctor_options(void) { return options; }

/* Each finding is a line under its heading, or a value of the heading's object. */
typedef struct findings {
    json_t *root, *part; /* NULL: lines are printed */
    bool failed;
} findings;

static void begin(findings *f, const char *heading)
{
    if (!f->root)
        puts(heading);
    else
        f->failed |= json_object_set_new(f->root, heading, f->part = json_object()) != 0;
}

static void add(findings *f, const char *name, const char *text)
{
    if (!f->root)
        printf("  %-12s %s\n", name, text);
    else
        f->failed |= json_object_set_new(f->part, name, json_string(text)) != 0;
}

static void find_libraries(findings *f)
{
    char pcre[64] = "?", hash[32];
    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    snprintf(hash, sizeof hash, "%u", XXH_versionNumber());
    begin(f, "libraries");
    add(f, "libsndfile", qv_decoder_name());
    add(f, "soxr", QV_HAVE_SOXR ? qv_resampler_name() : "not built in: resampling by an own windowed sinc");
    add(f, "convolutions", qv_cpu_conv_name().text);
    add(f, "jansson", jansson_version_str());
    add(f, "pcre2", pcre);
    add(f, "xxhash", hash);
    add(f, "libc", gnu_get_libc_version());
}

static void find_processor(findings *f)
{
    qv_op_fn table[QV_OP_COUNT];
    const char *isa;
    char count[16];
    qv_cpu_ops(table, NULL, &isa);
    snprintf(count, sizeof count, "%d", qv_cpu_count());
    begin(f, "processor");
    add(f, "usable", count);
    add(f, "instructions", isa);
}

/* Can `train --device cuda` use it? The very question that training asks, answered in its words. */
static void find_use(findings *f, int ordinal)
{
    char name[32], text[1024];
    qv_gpu_device *gpu;
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) return;
    snprintf(name, sizeof name, "%d", ordinal);
    bool opened = qv_gpu_open(ctx, &gpu, name) == QV_OK;
    snprintf(name, sizeof name, "cuda:%d", ordinal);
    snprintf(text, sizeof text, "%s: %.980s", opened ? "can be used" : "cannot be used",
             opened ? qv_gpu_describe(gpu) : qv_ctx_message(ctx));
    add(f, name, text);
    if (opened) qv_gpu_close(gpu);
    qv_ctx_free(ctx);
}

static void find_gpus(findings *f)
{
    qv_gpu gpus[QV_MAX_GPUS];
    qv_buf why = {0};
    char name[32], text[256];
    int driver, n = qv_gpu_list(gpus, &driver, &why);
    begin(f, "GPUs");
    if (n == 0) add(f, "none can be used", why.failed || !why.data ? "unknown reason" : why.data);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%d", i);
        snprintf(text, sizeof text, "%.200s, compute capability %d.%d, %.1f GiB", gpus[i].name, gpus[i].major, gpus[i].minor,
                 (double)gpus[i].memory / (1 << 30));
        add(f, name, text);
    }
    snprintf(text, sizeof text, "CUDA %d.%d", driver / 1000, driver / 10 % 100);
    if (driver) add(f, "driver", text);
    snprintf(text, sizeof text, "by CUDA %.60s for %.180s", QV_CUDA_VERSION, QV_CUDA_ARCHS);
    if (QV_HAVE_CUDA) add(f, "kernels", text);
    for (int i = 0; i < (n ? n : 1); i++) find_use(f, i);
    qv_buf_free(&why);
}

qv_status qv_cmd_doctor(qv_ctx *ctx, int argc, char **argv)
{
    bool json = false;
    findings f = {0};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        if (c == '?') return qv_cli_bad_option(ctx, argc, argv, letters, options);
        if (c == 'h') return (fputs(help_text, stdout), QV_OK);
        json = true;
    }
    if (optind < argc) return qv_fail(ctx, QV_ERR_USAGE, "unexpected word %s; quaver doctor takes none", argv[optind]);
    if (json)
        f.root = json_pack("{s:s, s:s, s:s}", "quaver", QV_VERSION, "compiler", QV_COMPILER, "build", QV_BUILD_TYPE);
    else
        printf("quaver %s, %s, %s\n", QV_VERSION, QV_COMPILER, QV_BUILD_TYPE);
    find_libraries(&f);
    find_processor(&f);
    find_gpus(&f);
    if (!json) return QV_OK;
    if (!f.failed) return qv_cli_print_json(ctx, f.root);
    json_decref(f.root);
    return qv_cli_print_json(ctx, NULL);
}
