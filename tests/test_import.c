/* Foreign lists: what is taken, and what is refused with file and line. */
#include "data/import.h"
#include "support/support.h"

enum { FILES_MAX = 6 };

typedef struct list_case {
    const char *kind, *list; /* list: below the fixture's folder */
    const char *files[FILES_MAX][2];
    qv_import_options options;
    const char *rows; /* "name speaker emotion gender start end" a line, and "channel N" if there; NULL: refused */
    const char *says;
} list_case;

static const list_case cases[] = {
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion,gender\nw/a.wav,s1,joy,female\nw/b.wav,,rage,\n"}},
     {0},
     "w/a.wav s1 joy female 0 -1\nw/b.wav ? rage - 0 -1\n",
     "2 recordings in "},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,start,end,who,class_label\nw/a.wav,0 days 00:00:01.5,0 days 00:01:02,s1,joy\nw/a.wav,0 "
                "days,NaT,s1,joy\n"}},
     {.columns = "emotion=class_label speaker=who"},
     "w/a.wav s1 joy - 1.5 62\nw/a.wav s1 joy - 0 -1\n",
     NULL},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,class_label\nw/a.wav,s1,joy\n"}},
     {0},
     NULL,
     "l.csv:1: no column for 'emotion' among: file, speaker, class_label; --columns emotion=NAME"},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion\nw/a.wav,s1,joy\nw/none.wav,s1,joy\n"}},
     {0},
     NULL,
     "l.csv:3: cannot find "},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion\nw/a.wav,s1\n"}},
     {0},
     NULL,
     "l.csv:2: 2 cells where the header has 3"},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion,start\nw/a.wav,s1,joy,1 day\n"}},
     {0},
     NULL,
     "l.csv:2: start '1 day'"},
    {"nkululeko", "l.csv", {{"l.csv", "file,speaker,emotion\n"}}, {0}, NULL, "no recording in it"},
    {"huggingface",
     "train/metadata.csv",
     {{"train/metadata.csv", "file_name,label,speaker_id\nx.wav,anger,7\n"}, {"train/x.wav", "x"}},
     {0},
     "x.wav 7 anger - 0 -1\n",
     NULL},
    {"emobox",
     "e.jsonl",
     {{"e.jsonl", "{\"key\": \"emodb-03a01Fa\", \"wav\": \"w/03a01Fa.wav\", \"emo\": \"boredem\", \"channel\": 1}\n\n"},
      {"w/03a01Fa.wav", "x"}},
     {.pattern = "^(?<speaker>\\d\\d)"},
     "w/03a01Fa.wav 03 boredem - 0 -1\n",
     "boredem"},
    {"emobox",
     "e.jsonl",
     {{"e.jsonl", "{\"wav\": \"w/a.wav\", \"emo\": \"joy\"}\n{\"wav\": \"w/a.wav\"\n"}},
     {0},
     NULL,
     "e.jsonl:2: not a JSON object"},
    {"emobox", "e.jsonl", {{"e.jsonl", "[1]\n"}}, {0}, NULL, "e.jsonl:1: not a JSON object: another value"},
    {"emobox", "e.jsonl", {{"e.jsonl", "{\"wav\": \"w/a.wav\"}\n"}}, {0}, NULL, "e.jsonl:1: no \"emo\""},
    {"emobox",
     "e.jsonl",
     {{"e.jsonl", "{\"wav\": 5, \"emo\": \"joy\"}\n"}},
     {0},
     NULL,
     "e.jsonl:1: the value of \"wav\" is not a text"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\nu2 w/b.wav\n"},
      {"k/utt2spk", "u1 s1\nu2 s2\n"},
      {"k/utt2emo", "u1 joy\r\nu2 rage\n"},
      {"k/spk2gender", "s1 f\ns2 m\n"}},
     {.root = ""},
     "w/a.wav s1 joy female 0 -1\nw/b.wav s2 rage male 0 -1\n",
     NULL},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\nu2 w/c.wav\n"}, {"k/utt2spk", "u1 s1\nu2 s2\n"}, {"w/c.wav", "a"}},
     {.root = ""},
     "w/a.wav s1 - - 0 -1\nw/c.wav s2 - - 0 -1\n",
     "same content: w/a.wav = w/c.wav (but not of the same speaker)"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "r1 w/a.wav\n"}, {"k/utt2spk", "u1 s1\nu2 s1\n"}, {"k/segments", "u1 r1 0.5 1\nu2 r1 1.5 -1\n"}},
     {.root = ""},
     "w/a.wav s1 - - 0.5 1\nw/a.wav s1 - - 1.5 -1\n",
     "2 recordings have no emotion"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\nu2 touch k/ran |\n"}, {"k/utt2spk", "u1 s1\nu2 s1\n"}},
     {.root = ""},
     NULL,
     "wav.scp:2: 'u2' is a command (touch k/ran |); commands are never run"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\n"}, {"k/utt2spk", "u2 s1\n"}},
     {.root = ""},
     NULL,
     "wav.scp:1: 'u1' has no speaker in "},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\n"}, {"k/utt2spk", "u1 s1\n"}, {"k/utt2emo", "u2 joy\n"}},
     {.root = ""},
     NULL,
     "wav.scp:1: 'u1' has no emotion in "},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\n"}, {"k/utt2spk", "u1 s1\n"}, {"k/segments", "u1 r9 0 1\n"}},
     {.root = ""},
     NULL,
     "segments:1: recording 'r9' is not in "},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\n"}, {"k/utt2spk", "u1 s1\n"}, {"k/segments", "u1 w/a.wav\n"}},
     {.root = ""},
     NULL,
     "segments:1: `utterance recording start end [channel]`"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "r1 w/a.wav\n"},
      {"k/utt2spk", "u1 s1\nu2 s2\nu3 s2\n"},
      {"k/utt2emo", "u1 joy\nu2 joy\nu3 joy\n"},
      {"k/segments", "u1 r1 0 -1 0\nu2 r1 0 -1 B\nu3 r1 0 1\n"}},
     {.root = "", .unique = true}, /* which leaves no voice of two out */
     "w/a.wav s1 joy - 0 -1 channel 1\nw/a.wav s2 joy - 0 -1 channel 2\nw/a.wav s2 joy - 0 1\n",
     NULL},
    {"kaldi",
     "k",
     {{"k/wav.scp", "r1 w/a.wav\n"}, {"k/utt2spk", "u1 s1\n"}, {"k/segments", "u1 r1 0 1 left\n"}},
     {.root = ""},
     NULL,
     "segments:1: channel 'left': a number from 0 to 99, A or B was expected"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "r1 w/a.wav\n"}, {"k/utt2spk", "u1 s1\n"}, {"k/segments", "u1 r1 0 1 0 more\n"}},
     {.root = ""},
     NULL,
     "segments:1: `utterance recording start end [channel]` was expected"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1 w/a.wav\nu1 w/b.wav\n"}, {"k/utt2spk", "u1 s1\n"}},
     {.root = ""},
     NULL,
     "wav.scp:2: 'u1' stands already in line 1"},
    {"kaldi",
     "k",
     {{"k/wav.scp", "u1\n"}, {"k/utt2spk", "u1 s1\n"}},
     {.root = ""},
     NULL,
     "wav.scp:1: 'u1' and nothing after it"},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion\nw/a.wav,s1,joy\nw/b.wav,s1 ,joy\n"}},
     {0},
     NULL,
     "l.csv:3: the speaker 's1 ' begins or ends with a blank"},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,class label\nw/a.wav,s1,joy\n"}},
     {.columns = "emotion=class~label"},
     "w/a.wav s1 joy - 0 -1\n",
     NULL},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,whom,emotion\nw/a.wav,s1,joy\n"}},
     {.columns = "speaker=who"},
     NULL,
     "--columns speaker=who: "},
    {"nkululeko", "l.csv", {{NULL, NULL}}, {.columns = "x"}, NULL, "--columns x: expected COLUMN=NAME"},
    {"nkululeko", "l.csv", {{NULL, NULL}}, {.columns = "speaker="}, NULL, "--columns speaker=: expected COLUMN=NAME"},
    {"nkululeko", "l.csv", {{NULL, NULL}}, {.columns = "speker=w"}, NULL, "to fill, did you mean speaker?"},
    {"nkululeko", "l.csv", {{NULL, NULL}}, {.columns = "channel=c"}, NULL, "there is no column channel to fill"},
    {"kaldi", "k", {{NULL, NULL}}, {.columns = "speaker=who"}, NULL, "--columns does not go with kaldi"},
    {"emobox",
     "e.jsonl",
     {{"e.jsonl", "{\"wav\": \"w/a.wav\", \"emo\": \"joy\"}\n"}},
     {.columns = "speaker=who"},
     NULL,
     "has \"who\""},
    {"emobox",
     "e.jsonl",
     {{"e.jsonl",
       "{\"wav\": \"w/a.wav\", \"emo\": \"joy\", \"who\": \"s1\"}\n{\"wav\": \"w/b.wav\", \"emo\": \"joy\"}\n"}},
     {.columns = "speaker=who"},
     "w/a.wav s1 joy - 0 -1\nw/b.wav ? joy - 0 -1\n",
     NULL},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion,start\nw/a.wav,s1,joy,11573 days 1:00:00\n"}},
     {0},
     "w/a.wav s1 joy - 9.99911e+08 -1\n",
     NULL},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion,start\nw/a.wav,s1,joy,0 days -1:00:00\n"}},
     {0},
     NULL,
     "l.csv:2: start '0 days -1:00:00': seconds or 'D days HH:MM:SS', at most 1000000000 s, were expected"},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion,start\nw/a.wav,s1,joy,0 days 01:+1:00\n"}},
     {0},
     NULL,
     "l.csv:2: start '0 days 01:+1:00'"},
    {"nkululeko",
     "l.csv",
     {{"l.csv", "file,speaker,emotion,end\nw/a.wav,s1,joy,99999 days\n"}},
     {0},
     NULL,
     "l.csv:2: end '99999 days'"},
    {"kalid", "k", {{NULL, NULL}}, {0}, NULL, "did you mean 'kaldi'"},
};

/* Two recordings and the case's lists in a fresh folder; root "" stands for that folder. */
static qv_status import_case(qv_ctx *ctx, const char *dir, const list_case *c, qv_manifest **m, qv_corpus_report *r)
{
    qv_import_options o = c->options;
    char *list;
    qv_test_put(ctx, dir, "w/a.wav", "a");
    qv_test_put(ctx, dir, "w/b.wav", "b");
    for (int i = 0; i < FILES_MAX && c->files[i][0]; i++) qv_test_put(ctx, dir, c->files[i][0], c->files[i][1]);
    if (o.root) o.root = dir;
    qv_assert_ok(ctx, qv_path_join(ctx, &list, dir, c->list));
    qv_status status = qv_corpus_import(ctx, m, r, c->kind, list, &o);
    free(list);
    return status;
}

static void lists_of_others(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const list_case *c = &cases[k];
        qv_ctx *ctx = qv_ctx_new();
        char *dir = qv_test_tmpdir();
        qv_manifest *m;
        qv_corpus_report r = {0};
        qv_buf rows = {0};
        qv_status status = import_case(ctx, dir, c, &m, &r);
        for (size_t i = 0; m && i < m->n; i++) {
            const qv_item *item = &m->items[i];
            qv_buf_printf(&rows, "%s %s %s %s %g %g", item->name, item->speaker, item->emotion ? item->emotion : "-",
                          item->gender ? item->gender : "-", item->start, item->end);
            if (item->channel) qv_buf_printf(&rows, " channel %d", item->channel);
            qv_buf_puts(&rows, "\n");
        }
        if ((status == QV_OK) != (c->rows != NULL)) fail_msg("%s %zu: %s", c->kind, k, qv_ctx_message(ctx));
        if (c->rows && strcmp(rows.data, c->rows) != 0)
            fail_msg("%s gave\n%sinstead of\n%s", c->kind, rows.data, c->rows);
        const char *said = c->rows ? r.text.data : qv_ctx_message(ctx);
        if (c->says && !strstr(said, c->says)) fail_msg("%s: '%s' is not in:\n%s", c->kind, c->says, said);
        char *ran;
        qv_assert_ok(ctx, qv_path_join(ctx, &ran, dir, "k/ran"));
        assert_false(qv_path_exists(ran));
        free(ran);
        qv_buf_free(&rows);
        qv_corpus_report_free(&r);
        qv_manifest_free(m);
        qv_test_rmdir(dir);
        qv_ctx_free(ctx);
    }
}

/* What was meant for something else, such as the words spoken: no table of it is begun. */
static void a_column_of_texts_is_no_emotion(void **state)
{
    (void)state;
    for (int n = QV_MOST_CLASSES; n <= QV_MOST_CLASSES + 1; n++) {
        qv_ctx *ctx = qv_ctx_new();
        char *dir = qv_test_tmpdir();
        qv_manifest *m;
        qv_corpus_report r = {0};
        qv_buf list = {0};
        qv_buf_puts(&list, "file,speaker,transcript\n");
        for (int i = 0; i < n; i++) qv_buf_printf(&list, "w/a.wav,s%d,text%04d\n", i, i);
        const list_case c = {.kind = "nkululeko",
                             .list = "l.csv",
                             .files = {{"l.csv", list.data}},
                             .options = {.columns = "emotion=transcript"}};
        qv_status status = import_case(ctx, dir, &c, &m, &r);
        if (n == QV_MOST_CLASSES) {
            qv_assert_ok(ctx, status);
            qv_test_says(r.text.data, "and 900 more speakers\n");
            qv_test_says(r.text.data, " 1000\n"); /* all of all */
        } else {
            assert_int_equal(status, QV_ERR_DATA);
            qv_test_says(qv_ctx_message(ctx), "l.csv: 1001 different emotions, at most 1000 are taken; among them "
                                              "'text0000', 'text0500' and 'text1000': if these are none, look at the "
                                              "column emotion (--columns emotion=NAME sets it)");
        }
        qv_buf_free(&list);
        qv_corpus_report_free(&r);
        qv_manifest_free(m);
        qv_test_rmdir(dir);
        qv_ctx_free(ctx);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const size_t chosen[] = {1, 8, 14};
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        qv_ctx *ctx = qv_ctx_new();
        char *dir = qv_test_tmpdir(), *list;
        qv_manifest *m;
        qv_corpus_report r = {0};
        const list_case *c = &cases[chosen[i]];
        qv_import_options o = c->options;
        qv_assert_ok(ctx, import_case(ctx, dir, c, &m, &r));
        qv_manifest_free(m);
        qv_corpus_report_free(&r);
        qv_assert_ok(ctx, qv_path_join(ctx, &list, dir, c->list));
        if (o.root) o.root = dir;
        qv_status s = QV_ERR_MEMORY;
        for (size_t nth = 1; s == QV_ERR_MEMORY && nth < 1000; nth++) {
            qv_ctx_fail_alloc(ctx, nth);
            s = qv_corpus_import(ctx, &m, &r, c->kind, list, &o);
            assert_true(s == QV_OK || s == QV_ERR_MEMORY);
            qv_manifest_free(m);
            qv_corpus_report_free(&r);
        }
        assert_int_equal(s, QV_OK);
        free(list);
        qv_test_rmdir(dir);
        qv_ctx_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_others),
        cmocka_unit_test(a_column_of_texts_is_no_emotion),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
