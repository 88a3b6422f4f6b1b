/* Recipes: how file names and label files of a corpus tell speaker and emotion. A recipe is a row of recipes.def. */
#ifndef QV_DATA_RECIPE_H
#define QV_DATA_RECIPE_H

#include "base/buf.h"
#include "data/lookup.h"
#include "data/manifest.h"

enum { QV_LEFT_OUT_MAX = 6, QV_LOOKUPS_MAX = 2 };

/* Recordings that the corpus holds but nobody should train on. */
typedef struct qv_left_out {
    const char *pattern; /* PCRE on the path below the folder */
    const char *why;
} qv_left_out;

/* Maps are texts of the form "key=value key=value"; keys are found whatever their letter case, and '~' stands for a
 * blank. The groups of the pattern and the values of the label files are columns of the manifest where they have a
 * name of one (speaker, emotion, gender, session, split, fold, corpus), else columns of their own unless the name
 * begins with '_'. */
typedef struct qv_recipe {
    const char *name, *title;
    const char *pattern;  /* PCRE2 with named groups; NULL: the user gives it */
    bool on_path;         /* the pattern sees the path below the folder, else the file's name alone */
    const char *keep;     /* map: groups that must have this value, else the file is of another part of the corpus */
    const char *rename;   /* map: "column.value=value", spellings that mean the same: speaker.OA=OAF */
    const char *make;     /* map: columns made of others by a template: speaker=Ses0{session}{gender} */
    const char *emotions; /* map: what the group `emotion` stands for, '*': all others, value "-": no label that
                             raters agree on, the recording is left out; NULL: it is the emotion itself */
    const char *genders;  /* map: by the group `gender`, by speaker, or by "odd" and "even" speaker numbers */
    bool capital_speaker; /* speakers are written in capitals, whatever the case of the names */
    int channel;          /* of recordings with several, 0: their average */
    qv_left_out left_out[QV_LEFT_OUT_MAX];
    qv_lookup_rule lookup[QV_LOOKUPS_MAX]; /* label files; lines with `start` and `end` cut recordings into parts */
    const char *expected;      /* map: recordings of each emotion when the corpus is complete; NULL: not known */
    size_t recordings;         /* all of them, where `expected` is not known; 0: not known */
    int speakers;              /* of the complete corpus, 0: not known */
    const char *also_expected; /* the same of another edition that also counts as complete, or NULL */
    int also_speakers;
    const char *part;  /* emotions, by blanks, of a well-known part that also counts as complete, or NULL */
    const char *notes; /* known defects, and what to know before a number is believed */
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
    const char *tables;  /* folder where label files are looked for too, or NULL */
    const char *only;    /* "column=value": only such recordings are kept; NULL: all */
    int channel;         /* instead of the recipe's, 0: that one */
} qv_corpus_options;

/* What was found, also after a failure. Zero-initialized is empty. */
typedef struct qv_corpus_report {
    size_t found;      /* recordings whose names were understood, before labels and `unique` */
    size_t other_part; /* recordings of another part of the corpus (recipe's `keep`) */
    size_t no_audio;   /* files whose ending is none of a recording */
    size_t videos;     /* of these, films, whose sound would have to be taken out first */
    size_t left_out[QV_LEFT_OUT_MAX]; /* recordings, by the recipe's reasons */
    size_t undecided;  /* recordings left out since their raters do not agree */
    size_t unlabelled; /* recordings that no label file names */
    char *unlabelled_name; /* the first of them */
    size_t label_files, labels; /* read; lines of them that name a recording */
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

/* Value of a map; false where it has no such key. '~' in it stands for a blank. */
bool qv_map_find(const char *map, const char *key, size_t n_key, const char **value, size_t *n_value);

#endif
