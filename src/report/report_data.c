/* Reads a run folder for the report. The files may be anybody's: all is checked here. */
#include "report/report_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/order.h"
#include "base/real.h"

static const size_t largest_table = (size_t)1 << 31; /* as much as a training writes and reads again */
enum { LARGEST_CONFIG = 1 << 20, MOST_FOLDS = 1000, MOST_ROWS = 1000000 };

/* An open table with the positions of the columns that are wanted. */
typedef struct table {
    char *path;
    qv_csv csv;
    const char *const *names;
    size_t at[8], n, width;
} table;

static void table_close(table *t)
{
    qv_csv_close(&t->csv);
    free(t->path);
}

static qv_status find_columns(qv_ctx *ctx, table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        size_t j = 0;
        while (j < t->csv.n && strcmp(t->csv.cells[j], t->names[i]) != 0) j++;
        if (j == t->csv.n) return qv_fail(ctx, QV_ERR_DATA, "%s:1: no column \"%s\"", t->path, t->names[i]);
        t->at[i] = j;
    }
    return QV_OK;
}

static qv_status table_next(qv_ctx *ctx, table *t, bool *more)
{
    qv_status status = qv_csv_next(ctx, &t->csv, more);
    if (status != QV_OK || !*more || t->csv.n == t->width) return status;
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: %zu cells, the header has %zu", t->path, t->csv.row_line, t->csv.n,
                   t->width);
}

/* Opens RUN/name and takes its header; *there is false where the file is missing. */
static qv_status table_open(qv_ctx *ctx, table *t, const char *run, const char *name, const char *const *names,
                            size_t n, bool *there)
{
    qv_status status = QV_OK;
    char *text;
    size_t size;
    bool more;
    t->names = names;
    t->n = n;
    QV_TRY(qv_path_join(ctx, &t->path, run, name));
    *there = qv_path_exists(t->path);
    if (!*there) goto done;
    QV_TRY(qv_read_file(ctx, t->path, largest_table, &text, &size));
    QV_TRY(qv_csv_open(ctx, &t->csv, t->path, text, size));
    QV_TRY(qv_csv_next(ctx, &t->csv, &more));
    t->width = t->csv.n;
    QV_TRY(find_columns(ctx, t));
done:
    return status;
}

static const char *cell(const table *t, size_t i) { return t->csv.cells[t->at[i]]; }

/* ---- results.csv ---- */

static const char *const result_names[] = {"epoch", "loss", "train_ua", "val_ua", "test_ua", "fold"};
enum { RESULT_FOLD = QV_CURVE_COLUMNS };

typedef struct epoch_row {
    size_t curve, line;
    double value[QV_CURVE_COLUMNS];
} epoch_row;

static qv_status read_number(qv_ctx *ctx, const table *t, size_t i, double high, double *out)
{
    const char *text = cell(t, i);
    double x;
    *out = NAN;
    if (!*text) return QV_OK;
    if (!qv_read_real(text, &x) || !(x >= 0 && x <= high))
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: %s is \"%s\", a number from 0%s was expected", t->path,
                       t->csv.row_line, t->names[i], text, high == 1 ? " to 1" : "");
    *out = x;
    return QV_OK;
}

/* The curve of a fold, which is new where the name is. Rows of one fold follow each other, so that the
 * last curve is tried first. */
static qv_status curve_of(qv_ctx *ctx, qv_run_data *d, const table *t, size_t *out)
{
    qv_status status = QV_OK;
    const char *fold = cell(t, RESULT_FOLD);
    for (size_t i = d->n_curves; i-- > 0;) {
        *out = i;
        if (strcmp(d->curves[i].fold, fold) == 0) return QV_OK;
    }
    if (d->n_curves == MOST_FOLDS) return qv_fail(ctx, QV_ERR_DATA, "%s: more than %d folds", t->path, MOST_FOLDS);
    QV_TRY(qv_grow(ctx, &d->curves, &d->cap_curves, d->n_curves + 1, sizeof *d->curves));
    qv_curve *curve = &d->curves[d->n_curves];
    *curve = (qv_curve){0};
    QV_TRY(qv_strdup(ctx, &curve->fold, fold));
    for (size_t i = 0; i < d->summary.n_folds; i++)
        curve->finished = curve->finished || strcmp(d->summary.folds[i].name, fold) == 0;
    *out = d->n_curves++;
done:
    return status;
}

static qv_status read_row(qv_ctx *ctx, qv_run_data *d, const table *t, epoch_row *row)
{
    qv_status status = QV_OK;
    row->line = (size_t)t->csv.row_line;
    QV_TRY(curve_of(ctx, d, t, &row->curve));
    QV_TRY(read_number(ctx, t, QV_EPOCH, 1e9, &row->value[QV_EPOCH]));
    if (isnan(row->value[QV_EPOCH])) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: no epoch", t->path, t->csv.row_line);
        goto done;
    }
    QV_TRY(read_number(ctx, t, QV_LOSS, 1e30, &row->value[QV_LOSS]));
    for (size_t i = QV_TRAIN_UA; i < QV_CURVE_COLUMNS; i++) QV_TRY(read_number(ctx, t, i, 1, &row->value[i]));
done:
    return status;
}

static int by_curve_epoch_line(const void *a, const void *b)
{
    const epoch_row *x = a, *y = b;
    if (x->curve != y->curve) return x->curve < y->curve ? -1 : 1;
    double p = x->value[QV_EPOCH], q = y->value[QV_EPOCH];
    if (p != q) return p < q ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

static qv_status spread_columns(qv_ctx *ctx, qv_run_data *d, epoch_row *rows, size_t n)
{
    for (size_t c = 0; c < QV_CURVE_COLUMNS; c++) {
        qv_status status = qv_alloc(ctx, &d->column[c], n, sizeof(double));
        if (status != QV_OK) return status;
    }
    qsort(rows, n, sizeof *rows, by_curve_epoch_line);
    for (size_t i = 0; i < n; i++) {
        qv_curve *curve = &d->curves[rows[i].curve];
        if (curve->n++ == 0) curve->begin = i;
        for (size_t c = 0; c < QV_CURVE_COLUMNS; c++) d->column[c][i] = rows[i].value[c];
    }
    return QV_OK;
}

static qv_status read_results(qv_ctx *ctx, qv_run_data *d)
{
    qv_status status = QV_OK;
    table t = {0};
    epoch_row *rows = NULL;
    size_t n = 0, cap = 0;
    bool more = false;
    QV_TRY(table_open(ctx, &t, d->run, "results.csv", result_names, sizeof result_names / sizeof *result_names, &more));
    while (more) {
        QV_TRY(table_next(ctx, &t, &more));
        if (!more) break;
        if (n == MOST_ROWS) {
            status = qv_fail(ctx, QV_ERR_DATA, "%s: more than %d rows", t.path, MOST_ROWS);
            goto done;
        }
        QV_TRY(qv_grow(ctx, &rows, &cap, n + 1, sizeof *rows));
        QV_TRY(read_row(ctx, d, &t, &rows[n++]));
    }
    if (n > 0) QV_TRY(spread_columns(ctx, d, rows, n));
done:
    free(rows);
    table_close(&t);
    return status;
}

/* ---- predictions.csv ---- */

enum { P_PART, P_SPEAKER, P_TRUTH, P_PREDICTED };
static const char *const prediction_names[] = {"part", "speaker", "truth", "predicted"};

typedef struct answer_rows {
    const char **speaker; /* inside the table's text */
    int *truth, *predicted;
    size_t n, cap_speaker, cap_truth, cap_predicted;
} answer_rows;

static qv_status class_of(qv_ctx *ctx, const qv_summary *s, const table *t, size_t i, int *out)
{
    const char *name = cell(t, i);
    for (*out = 0; *out < s->n_classes; ++*out)
        if (strcmp(s->classes[*out], name) == 0) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: %s is \"%s\", which is no class of summary.json", t->path, t->csv.row_line,
                   t->names[i], name);
}

static qv_status read_answer(qv_ctx *ctx, const qv_summary *s, const table *t, answer_rows *r)
{
    qv_status status = QV_OK;
    const char *part = cell(t, P_PART);
    if (strcmp(part, "val") == 0) return QV_OK;
    if (strcmp(part, "test") != 0)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: part is \"%s\", test or val was expected", t->path, t->csv.row_line,
                       part);
    QV_TRY(qv_grow(ctx, &r->speaker, &r->cap_speaker, r->n + 1, sizeof *r->speaker));
    QV_TRY(qv_grow(ctx, &r->truth, &r->cap_truth, r->n + 1, sizeof *r->truth));
    QV_TRY(qv_grow(ctx, &r->predicted, &r->cap_predicted, r->n + 1, sizeof *r->predicted));
    r->speaker[r->n] = cell(t, P_SPEAKER);
    QV_TRY(class_of(ctx, s, t, P_TRUTH, &r->truth[r->n]));
    QV_TRY(class_of(ctx, s, t, P_PREDICTED, &r->predicted[r->n]));
    r->n++;
done:
    return status;
}

/* Sorted names without repetition, and each row's index into them. */
static qv_status number_speakers(qv_ctx *ctx, qv_run_data *d, const answer_rows *r)
{
    qv_status status = QV_OK;
    const char **names = NULL;
    size_t unique = 0;
    QV_TRY(qv_alloc(ctx, &names, r->n, sizeof *names));
    QV_TRY(qv_alloc(ctx, &d->speaker, r->n, sizeof *d->speaker));
    if (r->n == 0) goto done;
    memcpy(names, r->speaker, r->n * sizeof *names);
    qsort(names, r->n, sizeof *names, qv_by_text);
    for (size_t i = 0; i < r->n; i++)
        if (unique == 0 || strcmp(names[unique - 1], names[i]) != 0) names[unique++] = names[i];
    QV_TRY(qv_alloc(ctx, &d->speakers, unique, sizeof *d->speakers));
    for (size_t i = 0; i < unique; i++, d->n_speakers++) QV_TRY(qv_strdup(ctx, &d->speakers[i], names[i]));
    for (size_t i = 0; i < r->n; i++) {
        const char **found = bsearch(&r->speaker[i], names, unique, sizeof *names, qv_by_text);
        d->speaker[i] = (int)(found - names);
    }
done:
    free(names);
    return status;
}

/* The counts of the file against those of the summary. */
static qv_status compare_counts(qv_ctx *ctx, qv_run_data *d)
{
    qv_metrics m = {0};
    qv_answers a = qv_run_answers(d);
    qv_status status = qv_metrics_compute(ctx, &m, &a);
    if (status != QV_OK) return status;
    size_t k = (size_t)m.classes;
    d->disagrees = memcmp(m.confusion, d->summary.pooled.confusion, k * k * sizeof *m.confusion) != 0;
    if (d->disagrees)
        qv_warn(ctx, "%s: predictions.csv (%zu test recordings) and summary.json (%zu) count differently", d->run, m.n,
                d->summary.pooled.n);
    qv_metrics_free(&m);
    return QV_OK;
}

static qv_status read_predictions(qv_ctx *ctx, qv_run_data *d)
{
    qv_status status = QV_OK;
    table t = {0};
    answer_rows r = {0};
    bool more = false;
    QV_TRY(table_open(ctx, &t, d->run, "predictions.csv", prediction_names,
                      sizeof prediction_names / sizeof *prediction_names, &more));
    if (!more && d->summary.pooled.n > 0) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s is missing; train again with --force or bring the file back", t.path);
        goto done;
    }
    while (more) {
        QV_TRY(table_next(ctx, &t, &more));
        if (more) QV_TRY(read_answer(ctx, &d->summary, &t, &r));
    }
    QV_TRY(number_speakers(ctx, d, &r));
    d->n = r.n;
    d->truth = r.truth;
    d->predicted = r.predicted;
    r.truth = r.predicted = NULL;
    QV_TRY(compare_counts(ctx, d));
done:
    free(r.speaker);
    free(r.truth);
    free(r.predicted);
    table_close(&t);
    return status;
}

static qv_status read_config(qv_ctx *ctx, qv_run_data *d)
{
    qv_status status = QV_OK;
    char *path = NULL;
    size_t size;
    QV_TRY(qv_path_join(ctx, &path, d->run, "config.ini"));
    if (qv_path_exists(path)) QV_TRY(qv_read_file(ctx, path, LARGEST_CONFIG, &d->config, &size));
done:
    free(path);
    return status;
}

qv_status qv_run_is_folder(qv_ctx *ctx, const char *run)
{
    if (qv_is_dir(run)) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "%s is not a folder; give the --out folder of a training", run);
}

qv_status qv_run_data_read(qv_ctx *ctx, qv_run_data *d, const char *run)
{
    qv_status status = QV_OK;
    d->run = run;
    QV_TRY(qv_run_is_folder(ctx, run));
    QV_TRY(qv_summary_read(ctx, &d->summary, run));
    QV_TRY(read_results(ctx, d));
    QV_TRY(read_predictions(ctx, d));
    QV_TRY(read_config(ctx, d));
done:
    return status;
}

void qv_run_data_free(qv_run_data *d)
{
    qv_summary_free(&d->summary);
    for (size_t i = 0; i < d->n_curves; i++) free(d->curves[i].fold);
    free(d->curves);
    for (size_t c = 0; c < QV_CURVE_COLUMNS; c++) free(d->column[c]);
    free(d->truth);
    free(d->predicted);
    free(d->speaker);
    qv_free_texts(d->speakers, (size_t)d->n_speakers);
    free(d->config);
    *d = (qv_run_data){0};
}

qv_answers qv_run_answers(const qv_run_data *d)
{
    return (qv_answers){d->truth, d->predicted, d->speaker, d->n, d->summary.n_classes, d->n_speakers};
}
