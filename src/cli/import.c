/* quaver import-checkpoint */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "train/import.h"

static const char help_text[] =
    "Usage: quaver import-checkpoint --weights FILE --classes LIST --out CKPT [options] [--section.key=value]\n\n"
    "  quaver import-checkpoint --weights torch.safetensors --map names.txt --config net.ini \\\n"
    "         --classes anger,happiness,neutral,sadness --out best.safetensors\n\n"
    "Makes a checkpoint of a PyTorch state dict that was saved as safetensors. The map has a line a tensor,\n"
    "\"ours = theirs\", or \"ours = theirs + theirs\" where the two branches are apart there; names that are equal\n"
    "need none. Convolutions are [out][in][k][k] there. With features.normalize = corpus (the default) a tensor\n"
    "norm [2][mels] is needed: mean, and 1 / deviation, of each band.\n\n"
    "  -w, --weights FILE     the state dict\n"
    "  -M, --map FILE         names\n"
    "  -c, --config FILE      settings of the network and its features, in INI form\n"
    "      --classes LIST     names, in the order of the network's outputs\n"
    "  -o, --out CKPT         what to write\n"
    "      --json             the result as one JSON object: file\n"
    "  -h, --help             this text\n";

static const struct option options[] = {
    {"weights", required_argument, NULL, 'w'}, {"map", required_argument, NULL, 'M'},
    {"config", required_argument, NULL, 'c'},  {"classes", required_argument, NULL, 'C'},
    {"out", required_argument, NULL, 'o'},     {"json", no_argument, NULL, 'J'},
    {"help", no_argument, NULL, 'h'},
    {0},
};
static const char letters[] = "w:M:c:o:h";

const struct option *qv_cli_import_options(void) { return options; }

typedef struct arguments {
    const char *config, *classes, *out;
    qv_import import;
    bool help, json;
} arguments;

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        switch (c) {
        case 'w': a->import.weights = optarg; break;
        case 'M': a->import.map = optarg; break;
        case 'c': a->config = optarg; break;
        case 'C': a->classes = optarg; break;
        case 'o': a->out = optarg; break;
        case 'J': a->json = true; break;
        case 'h': a->help = true; return QV_OK;
        default: return qv_cli_bad_option(ctx, argc, argv, letters, options);
        }
    }
    if (optind < argc) return qv_fail(ctx, QV_ERR_USAGE, "unexpected word %s; see quaver import-checkpoint --help", argv[optind]);
    if (a->import.weights && a->classes && a->out) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "--weights, --classes and --out are all needed; see quaver import-checkpoint --help");
}

/* Cuts the list at its commas. */
static qv_status split_classes(qv_ctx *ctx, const char *list, char ***classes, int *n)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, classes, strlen(list) + 1, sizeof **classes));
    for (const char *p = list;; p++) {
        size_t len = strcspn(p, ",");
        QV_TRY(qv_strndup(ctx, &(*classes)[*n], p, len));
        ++*n;
        p += len;
        if (!*p) break;
    }
done:
    return status;
}

static qv_status check_output(qv_ctx *ctx, const arguments *a)
{
    const char *const needed[] = {a->import.weights, a->import.map, a->config};
    qv_status status = QV_OK;
    for (size_t k = 0; k < sizeof needed / sizeof *needed && status == QV_OK; k++)
        status = qv_cli_not_input(ctx, "--out", a->out, needed[k]);
    return status;
}

qv_status qv_cmd_import(qv_ctx *ctx, int argc, char **argv)
{
    qv_status status = QV_OK;
    qv_settings settings = {0}, unused = {0};
    char **words = NULL;
    arguments a = {0};
    int count = argc;
    QV_TRY(qv_settings_init(ctx, &settings));
    QV_TRY(qv_settings_init(ctx, &unused));
    QV_TRY(qv_alloc(ctx, &words, (size_t)argc + 1, sizeof *words));
    memcpy(words, argv, (size_t)argc * sizeof *words);
    QV_TRY(qv_cli_overrides(ctx, &unused, &count, words)); /* leaves the plain options */
    QV_TRY(parse(ctx, &a, count, words));
    if (a.help) {
        fputs(help_text, stdout);
        goto done;
    }
    QV_TRY(check_output(ctx, &a));
    if (a.config) QV_TRY(qv_settings_read(ctx, &settings, a.config));
    QV_TRY(qv_cli_overrides(ctx, &settings, &argc, argv));
    a.import.settings = &settings;
    QV_TRY(split_classes(ctx, a.classes, &a.import.classes, &a.import.n_classes));
    QV_TRY(qv_import_write(ctx, &a.import, a.out));
    status = qv_cli_print_path(ctx, a.json, a.out);
done:
    qv_free_texts(a.import.classes, (size_t)a.import.n_classes);
    free(words);
    qv_settings_free(&settings);
    qv_settings_free(&unused);
    return status;
}
