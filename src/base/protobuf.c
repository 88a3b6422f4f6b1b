#include "base/protobuf.h"

#include <string.h>

#include "base/bytes.h"

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

/* Seven bits a byte, the lowest first; the top bit says that more follow. */
static void varint(qv_buf *b, uint64_t x)
{
    unsigned char bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (unsigned char)(x & 0x7f);
        x >>= 7;
        if (x) bytes[n] |= 0x80;
        n++;
    } while (x);
    qv_buf_add(b, bytes, n);
}

static void tag(qv_buf *b, uint32_t field, uint32_t wire) { varint(b, (uint64_t)field << 3 | wire); }

/* The n low bytes of x, little-endian whatever the machine is. */
static void fixed(qv_buf *b, uint64_t x, size_t n)
{
    unsigned char bytes[8];
    qv_put_uint(bytes, x, n);
    qv_buf_add(b, bytes, n);
}

void qv_pb_int(qv_buf *b, uint32_t field, int64_t value)
{
    tag(b, field, VARINT);
    varint(b, (uint64_t)value);
}

void qv_pb_float(qv_buf *b, uint32_t field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    tag(b, field, FIXED32);
    fixed(b, bits, sizeof bits);
}

void qv_pb_double(qv_buf *b, uint32_t field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    tag(b, field, FIXED64);
    fixed(b, bits, sizeof bits);
}

void qv_pb_bytes(qv_buf *b, uint32_t field, const void *bytes, size_t n)
{
    tag(b, field, LENGTH);
    varint(b, n);
    qv_buf_add(b, bytes, n);
}

void qv_pb_text(qv_buf *b, uint32_t field, const char *text) { qv_pb_bytes(b, field, text, strlen(text)); }

void qv_pb_message(qv_buf *b, uint32_t field, qv_buf *message)
{
    qv_pb_bytes(b, field, message->data, message->len);
    b->failed = b->failed || message->failed;
    qv_buf_free(message);
}
