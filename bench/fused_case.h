/* A convolution together with what stands around it in the network, which cuDNN may compute as one graph; and which of
 * a program's convolutions have such neighbours. */
#ifndef QV_BENCH_FUSED_CASE_H
#define QV_BENCH_FUSED_CASE_H

#include "backend/backend.h"
#include "backend/cuda/dnn_key.h"

/* What is in the graph beside the convolution. */
enum {
    FUSED_STATS = 1, /* behind it: each output channel's sum and sum of squares */
    FUSED_APPLY = 2, /* before it: x becomes max(0, scale x + bias), channel by channel */
    FUSED_BOTH = FUSED_STATS | FUSED_APPLY
};

/* "conv+stats" and so on. */
const char *fused_parts_name(int parts);

/* conv: of kind QV_DNN_CONV; cuDNN can also be asked for QV_DNN_CONV_GRAD_W behind FUSED_APPLY. pitch: channels of the
 * tensor of which y is a part, 0: y is all of it. */
typedef struct fused_key {
    qv_dnn_key conv;
    int parts, pitch;
} fused_key;

/* In memory. x, w and y are of the key's precision, the rest float. Those that the parts do not ask for may be NULL. */
typedef enum fused_tensor {
    FUSED_X,
    FUSED_W,
    FUSED_Y,
    FUSED_SCALE,
    FUSED_BIAS,
    FUSED_SUM,
    FUSED_SQUARES,
    FUSED_TENSORS
} fused_tensor;

/* Is it one of the key's? */
bool fused_uses(const fused_key *key, int tensor);

enum { FUSED_TEXT = QV_DNN_TEXT + 64 };
void fused_text(const fused_key *key, char text[FUSED_TEXT]);

/* Convolutions of a training step that have the same shape and the same neighbours. */
typedef struct fused_case {
    qv_dnn_key conv;
    int count;  /* of them in a step */
    bool stats; /* a batch norm measures y */
    int apply;  /* sets of scale and shift of the batch norm with ReLU that makes x; 0: something else does */
} fused_case;

/* Those that cuDNN convolves in a step of a preset's network, blocks fused, with batch patches of [size, size];
 * QV_ERR_INTERNAL where there are more than cap. */
qv_status fused_cases(qv_ctx *ctx, const char *preset, qv_precision precision, int batch, int size, fused_case *cases,
                      int cap, int *n);

/* False where the case lacks the neighbours. *launches: graphs that take the place of the convolution; where the batch
 * norm before it makes two inputs of one, the branches, cuDNN can only convolve branch by branch. */
bool fused_graph_of(const fused_case *c, int parts, fused_key *key, int *launches);

#endif
