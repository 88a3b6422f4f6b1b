#include "data/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/nearest.h"
#include "data/corpus_report.h"
#include "data/import_own.h"

const qv_import_kind qv_import_kinds[] = {
    {"nkululeko", "CSV with file, speaker, emotion; times as audformat writes them", qv_import_nkululeko, false},
    {"emobox", "EmoBox JSONL: key, wav, emo", qv_import_emobox, false},
    {"huggingface", "metadata.csv of an AudioFolder: file_name, label", qv_import_huggingface, false},
    {"kaldi", "data folder: wav.scp, utt2spk, utt2emo, if there segments and spk2gender", qv_import_kaldi, true},
};
const size_t qv_n_import_kinds = sizeof qv_import_kinds / sizeof *qv_import_kinds;

static qv_status find_kind(qv_ctx *ctx, const qv_import_kind **out, const char *name)
{
    const char *names[sizeof qv_import_kinds / sizeof *qv_import_kinds];
    for (size_t i = 0; i < qv_n_import_kinds; i++) {
        names[i] = qv_import_kinds[i].name;
        *out = &qv_import_kinds[i];
        if (strcmp(names[i], name) == 0) return QV_OK;
    }
    const char *near = qv_nearest(name, names, qv_n_import_kinds);
    return qv_fail(ctx, QV_ERR_USAGE,
                   "import: there is no kind '%s'%s%s%s; nkululeko, emobox, huggingface and kaldi are known", name,
                   near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Each part of --columns must say which column of ours has which name: who is lost in silence is missed late. */
static qv_status check_columns(qv_ctx *ctx, const qv_import_kind *k, const char *map)
{
    const char *known[QV_COLUMNS];
    size_t n_known = 0;
    for (int c = 0; c < QV_COLUMNS; c++)
        if (c != QV_COLUMN_CHANNEL) known[n_known++] = qv_manifest_columns[c]; /* theirs count channels */
    if (map && k->read == qv_import_kaldi)
        return qv_fail(ctx, QV_ERR_USAGE, "--columns does not go with kaldi, whose columns have no names");
    for (const char *s = map; s && *s; s += strcspn(s, " "), s += strspn(s, " ")) {
        char part[256];
        snprintf(part, sizeof part, "%.*s", (int)strcspn(s, " "), s);
        char *equals = strchr(part, '=');
        if (!equals || !equals[1])
            return qv_fail(ctx, QV_ERR_USAGE, "--columns %s: expected COLUMN=NAME, such as speaker=%s", part,
                           equals ? "who" : part);
        *equals = '\0';
        bool found = false;
        for (size_t i = 0; i < n_known; i++) found = found || strcasecmp(part, known[i]) == 0;
        if (found) continue;
        const char *near = qv_nearest(part, known, n_known);
        return qv_fail(ctx, QV_ERR_USAGE,
                       "--columns %s=%s: there is no column %s to fill%s%s%s; expected speaker=NAME, emotion=NAME or "
                       "another of a manifest",
                       part, equals + 1, part, near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    }
    return QV_OK;
}

/* One or two digits and a colon, past which *s moves. */
static bool parse_part(const char **s, double *value)
{
    const size_t n = strspn(*s, "0123456789");
    if (n < 1 || n > 2 || (*s)[n] != ':') return false;
    *value = strtod(*s, NULL);
    *s += n + 1;
    return true;
}

/* "1.25", or pandas' "0 days 00:00:01.250000". */
static bool parse_seconds(const char *text, double *seconds)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || strncmp(text + digits, " days", 5) != 0) return qv_parse_time(text, seconds);
    double hours = 0, minutes = 0, rest = 0;
    const char *clock = text + digits + 5;
    if (*clock == ' ') {
        clock++;
        if (!parse_part(&clock, &hours) || !parse_part(&clock, &minutes) || minutes > 59) return false;
        if (!qv_parse_time(clock, &rest) || rest >= 60) return false;
    } else if (*clock) {
        return false;
    }
    *seconds = strtod(text, NULL) * 86400 + hours * 3600 + minutes * 60 + rest;
    return *seconds <= QV_TIME_MAX;
}

static bool says_nothing(const char *cell) { return !cell || !*cell || strcmp(cell, "NaT") == 0; }

static qv_status read_times(qv_ctx *ctx, qv_item *item, const char *list, int line, const char *const *cells)
{
    const char *start = cells[QV_COLUMN_START], *end = cells[QV_COLUMN_END];
    if (!says_nothing(start) && !parse_seconds(start, &item->start))
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: start '%s': seconds or 'D days HH:MM:SS', at most %d s, were expected",
                       list, line, start, QV_TIME_MAX);
    if (!says_nothing(end) && !parse_seconds(end, &item->end))
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: end '%s': seconds or 'D days HH:MM:SS', at most %d s, were expected",
                       list, line, end, QV_TIME_MAX);
    if (item->end >= 0 && item->end <= item->start)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: the end (%s) is not after the start", list, line, end);
    return QV_OK;
}

/* What the file's name tells of columns that the list leaves open. */
static qv_status fill_from_name(qv_ctx *ctx, const qv_import *in, qv_item *item)
{
    const char *subject = qv_path_base(item->name);
    bool matched;
    if (!in->pattern) return QV_OK;
    qv_status status = qv_pattern_match(ctx, in->pattern, subject, &matched);
    for (int g = 0; status == QV_OK && matched && g < qv_pattern_groups(in->pattern); g++) {
        size_t begin, end;
        for (int c = QV_COLUMN_SPEAKER; c < QV_COLUMNS; c++) {
            char **text = qv_item_text(item, c);
            if (!text || *text || strcmp(qv_pattern_group_name(in->pattern, g), qv_manifest_columns[c]) != 0) continue;
            if (!qv_pattern_range(in->pattern, g, &begin, &end) || begin == end) continue;
            status = qv_strndup(ctx, text, subject + begin, end - begin);
        }
    }
    return status;
}

static qv_status find_recording(qv_ctx *ctx, const qv_import *in, const qv_item *item, const char *list, int line)
{
    struct stat st;
    if (stat(item->file, &st) != 0)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: cannot find %s: %s%s", list, line, item->file, strerror(errno),
                       in->options->root ? "" : "; --root DIR says where relative paths start");
    if (!S_ISREG(st.st_mode)) return qv_fail(ctx, QV_ERR_DATA, "%s:%d: %s is not a file", list, line, item->file);
    return QV_OK;
}

qv_status qv_import_row(qv_ctx *ctx, qv_import *in, const char *list, int line, const char *const *cells)
{
    qv_status status = QV_OK;
    qv_item *item;
    if (says_nothing(cells[QV_COLUMN_FILE])) return qv_fail(ctx, QV_ERR_DATA, "%s:%d: no file is named", list, line);
    QV_TRY(qv_manifest_append(ctx, in->m, &item));
    for (int c = 0; c < QV_COLUMNS; c++) {
        char **text = qv_item_text(item, c);
        if (!text || !cells[c] || !cells[c][0]) continue;
        if (qv_column_names(c) && (status = qv_check_name(ctx, c, cells[c])) != QV_OK) {
            qv_fail_prefix(ctx, status, "%s:%d", list, line);
            goto done;
        }
        QV_TRY(qv_strdup(ctx, text, cells[c]));
    }
    QV_TRY(qv_path_join(ctx, &item->file, in->root, item->name));
    QV_TRY(find_recording(ctx, in, item, list, line));
    QV_TRY(read_times(ctx, item, list, line, cells));
    QV_TRY(fill_from_name(ctx, in, item));
    if (!item->speaker) QV_TRY(qv_strdup(ctx, &item->speaker, QV_NO_SPEAKER));
done:
    return status;
}

static qv_status say_found(qv_ctx *ctx, qv_corpus_report *r, const qv_manifest *m, const char *path)
{
    size_t without = 0;
    for (size_t i = 0; i < m->n; i++) without += m->items[i].emotion == NULL;
    r->found = m->n;
    qv_buf_printf(&r->text, "%zu recordings in %s\n", m->n, path);
    if (without)
        qv_buf_printf(&r->text, "warning: %zu recordings have no emotion; such a list serves `quaver predict` only\n",
                      without);
    return qv_buf_check(ctx, &r->text);
}

qv_status qv_corpus_import(qv_ctx *ctx, qv_manifest **out, qv_corpus_report *report, const char *kind, const char *path,
                           const qv_import_options *options)
{
    qv_status status = QV_OK;
    qv_import in = {.options = options};
    const qv_import_kind *k;
    char *dir = NULL;
    *out = NULL;
    QV_TRY(find_kind(ctx, &k, kind));
    QV_TRY(check_columns(ctx, k, options->columns));
    QV_TRY(qv_path_dir(ctx, &dir, path));
    in.root = options->root ? options->root : k->from_here ? "." : dir;
    if (options->pattern) QV_TRY(qv_pattern_new(ctx, &in.pattern, options->pattern));
    QV_TRY(qv_manifest_new(ctx, &in.m));
    if (!qv_is_dir(path)) QV_TRY(qv_manifest_add_source(ctx, in.m, path));
    QV_TRY(k->read(ctx, &in, path));
    if (in.m->n == 0) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s: no recording in it", path);
        goto done;
    }
    QV_TRY(qv_manifest_finish(ctx, in.m, NULL));
    QV_TRY(say_found(ctx, report, in.m, path));
    QV_TRY(qv_corpus_twins(ctx, report, in.m, options->unique));
    QV_TRY(qv_manifest_finish(ctx, in.m, options->labels));
    QV_TRY(qv_corpus_check_classes(ctx, in.m, path,
                                   k->read == qv_import_kaldi ? "utt2emo"
                                                              : "the column emotion (--columns emotion=NAME sets it)"));
    QV_TRY(qv_corpus_table(ctx, report, in.m));
    *out = in.m;
    in.m = NULL;
done:
    qv_manifest_free(in.m);
    qv_pattern_free(in.pattern);
    free(dir);
    return status;
}
