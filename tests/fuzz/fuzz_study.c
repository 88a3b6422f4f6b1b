/* Any bytes as a study file; what is accepted has cells that its table of combinations points to, comparisons whose
 * weights sum to nothing, and is the same study when its text is read again. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "study/plan.h"

static void look_at(const qv_study *s)
{
    qv_fuzz_promise(s->n_corpora > 0 && s->n_cells > 0 && s->seeds > 0, "something is to be trained");
    for (size_t i = 0; i < s->n_combinations; i++)
        qv_fuzz_promise(s->cell_of[i] >= 0 && (size_t)s->cell_of[i] < s->n_cells, "every combination has a cell");
    for (size_t i = 0; i < s->n_comparisons; i++) {
        double sum = 0;
        for (size_t c = 0; c < s->n_cells; c++) sum += s->comparisons[i].weight[c];
        qv_fuzz_promise(fabs(sum) < 1e-9, "a comparison is a difference");
    }
}

static void again(qv_ctx *ctx, const qv_study *s)
{
    qv_study *other;
    qv_buf a = {0}, b = {0};
    qv_fuzz_promise(qv_study_parse(ctx, &other, s->path, s->text) == QV_OK, "the text is read again");
    qv_study_identity(s, &a);
    qv_study_identity(other, &b);
    qv_fuzz_promise(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "it is the same study");
    qv_study_free(other);
    qv_buf_free(&a);
    qv_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_study *s;
    qv_status status = qv_study_read(ctx, &s, qv_fuzz_file(0, data, size), NULL, 0);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        look_at(s);
        again(ctx, s);
        qv_study_free(s);
    }
    qv_ctx_free(ctx);
    return 0;
}
