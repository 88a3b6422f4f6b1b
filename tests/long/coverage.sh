#!/bin/sh
# Which lines the tests run, by folder, and the files with the fewest: gcov's figures. A hint of what is missing; whether a
# line that runs is also tested is for mutants.sh.
# usage: tests/long/coverage.sh [CTEST ARGUMENTS]     the emulated GPU once (plain) by default
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build-coverage
command -v python3 >/dev/null || { echo 'SKIPPED: no python3 to add figures up with' >&2; exit 77; }
[ $# -gt 0 ] || set -- -LE nvcc -E '_(asan|race)$|plants|python|install'
mkdir -p "$build"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS='-O1 --coverage -fprofile-update=atomic' \
    -DCMAKE_CXX_FLAGS='-O1 --coverage' -DQV_CUDA=OFF -DQV_BENCH=OFF >"$build/configure.log"
ninja -C "$build" -j "${QV_JOBS:-2}" >"$build/build.log" || { tail -n 30 "$build/build.log"; exit 1; }
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -j "${QV_JOBS:-2}" --timeout 1500 "$@" >"$build/ctest.log" 2>&1 || tail -n 15 "$build/ctest.log" >&2
tail -n 200 "$build/ctest.log" | grep -E 'tests passed|Total Test time'
python3 "$root/tests/long/coverage.py" "$build" "$root"
