#!/bin/sh
# Random programs against the reference: tests/test_programs.c, on all CPU devices and, where that was built, on the emulated
# GPU, the same ones.
# usage: tests/long/programs.sh [COUNT]     1000; QV_SEED: of the programs (1)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
QV_PROGRAMS=${1:-1000} QV_SEED=${QV_SEED:-1}
export QV_PROGRAMS QV_SEED
build=${QV_BUILD:-build}
for program in "$build/tests/test_programs" "$build/tests/cuda/cuda_programs_plain"; do
    [ -x "$program" ] || { echo "SKIPPED: there is no $program" >&2; continue; }
    log=$("$program" 2>&1) || { echo "$log"; exit 1; }
    echo "$log" | sed -n "s/^[0-9]* programs on/seed $QV_SEED: &/p"
done
