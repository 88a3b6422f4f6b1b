#!/bin/sh
# Puts what searches have found worth keeping into the tree: tests/fuzz/corpora/TARGET.tar.xz, from which the next search and
# the replay of ctest begin, and the lines of runs.txt. Equal corpora give equal archives.
# usage: tests/fuzz/keep.sh [CORPUS]     of run.sh (default build-fuzz/corpus)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
corpus=${1:-$here/../../build-fuzz/corpus}
mkdir -p "$here/corpora"
for folder in "$corpus"/*/; do
    target=$(basename "$folder")
    [ -f "$here/fuzz_$target.c" ] || continue
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0644 -C "$folder" -cf - . |
        xz -9e -T1 >"$here/corpora/$target.tar.xz"
    echo "$target: $(find "$folder" -type f | wc -l) inputs, $(wc -c <"$here/corpora/$target.tar.xz") bytes"
done
[ ! -f "$corpus/runs.txt" ] || { cat "$corpus/runs.txt" >>"$here/corpora/runs.txt"; rm "$corpus/runs.txt"; }
