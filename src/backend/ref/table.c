#include "backend/ref/ref.h"

const qv_op_fn QV_REF_TABLE[QV_OP_COUNT] = {
#define QV_OP(NAME, name, cpu, cuda, in, out) [QV_OP_##NAME] = QV_REF(name),
#include "backend/ops.def"
#undef QV_OP
};
