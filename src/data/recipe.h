/* Recipes: how the file names of a corpus tell speaker and emotion. A recipe is a row of recipes.def. */
#ifndef QV_DATA_RECIPE_H
#define QV_DATA_RECIPE_H

#include "base/buf.h"
#include "data/manifest.h"

/* Maps are texts of the form "key=value key=value"; keys are found whatever their letter case. */
typedef struct qv_recipe {
    const char *name, *title;
    const char *pattern;  /* PCRE2; NULL: the user gives it. Groups named as columns of a manifest (speaker, emotion,
                             gender, session, split, fold, corpus) fill these, all others become columns of their own */
    bool on_path;         /* the pattern sees the path below the folder, else the file's name alone */
    const char *keep;     /* map: groups that must have this value, else the file is of another part of the corpus */
    const char *emotions; /* map: what the group `emotion` stands for; NULL: it is the emotion itself */
    const char *genders;  /* map: by the group `gender`, by speaker, or by "odd" and "even" speaker numbers */
    const char *expected; /* map: recordings of each emotion when the corpus is complete; NULL: not known */
    const char *part;     /* emotions, by blanks, of a well-known part that also counts as complete, or NULL */
    int speakers;         /* of the complete corpus, 0: not known */
    const char *notes;    /* known defects, and what to know before a number is believed */
} qv_recipe;

extern const qv_recipe qv_recipes[];
extern const size_t qv_n_recipes;
/* QV_ERR_USAGE with the nearest name. */
qv_status qv_recipe_find(qv_ctx *ctx, const qv_recipe **out, const char *name);

typedef struct qv_corpus_options {
    const char *pattern; /* for recipes without one; it sees the path if it holds a '/', else the name */
    const char *labels;  /* as for qv_manifest_read, applied at the end */
    bool lenient;        /* names that are not understood are left out, else they are an error */
    bool unique;         /* of recordings with the same content only the first is kept */
} qv_corpus_options;

/* What was found, also after a failure. Zero-initialized is empty. */
typedef struct qv_corpus_report {
    size_t found;      /* recordings whose names were understood, before labels and `unique` */
    size_t other_part; /* recordings of another part of the corpus (recipe's `keep`) */
    size_t no_audio;   /* files whose ending is none of a recording */
    size_t duplicates; /* recordings whose content an earlier one has */
    bool complete;     /* all counts as expected */
    char **unknown;    /* [n_unknown] names that were not understood */
    size_t n_unknown, cap_unknown;
    qv_buf text; /* all of it in words, lines */
} qv_corpus_report;
void qv_corpus_report_free(qv_corpus_report *r);

/* A manifest of the recordings below `dir`, in the order of their paths, with report. QV_ERR_DATA where names are not
 * understood (see lenient) or nothing is found. */
qv_status qv_corpus_scan(qv_ctx *ctx, qv_manifest **out, qv_corpus_report *report, const qv_recipe *recipe,
                         const char *dir, const qv_corpus_options *options);

/* Value of a map; false where it has no such key. */
bool qv_map_find(const char *map, const char *key, size_t n_key, const char **value, size_t *n_value);

#endif
