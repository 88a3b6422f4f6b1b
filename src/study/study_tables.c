/* The tables of a study as CSV and LaTeX: what the page's tables hold, but for the clock, so that equal records give
 * equal files. */
#include <math.h>
#include <string.h>

#include "base/csv.h"
#include "study/study_report.h"

/* ---- CSV ---- */

enum { TEXTS = 3, LAST = 3 };
/* Columns of numbers; a kind of row fills those that it has. */
enum {
    RUNS,
    SPEAKERS,
    TRAIN_UA,
    UA,
    UA_LOW,
    UA_HIGH,
    GAP,
    GAP_LOW,
    GAP_HIGH,
    SEED_SD,
    WA,
    DZ_UA,
    DZ_GAP,
    P_UA,
    P_GAP,
    P_NEEDED,
    P_HOLM,
    SMALLEST_P,
    P_T_UA,
    P_T_GAP,
    P_SPEAKERS_UA,
    P_SPEAKERS_GAP,
    P_RESAMPLED_UA,
    P_RESAMPLED_GAP,
    SIGNIFICANT,
    EVEN_UA,
    EVEN_GAP,
    UA_LESS_BASELINE,
    GAP_LESS_BASELINE,
    LEAST_EPOCH,
    MOST_EPOCH,
    FAILED,
    DIMENSIONS,
    SYMMETRY, /* of each measure the mean, low and high */
    BLOCK = SYMMETRY + 3 * QV_SYMMETRY_MEASURES, /* a profile each */
    NUMBERS = BLOCK + QV_PROFILES
};

static const char *const text_names[TEXTS] = {"kind", "corpus", "name"};
static const char *const last_names[LAST] = {"speaker", "fold", "layer"}; /* texts after the numbers */
static const char *const number_names[SYMMETRY] = {
    [RUNS] = "runs",
    [SPEAKERS] = "speakers",
    [TRAIN_UA] = "train_ua",
    [UA] = "ua",
    [UA_LOW] = "ua_low",
    [UA_HIGH] = "ua_high",
    [GAP] = "gap",
    [GAP_LOW] = "gap_low",
    [GAP_HIGH] = "gap_high",
    [SEED_SD] = "seed_sd",
    [WA] = "wa",
    [DZ_UA] = "dz_ua",
    [DZ_GAP] = "dz_gap",
    [P_UA] = "p_ua",
    [P_GAP] = "p_gap",
    [P_NEEDED] = "p",
    [P_HOLM] = "p_holm",
    [SMALLEST_P] = "smallest_p",
    [P_T_UA] = "p_t_ua",
    [P_T_GAP] = "p_t_gap",
    [P_SPEAKERS_UA] = "p_speakers_ua",
    [P_SPEAKERS_GAP] = "p_speakers_gap",
    [P_RESAMPLED_UA] = "p_resampled_ua",
    [P_RESAMPLED_GAP] = "p_resampled_gap",
    [SIGNIFICANT] = "significant",
    [EVEN_UA] = "even_ua",
    [EVEN_GAP] = "even_gap",
    [UA_LESS_BASELINE] = "ua_less_baseline",
    [GAP_LESS_BASELINE] = "gap_less_baseline",
    [LEAST_EPOCH] = "least_epoch",
    [MOST_EPOCH] = "most_epoch",
    [FAILED] = "failed",
    [DIMENSIONS] = "dimensions",
};

static void put_head(qv_buf *b)
{
    qv_csv_write(b, text_names, TEXTS);
    if (b->len) b->len--; /* the numbers go on in the same line */
    for (size_t i = 0; i < SYMMETRY; i++) qv_buf_printf(b, ",%s", number_names[i]);
    for (size_t k = 0; k < QV_SYMMETRY_MEASURES; k++)
        qv_buf_printf(b, ",%s,%s_low,%s_high", qv_symmetry_keys[k], qv_symmetry_keys[k], qv_symmetry_keys[k]);
    for (size_t k = 0; k < QV_PROFILES; k++) qv_buf_printf(b, ",%s", qv_profile_keys[k]);
    qv_buf_puts(b, ",");
    qv_csv_write(b, last_names, LAST);
}

/* last: of a speaker's or a block's row; else "". */
static void put_row(qv_buf *b, const char *kind, const char *corpus, const char *name, const double x[NUMBERS],
                    const char *const last[LAST])
{
    const char *texts[TEXTS] = {kind, corpus, name};
    qv_csv_write(b, texts, TEXTS);
    if (b->len) b->len--;
    for (size_t i = 0; i < NUMBERS; i++) {
        qv_buf_puts(b, ",");
        if (isfinite(x[i])) qv_buf_real(b, x[i]);
    }
    qv_buf_puts(b, ",");
    qv_csv_write(b, last, LAST);
}

static const char *const nothing[LAST] = {"", "", ""};

static void clear_row(double x[NUMBERS])
{
    for (size_t i = 0; i < NUMBERS; i++) x[i] = NAN;
}

static void csv_cell(qv_buf *b, const qv_results *r, size_t corpus, size_t cell)
{
    const qv_cell_result *c = qv_result_cell(r, corpus, cell);
    const qv_less_baseline less = qv_result_less_baseline(r, corpus, cell);
    double x[NUMBERS];
    clear_row(x);
    x[RUNS] = (double)c->runs;
    x[SPEAKERS] = (double)c->speakers;
    x[TRAIN_UA] = c->mean_train;
    x[UA] = c->mean_ua, x[UA_LOW] = c->ua_interval.bca_low, x[UA_HIGH] = c->ua_interval.bca_high;
    x[GAP] = c->mean_gap, x[GAP_LOW] = c->gap_interval.bca_low, x[GAP_HIGH] = c->gap_interval.bca_high;
    x[SEED_SD] = c->seed_sd;
    x[WA] = c->mean_wa;
    x[EVEN_UA] = c->even_ua, x[EVEN_GAP] = c->even_gap;
    x[UA_LESS_BASELINE] = less.ua, x[GAP_LESS_BASELINE] = less.gap;
    if (c->runs) x[LEAST_EPOCH] = c->least_epoch, x[MOST_EPOCH] = c->most_epoch;
    x[FAILED] = (double)c->failed;
    put_row(b, "cell", r->plan->corpora[corpus].name, r->study->cells[cell].name, x, nothing);
}

/* What the comparisons are made of. */
static void csv_speakers(qv_buf *b, const qv_results *r, size_t corpus, size_t cell)
{
    const qv_cell_result *c = qv_result_cell(r, corpus, cell);
    const qv_plan_corpus *of = &r->plan->corpora[corpus];
    double x[NUMBERS];
    for (size_t k = 0; k < r->n_speakers[corpus]; k++) {
        const char *const last[LAST] = {r->speakers[corpus][k], of->folds[r->fold_of[corpus][k]].name, ""};
        clear_row(x);
        x[TRAIN_UA] = c->train[k], x[UA] = c->ua[k], x[GAP] = c->gap[k];
        put_row(b, "speaker", of->name, r->study->cells[cell].name, x, last);
    }
}

static double of_layer(const qv_profile *p, const char *layer)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->layers[i], layer) == 0) return p->mean[i];
    return NAN;
}

/* What the figures of blocks draw: all blocks have branches, those with a normalization before the shake have scales. */
static void csv_blocks(qv_buf *b, const qv_results *r, size_t corpus, size_t cell)
{
    const qv_profile *profiles = qv_result_cell(r, corpus, cell)->profiles;
    double x[NUMBERS];
    for (size_t i = 0; i < profiles[QV_PROFILE_MOVED].n; i++) {
        const char *const last[LAST] = {"", "", profiles[QV_PROFILE_MOVED].layers[i]};
        clear_row(x);
        for (size_t k = 0; k < QV_PROFILES; k++) x[BLOCK + k] = of_layer(&profiles[k], last[2]);
        put_row(b, "block", r->plan->corpora[corpus].name, r->study->cells[cell].name, x, last);
    }
}

static void csv_symmetry(qv_buf *b, const qv_results *r, size_t corpus, size_t cell)
{
    static const char *const kinds[] = {"symmetry-train", "symmetry-test"};
    const qv_cell_result *c = qv_result_cell(r, corpus, cell);
    double x[NUMBERS];
    for (size_t part = 0; part < 2 && c->dims > 0; part++) {
        clear_row(x);
        x[RUNS] = (double)qv_cell_measured(c, (int)part);
        x[DIMENSIONS] = (double)c->dims;
        for (size_t k = 0; k < QV_SYMMETRY_MEASURES; k++) {
            const qv_seed_mean *m = &c->symmetry[part][k];
            double *at = &x[SYMMETRY + 3 * k];
            at[0] = m->mean, at[1] = m->low, at[2] = m->high;
        }
        put_row(b, kinds[part], r->plan->corpora[corpus].name, r->study->cells[cell].name, x, nothing);
    }
}

static void csv_comparison(qv_buf *b, const qv_results *r, const qv_comparison_result *c)
{
    double x[NUMBERS];
    clear_row(x);
    x[SPEAKERS] = (double)c->speakers;
    x[UA] = c->ua.mean, x[UA_LOW] = c->ua.interval.bca_low, x[UA_HIGH] = c->ua.interval.bca_high;
    x[GAP] = c->gap.mean, x[GAP_LOW] = c->gap.interval.bca_low, x[GAP_HIGH] = c->gap.interval.bca_high;
    x[DZ_UA] = c->ua.t.dz, x[DZ_GAP] = c->gap.t.dz;
    x[P_UA] = c->ua.flip.p, x[P_GAP] = c->gap.flip.p;
    x[P_NEEDED] = c->p, x[P_HOLM] = c->adjusted, x[SMALLEST_P] = c->smallest;
    x[P_T_UA] = c->ua.t.p, x[P_T_GAP] = c->gap.t.p;
    x[P_SPEAKERS_UA] = c->ua.alone.p, x[P_SPEAKERS_GAP] = c->gap.alone.p;
    x[P_RESAMPLED_UA] = c->ua.corrected, x[P_RESAMPLED_GAP] = c->gap.corrected;
    if (c->complete && !c->failed) x[SIGNIFICANT] = c->significant;
    x[FAILED] = (double)c->failed;
    put_row(b, "comparison", r->plan->corpora[c->corpus].name, r->study->comparisons[c->comparison].name, x,
            nothing);
}

void qv_study_csv(qv_buf *b, const qv_results *r)
{
    static void (*const of_cells[])(qv_buf *, const qv_results *, size_t, size_t) = {csv_symmetry, csv_speakers,
                                                                                     csv_blocks};
    put_head(b);
    for (size_t i = 0; i < r->plan->n_corpora; i++)
        for (size_t k = 0; k < r->study->n_cells; k++) csv_cell(b, r, i, k);
    for (size_t i = 0; i < r->n_comparisons; i++) csv_comparison(b, r, &r->comparisons[i]);
    for (size_t kind = 0; kind < sizeof of_cells / sizeof *of_cells; kind++)
        for (size_t i = 0; i < r->plan->n_corpora; i++)
            for (size_t k = 0; k < r->study->n_cells; k++) of_cells[kind](b, r, i, k);
}

/* ---- LaTeX ---- */

static void tex_text(qv_buf *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            qv_buf_puts(b, "\\textbackslash{}");
        else if (*p == '~' || *p == '^')
            qv_buf_printf(b, "\\%c{}", *p);
        else
            qv_buf_printf(b, strchr("#$%&_{}", *p) ? "\\%c" : "%c", *p);
    }
}

static void tex_number(qv_buf *b, int digits, double x, double low, double high, bool sign)
{
    if (isnan(x)) {
        qv_buf_puts(b, " & --");
        return;
    }
    const double least = 0.5 * pow(10, -digits); /* no minus before a zero */
    double values[] = {x, low, high};
    for (size_t i = 0; i < 3; i++)
        if (fabs(values[i]) < least) values[i] = 0;
    qv_buf_printf(b, sign ? " & $%+.*f$" : " & $%.*f$", digits, values[0]);
    if (!isnan(low))
        qv_buf_printf(b, sign ? " [$%+.*f$, $%+.*f$]" : " [$%.*f$, $%.*f$]", digits, values[1], digits, values[2]);
}

static void tex_plain(qv_buf *b, int digits, double x, bool sign) { tex_number(b, digits, x, NAN, NAN, sign); }

static void tex_p(qv_buf *b, double p, double alpha)
{
    if (isnan(p))
        qv_buf_puts(b, " & --");
    else if (p < 0.0001)
        qv_buf_puts(b, " & $<0.0001$");
    else {
        qv_buf_puts(b, " & $");
        qv_study_p(b, p, 4, true, alpha);
        qv_buf_puts(b, "$");
    }
}

static void tex_begin(qv_buf *b, const char *columns, const char *head)
{
    qv_buf_printf(b, "\\begin{tabular}{%s}\n\\hline\n%s \\\\\n\\hline\n", columns, head);
}

static void tex_end(qv_buf *b) { qv_buf_puts(b, "\\hline\n\\end{tabular}\n\n"); }

static void tex_cell(qv_buf *b, const qv_results *r, size_t corpus, size_t k)
{
    const qv_cell_result *c = qv_result_cell(r, corpus, k);
    tex_text(b, r->study->cells[k].name);
    tex_plain(b, 3, c->mean_train, false);
    tex_number(b, 3, c->mean_ua, c->ua_interval.bca_low, c->ua_interval.bca_high, false);
    tex_plain(b, 3, c->mean_wa, false);
    tex_number(b, 1, c->mean_gap, c->gap_interval.bca_low, c->gap_interval.bca_high, false);
    if (qv_result_baseline(r, corpus)) {
        const qv_less_baseline less = qv_result_less_baseline(r, corpus, k);
        tex_plain(b, 1, 100 * less.ua, true);
        tex_plain(b, 1, less.gap, true);
    }
    tex_plain(b, 3, c->even_ua, false);
    tex_plain(b, 1, c->even_gap, false);
    tex_plain(b, 1, 100 * c->seed_sd, false);
    if (c->runs == 0)
        qv_buf_puts(b, " & --");
    else
        qv_buf_printf(b, c->least_epoch == c->most_epoch ? " & %d" : " & %d--%d", c->least_epoch, c->most_epoch);
    qv_buf_printf(b, " & %zu", c->runs);
    if (c->failed) qv_buf_printf(b, " (%zu failed)", c->failed);
    qv_buf_puts(b, " \\\\\n");
}

static void tex_cells(qv_buf *b, const qv_results *r, size_t corpus)
{
    if (qv_result_baseline(r, corpus))
        tex_begin(b, "lrrrrrrrrrrr",
                  "setting & UA train & UA test & WA test & gap & UA less baseline & gap less baseline & UA test, even "
                  "& gap, even & sd of seeds & epoch & runs");
    else
        tex_begin(
            b, "lrrrrrrrrr",
            "setting & UA train & UA test & WA test & gap & UA test, even & gap, even & sd of seeds & epoch & runs");
    for (size_t k = 0; k < r->study->n_cells; k++) tex_cell(b, r, corpus, k);
    tex_end(b);
}

static void tex_comparisons(qv_buf *b, const qv_results *r, size_t corpus)
{
    tex_begin(b, "lrrrrrrl",
              "comparison & UA, points & gap, points & $p$ UA up & $p$ gap down & $p$ that counts & $p$ after Holm & "
              "verdict");
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (c->corpus != corpus) continue;
        tex_text(b, r->study->comparisons[c->comparison].name);
        tex_number(b, 1, 100 * c->ua.mean, 100 * c->ua.interval.bca_low, 100 * c->ua.interval.bca_high, true);
        tex_number(b, 1, c->gap.mean, c->gap.interval.bca_low, c->gap.interval.bca_high, true);
        tex_p(b, c->ua.flip.p, r->study->alpha);
        tex_p(b, c->gap.flip.p, r->study->alpha);
        tex_p(b, c->p, r->study->alpha);
        tex_p(b, c->adjusted, r->study->alpha);
        qv_buf_printf(b, " & %s \\\\\n", qv_comparison_verdict(r, c));
    }
    tex_end(b);
}

static void tex_others(qv_buf *b, const qv_results *r, size_t corpus)
{
    tex_begin(b, "lrrrrrrrr",
              "comparison & $d_z$ UA & $d_z$ gap & $t$ UA & $t$ gap & flips of speakers, UA & flips of speakers, gap & "
              "resampled $t$, UA & resampled $t$, gap");
    for (size_t i = 0; i < r->n_comparisons; i++) {
        const qv_comparison_result *c = &r->comparisons[i];
        if (c->corpus != corpus) continue;
        tex_text(b, r->study->comparisons[c->comparison].name);
        tex_plain(b, 2, c->ua.t.dz, true);
        tex_plain(b, 2, c->gap.t.dz, true);
        const double p[] = {c->ua.t.p, c->gap.t.p, c->ua.alone.p, c->gap.alone.p, c->ua.corrected, c->gap.corrected};
        for (size_t k = 0; k < sizeof p / sizeof *p; k++) tex_p(b, p[k], r->study->alpha);
        qv_buf_puts(b, " \\\\\n");
    }
    tex_end(b);
}

static void tex_symmetry(qv_buf *b, const qv_results *r, size_t corpus)
{
    tex_begin(
        b, "llrrrrrrr",
        "setting & recordings & off centre & off even, origin & nearest, origin & off even, mean & nearest, mean & "
        "spread & margin");
    for (size_t k = 0; k < r->study->n_cells; k++)
        for (int part = 0; part < 2; part++) {
            const qv_cell_result *c = qv_result_cell(r, corpus, k);
            if (c->dims == 0) continue;
            tex_text(b, r->study->cells[k].name);
            qv_buf_puts(b, part ? " & test" : " & training");
            const size_t measured = qv_cell_measured(c, part);
            if (measured < c->runs) qv_buf_printf(b, " (%zu of %zu runs)", measured, c->runs);
            for (size_t m = 0; m < QV_SYMMETRY_MEASURES; m++)
                tex_number(b, m == 0 ? 3 : 1, c->symmetry[part][m].mean, c->symmetry[part][m].low,
                           c->symmetry[part][m].high, false);
            qv_buf_puts(b, " \\\\\n");
        }
    tex_end(b);
}

/* What the page says under its tables. */
static void tex_remarks(qv_buf *b, const qv_results *r)
{
    qv_buf_printf(b,
                  "%% UA from 0 to 1; gaps, differences and sd of seeds in points; intervals: 95 %%, BCa bootstrap "
                  "over speakers; of symmetry Student's t over seeds\n"
                  "%% p one-sided, of folds' sign flips; d_z of the improvement; Holm's correction is over %zu "
                  "comparisons, significant at %g\n",
                  r->n_comparisons, r->study->alpha);
    for (size_t i = 0; i < r->study->n_comparisons; i++) {
        const qv_comparison *c = &r->study->comparisons[i];
        qv_buf_printf(b, "%% %s%s: %s%s%s; expected of %s\n", c->name, c->claimed ? "" : " (beside the claim)",
                      c->title ? c->title : "", c->title ? ": " : "", c->difference,
                      c->ua && c->gap ? "UA and gap" : c->ua ? "UA" : "the gap");
    }
    qv_buf_puts(b, "\n");
}

void qv_study_tex(qv_buf *b, const qv_results *r)
{
    qv_buf answer = {0};
    qv_study_answer(r, &answer);
    qv_buf_printf(b, "%% %s\n", answer.failed || !answer.data ? "" : answer.data);
    b->failed = b->failed || answer.failed;
    qv_buf_free(&answer);
    tex_remarks(b, r);
    for (size_t i = 0; i < r->plan->n_corpora; i++) {
        qv_buf_printf(b, "%% %s: %zu speakers, %zu folds, seeds: %d\n", r->plan->corpora[i].name,
                      qv_results_heard(r, i), r->plan->corpora[i].n_folds, r->plan->seeds);
        tex_cells(b, r, i);
        if (r->study->n_comparisons) {
            tex_comparisons(b, r, i);
            tex_others(b, r, i);
        }
        if (qv_results_embedded(r, i)) tex_symmetry(b, r, i);
    }
}
