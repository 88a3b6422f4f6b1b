#!/bin/sh
# The selftest on the first GPU, in every precision; skipped where there is none.
test $# -eq 1 || { echo "usage: selftest_gpu.sh QUAVER" >&2; exit 2; }
if "$1" doctor | grep -q 'none can be used'; then
    echo "ALL TESTS SKIPPED: no CUDA device"
    exit 0
fi
bad=0
for precision in fp32 tf32 bf16; do "$1" selftest --device cuda --precision $precision --seed 1 -q || bad=1; done
exit $bad
