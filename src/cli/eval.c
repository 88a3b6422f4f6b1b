/* quaver eval */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "data/labels.h"
#include "report/report.h"
#include "train/metrics.h"
#include "train/model.h"

static const char help_text[] =
    "Usage: quaver eval --checkpoint CKPT --manifest FILE [options]\n\n"
    "  quaver eval --checkpoint runs/emodb/fold-1/best.safetensors --manifest other.csv\n\n"
    "Scores a checkpoint on recordings with known emotions: UA (mean recall), WA (accuracy), macro F1, each\n"
    "class, the confusion matrix, chance, and an interval over speakers. Recordings that cannot be read are told,\n"
    "counted and left out; the exit code is 0 as long as any is left to score.\n\n"
    "  -k, --checkpoint CKPT  best.safetensors or last.safetensors of a run\n"
    "  -m, --manifest FILE    CSV with file, speaker, emotion; several: give it again\n"
    "      --labels LIST      select and merge classes; again for each of several manifests; default: those of the\n"
    "                         training\n"
    "      --speakers LIST    only these speakers, separated by commas\n"
    "      --embeddings FILE  CSV with file, speaker, true, predicted, e1 ... of each recording: what the embedding "
    "layer\n"
    "                         (--net.embed) says, or without one the pooled features before the last ReLU\n"
    "      --json             the scores as one JSON object: of \"pooled\" of a run's summary.json, and skipped,\n"
    "                         how many were left out, and transductive\n"
    "  -d, --device NAME      cpu, cuda (cuda:1, cuda:GPU-UUID), ref, ref32\n"
    "  -j, --threads N        of the CPU\n"
    "      --cache DIR        where features are kept; --no-cache: nowhere\n";

typedef struct arguments {
    const char *checkpoint, *speakers, *embeddings;
    char *manifests, *labels; /* lists, with commas and '|' between what was given */
    qv_model_options model;
    bool help, json;
} arguments;

static const struct option options[] = {
    {"checkpoint", required_argument, NULL, 'k'}, {"manifest", required_argument, NULL, 'm'},
    {"labels", required_argument, NULL, 'l'},     {"speakers", required_argument, NULL, 's'},
    {"device", required_argument, NULL, 'd'},     {"threads", required_argument, NULL, 'j'},
    {"cache", required_argument, NULL, 'C'},      {"no-cache", no_argument, NULL, 'N'},
    {"help", no_argument, NULL, 'h'},             {"json", no_argument, NULL, 'J'},
    {"embeddings", required_argument, NULL, 'E'},
    {0},
};
static const char letters[] = "k:m:d:j:h";

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    qv_status status = QV_OK;
    int c;
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        switch (c) {
        case 'k': a->checkpoint = optarg; break;
        case 'm': QV_TRY(qv_cli_append(ctx, &a->manifests, ',', optarg)); break;
        case 'l': QV_TRY(qv_cli_append(ctx, &a->labels, '|', optarg)); break;
        case 's': a->speakers = optarg; break;
        case 'E': a->embeddings = optarg; break;
        case 'd': QV_TRY(qv_cli_device(ctx, optarg, &a->model.device, &a->model.gpu)); break;
        case 'j': QV_TRY(qv_cli_threads(ctx, optarg, &a->model.threads)); break;
        case 'C': a->model.cache_dir = optarg; break;
        case 'N': a->model.no_cache = true; break;
        case 'h': a->help = true; break;
        case 'J': a->json = true; break;
        default: return qv_cli_bad_option(ctx, argc, argv, letters, options);
        }
    }
    if (a->help) return QV_OK;
    QV_TRY(qv_cli_check_cache(ctx, a->model.cache_dir, a->model.no_cache));
    if (optind < argc) return qv_fail(ctx, QV_ERR_USAGE, "unexpected word %s; see quaver eval --help", argv[optind]);
    if (!a->checkpoint || !a->manifests)
        return qv_fail(ctx, QV_ERR_USAGE, "--checkpoint and --manifest are both needed; see quaver eval --help");
done:
    return status;
}

/* Is `name` in the comma-separated list? */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && strncmp(p, name, n) == 0) return true;
    return false;
}

/* Every name in the list must be one of the manifest's: figures over fewer voices look like those over all of them. */
static qv_status check_speakers(qv_ctx *ctx, const char *list, const qv_manifest *m)
{
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
        char name[256];
        bool known = false;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, ","), p);
        for (int i = 0; i < m->n_speakers && !known; i++) known = strcmp(m->speakers[i], name) == 0;
        if (known) continue;
        const char *near = qv_nearest(name, (const char *const *)m->speakers, (size_t)m->n_speakers);
        return qv_fail(ctx, QV_ERR_USAGE, "--speakers: no recording of %s that is scored is of '%s'%s%s%s", m->path,
                       name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return QV_OK;
}

/* The others are not even looked at. */
static qv_status only_speakers(qv_ctx *ctx, const char *list, qv_manifest *m)
{
    bool *keep = NULL;
    qv_status status = QV_OK;
    QV_TRY(check_speakers(ctx, list, m));
    QV_TRY(qv_alloc(ctx, &keep, m->n, sizeof *keep));
    for (size_t i = 0; i < m->n; i++) keep[i] = listed(list, m->items[i].speaker);
    qv_manifest_keep(m, keep);
done:
    free(keep);
    return status;
}

typedef struct scored {
    int *truth, *predicted, *speaker;
    size_t n;
    bool *left_out; /* [recordings of the manifest] */
} scored;

/* The checkpoint's number of the manifest's class, or an error that names it. */
static qv_status class_of(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, int label, int *out)
{
    for (int k = 0; k < c->n_classes; k++)
        if (strcmp(c->classes[k], m->classes[label]) == 0) return (*out = k), QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s has the class %s, which %s was not trained on; select or merge with --labels",
                   m->path, m->classes[label], c->path);
}

/* Before hours are spent on recordings that no figure could be made of. */
static qv_status check_classes(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m)
{
    int known;
    qv_status status = QV_OK;
    for (size_t i = 0; i < m->n && status == QV_OK; i++) status = class_of(ctx, c, m, m->items[i].label, &known);
    return status;
}

static qv_status collect(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, const qv_features *f,
                         const double *probs, scored *s)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &s->truth, m->n, sizeof *s->truth));
    QV_TRY(qv_alloc(ctx, &s->predicted, m->n, sizeof *s->predicted));
    QV_TRY(qv_alloc(ctx, &s->speaker, m->n, sizeof *s->speaker));
    QV_TRY(qv_alloc(ctx, &s->left_out, m->n, sizeof *s->left_out));
    for (size_t i = 0; i < m->n; i++) {
        const qv_item *item = &m->items[i];
        s->left_out[i] = f->entries[i].frames == 0;
        if (s->left_out[i]) continue;
        const double *p = probs + i * (size_t)c->n_classes;
        QV_TRY(class_of(ctx, c, m, item->label, &s->truth[s->n]));
        s->predicted[s->n] = qv_largest(p, c->n_classes);
        s->speaker[s->n++] = item->speaker_id;
    }
    if (s->n == 0) status = qv_fail(ctx, QV_ERR_DATA, "no recording of %s is left to score", m->path);
done:
    return status;
}

/* Figures over voices of the training are no figures about new ones. */
static qv_status warn_of_heard(qv_ctx *ctx, const qv_checkpoint *c, const qv_manifest *m, const scored *s)
{
    enum { SHOWN = 10 };
    qv_buf names = {0};
    size_t recordings = 0;
    int speakers = 0;
    for (int id = 0; id < m->n_speakers; id++) {
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++) n += s->speaker[i] == id;
        if (n == 0 || !qv_checkpoint_heard(c, m->speakers[id])) continue;
        recordings += n;
        if (++speakers <= SHOWN) qv_buf_printf(&names, "%s%s", speakers > 1 ? ", " : "", m->speakers[id]);
    }
    if (speakers > SHOWN) qv_buf_puts(&names, ", ...");
    qv_status status = qv_buf_check(ctx, &names);
    if (status == QV_OK && speakers > 0)
        qv_warn(ctx,
                "%zu of %zu recordings are of %d speaker%s with the name%s of those trained on (%s): the figures say "
                "little about new voices; --speakers LIST picks others",
                recordings, s->n, speakers, speakers > 1 ? "s" : "", speakers > 1 ? "s" : "", names.data);
    qv_buf_free(&names);
    return status;
}

static void print_interval(const char *name, double value, double low, double high, bool valid, double chance)
{
    printf("%-9s %.4f", name, value);
    if (valid) printf("  95 %% interval over speakers %.4f to %.4f", low, high);
    printf("  chance %.4f\n", chance);
}

/* A name in a table, in characters and not in bytes: at least `width` of them, or at most -width, at the right. */
static void print_name(const char *name, int width)
{
    int length = 0, bytes = 0;
    for (; name[bytes] && (width >= 0 || length < -width); length++)
        do bytes++;
        while (((unsigned char)name[bytes] & 0xC0) == 0x80);
    int blanks = (width < 0 ? -width : width) - length;
    printf("%*s%.*s%*s", width < 0 ? blanks : 0, "", bytes, name, width > 0 && blanks > 0 ? blanks : 0, "");
}

static void print_class(const char *name, const qv_class_score *s)
{
    printf("  ");
    print_name(name, 14);
    printf(" %5zu", s->n);
    const double values[] = {s->recall, s->precision, s->f1};
    for (int i = 0; i < 3; i++) isfinite(values[i]) ? printf("  %9.4f", values[i]) : printf("  %9s", "-");
    putchar('\n');
}

static void print_scores(const qv_checkpoint *c, const qv_metrics *m, const qv_bootstrap *b)
{
    bool valid = qv_bootstrap_valid(b);
    printf("%zu recordings, %d speakers\n", m->n, b->speakers);
    print_interval("UA", m->ua, b->ua_low, b->ua_high, valid, m->chance_ua);
    print_interval("WA", m->wa, b->wa_low, b->wa_high, valid, m->chance_wa);
    printf("macro F1  %.4f\n", m->macro_f1);
    if (!valid) printf("too few speakers for an interval: %d, at least %d are needed\n", b->speakers, QV_BOOTSTRAP_SPEAKERS);
    printf("\n  %-14s %5s  %9s  %9s  %9s\n", "class", "n", "recall", "precision", "F1");
    for (int k = 0; k < m->classes; k++) print_class(c->classes[k], &m->score[k]);
    printf("\nconfusion (rows: truth)\n  %-14s", "");
    for (int k = 0; k < m->classes; k++) {
        putchar(' ');
        print_name(c->classes[k], -9);
    }
    for (int k = 0; k < m->classes; k++) {
        printf("\n  ");
        print_name(c->classes[k], 14);
        for (int j = 0; j < m->classes; j++) printf(" %9zu", m->confusion[k * m->classes + j]);
    }
    putchar('\n');
}

static qv_status print_json(qv_ctx *ctx, const qv_checkpoint *c, const qv_features *f, const qv_metrics *m,
                            const qv_bootstrap *b)
{
    const qv_summary s = {.classes = c->classes,
                          .n_classes = c->n_classes,
                          .skipped = f->skipped,
                          .transductive = c->settings.normalize == QV_NORM_SPEAKER,
                          .pooled = *m,
                          .interval = *b}; /* borrowed */
    qv_buf text = {0};
    qv_status status = qv_scores_json(ctx, &s, &text);
    if (status == QV_OK) fputs(text.data, stdout);
    qv_buf_free(&text);
    return status;
}

/* With what the figures must not be read without. */
static void print_text(const qv_checkpoint *c, const qv_features *f, const qv_metrics *m, const qv_bootstrap *b)
{
    if (c->settings.normalize == QV_NORM_SPEAKER)
        printf("transductive: each speaker's own unlabelled recordings set the normalization\n");
    if (f->skipped) printf("%zu of %zu recordings left out\n", f->skipped, f->n);
    print_scores(c, m, b);
}

/* What another corpus calls by the name of a class that the training merged others into is of that class. */
static qv_status add_classes(qv_ctx *ctx, const qv_checkpoint *c, char **labels)
{
    qv_label_map map = {0};
    qv_buf name = {0};
    qv_status status = QV_OK;
    if (!**labels || strchr(*labels, '|')) return QV_OK;
    QV_TRY(qv_label_map_parse(ctx, &map, *labels));
    for (int k = 0; k < c->n_classes; k++) {
        if (qv_label_map_find(&map, c->classes[k]) >= 0 || strpbrk(c->classes[k], ",=?")) continue;
        name.len = 0;
        qv_buf_printf(&name, "%s?", c->classes[k]);
        QV_TRY(qv_buf_check(ctx, &name));
        QV_TRY(qv_cli_append(ctx, labels, ',', name.data));
        qv_info(ctx, "recordings that are called %s count as such, as do those that the training called so", c->classes[k]);
    }
done:
    qv_buf_free(&name);
    qv_label_map_free(&map);
    return status;
}

/* The recordings to be scored, once it is clear that no output is one of the list's. */
static qv_status list_recordings(qv_ctx *ctx, const arguments *a, const qv_checkpoint *c, qv_manifest **m)
{
    qv_status status = QV_OK;
    char *labels = NULL;
    QV_TRY(qv_labels_expand(ctx, &labels, a->labels ? a->labels : c->settings.labels));
    if (!a->labels) QV_TRY(add_classes(ctx, c, &labels));
    if (!a->labels && strchr(labels, '|')) {
        status = qv_fail(ctx, QV_ERR_USAGE,
                         "%s was trained with labels of its own for each corpus (%s); say with --labels which are right here",
                         a->checkpoint, labels);
        goto done;
    }
    qv_manifest_options o = {.labels = *labels ? labels : NULL, .need_emotion = true, .allow_absent = !a->labels};
    QV_TRY(qv_manifest_read_list(ctx, m, a->manifests, &o));
    QV_TRY(qv_cli_not_input(ctx, "--embeddings", a->embeddings, a->checkpoint));
    QV_TRY(qv_cli_not_labels(ctx, "--embeddings", a->embeddings, a->labels));
    QV_TRY(qv_cli_not_recording(ctx, "--embeddings", a->embeddings, *m));
    if (a->embeddings) QV_TRY(qv_out_try(ctx, a->embeddings));
    if (a->speakers) QV_TRY(only_speakers(ctx, a->speakers, *m));
done:
    free(labels);
    return status;
}

static qv_status evaluate(qv_ctx *ctx, const arguments *a)
{
    qv_status status = QV_OK;
    qv_checkpoint *c = NULL;
    qv_manifest *m = NULL;
    qv_features *f = NULL;
    qv_model_answers answers = {0};
    qv_model_options model = a->model;
    scored s = {0};
    qv_metrics metrics = {0};
    qv_bootstrap interval;
    QV_TRY(qv_checkpoint_open(ctx, &c, a->checkpoint));
    QV_TRY(list_recordings(ctx, a, c, &m));
    QV_TRY(check_classes(ctx, c, m));
    model.embeddings = a->embeddings != NULL;
    QV_TRY(qv_model_classify(ctx, c, m, &model, &f, &answers));
    QV_TRY(collect(ctx, c, m, f, answers.probs, &s));
    if (a->embeddings) QV_TRY(qv_cli_embeddings(ctx, a->embeddings, &(qv_cli_judged){c, m, f, &answers, s.left_out}));
    QV_TRY(warn_of_heard(ctx, c, m, &s));
    qv_answers scores = {s.truth, s.predicted, s.speaker, s.n, c->n_classes, m->n_speakers};
    QV_TRY(qv_metrics_compute(ctx, &metrics, &scores));
    QV_TRY(qv_bootstrap_speakers(ctx, &interval, &scores, c->settings.seed));
    if (a->json)
        status = print_json(ctx, c, f, &metrics, &interval);
    else
        print_text(c, f, &metrics, &interval);
done:
    qv_metrics_free(&metrics);
    free(s.truth);
    free(s.predicted);
    free(s.speaker);
    free(s.left_out);
    qv_model_answers_free(&answers);
    qv_features_close(f);
    qv_manifest_free(m);
    qv_checkpoint_close(c);
    return status;
}

qv_status qv_cmd_eval(qv_ctx *ctx, int argc, char **argv)
{
    arguments a = {0};
    qv_status status = parse(ctx, &a, argc, argv);
    if (status == QV_OK && a.help)
        fputs(help_text, stdout);
    else if (status == QV_OK)
        status = evaluate(ctx, &a);
    free(a.manifests);
    free(a.labels);
    return status;
}

const struct option *qv_cli_eval_options(void) { return options; }
