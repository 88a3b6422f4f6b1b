/* Regular expressions with named groups (PCRE2), bounded in time and memory. */
#ifndef QV_DATA_PATTERN_H
#define QV_DATA_PATTERN_H

#include "base/status.h"

typedef struct qv_pattern qv_pattern;

/* QV_ERR_USAGE with the place of the fault. Matches anywhere in the subject unless anchored; letter case counts. */
qv_status qv_pattern_new(qv_ctx *ctx, qv_pattern **out, const char *regex);
void qv_pattern_free(qv_pattern *p);

/* The distinct names of groups, in alphabetical order. */
int qv_pattern_groups(const qv_pattern *p);
const char *qv_pattern_group_name(const qv_pattern *p, int group);

/* QV_ERR_USAGE where the match needs more steps or memory than it may have. */
qv_status qv_pattern_match(qv_ctx *ctx, qv_pattern *p, const char *subject, bool *matched);
/* Bytes [*begin, *end) of the last subject that the group matched; false where it took no part. */
bool qv_pattern_range(const qv_pattern *p, int group, size_t *begin, size_t *end);

#endif
