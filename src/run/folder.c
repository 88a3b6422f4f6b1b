#include "run/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/events.h"

/* The first file of a run to come and the last to go: config.ini. */
static const char *const files[] = {"summary.json", "results.csv",   "results.jsonl", "predictions.csv",
                                    "report.html",  "model-card.md", "config.ini"};
enum { FILES = sizeof files / sizeof *files };
static const char *const checkpoints[] = {"last.safetensors", "best.safetensors"};
enum { CHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };

static const char of_fold[] = "fold-"; /* begins the name of a fold's folder */

/* ---- which files are a run's ---- */

typedef qv_status (*file_fn)(qv_ctx *ctx, void *user, const char *path);

static bool begins_with(const char *name, const char *prefix) { return strncmp(name, prefix, strlen(prefix)) == 0; }

/* The first n bytes of a name, are they the other? */
static bool is_name(const char *name, size_t n, const char *other)
{
    return strlen(other) == n && memcmp(name, other, n) == 0;
}

/* Checkpoints and curves, and what a process that was killed left beside one. */
static bool is_of_training(const char *name)
{
    static const char kept[] = "epoch-", ending[] = ".safetensors";
    const size_t left = qv_out_left_over(name), n = left ? left : strlen(name);
    for (int i = 0; i < CHECKPOINTS; i++)
        if (is_name(name, n, checkpoints[i])) return true;
    if (begins_with(name, QV_EVENTS_PREFIX)) return true;
    const size_t digits = begins_with(name, kept) ? strspn(name + sizeof kept - 1, "0123456789") : 0;
    const size_t stem = sizeof kept - 1 + digits;
    return digits > 0 && stem < n && is_name(name + stem, n - stem, ending);
}

/* *n counts them. */
static qv_status each_of_training(qv_ctx *ctx, const char *folder, file_fn fn, void *user, size_t *n)
{
    DIR *dir = opendir(folder);
    qv_status status = QV_OK;
    *n = 0;
    if (!dir) return QV_OK; /* nothing was begun there, or a file has the name */
    for (const struct dirent *e; status == QV_OK && (e = readdir(dir));) {
        char *path = NULL;
        if (!is_of_training(e->d_name)) continue;
        status = qv_path_join(ctx, &path, folder, e->d_name);
        if (status == QV_OK) status = fn(ctx, user, path);
        free(path);
        ++*n;
    }
    closedir(dir);
    return status;
}

/* Those of its folds, whatever folds it had. prune: folders that are empty then go, too. */
static qv_status each_of_folds(qv_ctx *ctx, const char *out, file_fn fn, void *user, bool prune)
{
    DIR *dir = opendir(out);
    qv_status status = QV_OK;
    for (const struct dirent *e; dir && status == QV_OK && (e = readdir(dir));) {
        char *folder = NULL;
        size_t n = 0;
        if (!begins_with(e->d_name, of_fold)) continue;
        status = qv_path_join(ctx, &folder, out, e->d_name);
        if (status == QV_OK) status = each_of_training(ctx, folder, fn, user, &n);
        if (status == QV_OK && prune && n > 0) rmdir(folder); /* where something of somebody's is left, it stays */
        free(folder);
    }
    if (dir) closedir(dir);
    return status;
}

static qv_status each_file(qv_ctx *ctx, const char *out, file_fn fn, void *user, bool prune)
{
    size_t n;
    char *path = NULL;
    qv_status status = QV_OK;
    QV_TRY(each_of_training(ctx, out, fn, user, &n));
    QV_TRY(each_of_folds(ctx, out, fn, user, prune));
    for (int i = 0; i < FILES; i++) {
        QV_TRY(qv_path_join(ctx, &path, out, files[i]));
        if (qv_path_exists(path)) QV_TRY(fn(ctx, user, path));
        free(path);
        path = NULL;
    }
done:
    free(path);
    return status;
}

static qv_status remove_file(qv_ctx *ctx, void *user, const char *path)
{
    (void)user;
    return remove(path) == 0 || errno == ENOENT ? QV_OK : qv_fail_errno(ctx, "cannot remove %s", path);
}

/* As far as it goes: nothing is wrong where one stays. */
static qv_status remove_left_over(qv_ctx *ctx, void *user, const char *path)
{
    (void)ctx, (void)user;
    if (qv_out_left_over(qv_path_base(path))) (void)remove(path);
    return QV_OK;
}

qv_status qv_run_folder_clear(qv_ctx *ctx, const char *out) { return each_file(ctx, out, remove_file, NULL, true); }

/* The same file, whatever leads to it? */
typedef struct sought {
    struct stat file;
    bool found;
} sought;

static qv_status compare_file(qv_ctx *ctx, void *user, const char *path)
{
    sought *x = user;
    struct stat st;
    (void)ctx;
    x->found = x->found || (stat(path, &st) == 0 && st.st_dev == x->file.st_dev && st.st_ino == x->file.st_ino);
    return QV_OK;
}

qv_status qv_run_folder_owns(qv_ctx *ctx, const char *out, const char *file, bool *owns)
{
    sought x = {.found = false};
    qv_status status = stat(file, &x.file) == 0 ? each_file(ctx, out, compare_file, &x, false) : QV_OK;
    *owns = x.found;
    return status;
}

/* ---- whose the folder is ---- */

qv_status qv_run_folder_has(qv_ctx *ctx, const char *out, const char *name, bool *there)
{
    char *path;
    qv_status status = qv_path_join(ctx, &path, out, name);
    if (status != QV_OK) return status;
    *there = qv_path_exists(path);
    free(path);
    return QV_OK;
}

qv_status qv_run_settings(qv_ctx *ctx, qv_settings *s, const char *out)
{
    char *path;
    qv_status status = qv_path_join(ctx, &path, out, "config.ini");
    if (status == QV_OK && !qv_path_exists(path))
        status = qv_fail(ctx, QV_ERR_USAGE, "%s holds no run to go on with (no config.ini)", out);
    if (status == QV_OK) status = qv_settings_read(ctx, s, path);
    qv_settings_idle_features(s);
    free(path);
    return status;
}

/* With resume: the folder's settings must be these. */
static qv_status check_same_settings(qv_ctx *ctx, const char *out, const qv_settings *s)
{
    qv_settings then;
    qv_buf values = {0};
    qv_status status = qv_settings_init(ctx, &then);
    if (status != QV_OK) return status;
    QV_TRY(qv_run_settings(ctx, &then, out));
    const char *differs = qv_settings_differ(&then, s, "", &values);
    if (differs)
        status =
            qv_fail(ctx, QV_ERR_USAGE, "%s was begun with another %s (%s); resume without it, or --force starts anew",
                    out, differs, values.failed ? "" : values.data);
done:
    qv_buf_free(&values);
    qv_settings_free(&then);
    return status;
}

/* For as long as this process lives no other one trains into the folder. */
static qv_status lock_folder(qv_ctx *ctx, qv_lock *lock, const char *out)
{
    bool taken;
    qv_status status = qv_lock_take(ctx, lock, out, 0, &taken);
    if (status == QV_OK && !taken)
        status = qv_fail(ctx, QV_ERR_USAGE, "another process is training into %s; wait for it, or take another --out", out);
    for (int i = 0; lock->file && i < FILES; i++) qv_out_sweep(out, files[i]);
    return status;
}

/* Both write a report.html, and each would take the other's away. */
static qv_status refuse_study(qv_ctx *ctx, const char *out)
{
    bool text, plan;
    qv_status status = qv_run_folder_has(ctx, out, "study.ini", &text);
    if (status == QV_OK) status = qv_run_folder_has(ctx, out, "plan.json", &plan);
    if (status != QV_OK || !text || !plan) return status;
    return qv_fail(ctx, QV_ERR_USAGE, "%s holds a study (study.ini, plan.json); a run needs another --out", out);
}

static qv_status refuse_file(qv_ctx *ctx, void *user, const char *path)
{
    (void)user;
    return qv_fail(ctx, QV_ERR_USAGE,
                   "%s is there, though no run that could be gone on with (no config.ini); --force removes what looks like "
                   "a run's, another --out keeps it",
                   path);
}

qv_status qv_run_folder_open(qv_ctx *ctx, qv_lock *lock, const qv_settings *s, const qv_run_options *o, bool *anew)
{
    qv_status status = QV_OK;
    const char *out = o->out;
    bool begun;
    QV_TRY(refuse_study(ctx, out));
    if (!o->dry_run) QV_TRY(qv_make_dirs(ctx, out));
    if (!o->dry_run && access(out, W_OK) != 0) return qv_fail_errno(ctx, "cannot write to the run folder %s", out);
    if (!o->dry_run) QV_TRY(lock_folder(ctx, lock, out));
    QV_TRY(qv_run_folder_has(ctx, out, "config.ini", &begun));
    *anew = !begun || o->force;
    if (begun && o->resume && !o->force) return check_same_settings(ctx, out, s);
    if (begun && !o->force)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "%s holds a run already; --resume finishes it, --force starts anew, another --out keeps both",
                       out);
    if (!begun && !o->force) QV_TRY(each_file(ctx, out, refuse_file, NULL, false));
done:
    return status;
}

/* ---- what it gets ---- */

qv_status qv_run_folder_configure(qv_ctx *ctx, const char *out, const qv_settings *s)
{
    qv_status status = QV_OK;
    qv_buf text = {0};
    qv_settings_print(s, &text);
    QV_TRY(qv_buf_check(ctx, &text));
    QV_TRY(qv_write_in(ctx, out, "config.ini", text.data, text.len));
done:
    qv_buf_free(&text);
    return status;
}

void qv_run_folder_forget(const char *out)
{
    qv_buf path = {0};
    qv_buf_printf(&path, "%s/config.ini", out);
    if (!path.failed) (void)remove(path.data); /* at worst --force is needed */
    qv_buf_free(&path);
}

static qv_status folder_of(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold, char **path)
{
    qv_status status = QV_OK;
    qv_buf name = {0};
    qv_buf_printf(&name, "%s%s", of_fold, fold->name);
    QV_TRY(qv_buf_check(ctx, &name));
    QV_TRY(folds->n == 1 ? qv_strdup(ctx, path, out) : qv_path_join(ctx, path, out, name.data));
done:
    qv_buf_free(&name);
    return status;
}

qv_status qv_run_folder_of(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold, bool locked,
                           char **path)
{
    qv_status status = QV_OK;
    size_t n;
    QV_TRY(folder_of(ctx, out, folds, fold, path));
    QV_TRY(qv_make_dirs(ctx, *path));
    if (locked) QV_TRY(each_of_training(ctx, *path, remove_left_over, NULL, &n));
done:
    return status;
}

qv_status qv_run_folder_begun(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold, bool *begun)
{
    char *folder = NULL;
    qv_status status = folder_of(ctx, out, folds, fold, &folder);
    if (status == QV_OK) status = qv_run_folder_has(ctx, folder, checkpoints[0], begun);
    free(folder);
    return status;
}

qv_status qv_run_folder_warn_of_lost(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold)
{
    char *folder = NULL;
    bool there = true;
    qv_status status = folder_of(ctx, out, folds, fold, &folder);
    if (status == QV_OK) status = qv_run_folder_has(ctx, folder, "best.safetensors", &there);
    if (!there)
        qv_warn(ctx,
                "%s/best.safetensors, which fold %s had when it was finished, is gone; only --force trains it again",
                folder, fold->name);
    free(folder);
    return status;
}
