/* Threads that each do whole trainings. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "study/study_own.h"

typedef struct hand {
    const qv_crew *crew;
    struct shared *shared;
    qv_ctx *ctx;
    int index;
    pthread_t thread;
} hand;

typedef struct shared {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int running;
    int first_failed; /* whose failure came first, -1: none */
    qv_status status;
    char **warnings; /* of all threads, each text once */
    size_t n_warnings, cap_warnings, told;
} shared;

/* What a thread warns of, for the one that may print it. Without memory for it, it is lost. */
static void on_log(void *user, qv_log_level level, const char *text)
{
    const hand *h = user;
    shared *s = h->shared;
    size_t i = 0;
    if (level != QV_LOG_WARNING) return;
    pthread_mutex_lock(&s->lock);
    while (i < s->n_warnings && strcmp(s->warnings[i], text) != 0) i++;
    if (i == s->n_warnings && qv_grow(h->ctx, &s->warnings, &s->cap_warnings, i + 1, sizeof *s->warnings) == QV_OK &&
        qv_strdup(h->ctx, &s->warnings[i], text) == QV_OK)
        s->n_warnings++;
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held. */
static void tell_warnings(qv_ctx *ctx, shared *s)
{
    while (s->told < s->n_warnings) qv_warn(ctx, "%s", s->warnings[s->told++]);
}

static void *work(void *arg)
{
    hand *h = arg;
    qv_status status = h->crew->fn(h->ctx, h->crew->user, h->index);
    pthread_mutex_lock(&h->shared->lock);
    /* others that were told to stop for its sake did not fail first */
    if (status != QV_OK && h->shared->status == QV_OK) {
        h->shared->status = status;
        h->shared->first_failed = h->index;
        *h->crew->stop = 1;
    }
    h->shared->running--;
    pthread_cond_signal(&h->shared->ended);
    pthread_mutex_unlock(&h->shared->lock);
    return NULL;
}

/* A tenth of a second, or until a thread ends. */
static void wait_a_little(shared *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&s->ended, &s->lock, &until);
}

static void watch_over(qv_ctx *ctx, const qv_crew *c, shared *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->running > 0) {
        wait_a_little(s);
        tell_warnings(ctx, s);
        pthread_mutex_unlock(&s->lock);
        if (qv_poll(ctx) != QV_OK) *c->stop = 1;
        c->watch(ctx, c->user);
        pthread_mutex_lock(&s->lock);
    }
    tell_warnings(ctx, s);
    pthread_mutex_unlock(&s->lock);
    c->watch(ctx, c->user);
}

/* A clock that is set back must not make it wait. */
static void open_shared(shared *s)
{
    pthread_condattr_t clock;
    *s = (shared){.first_failed = -1, .status = QV_OK};
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&s->ended, &clock);
    pthread_condattr_destroy(&clock);
}

static void close_shared(shared *s)
{
    pthread_cond_destroy(&s->ended);
    pthread_mutex_destroy(&s->lock);
    qv_free_texts(s->warnings, s->n_warnings);
}

static qv_status start(qv_ctx *ctx, const qv_crew *c, shared *s, hand *hands, int *started)
{
    for (int i = 0; i < c->threads; i++) {
        hand *h = &hands[i];
        *h = (hand){.crew = c, .shared = s, .ctx = qv_ctx_new(), .index = i};
        if (!h->ctx) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for thread %d of %d", i + 1, c->threads);
        qv_ctx_cancel_flag(h->ctx, c->stop);
        qv_ctx_on_log(h->ctx, on_log, h);
        pthread_mutex_lock(&s->lock);
        s->running++;
        pthread_mutex_unlock(&s->lock);
        if (pthread_create(&h->thread, NULL, work, h) != 0) {
            qv_ctx_free(h->ctx);
            pthread_mutex_lock(&s->lock);
            s->running--;
            pthread_mutex_unlock(&s->lock);
            return qv_fail(ctx, QV_ERR_MEMORY, "the system refused to start thread %d of %d", i + 1, c->threads);
        }
        *started = i + 1;
    }
    return QV_OK;
}

qv_status qv_crew_run(qv_ctx *ctx, const qv_crew *c)
{
    shared s;
    hand *hands;
    int started = 0;
    qv_status status = qv_alloc(ctx, &hands, (size_t)c->threads, sizeof *hands);
    if (status != QV_OK) return status;
    open_shared(&s);
    status = start(ctx, c, &s, hands, &started);
    if (status != QV_OK) *c->stop = 1;
    watch_over(ctx, c, &s);
    for (int i = 0; i < started; i++) pthread_join(hands[i].thread, NULL);
    if (status == QV_OK && s.status != QV_OK)
        status = qv_fail(ctx, s.status, "%s", qv_ctx_message(hands[s.first_failed].ctx));
    for (int i = 0; i < started; i++) qv_ctx_free(hands[i].ctx);
    close_shared(&s);
    free(hands);
    return status;
}
