/* The report's words and tables. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "report/page.h"
#include "report/report_data.h"
#include "report/svg.h"

/* A share as 0.812, or a dash where there is none. */
static void put_share(qv_buf *b, double x)
{
    if (isnan(x))
        qv_buf_puts(b, "\xE2\x80\x93");
    else
        qv_buf_printf(b, "%.3f", x);
}

static void put_points(qv_buf *b, double x)
{
    if (isnan(x))
        qv_buf_puts(b, "\xE2\x80\x93");
    else
        qv_buf_printf(b, "%.1f", fabs(x) < 0.05 ? 0.0 : x);
}

static bool has_validation(const qv_summary *s) { return s->val_ua.n > 0; }

/* ---- head ---- */

static void lead(qv_buf *b, const qv_summary *s)
{
    const qv_metrics *m = &s->pooled;
    const qv_bootstrap *i = &s->interval;
    bool heard = s->overlap > 0 || s->heard > 0;
    char voices[32] = "";
    if (i->speakers > 1) snprintf(voices, sizeof voices, " of %d speakers", i->speakers);
    qv_buf_printf(
        b,
        "<p class=\"lead\">On %zu recordings%s%s, the model tells %d classes apart with an unweighted accuracy of "
        "<strong>%.3f</strong>",
        m->n, voices, i->speakers > 1 && !heard ? " it was not trained on" : "", m->present, m->ua);
    if (qv_bootstrap_valid(i)) qv_buf_printf(b, " (95 %% interval %.3f to %.3f)", i->ua_low, i->ua_high);
    qv_buf_printf(b, "; guessing gives %.3f.", m->chance_ua);
    if (s->gap_test.n > 1) /* not between these figures and the one above, which is of all folds together */
        qv_buf_printf(
            b, " As means of the folds it is %.3f in training and %.3f in test: a gap of <strong>%.1f points</strong>.",
            s->train_ua.mean, s->test_ua.mean, s->gap_test.mean);
    else if (s->gap_test.n > 0)
        qv_buf_printf(b, " On its training recordings it reaches %.3f: a gap of <strong>%.1f points</strong>.",
                      s->train_ua.mean, s->gap_test.mean);
    qv_buf_puts(b, "</p>\n");
}

static void cautions(qv_buf *b, const qv_run_data *d)
{
    const qv_summary *s = &d->summary;
    char text[256];
    snprintf(text, sizeof text, "%zu of %d folds are done; figures are of these alone.", s->n_folds, s->folds_planned);
    if (s->n_folds < (size_t)s->folds_planned || !s->finished) qv_page_note(b, "Unfinished.", text);
    snprintf(
        text, sizeof text,
        "In a fold, up to %d speakers are in both training and test. Such figures say nothing about a new speaker.",
        s->overlap);
    if (s->overlap > 0) qv_page_note(b, "Speakers overlap.", text);
    if (s->transductive)
        qv_page_note(b, "Transductive.",
             "Features are normalized with statistics of the test speaker's own unlabelled recordings.");
    snprintf(text, sizeof text, "%d speakers are too few speakers for an interval; it takes %d.", s->interval.speakers,
             QV_BOOTSTRAP_SPEAKERS);
    if (s->pooled.n > 0 && !qv_bootstrap_valid(&s->interval)) qv_page_note(b, "No interval.", text);
    if (qv_bootstrap_valid(&s->interval) && s->interval.ua_low <= s->pooled.chance_ua)
        qv_page_note(b, "Not above chance.", "The interval of UA does not lie above the chance level.");
    if (d->disagrees)
        qv_page_note(b, "Files disagree.",
             "predictions.csv and summary.json hold different counts: one of them was changed after the "
             "training. Speakers are drawn from the first, all else from the second.");
    for (size_t i = 0; i < s->n_notes; i++) qv_page_note(b, "Note.", s->notes[i]);
}

static void open_tile(qv_buf *b, const char *name, const char *value)
{
    qv_buf_printf(b, "<div class=\"tile\"><h3>%s</h3><strong>%s</strong>", name, value);
}

static void measure_tile(qv_buf *b, const char *name, const char *id, double value, double low, double high,
                         double chance, const char *chance_name)
{
    char text[32];
    snprintf(text, sizeof text, "%.3f", value);
    open_tile(b, name, text);
    qv_report_strip(b, id, name, value, low, high, chance);
    qv_buf_puts(b, "<p>");
    if (!isnan(low)) qv_buf_printf(b, "95&nbsp;%% %.3f to %.3f<br>", low, high);
    if (!isnan(chance)) qv_buf_printf(b, "%s %.3f", chance_name, chance);
    qv_buf_puts(b, "</p></div>\n");
}

static void gap_tile(qv_buf *b, const qv_summary *s)
{
    char text[32];
    snprintf(text, sizeof text, "%.1f points", s->gap_test.mean);
    open_tile(b, "Gap", text);
    qv_buf_printf(b, "<p>UA %.3f in training,<br>%.3f in test", s->train_ua.mean, s->test_ua.mean);
    if (s->gap_test.n > 1) qv_buf_printf(b, "<br>mean of %d folds, sd %.1f", s->gap_test.n, s->gap_test.sd);
    if (has_validation(s)) qv_buf_printf(b, "<br>to validation %.1f", s->gap_val.mean);
    qv_buf_puts(b, "</p></div>\n");
}

static void tiles(qv_buf *b, const qv_summary *s)
{
    const qv_metrics *m = &s->pooled;
    const qv_bootstrap *i = &s->interval;
    qv_buf_puts(b, "<div class=\"tiles\">\n");
    measure_tile(b, "UA (mean recall)", "strip-ua", m->ua, i->ua_low, i->ua_high, m->chance_ua, "chance");
    measure_tile(b, "WA (accuracy)", "strip-wa", m->wa, i->wa_low, i->wa_high, m->chance_wa, "largest class alone");
    measure_tile(b, "Macro F1", "strip-f1", m->macro_f1, NAN, NAN, NAN, "");
    if (s->gap_test.n > 0) gap_tile(b, s);
    qv_buf_puts(b, "</div>\n");
}

static void put_names(qv_buf *b, const char *manifests)
{
    qv_buf names = {0};
    qv_path_names(&names, manifests);
    if (names.data) qv_markup_printf(b, "%s, ", names.data);
    b->failed = b->failed || names.failed;
    qv_buf_free(&names);
}

static void head(qv_buf *b, const qv_run_data *d, const char *name)
{
    const qv_summary *s = &d->summary;
    qv_page_begin(b, name, ": Quaver report", "");
    qv_buf_puts(b, "<header><p>Quaver report</p><h1>");
    qv_markup_text(b, name);
    qv_buf_puts(b, "</h1><p>");
    if (s->manifest) put_names(b, s->manifest);
    qv_markup_printf(b, "%zu recordings, %d speakers, %d classes", s->recordings, s->speakers, s->n_classes);
    if (s->finished) qv_markup_printf(b, "; finished %s", s->finished);
    qv_buf_puts(b, "</p></header>\n");
}

/* ---- tables ---- */

static void class_table(qv_buf *b, const qv_summary *s)
{
    static const char *const names[] = {"class", "recall", "precision", "F1", "n", "answered"};
    qv_page_table(b, "Classes", "Each class", names, sizeof names / sizeof *names);
    for (int c = 0; c < s->pooled.classes; c++) {
        const qv_class_score *k = &s->pooled.score[c];
        qv_buf_puts(b, "<tr><th scope=\"row\">");
        qv_markup_text(b, s->classes[c]);
        const double shares[] = {k->recall, k->precision, k->f1};
        for (int i = 0; i < 3; i++) {
            qv_buf_puts(b, i ? "</td><td>" : "</th><td>");
            put_share(b, shares[i]);
        }
        qv_buf_printf(b, "</td><td>%zu</td><td>%zu</td></tr>\n", k->n, k->predicted);
    }
    const qv_metrics *m = &s->pooled;
    qv_buf_printf(
        b,
        "</tbody><tfoot><tr><th scope=\"row\">all</th><td>%.3f</td><td></td><td>%.3f</td><td>%zu</td><td>%zu</td></tr>"
        "</tfoot></table></div>\n<p class=\"under\">The last row has UA (the mean of the recalls) and macro F1.</p>\n",
        m->ua, m->macro_f1, m->n, m->n);
}

/* One row of the measures: UA of train, val, test, WA of test, the gaps; those of val only where there is one. */
static void measure_cells(qv_buf *b, const double of[6], bool val, const char *cls)
{
    for (int i = 0; i < 6; i++) {
        if (!val && (i == 1 || i == 5)) continue;
        qv_buf_printf(b, "<td%s>", cls);
        if (i < 4)
            put_share(b, of[i]);
        else
            put_points(b, of[i]);
        qv_buf_puts(b, "</td>");
    }
}

static void fold_row(qv_buf *b, const qv_fold_summary *f, bool val)
{
    const double of[6] = {qv_part_ua(&f->train),        qv_part_ua(&f->val), qv_part_ua(&f->test),
                          f->test.n ? f->test.wa : NAN, f->gap_test,         f->gap_val};
    qv_buf_puts(b, "<tr><th scope=\"row\">");
    qv_markup_text(b, f->name);
    qv_buf_puts(b, "</th>");
    measure_cells(b, of, val, "");
    qv_buf_printf(b, "<td>%d</td><td>%zu</td>", f->epoch, f->train.n);
    if (val) qv_buf_printf(b, "<td>%zu</td>", f->val.n);
    qv_buf_printf(b, "<td>%zu</td><td>%d</td></tr>\n", f->test.n, f->overlap);
}

static void fold_feet(qv_buf *b, const qv_summary *s)
{
    const double means[6] = {s->train_ua.mean, s->val_ua.mean,   s->test_ua.mean,
                             s->test_wa.mean,  s->gap_test.mean, s->gap_val.mean};
    const double sds[6] = {s->train_ua.sd, s->val_ua.sd, s->test_ua.sd, s->test_wa.sd, s->gap_test.sd, s->gap_val.sd};
    int rest = has_validation(s) ? 5 : 4;
    qv_buf_puts(b, "<tfoot><tr><th scope=\"row\">mean</th>");
    measure_cells(b, means, has_validation(s), "");
    qv_buf_printf(b, "<td colspan=\"%d\"></td></tr>\n<tr><th scope=\"row\" class=\"sd\">sd</th>", rest);
    measure_cells(b, sds, has_validation(s), " class=\"sd\"");
    qv_buf_printf(b, "<td colspan=\"%d\"></td></tr></tfoot>\n", rest);
}

static void fold_table(qv_buf *b, const qv_summary *s)
{
    static const char *const names[] = {"fold",       "UA<br>train", "UA<br>val",     "UA<br>test",
                                        "WA<br>test", "gap",         "gap<br>to val", "epoch",
                                        "n<br>train", "n<br>val",    "n<br>test",     "shared<br>speakers"};
    const char *shown[sizeof names / sizeof *names];
    size_t n = 0;
    bool val = has_validation(s);
    if (s->n_folds == 0) {
        qv_buf_puts(b, "<p>No fold is finished yet.</p>\n");
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (val || (i != 2 && i != 6 && i != 9)) shown[n++] = names[i];
    qv_page_table(b, "Folds", "", shown, n);
    for (size_t i = 0; i < s->n_folds; i++) fold_row(b, &s->folds[i], val);
    qv_buf_puts(b, "</tbody>");
    if (s->n_folds > 1) fold_feet(b, s);
    qv_buf_puts(
        b, "</table></div>\n<p class=\"under\">Full windows, evaluation mode. Gap: UA in training minus UA in test, "
           "in points. Shared speakers are in both training and test.</p>\n");
}

/* ---- protocol and repetition ---- */

static void count_entry(qv_buf *b, const char *name, size_t n)
{
    qv_buf_printf(b, "<dt>%s</dt><dd>%zu</dd>\n", name, n);
}

static void protocol(qv_buf *b, const qv_summary *s)
{
    qv_buf_puts(b, "<dl>\n");
    qv_page_entry(b, "Split", s->split, "");
    qv_page_entry(b, "Folds", s->fold_spec, "");
    qv_buf_printf(b, "<dt>Shared speakers</dt><dd>%d%s</dd>\n", s->overlap,
                  s->overlap ? " at most, between training and test of a fold" : " in any fold");
    qv_page_entry(b, "Labels", s->labels, "");
    qv_page_entry(b, "Normalization", s->normalization,
          s->transductive ? " (transductive: unlabelled recordings of the test speaker are used)" : "");
    qv_page_entry(b, "Loudness", s->loudness, "");
    qv_page_entry(b, "Validation", s->validation, "");
    qv_page_entry(b, "Choice of epoch", s->epoch_rule, "");
    qv_page_entry(b, "Batch norm", s->bn_eval, " statistics in evaluation");
    qv_page_entry(b, "Network", s->network, "");
    if (s->parameters) count_entry(b, "Parameters", s->parameters);
    if (s->skipped) count_entry(b, "Left out", s->skipped);
    qv_buf_puts(
        b, "</dl>\n<p class=\"about\">UA is the mean of the recalls of the classes present (also UAR, balanced "
           "accuracy), WA "
           "the share of right answers. All folds' test recordings are pooled. Intervals: bootstrap over whole "
           "speakers, since recordings of one voice are not independent; 2000 draws, percentiles 2.5 and 97.5.</p>\n");
}

static void repetition(qv_buf *b, const qv_summary *s)
{
    if (s->command) {
        qv_buf_puts(b, "<pre>");
        qv_markup_text(b, s->command);
        qv_buf_puts(b, "</pre>\n");
    }
    qv_buf_puts(b, "<dl>\n");
    qv_page_code(b, "Manifest", s->manifest);
    qv_page_code(b, "Its hash", s->manifest_hash);
    qv_page_entry(b, "Quaver", s->version, "");
    qv_page_code(b, "Program's hash", s->program);
    qv_buf_printf(b, "<dt>Seed</dt><dd>%llu</dd>\n", (unsigned long long)s->seed);
    qv_page_entry(b, "Device", s->device, "");
    if (s->threads) count_entry(b, "Threads", (size_t)s->threads);
    qv_page_entry(b, "Instruction set", s->isa, "");
    qv_page_entry(b, "Libraries", s->libraries, "");
    qv_page_entry(b, "Started", s->started, "");
    qv_page_entry(b, "Finished", s->finished, "");
    qv_buf_puts(
        b,
        "</dl>\n<p class=\"about\">The same threads, instruction set and library versions give the same bits.</p>\n");
}

static void configuration(qv_buf *b, const qv_run_data *d)
{
    qv_buf_puts(b, "<details><summary>Configuration (config.ini)</summary><pre>");
    qv_markup_text(b, d->config ? d->config : "There is no config.ini in this folder.");
    qv_buf_puts(b, "</pre></details>\n");
}

static qv_status results(qv_ctx *ctx, qv_buf *b, const qv_run_data *d)
{
    bool tall = d->n_speakers > 16; /* then the speakers have a column to themselves */
    qv_buf_puts(b, "<h2>Classes and speakers</h2>\n<div class=\"two\">\n<div>\n");
    qv_report_confusion(b, d);
    if (tall) class_table(b, &d->summary);
    qv_buf_puts(b, "</div>\n<div>\n");
    if (!tall) class_table(b, &d->summary);
    qv_status status = qv_report_speakers(ctx, b, d);
    qv_buf_puts(b, "</div>\n</div>\n");
    return status;
}

qv_status qv_report_page(qv_ctx *ctx, qv_buf *b, const qv_run_data *d)
{
    qv_status status = QV_OK;
    const qv_summary *s = &d->summary;
    char *path = NULL;
    QV_TRY(qv_path_absolute(ctx, &path, d->run));
    head(b, d, qv_path_base(path));
    if (s->pooled.n > 0) lead(b, s);
    cautions(b, d);
    if (s->pooled.n > 0) tiles(b, s);
    qv_buf_puts(b, "<h2>Learning curves</h2>\n");
    QV_TRY(qv_report_curves(ctx, b, d));
    if (s->pooled.n > 0) QV_TRY(results(ctx, b, d));
    qv_buf_puts(b, "<h2>Folds</h2>\n");
    fold_table(b, s);
    qv_buf_puts(b, "<div class=\"two\">\n<section><h2>Protocol</h2>\n");
    protocol(b, s);
    qv_buf_puts(b, "</section>\n<section><h2>To repeat it</h2>\n");
    repetition(b, s);
    qv_buf_puts(b, "</section>\n</div>\n");
    configuration(b, d);
    qv_page_end(b, "quaver report");
done:
    free(path);
    return status;
}
