/* Every recording becomes a row of the manifest, or is accounted for. */
#include "data/scan.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/text.h"
#include "data/audio.h"
#include "data/manifest_own.h"
#include "data/pattern.h"

/* Spellings of a gender where a recipe has no map of its own. */
static const char common_genders[] = "m=male male=male man=male f=female female=female w=female woman=female";

/* What becomes of a value beside the columns that have a meaning. */
enum { EXTRA = -1, HIDDEN = -2 };

/* A value of the recording at hand, by its name. */
typedef struct field {
    const char *name;
    int column; /* of the manifest, EXTRA or HIDDEN */
    char *value;
} field;

typedef struct scan {
    const qv_recipe *recipe;
    qv_pattern *pattern;
    qv_pattern *left_out[QV_LEFT_OUT_MAX];
    bool on_path;
    int channel;
    qv_lookup *lookup[QV_LOOKUPS_MAX];
    field *fields; /* the pattern's groups first, then the others */
    size_t n_fields;
    size_t root; /* bytes of a path up to what stands below the folder */
    qv_manifest *m;
    qv_corpus_report *report;
} scan;

/* The recording at hand. */
typedef struct recording {
    const char *path, *below;
    const qv_lookup_row *label; /* the line that tells the emotion, or NULL */
} recording;

static qv_status copy_value(qv_ctx *ctx, char **out, const char *s, size_t n)
{
    char *copy;
    qv_status status = qv_alloc(ctx, &copy, n + 1, 1);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < n; i++) copy[i] = s[i] == '~' ? ' ' : s[i];
    free(*out);
    *out = copy;
    return QV_OK;
}

static field *find_field(const scan *s, const char *name, size_t n)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        if (strlen(s->fields[i].name) == n && memcmp(s->fields[i].name, name, n) == 0) return &s->fields[i];
    }
    return NULL;
}

static char **value_named(const scan *s, const char *name)
{
    field *f = find_field(s, name, strlen(name));
    return f ? &f->value : NULL;
}

static const char *value_of_field(const void *user, const char *name, size_t n)
{
    const field *f = find_field(user, name, n);
    return f ? f->value : NULL;
}

static void forget_values(scan *s)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        free(s->fields[i].value);
        s->fields[i].value = NULL;
    }
}

static qv_status not_understood(qv_ctx *ctx, scan *s, const char *fmt, ...) QV_PRINTF(3, 4);
static qv_status not_understood(qv_ctx *ctx, scan *s, const char *fmt, ...)
{
    qv_corpus_report *r = s->report;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    qv_status status = qv_grow(ctx, &r->unknown, &r->cap_unknown, r->n_unknown + 1, sizeof *r->unknown);
    if (status == QV_OK) status = qv_strdup(ctx, &r->unknown[r->n_unknown], text);
    if (status == QV_OK) r->n_unknown++;
    return status;
}

/* Spellings that mean the same become one. */
static qv_status rename_value(qv_ctx *ctx, const scan *s, field *f)
{
    char key[256];
    const char *value;
    size_t n;
    int length = snprintf(key, sizeof key, "%s.%s", f->name, f->value);
    if (length < 0 || (size_t)length >= sizeof key) return QV_OK;
    if (!qv_map_find(s->recipe->rename, key, (size_t)length, &value, &n)) return QV_OK;
    return copy_value(ctx, &f->value, value, n);
}

static qv_status set_value(qv_ctx *ctx, const scan *s, field *f, const char *text, size_t n)
{
    free(f->value);
    f->value = NULL;
    qv_status status = qv_strndup(ctx, &f->value, text, n);
    if (status != QV_OK) return status;
    return rename_value(ctx, s, f);
}

/* The groups of the pattern's match. */
static qv_status take_groups(qv_ctx *ctx, scan *s, const char *subject)
{
    forget_values(s);
    for (int g = 0; g < qv_pattern_groups(s->pattern); g++) {
        size_t begin, end;
        if (!qv_pattern_range(s->pattern, g, &begin, &end) || begin == end) continue;
        qv_status status = set_value(ctx, s, &s->fields[g], subject + begin, end - begin);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

static bool is_other_part(const scan *s)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        const field *f = &s->fields[i];
        const char *want;
        size_t n;
        if (!qv_map_find(s->recipe->keep, f->name, strlen(f->name), &want, &n)) continue;
        if (!f->value || strlen(f->value) != n || strncasecmp(f->value, want, n) != 0) return true;
    }
    return false;
}

/* What a line says goes over what the name said. */
static qv_status take_row(qv_ctx *ctx, const scan *s, const qv_lookup *t, qv_lookup_row *row, recording *r)
{
    row->used = true;
    for (int i = 0; i < t->n_names; i++) {
        field *f = find_field(s, t->names[i], strlen(t->names[i]));
        if (!row->values[i]) continue;
        qv_status status = set_value(ctx, s, f, row->values[i], strlen(row->values[i]));
        if (status != QV_OK) return status;
        if (strcmp(t->names[i], "emotion") == 0) r->label = row;
    }
    return QV_OK;
}

static bool same_values(const qv_lookup *t, const qv_lookup_row *a, const qv_lookup_row *b)
{
    for (int i = 0; i < t->n_names; i++) {
        const char *x = a->values[i] ? a->values[i] : "", *y = b->values[i] ? b->values[i] : "";
        if (strcmp(x, y) != 0) return false;
    }
    return true;
}

/* Columns that are made of others. */
static qv_status make_values(qv_ctx *ctx, const scan *s)
{
    qv_status status = QV_OK;
    qv_buf text = {0};
    for (const char *m = s->recipe->make; m && *m; m += strspn(m, " ")) {
        size_t key = strcspn(m, "="), all = strcspn(m, " ");
        char template[128];
        snprintf(template, sizeof template, "%.*s", (int)(all - key - 1), m + key + 1);
        text.len = 0;
        if (qv_expand(&text, template, value_of_field, s)) {
            QV_TRY(qv_buf_check(ctx, &text));
            QV_TRY(set_value(ctx, s, find_field(s, m, key), text.data, text.len));
        }
        m += all;
    }
done:
    qv_buf_free(&text);
    return status;
}

/* From the column `gender` if it says something, else from the speaker. */
static qv_status find_gender(qv_ctx *ctx, const scan *s, qv_item *item)
{
    const char *map = s->recipe->genders, *value;
    size_t n;
    if (item->gender) {
        if (!qv_map_find(map ? map : common_genders, item->gender, strlen(item->gender), &value, &n)) return QV_OK;
        return copy_value(ctx, &item->gender, value, n);
    }
    if (!map) return QV_OK;
    size_t length = strlen(item->speaker);
    bool found = qv_map_find(map, item->speaker, length, &value, &n);
    if (!found && length > 0 && isdigit((unsigned char)item->speaker[length - 1])) {
        const char *parity = (item->speaker[length - 1] - '0') % 2 ? "odd" : "even";
        found = qv_map_find(map, parity, strlen(parity), &value, &n);
    }
    return found ? copy_value(ctx, &item->gender, value, n) : QV_OK;
}

/* Start and end of a part, in seconds, as a label file says them. */
static qv_status read_part(qv_ctx *ctx, const scan *s, const qv_lookup_row *row, qv_item *item)
{
    char **start = value_named(s, "start"), **end = value_named(s, "end");
    bool fine = (!start || !*start || qv_parse_time(*start, &item->start)) &&
                (!end || !*end || (qv_parse_time(*end, &item->end) && item->end > item->start));
    if (fine) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: a part from '%s' to '%s' s; an end after its start was expected",
                   row ? row->file : "?", row ? row->line : 0, start && *start ? *start : "0",
                   end && *end ? *end : "the end");
}

/* All values but the emotion where they belong in the item. */
static qv_status fill_item(qv_ctx *ctx, const scan *s, const recording *r, qv_item *item)
{
    qv_status status = QV_OK;
    int extra = 0;
    QV_TRY(qv_alloc(ctx, &item->extra, (size_t)s->m->n_extra, sizeof *item->extra));
    for (size_t i = 0; i < s->n_fields; i++) {
        const field *f = &s->fields[i];
        char **cell = f->column == EXTRA ? &item->extra[extra++] : NULL;
        if (f->column >= 0 && f->column != QV_COLUMN_EMOTION) cell = qv_item_text(item, f->column);
        if (cell && f->value) QV_TRY(qv_strdup(ctx, cell, f->value));
    }
    if (!item->speaker) QV_TRY(qv_strdup(ctx, &item->speaker, QV_NO_SPEAKER));
    for (char *c = item->speaker; s->recipe->capital_speaker && *c; c++) *c = (char)toupper((unsigned char)*c);
    item->channel = s->channel;
    QV_TRY(read_part(ctx, s, r->label, item));
    QV_TRY(find_gender(ctx, s, item));
    QV_TRY(qv_strdup(ctx, &item->name, r->below));
    QV_TRY(qv_strdup(ctx, &item->file, r->path));
done:
    return status;
}

static qv_status no_label(qv_ctx *ctx, scan *s, const recording *r)
{
    qv_corpus_report *report = s->report;
    if (!s->lookup[0]) return not_understood(ctx, s, "%s", r->below);
    if (report->unlabelled++ > 0) return QV_OK;
    return qv_strdup(ctx, &report->unlabelled_name, r->below);
}

/* What the code of the emotion stands for; NULL where the recording has then been accounted for without it. */
static qv_status translate_emotion(qv_ctx *ctx, scan *s, const recording *r, char **out)
{
    const char *emotion = *value_named(s, "emotion");
    const char *map = s->recipe->emotions, *value;
    size_t n;
    if (!emotion) return no_label(ctx, s, r);
    if (!map) return qv_strdup(ctx, out, emotion);
    if (!qv_map_find(map, emotion, strlen(emotion), &value, &n) && !qv_map_find(map, "*", 1, &value, &n)) {
        if (!r->label) return not_understood(ctx, s, "%s", r->below);
        return not_understood(ctx, s, "%s:%d: emotion '%s'", r->label->file, r->label->line, emotion);
    }
    bool undecided = n == 1 && *value == '-';
    s->report->undecided += undecided;
    return undecided ? QV_OK : copy_value(ctx, out, value, n);
}

static qv_status add_item(qv_ctx *ctx, scan *s, const recording *r)
{
    qv_status status = QV_OK;
    qv_item *item;
    char *emotion = NULL;
    QV_TRY(make_values(ctx, s));
    QV_TRY(translate_emotion(ctx, s, r, &emotion));
    if (!emotion) goto done;
    QV_TRY(qv_manifest_append(ctx, s->m, &item));
    item->emotion = emotion;
    emotion = NULL;
    QV_TRY(fill_item(ctx, s, r, item));
    s->report->found++;
done:
    free(emotion);
    return status;
}

/* With the lines of the label files that name it: one row, or one for each part. */
static qv_status add_recording(qv_ctx *ctx, scan *s, const char *path)
{
    qv_status status = QV_OK;
    recording r = {.path = path, .below = path + s->root};
    qv_lookup *parts = NULL;
    size_t first = 0, count = 1;
    qv_buf key = {0};
    for (int k = 0; k < QV_LOOKUPS_MAX && s->lookup[k]; k++) {
        qv_lookup *t = s->lookup[k];
        size_t at, n;
        key.len = 0;
        if (!qv_expand(&key, t->rule->of, value_of_field, s)) continue;
        QV_TRY(qv_buf_check(ctx, &key));
        n = qv_lookup_find(t, key.data, &at);
        if (n == 0) continue;
        if (qv_lookup_name(t, "start") >= 0) {
            parts = t;
            first = at;
            count = n;
            continue;
        }
        for (size_t i = 1; i < n; i++) {
            if (same_values(t, &t->rows[at], &t->rows[at + i])) continue;
            status = not_understood(ctx, s, "%s (%s:%d and %s:%d contradict each other)", r.below, t->rows[at].file,
                                    t->rows[at].line, t->rows[at + i].file, t->rows[at + i].line);
            goto done;
        }
        QV_TRY(take_row(ctx, s, t, &t->rows[at], &r));
        for (size_t i = 1; i < n; i++) t->rows[at + i].used = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (parts) QV_TRY(take_row(ctx, s, parts, &parts->rows[first + i], &r));
        QV_TRY(add_item(ctx, s, &r));
    }
done:
    qv_buf_free(&key);
    return status;
}

static qv_status is_left_out(qv_ctx *ctx, scan *s, const char *below, bool *out)
{
    *out = false;
    for (int k = 0; k < QV_LEFT_OUT_MAX && s->left_out[k] && !*out; k++) {
        qv_status status = qv_pattern_match(ctx, s->left_out[k], below, out);
        if (status != QV_OK) return status;
        s->report->left_out[k] += *out;
    }
    return QV_OK;
}

static qv_status visit(qv_ctx *ctx, void *user, const char *path)
{
    scan *s = user;
    const char *below = path + s->root, *subject = s->on_path ? below : qv_path_base(path);
    bool matched, out;
    qv_status status = QV_OK;
    QV_TRY(qv_poll(ctx));
    if (!qv_is_audio(path)) {
        s->report->no_audio++;
        s->report->videos += qv_has_ending(path, "avi mp4 flv mov mkv mpg mpeg wmv m4v");
        goto done;
    }
    QV_TRY(is_left_out(ctx, s, below, &out));
    if (out) goto done;
    if (!qv_path_exists(path)) {
        QV_TRY(not_understood(ctx, s, "%s (a link that leads nowhere)", below));
        goto done;
    }
    QV_TRY(qv_pattern_match(ctx, s->pattern, subject, &matched));
    if (!matched) {
        QV_TRY(not_understood(ctx, s, "%s", below));
        goto done;
    }
    if (!qv_is_utf8(below)) {
        QV_TRY(not_understood(ctx, s, "%s (the path is not UTF-8: rename it)", below));
        goto done;
    }
    QV_TRY(take_groups(ctx, s, subject));
    if (is_other_part(s))
        s->report->other_part++;
    else
        QV_TRY(add_recording(ctx, s, path));
done:
    return status;
}

/* One more named value; what a name means is decided by the name. */
static qv_status add_field(qv_ctx *ctx, scan *s, const char *name)
{
    const char *value;
    size_t n;
    if (find_field(s, name, strlen(name))) return QV_OK;
    bool hidden = name[0] == '_' || qv_map_find(s->recipe->keep, name, strlen(name), &value, &n);
    field *f = &s->fields[s->n_fields++];
    *f = (field){.name = name, .column = hidden ? HIDDEN : EXTRA};
    for (int c = 0; c < QV_COLUMNS; c++) {
        if (strcmp(name, qv_manifest_columns[c]) == 0) f->column = c;
    }
    return f->column == EXTRA ? qv_strdup(ctx, &s->m->extra[s->m->n_extra++], name) : QV_OK;
}

static qv_status name_fields(qv_ctx *ctx, scan *s)
{
    qv_status status = QV_OK;
    int groups = qv_pattern_groups(s->pattern);
    size_t n = (size_t)groups;
    for (int k = 0; k < QV_LOOKUPS_MAX && s->lookup[k]; k++) n += (size_t)s->lookup[k]->n_names;
    /* what `make` makes are the pattern's groups or columns with a meaning */
    QV_TRY(qv_alloc(ctx, &s->fields, n + QV_COLUMNS, sizeof *s->fields));
    QV_TRY(qv_alloc(ctx, &s->m->extra, n + QV_COLUMNS, sizeof *s->m->extra));
    for (int g = 0; g < groups; g++) {
        const char *name = qv_pattern_group_name(s->pattern, g);
        QV_TRY(add_field(ctx, s, name));
        int c = s->fields[g].column;
        if (c < 0 || (c != QV_COLUMN_FILE && qv_item_text(&(qv_item){0}, c))) continue;
        status = qv_fail(ctx, QV_ERR_USAGE, "pattern: a group cannot be named '%s', which a name does not tell", name);
        goto done;
    }
    for (int k = 0; k < QV_LOOKUPS_MAX && s->lookup[k]; k++) {
        for (int i = 0; i < s->lookup[k]->n_names; i++) QV_TRY(add_field(ctx, s, s->lookup[k]->names[i]));
    }
    for (int c = 0; c < QV_COLUMNS; c++) {
        const char *value, *name = qv_manifest_columns[c];
        size_t length;
        if (qv_map_find(s->recipe->make, name, strlen(name), &value, &length)) QV_TRY(add_field(ctx, s, name));
    }
    if (!value_named(s, "emotion")) {
        status = qv_fail(ctx, QV_ERR_USAGE, "the pattern has no group (?<emotion>...): nothing tells the emotion");
    }
done:
    return status;
}

static qv_status open_patterns(qv_ctx *ctx, scan *s, const qv_corpus_options *o)
{
    const char *regex = s->recipe->pattern ? s->recipe->pattern : o->pattern;
    qv_status status = QV_OK;
    if (!regex) {
        return qv_fail(ctx, QV_ERR_USAGE,
                       "recipe '%s' needs a pattern, such as "
                       "--pattern '^(?<speaker>[^_]+)_(?<emotion>[^_]+)_'",
                       s->recipe->name);
    }
    if (s->recipe->pattern && o->pattern) {
        return qv_fail(ctx, QV_ERR_USAGE, "recipe '%s' has a pattern of its own; --pattern goes with `pattern`",
                       s->recipe->name);
    }
    s->on_path = s->recipe->pattern ? s->recipe->on_path : strchr(regex, '/') != NULL;
    QV_TRY(qv_pattern_new(ctx, &s->pattern, regex));
    for (int k = 0; k < QV_LEFT_OUT_MAX && s->recipe->left_out[k].pattern; k++) {
        QV_TRY(qv_pattern_new(ctx, &s->left_out[k], s->recipe->left_out[k].pattern));
    }
done:
    return status;
}

static qv_status read_tables(qv_ctx *ctx, scan *s, const char *root, const char *tables)
{
    const char *dirs[2] = {root, tables};
    if (tables && !qv_is_dir(tables)) return qv_fail(ctx, QV_ERR_USAGE, "--tables %s: not a folder", tables);
    for (int k = 0; k < QV_LOOKUPS_MAX && s->recipe->lookup[k].files; k++) {
        qv_status status = qv_lookup_read(ctx, &s->lookup[k], &s->recipe->lookup[k], dirs, 2);
        for (size_t i = 0; status == QV_OK && i < s->lookup[k]->n_files; i++)
            status = qv_manifest_add_source(ctx, s->m, s->lookup[k]->files[i].path);
        if (status != QV_OK) return status;
        s->report->label_files += s->lookup[k]->n_files;
        s->report->labels += s->lookup[k]->n;
    }
    return QV_OK;
}

static qv_status check_unknown(qv_ctx *ctx, const scan *s, const char *dir)
{
    const qv_corpus_report *r = s->report;
    const bool own = !s->recipe->pattern && r->found == 0; /* a regular expression from the command line */
    return qv_fail(ctx, QV_ERR_DATA, "%zu names in %s are not understood by recipe '%s', such as %s; %s", r->n_unknown,
                   dir, s->recipe->name, r->unknown[0],
                   own ? "the pattern must match with the ending (.wav and the like)" : "--lenient leaves them out");
}

static qv_status check_found(qv_ctx *ctx, const scan *s, const char *dir, bool lenient)
{
    const qv_corpus_report *r = s->report;
    if (r->n_unknown > 0 && !lenient) return check_unknown(ctx, s, dir);
    if (r->unlabelled > 0 && (!lenient || r->found == 0)) {
        return qv_fail(
            ctx, QV_ERR_DATA,
            "%zu recordings in %s have no label, such as %s; labels are read from %s (%zu such files were found, "
            "with %zu labels); --tables DIR says where they are, --lenient leaves these recordings out",
            r->unlabelled, dir, r->unlabelled_name, s->recipe->lookup[0].what, r->label_files, r->labels);
    }
    if (r->found > 0) return QV_OK;
    if (r->videos > 0) {
        return qv_fail(
            ctx, QV_ERR_DATA,
            "%s holds %zu films and no recording; take their sound out first (ffmpeg -i FILM -vn FILM.wav), into "
            "the same folders",
            dir, r->videos);
    }
    return qv_fail(ctx, QV_ERR_DATA,
                   "no recording of recipe '%s' in %s (%zu files of other kinds, %zu of other parts of "
                   "the corpus)",
                   s->recipe->name, dir, r->no_audio, r->other_part);
}

/* The text of any column of an item; "" where it says nothing. */
static const char *text_of(qv_item *item, int column, int extra)
{
    char **text = extra >= 0 ? &item->extra[extra] : qv_item_text(item, column);
    return text && *text ? *text : "";
}

/* "column=value": takes all other recordings out. */
static qv_status keep_only(qv_ctx *ctx, scan *s, const char *only)
{
    qv_manifest *m = s->m;
    const char *equals = strchr(only, '=');
    size_t n = equals ? (size_t)(equals - only) : 0, kept = 0;
    bool *keep;
    int column = -1, extra = -1;
    qv_item none = {0};
    for (int c = 0; c < QV_COLUMNS && n; c++) {
        bool same = strlen(qv_manifest_columns[c]) == n && memcmp(qv_manifest_columns[c], only, n) == 0;
        if (same && qv_item_text(&none, c)) column = c;
    }
    for (int i = 0; i < m->n_extra && n; i++) {
        if (strlen(m->extra[i]) == n && memcmp(m->extra[i], only, n) == 0) extra = i;
    }
    if (column < 0 && extra < 0)
        return qv_fail(ctx, QV_ERR_USAGE, "--only %s: write COLUMN=VALUE, with a column of the manifest", only);
    qv_status status = qv_alloc(ctx, &keep, m->n, sizeof *keep);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) {
        keep[i] = strcmp(text_of(&m->items[i], column, extra), equals + 1) == 0;
        kept += keep[i];
    }
    if (kept > 0) {
        qv_buf_printf(&s->report->text, "kept: %zu of %zu recordings (%s)\n", kept, m->n, only);
        qv_manifest_keep(m, keep);
    } else {
        status = qv_fail(ctx, QV_ERR_DATA, "--only %s: none of %zu recordings is, the first has '%s'", only, m->n,
                         text_of(&m->items[0], column, extra));
    }
    free(keep);
    return status;
}

static void close_scan(scan *s)
{
    forget_values(s);
    qv_manifest_free(s->m);
    qv_pattern_free(s->pattern);
    for (int k = 0; k < QV_LEFT_OUT_MAX; k++) qv_pattern_free(s->left_out[k]);
    for (int k = 0; k < QV_LOOKUPS_MAX; k++) qv_lookup_free(s->lookup[k]);
    free(s->fields);
}

qv_status qv_corpus_scan(qv_ctx *ctx, qv_manifest **out, qv_corpus_report *report, const qv_recipe *recipe,
                         const char *dir, const qv_corpus_options *options)
{
    qv_status status = QV_OK;
    scan s = {.recipe = recipe, .report = report};
    char *root = NULL;
    size_t n = strlen(dir);
    *out = NULL;
    while (n > 1 && dir[n - 1] == '/') n--;
    QV_TRY(qv_strdup(ctx, &root, dir));
    root[n] = '\0';
    if (!qv_is_dir(root)) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s is not a folder; a corpus is the folder with its recordings", dir);
        goto done;
    }
    s.root = qv_walk_root(root);
    s.channel = options->channel ? options->channel : recipe->channel;
    QV_TRY(qv_manifest_new(ctx, &s.m));
    QV_TRY(open_patterns(ctx, &s, options));
    QV_TRY(read_tables(ctx, &s, root, options->tables));
    QV_TRY(name_fields(ctx, &s));
    QV_TRY(qv_walk(ctx, root, visit, &s));
    QV_TRY(qv_manifest_finish(ctx, s.m, NULL));
    QV_TRY(qv_corpus_compare(ctx, report, recipe, s.m, root));
    for (int k = 0; k < QV_LOOKUPS_MAX && s.lookup[k]; k++) QV_TRY(qv_corpus_labels(ctx, report, s.lookup[k]));
    QV_TRY(check_found(ctx, &s, dir, options->lenient));
    if (options->only) QV_TRY(keep_only(ctx, &s, options->only));
    QV_TRY(qv_corpus_twins(ctx, report, s.m, options->unique));
    QV_TRY(qv_manifest_finish(ctx, s.m, options->labels));
    QV_TRY(qv_corpus_check_classes(ctx, s.m, root,
                                   options->pattern ? "the group emotion of --pattern" : "the names of its folders"));
    QV_TRY(qv_corpus_table(ctx, report, s.m));
    *out = s.m;
    s.m = NULL;
done:
    if (recipe->notes && report->text.len) qv_buf_printf(&report->text, "note: %s\n", recipe->notes);
    close_scan(&s);
    free(root);
    return status;
}
