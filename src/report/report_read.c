/* summary.json, read. It may be anybody's: each key is checked as it is taken. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/json.h"
#include "report/report_data.h"

enum { LARGEST_FILE = 16 << 20, MOST_CLASSES = 1000 };

static bool is_there(const json_t *from, const char *key)
{
    const json_t *v = json_object_get(from, key);
    return v && !json_is_null(v);
}

/* `key` of `from`, which must hold an object (an array); NULL where it is missing or null. */
static qv_status get_group(qv_ctx *ctx, const json_t *from, const char *key, bool array, json_t **out)
{
    *out = json_object_get(from, key);
    if (json_is_null(*out)) *out = NULL;
    if (!*out || (array ? json_is_array(*out) : json_is_object(*out))) return QV_OK;
    return qv_json_wrong(ctx, key, array ? "a list" : "an object");
}

static qv_status get_text(qv_ctx *ctx, const json_t *from, const char *key, char **out)
{
    return is_there(from, key) ? qv_json_take_text(ctx, from, key, out) : QV_OK;
}

static qv_status get_count(qv_ctx *ctx, const json_t *from, const char *key, size_t *out)
{
    *out = 0;
    return is_there(from, key) ? qv_json_take_count(ctx, from, key, out) : QV_OK;
}

static qv_status get_int(qv_ctx *ctx, const json_t *from, const char *key, int *out)
{
    size_t n;
    qv_status status = get_count(ctx, from, key, &n);
    *out = (int)n;
    return status;
}

/* NaN where it is missing or null. */
static qv_status get_real(qv_ctx *ctx, const json_t *from, const char *key, double high, double *out)
{
    const json_t *v = json_object_get(from, key);
    *out = NAN;
    if (!v || json_is_null(v)) return QV_OK;
    double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= 0 && x <= high))
        return qv_json_wrong(ctx, key, high == 1 ? "a number from 0 to 1" : "a number from 0");
    *out = x;
    return QV_OK;
}

static qv_status get_bool(qv_ctx *ctx, const json_t *from, const char *key, bool *out)
{
    const json_t *v = json_object_get(from, key);
    *out = json_is_true(v);
    return !v || json_is_boolean(v) ? QV_OK : qv_json_wrong(ctx, key, "true or false");
}

/* A text, since JSON's numbers need not hold 64 bits. */
static qv_status get_seed(qv_ctx *ctx, const json_t *root, uint64_t *out)
{
    const json_t *v = json_object_get(root, "seed");
    const char *text = json_string_value(v);
    char *end = NULL;
    *out = 0;
    if (!is_there(root, "seed")) return QV_OK;
    errno = 0;
    if (text && *text >= '0' && *text <= '9') *out = strtoull(text, &end, 10);
    return end && !*end && !errno ? QV_OK : qv_json_wrong(ctx, "seed", "a whole number as a text");
}

static qv_status get_texts(qv_ctx *ctx, const json_t *root, qv_summary *s)
{
    qv_status status = QV_OK;
    for (size_t i = 0; i < QV_SUMMARY_TEXTS; i++) {
        json_t *from = (json_t *)(uintptr_t)root;
        if (qv_summary_texts[i].group[0]) QV_TRY(get_group(ctx, root, qv_summary_texts[i].group, false, &from));
        if (from) QV_TRY(get_text(ctx, from, qv_summary_texts[i].key, qv_summary_text(s, i)));
    }
done:
    return status;
}

static qv_status get_classes(qv_ctx *ctx, const json_t *root, qv_summary *s)
{
    size_t n = 0;
    qv_status status = qv_json_take_names(ctx, root, "classes", MOST_CLASSES, &s->classes, &n);
    s->n_classes = (int)n;
    return status;
}

static qv_status get_notes(qv_ctx *ctx, const json_t *root, qv_summary *s)
{
    json_t *list;
    qv_status status = get_group(ctx, root, "notes", true, &list);
    for (size_t i = 0; status == QV_OK && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        status = text ? qv_summary_note(ctx, s, "%s", text) : qv_json_wrong(ctx, "notes", "a list of texts");
    }
    return status;
}

static qv_status get_part(qv_ctx *ctx, const json_t *fold, const char *key, qv_part_score *out)
{
    qv_status status = QV_OK;
    json_t *from;
    QV_TRY(get_group(ctx, fold, key, false, &from));
    if (!from) goto done;
    QV_TRY(get_count(ctx, from, "n", &out->n));
    QV_TRY(get_int(ctx, from, "speakers", &out->speakers));
    QV_TRY(get_real(ctx, from, "ua", 1, &out->ua));
    QV_TRY(get_real(ctx, from, "wa", 1, &out->wa));
    if (out->n > 0 && (isnan(out->ua) || isnan(out->wa))) status = qv_json_wrong(ctx, key, "ua and wa where n is above 0");
done:
    return status;
}

static qv_status get_fold(qv_ctx *ctx, const json_t *from, qv_summary *s)
{
    qv_status status = QV_OK;
    qv_fold_summary *f;
    const char *name = json_string_value(json_object_get(from, "name"));
    if (!name) return qv_json_wrong(ctx, "folds", "objects with a \"name\"");
    QV_TRY(qv_summary_fold(ctx, s, name, &f));
    QV_TRY(get_int(ctx, from, "epoch", &f->epoch));
    QV_TRY(get_int(ctx, from, "overlap", &f->overlap));
    QV_TRY(get_real(ctx, from, "seconds", HUGE_VAL, &f->seconds));
    QV_TRY(get_part(ctx, from, "train", &f->train));
    QV_TRY(get_part(ctx, from, "val", &f->val));
    QV_TRY(get_part(ctx, from, "test", &f->test));
done:
    return status;
}

static qv_status get_interval(qv_ctx *ctx, const json_t *pooled, const char *key, double *low, double *high)
{
    const json_t *v = json_object_get(pooled, key);
    *low = *high = NAN;
    if (!v || json_is_null(v)) return QV_OK;
    const json_t *a = json_array_get(v, 0), *b = json_array_get(v, 1);
    double x = json_number_value(a), y = json_number_value(b);
    if (!json_is_number(a) || !json_is_number(b) || !(0 <= x && x <= y && y <= 1))
        return qv_json_wrong(ctx, key, "two rising numbers from 0 to 1, or null");
    *low = x;
    *high = y;
    return QV_OK;
}

static qv_status get_confusion(qv_ctx *ctx, const json_t *pooled, qv_summary *s)
{
    qv_status status = QV_OK;
    size_t k = (size_t)s->n_classes, *confusion = NULL;
    json_t *rows;
    QV_TRY(qv_alloc(ctx, &confusion, k, k * sizeof *confusion));
    QV_TRY(get_group(ctx, pooled, "confusion", true, &rows));
    for (size_t i = 0; i < k * k; i++) {
        const json_t *cell = json_array_get(json_array_get(rows, i / k), i % k);
        json_int_t n = json_integer_value(cell);
        if (!json_is_integer(cell) || n < 0 || n > QV_JSON_COUNT_MAX) {
            status = qv_json_wrong(ctx, "confusion", "a row a class, each with a count a class");
            goto done;
        }
        confusion[i] = (size_t)n;
    }
    QV_TRY(qv_metrics_from_confusion(ctx, &s->pooled, confusion, s->n_classes));
done:
    free(confusion);
    return status;
}

/* Only the counts are taken over: all measures follow from them. */
static qv_status get_pooled(qv_ctx *ctx, const json_t *root, qv_summary *s)
{
    qv_status status = QV_OK;
    qv_bootstrap *b = &s->interval;
    json_t *pooled;
    *b = (qv_bootstrap){0, NAN, NAN, NAN, NAN};
    QV_TRY(get_group(ctx, root, "pooled", false, &pooled));
    if (!pooled) { /* no fold was finished yet */
        QV_TRY(qv_metrics_compute(ctx, &s->pooled, &(qv_answers){.classes = s->n_classes}));
        goto done;
    }
    QV_TRY(get_confusion(ctx, pooled, s));
    QV_TRY(get_int(ctx, pooled, "speakers", &b->speakers));
    QV_TRY(get_interval(ctx, pooled, "ua_interval", &b->ua_low, &b->ua_high));
    QV_TRY(get_interval(ctx, pooled, "wa_interval", &b->wa_low, &b->wa_high));
    if (qv_bootstrap_valid(b) && (isnan(b->ua_low) || isnan(b->wa_low)))
        status = qv_json_wrong(ctx, "ua_interval", "an interval where there are 8 speakers or more");
done:
    return status;
}

static qv_status get_numbers(qv_ctx *ctx, const json_t *root, qv_summary *s)
{
    qv_status status = QV_OK;
    json_t *manifest, *protocol;
    QV_TRY(get_group(ctx, root, "manifest", false, &manifest));
    QV_TRY(get_group(ctx, root, "protocol", false, &protocol));
    QV_TRY(get_count(ctx, manifest, "recordings", &s->recordings));
    QV_TRY(get_count(ctx, manifest, "skipped", &s->skipped));
    QV_TRY(get_int(ctx, manifest, "speakers", &s->speakers));
    QV_TRY(get_int(ctx, protocol, "folds_planned", &s->folds_planned));
    QV_TRY(get_int(ctx, protocol, "heard", &s->heard));
    QV_TRY(get_bool(ctx, protocol, "transductive", &s->transductive));
    QV_TRY(get_int(ctx, root, "threads", &s->threads));
    QV_TRY(get_count(ctx, root, "parameters", &s->parameters));
    QV_TRY(get_seed(ctx, root, &s->seed));
done:
    return status;
}

static qv_status from_json(qv_ctx *ctx, const json_t *root, qv_summary *s)
{
    qv_status status = QV_OK;
    json_t *folds;
    if (!json_is_object(root)) return qv_fail(ctx, QV_ERR_DATA, "not an object; this is no summary of a run");
    json_int_t format = json_integer_value(json_object_get(root, "format"));
    if (format != QV_SUMMARY_FORMAT)
        return qv_fail(ctx, QV_ERR_DATA,
                       "\"format\" is %lld, this program reads %d; train again or use its version of Quaver",
                       (long long)format, QV_SUMMARY_FORMAT);
    QV_TRY(get_texts(ctx, root, s));
    QV_TRY(get_numbers(ctx, root, s));
    QV_TRY(get_classes(ctx, root, s));
    QV_TRY(get_notes(ctx, root, s));
    QV_TRY(get_group(ctx, root, "folds", true, &folds));
    for (size_t i = 0; i < json_array_size(folds); i++) QV_TRY(get_fold(ctx, json_array_get(folds, i), s));
    QV_TRY(get_pooled(ctx, root, s));
    qv_summary_finish(s);
done:
    return status;
}

qv_status qv_summary_read(qv_ctx *ctx, qv_summary *out, const char *run)
{
    qv_status status = QV_OK;
    char *path = NULL, *text = NULL;
    size_t size;
    json_t *root = NULL;
    json_error_t error;
    *out = (qv_summary){0};
    QV_TRY(qv_path_join(ctx, &path, run, "summary.json"));
    QV_TRY(qv_read_file(ctx, path, LARGEST_FILE, &text, &size));
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    status = root ? from_json(ctx, root, out) : qv_fail(ctx, QV_ERR_DATA, "line %d: %s", error.line, error.text);
    if (status != QV_OK) qv_fail_prefix(ctx, status, "%s", path);
done:
    if (status != QV_OK) qv_summary_free(out);
    json_decref(root);
    free(text);
    free(path);
    return status;
}
