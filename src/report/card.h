/* RUN/model-card.md: what whoever gets a checkpoint of the run should know of it, in Markdown. */
#ifndef QV_REPORT_CARD_H
#define QV_REPORT_CARD_H

#include "report/report.h"
#include "train/settings.h"

/* Whole or not at all. */
qv_status qv_card_write(qv_ctx *ctx, const qv_settings *s, const qv_summary *m, const char *run);

#endif
