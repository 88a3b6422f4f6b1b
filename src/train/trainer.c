#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/beta.h"
#include "base/philox.h"

struct qv_trainer {
    qv_settings settings; /* shallow copy; the texts belong to the caller */
    const qv_dataset *data;
    qv_net *net;
    qv_exec *exec;
    size_t *items;
    size_t n_items;
    int32_t *order;     /* scratch for one epoch's permutation */
    int32_t *by_class;  /* the same, sorted by class; NULL: natural sampling */
    size_t *class_begin; /* [classes + 1] in by_class */
    size_t *turn;        /* [classes] whose turn it is in a round */
    int64_t in_slot[2]; /* which epoch's order each half of the order buffer holds, -1: none */
    const char *task;
    qv_step_state state; /* step: the next to be begun */
    uint64_t done;       /* steps whose loss is known */
    bool broken;         /* a loss was not finite: nothing that is left is worth keeping */
};

void qv_epoch_order(int32_t *order, size_t n, const uint32_t key[2], uint64_t epoch)
{
    for (size_t i = 0; i < n; i++) order[i] = (int32_t)i;
    for (size_t i = n; i > 1; i--) {
        uint32_t counter[4] = {(uint32_t)i, 0, (uint32_t)QV_DRAW_ORDER << 24, (uint32_t)epoch};
        qv_philox4 r = qv_philox(counter, key);
        size_t j = (size_t)(((uint64_t)r.v[0] * i) >> 32);
        int32_t t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}

/* key = hash(seed, fold). */
static void make_key(uint32_t key[2], uint64_t seed, uint64_t fold)
{
    uint64_t words[2] = {seed, fold};
    uint64_t h = XXH3_64bits(words, sizeof words);
    key[0] = (uint32_t)h;
    key[1] = (uint32_t)(h >> 32);
}

/* 1, or n / (classes * n of the class): every class weighs the same. */
static qv_status write_class_weights(qv_ctx *ctx, qv_trainer *t)
{
    size_t classes = (size_t)t->net->config.classes;
    double *weights;
    qv_status status = qv_alloc(ctx, &weights, classes, sizeof *weights);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < t->n_items; i++) weights[t->data->utterances[t->items[i]].label]++;
    for (size_t k = 0; k < classes; k++) {
        bool balanced = t->settings.class_weights == QV_WEIGHTS_BALANCED && !t->by_class && weights[k] > 0;
        weights[k] = balanced ? (double)t->n_items / ((double)classes * weights[k]) : 1;
    }
    qv_exec_write(t->exec, t->net->class_weights, 0, classes, weights);
    free(weights);
    return QV_OK;
}

static float rate_of(const void *user, uint64_t step) { return (float)qv_trainer_rate(user, step); }

/* The middle of each of so many equally likely parts. */
static void write_quantiles(qv_trainer *t)
{
    float quantiles[QV_QUANTILES];
    double a = (double)t->net->config.mixup;
    if (t->net->quantiles < 0) return;
    for (int i = 0; i < QV_QUANTILES; i++) quantiles[i] = (float)qv_beta_quantile(a, a, (i + 0.5) / QV_QUANTILES);
    qv_exec_write_bytes(t->exec, t->net->quantiles, 0, sizeof quantiles, quantiles);
}

static qv_status start_parameters(qv_ctx *ctx, qv_trainer *t)
{
    const qv_program *p = t->net->program;
    qv_status status = QV_OK;
    double *values = NULL;
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        if (!qv_buffer_is_learned(b)) continue;
        size_t n = qv_buffer_len(b);
        QV_TRY(qv_alloc(ctx, &values, n, sizeof *values));
        qv_init_values(p, (int)i, t->state.key, values);
        qv_exec_write(t->exec, (int)i, 0, n, values);
        free(values);
        values = NULL;
    }
done:
    free(values);
    return status;
}

static qv_status copy_items(qv_ctx *ctx, qv_trainer *t, const qv_trainer_options *o, int classes)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &t->items, o->n_items, sizeof *t->items));
    QV_TRY(qv_alloc(ctx, &t->order, o->n_items, sizeof *t->order));
    if (t->settings.sampling == QV_SAMPLING_BALANCED) {
        QV_TRY(qv_alloc(ctx, &t->by_class, o->n_items, sizeof *t->by_class));
        QV_TRY(qv_alloc(ctx, &t->class_begin, (size_t)classes + 1, sizeof *t->class_begin));
        QV_TRY(qv_alloc(ctx, &t->turn, (size_t)classes, sizeof *t->turn));
    }
    if (o->n_items) memcpy(t->items, o->items, o->n_items * sizeof *t->items);
    t->n_items = o->n_items;
    for (size_t i = 0; i < t->n_items; i++) {
        const qv_utterance *u = &t->data->utterances[t->items[i]];
        if (u->frames < 1 || u->label < 0)
            return qv_fail(ctx, QV_ERR_INTERNAL, "recording %zu has no frames or no label and is to be trained on",
                           t->items[i]);
    }
done:
    return status;
}

qv_status qv_trainer_new(qv_ctx *ctx, qv_trainer **out, const qv_settings *s, const qv_dataset *d,
                         const qv_trainer_options *o, int classes)
{
    qv_status status = QV_OK;
    qv_trainer *t = NULL;
    *out = NULL;
    if (d->rows < 1) /* its scale would stay 0, and with it every input */
        return qv_fail(ctx, QV_ERR_USAGE, "the dataset has %d rows of normalization; at least one is needed", d->rows);
    QV_TRY(qv_alloc(ctx, &t, 1, sizeof *t));
    t->settings = *s;
    t->data = d;
    t->task = o->task ? o->task : "training";
    t->in_slot[0] = t->in_slot[1] = -1;
    QV_TRY(copy_items(ctx, t, o, classes));
    qv_net_config c = qv_settings_net(s);
    c.classes = classes;
    c.set_size = (int)o->n_items;
    c.utterances = (int)d->n;
    c.norms = d->rows;
    c.augment.voices = d->voices;
    c.measure |= o->measure;
    QV_TRY(qv_net_new(ctx, &t->net, &c, &(qv_net_options){.embedding = o->embeddings}));
    if (o->n_items == 0) /* what never runs needs no memory */
        t->net->program->lists[QV_LIST_TRAIN].n = t->net->program->lists[QV_LIST_MEASURE].n = 0;
    qv_exec_options e = qv_settings_exec(s);
    e.gpu = o->gpu;
    e.resident_limit = o->resident_limit;
    e.loop = (qv_loop){.state = t->net->state, .loss = t->net->loss, .rate = rate_of, .user = t};
    e.pool = o->pool;
    e.no_fuse = o->no_fuse;
    e.keep_buffers = o->keep_buffers;
    e.poison = o->poison;
    e.profile = o->profile;
    e.direct = o->direct;
    QV_TRY(qv_exec_new(ctx, &t->exec, t->net->program, &e));
    make_key(t->state.key, s->seed, o->fold);
    t->state.batch = (uint32_t)c.batch;
    t->state.set_size = o->n_items ? o->n_items : 1;
    QV_TRY(qv_trainer_use(ctx, t, d));
    QV_TRY(start_parameters(ctx, t));
    QV_TRY(write_class_weights(ctx, t));
    write_quantiles(t);
    QV_TRY(qv_exec_check(ctx, t->exec));
    *out = t;
    t = NULL;
done:
    qv_trainer_free(t);
    return status;
}

qv_status qv_trainer_use(qv_ctx *ctx, qv_trainer *t, const qv_dataset *d)
{
    size_t mels = (size_t)qv_net_values(&t->net->config);
    size_t norm_bytes = (size_t)d->rows * 2 * mels * sizeof *d->norm;
    size_t frames = (size_t)d->features->frames;
    qv_status status = qv_exec_bind(ctx, t->exec, t->net->feats, d->features->data, frames * mels * sizeof(float));
    if (status != QV_OK) return status;
    t->data = d;
    qv_exec_write_bytes(t->exec, t->net->utts, 0, d->n * sizeof *d->utterances, d->utterances);
    qv_exec_write_bytes(t->exec, t->net->norm, 0, norm_bytes, d->norm);
    return QV_OK;
}

void qv_trainer_free(qv_trainer *t)
{
    if (!t) return;
    qv_exec_free(t->exec);
    qv_net_free(t->net);
    free(t->items);
    free(t->order);
    free(t->by_class);
    free(t->class_begin);
    free(t->turn);
    free(t);
}

uint64_t qv_trainer_step(const qv_trainer *t) { return t->done; }
void qv_trainer_set_step(qv_trainer *t, uint64_t step) { t->state.step = t->done = step; }
bool qv_trainer_broken(const qv_trainer *t) { return t->broken; }
qv_net *qv_trainer_net(qv_trainer *t) { return t->net; }
qv_exec *qv_trainer_exec(qv_trainer *t) { return t->exec; }

const size_t *qv_trainer_items(const qv_trainer *t, size_t *n)
{
    *n = t->n_items;
    return t->items;
}

uint64_t qv_steps(double epochs, size_t recordings, size_t batch)
{
    return (uint64_t)ceil(epochs * (double)recordings / (double)batch);
}

uint64_t qv_trainer_steps(const qv_trainer *t, double epochs)
{
    return qv_steps(epochs, (size_t)t->state.set_size, (size_t)t->state.batch);
}

/* How often step_epochs passes have ended when the step begins. Exact where step_epochs is a whole number: fewer than
 * 2^53 recordings are seen whatever the settings, and a quotient of such numbers is not rounded up to a whole one. */
static double falls(const qv_trainer *t, uint64_t step)
{
    return floor((double)step * (double)t->state.batch / (t->settings.step_epochs * (double)t->state.set_size));
}

double qv_trainer_rate(const qv_trainer *t, uint64_t step)
{
    double total = (double)qv_trainer_steps(t, t->settings.epochs);
    double warm = fmin((double)qv_trainer_steps(t, t->settings.warmup), total);
    if ((double)step < warm) return t->settings.lr * ((double)step + 1) / warm;
    if (t->settings.schedule == QV_SCHEDULE_CONSTANT) return t->settings.lr;
    if (t->settings.schedule == QV_SCHEDULE_STEP) return t->settings.lr * pow(t->settings.step_factor, falls(t, step));
    double done = total > warm ? fmin(((double)step - warm) / (total - warm), 1) : 1;
    return t->settings.lr * 0.5 * (1 + cos(3.14159265358979323846 * done));
}

/* One round of classes, anew for each where rows of a batch are mixed: a fixed one would mix the same two always.
 * Word 1 of the counter sets these draws apart from those of the epoch's order. */
static void deal_classes(const qv_trainer *t, size_t classes, uint64_t epoch, size_t round)
{
    size_t *turn = t->turn;
    const size_t start = (size_t)(epoch % classes * (t->n_items % classes) % classes);
    for (size_t k = 0; k < classes; k++) turn[k] = (start + k) % classes;
    for (size_t k = classes; t->settings.mixup > 0 && k > 1; k--) {
        const uint32_t counter[4] = {(uint32_t)(round * classes + k), 1, (uint32_t)QV_DRAW_ORDER << 24, (uint32_t)epoch};
        const qv_philox4 r = qv_philox(counter, t->state.key);
        const size_t other = (size_t)(((uint64_t)r.v[0] * k) >> 32), swap = turn[k - 1];
        turn[k - 1] = turn[other];
        turn[other] = swap;
    }
}

/* Classes in turn, each with its recordings in the order that the epoch gave them, from the first again when they
 * are through: as many draws as before, every class as often as the others. */
static void balance_order(qv_trainer *t, uint64_t epoch)
{
    size_t classes = (size_t)t->net->config.classes, n = t->n_items, round = 0;
    size_t *begin = t->class_begin;
    for (size_t k = 0; k <= classes; k++) begin[k] = 0;
    for (size_t i = 0; i < n; i++) begin[t->data->utterances[t->order[i]].label + 1]++;
    for (size_t k = 0; k < classes; k++) begin[k + 1] += begin[k];
    for (size_t i = 0; i < n; i++) t->by_class[begin[t->data->utterances[t->order[i]].label]++] = t->order[i];
    for (size_t k = classes; k > 0; k--) begin[k] = begin[k - 1];
    begin[0] = 0;
    for (size_t i = 0; i < n; round++) {
        deal_classes(t, classes, epoch, round);
        for (size_t k = 0; k < classes && i < n; k++) {
            const size_t class = t->turn[k], count = begin[class + 1] - begin[class];
            if (count > 0) t->order[i++] = t->by_class[begin[class] + round % count];
        }
    }
}

/* Makes sure that the order buffer holds the epoch. */
static void put_order(qv_trainer *t, uint64_t epoch)
{
    size_t slot = (size_t)(epoch & 1), n = t->n_items;
    if (t->in_slot[slot] == (int64_t)epoch) return;
    qv_epoch_order(t->order, n, t->state.key, epoch);
    for (size_t i = 0; i < n; i++) t->order[i] = (int32_t)t->items[t->order[i]];
    if (t->by_class) balance_order(t, epoch);
    qv_exec_write_bytes(t->exec, t->net->order, slot * n * sizeof *t->order, n * sizeof *t->order, t->order);
    t->in_slot[slot] = (int64_t)epoch;
}

/* Begins the next step. */
static qv_status begin_step(qv_ctx *ctx, qv_trainer *t)
{
    uint64_t first = t->state.step * t->state.batch;
    put_order(t, first / t->state.set_size);
    put_order(t, (first + t->state.batch - 1) / t->state.set_size);
    qv_status status = qv_exec_submit(ctx, t->exec, &t->state);
    if (status == QV_OK) t->state.step++;
    return status;
}

/* Waits for the oldest step on its way. */
static qv_status end_step(qv_ctx *ctx, qv_trainer *t, qv_loss *loss)
{
    double sums[2];
    qv_status status = qv_exec_collect(ctx, t->exec, sums);
    if (status != QV_OK) return status;
    double one = sums[0] / sums[1];
    if (!isfinite(one)) {
        t->broken = true;
        return qv_fail(ctx, QV_ERR_NUMERIC, "the loss became %s at step %llu", isnan(one) ? "nan" : "infinite",
                       (unsigned long long)t->done);
    }
    t->done++;
    loss->sum += one;
    loss->steps++;
    return QV_OK;
}

/* May another step be begun before the oldest one ends? */
static bool has_room(const qv_trainer *t, uint64_t end)
{
    return t->state.step < end && t->state.step - t->done < qv_exec_depth(t->exec);
}

qv_status qv_trainer_run(qv_ctx *ctx, qv_trainer *t, uint64_t epochs, qv_loss *loss)
{
    qv_status status = QV_OK, wish = QV_OK;
    uint64_t end = qv_trainer_steps(t, (double)epochs), total = qv_trainer_steps(t, t->settings.epochs);
    if (t->broken) return qv_fail(ctx, QV_ERR_NUMERIC, "a loss was not finite: this training cannot go on");
    bool saving = false; /* then, as after an interruption, what is under way is ended and no more begun */
    while (t->done < end && ((wish == QV_OK && !saving) || t->done < t->state.step)) {
        while (wish == QV_OK && !saving && has_room(t, end)) {
            wish = qv_poll(ctx);
            saving = wish == QV_OK && qv_save_wanted(ctx);
            if (wish == QV_OK && !saving) QV_TRY(begin_step(ctx, t));
        }
        if (t->done == t->state.step) break;
        QV_TRY(end_step(ctx, t, loss));
        qv_report(ctx, t->task, "steps", (double)t->done, (double)total);
    }
    status = wish;
done:
    return status;
}

/* What is read of every window, and where the means of a recording's go. */
typedef struct window_result {
    int buffer;
    size_t width; /* numbers a window */
    const char *what;
    double *read; /* of one batch */
    double *mean; /* [asked recordings][width]; NULL: nobody asks */
} window_result;

enum { WINDOW_RESULTS = 2 };

/* Evaluation windows collected until a batch is full. */
typedef struct window_batch {
    qv_window *windows;
    size_t *owner; /* which of the asked recordings each window belongs to */
    double *share; /* 1 / windows of that recording */
    size_t n, size;
    window_result results[WINDOW_RESULTS];
} window_batch;

static qv_status add_shares(qv_ctx *ctx, qv_trainer *t, const window_batch *b, const window_result *r)
{
    qv_exec_read(t->exec, r->buffer, 0, b->size * r->width, r->read);
    qv_status status = qv_exec_check(ctx, t->exec);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < b->n; i++)
        for (size_t k = 0; k < r->width; k++) {
            double x = r->read[i * r->width + k];
            if (!isfinite(x))
                return qv_fail(ctx, QV_ERR_NUMERIC, "the %s of recording %d are not finite: the weights are damaged", r->what,
                               b->windows[i].utterance);
            r->mean[b->owner[i] * r->width + k] += b->share[i] * x;
        }
    return QV_OK;
}

static qv_status flush(qv_ctx *ctx, qv_trainer *t, window_batch *b)
{
    qv_status status = qv_poll(ctx);
    if (status != QV_OK) return status;
    for (size_t i = b->n; i < b->size; i++) b->windows[i] = (qv_window){-1, 0};
    qv_exec_write_bytes(t->exec, t->net->state, 0, sizeof t->state, &t->state);
    qv_exec_write_bytes(t->exec, t->net->windows, 0, b->size * sizeof *b->windows, b->windows);
    status = qv_exec_run(ctx, t->exec, QV_LIST_EVAL);
    for (int i = 0; i < WINDOW_RESULTS && status == QV_OK; i++)
        if (b->results[i].mean) status = add_shares(ctx, t, b, &b->results[i]);
    b->n = 0;
    return status;
}

static qv_status add_windows(qv_ctx *ctx, qv_trainer *t, window_batch *b, size_t item, size_t owner, bool full)
{
    int frames = t->data->utterances[item].frames, patch = t->net->config.frames;
    int count = qv_window_count(frames, patch, full);
    for (int i = 0; i < count; i++) {
        b->windows[b->n] = (qv_window){(int32_t)item, qv_window_start(frames, patch, full, i)};
        b->owner[b->n] = owner;
        b->share[b->n] = 1.0 / count;
        if (++b->n < b->size) continue;
        qv_status status = flush(ctx, t, b);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

/* Room for a batch, and means that start as zeros. */
static qv_status open_windows(qv_ctx *ctx, window_batch *b, size_t n)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &b->windows, b->size, sizeof *b->windows));
    QV_TRY(qv_alloc(ctx, &b->owner, b->size, sizeof *b->owner));
    QV_TRY(qv_alloc(ctx, &b->share, b->size, sizeof *b->share));
    for (int i = 0; i < WINDOW_RESULTS; i++) {
        window_result *r = &b->results[i];
        if (!r->mean) continue;
        QV_TRY(qv_alloc(ctx, &r->read, b->size * r->width, sizeof *r->read));
        for (size_t k = 0; k < n * r->width; k++) r->mean[k] = 0;
    }
done:
    return status;
}

static void close_windows(window_batch *b)
{
    free(b->windows);
    free(b->owner);
    free(b->share);
    for (int i = 0; i < WINDOW_RESULTS; i++) free(b->results[i].read);
}

qv_status qv_trainer_embed(qv_ctx *ctx, qv_trainer *t, const size_t *items, size_t n, bool full, double *probs,
                           double *embeddings)
{
    const qv_net *net = t->net;
    qv_status status = QV_OK;
    window_batch b = {.size = (size_t)net->config.batch,
                      .results = {{net->eval_probs, (size_t)net->config.classes, "probabilities", NULL, probs},
                                  {net->embedding, (size_t)net->embedding_size, "embeddings", NULL, embeddings}}};
    if (embeddings && net->embedding < 0)
        return qv_fail(ctx, QV_ERR_INTERNAL, "embeddings were not asked for when the network was made");
    QV_TRY(open_windows(ctx, &b, n));
    for (size_t i = 0; i < n; i++)
        if (t->data->utterances[items[i]].frames > 0) QV_TRY(add_windows(ctx, t, &b, items[i], i, full));
    if (b.n > 0) QV_TRY(flush(ctx, t, &b));
done:
    close_windows(&b);
    return status;
}

qv_status qv_trainer_predict(qv_ctx *ctx, qv_trainer *t, const size_t *items, size_t n, bool full, double *probs)
{
    return qv_trainer_embed(ctx, t, items, n, full, probs, NULL);
}
