/* The rows that the selftest hands out: cases counted, the worst of them kept. */
#include <stdarg.h>
#include <stdio.h>

#include "selftest/own.h"

static void clear(qv_selftest_run *r, const char *part, const char *name)
{
    r->row = (qv_selftest_row){.part = part};
    snprintf(r->row.name, sizeof r->row.name, "%s", name);
}

void qv_selftest_begin(qv_selftest_run *r, const char *part, const char *name)
{
    clear(r, part, name);
    qv_debug(r->ctx, "%s %s: begun", part, name);
}

/* Whether a case is worse than what the row shows: trouble first, then shares of the bound. */
static bool is_worse(const qv_selftest_row *row, const qv_case *c)
{
    if (row->cases == 0) return true;
    if (c->trouble || row->trouble[0]) return c->trouble && !row->trouble[0];
    return c->verdict.share > row->worst.share;
}

void qv_selftest_add(void *run, const qv_case *c)
{
    qv_selftest_run *r = run;
    qv_selftest_row *row = &r->row;
    size_t elements = row->worst.elements + c->verdict.elements, wrong = row->worst.wrong + c->verdict.wrong;
    if (is_worse(row, c)) {
        row->worst = c->verdict;
        snprintf(row->what, sizeof row->what, "%s", c->what);
        snprintf(row->trouble, sizeof row->trouble, "%s", c->trouble ? c->trouble : "");
    }
    row->worst.elements = elements;
    row->worst.wrong = wrong;
    row->cases++;
    row->failed += !qv_case_passed(c);
    r->result->cases++;
    r->result->failed += !qv_case_passed(c);
    r->result->elements += c->verdict.elements;
    if (r->o->every_case) qv_selftest_end(r);
}

void qv_selftest_end(qv_selftest_run *r)
{
    if (r->row.cases == 0) return;
    qv_selftest_row row = r->row;
    r->o->on_row(r->o->user, &row);
    qv_debug(r->ctx, "%s %s: %zu cases, %zu outside%s%s", row.part, row.name, row.cases, row.failed,
             row.trouble[0] ? ": " : "", row.trouble);
    clear(r, row.part, row.name);
}

void qv_selftest_complain(qv_selftest_run *r, const char *fmt, ...)
{
    char text[sizeof r->row.trouble];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    qv_selftest_add(r, &(qv_case){.what = "", .trouble = text});
}

qv_status qv_selftest_outlive(qv_selftest_run *r, qv_status status)
{
    if (status != QV_ERR_DEVICE) return status;
    qv_selftest_complain(r, "%s", qv_ctx_message(r->ctx));
    qv_selftest_end(r);
    if (!r->device.gpu || qv_gpu_answers(r->ctx, r->device.gpu) == QV_OK) return QV_OK;
    return qv_fail_prefix(r->ctx, QV_ERR_DEVICE,
                          "the GPU does nothing more in this process, --skip leaves out what is to blame");
}
