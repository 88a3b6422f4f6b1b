#!/bin/sh
# Shared memory and launches are written through kernels/qv_simt.h alone: found anywhere else
# they would compile under nvcc and escape the emulation.
cd "$1" || exit 2
test -f kernels/qv_simt.h || { echo "kernels/qv_simt.h is missing" >&2; exit 2; }
found=$(grep -nE '__shared__|<<<' kernels/*.cu kernels/*.cuh kernels/*.h | grep -v '^kernels/qv_simt\.h:')
test -z "$found" && exit 0
echo "use QV_SHARED, QV_DYN_SHARED, QV_LAUNCH and QV_LAUNCH_SHARED of kernels/qv_simt.h:" >&2
echo "$found" >&2
exit 1
