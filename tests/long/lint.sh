#!/bin/sh
# clang-tidy (.clang-tidy) and cppcheck over the program's own C. Prints what they find; fails if it is anything.
# usage: tests/long/lint.sh [BUILD]     a configured build folder, for compile_commands.json (build)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
build=${1:-build}
status=0
find src -name '*.c' ! -path 'src/backend/cpu/isa/*' | sort |
    xargs -P "${QV_JOBS:-2}" -n 4 clang-tidy --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option 2>/dev/null >"$build/tidy.log" ||
    status=1
grep -E '(warning|error):' "$build/tidy.log" | sort -u || true
# Passed over: functions whose names macros make, which its search over all files takes for one another; logarithms of sums
# over the classes, of which there is one at least; bytes of scratch that hold floats, 64-byte aligned.
mkdir -p "$build/cppcheck"
cppcheck --quiet --enable=warning,performance,portability --std=c11 --inline-suppr --error-exitcode=1 -j "${QV_JOBS:-2}" \
    --cppcheck-build-dir="$build/cppcheck" --suppress=unknownMacro --suppress=ctunullpointer \
    --suppress=invalidFunctionArg:src/backend/ref/entropy.h --suppress=invalidFunctionArg:src/backend/check/cases_margin.c \
    --suppress=invalidPointerCast:src/backend/cpu/conv_dnnl.c \
    -D__GNUC__=12 -DQV_REAL_DOUBLE=1 -DQV_ISA=base -I src -I include -I "$build/generated" src 2>&1 || status=1
[ $status -ne 0 ] || echo "clang-tidy and cppcheck find nothing"
exit $status
