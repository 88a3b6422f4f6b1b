/* Inside of the CUDA backend: an exec on a GPU, in parts.
 *
 *   check.c    what the runtime says of a call
 *   device.c   opening a GPU, refusals; features shared by all execs on it
 *   handles.c  handles and plans of cuDNN and cuBLAS, which one exec after the other has
 *   arena.c    one allocation for all that a program needs, and where each buffer lies in it
 *   bind.c     ops to launches: kernels, plans of cuDNN and cuBLAS, the fallback between them
 *   enqueue.c  a whole list on the stream
 *   graph.c    that list captured once and replayed
 *   steps.c    training steps on their way, their rates and losses
 *   copy.c     host memory to and from the device, through pinned memory
 *   feed.c     batches of features that are too large for the device
 *   exec.c     the functions of exec.h
 *
 * Everything of one exec happens on its stream in the order of the calls, so that a buffer written between two
 * steps is seen by the second and not by the first. */
#ifndef QV_BACKEND_CUDA_OWN_H
#define QV_BACKEND_CUDA_OWN_H

#include <cuda_runtime_api.h>
#include <pthread.h>

#include "backend/cuda/dnn.h"
#include "backend/exec_own.h"

/* --- check.c --- */

/* QV_OK, or a message: the call in words with its sizes, then what the runtime says. No memory is QV_ERR_MEMORY,
 * all else QV_ERR_DEVICE. */
qv_status qv_cuda_check(qv_ctx *ctx, cudaError_t e, const char *fmt, ...) QV_PRINTF(3, 4);

/* --- device.c --- */

/* Memory of the host on the device, for all execs that bind it. */
typedef struct qv_resident {
    struct qv_resident *next;
    const void *host;
    size_t bytes;
    void *device;
    int users;
} qv_resident;

int qv_gpu_ordinal(const qv_gpu_device *g);
/* An exec more that has its memory, or one less (qv_gpu_expect). */
void qv_gpu_count(qv_gpu_device *g, int change);

struct cuda_exec;
/* The copy of host memory on the device, made by the first who asks. *out is NULL where it does not fit, or is more
 * than the exec's options allow (resident_limit); release what is not. */
qv_status qv_resident_take(qv_ctx *ctx, struct cuda_exec *e, const void *host, size_t bytes, void **out);
void qv_resident_release(qv_gpu_device *g, const void *device);
/* Of all that is there. */
size_t qv_resident_bytes(qv_gpu_device *g);

/* --- handles.c --- */

/* Whoever waits for the whole device ends every capture on it with an error, whatever the capture's mode and in
 * whatever thread. Freeing a handle of cuBLAS waits so, and loading a kernel may (CUDA programming guide, lazy loading).
 * Captures go side by side (alone = false); what may wait is done while there is none. */
void qv_cuda_lock(bool alone);
void qv_cuda_unlock(void);

typedef struct qv_lent qv_lent;
typedef struct qv_handles {
    pthread_mutex_t lock; /* of the list, and of who has what in it */
    qv_lent *first;
} qv_handles;

void qv_handles_init(qv_handles *h);
/* After the last was left. */
void qv_handles_free(qv_handles *h);
/* One with these options that nobody has, or a new one, on the current device. Leave it when the stream that it ran on
 * has come to its end. */
qv_status qv_handles_take(qv_ctx *ctx, qv_handles *h, qv_dnn **out, const qv_dnn_options *o);
void qv_handles_leave(qv_handles *h, qv_dnn *d);
/* qv_dnn_plan_for, alone where the plan has to be made. */
qv_status qv_handles_plan(qv_ctx *ctx, qv_dnn *d, const qv_dnn_key *key, const qv_dnn_plan **out);
/* Those of the GPU (device.c). */
qv_handles *qv_gpu_handles(qv_gpu_device *g);

/* --- copy.c --- */

/* Pinned memory through which writes go: two halves, filled in turn while the other is under way. */
typedef struct qv_stage {
    char *memory;
    cudaEvent_t done[2];
    bool under_way[2];
    int side;
    size_t used; /* of the half at hand */
    char *back;  /* for reads */
} qv_stage;

enum { QV_STAGE_HALF = 1 << 20, QV_STAGE_BACK = 1 << 20 };

qv_status qv_stage_new(qv_ctx *ctx, qv_stage *s);
void qv_stage_free(qv_stage *s);
/* Room for up to *bytes (then what there is, at most half a stage), to be filled and sent. */
qv_status qv_stage_room(qv_ctx *ctx, qv_stage *s, cudaStream_t stream, size_t *bytes, void **room);
qv_status qv_stage_send(qv_ctx *ctx, cudaStream_t stream, void *to, const void *room, size_t bytes);
/* Both at once, for memory that needs no conversion. */
qv_status qv_stage_write(qv_ctx *ctx, qv_stage *s, cudaStream_t stream, void *to, const void *from, size_t bytes);
/* Up to QV_STAGE_BACK bytes into s->back; waits. */
qv_status qv_stage_read(qv_ctx *ctx, qv_stage *s, cudaStream_t stream, const void *from, size_t bytes);

/* --- bind.c --- */

typedef struct qv_dnn_call {
    const qv_dnn_plan *plan;
    const void *a, *b;
    void *out;
} qv_dnn_call;

enum { QV_DNN_CALLS = 3 };

/* An op bound to memory: launches of fn, or calls of plans. */
typedef struct qv_cuda_op {
    qv_op op;
    qv_op_fn fn; /* NULL: calls */
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
    qv_dnn_call calls[QV_DNN_CALLS];
    int n_calls;
    double seconds;
} qv_cuda_op;

/* Elements [begin, end) of the gradients that plans left in bfloat16. */
typedef struct qv_range {
    size_t begin, end;
} qv_range;

/* --- feed.c --- */

/* A batch as it travels: patches, and tables that name them as a gather's windows. */
typedef struct qv_feed {
    const float *frames;               /* of the host; NULL: the features are resident */
    size_t utts_at, windows_at, bytes; /* in a batch */
    size_t batch, patch, mels; /* mels: values a frame, of `channels` a band */
    int32_t channels;
    char *pinned, *slots, *at_hand; /* two, two and one batch */
    cudaStream_t stream;
    cudaEvent_t filled[2], emptied[2];
    uint64_t turn;
} qv_feed;

/* --- exec --- */

enum { QV_RING = 16, QV_SPAN = 8, QV_RATES = 4096 }; /* losses on their way, fetched together; rates ahead */

typedef struct qv_steps {
    qv_step_state next;                /* what the device holds after the steps submitted */
    bool known;                        /* it does hold that */
    uint64_t rates_end;                /* rates of steps below this are on the device */
    uint64_t closed, ready, collected; /* steps whose loss is on its way, is here, was taken */
    float *losses;                     /* pinned, [QV_RING][2] */
    cudaEvent_t fetched[QV_RING / QV_SPAN];
} qv_steps;

typedef struct cuda_exec {
    qv_exec base;
    qv_gpu_device *gpu;
    bool owns_gpu;
    qv_ctx *own_ctx; /* of calls that have none; its message is that of the first failure */
    qv_status failed;
    cudaStream_t stream;
    qv_dnn *dnn;
    qv_stage stage;
    /* arena.c */
    char *arena;
    char *regions[QV_ROLE_COUNT];
    void **apart; /* [n_buffers]: allocations of their own, with keep_buffers */
    void **bound; /* [n_buffers]: memory of EXTERN buffers */
    char *scratch;
    size_t scratch_bytes;
    uint16_t *narrow_params, *narrow_grads; /* BF16: as the regions PARAM and GRAD */
    float *ones;                            /* [batch] */
    float *ring, *rates;
    /* bind.c */
    qv_cuda_op *ops[QV_LIST_COUNT];
    qv_range *ranges; /* [n_ranges] */
    size_t n_ranges;
    int32_t *first[QV_LIST_COUNT], *last[QV_LIST_COUNT];
    /* feed.c */
    qv_feed feed;
    void **mirror; /* [n_buffers]: what the host wrote to tables that a feed reads */
    /* graph.c */
    bool warm[QV_LIST_COUNT];
    cudaGraphExec_t graph[QV_LIST_COUNT];
    qv_steps steps;
} cuda_exec;

/* Makes the GPU of the exec the current one of this thread. */
qv_status qv_cuda_use(qv_ctx *ctx, const cuda_exec *e);

/* arena.c: sizes of everything, then the memory. */
qv_status qv_cuda_allocate(qv_ctx *ctx, cuda_exec *e);
void qv_cuda_release(cuda_exec *e);
void *qv_cuda_buffer(const cuda_exec *e, int32_t id);
qv_tensor qv_cuda_tensor(const cuda_exec *e, int32_t id);

/* bind.c: plans and scratch first (no memory is there yet), then pointers. */
qv_status qv_cuda_prepare(qv_ctx *ctx, cuda_exec *e, size_t *scratch);
qv_status qv_cuda_bind(qv_ctx *ctx, cuda_exec *e);
void qv_cuda_unbind(cuda_exec *e);

/* enqueue.c */
qv_status qv_cuda_enqueue(qv_ctx *ctx, cuda_exec *e, qv_list list);
qv_status qv_cuda_profile(qv_ctx *ctx, cuda_exec *e, qv_list list);

/* graph.c: one run of the list, eagerly the first time, afterwards as a graph, or each op timed. */
qv_status qv_cuda_launch(qv_ctx *ctx, cuda_exec *e, qv_list list);
void qv_cuda_drop_graphs(cuda_exec *e);

/* steps.c */
qv_status qv_steps_new(qv_ctx *ctx, cuda_exec *e);
void qv_steps_free(qv_steps *s);
qv_status qv_cuda_submit(qv_ctx *ctx, qv_exec *base, const qv_step_state *s);
qv_status qv_cuda_collect(qv_ctx *ctx, qv_exec *base, double sums[2]);

/* feed.c */
qv_status qv_feed_new(qv_ctx *ctx, cuda_exec *e, const float *frames);
void qv_feed_free(qv_feed *f);
/* The next batch of the list onto the device, before the list runs. */
qv_status qv_feed_next(qv_ctx *ctx, cuda_exec *e, qv_list list);
/* The gather op as it reads from the feed. */
void qv_feed_gather(const cuda_exec *e, qv_cuda_op *b);
/* Buffers of which the exec keeps a copy on the host. */
qv_status qv_feed_mirror(qv_ctx *ctx, cuda_exec *e);

#endif
