#!/bin/sh
# tests/kernels/ptxas.sh for every architecture that the kernels are meant for: no warnings, no local memory.
# usage: tests/long/ptxas.sh [ARCHITECTURE...]     (80 90 100 120)
root=$(cd "$(dirname "$0")/../.." && pwd)
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || { echo "ptxas.sh: no nvcc" >&2; exit 1; }
status=0
for architecture in ${*:-80 90 100 120}; do
    sh "$root/tests/kernels/ptxas.sh" "$root" "$nvcc" "$architecture" || status=1
done
exit $status
