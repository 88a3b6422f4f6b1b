/* What the records of a study say: cells, comparisons, verdict. UA in 0..1, gaps in points. */
#ifndef QV_STUDY_STUDY_RESULTS_H
#define QV_STUDY_STUDY_RESULTS_H

#include "study/stats.h"
#include "study/study_records.h"

/* Over seeds, each the mean over its folds: with the 95 % interval of Student's t, NaN for fewer than two seeds. */
typedef struct qv_seed_mean {
    double mean, low, high;
} qv_seed_mean;

/* A number a layer, over the runs of a cell. */
typedef struct qv_profile {
    char **layers;             /* [n] */
    double *mean, *low, *high; /* of the runs: mean, smallest and largest */
    size_t n, runs;            /* layers; records that have it */
} qv_profile;

/* One cell on one corpus. A speaker's figures are means over the seeds that are there. */
typedef struct qv_cell_result {
    size_t runs;              /* records that are there, of trainings that did not fail */
    size_t failed;            /* of those that did; nothing below looks at them */
    size_t speakers;          /* with figures */
    double *ua, *gap, *train; /* [speakers of the corpus]; NaN: no record yet. gap: UA of the training recordings of the
                                 fold that holds the speaker out, less the speaker's own, in points */
    double mean_ua, mean_gap, mean_train, mean_wa;
    double even_ua, even_gap; /* with batch norm's statistics taken anew: means over all tests of a speaker; NaN: none */
    qv_interval ua_interval, gap_interval;
    double seed_sd;                /* of the mean UA over seeds with all folds; NaN for fewer than two */
    double *curve[QV_RUN_COLUMNS]; /* [n_curve] means over all runs; NaN where one has none */
    size_t n_curve;
    qv_profile profiles[QV_PROFILES];
    size_t dims; /* of the embedding */
    qv_seed_mean symmetry[2][QV_SYMMETRY_MEASURES]; /* of training and test recordings, over the runs that have it */
    size_t measured[2][QV_SYMMETRY_MEASURES];       /* so many: where recordings lack a class, most measures are none */
    qv_record_shape shape[2];    /* those of the first run, to be drawn */
    double seconds;              /* of one run, mean */
    int least_epoch, most_epoch; /* whose weights were taken */
    bool validated;              /* a run had validation recordings to choose it by */
} qv_cell_result;

typedef struct qv_measure_result {
    double mean;          /* the difference as it stands: above 0 is a higher UA, a larger gap */
    qv_interval interval; /* of it */
    qv_t_test t;          /* of the improvement, as all below */
    qv_flip_test flip;    /* whole folds: the verdict's; p is NaN, the rest 0, where it is not time for one */
    qv_flip_test alone;   /* speakers one by one; the same */
    double corrected;     /* p of the corrected resampled t-test over folds */
} qv_measure_result;

typedef struct qv_comparison_result {
    size_t corpus, comparison;
    size_t speakers;
    bool complete; /* all runs of the study are there */
    size_t failed; /* of those of its cells; where there are any, what the others give has no p */
    qv_measure_result ua, gap;
    double p;        /* the larger of those expected; NaN until complete, and where runs failed */
    double adjusted; /* Holm over all comparisons and corpora; NaN until the study is complete */
    double smallest; /* adjusted p that this n can give at best */
    bool significant;
    double *d_ua, *d_gap; /* [speakers of the corpus] for pictures and tables */
} qv_comparison_result;

typedef enum qv_verdict {
    QV_INTERIM,
    QV_NO_COMPARISON,
    QV_UNTRAINED, /* runs that the claim needs failed */
    QV_TOO_FEW,
    QV_CLAIM_HOLDS,
    QV_CLAIM_FAILS
} qv_verdict;

typedef struct qv_maker_count {
    char *text; /* program, instruction set, library */
    size_t records;
    bool *made; /* [corpora][cells] a run of */
} qv_maker_count;

typedef struct qv_results {
    const qv_study *study;
    const qv_plan *plan;
    size_t *n_speakers;                /* [corpora] of the plan; of whom figures are: qv_results_heard */
    char ***speakers;                  /* [corpora][n_speakers] names, borrowed from the plan */
    int **fold_of;                     /* [corpora][n_speakers] */
    int **classes_of;                  /* [corpora][n_speakers] that the speaker is tested on; 0: in no record */
    qv_cell_result *cells;             /* [corpora][cells] */
    qv_comparison_result *comparisons; /* [corpora][comparisons] */
    size_t n_comparisons;
    size_t runs, planned;
    size_t failed; /* of the runs, those whose training failed */
    size_t reused; /* of the runs, those that were trained for another study */
    qv_verdict verdict;
    size_t claimed, upheld; /* comparisons that the claim needs, and of them those significant */
    qv_maker_count *makers;
    size_t n_makers, cap_makers;
    uint64_t digest; /* XXH3 over all results, in the plan's order: equal digests are equal records */
} qv_results;

/* Reads every record of the plan below OUT: cells, runs, makers. qv_results_compare concludes from them. */
qv_status qv_results_gather(qv_ctx *ctx, qv_results *r, const qv_study *s, const qv_plan *p, const char *out);
void qv_results_free(qv_results *r);

static inline const qv_cell_result *qv_result_cell(const qv_results *r, size_t corpus, size_t cell)
{
    return &r->cells[corpus * r->study->n_cells + cell];
}

/* NULL where the study names none. */
static inline const qv_cell_result *qv_result_baseline(const qv_results *r, size_t corpus)
{
    return r->study->baseline < 0 ? NULL : qv_result_cell(r, corpus, (size_t)r->study->baseline);
}

/* Of the measures of symmetry that any run has (part: 0 training, 1 test), the runs that have the rarest. */
size_t qv_cell_measured(const qv_cell_result *c, int part);

/* UA (0..1) and gap (points) of a cell less the baseline's, over the speakers who have figures of both; NaN where there
 * are none, the study names no baseline, the cell is it, or runs of either failed. */
typedef struct qv_less_baseline {
    double ua, gap;
} qv_less_baseline;
qv_less_baseline qv_result_less_baseline(const qv_results *r, size_t corpus, size_t cell);

/* Whether some of the compared cells have runs by programs or machines by which others have none: their difference may
 * be that of these, too. */
bool qv_results_mixed(const qv_results *r, const qv_comparison_result *c);

/* Test speakers of the corpus that have figures, or will have: not those none of whose recordings could be read, nor,
 * once all runs are in, those whose runs all failed. */
size_t qv_results_heard(const qv_results *r, size_t corpus);

/* Whether any run on the corpus is there, any comparison has a difference, any run has measured an embedding. */
bool qv_results_begun(const qv_results *r, size_t corpus);
bool qv_results_compared(const qv_results *r, size_t corpus);
bool qv_results_embedded(const qv_results *r, size_t corpus);

#endif
