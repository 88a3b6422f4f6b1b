/* From records to the figures of cells. */
#include "study/study_results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- sums over records ---- */

/* Beside the results: what only counts until all records are read. */
typedef struct gathering {
    qv_results *r;
    double *seed_sum;   /* [corpora][cells][seeds] of the speakers' UA */
    size_t *seed_n;     /* the same: speakers */
    size_t *seed_folds; /* the same: folds that are in */
    size_t **speaker_n; /* [corpora][cells] -> [speakers] seeds */
    size_t *even_n;     /* [corpora][cells] */
    double *shape_sum;  /* [corpora][cells][seeds][2][measures] */
    size_t *shape_n;    /* the same: folds that have the measure */
    XXH3_state_t *digest;
} gathering;

/* Of a speaker whom the fold tests. */
static size_t speaker_index(const qv_results *r, size_t corpus, size_t fold, const char *name)
{
    size_t i = 0;
    while (i < r->n_speakers[corpus] &&
           !(r->fold_of[corpus][i] == (int)fold && strcmp(r->speakers[corpus][i], name) == 0))
        i++;
    return i;
}

static qv_status count_maker(qv_ctx *ctx, qv_results *r, const qv_study_record *record, size_t at)
{
    qv_status status = QV_OK;
    qv_buf b = {0};
    qv_buf_printf(&b, "Quaver %s, program %s, %s, %s, %s", record->version, record->program, record->device,
                  record->isa, record->libraries);
    QV_TRY(qv_buf_check(ctx, &b));
    size_t i = 0;
    while (i < r->n_makers && strcmp(r->makers[i].text, b.data) != 0) i++;
    if (i == r->n_makers) {
        QV_TRY(qv_grow(ctx, &r->makers, &r->cap_makers, r->n_makers + 1, sizeof *r->makers));
        r->makers[r->n_makers++] = (qv_maker_count){0};
        QV_TRY(qv_strdup(ctx, &r->makers[i].text, b.data));
        QV_TRY(qv_alloc(ctx, &r->makers[i].made, r->plan->n_corpora * r->study->n_cells, sizeof(bool)));
    }
    r->makers[i].records++;
    r->makers[i].made[at] = true;
done:
    qv_buf_free(&b);
    return status;
}

/* Runs of a cell were evaluated after the same epochs; where one was not, the mean has a hole. */
static qv_status add_curve(qv_ctx *ctx, qv_cell_result *c, const qv_study_record *r)
{
    qv_status status = QV_OK;
    if (c->runs == 0) {
        c->n_curve = r->n_curve;
        for (size_t k = 0; k < QV_RUN_COLUMNS; k++) {
            QV_TRY(qv_alloc(ctx, &c->curve[k], r->n_curve, sizeof(double)));
            memcpy(c->curve[k], r->curve[k], r->n_curve * sizeof(double));
        }
        goto done;
    }
    for (size_t i = 0; i < c->n_curve; i++) {
        bool same = i < r->n_curve && r->curve[QV_RUN_EPOCH][i] == c->curve[QV_RUN_EPOCH][i];
        for (size_t k = QV_RUN_LOSS; k < QV_RUN_COLUMNS; k++) c->curve[k][i] += same ? r->curve[k][i] : NAN;
    }
done:
    return status;
}

static qv_status add_profile(qv_ctx *ctx, qv_profile *p, const qv_record_profile *from)
{
    qv_status status = QV_OK;
    if (from->n == 0) goto done; /* nothing of the kind in this network, or a record of an earlier program */
    if (p->runs == 0) {
        QV_TRY(qv_alloc(ctx, &p->layers, from->n, sizeof *p->layers));
        QV_TRY(qv_alloc(ctx, &p->mean, from->n, sizeof *p->mean));
        QV_TRY(qv_alloc(ctx, &p->low, from->n, sizeof *p->low));
        QV_TRY(qv_alloc(ctx, &p->high, from->n, sizeof *p->high));
        for (size_t i = 0; i < from->n; i++) {
            QV_TRY(qv_strdup(ctx, &p->layers[i], from->layers[i]));
            p->low[i] = INFINITY;
            p->n++;
        }
    }
    for (size_t i = 0; i < p->n && i < from->n; i++) {
        p->mean[i] += from->mean[i];
        p->low[i] = fmin(p->low[i], from->mean[i]);
        p->high[i] = fmax(p->high[i], from->mean[i]);
    }
    p->runs++;
done:
    return status;
}

static int classes_tested(const qv_record_speaker *s, int classes)
{
    int n = 0;
    for (int i = 0; i < classes; i++) {
        bool any = false;
        for (int k = 0; k < classes; k++) any = any || s->confusion[i * classes + k] > 0;
        n += any;
    }
    return n;
}

static void add_speakers(gathering *g, const qv_study_record *r, const qv_run_id *run, size_t at, size_t of_seed)
{
    qv_cell_result *c = &g->r->cells[at];
    for (size_t i = 0; i < r->running.n_speakers; i++) {
        const qv_record_speaker *s = &r->running.speakers[i];
        size_t k = speaker_index(g->r, run->corpus, run->fold, s->name);
        g->r->classes_of[run->corpus][k] = classes_tested(s, r->n_classes);
        c->ua[k] += s->ua;
        c->train[k] += r->running.train.ua;
        c->gap[k] += 100 * (r->running.train.ua - s->ua);
        c->mean_wa += s->wa;
        g->speaker_n[at][k]++;
        g->seed_sum[of_seed] += s->ua;
        g->seed_n[of_seed]++;
    }
    for (size_t i = 0; i < r->even.n_speakers; i++, g->even_n[at]++) {
        c->even_ua += r->even.speakers[i].ua;
        c->even_gap += 100 * (r->even.train.ua - r->even.speakers[i].ua);
    }
}

static qv_status copy_points(qv_ctx *ctx, qv_record_shape *to, const qv_record_shape *from)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &to->points, from->n_points, 2 * sizeof *to->points));
    QV_TRY(qv_alloc(ctx, &to->labels, from->n_points, sizeof *to->labels));
    if (from->n_points) memcpy(to->points, from->points, from->n_points * 2 * sizeof *to->points);
    if (from->n_points) memcpy(to->labels, from->labels, from->n_points * sizeof *to->labels);
    to->n_points = from->n_points;
done:
    return status;
}

static size_t shape_at(size_t of_seed, size_t part, size_t measure)
{
    return (of_seed * 2 + part) * QV_SYMMETRY_MEASURES + measure;
}

static qv_status add_shape(qv_ctx *ctx, gathering *g, const qv_study_record *r, size_t at, size_t of_seed)
{
    qv_cell_result *c = &g->r->cells[at];
    qv_status status = QV_OK;
    if (r->dims == 0) return QV_OK;
    for (int part = 0; part < 2; part++) {
        qv_symmetry s = r->shape[part].symmetry;
        for (int k = 0; k < QV_SYMMETRY_MEASURES; k++) {
            const size_t to = shape_at(of_seed, (size_t)part, (size_t)k);
            const double x = *qv_symmetry_at(&s, k);
            if (!isfinite(x)) continue;
            g->shape_sum[to] += x;
            g->shape_n[to]++;
            c->measured[part][k]++;
        }
        if (c->runs == 0) QV_TRY(copy_points(ctx, &c->shape[part], &r->shape[part]));
    }
    c->dims = r->dims;
done:
    return status;
}

static qv_status add_record(qv_ctx *ctx, void *user, const qv_study_record *r, const qv_run_id *run)
{
    gathering *g = user;
    size_t at = run->corpus * g->r->study->n_cells + run->cell;
    size_t of_seed = at * (size_t)g->r->plan->seeds + (size_t)(run->seed - g->r->study->first_seed);
    qv_cell_result *c = &g->r->cells[at];
    qv_status status = QV_OK;
    g->r->planned++;
    if (!r) return QV_OK;
    QV_TRY(count_maker(ctx, g->r, r, at));
    XXH3_64bits_update(g->digest, r->check, strlen(r->check));
    g->r->runs++;
    g->r->reused += r->reused != NULL;
    if (r->failed) {
        g->r->failed++;
        c->failed++;
        return QV_OK;
    }
    QV_TRY(add_curve(ctx, c, r));
    for (int k = 0; k < QV_PROFILES; k++) QV_TRY(add_profile(ctx, &c->profiles[k], &r->profiles[k]));
    QV_TRY(add_shape(ctx, g, r, at, of_seed));
    add_speakers(g, r, run, at, of_seed);
    g->seed_folds[of_seed]++;
    if (c->runs == 0 || r->epoch < c->least_epoch) c->least_epoch = r->epoch;
    if (c->runs == 0 || r->epoch > c->most_epoch) c->most_epoch = r->epoch;
    c->validated = c->validated || r->running.val.n > 0;
    c->seconds += r->seconds;
    c->runs++;
done:
    return status;
}

/* ---- means ---- */

/* Over the seeds of which every fold is there; x: room for a value a seed. */
static double deviation_of_seeds(const gathering *g, size_t corpus, size_t at, double *x)
{
    size_t n = 0, seeds = (size_t)g->r->plan->seeds;
    for (size_t of = at * seeds; of < (at + 1) * seeds; of++)
        if (g->seed_folds[of] == g->r->plan->corpora[corpus].n_folds) x[n++] = g->seed_sum[of] / (double)g->seed_n[of];
    return n < 2 ? NAN : qv_t_paired(x, n, 0).sd;
}

/* Over the seeds that have the measure in as many folds as any has: few folds of a seed differ from all of another not
 * by the seed alone. Cut to what the measure can be: lengths and angles are not negative, and `centre` is a share. */
static qv_seed_mean over_seeds(const gathering *g, size_t at, size_t part, size_t measure, double *x)
{
    size_t seeds = (size_t)g->r->plan->seeds, n = 0, most = 1;
    for (size_t of = at * seeds; of < (at + 1) * seeds; of++)
        if (g->shape_n[shape_at(of, part, measure)] > most) most = g->shape_n[shape_at(of, part, measure)];
    for (size_t of = at * seeds; of < (at + 1) * seeds; of++) {
        const size_t from = shape_at(of, part, measure);
        if (g->shape_n[from] == most) x[n++] = g->shape_sum[from] / (double)most;
    }
    qv_t_test t = qv_t_paired(x, n, 0);
    qv_seed_mean m = {t.mean, NAN, NAN};
    if (n < 2 || isnan(t.mean)) return m;
    double half = qv_t_quantile_above(0.025, (double)(n - 1)) * t.sd / sqrt((double)n);
    const qv_symmetry_range *range = &qv_symmetry_ranges[measure];
    m.low = fmax(range->low, m.mean - half), m.high = fmin(range->high, m.mean + half);
    return m;
}

/* What only all seeds together say. */
static qv_status finish_seeds(qv_ctx *ctx, const gathering *g, size_t corpus, size_t at)
{
    qv_cell_result *c = &g->r->cells[at];
    double *x;
    qv_status status = qv_alloc(ctx, &x, (size_t)g->r->plan->seeds, sizeof *x);
    if (status != QV_OK) return status;
    c->seed_sd = deviation_of_seeds(g, corpus, at, x);
    for (size_t part = 0; part < 2; part++)
        for (size_t k = 0; k < QV_SYMMETRY_MEASURES; k++) c->symmetry[part][k] = over_seeds(g, at, part, k, x);
    free(x);
    return QV_OK;
}

static qv_status finish_intervals(qv_ctx *ctx, qv_cell_result *c, size_t speakers)
{
    qv_status status = QV_OK;
    double *x = NULL;
    QV_TRY(qv_alloc(ctx, &x, speakers, sizeof *x));
    for (int gap = 0; gap < 2; gap++) {
        const double *from = gap ? c->gap : c->ua;
        size_t n = 0;
        for (size_t k = 0; k < speakers; k++)
            if (!isnan(from[k])) x[n++] = from[k];
        QV_TRY(qv_interval_mean(ctx, gap ? &c->gap_interval : &c->ua_interval, x, n, 0, 1, QV_INTERVAL_DRAWS));
    }
done:
    free(x);
    return status;
}

static qv_status finish_cell(qv_ctx *ctx, gathering *g, size_t corpus, size_t at)
{
    qv_cell_result *c = &g->r->cells[at];
    size_t answers = 0;
    for (size_t k = 0; k < g->r->n_speakers[corpus]; k++) {
        double n = (double)g->speaker_n[at][k];
        answers += g->speaker_n[at][k];
        c->ua[k] = n > 0 ? c->ua[k] / n : NAN;
        c->gap[k] = n > 0 ? c->gap[k] / n : NAN;
        c->train[k] = n > 0 ? c->train[k] / n : NAN;
        if (n == 0) continue;
        c->speakers++;
        c->mean_ua += c->ua[k];
        c->mean_gap += c->gap[k];
        c->mean_train += c->train[k];
    }
    double speakers = c->speakers ? (double)c->speakers : NAN, runs = c->runs ? (double)c->runs : NAN;
    c->mean_ua /= speakers;
    c->mean_gap /= speakers;
    c->mean_train /= speakers;
    c->mean_wa /= answers ? (double)answers : NAN;
    c->even_ua /= g->even_n[at] ? (double)g->even_n[at] : NAN;
    c->even_gap /= g->even_n[at] ? (double)g->even_n[at] : NAN;
    c->seconds /= runs;
    for (size_t i = 0; i < c->n_curve; i++)
        for (size_t k = QV_RUN_LOSS; k < QV_RUN_COLUMNS; k++) c->curve[k][i] /= runs;
    for (int k = 0; k < QV_PROFILES; k++)
        for (size_t i = 0; i < c->profiles[k].n; i++) c->profiles[k].mean[i] /= (double)c->profiles[k].runs;
    qv_status status = finish_seeds(ctx, g, corpus, at);
    return status != QV_OK ? status : finish_intervals(ctx, c, g->r->n_speakers[corpus]);
}

/* ---- memory ---- */

static qv_status list_speakers(qv_ctx *ctx, qv_results *r, size_t corpus)
{
    const qv_plan_corpus *c = &r->plan->corpora[corpus];
    qv_status status = QV_OK;
    size_t n = 0;
    for (size_t f = 0; f < c->n_folds; f++) n += c->folds[f].n_speakers;
    QV_TRY(qv_alloc(ctx, &r->speakers[corpus], n, sizeof(char *)));
    QV_TRY(qv_alloc(ctx, &r->fold_of[corpus], n, sizeof(int)));
    QV_TRY(qv_alloc(ctx, &r->classes_of[corpus], n, sizeof(int)));
    for (size_t f = 0; f < c->n_folds; f++)
        for (size_t k = 0; k < c->folds[f].n_speakers; k++) {
            r->speakers[corpus][r->n_speakers[corpus]] = c->folds[f].speakers[k];
            r->fold_of[corpus][r->n_speakers[corpus]++] = (int)f;
        }
done:
    return status;
}

static qv_status make_room(qv_ctx *ctx, gathering *g)
{
    qv_results *r = g->r;
    size_t corpora = r->plan->n_corpora, cells = r->study->n_cells, seeds = (size_t)r->plan->seeds;
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &r->n_speakers, corpora, sizeof *r->n_speakers));
    QV_TRY(qv_alloc(ctx, &r->speakers, corpora, sizeof *r->speakers));
    QV_TRY(qv_alloc(ctx, &r->fold_of, corpora, sizeof *r->fold_of));
    QV_TRY(qv_alloc(ctx, &r->classes_of, corpora, sizeof *r->classes_of));
    QV_TRY(qv_alloc(ctx, &r->cells, corpora * cells, sizeof *r->cells));
    QV_TRY(qv_alloc(ctx, &g->seed_sum, corpora * cells * seeds, sizeof *g->seed_sum));
    QV_TRY(qv_alloc(ctx, &g->seed_n, corpora * cells * seeds, sizeof *g->seed_n));
    QV_TRY(qv_alloc(ctx, &g->seed_folds, corpora * cells * seeds, sizeof *g->seed_folds));
    QV_TRY(qv_alloc(ctx, &g->speaker_n, corpora * cells, sizeof *g->speaker_n));
    QV_TRY(qv_alloc(ctx, &g->even_n, corpora * cells, sizeof *g->even_n));
    QV_TRY(qv_alloc(ctx, &g->shape_sum, corpora * cells * seeds, 2 * QV_SYMMETRY_MEASURES * sizeof *g->shape_sum));
    QV_TRY(qv_alloc(ctx, &g->shape_n, corpora * cells * seeds, 2 * QV_SYMMETRY_MEASURES * sizeof *g->shape_n));
    for (size_t i = 0; i < corpora; i++) QV_TRY(list_speakers(ctx, r, i));
    for (size_t i = 0; i < corpora * cells; i++) {
        size_t n = r->n_speakers[i / cells];
        QV_TRY(qv_alloc(ctx, &r->cells[i].ua, n, sizeof(double)));
        QV_TRY(qv_alloc(ctx, &r->cells[i].gap, n, sizeof(double)));
        QV_TRY(qv_alloc(ctx, &r->cells[i].train, n, sizeof(double)));
        QV_TRY(qv_alloc(ctx, &g->speaker_n[i], n, sizeof(size_t)));
    }
    g->digest = XXH3_createState();
    if (!g->digest) status = qv_fail(ctx, QV_ERR_MEMORY, "no memory for a hash");
    if (g->digest) XXH3_64bits_reset(g->digest);
done:
    return status;
}

static void free_gathering(gathering *g)
{
    size_t n = g->r->plan->n_corpora * g->r->study->n_cells;
    for (size_t i = 0; g->speaker_n && i < n; i++) free(g->speaker_n[i]);
    free(g->speaker_n);
    free(g->even_n);
    free(g->shape_sum);
    free(g->shape_n);
    free(g->seed_sum);
    free(g->seed_n);
    free(g->seed_folds);
    XXH3_freeState(g->digest);
}

qv_status qv_results_gather(qv_ctx *ctx, qv_results *r, const qv_study *s, const qv_plan *p, const char *out)
{
    qv_status status = QV_OK;
    gathering g = {.r = r};
    *r = (qv_results){.study = s, .plan = p};
    QV_TRY(make_room(ctx, &g));
    QV_TRY(qv_records_each(ctx, s, p, out, add_record, &g));
    for (size_t i = 0; i < p->n_corpora * s->n_cells; i++) QV_TRY(finish_cell(ctx, &g, i / s->n_cells, i));
    r->digest = XXH3_64bits_digest(g.digest);
done:
    free_gathering(&g);
    if (status != QV_OK) qv_results_free(r);
    return status;
}

size_t qv_cell_measured(const qv_cell_result *c, int part)
{
    size_t least = c->runs;
    for (int k = 0; k < QV_SYMMETRY_MEASURES; k++)
        if (c->measured[part][k] > 0 && c->measured[part][k] < least) least = c->measured[part][k];
    return least;
}

qv_less_baseline qv_result_less_baseline(const qv_results *r, size_t corpus, size_t cell)
{
    const qv_cell_result *c = qv_result_cell(r, corpus, cell), *base = qv_result_baseline(r, corpus);
    if (!base || base == c || base->failed || c->failed) return (qv_less_baseline){NAN, NAN};
    double ua = 0, gap = 0, n = 0;
    for (size_t k = 0; k < r->n_speakers[corpus]; k++) {
        if (isnan(c->ua[k]) || isnan(base->ua[k])) continue;
        ua += c->ua[k] - base->ua[k];
        gap += c->gap[k] - base->gap[k];
        n++;
    }
    return n > 0 ? (qv_less_baseline){ua / n, gap / n} : (qv_less_baseline){NAN, NAN};
}

bool qv_results_mixed(const qv_results *r, const qv_comparison_result *c)
{
    const double *weight = r->study->comparisons[c->comparison].weight;
    for (size_t i = 0; i < r->n_makers; i++) {
        const bool *made = r->makers[i].made + c->corpus * r->study->n_cells;
        bool some = false, all = true;
        for (size_t k = 0; k < r->study->n_cells; k++) {
            if (weight[k] == 0 || qv_result_cell(r, c->corpus, k)->runs == 0) continue;
            some = some || made[k];
            all = all && made[k];
        }
        if (some && !all) return true;
    }
    return false;
}

/* Whoever is in no record is not heard where others of the fold are: its runs know whom they could read. */
static bool is_heard(const qv_results *r, size_t corpus, size_t speaker)
{
    const int *classes = r->classes_of[corpus], *fold = r->fold_of[corpus];
    bool run = r->runs == r->planned;
    for (size_t k = 0; k < r->n_speakers[corpus] && !run; k++) run = fold[k] == fold[speaker] && classes[k] > 0;
    return classes[speaker] > 0 || !run;
}

size_t qv_results_heard(const qv_results *r, size_t corpus)
{
    size_t n = 0;
    for (size_t k = 0; k < r->n_speakers[corpus]; k++) n += is_heard(r, corpus, k);
    return n;
}

bool qv_results_begun(const qv_results *r, size_t corpus)
{
    for (size_t k = 0; k < r->study->n_cells; k++)
        if (qv_result_cell(r, corpus, k)->runs > 0) return true;
    return false;
}

bool qv_results_compared(const qv_results *r, size_t corpus)
{
    for (size_t i = 0; i < r->n_comparisons; i++)
        if (r->comparisons[i].corpus == corpus && !isnan(r->comparisons[i].ua.mean)) return true;
    return false;
}

bool qv_results_embedded(const qv_results *r, size_t corpus)
{
    for (size_t k = 0; k < r->study->n_cells; k++)
        if (qv_result_cell(r, corpus, k)->dims > 0) return true;
    return false;
}

static void free_profile(qv_profile *p)
{
    for (size_t i = 0; i < p->n; i++) free(p->layers[i]);
    free(p->layers);
    free(p->mean);
    free(p->low);
    free(p->high);
}

static void free_cell(qv_cell_result *c)
{
    for (size_t k = 0; k < QV_RUN_COLUMNS; k++) free(c->curve[k]);
    for (int k = 0; k < QV_PROFILES; k++) free_profile(&c->profiles[k]);
    for (int k = 0; k < 2; k++) {
        free(c->shape[k].points);
        free(c->shape[k].labels);
    }
    free(c->ua);
    free(c->gap);
    free(c->train);
}

void qv_results_free(qv_results *r)
{
    if (!r->plan) return;
    size_t corpora = r->plan->n_corpora;
    for (size_t i = 0; r->cells && i < corpora * r->study->n_cells; i++) free_cell(&r->cells[i]);
    for (size_t i = 0; i < r->n_comparisons; i++) {
        free(r->comparisons[i].d_ua);
        free(r->comparisons[i].d_gap);
    }
    for (size_t i = 0; r->fold_of && i < corpora; i++) free(r->fold_of[i]);
    for (size_t i = 0; r->classes_of && i < corpora; i++) free(r->classes_of[i]);
    for (size_t i = 0; r->speakers && i < corpora; i++) free(r->speakers[i]);
    for (size_t i = 0; i < r->n_makers; i++) {
        free(r->makers[i].text);
        free(r->makers[i].made);
    }
    free(r->makers);
    free(r->n_speakers);
    free(r->speakers);
    free(r->fold_of);
    free(r->classes_of);
    free(r->cells);
    free(r->comparisons);
    *r = (qv_results){0};
}
