/* quaver report */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "report/report.h"

static const char help_text[] =
    "Usage: quaver report [--json] RUN\n\n"
    "  quaver report runs/emodb\n\n"
    "Writes RUN/report.html again from summary.json, results.csv, predictions.csv and config.ini of a run folder\n"
    "that quaver train has made, and prints its path. The page is one file that needs nothing else.\n\n"
    "      --json             the result as one JSON object: file\n"
    "  -h, --help             this text\n";

static const struct option options[] = {{"json", no_argument, NULL, 'J'}, {"help", no_argument, NULL, 'h'}, {0}};
static const char letters[] = "h";

qv_status qv_cmd_report(qv_ctx *ctx, int argc, char **argv)
{
    char *path = NULL;
    bool json = false;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        if (c == '?') return qv_cli_bad_option(ctx, argc, argv, letters, options);
        if (c == 'h') return (fputs(help_text, stdout), QV_OK);
        json = true;
    }
    if (argc - optind != 1)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "one run folder is needed, %d words were given; quaver report --help shows how it is called",
                       argc - optind);
    qv_status status = qv_report_write(ctx, argv[optind], &path);
    if (status == QV_OK) status = qv_cli_print_path(ctx, json, path);
    free(path);
    return status;
}

const struct option *qv_cli_report_options(void) { return options; }
