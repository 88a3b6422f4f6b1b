/* Inside the runner: what a study's processes share. */
#ifndef QV_STUDY_STUDY_OWN_H
#define QV_STUDY_STUDY_OWN_H

#include "run/fold.h"
#include "study/study.h"

/* ---- data ---- */

/* Recordings as one cell takes them; cells with the same front end and the same validation share them. */
typedef struct qv_study_data {
    const qv_manifest *manifest; /* of the corpus */
    qv_features *features;
    qv_folds *folds;
    const qv_settings *made_for;
} qv_study_data;

typedef struct qv_study_corpora {
    qv_manifest **manifests; /* [corpora] */
    qv_study_data *data;     /* each once */
    size_t n_data, cap_data;
    size_t *of; /* [corpora][cells] index into data */
    size_t cells;
    qv_gpu_device *gpu; /* that all trainings share; NULL where none is asked for */
} qv_study_corpora;

/* Opens the GPU where cells train on one; reads manifests (making the embedded corpus below OUT), cuts folds, computes
 * features. Folds are the same for all cells of a corpus, and disjoint in speakers. */
qv_status qv_study_load(qv_ctx *ctx, qv_study_corpora *c, const qv_study *s, const qv_study_options *o);
void qv_study_unload(qv_study_corpora *c, const qv_study *s);
const qv_study_data *qv_study_data_of(const qv_study_corpora *c, size_t corpus, size_t cell);
/* What a run costs: training steps, and batches of windows that are evaluated. */
typedef struct qv_run_size {
    double steps, batches;
} qv_run_size;
qv_run_size qv_study_run_size(const qv_settings *s, const qv_study_data *d, const qv_fold *fold);
/* Trainings at a time, where nobody says: one a processor; on a GPU a few, since a small one does not fill it. */
int qv_study_threads(const qv_study_corpora *c, const qv_study_options *o);

/* ---- the plan as a file ---- */

typedef struct qv_plan_fold {
    char *name;
    char **speakers; /* tested */
    size_t n_speakers;
    size_t train, val, test; /* recordings */
    char *parts; /* XXH3 of who is on which side, validation counted as training, since how many of those who
                    would train validate is a setting of the cell, and what could not be read as on none; NULL: a plan
                    of an earlier program */
} qv_plan_fold;

typedef struct qv_plan_corpus {
    char *name, *manifest, *hash;
    char *content;              /* hash of the bytes of its files; NULL: an older program's plan does not say */
    size_t recordings, skipped; /* skipped: the most of any cell */
    char **classes;
    size_t n_classes;
    qv_plan_fold *folds;
    size_t n_folds;
} qv_plan_corpus;

/* Weights that trainings begin with. */
typedef struct qv_plan_start {
    char *file, *hash; /* as train.init_from has it; XXH3 of its content */
    size_t heard;      /* tested speakers with the names of those that the weights were trained on */
} qv_plan_start;

typedef struct qv_plan {
    int seeds;
    char *command;
    char *defaults; /* of the program's settings (qv_settings_defaults); NULL: a plan of an earlier program */
    qv_plan_corpus *corpora;
    size_t n_corpora;
    qv_plan_start *starts; /* each once */
    size_t n_starts;
} qv_plan;

qv_status qv_plan_make(qv_ctx *ctx, qv_plan *p, const qv_study *s, const qv_study_corpora *c, const char *command);
qv_status qv_plan_write(qv_ctx *ctx, const qv_plan *p, const char *out);
/* Settles the number of seeds of a plan that was made with those of the study: as asked (0: nobody did), and never
 * fewer than OUT's plan and records have, since what is taken away after looking is chosen; p's command says the number
 * where it is not the study file's. Fails also where OUT has records of other
 * manifests, folds, unread recordings or starting weights, or none yet but somebody who works on them (not `alone`). */
qv_status qv_plan_settle(qv_ctx *ctx, qv_plan *p, const qv_study *s, const char *out, int asked, bool alone);
/* QV_ERR_DATA names the first setting whose default differs: cells name what is off it, and are not the same then. */
qv_status qv_plan_same_defaults(qv_ctx *ctx, const qv_plan *a, const qv_plan *b, const char *name_a,
                                const char *name_b);
/* The same, and the first starting weights that differ, and the first corpus that differs in manifest, folds or what of
 * it could be read. */
qv_status qv_plan_same(qv_ctx *ctx, const qv_plan *a, const qv_plan *b, const char *name_a, const char *name_b);
/* Whether two folds of one manifest train on and test the same. */
bool qv_plan_same_fold(const qv_plan_fold *a, const qv_plan_fold *b);
bool qv_plan_same_content(const qv_plan_corpus *a, const qv_plan_corpus *b);
/* OUT/plan.json, checked against the study. */
qv_status qv_plan_read(qv_ctx *ctx, qv_plan *p, const qv_study *s, const char *out);
void qv_plan_free(qv_plan *p);

/* *begun: OUT has a study.ini; another study is refused by its first line that differs, and a run by its config.ini. */
qv_status qv_study_check_folder(qv_ctx *ctx, const qv_study *s, const char *out, bool *begun);
/* Makes OUT a folder of this study: the same, and study.ini where there is none. */
qv_status qv_study_claim_folder(qv_ctx *ctx, const qv_study *s, const char *out);
/* Refuses `now` where OUT was begun with another study, by the first line that differs. */
qv_status qv_study_same(qv_ctx *ctx, const char *out, const qv_study *then, const qv_study *now);
/* The study that OUT was begun with. */
qv_status qv_study_of_folder(qv_ctx *ctx, qv_study **s, const char *out);

/* ---- the plan's starting weights ---- */

/* Of a plan whose corpora are there. */
qv_status qv_plan_take_starts(qv_ctx *ctx, qv_plan *p, const qv_study *s);
void qv_plan_free_starts(qv_plan *p);
/* NULL without memory. */
struct json_t *qv_plan_starts_json(const qv_plan *p);
qv_status qv_plan_read_starts(qv_ctx *ctx, qv_plan *p, const struct json_t *list);
/* Whether `file`, a value of train.init_from, holds the same weights in both; so does none at all. */
bool qv_plan_same_start(const qv_plan *a, const qv_plan *b, const char *file);
/* QV_ERR_DATA names the first file that does not. */
qv_status qv_plan_same_starts(qv_ctx *ctx, const qv_plan *a, const qv_plan *b, const char *name_a, const char *name_b);

/* ---- locks ---- */

typedef struct qv_run_lock {
    int fd;
    char *path;
} qv_run_lock;

qv_status qv_run_lock_open(qv_ctx *ctx, qv_run_lock *l, const char *out);
void qv_run_lock_close(qv_run_lock *l);
/* Takes the byte of `name`: *taken is false where another process holds it. wait: until it does not. Threads of one
 * process are not kept apart. */
qv_status qv_run_lock_take(qv_ctx *ctx, qv_run_lock *l, const char *name, bool wait, bool *taken);
/* Takes it so that other processes can do the same, and none can take it alone; also where this process holds it
 * alone. Waits for one that does. */
qv_status qv_run_lock_share(qv_ctx *ctx, qv_run_lock *l, const char *name);
void qv_run_lock_leave(qv_run_lock *l, const char *name);

/* ---- threads ---- */

/* Runs fn(ctx, user, worker) in so many threads, each with a context of its own, which stop when `stop` goes up; the
 * calling thread calls watch(ctx, user) ten times a second until all have ended, and once more. What the threads warn
 * of is said through ctx, each text once. Returns the first failure, with its message in ctx. */
typedef struct qv_crew {
    int threads;
    qv_status (*fn)(qv_ctx *ctx, void *user, int worker);
    void (*watch)(qv_ctx *ctx, void *user);
    void *user;
    volatile int *stop;
} qv_crew;
qv_status qv_crew_run(qv_ctx *ctx, const qv_crew *c);

#endif
