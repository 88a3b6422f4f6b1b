#include "report/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "report/page.h"
#include "report/report_data.h"
#include "report/svg.h"

qv_status qv_comparison_read(qv_ctx *ctx, qv_comparison *c, char *const *runs, size_t n)
{
    qv_status status = qv_alloc(ctx, &c->summaries, n, sizeof *c->summaries);
    c->runs = runs;
    for (size_t i = 0; status == QV_OK && i < n; i++) {
        status = qv_run_is_folder(ctx, runs[i]);
        if (status == QV_OK) status = qv_summary_read(ctx, &c->summaries[i], runs[i]);
        c->n = i + 1;
    }
    return status;
}

void qv_comparison_free(qv_comparison *c)
{
    for (size_t i = 0; i < c->n; i++) qv_summary_free(&c->summaries[i]);
    free(c->summaries);
    *c = (qv_comparison){0};
}

/* The columns of the table, in one place for the terminal and the page. */
enum { COLUMNS = 8, CELL = 48 };
static const char *const headings[COLUMNS] = {"UA", "95 % interval", "WA", "macro F1", "UA train", "gap", "folds", "recordings"};

static void share(char *cell, double x)
{
    if (isfinite(x))
        snprintf(cell, CELL, "%.3f", x);
    else
        snprintf(cell, CELL, "-");
}

static void row_of(const qv_summary *s, char cells[COLUMNS][CELL])
{
    const qv_bootstrap *b = &s->interval;
    bool any = s->pooled.n > 0;
    share(cells[0], any ? s->pooled.ua : NAN);
    if (any && qv_bootstrap_valid(b))
        snprintf(cells[1], CELL, "%.3f to %.3f", b->ua_low, b->ua_high);
    else
        snprintf(cells[1], CELL, "-");
    share(cells[2], any ? s->pooled.wa : NAN);
    share(cells[3], any ? s->pooled.macro_f1 : NAN);
    share(cells[4], s->train_ua.mean);
    if (isfinite(s->gap_test.mean))
        snprintf(cells[5], CELL, "%.1f", s->gap_test.mean);
    else
        snprintf(cells[5], CELL, "-");
    snprintf(cells[6], CELL, "%zu/%d", s->n_folds, s->folds_planned);
    snprintf(cells[7], CELL, "%zu", any ? s->pooled.n : 0);
}

void qv_comparison_table(const qv_comparison *c, qv_buf *out)
{
    static const int widths[COLUMNS] = {6, 16, 6, 9, 9, 6, 7, 11};
    int longest = 3;
    for (size_t i = 0; i < c->n; i++) longest = (int)strlen(c->runs[i]) > longest ? (int)strlen(c->runs[i]) : longest;
    qv_buf_printf(out, "%-*s", longest, "run");
    for (int k = 0; k < COLUMNS; k++) qv_buf_printf(out, " %*s", widths[k], headings[k]);
    qv_buf_puts(out, "\n");
    for (size_t i = 0; i < c->n; i++) {
        char cells[COLUMNS][CELL];
        row_of(&c->summaries[i], cells);
        qv_buf_printf(out, "%-*s", longest, c->runs[i]);
        for (int k = 0; k < COLUMNS; k++) qv_buf_printf(out, " %*s", widths[k], cells[k]);
        qv_buf_puts(out, "\n");
    }
}

static bool same_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }

static bool same_order(const qv_summary *a, const qv_summary *b)
{
    bool same = a->n_classes == b->n_classes;
    for (int k = 0; same && k < a->n_classes; k++) same = same_text(a->classes[k], b->classes[k]);
    return same;
}

static bool same_classes(const qv_summary *a, const qv_summary *b)
{
    bool same = a->n_classes == b->n_classes;
    for (int k = 0; same && k < a->n_classes; k++) {
        int j = 0;
        while (j < b->n_classes && !same_text(a->classes[k], b->classes[j])) j++;
        same = j < b->n_classes;
    }
    return same;
}

/* What the runs were trained and tested on; NULL where it is the same. */
static const char *difference(const qv_summary *a, const qv_summary *b)
{
    if (!same_classes(a, b)) return "tell other classes apart";
    /* The manifest's hash is of the classes' order too. */
    if (same_order(a, b) && !same_text(a->manifest_hash, b->manifest_hash)) return "are of other recordings";
    if (a->skipped != b->skipped) return "are not of the same recordings: not as many could be read";
    if (!same_text(a->folds_hash, b->folds_hash)) return "have other folds";
    return NULL;
}

void qv_comparison_cautions(const qv_comparison *c, qv_buf *out)
{
    const qv_summary *a = &c->summaries[0];
    for (size_t i = 0; i < c->n; i++) {
        const qv_summary *b = &c->summaries[i];
        if (!b->finished) qv_buf_printf(out, "%s is not finished\n", c->runs[i]);
        if (b->overlap > 0) qv_buf_printf(out, "%s tests speakers that it trained on\n", c->runs[i]);
        if (b->heard > 0)
            qv_buf_printf(out, "%s tests speakers with the names of those that its first weights were trained on\n",
                          c->runs[i]);
        if (b->transductive) qv_buf_printf(out, "%s is transductive: it normalizes by the test speakers' own recordings\n", c->runs[i]);
        const char *differs = difference(a, b);
        if (differs) qv_buf_printf(out, "%s and %s %s\n", c->runs[0], c->runs[i], differs);
    }
}

qv_status qv_comparison_json(qv_ctx *ctx, const qv_comparison *c, qv_buf *out)
{
    qv_status status = QV_OK;
    qv_buf_puts(out, "[\n");
    for (size_t i = 0; i < c->n; i++) {
        if (i) qv_buf_puts(out, ",\n");
        QV_TRY(qv_summary_json(ctx, &c->summaries[i], out));
    }
    qv_buf_puts(out, "]\n");
    status = qv_buf_check(ctx, out);
done:
    return status;
}

static void tile(const qv_comparison *c, size_t i, qv_buf *b)
{
    const qv_summary *s = &c->summaries[i];
    bool valid = qv_bootstrap_valid(&s->interval);
    char id[32];
    qv_buf_puts(b, "<div class=\"tile\"><h3>");
    qv_markup_text(b, c->runs[i]);
    qv_buf_printf(b, "</h3><strong>%.3f</strong>", s->pooled.ua);
    snprintf(id, sizeof id, "ua-%zu", i);
    qv_report_strip(b, id, "UA", s->pooled.ua, valid ? s->interval.ua_low : NAN, s->interval.ua_high, s->pooled.chance_ua);
    qv_buf_printf(b, "<p>UA, on a scale from 0 to 1; chance %.3f", s->pooled.chance_ua);
    if (isfinite(s->gap_test.mean)) qv_buf_printf(b, "<br>gap %.1f points", s->gap_test.mean);
    qv_buf_puts(b, "</p></div>\n");
}

static void table(const qv_comparison *c, qv_buf *b)
{
    const char *names[COLUMNS + 3] = {"run"};
    memcpy(names + 1, headings, sizeof headings);
    names[COLUMNS + 1] = "network";
    names[COLUMNS + 2] = "normalization";
    qv_page_table(b, "Figures", "", names, COLUMNS + 3);
    for (size_t i = 0; i < c->n; i++) {
        char cells[COLUMNS][CELL];
        const qv_summary *s = &c->summaries[i];
        row_of(s, cells);
        qv_buf_puts(b, "<tr><th scope=\"row\">");
        qv_markup_text(b, c->runs[i]);
        qv_buf_puts(b, "</th>");
        for (int k = 0; k < COLUMNS; k++) qv_buf_printf(b, "<td>%s</td>", cells[k]);
        qv_buf_puts(b, "<td>");
        qv_markup_text(b, s->network ? s->network : "-");
        qv_buf_puts(b, "</td><td>");
        qv_markup_text(b, s->normalization ? s->normalization : "-");
        qv_buf_puts(b, "</td></tr>\n");
    }
    qv_buf_puts(b, "</tbody></table></div>\n");
}

static void cautions(const qv_comparison *c, qv_buf *b)
{
    qv_buf lines = {0};
    qv_comparison_cautions(c, &lines);
    for (char *line = lines.data; line && *line;) {
        size_t n = strcspn(line, "\n");
        line[n] = '\0';
        qv_page_note(b, "Mind:", line);
        line += n + 1;
    }
    b->failed = b->failed || lines.failed;
    qv_buf_free(&lines);
}

void qv_comparison_page(const qv_comparison *c, qv_buf *out)
{
    qv_page_begin(out, "Quaver: runs compared", "", "");
    qv_buf_printf(out, "<header><p>Quaver</p><h1>%zu runs compared</h1></header>\n", c->n);
    cautions(c, out);
    qv_buf_puts(out, "<div class=\"tiles\">\n");
    for (size_t i = 0; i < c->n; i++)
        if (c->summaries[i].pooled.n > 0) tile(c, i, out);
    qv_buf_puts(out, "</div>\n<h2>Figures</h2>\n");
    table(c, out);
    qv_buf_puts(
        out,
        "<p class=\"about\">UA, its interval (bootstrap over speakers), WA and F1 are of the test recordings of all "
        "folds together; UA in training and the gap, in points, are means of the folds. Overlapping intervals "
        "are no test of a difference: the same speakers are in all of them.</p>\n");
    qv_page_end(out, NULL);
}
