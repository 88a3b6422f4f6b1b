/* Any bytes as a file of a run folder that a report is made from: the first one chooses it, 'r' results.csv,
 * 'p' predictions.csv, 'c' config.ini, else summary.json; the others are sound. A summary that is accepted is written
 * again and read back. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "report/report.h"

static const char summary[] =
    "{\"format\": 1, \"classes\": [\"anger\", \"joy\"], \"protocol\": {\"folds_planned\": 2}, \"folds\": [{\"name\": "
    "\"1\", \"epoch\": 2, \"train\": {\"n\": 4, \"speakers\": 2, \"ua\": 1, \"wa\": 1}, \"test\": {\"n\": 2, "
    "\"speakers\": 1, \"ua\": 0.5, \"wa\": 0.5}}], \"pooled\": {\"speakers\": 1, \"confusion\": [[1, 0], [1, 0]]}}";
static const char results[] = "fold,epoch,step,seconds,lr,loss,train_ua,val_ua,test_ua,gap_val,gap_test,samples_per_second\n"
                              "1,1,2,0.5,0.1,0.7,,,,,,100\n1,2,4,1,0.1,0.5,1,,0.5,,50,100\n";
static const char predictions[] = "fold,part,file,speaker,truth,predicted,p_anger,p_joy\n"
                                  "1,test,a.wav,s1,anger,anger,0.9,0.1\n1,test,b.wav,s1,joy,anger,0.6,0.4\n";
static const struct {
    char letter;
    const char *name, *sound;
} files[QV_FUZZ_SLOTS] = {{'s', "summary.json", summary},
                          {'r', "results.csv", results},
                          {'p', "predictions.csv", predictions},
                          {'c', "config.ini", "[net]\nwidth = 2\n"}};

static void summary_again(qv_ctx *ctx, const char *folder)
{
    qv_summary s = {0}, again = {0};
    qv_status status = qv_summary_read(ctx, &s, folder);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        qv_fuzz_promise(qv_summary_write(ctx, &s, qv_fuzz_folder()) == QV_OK, "a summary is written");
        qv_fuzz_promise(qv_summary_read(ctx, &again, folder) == QV_OK, "what was written is read");
        qv_fuzz_promise(s.n_folds == again.n_folds && s.n_classes == again.n_classes, "nothing is lost");
    }
    qv_summary_free(&s);
    qv_summary_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    qv_ctx *ctx = qv_fuzz_ctx();
    const char *folder = qv_fuzz_folder();
    int chosen = 0;
    for (int i = 0; i < QV_FUZZ_SLOTS; i++)
        if ((char)data[0] == files[i].letter) chosen = i;
    for (int i = 0; i < QV_FUZZ_SLOTS; i++) {
        if (i == chosen)
            qv_fuzz_put(i, files[i].name, data + 1, size - 1);
        else
            qv_fuzz_put(i, files[i].name, (const uint8_t *)files[i].sound, strlen(files[i].sound));
    }
    qv_fuzz_refused(ctx, qv_report_write(ctx, folder, NULL));
    if (chosen == 0) summary_again(ctx, folder);
    qv_ctx_free(ctx);
    return 0;
}
