#include "backend/backend.h"

enum own { REF32, CPU, CUDA, DNN, NONE };

/* Operands in the text of a row: words. */
static int count_words(const char *s)
{
    int n = 0;
    for (; *s; s++) n += *s != ' ' && (s[1] == ' ' || s[1] == '\0');
    return n;
}

static const struct row {
    const char *name, *in, *out;
    enum own cpu, cuda;
} rows[QV_OP_COUNT] = {
#define QV_OP(NAME, name, cpu, cuda, in, out) [QV_OP_##NAME] = {#name, in, out, cpu, cuda},
#include "backend/ops.def"
#undef QV_OP
};

qv_op_info qv_op_info_of(qv_op_kind kind)
{
    const struct row *r = &rows[kind];
    return (qv_op_info){r->name, r->in, r->out, r->cpu == CPU, r->cuda != NONE, count_words(r->in), count_words(r->out)};
}

const char *qv_precision_name(qv_precision p)
{
    static const char *const names[] = {"fp32", "tf32", "bf16"};
    return names[p];
}
