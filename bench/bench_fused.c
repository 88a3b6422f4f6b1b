/* cuDNN's fused patterns against the program's separate ops, on a GPU: a convolution with the statistics of its output
 * behind it, with the batch norm and ReLU that make its input before it, and with both.
 *
 *   bench_fused [--precision bf16] [--batch 64] [--seconds S] [--rounds N] [--autotune] [--table] [--small]
 *
 * For each convolution of a step of the presets `small` and `reference` (64x64 patches), and each pattern that stands
 * there in the network:
 *   apart  bn_apply where the pattern has it, the convolution's plan of backend/cuda/dnn.h, bn_measure where it has it
 *   fused  cuDNN's graph, one a branch where one input becomes two; with statistics also bn_finalize, which stands for
 *          what would make mean and deviation of the sums
 *   again  bn_apply alone: what the backward pass then has to do once more, since the weights' gradient reads its
 * output Each is a CUDA graph, as in a training step, on a cold L2; they take turns for --rounds rounds of --seconds in
 * all (0.2 a line), medians of the rounds' medians. Bytes: the least that each has to move. `off`: the worst difference
 * between the two in y, by its root mean square, and in the statistics, by the deviation; more than 1/16 is a failure.
 * `bits`: whether the fused statistics were the same to the bit nine times.
 * A sum for each preset and pattern over all its convolutions in a step says what the pattern would save: apart less
 * fused less again; what is not supported, or slower, stays apart. A line also says what is not supported.
 *
 * --autotune takes the fastest of the heuristics' candidates on both sides. --small: tiny shapes, each run once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "figure.h"
#include "fused_line.h"

enum { MOST_CASES = 64 };
/* A unit in the last place of a bf16 value of eight root mean squares. */
static const double OFF = 0.0625;

typedef struct bench {
    fused_bench f;
    int batch, size;
    bool table, small;
    int wrong;
} bench;

/* What a pattern would save in a step. */
typedef struct sums {
    double apart, fused, again, saved;
    int planned, unsupported;
} sums;

/* 32x2: two sets of scale and shift make 64 channels of 32. */
static void shape_text(const fused_case *c, char text[64])
{
    const qv_dnn_key *k = &c->conv;
    const int sets = c->apply > 1 ? c->apply : 1;
    snprintf(text, 64, "%d%s->%d @%dx%d k%d s%d g%d", k->cin / sets, sets > 1 ? "x2" : "", k->cout, k->h, k->w,
             k->kernel, k->stride, k->groups);
}

static void print_line(const bench *b, const fused_line *l, const char *preset, const fused_times *t)
{
    char shape[64];
    double apart, fused;
    fused_line_bytes(l, &apart, &fused);
    shape_text(l->c, shape);
    if (b->table)
        printf("%-9s %-16s %-26s %5d %9.4f %9.4f %6.3f %9.4f %9.2f %9.2f %8.1e %-6s %s\n", preset,
               fused_parts_name(l->key.parts), shape, l->c->count, t->apart, t->fused, t->apart / t->fused, t->again,
               1e-6 * apart, 1e-6 * fused, t->off, t->same_bits ? "same" : "differ", fused_describe(l->plan));
    else
        printf("{\"bench\": \"fused\", \"preset\": \"%s\", \"pattern\": \"%s\", \"shape\": \"%s\", \"batch\": %d, "
               "\"precision\": \"%s\", \"count\": %d, \"apart_ms\": %.4f, \"fused_ms\": %.4f, \"ratio\": %s, "
               "\"again_ms\": %.4f, \"apart_bytes\": %.0f, \"fused_bytes\": %.0f, \"off\": %s, \"same_bits\": %s, "
               "\"apart_plan\": \"%s\", "
               "\"fused_plan\": \"%s\", \"graphs\": %d}\n",
               preset, fused_parts_name(l->key.parts), shape, b->batch, qv_precision_name(b->f.precision), l->c->count,
               t->apart, t->fused, qv_figure_of("%.3f", t->apart / t->fused).text, t->again, apart, fused,
               qv_figure_of("%.2e", t->off).text, t->same_bits ? "true" : "false", qv_dnn_plan_describe(l->apart),
               fused_describe(l->plan), l->launches);
    if (!(t->off <= OFF)) printf("bench_fused: the line above is WRONG: the two differ\n");
    fflush(stdout);
}

/* A line without times: not supported, or a failure. */
static void print_without(const bench *b, const fused_line *l, const char *preset, bool failed)
{
    char shape[64];
    shape_text(l->c, shape);
    if (b->table)
        printf("%-9s %-16s %-26s %5d  %s\n", preset, fused_parts_name(l->key.parts), shape, l->c->count,
               failed ? "FAILED" : "not supported");
    else
        printf("{\"bench\": \"fused\", \"preset\": \"%s\", \"pattern\": \"%s\", \"shape\": \"%s\", \"batch\": %d, "
               "\"precision\": \"%s\", \"count\": %d, \"%s\": %s}\n",
               preset, fused_parts_name(l->key.parts), shape, b->batch, qv_precision_name(b->f.precision), l->c->count,
               failed ? "failed" : "supported", failed ? "true" : "false");
    fflush(stdout);
    fprintf(stderr, "bench_fused: %s\n", qv_ctx_message(b->f.ctx));
}

static void add_times(sums *s, const fused_times *t, int count)
{
    const double saved = t->apart - t->fused - t->again;
    s->planned += count;
    s->apart += count * t->apart, s->fused += count * t->fused, s->again += count * t->again;
    if (saved > 0) s->saved += count * saved;
}

/* One that fails does not stop the others. */
static void run_line(bench *b, fused_line *l, const char *preset, sums *s)
{
    fused_times t = {0};
    qv_status status = fused_line_plan(l);
    if (status == QV_OK) status = fused_line_time(l, &t);
    if (status == QV_OK) {
        print_line(b, l, preset, &t);
        add_times(s, &t, l->c->count);
        b->wrong += !(t.off <= OFF);
    } else {
        print_without(b, l, preset, status != QV_ERR_UNSUPPORTED);
        s->unsupported += l->c->count;
        b->wrong += status != QV_ERR_UNSUPPORTED;
    }
    fused_line_free(l);
}

static void print_sums(const bench *b, const char *preset, int parts, const sums *s)
{
    if (b->table)
        printf("%-9s %-16s in a step: %d of %d supported; apart %.4f ms, fused %.4f, again %.4f; would save %.4f ms\n",
               preset, fused_parts_name(parts), s->planned, s->planned + s->unsupported, s->apart, s->fused, s->again,
               s->saved);
    else
        printf("{\"bench\": \"fused_step\", \"preset\": \"%s\", \"pattern\": \"%s\", \"batch\": %d, \"precision\": "
               "\"%s\", "
               "\"supported\": %d, \"unsupported\": %d, \"apart_ms\": %.4f, \"fused_ms\": %.4f, \"again_ms\": %.4f, "
               "\"saved_ms\": %.4f}\n",
               preset, fused_parts_name(parts), b->batch, qv_precision_name(b->f.precision), s->planned, s->unsupported,
               s->apart, s->fused, s->again, s->saved);
    fflush(stdout);
}

static qv_status run_preset(bench *b, const char *preset)
{
    qv_status status = QV_OK;
    fused_case cases[MOST_CASES];
    sums all[FUSED_BOTH + 1] = {{0}};
    int n = 0;
    QV_TRY(fused_cases(b->f.ctx, preset, b->f.precision, b->batch, b->size, cases, MOST_CASES, &n));
    for (int i = 0; i < n; i++)
        for (int parts = FUSED_STATS; parts <= FUSED_BOTH; parts++) {
            fused_line l;
            if (fused_line_init(&l, &b->f, &cases[i], parts)) run_line(b, &l, preset, &all[parts]);
        }
    for (int parts = FUSED_STATS; parts <= FUSED_BOTH; parts++) print_sums(b, preset, parts, &all[parts]);
done:
    return status;
}

static qv_status run_all(bench *b)
{
    /* What decides comes first, should the time run out. */
    static const char *const presets[] = {"reference", "small"};
    const qv_dnn_options o = {.workspace_limit = (size_t)256 << 20, .autotune = b->f.autotune};
    qv_status status = QV_OK;
    QV_TRY(qv_dnn_new(b->f.ctx, &b->f.dnn, &o));
    QV_TRY(fused_open(b->f.ctx, &b->f.fused, &o));
    if (b->table)
        printf("%s, %s, batch %d\n%-9s %-16s %-26s %5s %9s %9s %6s %9s %9s %9s %8s %-6s %s\n",
               qv_dnn_describe(b->f.dnn), qv_precision_name(b->f.precision), b->batch, "preset", "pattern",
               "convolution", "count", "apart ms", "fused ms", "ratio", "again ms", "apart MB", "fused MB", "off",
               "bits", "plan");
    for (int i = 0; i < 2; i++) QV_TRY(run_preset(b, presets[i]));
done:
    fused_close(b->f.fused);
    qv_dnn_free(b->f.dnn);
    return status;
}

static bool parse_precision(const char *text, qv_precision *p)
{
    for (int i = QV_PRECISION_FP32; i <= QV_PRECISION_BF16; i++)
        if (strcmp(text, qv_precision_name((qv_precision)i)) == 0) return (*p = (qv_precision)i, true);
    return false;
}

/* False where an option is not known, or its value makes no sense. */
static bool parse(bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        char *end = "";
        if (strcmp(argv[i], "--table") == 0)
            b->table = true;
        else if (strcmp(argv[i], "--autotune") == 0)
            b->f.autotune = true;
        else if (strcmp(argv[i], "--small") == 0)
            b->small = true, b->batch = 2, b->size = 8, b->f.rounds = 1, b->f.seconds = 0;
        else if (strcmp(argv[i], "--precision") == 0 && parse_precision(value, &b->f.precision))
            i++;
        else if (strcmp(argv[i], "--batch") == 0)
            b->batch = qv_bench_number("batch", value, 1), i++;
        else if (strcmp(argv[i], "--rounds") == 0)
            b->f.rounds = qv_bench_number("rounds", value, 1), i++;
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            b->f.seconds = strtod(value, &end), i++;
        else
            return false;
        if (*end) return false;
    }
    return b->f.rounds <= FUSED_MOST_ROUNDS && b->f.seconds >= 0 && b->f.seconds <= 60;
}

int main(int argc, char **argv)
{
    bench b = {.f = {.precision = QV_PRECISION_BF16, .rounds = 3, .seconds = 0.2}, .batch = 64, .size = 64};
    if (!parse(&b, argc, argv)) {
        fprintf(stderr,
                "usage: bench_fused [--precision bf16] [--batch N] [--seconds S] [--rounds N] [--autotune] [--table] "
                "[--small]\n");
        return 2;
    }
    if (gpu_lacks()) {
        printf("bench_fused: skipped, no CUDA device: %s\n", gpu_lacks());
        return 0;
    }
    b.f.ctx = qv_bench_ctx();
    if (!b.f.ctx) return 1;
    gpu_time_start(&b.f.t, b.small);
    const qv_status status = run_all(&b);
    if (status != QV_OK) fprintf(stderr, "bench_fused: %s\n", qv_ctx_message(b.f.ctx));
    gpu_time_stop(&b.f.t);
    qv_ctx_free(b.f.ctx);
    return status == QV_OK && b.wrong == 0 ? 0 : 1;
}
