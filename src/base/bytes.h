/* Whole numbers as files hold them, whatever the machine's own order of bytes. */
#ifndef QV_BASE_BYTES_H
#define QV_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of n bytes, at most 8. */
static inline uint64_t qv_get_uint(const unsigned char *p, size_t n, bool big_endian)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) value = value << 8 | p[big_endian ? i : n - 1 - i];
    return value;
}

/* Its n low bytes, the least significant first; returns what is behind them. */
static inline unsigned char *qv_put_uint(unsigned char *p, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++) *p++ = (unsigned char)(value >> (8 * i));
    return p;
}

#endif
