/* Kaldi's data folders. Commands in wav.scp are refused: a list must not be able to run anything. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/text.h"
#include "data/import_own.h"

enum { TABLE_MAX = 1 << 28 };

typedef struct entry {
    const char *key, *rest; /* inside the table's text */
    int line;
} entry;

/* A file of lines "key rest". */
typedef struct table {
    char *path, *text;
    entry *rows;   /* in the file's order */
    entry *by_key; /* sorted */
    size_t n, cap;
} table;

static const char blanks[] = " \t\r";

static int by_key(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : x->line - y->line;
}

static void close_table(table *t)
{
    free(t->path);
    free(t->text);
    free(t->rows);
    free(t->by_key);
}

static int to_key(const void *key, const void *e) { return strcmp(key, ((const entry *)e)->key); }

static const entry *find_entry(const table *t, const char *key)
{
    return t->n ? bsearch(key, t->by_key, t->n, sizeof *t->by_key, to_key) : NULL;
}

static qv_status read_line(qv_ctx *ctx, table *t, char *line, int number)
{
    line = qv_trimmed(line);
    if (!*line) return QV_OK;
    char *end = line + strcspn(line, blanks);
    if (!*end) return qv_fail(ctx, QV_ERR_DATA, "%s:%d: '%s' and nothing after it", t->path, number, line);
    *end = '\0';
    qv_status status = qv_grow(ctx, &t->rows, &t->cap, t->n + 1, sizeof *t->rows);
    if (status == QV_OK) t->rows[t->n++] = (entry){line, end + 1 + strspn(end + 1, blanks), number};
    return status;
}

/* No file is an empty table unless it is needed. */
static qv_status open_table(qv_ctx *ctx, table *t, const char *dir, const char *name, bool needed)
{
    qv_status status = QV_OK;
    int number = 0;
    QV_TRY(qv_path_join(ctx, &t->path, dir, name));
    if (!needed && !qv_path_exists(t->path)) goto done;
    QV_TRY(qv_read_text(ctx, t->path, TABLE_MAX, &t->text));
    for (char *rest = t->text, *line; (line = qv_next_line(&rest)) != NULL;) QV_TRY(read_line(ctx, t, line, ++number));
    QV_TRY(qv_alloc(ctx, &t->by_key, t->n, sizeof *t->by_key));
    if (t->n) memcpy(t->by_key, t->rows, t->n * sizeof *t->rows);
    qsort(t->by_key, t->n, sizeof *t->by_key, by_key);
    for (size_t i = 1; i < t->n; i++) {
        if (strcmp(t->by_key[i].key, t->by_key[i - 1].key) != 0) continue;
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: '%s' stands already in line %d", t->path, t->by_key[i].line,
                         t->by_key[i].key, t->by_key[i - 1].line);
        goto done;
    }
done:
    return status;
}

typedef struct kaldi {
    table wav, speaker, emotion, segments, gender;
} kaldi;

static qv_status check_command(qv_ctx *ctx, const kaldi *k, const entry *wav)
{
    size_t n = strlen(wav->rest);
    if (wav->rest[n - 1] != '|' && wav->rest[0] != '|') return QV_OK;
    return qv_fail(
        ctx, QV_ERR_DATA,
        "%s:%d: '%s' is a command (%s); commands are never run: write the recordings to files and name these",
        k->wav.path, wav->line, wav->key, wav->rest);
}

/* What an utterance's row needs beside its file. */
static qv_status add_utterance(qv_ctx *ctx, qv_import *in, const kaldi *k, const entry *wav, const table *from,
                               const entry *utterance, char *start, char *end)
{
    const entry *speaker = find_entry(&k->speaker, utterance->key), *emotion = find_entry(&k->emotion, utterance->key);
    const char *row[QV_COLUMNS] = {0};
    qv_status status = check_command(ctx, k, wav);
    if (status != QV_OK) return status;
    if (!speaker)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: '%s' has no speaker in %s", from->path, utterance->line,
                       utterance->key, k->speaker.path);
    if (k->emotion.n && !emotion)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: '%s' has no emotion in %s", from->path, utterance->line,
                       utterance->key, k->emotion.path);
    const entry *gender = find_entry(&k->gender, speaker->rest);
    row[QV_COLUMN_FILE] = wav->rest;
    row[QV_COLUMN_SPEAKER] = speaker->rest;
    row[QV_COLUMN_EMOTION] = emotion ? emotion->rest : NULL;
    if (gender)
        row[QV_COLUMN_GENDER] = strcmp(gender->rest, "f") == 0   ? "female"
                                : strcmp(gender->rest, "m") == 0 ? "male"
                                                                 : gender->rest;
    row[QV_COLUMN_START] = start;
    row[QV_COLUMN_END] = end && strcmp(end, "-1") == 0 ? NULL : end;
    return qv_import_row(ctx, in, from->path, utterance->line, row);
}

/* A channel as manifests count, from 1: Kaldi counts from 0, lists of telephone calls have letters. 0: it is none. */
static int channel_of(const char *text)
{
    const size_t n = strlen(text);
    if (n == 1 && (*text == 'A' || *text == 'B')) return *text - 'A' + 1;
    return n > 0 && n < 3 && strspn(text, "0123456789") == n ? (int)strtol(text, NULL, 10) + 1 : 0;
}

/* Up to `most` words of s, ended in place; their number. */
static int split(char *s, char **words, int most)
{
    int n = 0;
    while (*s && n < most) {
        words[n++] = s;
        s += strcspn(s, blanks);
        if (*s) *s++ = '\0';
        s += strspn(s, blanks);
    }
    return n;
}

/* "utterance recording start end", and perhaps a channel */
static qv_status add_segment(qv_ctx *ctx, qv_import *in, const kaldi *k, const entry *segment)
{
    qv_status status = QV_OK;
    char *text, *part[5] = {0};
    QV_TRY(qv_strdup(ctx, &text, segment->rest));
    const int n = split(text, part, 5), channel = n == 4 ? channel_of(part[3]) : 0;
    const entry *wav = n >= 3 ? find_entry(&k->wav, part[0]) : NULL;
    if (n < 3 || n > 4)
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: `utterance recording start end [channel]` was expected",
                         k->segments.path, segment->line);
    else if (n == 4 && channel == 0)
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: channel '%s': a number from 0 to 99, A or B was expected",
                         k->segments.path, segment->line, part[3]);
    else if (!wav)
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: recording '%s' is not in %s", k->segments.path, segment->line,
                         part[0], k->wav.path);
    else
        status = add_utterance(ctx, in, k, wav, &k->segments, segment, part[1], part[2]);
    if (status == QV_OK) in->m->items[in->m->n - 1].channel = channel;
done:
    free(text);
    return status;
}

qv_status qv_import_kaldi(qv_ctx *ctx, qv_import *in, const char *path)
{
    qv_status status = QV_OK;
    kaldi k = {0};
    const table *const read[] = {&k.wav, &k.speaker, &k.emotion, &k.segments, &k.gender};
    if (!qv_is_dir(path))
        return qv_fail(ctx, QV_ERR_USAGE, "%s: kaldi wants the data folder, with wav.scp and utt2spk", path);
    QV_TRY(open_table(ctx, &k.wav, path, "wav.scp", true));
    QV_TRY(open_table(ctx, &k.speaker, path, "utt2spk", true));
    QV_TRY(open_table(ctx, &k.emotion, path, "utt2emo", false));
    QV_TRY(open_table(ctx, &k.segments, path, "segments", false));
    QV_TRY(open_table(ctx, &k.gender, path, "spk2gender", false));
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (read[i]->text) QV_TRY(qv_manifest_add_source(ctx, in->m, read[i]->path));
    for (size_t i = 0; i < k.segments.n; i++) QV_TRY(add_segment(ctx, in, &k, &k.segments.rows[i]));
    for (size_t i = 0; i < k.wav.n && k.segments.n == 0; i++)
        QV_TRY(add_utterance(ctx, in, &k, &k.wav.rows[i], &k.wav, &k.wav.rows[i], NULL, NULL));
done:
    close_table(&k.wav);
    close_table(&k.speaker);
    close_table(&k.emotion);
    close_table(&k.segments);
    close_table(&k.gender);
    return status;
}
