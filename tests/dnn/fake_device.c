#define _GNU_SOURCE /* RTLD_NEXT */
#undef NDEBUG       /* the asserts are the test */
#include "fake_device.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

fake_device fake;

static int cudnn_object, cublas_object, stream_object;
static bool stream_is_set;

static bool fails(void) { return ++fake.calls == fake.fail_at; }

/* The library's own function behind the one that is defined here. */
static void real(const char *name, void *function)
{
    void *p = dlsym(RTLD_NEXT, name);
    assert(p);
    memcpy(function, &p, sizeof p);
}

/* ---- what the program says of its graphs ---- */

typedef struct attribute {
    cudnnBackendDescriptor_t of;
    cudnnBackendAttributeName_t name;
    int64_t n, values[8];
} attribute;

static attribute *attributes;
static size_t n_attributes, cap_attributes;

static void forget(cudnnBackendDescriptor_t d)
{
    size_t kept = 0;
    for (size_t i = 0; i < n_attributes; i++)
        if (attributes[i].of != d) attributes[kept++] = attributes[i];
    n_attributes = kept;
    if (kept > 0) return;
    free(attributes);
    attributes = NULL;
    cap_attributes = 0;
}

static void remember(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, int64_t n, size_t bytes,
                     const void *values)
{
    if (n_attributes == cap_attributes) {
        cap_attributes = 2 * cap_attributes + 64;
        attributes = realloc(attributes, cap_attributes * sizeof attributes[0]);
        assert(attributes);
    }
    attribute *a = &attributes[n_attributes++];
    *a = (attribute){.of = d, .name = name, .n = n};
    assert(bytes <= sizeof a->values);
    memcpy(a->values, values, bytes);
}

static const attribute *recall_attribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name)
{
    for (size_t i = n_attributes; i > 0; i--)
        if (attributes[i - 1].of == d && attributes[i - 1].name == name) return &attributes[i - 1];
    return NULL;
}

static const int64_t *recall(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name)
{
    const attribute *a = recall_attribute(d, name);
    return a ? a->values : NULL;
}

static cudnnBackendDescriptor_t recall_descriptor(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name)
{
    cudnnBackendDescriptor_t out;
    const int64_t *v = recall(d, name);
    assert(v);
    memcpy(&out, v, sizeof out);
    return out;
}

static int recall_int(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name)
{
    int out;
    const int64_t *v = recall(d, name);
    assert(v);
    memcpy(&out, v, sizeof out);
    return out;
}

/* ---- a graph as understood ---- */

typedef struct tensor {
    int64_t uid, dims[4], strides[4];
    bool narrow, inner;
    void *data;
} tensor;

typedef struct convolution {
    int kind; /* 0 forward, 1 data, 2 filter */
    tensor x, w, y;
    int64_t pad[2], stride[2], dilation[2];
} convolution;

/* y = mode(x, b) with b spread over x; ReLU has none. */
typedef struct pointwise {
    cudnnPointwiseMode_t mode;
    tensor x, b, y;
} pointwise;

typedef struct statistics {
    tensor x, sum, squares;
} statistics;

typedef struct operation {
    enum { CONVOLUTION, POINTWISE, STATISTICS } kind;
    convolution c;
    pointwise p;
    statistics s;
} operation;

enum { MOST_OPERATIONS = 5 };
typedef struct meaning {
    operation ops[MOST_OPERATIONS];
    int64_t n;
} meaning;

typedef struct plan_meaning {
    cudnnBackendDescriptor_t plan;
    meaning m;
} plan_meaning;

static plan_meaning meanings[512];
static int n_meanings;
static meaning last_graph;

static tensor read_tensor(cudnnBackendDescriptor_t d)
{
    tensor t = {.uid = recall(d, CUDNN_ATTR_TENSOR_UNIQUE_ID)[0]};
    memcpy(t.dims, recall(d, CUDNN_ATTR_TENSOR_DIMENSIONS), sizeof t.dims);
    memcpy(t.strides, recall(d, CUDNN_ATTR_TENSOR_STRIDES), sizeof t.strides);
    t.narrow = recall_int(d, CUDNN_ATTR_TENSOR_DATA_TYPE) == CUDNN_DATA_BFLOAT16;
    const int64_t *inner = recall(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    t.inner = inner && (*inner & 0xff);
    return t;
}

/* Attribute names of x, w, y, descriptor, alpha, beta: forward, data, filter. */
static const cudnnBackendAttributeName_t names[3][6] = {
    {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static float recall_float(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name)
{
    float out;
    const int64_t *v = recall(d, name);
    assert(v);
    memcpy(&out, v, sizeof out);
    return out;
}

static convolution understand_convolution(cudnnBackendDescriptor_t op)
{
    int kind = 0;
    while (!recall(op, names[kind][0])) assert(++kind < 3);
    const cudnnBackendAttributeName_t *n = names[kind];
    cudnnBackendDescriptor_t conv = recall_descriptor(op, n[3]);
    convolution c = {.kind = kind,
                     .x = read_tensor(recall_descriptor(op, n[0])),
                     .w = read_tensor(recall_descriptor(op, n[1])),
                     .y = read_tensor(recall_descriptor(op, n[2]))};
    assert(recall_float(op, n[4]) == 1.0f && recall_float(op, n[5]) == 0.0f);
    assert(recall_int(conv, CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION);
    assert(recall_int(conv, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT);
    memcpy(c.pad, recall(conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), sizeof c.pad);
    memcpy(c.stride, recall(conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), sizeof c.stride);
    memcpy(c.dilation, recall(conv, CUDNN_ATTR_CONVOLUTION_DILATIONS), sizeof c.dilation);
    return c;
}

static pointwise understand_pointwise(cudnnBackendDescriptor_t op)
{
    cudnnBackendDescriptor_t d = recall_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    pointwise p = {.mode = (cudnnPointwiseMode_t)recall_int(d, CUDNN_ATTR_POINTWISE_MODE),
                   .x = read_tensor(recall_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC)),
                   .y = read_tensor(recall_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC))};
    assert(recall_int(d, CUDNN_ATTR_POINTWISE_MATH_PREC) == CUDNN_DATA_FLOAT);
    if (p.mode != CUDNN_POINTWISE_RELU_FWD)
        p.b = read_tensor(recall_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
    return p;
}

static statistics understand_statistics(cudnnBackendDescriptor_t op)
{
    assert(recall_int(op, CUDNN_ATTR_OPERATION_GENSTATS_MODE) == CUDNN_GENSTATS_SUM_SQSUM);
    return (statistics){read_tensor(recall_descriptor(op, CUDNN_ATTR_OPERATION_GENSTATS_XDESC)),
                        read_tensor(recall_descriptor(op, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC)),
                        read_tensor(recall_descriptor(op, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC))};
}

static void understand(cudnnBackendDescriptor_t graph)
{
    const attribute *ops = recall_attribute(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    meaning m = {.n = ops->n};
    assert(m.n <= MOST_OPERATIONS);
    for (int64_t i = 0; i < m.n; i++) {
        cudnnBackendDescriptor_t op;
        memcpy(&op, &ops->values[i], sizeof op);
        if (recall(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR))
            m.ops[i] = (operation){.kind = POINTWISE, .p = understand_pointwise(op)};
        else if (recall(op, CUDNN_ATTR_OPERATION_GENSTATS_MODE))
            m.ops[i] = (operation){.kind = STATISTICS, .s = understand_statistics(op)};
        else
            m.ops[i] = (operation){.kind = CONVOLUTION, .c = understand_convolution(op)};
    }
    last_graph = m;
}

static void plan_means(cudnnBackendDescriptor_t plan)
{
    int i = 0;
    while (i < n_meanings && meanings[i].plan != plan) i++;
    assert(i < (int)(sizeof meanings / sizeof meanings[0]));
    meanings[i] = (plan_meaning){plan, last_graph};
    if (i == n_meanings) n_meanings++;
}

/* ---- its computation ---- */

static float load(const tensor *t, const int64_t at[4])
{
    int64_t i = 0;
    for (int k = 0; k < 4; k++) i += at[k] * t->strides[k];
    if (!t->narrow) return ((const float *)t->data)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)t->data)[i] << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* For numbers that the type holds exactly. */
static void store(const tensor *t, const int64_t at[4], float v)
{
    int64_t i = 0;
    uint32_t bits;
    for (int k = 0; k < 4; k++) i += at[k] * t->strides[k];
    memcpy(&bits, &v, sizeof bits);
    if (!t->narrow)
        ((float *)t->data)[i] = v;
    else
        ((uint16_t *)t->data)[i] = (uint16_t)(bits >> 16);
}

typedef struct term {
    int64_t x[4], w[4], y[4];
} term;

/* The one sum behind all three operations: every (x, w, y) that meet. */
static void each_term(const convolution *c, void (*fn)(const convolution *c, const term *t))
{
    const int64_t *y = c->y.dims, *w = c->w.dims, per_group = c->w.dims[0] / (c->x.dims[1] / c->w.dims[1]);
    for (int64_t i = 0; i < y[0] * y[1] * y[2] * y[3]; i++)
        for (int64_t j = 0; j < w[1] * w[2] * w[3]; j++) {
            term t = {.y = {i / (y[3] * y[2] * y[1]), i / (y[3] * y[2]) % y[1], i / y[3] % y[2], i % y[3]}};
            int64_t r = j / w[3] % w[2], s = j % w[3], ch = j / (w[3] * w[2]);
            int64_t v[4] = {t.y[1], ch, r, s}, h = t.y[2] * c->stride[0] + r * c->dilation[0] - c->pad[0];
            int64_t u[4] = {t.y[0], t.y[1] / per_group * w[1] + ch, h,
                            t.y[3] * c->stride[1] + s * c->dilation[1] - c->pad[1]};
            if (u[2] < 0 || u[2] >= c->x.dims[2] || u[3] < 0 || u[3] >= c->x.dims[3]) continue;
            memcpy(t.w, v, sizeof v);
            memcpy(t.x, u, sizeof u);
            fn(c, &t);
        }
}

static void add_term(const convolution *c, const term *t)
{
    if (c->kind == 0) store(&c->y, t->y, load(&c->y, t->y) + load(&c->x, t->x) * load(&c->w, t->w));
    if (c->kind == 1) store(&c->x, t->x, load(&c->x, t->x) + load(&c->y, t->y) * load(&c->w, t->w));
    if (c->kind == 2) store(&c->w, t->w, load(&c->w, t->w) + load(&c->y, t->y) * load(&c->x, t->x));
}

/* The place of element i of so many dims. */
static void place(const int64_t d[4], int64_t i, int64_t at[4])
{
    const int64_t v[4] = {i / (d[3] * d[2] * d[1]), i / (d[3] * d[2]) % d[1], i / d[3] % d[2], i % d[3]};
    memcpy(at, v, sizeof v);
}

static int64_t elements(const tensor *t) { return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]; }

static void compute_pointwise(const pointwise *p)
{
    for (int64_t i = 0; i < elements(&p->y); i++) {
        int64_t at[4], b[4];
        place(p->y.dims, i, at);
        const float x = load(&p->x, at);
        if (p->mode == CUDNN_POINTWISE_RELU_FWD) {
            store(&p->y, at, x > 0 ? x : 0);
            continue;
        }
        assert(p->mode == CUDNN_POINTWISE_MUL || p->mode == CUDNN_POINTWISE_ADD);
        for (int k = 0; k < 4; k++) b[k] = p->b.dims[k] == 1 ? 0 : at[k];
        store(&p->y, at, p->mode == CUDNN_POINTWISE_MUL ? x * load(&p->b, b) : x + load(&p->b, b));
    }
}

static void compute_statistics(const statistics *s)
{
    for (int64_t c = 0; c < s->sum.dims[1]; c++) {
        store(&s->sum, (int64_t[4]){0, c, 0, 0}, 0);
        store(&s->squares, (int64_t[4]){0, c, 0, 0}, 0);
    }
    for (int64_t i = 0; i < elements(&s->x); i++) {
        int64_t at[4];
        place(s->x.dims, i, at);
        const int64_t c[4] = {0, at[1], 0, 0};
        const float v = load(&s->x, at);
        store(&s->sum, c, load(&s->sum, c) + v);
        store(&s->squares, c, load(&s->squares, c) + v * v);
    }
}

static void compute(const convolution *c)
{
    const tensor *out = c->kind == 0 ? &c->y : c->kind == 1 ? &c->x : &c->w;
    for (int64_t i = 0; i < elements(out); i++) {
        int64_t at[4];
        place(out->dims, i, at);
        store(out, at, 0.0f);
    }
    each_term(c, add_term);
}

/* ---- cuDNN ---- */

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    if (fails()) return CUDNN_STATUS_NOT_INITIALIZED;
    fake.handles++;
    *handle = (cudnnHandle_t)(void *)&cudnn_object;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    assert(handle == (cudnnHandle_t)(void *)&cudnn_object);
    fake.handles--;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    assert(handle == (cudnnHandle_t)(void *)&cudnn_object);
    assert(!stream || stream == (cudaStream_t)(void *)&stream_object);
    stream_is_set = stream != NULL;
    return fails() ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *d)
{
    cudnnStatus_t (*f)(cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t *);
    real("cudnnBackendCreateDescriptor", &f);
    if (fails()) return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    cudnnStatus_t s = f(type, d);
    if (s == CUDNN_STATUS_SUCCESS) fake.descriptors++;
    return s;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    cudnnStatus_t (*f)(cudnnBackendDescriptor_t);
    real("cudnnBackendDestroyDescriptor", &f);
    forget(d);
    fake.descriptors--;
    return f(d);
}

static size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    case CUDNN_TYPE_CHAR:
        return 1;
    default:
        return 4;
    }
}

/* The handle's device is the fake's, and the handle itself is nothing that the library may look into. */
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    cudnnStatus_t (*f)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t,
                       const void *);
    real("cudnnBackendSetAttribute", &f);
    if (fails()) return CUDNN_STATUS_BAD_PARAM;
    if (type != CUDNN_TYPE_CHAR) remember(d, name, n, (size_t)n * size_of(type), values);
    if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE || name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE) {
        cudnnHandle_t handle;
        memcpy(&handle, values, sizeof handle);
        assert(type == CUDNN_TYPE_HANDLE && handle == (cudnnHandle_t)(void *)&cudnn_object);
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) plan_means(d);
    cudnnStatus_t s = f(d, name, type, n, values);
    if (s == CUDNN_STATUS_SUCCESS && name == CUDNN_ATTR_ENGINEHEUR_MODE)
        s = f(d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &fake.properties);
    return s;
}

static bool is_broken(cudnnBackendDescriptor_t heuristics)
{
    return recall(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE) &&
           (fake.broken_modes >> recall_int(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE) & 1u) != 0;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d)
{
    cudnnStatus_t (*f)(cudnnBackendDescriptor_t);
    real("cudnnBackendFinalize", &f);
    if (fails() || is_broken(d)) return CUDNN_STATUS_INTERNAL_ERROR;
    if (recall(d, CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
        assert(recall(d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE));
        understand(d);
    }
    return f(d);
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *n, void *values)
{
    cudnnStatus_t (*f)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t,
                       int64_t *, void *);
    real("cudnnBackendGetAttribute", &f);
    return fails() ? CUDNN_STATUS_BAD_PARAM : f(d, name, type, room, n, values);
}

/* What lies in memory during one run: the variant pack's, and what is only between operations. */
typedef struct memory {
    const attribute *uids, *pointers;
    void *inner[2 * MOST_OPERATIONS];
    int64_t inner_uids[2 * MOST_OPERATIONS];
    int n;
} memory;

static void give(memory *m, tensor *t)
{
    if (t->uid == 0) return; /* an operand that the operation has not */
    for (int64_t i = 0; i < m->uids->n && !t->inner; i++)
        if (m->uids->values[i] == t->uid) memcpy(&t->data, &m->pointers->values[i], sizeof t->data);
    for (int i = 0; i < m->n && t->inner; i++)
        if (m->inner_uids[i] == t->uid) t->data = m->inner[i];
    if (t->inner && !t->data) {
        t->data = m->inner[m->n] = aligned_alloc(16, ((size_t)elements(t) * sizeof(float) + 15) / 16 * 16);
        m->inner_uids[m->n++] = t->uid;
    }
    assert(t->data && (uintptr_t)t->data % 16 == 0);
}

static void run_operation(memory *m, operation *o)
{
    tensor *const all[] = {&o->c.x, &o->c.w, &o->c.y, &o->p.x, &o->p.b, &o->p.y, &o->s.x, &o->s.sum, &o->s.squares};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) give(m, all[i]);
    if (o->kind == CONVOLUTION) compute(&o->c);
    if (o->kind == POINTWISE) compute_pointwise(&o->p);
    if (o->kind == STATISTICS) compute_statistics(&o->s);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
    int64_t workspace = -1, n = 0;
    void *scratch;
    assert(handle == (cudnnHandle_t)(void *)&cudnn_object && stream_is_set);
    if (fails() || (fake.broken > 0 && fake.broken--)) return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t s =
        cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n, &workspace);
    if (s != CUDNN_STATUS_SUCCESS) return s;
    assert(n == 1 && workspace >= 0);
    memory m = {.uids = recall_attribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS),
                .pointers = recall_attribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)};
    assert(m.uids->n == m.pointers->n);
    memcpy(&scratch, recall(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE), sizeof scratch);
    assert(workspace > 0 ? scratch != NULL : scratch == NULL);
    if (workspace > 0) memset(scratch, 0xff, (size_t)workspace);
    int i = 0;
    while (meanings[i].plan != plan) assert(++i < n_meanings);
    meaning copy = meanings[i].m;
    for (int64_t k = 0; k < copy.n; k++) run_operation(&m, &copy.ops[k]);
    for (int k = 0; k < m.n; k++) free(m.inner[k]);
    fake.executed++;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- cuBLAS ---- */

static cublasStatus_t blas_status(cublasHandle_t handle)
{
    assert(handle == (cublasHandle_t)(void *)&cublas_object);
    return fails() ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

static void *blas_workspace;

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    if (fails()) return CUBLAS_STATUS_ALLOC_FAILED;
    fake.handles++;
    *handle = (cublasHandle_t)(void *)&cublas_object;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    assert(handle == (cublasHandle_t)(void *)&cublas_object);
    fake.handles--;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value)
{
    *value = type == MAJOR_VERSION ? CUBLAS_VER_MAJOR : type == MINOR_VERSION ? CUBLAS_VER_MINOR : CUBLAS_VER_PATCH;
    return fails() ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t s) { return s == CUBLAS_STATUS_SUCCESS ? "success" : "failure"; }

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode)
{
    assert(mode == CUBLAS_POINTER_MODE_HOST);
    return blas_status(handle);
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    fake.math = mode;
    return blas_status(handle);
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode)
{
    assert(mode == CUBLAS_ATOMICS_NOT_ALLOWED);
    return blas_status(handle);
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    assert(stream == (cudaStream_t)(void *)&stream_object);
    blas_workspace = NULL; /* as the library: back to its own */
    return blas_status(handle);
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    assert((uintptr_t)workspace % 256 == 0);
    blas_workspace = workspace;
    fake.workspace = bytes;
    return blas_status(handle);
}

/* Column-major, as BLAS defines it. */
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                            const void *alpha, const void *A, cudaDataType at, int lda, const void *B, cudaDataType bt,
                            int ldb, const void *beta, void *C, cudaDataType ct, int ldc,
                            cublasComputeType_t compute_type, cublasGemmAlgo_t algorithm)
{
    assert(*(const float *)alpha == 1.0f && algorithm == CUBLAS_GEMM_DEFAULT && at == bt && bt == ct && blas_workspace);
    assert(lda >= (ta == CUBLAS_OP_N ? m : k) && ldb >= (tb == CUBLAS_OP_N ? k : n) && ldc >= m);
    if (blas_status(handle) != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_EXECUTION_FAILED;
    memset(blas_workspace, 0xff, fake.workspace);
    const bool narrow = at == CUDA_R_16BF;
    const tensor a = {.strides = {1, lda}, .narrow = narrow, .data = (void *)(uintptr_t)A};
    const tensor b = {.strides = {1, ldb}, .narrow = narrow, .data = (void *)(uintptr_t)B};
    const tensor c = {.strides = {1, ldc}, .narrow = narrow, .data = C};
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            int64_t out[4] = {i, j};
            float sum = *(const float *)beta == 0.0f ? 0.0f : *(const float *)beta * load(&c, out);
            for (int l = 0; l < k; l++)
                sum += load(&a, ta == CUBLAS_OP_N ? (int64_t[4]){i, l} : (int64_t[4]){l, i}) *
                       load(&b, tb == CUBLAS_OP_N ? (int64_t[4]){l, j} : (int64_t[4]){j, l});
            store(&c, out, sum);
        }
    fake.compute = compute_type;
    fake.products++;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the CUDA runtime ---- */

static cudaError_t cuda_status(void) { return fails() ? cudaErrorUnknown : cudaSuccess; }

const char *cudaGetErrorString(cudaError_t e) { return e == cudaSuccess ? "success" : "failure"; }
cudaError_t cudaGetLastError(void) { return cudaSuccess; }

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cuda_status();
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr what, int device)
{
    assert(what == cudaDevAttrComputeCapabilityMajor && device == 0);
    *value = 9;
    return cuda_status();
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    if (fails() || (fake.memory > 0 && bytes > fake.memory)) return cudaErrorMemoryAllocation;
    *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
    assert(*p);
    fake.allocations++;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    fake.allocations -= p != NULL;
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    assert(stream == (cudaStream_t)(void *)&stream_object);
    memset(p, value, bytes);
    return cuda_status();
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    assert(flags == cudaStreamNonBlocking);
    if (fails()) return cudaErrorUnknown;
    fake.streams++;
    *stream = (cudaStream_t)(void *)&stream_object;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    assert(stream == (cudaStream_t)(void *)&stream_object && !stream_is_set); /* else a handle would keep it */
    fake.streams--;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    static int event_object;
    if (fails()) return cudaErrorUnknown;
    fake.events++;
    *event = (cudaEvent_t)(void *)&event_object;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    (void)event;
    fake.events--;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    (void)event, (void)stream;
    return cuda_status();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    (void)event;
    return cuda_status();
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t stop)
{
    (void)start, (void)stop;
    *ms = fake.times[fake.timed++ % (long)(sizeof fake.times / sizeof fake.times[0])];
    return cuda_status();
}
