#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/nearest.h"
#include "base/real.h"
#include "cli/cli.h"
#include "data/audio.h"
#include "data/npy.h"

/* "--section.key" with or without "=value". */
static bool is_setting(const char *arg)
{
    if (strncmp(arg, "--", 2) != 0) return false;
    size_t n = strcspn(arg + 2, "=");
    const char *dot = memchr(arg + 2, '.', n);
    return dot && dot > arg + 2;
}

qv_status qv_cli_overrides(qv_ctx *ctx, qv_settings *s, int *argc, char **argv)
{
    int kept = 0;
    bool over = false;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) over = true;
        if (over || !is_setting(argv[i])) {
            argv[kept++] = argv[i];
            continue;
        }
        char name[128];
        const char *arg = argv[i] + 2, *value;
        size_t n = strcspn(arg, "=");
        if (n >= sizeof name) return qv_fail(ctx, QV_ERR_USAGE, "%.40s... is no setting", arg);
        snprintf(name, sizeof name, "%.*s", (int)n, arg);
        if (arg[n] == '=') {
            value = arg + n + 1;
        } else {
            if (i + 1 >= *argc) return qv_fail(ctx, QV_ERR_USAGE, "--%s needs a value", name);
            value = argv[++i];
        }
        qv_status status = qv_settings_set(ctx, s, name, value);
        if (status != QV_OK) return status;
    }
    *argc = kept;
    argv[kept] = NULL;
    return QV_OK;
}

qv_status qv_cli_append(qv_ctx *ctx, char **list, char separator, const char *value)
{
    qv_buf b = {0};
    if (*list) qv_buf_printf(&b, "%s%c", *list, separator);
    qv_buf_puts(&b, value);
    char *longer;
    qv_status status = qv_buf_take(ctx, &b, &longer);
    if (status != QV_OK) return status;
    free(*list);
    *list = longer;
    return QV_OK;
}

/* Both through the table of settings, which knows choices and ranges. */
qv_status qv_cli_device(qv_ctx *ctx, char *text, qv_device *out, char **gpu)
{
    qv_settings s;
    qv_status status = qv_settings_init(ctx, &s);
    if (status == QV_OK) status = qv_settings_set(ctx, &s, "run.device", text);
    char *which = strchr(text, ':');
    *out = (qv_device)s.device;
    *gpu = which ? which + 1 : NULL;
    qv_settings_free(&s);
    return status;
}

qv_status qv_cli_threads(qv_ctx *ctx, const char *text, int *out)
{
    qv_settings s;
    qv_status status = qv_settings_init(ctx, &s);
    if (status == QV_OK) status = qv_settings_set(ctx, &s, "run.threads", text);
    *out = s.threads;
    qv_settings_free(&s);
    return status;
}

qv_status qv_cli_check_cache(qv_ctx *ctx, const char *dir, bool none)
{
    if (!dir || !none) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "--cache %s and --no-cache contradict each other; give one of them", dir);
}

qv_status qv_cli_number(qv_ctx *ctx, const char *name, const char *text, double low, double high, double *out)
{
    if (qv_read_real(text, out) && *out >= low && *out <= high) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "%s %s: a number from %g to %g was expected", name, text, low, high);
}

qv_status qv_cli_whole(qv_ctx *ctx, const char *name, const char *text, double low, double high, double *out)
{
    qv_status status = qv_cli_number(ctx, name, text, low, high, out);
    if (status != QV_OK || *out == floor(*out)) return status;
    return qv_fail(ctx, QV_ERR_USAGE, "%s %s: a whole number was expected", name, text);
}

static qv_status add_file(qv_ctx *ctx, void *user, const char *path)
{
    return qv_manifest_add(ctx, user, path, path, NULL, NULL, NULL);
}

/* One folder among the inputs. */
typedef struct folder {
    const char *path;
    qv_manifest *m;
    bool sound; /* or .npy files */
    size_t passed;
    qv_buf names; /* of the first of those passed over */
} folder;

static qv_status add_suited(qv_ctx *ctx, void *user, const char *path)
{
    enum { SHOWN = 3 };
    folder *f = user;
    if (f->sound ? qv_is_audio(path) : qv_is_npy(path)) return add_file(ctx, f->m, path);
    if (++f->passed <= SHOWN)
        qv_buf_printf(&f->names, "%s%s", f->passed > 1 ? ", " : "", path + qv_walk_root(f->path));
    else if (f->passed == SHOWN + 1)
        qv_buf_puts(&f->names, ", ...");
    return qv_buf_check(ctx, &f->names);
}

static const char *kind_name(int kind) { return kind == QV_KIND_MEL ? "audio" : ".npy"; }

/* What is passed over is told: recordings in a format that is not read would be missed by nobody. alone: who calls
 * refuses a folder without anything. */
static qv_status add_folder(qv_ctx *ctx, qv_manifest *m, int kind, const char *path, bool alone)
{
    folder f = {.path = path, .m = m, .sound = kind == QV_KIND_MEL};
    size_t before = m->n;
    qv_status status = qv_walk(ctx, path, add_suited, &f);
    if (status == QV_OK && f.passed)
        qv_info(ctx, "%s: %zu file%s of other kinds %s passed over (%s)", path, f.passed, f.passed > 1 ? "s" : "",
                f.passed > 1 ? "were" : "was", f.names.data);
    if (status == QV_OK && m->n == before && !alone) qv_warn(ctx, "no %s file below %s", kind_name(kind), path);
    qv_buf_free(&f.names);
    return status;
}

qv_status qv_cli_inputs(qv_ctx *ctx, qv_manifest **m, int kind, const char *manifests, char **inputs, int n)
{
    qv_status status = QV_OK;
    if (manifests) {
        qv_manifest_options o = {.allow_missing = true};
        return qv_manifest_read_list(ctx, m, manifests, &o);
    }
    if (kind == QV_KIND_IMAGE)
        return qv_fail(ctx, QV_ERR_USAGE, "the checkpoint judges images, of a whole folder at once: --manifest FOLDER");
    QV_TRY(qv_manifest_new(ctx, m));
    for (int i = 0; i < n; i++) {
        if (qv_is_dir(inputs[i]))
            QV_TRY(add_folder(ctx, *m, kind, inputs[i], n == 1));
        else
            QV_TRY(add_file(ctx, *m, inputs[i]));
    }
    if ((*m)->n == 0)
        status = qv_fail(ctx, QV_ERR_DATA, "no %s file below %s", kind_name(kind), n == 1 ? inputs[0] : "any of them");
    if (status == QV_OK) status = qv_manifest_finish(ctx, *m, NULL);
done:
    return status;
}

/* The option that is meant by its whole name, or by the beginning of just one. */
static const struct option *find_option(const struct option *options, const char *name, size_t n)
{
    const struct option *found = NULL;
    int like = 0;
    for (const struct option *o = options; o->name; o++) {
        if (strncmp(o->name, name, n) != 0) continue;
        if (!o->name[n]) return o;
        found = o;
        like++;
    }
    return like == 1 ? found : NULL;
}

static qv_status unknown_option(qv_ctx *ctx, const char *command, const struct option *options, const char *word)
{
    enum { MOST = 64 };
    const char *names[MOST];
    char name[64];
    size_t n = 0;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    for (; options[n].name && n < MOST; n++) names[n] = options[n].name;
    const char *near = qv_nearest(name + 2, names, n);
    /* A command that takes settings reads them from a file, too. */
    if (!near && find_option(options, "config", strlen("config"))) near = qv_settings_near(name + 2);
    if (near) return qv_fail(ctx, QV_ERR_USAGE, "there is no option %s; did you mean --%s?", name, near);
    return qv_fail(ctx, QV_ERR_USAGE, "there is no option %s; see quaver %s --help", name, command);
}

/* Where a letter of several in one word is refused, optind still stands before it, and argv[optind - 1] is a word that
 * was right. */
qv_status qv_cli_bad_option(qv_ctx *ctx, int argc, char **argv, const char *letters, const struct option *options)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    size_t n = strcspn(word, "=");
    bool full = strncmp(word, "--", 2) == 0;
    const struct option *o = full ? find_option(options, word + 2, n - 2) : NULL;
    if (o && o->has_arg == no_argument && word[n])
        return qv_fail(ctx, QV_ERR_USAGE, "--%s takes no value, not '%s'; see quaver %s --help", o->name, word + n + 1,
                       argv[0]);
    if (o && o->has_arg == required_argument && !word[n] && optind == argc)
        return qv_fail(ctx, QV_ERR_USAGE, "--%s needs a value; see quaver %s --help", o->name, argv[0]);
    if (full && !o) return unknown_option(ctx, argv[0], options, word);
    bool known = optopt && optopt != ':' && strchr(letters, optopt);
    return qv_fail(ctx, QV_ERR_USAGE, "%s-%c%s; see quaver %s --help", known ? "" : "there is no option ", optopt,
                   known ? " needs a value" : "", argv[0]);
}

void qv_cli_quote(qv_buf *b, int argc, char **argv)
{
    qv_buf_puts(b, "quaver");
    for (int i = 0; i < argc; i++) {
        bool plain = strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./%@") == strlen(argv[i]);
        qv_buf_puts(b, plain && *argv[i] ? " " : " '");
        for (const char *p = argv[i]; *p; p++) *p == '\'' ? qv_buf_puts(b, "'\\''") : qv_buf_add(b, p, 1);
        if (!plain || !*argv[i]) qv_buf_puts(b, "'");
    }
}

qv_status qv_cli_only_voice(qv_ctx *ctx, qv_manifest *m, const char *speaker)
{
    bool *keep, any = false, named = false;
    qv_status status = qv_alloc(ctx, &keep, m->n, sizeof *keep);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) {
        keep[i] = strcmp(m->items[i].speaker, speaker) == 0;
        any = any || keep[i];
        named = named || strcmp(m->items[i].speaker, QV_NO_SPEAKER) != 0;
    }
    if (any)
        qv_manifest_keep(m, keep);
    else if (named)
        status = qv_fail(ctx, QV_ERR_USAGE, "%s has no recording of a speaker %s%s", m->path, speaker,
                         m->n_corpora > 1 ? "; those of several corpora are named CORPUS/SPEAKER" : "");
    free(keep);
    return status;
}
