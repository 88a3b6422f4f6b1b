/* Walks the evaluation list of the program, op by op: the graph is what quaver itself runs. */
#include "train/onnx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "quaver_build.h"
#include "train/onnx_graph.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define DIMS(...) ((int64_t[]){__VA_ARGS__}), sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

enum { NAME_MAX_LEN = 80 };

typedef struct exporter {
    qv_ctx *ctx;
    const qv_checkpoint *c;
    qv_net *net;
    qv_onnx_graph g;
    bool paths; /* the constants of all shifted shortcuts are there */
} exporter;

static const qv_buffer *buffer_of(const exporter *x, int id) { return &x->net->program->buffers[id]; }

/* A buffer's name in the graph. */
static const char *name_of(const exporter *x, int id)
{
    const char *name = buffer_of(x, id)->name;
    return strncmp(name, "eval.", 5) == 0 ? name + 5 : name;
}

static qv_status read_values(exporter *x, int id, double **values)
{
    qv_status status = qv_alloc(x->ctx, values, qv_buffer_len(buffer_of(x, id)), sizeof **values);
    return status == QV_OK ? qv_checkpoint_tensor(x->ctx, x->c, buffer_of(x, id), *values) : status;
}

/* The one op that makes buffer `id`, or NULL. */
static const qv_op *maker_of(const exporter *x, int id)
{
    const qv_op_list *l = &x->net->program->lists[QV_LIST_EVAL];
    for (size_t i = 0; i < l->n; i++)
        for (int k = 0; k < QV_MAX_OUT; k++)
            if (l->ops[i].out[k] == id) return &l->ops[i];
    return NULL;
}

/* The one op that reads buffer `id`; NULL where several do, or none. */
static const qv_op *reader_of(const exporter *x, int id)
{
    const qv_op_list *l = &x->net->program->lists[QV_LIST_EVAL];
    const qv_op *found = NULL;
    for (size_t i = 0; i < l->n; i++)
        for (int k = 0; k < QV_MAX_IN; k++)
            if (l->ops[i].in[k] == id) {
                if (found) return NULL;
                found = &l->ops[i];
            }
    return found;
}

/* The batch norm that can be folded into a convolution: its only reader, with one set of scales. */
static const qv_op *folded_norm(const exporter *x, const qv_op *conv)
{
    const qv_op *norm = reader_of(x, conv->out[0]);
    return norm && norm->kind == QV_OP_BN_APPLY && norm->a.bn.repeat == 1 ? norm : NULL;
}

static bool is_folded(const exporter *x, const qv_op *norm)
{
    const qv_op *maker = maker_of(x, norm->in[0]);
    return maker && maker->kind == QV_OP_CONV && folded_norm(x, maker) == norm;
}

/* A batch norm in evaluation as y = scale x + shift, both [repeat * channels]. */
static qv_status affine(exporter *x, const qv_op *norm, double **scale, double **shift)
{
    qv_status status = QV_OK;
    double *mean = NULL, *var = NULL;
    const qv_op *finalize = maker_of(x, norm->in[2]);
    QV_TRY(read_values(x, norm->in[1], &mean));
    QV_TRY(read_values(x, finalize->out[2], &var));
    QV_TRY(read_values(x, norm->in[3], scale));
    QV_TRY(read_values(x, norm->in[4], shift));
    size_t n = qv_buffer_len(buffer_of(x, norm->in[3])), channels = n / (size_t)norm->a.bn.repeat;
    for (size_t i = 0; i < n; i++) {
        size_t c = i % channels;
        (*scale)[i] /= sqrt(var[c] + (double)norm->a.bn.eps);
        (*shift)[i] -= mean[c] * (*scale)[i];
    }
done:
    free(mean);
    free(var);
    return status;
}

/* `op` of a value, then ReLU if `relu`: "X" is then the last result, "X.linear" that before. */
static void node_then_relu(exporter *x, const char *op, const char *const *in, const char *out, bool relu,
                           qv_buf *attributes)
{
    char linear[NAME_MAX_LEN];
    snprintf(linear, sizeof linear, "%s.linear", out);
    qv_onnx_node(&x->g, op, in, NAMES(relu ? linear : out), attributes);
    if (relu) qv_onnx_node(&x->g, "Relu", NAMES(linear), NAMES(out), NULL);
}

/* [out][k][k][in / groups], times a scale an output, as ONNX wants it: [out][in / groups][k][k]. */
static void reorder(const qv_buffer *w, const double *from, const double *scale, double *to)
{
    size_t area = (size_t)w->h * (size_t)w->w, in = (size_t)w->c;
    for (size_t o = 0; o < (size_t)w->n; o++)
        for (size_t p = 0; p < area; p++)
            for (size_t i = 0; i < in; i++)
                to[(o * in + i) * area + p] = from[(o * area + p) * in + i] * (scale ? scale[o] : 1);
}

static qv_status export_conv(exporter *x, const qv_op *op)
{
    qv_status status = QV_OK;
    const qv_buffer *w = buffer_of(x, op->in[1]);
    const qv_op *norm = folded_norm(x, op);
    const qv_conv_attr *a = &op->a.conv;
    double *weights = NULL, *ordered = NULL, *scale = NULL, *shift = NULL;
    char bias[NAME_MAX_LEN];
    qv_buf attributes = {0};
    QV_TRY(read_values(x, op->in[1], &weights));
    QV_TRY(qv_alloc(x->ctx, &ordered, qv_buffer_len(w), sizeof *ordered));
    if (norm) QV_TRY(affine(x, norm, &scale, &shift));
    reorder(w, weights, scale, ordered);
    qv_onnx_floats(&x->g, w->name, DIMS(w->n, w->c, w->h, w->w), ordered);
    snprintf(bias, sizeof bias, "%s.bias", w->name);
    if (norm) qv_onnx_floats(&x->g, bias, DIMS(w->n), shift);
    qv_onnx_ints(&attributes, "kernel_shape", DIMS(a->kernel, a->kernel));
    qv_onnx_ints(&attributes, "strides", DIMS(a->stride, a->stride));
    qv_onnx_ints(&attributes, "pads", DIMS(a->pad, a->pad, a->pad, a->pad));
    qv_onnx_int(&attributes, "group", a->groups);
    const char *in[] = {name_of(x, op->in[0]), w->name, norm ? bias : NULL, NULL};
    node_then_relu(x, "Conv", in, name_of(x, norm ? norm->out[0] : op->out[0]), norm && norm->a.bn.relu, &attributes);
done:
    free(weights);
    free(ordered);
    free(scale);
    free(shift);
    return status;
}

static qv_status export_norm(exporter *x, const qv_op *op)
{
    if (is_folded(x, op)) return QV_OK;
    qv_status status = QV_OK;
    double *scale = NULL, *shift = NULL;
    const char *out = name_of(x, op->out[0]), *in = name_of(x, op->in[0]);
    char twice[NAME_MAX_LEN], scales[NAME_MAX_LEN], shifts[NAME_MAX_LEN], product[NAME_MAX_LEN];
    int64_t n = (int64_t)qv_buffer_len(buffer_of(x, op->in[3]));
    QV_TRY(affine(x, op, &scale, &shift));
    snprintf(twice, sizeof twice, "%s.twice", out);
    snprintf(scales, sizeof scales, "%s.scale", out);
    snprintf(shifts, sizeof shifts, "%s.shift", out);
    snprintf(product, sizeof product, "%s.product", out);
    if (op->a.bn.repeat == 2) {
        qv_buf axis = {0};
        qv_onnx_int(&axis, "axis", 1);
        qv_onnx_node(&x->g, "Concat", NAMES(in, in), NAMES(twice), &axis);
        in = twice;
    }
    qv_onnx_floats(&x->g, scales, DIMS(1, n, 1, 1), scale);
    qv_onnx_floats(&x->g, shifts, DIMS(1, n, 1, 1), shift);
    qv_onnx_node(&x->g, "Mul", NAMES(in, scales), NAMES(product), NULL);
    node_then_relu(x, "Add", NAMES(product, shifts), out, op->a.bn.relu, NULL);
done:
    free(scale);
    free(shift);
    return status;
}

/* In evaluation the coefficients are even: the shortcut and the mean of the branches. */
static void export_shake(exporter *x, const qv_op *op)
{
    const char *out = name_of(x, op->out[0]);
    char one[NAME_MAX_LEN], two[NAME_MAX_LEN], sum[NAME_MAX_LEN], mean[NAME_MAX_LEN];
    qv_buf axis = {0};
    snprintf(one, sizeof one, "%s.branch1", out);
    snprintf(two, sizeof two, "%s.branch2", out);
    snprintf(sum, sizeof sum, "%s.sum", out);
    snprintf(mean, sizeof mean, "%s.mean", out);
    qv_onnx_int(&axis, "axis", 1);
    qv_onnx_node(&x->g, "Split", NAMES(name_of(x, op->in[0])), NAMES(one, two), &axis);
    qv_onnx_node(&x->g, "Add", NAMES(one, two), NAMES(sum), NULL);
    qv_onnx_node(&x->g, "Mul", NAMES(sum, "half"), NAMES(mean), NULL);
    qv_onnx_node(&x->g, "Add", NAMES(name_of(x, op->in[2]), mean), NAMES(out), NULL);
}

/* Every second position of the picture from `first` on, along both axes. */
static void export_path(exporter *x, const char *in, const char *out, int64_t first)
{
    char starts[NAME_MAX_LEN + 8];
    snprintf(starts, sizeof starts, "%s.starts", out);
    qv_onnx_int64s(&x->g, starts, DIMS(first, first));
    qv_onnx_node(&x->g, "Slice", NAMES(in, starts, "paths.ends", "paths.axes", "paths.steps"), NAMES(out), NULL);
}

/* Both paths of the shifted shortcut; what the second lacks at odd ends is zero. */
static void export_shift(exporter *x, const qv_op *op)
{
    const qv_buffer *in = buffer_of(x, op->in[0]);
    const char *out = name_of(x, op->out[0]), *from = name_of(x, op->in[0]);
    char plain[NAME_MAX_LEN], shifted[NAME_MAX_LEN], padded[NAME_MAX_LEN], pads[NAME_MAX_LEN];
    qv_buf axis = {0};
    snprintf(plain, sizeof plain, "%s.plain", out);
    snprintf(shifted, sizeof shifted, "%s.shifted", out);
    snprintf(padded, sizeof padded, "%s.padded", out);
    snprintf(pads, sizeof pads, "%s.pads", out);
    if (!x->paths) {
        qv_onnx_int64s(&x->g, "paths.ends", DIMS(INT64_MAX, INT64_MAX));
        qv_onnx_int64s(&x->g, "paths.axes", DIMS(2, 3));
        qv_onnx_int64s(&x->g, "paths.steps", DIMS(2, 2));
        x->paths = true;
    }
    export_path(x, from, plain, 0);
    export_path(x, from, shifted, 1);
    qv_onnx_int64s(&x->g, pads, DIMS(0, 0, 0, 0, 0, 0, in->h % 2, in->w % 2));
    qv_onnx_node(&x->g, "Pad", NAMES(shifted, pads), NAMES(padded), NULL);
    qv_onnx_int(&axis, "axis", 1);
    qv_onnx_node(&x->g, "Concat", NAMES(plain, padded), NAMES(out), &axis);
}

static void export_pool(exporter *x, const qv_op *op)
{
    char square[NAME_MAX_LEN];
    const char *out = name_of(x, op->out[0]);
    snprintf(square, sizeof square, "%s.square", out);
    qv_onnx_node(&x->g, "GlobalAveragePool", NAMES(name_of(x, op->in[0])), NAMES(square), NULL);
    qv_onnx_node(&x->g, "Flatten", NAMES(square), NAMES(out), NULL);
}

/* Rows of a matrix brought to unit length: op UNIT on a parameter. */
static void to_unit(double *w, size_t rows, size_t columns)
{
    for (size_t n = 0; n < rows; n++) {
        double sum = 0;
        for (size_t c = 0; c < columns; c++) sum += w[n * columns + c] * w[n * columns + c];
        double length = sqrt(sum), inverse = length <= (double)QV_NO_LENGTH ? 0 : 1 / length;
        for (size_t c = 0; c < columns; c++) w[n * columns + c] *= inverse;
    }
}

/* A head of cosines has no bias, and directions in the place of its weights, which are the same for every input. */
static qv_status export_linear(exporter *x, const qv_op *op)
{
    qv_status status = QV_OK;
    const qv_op *unit = maker_of(x, op->in[1]);
    const qv_buffer *w = buffer_of(x, unit ? unit->in[0] : op->in[1]), *b = op->in[2] < 0 ? NULL : buffer_of(x, op->in[2]);
    double *weights = NULL, *bias = NULL;
    qv_buf transposed = {0};
    QV_TRY(read_values(x, unit ? unit->in[0] : op->in[1], &weights));
    if (b) QV_TRY(read_values(x, op->in[2], &bias));
    if (unit) to_unit(weights, (size_t)w->n, (size_t)w->c);
    qv_onnx_floats(&x->g, w->name, DIMS(w->n, w->c), weights);
    if (b) qv_onnx_floats(&x->g, b->name, DIMS(b->c), bias);
    qv_onnx_int(&transposed, "transB", 1);
    qv_onnx_node(&x->g, "Gemm", NAMES(name_of(x, op->in[0]), w->name, b ? b->name : NULL), NAMES(name_of(x, op->out[0])),
                 &transposed);
done:
    free(weights);
    free(bias);
    return status;
}

/* Of the features; that of the weights is part of the product with them. */
static void export_unit(exporter *x, const qv_op *op)
{
    if (buffer_of(x, op->in[0])->role == QV_ROLE_PARAM) return;
    const char *in = name_of(x, op->in[0]), *out = name_of(x, op->out[0]), *norm = name_of(x, op->out[1]);
    char length[NAME_MAX_LEN], least[NAME_MAX_LEN];
    qv_buf attributes = {0};
    snprintf(length, sizeof length, "%s.at_least", norm);
    snprintf(least, sizeof least, "%s.least", norm);
    qv_onnx_ints(&attributes, "axes", DIMS(1));
    qv_onnx_int(&attributes, "keepdims", 1);
    qv_onnx_node(&x->g, "ReduceL2", NAMES(in), NAMES(norm), &attributes);
    qv_onnx_floats(&x->g, least, NULL, 0, (double[]){(double)QV_NO_LENGTH});
    qv_onnx_node(&x->g, "Max", NAMES(norm, least), NAMES(length), NULL);
    qv_onnx_node(&x->g, "Div", NAMES(in, length), NAMES(out), NULL);
}

static void export_softmax(exporter *x)
{
    qv_buf axis = {0};
    qv_onnx_int(&axis, "axis", 1);
    qv_onnx_node(&x->g, "Softmax", NAMES("logits"), NAMES("probabilities"), &axis);
}

/* Outside training there is no margin: cosines times the features' length, or the scale. */
static void export_margin(exporter *x, const qv_op *op)
{
    const char *scale = op->in[3] >= 0 ? name_of(x, op->in[3]) : "logits.scale";
    if (op->in[3] < 0) qv_onnx_floats(&x->g, scale, NULL, 0, (double[]){(double)op->a.margin.scale});
    qv_onnx_node(&x->g, "Mul", NAMES(name_of(x, op->in[0]), scale), NAMES("logits"), NULL);
    export_softmax(x);
}

static qv_status export_op(exporter *x, const qv_op *op)
{
    const char *out = op->out[0] >= 0 ? name_of(x, op->out[0]) : "";
    switch (op->kind) {
    case QV_OP_GATHER:      /* the graph's input stands for it */
    case QV_OP_BN_FINALIZE: /* part of its apply */
    case QV_OP_SHAKE_COEF:  /* even */
        return QV_OK;
    case QV_OP_CONV:
        return export_conv(x, op);
    case QV_OP_BN_APPLY:
        return export_norm(x, op);
    case QV_OP_SHAKE_ADD:
        return (export_shake(x, op), QV_OK);
    case QV_OP_SHIFT:
        return (export_shift(x, op), QV_OK);
    case QV_OP_POOL:
        return (export_pool(x, op), QV_OK);
    case QV_OP_LINEAR:
        return export_linear(x, op);
    case QV_OP_RELU:
        return (qv_onnx_node(&x->g, "Relu", NAMES(name_of(x, op->in[0])), NAMES(out), NULL), QV_OK);
    case QV_OP_ADD:
        qv_onnx_node(&x->g, "Add", NAMES(name_of(x, op->in[0]), name_of(x, op->in[1])), NAMES(out), NULL);
        return QV_OK;
    case QV_OP_LOSS:
        return (export_softmax(x), QV_OK);
    case QV_OP_UNIT:
        return (export_unit(x, op), QV_OK);
    case QV_OP_MARGIN:
        return (export_margin(x, op), QV_OK);
    default:
        return qv_fail(x->ctx, QV_ERR_UNSUPPORTED, "%s: its network has the op %s, which the ONNX export does not know",
                       x->c->path, qv_op_info_of((qv_op_kind)op->kind).name);
    }
}

/* Rows of values, (value - mean) * scale; of images a row has its columns and channels as two axes. */
static qv_status export_norm_of_input(exporter *x, const char **in)
{
    const qv_net_config *n = &x->net->config;
    const int64_t values = qv_net_values(n), image[] = {1, 1, n->mels, n->channels}, frame[] = {1, 1, values};
    bool is_image = x->c->settings.kind == QV_KIND_IMAGE;
    const int64_t *dims = is_image ? image : frame;
    size_t n_dims = is_image ? 4 : 3;
    double *row = NULL;
    if (!x->c->norm) return QV_OK;
    qv_status status = qv_alloc(x->ctx, &row, 2 * (size_t)values, sizeof *row);
    if (status != QV_OK) return status;
    for (int64_t j = 0; j < 2 * values; j++) row[j] = x->c->norm[j];
    qv_onnx_floats(&x->g, "norm.mean", dims, n_dims, row);
    qv_onnx_floats(&x->g, "norm.scale", dims, n_dims, row + values);
    qv_onnx_node(&x->g, "Sub", NAMES(*in, "norm.mean"), NAMES("centered"), NULL);
    qv_onnx_node(&x->g, "Mul", NAMES("centered", "norm.scale"), NAMES("normalized"), NULL);
    *in = "normalized";
    free(row);
    return QV_OK;
}

/* From the graph's input to the program's: normalized, and with its channels where ONNX wants them. */
static qv_status export_input(exporter *x)
{
    static const char *const names[] = {"log_mel", "frames", "image"};
    const qv_net_config *n = &x->net->config;
    const char *in = names[x->c->settings.kind], *out = name_of(x, x->net->eval_input);
    bool is_image = x->c->settings.kind == QV_KIND_IMAGE;
    if (is_image)
        qv_onnx_input(&x->g, in, DIMS(n->frames, n->mels, n->channels));
    else
        qv_onnx_input(&x->g, in, DIMS(n->frames, n->mels));
    qv_status status = export_norm_of_input(x, &in);
    if (status != QV_OK) return status;
    if (is_image) {
        qv_buf order = {0};
        qv_onnx_ints(&order, "perm", DIMS(0, 3, 1, 2));
        qv_onnx_node(&x->g, "Transpose", NAMES(in), NAMES(out), &order);
    } else {
        qv_onnx_int64s(&x->g, "channel_axis", (int64_t[]){1}, 1);
        qv_onnx_node(&x->g, "Unsqueeze", NAMES(in, "channel_axis"), NAMES(out), NULL);
    }
    return QV_OK;
}

static void add_real(exporter *x, const char *key, double value)
{
    qv_buf text = {0};
    qv_buf_real(&text, value);
    if (!text.failed) qv_onnx_metadata(&x->g, key, text.data);
    x->g.metadata.failed = x->g.metadata.failed || text.failed;
    qv_buf_free(&text);
}

static qv_status add_classes(exporter *x)
{
    json_t *list = qv_json_names(x->c->classes, (size_t)x->c->n_classes);
    char *text = qv_json_text(list, JSON_COMPACT);
    if (text) qv_onnx_metadata(&x->g, "classes", text);
    qv_status status = text ? QV_OK : qv_fail(x->ctx, QV_ERR_MEMORY, "no memory for the names of classes");
    free(text);
    json_decref(list);
    return status;
}

/* What is needed to compute the input; the names are those of the settings. Frames from files were computed elsewhere:
 * of them only their number and distance is known. */
static qv_status add_metadata(exporter *x)
{
    const qv_settings *s = &x->c->settings;
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"patch.frames", x->net->config.frames},
        {"features.mels", s->mels},
        {"features.hop", s->hop},
        {"features.rate", s->rate},
        {"features.window", s->window},
        {"features.fft", s->fft},
        {"features.low", s->low},
        {"features.high", s->high},
        {"features.floor", s->floor},
        {"features.trim", s->trim},
    };
    bool sound = s->kind == QV_KIND_MEL;
    size_t n = sound ? sizeof numbers / sizeof *numbers : s->kind == QV_KIND_NPY ? 3 : 2;
    qv_onnx_metadata(&x->g, "quaver", QV_VERSION);
    qv_onnx_metadata(&x->g, "format_version", "1");
    qv_onnx_metadata(&x->g, "features.kind", qv_settings_choice(s, "features.kind"));
    for (size_t i = 0; i < n; i++) add_real(x, numbers[i].key, numbers[i].value);
    if (sound) qv_onnx_metadata(&x->g, "features.loudness", qv_settings_choice(s, "features.loudness"));
    qv_onnx_metadata(&x->g, "features.normalize", qv_settings_choice(s, "features.normalize"));
    qv_onnx_metadata(&x->g, "fold", x->c->fold);
    if (*s->licence) qv_onnx_metadata(&x->g, "training_data.licence", s->licence);
    return add_classes(x);
}

qv_status qv_onnx_export(qv_ctx *ctx, const qv_checkpoint *c, const char *path)
{
    qv_status status = QV_OK;
    exporter x = {.ctx = ctx, .c = c};
    qv_net_config config = qv_settings_net(&c->settings);
    config.classes = c->n_classes;
    config.utterances = config.norms = 1;
    QV_TRY(qv_net_new(ctx, &x.net, &config, NULL));
    QV_TRY(export_input(&x));
    qv_onnx_floats(&x.g, "half", NULL, 0, (double[]){0.5});
    const qv_op_list *l = &x.net->program->lists[QV_LIST_EVAL];
    for (size_t i = 0; i < l->n; i++) QV_TRY(export_op(&x, &l->ops[i]));
    qv_onnx_output(&x.g, "logits", DIMS(c->n_classes));
    qv_onnx_output(&x.g, "probabilities", DIMS(c->n_classes));
    if (config.embed) qv_onnx_output(&x.g, "embedding", DIMS(config.embed));
    QV_TRY(add_metadata(&x));
    status = qv_onnx_write(ctx, &x.g, "quaver", path);
done:
    qv_onnx_graph_free(&x.g);
    qv_net_free(x.net);
    return status;
}
