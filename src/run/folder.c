#include "run/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/events.h"

const char *const qv_run_files[] = {"config.ini",      "summary.json", "results.csv",   "results.jsonl",
                                    "predictions.csv", "report.html",  "model-card.md", NULL};
static const char *const checkpoints[] = {"last.safetensors", "best.safetensors"};
enum { CHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };

static const char of_fold[] = "fold-"; /* begins the name of a fold's folder */

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
    for (const char *const *name = qv_run_files; lock->file && *name; name++) qv_out_sweep(out, *name);
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
done:
    return status;
}

static qv_status remove_file(qv_ctx *ctx, const char *folder, const char *name)
{
    char *path;
    qv_status status = qv_path_join(ctx, &path, folder, name);
    if (status != QV_OK) return status;
    if (remove(path) != 0 && errno != ENOENT && errno != ENOTDIR) status = qv_fail_errno(ctx, "cannot remove %s", path);
    free(path);
    return status;
}

static bool begins_with(const char *name, const char *prefix) { return strncmp(name, prefix, strlen(prefix)) == 0; }

static bool is_of_training(const char *name)
{
    for (int i = 0; i < CHECKPOINTS; i++)
        if (strcmp(name, checkpoints[i]) == 0) return true;
    return begins_with(name, "epoch-") || begins_with(name, QV_EVENTS_PREFIX);
}

/* Checkpoints and curves. */
static qv_status clear_training(qv_ctx *ctx, const char *folder)
{
    DIR *dir = opendir(folder);
    qv_status status = QV_OK;
    if (!dir) return QV_OK; /* nothing was begun there, or a file has the name */
    for (const struct dirent *e; status == QV_OK && (e = readdir(dir));)
        if (is_of_training(e->d_name)) status = remove_file(ctx, folder, e->d_name);
    closedir(dir);
    return status;
}

static qv_status clear_folds(qv_ctx *ctx, const char *out)
{
    DIR *dir = opendir(out);
    qv_status status = QV_OK;
    if (!dir) return qv_fail_errno(ctx, "cannot list the folder %s", out);
    for (const struct dirent *e; status == QV_OK && (e = readdir(dir));) {
        char *folder = NULL;
        if (!begins_with(e->d_name, of_fold)) continue;
        status = qv_path_join(ctx, &folder, out, e->d_name);
        if (status == QV_OK) status = clear_training(ctx, folder);
        if (status == QV_OK) rmdir(folder); /* where something of somebody's is left, it stays */
        free(folder);
    }
    closedir(dir);
    return status;
}

qv_status qv_run_folder_clear(qv_ctx *ctx, const char *out)
{
    qv_status status = QV_OK;
    for (const char *const *name = qv_run_files; *name; name++) QV_TRY(remove_file(ctx, out, *name));
    QV_TRY(clear_training(ctx, out));
    QV_TRY(clear_folds(ctx, out));
done:
    return status;
}

qv_status qv_run_folder_clears(qv_ctx *ctx, const char *out, const char *file, bool *cleared)
{
    qv_status status = QV_OK;
    char *dir = NULL, *home = NULL, *above = NULL, *there = NULL;
    *cleared = false;
    if (!qv_path_exists(out)) return QV_OK;
    QV_TRY(qv_path_dir(ctx, &dir, file));
    QV_TRY(qv_path_absolute(ctx, &home, dir));
    QV_TRY(qv_path_dir(ctx, &above, home));
    QV_TRY(qv_path_absolute(ctx, &there, out));
    *cleared = strcmp(home, there) == 0 || (strcmp(above, there) == 0 && begins_with(qv_path_base(home), of_fold));
done:
    free(dir);
    free(home);
    free(above);
    free(there);
    return status;
}

qv_status qv_run_folder_configure(qv_ctx *ctx, const char *out, const qv_settings *s)
{
    qv_status status = QV_OK;
    qv_buf text = {0};
    char *path = NULL;
    qv_settings_print(s, &text);
    QV_TRY(qv_buf_check(ctx, &text));
    QV_TRY(qv_path_join(ctx, &path, out, "config.ini"));
    QV_TRY(qv_write_file(ctx, path, text.data, text.len));
done:
    free(path);
    qv_buf_free(&text);
    return status;
}

qv_status qv_run_folder_of(qv_ctx *ctx, const char *out, const qv_folds *folds, const qv_fold *fold, bool locked,
                           char **path)
{
    qv_status status = QV_OK;
    qv_buf name = {0};
    qv_buf_printf(&name, "%s%s", of_fold, fold->name);
    QV_TRY(qv_buf_check(ctx, &name));
    QV_TRY(folds->n == 1 ? qv_strdup(ctx, path, out) : qv_path_join(ctx, path, out, name.data));
    QV_TRY(qv_make_dirs(ctx, *path));
    for (int i = 0; locked && i < CHECKPOINTS; i++) qv_out_sweep(*path, checkpoints[i]);
done:
    qv_buf_free(&name);
    return status;
}
