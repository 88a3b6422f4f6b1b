/* XXH3 of a file, of 128 bits. */
#ifndef QV_BASE_HASH_H
#define QV_BASE_HASH_H

#include <xxhash.h>

#include "base/status.h"

/* Reads it piece by piece, however long it is. */
qv_status qv_hash_file(qv_ctx *ctx, const char *path, XXH128_hash_t *hash);
/* The same in hexadecimal. */
enum { QV_HASH_TEXT = 33 };
qv_status qv_hash_file_text(qv_ctx *ctx, const char *path, char text[QV_HASH_TEXT]);

#endif
