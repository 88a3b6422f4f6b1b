/* CSV as RFC 4180 has it: commas, double quotes, records that may span lines. UTF-8 only. */
#ifndef QV_BASE_CSV_H
#define QV_BASE_CSV_H

#include "base/buf.h"
#include "base/text.h"

enum { QV_CSV_MAX_CELLS = 4096 };

/* A reader over text in memory, one record at a time. LF, CRLF and lone CR end a record, empty
 * lines are passed over, a byte order mark at the start is dropped. */
typedef struct qv_csv {
    const char *name; /* of the file, for messages; not owned */
    char *text;       /* cells are unquoted and ended inside it */
    size_t size, pos;
    int line; /* of the next record */
    char **cells;
    size_t n, cap;
    int row_line; /* where the record at hand begins; the first line is 1 */
} qv_csv;

/* Takes over `text`: malloc'ed, `size` bytes and one NUL more. Sets all of *r, so that
 * qv_csv_close is right after a failure too. QV_ERR_DATA "NAME:LINE: ..." where the text is not
 * UTF-8 or holds a NUL. */
qv_status qv_csv_open(qv_ctx *ctx, qv_csv *r, const char *name, char *text, size_t size);
void qv_csv_close(qv_csv *r);

/* The next record into r->cells[0..n), valid until the close; *more is false at the end. An
 * unclosed quote, a quote where none may stand or more than QV_CSV_MAX_CELLS cells:
 * QV_ERR_DATA "NAME:LINE: ...". */
qv_status qv_csv_next(qv_ctx *ctx, qv_csv *r, bool *more);

/* Adds one record and a line feed; cells are quoted where they must be. NULL is an empty cell. */
void qv_csv_write(qv_buf *b, const char *const *cells, size_t n);
/* One cell of a line of several. */
void qv_csv_cell(qv_buf *b, const char *cell);
/* A first record: `first`, which is not empty, and behind it the names, each with the prefix. */
void qv_csv_header(qv_buf *b, const char *const *first, size_t n, const char *prefix, char *const *names, size_t n_names);

#endif
