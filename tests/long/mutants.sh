#!/bin/sh
# Judges the tests: makes N random mutants (one operator or constant changed) of the kernels under emulation, the shake,
# batch norm and statistics, and runs the tests that should notice. Prints each survivor, and killed / all at the end.
# usage: tests/long/mutants.sh N [SEED]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -ge 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
count=$1 seed=${2:-1}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
(cd "$root" && cp -r CMakeLists.txt cmake data include kernels src tests "$copy")
cd "$copy"
launcher=
command -v ccache >/dev/null && launcher="-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache"
export CCACHE_BASEDIR="$copy" CCACHE_NOHASHDIR=1
# shellcheck disable=SC2086
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=-O1 -DCMAKE_CXX_FLAGS=-O1 -DQV_CUDA=OFF -DQV_BENCH=OFF \
    $launcher >log 2>&1

# Files of a kind, and the tests that answer for them.
kinds="kernels ref cpu statistics"
files() {
    case $1 in
    kernels) ls kernels/bn_*.cu kernels/shake.cu kernels/elementwise.cu kernels/loss.cu kernels/pool.cu kernels/sgd.cu ;;
    ref) echo src/backend/ref/shake.c src/backend/ref/bn.c ;;
    cpu) echo src/backend/cpu/isa/shake.c src/backend/cpu/isa/bn.c src/backend/cpu/isa/bn_grad.c ;;
    statistics) echo src/train/metrics.c ;;
    esac
}
tests() {
    case $1 in
    kernels) echo test_kernels ;;
    ref) echo test_ref test_draws test_properties test_fixtures ;;
    cpu) echo test_ops test_programs ;;
    statistics) echo test_metrics ;;
    esac
}
dies() { # dies KIND: the mutant does not build, or a test fails
    # shellcheck disable=SC2046
    nice ninja -C build -j 2 $(tests "$1") >log 2>&1 || return 0
    for test in $(tests "$1"); do
        program=$(find build/tests -name "$test" -type f)
        (cd "$root" && timeout 300 nice "$copy/$program") >log 2>&1 || return 0
    done
    return 1
}

killed=0 i=0
while [ $i -lt "$count" ]; do
    kind=$(echo $kinds | tr ' ' '\n' | sed -n "$((i % 4 + 1))p")
    # shellcheck disable=SC2046
    what=$(python3 "$root/tests/long/mutants.py" "$((seed * 10007 + i))" $(files "$kind"))
    if dies "$kind"; then
        killed=$((killed + 1))
        echo "killed    $what"
    else
        echo "SURVIVED  $what"
    fi
    for file in $(files "$kind"); do cp "$root/$file" "$file"; done
    i=$((i + 1))
done
echo "$killed of $count mutants killed (seed $seed)"
