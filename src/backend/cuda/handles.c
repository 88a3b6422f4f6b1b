/* Handles of cuDNN and cuBLAS, with the plans that were made for them: lent to one exec at a time, so that a training
 * on a GPU plans, and times, only what none before it had. */
#include <stdlib.h>

#include "backend/cuda/own.h"

struct qv_lent {
    qv_lent *next;
    qv_dnn *dnn;
    qv_dnn_options options;
    bool lent;
};

static pthread_rwlock_t captures = PTHREAD_RWLOCK_INITIALIZER;

void qv_cuda_lock(bool alone)
{
    if (alone)
        pthread_rwlock_wrlock(&captures);
    else
        pthread_rwlock_rdlock(&captures);
}

void qv_cuda_unlock(void) { pthread_rwlock_unlock(&captures); }

static qv_status new_dnn(qv_ctx *ctx, qv_dnn **out, const qv_dnn_options *o)
{
    qv_cuda_lock(true);
    qv_status status = qv_dnn_new(ctx, out, o);
    qv_cuda_unlock();
    return status;
}

static bool same_options(const qv_dnn_options *a, const qv_dnn_options *b)
{
    return a->workspace_limit == b->workspace_limit && a->autotune == b->autotune;
}

void qv_handles_init(qv_handles *h)
{
    *h = (qv_handles){0};
    pthread_mutex_init(&h->lock, NULL);
}

void qv_handles_free(qv_handles *h)
{
    qv_cuda_lock(true);
    while (h->first) {
        qv_lent *gone = h->first;
        h->first = gone->next;
        qv_dnn_free(gone->dnn);
        free(gone);
    }
    qv_cuda_unlock();
    pthread_mutex_destroy(&h->lock);
}

/* One that nobody has. */
static qv_dnn *find(qv_handles *h, const qv_dnn_options *o)
{
    pthread_mutex_lock(&h->lock);
    qv_lent *l = h->first;
    while (l && (l->lent || !same_options(&l->options, o))) l = l->next;
    if (l) l->lent = true;
    pthread_mutex_unlock(&h->lock);
    return l ? l->dnn : NULL;
}

qv_status qv_handles_take(qv_ctx *ctx, qv_handles *h, qv_dnn **out, const qv_dnn_options *o)
{
    qv_status status = QV_OK;
    qv_lent *l = NULL;
    *out = find(h, o);
    if (*out) return QV_OK;
    QV_TRY(qv_alloc(ctx, &l, 1, sizeof *l));
    *l = (qv_lent){.options = *o, .lent = true};
    QV_TRY(new_dnn(ctx, &l->dnn, o));
    pthread_mutex_lock(&h->lock);
    l->next = h->first;
    h->first = l;
    pthread_mutex_unlock(&h->lock);
    *out = l->dnn;
    l = NULL;
done:
    free(l);
    return status;
}

void qv_handles_leave(qv_handles *h, qv_dnn *d)
{
    if (!d) return;
    qv_cuda_lock(true); /* a library may wait for the device where it is given the default stream */
    qv_dnn_rest(d);
    qv_cuda_unlock();
    pthread_mutex_lock(&h->lock);
    for (qv_lent *l = h->first; l; l = l->next)
        if (l->dnn == d) l->lent = false;
    pthread_mutex_unlock(&h->lock);
}

/* Planning loads what the libraries compile, and tuning runs it; what is planned already does neither. */
qv_status qv_handles_plan(qv_ctx *ctx, qv_dnn *d, const qv_dnn_key *key, const qv_dnn_plan **out)
{
    *out = qv_dnn_known(d, key);
    if (*out) return QV_OK;
    qv_cuda_lock(true);
    qv_status status = qv_dnn_plan_for(ctx, d, key, out);
    qv_cuda_unlock();
    return status;
}
