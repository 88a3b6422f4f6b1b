#define _GNU_SOURCE /* sched_getaffinity */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Passes of a training step are tens of microseconds apart, so a worker spins a little
 * before it sleeps; far below a scheduler's time slice. */
enum { SPIN_ROUNDS = 4000 };

typedef struct job {
    size_t n, grain;
    qv_range_fn fn;
    void *user;
} job;

struct qv_pool {
    int threads;
    pthread_t *workers;
    struct worker_arg {
        qv_pool *pool;
        int index;
    } *args;
    int started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint generation; /* counts jobs; changed under the lock */
    atomic_int pending;     /* workers that have not finished the job at hand */
    atomic_bool stop;
    job current;
};

void qv_chunk(size_t n, size_t grain, int chunks, int i, size_t *begin, size_t *end)
{
    size_t blocks = (n + grain - 1) / grain;
    size_t b = blocks * (size_t)i / (size_t)chunks * grain;
    size_t e = blocks * ((size_t)i + 1) / (size_t)chunks * grain;
    *begin = b < n ? b : n;
    *end = e < n ? e : n;
}

static void run_chunk(const job *j, int chunks, int i)
{
    size_t begin, end;
    qv_chunk(j->n, j->grain, chunks, i, &begin, &end);
    j->fn(j->user, i, begin, end);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Waits for a job after `seen`; returns its generation. */
static unsigned wait_for_job(qv_pool *p, unsigned seen)
{
    unsigned g;
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if ((g = atomic_load(&p->generation)) != seen) return g;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    while ((g = atomic_load(&p->generation)) == seen) pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return g;
}

static void *work(void *arg)
{
    struct worker_arg *a = arg;
    qv_pool *p = a->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        run_chunk(&p->current, p->threads, a->index);
        atomic_fetch_sub(&p->pending, 1);
    }
}

static void announce(qv_pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->generation, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

qv_status qv_pool_new(qv_ctx *ctx, qv_pool **out, int threads)
{
    qv_status status = QV_OK;
    qv_pool *p = NULL;
    *out = NULL;
    if (threads < 1) return qv_fail(ctx, QV_ERR_USAGE, "%d threads make no pool; at least 1 is needed", threads);
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    QV_TRY(qv_alloc(ctx, &p->workers, (size_t)threads, sizeof *p->workers));
    QV_TRY(qv_alloc(ctx, &p->args, (size_t)threads, sizeof *p->args));
    for (int i = 1; i < threads; i++) {
        p->args[i] = (struct worker_arg){p, i};
        if (pthread_create(&p->workers[i], NULL, work, &p->args[i]) != 0) {
            status = qv_fail(ctx, QV_ERR_MEMORY, "the system refused to start thread %d of %d", i + 1, threads);
            goto done;
        }
        p->started = i;
    }
    *out = p;
    p = NULL;
done:
    qv_pool_free(p);
    return status;
}

void qv_pool_free(qv_pool *p)
{
    if (!p) return;
    atomic_store(&p->stop, true);
    announce(p);
    for (int i = 1; i <= p->started; i++) pthread_join(p->workers[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p->args);
    free(p);
}

int qv_pool_threads(const qv_pool *p) { return p ? p->threads : 1; }

int qv_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

int qv_threads(int wanted) { return wanted ? wanted : qv_cpu_count(); }

void qv_parallel(qv_pool *p, size_t n, size_t grain, qv_range_fn fn, void *user)
{
    job j = {n, grain ? grain : 1, fn, user};
    if (qv_pool_threads(p) == 1) {
        run_chunk(&j, 1, 0);
        return;
    }
    p->current = j;
    atomic_store(&p->pending, p->threads - 1);
    announce(p);
    run_chunk(&j, p->threads, 0);
    for (int i = 0; atomic_load(&p->pending) > 0; i++) {
        if (i < SPIN_ROUNDS)
            relax();
        else
            sched_yield();
    }
}
