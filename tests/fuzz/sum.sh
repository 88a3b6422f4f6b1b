#!/bin/sh
# Adds up what tests/fuzz/run.sh has done, as the table of docs/testing.md.
# usage: tests/fuzz/sum.sh [RUNS]     RUNS: runs.txt of a corpus (default build-fuzz/corpus/runs.txt)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
runs=${1:-$root/build-fuzz/corpus/runs.txt}
echo '| target | searches | seconds | executions | searches that ended in a finding |'
echo '| --- | ---: | ---: | ---: | ---: |'
awk -F '\t' '{ n[$1]++; seconds[$1] += $2; done[$1] += $3; found[$1] += $4 != 0 }
    END { for (t in n) printf "| %s | %d | %d | %d | %d |\n", t, n[t], seconds[t], done[t], found[t] }' "$runs" | sort
