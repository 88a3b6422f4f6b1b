/* The key of a plan in numbers and words: what the libraries and any stand-in for them agree on. */
#ifndef QV_BACKEND_CUDA_DNN_KEY_H
#define QV_BACKEND_CUDA_DNN_KEY_H

#include "backend/cuda/dnn.h"

/* The three tensors of a convolution, and which of them a, b and out are. */
typedef enum qv_dnn_tensor { QV_DNN_X, QV_DNN_W, QV_DNN_Y } qv_dnn_tensor;
typedef enum qv_dnn_operand { QV_DNN_A, QV_DNN_B, QV_DNN_OUT } qv_dnn_operand;
qv_dnn_tensor qv_dnn_tensor_of(const qv_dnn_key *key, qv_dnn_operand operand);

/* A tensor as cuDNN counts it: N,C,H,W of activations, K,C/groups,R,S of weights. */
void qv_dnn_dims(const qv_dnn_key *key, qv_dnn_tensor t, int64_t dims[4]);

/* QV_ERR_USAGE, with the key and what is wrong with it: an unknown kind or precision, a size below 1, an empty
 * output, channels that the groups do not divide, an operand of more than QV_DNN_MAX_BYTES, a field set that the
 * kind does not use. */
qv_status qv_dnn_check(qv_ctx *ctx, const qv_dnn_key *key);

/* Far beyond any GPU's memory, and far from where 64 bits end. */
#define QV_DNN_MAX_BYTES ((int64_t)1 << 48)

/* Bytes of an operand of a checked key. */
size_t qv_dnn_bytes(const qv_dnn_key *key, qv_dnn_operand operand);

enum { QV_DNN_TEXT = 192 };

/* "conv [64,64,64,32] 3x3 stride 1 pad 1 groups 1 -> 64, bf16" for messages and tables; any content is safe. */
void qv_dnn_key_text(const qv_dnn_key *key, char text[QV_DNN_TEXT]);

#endif
