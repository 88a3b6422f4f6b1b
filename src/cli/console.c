#include "cli/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 24, LEAST_BAR = 8, FIGURES = 512 };
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

static void put_time(char *text, size_t size, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, size, ", %ld h %02ld min left", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(text, size, ", %ld min %02ld s left", s / 60, s % 60);
    else
        snprintf(text, size, ", %ld s left", s);
}

/* "3/8 folds, 0.1/s, 50 s left" */
static void put_figures(const qv_console *c, const qv_progress *p, char *text, size_t size)
{
    if (p->note) {
        snprintf(text, size, "%.0f/%.0f %s, %s", p->done, p->total, p->unit, p->note);
        return;
    }
    double rate = p->seconds > 0 ? (p->done - c->first) / p->seconds : 0;
    snprintf(text, size, "%.0f/%.0f %s, %.*f/s", p->done, p->total, p->unit, rate < 10 ? 1 : 0, rate);
    size_t n = strlen(text);
    if (rate > 0 && p->done < p->total) put_time(text + n, size - n, (p->total - p->done) / rate);
}

static int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* The figures come first: the bar gets the columns that they leave, and none where those are few. What went on in a
 * next line could not be wiped. */
static void draw_bar(qv_console *c, const qv_progress *p)
{
    char text[FIGURES];
    put_figures(c, p, text, sizeof text);
    int left = terminal_columns() - (int)strlen(p->what) - 2, bar = left - (int)strlen(text) - 3;
    if (bar > BAR_WIDTH) bar = BAR_WIDTH;
    fprintf(stderr, "\r\033[K%s ", p->what);
    if (bar >= LEAST_BAR) {
        int filled = p->total > 0 ? (int)(bar * p->done / p->total) : 0;
        fputc('[', stderr);
        for (int i = 0; i < bar; i++) fputc(i < filled ? '#' : '.', stderr);
        fputs("] ", stderr);
        left -= bar + 3;
    }
    fprintf(stderr, "%.*s", left > 0 ? left : 0, text);
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
        char text[FIGURES];
        put_figures(c, p, text, sizeof text);
        fprintf(stderr, "%s: %s\n", p->what, text);
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
