/* Fold files: lines `name: speaker speaker ...`, a speaker whose name has a blank or # in it "in quotes". */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/nearest.h"
#include "base/text.h"
#include "data/folds_own.h"

enum { QV_FOLD_FILE_MAX = 1 << 20 };

static const char blanks[] = " \t\r";

typedef struct fold_file {
    const char *path;
    const qv_manifest *m;
    int *group;   /* [speakers] */
    int *line_of; /* [speakers] where each is named, 0: nowhere */
    int *lines;   /* [groups] where each begins */
    size_t cap;
    int line;
} fold_file;

static int find_speaker(const qv_manifest *m, const char *name)
{
    for (int s = 0; s < m->n_speakers; s++) {
        if (strcmp(m->speakers[s], name) == 0) return s;
    }
    return -1;
}

/* A speaker of whose name this is the first word of several. */
static const char *longer_name(const qv_manifest *m, const char *word)
{
    const size_t n = strlen(word);
    for (int s = 0; s < m->n_speakers; s++)
        if (strncmp(m->speakers[s], word, n) == 0 && m->speakers[s][n] && strchr(blanks, m->speakers[s][n]))
            return m->speakers[s];
    return NULL;
}

static qv_status name_speaker(qv_ctx *ctx, fold_file *f, const char *name, int group)
{
    const qv_manifest *m = f->m;
    int s = find_speaker(m, name);
    if (s < 0) {
        const char *longer = longer_name(m, name);
        if (longer)
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: the manifest has no speaker '%s'; did you mean \"%s\", in quotes?",
                           f->path, f->line, name, longer);
        const char *near = qv_nearest(name, (const char *const *)m->speakers, (size_t)m->n_speakers);
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: the manifest has no speaker '%s'%s%s%s", f->path, f->line, name,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    if (f->line_of[s]) {
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: speaker '%s' stands already in line %d", f->path, f->line, name,
                       f->line_of[s]);
    }
    f->line_of[s] = f->line;
    f->group[s] = group;
    return QV_OK;
}

/* Number of the group that a line opens. */
static qv_status open_group(qv_ctx *ctx, fold_file *f, qv_grouping *g, const char *name, int *group)
{
    qv_status status = QV_OK;
    *group = QV_GROUP_TRAIN;
    if (strcmp(name, "train") == 0) return QV_OK;
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->names[i], name) != 0) continue;
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: fold '%s' stands already in line %d", f->path, f->line, name,
                       f->lines[i]);
    }
    *group = (int)g->n;
    QV_TRY(qv_grow(ctx, &f->lines, &f->cap, g->n + 1, sizeof *f->lines));
    f->lines[g->n] = f->line;
    QV_TRY(qv_group_add(ctx, g, name));
done:
    return status;
}

/* Ends the text where its comment begins. A quote opens where a name does. */
static void cut_comment(char *text)
{
    bool quoted = false, begins = true;
    for (; *text && (quoted || *text != '#'); text++) {
        const bool closes = quoted && *text == '"';
        if (closes || (begins && *text == '"')) quoted = !quoted;
        begins = closes || *text == ':' || strchr(blanks, *text);
    }
    *text = '\0';
}

/* The next name, ended by a NUL, and *rest behind it; NULL where a quote is not closed. */
static char *next_name(char *text, char **rest)
{
    const bool quoted = *text == '"';
    text += quoted;
    char *end = text + strcspn(text, quoted ? "\"" : blanks);
    if (quoted && !*end) return NULL;
    *rest = end + (*end != '\0');
    *rest += strspn(*rest, blanks);
    *end = '\0';
    return text;
}

static qv_status read_line(qv_ctx *ctx, fold_file *f, qv_grouping *g, char *text)
{
    qv_status status = QV_OK;
    int group;
    cut_comment(text);
    text = qv_trimmed(text);
    if (!*text) return QV_OK;
    char *colon = strchr(text, ':');
    if (colon) *colon = '\0';
    char *name = qv_trimmed(text);
    if (!colon || !*name) {
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: a fold is a line such as `1: anna bert`", f->path, f->line);
    }
    QV_TRY(open_group(ctx, f, g, name, &group));
    size_t n = 0;
    for (char *at = colon + 1 + strspn(colon + 1, blanks); *at; n++) {
        char *speaker = next_name(at, &at);
        if (!speaker) return qv_fail(ctx, QV_ERR_DATA, "%s:%d: a quote is not closed", f->path, f->line);
        QV_TRY(name_speaker(ctx, f, speaker, group));
    }
    if (n == 0) status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: fold '%s' names no speaker", f->path, f->line, name);
done:
    return status;
}

static qv_status read_lines(qv_ctx *ctx, fold_file *f, qv_grouping *g, char *text)
{
    for (char *rest = text, *line; (line = qv_next_line(&rest)) != NULL;) {
        f->line++;
        qv_status status = read_line(ctx, f, g, line);
        if (status != QV_OK) return status;
    }
    if (g->n == 0) return qv_fail(ctx, QV_ERR_DATA, "%s: no fold in it; write lines such as `1: anna bert`", f->path);
    return QV_OK;
}

qv_status qv_group_by_file(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, const char *path)
{
    qv_status status = QV_OK;
    fold_file f = {.path = path, .m = m};
    char *text = NULL;
    if (!qv_path_exists(path)) {
        return qv_fail(ctx, QV_ERR_USAGE,
                       "folds '%s': neither a file nor one of speaker, session, corpus, column, split or a number",
                       path);
    }
    QV_TRY(qv_read_text(ctx, path, QV_FOLD_FILE_MAX, &text));
    QV_TRY(qv_alloc(ctx, &f.group, (size_t)m->n_speakers, sizeof *f.group));
    QV_TRY(qv_alloc(ctx, &f.line_of, (size_t)m->n_speakers, sizeof *f.line_of));
    for (int s = 0; s < m->n_speakers; s++) f.group[s] = QV_GROUP_OUT;
    QV_TRY(read_lines(ctx, &f, g, text));
    for (size_t i = 0; i < m->n; i++) g->group[i] = f.group[m->items[i].speaker_id];
done:
    free(text);
    free(f.group);
    free(f.line_of);
    free(f.lines);
    return status;
}
