#!/bin/sh
# How the batch norm's kernels access memory when activations are bf16 and move in 16 bytes: counts of load and store
# instructions by width in the machine code, one line a kernel. Fails where one uses local memory or moves no vector.
# usage: tests/long/sass.sh [ARCHITECTURE]     (90); needs nvcc, and cuobjdump and nvdisasm in PATH
root=$(cd "$(dirname "$0")/../.." && pwd)
architecture=${1:-90}
PATH=$PATH:/usr/local/cuda/bin
for tool in nvcc cuobjdump nvdisasm c++filt; do
    command -v $tool >/dev/null || { echo "sass.sh: no $tool" >&2; exit 1; }
done
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
for name in bn_apply bn_grad; do
    nvcc -arch="sm_$architecture" -std=c++17 -O3 -I"$root" -I"$root/src" -I"$root/include" -cubin -o "$out/$name.cubin" \
        "$root/kernels/$name.cu" && cuobjdump -sass "$out/$name.cubin" >>"$out/sass" || exit 1
done
c++filt <"$out/sass" | sed 's/(anonymous namespace):://g' | awk '
    function report() {
        if (name !~ /<qv_bf16, 8,/) return
        printf "%-36s loads: 128 bit %2d, others %2d; stores: 128 bit %2d, others %2d; local: %d\n", name, wide["LDG"],
            narrow["LDG"], wide["STG"], narrow["STG"], local
        kernels++
        if (local || !wide["LDG"] || !wide["STG"]) bad = 1
    }
    /Function : / {
        report()
        name = $0
        sub(/.*Function : (void )?/, "", name)
        sub(/\(.*/, "", name)
        delete wide
        delete narrow
        local = 0
        next
    }
    match($0, /(LDG|STG|LDL|STL)[.A-Z0-9]* /) {
        kind = substr($0, RSTART, 3)
        if (kind ~ /L$/)
            local++
        else if (substr($0, RSTART, RLENGTH) ~ /\.128/)
            wide[kind]++
        else
            narrow[kind]++
    }
    END { report(); exit bad || !kernels }'
