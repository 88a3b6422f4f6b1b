#include "cli/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 24 };
static const double redraw_seconds = 0.1, plain_seconds = 10;

void qv_console_clear(qv_console *c)
{
    if (!c->bar_drawn) return;
    fputs("\r\033[K", stderr);
    c->bar_drawn = 0;
}

static void on_log(void *user, qv_log_level level, const char *text)
{
    qv_console *c = user;
    if (level == QV_LOG_DEBUG && !c->verbose) return;
    if (level == QV_LOG_INFO && c->quiet) return;
    qv_console_clear(c);
    const char *prefix = level == QV_LOG_WARNING ? "warning: " : "";
    if (level == QV_LOG_WARNING && c->color)
        fprintf(stderr, "\033[33m%s\033[0m%s\n", prefix, text);
    else
        fprintf(stderr, "%s%s\n", prefix, text);
}

static void print_time(double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        fprintf(stderr, "%ld h %02ld min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        fprintf(stderr, "%ld min %02ld s", s / 60, s % 60);
    else
        fprintf(stderr, "%ld s", s);
}

/* Columns of the terminal that are left behind a bar of BAR_WIDTH: what goes on in a next line cannot be wiped. */
static int columns_left(const char *what)
{
    struct winsize size;
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    int left = columns - (int)strlen(what) - BAR_WIDTH - 5;
    return left > 0 ? left : 0;
}

static void print_figures(const qv_console *c, const qv_progress *p)
{
    if (p->note) {
        char text[512];
        snprintf(text, sizeof text, "%.0f/%.0f %s, %s", p->done, p->total, p->unit, p->note);
        fprintf(stderr, "%.*s", c->terminal ? columns_left(p->what) : (int)sizeof text, text);
        return;
    }
    double rate = p->seconds > 0 ? (p->done - c->first) / p->seconds : 0;
    fprintf(stderr, "%.0f/%.0f %s, %.*f/s", p->done, p->total, p->unit, rate < 10 ? 1 : 0, rate);
    if (rate > 0 && p->done < p->total) {
        fputs(", ", stderr);
        print_time((p->total - p->done) / rate);
        fputs(" left", stderr);
    }
}

static void draw_bar(qv_console *c, const qv_progress *p)
{
    int filled = p->total > 0 ? (int)(BAR_WIDTH * p->done / p->total) : 0;
    fprintf(stderr, "\r\033[K%s [", p->what);
    for (int i = 0; i < BAR_WIDTH; i++) fputc(i < filled ? '#' : '.', stderr);
    fputs("] ", stderr);
    print_figures(c, p);
    fflush(stderr);
    c->bar_drawn = 1;
}

static void on_progress(void *user, const qv_progress *p)
{
    qv_console *c = user;
    int finished = p->total > 0 && p->done >= p->total;
    if (c->quiet) return;
    if (strncmp(c->task, p->what, sizeof c->task - 1) != 0) {
        snprintf(c->task, sizeof c->task, "%s", p->what);
        c->first = p->done;
        c->last = 0;
    }
    if (c->terminal) {
        if (finished) {
            qv_console_clear(c);
        } else if (p->seconds - c->last >= redraw_seconds) {
            c->last = p->seconds;
            draw_bar(c, p);
        }
    } else if (p->seconds - c->last >= plain_seconds) {
        c->last = p->seconds;
        fprintf(stderr, "%s: ", p->what);
        print_figures(c, p);
        fputc('\n', stderr);
    }
}

void qv_console_attach(qv_console *c, qv_ctx *ctx, int quiet, int verbose)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    int capable = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    *c = (qv_console){
        .quiet = quiet, .verbose = verbose, .terminal = capable, .color = capable && !(no_color && *no_color)};
    qv_ctx_on_log(ctx, on_log, c);
    qv_ctx_on_progress(ctx, on_progress, c);
}
