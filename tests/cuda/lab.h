/* A small training on recordings made up in memory, for tests of the CUDA backend under the emulation of a GPU. */
#ifndef QV_TEST_LAB_H
#define QV_TEST_LAB_H

#include "support/support.h"
#include "support/toy.h"

typedef struct lab {
    qv_ctx *ctx;
    qv_toy toy;
    qv_settings settings;
    qv_dataset *data;
    qv_gpu_device *gpu; /* NULL: each trainer opens its own */
} lab;

/* Width 4, batches of 4 of 24 recordings, patches of 9 x 11: odd, and cut by strides. On CUDA in fp32. */
void lab_open(lab *l);
void lab_close(lab *l);

/* options: NULL, or what is set beside items and GPU. */
qv_trainer *lab_trainer(const lab *l, const qv_settings *s, const qv_trainer_options *options);
qv_loss lab_train(const lab *l, qv_trainer *t, uint64_t epochs);
/* [n recordings][classes], full windows. */
double *lab_predict(const lab *l, qv_trainer *t);

/* Parameters, moments and running statistics behind each other, released with free(). */
double *lab_weights(qv_trainer *t, size_t *n);
void lab_assert_same_weights(qv_trainer *a, qv_trainer *b);
/* Values of one trainer's parameters and statistics into another; each parameter is moved by `by` of itself, up or down
 * by chance. */
void lab_copy_weights(qv_trainer *to, qv_trainer *from, double by, uint64_t *random);

#endif
