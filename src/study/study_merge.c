/* Shards of one study, joined. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/text.h"
#include "study/study_records.h"
#include "study/study_report.h"

/* A folder whose records are to be joined. */
typedef struct part {
    const char *folder;
    qv_study *study;
    qv_plan plan;
} part;

typedef struct copying {
    const part *from;
    const char *to;
    size_t copied, same;
} copying;

/* Byte by byte: also what a later program has added to it. */
static qv_status copy_file(qv_ctx *ctx, const char *from, const char *to)
{
    qv_status status = QV_OK;
    char *data = NULL, *folder = NULL;
    size_t size;
    QV_TRY(qv_read_file(ctx, from, QV_LARGEST_RECORD, &data, &size));
    QV_TRY(qv_path_dir(ctx, &folder, to));
    QV_TRY(qv_make_dirs(ctx, folder));
    QV_TRY(qv_write_file(ctx, to, data, size));
done:
    free(data);
    free(folder);
    return status;
}

/* Copies a record that `to` lacks; one that it has must have the same result. */
static qv_status take_record(qv_ctx *ctx, void *user, const qv_study_record *r, const qv_run_id *run)
{
    copying *c = user;
    qv_status status = QV_OK;
    char *from = NULL, *to = NULL, *a = NULL, *b = NULL;
    if (!r) return QV_OK;
    QV_TRY(qv_run_path(ctx, &from, c->from->study, &c->from->plan, c->from->folder, run));
    QV_TRY(qv_run_path(ctx, &to, c->from->study, &c->from->plan, c->to, run));
    if (!qv_path_exists(to)) {
        QV_TRY(copy_file(ctx, from, to));
        c->copied++;
        goto done;
    }
    QV_TRY(qv_study_record_line(ctx, &a, from));
    QV_TRY(qv_study_record_line(ctx, &b, to));
    c->same++;
    if (strcmp(a, b) != 0)
        status = qv_fail(
            ctx, QV_ERR_DATA,
            "%s and %s are of the same run but differ; programs or processors that compute other bits made them "
            "(see their second lines): keep one",
            from, to);
done:
    free(from);
    free(to);
    free(a);
    free(b);
    return status;
}

/* Parts of one study differ in the number of seeds at most. */
static qv_status open_part(qv_ctx *ctx, part *p, const part *first)
{
    qv_status status = QV_OK;
    QV_TRY(qv_study_of_folder(ctx, &p->study, p->folder));
    QV_TRY(qv_plan_read(ctx, &p->plan, p->study, p->folder));
    if (p == first) goto done;
    QV_TRY(qv_study_same(ctx, first->folder, first->study, p->study));
    QV_TRY(qv_plan_same(ctx, &first->plan, &p->plan, first->folder, p->folder));
done:
    return status;
}

/* That with the most seeds. */
static qv_plan *largest_plan(part *parts, size_t n)
{
    qv_plan *most = &parts[0].plan;
    for (size_t i = 1; i < n; i++)
        if (parts[i].plan.seeds > most->seeds) most = &parts[i].plan;
    return most;
}

/* What trained a part repeats it there, and what joined the parts the rest. */
static qv_status add_command(qv_ctx *ctx, qv_plan *p, const char *command)
{
    qv_buf b = {0};
    if (!command || (p->command && strstr(p->command, command))) return QV_OK;
    if (p->command) qv_buf_printf(&b, "%s\n", p->command);
    qv_buf_puts(&b, command);
    free(p->command);
    qv_status status = qv_buf_take(ctx, &b, &p->command);
    if (status == QV_OK) qv_calm(p->command);
    return status;
}

/* What was in `out` before is a part like the others, the last. */
static qv_status list_parts(qv_ctx *ctx, part *parts, size_t *n, const char *out, const char *const *folders)
{
    qv_status status = QV_OK;
    char *plan = NULL;
    for (size_t i = 0; i < *n; i++) parts[i].folder = folders[i];
    QV_TRY(qv_path_join(ctx, &plan, out, "plan.json"));
    if (qv_path_exists(plan)) parts[(*n)++].folder = out;
    for (size_t i = 0; i < *n; i++) QV_TRY(open_part(ctx, &parts[i], &parts[0]));
done:
    free(plan);
    return status;
}

/* As a study that begins does: what another process settles meanwhile, more seeds say, is not undone. Where there is no
 * study, nobody does. */
static qv_status lock_plan(qv_ctx *ctx, qv_run_lock *lock, const char *out)
{
    qv_status status = QV_OK;
    char *study = NULL;
    bool taken;
    QV_TRY(qv_path_join(ctx, &study, out, "study.ini"));
    if (!qv_path_exists(study)) goto done;
    QV_TRY(qv_run_lock_open(ctx, lock, out));
    QV_TRY(qv_run_lock_take(ctx, lock, "plan", true, &taken));
done:
    free(study);
    return status;
}

qv_status qv_study_merge(qv_ctx *ctx, const char *out, const char *const *folders, size_t n, const char *command,
                         char **answer)
{
    qv_status status = QV_OK;
    qv_run_lock lock = {.fd = -1};
    part *parts = NULL;
    size_t all = n;
    QV_TRY(qv_alloc(ctx, &parts, n + 1, sizeof *parts));
    QV_TRY(lock_plan(ctx, &lock, out));
    QV_TRY(list_parts(ctx, parts, &all, out, folders)); /* nothing is written before all of it fits */
    QV_TRY(qv_study_claim_folder(ctx, parts[0].study, out));
    QV_TRY(add_command(ctx, largest_plan(parts, all), command));
    QV_TRY(qv_plan_write(ctx, largest_plan(parts, all), out));
    qv_run_lock_close(&lock);
    for (size_t i = 0; i < n; i++) {
        copying c = {.from = &parts[i], .to = out};
        QV_TRY(qv_records_each(ctx, parts[i].study, &parts[i].plan, parts[i].folder, take_record, &c));
        qv_info(ctx, "%s: %zu records copied, %zu were there already", parts[i].folder, c.copied, c.same);
    }
    QV_TRY(qv_study_report(ctx, out, NULL, answer));
done:
    qv_run_lock_close(&lock);
    for (size_t i = 0; parts && i < all; i++) {
        qv_plan_free(&parts[i].plan);
        qv_study_free(parts[i].study);
    }
    free(parts);
    return status;
}
