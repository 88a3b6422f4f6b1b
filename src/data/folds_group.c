/* Ways to put recordings into groups. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "data/folds_own.h"
#include "data/manifest_own.h"

qv_status qv_group_add(qv_ctx *ctx, qv_grouping *g, const char *name)
{
    qv_status status = qv_grow(ctx, &g->names, &g->cap, g->n + 1, sizeof *g->names);
    if (status == QV_OK) status = qv_strdup(ctx, &g->names[g->n], name);
    if (status == QV_OK) g->n++;
    return status;
}

const char *qv_item_place(const qv_manifest *m, const qv_item *item, char *text, size_t size)
{
    const char *path = m->sources ? m->sources[item->source] : m->path;
    if (path && item->line > 0)
        snprintf(text, size, "%s:%d", path, item->line);
    else
        snprintf(text, size, "%s", item->name);
    return text;
}

qv_status qv_group_by_speaker(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m)
{
    qv_status status = QV_OK;
    for (int s = 0; s < m->n_speakers; s++) QV_TRY(qv_group_add(ctx, g, m->speakers[s]));
    for (size_t i = 0; i < m->n; i++) g->group[i] = m->items[i].speaker_id;
done:
    return status;
}

/* Runs of digits compare as numbers: 2 before 10. */
static int by_natural_order(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    while (*x && *y) {
        if (isdigit((unsigned char)*x) && isdigit((unsigned char)*y)) {
            const char *p = x + strspn(x, "0"), *q = y + strspn(y, "0");
            size_t np = strspn(p, "0123456789"), nq = strspn(q, "0123456789");
            if (np != nq) return np < nq ? -1 : 1;
            int order = strncmp(p, q, np);
            if (order != 0) return order;
            x = p + np;
            y = q + nq;
        } else {
            if (*x != *y) return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
            x++, y++;
        }
    }
    if (*x || *y) return *x ? 1 : -1;
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *value_of(const qv_item *item, int column)
{
    return column == QV_COLUMN_SESSION ? item->session : column == QV_COLUMN_CORPUS ? item->corpus : item->fold;
}

qv_status qv_group_by_column(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, int column, bool may_be_empty)
{
    qv_status status = QV_OK;
    const char **values = NULL;
    size_t n = 0;
    QV_TRY(qv_alloc(ctx, &values, m->n, sizeof *values));
    for (size_t i = 0; i < m->n; i++) {
        const char *value = value_of(&m->items[i], column);
        char place[512];
        if (value) values[n++] = value;
        if (value || may_be_empty) continue;
        status = qv_fail(ctx, QV_ERR_DATA,
                         "%s: no %s, which these folds are cut by; fill the column, or take --folds speaker",
                         qv_item_place(m, &m->items[i], place, sizeof place), qv_manifest_columns[column]);
        goto done;
    }
    if (n == 0) {
        status = qv_fail(ctx, QV_ERR_DATA, "the manifest has nothing in its column '%s'", qv_manifest_columns[column]);
        goto done;
    }
    qsort(values, n, sizeof *values, by_natural_order);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(values[i], values[i - 1]) != 0) QV_TRY(qv_group_add(ctx, g, values[i]));
    }
    if (g->n == 1 && n == m->n) {
        status =
            qv_fail(ctx, QV_ERR_DATA,
                    "all recordings are of one %s, '%s', and folds need two or more; --folds speaker cuts by voices",
                    qv_manifest_columns[column], values[0]);
        goto done;
    }
    for (size_t i = 0; i < m->n; i++) {
        const char *value = value_of(&m->items[i], column);
        char **hit = value ? bsearch(&value, g->names, g->n, sizeof *g->names, by_natural_order) : NULL;
        if (hit) g->group[i] = (int)(hit - g->names);
    }
done:
    free(values);
    return status;
}

qv_status qv_speaker_genders(qv_ctx *ctx, const qv_manifest *m, int **of_speaker, int *n)
{
    enum { MOST_GENDERS = 100 };
    qv_status status = QV_OK;
    const char **names = NULL;
    *of_speaker = NULL;
    *n = 1;
    QV_TRY(qv_alloc(ctx, of_speaker, (size_t)m->n_speakers, sizeof **of_speaker));
    QV_TRY(qv_alloc(ctx, &names, m->n + 1, sizeof *names));
    for (size_t i = 0; i < m->n; i++) {
        const char *gender = m->items[i].gender;
        int *mine = &(*of_speaker)[m->items[i].speaker_id];
        if (!gender || *mine) continue;
        int k = 1;
        while (k < *n && strcmp(names[k], gender) != 0) k++;
        if (k > MOST_GENDERS) {
            status = qv_fail(ctx, QV_ERR_DATA, "more than %d different values of 'gender'; is the column the right one?", MOST_GENDERS);
            goto done;
        }
        if (k == *n) names[(*n)++] = gender;
        *mine = k;
    }
done:
    free(names);
    if (status != QV_OK) {
        free(*of_speaker);
        *of_speaker = NULL;
    }
    return status;
}

/* Numbers of the name "1".."k". */
static qv_status add_numbers(qv_ctx *ctx, qv_grouping *g, int k)
{
    qv_status status = QV_OK;
    for (int i = 1; i <= k && status == QV_OK; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        status = qv_group_add(ctx, g, name);
    }
    return status;
}

typedef struct ranked {
    int speaker;
    size_t items;
} ranked;

static int by_items_falling(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->items != y->items) return x->items > y->items ? -1 : 1;
    return x->speaker - y->speaker;
}

/* The speaker with most recordings first, each to the group with fewest of the same gender, then fewest recordings. */
qv_status qv_group_evenly(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, int k)
{
    qv_status status = QV_OK;
    ranked *order = NULL;
    size_t *size = NULL;
    int *gender = NULL, *same = NULL, *of_speaker = NULL, genders;
    int most = m->n_speakers < QV_MOST_FOLDS ? m->n_speakers : QV_MOST_FOLDS;
    if (m->n_speakers == 1 && strcmp(m->speakers[0], QV_NO_SPEAKER) == 0)
        return qv_fail(
            ctx, QV_ERR_USAGE,
            "%d folds cannot be made, since no speaker is known; fill the column 'speaker', or ask for a random "
            "split in so many words",
            k);
    if (k < 2 || k > most)
        return qv_fail(ctx, QV_ERR_USAGE, "%d folds cannot be made of %d speakers; ask for 2 to %d", k, m->n_speakers, most);
    QV_TRY(add_numbers(ctx, g, k));
    QV_TRY(qv_speaker_genders(ctx, m, &gender, &genders));
    QV_TRY(qv_alloc(ctx, &order, (size_t)m->n_speakers, sizeof *order));
    QV_TRY(qv_alloc(ctx, &of_speaker, (size_t)m->n_speakers, sizeof *of_speaker));
    QV_TRY(qv_alloc(ctx, &size, (size_t)k, sizeof *size));
    QV_TRY(qv_alloc(ctx, &same, (size_t)k * (size_t)genders, sizeof *same));
    for (int s = 0; s < m->n_speakers; s++) order[s].speaker = s;
    for (size_t i = 0; i < m->n; i++) order[m->items[i].speaker_id].items += m->items[i].label >= 0;
    qsort(order, (size_t)m->n_speakers, sizeof *order, by_items_falling);
    for (int r = 0; r < m->n_speakers; r++) {
        const int *mine = same + (size_t)k * (size_t)gender[order[r].speaker];
        int best = 0;
        for (int j = 1; j < k; j++) {
            if (mine[j] < mine[best] || (mine[j] == mine[best] && size[j] < size[best])) best = j;
        }
        of_speaker[order[r].speaker] = best;
        size[best] += order[r].items;
        same[(size_t)k * (size_t)gender[order[r].speaker] + (size_t)best]++;
    }
    for (size_t i = 0; i < m->n; i++) g->group[i] = of_speaker[m->items[i].speaker_id];
done:
    free(order);
    free(of_speaker);
    free(size);
    free(same);
    free(gender);
    return status;
}

/* Below bound, uniform to within 2^-32. */
static size_t draw(uint64_t seed, size_t counter, size_t bound)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t c[4] = {(uint32_t)counter, (uint32_t)((uint64_t)counter >> 32), 0x666f6c64u, 0};
    qv_philox4 r = qv_philox(c, key);
    return (size_t)(((uint64_t)r.v[0] * bound) >> 32);
}

qv_status qv_shuffle_classes(qv_ctx *ctx, const qv_manifest *m, uint64_t seed, size_t **order, size_t *n)
{
    qv_status status = qv_alloc(ctx, order, m->n, sizeof **order);
    *n = 0;
    if (status != QV_OK) return status;
    for (int c = 0; c < m->n_classes; c++) {
        size_t begin = *n;
        for (size_t i = 0; i < m->n; i++) {
            if (m->items[i].label == c) (*order)[(*n)++] = i;
        }
        for (size_t i = *n; i > begin + 1; i--) {
            size_t j = begin + draw(seed, i, i - begin), t = (*order)[i - 1];
            (*order)[i - 1] = (*order)[j];
            (*order)[j] = t;
        }
    }
    return QV_OK;
}

qv_status qv_group_at_random(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, int k, uint64_t seed)
{
    qv_status status = QV_OK;
    size_t *order = NULL, n;
    if (k < 2 || (size_t)k > m->n) {
        return qv_fail(ctx, QV_ERR_USAGE, "%d folds cannot be made of %zu recordings", k, m->n);
    }
    QV_TRY(add_numbers(ctx, g, k));
    QV_TRY(qv_shuffle_classes(ctx, m, seed, &order, &n));
    for (size_t i = 0; i < n; i++) g->group[order[i]] = (int)(i % (size_t)k);
done:
    free(order);
    return status;
}
