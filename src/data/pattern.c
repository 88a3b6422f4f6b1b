#include "data/pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Far more than a file name needs, far less than a hostile pattern wants. */
enum {
    QV_MATCH_STEPS = 1000000,
    QV_MATCH_DEPTH = 10000,
    QV_MATCH_KIB = 16384,
    QV_PATTERN_MAX = 65536,
    QV_NAMES_MAX = 256
};

struct qv_pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    const char **names; /* inside the code's own table */
    int n_names;
    PCRE2_SPTR table; /* entries of `entry` bytes: number (2), name */
    uint32_t n_table, entry;
};

void qv_pattern_free(qv_pattern *p)
{
    if (!p) return;
    pcre2_match_context_free(p->limits);
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
    free(p->names);
    free(p);
}

static const char *entry_name(const qv_pattern *p, uint32_t i)
{
    return (const char *)p->table + (size_t)i * p->entry + 2;
}

static uint32_t entry_number(const qv_pattern *p, uint32_t i)
{
    PCRE2_SPTR e = p->table + (size_t)i * p->entry;
    return (uint32_t)e[0] << 8 | e[1];
}

/* The table is sorted; with (?J) a name may stand in it several times. */
static qv_status list_names(qv_ctx *ctx, qv_pattern *p)
{
    pcre2_pattern_info(p->code, PCRE2_INFO_NAMECOUNT, &p->n_table);
    if (p->n_table > QV_NAMES_MAX)
        return qv_fail(ctx, QV_ERR_USAGE, "a pattern with %u named groups; at most %d are taken", (unsigned)p->n_table,
                       QV_NAMES_MAX);
    pcre2_pattern_info(p->code, PCRE2_INFO_NAMEENTRYSIZE, &p->entry);
    pcre2_pattern_info(p->code, PCRE2_INFO_NAMETABLE, &p->table);
    qv_status status = qv_alloc(ctx, &p->names, p->n_table, sizeof *p->names);
    for (uint32_t i = 0; status == QV_OK && i < p->n_table; i++) {
        if (i > 0 && strcmp(entry_name(p, i), entry_name(p, i - 1)) == 0) continue;
        p->names[p->n_names++] = entry_name(p, i);
    }
    return status;
}

static qv_status compile(qv_ctx *ctx, qv_pattern *p, const char *regex)
{
    int error;
    PCRE2_SIZE offset;
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    p->code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, options, &error, &offset, NULL);
    if (p->code) return QV_OK;
    if (error == PCRE2_ERROR_HEAP_FAILED) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for a pattern");
    PCRE2_UCHAR text[256];
    if (pcre2_get_error_message(error, text, sizeof text) < 0) text[0] = '\0';
    return qv_fail(ctx, QV_ERR_USAGE, "pattern '%s': %s, at offset %zu", regex, (const char *)text, (size_t)offset);
}

qv_status qv_pattern_new(qv_ctx *ctx, qv_pattern **out, const char *regex)
{
    qv_status status = QV_OK;
    qv_pattern *p = NULL;
    *out = NULL;
    if (strlen(regex) > QV_PATTERN_MAX) {
        return qv_fail(ctx, QV_ERR_USAGE, "a pattern of %zu bytes; at most %d are taken", strlen(regex),
                       QV_PATTERN_MAX);
    }
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    QV_TRY(compile(ctx, p, regex));
    QV_TRY(list_names(ctx, p));
    p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
    p->limits = pcre2_match_context_create(NULL);
    if (!p->match || !p->limits) {
        status = qv_fail(ctx, QV_ERR_MEMORY, "no memory for a pattern");
        goto done;
    }
    pcre2_set_match_limit(p->limits, QV_MATCH_STEPS);
    pcre2_set_depth_limit(p->limits, QV_MATCH_DEPTH);
    pcre2_set_heap_limit(p->limits, QV_MATCH_KIB);
    *out = p;
    p = NULL;
done:
    qv_pattern_free(p);
    return status;
}

int qv_pattern_groups(const qv_pattern *p) { return p->n_names; }

const char *qv_pattern_group_name(const qv_pattern *p, int group) { return p->names[group]; }

qv_status qv_pattern_match(qv_ctx *ctx, qv_pattern *p, const char *subject, bool *matched)
{
    int n = pcre2_match(p->code, (PCRE2_SPTR)subject, strlen(subject), 0, 0, p->match, p->limits);
    *matched = n > 0;
    if (n > 0 || n == PCRE2_ERROR_NOMATCH) return QV_OK;
    PCRE2_UCHAR text[256];
    if (pcre2_get_error_message(n, text, sizeof text) < 0) text[0] = '\0';
    return qv_fail(ctx, n == PCRE2_ERROR_NOMEMORY ? QV_ERR_MEMORY : QV_ERR_USAGE,
                   "the pattern gives up on '%s': %s; write it with fewer nested repeats", subject, (const char *)text);
}

bool qv_pattern_range(const qv_pattern *p, int group, size_t *begin, size_t *end)
{
    const PCRE2_SIZE *ranges = pcre2_get_ovector_pointer(p->match);
    for (uint32_t i = 0; i < p->n_table; i++) {
        if (strcmp(entry_name(p, i), p->names[group]) != 0) continue;
        uint32_t k = entry_number(p, i);
        if (ranges[2 * k] == PCRE2_UNSET || ranges[2 * k] > ranges[2 * k + 1]) continue;
        *begin = ranges[2 * k];
        *end = ranges[2 * k + 1];
        return true;
    }
    return false;
}
