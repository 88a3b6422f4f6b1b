/* Recipes: how file names and label files of a corpus tell speaker and emotion. A recipe is a row of recipes.def. */
#ifndef QV_DATA_RECIPE_H
#define QV_DATA_RECIPE_H

#include "data/lookup.h"

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

/* Value of a map; false where it has no such key. '~' in it stands for a blank. */
bool qv_map_find(const char *map, const char *key, size_t n_key, const char **value, size_t *n_value);

#endif
