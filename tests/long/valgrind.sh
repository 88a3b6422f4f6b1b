#!/bin/sh
# The unit tests under valgrind: reads of what was never written, besides what the sanitizers see.
# usage: tests/long/valgrind.sh [TEST ...]     programs of build/tests; default: those of files, settings and training
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
build=${QV_BUILD:-build}
[ $# -gt 0 ] || set -- test_base test_csv test_safetensors test_settings test_manifest test_folds test_record test_metrics \
    test_checkpoint test_net test_trainer
status=0
# Short blocks: the convolutions that oneDNN makes at run time are more in one piece than valgrind has room for.
for test in "$@"; do
    if valgrind -q --vex-guest-max-insns=16 --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \
        "$build/tests/$test" >"$build/valgrind.log" 2>&1; then
        echo "$test: clean"
    else
        echo "$test: FAILED"
        tail -n 30 "$build/valgrind.log"
        status=1
    fi
done
exit $status
