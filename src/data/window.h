/* A look into a file without reading all of it. */
#ifndef QV_DATA_WINDOW_H
#define QV_DATA_WINDOW_H

#include <stdio.h>

#include "base/status.h"

/* The bytes round one place of a file. */
typedef struct qv_window {
    qv_ctx *ctx; /* asked at each reading whether to go on */
    FILE *f;
    uint64_t size; /* bytes of the file */
    uint64_t at;   /* of bytes[0] in the file */
    size_t n;
    int error; /* errno of a read that failed; all later ones do, too */
    bool stopped;
    unsigned char bytes[16384];
} qv_window;

/* *p: the bytes of the file from `at` on, `want` of them (at most 4096), or as many as there are before its end; how
 * many is returned. Valid until the next look. A file that is gone through in one direction is read once. */
size_t qv_window_look(qv_window *w, uint64_t at, size_t want, const unsigned char **p);

/* How many of the bytes from `at` on to pass over in search of something that begins with none: zeros, or one. */
size_t qv_window_zeros(qv_window *w, uint64_t at);

#endif
