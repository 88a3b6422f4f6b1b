/* Cases and bounds of pooling, the linear layer, the loss, the optimizer and the batches. */
#include <math.h>

#include "backend/check/maker.h"

void qv_make_pool(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m);
    qv_pick_exact(m);
    qv_numbers(m, &m->p->in[0], of, 1);
    m->p->out[0] = qv_shape(of.n, 1, 1, of.c);
}

/* Sum of HW terms and a quotient, or the product with a rounded inverse; the division is exact by a power of two. */
void qv_bound_pool(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t area = (size_t)p->in[0].h * (size_t)p->in[0].w;
    if (p->exact && !qv_power_of_two(area))
        qv_bound_rounded(&expect[0], bound[0], 2);
    else
        qv_bound_by_magnitude(p, expect, bound, (double[]){qv_chain(area) + 2});
}

void qv_make_pool_grad(qv_maker *m)
{
    qv_tensor of = qv_pick_shape(m);
    qv_pick_exact(m);
    qv_numbers(m, &m->p->in[0], qv_shape(of.n, 1, 1, of.c), 1);
    m->p->out[0] = of;
}

void qv_bound_pool_grad(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t area = (size_t)expect[0].h * (size_t)expect[0].w;
    if (!(p->exact && qv_power_of_two(area))) qv_bound_rounded(&expect[0], bound[0], 2);
}

static const struct {
    int n, c, k;
} heads[] = {{1, 1, 1}, {1, 3, 2}, {5, 16, 4}, {64, 64, 8}, {3, 33, 7}, {64, 128, 33}, {300, 16, 4}};

static void pick_head(qv_maker *m, int *n, int *c, int *k)
{
    int i = qv_pick(m, sizeof heads / sizeof *heads);
    *n = heads[i].n, *c = heads[i].c, *k = heads[i].k;
    qv_describe(m, "%d samples %d channels %d classes", *n, *c, *k);
}

void qv_make_linear(qv_maker *m)
{
    int n, c, k;
    pick_head(m, &n, &c, &k);
    qv_pick_exact(m);
    qv_numbers(m, &m->p->in[0], qv_shape(n, 1, 1, c), 1);
    qv_numbers(m, &m->p->in[1], qv_shape(k, 1, 1, c), 1);
    if (qv_pick(m, 2))
        qv_describe(m, " no bias");
    else
        qv_numbers(m, &m->p->in[2], qv_vector(k), 1);
    m->p->out[0] = qv_shape(n, 1, 1, k);
}

void qv_bound_linear(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    qv_bound_sums(p, expect, bound);
}

void qv_make_linear_grad(qv_maker *m)
{
    int n, c, k;
    pick_head(m, &n, &c, &k);
    qv_pick_exact(m);
    qv_numbers(m, &m->p->in[0], qv_shape(n, 1, 1, c), 1);
    qv_numbers(m, &m->p->in[1], qv_shape(k, 1, 1, c), 1);
    qv_numbers(m, &m->p->in[2], qv_shape(n, 1, 1, k), 1);
    m->p->out[0] = qv_shape(n, 1, 1, c);
    m->p->out[1] = qv_shape(k, 1, 1, c);
    if (qv_pick(m, 2))
        qv_describe(m, " no bias");
    else
        m->p->out[2] = qv_vector(k);
}

void qv_bound_linear_grad(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    qv_bound_sums(p, expect, bound);
}

void qv_make_loss(qv_maker *m)
{
    qv_problem *p = m->p;
    int n, unused, k;
    pick_head(m, &n, &unused, &k);
    p->op.a.loss.smoothing = qv_pick(m, 2) ? 0.1f : 0;
    int labels = qv_pick(m, 3), logits = qv_pick(m, 3);
    qv_describe(m, " smoothing %g %s %s", (double)p->op.a.loss.smoothing,
                (const char *[]){"all labelled", "some labelled", "none labelled"}[labels],
                (const char *[]){"", "far logits", "large logits"}[logits]);
    double *x = qv_numbers(m, &p->in[0], qv_shape(n, 1, 1, k), logits == 1 ? 60 : 2);
    for (size_t i = 0; x && i < qv_tensor_len(&p->in[0]) && logits == 2; i++) x[i] = qv_as_float(x[i] + 5000);
    p->in[1] = qv_shape(n, 1, 1, 1);
    int32_t *label = qv_room(&p->in[1], sizeof *label);
    for (int i = 0; label && i < n; i++) label[i] = qv_label(m, labels == 0 || (labels == 1 && i % 3 != 1), k);
    double *weight = qv_numbers(m, &p->in[2], qv_vector(k), 1);
    for (int i = 0; weight && i < k; i++) weight[i] = qv_as_float(fabs(weight[i]) + 0.1);
    if (qv_pick(m, 2)) {
        qv_describe(m, " mixed");
        p->in[3] = qv_shape(n, 1, 1, 1);
        int32_t *other = qv_room(&p->in[3], sizeof *other);
        for (int i = 0; label && other && i < n; i++) other[i] = label[n - 1 - i];
        qv_shares(m, &p->in[4], qv_shape(n, 1, 1, 1));
    }
    p->out[0] = qv_vector(2);
    p->out[1] = p->out[2] = qv_shape(n, 1, 1, k);
}

/* Of one row: d = logit - max is rounded once, which moves exp(d) by u |d| of itself; exp itself errs by 2 ulp (4 u);
 * the sum of K of them by qv_chain(K). So a probability errs by u p (2 D + qv_chain(K) + 12), D the span of the logits,
 * and the logarithm of the sum by as much in absolute terms; a log probability is then at most D + log K and takes
 * three more roundings of that, or of the largest logit where the maximum is added back first. */
void qv_bound_loss(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    size_t samples = (size_t)p->in[0].n, classes = (size_t)p->in[0].c;
    const double *x = p->in[0].data, *probs = expect[2].data, *loss = expect[0].data, *share = p->in[4].data;
    const int32_t *label = p->in[1].data, *other = p->in[3].data;
    double smoothing = (double)p->op.a.loss.smoothing;
    for (size_t n = 0; n < samples; n++) {
        double low = INFINITY, high = -INFINITY;
        for (size_t k = 0; k < classes; k++) low = fmin(low, x[n * classes + k]), high = fmax(high, x[n * classes + k]);
        double span = high - low, large = fmax(fabs(low), fabs(high)), l = share ? share[n] : 1;
        double own = l * qv_label_weight(&p->in[2], label[n]);
        double second = share ? (1 - l) * qv_label_weight(&p->in[2], other[n]) : 0, w = own + second;
        double relative = QV_U * (2 * span + qv_chain(classes) + 12);
        bound[0][0] +=
            w * (relative + 3 * QV_U * (span + log((double)classes) + large) + qv_chain(classes) * QV_U * span);
        for (size_t k = 0; k < classes; k++) {
            size_t i = n * classes + k;
            double hit = (k == (size_t)label[n] ? own : 0) + (share && k == (size_t)other[n] ? second : 0);
            double t = (1 - smoothing) * hit + smoothing / (double)classes * w;
            bound[2][i] = relative * probs[i] + QV_TINY;
            if (w > 0)
                bound[1][i] =
                    (w * bound[2][i] + (qv_chain(samples) + 10) * QV_U * (w * probs[i] + t)) / loss[1] + QV_TINY;
        }
    }
    bound[0][0] += (qv_chain(samples) + 4) * QV_U * loss[0];
    bound[0][1] = (qv_chain(samples) + 2) * QV_U * loss[1];
}

static const int parameters[] = {1, 7, 64, 1003, 40001};

/* Sums over blocks and their merge; gradients far above the limit, far below, and about as long. */
void qv_make_clip(qv_maker *m)
{
    enum { LONG = 140001 };
    qv_problem *p = m->p;
    int i = qv_pick(m, 6), len = i < 5 ? parameters[i] : LONG, most = qv_pick(m, 3);
    p->op.a.clip.most = (float[]){0.125f, (float)sqrt(len), 1e5f}[most];
    qv_describe(m, "%d elements, at most %g", len, (double)p->op.a.clip.most);
    qv_numbers(m, &p->in[0], qv_vector(len), 1);
    p->out[0] = qv_vector(1);
}

/* A sum of squares, its root and a quotient; 1 on either side of the limit lies as near. */
void qv_bound_clip(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    qv_bound_rounded(&expect[0], bound[0], (qv_chain(qv_tensor_len(&p->in[0])) + 2) / 2 + 3);
}

static void give_scale(qv_maker *m)
{
    if (!qv_pick(m, 2)) return;
    qv_describe(m, " clipped");
    double *scale = qv_numbers(m, &m->p->in[2], qv_vector(1), 1);
    if (scale) *scale = m->p->exact ? 0.5 : 0.3125;
}

static double scale_of(const qv_problem *p) { return p->in[2].data ? *(const double *)p->in[2].data : 1; }

void qv_make_adamw(qv_maker *m)
{
    static const uint64_t steps[] = {0, 9, 4000};
    qv_problem *p = m->p;
    int len = parameters[qv_pick(m, 5)], decayed = qv_pick(m, 3), step = qv_pick(m, 3);
    p->op.a.adamw = (qv_adamw_attr){.beta1 = 0.9f,
                                    .beta2 = 0.999f,
                                    .eps = 1e-8f,
                                    .weight_decay = 0.01f,
                                    .decayed = (int[]){0, len / 2, len}[decayed]};
    qv_describe(m, "%d elements, %lld decayed, step %d", len, (long long)p->op.a.adamw.decayed, (int)steps[step]);
    p->in[0] = qv_vector(1);
    qv_step_state *state = qv_room(&p->in[0], sizeof *state);
    if (state) *state = (qv_step_state){.set_size = 1, .batch = 1, .lr = 0.05f, .step = steps[step]};
    qv_numbers(m, &p->in[1], qv_vector(len), 1);
    qv_numbers(m, &p->out[0], qv_vector(len), 1);
    qv_numbers(m, &p->out[1], qv_vector(len), 1);
    double *square = qv_numbers(m, &p->out[2], qv_vector(len), 1);
    for (int i = 0; square && i < len; i++) square[i] = qv_as_float(square[i] * square[i]);
    give_scale(m);
}

/* In units of u: the averages 4 and 6 of their terms; 1 - b^t = -expm1(t log b) 4 of itself, since x exp(x) / (1 -
 * exp(x)) < 1; the root halves what v and that err, and adds 1; the quotient of the corrected averages so 24 of the
 * magnitudes behind m. */
void qv_bound_adamw(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_adamw_attr *a = &p->op.a.adamw;
    const qv_step_state *state = p->in[0].data;
    const double *grad = p->in[1].data, *param = p->out[0].data, *moment = p->out[1].data, *after = expect[0].data;
    const double *square = expect[2].data;
    double b1 = (double)a->beta1, t = (double)state->step + 1, scale = scale_of(p);
    double first = 1 - pow(b1, t), second = 1 - pow((double)a->beta2, t);
    for (size_t i = 0; i < qv_tensor_len(&p->in[1]); i++) {
        double m = b1 * fabs(moment[i]) + (1 - b1) * scale * fabs(grad[i]);
        double step = m / first / (sqrt(square[i] / second) + (double)a->eps);
        double decay = (int64_t)i < a->decayed ? (double)a->weight_decay * fabs(param[i]) : 0;
        bound[1][i] = 4 * QV_U * m;
        bound[2][i] = 6 * QV_U * square[i] + QV_TINY;
        bound[0][i] = QV_U * (fabs(after[i]) + (double)state->lr * (26 * step + 4 * decay));
    }
}

void qv_make_sgd(qv_maker *m)
{
    qv_problem *p = m->p;
    int len = parameters[qv_pick(m, 5)], decayed = qv_pick(m, 3);
    qv_pick_exact(m);
    p->op.a.sgd = (qv_sgd_attr){.momentum = p->exact ? 0.5f : 0.9f,
                                .weight_decay = p->exact ? 0.25f : 0.01f,
                                .nesterov = qv_pick(m, 2),
                                .decayed = (int[]){0, len / 2, len}[decayed]};
    qv_describe(m, " %d elements, %lld decayed, nesterov %d", len, (long long)p->op.a.sgd.decayed,
                p->op.a.sgd.nesterov);
    p->in[0] = qv_vector(1);
    qv_step_state *state = qv_room(&p->in[0], sizeof *state);
    if (state) *state = (qv_step_state){.set_size = 1, .batch = 1, .lr = p->exact ? 0.5f : 0.05f};
    qv_numbers(m, &p->in[1], qv_vector(len), 1);
    qv_numbers(m, &p->out[0], qv_vector(len), 1);
    qv_numbers(m, &p->out[1], qv_vector(len), 1);
    give_scale(m);
}

void qv_bound_sgd(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    const qv_sgd_attr *a = &p->op.a.sgd;
    const qv_step_state *state = p->in[0].data;
    const double *grad = p->in[1].data, *param = p->out[0].data, *moment = p->out[1].data, *after = expect[0].data;
    double mu = (double)a->momentum, scale = scale_of(p);
    for (size_t i = 0; i < qv_tensor_len(&p->in[1]) && !p->exact; i++) {
        double d = scale * fabs(grad[i]) + ((int64_t)i < a->decayed ? (double)a->weight_decay * fabs(param[i]) : 0);
        double m = mu * fabs(moment[i]) + d, step = (double)state->lr * (a->nesterov ? d + mu * m : m);
        bound[1][i] = 5 * QV_U * m;
        bound[0][i] = QV_U * fabs(after[i]) + 9 * QV_U * step;
    }
}

/* What is done to rows: 0 nothing, 1 as sound is augmented, 2 as images are. Patches of t frames. */
static qv_gather_attr augmentation(qv_maker *m, int which, int t)
{
    if (which == 0) return (qv_gather_attr){0};
    qv_describe(m, which == 2 ? " moved and mirrored" : " augmented");
    if (which == 2) return (qv_gather_attr){.pad = 2, .flip = 1, .mel_masks = 1, .mel_width = 2};
    return (qv_gather_attr){.speed = 13107,
                            .warp = 9830,
                            .gain = m->p->exact ? 0 : 0.7f,
                            .time_masks = 2,
                            .time_width = t / 3,
                            .mel_masks = QV_MASKS,
                            .mel_width = 3,
                            .voices = 2};
}

/* Recordings shorter than the patch, as long, longer by one, and much longer. */
void qv_make_gather(qv_maker *m)
{
    static const int patches[][3] = {{1, 1, 1}, {8, 3, 3}, {16, 16, 1}, {64, 33, 1}, {20, 64, 1}, {9, 8, 4}};
    enum { RECORDINGS = 11, SET = 7, NORMS = 3, BATCH = 9 };
    qv_problem *p = m->p;
    /* how rows are found, and what is done to them: windows are taken as they are */
    static const int ways[][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}};
    int i = qv_pick(m, 6), way = qv_pick(m, sizeof ways / sizeof *ways);
    int t = patches[i][0], bands = patches[i][1], mels = bands * patches[i][2], mode = ways[way][0], augmented = ways[way][1];
    qv_pick_exact(m);
    qv_describe(m, " %d frames x %d mels x %d %s", t, bands, patches[i][2],
                (const char *[]){"drawn", "drawn at a later step", "windows"}[mode]);
    bool mixed = qv_pick(m, 2);
    if (mixed) qv_describe(m, " mixed");
    p->op.a.gather = augmentation(m, augmented, t);
    p->op.a.gather.windows = mode == 2;
    p->in[0] = qv_vector(1);
    qv_step_state *state = qv_room(&p->in[0], sizeof *state);
    if (!state) return;
    *state = (qv_step_state){.key = {3, 4},
                        .step = mode ? ((uint64_t)1 << 32) + 1 : 0,
                        .set_size = SET,
                        .batch = 2 * BATCH,
                        .first = mode ? BATCH : 0};
    p->in[2] = qv_vector(RECORDINGS);
    qv_utterance *u = qv_room(&p->in[2], sizeof *u);
    if (!u) return;
    int frames = 0;
    for (int k = 0; k < RECORDINGS; k++) {
        int lengths[] = {1, t, t + 1, 3 * t + 2, (t + 1) / 2};
        u[k] = (qv_utterance){frames, lengths[k % 5], k % 4 - 1, k % NORMS, k % (NORMS - 1)};
        frames += u[k].frames;
    }
    p->in[1] = qv_shape(1, 1, frames, mels);
    float *feats = qv_room(&p->in[1], sizeof *feats);
    for (size_t k = 0; feats && k < qv_tensor_len(&p->in[1]); k++) feats[k] = (float)qv_number(m, 5);
    p->in[3] = qv_shape(NORMS, 1, 2, mels);
    float *norm = qv_room(&p->in[3], sizeof *norm);
    for (size_t k = 0; norm && k < qv_tensor_len(&p->in[3]); k++) norm[k] = (float)qv_number(m, 1);
    if (mode == 2) {
        p->in[5] = qv_vector(BATCH);
        qv_window *w = qv_room(&p->in[5], sizeof *w);
        for (int k = 0; w && k < BATCH; k++) w[k] = (qv_window){k % 4 == 3 ? -1 : k + 2, k * 2 % u[k + 2].frames};
    } else {
        p->in[4] = qv_vector(2 * SET);
        int32_t *order = qv_room(&p->in[4], sizeof *order);
        for (int k = 0; order && k < 2 * SET; k++) order[k] = (k * 3 + k / SET) % RECORDINGS;
    }
    p->out[0] = qv_shape(BATCH, t, bands, patches[i][2]);
    p->out[1] = qv_vector(BATCH);
    if (!mixed) return;
    p->in[6] = qv_vector(QV_QUANTILES);
    float *quantiles = qv_room(&p->in[6], sizeof *quantiles);
    for (int k = 0; quantiles && k < QV_QUANTILES; k++) quantiles[k] = p->exact ? (float)(k % 5) / 4 : (float)k / QV_QUANTILES;
    p->out[2] = p->out[3] = qv_vector(BATCH);
}

static double largest(const qv_tensor *t)
{
    double most = 0;
    for (size_t i = 0; i < qv_tensor_len(t); i++) most = fmax(most, fabs((double)((const float *)t->data)[i]));
    return most;
}

/* Two roundings of the result; with a gain one more of value + gain before the mean is taken off; a mixture adds the
 * roundings of 1 - l, of two products and of their sum, none of it more than the largest patch value. */
void qv_bound_gather(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    if (p->exact) return;
    double gain = (double)p->op.a.gather.gain, scale = largest(&p->in[3]), value = largest(&p->in[1]) + gain;
    double absolute = (gain > 0 ? value * scale : 0) + (p->in[6].data ? 5 * (value + scale) * scale : 0);
    qv_bound_rounded(&expect[0], bound[0], 2);
    for (size_t i = 0; i < qv_tensor_len(&expect[0]); i++) bound[0][i] += absolute * QV_U;
}
