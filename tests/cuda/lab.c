#include "lab.h"

static const qv_toy_shape shape = {
    .speakers = 4, .classes = 3, .takes = 2, .mels = 11, .shortest = 5, .longest = 30, .apart = 3};

void lab_open(lab *l)
{
    *l = (lab){.ctx = qv_test_ctx()};
    bool all[100];
    qv_toy_make(l->ctx, &l->toy, &shape, qv_test_seed());
    qv_toy_settings(l->ctx, &l->settings, shape.mels);
    l->settings.patch_seconds = 9 * l->settings.hop;
    l->settings.width = 4;
    l->settings.device = QV_DEVICE_CUDA;
    l->settings.lr = 0.02;
    for (size_t i = 0; i < l->toy.n; i++) all[i] = true;
    qv_assert_ok(l->ctx,
                 qv_dataset_new(l->ctx, &l->data, l->toy.manifest, &l->toy.features, QV_NORM_CORPUS, all, NULL));
}

void lab_close(lab *l)
{
    qv_gpu_close(l->gpu);
    qv_dataset_free(l->data);
    qv_settings_free(&l->settings);
    qv_toy_free(&l->toy);
    qv_ctx_free(l->ctx);
}

qv_trainer *lab_trainer(const lab *l, const qv_settings *s, const qv_trainer_options *options)
{
    qv_trainer *t;
    qv_trainer_options o = options ? *options : (qv_trainer_options){0};
    o.items = l->toy.all;
    if (!o.n_items) o.n_items = l->toy.n;
    o.gpu = l->gpu;
    qv_assert_ok(l->ctx, qv_trainer_new(l->ctx, &t, s, l->data, &o, l->toy.manifest->n_classes));
    return t;
}

qv_loss lab_train(const lab *l, qv_trainer *t, uint64_t epochs)
{
    qv_loss loss = {0};
    qv_assert_ok(l->ctx, qv_trainer_run(l->ctx, t, epochs, &loss));
    return loss;
}

double *lab_predict(const lab *l, qv_trainer *t)
{
    double *probs = calloc(l->toy.n * (size_t)l->toy.manifest->n_classes, sizeof *probs);
    assert_non_null(probs);
    qv_assert_ok(l->ctx, qv_trainer_predict(l->ctx, t, l->toy.all, l->toy.n, true, probs));
    return probs;
}

static bool is_kept(const qv_buffer *b)
{
    return b->alias < 0 && (b->role == QV_ROLE_PARAM || qv_role_is_memory(b->role) || b->role == QV_ROLE_RUNNING);
}

double *lab_weights(qv_trainer *t, size_t *n)
{
    const qv_program *p = qv_trainer_net(t)->program;
    size_t total = 0, at = 0;
    for (size_t i = 0; i < p->n_buffers; i++) total += is_kept(&p->buffers[i]) ? qv_buffer_len(&p->buffers[i]) : 0;
    double *values = calloc(total, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < p->n_buffers; i++) {
        if (!is_kept(&p->buffers[i])) continue;
        qv_exec_read(qv_trainer_exec(t), (int)i, 0, qv_buffer_len(&p->buffers[i]), values + at);
        at += qv_buffer_len(&p->buffers[i]);
    }
    *n = total;
    return values;
}

void lab_assert_same_weights(qv_trainer *a, qv_trainer *b)
{
    size_t n, m;
    double *x = lab_weights(a, &n), *y = lab_weights(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n * sizeof *x);
    free(x), free(y);
}

void lab_copy_weights(qv_trainer *to, qv_trainer *from, double by, uint64_t *random)
{
    const qv_program *p = qv_trainer_net(from)->program;
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        if (!is_kept(b) || qv_role_is_memory(b->role)) continue;
        size_t n = qv_buffer_len(b);
        double *values = calloc(n, sizeof *values);
        assert_non_null(values);
        qv_exec_read(qv_trainer_exec(from), (int)i, 0, n, values);
        for (size_t k = 0; k < n && by > 0 && b->role == QV_ROLE_PARAM; k++)
            values[k] *= 1 + (qv_test_next(random) & 1 ? by : -by);
        qv_exec_write(qv_trainer_exec(to), (int)i, 0, n, values);
        free(values);
    }
}
