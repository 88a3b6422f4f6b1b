/* What the command line shows: messages, one progress bar on a terminal, plain lines elsewhere. */
#ifndef QV_CLI_CONSOLE_H
#define QV_CLI_CONSOLE_H

#include "quaver/status.h"

typedef struct qv_console {
    int quiet, verbose;
    int terminal;   /* stderr is one, and animation is wanted */
    int color;
    int bar_drawn;  /* a progress bar stands on the current line */
    double last;    /* when progress was last shown, in its task's seconds */
    double first;   /* what was done when the task began: a resumed one does not begin at 0 */
    char task[64];
} qv_console;

/* Looks at stderr, NO_COLOR and TERM, and takes over the context's messages. */
void qv_console_attach(qv_console *c, qv_ctx *ctx, int quiet, int verbose);
/* Wipes the progress bar, if one stands. */
void qv_console_clear(qv_console *c);

#endif
