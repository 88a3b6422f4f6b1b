/* What is said of the records: figures, tests and the verdict in report.html, report.csv and report.tex. */
#include <math.h>

#include "support/toy_study.h"

/* What is printed of a p stands on its side of alpha. */
static void p_is_on_its_side(void **state)
{
    static const struct {
        double p;
        int digits;
        bool fixed;
        const char *want;
    } cases[] = {{0.05029, 3, true, "0.0503"},       {0.05, 3, true, "0.050"},     {0.04999, 3, true, "0.050"},
                 {0.0500001, 2, false, "0.0500001"}, {0.0039, 2, false, "0.0039"}, {1, 2, false, "1"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_buf b = {0};
        qv_study_p(&b, cases[i].p, cases[i].digits, cases[i].fixed, 0.05);
        assert_string_equal(b.data, cases[i].want);
        qv_buf_free(&b);
    }
}

/* The settings of the axis `what` change no figure: what rounding leaves of the difference of differences is none. */
static void equal_cells_are_no_difference(void **state)
{
    qv_toy_study *x = *state;
    qv_findings f;
    qv_toy_study_run_text(
        x, "equal",
        "[corpus made]\nembedded = 8 2\n[settings]\nnet.width = 2\ntrain.batch = 4\nfeatures.mels = 8\n"
        "patch.seconds = 0.16\n[axis what]\nsetting = eval.every\nvalues = 1, 2\n"
        "[axis length]\nsetting = train.epochs\nvalues = 2, 4\n[compare none]\n"
        "difference = (what=1 length=4 - what=1 length=2) - (what=2 length=4 - what=2 length=2)\n");
    qv_toy_study_findings(x, &f, "equal");
    const qv_comparison_result *c = &f.results.comparisons[0];
    for (size_t k = 0; k < c->speakers; k++) assert_true(c->d_ua[k] == 0 && c->d_gap[k] == 0);
    assert_int_equal(c->speakers, 8);
    assert_true(c->ua.flip.p == 1 && c->gap.flip.p == 1 && c->p == 1);
    qv_findings_free(&f);
}

static void no_memory_is_an_error(void **state)
{
    qv_toy_study *x = *state;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "memory", ""));
    for (size_t n = 1;; n += 13) {
        qv_ctx_fail_alloc(x->ctx, n);
        qv_status status = qv_study_report(x->ctx, qv_toy_study_folder(x, "memory"), NULL, NULL);
        qv_ctx_fail_alloc(x->ctx, 0);
        if (status == QV_OK) break;
        assert_int_equal(status, QV_ERR_MEMORY);
    }
}

static void an_unfinished_study_has_no_verdict(void **state)
{
    qv_toy_study *x = *state;
    x->o.shard = 1;
    x->o.shards = 2;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "half", ""));
    char *page = qv_toy_study_file(x, "half", "report.html"), *csv = qv_toy_study_file(x, "half", "report.csv");
    qv_test_says(page, "Interim: 12 of 24 runs are in, so there is no verdict yet.");
    qv_test_says(page, "The smallest p that the 2 folds of corpus made can give, corrected for 1 comparison, is 0.25");
    assert_null(strstr(page, ">significant<"));
    qv_test_says(page, "<td>interim</td>");
    assert_null(strstr(page, "<script"));
    char *row = strstr(csv, "\ncomparison,made,own,");
    assert_non_null(row);
    size_t commas = 0; /* no p before the end: p_ua is the 17th column */
    for (char *p = row; commas < 16; p++)
        if (*p == ',' && ++commas == 16) assert_memory_equal(p, ",,,,,", 5);
    free(page);
    free(csv);
}

/* What a cell has less than the baseline is of the speakers who have figures of both, also before all are in. */
static void speakers_are_less_than_themselves(void **state)
{
    qv_toy_study *x = *state;
    qv_findings f;
    size_t differ = 0;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "less", ""));
    char *path = qv_toy_study_path(x, "less", "records/made/preact_shaken/fold-1.seed-1.jsonl");
    assert_int_equal(remove(path), 0);
    memcpy(strstr(path, "seed-1"), "seed-2", 6);
    assert_int_equal(remove(path), 0);
    qv_toy_study_findings(x, &f, "less");
    const qv_results *r = &f.results;
    const qv_cell_result *base = qv_result_baseline(r, 0), *c = qv_result_cell(r, 0, 1);
    const qv_less_baseline less = qv_result_less_baseline(r, 0, 1);
    double ua = 0, gap = 0;
    for (size_t k = 0; k < r->n_speakers[0]; k++) {
        if (isnan(c->ua[k])) continue;
        ua += (c->ua[k] - base->ua[k]) / 4;
        gap += (c->gap[k] - base->gap[k]) / 4;
        differ++;
    }
    assert_int_equal(differ, 4);
    assert_true(fabs(less.ua - ua) < 1e-12 && fabs(less.gap - gap) < 1e-9);
    qv_findings_free(&f);
    free(path);
}

/* A program that made the runs of one cell alone is part of the difference. */
static void other_makers_are_told_of(void **state)
{
    qv_toy_study *x = *state;
    static const char told[] = "Not all settings of a comparison were made by the same ones in: own.";
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "makers", ""));
    for (int others = 0; others < 3; others++) {
        const char *cell = others == 1 ? "preact-bn_even_gamma0=1" : "preact-bn_shaken_gamma0=1";
        for (int run = 0; others && run < 4; run++) {
            char name[100];
            qv_study_record r = {0};
            snprintf(name, sizeof name, "records/made/%s/fold-%d.seed-%d.jsonl", cell, run / 2 + 1, run % 2 + 1);
            char *path = qv_toy_study_path(x, "makers", name);
            qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
            r.program[0] = r.program[0] == '0' ? '1' : '0';
            qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
            qv_study_record_free(&r);
            free(path);
        }
        qv_assert_ok(x->ctx, qv_study_report(x->ctx, qv_toy_study_folder(x, "makers"), NULL, NULL));
        char *page = qv_toy_study_file(x, "makers", "report.html");
        assert_int_equal(strstr(page, "Made by several programs") != NULL, others > 0);
        assert_int_equal(strstr(page, told) != NULL, others == 1); /* both of them: their difference is their own */
        free(page);
    }
}

/* Of many speakers the tests take minutes: none are made for nothing, and a wish to stop is heard. */
static void early_looks_test_nothing(void **state)
{
    qv_toy_study *x = *state;
    volatile int stop = 0;
    x->o.shard = 1;
    x->o.shards = 2;
    for (int whole = 0; whole < 2; whole++) {
        qv_findings f;
        qv_assert_ok(x->ctx, qv_toy_study_run(x, "early", ""));
        qv_toy_study_findings(x, &f, "early");
        const qv_measure_result *m = &f.results.comparisons[0].gap;
        assert_int_equal(m->flip.units, whole ? 2 : 0);
        assert_int_equal(m->alone.units, whole ? 8 : 0);
        assert_true(!isnan(m->mean) && !isnan(m->t.dz));
        assert_int_equal(isnan(m->t.p) && isnan(m->flip.p) && isnan(m->alone.p) && isnan(m->corrected), !whole);
        qv_findings_free(&f);
        x->o.shard = 2;
    }
    qv_ctx_cancel_flag(x->ctx, &stop);
    stop = 1;
    assert_int_equal(qv_study_report(x->ctx, qv_toy_study_folder(x, "early"), NULL, NULL), QV_ERR_INTERRUPTED);
    qv_ctx_cancel_flag(x->ctx, NULL);
}

static void a_study_without_runs_has_a_page(void **state)
{
    qv_toy_study *x = *state;
    x->o.shard = x->o.shards = 100;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "empty", ""));
    char *page = qv_toy_study_file(x, "empty", "report.html"), *tex = qv_toy_study_file(x, "empty", "report.tex");
    qv_test_says(page, "Interim: 0 of 24 runs are in, so there is no verdict yet.</p>");
    qv_test_says(page, "<p>No run is finished yet.</p>");
    qv_test_says(page, "The smallest corrected <i>p</i> that can come out here is 0.25.");
    assert_null(strstr(page, "<svg")); /* no empty frames */
    qv_test_says(tex, "\nown & -- & -- & -- & -- & -- & -- & interim \\\\\n");
    free(page);
    free(tex);
}

/* However an axis sets it, and only between settings that differ in nothing else. */
static void gamma0_is_drawn(void **state)
{
    static const struct {
        const char *axis;
        bool drawn;
    } cases[] = {
        {"[axis start]\nlow = shake.gamma0=0.1\nhigh = shake.gamma0=1\n", true},
        {"[axis start]\nlow = shake.gamma0=0.1\nhigh = shake.gamma0=1, bn.eps=0.1\n", false},
        {"[axis start]\nlow = shake.gamma0=0.1\nhigh = shake.gamma0=1\n[cells high]\ntrain.epochs = 2\n", true},
        {"[axis start]\nlow = shake.gamma0=0.1\nhigh = shake.gamma0=1\n[settings]\nnet.order = relu\n", false}};
    qv_toy_study *x = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        qv_study *s;
        qv_buf text = {0};
        const char *after_baseline = strstr(qv_toy_study_head, "[corpus");
        qv_buf_printf(&text, "%s%s", after_baseline, cases[i].axis);
        qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text.data));
        snprintf(name, sizeof name, "gamma%zu", i);
        x->o.out = qv_toy_study_folder(x, name);
        qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
        char *page = qv_toy_study_file(x, name, "report.html");
        assert_int_equal(strstr(page, "Start of the scale against accuracy") != NULL, cases[i].drawn);
        qv_study_free(s);
        qv_buf_free(&text);
        free(page);
    }
}

/* The three files say the same. */
static void assert_same_figures(const char *page, const char *csv, const char *tex, const qv_results *r)
{
    for (size_t k = 0; k < r->study->n_cells; k++) {
        const qv_cell_result *c = qv_result_cell(r, 0, k);
        char text[64];
        snprintf(text, sizeof text, "<td>%.3f", c->mean_ua);
        qv_test_says(page, text);
        snprintf(text, sizeof text, " & $%.3f$", c->mean_ua);
        qv_test_says(tex, text);
        snprintf(text, sizeof text, "\nsymmetry-test,made,%s,", r->study->cells[k].name);
        qv_test_says(csv, text);
        snprintf(text, sizeof text, "\n%s & test & $%.3f$", r->study->cells[k].name, c->symmetry[1][0].mean);
        qv_test_says(tex, text);
        for (int part = 0; part < 2; part++)
            for (int m = 0; m < QV_SYMMETRY_MEASURES; m++) {
                const qv_seed_mean *s = &c->symmetry[part][m];
                assert_true(s->low >= qv_symmetry_ranges[m].low && s->high <= qv_symmetry_ranges[m].high);
                assert_true(s->low <= s->mean && s->mean <= s->high);
            }
    }
}

/* What networks make of the recordings goes into records, tables and pictures; points only of two dimensions. */
static void embeddings_are_measured_and_drawn(void **state)
{
    qv_toy_study *x = *state;
    static const char *const names[] = {"plane", "pooled"};
    for (int k = 0; k < 2; k++) {
        qv_assert_ok(x->ctx, qv_toy_study_run(x, names[k], k ? "" : "[settings]\nnet.embed = 2\n"));
        qv_findings f;
        qv_toy_study_findings(x, &f, names[k]);
        const qv_cell_result *c = qv_result_cell(&f.results, 0, 0);
        char *page = qv_toy_study_file(x, names[k], "report.html"), *csv = qv_toy_study_file(x, names[k], "report.csv"),
             *tex = qv_toy_study_file(x, names[k], "report.tex");
        assert_same_figures(page, csv, tex, &f.results);
        assert_true(k ? c->dims > 2 && c->shape[0].n_points == 0 : c->dims == 2);
        qv_test_says(page, "<h2>Symmetry</h2>");
        assert_int_equal(strstr(page, "<h2>Embeddings</h2>") != NULL, k == 0);
        for (int part = 0; part < 2; part++)
            assert_true(c->symmetry[part][0].mean >= 0 && c->symmetry[part][0].mean <= 1);
        if (k == 0)
            assert_true(c->shape[0].n_points == 16 && c->shape[1].n_points == 16); /* two folds of 32 recordings */
        free(page);
        free(csv);
        free(tex);
        qv_findings_free(&f);
    }
}

/* The records of fold 1 are as where its test recordings lack a class: the means are of the other fold. */
static void a_fold_without_a_class_empties_no_symmetry(void **state)
{
    static const char *const runs[] = {"fold-1.seed-1", "fold-1.seed-2", "fold-2.seed-1", "fold-2.seed-2"};
    qv_toy_study *x = *state;
    double left[2] = {0};
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "lacking", "[settings]\nnet.embed = 2\n"));
    for (size_t i = 0; i < 4; i++) {
        char *path, name[64];
        qv_study_record r = {0};
        snprintf(name, sizeof name, "records/made/preact_even/%s.jsonl", runs[i]);
        path = qv_toy_study_path(x, "lacking", name);
        qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
        qv_symmetry *s = &r.shape[1].symmetry;
        left[0] += s->centre / 4;
        if (i >= 2) left[1] += s->spread / 2;
        for (int k = 1; k < QV_SYMMETRY_MEASURES && i < 2; k++) *qv_symmetry_at(s, k) = NAN;
        qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, path));
        qv_study_record_free(&r);
        free(path);
    }
    qv_assert_ok(x->ctx, qv_study_report(x->ctx, qv_toy_study_folder(x, "lacking"), NULL, NULL));
    qv_findings f;
    qv_toy_study_findings(x, &f, "lacking");
    const qv_cell_result *c = qv_result_cell(&f.results, 0, 0);
    assert_true(fabs(c->symmetry[1][0].mean - left[0]) < 1e-12 && fabs(c->symmetry[1][5].mean - left[1]) < 1e-9);
    assert_true(c->symmetry[1][5].low <= left[1] && left[1] <= c->symmetry[1][5].high);
    assert_int_equal(qv_cell_measured(c, 0), 4);
    assert_int_equal(qv_cell_measured(c, 1), 2);
    char *page = qv_toy_study_file(x, "lacking", "report.html"), *csv = qv_toy_study_file(x, "lacking", "report.csv");
    qv_test_says(page, "<td>test<span class=\"sub\">some of 2 of 4 runs</span></td>");
    qv_test_says(csv, "\nsymmetry-train,made,preact even,4,");
    qv_test_says(csv, "\nsymmetry-test,made,preact even,2,");
    qv_findings_free(&f);
    free(page);
    free(csv);
}

/* One fold of a seed is no seed: the others alone have an interval. */
static void a_part_of_a_seed_is_not_averaged(void **state)
{
    qv_toy_study *x = *state;
    double seeds[2] = {0};
    qv_findings f;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "part", "[settings]\nnet.embed = 2\n"));
    for (int whole = 1; whole >= 0; whole--) {
        qv_toy_study_findings(x, &f, "part");
        const qv_seed_mean *m = &qv_result_cell(&f.results, 0, 0)->symmetry[1][0];
        seeds[whole] = m->mean;
        assert_int_equal(isnan(m->low), !whole);
        qv_findings_free(&f);
        char *path = qv_toy_study_path(x, "part", "records/made/preact_even/fold-1.seed-2.jsonl");
        assert_int_equal(remove(path), whole ? 0 : -1);
        free(path);
    }
    double first = 0;
    for (int fold = 1; fold <= 2; fold++) {
        char name[64];
        qv_study_record r = {0};
        snprintf(name, sizeof name, "records/made/preact_even/fold-%d.seed-1.jsonl", fold);
        char *path = qv_toy_study_path(x, "part", name);
        qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, path));
        first += r.shape[1].symmetry.centre / 2;
        qv_study_record_free(&r);
        free(path);
    }
    assert_true(fabs(seeds[0] - first) < 1e-12 && seeds[1] != seeds[0]);
}

/* Of 100 recordings of each class, named rightly by each of two cells: of the speaker of each of eight folds. */
typedef size_t planted[8][2][4];

static void plant_scores(qv_record_scores *scores, const size_t right[4], int classes)
{
    for (size_t i = 0; i < scores->n_speakers; i++) {
        memset(scores->speakers[i].confusion, 0, 16 * sizeof(size_t));
        for (int k = 0; k < classes; k++) {
            scores->speakers[i].confusion[5 * k] = right[k];
            scores->speakers[i].confusion[4 * k + (k + 1) % 4] = 100 - right[k];
        }
    }
}

/* The first speaker is tested on so many of the four classes. */
static void plant_counts(qv_toy_study *x, const char *out, planted right, int first)
{
    qv_study *s;
    qv_plan plan;
    const char *path = qv_toy_study_folder(x, out);
    qv_assert_ok(x->ctx, qv_study_of_folder(x->ctx, &s, path));
    qv_assert_ok(x->ctx, qv_plan_read(x->ctx, &plan, s, path));
    for (size_t f = 0; f < plan.corpora[0].n_folds; f++) {
        plan.corpora[0].folds[f].test = f == 0 ? 100 * (size_t)first : 400;
        for (size_t c = 0; c < s->n_cells; c++) {
            char *file;
            qv_study_record r = {0};
            qv_assert_ok(x->ctx, qv_study_record_path(x->ctx, &file, path, "made", s->cells[c].file,
                                                      plan.corpora[0].folds[f].name, s->first_seed));
            qv_assert_ok(x->ctx, qv_study_record_read(x->ctx, &r, file));
            r.running.train.ua = r.running.train.wa = 0.95;
            plant_scores(&r.running, right[f][c], f == 0 ? first : 4);
            plant_scores(&r.even, right[f][c], f == 0 ? first : 4);
            qv_assert_ok(x->ctx, qv_study_record_write(x->ctx, &r, file));
            qv_study_record_free(&r);
            free(file);
        }
    }
    qv_assert_ok(x->ctx, qv_plan_write(x->ctx, &plan, path));
    qv_plan_free(&plan);
    qv_study_free(s);
}

/* Records whose outcome is known: the larger the weight of a cell, the better, and just as the claim has it. The first
 * speaker is tested on three of the four classes. */
static void plant(qv_toy_study *x, const char *out, double gain)
{
    planted right;
    for (size_t f = 0; f < 8; f++)
        for (size_t k = 0; k < 4; k++) {
            right[f][0][k] = 60 + (3 * f) % 7;
            right[f][1][k] = right[f][0][k] + (size_t)(gain * 100) + f % 3;
        }
    plant_counts(x, out, right, 3);
}

/* What is tested stands in report.csv: the mean of the speakers is that of the cell. */
static void assert_speakers(qv_toy_study *x, const char *out)
{
    qv_findings f;
    char *csv = qv_toy_study_file(x, out, "report.csv");
    qv_toy_study_findings(x, &f, out);
    const qv_cell_result *c = qv_result_cell(&f.results, 0, 0);
    size_t rows = 0;
    double ua = 0, gap = 0;
    for (const char *at = csv; (at = strstr(at, "\nspeaker,made,width=2,,,")); at++, rows++) {
        double train, own, less;
        char end[12] = "", want[12];
        assert_int_equal(sscanf(at, "\nspeaker,made,width=2,,,%lf,%lf,,,%lf,%*[,]%11s", &train, &own, &less, end), 4);
        snprintf(want, sizeof want, "s%02zu,s%02zu,", rows + 1, rows + 1);
        assert_string_equal(end, want);
        assert_true(fabs(less - 100 * (train - own)) < 1e-9);
        ua += own / 8, gap += less / 8;
    }
    assert_int_equal(rows, 8);
    assert_true(fabs(ua - c->mean_ua) < 1e-12 && fabs(gap - c->mean_gap) < 1e-9);
    qv_findings_free(&f);
    free(csv);
}

/* What the figures of blocks draw, a row a block; a block without normalization before the shake has no scale. */
static void blocks_stand_in_the_table(void **state)
{
    qv_toy_study *x = *state;
    qv_assert_ok(x->ctx, qv_toy_study_run(x, "blocks", ""));
    qv_findings f;
    qv_toy_study_findings(x, &f, "blocks");
    char *csv = qv_toy_study_file(x, "blocks", "report.csv");
    const char *at = strstr(csv, "\nblock,made,");
    size_t scaled = 0;
    for (size_t k = 0; k < f.results.study->n_cells; k++) {
        const qv_profile *p = qv_result_cell(&f.results, 0, k)->profiles;
        scaled += p[QV_PROFILE_SCALES].n > 0;
        assert_int_equal(p[QV_PROFILE_MOVED].n, 3);
        for (size_t i = 0; i < 3; i++) {
            qv_buf begin = {0}, end = {0};
            qv_buf_printf(&begin, "\nblock,made,%s,,", f.results.study->cells[k].name);
            qv_buf_puts(&end, ",");
            for (int kind = 0; kind < QV_PROFILES; kind++) {
                if (p[kind].n) qv_buf_real(&end, p[kind].mean[i]);
                qv_buf_puts(&end, ",");
            }
            qv_buf_printf(&end, ",,%s\n", p[QV_PROFILE_MOVED].layers[i]);
            const size_t line = strcspn(at + 1, "\n") + 2;
            assert_memory_equal(at, begin.data, begin.len);
            assert_memory_equal(at + line - end.len, end.data, end.len);
            at += line - 1;
            qv_buf_free(&begin);
            qv_buf_free(&end);
        }
    }
    assert_string_equal(at, "\n");
    assert_true(scaled > 0 && scaled < f.results.study->n_cells);
    qv_findings_free(&f);
    free(csv);
}

/* Of corpora with unlike numbers of folds, and never more than Holm's correction makes of the best. */
static void the_smallest_p_is_that_of_holm(void **state)
{
    enum { MOST_CORPORA = 3, EACH = 2 };
    static const size_t folds[][MOST_CORPORA] = {{24, 5, 5}, {4, 9, 6}, {10, 10, 10}, {5, 6, 7}, {2, 40, 3}};
    qv_toy_study *x = *state;
    const qv_study s = {.n_comparisons = EACH};
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        qv_plan_corpus corpora[MOST_CORPORA] = {0};
        const qv_plan plan = {.corpora = corpora, .n_corpora = MOST_CORPORA};
        double p[MOST_CORPORA * EACH], adjusted[MOST_CORPORA * EACH];
        for (size_t k = 0; k < MOST_CORPORA; k++) {
            corpora[k].n_folds = folds[i][k];
            for (size_t j = 0; j < EACH; j++) p[EACH * k + j] = qv_flip_smallest(folds[i][k]);
        }
        qv_assert_ok(x->ctx, qv_holm(x->ctx, p, adjusted, MOST_CORPORA * EACH));
        for (size_t k = 0; k < MOST_CORPORA; k++) assert_true(qv_plan_smallest_p(&s, &plan, k) == adjusted[EACH * k]);
    }
}

static const char two_widths[] = "[study]\nquestion = Is <b> better?\n[corpus made]\nembedded = 8 1\nfolds = speaker\n"
                                 "[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\nnet.width = 2\n"
                                 "train.batch = 4\ntrain.epochs = 1\n[axis width]\nsetting = net.width\n"
                                 "values = 2, 3\n[compare wide]\ndifference = width=3 - width=2\n";

/* Of all ways to turn the signs of eight whole numbers, the share whose sum is that of all, or more. */
static double share_of_counts(const int gains[8])
{
    int seen = 0, hits = 0;
    for (int i = 0; i < 8; i++) seen += gains[i];
    for (int flip = 0; flip < 256; flip++) {
        int sum = 0;
        for (int i = 0; i < 8; i++) sum += flip >> i & 1 ? -gains[i] : gains[i];
        hits += sum >= seen;
    }
    return hits / 256.0;
}

/* Gains are whole recordings: what ties in them must tie in the differences of means that a study makes of them. */
static void small_gains_are_those_of_whole_recordings(void **state)
{
    enum { ROUNDS = 40 };
    qv_toy_study *x = *state;
    uint64_t random = qv_test_seed();
    qv_toy_study_run_text(x, "small", two_widths);
    for (int round = 0; round < ROUNDS; round++) {
        const bool same = round == 0; /* each speaker one recording better */
        planted right;
        int gains[8] = {0};
        for (size_t i = 0; i < 32; i++) {
            const size_t f = i / 4, k = i % 4, gain = same ? k == f % 4 : qv_test_next(&random) % 4;
            right[f][0][k] = 90 + qv_test_next(&random) % 7;
            right[f][1][k] = right[f][0][k] + gain - !same;
            gains[f] += (int)gain - !same;
        }
        plant_counts(x, "small", right, 4);
        qv_findings f;
        qv_toy_study_findings(x, &f, "small");
        const qv_comparison_result *c = &f.results.comparisons[0];
        const double p = share_of_counts(gains);
        if (c->ua.flip.p != p || c->gap.flip.p != p)
            print_error("round %d: p %g and %g, of the counts %g\n", round, c->ua.flip.p, c->gap.flip.p, p);
        assert_true(c->ua.flip.p == p && c->ua.alone.p == p && c->gap.flip.p == p && c->gap.alone.p == p);
        assert_int_equal(c->ua.t.sd == 0 && isnan(c->ua.t.dz), same);
        assert_int_equal(c->gap.t.sd == 0 && isnan(c->gap.t.dz), same);
        qv_findings_free(&f);
    }
}

static void the_verdict_follows_the_numbers(void **state)
{
    static const struct {
        double gain;
        const char *answer;
    } cases[] = {
        {0.2, "Yes: with 8 speakers of made, 1 seed, the one comparison that the claim needs shows a higher "
              "accuracy and a smaller gap, significant at 0.05 after Holm&#39;s correction. wide: UA +20.9 points, "
              "gap -20.9 points, corrected p = 0.0039."},
        {0, "Not shown: with 8 speakers of made, 1 seed, the one comparison that the claim needs does not show a "
            "higher accuracy"}};
    qv_toy_study *x = *state;
    for (size_t i = 0; i < 2; i++) {
        qv_study *s;
        char name[16];
        snprintf(name, sizeof name, "verdict%zu", i);
        qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", two_widths));
        x->o.out = qv_toy_study_folder(x, name);
        qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
        qv_study_free(s);
        plant(x, name, cases[i].gain - (i == 1 ? 0.01 : 0));
        qv_assert_ok(x->ctx, qv_study_report(x->ctx, qv_toy_study_folder(x, name), NULL, NULL));
        char *page = qv_toy_study_file(x, name, "report.html");
        qv_test_says(page, cases[i].answer);
        qv_test_says(page, "Is &lt;b&gt; better?");
        qv_test_says(page, "1 of the 8 speakers of corpus made has not all 4 classes");
        assert_speakers(x, name);
        free(page);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p_is_on_its_side),
        cmocka_unit_test_setup_teardown(equal_cells_are_no_difference, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_an_error, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(an_unfinished_study_has_no_verdict, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(early_looks_test_nothing, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(speakers_are_less_than_themselves, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(other_makers_are_told_of, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_part_of_a_seed_is_not_averaged, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_study_without_runs_has_a_page, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(gamma0_is_drawn, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(embeddings_are_measured_and_drawn, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(a_fold_without_a_class_empties_no_symmetry, qv_toy_study_setup,
                                        qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(blocks_stand_in_the_table, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(the_smallest_p_is_that_of_holm, qv_toy_study_setup, qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(small_gains_are_those_of_whole_recordings, qv_toy_study_setup,
                                        qv_toy_study_teardown),
        cmocka_unit_test_setup_teardown(the_verdict_follows_the_numbers, qv_toy_study_setup, qv_toy_study_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
