/* Which engine computes a convolution: what cuDNN's heuristics offer, less what the key's precision and the promise
 * of equal bits rule out. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda/dnn_plan.h"
#include "base/buf.h"

void qv_dnn_engine_free(qv_dnn_engine *e)
{
    qv_desc_free(e->plan);
    qv_desc_free(e->config);
    e->plan = e->config = NULL;
}

static bool has(unsigned notes, int note) { return (notes >> note & 1u) != 0; }

qv_dnn_verdict qv_dnn_judge(qv_precision precision, unsigned numerical)
{
    if (has(numerical, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return QV_DNN_DROP_NONDETERMINISTIC;
    if (has(numerical, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) ||
        has(numerical, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION))
        return QV_DNN_DROP_REDUCED;
    /* On fp32 tensors the note is the only sign of TF32. */
    if (precision == QV_PRECISION_FP32 && has(numerical, CUDNN_NUMERICAL_NOTE_TENSOR_CORE))
        return QV_DNN_DROP_TENSOR_CORE;
    for (int note = CUDNN_NUMERICAL_NOTE_WINOGRAD; note <= CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13; note++)
        if (has(numerical, note)) return QV_DNN_DROP_TRANSFORM;
    return has(numerical, CUDNN_NUMERICAL_NOTE_FFT) ? QV_DNN_DROP_TRANSFORM : QV_DNN_TAKEN;
}

/* One search: what is looked for, what is left, what it found. */
typedef struct search {
    qv_desc_maker m;
    const qv_dnn_query *query;
    bool compiled; /* engines compiled at run time are looked at, too */
    qv_dnn_engine *engines;
    int n, cap;
    qv_dnn_census *census;
    bool broken;       /* a plan or a mode failed for another reason than that it is not supported */
    char refusal[384]; /* the last refusal of either, in cuDNN's words */
} search;

/* A note is a small enum; one that this program does not know yet sets no bit. */
static unsigned note_bits(const int *notes, int64_t n, int known)
{
    unsigned bits = 0;
    for (int64_t i = 0; i < n; i++)
        if (notes[i] >= 0 && notes[i] < known) bits |= 1u << notes[i];
    return bits;
}

static void read_notes(search *s, qv_dnn_engine *e)
{
    enum { ROOM = 32 }; /* more than there are notes, in this version and the next ones */
    cudnnBackendNumericalNote_t numerical[ROOM];
    cudnnBackendBehaviorNote_t behavior[ROOM];
    int numbers[ROOM];
    cudnnBackendDescriptor_t engine = qv_desc_new(&s->m, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    qv_desc_get(&s->m, e->config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    qv_desc_get(&s->m, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &e->index);
    int64_t n =
        qv_desc_get(&s->m, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, ROOM, numerical);
    for (int64_t i = 0; i < n && i < ROOM; i++) numbers[i] = (int)numerical[i];
    e->numerical = note_bits(numbers, n < ROOM ? n : ROOM, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    n = qv_desc_get(&s->m, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, ROOM, behavior);
    for (int64_t i = 0; i < n && i < ROOM; i++) numbers[i] = (int)behavior[i];
    e->behavior = note_bits(numbers, n < ROOM ? n : ROOM, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
    qv_desc_free(engine);
}

/* That the library fails at a plan, or at all that a mode offers, is an answer, not a failure: the next one may do,
 * whatever the reason. Only if none does, the reason matters (nothing_left). */
static bool refused(search *s)
{
    if (s->m.status == QV_OK || s->m.status == QV_ERR_MEMORY) return false;
    s->broken = s->broken || s->m.status != QV_ERR_UNSUPPORTED;
    snprintf(s->refusal, sizeof s->refusal, "%s", qv_ctx_message(s->m.ctx));
    s->m.status = QV_OK;
    return true;
}

/* Whether the library can really make the plan is known only now. */
static qv_dnn_verdict finalize_plan(search *s, qv_dnn_engine *e)
{
    int64_t workspace = 0;
    e->plan = qv_desc_new(&s->m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (s->query->target->handle)
        qv_desc_set(&s->m, e->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->query->target->handle);
    qv_desc_set(&s->m, e->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &e->config);
    qv_desc_finalize(&s->m, e->plan);
    qv_desc_get(&s->m, e->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace);
    if (refused(s)) return QV_DNN_DROP_REFUSED;
    e->workspace = workspace > 0 ? (size_t)workspace : 0;
    return e->workspace > s->query->options->workspace_limit ? QV_DNN_DROP_WORKSPACE : QV_DNN_TAKEN;
}

static qv_dnn_verdict consider(search *s, qv_dnn_engine *e)
{
    read_notes(s, e);
    qv_dnn_verdict verdict = qv_dnn_judge(s->query->precision, e->numerical);
    if (verdict != QV_DNN_TAKEN) return verdict;
    if (!s->compiled && has(e->behavior, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)) return QV_DNN_DROP_COMPILED;
    return finalize_plan(s, e);
}

/* Takes the configurations in their order until enough are found; every one of them ends freed or found. */
static void choose(search *s, cudnnBackendDescriptor_t *configs, int64_t n, cudnnBackendHeurMode_t mode)
{
    for (int64_t i = 0; i < n; i++) {
        qv_dnn_engine e = {.config = configs[i], .mode = mode};
        bool wanted = s->m.status == QV_OK && s->n < s->cap;
        qv_dnn_verdict verdict = wanted ? consider(s, &e) : QV_DNN_VERDICTS;
        if (verdict != QV_DNN_VERDICTS) {
            s->census->offered++;
            s->census->n[verdict]++;
        }
        if (verdict == QV_DNN_TAKEN && s->m.status == QV_OK)
            s->engines[s->n++] = e;
        else
            qv_dnn_engine_free(&e);
    }
}

static cudnnBackendDescriptor_t ask_heuristics(search *s, cudnnBackendHeurMode_t mode)
{
    cudnnBackendDescriptor_t d = qv_desc_new(&s->m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    qv_desc_set(&s->m, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &s->query->graph);
    qv_desc_set(&s->m, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (s->query->target->device)
        qv_desc_set(&s->m, d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                    &s->query->target->device);
    qv_desc_finalize(&s->m, d);
    return d;
}

/* All that one mode offers. That it offers nothing is no failure: another mode may. One that fails is as a plan that
 * does: what the others offer stands. */
static void search_mode(search *s, cudnnBackendHeurMode_t mode)
{
    cudnnBackendDescriptor_t *configs = NULL;
    cudnnBackendDescriptor_t heuristics = ask_heuristics(s, mode);
    int64_t room =
        qv_desc_get(&s->m, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, NULL);
    if (s->m.status == QV_OK && room > 0) s->m.status = qv_alloc(s->m.ctx, &configs, (size_t)room, sizeof configs[0]);
    if (configs) {
        int64_t made = 0;
        while (made < room && (configs[made] = qv_desc_new(&s->m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)) != NULL) made++;
        int64_t n =
            qv_desc_get(&s->m, heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, configs);
        choose(s, configs, n < made ? n : made, mode);
        for (int64_t i = n < made ? n : made; i < made; i++) qv_desc_free(configs[i]);
    }
    free(configs);
    qv_desc_free(heuristics);
    if (s->m.status == QV_ERR_UNSUPPORTED) s->m.status = QV_OK;
    refused(s);
}

static void search_modes(search *s, bool compiled)
{
    const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
    s->compiled = compiled;
    *s->census = (qv_dnn_census){0};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (s->n < s->cap && (modes[i] != CUDNN_HEUR_MODE_B || s->query->options->autotune)) search_mode(s, modes[i]);
}

/* Not supported, unless something failed for another reason: then the device or the libraries are at fault, and who
 * asked must not go on as if nothing were wrong. */
static qv_status nothing_left(const search *s)
{
    static const char *const reasons[QV_DNN_VERDICTS] = {[QV_DNN_DROP_NONDETERMINISTIC] = "nondeterministic",
                                                         [QV_DNN_DROP_REDUCED] = "of reduced precision",
                                                         [QV_DNN_DROP_TENSOR_CORE] = "TF32",
                                                         [QV_DNN_DROP_TRANSFORM] = "Winograd or FFT",
                                                         [QV_DNN_DROP_REFUSED] = "refused when finalized",
                                                         [QV_DNN_DROP_WORKSPACE] = "over the workspace limit"};
    qv_buf why = {0};
    for (int i = 0; i < QV_DNN_VERDICTS; i++)
        if (reasons[i] && s->census->n[i] > 0) qv_buf_printf(&why, "; %d %s", s->census->n[i], reasons[i]);
    if (s->refusal[0]) qv_buf_printf(&why, "; the last refusal: %s", s->refusal);
    qv_status status = qv_fail(
        s->m.ctx, s->broken ? QV_ERR_DEVICE : QV_ERR_UNSUPPORTED,
        "cuDNN %zu has no plan for %s within %zu bytes of workspace: %d configurations offered%s "
        "(CUDNN_LOGLEVEL_DBG=2 CUDNN_LOGDEST_DBG=stderr shows its own reasons)",
        cudnnGetVersion(), s->m.what, s->query->options->workspace_limit, s->census->offered, why.data ? why.data : "");
    qv_buf_free(&why);
    return status;
}

qv_status qv_dnn_search(qv_ctx *ctx, const qv_dnn_query *query, qv_dnn_engine *engines, int cap, int *n,
                        qv_dnn_census *census)
{
    qv_dnn_census own = {0};
    search s = {.m = {.ctx = ctx, .what = query->what},
                .query = query,
                .engines = engines,
                .cap = cap,
                .census = census ? census : &own};
    search_modes(&s, query->options->autotune);
    if (s.m.status == QV_OK && s.n == 0 && s.census->n[QV_DNN_DROP_COMPILED] > 0) search_modes(&s, true);
    if (s.m.status == QV_OK && s.n == 0) s.m.status = nothing_left(&s);
    if (s.m.status != QV_OK)
        while (s.n > 0) qv_dnn_engine_free(&engines[--s.n]);
    *n = s.n;
    return s.m.status;
}

qv_status qv_dnn_find(qv_ctx *ctx, const qv_dnn_target *target, const qv_dnn_key *key, const qv_dnn_options *o,
                      qv_dnn_engine *engines, int cap, int *n, qv_dnn_census *census)
{
    char text[QV_DNN_TEXT];
    qv_dnn_graph graph;
    *n = 0;
    qv_dnn_key_text(key, text);
    qv_status status = qv_dnn_graph_make(ctx, &graph, target, key);
    const qv_dnn_query query = {target, graph.graph, text, (qv_precision)key->precision, o};
    if (status == QV_OK) status = qv_dnn_search(ctx, &query, engines, cap, n, census);
    qv_dnn_graph_free(&graph);
    return status;
}
