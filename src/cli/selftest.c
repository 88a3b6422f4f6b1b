/* quaver selftest */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "cli/cli.h"
#include "quaver_build.h"
#include "selftest/selftest.h"

static const char help_text[] =
    "Usage: quaver selftest [options]\n\n"
    "  quaver selftest\n"
    "  quaver selftest --device cuda --precision bf16\n\n"
    "Compares this program on this machine with the reference in double: every op, forward and backward, on fresh\n"
    "random data; whole steps of small networks, op by op; fifty steps of a training. Each result has a bound that\n"
    "follows from the precision and the lengths of its sums; docs/selftest.md says how. Exit code 1 when anything is\n"
    "outside.\n\n"
    "  -d, --device NAME      cpu (default), ref, ref32, cuda\n"
    "      --precision P      fp32 (default), tf32, bf16: of a GPU\n"
    "      --seed N           of the data; default: another one each time, printed\n"
    "      --thorough         also tensors beyond the caches; takes minutes on a processor\n"
    "      --small            ops on short operands only: for a GPU that is emulated\n"
    "      --only LIST        of the ops these, and whole steps or the training where step or training is in it:\n"
    "                         --only conv,conv_grad_x,training\n"
    "      --skip LIST        all but these\n"
    "      --cases            a line a case\n"
    "      --json             one JSON object instead of the table\n"
    "  -j, --threads N        of the CPU\n";

typedef struct arguments {
    qv_settings s;
    qv_selftest_options o;
    const char *only, *skip;
    bool json, help;
} arguments;

/* What the rows of a part add up to. */
typedef struct part {
    const char *name, *title;
    size_t rows, bad, cases;
    qv_selftest_row worst;
} part;

enum { PARTS = 3 };

typedef struct printer {
    part parts[PARTS];
    json_t *rows;     /* NULL: a table */
    int lost;         /* not 0: there was no memory for a row of JSON */
    const char *last; /* part whose heading was printed */
} printer;

static qv_status parse_seed(qv_ctx *ctx, const char *text, uint64_t *seed)
{
    char *end;
    *seed = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end)
        return qv_fail(ctx, QV_ERR_USAGE, "--seed %s: expected a number from 0 on", text);
    return QV_OK;
}

static const struct option options[] = {{"device", 1, NULL, 'd'},   {"precision", 1, NULL, 'p'}, {"seed", 1, NULL, 's'},
                                        {"thorough", 0, NULL, 't'}, {"cases", 0, NULL, 'c'},     {"json", 0, NULL, 'J'},
                                        {"threads", 1, NULL, 'j'},  {"small", 0, NULL, 'S'},     {"only", 1, NULL, 'O'},
                                        {"skip", 1, NULL, 'X'},     {"help", 0, NULL, 'h'},      {0}};
static const char letters[] = "d:j:h";

const struct option *qv_cli_selftest_options(void) { return options; }

static qv_status parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    qv_status status = QV_OK;
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        switch (c) {
        case 'd':
            QV_TRY(qv_settings_set(ctx, &a->s, "run.device", optarg));
            break;
        case 'p':
            QV_TRY(qv_settings_set(ctx, &a->s, "run.precision", optarg));
            break;
        case 's':
            QV_TRY(parse_seed(ctx, optarg, &a->o.seed));
            break;
        case 'j':
            QV_TRY(qv_settings_set(ctx, &a->s, "run.threads", optarg));
            break;
        case 't':
            a->o.thorough = true;
            break;
        case 'S':
            a->o.limit = 4096;
            break;
        case 'O':
            a->only = optarg;
            break;
        case 'X':
            a->skip = optarg;
            break;
        case 'c':
            a->o.every_case = true;
            break;
        case 'J':
            a->json = true;
            break;
        case 'h':
            a->help = true;
            break;
        default:
            return qv_cli_bad_option(ctx, argc, argv, letters, options);
        }
    }
    if (optind < argc)
        QV_TRY(qv_fail(ctx, QV_ERR_USAGE, "unexpected word %s; see quaver selftest --help", argv[optind]));
    if (a->only) QV_TRY(qv_selftest_leave_out(ctx, &a->o, a->only, false));
    if (a->skip) QV_TRY(qv_selftest_leave_out(ctx, &a->o, a->skip, true));
done:
    return status;
}

/* --- rows --- */

static void print_row(printer *p, const qv_selftest_row *r)
{
    const qv_verdict *v = &r->worst;
    if (!p->last || strcmp(p->last, r->part) != 0)
        printf("%s%-22s %6s %9s %9s %7s          where the worst element is\n", p->last ? "\n" : "", r->part, "cases",
               "error", "bound", "share");
    p->last = r->part;
    printf("%-22s %6zu %9.2e %9.2e %6.1f%% %-8s %s\n", r->name, r->cases, fabs(v->got - v->want), v->bound,
           100 * v->share, r->failed ? "OUTSIDE" : "ok", r->what);
    if (r->trouble[0]) printf("    %s\n", r->trouble);
    if (v->wrong)
        printf("    %zu of %zu elements, in %zu cases; worst: output %d, element %zu: got %.9g, reference %.17g, "
               "allowed +-%.3g\n",
               v->wrong, v->elements, r->failed, v->output, v->at, v->got, v->want, v->bound);
    fflush(stdout);
}

/* JSON has no infinity: a share beyond a bound of 0 is null. */
static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *row_json(const qv_selftest_row *r)
{
    const qv_verdict *v = &r->worst;
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:b, s:s}", "part",
                     r->part, "name", r->name, "worst_in", r->what, "cases", (json_int_t)r->cases, "failed",
                     (json_int_t)r->failed, "elements", (json_int_t)v->elements, "wrong", (json_int_t)v->wrong,
                     "output", v->output, "element", (json_int_t)v->at, "got", number(v->got), "reference",
                     number(v->want), "error", number(fabs(v->got - v->want)), "bound", number(v->bound), "share",
                     number(v->share), "ok", (int)(r->failed == 0), "trouble", r->trouble);
}

static void on_row(void *user, const qv_selftest_row *r)
{
    printer *p = user;
    for (int i = 0; i < PARTS; i++) {
        part *sum = &p->parts[i];
        if (strcmp(sum->name, r->part) != 0) continue;
        if (sum->rows == 0 || r->worst.share > sum->worst.worst.share) sum->worst = *r;
        sum->rows++;
        sum->bad += r->failed > 0;
        sum->cases += r->cases;
    }
    if (p->rows)
        p->lost |= json_array_append_new(p->rows, row_json(r));
    else
        print_row(p, r);
}

/* --- the end --- */

static void print_summary(const arguments *a, const printer *p, const qv_selftest_result *r)
{
    const char *precision = qv_precision_name((qv_precision)a->s.precision);
    printf("\ndevice     %s\n", r->device);
    printf("precision  %s\n", a->s.device == QV_DEVICE_REF ? "double" : precision);
    printf("data       seed %" PRIu64 "; the same again: quaver selftest --device %s --precision %s --seed %" PRIu64
           "%s%s%s%s%s%s\n",
           a->o.seed, qv_settings_choice(&a->s, "run.device"), precision, a->o.seed, a->o.thorough ? " --thorough" : "",
           a->o.limit ? " --small" : "", a->only ? " --only " : "", a->only ? a->only : "", a->skip ? " --skip " : "",
           a->skip ? a->skip : "");
    for (int i = 0; i < PARTS; i++) {
        const part *s = &p->parts[i];
        if (s->rows == 0) continue;
        printf("%-10s %zu of %zu within bounds, %zu cases; nearest to its bound: %s at %.0f %%\n", s->title,
               s->rows - s->bad, s->rows, s->cases, s->worst.name, 100 * s->worst.worst.share);
    }
    printf("compared   %zu elements in %.1f s\n", r->elements, r->seconds);
    if (r->failed)
        printf("result     FAILED: %zu of %zu cases are outside their bounds\n", r->failed, r->cases);
    else
        printf("result     passed\n");
}

/* stopped: why the test did not come to its end, "": it did. */
static qv_status print_json(qv_ctx *ctx, const arguments *a, printer *p, const qv_selftest_result *r,
                            const char *stopped)
{
    json_t *all =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:s, s:I, s:I, s:I, s:f, s:O}", "program", "quaver selftest",
                  "version", QV_VERSION, "device", r->device, "precision",
                  qv_precision_name((qv_precision)a->s.precision), "seed", (json_int_t)a->o.seed, "thorough",
                  (int)a->o.thorough, "passed", (int)(r->failed == 0 && !*stopped), "stopped", stopped, "cases",
                  (json_int_t)r->cases, "failed", (json_int_t)r->failed, "elements", (json_int_t)r->elements, "seconds",
                  r->seconds, "rows", p->rows);
    char *text = p->lost ? NULL : qv_json_text(all, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    if (text) puts(text);
    json_decref(all);
    free(text);
    return text ? QV_OK : qv_fail(ctx, QV_ERR_MEMORY, "no memory for the JSON text");
}

static qv_status run(qv_ctx *ctx, arguments *a)
{
    qv_status status = QV_OK;
    qv_selftest_result result;
    char stopped[1024];
    printer p = {.parts = {{.name = "op", .title = "ops"},
                           {.name = "step", .title = "steps"},
                           {.name = "training", .title = "training"}}};
    if (a->json && !(p.rows = json_array())) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for the JSON text");
    a->o.settings = &a->s;
    a->o.on_row = on_row;
    a->o.user = &p;
    const qv_status ended = qv_selftest(ctx, &a->o, &result);
    snprintf(stopped, sizeof stopped, "%s", ended == QV_OK ? "" : qv_ctx_message(ctx));
    if (a->json && (ended == QV_OK || result.cases)) /* rows that there are are worth having */
        QV_TRY(print_json(ctx, a, &p, &result, stopped));
    else if (ended == QV_OK)
        print_summary(a, &p, &result);
    if (ended != QV_OK)
        status = qv_fail(ctx, ended, "%s", stopped);
    else if (result.failed)
        status = qv_fail(ctx, QV_ERR_NUMERIC, "%zu of %zu cases are outside their bounds (seed %" PRIu64 ")",
                         result.failed, result.cases, a->o.seed);
done:
    json_decref(p.rows);
    return status;
}

qv_status qv_cmd_selftest(qv_ctx *ctx, int argc, char **argv)
{
    qv_status status = QV_OK;
    arguments a = {.o = {.seed = (uint64_t)time(NULL)}};
    QV_TRY(qv_settings_init(ctx, &a.s));
    QV_TRY(parse(ctx, &a, argc, argv));
    if (a.help)
        fputs(help_text, stdout);
    else
        QV_TRY(run(ctx, &a));
done:
    qv_settings_free(&a.s);
    return status;
}
