/* NumPy's file of one array (numpy.lib.format, versions 1.0 to 3.0): two dimensions, rows one after the other (C
 * order), little-endian floats of 16, 32 or 64 bits. */
#ifndef QV_DATA_NPY_H
#define QV_DATA_NPY_H

#include <stdio.h>

#include "base/status.h"

/* The most columns that are taken: as many as a network's patch may be wide. */
enum { QV_NPY_COLUMNS = 4096 };

typedef struct qv_npy {
    FILE *f;
    const char *path; /* borrowed, for messages */
    int64_t rows;     /* 1 to INT32_MAX */
    int32_t columns;  /* 1 to QV_NPY_COLUMNS */
    int size;         /* bytes a number: 2, 4, 8 */
    int64_t data_at;  /* where the first number is */
} qv_npy;

/* Reads and checks the header; nothing is taken for granted that the file's length does not bear out. QV_ERR_DATA or
 * QV_ERR_IO with a message that names the file and says what would be right. */
qv_status qv_npy_open(qv_ctx *ctx, qv_npy *npy, const char *path);
/* Rows [begin, begin + n) as floats, out: [n][columns]. QV_ERR_DATA names row and column of the first number that is
 * not finite or whose magnitude is above 1e30. */
qv_status qv_npy_rows(qv_ctx *ctx, qv_npy *npy, int64_t begin, int64_t n, float *out);
/* Harmless on a zeroed qv_npy. */
void qv_npy_close(qv_npy *npy);

/* The value of a binary16 (IEEE 754). */
float qv_npy_half(uint16_t bits);

/* Does the name end in ".npy"? */
bool qv_is_npy(const char *path);

#endif
