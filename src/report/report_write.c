/* summary.json, written. The format is in report.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "report/report_data.h"

static json_t *real_json(double x) { return isfinite(x) ? json_real(x) : json_null(); }
static json_t *count_json(size_t n) { return json_integer((json_int_t)n); }

/* Text from outside (a path, an argument) may not be UTF-8, which JSON must be: such bytes become "?". */
static json_t *text_json(const char *text)
{
    if (!text) return json_null();
    json_t *value = json_string(text);
    if (value) return value;
    char *copy = strdup(text);
    if (!copy) return NULL;
    size_t size = strlen(copy), bad;
    for (size_t from = 0; (bad = from + qv_utf8_check(copy + from, size - from)) < size; from = bad) copy[bad] = '?';
    value = json_string(copy);
    free(copy);
    return value;
}

static json_t *texts_json(char *const *list, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        if (json_array_append_new(array, text_json(list[i])) == 0) continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

static json_t *part_json(const qv_part_score *p)
{
    return json_pack("{s:o, s:i, s:o, s:o}", "n", count_json(p->n), "speakers", p->speakers, "ua",
                     real_json(qv_part_ua(p)), "wa", real_json(p->n ? p->wa : NAN));
}

static json_t *folds_json(const qv_summary *s)
{
    json_t *array = json_array();
    for (size_t i = 0; i < s->n_folds; i++) {
        const qv_fold_summary *f = &s->folds[i];
        json_t *fold = json_pack("{s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "name", text_json(f->name), "epoch",
                                 f->epoch, "overlap", f->overlap, "seconds", real_json(f->seconds), "gap_test",
                                 real_json(f->gap_test), "gap_val", real_json(f->gap_val), "train",
                                 part_json(&f->train), "val", part_json(&f->val), "test", part_json(&f->test));
        if (json_array_append_new(array, fold) == 0) continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

static json_t *spread_json(qv_spread r)
{
    return json_pack("{s:o, s:o}", "mean", real_json(r.mean), "sd", real_json(r.sd));
}

static json_t *mean_json(const qv_summary *s)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "train_ua", spread_json(s->train_ua), "val_ua",
                     spread_json(s->val_ua), "test_ua", spread_json(s->test_ua), "test_wa", spread_json(s->test_wa),
                     "gap_test", spread_json(s->gap_test), "gap_val", spread_json(s->gap_val));
}

static json_t *interval_json(double low, double high)
{
    return isnan(low) ? json_null() : json_pack("[f, f]", low, high);
}

static json_t *class_scores_json(const qv_summary *s)
{
    json_t *array = json_array();
    for (int c = 0; c < s->pooled.classes; c++) {
        const qv_class_score *k = &s->pooled.score[c];
        json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", text_json(s->classes[c]), "n",
                                count_json(k->n), "predicted", count_json(k->predicted), "recall", real_json(k->recall),
                                "precision", real_json(k->precision), "f1", real_json(k->f1));
        if (json_array_append_new(array, row) == 0) continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

static json_t *confusion_json(const qv_metrics *m)
{
    json_t *rows = json_array();
    for (int t = 0; t < m->classes; t++) {
        json_t *row = json_array();
        int failed = json_array_append(rows, row);
        for (int p = 0; p < m->classes; p++)
            failed |= json_array_append_new(row, count_json(m->confusion[t * m->classes + p]));
        json_decref(row);
        if (!failed) continue;
        json_decref(rows);
        return NULL;
    }
    return rows;
}

static json_t *pooled_json(const qv_summary *s)
{
    if (s->pooled.n == 0) return json_null();
    const qv_metrics *m = &s->pooled;
    const qv_bootstrap *b = &s->interval;
    bool valid = qv_bootstrap_valid(b);
    return json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "n", count_json(m->n), "speakers",
                     b->speakers, "ua", real_json(m->ua), "wa", real_json(m->wa), "macro_f1", real_json(m->macro_f1),
                     "chance_ua", real_json(m->chance_ua), "chance_wa", real_json(m->chance_wa), "ua_interval",
                     interval_json(valid ? b->ua_low : NAN, b->ua_high), "wa_interval",
                     interval_json(valid ? b->wa_low : NAN, b->wa_high), "classes", class_scores_json(s), "confusion",
                     confusion_json(m));
}

/* The texts of `group`, in front of what else is in it. */
static int put_texts(json_t *to, const qv_summary *s, const char *group)
{
    int failed = 0;
    for (size_t i = 0; i < QV_SUMMARY_TEXTS; i++)
        if (strcmp(qv_summary_texts[i].group, group) == 0)
            failed |= json_object_set_new(to, qv_summary_texts[i].key, text_json(*qv_summary_text(s, i)));
    return failed;
}

static json_t *summary_json(const qv_summary *s)
{
    json_t *root = json_object(), *manifest = json_object(), *protocol = json_object();
    int failed = json_object_set_new(root, "format", json_integer(QV_SUMMARY_FORMAT)) | put_texts(root, s, "") |
                 put_texts(manifest, s, "manifest") | put_texts(protocol, s, "protocol");
    failed |= json_object_set_new(manifest, "recordings", count_json(s->recordings));
    failed |= json_object_set_new(manifest, "skipped", count_json(s->skipped));
    failed |= json_object_set_new(manifest, "speakers", json_integer(s->speakers));
    failed |= json_object_set_new(protocol, "folds_planned", json_integer(s->folds_planned));
    failed |= json_object_set_new(protocol, "overlap", json_integer(s->overlap));
    failed |= json_object_set_new(protocol, "heard", json_integer(s->heard));
    failed |= json_object_set_new(protocol, "transductive", json_boolean(s->transductive));
    failed |= json_object_set_new(root, "manifest", manifest) | json_object_set_new(root, "protocol", protocol);
    failed |= json_object_set_new(root, "classes", texts_json(s->classes, (size_t)s->n_classes));
    failed |= json_object_set_new(root, "seed", json_sprintf("%llu", (unsigned long long)s->seed));
    failed |= json_object_set_new(root, "threads", json_integer(s->threads));
    failed |= json_object_set_new(root, "parameters", count_json(s->parameters));
    failed |= json_object_set_new(root, "notes", texts_json(s->notes, s->n_notes));
    failed |= json_object_set_new(root, "folds", folds_json(s));
    failed |= json_object_set_new(root, "mean", mean_json(s));
    failed |= json_object_set_new(root, "pooled", pooled_json(s));
    if (!failed) return root;
    json_decref(root);
    return NULL;
}

/* Takes over `root`, which may be NULL. */
static qv_status print_json(qv_ctx *ctx, json_t *root, qv_buf *out)
{
    char *text = qv_json_text(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (text) qv_buf_printf(out, "%s\n", text);
    json_decref(root);
    free(text);
    return text ? qv_buf_check(ctx, out) : qv_fail(ctx, QV_ERR_MEMORY, "no memory for the figures as JSON");
}

qv_status qv_summary_json(qv_ctx *ctx, const qv_summary *s, qv_buf *out) { return print_json(ctx, summary_json(s), out); }

qv_status qv_scores_json(qv_ctx *ctx, const qv_summary *s, qv_buf *out)
{
    json_t *root = pooled_json(s);
    int failed = json_object_set_new(root, "skipped", count_json(s->skipped));
    failed |= json_object_set_new(root, "transductive", json_boolean(s->transductive));
    if (!failed) return print_json(ctx, root, out);
    json_decref(root);
    return print_json(ctx, NULL, out);
}

qv_status qv_summary_write(qv_ctx *ctx, const qv_summary *s, const char *run)
{
    qv_status status = QV_OK;
    qv_buf text = {0};
    QV_TRY(qv_summary_json(ctx, s, &text));
    QV_TRY(qv_write_in(ctx, run, "summary.json", text.data, text.len));
done:
    qv_buf_free(&text);
    return status;
}
