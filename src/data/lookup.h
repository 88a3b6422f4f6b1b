/* Label files of a corpus: lines or cells with named values, found again by a key made of some of them. */
#ifndef QV_DATA_LOOKUP_H
#define QV_DATA_LOOKUP_H

#include "base/buf.h"

/* Which files, how a line of them reads, and what joins a line to a recording. A field of a recipe. */
typedef struct qv_lookup_rule {
    const char *files; /* PCRE on the path below the folder; its groups are values of every line of the file */
    const char *line;  /* PCRE on a line, whose groups are values; other lines are passed over. NULL: the file is CSV */
    const char *cells; /* CSV: map of the header's names to those of values, others are passed over */
    const char *key;   /* template over a line's values: "{split}/{clip}" */
    const char *of;    /* template over a recording's values that makes the same text */
    const char *what;  /* for messages: where these files are in a whole corpus */
} qv_lookup_rule;

typedef struct qv_lookup_row {
    char *key;
    const char *file; /* for messages, borrowed from the lookup */
    int line;
    bool used;
    char **values; /* [n_names], NULL where a line has no such value */
} qv_lookup_row;

typedef struct qv_lookup_file {
    char *path;
    const char *below; /* the folder: the end of path */
} qv_lookup_file;

typedef struct qv_lookup {
    const qv_lookup_rule *rule;
    char **names; /* [n_names] of the values */
    int n_names;
    qv_lookup_file *files; /* [n_files] that were read */
    size_t n_files, cap_files;
    qv_lookup_row *rows; /* sorted by key, then in the order in which they were read */
    size_t n, cap;
    size_t latin1; /* files that were not UTF-8 and were read as Latin-1 */
} qv_lookup;

/* Reads all files below `dirs` (NULLs are passed over) that the rule names; keys are compared without letter case.
 * A table without files is empty. QV_ERR_DATA with file and line where one cannot be read as the rule says. */
qv_status qv_lookup_read(qv_ctx *ctx, qv_lookup **out, const qv_lookup_rule *rule, const char *const *dirs,
                         size_t n_dirs);
void qv_lookup_free(qv_lookup *t);

/* Rows [*first, *first + count) have the key; the count. */
size_t qv_lookup_find(const qv_lookup *t, const char *key, size_t *first);
/* -1: there is no value of that name. */
int qv_lookup_name(const qv_lookup *t, const char *name);

/* "{a}-{b}" with each name replaced by what `value` says of it; false where that is NULL for one of them. */
typedef const char *(*qv_value_fn)(const void *user, const char *name, size_t n);
bool qv_expand(qv_buf *out, const char *template, qv_value_fn value, const void *user);

#endif
