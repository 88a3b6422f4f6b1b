#!/bin/sh
# Runs a program of the emulation under several orders of its threads: SIMT_SEEDS, or 0
# (ascending), 1 (descending) and four random ones, or with SIMT_ORDERS=few 0 and a random
# one; on odd seeds but 1 streams run late.
test $# -ge 1 || { echo "usage: seeds.sh PROGRAM [ARGUMENT...]" >&2; exit 2; }
orders="0 1" bytes=8
test "${SIMT_ORDERS:-all}" = few && orders=0 bytes=2
for seed in ${SIMT_SEEDS:-$orders $(od -An -N$bytes -tu2 /dev/urandom)}; do
    defer=0
    test "$seed" -gt 1 && defer=$((seed % 2))
    SIMT_SEED=$seed SIMT_DEFER=$defer "$@"
    status=$?
    if test $status -ne 0; then
        echo "failed with status $status; again: SIMT_SEED=$seed SIMT_DEFER=$defer $*" >&2
        exit $status
    fi
done
