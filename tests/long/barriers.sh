#!/bin/sh
# Deletes each barrier of the kernels in turn from a copy of the source, builds the race build of
# the kernels' tests anew and requires it to fail. Minutes; tests/simt/barriers.sh (ctest
# kernels_mutation) does the same without building.
#
# tests/long/barriers.sh [ARGUMENT...]: arguments go to the test program.
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
copy=$(mktemp -d) || exit 2
trap 'rm -rf "$copy"' EXIT
log=$copy/log

(cd "$root" && cp -r CMakeLists.txt bench cmake data include kernels src tests "$copy") || exit 2
cd "$copy" || exit 2
build() { cmake --build build --target test_kernels_race -j 2 >"$log" 2>&1; }
program() { SIMT_SEED=0 timeout 600 "$(find build -name test_kernels_race -type f)" "$@" >"$log" 2>&1; }

cmake -S . -B build -DQV_CUDA=OFF -DQV_BENCH=OFF >"$log" 2>&1 && build && program "$@" || {
    cat "$log" >&2
    echo "fails with all barriers in place" >&2
    exit 1
}
pattern='__\(sync\(threads\|warp\)[a-z_]*\|threadfence\) *([^()]*) *;'
barriers=$(grep -n "$pattern" kernels/*.cu kernels/*.cuh | grep -vE '^[^:]*:[0-9]*: *(/\*|\*|//)' | cut -d: -f1,2)
test -n "$barriers" || { echo "no barrier found in kernels/" >&2; exit 1; }

survived=0
for barrier in $barriers; do
    file=${barrier%:*}
    cp -p "$file" saved
    sed -i "${barrier#*:}s/$pattern/;/" "$file"
    if ! build; then
        cat "$log" >&2
        exit 1
    elif program "$@"; then
        echo "$barrier: NOT MISSED"
        survived=$((survived + 1))
    else
        echo "$barrier: caught, $(grep -m 1 -E '^simt: |^race on |FAILED|ERROR' "$log")"
    fi
    cp saved "$file"
done
echo "$(echo "$barriers" | wc -l) barriers, $survived not missed"
test $survived -eq 0
