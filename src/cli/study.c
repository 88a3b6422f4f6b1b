/* quaver study */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/cli.h"
#include "study/study.h"
#include "study/study_report.h"

static const char help_text[] =
    "Usage: quaver study FILE --out DIR [options]\n"
    "       quaver study report DIR\n"
    "       quaver study merge DIR... --out DIR\n\n"
    "  quaver study data/studies/quick.ini --out runs/quick\n"
    "  quaver study data/studies/paper.ini --manifest emodb.csv --dry-run --out runs/paper\n"
    "  quaver study data/studies/paper.ini --manifest emodb.csv --shard 1/4 --out runs/paper-1\n"
    "  quaver study merge runs/paper-1 runs/paper-2 --out runs/paper\n\n"
    "Trains every cell of a study on every fold with every seed, one thread a training, and writes DIR/report.html,\n"
    "report.csv and report.tex. Interrupted, killed or with more seeds: the same command goes on. Several processes "
    "may\n"
    "work on one DIR.\n\n"
    "  -o, --out DIR          records and report\n"
    "  -m, --manifest [NAME=]FILE   instead of the study file's, for the corpus NAME\n"
    "  -j, --threads N        trainings at a time; 0 (default): one a processor, on a GPU four\n"
    "      --device NAME      of all trainings: cpu, ref, ref32 or cuda[:N], which they share\n"
    "      --precision NAME   of a GPU: fp32, tf32 or bf16\n"
    "      --seeds N          instead of the study file's number; set it before the first run\n"
    "      --shard I/N        only the Ith of N parts, 1 <= I <= N\n"
    "      --reuse DIR        take over what another study has trained with the same settings, recordings, fold and "
    "seed\n"
    "                         (may be repeated; --dry-run does not look)\n"
    "  -n, --dry-run          cells, runs and the time they will take, from a few measured steps\n"
    "      --cache DIR        where features are kept; --no-cache: nowhere\n"
    "      --json             the result as one JSON object: file (the report) and answer; of --dry-run: plan\n"
    "  -h, --help             this text\n";

enum {
    MOST_MANIFESTS = 64,
    OPT_SEEDS = 1000,
    OPT_SHARD,
    OPT_REUSE,
    OPT_CACHE,
    OPT_NO_CACHE,
    OPT_JSON,
    OPT_DEVICE,
    OPT_PRECISION
};

typedef struct arguments {
    qv_study_options o;
    const char *manifests[MOST_MANIFESTS], *reuse[MOST_MANIFESTS];
    qv_study_given given[2]; /* in place of what the study file says */
    size_t n_given;
    bool dry_run, help, json;
    bool of_a_run; /* an option was given that only training has */
} arguments;

static qv_status take_seeds(qv_ctx *ctx, const char *text, int *out)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > 10000)
        return qv_fail(ctx, QV_ERR_USAGE, "--seeds %s: expected a whole number from 1 to 10000", text);
    *out = (int)n;
    return QV_OK;
}

/* A number of at most six digits and what must follow it; NULL: something else. */
static const char *take_number(const char *text, char then, int *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6 || text[digits] != then) return NULL;
    *out = (int)strtol(text, NULL, 10);
    return text + digits + 1;
}

static qv_status take_shard(qv_ctx *ctx, const char *text, qv_study_options *o)
{
    const char *of = take_number(text, '/', &o->shard);
    if (of && take_number(of, '\0', &o->shards) && o->shard >= 1 && o->shards >= o->shard && o->shards <= 100000)
        return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "--shard %s: expected I/N with 1 <= I <= N, as in 2/4", text);
}

/* A setting of all trainings, which becomes part of the study; the last of an option counts. Checked here, so that the
 * option is blamed. */
static qv_status take_setting(qv_ctx *ctx, arguments *a, const char *name, const char *value)
{
    qv_settings scratch;
    qv_status status = qv_settings_init(ctx, &scratch);
    if (status != QV_OK) return status;
    status = qv_settings_set(ctx, &scratch, name, value);
    qv_settings_free(&scratch);
    size_t i = 0;
    while (i < a->n_given && strcmp(a->given[i].key, name) != 0) i++;
    a->given[i] = (qv_study_given){name, value};
    a->n_given += i == a->n_given;
    return status;
}

static qv_status take_option(qv_ctx *ctx, arguments *a, int c)
{
    a->of_a_run = a->of_a_run || (c != 'o' && c != 'h' && c != OPT_JSON);
    switch (c) {
    case 'o':
        a->o.out = optarg;
        break;
    case 'm':
        if (a->o.n_manifests == MOST_MANIFESTS)
            return qv_fail(ctx, QV_ERR_USAGE, "more than %d times --manifest", MOST_MANIFESTS);
        a->manifests[a->o.n_manifests++] = optarg;
        break;
    case 'j':
        return qv_cli_threads(ctx, optarg, &a->o.threads);
    case 'n':
        a->dry_run = true;
        break;
    case 'h':
        a->help = true;
        break;
    case OPT_SEEDS:
        return take_seeds(ctx, optarg, &a->o.seeds);
    case OPT_SHARD:
        return take_shard(ctx, optarg, &a->o);
    case OPT_REUSE:
        if (a->o.n_reuse == MOST_MANIFESTS)
            return qv_fail(ctx, QV_ERR_USAGE, "more than %d times --reuse", MOST_MANIFESTS);
        a->reuse[a->o.n_reuse++] = optarg;
        break;
    case OPT_DEVICE:
        return take_setting(ctx, a, "run.device", optarg);
    case OPT_PRECISION:
        return take_setting(ctx, a, "run.precision", optarg);
    case OPT_CACHE:
        a->o.cache_dir = optarg;
        break;
    case OPT_JSON:
        a->json = true;
        break;
    case OPT_NO_CACHE:
        a->o.no_cache = true;
        break;
    }
    return QV_OK;
}

static const struct option options[] = {
    {"out", required_argument, NULL, 'o'},
    {"manifest", required_argument, NULL, 'm'},
    {"threads", required_argument, NULL, 'j'},
    {"dry-run", no_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {"device", required_argument, NULL, OPT_DEVICE},
    {"precision", required_argument, NULL, OPT_PRECISION},
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"shard", required_argument, NULL, OPT_SHARD},
    {"reuse", required_argument, NULL, OPT_REUSE},
    {"cache", required_argument, NULL, OPT_CACHE},
    {"no-cache", no_argument, NULL, OPT_NO_CACHE},
    {"json", no_argument, NULL, OPT_JSON},
    {0},
};
static const char letters[] = "o:m:j:nh";

const struct option *qv_cli_study_options(void) { return options; }

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        if (c == '?') return qv_cli_bad_option(ctx, argc, argv, letters, options);
        qv_status status = take_option(ctx, a, c);
        if (status != QV_OK) return status;
    }
    a->o.manifests = a->manifests;
    a->o.reuse = a->reuse;
    return a->help ? QV_OK : qv_cli_check_cache(ctx, a->o.cache_dir, a->o.no_cache);
}

/* Where the page is and its first sentences, for those who do not open it. */
static qv_status print_answer(qv_ctx *ctx, bool json, const char *out, const char *answer)
{
    char *path;
    qv_status status = qv_path_join(ctx, &path, out, "report.html");
    if (status != QV_OK) return status;
    if (json)
        status = qv_cli_print_json(ctx, json_pack("{s:s, s:s}", "file", path, "answer", answer));
    else
        printf("%s\n%s\n", answer, path);
    free(path);
    return status;
}

static qv_status report(qv_ctx *ctx, const arguments *a, int n, char **words)
{
    char *answer = NULL;
    if (n != 1) return qv_fail(ctx, QV_ERR_USAGE, "quaver study report DIR takes one folder, %d were given", n);
    if (a->of_a_run || a->o.out)
        return qv_fail(ctx, QV_ERR_USAGE, "quaver study report writes into the folder it is given, and takes no option but --json");
    qv_status status = qv_study_report(ctx, words[0], NULL, &answer);
    if (status == QV_OK) status = print_answer(ctx, a->json, words[0], answer);
    free(answer);
    return status;
}

static qv_status merge(qv_ctx *ctx, const arguments *a, int n, char **words)
{
    char *answer = NULL;
    if (n < 1 || !a->o.out)
        return qv_fail(ctx, QV_ERR_USAGE, "quaver study merge DIR... --out DIR joins folders of one study");
    if (a->of_a_run)
        return qv_fail(ctx, QV_ERR_USAGE, "quaver study merge trains nothing, and takes no option but --out and --json");
    qv_status status = qv_study_merge(ctx, a->o.out, (const char *const *)words, (size_t)n, a->o.command, &answer);
    if (status == QV_OK) status = print_answer(ctx, a->json, a->o.out, answer);
    free(answer);
    return status;
}

static qv_status run(qv_ctx *ctx, arguments *a, const char *file)
{
    qv_status status = QV_OK;
    qv_study *s = NULL;
    qv_buf text = {0};
    char *answer = NULL;
    QV_TRY(qv_study_read(ctx, &s, file, a->given, a->n_given));
    if (a->dry_run) {
        QV_TRY(qv_study_predict(ctx, s, &a->o, &text));
        if (a->json)
            status = qv_cli_print_json(ctx, json_pack("{s:s}", "plan", text.data));
        else
            fputs(text.data, stdout);
    } else {
        QV_TRY(qv_study_run(ctx, s, &a->o, &answer));
        QV_TRY(print_answer(ctx, a->json, a->o.out, answer));
    }
done:
    free(answer);
    qv_buf_free(&text);
    qv_study_free(s);
    return status;
}

/* The command that repeats the study: without the part of it that this process did. */
static qv_status put_command(qv_ctx *ctx, qv_buf *b, int argc, char **argv)
{
    char **words;
    int n = 0;
    qv_status status = qv_alloc(ctx, &words, (size_t)argc, sizeof *words);
    if (status != QV_OK) return status;
    for (int i = 0; i < argc; i++) {
        size_t length = strcspn(argv[i], "=");
        if (length >= strlen("--sh") && strncmp(argv[i], "--shard", length) == 0)
            i += argv[i][length] != '='; /* its value is a word of its own */
        else
            words[n++] = argv[i];
    }
    qv_cli_quote(b, n, words);
    free(words);
    return qv_buf_check(ctx, b);
}

qv_status qv_cmd_study(qv_ctx *ctx, int argc, char **argv)
{
    arguments a = {0};
    qv_buf command = {0};
    qv_status status = QV_OK;
    QV_TRY(put_command(ctx, &command, argc, argv));
    a.o.command = command.data;
    QV_TRY(parse(ctx, &a, argc, argv));
    if (a.help) {
        fputs(help_text, stdout);
        goto done;
    }
    char **words = argv + optind;
    int n = argc - optind;
    if (n > 0 && strcmp(words[0], "report") == 0)
        status = report(ctx, &a, n - 1, words + 1);
    else if (n > 0 && strcmp(words[0], "merge") == 0)
        status = merge(ctx, &a, n - 1, words + 1);
    else if (n != 1 || !a.o.out)
        status = qv_fail(ctx, QV_ERR_USAGE, "%s; quaver study --help shows how it is called",
                         n == 1 ? "no folder: --out DIR says where records and report go" : "one study file is needed");
    else
        status = run(ctx, &a, words[0]);
done:
    qv_buf_free(&command);
    return status;
}
