/* A study as its file describes it: what is trained on what, and what is compared with what.
 *
 *   [study]            question, seeds (1), first_seed (1), alpha (0.05), baseline = CELL, claim = NAME NAME.. (all)
 *   [corpus NAME]      manifest = FILE or embedded = SPEAKERS SENTENCES, folds = as split.folds (speaker), labels
 *   [settings]         section.key = value: of every training
 *   [axis NAME]        setting = section.key and values = a, b, c; or a line a level: NAME = section.key=value, ..
 *   [cells CELL]       section.key = value: of the cells that match
 *   [compare NAME]     title, difference = CELL - CELL or (CELL - CELL) - (CELL - CELL), expect = ua gap (both)
 *
 * CELL is a list of levels, "LEVEL" or "AXIS=LEVEL", at most one an axis. A cell is one setting of all axes; settings
 * that differ only where it changes nothing (shake.gamma0 without normalization before the shake) are one cell, named
 * by the first of them without the axes that change nothing. */
#ifndef QV_STUDY_PLAN_H
#define QV_STUDY_PLAN_H

#include "base/buf.h"
#include "train/settings.h"

/* A corpus of the study. All text is owned. */
typedef struct qv_study_corpus {
    char *name;
    char *manifest; /* path as written; NULL where the corpus is the embedded one */
    char *folds, *labels;
    int speakers, sentences; /* of the embedded corpus; 0: none */
    int line;
} qv_study_corpus;

typedef struct qv_study_level {
    char *name;
    char *assignments; /* "section.key=value, section.key=value" */
    int line;
} qv_study_level;

typedef struct qv_study_axis {
    char *name;
    char *setting, *values; /* the short form, as written; NULL in the long one */
    qv_study_level *levels;
    size_t n, cap;
    int line;
} qv_study_axis;

/* A line of [settings] or [cells]. */
typedef struct qv_study_assignment {
    char *cells; /* NULL: all */
    char *key, *value;
    int line;
} qv_study_assignment;

typedef struct qv_study_cell {
    char *name;     /* its levels, those of axes without effect left out */
    char *file;     /* the same as a file name */
    int *level;     /* [axes], -1: without effect here */
    char *identity; /* settings off their defaults, "section.key = value" lines; those that change nothing and those of
                       corpus and seed are left out: equal text means equal trainings */
    qv_settings settings;
} qv_study_cell;

typedef struct qv_comparison {
    char *name, *title, *difference;
    bool ua, gap;   /* which of the two are expected to be better */
    bool claimed;   /* the study's claim needs it */
    double *weight; /* [cells], sum 0 */
    int line;
} qv_comparison;

typedef struct qv_study {
    char *path, *text; /* of the file, with what the command line gave */
    char *question, *baseline_text, *claim;
    int baseline_line, claim_line;
    int seeds;
    uint64_t first_seed;
    double alpha;
    qv_study_corpus *corpora;
    size_t n_corpora, cap_corpora;
    qv_study_axis *axes;
    size_t n_axes, cap_axes;
    qv_study_assignment *assignments;
    size_t n_assignments, cap_assignments;
    qv_comparison *comparisons;
    size_t n_comparisons, cap_comparisons;
    qv_study_cell *cells;
    size_t n_cells, cap_cells;
    int *cell_of; /* [product of the axes' levels], the last axis fastest */
    size_t n_combinations;
    int baseline; /* index into cells, -1: none */
} qv_study;

/* A setting of all trainings that the command line has; borrowed. */
typedef struct qv_study_given {
    const char *key, *value;
} qv_study_given;

/* Reads and resolves the file, with what is given in place of its own [settings] and [cells]; every error names file,
 * line and where one is near the name that was meant. */
qv_status qv_study_read(qv_ctx *ctx, qv_study **out, const char *path, const qv_study_given *given, size_t n);
/* The same from text. */
qv_status qv_study_parse(qv_ctx *ctx, qv_study **out, const char *path, const char *text);
void qv_study_free(qv_study *s);

/* Whether the level sets that key and nothing else. */
bool qv_study_sets_only(const qv_study_level *level, const char *key);

/* What may not change once a study is begun, a line each: question, corpora, cells with their settings, comparisons,
 * claim, alpha and first seed, but not the number of seeds. */
void qv_study_identity(const qv_study *s, qv_buf *out);

#endif
