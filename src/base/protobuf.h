/* Writing Protocol Buffers messages: fields of the wire format, one after another into a buffer.
 * https://protobuf.dev/programming-guides/encoding/. A field number is 1 or more. What fails for want
 * of memory shows in the buffer (qv_buf_check). */
#ifndef QV_BASE_PROTOBUF_H
#define QV_BASE_PROTOBUF_H

#include "base/buf.h"

/* int64, uint64, bool, enum: negative numbers as their two's complement, ten bytes. */
void qv_pb_int(qv_buf *b, uint32_t field, int64_t value);
void qv_pb_float(qv_buf *b, uint32_t field, float value);
void qv_pb_double(qv_buf *b, uint32_t field, double value);
void qv_pb_bytes(qv_buf *b, uint32_t field, const void *bytes, size_t n);
void qv_pb_text(qv_buf *b, uint32_t field, const char *text);
/* A message inside the message; its failure becomes b's. Frees it. */
void qv_pb_message(qv_buf *b, uint32_t field, qv_buf *message);

#endif
