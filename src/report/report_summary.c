/* A summary: its texts, filling it, means over folds, and the ten lines. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/report_data.h"

const qv_text_row qv_summary_texts[QV_SUMMARY_TEXTS] = {
    {"", "quaver", offsetof(qv_summary, version)},
    {"", "program", offsetof(qv_summary, program)},
    {"", "command", offsetof(qv_summary, command)},
    {"manifest", "path", offsetof(qv_summary, manifest)},
    {"manifest", "hash", offsetof(qv_summary, manifest_hash)},
    {"manifest", "recordings_hash", offsetof(qv_summary, recordings_hash)},
    {"manifest", "content_hash", offsetof(qv_summary, content_hash)},
    {"", "device", offsetof(qv_summary, device)},
    {"", "isa", offsetof(qv_summary, isa)},
    {"", "libraries", offsetof(qv_summary, libraries)},
    {"", "network", offsetof(qv_summary, network)},
    {"", "started", offsetof(qv_summary, started)},
    {"", "finished", offsetof(qv_summary, finished)},
    {"protocol", "split", offsetof(qv_summary, split)},
    {"protocol", "folds", offsetof(qv_summary, fold_spec)},
    {"protocol", "folds_hash", offsetof(qv_summary, folds_hash)},
    {"protocol", "start_hash", offsetof(qv_summary, start_hash)},
    {"protocol", "labels", offsetof(qv_summary, labels)},
    {"protocol", "normalization", offsetof(qv_summary, normalization)},
    {"protocol", "loudness", offsetof(qv_summary, loudness)},
    {"protocol", "bn_eval", offsetof(qv_summary, bn_eval)},
    {"protocol", "validation", offsetof(qv_summary, validation)},
    {"protocol", "epoch_rule", offsetof(qv_summary, epoch_rule)},
};
char **qv_summary_text(const qv_summary *s, size_t row)
{
    return (char **)((char *)(uintptr_t)s + qv_summary_texts[row].offset);
}

void qv_summary_free(qv_summary *s)
{
    for (size_t i = 0; i < QV_SUMMARY_TEXTS; i++) free(*qv_summary_text(s, i));
    qv_free_texts(s->classes, (size_t)s->n_classes);
    qv_free_texts(s->notes, s->n_notes);
    for (size_t i = 0; i < s->n_folds; i++) free(s->folds[i].name);
    free(s->folds);
    qv_metrics_free(&s->pooled);
    *s = (qv_summary){0};
}

static qv_status format_text(qv_ctx *ctx, char **out, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    qv_status status = n < 0 ? qv_fail(ctx, QV_ERR_INTERNAL, "the text \"%s\" cannot be made", fmt)
                             : qv_alloc(ctx, out, (size_t)n + 1, 1);
    if (status == QV_OK) vsnprintf(*out, (size_t)n + 1, fmt, again);
    va_end(again);
    return status;
}

qv_status qv_summary_set(qv_ctx *ctx, char **field, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    qv_status status = format_text(ctx, &text, fmt, ap);
    va_end(ap);
    if (status != QV_OK) return status;
    free(*field);
    *field = text;
    return QV_OK;
}

qv_status qv_summary_classes(qv_ctx *ctx, qv_summary *s, char *const *names, int n)
{
    qv_status status = QV_OK;
    char **copies = NULL;
    QV_TRY(qv_alloc(ctx, &copies, (size_t)n, sizeof *copies));
    for (int i = 0; i < n; i++) QV_TRY(qv_strdup(ctx, &copies[i], names[i]));
    qv_free_texts(s->classes, (size_t)s->n_classes);
    s->classes = copies;
    s->n_classes = n;
    copies = NULL;
done:
    qv_free_texts(copies, (size_t)n);
    return status;
}

qv_status qv_summary_note(qv_ctx *ctx, qv_summary *s, const char *fmt, ...)
{
    qv_status status = qv_grow(ctx, &s->notes, &s->cap_notes, s->n_notes + 1, sizeof *s->notes);
    if (status != QV_OK) return status;
    va_list ap;
    va_start(ap, fmt);
    status = format_text(ctx, &s->notes[s->n_notes], fmt, ap);
    va_end(ap);
    if (status == QV_OK) s->n_notes++;
    return status;
}

qv_status qv_summary_fold(qv_ctx *ctx, qv_summary *s, const char *name, qv_fold_summary **out)
{
    qv_status status = qv_grow(ctx, &s->folds, &s->cap_folds, s->n_folds + 1, sizeof *s->folds);
    if (status != QV_OK) return status;
    qv_fold_summary *fold = &s->folds[s->n_folds];
    *fold = (qv_fold_summary){.gap_test = NAN, .gap_val = NAN};
    status = qv_strdup(ctx, &fold->name, name);
    if (status != QV_OK) return status;
    s->n_folds++;
    *out = fold;
    return QV_OK;
}

qv_status qv_summary_pool(qv_ctx *ctx, qv_summary *s, const qv_answers *a)
{
    qv_status status = QV_OK;
    if (a->classes != s->n_classes)
        return qv_fail(ctx, QV_ERR_INTERNAL, "answers over %d classes for a summary of %d", a->classes, s->n_classes);
    qv_metrics_free(&s->pooled);
    QV_TRY(qv_metrics_compute(ctx, &s->pooled, a));
    QV_TRY(qv_bootstrap_speakers(ctx, &s->interval, a, s->seed));
done:
    return status;
}

double qv_part_ua(const qv_part_score *p) { return p->n ? p->ua : NAN; }

/* Mean and deviation of one number of each fold; NaN where a fold does not have it. */
static qv_spread spread(const qv_summary *s, double (*number)(const qv_fold_summary *))
{
    qv_spread r = {NAN, NAN, 0};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < s->n_folds; i++) {
        double x = number(&s->folds[i]);
        if (isnan(x)) continue;
        sum += x;
        r.n++;
    }
    if (r.n > 0) r.mean = sum / r.n;
    for (size_t i = 0; i < s->n_folds; i++) {
        double x = number(&s->folds[i]);
        if (!isnan(x)) squares += (x - r.mean) * (x - r.mean);
    }
    if (r.n > 1) r.sd = sqrt(squares / (r.n - 1));
    return r;
}

static double fold_train_ua(const qv_fold_summary *f) { return qv_part_ua(&f->train); }
static double fold_val_ua(const qv_fold_summary *f) { return qv_part_ua(&f->val); }
static double fold_test_ua(const qv_fold_summary *f) { return qv_part_ua(&f->test); }
static double fold_test_wa(const qv_fold_summary *f) { return f->test.n ? f->test.wa : NAN; }
static double fold_gap_test(const qv_fold_summary *f) { return f->gap_test; }
static double fold_gap_val(const qv_fold_summary *f) { return f->gap_val; }

void qv_summary_finish(qv_summary *s)
{
    s->overlap = 0;
    for (size_t i = 0; i < s->n_folds; i++) {
        qv_fold_summary *f = &s->folds[i];
        f->gap_test = 100 * (qv_part_ua(&f->train) - qv_part_ua(&f->test));
        f->gap_val = 100 * (qv_part_ua(&f->train) - qv_part_ua(&f->val));
        if (f->overlap > s->overlap) s->overlap = f->overlap;
    }
    s->train_ua = spread(s, fold_train_ua);
    s->val_ua = spread(s, fold_val_ua);
    s->test_ua = spread(s, fold_test_ua);
    s->test_wa = spread(s, fold_test_wa);
    s->gap_test = spread(s, fold_gap_test);
    s->gap_val = spread(s, fold_gap_val);
}

/* ---- ten lines ---- */

/* At most this many names in a line; the rest is counted. */
enum { LISTED = 8 };

static void line_measures(qv_buf *b, const qv_summary *s)
{
    const qv_metrics *m = &s->pooled;
    const qv_bootstrap *i = &s->interval;
    qv_buf_printf(b, "UA        %.3f", m->ua);
    if (qv_bootstrap_valid(i))
        qv_buf_printf(b, " (95 %% over %d speakers: %.3f to %.3f)", i->speakers, i->ua_low, i->ua_high);
    else
        qv_buf_printf(b, " (%d speakers: too few speakers for an interval)", i->speakers);
    qv_buf_printf(b, ", chance %.3f\nWA        %.3f", m->chance_ua, m->wa);
    if (qv_bootstrap_valid(i)) qv_buf_printf(b, " (%.3f to %.3f)", i->wa_low, i->wa_high);
    qv_buf_printf(b, ", the largest class alone %.3f\nmacro F1  %.3f\n", m->chance_wa, m->macro_f1);
}

static void line_gap(qv_buf *b, const qv_summary *s)
{
    if (s->gap_test.n == 0) return;
    qv_buf_printf(b, "gap       %.1f points: UA %.3f in training, %.3f in test", s->gap_test.mean, s->train_ua.mean,
                  s->test_ua.mean);
    if (s->gap_test.n > 1) qv_buf_printf(b, " (mean of %d folds, sd %.1f)", s->gap_test.n, s->gap_test.sd);
    if (s->gap_val.n > 0) qv_buf_printf(b, "; to validation %.1f", s->gap_val.mean);
    qv_buf_puts(b, "\n");
}

static void line_folds(qv_buf *b, const qv_summary *s)
{
    if (s->n_folds < 2) return;
    qv_buf_puts(b, "folds     UA ");
    for (size_t i = 0; i < s->n_folds && i < LISTED; i++)
        qv_buf_printf(b, "%s%s %.3f", i ? ", " : "", s->folds[i].name, qv_part_ua(&s->folds[i].test));
    if (s->n_folds > LISTED) qv_buf_printf(b, " and %zu more", s->n_folds - LISTED);
    if (s->test_ua.n > 1) qv_buf_printf(b, " (mean %.3f, sd %.3f)", s->test_ua.mean, s->test_ua.sd);
    qv_buf_puts(b, "\n");
}

static void line_recalls(qv_buf *b, const qv_summary *s)
{
    int listed = 0;
    qv_buf_puts(b, "recall    ");
    for (int c = 0; c < s->pooled.classes; c++) {
        const qv_class_score *k = &s->pooled.score[c];
        if (k->n == 0 || listed == LISTED) continue;
        qv_buf_printf(b, "%s%s %.3f of %zu", listed++ ? ", " : "", s->classes[c], k->recall, k->n);
    }
    if (s->pooled.present > listed) qv_buf_printf(b, " and %d more", s->pooled.present - listed);
    qv_buf_puts(b, "\n");
}

static void line_confused(qv_buf *b, const qv_summary *s)
{
    const qv_metrics *m = &s->pooled;
    int truth = -1, answer = -1;
    double worst = 0;
    for (int t = 0; t < m->classes; t++)
        for (int p = 0; p < m->classes; p++) {
            size_t n = m->confusion[t * m->classes + p];
            if (t == p || m->score[t].n == 0 || (double)n <= worst * (double)m->score[t].n) continue;
            worst = (double)n / (double)m->score[t].n;
            truth = t;
            answer = p;
        }
    if (truth < 0) return;
    qv_buf_printf(b, "confused  most: %s taken for %s, %zu of %zu\n", s->classes[truth], s->classes[answer],
                  m->confusion[truth * m->classes + answer], m->score[truth].n);
}

static void line_protocol(qv_buf *b, const qv_summary *s)
{
    qv_buf_printf(b, "protocol  %s (%d speakers in both training and test)", s->split ? s->split : "unknown split",
                  s->overlap);
    if (s->normalization)
        qv_buf_printf(b, ", normalization %s%s", s->normalization, s->transductive ? " (transductive)" : "");
    if (s->epoch_rule) qv_buf_printf(b, ", %s", s->epoch_rule);
    qv_buf_puts(b, "\n");
}

void qv_summary_lines(qv_buf *b, const qv_summary *s, const char *run)
{
    qv_buf_printf(b, "%zu test recordings, %d speakers, %d classes", s->pooled.n, s->interval.speakers,
                  s->pooled.present);
    if (s->n_folds > 0) qv_buf_printf(b, ", %zu of %d folds", s->n_folds, s->folds_planned);
    qv_buf_puts(b, "\n");
    if (s->pooled.n == 0) return;
    line_measures(b, s);
    line_gap(b, s);
    line_folds(b, s);
    line_recalls(b, s);
    line_confused(b, s);
    line_protocol(b, s);
    if (run) qv_buf_printf(b, "report    %s%sreport.html\n", run, *run && run[strlen(run) - 1] == '/' ? "" : "/");
}
