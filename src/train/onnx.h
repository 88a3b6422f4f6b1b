/* A checkpoint as an ONNX file: the network in evaluation, and what its input is made of.
 *
 * Input "log_mel" [batch, frames, mels]: windows of `frames` log-mel frames as the front end makes them. The
 * normalization is part of the graph where it is the same for all recordings (none, corpus); with utterance or
 * speaker normalization the caller has applied it already. Outputs "logits" and "probabilities" [batch, classes], and
 * "embedding" [batch, net.embed] where there is such a layer.
 * A batch norm that follows a convolution is folded into it; the others are a product and a sum.
 * Metadata: every setting of the features under its own name, patch.frames, classes, normalization: docs/onnx.md. */
#ifndef QV_TRAIN_ONNX_H
#define QV_TRAIN_ONNX_H

#include "train/checkpoint.h"

/* QV_ERR_UNSUPPORTED where the network has an op that this export does not know, by name. */
qv_status qv_onnx_export(qv_ctx *ctx, const qv_checkpoint *c, const char *path);

#endif
