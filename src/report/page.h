/* What all pages have: the frame, notes, lists of terms. */
#ifndef QV_REPORT_PAGE_H
#define QV_REPORT_PAGE_H

#include "base/buf.h"

/* From the doctype to <main>: one file, no script, nothing from outside. `kind` follows the title, `more` is further
 * style; "" for none. */
void qv_page_begin(qv_buf *b, const char *title, const char *kind, const char *more);
/* The footer says that the named command made it from the files beside it; NULL: no footer. */
void qv_page_end(qv_buf *b, const char *command);
/* A paragraph that warns. */
void qv_page_note(qv_buf *b, const char *strong, const char *text);
/* One term of a <dl>; nothing where the value is NULL or "". `more` follows the value. */
void qv_page_entry(qv_buf *b, const char *name, const char *value, const char *more);
void qv_page_code(qv_buf *b, const char *name, const char *value);
/* From <div> to <tbody>: a table that scrolls by itself, also by keys, where it is wider than the page. `label` tells
 * who does not see it what it is, `caption` stands above, "" for none; both and the names[n] of the columns are marked
 * up already. The caller closes all of it. */
void qv_page_table(qv_buf *b, const char *label, const char *caption, const char *const *names, size_t n);
/* <figure><figcaption>; the caller closes it. */
void qv_page_figure(qv_buf *b, const char *cls, const char *heading);

#endif
