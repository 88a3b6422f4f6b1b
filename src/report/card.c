#include "report/card.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

static const char *known(const char *text) { return text && *text ? text : "unknown"; }

/* A name from somebody's file: what Markdown or HTML would make something of is only a letter here. */
static void card_name(qv_buf *b, const char *name)
{
    for (; *name; name++) {
        if (strchr("\\`*_[]<>|&", *name)) qv_buf_add(b, "\\", 1);
        qv_buf_add(b, *name == '\n' || *name == '\r' ? " " : name, 1);
    }
}

/* A text that is not ours as code. Nothing in it ends that: the fence is longer than any run of backticks in it. */
static void card_code(qv_buf *b, const char *text)
{
    size_t longest = 0;
    for (const char *at = text; *at; at++) {
        size_t run = strspn(at, "`");
        if (run > longest) longest = run;
        if (run > 1) at += run - 1;
    }
    const size_t n = strlen(text);
    /* a blank at either end, which is not shown: the text's own would be taken for it, or a backtick for the fence */
    const char *blank = n && (strchr("` ", text[0]) || strchr("` ", text[n - 1])) ? " " : "";
    for (size_t i = 0; i <= longest; i++) qv_buf_puts(b, "`");
    qv_buf_puts(b, blank);
    for (size_t i = 0; i < n; i++) qv_buf_add(b, text[i] == '\n' || text[i] == '\r' ? " " : text + i, 1);
    qv_buf_puts(b, blank);
    for (size_t i = 0; i <= longest; i++) qv_buf_puts(b, "`");
}

static void card_model(qv_buf *b, const qv_summary *m)
{
    qv_buf_printf(b, "# Model card\n\nA classifier of %d classes (", m->n_classes);
    for (int c = 0; c < m->n_classes; c++) {
        qv_buf_puts(b, c ? ", " : "");
        card_name(b, m->classes[c]);
    }
    qv_buf_puts(b, "): ");
    card_name(b, known(m->network));
    qv_buf_printf(b, ", %zu parameters. Trained by quaver %s; `config.ini` beside this file holds every setting.\n",
                  m->parameters, known(m->version));
}

static void card_data(qv_buf *b, const qv_settings *s, const qv_summary *m)
{
    static const char *const kinds[] = {"log-mel frames of sound", "frames from .npy files", "images"};
    qv_buf_puts(b, "\n## Training data\n\n- List: ");
    card_code(b, known(m->manifest));
    qv_buf_printf(b,
                  " (XXH3 %s), %zu recordings, of which %zu were left out, %d speakers\n"
                  "- Seen as: %s\n- Licence: ",
                  known(m->manifest_hash), m->recordings, m->skipped, m->speakers, kinds[s->kind]);
    if (*s->licence)
        card_name(b, s->licence);
    else
        qv_buf_puts(b,
                    "not stated (`--corpus.licence TEXT` of `quaver train` puts it here). Many corpora allow research "
                    "only, and some say so of models, too: look before the model is passed on.");
    if (m->labels && *m->labels) {
        qv_buf_puts(b, "\n- Classes selected and merged: ");
        card_code(b, m->labels);
    }
    qv_buf_puts(b, "\n");
}

static void card_number(qv_buf *b, double x)
{
    if (isnan(x))
        qv_buf_puts(b, " - |");
    else
        qv_buf_printf(b, " %.3f |", x);
}

static void card_figures(qv_buf *b, const qv_summary *m)
{
    qv_buf_puts(b, "\n## How good it is\n\n```\n");
    qv_summary_lines(b, m, NULL);
    qv_buf_puts(b, "```\n\n| class | recordings | recall | precision | F1 |\n| --- | ---: | ---: | ---: | ---: |\n");
    for (int c = 0; c < m->pooled.classes; c++) {
        const qv_class_score *k = &m->pooled.score[c];
        qv_buf_puts(b, "| ");
        card_name(b, m->classes[c]);
        qv_buf_printf(b, " | %zu |", k->n);
        card_number(b, k->recall);
        card_number(b, k->precision);
        card_number(b, k->f1);
        qv_buf_puts(b, "\n");
    }
    if (m->n_folds > 1)
        qv_buf_printf(b,
                      "\nThe figures are of %zu networks, each tested on what it was not trained on; a checkpoint is "
                      "one of them. Its own test recordings are those of its fold.\n",
                      m->n_folds);
}

static void card_limits(qv_buf *b, const qv_summary *m)
{
    qv_buf_puts(b, "\n## What to keep in mind\n\n"
                   "- The figures hold for recordings like those of the training data: of speech, the same language, "
                   "microphones and rooms, acted or felt as there. Elsewhere they have to be measured anew (`quaver "
                   "eval`).\n"
                   "- It names one of its classes for everything that it is given, also for what is none of them.\n"
                   "- A probability is the network's, not a frequency: it was not calibrated.\n");
    if (m->transductive)
        qv_buf_puts(b, "- It needs unlabelled recordings of each voice (speaker normalization); the figures used the "
                       "test speakers' own.\n");
    for (size_t i = 0; i < m->n_notes; i++) {
        qv_buf_puts(b, "- ");
        card_name(b, m->notes[i]);
        qv_buf_puts(b, "\n");
    }
}

static void card_maker(qv_buf *b, const qv_summary *m)
{
    qv_buf_puts(b, "\n## How it was made\n\n- Command: ");
    card_code(b, known(m->command));
    qv_buf_printf(b, "\n- Device: %s, seed %llu, %s to %s\n", known(m->device), (unsigned long long)m->seed,
                  known(m->started), known(m->finished));
}

qv_status qv_card_write(qv_ctx *ctx, const qv_settings *s, const qv_summary *m, const char *run)
{
    qv_status status = QV_OK;
    qv_buf b = {0};
    card_model(&b, m);
    card_data(&b, s, m);
    card_figures(&b, m);
    card_limits(&b, m);
    card_maker(&b, m);
    QV_TRY(qv_buf_check(ctx, &b));
    QV_TRY(qv_write_in(ctx, run, "model-card.md", b.data, b.len));
done:
    qv_buf_free(&b);
    return status;
}
