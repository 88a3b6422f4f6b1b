/* quaver compare */
#include <stdio.h>

#include "base/io.h"
#include "cli/cli.h"
#include "report/compare.h"
#include "run/run.h"

static const char help_text[] =
    "Usage: quaver compare RUN RUN... [--out PAGE.html]\n\n"
    "  quaver compare runs/classic runs/normalized --out comparison.html\n\n"
    "The figures of several run folders side by side, and a warning where they are not of the same recordings,\n"
    "classes or folds.\n\n"
    "  -o, --out FILE         also one HTML page with a picture of each\n"
    "      --json             a list of their summaries instead of the table\n"
    "  -h, --help             this text\n";

static const struct option options[] = {
    {"out", required_argument, NULL, 'o'},
    {"json", no_argument, NULL, 'J'},
    {"help", no_argument, NULL, 'h'},
    {0},
};
static const char letters[] = "o:h";

const struct option *qv_cli_compare_options(void) { return options; }

static void warn_lines(qv_ctx *ctx, qv_buf *lines)
{
    for (char *line = lines->data, *end; line && *line; line = end + 1) {
        for (end = line; *end != '\n'; end++) continue;
        qv_warn(ctx, "%.*s", (int)(end - line), line);
    }
}

/* What is compared, and what made it, must not be lost to a page. */
static qv_status not_of_run(qv_ctx *ctx, const char *out, const char *run)
{
    bool owns;
    qv_status status = qv_run_folder_owns(ctx, run, out, &owns);
    if (status != QV_OK || !owns) return status;
    return qv_fail(ctx, QV_ERR_USAGE, "--out %s is a file of the run %s; give another name", out, run);
}

static qv_status compare(qv_ctx *ctx, char **runs, int n, const char *out, bool json)
{
    qv_status status = QV_OK;
    qv_comparison c = {0};
    qv_buf text = {0}, lines = {0}, page = {0};
    QV_TRY(qv_comparison_read(ctx, &c, runs, (size_t)n));
    qv_comparison_cautions(&c, &lines);
    QV_TRY(qv_buf_check(ctx, &lines));
    warn_lines(ctx, &lines);
    for (int i = 0; out && i < n; i++) QV_TRY(not_of_run(ctx, out, runs[i]));
    if (out) {
        qv_comparison_page(&c, &page);
        QV_TRY(qv_buf_check(ctx, &page));
        QV_TRY(qv_write_file(ctx, out, page.data, page.len));
    }
    if (json)
        QV_TRY(qv_comparison_json(ctx, &c, &text));
    else
        qv_comparison_table(&c, &text);
    QV_TRY(qv_buf_check(ctx, &text));
    fputs(text.data, stdout);
done:
    qv_buf_free(&text);
    qv_buf_free(&lines);
    qv_buf_free(&page);
    qv_comparison_free(&c);
    return status;
}

qv_status qv_cmd_compare(qv_ctx *ctx, int argc, char **argv)
{
    const char *out = NULL;
    bool json = false;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        if (c == '?') return qv_cli_bad_option(ctx, argc, argv, letters, options);
        if (c == 'h') return (fputs(help_text, stdout), QV_OK);
        if (c == 'o') out = optarg;
        json = json || c == 'J';
    }
    if (argc - optind < 2)
        return qv_fail(ctx, QV_ERR_USAGE, "two run folders or more are compared, %d given; see quaver compare --help", argc - optind);
    return compare(ctx, argv + optind, argc - optind, out, json);
}
