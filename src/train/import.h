/* Weights from elsewhere as a checkpoint: a PyTorch state dict saved as safetensors, and a file that says which of
 * its tensors is which of ours.
 *
 * The map has lines "OURS = THEIRS" or "OURS = THEIRS + THEIRS ...", the parts along the first axis (both branches
 * of a block are one tensor here); # begins a comment; a tensor without a line has the same name in both. Names of
 * ours: "stage1.block0.conv1", "stage1.block0.bn1.gamma", ".beta",
 * ".running_mean", ".running_var", "linear.weight", "linear.bias"; "norm" [2][mels] with features.normalize =
 * corpus. Convolutions are [out][in / groups][k][k] there, as PyTorch has them. */
#ifndef QV_TRAIN_IMPORT_H
#define QV_TRAIN_IMPORT_H

#include "train/checkpoint.h"

typedef struct qv_import {
    const char *weights, *map; /* files; map NULL: all names are equal */
    const qv_settings *settings;
    char **classes;
    int n_classes;
} qv_import;

/* Writes the checkpoint. QV_ERR_USAGE: no checkpoint may have such classes, or be of so large a network. QV_ERR_DATA
 * names the tensor that is missing, has another shape or holds what no checkpoint may: numbers that are not finite,
 * negative variances, scales of "norm" that are not positive; tensors that nothing asked for are told as a warning. */
qv_status qv_import_write(qv_ctx *ctx, const qv_import *i, const char *path);

#endif
