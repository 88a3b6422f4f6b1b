#include "study/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/io.h"
#include "base/json.h"

enum { FORMAT = 1, MOST_CLASSES = 1000 };

static const char *const column_names[QV_RUN_COLUMNS] = {"epoch", "loss", "train_ua", "val_ua", "test_ua"};

const char *const qv_profile_keys[QV_PROFILES] = {"scales", "moved", "apart"};

static void free_scores(qv_record_scores *s)
{
    for (size_t i = 0; i < s->n_speakers; i++) {
        free(s->speakers[i].name);
        free(s->speakers[i].confusion);
    }
    free(s->speakers);
}

void qv_study_record_free(qv_study_record *r)
{
    char *texts[] = {r->corpus,  r->cell,   r->fold, r->manifest,  r->settings, r->failed, r->version,
                     r->program, r->device, r->isa,  r->libraries, r->finished, r->check,  r->reused};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    qv_free_texts(r->classes, (size_t)r->n_classes);
    free_scores(&r->running);
    free_scores(&r->even);
    for (int k = 0; k < 2; k++) {
        free(r->shape[k].points);
        free(r->shape[k].labels);
    }
    for (size_t i = 0; i < QV_RUN_COLUMNS; i++) free(r->curve[i]);
    for (int k = 0; k < QV_PROFILES; k++) {
        qv_free_texts(r->profiles[k].layers, r->profiles[k].n);
        free(r->profiles[k].mean);
    }
    *r = (qv_study_record){0};
}

qv_status qv_study_record_path(qv_ctx *ctx, char **path, const char *out, const char *corpus, const char *cell,
                               const char *fold, uint64_t seed)
{
    qv_buf b = {0};
    qv_buf_printf(&b, "records/%s/%s/fold-%s.seed-%llu.jsonl", corpus, cell, fold, (unsigned long long)seed);
    qv_status status = qv_buf_check(ctx, &b);
    if (status == QV_OK) status = qv_path_join(ctx, path, out, b.data);
    qv_buf_free(&b);
    return status;
}

/* ---- writing ---- */

static json_t *real_json(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *part_json(const qv_part_score *p)
{
    if (p->n == 0) return json_null();
    return json_pack("{s:I, s:i, s:o, s:o}", "n", (json_int_t)p->n, "speakers", p->speakers, "ua", real_json(p->ua),
                     "wa", real_json(p->wa));
}

/* json_array_append_new takes over what it is given, also where that is NULL and it fails. */
static json_t *confusion_json(const size_t *confusion, int classes)
{
    json_t *rows = json_array();
    int failed = 0;
    for (int i = 0; i < classes; i++) {
        json_t *row = json_array();
        for (int k = 0; k < classes; k++)
            failed |= json_array_append_new(row, json_integer((json_int_t)confusion[i * classes + k]));
        failed |= json_array_append_new(rows, row);
    }
    if (!failed) return rows;
    json_decref(rows);
    return NULL;
}

static json_t *speakers_json(const qv_record_scores *r, int classes)
{
    json_t *list = json_array();
    int failed = 0;
    for (size_t i = 0; i < r->n_speakers; i++) {
        const qv_record_speaker *s = &r->speakers[i];
        failed |= json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "name", s->name, "ua", real_json(s->ua),
                                                        "wa", real_json(s->wa), "confusion",
                                                        confusion_json(s->confusion, classes)));
    }
    if (!failed) return list;
    json_decref(list);
    return NULL;
}

static json_t *scores_json(const qv_record_scores *s, int classes)
{
    if (s->n_speakers == 0) return json_null();
    return json_pack("{s:o, s:o, s:o}", "train", part_json(&s->train), "val", part_json(&s->val), "speakers",
                     speakers_json(s, classes));
}

static json_t *points_json(const qv_record_shape *s)
{
    json_t *list = json_array();
    int failed = 0;
    if (s->n_points == 0) return json_decref(list), json_null();
    for (size_t i = 0; i < s->n_points; i++)
        failed |= json_array_append_new(list, json_pack("[o, o, i]", real_json(s->points[2 * i]),
                                                        real_json(s->points[2 * i + 1]), s->labels[i]));
    if (!failed) return list;
    json_decref(list);
    return NULL;
}

static json_t *shape_json(const qv_record_shape *s)
{
    json_t *j = json_object();
    qv_symmetry copy = s->symmetry;
    int failed = 0;
    for (int k = 0; k < QV_SYMMETRY_MEASURES; k++)
        failed |= json_object_set_new(j, qv_symmetry_keys[k], real_json(*qv_symmetry_at(&copy, k)));
    failed |= json_object_set_new(j, "points", points_json(s));
    if (!failed) return j;
    json_decref(j);
    return NULL;
}

static json_t *embedding_json(const qv_study_record *r)
{
    if (r->dims == 0) return json_null();
    return json_pack("{s:I, s:o, s:o}", "dims", (json_int_t)r->dims, "train", shape_json(&r->shape[0]), "test",
                     shape_json(&r->shape[1]));
}

static json_t *curve_json(const qv_study_record *r)
{
    json_t *curve = json_object();
    int failed = 0;
    for (size_t c = 0; c < QV_RUN_COLUMNS; c++) {
        json_t *list = json_array();
        for (size_t i = 0; i < r->n_curve; i++) {
            double x = r->curve[c][i];
            failed |= json_array_append_new(list, c == QV_RUN_EPOCH ? json_integer((json_int_t)x) : real_json(x));
        }
        failed |= json_object_set_new(curve, column_names[c], list);
    }
    if (!failed) return curve;
    json_decref(curve);
    return NULL;
}

static json_t *profile_json(const qv_record_profile *p)
{
    json_t *list = json_array();
    int failed = 0;
    for (size_t i = 0; i < p->n; i++)
        failed |= json_array_append_new(list,
                                        json_pack("{s:s, s:o}", "layer", p->layers[i], "mean", real_json(p->mean[i])));
    if (!failed) return list;
    json_decref(list);
    return NULL;
}

static char *dump(json_t *j)
{
    char *text = qv_json_text(j, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(j);
    return text;
}

/* Which run it is. */
static json_t *run_json(const qv_study_record *r)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:I, s:s, s:s, s:o}", "format", FORMAT, "corpus", r->corpus, "cell", r->cell,
                     "fold", r->fold, "seed", (json_int_t)r->seed, "manifest", r->manifest, "settings", r->settings,
                     "classes", qv_json_names(r->classes, (size_t)r->n_classes));
}

/* What came out. */
static json_t *outcome_json(const qv_study_record *r)
{
    if (r->failed) return json_pack("{s:s}", "failed", r->failed);
    return json_pack("{s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "epoch", r->epoch, "parameters",
                     (json_int_t)r->parameters, "running", scores_json(&r->running, r->n_classes), "even",
                     scores_json(&r->even, r->n_classes), "embedding", embedding_json(r), "curve", curve_json(r),
                     qv_profile_keys[0], profile_json(&r->profiles[0]), qv_profile_keys[1],
                     profile_json(&r->profiles[1]), qv_profile_keys[2], profile_json(&r->profiles[2]));
}

static char *result_line(const qv_study_record *r)
{
    json_t *line = run_json(r), *outcome = outcome_json(r);
    if (json_object_update(line, outcome) != 0) { /* also where there is no memory for either */
        json_decref(line);
        line = NULL;
    }
    json_decref(outcome);
    return dump(line);
}

static void check_of(const char *line, char out[32])
{
    snprintf(out, 32, "%016llx", (unsigned long long)XXH3_64bits(line, strlen(line)));
}

qv_status qv_study_record_write(qv_ctx *ctx, const qv_study_record *r, const char *path)
{
    qv_status status = QV_OK;
    qv_buf text = {0};
    char check[32], *line = result_line(r), *maker = NULL, *folder = NULL;
    if (line) {
        check_of(line, check);
        maker = dump(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:s*}", "version", r->version, "program",
                               r->program, "device", r->device, "isa", r->isa, "libraries", r->libraries, "seconds",
                               real_json(round(r->seconds * 1000) / 1000), "finished", r->finished, "check", check,
                               "reused", r->reused));
    }
    if (!maker) {
        status = qv_fail(ctx, QV_ERR_MEMORY, "%s: no memory for the record, or a name in it is not UTF-8", path);
        goto done;
    }
    qv_buf_printf(&text, "%s\n%s\n", line, maker);
    QV_TRY(qv_buf_check(ctx, &text));
    QV_TRY(qv_path_dir(ctx, &folder, path));
    QV_TRY(qv_make_dirs(ctx, folder));
    QV_TRY(qv_write_file(ctx, path, text.data, text.len));
done:
    qv_buf_free(&text);
    free(folder);
    free(line);
    free(maker);
    return status;
}

/* ---- reading: a record may come from anybody ---- */

/* Whatever real_json writes: a training that diverges can stay finite, and its numbers are no reason to refuse what
 * took hours. NaN for null, where that may be. */
static bool is_number(const json_t *v, bool optional, double *out)
{
    *out = json_is_number(v) ? json_number_value(v) : NAN;
    return isfinite(*out) || (optional && json_is_null(v));
}

static bool is_real(const json_t *v, double high, bool optional, double *out)
{
    return is_number(v, optional, out) && !(*out < 0 || *out > high);
}

static qv_status take_part(qv_ctx *ctx, const json_t *from, const char *key, qv_part_score *out)
{
    const json_t *part = json_object_get(from, key);
    size_t speakers = 0;
    qv_status status = QV_OK;
    if (json_is_null(part)) return QV_OK;
    QV_TRY(qv_json_take_count(ctx, part, "n", &out->n));
    QV_TRY(qv_json_take_count(ctx, part, "speakers", &speakers));
    out->speakers = (int)speakers;
    if (out->n == 0 || !is_real(json_object_get(part, "ua"), 1, false, &out->ua) ||
        !is_real(json_object_get(part, "wa"), 1, false, &out->wa))
        status = qv_json_wrong(ctx, key, "null, or n above 0, ua and wa from 0 to 1");
done:
    return status;
}

static qv_status take_classes(qv_ctx *ctx, const json_t *root, qv_study_record *r)
{
    size_t n = 0;
    qv_status status = qv_json_take_names(ctx, root, "classes", MOST_CLASSES, &r->classes, &n);
    r->n_classes = (int)n;
    return status;
}

static qv_status take_confusion(qv_ctx *ctx, const json_t *rows, int classes, size_t *out)
{
    size_t k = (size_t)classes;
    for (size_t i = 0; i < k * k; i++) {
        const json_t *cell = json_array_get(json_array_get(rows, i / k), i % k);
        json_int_t n = json_integer_value(cell);
        if (!json_is_integer(cell) || n < 0 || n > QV_JSON_COUNT_MAX)
            return qv_json_wrong(ctx, "confusion", "a row of counts a class");
        out[i] = (size_t)n;
    }
    return QV_OK;
}

static qv_status take_speaker(qv_ctx *ctx, const json_t *from, int classes, qv_record_scores *r)
{
    qv_record_speaker *s = &r->speakers[r->n_speakers];
    size_t k = (size_t)classes;
    qv_status status = QV_OK;
    *s = (qv_record_speaker){0};
    QV_TRY(qv_alloc(ctx, &s->confusion, k, k * sizeof *s->confusion));
    r->n_speakers++; /* from here on freed with the record */
    QV_TRY(qv_json_take_text(ctx, from, "name", &s->name));
    QV_TRY(take_confusion(ctx, json_object_get(from, "confusion"), classes, s->confusion));
    s->ua = qv_confusion_ua(s->confusion, classes); /* what the counts say is what counts */
    s->wa = qv_confusion_wa(s->confusion, classes);
    if (isnan(s->ua)) status = qv_json_wrong(ctx, "confusion", "at least one recording of each speaker");
done:
    return status;
}

static qv_status take_speakers(qv_ctx *ctx, const json_t *scores, int classes, qv_record_scores *r)
{
    const json_t *list = json_object_get(scores, "speakers");
    size_t n = json_array_size(list);
    if (n < 1) return qv_json_wrong(ctx, "speakers", "at least one test speaker");
    qv_status status = qv_alloc(ctx, &r->speakers, n, sizeof *r->speakers);
    for (size_t i = 0; status == QV_OK && i < n; i++) status = take_speaker(ctx, json_array_get(list, i), classes, r);
    return status;
}

static qv_status take_scores(qv_ctx *ctx, const json_t *scores, int classes, qv_record_scores *s)
{
    qv_status status = QV_OK;
    QV_TRY(take_part(ctx, scores, "train", &s->train));
    QV_TRY(take_part(ctx, scores, "val", &s->val));
    if (s->train.n == 0) return qv_json_wrong(ctx, "train", "scores of the training recordings");
    QV_TRY(take_speakers(ctx, scores, classes, s));
done:
    return status;
}

static bool is_of_column(const json_t *v, int column, double *out)
{
    if (column == QV_RUN_LOSS) return is_number(v, true, out);
    return is_real(v, column == QV_RUN_EPOCH ? QV_JSON_COUNT_MAX : 1, column != QV_RUN_EPOCH, out);
}

static qv_status take_curve(qv_ctx *ctx, const json_t *root, qv_study_record *r)
{
    const json_t *curve = json_object_get(root, "curve");
    size_t n = json_array_size(json_object_get(curve, column_names[0]));
    qv_status status = QV_OK;
    r->n_curve = n;
    for (int c = 0; c < QV_RUN_COLUMNS; c++) {
        const json_t *list = json_object_get(curve, column_names[c]);
        QV_TRY(qv_alloc(ctx, &r->curve[c], n, sizeof(double)));
        for (size_t i = 0; i < n; i++)
            if (!is_of_column(json_array_get(list, i), c, &r->curve[c][i]))
                return qv_json_wrong(ctx, column_names[c], "a number an epoch");
    }
done:
    return status;
}

static qv_status take_profile(qv_ctx *ctx, const json_t *root, const char *key, qv_record_profile *p)
{
    const json_t *list = json_object_get(root, key);
    size_t n = json_array_size(list);
    qv_status status = QV_OK;
    if (n > QV_MOST_LAYERS) return qv_json_wrong(ctx, key, "at most 256 layers");
    QV_TRY(qv_alloc(ctx, &p->layers, n, sizeof *p->layers));
    QV_TRY(qv_alloc(ctx, &p->mean, n, sizeof *p->mean));
    for (size_t i = 0; i < n; i++) {
        const json_t *from = json_array_get(list, i);
        QV_TRY(qv_json_take_text(ctx, from, "layer", &p->layers[i]));
        p->n++;
        if (!is_real(json_object_get(from, "mean"), INFINITY, true, &p->mean[i]))
            return qv_json_wrong(ctx, key, "a layer and a number from 0, or null, each");
    }
done:
    return status;
}

static qv_status take_points(qv_ctx *ctx, const json_t *list, int classes, qv_record_shape *s)
{
    size_t n = json_array_size(list);
    qv_status status = QV_OK;
    if (json_is_null(list)) return QV_OK;
    if (n < 1) return qv_json_wrong(ctx, "points", "null, or at least one");
    QV_TRY(qv_alloc(ctx, &s->points, n, 2 * sizeof *s->points));
    QV_TRY(qv_alloc(ctx, &s->labels, n, sizeof *s->labels));
    for (; s->n_points < n; s->n_points++) {
        const json_t *point = json_array_get(list, s->n_points), *label = json_array_get(point, 2);
        json_int_t class = json_integer_value(label);
        if (!is_number(json_array_get(point, 0), false, &s->points[2 * s->n_points]) ||
            !is_number(json_array_get(point, 1), false, &s->points[2 * s->n_points + 1]) || !json_is_integer(label) ||
            class < 0 || class >= classes)
            return qv_json_wrong(ctx, "points", "[x, y, class]");
        s->labels[s->n_points] = (int)class;
    }
done:
    return status;
}

static qv_status take_shape(qv_ctx *ctx, const json_t *from, int classes, qv_record_shape *s)
{
    const double rounding = 1e-6;
    for (int k = 0; k < QV_SYMMETRY_MEASURES; k++) {
        const qv_symmetry_range *range = &qv_symmetry_ranges[k];
        double *x = qv_symmetry_at(&s->symmetry, k);
        if (!is_number(json_object_get(from, qv_symmetry_keys[k]), true, x) || *x < range->low - rounding ||
            *x > range->high + rounding)
            return qv_json_wrong(ctx, qv_symmetry_keys[k], "null, or what the measure can be");
    }
    return take_points(ctx, json_object_get(from, "points"), classes, s);
}

static qv_status take_embedding(qv_ctx *ctx, const json_t *root, qv_study_record *r)
{
    const json_t *from = json_object_get(root, "embedding");
    qv_status status = QV_OK;
    if (!from || json_is_null(from)) return QV_OK;
    QV_TRY(qv_json_take_count(ctx, from, "dims", &r->dims));
    if (r->dims == 0) return qv_json_wrong(ctx, "dims", "1 or more");
    QV_TRY(take_shape(ctx, json_object_get(from, "train"), r->n_classes, &r->shape[0]));
    QV_TRY(take_shape(ctx, json_object_get(from, "test"), r->n_classes, &r->shape[1]));
done:
    return status;
}

static qv_status take_run(qv_ctx *ctx, const json_t *root, qv_study_record *r)
{
    const json_t *seed = json_object_get(root, "seed");
    qv_status status = QV_OK;
    if (json_integer_value(json_object_get(root, "format")) != FORMAT) return qv_json_wrong(ctx, "format", "1");
    QV_TRY(qv_json_take_text(ctx, root, "corpus", &r->corpus));
    QV_TRY(qv_json_take_text(ctx, root, "cell", &r->cell));
    QV_TRY(qv_json_take_text(ctx, root, "fold", &r->fold));
    QV_TRY(qv_json_take_text(ctx, root, "manifest", &r->manifest));
    QV_TRY(qv_json_take_text(ctx, root, "settings", &r->settings));
    if (!json_is_integer(seed) || json_integer_value(seed) < 0)
        return qv_json_wrong(ctx, "seed", "a whole number from 0");
    r->seed = (uint64_t)json_integer_value(seed);
    QV_TRY(take_classes(ctx, root, r));
done:
    return status;
}

static qv_status take_outcome(qv_ctx *ctx, const json_t *root, qv_study_record *r)
{
    const json_t *even = json_object_get(root, "even");
    size_t epoch = 0;
    qv_status status = QV_OK;
    if (json_object_get(root, "failed")) return qv_json_take_text(ctx, root, "failed", &r->failed);
    QV_TRY(qv_json_take_count(ctx, root, "epoch", &epoch));
    r->epoch = (int)epoch;
    QV_TRY(qv_json_take_count(ctx, root, "parameters", &r->parameters));
    QV_TRY(take_scores(ctx, json_object_get(root, "running"), r->n_classes, &r->running));
    if (!json_is_null(even)) QV_TRY(take_scores(ctx, even, r->n_classes, &r->even));
    QV_TRY(take_embedding(ctx, root, r));
    QV_TRY(take_curve(ctx, root, r));
    for (int k = 0; k < QV_PROFILES; k++) QV_TRY(take_profile(ctx, root, qv_profile_keys[k], &r->profiles[k]));
done:
    return status;
}

static qv_status take_maker(qv_ctx *ctx, const json_t *root, qv_study_record *r)
{
    qv_status status = QV_OK;
    QV_TRY(qv_json_take_text(ctx, root, "version", &r->version));
    QV_TRY(qv_json_take_text(ctx, root, "program", &r->program));
    QV_TRY(qv_json_take_text(ctx, root, "device", &r->device));
    QV_TRY(qv_json_take_text(ctx, root, "isa", &r->isa));
    QV_TRY(qv_json_take_text(ctx, root, "libraries", &r->libraries));
    QV_TRY(qv_json_take_text(ctx, root, "finished", &r->finished));
    QV_TRY(qv_json_take_text(ctx, root, "check", &r->check));
    if (json_object_get(root, "reused")) QV_TRY(qv_json_take_text(ctx, root, "reused", &r->reused));
    if (!is_real(json_object_get(root, "seconds"), INFINITY, false, &r->seconds))
        status = qv_json_wrong(ctx, "seconds", "a number");
done:
    return status;
}

static qv_status load_line(qv_ctx *ctx, json_t **out, const char *text)
{
    json_error_t error;
    *out = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    return *out ? QV_OK : qv_fail(ctx, QV_ERR_DATA, "column %d: %s", error.column, error.text);
}

/* Both lines, each ended by a NUL. */
static qv_status two_lines(qv_ctx *ctx, char *text, size_t size, char **second)
{
    char *end = strchr(text, '\n'), *last = end ? strchr(end + 1, '\n') : NULL;
    if (strlen(text) != size || !last || last[1]) return qv_fail(ctx, QV_ERR_DATA, "not the two lines of a record");
    *end = *last = '\0';
    *second = end + 1;
    return QV_OK;
}

/* The result's line must be the one that the maker's line was written for. */
static qv_status open_record(qv_ctx *ctx, const char *path, char **text, json_t **maker)
{
    char *second = NULL, check[32];
    size_t size;
    qv_status status = QV_OK;
    QV_TRY(qv_read_file(ctx, path, QV_LARGEST_RECORD, text, &size));
    QV_TRY(two_lines(ctx, *text, size, &second));
    QV_TRY(load_line(ctx, maker, second));
    check_of(*text, check);
    const char *found = json_string_value(json_object_get(*maker, "check"));
    if (!found || strcmp(found, check) != 0)
        status = qv_fail(ctx, QV_ERR_DATA, "the first line has the check %s, the second says %s: the file was changed",
                         check, found ? found : "nothing");
done:
    if (status == QV_ERR_DATA)
        qv_fail_prefix(ctx, status, "%s is damaged (remove it, and the run is done again)", path);
    return status;
}

qv_status qv_study_record_line(qv_ctx *ctx, char **line, const char *path)
{
    json_t *maker = NULL;
    *line = NULL;
    qv_status status = open_record(ctx, path, line, &maker);
    json_decref(maker);
    if (status == QV_OK) return QV_OK;
    free(*line);
    *line = NULL;
    return status;
}

qv_status qv_study_record_read(qv_ctx *ctx, qv_study_record *r, const char *path)
{
    char *text = NULL;
    json_t *maker = NULL, *root = NULL;
    qv_status status = open_record(ctx, path, &text, &maker);
    if (status != QV_OK) goto done;
    status = load_line(ctx, &root, text);
    if (status == QV_OK) status = take_run(ctx, root, r);
    if (status == QV_OK) status = take_outcome(ctx, root, r);
    if (status == QV_OK) status = take_maker(ctx, maker, r);
    if (status != QV_OK) qv_fail_prefix(ctx, status, "%s", path);
done:
    if (status != QV_OK) qv_study_record_free(r);
    json_decref(root);
    json_decref(maker);
    free(text);
    return status;
}
