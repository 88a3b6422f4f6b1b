/* Named tensors in one file, as huggingface's safetensors lays them out: eight bytes of
 * header length (little-endian), a JSON header, the raw data. */
#ifndef QV_BASE_SAFETENSORS_H
#define QV_BASE_SAFETENSORS_H

#include "base/status.h"

typedef enum qv_st_dtype { QV_ST_U8, QV_ST_I32, QV_ST_I64, QV_ST_F32, QV_ST_F64 } qv_st_dtype;

enum { QV_ST_MAX_DIMS = 8 };

typedef struct qv_st_tensor {
    const char *name; /* UTF-8 */
    qv_st_dtype dtype;
    int ndim; /* 0: a scalar, one element */
    size_t shape[QV_ST_MAX_DIMS];
    size_t count; /* elements */
    size_t bytes;
    const void *data; /* row-major, aligned to the element's size; bytes may be 0 */
} qv_st_tensor;

/* "F32" and so on, and bytes an element. */
const char *qv_st_dtype_name(qv_st_dtype d);
size_t qv_st_dtype_size(qv_st_dtype d);

/* Collects tensors, then writes them all. Names and metadata are copied; the tensors' memory
 * is only pointed at, and has to stay until qv_st_write returns. */
typedef struct qv_st_writer qv_st_writer;
qv_status qv_st_writer_new(qv_ctx *ctx, qv_st_writer **out);
void qv_st_writer_free(qv_st_writer *w);
/* QV_ERR_USAGE: name empty, taken, reserved ("__metadata__") or not UTF-8, too many dimensions,
 * a size that overflows. */
qv_status qv_st_add(qv_ctx *ctx, qv_st_writer *w, const char *name, qv_st_dtype dtype, int ndim, const size_t *shape,
                    const void *data);
/* QV_ERR_USAGE: key taken, key or value not UTF-8. */
qv_status qv_st_add_meta(qv_ctx *ctx, qv_st_writer *w, const char *key, const char *value);
/* An atomic file (base/io.h). Wider elements come first, so that every tensor is aligned; the
 * same additions in the same order give the same bytes. */
qv_status qv_st_write(qv_ctx *ctx, qv_st_writer *w, const char *path);

/* A file read into memory, checked from end to end: what this accepts is sound whoever wrote it.
 * QV_ERR_DATA names the file, the tensor and what is wrong with it. */
typedef struct qv_st_file qv_st_file;
qv_status qv_st_open(qv_ctx *ctx, qv_st_file **out, const char *path);
void qv_st_close(qv_st_file *f);

/* Tensors in byte order of their names. */
size_t qv_st_count(const qv_st_file *f);
const qv_st_tensor *qv_st_at(const qv_st_file *f, size_t i);
/* NULL where there is none. */
const qv_st_tensor *qv_st_find(const qv_st_file *f, const char *name);
/* The tensor, if it is exactly that; QV_ERR_DATA that names file, tensor, found and expected. */
qv_status qv_st_need(qv_ctx *ctx, const qv_st_file *f, const char *name, qv_st_dtype dtype, int ndim,
                     const size_t *shape, const qv_st_tensor **out);

/* Metadata in the file's order; qv_st_meta gives NULL for a key that is not there. */
const char *qv_st_meta(const qv_st_file *f, const char *key);
size_t qv_st_meta_count(const qv_st_file *f);
void qv_st_meta_at(const qv_st_file *f, size_t i, const char **key, const char **value);

#endif
