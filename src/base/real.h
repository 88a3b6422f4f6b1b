/* Reals as text, with a point whatever locale the program around the library has chosen. */
#ifndef QV_BASE_REAL_H
#define QV_BASE_REAL_H

#include <stdarg.h>

#include "base/status.h"

/* The whole of a text, as strtod reads it in the C locale. False, and 0, for anything else and for numbers that no
 * double holds, too large or too small. */
bool qv_read_real(const char *text, double *out);

/* snprintf and vsnprintf in the C locale. */
int qv_format(char *out, size_t size, const char *fmt, ...) QV_PRINTF(3, 4);
int qv_vformat(char *out, size_t size, const char *fmt, va_list ap);

#endif
