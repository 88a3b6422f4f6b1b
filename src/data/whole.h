/* Whether the file of a recording is all there, by its own bytes: libsndfile passes silently over what is missing. */
#ifndef QV_DATA_WHOLE_H
#define QV_DATA_WHOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

/* A stream of MPEG audio; all 0: the file is something else. */
typedef struct qv_mpeg {
    int64_t samples; /* of a channel, in all its frames: with an encoder's delay and padding */
    uint64_t begin;  /* byte of its first frame */
    uint64_t end;    /* byte after its last */
    bool says;       /* how many frames it has, in a header that agrees */
} qv_mpeg;

/* f: a file of `size` bytes, read from and sought in as this likes. QV_ERR_DATA: there are fewer bytes of samples than
 * its header promises (RIFF, RIFX, RF64, AIFF, W64, CAF, AU, SPHERE, VOC), it ends before its stream does (Ogg, MPEG),
 * or it holds a second one, which libsndfile would not read (the same). Files of other kinds, and those that do not say
 * how much they hold, pass. QV_ERR_IO: it cannot be read. *mpeg is set in any case. */
qv_status qv_whole_check(qv_ctx *ctx, FILE *f, uint64_t size, qv_mpeg *mpeg);

#endif
