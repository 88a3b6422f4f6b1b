#!/bin/sh
# Writes the C source of a CUDA driver without a GPU: every entry point of the toolkit's stub. Each reports success and
# does nothing; what loads a kernel also hands out something that is not NULL, and there are no tables of private
# functions. Engines that cuDNN compiles at run time can be finalized on it, though not run.
#   fake_driver.sh STUB NM
set -eu
echo "/* Made by tests/dnn/fake_driver.sh from the names in $1. */"
echo "static int thing;"
"$2" -D --defined-only "$1" | sed -n 's/^[0-9a-f]* [TW] \(cu[A-Za-z0-9_]*\)$/\1/p' | sort -u | while read -r name; do
    case $name in
    cuGetExportTable) echo "int $name(void);
int $name(void) { return 500; }" ;;
    cuLibraryLoadData | cuLibraryGetKernel | cuLibraryGetModule | cuKernelGetFunction | cuModuleLoadData* | cuModuleGetFunction)
        echo "int $name(void **out);
int $name(void **out) { return *out = &thing, 0; }" ;;
    *) echo "int $name(void);
int $name(void) { return 0; }" ;;
    esac
done
