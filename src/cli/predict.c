/* quaver predict */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "cli/cli.h"
#include "train/model.h"

static const char help_text[] =
    "Usage: quaver predict --checkpoint CKPT INPUT... [options]\n\n"
    "  quaver predict --checkpoint runs/emodb/fold-1/best.safetensors call.wav\n"
    "  quaver predict --checkpoint best.safetensors recordings/ --format jsonl --out answers.jsonl\n"
    "  quaver predict --checkpoint best.safetensors --manifest list.csv\n\n"
    "Classifies recordings: files, folders (every audio file below them), or those of a manifest. A line a\n"
    "recording with the probabilities of all classes; what cannot be read is listed, and the exit code is 1.\n\n"
    "  -k, --checkpoint CKPT  best.safetensors or last.safetensors of a run\n"
    "  -m, --manifest FILE    CSV with file and, where the checkpoint needs it, speaker\n"
    "  -F, --format NAME      csv (default) or jsonl\n"
    "  -o, --out FILE         instead of standard output\n"
    "      --speaker ID       all inputs are this voice's (speaker normalization: 10 s of it or more)\n"
    "  -d, --device NAME      cpu, cuda (cuda:1, cuda:GPU-UUID), ref, ref32\n"
    "  -j, --threads N        of the CPU\n"
    "      --cache DIR        keep features there; default: nowhere\n";

typedef struct arguments {
    const char *checkpoint, *manifest, *out, *speaker;
    qv_model_options model;
    bool help, json;
    char **inputs;
    int n_inputs;
} arguments;

static const struct option options[] = {
    {"checkpoint", required_argument, NULL, 'k'}, {"manifest", required_argument, NULL, 'm'},
    {"format", required_argument, NULL, 'F'},     {"out", required_argument, NULL, 'o'},
    {"speaker", required_argument, NULL, 's'},    {"device", required_argument, NULL, 'd'},
    {"threads", required_argument, NULL, 'j'},    {"cache", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},             {0},
};

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    static const char *const names[] = {"--checkpoint", "--manifest", "--format",  "--out", "--speaker",
                                        "--device",     "--threads",  "--cache", "--help"};
    qv_status status = QV_OK;
    int c;
    optind = 0;
    opterr = 0;
    a->model.no_cache = true;
    while ((c = getopt_long(argc, argv, "k:m:F:o:d:j:h", options, NULL)) != -1) {
        switch (c) {
        case 'k': a->checkpoint = optarg; break;
        case 'm': a->manifest = optarg; break;
        case 'o': a->out = optarg; break;
        case 's': a->speaker = optarg; break;
        case 'F':
            a->json = strcmp(optarg, "jsonl") == 0;
            if (!a->json && strcmp(optarg, "csv") != 0)
                return qv_fail(ctx, QV_ERR_USAGE, "--format %s: expected csv or jsonl", optarg);
            break;
        case 'd': QV_TRY(qv_cli_device(ctx, optarg, &a->model.device, &a->model.gpu)); break;
        case 'j': QV_TRY(qv_cli_threads(ctx, optarg, &a->model.threads)); break;
        case 'C':
            a->model.cache_dir = optarg;
            a->model.no_cache = false;
            break;
        case 'h': a->help = true; break;
        default: return qv_cli_bad_option(ctx, argc, argv, names, sizeof names / sizeof *names);
        }
    }
    if (a->help) return QV_OK;
    a->inputs = argv + optind;
    a->n_inputs = argc - optind;
    a->model.one_speaker = a->speaker != NULL;
    if (!a->checkpoint) return qv_fail(ctx, QV_ERR_USAGE, "--checkpoint CKPT is needed; see quaver predict --help");
    if (!a->manifest == !a->n_inputs)
        return qv_fail(ctx, QV_ERR_USAGE, "give recordings or folders, or --manifest FILE; see quaver predict --help");
done:
    return status;
}

static qv_status add_file(qv_ctx *ctx, void *user, const char *path)
{
    if (!qv_is_audio(path)) return QV_OK;
    return qv_manifest_add(ctx, user, path, path, NULL, NULL, NULL);
}

static qv_status list_inputs(qv_ctx *ctx, const arguments *a, qv_manifest **m)
{
    qv_status status = QV_OK;
    if (a->manifest) {
        qv_manifest_options o = {0};
        return qv_manifest_read(ctx, m, a->manifest, &o);
    }
    QV_TRY(qv_manifest_new(ctx, m));
    for (int i = 0; i < a->n_inputs; i++) {
        if (qv_is_dir(a->inputs[i]))
            QV_TRY(qv_walk(ctx, a->inputs[i], add_file, *m));
        else
            QV_TRY(qv_manifest_add(ctx, *m, a->inputs[i], a->inputs[i], NULL, NULL, NULL));
    }
    if ((*m)->n == 0) status = qv_fail(ctx, QV_ERR_DATA, "no audio file below %s", a->inputs[0]);
    if (status == QV_OK) status = qv_manifest_finish(ctx, *m, NULL);
done:
    return status;
}

static int largest(const double *p, int n)
{
    int best = 0;
    for (int k = 1; k < n; k++)
        if (p[k] > p[best]) best = k;
    return best;
}

static qv_status print_csv(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, const qv_features *f,
                           const double *probs, qv_buf *out)
{
    size_t classes = (size_t)c->n_classes;
    const char **cells;
    char(*text)[64] = NULL;
    qv_status status = qv_alloc(ctx, &cells, classes + 2, sizeof *cells);
    if (status == QV_OK) status = qv_alloc(ctx, &text, classes, sizeof *text);
    if (status != QV_OK) goto done;
    cells[0] = "file";
    cells[1] = "predicted";
    for (size_t k = 0; k < classes; k++) {
        snprintf(text[k], sizeof text[k], "p_%.60s", c->classes[k]);
        cells[k + 2] = text[k];
    }
    qv_csv_write(out, cells, classes + 2);
    for (size_t i = 0; i < m->n; i++) {
        const double *p = probs + i * classes;
        if (f->entries[i].frames == 0) continue;
        cells[0] = m->items[i].name;
        cells[1] = c->classes[largest(p, c->n_classes)];
        for (size_t k = 0; k < classes; k++) snprintf(text[k], sizeof text[k], "%.6f", p[k]);
        qv_csv_write(out, cells, classes + 2);
    }
done:
    free(text);
    free(cells);
    return status;
}

static qv_status print_json(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, const qv_features *f,
                            const double *probs, qv_buf *out)
{
    for (size_t i = 0; i < m->n; i++) {
        const double *p = probs + i * (size_t)c->n_classes;
        if (f->entries[i].frames == 0) continue;
        json_t *all = json_object();
        for (int k = 0; k < c->n_classes; k++) json_object_set_new(all, c->classes[k], json_real(p[k]));
        json_t *row = json_pack("{s:s, s:s, s:o}", "file", m->items[i].name, "predicted",
                                c->classes[largest(p, c->n_classes)], "probabilities", all);
        char *text = row ? json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
        if (text) qv_buf_printf(out, "%s\n", text);
        bool failed = !text;
        free(text);
        json_decref(row);
        if (failed) return qv_fail(ctx, QV_ERR_DATA, "cannot write the name %s as JSON: it is not UTF-8", m->items[i].name);
    }
    return QV_OK;
}

static qv_status predict(qv_ctx *ctx, const arguments *a)
{
    qv_status status = QV_OK;
    qv_checkpoint *c = NULL;
    qv_manifest *m = NULL;
    qv_features *f = NULL;
    double *probs = NULL;
    qv_buf text = {0};
    QV_TRY(qv_checkpoint_open(ctx, &c, a->checkpoint));
    if (c->settings.normalize == QV_NORM_SPEAKER && !a->manifest && !a->speaker) {
        status = qv_fail(ctx, QV_ERR_USAGE,
                         "%s normalizes by speaker: say whose recordings these are with --speaker ID (10 s or more of one "
                         "voice), or give a manifest with a speaker column",
                         a->checkpoint);
        goto done;
    }
    QV_TRY(list_inputs(ctx, a, &m));
    QV_TRY(qv_model_classify(ctx, c, m, &a->model, &f, &probs));
    QV_TRY(a->json ? print_json(ctx, c, m, f, probs, &text) : print_csv(ctx, c, m, f, probs, &text));
    QV_TRY(qv_buf_check(ctx, &text));
    if (a->out)
        QV_TRY(qv_write_file(ctx, a->out, text.data, text.len));
    else
        fwrite(text.data, 1, text.len, stdout);
    for (size_t i = 0; i < f->n; i++)
        if (f->entries[i].skipped) qv_warn(ctx, "left out %s: %s", m->items[i].name, f->entries[i].skipped);
    if (f->skipped) status = qv_fail(ctx, QV_ERR_DATA, "%zu of %zu recordings could not be classified", f->skipped, f->n);
done:
    qv_buf_free(&text);
    free(probs);
    qv_features_close(f);
    qv_manifest_free(m);
    qv_checkpoint_close(c);
    return status;
}

qv_status qv_cmd_predict(qv_ctx *ctx, int argc, char **argv)
{
    arguments a = {0};
    qv_status status = parse(ctx, &a, argc, argv);
    if (status != QV_OK) return status;
    if (a.help) {
        fputs(help_text, stdout);
        return QV_OK;
    }
    return predict(ctx, &a);
}
