/* What an op is told, on every backend: tensors, attributes, one call.
 *
 * Plain C11 that is also C++ and CUDA. Activations are NHWC and contiguous; a vector of C
 * values is [1,1,1,C]. "real" is the backend's number: double on `ref`, float on all others.
 * An op reads its inputs and writes (=, never +=) its outputs unless its row in ops.def says
 * io; inputs and outputs do not overlap. Sums have a fixed order: the same call gives the
 * same bits again on the same backend and number of threads. */
#ifndef QV_OP_H
#define QV_OP_H

#include <stddef.h>
#include <stdint.h>

/* Functions that run on the host and on a GPU. */
#ifndef QV_HD
#if defined(__CUDACC__)
#define QV_HD __host__ __device__
#else
#define QV_HD
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { QV_MAX_IN = 14, QV_MAX_OUT = 6 };

/* QV_REAL is the backend's number. QV_ACT, of buffers, is an activation or a gradient at one: the backend's
 * number too, unless it was asked to keep them in fewer bits; the tensor of such a buffer then says QV_BF16,
 * and QV_REAL otherwise. */
typedef enum qv_dtype { QV_REAL, QV_F32, QV_I32, QV_BYTES, QV_ACT, QV_BF16 } qv_dtype;

/* data is NULL for an optional operand that is absent. */
typedef struct qv_tensor {
    void *data;
    int32_t n, h, w, c;
    int32_t dtype; /* qv_dtype; QV_BF16 only on CUDA */
} qv_tensor;

static inline size_t qv_tensor_len(const qv_tensor *t)
{
    return (size_t)t->n * (size_t)t->h * (size_t)t->w * (size_t)t->c;
}

/* Square kernel, zero padding. Weights are [Cout][kernel][kernel][Cin / groups]; the
 * outputs of group 0 come first. */
typedef struct qv_conv_attr {
    int32_t kernel, stride, pad, groups;
} qv_conv_attr;

typedef struct qv_bn_attr {
    float eps;
    float momentum; /* running = (1 - momentum) running + momentum batch */
    int32_t relu;   /* the apply is followed by max(0, .) */
    int32_t repeat; /* 1, or 2: one input of C channels, two sets of scale and shift, output 2C */
    int32_t eval;   /* finalize: rstd of the running variance; nothing is updated */
    int64_t count;  /* N*H*W behind a mean: for the unbiased running variance */
} qv_bn_attr;

typedef enum qv_shake_mode { QV_SHAKE_EVEN, QV_SHAKE_SHAKE, QV_SHAKE_KEEP } qv_shake_mode;
typedef enum qv_shake_level { QV_LEVEL_BATCH, QV_LEVEL_SAMPLE } qv_shake_level;

typedef struct qv_shake_attr {
    int32_t forward;  /* EVEN or SHAKE */
    int32_t backward; /* EVEN, SHAKE or KEEP (= the forward draw) */
    int32_t level;
    int32_t layer; /* which block: part of the counter */
    int32_t affine;   /* m in 2^-22, at most 1: coefficients in [-m, 1 + m] */
    int32_t negative; /* chance in 2^-24 that a pair of coefficients changes its sign */
    int32_t relaxed;  /* chance in 2^-24 that the block's coefficients are even for a row, forward and backward */
} qv_shake_attr;

typedef struct qv_sgd_attr {
    float momentum, weight_decay;
    int32_t nesterov;
    int64_t decayed; /* weight decay holds for the first so many elements */
} qv_sgd_attr;

typedef struct qv_adamw_attr {
    float beta1, beta2, eps, weight_decay;
    int64_t decayed; /* weight decay holds for the first so many elements */
} qv_adamw_attr;

typedef struct qv_clip_attr {
    float most; /* length of all gradients together, at most */
} qv_clip_attr;

typedef struct qv_loss_attr {
    float smoothing; /* label smoothing, 0: none */
} qv_loss_attr;

/* What is asked of the right class beyond being the nearest: nothing; A-Softmax's angle m times as wide (Liu et al.
 * 2017); a cosine larger by m (Wang et al. 2018); an angle wider by m (Deng et al. 2019). */
typedef enum qv_margin { QV_MARGIN_NONE, QV_MARGIN_SPHERE, QV_MARGIN_COSINE, QV_MARGIN_ANGLE } qv_margin;

enum { QV_SPHERE_MOST = 4 }; /* the largest m of QV_MARGIN_SPHERE */

typedef struct qv_margin_attr {
    int32_t kind;
    float scale;     /* of the cosines, where there are no norms */
    float m;         /* SPHERE: a whole number from 1 to QV_SPHERE_MOST */
    float smoothing; /* as qv_loss_attr */
    /* SPHERE is mixed with the plain cosine, of which there is `lambda` to 1 at first and `lambda_min` at last:
     * max(lambda_min, lambda / (1 + lambda_decay step)) */
    float lambda, lambda_min, lambda_decay;
} qv_margin_attr;

typedef struct qv_center_attr {
    float weight; /* of the center loss */
    float rate;   /* of the centers' way to their classes */
} qv_center_attr;

/* Rows no longer than this count as zeros, which have no direction. */
#define QV_NO_LENGTH 1e-12f

/* How many masks of a kind a patch may have; entries of the table of Beta's quantiles. */
enum { QV_MASKS = 4, QV_QUANTILES = 4096 };

/* Beside windows, all zero: the recording as it is. Drawn for every row of a training batch (kernels/patch.h). */
typedef struct qv_gather_attr {
    int32_t windows;                /* 0: the sampler's order and random crops; 1: the windows given */
    int32_t speed, warp;            /* range about 1, in 2^-16: frames a frame, bands a band */
    float gain;                     /* range about 0, in nepers of energy */
    int32_t time_masks, time_width; /* so many, each 0 to so many frames */
    int32_t mel_masks, mel_width;   /* so many, each 0 to so many bands */
    int32_t voices;                 /* so many rows of the normalization to draw from, in place of the recording's */
    int32_t pad;                    /* moved by up to so many frames and bands, zeros moving in */
    int32_t flip;                   /* 1: by chance mirrored along the bands */
} qv_gather_attr;

typedef struct qv_op {
    int32_t kind;                           /* qv_op_kind */
    int32_t in[QV_MAX_IN], out[QV_MAX_OUT]; /* buffer ids, -1: absent */
    int32_t layer;                          /* for messages and profiles: index into the program's layer names */
    union {
        qv_conv_attr conv;
        qv_bn_attr bn;
        qv_shake_attr shake;
        qv_sgd_attr sgd;
        qv_adamw_attr adamw;
        qv_clip_attr clip;
        qv_loss_attr loss;
        qv_margin_attr margin;
        qv_center_attr center;
        qv_gather_attr gather;
    } a;
} qv_op;

/* What changes from step to step; lives where the backend's buffers live, so that a
 * captured step draws anew when it is replayed. */
typedef struct qv_step_state {
    uint32_t key[2];   /* hash(seed, fold) */
    uint64_t step;     /* from 0 */
    uint64_t set_size; /* recordings in the training set, >= 1 */
    uint32_t batch;    /* rows of the whole batch, over all ranks */
    uint32_t first;    /* this rank's first row in it */
    float lr;
    uint32_t reserved;
} qv_step_state;

/* Counters, of 32 bits, that an op with a ticket needs for the sums of c channels: one, and one for every 16 of at most
 * 512 blocks, for every 256 channels (kernels/merge.cuh, geometry.h). Zero before the op and after it. */
static inline QV_HD int32_t qv_ticket_words(int32_t c) { return (c / 256 + 1) * (1 + 512 / 16); }

/* One recording among the features. */
typedef struct qv_utterance {
    int64_t first_frame; /* in the feature matrix, rows of `mels` floats */
    int32_t frames;      /* >= 1 */
    int32_t label;       /* class, or -1: unknown */
    int32_t norm;        /* row of the normalization table */
    int32_t voices;      /* first of the rows that a training patch draws from in its place, where gather's `voices` > 0 */
} qv_utterance;

/* One evaluation window; utterance -1 pads the batch: zeros, label -1. */
typedef struct qv_window {
    int32_t utterance, start;
} qv_window;

/* Purposes of random draws: bits 24.. of the counter's third word; band in 16..23, layer below. */
typedef enum qv_purpose { QV_DRAW_SHAKE = 1, QV_DRAW_CROP = 2, QV_DRAW_ORDER = 3, QV_DRAW_INIT = 4,
                          QV_DRAW_AUGMENT = 5, QV_DRAW_MASK = 6, QV_DRAW_MIX = 7, QV_DRAW_RELAX = 8 } qv_purpose;

typedef struct qv_call {
    const qv_op *op;
    const qv_tensor *in, *out;
    void *scratch; /* as many bytes as the op asked for, 64-byte aligned */
    void *pool;    /* CPU: qv_pool, or NULL for one thread */
    void *stream;  /* CUDA: cudaStream_t */
    void *plan;    /* what the backend prepared for this op, or NULL */
} qv_call;

/* Runs (on CUDA: enqueues) one op; 0, or an error code of the backend. With `need` not NULL it
 * only stores there how many bytes of scratch the call will want; tensors then need no data,
 * but a NULL data still means "absent". */
typedef int (*qv_op_fn)(const qv_call *call, size_t *need);

/* What an op without scratch answers to `need`. */
static inline int qv_no_scratch(size_t *need)
{
    *need = 0;
    return 0;
}

#ifdef __cplusplus
}
#endif
#endif
