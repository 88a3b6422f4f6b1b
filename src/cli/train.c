/* quaver train */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "data/labels.h"
#include "run/run.h"

static const char help_text[] =
    "Usage: quaver train --manifest FILE --out RUN [options]\n\n"
    "  quaver train --manifest emodb.csv --folds data/folds/emodb.txt --out runs/emodb\n"
    "  quaver train --manifest all.csv --folds speaker --preset reference --seed 2 --out runs/two\n"
    "  quaver train --config data/configs/speech.ini --manifest emodb.csv --shake.gamma0=1 --out runs/classic\n"
    "  quaver train --resume --out runs/emodb\n\n"
    "Trains one network a fold, evaluates it on speakers it has not heard, and writes RUN/report.html.\n\n"
    "  -m, --manifest FILE    CSV with file, speaker, emotion (see quaver corpus); several: give it again\n"
    "  -o, --out RUN          run folder; one that holds a run is never overwritten without --force\n"
    "  -c, --config FILE      settings in INI form\n"
    "  -p, --preset NAME      small (width 16, one block a stage) or reference (width 32, two), both of the order\n"
    "                         preact-bn, also where --config says otherwise\n"
    "  -f, --folds SPEC       speaker, session, corpus, a number K, column, split, or a file of folds; all are trained\n"
    "      --split MODE       speakers (default), or random: results are then too good\n"
    "      --labels LIST      select and merge classes: anger,joy=happiness, or a file such as six.labels; again for\n"
    "                         each of several manifests, once for all\n"
    "      --order NAME       preact, preact-bn, relu, relu-bn (-bn: normalization before the shake)\n"
    "      --shortcut KIND    conv or shift, where a block halves both axes\n"
    "      --forward MODE     even or shake        --backward MODE  even, shake or keep\n"
    "      --level MODE       batch or sample      --gamma0 X       start of the scale before the shake\n"
    "      --normalize WHAT   none, corpus, speaker, utterance\n"
    "      --loudness WHAT    none or rms\n"
    "      --epochs N         --batch N   --lr X   --seed N   --width N   --blocks N   --groups N\n"
    "      --init-from FILE   begin with the weights of a checkpoint; other classes get a new classifier\n"
    "  -d, --device NAME      cpu, cuda (cuda:1, cuda:GPU-UUID), ref (double, slow), ref32 (float, slow)\n"
    "      --precision NAME   of a GPU: fp32, tf32 or bf16, the last the fastest\n"
    "  -j, --threads N        of the CPU\n"
    "      --cache DIR        where features are kept; --no-cache: nowhere\n"
    "      --resume           finish what RUN holds, to the bit as if never interrupted\n"
    "      --force            start anew over what RUN holds\n"
    "  -n, --dry-run          print the settings in effect and who is in which part (--json: as one\n"
    "                         object); train and write nothing\n"
    "      --json             print summary.json instead of the lines at the end\n"
    "  --section.key=value    any setting: `quaver help settings`\n";

/* Options that are short for a setting. */
static const struct {
    const char *option, *setting;
} shorthands[] = {
    {"manifest", "corpus.manifest"}, {"labels", "corpus.labels"},       {"folds", "split.folds"},
    {"split", "split.mode"},         {"order", "net.order"},            {"forward", "shake.forward"},
    {"backward", "shake.backward"},  {"level", "shake.level"},          {"gamma0", "shake.gamma0"},
    {"normalize", "features.normalize"}, {"loudness", "features.loudness"}, {"epochs", "train.epochs"},
    {"batch", "train.batch"},        {"lr", "train.lr"},                {"seed", "train.seed"},
    {"width", "net.width"},          {"blocks", "net.blocks"},          {"groups", "net.groups"},
    {"shortcut", "net.shortcut"},
    {"init-from", "train.init_from"},
    {"precision", "run.precision"},  {"device", "run.device"},          {"threads", "run.threads"},
};
enum { SHORTHANDS = sizeof shorthands / sizeof *shorthands, OTHERS = 10 };

enum { OPT_CONFIG = 1000, OPT_PRESET, OPT_OUT, OPT_CACHE, OPT_NO_CACHE, OPT_RESUME, OPT_FORCE, OPT_HELP, OPT_DRY_RUN, OPT_JSON };
static const struct option others[OTHERS + 1] = {
    {"config", required_argument, NULL, OPT_CONFIG}, {"preset", required_argument, NULL, OPT_PRESET},
    {"out", required_argument, NULL, OPT_OUT},       {"cache", required_argument, NULL, OPT_CACHE},
    {"no-cache", no_argument, NULL, OPT_NO_CACHE},   {"resume", no_argument, NULL, OPT_RESUME},
    {"force", no_argument, NULL, OPT_FORCE},         {"help", no_argument, NULL, OPT_HELP},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},     {"json", no_argument, NULL, OPT_JSON},
};

/* Of what is typed most. */
static const struct {
    char letter;
    const char *option;
} letters[] = {{'m', "manifest"}, {'f', "folds"}, {'d', "device"}, {'j', "threads"}, {'c', "config"},
               {'p', "preset"},   {'o', "out"},   {'h', "help"},   {'n', "dry-run"}};

/* c: a letter, or already the code of an option. */
static int long_code(const struct option *options, int c)
{
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        for (const struct option *o = options; letters[i].letter == c && o->name; o++)
            if (strcmp(o->name, letters[i].option) == 0) return o->val;
    return c;
}

typedef struct arguments {
    qv_settings *s;
    qv_run_options run;
    bool help, json;
    bool apply; /* second pass: config and preset are in place, options go over them */
    const char *config, *preset;
    int manifests, labels; /* how often these were given in this pass */
} arguments;

/* Options that may be given several times make a list; the first one still replaces what a file said. */
static qv_status set_or_append(qv_ctx *ctx, arguments *a, const char *setting, char separator, int *given)
{
    const char *now = separator == ',' ? a->s->manifest : a->s->labels;
    char *list = NULL;
    qv_status status = QV_OK;
    if ((*given)++ > 0) QV_TRY(qv_strdup(ctx, &list, now));
    QV_TRY(qv_cli_append(ctx, &list, separator, optarg));
    QV_TRY(qv_settings_set(ctx, a->s, setting, list));
done:
    free(list);
    return status;
}

static qv_status take_setting(qv_ctx *ctx, arguments *a, const char *setting)
{
    if (!a->apply) return QV_OK;
    if (strcmp(setting, "corpus.manifest") == 0) return set_or_append(ctx, a, setting, ',', &a->manifests);
    if (strcmp(setting, "corpus.labels") == 0) return set_or_append(ctx, a, setting, '|', &a->labels);
    return qv_settings_set(ctx, a->s, setting, optarg);
}

static qv_status take_option(qv_ctx *ctx, arguments *a, int code)
{
    if (code < SHORTHANDS) return take_setting(ctx, a, shorthands[code].setting);
    switch (code) {
    case OPT_CONFIG: a->config = optarg; break;
    case OPT_PRESET: a->preset = optarg; break;
    case OPT_OUT: a->run.out = optarg; break;
    case OPT_CACHE: a->run.cache_dir = optarg; break;
    case OPT_NO_CACHE: a->run.no_cache = true; break;
    case OPT_RESUME: a->run.resume = true; break;
    case OPT_FORCE: a->run.force = true; break;
    case OPT_HELP: a->help = true; break;
    case OPT_DRY_RUN: a->run.dry_run = true; break;
    case OPT_JSON: a->json = true; break;
    }
    return QV_OK;
}

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    static const char short_options[] = "m:o:c:p:f:d:j:nh";
    struct option options[SHORTHANDS + OTHERS + 1] = {0};
    for (int i = 0; i < SHORTHANDS; i++) options[i] = (struct option){shorthands[i].option, required_argument, NULL, i};
    memcpy(options + SHORTHANDS, others, sizeof others);
    optind = 0; /* start over: argv is parsed twice */
    opterr = 0;
    int c;
    while ((c = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
        if (c == '?') return qv_cli_bad_option(ctx, argc, argv, short_options, options);
        qv_status status = take_option(ctx, a, long_code(options, c));
        if (status != QV_OK) return status;
    }
    if (optind < argc)
        return qv_fail(ctx, QV_ERR_USAGE, "unexpected word %s; quaver train --help shows how it is called", argv[optind]);
    return QV_OK;
}

static qv_status gather_settings(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    qv_status status = QV_OK;
    qv_settings discarded;
    char **words = NULL, *labels = NULL;
    int count = argc;
    QV_TRY(qv_settings_init(ctx, &discarded));
    QV_TRY(qv_alloc(ctx, &words, (size_t)argc + 1, sizeof *words));
    memcpy(words, argv, (size_t)argc * sizeof *words);
    QV_TRY(qv_cli_overrides(ctx, &discarded, &count, words)); /* leaves the plain options */
    QV_TRY(parse(ctx, a, count, words));
    if (a->help) goto done;
    if (!a->run.out) {
        status = qv_fail(ctx, QV_ERR_USAGE, "no run folder: --out RUN says where results go");
        goto done;
    }
    QV_TRY(qv_cli_check_cache(ctx, a->run.cache_dir, a->run.no_cache));
    if (a->run.resume && a->run.force) {
        status = qv_fail(ctx, QV_ERR_USAGE,
                         "--resume goes on with what %s holds, --force starts anew: give one of them", a->run.out);
        goto done;
    }
    if (a->run.resume) QV_TRY(qv_run_settings(ctx, a->s, a->run.out));
    if (a->config) QV_TRY(qv_settings_read(ctx, a->s, a->config));
    if (a->preset) QV_TRY(qv_settings_preset(ctx, a->s, a->preset));
    a->apply = true;
    QV_TRY(parse(ctx, a, count, words));
    QV_TRY(qv_cli_overrides(ctx, a->s, &argc, argv));
    QV_TRY(qv_labels_expand(ctx, &labels, a->s->labels)); /* the run folder then needs no other file */
    QV_TRY(qv_settings_set(ctx, a->s, "corpus.labels", labels));
done:
    qv_settings_free(&discarded);
    free(words);
    free(labels);
    return status;
}

static json_t *part_json(const qv_part_score *p)
{
    return json_pack("{s:I, s:i}", "n", (json_int_t)p->n, "speakers", p->speakers);
}

/* What a dry run found, with the settings in effect. */
static json_t *plan_json(const qv_settings *s, const qv_summary *m)
{
    json_t *folds = json_array();
    for (size_t i = 0; i < m->n_folds; i++) {
        const qv_fold_summary *f = &m->folds[i];
        json_array_append_new(folds, json_pack("{s:s, s:i, s:o, s:o, s:o}", "name", f->name, "overlap", f->overlap,
                                               "train", part_json(&f->train), "val", part_json(&f->val), "test",
                                               part_json(&f->test)));
    }
    return json_pack("{s:o, s:I, s:i, s:o, s:I, s:o}", "settings", qv_settings_json(s), "recordings",
                     (json_int_t)m->recordings, "speakers", m->speakers, "classes",
                     qv_json_names(m->classes, (size_t)m->n_classes), "parameters", (json_int_t)m->parameters, "folds",
                     folds);
}

qv_status qv_cmd_train(qv_ctx *ctx, int argc, char **argv)
{
    qv_status status = QV_OK;
    qv_settings s;
    qv_buf command = {0}, lines = {0};
    qv_summary summary = {0};
    arguments a = {.s = &s};
    QV_TRY(qv_settings_init(ctx, &s));
    qv_cli_quote(&command, argc, argv);
    QV_TRY(qv_buf_check(ctx, &command));
    a.run.command = command.data;
    QV_TRY(gather_settings(ctx, &a, argc, argv));
    if (a.help) {
        fputs(help_text, stdout);
        goto done;
    }
    QV_TRY(qv_run(ctx, &s, &a.run, &summary));
    if (a.run.dry_run && a.json) {
        status = qv_cli_print_json(ctx, plan_json(&s, &summary));
        goto done;
    }
    if (a.run.dry_run)
        qv_settings_print(&s, &lines);
    else if (a.json)
        QV_TRY(qv_summary_json(ctx, &summary, &lines));
    else
        qv_summary_lines(&lines, &summary, a.run.out);
    QV_TRY(qv_buf_check(ctx, &lines));
    fputs(lines.data, stdout);
done:
    qv_buf_free(&lines);
    qv_buf_free(&command);
    qv_summary_free(&summary);
    qv_settings_free(&s);
    return status;
}

const struct option *qv_cli_train_options(void) { return others; }
const char *qv_cli_train_shorthand(size_t i) { return i < SHORTHANDS ? shorthands[i].option : NULL; }
