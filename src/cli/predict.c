/* quaver predict */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/json.h"
#include "cli/cli.h"
#include "train/metrics.h"
#include "train/speaker.h"

static const char help_text[] =
    "Usage: quaver predict --checkpoint CKPT INPUT... [options]\n\n"
    "  quaver predict --checkpoint runs/emodb/fold-1/best.safetensors call.wav\n"
    "  quaver predict --checkpoint best.safetensors recordings/ --format jsonl --out answers.jsonl\n"
    "  quaver predict --checkpoint best.safetensors --manifest list.csv\n"
    "  quaver predict --checkpoint best.safetensors --timeline meeting.flac --svg meeting.svg > meeting.csv\n"
    "  arecord -q -t raw -f S16_LE -r 16000 | quaver predict --checkpoint best.safetensors --stream\n\n"
    "Classifies recordings: files, folders (every audio or .npy file below them; others are counted on standard\n"
    "error), or those of a manifest. A line a recording with the probabilities of all classes; what cannot be read\n"
    "is listed, and the exit code is 1. Where a manifest has parts or channels of files, they are named by columns\n"
    "start, end, channel; where there are several manifests, by a column corpus.\n"
    "With --timeline a line every second of each recording, however long; with --stream the same for samples\n"
    "from standard input, as they come; both on the CPU.\n"
    "After a training over several corpora, a manifest with the name of one of them, or its column corpus, says whose\n"
    "normalization is taken; everything else is normalized by all that trained.\n\n"
    "  -k, --checkpoint CKPT  best.safetensors or last.safetensors of a run\n"
    "  -m, --manifest FILE    CSV with file and, where the checkpoint needs it, speaker; several: give it again\n"
    "  -F, --format NAME      csv (default) or jsonl; --json is short for jsonl\n"
    "  -o, --out FILE         instead of standard output\n"
    "      --embeddings FILE  also write each recording's embedding as CSV (see quaver eval --help)\n"
    "      --speaker ID       all inputs are this voice's (speaker normalization: 10 s of it or more); of a manifest\n"
    "                         that says who speaks only those are taken\n"
    "      --speaker-stats F  all inputs are of the voice whose statistics quaver stats wrote there\n"
    "      --timeline         CSV or JSON lines with start, end, level in dB of full scale, emotion\n"
    "      --svg FILE         the timeline of one recording as a picture too\n"
    "      --stream           samples on standard input; --encoding s16, s24, s32, f32 (little-endian) or u8;\n"
    "                         --rate HZ (16000) --channels N (1)\n"
    "      --span S           seconds that a decision of --timeline or --stream is about (4)\n"
    "      --step S           seconds from one to the next (1)\n"
    "  -d, --device NAME      cpu, cuda (cuda:1, cuda:GPU-UUID), ref, ref32\n"
    "  -j, --threads N        of the CPU\n"
    "      --cache DIR        keep features there; default: nowhere\n";

typedef struct arguments {
    const char *checkpoint, *out, *speaker, *stats, *embeddings;
    char *manifests; /* with commas between several */
    qv_listen_words listen;
    bool timeline;
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
    {"speaker-stats", required_argument, NULL, 'S'}, {"timeline", no_argument, NULL, 't'},
    {"svg", required_argument, NULL, 'v'},        {"stream", no_argument, NULL, 'i'},
    {"encoding", required_argument, NULL, 'e'},   {"rate", required_argument, NULL, 'r'},
    {"channels", required_argument, NULL, 'c'},   {"span", required_argument, NULL, 'w'},
    {"step", required_argument, NULL, 'x'},       {"json", no_argument, NULL, 'J'},
    {"embeddings", required_argument, NULL, 'E'},
    {"help", no_argument, NULL, 'h'},
    {0},
};
static const char letters[] = "k:m:F:o:d:j:h";

/* What goes with --stream and --timeline. */
static qv_status check_listening(qv_ctx *ctx, arguments *a)
{
    qv_listen_words *w = &a->listen;
    w->checkpoint = a->checkpoint;
    w->stats = a->stats;
    w->out = a->out;
    w->json = a->json;
    w->threads = a->model.threads;
    w->inputs = a->inputs;
    w->n_inputs = a->n_inputs;
    if (a->manifests || a->speaker || a->embeddings || !a->model.no_cache || a->model.device != QV_DEVICE_CPU)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "--manifest, --speaker, --embeddings, --device and --cache do not go with --stream or --timeline; the voice of a "
                       "checkpoint that normalizes by speaker is given by --speaker-stats FILE (quaver stats)");
    if (w->stream && (a->timeline || w->svg || w->n_inputs || w->out))
        return qv_fail(ctx, QV_ERR_USAGE, "--stream reads standard input and writes standard output: no recordings, --timeline, --svg or --out");
    if (!w->stream && (w->encoding || w->rate > 0 || w->channels > 0))
        return qv_fail(ctx, QV_ERR_USAGE, "--encoding, --rate and --channels describe the samples of --stream");
    if (!w->stream && w->n_inputs == 0) return qv_fail(ctx, QV_ERR_USAGE, "--timeline of which recording?");
    for (int i = 0; i < w->n_inputs; i++)
        if (qv_is_dir(w->inputs[i]))
            return qv_fail(ctx, QV_ERR_USAGE, "%s is a folder; --timeline takes recordings", w->inputs[i]);
    if (w->svg && w->n_inputs != 1) return qv_fail(ctx, QV_ERR_USAGE, "--svg is a picture of one recording; %d are given", w->n_inputs);
    return QV_OK;
}

static qv_status take_format(qv_ctx *ctx, arguments *a, const char *name)
{
    bool csv = strcmp(name, "csv") == 0;
    if (!csv && strcmp(name, "jsonl") != 0)
        return qv_fail(ctx, QV_ERR_USAGE, "--format %s: expected csv or jsonl", name);
    if (csv && a->json)
        return qv_fail(ctx, QV_ERR_USAGE, "--json and --format csv contradict each other; give one of them");
    a->json = !csv;
    return QV_OK;
}

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    qv_status status = QV_OK;
    int c;
    optind = 0;
    opterr = 0;
    const char *format = NULL;
    a->model.no_cache = true;
    while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        switch (c) {
        case 'k': a->checkpoint = optarg; break;
        case 'm': QV_TRY(qv_cli_append(ctx, &a->manifests, ',', optarg)); break;
        case 'o': a->out = optarg; break;
        case 's': a->speaker = optarg; break;
        case 'S': a->stats = optarg; break;
        case 'E': a->embeddings = optarg; break;
        case 'J': a->json = true; break;
        case 't': a->timeline = true; break;
        case 'v': a->listen.svg = optarg; break;
        case 'i': a->listen.stream = true; break;
        case 'e': a->listen.encoding = optarg; break;
        case 'r': QV_TRY(qv_cli_whole(ctx, "--rate", optarg, 1000, 768000, &a->listen.rate)); break;
        case 'c': QV_TRY(qv_cli_whole(ctx, "--channels", optarg, 1, 64, &a->listen.channels)); break;
        case 'w': QV_TRY(qv_cli_number(ctx, "--span", optarg, 0.01, 600, &a->listen.span)); break;
        case 'x': QV_TRY(qv_cli_number(ctx, "--step", optarg, 0.01, 600, &a->listen.step)); break;
        case 'F': format = optarg; break;
        case 'd': QV_TRY(qv_cli_device(ctx, optarg, &a->model.device, &a->model.gpu)); break;
        case 'j': QV_TRY(qv_cli_threads(ctx, optarg, &a->model.threads)); break;
        case 'C':
            a->model.cache_dir = optarg;
            a->model.no_cache = false;
            break;
        case 'h': a->help = true; break;
        default: return qv_cli_bad_option(ctx, argc, argv, letters, options);
        }
    }
    if (a->help) return QV_OK;
    if (format) QV_TRY(take_format(ctx, a, format));
    a->inputs = argv + optind;
    a->n_inputs = argc - optind;
    a->model.one_speaker = a->speaker || a->stats;
    if (!a->checkpoint) return qv_fail(ctx, QV_ERR_USAGE, "--checkpoint CKPT is needed; see quaver predict --help");
    if (a->listen.stream || a->timeline) return check_listening(ctx, a);
    if (a->listen.svg || a->listen.encoding || a->listen.rate > 0 || a->listen.channels > 0 || a->listen.span > 0 || a->listen.step > 0)
        return qv_fail(
            ctx, QV_ERR_USAGE,
            "--svg goes with --timeline, --span and --step with --timeline or --stream, --encoding, --rate and "
            "--channels with --stream");
    if (!a->manifests == !a->n_inputs)
        return qv_fail(ctx, QV_ERR_USAGE, "give recordings or folders, or --manifest FILE; see quaver predict --help");
done:
    return status;
}

static qv_status print_csv(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, const qv_features *f,
                           const double *probs, qv_buf *out)
{
    size_t classes = (size_t)c->n_classes;
    const qv_cli_rows rows = qv_cli_rows_of(m);
    qv_status status = QV_OK;
    const char **cells = NULL;
    char(*text)[32] = NULL, numbers[QV_PART_CELLS][32];
    QV_TRY(qv_alloc(ctx, &cells, QV_CLI_ROW_CELLS + 1 + classes, sizeof *cells));
    QV_TRY(qv_alloc(ctx, &text, classes, sizeof *text));
    size_t named = qv_cli_row_names(rows, cells);
    cells[named++] = "predicted";
    qv_csv_header(out, cells, named, "p_", c->classes, classes);
    for (size_t k = 0; k < classes; k++) cells[named + k] = text[k];
    for (size_t i = 0; i < m->n; i++) {
        const double *p = probs + i * classes;
        if (f->entries[i].frames == 0) continue;
        size_t n = qv_cli_row_cells(rows, &m->items[i], numbers, cells);
        cells[n] = c->classes[qv_largest(p, c->n_classes)];
        for (size_t k = 0; k < classes; k++) snprintf(text[k], sizeof text[k], "%.6f", p[k]);
        qv_csv_write(out, cells, named + classes);
    }
done:
    free(text);
    free(cells);
    return status;
}

/* *unnamed: how many have no line, since JSON cannot hold their names. */
static qv_status print_json(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, const qv_features *f,
                            const double *probs, qv_buf *out, size_t *unnamed)
{
    const qv_cli_rows rows = qv_cli_rows_of(m);
    for (size_t i = 0; i < m->n; i++) {
        const double *p = probs + i * (size_t)c->n_classes;
        if (f->entries[i].frames == 0) continue;
        const char *name = m->items[i].name;
        if (!qv_is_utf8(name)) {
            qv_warn(ctx, "left out %s: its name is not UTF-8 and cannot stand in JSON; rename it, or take --format csv",
                    name);
            ++*unnamed;
            continue;
        }
        json_t *all = json_object(), *row = qv_cli_row_json(rows, &m->items[i]);
        int lost = 0;
        for (int k = 0; k < c->n_classes; k++) lost |= json_object_set_new(all, c->classes[k], json_real(p[k]));
        lost |= json_object_set_new(row, "predicted", json_string(c->classes[qv_largest(p, c->n_classes)]));
        lost |= json_object_set_new(row, "probabilities", all);
        char *text = lost ? NULL : qv_json_text(row, JSON_COMPACT | JSON_REAL_PRECISION(7));
        if (text) qv_buf_printf(out, "%s\n", text);
        bool failed = !text;
        free(text);
        json_decref(row);
        if (failed) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for a line of JSON");
    }
    return QV_OK;
}

/* The voice's statistics from a file, where they are given; with speaker normalization something must say who speaks. */
static qv_status open_speaker(qv_ctx *ctx, const arguments *a, const qv_checkpoint *c, qv_speaker *speaker)
{
    bool by_speaker = c->settings.normalize == QV_NORM_SPEAKER;
    if (!by_speaker && (a->stats || a->speaker))
        return qv_fail(ctx, QV_ERR_USAGE, "%s does not normalize by speaker: %s has no place in it", a->checkpoint,
                       a->stats ? "--speaker-stats" : "--speaker");
    if (by_speaker && !a->manifests && !a->speaker && !a->stats)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "%s normalizes by speaker: say whose recordings these are with --speaker ID (10 s or more of one "
                       "voice) or --speaker-stats FILE (quaver stats), or give a manifest with a speaker column",
                       a->checkpoint);
    if (!a->stats) return QV_OK;
    qv_status status = qv_speaker_read(ctx, speaker, a->stats, &c->settings);
    if (status == QV_OK && a->speaker && strcmp(a->speaker, speaker->name) != 0)
        return qv_fail(ctx, QV_ERR_USAGE, "%s holds statistics of speaker %s, not of %s", a->stats, speaker->name, a->speaker);
    return status;
}

/* Of several corpora, whose speakers are named CORPUS/SPEAKER, statistics may know the name alone. */
static bool is_voice(const char *speaker, const char *voice)
{
    const char *slash = strchr(speaker, '/');
    return strcmp(speaker, voice) == 0 || (slash && strcmp(slash + 1, voice) == 0);
}

/* Statistics of one voice are applied to all recordings, also to those that a manifest says are of somebody else. */
static void warn_of_others(qv_ctx *ctx, const arguments *a, const qv_speaker *s, const qv_manifest *m)
{
    size_t others = 0;
    if (!s->name || !a->manifests) return;
    for (size_t i = 0; i < m->n; i++)
        others += strcmp(m->items[i].speaker, QV_NO_SPEAKER) != 0 && !is_voice(m->items[i].speaker, s->name);
    if (others)
        qv_warn(ctx,
                "%zu of %zu recordings are, by %s, of other speakers than %s, whose statistics these are; --speaker %s "
                "takes only its own",
                others, m->n, m->path, s->name, s->name);
}

static qv_status check_outputs(qv_ctx *ctx, const arguments *a, const qv_manifest *m)
{
    const char *const outs[][2] = {{"--out", a->out}, {"--embeddings", a->embeddings}};
    const char *const needed[] = {a->checkpoint, a->stats};
    qv_status status = qv_cli_not_input(ctx, "--embeddings", a->embeddings, a->out);
    for (size_t i = 0; i < 2 && status == QV_OK; i++) {
        for (size_t k = 0; k < sizeof needed / sizeof *needed && status == QV_OK; k++)
            status = qv_cli_not_input(ctx, outs[i][0], outs[i][1], needed[k]);
        if (status == QV_OK) status = qv_cli_not_recording(ctx, outs[i][0], outs[i][1], m);
    }
    return status;
}

static qv_status predict(qv_ctx *ctx, const arguments *a)
{
    qv_status status = QV_OK;
    qv_checkpoint *c = NULL;
    qv_manifest *m = NULL;
    qv_features *f = NULL;
    qv_model_answers answers = {0};
    qv_buf text = {0};
    qv_speaker speaker = {0};
    qv_model_options model = a->model;
    size_t unnamed = 0;
    QV_TRY(qv_checkpoint_open(ctx, &c, a->checkpoint));
    QV_TRY(open_speaker(ctx, a, c, &speaker));
    if (a->out) QV_TRY(qv_out_try(ctx, a->out));
    if (a->embeddings) QV_TRY(qv_out_try(ctx, a->embeddings));
    model.norm = speaker.norm;
    model.embeddings = a->embeddings != NULL;
    QV_TRY(qv_cli_inputs(ctx, &m, c->settings.kind, a->manifests, a->inputs, a->n_inputs));
    QV_TRY(check_outputs(ctx, a, m));
    if (a->manifests && a->speaker) QV_TRY(qv_cli_only_voice(ctx, m, a->speaker));
    warn_of_others(ctx, a, &speaker, m);
    QV_TRY(qv_model_classify(ctx, c, m, &model, &f, &answers));
    QV_TRY(a->json ? print_json(ctx, c, m, f, answers.probs, &text, &unnamed)
                   : print_csv(ctx, c, m, f, answers.probs, &text));
    QV_TRY(qv_buf_check(ctx, &text));
    if (a->embeddings) QV_TRY(qv_cli_embeddings(ctx, a->embeddings, &(qv_cli_judged){c, m, f, &answers, NULL}));
    if (a->out)
        QV_TRY(qv_write_file(ctx, a->out, text.data, text.len));
    else
        fwrite(text.data, 1, text.len, stdout);
    if (f->skipped)
        status = qv_fail(ctx, QV_ERR_DATA, "%zu of %zu recordings could not be classified", f->skipped, f->n);
    else if (unnamed)
        status = qv_fail(ctx, QV_ERR_DATA, "%zu of %zu recordings have no line", unnamed, f->n);
done:
    qv_speaker_free(&speaker);
    qv_buf_free(&text);
    qv_model_answers_free(&answers);
    qv_features_close(f);
    qv_manifest_free(m);
    qv_checkpoint_close(c);
    return status;
}

qv_status qv_cmd_predict(qv_ctx *ctx, int argc, char **argv)
{
    arguments a = {0};
    qv_status status = parse(ctx, &a, argc, argv);
    if (status == QV_OK && a.help)
        fputs(help_text, stdout);
    else if (status == QV_OK)
        status = a.timeline || a.listen.stream ? qv_cli_listen(ctx, &a.listen) : predict(ctx, &a);
    free(a.manifests);
    return status;
}

const struct option *qv_cli_predict_options(void) { return options; }
