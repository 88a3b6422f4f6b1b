/* What --json prints: one object on standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/cli.h"

qv_status qv_cli_print_json(qv_ctx *ctx, json_t *root)
{
    char *text = qv_json_text(root, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    json_decref(root);
    if (!text)
        return qv_fail(ctx, QV_ERR_DATA,
                       "the result cannot be written as JSON: no memory, or a name that is not UTF-8");
    puts(text);
    free(text);
    return QV_OK;
}

qv_status qv_cli_print_path(qv_ctx *ctx, bool json, const char *path)
{
    if (json) return qv_cli_print_json(ctx, json_pack("{s:s}", "file", path));
    puts(path);
    return QV_OK;
}
