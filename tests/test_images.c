/* Images as they are published: read, listed, refused, measured. */
#include <math.h>

#include "base/buf.h"
#include "data/features.h"
#include "data/folds.h"
#include "data/images.h"
#include "support/support.h"
#include "train/dataset.h"

enum { IMAGES = 6, ROWS = 4, COLUMNS = 3, CIFAR = 3 * 32 * 32 };

static void put_bytes(qv_ctx *ctx, const char *dir, const char *name, const qv_buf *b)
{
    char *path;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, name));
    qv_assert_ok(ctx, qv_write_file(ctx, path, b->data, b->len));
    free(path);
}

/* An IDX file whose byte i behind the header is i + first. */
static void put_idx(qv_ctx *ctx, const char *dir, const char *name, int dims, const int *lengths, int first)
{
    qv_buf b = {0};
    int n = 1;
    qv_buf_add(&b, (unsigned char[]){0, 0, 8, (unsigned char)dims}, 4);
    for (int i = 0; i < dims; i++) {
        qv_buf_add(&b, (unsigned char[]){0, 0, 0, (unsigned char)lengths[i]}, 4);
        n *= lengths[i];
    }
    for (int i = 0; i < n; i++) qv_buf_add(&b, &(unsigned char){(unsigned char)(i + first)}, 1);
    put_bytes(ctx, dir, name, &b);
    qv_buf_free(&b);
}

/* The four files, with that behind "idx3" and "idx1" in their names. */
static void put_mnist_as(qv_ctx *ctx, const char *dir, const char *ending)
{
    static const int images[] = {IMAGES, ROWS, COLUMNS}, labels[] = {IMAGES};
    for (int test = 0; test < 2; test++) {
        char name[64];
        snprintf(name, sizeof name, "%s-images-idx3%s", test ? "t10k" : "train", ending);
        put_idx(ctx, dir, name, 3, images, 10 * test);
        snprintf(name, sizeof name, "%s-labels-idx1%s", test ? "t10k" : "train", ending);
        put_idx(ctx, dir, name, 1, labels, 0);
    }
}

static void put_mnist(qv_ctx *ctx, const char *dir) { put_mnist_as(ctx, dir, "-ubyte"); }

/* A CIFAR file of `n` images: red is 10 k, green 10 k + 1, blue the column; the label of image k is k. */
static void put_cifar(qv_ctx *ctx, const char *dir, const char *name, int labels, int n)
{
    qv_buf b = {0};
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < labels; i++) qv_buf_add(&b, &(unsigned char){(unsigned char)(i + 1 < labels ? 99 : k)}, 1);
        for (int i = 0; i < CIFAR; i++) {
            int value = i < 1024 ? 10 * k : i < 2048 ? 10 * k + 1 : i % 32;
            qv_buf_add(&b, &(unsigned char){(unsigned char)value}, 1);
        }
    }
    put_bytes(ctx, dir, name, &b);
    qv_buf_free(&b);
}

static void put_cifar10(qv_ctx *ctx, const char *dir)
{
    for (int i = 1; i <= 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        put_cifar(ctx, dir, name, 1, 3);
    }
    put_cifar(ctx, dir, "test_batch.bin", 1, 3);
    qv_test_put(ctx, dir, "batches.meta.txt", "airplane\nautomobile\nbird\n\n");
}

static qv_manifest *open_manifest(qv_ctx *ctx, const char *dir)
{
    qv_manifest *m;
    qv_assert_ok(ctx, qv_manifest_read(ctx, &m, dir, &(qv_manifest_options){.need_emotion = true}));
    return m;
}

static qv_features *open_features(qv_ctx *ctx, const qv_manifest *m)
{
    qv_feature_config c = qv_feature_defaults();
    qv_features *f;
    qv_assert_ok(ctx, qv_feature_detect(ctx, m, &c));
    qv_assert_ok(ctx, qv_features_open(ctx, &f, m, &c, &(qv_feature_options){.no_cache = true, .threads = 2}));
    assert_int_equal(f->skipped, 0);
    return f;
}

static void idx_is_a_manifest(void **state)
{
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    qv_folds *folds;
    (void)state;
    put_mnist(ctx, dir);
    qv_manifest *m = open_manifest(ctx, dir);
    assert_int_equal(m->n, 2 * IMAGES);
    assert_int_equal(m->n_classes, IMAGES);
    assert_string_equal(m->items[1].name, "t10k-images-idx3-ubyte[1]");
    assert_string_equal(m->items[1].split, "test");
    assert_string_equal(m->items[IMAGES + 5].emotion, "5");
    qv_assert_ok(ctx, qv_folds_make(ctx, &folds, m, "", &(qv_fold_options){.test_fraction = 0.2}));
    assert_int_equal(folds->folds[0].items[QV_PART_TEST], IMAGES);
    assert_int_equal(folds->folds[0].items[QV_PART_TRAIN], IMAGES);
    qv_features *f = open_features(ctx, m);
    assert_int_equal(f->config.mels, COLUMNS);
    assert_int_equal(f->frames, 2 * IMAGES * ROWS);
    for (int i = 0; i < IMAGES * ROWS * COLUMNS; i++) assert_true(f->data[i] == (float)(i + 10) / 255);
    qv_features_close(f);
    qv_folds_free(folds);
    qv_manifest_free(m);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* The words by which a file is known count in its own name alone, and IDX is IDX whatever the name ends in. */
static void folders_and_endings_are_free(void **state)
{
    static const char *const cases[][2] = {{"images/mnist", "-ubyte"}, {"a-images-idx3/b", "-ubyte"}, {"x", ".bin"}};
    qv_ctx *ctx = qv_test_ctx();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *top = qv_test_tmpdir(), *dir;
        qv_assert_ok(ctx, qv_path_join(ctx, &dir, top, cases[i][0]));
        qv_assert_ok(ctx, qv_make_dirs(ctx, dir));
        put_mnist_as(ctx, dir, cases[i][1]);
        qv_manifest *m = open_manifest(ctx, dir);
        assert_int_equal(m->n, 2 * IMAGES);
        qv_features *f = open_features(ctx, m);
        assert_int_equal(f->config.mels, COLUMNS);
        qv_features_close(f);
        qv_manifest_free(m);
        qv_test_rmdir(top);
        free(dir);
    }
    qv_ctx_free(ctx);
}

static void cifar_has_names_and_channels(void **state)
{
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    (void)state;
    put_cifar10(ctx, dir);
    qv_manifest *m = open_manifest(ctx, dir);
    assert_int_equal(m->n, 18);
    assert_string_equal(m->items[4].emotion, "automobile");
    qv_features *f = open_features(ctx, m);
    assert_int_equal(f->config.channels, 3);
    assert_int_equal(f->config.mels, 96);
    const float *x = f->data + f->entries[4].first_frame * 96;
    for (int i = 0; i < 32 * 96; i++)
        assert_true(x[i] == (float)(i % 3 == 2 ? i / 3 % 32 : 10 + i % 3) / 255); /* image 1 of data_batch_2 */
    qv_features_close(f);
    qv_manifest_free(m);
    qv_test_rmdir(dir);
    dir = qv_test_tmpdir();
    put_cifar(ctx, dir, "train.bin", 2, 2);
    put_cifar(ctx, dir, "test.bin", 2, 2);
    m = open_manifest(ctx, dir);
    assert_int_equal(m->n_classes, 2); /* the fine ones, not the 99 */
    assert_string_equal(m->classes[1], "1");
    qv_manifest_free(m);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* Mean and deviation are those of a channel, over all columns. */
static void channels_are_normalized(void **state)
{
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    bool training[18] = {false};
    qv_dataset *d;
    (void)state;
    put_cifar10(ctx, dir);
    qv_manifest *m = open_manifest(ctx, dir);
    qv_features *f = open_features(ctx, m);
    training[0] = training[1] = true; /* red 0 and 10, green 1 and 11, blue 0 to 31 */
    qv_assert_ok(ctx, qv_dataset_new(ctx, &d, m, f, QV_NORM_CORPUS, training, NULL));
    const double mean[] = {5, 6, 15.5}, deviation[] = {5, 5, sqrt((32.0 * 32 - 1) / 12)};
    for (int j = 0; j < 96; j++) {
        assert_true(fabs((double)d->norm[j] - mean[j % 3] / 255) <= 1e-6);
        assert_true(fabs((double)d->norm[96 + j] * deviation[j % 3] / 255 - 1) <= 1e-5);
    }
    qv_dataset_free(d);
    qv_features_close(f);
    qv_manifest_free(m);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* Each spoils a folder that was good; `says` must stand in the message. */
static void refused(const char *says, void (*spoil)(qv_ctx *ctx, const char *dir))
{
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    qv_manifest *m;
    put_mnist(ctx, dir);
    spoil(ctx, dir);
    assert_int_not_equal(qv_manifest_read(ctx, &m, dir, &(qv_manifest_options){.need_emotion = true}), QV_OK);
    qv_test_says(qv_ctx_message(ctx), says);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void drop(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(remove(path), 0);
}

static void no_labels(qv_ctx *ctx, const char *dir)
{
    (void)ctx;
    drop(dir, "t10k-labels-idx1-ubyte");
}

static void no_test_part(qv_ctx *ctx, const char *dir)
{
    (void)ctx;
    drop(dir, "t10k-images-idx3-ubyte");
}

static void only_compressed(qv_ctx *ctx, const char *dir)
{
    drop(dir, "t10k-images-idx3-ubyte");
    drop(dir, "train-images-idx3-ubyte");
    qv_test_put(ctx, dir, "train-images-idx3-ubyte.gz", "\x1f\x8b");
}

static void compressed_inside(qv_ctx *ctx, const char *dir)
{
    qv_test_put(ctx, dir, "train-labels-idx1-ubyte", "\x1f\x8b...");
}
static void cut_short(qv_ctx *ctx, const char *dir) { qv_test_put(ctx, dir, "train-images-idx3-ubyte", "abcdef"); }
static void two_sets(qv_ctx *ctx, const char *dir)
{
    put_idx(ctx, dir, "letters-train-images-idx3-ubyte", 3, (int[]){1, 1, 1}, 0);
}
static void two_kinds(qv_ctx *ctx, const char *dir) { put_cifar(ctx, dir, "test_batch.bin", 1, 1); }
static void fewer_labels(qv_ctx *ctx, const char *dir)
{
    put_idx(ctx, dir, "train-labels-idx1-ubyte", 1, (int[]){IMAGES - 1}, 0);
}
static void four_dims(qv_ctx *ctx, const char *dir)
{
    put_idx(ctx, dir, "train-images-idx3-ubyte", 4, (int[]){1, 1, 1, 1}, 0);
}
static void no_columns(qv_ctx *ctx, const char *dir)
{
    put_idx(ctx, dir, "train-images-idx3-ubyte", 3, (int[]){1, 1, 0}, 0);
}

static void floats(qv_ctx *ctx, const char *dir)
{
    qv_buf b = {0};
    qv_buf_add(&b, "\0\0\x0d\3", 4);
    put_bytes(ctx, dir, "train-images-idx3-ubyte", &b);
    qv_buf_free(&b);
}

/* A header costs its maker nothing, an item in memory for each image a lot. */
static void too_many(qv_ctx *ctx, const char *dir)
{
    qv_buf b = {0};
    qv_buf_add(&b, "\0\0\x08\3\0\x98\x96\x81\0\0\0\1\0\0\0\1", 16);
    put_bytes(ctx, dir, "train-images-idx3-ubyte", &b);
    qv_buf_free(&b);
}

static void longer_than_it_says(qv_ctx *ctx, const char *dir)
{
    qv_buf b = {0};
    qv_buf_add(&b, "\0\0\x08\1\0\0\0\6abcdefg", 15);
    put_bytes(ctx, dir, "train-labels-idx1-ubyte", &b);
    qv_buf_free(&b);
}

static void bad_folders(void **state)
{
    (void)state;
    refused("t10k-labels-idx1-ubyte", no_labels);
    refused("0 files of test images where 1 belongs", no_test_part);
    refused("gunzip", only_compressed);
    refused("gunzip", compressed_inside);
    refused("two zeros", cut_short);
    refused("2 files of training images", two_sets);
    refused("more than one publication", two_kinds);
    refused("5 labels for the 6 images", fewer_labels);
    refused("4 dimensions", four_dims);
    refused("length 3 is 0", no_columns);
    refused("IDX type 0x0d", floats);
    refused("length 1 is 10000001; 1 to 10000000 were expected", too_many);
    refused("7 bytes behind the header, which promises 6", longer_than_it_says);
}

static void other_folders(void **state)
{
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    qv_manifest *m;
    qv_manifest_options o = {.need_emotion = true};
    qv_settings s;
    (void)state;
    assert_int_equal(qv_manifest_read(ctx, &m, dir, &o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "quaver corpus writes");
    put_cifar10(ctx, dir);
    put_cifar(ctx, dir, "data_batch_3.bin", 1, 4); /* a label that has no name */
    assert_int_equal(qv_manifest_read(ctx, &m, dir, &o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "image 3 has the label 3; there are names for 3");
    put_cifar10(ctx, dir);
    qv_test_put(ctx, dir, "batches.meta.txt", "airplane\nauto\x1b[31m\nbird\n");
    assert_int_equal(qv_manifest_read(ctx, &m, dir, &o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "a control character in the name of a class");
    qv_test_put(ctx, dir, "batches.meta.txt", "airplane\nbird\nbird\n");
    assert_int_equal(qv_manifest_read(ctx, &m, dir, &o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "two classes have the name bird");
    qv_test_put(ctx, dir, "batches.meta.txt", "\xEF\xBB\xBF" "airplane\r\nautomobile\r\nbird\r\n");
    m = open_manifest(ctx, dir);
    assert_string_equal(m->classes[0], "airplane");
    qv_manifest_free(m);
    put_cifar10(ctx, dir);
    m = open_manifest(ctx, dir);
    qv_assert_ok(ctx, qv_settings_init(ctx, &s));
    s.speed = 0.1;
    assert_int_equal(qv_settings_detect(ctx, &s, m), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "augment.speed");
    s.speed = 0;
    s.flip = 1;
    s.pad = 4;
    qv_assert_ok(ctx, qv_settings_detect(ctx, &s, m));
    assert_int_equal(s.patch_frames, 32);
    qv_net_config net = qv_settings_net(&s);
    assert_int_equal(net.mels, 32);
    assert_int_equal(net.channels, 3);
    qv_manifest_free(m);
    /* An image folder does not go with a checkpoint of other sizes, nor of sound. */
    qv_feature_config c = qv_settings_features(&s);
    char *mnist = qv_test_tmpdir();
    qv_features *f;
    qv_feature_options fo = {.no_cache = true, .threads = 1};
    put_mnist(ctx, mnist);
    m = open_manifest(ctx, mnist);
    assert_int_equal(qv_features_open(ctx, &f, m, &c, &fo), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "images of 4 x 3 in 1 channels where 32 x 32 in 3 were expected");
    c = qv_feature_defaults();
    assert_int_equal(qv_features_open(ctx, &f, m, &c, &fo), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "holds images, where recordings were expected");
    qv_manifest_free(m);
    qv_settings_free(&s);
    qv_test_rmdir(mnist);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx_is_a_manifest),
        cmocka_unit_test(folders_and_endings_are_free),
        cmocka_unit_test(cifar_has_names_and_channels),
        cmocka_unit_test(channels_are_normalized),
        cmocka_unit_test(bad_folders),
        cmocka_unit_test(other_folders),
    };
    return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}
