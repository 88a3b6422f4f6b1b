#!/bin/sh
# Adds up what tests/fuzz/run.sh has done, as the table of docs/testing.md.
# usage: tests/fuzz/sum.sh [RUNS...]     RUNS: runs.txt (default that of corpora, and of build-fuzz/corpus if there is one)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# -eq 0 ]; then
    for runs in "$root/tests/fuzz/corpora/runs.txt" "$root/build-fuzz/corpus/runs.txt"; do
        [ ! -f "$runs" ] || set -- "$@" "$runs"
    done
fi
echo '| target | searches | seconds | executions | searches that ended in a finding |'
echo '| --- | ---: | ---: | ---: | ---: |'
awk -F '\t' '{ n[$1]++; seconds[$1] += $2; done[$1] += $3; found[$1] += $4 != 0 }
    END { for (t in n) printf "| %s | %d | %d | %d | %d |\n", t, n[t], seconds[t], done[t], found[t] }' "$@" | sort
