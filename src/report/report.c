#include "report/report.h"

#include <stdlib.h>

#include "base/io.h"
#include "report/report_data.h"

qv_status qv_report_write(qv_ctx *ctx, const char *run, char **out)
{
    qv_status status = QV_OK;
    qv_run_data data = {0};
    qv_buf page = {0};
    char *path = NULL;
    QV_TRY(qv_run_data_read(ctx, &data, run));
    QV_TRY(qv_report_page(ctx, &page, &data));
    QV_TRY(qv_buf_check(ctx, &page));
    QV_TRY(qv_path_join(ctx, &path, run, "report.html"));
    QV_TRY(qv_write_file(ctx, path, page.data, page.len));
    if (out) {
        *out = path;
        path = NULL;
    }
done:
    free(path);
    qv_buf_free(&page);
    qv_run_data_free(&data);
    return status;
}
