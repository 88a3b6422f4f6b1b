#!/bin/sh
# The records of docs/studies: of the study files that data/studies holds, whole, and enough for their pages; and the
# study file that docs/study.md shows: it can be run as it stands there.
# usage: studies.sh path/to/source path/to/quaver
set -eu
root=$1 quaver=$2
T=$(mktemp -d "${TMPDIR:-/tmp}/quaver-studies-XXXXXX")
trap 'rm -rf "$T"' EXIT
for folder in "$root"/docs/studies/*/; do
    name=$(basename "$folder")
    cmp "$folder/study.ini" "$root/data/studies/$name.ini" || { echo "$name: not the study file that it was begun with"; exit 1; }
    cp -r "$folder" "$T/$name"
    "$quaver" study report "$T/$name" >"$T/out" 2>&1 || { cat "$T/out"; exit 1; }
    done=$(find "$T/$name/records" -name '*.jsonl' | wc -l)
    [ "$done" -gt 0 ] || { echo "$name: no records"; exit 1; }
    echo "$name: $done records, $(wc -l <"$T/$name/report.csv") lines in report.csv"
done
awk '/^```ini/ { inside = 1; next } /^```/ { inside = 0 } inside' "$root/docs/study.md" >"$T/shown.ini"
cd "$T"
"$quaver" corpus synth synth --speakers 8 --sentences 2 -q
"$quaver" study shown.ini --manifest synth/manifest.csv --out shown --no-cache --dry-run >out 2>&1 || { cat out; exit 1; }
grep 'preact-bn shaken' out
