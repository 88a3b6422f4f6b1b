#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cli.h"
#include "data/import.h"
#include "data/labels.h"
#include "data/scan.h"
#include "data/synth.h"

static const char help_text[] =
    "Makes a manifest, the list of recordings with speakers and emotions, from the files of a corpus.\n\n"
    "  quaver corpus emodb wav --out emodb.csv\n"
    "  quaver corpus emodb wav --labels anger,happiness,neutral,sadness --out emodb4.csv\n"
    "  quaver corpus ravdess Audio_Speech_Actors_01-24 --out ravdess.csv\n"
    "  quaver corpus folders my-corpus > manifest.csv\n"
    "  quaver corpus pattern clips --pattern '^(?<speaker>[^_]+)_(?<emotion>[^_]+)_' --labels W=anger,T=sadness\n"
    "  quaver corpus synth synth           the embedded corpus: made, not recorded, for trying things out\n"
    "  quaver corpus list                  every recipe, with counts and what to know\n"
    "  quaver corpus import kaldi data/train --out train.csv\n\n"
    "usage: quaver corpus RECIPE DIR [options]\n"
    "       quaver corpus import KIND LIST [options]     KIND: nkululeko, emobox, huggingface, kaldi\n"
    "  -o, --out FILE        write the manifest there, with paths relative to it; else to standard output, absolute\n"
    "  -l, --labels LIST     keep and merge emotions: anger,joy=happiness,..., or a file such as six.labels\n"
    "  -p, --pattern REGEX   for `pattern`: PCRE2 with named groups emotion, speaker, gender, session, ...; sees the "
    "path\n"
    "                        below DIR if it holds a '/', else the file's name; other groups become columns\n"
    "      --lenient         leave out names that are not understood, instead of giving up\n"
    "      --unique          of recordings with the same content keep only the first\n"
    "      --only COL=VALUE  keep only recordings whose column says so: --only language=english\n"
    "      --tables DIR      where the corpus's label files are, if not below its own folder\n"
    "      --channel N       take this channel of recordings with several, instead of their average\n"
    "  -n, --dry-run         report only, write no manifest\n"
    "      --json            the result as one JSON object: file, recordings, speakers, classes, complete, duplicates,\n"
    "                        unknown; of list: recipes. The manifest then needs --out, or -n\n"
    "  -h, --help\n"
    "of import:\n"
    "      --root DIR        where relative paths start (the list's folder; kaldi: here)\n"
    "      --columns MAP     other names of columns: emotion=class_label,speaker=who\n"
    "  -p, --pattern REGEX   on the files' names: fills what the list leaves open, such as the speaker\n"
    "of synth:\n"
    "      --speakers N      (8)   --sentences N  (8)   --seed S  (1)\n"
    "      --force           over a manifest.csv that is there already\n\n"
    "What was found goes to standard error: counts against those expected, classes by speaker, names that were not\n"
    "understood, recordings with the same content.\n\nrecipes:\n";

enum { OPT_LENIENT = 1000, OPT_UNIQUE, OPT_ONLY, OPT_TABLES, OPT_CHANNEL, OPT_ROOT, OPT_COLUMNS, OPT_SPEAKERS, OPT_SENTENCES, OPT_SEED, OPT_FORCE }; /* synth's own at the end */
static const struct option options[] = {
    {"out", required_argument, NULL, 'o'},
    {"labels", required_argument, NULL, 'l'},
    {"pattern", required_argument, NULL, 'p'},
    {"dry-run", no_argument, NULL, 'n'},
    {"json", no_argument, NULL, 'J'},
    {"help", no_argument, NULL, 'h'},
    {"lenient", no_argument, NULL, OPT_LENIENT},
    {"unique", no_argument, NULL, OPT_UNIQUE},
    {"only", required_argument, NULL, OPT_ONLY},
    {"tables", required_argument, NULL, OPT_TABLES},
    {"channel", required_argument, NULL, OPT_CHANNEL},
    {"root", required_argument, NULL, OPT_ROOT},
    {"columns", required_argument, NULL, OPT_COLUMNS},
    {"speakers", required_argument, NULL, OPT_SPEAKERS},
    {"sentences", required_argument, NULL, OPT_SENTENCES},
    {"seed", required_argument, NULL, OPT_SEED},
    {"force", no_argument, NULL, OPT_FORCE},
    {0},
};
static const char letters[] = "o:l:p:nh";
enum { OPTIONS = sizeof options / sizeof *options - 1 };

typedef struct arguments {
    const char *recipe, *dir, *out;
    const char *kind, *root; /* of import */
    char *columns;           /* with blanks for commas, as maps are written */
    char *labels;            /* without files */
    qv_corpus_options corpus;
    qv_synth_options synth;
    bool dry_run, help, json;
    const char *of_scan, *of_import, *of_synth; /* the last option given that only these ways take */
} arguments;

static qv_status take_number(qv_ctx *ctx, const char *name, uint64_t low, uint64_t high, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(optarg, &end, 10);
    bool digits = optarg[0] && strspn(optarg, "0123456789") == strlen(optarg);
    if (!digits || *end || errno != 0 || n < low || n > high) {
        return qv_fail(ctx, QV_ERR_USAGE, "--%s must be a number from %llu to %llu, not '%s'", name,
                       (unsigned long long)low, (unsigned long long)high, optarg);
    }
    *out = n;
    return QV_OK;
}

static const char *option_name(int c)
{
    int i = 0;
    while (i < OPTIONS - 1 && options[i].val != c) i++;
    return options[i].name;
}

static qv_status take_option(qv_ctx *ctx, arguments *a, int c)
{
    qv_status status = QV_OK;
    uint64_t n = 0;
    if (c != 'h' && c != 'J') *(c >= OPT_SPEAKERS ? &a->of_synth : c >= OPT_ROOT ? &a->of_import : &a->of_scan) = option_name(c);
    switch (c) {
    case 'o':
        a->out = optarg;
        break;
    case 'l':
        a->corpus.labels = optarg;
        break;
    case 'p':
        a->corpus.pattern = optarg;
        break;
    case 'n':
        a->dry_run = true;
        break;
    case 'J':
        a->json = true;
        break;
    case 'h':
        a->help = true;
        break;
    case OPT_LENIENT:
        a->corpus.lenient = true;
        break;
    case OPT_UNIQUE:
        a->corpus.unique = true;
        break;
    case OPT_ONLY:
        a->corpus.only = optarg;
        break;
    case OPT_TABLES:
        a->corpus.tables = optarg;
        break;
    case OPT_CHANNEL:
        status = take_number(ctx, "channel", 1, 64, &n);
        a->corpus.channel = (int)n;
        break;
    case OPT_ROOT:
        a->root = optarg;
        break;
    case OPT_COLUMNS:
        free(a->columns);
        status = qv_strdup(ctx, &a->columns, optarg);
        for (char *s = a->columns; s && *s; s++) *s = (char)(*s == ' ' ? '~' : *s == ',' ? ' ' : *s);
        break;
    case OPT_SPEAKERS:
        status = take_number(ctx, "speakers", 2, QV_SYNTH_MAX, &n);
        a->synth.speakers = (int)n;
        break;
    case OPT_SENTENCES:
        status = take_number(ctx, "sentences", 1, QV_SYNTH_MAX, &n);
        a->synth.sentences = (int)n;
        break;
    case OPT_SEED:
        status = take_number(ctx, "seed", 0, UINT64_MAX, &a->synth.seed);
        break;
    case OPT_FORCE:
        a->synth.force = true;
        break;
    }
    return status;
}

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    int c;
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        if (c == '?') return qv_cli_bad_option(ctx, argc, argv, letters, options);
        qv_status status = take_option(ctx, a, c);
        if (status != QV_OK) return status;
    }
    if (a->help) return QV_OK;
    int words = argc - optind;
    if (words >= 1) a->recipe = argv[optind];
    if (words >= 2) a->dir = argv[optind + 1];
    if (words == 1 && strcmp(a->recipe, "list") == 0) return QV_OK;
    if (words >= 1 && strcmp(a->recipe, "import") == 0) {
        a->kind = a->dir;
        a->dir = words >= 3 ? argv[optind + 2] : NULL;
        if (words == 3) return QV_OK;
        return qv_fail(ctx, QV_ERR_USAGE,
                       "usage: quaver corpus import KIND LIST (KIND: nkululeko, emobox, huggingface, kaldi)");
    }
    if (words == 2) return QV_OK;
    if (words > 2) return qv_fail(ctx, QV_ERR_USAGE, "unexpected word '%s'", argv[optind + 2]);
    const qv_recipe *recipe;
    if (words == 1 && strcmp(a->recipe, "synth") != 0) {
        qv_status status = qv_recipe_find(ctx, &recipe, a->recipe); /* a word that is none has no folder either */
        if (status != QV_OK) return status;
    }
    return qv_fail(ctx, QV_ERR_USAGE, "%s; usage: quaver corpus RECIPE DIR (quaver corpus --help, quaver corpus list)",
                   words == 0 ? "no recipe" : "no folder");
}

static void print_list(void)
{
    for (size_t i = 0; i < qv_n_recipes; i++) {
        const qv_recipe *r = &qv_recipes[i];
        printf("%s\n    %s\n", r->name, r->title);
        if (r->expected) printf("    expected: %s\n", r->expected);
        if (r->recordings) printf("    expected: %zu recordings\n", r->recordings);
        if (r->notes) printf("    %s\n", r->notes);
    }
    printf("synth\n    the embedded corpus: written into DIR, with its manifest.csv\n");
}

static qv_status print_list_json(qv_ctx *ctx)
{
    json_t *list = json_array();
    int failed = !list;
    for (size_t i = 0; i < qv_n_recipes && !failed; i++) {
        const qv_recipe *r = &qv_recipes[i];
        json_t *row = json_pack("{s:s, s:s}", "name", r->name, "title", r->title);
        if (r->recordings) failed |= json_object_set_new(row, "recordings", json_integer((json_int_t)r->recordings));
        if (r->expected) failed |= json_object_set_new(row, "expected", json_string(r->expected));
        if (r->notes) failed |= json_object_set_new(row, "notes", json_string(r->notes));
        failed |= json_array_append_new(list, row);
    }
    json_t *root = failed ? NULL : json_pack("{s:O}", "recipes", list);
    json_decref(list);
    return qv_cli_print_json(ctx, root);
}

/* What was found, as one object. */
static qv_status print_found(qv_ctx *ctx, const arguments *a, const qv_manifest *m, const qv_corpus_report *r)
{
    size_t *count;
    qv_status status = qv_alloc(ctx, &count, (size_t)m->n_classes, sizeof *count);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].label >= 0) count[m->items[i].label]++;
    json_t *classes = json_object(), *unknown = qv_json_names(r->unknown, r->n_unknown), *root = NULL;
    int failed = 0;
    for (int c = 0; c < m->n_classes; c++)
        failed |= json_object_set_new(classes, m->classes[c], json_integer((json_int_t)count[c]));
    if (!failed && classes && unknown)
        root = json_pack("{s:s?, s:I, s:i, s:O, s:b, s:I, s:O}", "file", a->dry_run ? NULL : a->out, "recordings",
                         (json_int_t)m->n, "speakers", m->n_speakers, "classes", classes, "complete", r->complete,
                         "duplicates", (json_int_t)r->duplicates, "unknown", unknown);
    json_decref(classes);
    json_decref(unknown);
    free(count);
    return qv_cli_print_json(ctx, root);
}

static qv_status run_synth(qv_ctx *ctx, const arguments *a)
{
    const char *wrong = a->of_scan ? a->of_scan : a->of_import;
    if (wrong) return qv_fail(ctx, QV_ERR_USAGE, "--%s does not go with synth", wrong);
    qv_status status = qv_synth_corpus(ctx, a->dir, &a->synth);
    if (status == QV_OK && a->json) {
        char *path;
        status = qv_path_join(ctx, &path, a->dir, "manifest.csv");
        if (status == QV_OK)
            status = qv_cli_print_json(ctx, json_pack("{s:s, s:i, s:i}", "file", path, "recordings",
                                                      a->synth.speakers * a->synth.sentences * 4, "speakers", a->synth.speakers));
        free(path);
    } else if (status == QV_OK) {
        qv_info(ctx, "%s/manifest.csv: %d speakers, %d sentences, 4 emotions, %d recordings", a->dir, a->synth.speakers,
                a->synth.sentences, a->synth.speakers * a->synth.sentences * 4);
    }
    return status;
}

static qv_status find_recordings(qv_ctx *ctx, const arguments *a, qv_manifest **m, qv_corpus_report *report)
{
    const qv_corpus_options *o = &a->corpus;
    const qv_recipe *recipe;
    if (a->kind) {
        bool wrong = o->only || o->tables || o->channel || o->lenient;
        if (wrong) return qv_fail(ctx, QV_ERR_USAGE, "--only, --tables, --channel and --lenient do not go with import");
        qv_import_options io = {a->root, a->columns, o->pattern, o->labels, o->unique};
        return qv_corpus_import(ctx, m, report, a->kind, a->dir, &io);
    }
    qv_status status = qv_recipe_find(ctx, &recipe, a->recipe);
    if (status == QV_OK && a->of_import)
        status = qv_fail(ctx, QV_ERR_USAGE, "--%s goes with import only", a->of_import);
    return status == QV_OK ? qv_corpus_scan(ctx, m, report, recipe, a->dir, o) : status;
}

/* labels: as they were given, since they may name a file. */
static qv_status check_output(qv_ctx *ctx, const arguments *a, const char *labels, const qv_manifest *m)
{
    qv_status status = qv_cli_not_labels(ctx, "--out", a->out, labels);
    return status == QV_OK ? qv_cli_not_recording(ctx, "--out", a->out, m) : status;
}

static qv_status run_scan(qv_ctx *ctx, arguments *a)
{
    qv_status status = QV_OK;
    const char *labels = a->corpus.labels;
    qv_corpus_report report = {0};
    qv_manifest *m = NULL;
    if (a->of_synth) {
        status = qv_fail(ctx, QV_ERR_USAGE, "--%s goes with synth only", a->of_synth);
        goto done;
    }
    if (labels) {
        QV_TRY(qv_labels_expand(ctx, &a->labels, labels));
        a->corpus.labels = a->labels;
    }
    if (a->json && !a->out && !a->dry_run) {
        status = qv_fail(ctx, QV_ERR_USAGE, "--json takes standard output: the manifest needs --out FILE, or -n");
        goto done;
    }
    QV_TRY(find_recordings(ctx, a, &m, &report));
    if (!a->dry_run) {
        QV_TRY(check_output(ctx, a, labels, m));
        QV_TRY(qv_manifest_write(ctx, m, a->out, stdout));
    }
    if (a->json) QV_TRY(print_found(ctx, a, m, &report));
done:
    if (report.text.data) {
        qv_calm(report.text.data); /* names of files stand in it */
        fputs(report.text.data, stderr);
    }
    if (status == QV_OK && a->out && !a->dry_run) qv_info(ctx, "wrote %s", a->out);
    qv_corpus_report_free(&report);
    qv_manifest_free(m);
    return status;
}

qv_status qv_cmd_corpus(qv_ctx *ctx, int argc, char **argv)
{
    arguments a = {.synth = qv_synth_defaults()};
    qv_status status = parse(ctx, &a, argc, argv);
    if (status != QV_OK) goto done;
    if (a.help) {
        fputs(help_text, stdout);
        for (size_t i = 0; i < qv_n_recipes; i++) printf("  %-22s %s\n", qv_recipes[i].name, qv_recipes[i].title);
    } else if (strcmp(a.recipe, "list") == 0 && !a.dir) {
        if (a.json)
            status = print_list_json(ctx);
        else
            print_list();
    } else {
        status = strcmp(a.recipe, "synth") == 0 ? run_synth(ctx, &a) : run_scan(ctx, &a);
    }
done:
    free(a.columns);
    free(a.labels);
    return status;
}

const struct option *qv_cli_corpus_options(void) { return options; }
