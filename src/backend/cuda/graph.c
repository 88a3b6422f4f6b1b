/* A list captured once and replayed. The first run is an eager one: it loads what the libraries load lazily, which a
 * capture does not allow, neither in its own thread nor, as far as it waits for the device, in another one. */
#include "backend/cuda/own.h"

static const char *list_name(qv_list list)
{
    static const char *const names[QV_LIST_COUNT] = {"the training step", "the evaluation", "the measuring of batch norms"};
    return names[list];
}

/* Work that other streams of the process do meanwhile is none of this capture's business. */
static qv_status record(qv_ctx *ctx, cuda_exec *e, qv_list list, cudaGraph_t *graph)
{
    *graph = NULL;
    qv_status status = qv_cuda_check(ctx, cudaStreamBeginCapture(e->stream, cudaStreamCaptureModeThreadLocal),
                                     "cudaStreamBeginCapture of %s", list_name(list));
    if (status != QV_OK) return status;
    status = qv_cuda_enqueue(ctx, e, list);
    cudaError_t ended = cudaStreamEndCapture(e->stream, graph);
    if (status == QV_OK) return qv_cuda_check(ctx, ended, "cudaStreamEndCapture of %s", list_name(list));
    cudaGetLastError();
    if (*graph) cudaGraphDestroy(*graph);
    *graph = NULL;
    return status;
}

static qv_status record_locked(qv_ctx *ctx, cuda_exec *e, qv_list list, cudaGraph_t *graph, bool alone)
{
    qv_cuda_lock(alone);
    qv_status status = record(ctx, e, list, graph);
    qv_cuda_unlock();
    return status;
}

/* Other captures do this one no harm, but what a thread outside this program's care does to the device may end it. It
 * has run nothing, so it may be tried again, then alone. */
static qv_status record_twice(qv_ctx *ctx, cuda_exec *e, qv_list list, cudaGraph_t *graph)
{
    qv_status status = record_locked(ctx, e, list, graph, false);
    if (status == QV_OK) return QV_OK;
    qv_debug(ctx, "%s; %s is captured once more", qv_ctx_message(ctx), list_name(list));
    status = record_locked(ctx, e, list, graph, true);
    return status == QV_OK ? QV_OK : qv_fail_prefix(ctx, status, "%s could not be captured, twice", list_name(list));
}

static qv_status capture(qv_ctx *ctx, cuda_exec *e, qv_list list)
{
    cudaGraph_t graph;
    qv_status status = record_twice(ctx, e, list, &graph);
    if (status == QV_OK)
        status = qv_cuda_check(ctx, cudaGraphInstantiate(&e->graph[list], graph, 0), "cudaGraphInstantiate of %s",
                               list_name(list));
    if (status != QV_OK) e->graph[list] = NULL;
    if (graph) cudaGraphDestroy(graph);
    return status;
}

/* Eagerly, and alone: what is loaded now is not loaded while something is captured, or timed. */
static qv_status run_first(qv_ctx *ctx, cuda_exec *e, qv_list list)
{
    qv_cuda_lock(true);
    qv_status status = qv_cuda_enqueue(ctx, e, list);
    qv_cuda_unlock();
    e->warm[list] = status == QV_OK;
    return status;
}

qv_status qv_cuda_launch(qv_ctx *ctx, cuda_exec *e, qv_list list)
{
    qv_status status = QV_OK;
    QV_TRY(qv_feed_next(ctx, e, list));
    if (!e->warm[list]) return run_first(ctx, e, list);
    if (e->base.o.profile) return qv_cuda_profile(ctx, e, list);
    if (!e->graph[list]) QV_TRY(capture(ctx, e, list));
    status = qv_cuda_check(ctx, cudaGraphLaunch(e->graph[list], e->stream), "cudaGraphLaunch of %s", list_name(list));
done:
    return status;
}

void qv_cuda_drop_graphs(cuda_exec *e)
{
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        if (e->graph[k]) cudaGraphExecDestroy(e->graph[k]);
        e->graph[k] = NULL;
    }
}
