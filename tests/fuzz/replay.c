/* Runs a target over files and folders of inputs, with any compiler. A crash ends it: the last name printed is the one. */
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "fuzz.h"

static qv_status run_one(qv_ctx *ctx, void *user, const char *path)
{
    char *data;
    size_t size;
    qv_status status = qv_read_file(ctx, path, (size_t)1 << 26, &data, &size);
    if (status != QV_OK) return status;
    printf("%s\n", path);
    fflush(stdout);
    /* A copy of exactly that size, so that memory checkers see a read past its end. */
    uint8_t *exact = malloc(size ? size : 1);
    for (size_t i = 0; i < size; i++) exact[i] = (uint8_t)data[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(data);
    ++*(int *)user;
    return QV_OK;
}

int main(int argc, char **argv)
{
    int n = 0;
    qv_ctx *ctx = qv_fuzz_ctx();
    for (int i = 1; i < argc; i++) {
        qv_status status = QV_OK;
        if (qv_is_dir(argv[i]))
            status = qv_walk(ctx, argv[i], run_one, &n);
        else if (qv_path_exists(argv[i]))
            status = run_one(ctx, &n, argv[i]);
        if (status != QV_OK) {
            fprintf(stderr, "%s\n", qv_ctx_message(ctx));
            return 1;
        }
    }
    qv_ctx_free(ctx);
    printf("%d inputs\n", n);
    return n > 0 ? 0 : 1;
}
