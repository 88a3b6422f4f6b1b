/* What the fuzz targets share. A target is one fuzz_X.c with LLVMFuzzerTestOneInput; built with libFuzzer it searches
 * (run.sh), built with any compiler and replay.c it runs what is given to it: the seeds and every crash found. */
#ifndef QV_FUZZ_H
#define QV_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path that opens as a regular file with these bytes; the same file is filled anew by every call of a slot. */
enum { QV_FUZZ_SLOTS = 4 };
const char *qv_fuzz_file(int slot, const uint8_t *data, size_t size);

/* A private folder, emptied by each call and removed at the end; in it, names stand for the files above. */
const char *qv_fuzz_folder(void);
void qv_fuzz_put(int slot, const char *name, const uint8_t *data, size_t size);

/* A context that drops its messages, but ends the program where one is missing after a failure. */
qv_ctx *qv_fuzz_ctx(void);
/* Ends the program, as a crash does, unless the promise holds. */
void qv_fuzz_promise(int holds, const char *what);
/* The status of a reader: a failure must have left a message, and be none that only a broken program gives. */
void qv_fuzz_refused(qv_ctx *ctx, qv_status status);

#endif
