/* Which ops and parts are tested. */
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "selftest/selftest.h"

static const char *name_of(int part)
{
    if (part < QV_OP_COUNT) return qv_op_info_of((qv_op_kind)part).name;
    return part == QV_SELFTEST_STEPS ? "step" : "training";
}

/* The name is not terminated. */
static qv_status find(qv_ctx *ctx, const char *name, size_t n, int *part)
{
    const char *names[QV_SELFTEST_PARTS];
    char word[40];
    for (*part = 0; *part < QV_SELFTEST_PARTS; ++*part) {
        names[*part] = name_of(*part);
        if (strlen(names[*part]) == n && strncmp(names[*part], name, n) == 0) return QV_OK;
    }
    snprintf(word, sizeof word, "%.*s", (int)n, name);
    const char *near = qv_nearest(word, names, QV_SELFTEST_PARTS);
    return qv_fail(ctx, QV_ERR_USAGE, "there is no op %s%s%s; there are those that `quaver selftest` prints, and step, and training",
                   word, near ? ", did you mean " : "", near ? near : "");
}

qv_status qv_selftest_leave_out(qv_ctx *ctx, qv_selftest_options *o, const char *list, bool named)
{
    bool chosen[QV_SELFTEST_PARTS] = {0};
    int left = 0, part;
    for (const char *at = list;; at++) {
        const size_t n = strcspn(at, ",");
        qv_status status = find(ctx, at, n, &part);
        if (status != QV_OK) return status;
        chosen[part] = true;
        at += n;
        if (!*at) break;
    }
    for (part = 0; part < QV_SELFTEST_PARTS; part++) {
        if (chosen[part] == named) o->left_out[part] = true;
        left += !o->left_out[part];
    }
    return left ? QV_OK : qv_fail(ctx, QV_ERR_USAGE, "nothing is left to be tested");
}
