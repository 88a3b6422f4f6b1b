/* INI text: "[section]", then "key = value" or "key: value". `;` or `#` at the start of a line begins a comment;
 * LF, CRLF and a lone CR end a line, which may have any length, a byte order mark at the start is dropped. (inih, as
 * distributions build it, ends a line after 200 characters, which a manifest's path or a study's list of values
 * exceeds.) */
#ifndef QV_BASE_INI_H
#define QV_BASE_INI_H

#include "base/status.h"

enum { QV_INI_SECTION = 256 }; /* bytes that hold any section's name */

typedef struct qv_ini_line {
    const char *section; /* "" before the first */
    const char *key;     /* NULL: the line opens the section */
    char *value;         /* without blanks at its ends; a comment behind it is still there */
    int line;            /* from 1 */
} qv_ini_line;

/* Calls fn for every section and key in order; the line is valid during the call. What fn returns but QV_OK ends
 * the reading, with "NAME:LINE: " put before the message. QV_ERR_DATA for a line that is none of these. */
typedef qv_status (*qv_ini_fn)(qv_ctx *ctx, void *user, const qv_ini_line *l);
qv_status qv_ini_parse(qv_ctx *ctx, const char *name, const char *text, qv_ini_fn fn, void *user);

/* Cuts a comment that follows a blank off the value, for values that cannot hold one themselves. */
void qv_ini_cut_comment(char *value);

#endif
