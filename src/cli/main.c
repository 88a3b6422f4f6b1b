#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "quaver_build.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

const qv_command qv_commands[] = {
    {"corpus", "make a manifest of a corpus, or the embedded corpus itself", qv_cmd_corpus, qv_cli_corpus_options},
    {"train", "train, evaluate and report, over folds or one split", qv_cmd_train, qv_cli_train_options},
    {"eval", "score a checkpoint on a manifest", qv_cmd_eval, qv_cli_eval_options},
    {"predict", "classify recordings, streams, long recordings over time", qv_cmd_predict, qv_cli_predict_options},
    {"study", "compare settings over corpora, folds and seeds: tests, plots, report", qv_cmd_study, qv_cli_study_options},
    {"stats", "a voice's statistics, for checkpoints that normalize by speaker", qv_cmd_stats, qv_cli_stats_options},
    {"report", "write a run folder's report.html again", qv_cmd_report, qv_cli_report_options},
    {"compare", "put runs side by side, as a table and a page", qv_cmd_compare, qv_cli_compare_options},
    {"export", "write a checkpoint as an ONNX file", qv_cmd_export, qv_cli_export_options},
    {"import-checkpoint", "make a checkpoint of weights from elsewhere", qv_cmd_import, qv_cli_import_options},
    {"selftest", "compare this program on this machine with the reference", qv_cmd_selftest, qv_cli_selftest_options},
    {"doctor", "what this program is made of and what it finds here", qv_cmd_doctor, qv_cli_doctor_options},
    {0},
};
enum { COMMANDS = sizeof qv_commands / sizeof *qv_commands - 1 };

/* Raised by SIGINT, SIGTERM and SIGHUP, polled by the library: the one thing a signal handler may touch. */
static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
    signal(SIGINT, SIG_DFL); /* a second one ends the program at once */
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

/* Raised by SIGUSR1, which batch systems send ahead of a limit. */
static volatile sig_atomic_t save_wanted;

static void on_save(int sig)
{
    (void)sig;
    save_wanted = 1;
}

/* Without SA_RESTART a signal would cut short what is being written; while one is handled the others wait. A terminal
 * that closes ends a program unless nohup has said otherwise; a file that may not grow is to fail with a message. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGHUP);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
    action.sa_handler = on_save;
    sigaction(SIGUSR1, &action, NULL);
}

/* Where a standard stream is closed, the next file that is opened would take its place, and messages would be written
 * into it. What stands there instead cannot be used either: the streams fail as closed ones do. */
static void occupy_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
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

/* Jansson's parser goes on where its buffer cannot grow: it loses letters, or reads past the end. So it never sees that. */
static void *json_memory(size_t n)
{
    void *p = malloc(n);
    if (p) return p;
    fputs("quaver: no memory\n", stderr);
    _Exit(EXIT_FAILED);
}

static int exit_code(qv_status status)
{
    if (status == QV_OK) return EXIT_OK;
    if (status == QV_ERR_USAGE) return EXIT_USAGE;
    return status == QV_ERR_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

static int run(const qv_command *c, int argc, char **argv)
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
    qv_ctx_save_flag(ctx, &save_wanted);
    catch_signals();
    qv_status status = c->run(ctx, argc, argv);
    if (status == QV_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = qv_fail_errno(ctx, "cannot write to standard output");
    qv_console_clear(&console);
    if (status != QV_OK) fprintf(stderr, "quaver %s: %s\n", c->name, qv_ctx_message(ctx));
    qv_ctx_free(ctx);
    return exit_code(status);
}

static void print_help(void)
{
    printf("Quaver %s trains speech emotion classifiers with normalized, shaken residual branches.\n\n"
           "  quaver corpus emodb wav --out emodb.csv\n"
           "  quaver train --manifest emodb.csv --folds data/folds/emodb.txt --out runs/emodb\n"
           "  quaver predict --checkpoint runs/emodb/fold-1/best.safetensors recording.wav\n\n"
           "Commands (quaver COMMAND --help says more):\n",
           QV_VERSION);
    for (int i = 0; i < COMMANDS; i++) printf("  %-17s %s\n", qv_commands[i].name, qv_commands[i].help);
    fputs("  help              `quaver help TOPIC`: a command, or one of\n                   ", stdout);
    for (int i = 0; qv_topics[i]; i++) printf("%s%s", i ? ", " : "", qv_topics[i]);
    puts("\n  completion        `quaver completion bash` or zsh: for the shell\n\n"
         "Everywhere: -q, --quiet no progress; -v, --verbose more of it; --json the result as JSON; --version.\n"
         "Results go to standard output, messages to standard error. Exit code 0: done, 1: failed, 2: usage.");
}

static const qv_command *find_command(const char *word)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(word, qv_commands[i].name) == 0) return &qv_commands[i];
    return NULL;
}

/* "quaver: there is no WHAT word; did you mean NAME?" */
static int unknown_word(const char *what, const char *word, const char *const *more)
{
    const char *names[64];
    size_t n = 0;
    for (int i = 0; i < COMMANDS; i++) names[n++] = qv_commands[i].name;
    for (size_t i = 0; more && more[i] && n < 64; i++) names[n++] = more[i];
    const char *near = qv_nearest(word, names, n);
    fprintf(stderr, "quaver: there is no %s %s", what, word);
    if (near) fprintf(stderr, "; did you mean %s?", near);
    fputs("\nquaver --help lists them.\n", stderr);
    return EXIT_USAGE;
}

static const char help_of_help[] =
    "Usage: quaver help [COMMAND | TOPIC]\n\n"
    "  quaver help train\n"
    "  quaver help folds\n\n"
    "Prints the help of a command, or what there is to know of a topic; `quaver help` lists both.\n";

static const char help_of_completion[] =
    "Usage: quaver completion bash|zsh\n\n"
    "  quaver completion bash >~/.local/share/bash-completion/completions/quaver\n"
    "  quaver completion zsh >_quaver     in a folder of $fpath\n\n"
    "Prints what makes the shell complete commands, options, settings and topics.\n";

static bool asks_for_help(const char *word) { return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0; }

static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_help();
        return EXIT_OK;
    }
    if (asks_for_help(argv[1]) || strcmp(argv[1], "help") == 0) return (fputs(help_of_help, stdout), EXIT_OK);
    if (strcmp(argv[1], "completion") == 0) return (fputs(help_of_completion, stdout), EXIT_OK);
    const qv_command *c = find_command(argv[1]);
    if (c) return run(c, 2, (char *[]){argv[1], (char[]){"--help"}, NULL});
    const char *text = qv_topic_text(argv[1]);
    if (!text && strcmp(argv[1], "settings") != 0) return unknown_word("topic", argv[1], qv_topics);
    qv_buf settings = {0};
    if (!text) qv_settings_help(&settings);
    if (text || !settings.failed) fputs(text ? text : settings.data, stdout);
    qv_buf_free(&settings);
    return EXIT_OK;
}

static int completion(int argc, char **argv)
{
    qv_buf text = {0};
    if (argc == 2 && asks_for_help(argv[1])) return (fputs(help_of_completion, stdout), EXIT_OK);
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) return EXIT_FAILED;
    qv_status status = argc == 2 ? qv_cli_completion(ctx, argv[1], &text)
                                 : qv_fail(ctx, QV_ERR_USAGE, "which shell? quaver completion bash, or zsh");
    if (status == QV_OK)
        fputs(text.data, stdout);
    else
        fprintf(stderr, "quaver completion: %s\n", qv_ctx_message(ctx));
    qv_buf_free(&text);
    qv_ctx_free(ctx);
    return exit_code(status);
}

static bool is_everywhere(const char *word)
{
    static const char *const flags[] = {"-q", "--quiet", "-v", "--verbose", "--json"};
    bool found = false;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) found = found || strcmp(word, flags[i]) == 0;
    return found;
}

/* Options that every command has may stand before it, too: brings the first other word to the front. False: there is
 * none. */
static bool put_word_first(int argc, char **argv)
{
    int k = 1;
    while (k < argc && is_everywhere(argv[k])) k++;
    if (k >= argc) return false;
    char *word = argv[k];
    memmove(argv + 2, argv + 1, (size_t)(k - 1) * sizeof *argv);
    argv[1] = word;
    return true;
}

/* argv[0] is the command. */
static int call(int argc, char **argv)
{
    const char *word = argv[0];
    if (strcmp(word, "--version") == 0) {
        printf("quaver %s\n", QV_VERSION);
        return EXIT_OK;
    }
    const qv_command *c = find_command(word);
    if (c) return run(c, argc, argv);
    take_flag(&argc, argv, "-q", "--quiet");
    take_flag(&argc, argv, "-v", "--verbose");
    if (strcmp(word, "help") == 0 || asks_for_help(word)) return help(argc, argv);
    return strcmp(word, "completion") == 0 ? completion(argc, argv) : unknown_word("command", word, NULL);
}

int main(int argc, char **argv)
{
    int code = EXIT_USAGE;
    occupy_standard_streams();
    json_set_alloc_funcs(json_memory, free);
    if (put_word_first(argc, argv))
        code = call(argc - 1, argv + 1);
    else
        print_help();
    if (code != EXIT_OK || (fflush(stdout) == 0 && !ferror(stdout))) return code;
    fprintf(stderr, "quaver: cannot write to standard output: %s\n", strerror(errno));
    return EXIT_FAILED;
}
