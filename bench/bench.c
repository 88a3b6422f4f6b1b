#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_log(void *user, qv_log_level level, const char *text)
{
    (void)user;
    if (level == QV_LOG_WARNING) fprintf(stderr, "warning: %s\n", text);
}

qv_ctx *qv_bench_ctx(void)
{
    qv_ctx *ctx = qv_ctx_new();
    if (ctx) qv_ctx_on_log(ctx, on_log, NULL);
    return ctx;
}

void qv_bench_set(qv_ctx *ctx, qv_settings *s, const char *name, const char *value)
{
    if (qv_settings_set(ctx, s, name, value) == QV_OK) return;
    fprintf(stderr, "%s\n", qv_ctx_message(ctx));
    exit(2);
}

void qv_bench_option(qv_ctx *ctx, qv_settings *s, const char *option, const char *value)
{
    static const struct {
        const char *option, *setting;
    } known[] = {{"device", "run.device"},   {"precision", "run.precision"}, {"threads", "run.threads"},
                 {"order", "net.order"},     {"width", "net.width"},         {"blocks", "net.blocks"},
                 {"mels", "features.mels"},  {"frames", "patch.frames"},     {"batch", "train.batch"},
                 {"epochs", "train.epochs"}, {"every", "eval.every"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].option, option) == 0) qv_bench_set(ctx, s, known[i].setting, value);
}

int qv_bench_number(const char *option, const char *value, int least)
{
    char *end;
    long n = strtol(value, &end, 10);
    if (end != value && !*end && n >= least && n <= 1 << 20) return (int)n;
    fprintf(stderr, "--%s %s: expected a whole number from %d to %d\n", option, value, least, 1 << 20);
    exit(2);
}

double qv_bench_real(const char *option, const char *value, double most)
{
    char *end;
    const double x = strtod(value, &end);
    if (end != value && !*end && x >= 0 && x <= most) return x;
    fprintf(stderr, "--%s %s: expected a number from 0 to %g\n", option, value, most);
    exit(2);
}

bool qv_bench_next(const char *option, const char **list, int *value)
{
    char *end;
    if (!**list) return false;
    const long n = strtol(*list, &end, 10);
    if (end == *list || (*end && *end != ',') || n < 1 || n > 1 << 20) {
        fprintf(stderr, "--%s %s: expected numbers from 1 on, as in 8,16,64\n", option, *list);
        exit(2);
    }
    *value = (int)n;
    *list = *end ? end + 1 : end;
    return true;
}

double qv_bench_span(const qv_settings *s) { return s->device == QV_DEVICE_CUDA ? 1 : 0; }

bool qv_bench_is_cold(double span, int least, int runs, double since)
{
    if (runs < least) return true;
    return span > 0 && (runs < 2 || qv_now() - since < span / 2);
}

int qv_bench_runs(double span, int rounds, double seconds)
{
    enum { MOST = 1 << 16 };
    const double runs = ceil(span / rounds / seconds);
    return runs > MOST ? MOST : runs > 1 ? (int)runs : 1;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void qv_bench_sort(double *times, int n) { qsort(times, (size_t)n, sizeof *times, by_value); }
