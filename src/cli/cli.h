/* The subcommands. Each parses its words, calls the library and prints its result to standard
 * output; messages go through the context. argv[0] is the command's name. */
#ifndef QV_CLI_H
#define QV_CLI_H

#include <getopt.h>

#include "base/status.h"
#include "train/model.h"
#include "train/settings.h"

qv_status qv_cmd_corpus(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_train(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_eval(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_predict(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_study(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_export(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_stats(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_report(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_compare(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_import(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_doctor(qv_ctx *ctx, int argc, char **argv);
qv_status qv_cmd_selftest(qv_ctx *ctx, int argc, char **argv);

/* The commands' tables of options, for completion. */
const struct option *qv_cli_corpus_options(void);
const struct option *qv_cli_train_options(void);
const char *qv_cli_train_shorthand(size_t i); /* further options of train, without "--"; NULL past the last */
const struct option *qv_cli_eval_options(void);
const struct option *qv_cli_predict_options(void);
const struct option *qv_cli_study_options(void);
const struct option *qv_cli_selftest_options(void);
const struct option *qv_cli_stats_options(void);
const struct option *qv_cli_export_options(void);
const struct option *qv_cli_import_options(void);
const struct option *qv_cli_report_options(void);
const struct option *qv_cli_compare_options(void);
const struct option *qv_cli_doctor_options(void);

/* All commands, ended by a name that is NULL. */
typedef struct qv_command {
    const char *name, *help;
    qv_status (*run)(qv_ctx *ctx, int argc, char **argv);
    const struct option *(*options)(void);
} qv_command;
extern const qv_command qv_commands[];

/* `quaver help TOPIC`: the text of a topic, NULL where there is none; names of all, ended by NULL. */
const char *qv_topic_text(const char *name);
extern const char *const qv_topics[];

/* A shell's completion of all this: "bash" or "zsh". */
qv_status qv_cli_completion(qv_ctx *ctx, const char *shell, qv_buf *out);

/* Takes options of the form --section.key=value and --section.key value out of argv and sets them. */
qv_status qv_cli_overrides(qv_ctx *ctx, qv_settings *s, int *argc, char **argv);

/* Puts the value of an option that may be given several times behind those of before; *list is the caller's to free. */
qv_status qv_cli_append(qv_ctx *ctx, char **list, char separator, const char *value);

/* A device's name ("cuda:1": *gpu is the rest of the text, else NULL), a number of threads. */
qv_status qv_cli_device(qv_ctx *ctx, char *text, qv_device *out, char **gpu);
qv_status qv_cli_threads(qv_ctx *ctx, const char *text, int *out);

/* One object of JSON to standard output; takes root over. QV_ERR_DATA where that is NULL: a text was not UTF-8, or no
 * memory. */
struct json_t;
qv_status qv_cli_print_json(qv_ctx *ctx, struct json_t *root);
/* The name of a file that was written: the line, or {"file": ...}. */
qv_status qv_cli_print_path(qv_ctx *ctx, bool json, const char *path);

/* "quaver train ..." with quotes where a shell needs them. */
void qv_cli_quote(qv_buf *b, int argc, char **argv);

/* Refuses --cache DIR beside --no-cache. */
qv_status qv_cli_check_cache(qv_ctx *ctx, const char *dir, bool none);

/* The number that option `name` was given, from low to high. */
qv_status qv_cli_number(qv_ctx *ctx, const char *name, const char *text, double low, double high, double *out);
/* The same without a fraction. */
qv_status qv_cli_whole(qv_ctx *ctx, const char *name, const char *text, double low, double high, double *out);

/* The recordings of a manifest, or of several (manifests != NULL), or files and, of folders, those below that suit the
 * qv_feature_kind. */
struct qv_manifest;
qv_status qv_cli_inputs(qv_ctx *ctx, struct qv_manifest **m, int kind, const char *manifests, char **inputs, int n);

/* Leaves the recordings of one speaker in what --manifest gave, unless it does not say who speaks at all; QV_ERR_USAGE
 * where there are none. */
qv_status qv_cli_only_voice(qv_ctx *ctx, qv_manifest *m, const char *speaker);

/* What names the rows of answers: "file", of several manifests "corpus", and where any is a part or a channel of its
 * file "start", "end" and "channel". */
typedef struct qv_cli_rows {
    bool corpus, parts;
} qv_cli_rows;
enum { QV_CLI_ROW_CELLS = 2 + QV_PART_CELLS }; /* at most */
qv_cli_rows qv_cli_rows_of(const struct qv_manifest *m);
/* Each fills cells [QV_CLI_ROW_CELLS] and returns how many; those of an item may lie in `numbers`. */
size_t qv_cli_row_names(qv_cli_rows r, const char **cells);
size_t qv_cli_row_cells(qv_cli_rows r, const qv_item *item, char numbers[QV_PART_CELLS][32], const char **cells);
/* The same as the beginning of an object, with null for what is empty; NULL: no memory. */
struct json_t *qv_cli_row_json(qv_cli_rows r, const qv_item *item);

/* Recordings of a manifest and what a checkpoint said of them. */
typedef struct qv_cli_judged {
    const qv_checkpoint *checkpoint;
    const struct qv_manifest *manifest;
    const qv_features *features;
    const qv_model_answers *answers; /* with embeddings */
    const bool *left_out;            /* [recordings of the manifest] not to be written; NULL: none */
} qv_cli_judged;
/* CSV: what names a row, speaker and true (both empty where nobody says), predicted, e1 ... */
qv_status qv_cli_embeddings(qv_ctx *ctx, const char *path, const qv_cli_judged *j);

/* What `quaver predict --stream` and --timeline are told; zeros are the defaults. */
typedef struct qv_listen_words {
    bool stream, json;
    const char *checkpoint, *stats, *out, *svg, *encoding;
    double rate, channels, span, step;
    int threads;
    char **inputs;
    int n_inputs;
} qv_listen_words;
qv_status qv_cli_listen(qv_ctx *ctx, const qv_listen_words *w);

/* QV_ERR_USAGE where an output (NULL: none) is this input or other output (NULL: none), and would be the end of it. */
qv_status qv_cli_not_input(qv_ctx *ctx, const char *option, const char *out, const char *input);
/* The same of --labels as it was given, which may name files. */
qv_status qv_cli_not_labels(qv_ctx *ctx, const char *option, const char *out, const char *labels);
/* The same of a manifest, the files that it was read from, and its recordings. */
qv_status qv_cli_not_recording(qv_ctx *ctx, const char *option, const char *out, const struct qv_manifest *m);

/* QV_ERR_USAGE for the option that getopt_long, called with these, has just refused. */
qv_status qv_cli_bad_option(qv_ctx *ctx, int argc, char **argv, const char *letters, const struct option *options);

#endif
