/* quaver help TOPIC; "settings" is made from their table. */
#include <string.h>

#include "cli/cli.h"

const char *const qv_topics[] = {"settings", "manifest", "folds", "metrics", "run-folder", "environment", "exit-codes", NULL};

static const char manifest[] =
    "A manifest is a CSV file with a header, UTF-8, one row a recording:\n\n"
    "  file,speaker,emotion\n"
    "  wav/03a01Wa.wav,03,anger\n\n"
    "file      a path, relative ones from the manifest's folder\n"
    "speaker   who speaks; what keeps training and test apart\n"
    "emotion   the class; --labels anger,joy=happiness selects and merges\n"
    "and, where there are such columns: gender, session, start and end (seconds), channel (1 the first; empty: the\n"
    "average of all), split, fold, corpus. Other columns are kept and not understood; one that differs from these in\n"
    "case or blanks alone is refused. Names in cells have no blanks around them. quaver corpus makes manifests; quaver\n"
    "predict needs the column file alone.\n";

static const char folds[] =
    "--folds says who is tested when; no speaker ever trains and is tested in the same fold.\n\n"
    "  (nothing)   one split: the column split where there is one, else split.test_fraction of the speakers\n"
    "  speaker     each speaker once (leave one speaker out)\n"
    "  session     each session once\n"
    "  5           five groups of speakers, genders spread evenly\n"
    "  column      each value of the column fold once\n"
    "  split       one split by the column split: train, val, test\n"
    "  corpus      each corpus once, tested by what the others taught\n"
    "  a file      lines \"name: speaker speaker ...\"; # begins a comment, and a speaker with blanks stands in quotes.\n"
    "              The speakers of a line \"train: ...\" train in every fold; speakers that no line names are\n"
    "              left out, and a message says so\n\n"
    "--split random deals recordings out whatever their speaker, in one split or in a number of folds, and lets column and\n"
    "split have a speaker on both sides; its figures are marked as too good.\n";

static const char metrics[] =
    "UA   unweighted accuracy: the mean of the classes' recalls, also UAR, balanced accuracy, macro recall\n"
    "WA   weighted accuracy: the share of right answers\n"
    "gap  UA in training minus UA in test, in points; both in evaluation, over full windows\n"
    "Intervals are 95 % percentile intervals of a bootstrap that draws whole speakers: recordings of one voice are\n"
    "not independent. Below 8 speakers there is none.\n";

static const char run_folder[] =
    "config.ini            the settings in effect; quaver train --config takes it back\n"
    "results.csv, .jsonl   a row an epoch and fold\n"
    "predictions.csv       a row a recording that was tested or chose the epoch\n"
    "summary.json          all figures, the protocol, what the run was made by\n"
    "report.html           all of it as one page\n"
    "model-card.md         what whoever gets a checkpoint should know: data and their licence, figures, limits\n"
    "fold-N/best.safetensors  the weights that count; last.safetensors: what --resume goes on from\n"
    "fold-N/epoch-NNNN.safetensors  with --run.keep=K the newest K evaluated ones\n"
    "fold-N/events.out.tfevents.*   the curves for TensorBoard: tensorboard --logdir RUN\n"
    "With one split the folder of the fold is the run folder itself.\n";

static const char environment[] =
    "NO_COLOR         set and not empty: no colours\n"
    "TERM=dumb        no colours, no progress bar; nor where standard error is no terminal\n"
    "XDG_CACHE_HOME   features are kept in its folder quaver (else ~/.cache/quaver)\n"
    "TMPDIR           is not used: files are written beside what they become\n\n"
    "Signals: SIGINT, SIGTERM and SIGHUP finish the step, write a checkpoint and end; SIGUSR1 writes one and goes on\n"
    "(Slurm: #SBATCH --signal=USR1@120).\n";

static const char exit_codes[] =
    "0     done\n"
    "1     failed: a file, the system, the numbers; the message says what and which\n"
    "2     usage: an unknown option, a wrong value of a setting, a request that cannot be carried out\n"
    "130   ended by SIGINT, SIGTERM or SIGHUP after a checkpoint was written, and --resume goes on; or at once by a\n"
    "      second SIGINT, with nothing new written\n"
    "143, 129  ended at once by a second SIGTERM, SIGHUP\n";

const char *qv_topic_text(const char *name)
{
    static const struct {
        const char *name, *text;
    } topics[] = {{"manifest", manifest},     {"folds", folds},           {"metrics", metrics},
                  {"run-folder", run_folder}, {"environment", environment}, {"exit-codes", exit_codes}};
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        if (strcmp(topics[i].name, name) == 0) return topics[i].text;
    return NULL;
}
