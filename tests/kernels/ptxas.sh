#!/bin/sh
# Compiles every kernel for one architecture and fails on a warning, a register spill or a use of local
# memory: the speed of these kernels rests on everything staying in registers. Another nvcc than the one that they were
# written with may place them otherwise and warn of more: that is printed, not judged. Compile they must with any.
test $# -eq 3 || { echo "usage: ptxas.sh SOURCE_DIR NVCC ARCHITECTURE" >&2; exit 2; }
source=$1 nvcc=$2 arch=$3
known=13.0 # docs/kernels.md
test -n "$nvcc" || { echo "ALL TESTS SKIPPED: a build without CUDA, so no spill and no warning of nvcc can be seen"; exit 0; }
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
version=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
strict='-Xcompiler -Wall,-Wextra'
test "$version" != "$known" || strict='-Werror all-warnings -Xcompiler -Wall,-Wextra,-Werror'
bad=0 remarks=0 kernels=0
for file in "$source"/kernels/*.cu; do
    # shellcheck disable=SC2086 # options are words
    "$nvcc" -arch="sm_$arch" -std=c++17 -O3 -Xptxas -v $strict -I"$source" -I"$source/src" -I"$source/include" \
        -c "$file" -o "$out/k.o" >"$out/log" 2>&1 || {
        echo "$file does not compile, or not without warnings:"
        cat "$out/log"
        bad=1
    }
    if grep -i 'warning' "$out/log"; then
        echo "$file: nvcc warns as above"
        remarks=1
    fi
    # A kernel without local memory says "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads".
    if grep 'bytes stack frame' "$out/log" | grep -v '\b0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads'; then
        echo "$file: a kernel above uses local memory"
        remarks=1
    fi
    kernels=$((kernels + $(grep -c 'Compiling entry function' "$out/log")))
done
test $kernels -gt 0 || { echo "no kernel was compiled"; bad=1; }
echo "$kernels kernels compiled for sm_$arch"
if test $remarks -ne 0; then
    if test "$version" = "$known"; then
        bad=1
    else
        echo "SKIPPED: what nvcc $version says of the kernels for sm_$arch is not judged, $known is known"
    fi
fi
exit $bad
