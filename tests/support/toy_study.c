#include "support/toy_study.h"

const char qv_toy_study_head[] = "[study]\nquestion = Which?\nseeds = 2\nbaseline = preact even\n"
                                 "[corpus made]\nembedded = 8 1\nfolds = 2\n"
                                 "[settings]\nfeatures.mels = 8\npatch.seconds = 0.16\nnet.width = 2\ntrain.batch = 4\n"
                                 "train.epochs = 4\neval.every = 2\n";
const char qv_toy_study_axes[] =
    "[axis order]\nsetting = net.order\nvalues = preact, preact-bn\n"
    "[axis shake]\neven = shake.forward=even, shake.backward=even\nshaken = shake.forward=shake, shake.backward=shake\n"
    "[axis gamma0]\nsetting = shake.gamma0\nvalues = 0.1, 1\n";
const char qv_toy_study_compare[] = "[compare own]\ndifference = preact-bn shaken gamma0=1 - preact-bn even gamma0=1\n";

qv_study *qv_toy_study_parse(qv_ctx *ctx, const char *a, const char *b, const char *c)
{
    qv_buf text = {0};
    qv_study *s;
    qv_buf_printf(&text, "%s%s%s", a, b, c);
    qv_assert_ok(ctx, qv_study_parse(ctx, &s, "study.ini", text.data));
    qv_buf_free(&text);
    return s;
}

int qv_toy_study_setup(void **state)
{
    qv_toy_study *x = calloc(1, sizeof *x);
    x->ctx = qv_test_ctx();
    x->dir = qv_test_tmpdir();
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &x->cache, x->dir, "cache"));
    x->o = (qv_study_options){.cache_dir = x->cache, .threads = 2};
    *state = x;
    return 0;
}

int qv_toy_study_teardown(void **state)
{
    qv_toy_study *x = *state;
    qv_test_rmdir(x->dir);
    free(x->cache);
    qv_ctx_free(x->ctx);
    free(x);
    return 0;
}

const char *qv_toy_study_folder(qv_toy_study *x, const char *name)
{
    snprintf(x->out, sizeof x->out, "%s/%s", x->dir, name);
    return x->out;
}

qv_status qv_toy_study_run(qv_toy_study *x, const char *out, const char *more)
{
    qv_buf text = {0};
    qv_study *s;
    qv_buf_printf(&text, "%s%s%s%s", qv_toy_study_head, qv_toy_study_axes, qv_toy_study_compare, more);
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text.data));
    x->o.out = qv_toy_study_folder(x, out);
    qv_status status = qv_study_run(x->ctx, s, &x->o, NULL);
    qv_study_free(s);
    qv_buf_free(&text);
    return status;
}

void qv_toy_study_run_text(qv_toy_study *x, const char *out, const char *text)
{
    qv_study *s;
    qv_assert_ok(x->ctx, qv_study_parse(x->ctx, &s, "study.ini", text));
    x->o.out = qv_toy_study_folder(x, out);
    qv_assert_ok(x->ctx, qv_study_run(x->ctx, s, &x->o, NULL));
    qv_study_free(s);
}

void qv_toy_study_findings(qv_toy_study *x, qv_findings *f, const char *out)
{
    qv_assert_ok(x->ctx, qv_findings_read(x->ctx, f, qv_toy_study_folder(x, out)));
}

uint64_t qv_toy_study_digest(qv_toy_study *x, const char *out, size_t runs)
{
    qv_findings f;
    qv_toy_study_findings(x, &f, out);
    uint64_t digest = f.results.digest;
    assert_int_equal(f.results.runs, runs);
    qv_findings_free(&f);
    return digest;
}

char *qv_toy_study_path(qv_toy_study *x, const char *out, const char *name)
{
    char *path;
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, qv_toy_study_folder(x, out), name));
    return path;
}

char *qv_toy_study_file(qv_toy_study *x, const char *out, const char *name)
{
    char *path = qv_toy_study_path(x, out, name), *text;
    size_t size;
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, path, 1 << 24, &text, &size));
    free(path);
    return text;
}

void qv_toy_study_write(qv_toy_study *x, const char *out, const char *name, const char *text)
{
    char *path = qv_toy_study_path(x, out, name);
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
    free(path);
}
