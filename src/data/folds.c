#include "data/folds.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/folds_own.h"
#include "data/manifest_own.h"

void qv_folds_free(qv_folds *folds)
{
    if (!folds) return;
    for (size_t i = 0; folds->folds && i < folds->n; i++) free(folds->folds[i].part);
    free(folds->folds);
    free(folds);
}

/* Bytes of all folds' parts, one for each recording and fold. */
static const size_t most_parts = (size_t)1 << 31;

static qv_status new_folds(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, size_t n, bool random)
{
    qv_status status = QV_OK;
    qv_folds *folds = NULL;
    if (n > QV_MOST_FOLDS || n * m->n > most_parts)
        return qv_fail(ctx, QV_ERR_DATA,
                       "%zu folds of %zu recordings are too many: %d folds at most, each of them a training; a number, such "
                       "as --folds 10, puts speakers together",
                       n, m->n, QV_MOST_FOLDS);
    QV_TRY(qv_alloc(ctx, &folds, 1, sizeof *folds));
    folds->random = random;
    folds->n = n;
    QV_TRY(qv_alloc(ctx, &folds->folds, n, sizeof *folds->folds));
    for (size_t i = 0; i < n; i++) QV_TRY(qv_alloc(ctx, &folds->folds[i].part, m->n, 1));
    *out = folds;
    folds = NULL;
done:
    qv_folds_free(folds);
    return status;
}

static bool name_taken(const qv_folds *folds, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(folds->folds[i].name, name) == 0) return true;
    }
    return false;
}

/* Names come from files and become names of files. */
static void name_fold(qv_folds *folds, size_t index, const char *name)
{
    char *out = folds->folds[index].name;
    size_t n = strnlen(name, QV_FOLD_NAME - 12);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        bool fine = c < 0x80 && (isalnum(c) || c == '-' || c == '_' || (c == '.' && i > 0));
        out[i] = fine ? (char)c : '_';
    }
    out[n] = '\0';
    for (unsigned again = 2; name_taken(folds, index, out); again++) snprintf(out + n, 12, "-%u", again);
}

/* Speakers matter and one has no name, or one stands in two groups. */
static qv_status check_speakers(qv_ctx *ctx, const qv_manifest *m, const int *group)
{
    qv_status status = QV_OK;
    const qv_item **first = NULL;
    char a[512], b[512];
    QV_TRY(qv_alloc(ctx, &first, (size_t)m->n_speakers, sizeof *first));
    for (size_t i = 0; i < m->n; i++) {
        const qv_item *item = &m->items[i];
        if (group[i] == QV_GROUP_OUT) continue;
        if (strcmp(item->speaker, QV_NO_SPEAKER) == 0) {
            status =
                qv_fail(ctx, QV_ERR_DATA,
                        "%s: no speaker; recordings of one speaker on both sides would make results too good. Fill "
                        "the column 'speaker', or ask for a random split in so many words",
                        qv_item_place(m, item, a, sizeof a));
            goto done;
        }
        const qv_item **mine = &first[item->speaker_id];
        if (!*mine) *mine = item;
        if (group[*mine - m->items] == group[i]) continue;
        status = qv_fail(ctx, QV_ERR_DATA,
                         "%s: speaker '%s' stands also in another part (%s); parts must not share speakers unless a "
                         "random split is asked for in so many words",
                         qv_item_place(m, item, a, sizeof a), item->speaker, qv_item_place(m, *mine, b, sizeof b));
        goto done;
    }
done:
    free(first);
    return status;
}

static qv_status folds_of_groups(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, const qv_grouping *g, bool random)
{
    qv_status status = QV_OK;
    if (!random) QV_TRY(check_speakers(ctx, m, g->group));
    QV_TRY(new_folds(ctx, out, m, g->n, random));
    for (size_t k = 0; k < g->n; k++) {
        qv_fold *fold = &(*out)->folds[k];
        name_fold(*out, k, g->names[k]);
        for (size_t i = 0; i < m->n; i++) {
            if (g->group[i] == QV_GROUP_OUT || m->items[i].label < 0) continue;
            fold->part[i] = g->group[i] == (int)k ? QV_PART_TEST : QV_PART_TRAIN;
        }
    }
done:
    return status;
}

/* What holding out by turns needs to know of the speakers who train. */
typedef struct holding {
    const qv_manifest *m;
    qv_fold *fold;
    size_t *items;      /* [speakers][classes] recordings that train */
    size_t *totals;     /* [classes] */
    int *gender;        /* [speakers] */
    int *there, *taken; /* [genders] speakers who train at first; held out */
} holding;

static qv_status holding_open(qv_ctx *ctx, holding *h)
{
    enum { MOST_COUNTS = 1 << 26 };
    qv_status status = QV_OK;
    const qv_manifest *m = h->m;
    size_t classes = (size_t)m->n_classes;
    int genders;
    if ((size_t)m->n_speakers * classes > MOST_COUNTS)
        return qv_fail(ctx, QV_ERR_DATA, "%d speakers with %d classes are too many to hold some of them out; give a split or folds",
                       m->n_speakers, m->n_classes);
    QV_TRY(qv_speaker_genders(ctx, m, &h->gender, &genders));
    QV_TRY(qv_alloc(ctx, &h->items, (size_t)m->n_speakers * classes, sizeof *h->items));
    QV_TRY(qv_alloc(ctx, &h->totals, classes, sizeof *h->totals));
    QV_TRY(qv_alloc(ctx, &h->there, (size_t)genders, sizeof *h->there));
    QV_TRY(qv_alloc(ctx, &h->taken, (size_t)genders, sizeof *h->taken));
    for (size_t i = 0; i < m->n; i++) {
        if (h->fold->part[i] != QV_PART_TRAIN) continue;
        h->items[(size_t)m->items[i].speaker_id * classes + (size_t)m->items[i].label]++;
        h->totals[m->items[i].label]++;
    }
    for (int s = 0; s < m->n_speakers; s++) {
        size_t n = 0;
        for (size_t c = 0; c < classes; c++) n += h->items[(size_t)s * classes + c];
        h->there[h->gender[s]] += n > 0;
    }
done:
    return status;
}

static void holding_close(holding *h)
{
    free(h->gender);
    free(h->items);
    free(h->totals);
    free(h->there);
    free(h->taken);
}

/* Trains, and each class keeps a recording without this speaker. */
static bool may_go(const holding *h, int speaker)
{
    size_t classes = (size_t)h->m->n_classes, n = 0;
    const size_t *mine = h->items + (size_t)speaker * classes;
    for (size_t c = 0; c < classes; c++) {
        if (mine[c] > 0 && mine[c] == h->totals[c]) return false;
        n += mine[c];
    }
    return n > 0;
}

/* The next from `start` on among those of the gender that has given least for its number; -1: nobody may go. */
static int next_to_go(const holding *h, int start)
{
    int best = -1, n = h->m->n_speakers;
    for (int k = 0; k < n; k++) {
        int s = (start + k) % n;
        if (!may_go(h, s)) continue;
        int g = h->gender[s], b = best < 0 ? 0 : h->gender[best];
        if (best < 0 || (int64_t)h->taken[g] * h->there[b] < (int64_t)h->taken[b] * h->there[g]) best = s;
    }
    return best;
}

static void let_go(holding *h, int speaker, qv_part to)
{
    size_t classes = (size_t)h->m->n_classes;
    h->taken[h->gender[speaker]]++;
    for (size_t i = 0; i < h->m->n; i++) {
        if (h->m->items[i].speaker_id == speaker && h->fold->part[i] == QV_PART_TRAIN)
            h->fold->part[i] = (unsigned char)to;
    }
    for (size_t c = 0; c < classes; c++) {
        h->totals[c] -= h->items[(size_t)speaker * classes + c];
        h->items[(size_t)speaker * classes + c] = 0;
    }
}

/* Moves `count` speakers from the training part to another. */
static qv_status hold_out(qv_ctx *ctx, const qv_manifest *m, qv_fold *fold, int count, qv_part to)
{
    qv_status status = QV_OK;
    holding h = {.m = m, .fold = fold};
    int start = 0;
    QV_TRY(holding_open(ctx, &h));
    for (size_t i = 0; i < m->n; i++) {
        int s = m->items[i].speaker_id;
        if (fold->part[i] == QV_PART_TEST && (start == 0 || s + 1 < start)) start = s + 1;
    }
    for (int k = 0; k < count; k++) {
        int s = next_to_go(&h, start);
        if (s < 0) {
            status = qv_fail(ctx, QV_ERR_DATA,
                             "fold %s: %d speakers for %s were asked for, %d can be had without leaving a class out of "
                             "training",
                             fold->name, count, to == QV_PART_VAL ? "validation" : "the test", k);
            goto done;
        }
        let_go(&h, s, to);
    }
done:
    holding_close(&h);
    return status;
}

static qv_status part_named(qv_ctx *ctx, const qv_manifest *m, const qv_item *item, qv_part *part)
{
    static const struct {
        const char *name;
        qv_part part;
    } names[] = {{"train", QV_PART_TRAIN}, {"val", QV_PART_VAL},        {"dev", QV_PART_VAL},
                 {"valid", QV_PART_VAL},   {"validation", QV_PART_VAL}, {"test", QV_PART_TEST}};
    *part = QV_PART_UNUSED;
    if (!item->split) return QV_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(item->split, names[i].name) != 0) continue;
        *part = names[i].part;
        return QV_OK;
    }
    char place[512];
    return qv_fail(ctx, QV_ERR_DATA, "%s: split '%s' is none of train, val and test",
                   qv_item_place(m, item, place, sizeof place), item->split);
}

static qv_status split_by_column(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, bool random)
{
    qv_status status = QV_OK;
    int *group = NULL;
    QV_TRY(new_folds(ctx, out, m, 1, random));
    name_fold(*out, 0, "split");
    QV_TRY(qv_alloc(ctx, &group, m->n, sizeof *group));
    for (size_t i = 0; i < m->n; i++) {
        qv_part part;
        QV_TRY(part_named(ctx, m, &m->items[i], &part));
        group[i] = part == QV_PART_UNUSED ? QV_GROUP_OUT : (int)part;
        if (m->items[i].label >= 0) (*out)->folds[0].part[i] = (unsigned char)part;
    }
    if (!random) QV_TRY(check_speakers(ctx, m, group));
done:
    free(group);
    return status;
}

static qv_status check_fraction(qv_ctx *ctx, const qv_fold_options *o)
{
    if (o->test_fraction > 0 && o->test_fraction < 1) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "one split needs a test fraction between 0 and 1, not %g", o->test_fraction);
}

static qv_status split_speakers(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, const qv_fold_options *o)
{
    qv_status status = QV_OK;
    int *group = NULL, count = (int)(o->test_fraction * m->n_speakers + 0.5);
    QV_TRY(check_fraction(ctx, o));
    QV_TRY(qv_alloc(ctx, &group, m->n, sizeof *group));
    for (size_t i = 0; i < m->n; i++) group[i] = m->items[i].speaker_id;
    QV_TRY(check_speakers(ctx, m, group));
    QV_TRY(new_folds(ctx, out, m, 1, false));
    name_fold(*out, 0, "split");
    for (size_t i = 0; i < m->n; i++)
        (*out)->folds[0].part[i] = m->items[i].label >= 0 ? QV_PART_TRAIN : QV_PART_UNUSED;
    QV_TRY(hold_out(ctx, m, &(*out)->folds[0], count > 0 ? count : 1, QV_PART_TEST));
done:
    free(group);
    return status;
}

/* The first of each class's shuffled recordings that train become `to`. */
static qv_status deal_out(qv_ctx *ctx, const qv_manifest *m, qv_fold *fold, double fraction, qv_part to, uint64_t seed)
{
    size_t *order = NULL, n;
    qv_status status = qv_shuffle_classes(ctx, m, seed, &order, &n);
    for (size_t begin = 0; status == QV_OK && begin < n;) {
        size_t end = begin, mine = 0, moved = 0;
        int label = m->items[order[begin]].label;
        for (; end < n && m->items[order[end]].label == label; end++) mine += fold->part[order[end]] == QV_PART_TRAIN;
        size_t want = (size_t)(fraction * (double)mine + 0.5);
        for (size_t i = begin; i < end && moved < want; i++) {
            if (fold->part[order[i]] != QV_PART_TRAIN) continue;
            fold->part[order[i]] = (unsigned char)to;
            moved++;
        }
        begin = end;
    }
    free(order);
    return status;
}

static qv_status split_at_random(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, const qv_fold_options *o)
{
    qv_status status = QV_OK;
    QV_TRY(check_fraction(ctx, o));
    QV_TRY(new_folds(ctx, out, m, 1, true));
    name_fold(*out, 0, "random");
    for (size_t i = 0; i < m->n; i++)
        (*out)->folds[0].part[i] = m->items[i].label >= 0 ? QV_PART_TRAIN : QV_PART_UNUSED;
    QV_TRY(deal_out(ctx, m, &(*out)->folds[0], o->test_fraction, QV_PART_TEST, o->seed));
done:
    return status;
}

static qv_status count_fold(qv_ctx *ctx, const qv_manifest *m, qv_fold *fold)
{
    unsigned *seen; /* a bit for each part that the speaker is in */
    qv_status status = qv_alloc(ctx, &seen, (size_t)m->n_speakers, sizeof *seen);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) {
        fold->items[fold->part[i]]++;
        seen[m->items[i].speaker_id] |= 1u << fold->part[i];
    }
    const unsigned train = 1u << QV_PART_TRAIN, val = 1u << QV_PART_VAL, test = 1u << QV_PART_TEST;
    for (int s = 0; s < m->n_speakers; s++) {
        for (unsigned p = 0; p < QV_PARTS; p++) fold->speakers[p] += (int)(seen[s] >> p & 1);
        fold->overlap += (seen[s] & test) && (seen[s] & (train | val));
    }
    free(seen);
    return QV_OK;
}

static bool has_part(const qv_manifest *m, const qv_fold *fold, qv_part part)
{
    return m->n > 0 && memchr(fold->part, (int)part, m->n) != NULL;
}

static qv_status check_fold(qv_ctx *ctx, const qv_manifest *m, const qv_fold *fold)
{
    if (!has_part(m, fold, QV_PART_TEST)) return qv_fail(ctx, QV_ERR_DATA, "fold %s tests no recording", fold->name);
    for (int c = 0; c < m->n_classes; c++) {
        bool trained = false;
        for (size_t i = 0; i < m->n && !trained; i++) {
            trained = fold->part[i] == QV_PART_TRAIN && m->items[i].label == c;
        }
        if (trained) continue;
        return qv_fail(
            ctx, QV_ERR_DATA,
            "fold %s leaves no recording of '%s' to train on; cut the folds otherwise or leave the class out "
            "by --labels",
            fold->name, m->classes[c]);
    }
    return QV_OK;
}

/* Validation, counts and checks of every fold. */
static qv_status finish_folds(qv_ctx *ctx, qv_folds *folds, const qv_manifest *m, const qv_fold_options *o)
{
    qv_status status = QV_OK;
    for (size_t k = 0; k < folds->n; k++) {
        qv_fold *fold = &folds->folds[k];
        double share = (double)o->val_speakers / (m->n_speakers > 0 ? m->n_speakers : 1);
        QV_TRY(check_fold(ctx, m, fold));
        folds->val_given = folds->val_given || has_part(m, fold, QV_PART_VAL);
        if (o->val_speakers > 0 && !has_part(m, fold, QV_PART_VAL)) {
            QV_TRY(folds->random ? deal_out(ctx, m, fold, share < 0.5 ? share : 0.5, QV_PART_VAL, ~o->seed)
                                 : hold_out(ctx, m, fold, o->val_speakers, QV_PART_VAL));
        }
        if (folds->random) QV_TRY(check_fold(ctx, m, fold));
        QV_TRY(count_fold(ctx, m, fold));
    }
done:
    return status;
}

bool qv_folds_validated(const qv_folds *folds)
{
    bool any = false;
    for (size_t k = 0; k < folds->n; k++) any = any || folds->folds[k].items[QV_PART_VAL] > 0;
    return any;
}

qv_status qv_folds_left_out(qv_ctx *ctx, const qv_folds *folds, const qv_manifest *m, qv_buf *text)
{
    enum { SHOWN = 8 };
    size_t *left; /* recordings of each speaker */
    size_t recordings = 0, speakers = 0;
    qv_status status = qv_alloc(ctx, &left, (size_t)m->n_speakers, sizeof *left);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) {
        bool used = m->items[i].label < 0;
        for (size_t k = 0; k < folds->n && !used; k++) used = folds->folds[k].part[i] != QV_PART_UNUSED;
        recordings += !used;
        speakers += !used && left[m->items[i].speaker_id]++ == 0;
    }
    if (recordings) {
        qv_buf_printf(text, "%zu recording%s of %zu speaker%s in no fold (", recordings, recordings == 1 ? "" : "s",
                      speakers, speakers == 1 ? " are" : "s are");
        for (int k = 0, shown = 0; k < m->n_speakers && shown <= SHOWN; k++) {
            if (left[k] == 0) continue;
            qv_buf_printf(text, "%s%s", shown ? ", " : "", shown == SHOWN ? ".." : m->speakers[k]);
            shown++;
        }
        qv_buf_puts(text, ")");
    }
    free(left);
    return qv_buf_check(ctx, text);
}

/* 0 where the text is not a plain number. */
static int group_count(const char *spec)
{
    size_t n = strspn(spec, "0123456789");
    return n > 0 && n < 7 && spec[n] == '\0' ? (int)strtol(spec, NULL, 10) : 0;
}

static qv_status make_groups(qv_ctx *ctx, qv_grouping *g, const qv_manifest *m, const char *spec,
                             const qv_fold_options *o)
{
    if (strcmp(spec, "column") == 0) return qv_group_by_column(ctx, g, m, QV_COLUMN_FOLD, true);
    if (group_count(spec) > 0 && o->random) return qv_group_at_random(ctx, g, m, group_count(spec), o->seed);
    if (o->random) {
        return qv_fail(ctx, QV_ERR_USAGE,
                       "folds '%s' are never random; a random split goes with a number of folds, or "
                       "none",
                       spec);
    }
    if (strcmp(spec, "speaker") == 0) return qv_group_by_speaker(ctx, g, m);
    if (strcmp(spec, "corpus") == 0) return qv_group_by_column(ctx, g, m, QV_COLUMN_CORPUS, false);
    if (strcmp(spec, "session") == 0) return qv_group_by_column(ctx, g, m, QV_COLUMN_SESSION, false);
    if (group_count(spec) > 0) return qv_group_evenly(ctx, g, m, group_count(spec));
    return qv_group_by_file(ctx, g, m, spec);
}

static qv_status grouped_folds(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, const char *spec,
                               const qv_fold_options *o)
{
    qv_status status = QV_OK;
    qv_grouping g = {0};
    QV_TRY(qv_alloc(ctx, &g.group, m->n, sizeof *g.group));
    for (size_t i = 0; i < m->n; i++) g.group[i] = QV_GROUP_OUT;
    QV_TRY(make_groups(ctx, &g, m, spec, o));
    QV_TRY(folds_of_groups(ctx, out, m, &g, o->random));
done:
    qv_free_texts(g.names, g.n);
    free(g.group);
    return status;
}

static bool has_split(const qv_manifest *m)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].split) return true;
    }
    return false;
}

qv_status qv_folds_make(qv_ctx *ctx, qv_folds **out, const qv_manifest *m, const char *spec,
                        const qv_fold_options *options)
{
    qv_status status = QV_OK;
    qv_folds *folds = NULL;
    *out = NULL;
    bool one = spec[0] == '\0', split = strcmp(spec, "split") == 0, random = strcmp(spec, "random") == 0;
    if (random && !options->random)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "folds 'random': the same speakers would train and test; whoever wants that for comparison says "
                       "so with --split random");
    if (split && !has_split(m))
        return qv_fail(ctx, QV_ERR_DATA,
                       "the manifest has nothing in its column 'split'; --folds speaker needs no column");
    if (random || (one && options->random)) {
        QV_TRY(split_at_random(ctx, &folds, m, options));
    } else if (split || (one && has_split(m))) {
        QV_TRY(split_by_column(ctx, &folds, m, options->random));
    } else if (one) {
        QV_TRY(split_speakers(ctx, &folds, m, options));
    } else {
        QV_TRY(grouped_folds(ctx, &folds, m, spec, options));
    }
    QV_TRY(finish_folds(ctx, folds, m, options));
    *out = folds;
    folds = NULL;
done:
    qv_folds_free(folds);
    return status;
}
