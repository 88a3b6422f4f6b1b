/* Every recipe on a small tree of its grammar, with the defects that its corpus is known for. */
#include <sndfile.h>
#include <unistd.h>

#include "data/audio.h"
#include "data/scan.h"
#include "support/support.h"

enum { FILES_MAX = 16, WORDS_MAX = 6 };

typedef struct tree_file {
    const char *path, *text; /* text NULL: the path itself */
} tree_file;

/* `rows`: a line an item, "name speaker emotion gender", '-' for what is not known. */
typedef struct recipe_case {
    const char *recipe;
    tree_file files[FILES_MAX];
    qv_corpus_options options;
    const char *rows;
    const char *says[WORDS_MAX];
} recipe_case;

#define MEASURES "\t[2.5000, 2.5000, 2.5000]\n"

static const recipe_case cases[] = {
    {.recipe = "crema-d",
     .files = {{"AudioWAV/1001_DFA_ANG_XX.wav", NULL},
               {"AudioWAV/1040_ith_sad_x.WAV", NULL},
               {"AudioWAV/1076_MTI_SAD_XX.wav", NULL},
               {"AudioMP3/1001_DFA_ANG_XX.mp3", NULL},
               {"AudioWAV/1091_IEO_NEU_HI.wav", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"},
               {"VideoDemographics.csv", "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,x,y\n1091,29,Female,x,y\n"}},
     .rows = "AudioWAV/1001_DFA_ANG_XX.wav 1001 anger male\nAudioWAV/1040_ith_sad_x.WAV 1040 sadness -\n"
             "AudioWAV/1091_IEO_NEU_HI.wav 1091 neutral female\n",
     .says = {"left out: 1 recordings, without signal", "left out: 1 recordings, copies in other codings",
              "1 files are Git LFS pointers", "git lfs pull", "the corpus has 7441 of 91"}},
    {.recipe = "crema-d",
     .files = {{"1001_DFA_ANG_XX.wav", NULL}},
     .rows = "1001_DFA_ANG_XX.wav 1001 anger -\n",
     .says = {"not found: VideoDemographics.csv"}},
    {.recipe = "crema-d-voice",
     .files = {{"AudioWAV/1001_DFA_ANG_XX.wav", NULL},
               {"AudioWAV/1001_DFA_SAD_XX.wav", NULL},
               {"processedResults/summaryTable.csv",
                "\"\",\"FileName\",\"VoiceVote\"\n1,1001_DFA_ANG_XX,N\n2,1001_DFA_SAD_XX,A:D\n3,1002_DFA_SAD_XX,S\n"}},
     .rows = "AudioWAV/1001_DFA_ANG_XX.wav 1001 neutral -\n",
     .says = {"left out: 1 recordings, whose raters do not agree",
              "labels without a recording: 1, such as 1002_DFA_SAD_XX"}},
    {.recipe = "iemocap",
     .files = {{"Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav", NULL},
               {"Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav", NULL},
               {"Session2/sentences/wav/Ses02M_script01_1b/Ses02M_script01_1b_F003.wav", NULL},
               {"Session1/dialog/wav/Ses01F_impro01.wav", NULL},
               {"Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
                "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\r\n\r\n"
                "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu" MEASURES "C-E2:\tNeutral;\t()\n"
                "[10.0100 - 11.3925]\tSes01F_impro01_M000\texc" MEASURES},
               {"Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt",
                "[6.2901 - 8.2357]\tSes01F_impro01_F000\tang" MEASURES},
               {"Session2/dialog/EmoEvaluation/Ses02M_script01_1b.txt",
                "[1.0000 - 2.0000]\tSes02M_script01_1b_F003\txxx" MEASURES}},
     .rows = "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav Ses01F neutral female\n"
             "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav Ses01M excitement male\n",
     .says = {"left out: 1 recordings, whole dialogues", "left out: 1 recordings, whose raters do not agree",
              "the corpus has 7532 of 10", "read: 3 lines of 2 files"}},
    {.recipe = "savee",
     .files = {{"AudioData/DC/a01.wav", NULL},
               {"AudioData/JE/a01.wav", NULL},
               {"AudioData/KL/sa02.wav", NULL},
               {"AudioData/KL/su02.wav", NULL},
               {"jk_n30.wav", NULL}},
     .rows = "AudioData/DC/a01.wav DC anger male\nAudioData/JE/a01.wav JE anger male\nAudioData/KL/sa02.wav KL sadness "
             "male\n"
             "AudioData/KL/su02.wav KL surprise male\njk_n30.wav JK neutral male\n",
     .says = {"5 recordings of 4 speakers, the corpus has 480 of 4"}},
    {.recipe = "tess",
     .files = {{"OAF_Sad/OAF_back_sad.wav", NULL},
               {"OAF_neutral/OA_bite_neutral.wav", NULL},
               {"YAF_pleasant_surprised/YAF_dog_ps.wav", NULL},
               {"again/OAF_Sad/OAF_back_sad.wav", "OAF_Sad/OAF_back_sad.wav"}},
     .options = {.unique = true},
     .rows = "OAF_Sad/OAF_back_sad.wav OAF sadness female\nOAF_neutral/OA_bite_neutral.wav OAF neutral female\n"
             "YAF_pleasant_surprised/YAF_dog_ps.wav YAF surprise female\n",
     .says = {"same content: OAF_Sad/OAF_back_sad.wav = again/OAF_Sad/OAF_back_sad.wav", "the corpus has 2800 of 2"}},
    {.recipe = "enterface",
     .files = {{"subject 3/happiness/sentence 1/s_3_ha_1.wav", NULL},
               {"subject 11/anger/sentence 2/s12_an_2.wav", NULL},
               {"subject 12/anger/sentence 2/s12_an_2.wav", "other"},
               {"subject 16/surprise/sentence 3/s16_su_3avi.wav", NULL},
               {"subject 6/anger/s6_an.wav", NULL},
               {"flat/s40_di_5.wav", NULL}},
     .rows = "flat/s40_di_5.wav 40 disgust -\nsubject 11/anger/sentence 2/s12_an_2.wav 11 anger -\n"
             "subject 12/anger/sentence 2/s12_an_2.wav 12 anger -\nsubject 16/surprise/sentence 3/s16_su_3avi.wav 16 "
             "surprise -\n"
             "subject 3/happiness/sentence 1/s_3_ha_1.wav 3 happiness -\n",
     .says = {"left out: 1 recordings, of subject 6",
              "NOT AS EXPECTED: 5 recordings of 5 speakers, the corpus has 1257 of 42"}},
    {.recipe = "emovo",
     .files = {{"f1/gio-f1-b1.wav", NULL}, {"m3/PAU-M3-N5.wav", NULL}},
     .rows = "f1/gio-f1-b1.wav f1 happiness female\nm3/PAU-M3-N5.wav m3 fear male\n"},
    {.recipe = "urdu",
     .files = {{"Angry/SM1_F8_A08.wav", NULL}, {"Sad/sf3_f1_s01.wav", NULL}},
     .rows = "Angry/SM1_F8_A08.wav SM1 anger male\nSad/sf3_f1_s01.wav SF3 sadness female\n",
     .says = {"the corpus has 400 of 29"}},
    {.recipe = "cafe",
     .files = {{"48/Cole\xCC\x80re/Fort/01-C-2-1.wav", NULL},
               {"192/Col\xC3\xA8re/Fort/01-C-2-1.aiff", NULL},
               {"48/Neutre/12-N-1-6.wav", NULL},
               {"__MACOSX/48/Neutre/12-N-1-6.wav", NULL},
               {"48/Neutre/._12-N-1-6.wav", NULL}},
     .rows = "192/Col\xC3\xA8re/Fort/01-C-2-1.aiff 01 anger male\n48/Cole\xCC\x80re/Fort/01-C-2-1.wav 01 anger male\n"
             "48/Neutre/12-N-1-6.wav 12 neutral female\n",
     .says = {"warning: 1 recordings have name, speaker and emotion of another"}},
    {.recipe = "shemo",
     .files = {{"female/F01F02.wav", NULL}, {"male/m27w01.wav", NULL}},
     .rows = "female/F01F02.wav F01 fear female\nmale/m27w01.wav M27 surprise male\n",
     .says = {"the corpus has 3000 of 87"}},
    {.recipe = "esd",
     .files = {{"0001/Angry/train/0001_000351.wav", NULL},
               {"0011/Surprise/0011_001401.wav", NULL},
               {"0011/0011.txt", "0011_001401\tx\t\xBE\xAA\xCF\xB2\n"}},
     .options = {.only = "language=english"},
     .rows = "0011/Surprise/0011_001401.wav 0011 surprise -\n",
     .says = {"kept: 1 of 2 recordings (language=english)", "2 recordings of 2 speakers, the corpus has 35000 of 20"}},
    {.recipe = "aesdd",
     .files = {{"anger/a06 (5)b.wav", NULL},
               {"disgust/d03 (01).wav", NULL},
               {"sadness/s01 (5)a.wav", NULL},
               {"sadness/s05 (3).wav", NULL},
               {"fear/f10 (1).wav", NULL}},
     .rows = "anger/a06 (5)b.wav 5 anger male\ndisgust/d03 (01).wav 1 disgust male\nfear/f10 (1).wav 1 fear male\n"
             "sadness/s01 (5)a.wav 5 sadness male\n",
     .says = {"left out: 1 recordings, unreadable (s05 (3))"}},
    {.recipe = "mesd",
     .files = {{"Anger_C_A_abajo.wav", NULL}, {"Fear_F_B_al_lado.wav", NULL}, {"sadness_m_a_x.wav", NULL}},
     .rows = "Anger_C_A_abajo.wav children anger -\nFear_F_B_al_lado.wav women fear female\nsadness_m_a_x.wav men "
             "sadness male\n",
     .says = {"NO SPEAKER IS KNOWN"}},
    {.recipe = "meld",
     .files = {{"train/train_splits/dia0_utt0.wav", NULL},
               {"train/train_splits/dia125_utt3.wav", NULL},
               {"dev/dev_splits_complete/dia0_utt0.wav", "b"},
               {"output_repeated_splits_test/dia0_utt0.wav", "c"},
               {"output_repeated_splits_test/final_videos_testdia0_utt0.wav", NULL},
               {"train_sent_emo.csv", "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
                                      "1,\"So, \x92 you\",Phoebe Sr,joy,positive,0,0\n2,x,Joey,anger,negative,125,3\n"},
               {"dev_sent_emo.csv", "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
                                    "1,x,Phoebe Sr.,sadness,negative,0,0\n2,x,Joey,anger,negative,110,7\n"},
               {"test_sent_emo.csv", "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
                                     "1,x,Mark,surprise,positive,0,0\n"}},
     .rows = "dev/dev_splits_complete/dia0_utt0.wav Phoebe Sr. sadness -\n"
             "output_repeated_splits_test/dia0_utt0.wav Mark surprise -\n"
             "train/train_splits/dia0_utt0.wav Phoebe Sr. happiness -\n",
     .says = {"left out: 1 recordings, extras without labels", "left out: 1 recordings, damaged (train dia125_utt3)",
              "labels without a recording: 2, such as dev/110/7 (dev_sent_emo.csv:3)", "read as Latin-1"}},
    {.recipe = "ldc-emotional-prosody",
     .files = {{"speech/cc_001.wav", NULL},
               {"transcripts/cc_001.txt", "Emotion category hot anger\n0.10 0.30 A: hot anger, December first\n"
                                          "0.30 0.35 A: [MISC]\n(comment)\n0.40 0.75 A: neutral, Two thousand one\n"},
               {"cut/gg_001_happy_12.50_May-third.wav", NULL}},
     .rows = "cut/gg_001_happy_12.50_May-third.wav gg happiness -\nspeech/cc_001.wav cc hot-anger -\n"
             "speech/cc_001.wav cc neutral -\n"},
    {.recipe = "ema",
     .files = {{"jn_ang_01.wav", NULL}, {"jr_Neutral_02.wav", NULL}},
     .options = {.pattern = "^(?<speaker>[a-z]+)_(?<emotion>[A-Za-z]+)_\\d+"},
     .rows = "jn_ang_01.wav jn anger -\njr_Neutral_02.wav jr neutral -\n",
     .says = {"the corpus has 680 of 3"}},
};

/* Trees that a recipe must refuse, and in which words. */
static const recipe_case refused[] = {
    {.recipe = "savee", .files = {{"f11 (2).wav", NULL}, {"a01.wav", NULL}}, .says = {"2 names in", "have lost it"}},
    {.recipe = "iemocap",
     .files = {{"Ses01F_impro01_F000.wav", NULL}},
     .says = {"1 recordings in", "Session*/dialog/EmoEvaluation/*.txt", "(0 such files", "--tables DIR"}},
    {.recipe = "iemocap",
     .files = {{"Ses01F_impro01_F000.wav", NULL},
               {"EmoEvaluation/Ses01F_impro01.txt", "[6.2901 - 8.2357]\tSes01F_impro01_F000\tjoy" MEASURES}},
     .says = {"EmoEvaluation/Ses01F_impro01.txt:1: emotion 'joy'"}},
    {.recipe = "meld", .files = {{"train/dia0_utt0.mp4", NULL}}, .says = {"1 films and no recording", "ffmpeg"}},
    {.recipe = "meld",
     .files = {{"train/dia0_utt0.wav", NULL}, {"train_sent_emo.csv", "a,b\n1,2\n"}},
     .says = {"train_sent_emo.csv:1: not the expected columns"}},
    {.recipe = "meld",
     .files = {{"train/dia0_utt0.wav", NULL}, {"train_sent_emo.csv", "Speaker,Emotion,Emotion\nRoss,joy,anger\n"}},
     .says = {"train_sent_emo.csv:1: columns 2 and 3 both stand for 'emotion'"}},
    {.recipe = "meld",
     .files = {{"train/dia0_utt0.wav", NULL}, {"train_sent_emo.csv", "version https://git-lfs.github.com/spec/v1\n"}},
     .says = {"train_sent_emo.csv: a git-lfs pointer", "git lfs pull"}},
    {.recipe = "ldc-emotional-prosody",
     .files = {{"cc_001.wav", NULL}, {"cc_001.txt", "0.5 0.4 A: panic, May third\n"}},
     .says = {"cc_001.txt:1: a part from '0.5' to '0.4' s"}},
    {.recipe = "ldc-emotional-prosody",
     .files = {{"cc_001.wav", NULL}, {"cc_001.txt", "0.5 0.6 A: well, May third\n"}},
     .says = {"cc_001.txt:1: emotion 'well'"}},
    {.recipe = "urdu", .files = {{"SM1_F8_A08.wav", NULL}}, .options = {.only = "x=1"}, .says = {"write COLUMN=VALUE"}},
    {.recipe = "urdu",
     .files = {{"SM1_F8_A08.wav", NULL}},
     .options = {.only = "gender=w"},
     .says = {"the first has 'male'"}},
};

typedef struct fixture {
    qv_ctx *ctx;
    char *dir;
    qv_manifest *m;
    qv_corpus_report report;
} fixture;

static void open_fixture(fixture *f) { *f = (fixture){.ctx = qv_ctx_new(), .dir = qv_test_tmpdir()}; }

static void close_fixture(fixture *f)
{
    qv_test_rmdir(f->dir);
    qv_manifest_free(f->m);
    qv_corpus_report_free(&f->report);
    qv_ctx_free(f->ctx);
}

static void put(fixture *f, const char *name, const char *text) { qv_test_put(f->ctx, f->dir, name, text); }

static qv_status scan_case(fixture *f, const recipe_case *c)
{
    const qv_recipe *recipe;
    for (int i = 0; i < FILES_MAX && c->files[i].path; i++)
        put(f, c->files[i].path, c->files[i].text ? c->files[i].text : c->files[i].path);
    qv_assert_ok(f->ctx, qv_recipe_find(f->ctx, &recipe, c->recipe));
    return qv_corpus_scan(f->ctx, &f->m, &f->report, recipe, f->dir, &c->options);
}

static void assert_says(const recipe_case *c, const char *text)
{
    for (int i = 0; i < WORDS_MAX && c->says[i]; i++)
        if (!text || !strstr(text, c->says[i]))
            fail_msg("%s: '%s' is not in:\n%s", c->recipe, c->says[i], text ? text : "nothing");
}

static void every_grammar_and_defect(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        fixture f;
        qv_buf rows = {0};
        open_fixture(&f);
        qv_assert_ok(f.ctx, scan_case(&f, &cases[k]));
        for (size_t i = 0; i < f.m->n; i++) {
            const qv_item *item = &f.m->items[i];
            qv_buf_printf(&rows, "%s %s %s %s\n", item->name, item->speaker, item->emotion,
                          item->gender ? item->gender : "-");
        }
        if (strcmp(rows.data, cases[k].rows) != 0)
            fail_msg("%s gave\n%sinstead of\n%s", cases[k].recipe, rows.data, cases[k].rows);
        assert_says(&cases[k], f.report.text.data);
        qv_buf_free(&rows);
        close_fixture(&f);
    }
}

static void what_is_refused(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) {
        fixture f;
        qv_buf all = {0};
        open_fixture(&f);
        assert_int_not_equal(scan_case(&f, &refused[k]), QV_OK);
        assert_null(f.m);
        qv_buf_printf(&all, "%s\n%s", qv_ctx_message(f.ctx), f.report.text.data ? f.report.text.data : "");
        assert_says(&refused[k], all.data);
        qv_buf_free(&all);
        close_fixture(&f);
    }
}

/* Every row is sound: its patterns compile, its maps lead to columns, it says what it needs. */
static void every_row_opens(void **state)
{
    (void)state;
    for (size_t i = 0; i < qv_n_recipes; i++) {
        fixture f;
        open_fixture(&f);
        qv_corpus_options o = {.pattern = qv_recipes[i].pattern ? NULL : "(?<emotion>x)"};
        qv_status s = qv_corpus_scan(f.ctx, &f.m, &f.report, &qv_recipes[i], f.dir, &o);
        if (s != QV_ERR_DATA || !strstr(qv_ctx_message(f.ctx), "no recording of recipe"))
            fail_msg("%s: %s", qv_recipes[i].name, qv_ctx_message(f.ctx));
        close_fixture(&f);
    }
}

/* A session of two channels: the parts are cut from the first one. */
static void sessions_are_cut_on_one_channel(void **state)
{
    (void)state;
    enum { RATE = 16000 };
    fixture f;
    open_fixture(&f);
    put(&f, "cc_001.txt", "0.25 0.50 A: hot anger, May first\n0.50 1.00 A: sadness, May second\n");
    char *path;
    qv_assert_ok(f.ctx, qv_path_join(f.ctx, &path, f.dir, "cc_001.wav"));
    SF_INFO info = {.samplerate = RATE, .channels = 2, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    for (int i = 0; i < RATE; i++) assert_int_equal(sf_writef_float(file, (float[]){(float)i / RATE, -1}, 1), 1);
    sf_close(file);
    const qv_recipe *recipe;
    qv_assert_ok(f.ctx, qv_recipe_find(f.ctx, &recipe, "ldc-emotional-prosody"));
    qv_assert_ok(f.ctx, qv_corpus_scan(f.ctx, &f.m, &f.report, recipe, f.dir, &(qv_corpus_options){0}));
    assert_int_equal(f.m->n, 2);
    assert_int_equal(f.report.duplicates, 0);
    const qv_item *item = &f.m->items[1];
    qv_audio a;
    qv_assert_ok(f.ctx, qv_audio_read_channel(f.ctx, &a, item->file, item->start, item->end, item->channel, RATE));
    assert_int_equal(a.n, RATE / 2);
    assert_true(a.samples[0] == 0.5f && a.samples[RATE / 4] == 0.75f);
    qv_audio_free(&a);
    free(path);
    close_fixture(&f);
}

static void label_files_elsewhere(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    put(&f, "wav/train/dia0_utt0.wav", "x");
    put(&f, "csv/train_sent_emo.csv", "Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\nJoey,fear,negative,0,0\n");
    char *wav, *csv;
    qv_assert_ok(f.ctx, qv_path_join(f.ctx, &wav, f.dir, "wav"));
    qv_assert_ok(f.ctx, qv_path_join(f.ctx, &csv, f.dir, "csv/")); /* as shells complete it */
    const qv_recipe *recipe;
    qv_assert_ok(f.ctx, qv_recipe_find(f.ctx, &recipe, "meld"));
    qv_assert_ok(f.ctx, qv_corpus_scan(f.ctx, &f.m, &f.report, recipe, wav, &(qv_corpus_options){.tables = csv}));
    assert_int_equal(f.m->n, 1);
    assert_string_equal(f.m->items[0].split, "train");
    free(wav), free(csv);
    close_fixture(&f);
}

/* The folder of the tables may lie in that of the corpus, and be named all the same. */
static void label_files_are_read_once(void **state)
{
    (void)state;
    fixture f;
    char *doc;
    const qv_recipe *recipe;
    open_fixture(&f);
    put(&f, "speech/cc_001.wav", "x");
    put(&f, "doc/cc_001.txt", "0.10 0.30 A: hot anger, December first\n0.40 0.75 A: neutral, Two thousand one\n");
    qv_assert_ok(f.ctx, qv_path_join(f.ctx, &doc, f.dir, "doc"));
    qv_assert_ok(f.ctx, qv_recipe_find(f.ctx, &recipe, "ldc-emotional-prosody"));
    qv_assert_ok(f.ctx, qv_corpus_scan(f.ctx, &f.m, &f.report, recipe, f.dir, &(qv_corpus_options){.tables = doc}));
    assert_int_equal(f.m->n, 2);
    /* Two names of one content are two tables: some stores keep equal files once. */
    char *first, *second;
    qv_assert_ok(f.ctx, qv_path_join(f.ctx, &first, f.dir, "doc/cc_001.txt"));
    qv_assert_ok(f.ctx, qv_path_join(f.ctx, &second, f.dir, "doc/cl_001.txt"));
    put(&f, "speech/cl_001.wav", "y");
    assert_int_equal(symlink(first, second), 0);
    qv_manifest_free(f.m);
    qv_corpus_report_free(&f.report);
    qv_assert_ok(f.ctx, qv_corpus_scan(f.ctx, &f.m, &f.report, recipe, f.dir, &(qv_corpus_options){0}));
    assert_int_equal(f.m->n, 4);
    free(first), free(second);
    free(doc);
    close_fixture(&f);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const recipe_case *c = &cases[3];
    qv_assert_ok(f.ctx, scan_case(&f, c));
    const qv_recipe *recipe;
    qv_assert_ok(f.ctx, qv_recipe_find(f.ctx, &recipe, c->recipe));
    qv_status s = QV_ERR_MEMORY;
    size_t nth = 1;
    for (; s == QV_ERR_MEMORY && nth < 3000; nth++) {
        qv_manifest_free(f.m);
        qv_corpus_report_free(&f.report);
        qv_ctx_fail_alloc(f.ctx, nth);
        s = qv_corpus_scan(f.ctx, &f.m, &f.report, recipe, f.dir, &c->options);
    }
    qv_ctx_fail_alloc(f.ctx, 0);
    assert_int_equal(s, QV_OK);
    assert_true(nth > 60);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_grammar_and_defect), cmocka_unit_test(what_is_refused),
        cmocka_unit_test(every_row_opens),          cmocka_unit_test(sessions_are_cut_on_one_channel),
        cmocka_unit_test(label_files_elsewhere),    cmocka_unit_test(label_files_are_read_once),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("recipes", tests, NULL, NULL);
}
