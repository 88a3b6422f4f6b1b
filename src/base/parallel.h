/* One pool of threads and the one way to loop in parallel.
 *
 * Work is cut into the same chunks for a given number of threads, and chunk i always
 * runs on thread i, so results do not depend on timing. */
#ifndef QV_BASE_PARALLEL_H
#define QV_BASE_PARALLEL_H

#include "base/status.h"

typedef struct qv_pool qv_pool;

/* threads >= 1, the caller's included. */
qv_status qv_pool_new(qv_ctx *ctx, qv_pool **out, int threads);
void qv_pool_free(qv_pool *pool);
/* 1 for NULL. */
int qv_pool_threads(const qv_pool *pool);
/* Processors this process may run on. */
int qv_cpu_count(void);
/* As many threads as are wanted; 0: one a processor. */
int qv_threads(int wanted);

/* Calls fn(user, i, begin, end) for i in [0, threads): [0, n) cut into that many ranges of
 * nearly equal length, each border but the last a multiple of `grain`; empty ranges are
 * called too (begin == end). Returns when all are done. NULL pool: one call. Not reentrant. */
typedef void (*qv_range_fn)(void *user, int chunk, size_t begin, size_t end);
void qv_parallel(qv_pool *pool, size_t n, size_t grain, qv_range_fn fn, void *user);

/* The range of chunk i of `chunks`; what qv_parallel uses. */
void qv_chunk(size_t n, size_t grain, int chunks, int i, size_t *begin, size_t *end);

#endif
