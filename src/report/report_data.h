/* Inside the report: what is read from a run folder, and the parts of the page. */
#ifndef QV_REPORT_REPORT_DATA_H
#define QV_REPORT_REPORT_DATA_H

#include "report/report.h"

enum { QV_SUMMARY_FORMAT = 1, QV_SUMMARY_TEXTS = 23 };

/* The plain texts of a summary, each with the object of summary.json that holds it ("": the outermost). */
typedef struct qv_text_row {
    const char *group, *key;
    size_t offset;
} qv_text_row;
extern const qv_text_row qv_summary_texts[QV_SUMMARY_TEXTS];
char **qv_summary_text(const qv_summary *s, size_t row);

/* UA of a part, NaN where it is empty. */
double qv_part_ua(const qv_part_score *p);

/* Columns of results.csv that are drawn. */
enum { QV_EPOCH, QV_LOSS, QV_TRAIN_UA, QV_VAL_UA, QV_TEST_UA, QV_CURVE_COLUMNS };

/* Rows [begin, begin + n) of the columns, by rising epoch. */
typedef struct qv_curve {
    char *fold;
    size_t begin, n;
    bool finished; /* the summary has this fold */
} qv_curve;

typedef struct qv_run_data {
    const char *run;
    qv_summary summary;
    /* results.csv; 0 curves where there is none */
    qv_curve *curves;
    size_t n_curves, cap_curves;
    double *column[QV_CURVE_COLUMNS]; /* NaN: not evaluated */
    /* predictions.csv, part test */
    int *truth, *predicted, *speaker;
    size_t n;
    char **speakers; /* sorted by name */
    int n_speakers;
    bool disagrees; /* predictions.csv and summary.json count differently */
    char *config;   /* text of config.ini, or NULL */
} qv_run_data;

/* QV_ERR_USAGE: it is no folder. */
qv_status qv_run_is_folder(qv_ctx *ctx, const char *run);

/* Into a zeroed struct; release with qv_run_data_free, after a failure too. */
qv_status qv_run_data_read(qv_ctx *ctx, qv_run_data *d, const char *run);
void qv_run_data_free(qv_run_data *d);
qv_answers qv_run_answers(const qv_run_data *d);

/* The pictures, each one <figure>. */
qv_status qv_report_curves(qv_ctx *ctx, qv_buf *b, const qv_run_data *d);
void qv_report_confusion(qv_buf *b, const qv_run_data *d);
qv_status qv_report_speakers(qv_ctx *ctx, qv_buf *b, const qv_run_data *d);
/* A strip from 0 to 1: value, interval (NaN: none) and chance. */
void qv_report_strip(qv_buf *b, const char *id, const char *title, double value, double low, double high,
                     double chance);

/* The page round them. */
qv_status qv_report_page(qv_ctx *ctx, qv_buf *b, const qv_run_data *d);
extern const char qv_report_style[];

#endif
