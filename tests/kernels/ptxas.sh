#!/bin/sh
# Compiles every kernel for one architecture and fails on a warning, a register spill or a use of local
# memory: the speed of these kernels rests on everything staying in registers.
test $# -eq 3 || { echo "usage: ptxas.sh SOURCE_DIR NVCC ARCHITECTURE" >&2; exit 2; }
source=$1 nvcc=$2 arch=$3
case $nvcc in
'' | *NOTFOUND) echo "ALL TESTS SKIPPED: no nvcc, so no spill and no warning of it can be seen"; exit 0 ;;
esac
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
bad=0 kernels=0
for file in "$source"/kernels/*.cu; do
    "$nvcc" -arch="sm_$arch" -std=c++17 -O3 -Xptxas -v -Werror all-warnings -Xcompiler -Wall,-Wextra,-Werror \
        -I"$source" -I"$source/src" -I"$source/include" -c "$file" -o "$out/k.o" >"$out/log" 2>&1 || {
        echo "$file does not compile without warnings:"
        cat "$out/log"
        bad=1
    }
    # A kernel without local memory says "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads".
    if grep 'bytes stack frame' "$out/log" | grep -v '\b0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads'; then
        echo "$file: a kernel above uses local memory"
        bad=1
    fi
    kernels=$((kernels + $(grep -c 'Compiling entry function' "$out/log")))
done
test $kernels -gt 0 || { echo "no kernel was compiled"; bad=1; }
echo "$kernels kernels compiled for sm_$arch"
exit $bad
