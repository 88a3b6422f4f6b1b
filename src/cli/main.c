#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "quaver_build.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

typedef struct command {
    const char *name, *help;
    qv_status (*run)(qv_ctx *ctx, int argc, char **argv);
} command;

static const command commands[] = {
    {"corpus", "make a manifest of a corpus, or the embedded corpus itself", qv_cmd_corpus},
    {"train", "train, evaluate and report, over folds or one split", qv_cmd_train},
    {"eval", "score a checkpoint on a manifest", qv_cmd_eval},
    {"predict", "classify recordings", qv_cmd_predict},
    {"study", "compare settings over corpora, folds and seeds: tests, plots, report", qv_cmd_study},
    {"stats", "a voice's statistics, for checkpoints that normalize by speaker", qv_cmd_stats},
    {"export", "write a checkpoint as an ONNX file", qv_cmd_export},
    {"report", "write a run folder's report.html again", qv_cmd_report},
    {"selftest", "compare this program on this machine with the reference", qv_cmd_selftest},
    {"doctor", "what this program is made of and what it finds here", qv_cmd_doctor},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* Raised by SIGINT and SIGTERM, polled by the library: the one thing a signal handler may touch. */
static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
    signal(SIGINT, SIG_DFL); /* a second one ends the program at once */
    signal(SIGTERM, SIG_DFL);
}

/* Without SA_RESTART a signal would cut short what is being written; while one is handled the other waits. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void print_help(void)
{
    printf("Quaver %s trains speech emotion classifiers with normalized, shaken residual branches.\n\n"
           "  quaver corpus emodb wav --out emodb.csv\n"
           "  quaver train --manifest emodb.csv --folds data/folds/emodb.txt --out runs/emodb\n"
           "  quaver predict --checkpoint runs/emodb/fold-1/best.safetensors recording.wav\n\n"
           "Commands (quaver COMMAND --help says more):\n",
           QV_VERSION);
    for (int i = 0; i < COMMANDS; i++) printf("  %-9s %s\n", commands[i].name, commands[i].help);
    printf(
        "  help      `quaver help settings`: everything that a training can be told\n\n"
        "Everywhere: -q, --quiet no progress; -v, --verbose more of it; --version.\n"
        "Results go to standard output, messages to standard error. Exit code 0: done, 1: failed, 2: wrong words.\n");
}

static int help(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "settings") != 0) {
        print_help();
        return EXIT_OK;
    }
    qv_buf text = {0};
    qv_settings_help(&text);
    if (!text.failed) fputs(text.data, stdout);
    qv_buf_free(&text);
    return EXIT_OK;
}

/* Takes a flag that every command has out of argv; true if it was there. */
static bool take_flag(int *argc, char **argv, const char *brief, const char *full)
{
    bool found = false, over = false;
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        over = over || strcmp(argv[i], "--") == 0;
        if (!over && (strcmp(argv[i], brief) == 0 || strcmp(argv[i], full) == 0))
            found = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    argv[kept] = NULL;
    return found;
}

static int exit_code(qv_status status)
{
    if (status == QV_OK) return EXIT_OK;
    if (status == QV_ERR_USAGE) return EXIT_USAGE;
    return status == QV_ERR_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

static int unknown_command(const char *word)
{
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) names[i] = commands[i].name;
    const char *near = qv_nearest(word, names, COMMANDS);
    fprintf(stderr, "quaver: there is no command %s", word);
    if (near) fprintf(stderr, "; did you mean %s?", near);
    fputs("\nquaver --help lists them.\n", stderr);
    return EXIT_USAGE;
}

static int run(const command *c, int argc, char **argv)
{
    bool quiet = take_flag(&argc, argv, "-q", "--quiet"), verbose = take_flag(&argc, argv, "-v", "--verbose");
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) {
        fputs("quaver: no memory\n", stderr);
        return EXIT_FAILED;
    }
    qv_console console;
    qv_console_attach(&console, ctx, quiet, verbose);
    qv_ctx_cancel_flag(ctx, &interrupted);
    catch_signals();
    qv_status status = c->run(ctx, argc, argv);
    if (status == QV_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = qv_fail_errno(ctx, "cannot write to standard output");
    qv_console_clear(&console);
    if (status != QV_OK) fprintf(stderr, "quaver %s: %s\n", c->name, qv_ctx_message(ctx));
    qv_ctx_free(ctx);
    return exit_code(status);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help();
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        printf("quaver %s\n", QV_VERSION);
        return EXIT_OK;
    }
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(argc - 1, argv + 1);
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0) return run(&commands[i], argc - 1, argv + 1);
    return unknown_command(word);
}
