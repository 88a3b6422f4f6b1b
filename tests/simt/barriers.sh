#!/bin/sh
# Is every barrier of the kernels needed, and seen to be? Takes each away in turn, at run time
# (SIMT_DROP), and runs PROGRAM, the race build of the kernels' tests, which must fail.
# Run from the root of the project; tests/long/barriers.sh does the same to the source.
test -x "$1" || { echo "usage: barriers.sh PROGRAM [ARGUMENT...]" >&2; exit 2; }
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT

# Descending: a race is one in any order, and the tests run more in the first.
if ! SIMT_SEED=1 SIMT_DEFER=0 "$@" >"$log" 2>&1; then
    cat "$log" >&2
    echo "fails with all barriers in place" >&2
    exit 1
fi
barriers=$(grep -nE '\b__(sync(threads|warp)[a-z_]*|threadfence) *\(' kernels/*.cu kernels/*.cuh |
    grep -vE '^[^:]*:[0-9]*: *(/\*|\*|//)' | cut -d: -f1,2)
test -n "$barriers" || { echo "no barrier found in kernels/" >&2; exit 1; }

survived=0
for barrier in $barriers; do
    if SIMT_SEED=1 SIMT_DEFER=0 SIMT_DROP=$barrier "$@" >"$log" 2>&1; then
        echo "$barrier: NOT MISSED by $(basename "$1")"
        survived=$((survived + 1))
    elif seen=$(grep -m 1 -E '^simt: |^race on |FAILED|ERROR' "$log"); then
        echo "$barrier: caught, $seen"
    else
        tail -n 5 "$log" >&2
        echo "$barrier: $(basename "$1") ends without a word of what it has seen"
        survived=$((survived + 1))
    fi
done
echo "$(echo "$barriers" | wc -l) barriers, $survived not missed"
test $survived -eq 0
