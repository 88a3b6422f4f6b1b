/* A corpus without recordings: frames made up in memory, for tests of what trains on them. */
#ifndef QV_TEST_TOY_H
#define QV_TEST_TOY_H

#include "train/trainer.h"

typedef struct qv_toy_shape {
    int speakers, classes, takes; /* a recording for each of their combinations */
    int mels;
    int shortest, longest; /* frames a recording */
    double apart;          /* distance of the classes; the noise has deviation 1 */
} qv_toy_shape;

/* Recordings in the order speaker, class, take: "s1", "s2", ... and "c0", "c1", ... (two digits from 10 on). */
typedef struct qv_toy {
    qv_manifest *manifest;
    qv_features features;
    float *frames;
    size_t *all; /* 0, 1, ..., manifest->n - 1 */
    size_t n;
} qv_toy;

void qv_toy_make(qv_ctx *ctx, qv_toy *toy, const qv_toy_shape *shape, uint64_t seed);
void qv_toy_free(qv_toy *toy);

/* The smallest network of all: width 2, patches of 8 frames, `mels` bands, batches of 4, one evaluation an epoch. */
void qv_toy_settings(qv_ctx *ctx, qv_settings *s, int mels);

/* A training of the smallest network on such recordings, all in one. */
typedef struct qv_toy_bench {
    qv_ctx *ctx;
    qv_toy toy;
    qv_settings settings; /* to be changed before a dataset is made */
    qv_dataset *data;
    qv_trainer *trainer;
} qv_toy_bench;

/* Recordings and settings; data and trainer are NULL. */
void qv_toy_bench_open(qv_toy_bench *b, const qv_toy_shape *shape);
/* Trains on the first n recordings, whose statistics normalize; every buffer of the trainer can be read. */
void qv_toy_bench_train(qv_toy_bench *b, size_t n, uint64_t epochs);
void qv_toy_bench_close(qv_toy_bench *b);

/* The trainer's buffer of that name, which must be there; its values, released with free(). */
int qv_toy_bench_buffer(const qv_toy_bench *b, const char *name);
double *qv_toy_bench_values(const qv_toy_bench *b, const char *name, size_t *n);

#endif
