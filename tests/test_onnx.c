/* The ONNX export's bytes; what they mean is checked by tests/python/check_onnx.py, for which this program
 * also writes features and probabilities: test_onnx features CHECKPOINT OUT.safetensors RECORDING... */
#include "base/protobuf.h"
#include "base/safetensors.h"
#include "support/support.h"
#include "train/model.h"
#include "train/onnx_graph.h"

static void assert_bytes(qv_buf *b, const void *expected, size_t n)
{
    assert_false(b->failed);
    assert_int_equal(b->len, n);
    assert_memory_equal(b->data, expected, n);
    qv_buf_free(b);
}

/* The examples of the encoding's own documentation, and the ends of the ranges. */
static void test_wire_format(void **state)
{
    (void)state;
    qv_buf b = {0}, inner = {0};
    qv_pb_int(&b, 1, 150);
    assert_bytes(&b, "\x08\x96\x01", 3);
    qv_pb_text(&b, 2, "testing");
    assert_bytes(&b, "\x12\x07testing", 9);
    qv_pb_int(&inner, 1, 150);
    qv_pb_message(&b, 3, &inner);
    assert_bytes(&b, "\x1a\x03\x08\x96\x01", 5);
    qv_pb_int(&b, 1, -2);
    assert_bytes(&b, "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    qv_pb_int(&b, 20, 0);
    assert_bytes(&b, "\xa0\x01\x00", 3);
    qv_pb_float(&b, 1, 1.5f);
    assert_bytes(&b, "\x0d\x00\x00\xc0\x3f", 5);
    qv_pb_double(&b, 1, -2.0);
    assert_bytes(&b, "\x09\x00\x00\x00\x00\x00\x00\x00\xc0", 9);
    qv_pb_bytes(&b, 1, NULL, 0);
    assert_bytes(&b, "\x0a\x00", 2);
}

static void test_failure_spreads(void **state)
{
    (void)state;
    qv_buf b = {0}, inner = {.failed = true};
    qv_pb_message(&b, 1, &inner);
    assert_true(b.failed);
    qv_buf_free(&b);
}

static void test_overflow_is_refused(void **state)
{
    (void)state;
    char *dir = qv_test_tmpdir(), *path;
    qv_ctx *ctx = qv_test_ctx();
    qv_onnx_graph g = {0};
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, "x.onnx"));
    qv_onnx_floats(&g, "w", (int64_t[]){1}, 1, (double[]){1e39});
    assert_int_equal(qv_onnx_write(ctx, &g, "graph", path), QV_ERR_NUMERIC);
    assert_false(qv_path_exists(path));
    qv_onnx_graph_free(&g);
    free(path);
    qv_ctx_free(ctx);
    qv_test_rmdir(dir);
}

/* Tensors "0", "1", ... [frames][mels] of the recordings, and "probabilities" [recordings][classes]. */
static qv_status write_features(qv_ctx *ctx, char **argv, size_t n)
{
    qv_status status = QV_OK;
    qv_checkpoint *c = NULL;
    qv_manifest *m = NULL;
    qv_features *f = NULL;
    qv_st_writer *w = NULL;
    qv_model_answers answers = {0};
    qv_model_options o = {.no_cache = true, .threads = 1};
    QV_TRY(qv_checkpoint_open(ctx, &c, argv[0]));
    QV_TRY(qv_manifest_new(ctx, &m));
    for (size_t i = 0; i < n; i++) QV_TRY(qv_manifest_add(ctx, m, argv[2 + i], argv[2 + i], NULL, NULL, NULL));
    QV_TRY(qv_manifest_finish(ctx, m, NULL));
    QV_TRY(qv_model_classify(ctx, c, m, &o, &f, &answers));
    QV_TRY(qv_st_writer_new(ctx, &w));
    for (size_t i = 0; i < n; i++) {
        char name[32];
        const qv_feature_entry *e = &f->entries[i];
        size_t mels = (size_t)f->config.mels;
        snprintf(name, sizeof name, "%zu", i);
        QV_TRY(qv_st_add(ctx, w, name, QV_ST_F32, 2, (size_t[]){(size_t)e->frames, mels},
                         f->data + (size_t)e->first_frame * mels));
    }
    QV_TRY(qv_st_add(ctx, w, "probabilities", QV_ST_F64, 2, (size_t[]){n, (size_t)c->n_classes}, answers.probs));
    QV_TRY(qv_st_write(ctx, w, argv[1]));
done:
    qv_st_writer_free(w);
    qv_model_answers_free(&answers);
    qv_features_close(f);
    qv_manifest_free(m);
    qv_checkpoint_close(c);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 4 && strcmp(argv[1], "features") == 0) {
        qv_ctx *ctx = qv_ctx_new();
        qv_status status = write_features(ctx, argv + 2, (size_t)argc - 4);
        if (status != QV_OK) fprintf(stderr, "%s\n", qv_ctx_message(ctx));
        qv_ctx_free(ctx);
        return status != QV_OK;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_format),
        cmocka_unit_test(test_failure_spreads),
        cmocka_unit_test(test_overflow_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
