/* What tells the rows of answers apart. */
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "data/manifest.h"

qv_cli_rows qv_cli_rows_of(const qv_manifest *m)
{
    return (qv_cli_rows){.corpus = m->n_sources > 1, .parts = qv_manifest_has_parts(m)};
}

size_t qv_cli_row_names(qv_cli_rows r, const char **cells)
{
    size_t n = 0;
    cells[n++] = "file";
    if (r.corpus) cells[n++] = "corpus";
    if (!r.parts) return n;
    cells[n++] = "start";
    cells[n++] = "end";
    cells[n++] = "channel";
    return n;
}

size_t qv_cli_row_cells(qv_cli_rows r, const qv_item *item, char numbers[QV_PART_CELLS][32], const char **cells)
{
    size_t n = 0;
    cells[n++] = item->name;
    if (r.corpus) cells[n++] = item->corpus;
    if (!r.parts) return n;
    qv_item_part(item, numbers);
    for (int k = 0; k < QV_PART_CELLS; k++) cells[n++] = numbers[k];
    return n;
}

json_t *qv_cli_row_json(qv_cli_rows r, const qv_item *item)
{
    json_t *row = json_pack("{s:s}", "file", item->name);
    int failed = 0;
    if (r.corpus) failed |= json_object_set_new(row, "corpus", item->corpus ? json_string(item->corpus) : json_null());
    if (r.parts) {
        failed |= json_object_set_new(row, "start", json_real(item->start));
        failed |= json_object_set_new(row, "end", item->end >= 0 ? json_real(item->end) : json_null());
        failed |= json_object_set_new(row, "channel", item->channel > 0 ? json_integer(item->channel) : json_null());
    }
    if (!failed) return row;
    json_decref(row);
    return NULL;
}
