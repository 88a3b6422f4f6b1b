/* Whether the file of a recording is all there, by its own bytes: libsndfile passes silently over what is missing. */
#ifndef QV_DATA_WHOLE_H
#define QV_DATA_WHOLE_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

/* f: a file of `size` bytes, read from and sought in as this likes. QV_ERR_DATA: there are fewer bytes of samples than
 * its header promises (RIFF, RIFX, RF64, AIFF, W64, CAF, AU, SPHERE), or it ends before its stream does or
 * holds a second one, which libsndfile would not read (Ogg).
 * Files of other kinds, and those that do not say how much they hold, pass. QV_ERR_IO: it cannot be read. */
qv_status qv_whole_check(qv_ctx *ctx, FILE *f, uint64_t size);

#endif
