#include "run/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/real.h"

static const size_t max_bytes = (size_t)1 << 31;

static void free_prediction(qv_prediction *p)
{
    free(p->file);
    free(p->speaker);
    free(p->probs);
}

void qv_records_free(qv_records *r)
{
    for (size_t i = 0; i < r->n_predictions; i++) free_prediction(&r->predictions[i]);
    free(r->predictions);
    free(r->rows);
    *r = (qv_records){0};
}

qv_status qv_records_add_row(qv_ctx *ctx, qv_records *r, const qv_epoch_row *row)
{
    qv_status status = qv_grow(ctx, &r->rows, &r->cap_rows, r->n_rows + 1, sizeof *r->rows);
    if (status == QV_OK) r->rows[r->n_rows++] = *row;
    return status;
}

qv_status qv_records_add_prediction(qv_ctx *ctx, qv_records *r, const qv_prediction *p)
{
    qv_status status = QV_OK;
    qv_prediction copy = *p;
    copy.file = copy.speaker = NULL;
    copy.probs = NULL;
    QV_TRY(qv_grow(ctx, &r->predictions, &r->cap_predictions, r->n_predictions + 1, sizeof *r->predictions));
    QV_TRY(qv_strdup(ctx, &copy.file, p->file));
    QV_TRY(qv_strdup(ctx, &copy.speaker, p->speaker));
    QV_TRY(qv_alloc(ctx, &copy.probs, (size_t)r->n_classes, sizeof *copy.probs));
    memcpy(copy.probs, p->probs, (size_t)r->n_classes * sizeof *copy.probs);
    r->predictions[r->n_predictions++] = copy;
    copy = (qv_prediction){0};
done:
    free_prediction(&copy);
    return status;
}

void qv_records_drop(qv_records *r, const char *fold, int epoch)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n_rows; i++)
        if (strcmp(r->rows[i].fold, fold) != 0 || r->rows[i].epoch <= epoch) r->rows[kept++] = r->rows[i];
    r->n_rows = kept;
    kept = 0;
    for (size_t i = 0; i < r->n_predictions; i++) {
        if (strcmp(r->predictions[i].fold, fold) == 0)
            free_prediction(&r->predictions[i]);
        else
            r->predictions[kept++] = r->predictions[i];
    }
    r->n_predictions = kept;
}

/* Columns of results.csv after the fold's name: NaN is an empty cell. */
enum { NUMBERS = 11 };
static const char *const number_names[NUMBERS] = {"epoch",   "step",   "seconds", "lr",       "loss",              "train_ua",
                                                  "val_ua", "test_ua", "gap_val", "gap_test", "samples_per_second"};

static void row_numbers(const qv_epoch_row *e, double x[NUMBERS])
{
    const double values[NUMBERS] = {e->epoch,   (double)e->step,
                                    e->seconds, e->lr,
                                    e->loss,    e->train_ua,
                                    e->val_ua,  e->test_ua,
                                    100 * (e->train_ua - e->val_ua), 100 * (e->train_ua - e->test_ua),
                                    e->rate};
    memcpy(x, values, sizeof values);
}

static void print_rows_csv(const qv_records *r, qv_buf *b)
{
    qv_buf_puts(b, "fold");
    for (int k = 0; k < NUMBERS; k++) qv_buf_printf(b, ",%s", number_names[k]);
    qv_buf_puts(b, "\n");
    for (size_t i = 0; i < r->n_rows; i++) {
        double x[NUMBERS];
        row_numbers(&r->rows[i], x);
        qv_buf_puts(b, r->rows[i].fold);
        for (int k = 0; k < NUMBERS; k++) {
            qv_buf_puts(b, ",");
            if (isfinite(x[k])) qv_buf_real(b, x[k]);
        }
        qv_buf_puts(b, "\n");
    }
}

static void print_rows_json(const qv_records *r, qv_buf *b)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        double x[NUMBERS];
        row_numbers(&r->rows[i], x);
        qv_buf_printf(b, "{\"fold\": \"%s\"", r->rows[i].fold); /* fold names hold neither quotes nor controls */
        for (int k = 0; k < NUMBERS; k++) {
            qv_buf_printf(b, ", \"%s\": ", number_names[k]);
            isfinite(x[k]) ? qv_buf_real(b, x[k]) : qv_buf_puts(b, "null");
        }
        qv_buf_puts(b, "}\n");
    }
}

/* Before the probabilities: of them FILE_CELLS before a place in the file, where there is one. */
enum { PREDICTION_CELLS = 6, FILE_CELLS = 3 };

/* The cells before the probabilities; returns how many. */
static size_t put_cells(const char **cells, const char *const head[PREDICTION_CELLS], bool parts,
                        const char *const place[QV_PART_CELLS])
{
    size_t n = 0;
    for (int k = 0; k < FILE_CELLS; k++) cells[n++] = head[k];
    for (int k = 0; parts && k < QV_PART_CELLS; k++) cells[n++] = place[k];
    for (int k = FILE_CELLS; k < PREDICTION_CELLS; k++) cells[n++] = head[k];
    return n;
}

static qv_status print_predictions(qv_ctx *ctx, const qv_records *r, qv_buf *b)
{
    static const char *const names[PREDICTION_CELLS] = {"fold", "part", "file", "speaker", "truth", "predicted"};
    static const char *const places[QV_PART_CELLS] = {"start", "end", "channel"};
    size_t classes = (size_t)r->n_classes;
    const char **cells = NULL;
    char(*text)[32] = NULL;
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &cells, PREDICTION_CELLS + QV_PART_CELLS + classes, sizeof *cells));
    QV_TRY(qv_alloc(ctx, &text, classes, sizeof *text));
    const size_t n = put_cells(cells, names, r->parts, places);
    qv_csv_header(b, cells, n, "p_", r->classes, classes);
    for (size_t k = 0; k < classes; k++) cells[n + k] = text[k];
    for (size_t i = 0; i < r->n_predictions; i++) {
        const qv_prediction *p = &r->predictions[i];
        const char *head[] = {p->fold, p->part, p->file, p->speaker, r->classes[p->truth], r->classes[p->predicted]};
        put_cells(cells, head, r->parts, (const char *[]){p->place[0], p->place[1], p->place[2]});
        for (size_t k = 0; k < classes; k++) qv_format(text[k], sizeof text[k], "%.6f", p->probs[k]);
        qv_csv_write(b, cells, n + classes);
    }
    status = qv_buf_check(ctx, b);
done:
    free(text);
    free(cells);
    return status;
}

static qv_status write_text(qv_ctx *ctx, const char *run, const char *name, const qv_buf *b)
{
    qv_status status = qv_buf_check(ctx, b);
    return status == QV_OK ? qv_write_in(ctx, run, name, b->data ? b->data : "", b->len) : status;
}

qv_status qv_records_write(qv_ctx *ctx, const qv_records *r, const char *run)
{
    qv_status status = QV_OK;
    qv_buf csv = {0}, json = {0}, predictions = {0};
    print_rows_csv(r, &csv);
    print_rows_json(r, &json);
    QV_TRY(print_predictions(ctx, r, &predictions));
    QV_TRY(write_text(ctx, run, "results.csv", &csv));
    QV_TRY(write_text(ctx, run, "results.jsonl", &json));
    QV_TRY(write_text(ctx, run, "predictions.csv", &predictions));
done:
    qv_buf_free(&csv);
    qv_buf_free(&json);
    qv_buf_free(&predictions);
    return status;
}

/* Opens RUN/name; *there is false where it does not exist. */
static qv_status open_csv(qv_ctx *ctx, qv_csv *csv, const char *run, const char *name, bool *there)
{
    qv_status status = QV_OK;
    char *path = NULL, *text = NULL;
    size_t size;
    *csv = (qv_csv){0};
    QV_TRY(qv_path_join(ctx, &path, run, name));
    *there = qv_path_exists(path);
    if (!*there) goto done;
    QV_TRY(qv_read_file(ctx, path, max_bytes, &text, &size));
    status = qv_csv_open(ctx, csv, name, text, size);
done:
    free(path);
    return status;
}

static qv_status bad_row(qv_ctx *ctx, const char *run, const char *name, int line)
{
    return qv_fail(ctx, QV_ERR_DATA, "%s/%s:%d: not a row that this program wrote; --force starts anew", run, name, line);
}

/* A number, or NaN for an empty cell; false for anything else. */
static bool parse_number(const char *cell, double *x)
{
    *x = NAN;
    return !*cell || (qv_read_real(cell, x) && isfinite(*x));
}

/* As folds are named: what needs neither quotes in CSV nor escapes in JSON. */
static bool is_fold_name(const char *cell, size_t room)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strlen(cell);
    return n > 0 && n < room && strspn(cell, fine) == n;
}

static bool parse_row(const qv_csv *csv, qv_epoch_row *e)
{
    double x[NUMBERS];
    if (csv->n != NUMBERS + 1 || !is_fold_name(csv->cells[0], sizeof e->fold)) return false;
    for (int k = 0; k < NUMBERS; k++)
        if (!parse_number(csv->cells[k + 1], &x[k])) return false;
    if (!(x[0] >= 0 && x[0] <= INT32_MAX) || !(x[1] >= 0 && x[1] <= 0x1p53)) return false;
    *e = (qv_epoch_row){.epoch = (int)x[0], .step = (uint64_t)x[1], .seconds = x[2], .lr = x[3], .loss = x[4],
                        .train_ua = x[5], .val_ua = x[6], .test_ua = x[7], .rate = x[10]};
    strcpy(e->fold, csv->cells[0]);
    return true;
}

static qv_status read_rows(qv_ctx *ctx, qv_records *r, const char *run)
{
    qv_status status = QV_OK;
    qv_csv csv;
    bool more, head = true;
    QV_TRY(open_csv(ctx, &csv, run, "results.csv", &more));
    while (more) {
        qv_epoch_row e;
        QV_TRY(qv_csv_next(ctx, &csv, &more));
        if (!more) break;
        if (!head && !parse_row(&csv, &e)) {
            status = bad_row(ctx, run, "results.csv", csv.row_line);
            goto done;
        }
        if (!head) QV_TRY(qv_records_add_row(ctx, r, &e));
        head = false;
    }
done:
    qv_csv_close(&csv);
    return status;
}

static int class_index(const qv_records *r, const char *name)
{
    for (int k = 0; k < r->n_classes; k++)
        if (strcmp(r->classes[k], name) == 0) return k;
    return -1;
}

static bool parse_prediction(const qv_records *r, const qv_csv *csv, bool parts, qv_prediction *p)
{
    char **cell = csv->cells;
    if (csv->n != PREDICTION_CELLS + (parts ? (size_t)QV_PART_CELLS : 0) + (size_t)r->n_classes) return false;
    if (!is_fold_name(cell[0], sizeof p->fold) || strlen(cell[1]) >= sizeof p->part) return false;
    strcpy(p->fold, cell[0]);
    strcpy(p->part, cell[1]);
    p->file = cell[2];
    cell += FILE_CELLS;
    for (int k = 0; parts && k < QV_PART_CELLS; k++, cell++) {
        if (strlen(*cell) >= sizeof p->place[k]) return false;
        strcpy(p->place[k], *cell);
    }
    p->speaker = cell[0];
    p->truth = class_index(r, cell[1]);
    p->predicted = class_index(r, cell[2]);
    cell += PREDICTION_CELLS - FILE_CELLS;
    for (int k = 0; k < r->n_classes; k++)
        if (!parse_number(cell[k], &p->probs[k]) || !(p->probs[k] >= 0 && p->probs[k] <= 1)) return false;
    return p->truth >= 0 && p->predicted >= 0;
}

static qv_status read_predictions(qv_ctx *ctx, qv_records *r, const char *run)
{
    qv_status status = QV_OK;
    qv_csv csv = {0};
    qv_prediction p = {0};
    bool more, head = true, parts = false;
    QV_TRY(qv_alloc(ctx, &p.probs, (size_t)r->n_classes, sizeof *p.probs));
    QV_TRY(open_csv(ctx, &csv, run, "predictions.csv", &more));
    while (more) {
        QV_TRY(qv_csv_next(ctx, &csv, &more));
        if (!more) break;
        if (head) parts = r->parts && csv.n > PREDICTION_CELLS + (size_t)r->n_classes; /* not of an older program */
        if (!head && !parse_prediction(r, &csv, parts, &p)) {
            status = bad_row(ctx, run, "predictions.csv", csv.row_line);
            goto done;
        }
        if (!head) QV_TRY(qv_records_add_prediction(ctx, r, &p));
        head = false;
    }
done:
    free(p.probs);
    qv_csv_close(&csv);
    return status;
}

qv_status qv_records_read(qv_ctx *ctx, qv_records *r, const char *run)
{
    qv_status status = read_rows(ctx, r, run);
    return status == QV_OK ? read_predictions(ctx, r, run) : status;
}
