/* quaver stats */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/cli.h"
#include "train/speaker.h"

static const char help_text[] =
    "Usage: quaver stats --checkpoint CKPT --speaker ID --out FILE INPUT...\n\n"
    "  quaver stats --checkpoint best.safetensors --speaker anna --out anna.stats recordings/anna\n"
    "  quaver predict --checkpoint best.safetensors --speaker-stats anna.stats new.wav\n\n"
    "Writes the statistics of one voice (mean and deviation of every band), for checkpoints trained with\n"
    "--normalize speaker. Any recordings of the voice will do, 10 s or more of them in all, best in several\n"
    "moods; their emotions need not be known.\n\n"
    "  -k, --checkpoint CKPT  the statistics are for its features\n"
    "  -s, --speaker ID       name of the voice\n"
    "  -m, --manifest FILE    the recordings of this speaker there, instead of INPUT; several: give it again\n"
    "  -o, --out FILE         what to write\n"
    "  -j, --threads N        of the CPU\n"
    "      --cache DIR        keep features there; default: nowhere\n"
    "      --json             the result as one JSON object: file, speaker, seconds, recordings,\n"
    "                         skipped: how many could not be read\n"
    "  -h, --help             this text\n";

static const struct option options[] = {
    {"checkpoint", required_argument, NULL, 'k'}, {"speaker", required_argument, NULL, 's'},
    {"manifest", required_argument, NULL, 'm'},   {"out", required_argument, NULL, 'o'},
    {"threads", required_argument, NULL, 'j'},    {"cache", required_argument, NULL, 'C'},
    {"json", no_argument, NULL, 'J'},             {"help", no_argument, NULL, 'h'},
    {0},
};
static const char letters[] = "k:s:m:o:j:h";

typedef struct arguments {
    const char *checkpoint, *speaker, *out;
    char *manifests; /* with commas between several */
    qv_model_options model;
    bool help, json;
    char **inputs;
    int n_inputs;
} arguments;

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    qv_status status = QV_OK;
    opterr = 0;
    a->model.no_cache = true;
    for (int c; (c = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        switch (c) {
        case 'k': a->checkpoint = optarg; break;
        case 's': a->speaker = optarg; break;
        case 'm': QV_TRY(qv_cli_append(ctx, &a->manifests, ',', optarg)); break;
        case 'o': a->out = optarg; break;
        case 'j': QV_TRY(qv_cli_threads(ctx, optarg, &a->model.threads)); break;
        case 'C':
            a->model.cache_dir = optarg;
            a->model.no_cache = false;
            break;
        case 'J': a->json = true; break;
        case 'h': a->help = true; return QV_OK;
        default: return qv_cli_bad_option(ctx, argc, argv, letters, options);
        }
    }
    a->inputs = argv + optind;
    a->n_inputs = argc - optind;
    if (!a->checkpoint || !a->speaker || !*a->speaker || !a->out)
        return qv_fail(ctx, QV_ERR_USAGE, "--checkpoint, --speaker and --out are all needed; see quaver stats --help");
    if (!a->manifests == !a->n_inputs)
        return qv_fail(ctx, QV_ERR_USAGE, "give recordings or folders of the voice, or --manifest FILE; see quaver stats --help");
done:
    return status;
}

static qv_status print_result(qv_ctx *ctx, const arguments *a, const qv_speaker *s)
{
    if (a->json)
        return qv_cli_print_json(ctx, json_pack("{s:s, s:s, s:f, s:I, s:I}", "file", a->out, "speaker", s->name,
                                                "seconds", s->seconds, "recordings", (json_int_t)s->recordings,
                                                "skipped", (json_int_t)s->skipped));
    printf("%s: speaker %s, %.1f s in %zu recordings", a->out, s->name, s->seconds, s->recordings);
    if (s->skipped) printf(", %zu left out", s->skipped);
    putchar('\n');
    return QV_OK;
}

qv_status qv_cmd_stats(qv_ctx *ctx, int argc, char **argv)
{
    arguments a = {0};
    qv_checkpoint *c = NULL;
    qv_manifest *m = NULL;
    qv_speaker s = {0};
    qv_status status = QV_OK;
    QV_TRY(parse(ctx, &a, argc, argv));
    if (a.help) {
        fputs(help_text, stdout);
        goto done;
    }
    QV_TRY(qv_checkpoint_open(ctx, &c, a.checkpoint));
    if (c->settings.normalize != QV_NORM_SPEAKER) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s normalizes by %s, not by speaker: it needs no statistics of a voice",
                         a.checkpoint, qv_settings_choice(&c->settings, "features.normalize"));
        goto done;
    }
    QV_TRY(qv_out_try(ctx, a.out));
    QV_TRY(qv_cli_inputs(ctx, &m, c->settings.kind, a.manifests, a.inputs, a.n_inputs));
    QV_TRY(qv_cli_not_input(ctx, "--out", a.out, a.checkpoint));
    QV_TRY(qv_cli_not_input(ctx, "--out", a.out, a.manifests));
    QV_TRY(qv_cli_not_recording(ctx, "--out", a.out, m));
    if (a.manifests) QV_TRY(qv_cli_only_voice(ctx, m, a.speaker));
    QV_TRY(qv_speaker_compute(ctx, &s, a.speaker, &c->settings, m, &a.model));
    QV_TRY(qv_speaker_write(ctx, &s, &c->settings, a.out));
    status = print_result(ctx, &a, &s);
done:
    qv_speaker_free(&s);
    qv_manifest_free(m);
    qv_checkpoint_close(c);
    free(a.manifests);
    return status;
}

const struct option *qv_cli_stats_options(void) { return options; }
