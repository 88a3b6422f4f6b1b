#!/bin/sh
# The tests under a sanitizer, in a build of their own.
# usage: tests/long/sanitize.sh address [CTEST ARGUMENTS]   address, leaks and undefined behaviour; the whole of ctest
#        tests/long/sanitize.sh thread [CTEST ARGUMENTS]    data races: pool, loader, CPU backend, small trainings, a study,
#                                                           trainings that share an emulated GPU; without oneDNN, whose
#                                                           threads it does not understand
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
kind=${1:-}
[ $# -eq 0 ] || shift
common="-O1 -g -fno-omit-frame-pointer"
case $kind in
address)
    flags="$common -fsanitize=address,undefined -fno-sanitize-recover=undefined" options=
    [ $# -gt 0 ] || set -- -LE nvcc # which only compiles
    ;;
thread)
    flags="$common -fsanitize=thread" options=-DQV_ONEDNN=OFF
    [ $# -gt 0 ] || set -- -R '^(test_base|test_features|test_ops|test_net|test_trainer|test_checkpoint|test_run|test_study[a-z_]*|test_properties|cuda_test_threads_plain)$'
    ;;
*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
build=$root/build-$kind
launcher=
command -v ccache >/dev/null && launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
# -no-pie: see SIMT_LINK_asan in tests/simt/CMakeLists.txt.
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" \
    -DCMAKE_EXE_LINKER_FLAGS=-no-pie -DQV_CUDA=OFF -DQV_BENCH=OFF $options $launcher >"$build.log" 2>&1 ||
    { cat "$build.log"; exit 1; }
mv "$build.log" "$build/configure.log"
case "$*" in
*-R*) targets=$(printf '%s\n' "$*" | sed -n 's/.*(\([a-z0-9_|]*\)).*/\1/p' | tr '|' ' ') ;;
*) targets=all ;;
esac
for target in $targets; do # a test that is no program of its own may need any of them
    case $target in test_* | cuda_*) ;; *) targets=all ;; esac
done
[ -n "$targets" ] || targets=all # an expression of another form
[ "$targets" = all ] || targets="quaver $targets" # which some of them run
# shellcheck disable=SC2086
ninja -C "$build" -j "${QV_JOBS:-2}" $targets >"$build/build.log" || { tail -n 30 "$build/build.log"; exit 1; }
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:allocator_may_return_null=1
# The tests' own limits are for programs without a sanitizer, and --timeout is for tests without a limit.
find "$build" -name CTestTestfile.cmake -exec sed -i 's/TIMEOUT "[0-9]*"/TIMEOUT "6000"/' {} +
ctest --test-dir "$build" --output-on-failure "$@"
