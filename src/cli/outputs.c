/* Outputs that would destroy what they are made of. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "cli/cli.h"
#include "data/labels.h"

/* One file, or two names of one that is not there yet. */
static qv_status is_same(qv_ctx *ctx, const char *a, const char *b, bool *same)
{
    struct stat x, y;
    char *dir_a = NULL, *dir_b = NULL;
    qv_status status = QV_OK;
    const bool there = stat(a, &x) == 0;
    *same = strcmp(a, b) == 0;
    if (*same || there != (stat(b, &y) == 0)) return QV_OK;
    if (there) {
        *same = x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    } else if (strcmp(qv_path_base(a), qv_path_base(b)) == 0) {
        QV_TRY(qv_path_dir(ctx, &dir_a, a));
        QV_TRY(qv_path_dir(ctx, &dir_b, b));
        *same = stat(dir_a, &x) == 0 && stat(dir_b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    }
done:
    free(dir_a);
    free(dir_b);
    return status;
}

qv_status qv_cli_not_input(qv_ctx *ctx, const char *option, const char *out, const char *input)
{
    bool same = false;
    qv_status status = out && input ? is_same(ctx, out, input, &same) : QV_OK;
    if (status != QV_OK || !same) return status;
    return qv_fail(ctx, QV_ERR_USAGE, "%s %s would take the place of %s, which is needed here; give another name", option,
                   out, input);
}

qv_status qv_cli_not_labels(qv_ctx *ctx, const char *option, const char *out, const char *labels)
{
    qv_status status = QV_OK;
    for (const char *s = out ? labels : NULL, *part; s && status == QV_OK;) {
        size_t n;
        char *file;
        s = qv_labels_part(s, &part, &n);
        status = qv_strndup(ctx, &file, part, n);
        if (status != QV_OK) return status;
        status = qv_cli_not_input(ctx, option, out, file);
        free(file);
    }
    return status;
}

qv_status qv_cli_not_recording(qv_ctx *ctx, const char *option, const char *out, const qv_manifest *m)
{
    qv_status status = qv_cli_not_input(ctx, option, out, m->path);
    for (int i = 0; out && i < m->n_sources && status == QV_OK; i++)
        status = qv_cli_not_input(ctx, option, out, m->sources[i]);
    for (size_t i = 0; out && i < m->n && status == QV_OK; i++)
        status = qv_cli_not_input(ctx, option, out, m->items[i].file);
    return status;
}
