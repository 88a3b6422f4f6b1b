/* The page of a study: words and tables. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/io.h"
#include "report/page.h"
#include "report/svg.h"
#include "study/study_report.h"

/* Lines and points of cells: eight colours, and numbers beside them. */
static const char style[] =
    ":root{--c0:#1f63ad;--c1:#b04516;--c2:#1a7566;--c3:#7a3e9d;--c4:#8a5a00;--c5:#a3245a;--c6:#3d6b1f;--c7:#4d5561}\n"
    "@media screen and "
    "(prefers-color-scheme:dark){:root{--c0:#7fb4f0;--c1:#f29b6e;--c2:#63cdb5;--c3:#c79bea;--c4:#e6b450;"
    "--c5:#f08bb4;--c6:#a5d17f;--c7:#b4bcc6}}\n"
    ".k0{--k:var(--c0)}.k1{--k:var(--c1)}.k2{--k:var(--c2)}.k3{--k:var(--c3)}.k4{--k:var(--c4)}.k5{--k:var(--c5)}"
    ".k6{--k:var(--c6)}.k7{--k:var(--c7)}\n"
    "svg .mark{fill:var(--k);stroke:var(--card);stroke-width:.8}\n"
    ".whisker{stroke:var(--k);stroke-width:1.4;opacity:.65}\n"
    ".trace{fill:none;stroke:var(--k);stroke-width:1.8}.spread{fill:var(--k);opacity:.13}\n"
    ".zero{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:2 3}\n"
    ".speaker{fill:var(--soft);opacity:.38}.whisk{stroke:var(--ink);stroke-width:1.8}.point{fill:var(--ink)}\n"
    ".many.large{grid-template-columns:repeat(auto-fill,minmax(13rem,1fr))}\n"
    ".plain{--k:var(--soft)}\n" /* a number where colours are those of classes */
    ".seen{fill:var(--k);opacity:.5}.new{fill:none;stroke:var(--k);stroke-width:1.3}\n"
    "svg .num{fill:var(--card);font-size:8.5px;font-weight:700}\n"
    ".key{display:inline-block;min-width:1.25rem;padding:0 "
    ".25rem;margin-right:.45rem;border-radius:.7rem;text-align:center;"
    "background:var(--k);color:var(--card);font-size:.75rem;font-weight:700}\n"
    ".sub{display:block;color:var(--soft);font-size:.8125rem;font-weight:400}\n"
    "td .sub{font-size:.75rem}\n"
    ".yes{font-weight:700;color:var(--c2)}\n"
    ".question{font-size:1.05rem;color:var(--soft);max-width:46rem;margin:.2rem 0 0}\n"
    "tbody th{min-width:9.5rem}\n"
    ".legend{font-size:.8125rem}\n";

/* ---- numbers ---- */

static void put_number(qv_buf *b, int digits, double x, bool sign)
{
    if (isnan(x)) {
        qv_buf_puts(b, "\xE2\x80\x93");
        return;
    }
    double least = 0.5 * pow(10, -digits);
    if (fabs(x) < least) x = 0;
    if (x < 0) qv_buf_puts(b, "\xE2\x88\x92");
    if (sign && x > 0) qv_buf_puts(b, "+");
    qv_buf_printf(b, "%.*f", digits, fabs(x));
}

/* A cell of a table: the value, below it its interval. low: NaN where there is none. */
static void range_cell(qv_buf *b, int digits, double x, double low, double high, bool sign)
{
    qv_buf_puts(b, "<td>");
    put_number(b, digits, x, sign);
    if (!isnan(low)) {
        qv_buf_puts(b, "<span class=\"sub\">");
        put_number(b, digits, low, sign);
        qv_buf_puts(b, " to ");
        put_number(b, digits, high, sign);
        qv_buf_puts(b, "</span>");
    }
    qv_buf_puts(b, "</td>");
}

static void interval_cell(qv_buf *b, int digits, double scale, double x, const qv_interval *i, bool sign)
{
    range_cell(b, digits, scale * x, scale * i->bca_low, scale * i->bca_high, sign);
}

static void number_cell(qv_buf *b, int digits, double x, bool sign)
{
    qv_buf_puts(b, "<td>");
    put_number(b, digits, x, sign);
    qv_buf_puts(b, "</td>");
}

static void p_cell(qv_buf *b, double p, double alpha)
{
    qv_buf_puts(b, "<td>");
    if (isnan(p))
        qv_buf_puts(b, "\xE2\x80\x93");
    else if (p < 0.0001)
        qv_buf_puts(b, "&lt;&nbsp;0.0001");
    else
        qv_study_p(b, p, p < 0.001 ? 4 : 3, true, alpha);
    qv_buf_puts(b, "</td>");
}

/* ---- head ---- */

/* UA of a speaker who is not tested on all classes is another mean than that of the others. */
static void classes_caution(qv_buf *b, const qv_results *r, size_t corpus)
{
    char text[256];
    const qv_plan_corpus *c = &r->plan->corpora[corpus];
    size_t lacking = 0;
    for (size_t k = 0; k < r->n_speakers[corpus]; k++)
        lacking += r->classes_of[corpus][k] > 0 && r->classes_of[corpus][k] < (int)c->n_classes;
    if (lacking == 0) return;
    snprintf(
        text, sizeof text,
        "%zu of the %zu speakers of corpus %s %s not all %zu classes; their UA is the mean of those that they have "
        "(the table of speakers says how many).",
        lacking, qv_results_heard(r, corpus), c->name, lacking == 1 ? "has" : "have", c->n_classes);
    qv_page_note(b, "Classes are missing.", text);
}

/* What there is to know about one corpus before its figures are believed. */
static void corpus_cautions(qv_buf *b, const qv_results *r, size_t corpus)
{
    char text[512];
    const qv_plan_corpus *c = &r->plan->corpora[corpus];
    const size_t speakers = qv_results_heard(r, corpus), family = r->n_comparisons;
    const double smallest = qv_plan_smallest_p(r->study, r->plan, corpus);
    if (speakers < QV_INTERVAL_LEAST) {
        snprintf(text, sizeof text, "Corpus %s has %zu test speaker%s; it takes %d.", c->name, speakers,
                 speakers == 1 ? "" : "s", QV_INTERVAL_LEAST);
        qv_page_note(b, "Too few speakers for an interval.", text);
    }
    if (c->n_folds < speakers && family) {
        snprintf(text, sizeof text,
                 "The %zu speakers of corpus %s are tested in %zu folds, and the speakers of a fold by the same "
                 "networks: the sign-flip test turns whole folds. Intervals take the speakers one by one, and are the "
                 "narrower for it.",
                 speakers, c->name, c->n_folds);
        qv_page_note(b, "Fewer folds than speakers.", text);
    }
    classes_caution(b, r, corpus);
    if (c->skipped) {
        snprintf(text, sizeof text, "%zu of the %zu recordings of corpus %s could not be read.", c->skipped,
                 c->recordings, c->name);
        qv_page_note(b, "Left out.", text);
    }
    if (speakers < r->n_speakers[corpus]) {
        snprintf(text, sizeof text,
                 "%zu of the %zu test speakers of corpus %s: no recording could be read, or no run with them came out. "
                 "All is said of the other %zu.",
                 r->n_speakers[corpus] - speakers, r->n_speakers[corpus], c->name, speakers);
        qv_page_note(b, "Speakers without figures.", text);
    }
    if (family && smallest > r->study->alpha) {
        snprintf(text, sizeof text,
                 "The smallest p that the %zu folds of corpus %s can give, corrected for %zu comparison%s, is %.2g and "
                 "above %g: nothing there can be called significant.",
                 c->n_folds, c->name, family, family == 1 ? "" : "s", smallest, r->study->alpha);
        qv_page_note(b, "Too few folds.", text);
    }
}

static void start_caution(qv_buf *b, const qv_plan_start *start)
{
    qv_buf text = {0};
    if (start->heard == 0) return;
    qv_buf_printf(&text,
                  "%s, with whose weights trainings begin, was trained on %zu speaker%s with %s of speakers who are "
                  "tested: the figures say little about new voices.",
                  start->file, start->heard, start->heard == 1 ? "" : "s", start->heard == 1 ? "the name" : "the names");
    qv_page_note(b, "Test speakers were heard before.", text.failed ? "" : text.data);
    b->failed = b->failed || text.failed;
    qv_buf_free(&text);
}

static void makers_caution(qv_buf *b, const qv_results *r)
{
    qv_buf mixed = {0};
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (!qv_results_mixed(r, c)) continue;
        qv_buf_puts(&mixed, mixed.len ? ", " : " Not all settings of a comparison were made by the same ones in: ");
        if (r->plan->n_corpora > 1) qv_buf_printf(&mixed, "%s ", r->plan->corpora[c->corpus].name);
        qv_buf_puts(&mixed, r->study->comparisons[c->comparison].name);
    }
    if (mixed.len) qv_buf_puts(&mixed, ".");
    qv_buf text = {0};
    qv_buf_printf(&text,
                  "What they compute may differ, in rounding at least, and with it the weights that a seed leads to; "
                  "which made how many is said at the end.%s",
                  mixed.failed || !mixed.data ? "" : mixed.data);
    qv_page_note(b, "Made by several programs or machines.", text.failed ? "" : text.data);
    b->failed = b->failed || text.failed || mixed.failed;
    qv_buf_free(&mixed);
    qv_buf_free(&text);
}

static void cautions(qv_buf *b, const qv_results *r)
{
    char text[256];
    if (r->runs < r->planned) {
        snprintf(text, sizeof text,
                 "%zu of %zu. Each row is over what its setting has, so rows do not compare yet.",
                 r->planned - r->runs, r->planned);
        qv_page_note(b, "Runs are missing.", text);
    }
    if (r->failed) {
        snprintf(text, sizeof text,
                 "%zu of %zu: their numbers were not finite. The row of such a setting is over the runs that did not "
                 "fail, and its comparisons have no p; the records say why.",
                 r->failed, r->runs);
        qv_page_note(b, "Runs failed.", text);
    }
    for (size_t i = 0; i < r->plan->n_corpora; i++) corpus_cautions(b, r, i);
    for (size_t i = 0; i < r->plan->n_starts; i++) start_caution(b, &r->plan->starts[i]);
    if (r->n_makers > 1) makers_caution(b, r);
    if (r->reused) {
        snprintf(
            text, sizeof text,
            "%zu of the %zu runs were trained for another study. Comparisons that were chosen after looking at them "
            "have p-values that mean less.",
            r->reused, r->runs);
        qv_page_note(b, "Runs of another study.", text);
    }
    if (r->plan->seeds != r->study->seeds) {
        snprintf(text, sizeof text,
                 "The study file says %d, these are %d. A number that is changed after looking is a p-value that means "
                 "less.",
                 r->study->seeds, r->plan->seeds);
        qv_page_note(b, "Another number of seeds.", text);
    }
}

static void head(qv_buf *b, const qv_results *r)
{
    qv_buf answer = {0};
    const char *question = r->study->question ? r->study->question : "Which of these settings is better?";
    qv_buf_puts(b, "<header><p>Quaver study</p><h1>");
    qv_markup_text(b, question);
    qv_buf_puts(b, "</h1><p>");
    for (size_t i = 0; i < r->plan->n_corpora; i++) {
        const qv_plan_corpus *c = &r->plan->corpora[i];
        qv_markup_printf(b, "%s%s: %zu recordings, %zu speakers", i ? "; " : "", c->name, c->recordings,
                         r->n_speakers[i]);
        if (qv_results_heard(r, i) < r->n_speakers[i]) qv_buf_printf(b, " (%zu with figures)", qv_results_heard(r, i));
        qv_buf_printf(b, ", %zu classes, %zu folds", c->n_classes, c->n_folds);
    }
    qv_buf_printf(b, ". %zu %s, %d %s, %zu of %zu runs.</p></header>\n<p class=\"lead\">", r->study->n_cells,
                  r->study->n_cells == 1 ? "setting" : "settings", r->plan->seeds,
                  r->plan->seeds == 1 ? "seed" : "seeds", r->runs, r->planned);
    qv_study_answer(r, &answer);
    qv_markup_text(b, answer.failed || !answer.data ? "" : answer.data);
    b->failed = b->failed || answer.failed;
    qv_buf_free(&answer);
    qv_buf_puts(b, "</p>\n");
    cautions(b, r);
}

/* ---- tables ---- */

static void cell_row(qv_buf *b, const qv_results *r, size_t corpus, size_t k)
{
    const qv_cell_result *c = qv_result_cell(r, corpus, k), *base = qv_result_baseline(r, corpus);
    qv_buf_printf(b, "<tr><th scope=\"row\"><span class=\"key k%zu\">%zu</span>", k % 8, k + 1);
    qv_markup_text(b, r->study->cells[k].name);
    if (base == c) qv_buf_puts(b, "<span class=\"sub\">baseline</span>");
    qv_buf_puts(b, "</th>");
    number_cell(b, 3, c->mean_train, false);
    interval_cell(b, 3, 1, c->mean_ua, &c->ua_interval, false);
    number_cell(b, 3, c->mean_wa, false);
    interval_cell(b, 1, 1, c->mean_gap, &c->gap_interval, false);
    if (base) {
        const qv_less_baseline less = qv_result_less_baseline(r, corpus, k);
        number_cell(b, 1, 100 * less.ua, true);
        number_cell(b, 1, less.gap, true);
    }
    number_cell(b, 3, c->even_ua, false);
    number_cell(b, 1, c->even_gap, false);
    number_cell(b, 1, 100 * c->seed_sd, false);
    qv_buf_puts(b, "<td>");
    if (c->runs)
        qv_buf_printf(b, c->least_epoch == c->most_epoch ? "%d" : "%d\xE2\x80\x93%d", c->least_epoch, c->most_epoch);
    qv_buf_printf(b, "</td><td>%zu", c->runs);
    if (c->failed) qv_buf_printf(b, "<span class=\"sub\">%zu failed</span>", c->failed);
    qv_buf_puts(b, "</td>");
    number_cell(b, c->seconds < 10 ? 1 : 0, c->seconds, false);
    qv_buf_puts(b, "</tr>\n");
}

static void cell_table(qv_buf *b, const qv_results *r, size_t corpus)
{
    static const char *const with[] = {"setting",
                                       "UA<br>train",
                                       "UA<br>test",
                                       "WA<br>test",
                                       "gap<br>points",
                                       "UA less<br>baseline",
                                       "gap less<br>baseline",
                                       "UA test<br>even",
                                       "gap<br>even",
                                       "sd of<br>seeds",
                                       "epoch",
                                       "runs",
                                       "seconds<br>a run"};
    static const char *const without[] = {
        "setting",     "UA<br>train",    "UA<br>test", "WA<br>test", "gap<br>points",   "UA test<br>even",
        "gap<br>even", "sd of<br>seeds", "epoch",      "runs",       "seconds<br>a run"};
    const bool base = qv_result_baseline(r, corpus) != NULL;
    qv_buf_puts(b, "<h2>Settings</h2>\n");
    qv_page_table(b, "Settings", "", base ? with : without, base ? 13 : 11);
    for (size_t k = 0; k < r->study->n_cells; k++) cell_row(b, r, corpus, k);
    qv_buf_printf(
        b,
        "</tbody></table></div>\n<p class=\"under\">UA, unweighted accuracy: the mean of the recalls of the classes, "
        "chance %.3f; WA, weighted accuracy: the share of the recordings that are right. Means over the test speakers, "
        "seeds averaged first; below them 95 %% intervals (BCa bootstrap over speakers). A speaker's gap is the UA of the training recordings of "
        "the fold that holds the speaker out, less the speaker's own UA. Differences and the deviation of seeds "
        "(of the mean UA, over the seeds of which all folds are in, from two on) are in points. "
        "<em>Even</em>: the same weights with batch "
        "norm's statistics taken anew over the training windows, without the shake; they stand beside, the verdict never looks at them.</p>\n",
        1 / (double)r->plan->corpora[corpus].n_classes);
}

/* One row a speaker: what is tested, so that every test can be done again. */
static void speaker_row(qv_buf *b, const qv_results *r, size_t corpus, size_t speaker)
{
    qv_buf_puts(b, "<tr><th scope=\"row\">");
    qv_markup_text(b, r->speakers[corpus][speaker]);
    qv_buf_puts(b, "</th><td>");
    qv_markup_text(b, r->plan->corpora[corpus].folds[r->fold_of[corpus][speaker]].name);
    qv_buf_puts(b, "</td>");
    const int classes = r->classes_of[corpus][speaker];
    number_cell(b, 0, classes ? (double)classes : (double)NAN, false);
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, corpus, k);
        qv_buf_puts(b, "<td>");
        put_number(b, 3, c->ua[speaker], false);
        qv_buf_puts(b, "<span class=\"sub\">");
        put_number(b, 1, c->gap[speaker], false);
        qv_buf_puts(b, "</span></td>");
    }
    qv_buf_puts(b, "</tr>\n");
}

static void speaker_table(qv_buf *b, const qv_results *r, size_t corpus)
{
    qv_buf_puts(b, "<details><summary>Speaker by speaker</summary>\n<div class=\"wide\" tabindex=\"0\" role=\"group\" "
                   "aria-label=\"Speakers\"><table><thead><tr><th scope=\"col\">speaker</th><th scope=\"col\">fold</th>"
                   "<th scope=\"col\">classes</th>");
    for (size_t k = 0; k < r->study->n_cells; k++) {
        qv_buf_printf(b, "<th scope=\"col\"><span class=\"key k%zu\">%zu</span><br>", k % 8, k + 1);
        qv_markup_text(b, r->study->cells[k].name);
        qv_buf_puts(b, "</th>");
    }
    qv_buf_puts(b, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < r->n_speakers[corpus]; i++) speaker_row(b, r, corpus, i);
    qv_buf_puts(b, "</tbody></table></div>\n<p class=\"under\">UA, below it the gap in points; means over the seeds. "
                   "<em>Classes</em>: so many are tested. The tests below are of differences between these "
                   "columns.</p></details>\n");
}

/* What is expected, where that is not both. */
static const char *expectation(const qv_comparison *c)
{
    return c->ua && c->gap ? "" : c->ua ? "; expected of UA alone" : "; expected of the gap alone";
}

static void comparison_name(qv_buf *b, const qv_results *r, const qv_comparison_result *c, bool whole)
{
    const qv_comparison *of = &r->study->comparisons[c->comparison];
    qv_buf_puts(b, "<tr><th scope=\"row\">");
    qv_markup_text(b, of->name);
    if (!of->claimed) qv_buf_puts(b, " (beside the claim)");
    if (whole) {
        qv_buf_puts(b, "<span class=\"sub\">");
        if (of->title) qv_markup_printf(b, "%s: ", of->title);
        qv_markup_printf(b, "%s%s", of->difference, expectation(of));
        qv_buf_puts(b, "</span>");
    }
    qv_buf_puts(b, "</th>");
}

static void comparison_table(qv_buf *b, const qv_results *r, size_t corpus)
{
    static const char *const names[] = {
        "comparison",           "UA,<br>points",           "gap,<br>points",         "<i>p</i><br>UA up",
        "<i>p</i><br>gap down", "<i>p</i><br>that counts", "<i>p</i><br>after Holm", "verdict"};
    qv_buf_puts(b, "<h2>Comparisons</h2>\n");
    qv_page_table(b, "Comparisons", "", names, sizeof names / sizeof *names);
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (c->corpus != corpus) continue;
        comparison_name(b, r, c, true);
        interval_cell(b, 1, 100, c->ua.mean, &c->ua.interval, true);
        interval_cell(b, 1, 1, c->gap.mean, &c->gap.interval, true);
        p_cell(b, c->ua.flip.p, r->study->alpha);
        p_cell(b, c->gap.flip.p, r->study->alpha);
        p_cell(b, c->p, r->study->alpha);
        p_cell(b, c->adjusted, r->study->alpha);
        qv_buf_printf(b, "<td%s>%s</td>", c->significant ? " class=\"yes\"" : "", qv_comparison_verdict(r, c));
        qv_buf_puts(b, "</tr>\n");
    }
    qv_buf_printf(
        b,
        "</tbody></table></div>\n<p class=\"under\">Differences in points: above 0 is a higher UA, a larger gap. "
        "<i>p</i>: one-sided paired sign-flip test, the share of %s ways to turn the signs of the speakers' "
        "differences (of the speakers of a fold together) whose mean is at least as far in the direction that the column names. "
        "Where both are expected, the <i>p</i> that counts is the larger of the two; "
        "Holm's correction is over all comparisons (%zu). Significant: at most %g; "
        "<em>not shown</em> does not say that there is no difference. The smallest corrected <i>p</i> "
        "that can come out here is %.2g.</p>\n",
        r->plan->corpora[corpus].n_folds <= QV_FLIP_EXACT ? "all" : "a million drawn", r->n_comparisons,
        r->study->alpha, qv_plan_smallest_p(r->study, r->plan, corpus));
}

static void other_table(qv_buf *b, const qv_results *r, size_t corpus)
{
    static const char *const names[] = {
        "comparison",         "<i>d<sub>z</sub></i><br>UA", "<i>d<sub>z</sub></i><br>gap", "t-test<br>UA",
        "t-test<br>gap",      "flips of<br>speakers, UA",   "flips of<br>speakers, gap",   "resampled<br>t, UA",
        "resampled<br>t, gap"};
    qv_buf_puts(b, "<h3>Other measures, which do not change the verdict</h3>\n");
    qv_page_table(b, "Other measures", "", names, sizeof names / sizeof *names);
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (c->corpus != corpus) continue;
        comparison_name(b, r, c, false);
        number_cell(b, 2, c->ua.t.dz, true);
        number_cell(b, 2, c->gap.t.dz, true);
        p_cell(b, c->ua.t.p, r->study->alpha);
        p_cell(b, c->gap.t.p, r->study->alpha);
        p_cell(b, c->ua.alone.p, r->study->alpha);
        p_cell(b, c->gap.alone.p, r->study->alpha);
        p_cell(b, c->ua.corrected, r->study->alpha);
        p_cell(b, c->gap.corrected, r->study->alpha);
        qv_buf_puts(b, "</tr>\n");
    }
    qv_buf_puts(
        b, "</tbody></table></div>\n<p class=\"under\">One-sided <i>p</i>, uncorrected. <i>d<sub>z</sub></i>: mean "
           "improvement (a higher UA, a smaller gap) over its standard deviation among the speakers. The paired t-test "
           "assumes normal differences; "
           "it, <i>d<sub>z</sub></i> and flips of speakers take the speakers of a fold for independent; the corrected "
           "resampled t-test is a "
           "heuristic under cross-validation.</p>\n");
}

/* ---- symmetry ---- */

static void symmetry_row(qv_buf *b, const qv_results *r, const qv_cell_result *c, size_t cell, int part)
{
    qv_buf_printf(b, "<tr><th scope=\"row\"><span class=\"key k%zu\">%zu</span>", cell % 8, cell + 1);
    qv_markup_text(b, r->study->cells[cell].name);
    qv_buf_printf(b, "<span class=\"sub\">%zu dimensions</span></th><td>%s", c->dims, part ? "test" : "training");
    const size_t measured = qv_cell_measured(c, part);
    if (measured < c->runs) qv_buf_printf(b, "<span class=\"sub\">some of %zu of %zu runs</span>", measured, c->runs);
    qv_buf_puts(b, "</td>");
    for (int k = 0; k < QV_SYMMETRY_MEASURES; k++) {
        const qv_seed_mean *m = &c->symmetry[part][k];
        range_cell(b, k == 0 ? 3 : 1, m->mean, m->low, m->high, false);
    }
    qv_buf_puts(b, "</tr>\n");
}

static void symmetry_table(qv_buf *b, const qv_results *r, size_t corpus)
{
    static const char *const names[] = {
        "setting", "recordings", "off<br>centre", "off even,<br>origin", "nearest,<br>origin",
        "off even,<br>mean", "nearest,<br>mean", "spread", "margin"};
    if (!qv_results_embedded(r, corpus)) return;
    qv_buf_puts(b, "<h2>Symmetry</h2>\n");
    qv_page_table(b, "Symmetry", "", names, sizeof names / sizeof *names);
    for (size_t k = 0; k < r->study->n_cells; k++)
        for (int part = 0; part < 2; part++)
            if (qv_result_cell(r, corpus, k)->dims) symmetry_row(b, r, qv_result_cell(r, corpus, k), k, part);
    qv_buf_puts(
        b,
        "</tbody></table></div>\n<p class=\"under\">Of the embedding layer, or of the pooled features where there is "
        "none; degrees but for the first. Off centre: length of the mean embedding over the mean length, 0 where they "
        "balance. Off even: root mean square distance of the class means' angles from the simplex, in two dimensions "
        "with more than three classes from the regular polygon, seen from the origin and from the mean of all. "
        "Nearest: the smallest angle between two classes. Spread: of embeddings about the mean of their class. Margin: "
        "the smallest angle of two classes less their spreads. Means over folds and seeds, below them the 95 % "
        "interval of "
        "Student's t over seeds, cut to what the measure can be. A fold whose recordings lack a class has only the "
        "first; the other means are over the rest of the folds, and the row says of how many runs. A seed that has "
        "fewer folds than another is left out.</p>\n");
}

/* ---- pictures ---- */

static void pictures(qv_buf *b, const qv_results *r, size_t corpus)
{
    if (!qv_results_begun(r, corpus)) {
        qv_buf_printf(b, "<h2>Pictures</h2>\n<p>%s</p>\n",
                      r->failed ? "No run is finished that did not fail." : "No run is finished yet.");
        return;
    }
    qv_buf_puts(b, "<h2>Accuracy and gap</h2>\n<div class=\"two\">\n");
    qv_study_scatter(b, r, corpus);
    qv_study_gamma(b, r, corpus);
    qv_study_profiles(b, r, corpus);
    qv_buf_puts(b, "</div>\n");
    if (qv_results_compared(r, corpus)) {
        qv_buf_puts(b, "<h2>Differences</h2>\n<div class=\"two\">\n");
        qv_study_forest(b, r, corpus, false);
        qv_study_forest(b, r, corpus, true);
        qv_buf_puts(b, "</div>\n");
    }
    qv_study_embeddings(b, r, corpus);
    qv_buf_puts(b, "<h2>Learning curves</h2>\n");
    qv_study_curves(b, r, corpus);
}

/* ---- the end ---- */

/* Without validation recordings the last epoch counts whatever the setting says. */
static bool chooses_epoch(const qv_results *r, size_t cell)
{
    const qv_settings *s = &r->study->cells[cell].settings;
    bool validated = s->val_speakers > 0;
    for (size_t i = 0; i < r->plan->n_corpora; i++) validated = validated || qv_result_cell(r, i, cell)->validated;
    return s->epoch_rule == QV_EPOCH_BEST && validated;
}

/* "last epoch", or what differs between cells. */
static void put_epoch_rule(qv_buf *b, const qv_results *r)
{
    bool best = false, last = false, lengths = false;
    for (size_t k = 0; k < r->study->n_cells; k++) {
        lengths = lengths || r->study->cells[k].settings.epochs != r->study->cells[0].settings.epochs;
        best = best || chooses_epoch(r, k);
        last = last || !chooses_epoch(r, k);
    }
    qv_buf_puts(b, last && best ? "as the setting says: the last one, or the best UA on validation speakers"
                   : last       ? "the last one of the length that the study file sets"
                                : "the best UA on speakers held out of the training ones");
    qv_buf_puts(b, lengths ? "; settings are trained for different lengths (the column of epochs)" : "");
    qv_buf_puts(b, "; the test speakers have no part in it");
}

static void protocol(qv_buf *b, const qv_results *r)
{
    qv_buf rule = {0};
    qv_buf_puts(b, "<section><h2>Protocol</h2>\n<dl>\n");
    put_epoch_rule(&rule, r);
    qv_page_entry(b, "Choice of epoch", rule.failed ? "" : rule.data, "");
    qv_buf_free(&rule);
    qv_page_entry(b, "Figures", "full windows, evaluation mode, running statistics of batch norm", "");
    qv_page_entry(
        b, "Draws",
        "the same seed gives all settings the same order of recordings, patches and start, as far as they have "
        "the same batches, patches and network",
        "");
    for (size_t i = 0; i < r->study->n_corpora; i++) {
        qv_page_entry(b, "Folds", r->study->corpora[i].folds,
                      r->study->n_corpora > 1 ? " (each corpus as it says)" : "");
        qv_page_entry(b, "Labels", r->study->corpora[i].labels, "");
    }
    bool transductive = false;
    for (size_t k = 0; k < r->study->n_cells; k++)
        transductive = transductive || r->study->cells[k].settings.normalize == QV_NORM_SPEAKER;
    if (transductive)
        qv_page_entry(b, "Transductive", "features are normalized with the test speaker's own unlabelled recordings",
                      "");
    qv_buf_puts(b, "</dl></section>\n");
}

static void repetition(qv_buf *b, const qv_results *r)
{
    char text[64];
    qv_buf_puts(b, "<section><h2>To repeat it</h2>\n");
    if (r->plan->command) {
        qv_buf_puts(b, "<pre>");
        qv_markup_text(b, r->plan->command);
        qv_buf_puts(b, "</pre>\n");
    }
    qv_buf_puts(b, "<dl>\n");
    snprintf(text, sizeof text, "%016llx", (unsigned long long)XXH3_64bits(r->study->text, strlen(r->study->text)));
    qv_page_code(b, "Study file's hash", text);
    for (size_t i = 0; i < r->plan->n_corpora; i++) {
        qv_buf_puts(b, "<dt>Manifest</dt><dd>");
        qv_markup_printf(b, "%s: %s ", r->plan->corpora[i].name, r->plan->corpora[i].manifest);
        qv_buf_puts(b, "<code>");
        qv_markup_text(b, r->plan->corpora[i].hash);
        qv_buf_puts(b, "</code></dd>\n");
        if (r->plan->corpora[i].content) qv_page_code(b, "Hash of its recordings", r->plan->corpora[i].content);
    }
    snprintf(text, sizeof text, "%016llx", (unsigned long long)r->digest);
    qv_page_code(b, "Hash of all results", text);
    for (size_t i = 0; i < r->n_makers; i++) {
        qv_buf_puts(b, "<dt>Made by</dt><dd>");
        qv_markup_text(b, r->makers[i].text);
        qv_buf_printf(b, ": %zu %s</dd>\n", r->makers[i].records, r->makers[i].records == 1 ? "run" : "runs");
    }
    qv_buf_puts(
        b, "</dl>\n<p class=\"about\">On the CPU the same program, instruction set and libraries give the same hash of "
           "all results, whatever the number of threads, processes and shards.</p></section>\n");
}

static void study_file(qv_buf *b, const qv_results *r)
{
    qv_buf_puts(b, "<details><summary>Study file</summary><pre>");
    qv_markup_text(b, r->study->text);
    qv_buf_puts(b, "</pre></details>\n");
}

qv_status qv_study_page(qv_ctx *ctx, qv_buf *b, const qv_results *r)
{
    qv_page_begin(b, r->study->question ? r->study->question : "Which is better?", ": Quaver study", style);
    head(b, r);
    for (size_t i = 0; i < r->plan->n_corpora; i++) {
        if (r->plan->n_corpora > 1) {
            qv_buf_puts(b, "<h2>Corpus ");
            qv_markup_text(b, r->plan->corpora[i].name);
            qv_buf_puts(b, "</h2>\n");
        }
        cell_table(b, r, i);
        speaker_table(b, r, i);
        if (r->study->n_comparisons) {
            comparison_table(b, r, i);
            other_table(b, r, i);
        }
        symmetry_table(b, r, i);
        pictures(b, r, i);
    }
    qv_buf_puts(b, "<div class=\"two\">\n");
    protocol(b, r);
    repetition(b, r);
    qv_buf_puts(b, "</div>\n");
    study_file(b, r);
    qv_page_end(b, "quaver study report");
    return qv_buf_check(ctx, b);
}
