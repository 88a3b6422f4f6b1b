/* quaver export */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "train/onnx.h"

static const char help_text[] =
    "Usage: quaver export --checkpoint CKPT --out FILE.onnx\n\n"
    "  quaver export --checkpoint runs/emodb/fold-1/best.safetensors --out emotion.onnx\n\n"
    "Writes the network as ONNX (opset 17): windows of frames in, probabilities out, any batch. The\n"
    "metadata hold the classes and all that the front end needs to compute the frames: docs/onnx.md, and\n"
    "docs/examples/predict_onnx.py goes from a recording to its emotion with numpy and onnxruntime.\n\n"
    "  -k, --checkpoint CKPT  best.safetensors or last.safetensors of a run\n"
    "  -o, --out FILE         what to write\n"
    "      --json             the result as one JSON object: file\n"
    "  -h, --help             this text\n";

static const struct option options[] = {
    {"checkpoint", required_argument, NULL, 'k'},
    {"out", required_argument, NULL, 'o'},
    {"json", no_argument, NULL, 'J'},
    {"help", no_argument, NULL, 'h'},
    {0},
};
static const char letters[] = "k:o:h";

qv_status qv_cmd_export(qv_ctx *ctx, int argc, char **argv)
{
    const char *checkpoint = NULL, *out = NULL;
    bool json = false;
    qv_checkpoint *c = NULL;
    opterr = 0;
    for (int code; (code = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        if (code == '?') return qv_cli_bad_option(ctx, argc, argv, letters, options);
        if (code == 'h') return (fputs(help_text, stdout), QV_OK);
        if (code == 'J')
            json = true;
        else
            *(code == 'k' ? &checkpoint : &out) = optarg;
    }
    if (optind < argc) return qv_fail(ctx, QV_ERR_USAGE, "unexpected word %s; see quaver export --help", argv[optind]);
    if (!checkpoint || !out)
        return qv_fail(ctx, QV_ERR_USAGE, "--checkpoint CKPT and --out FILE are both needed; see quaver export --help");
    qv_status status = qv_cli_not_input(ctx, "--out", out, checkpoint);
    if (status == QV_OK) status = qv_checkpoint_open(ctx, &c, checkpoint);
    if (status == QV_OK) status = qv_onnx_export(ctx, c, out);
    if (status == QV_OK) status = qv_cli_print_path(ctx, json, out);
    qv_checkpoint_close(c);
    return status;
}

const struct option *qv_cli_export_options(void) { return options; }
