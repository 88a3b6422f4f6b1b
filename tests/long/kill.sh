#!/bin/sh
# Kills a small training (SIGKILL) N times at random moments, goes on with --resume each time, and compares what it ends
# with, bit for bit, with a training that was never killed. Whole trainings follow each other until N kills are done.
# usage: tests/long/kill.sh N [QUAVER]     QV_SEED: of the moments (1)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -ge 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
kills=$1
quaver=${2:-$root/build/quaver}
seed=${QV_SEED:-1}
T=$(mktemp -d "${TMPDIR:-/tmp}/quaver-kill-XXXXXX")
trap 'rm -rf "$T"' EXIT
die() { echo "kill.sh: $* (QV_SEED=$seed)" >&2; exit 1; }
now() { date +%s%N; }

arguments="--folds 2 --cache $T/cache --features.mels=8 --patch.seconds=0.16 --width 8 --batch 4 --epochs 40 --eval.every=2 \
    --split.val_speakers=1 --eval.epoch=best -j 1"
"$quaver" corpus synth -q "$T/corpus" --speakers 6 --sentences 1
begin=$(now)
# shellcheck disable=SC2086
"$quaver" train -q --manifest "$T/corpus/manifest.csv" --out "$T/whole" $arguments >/dev/null
lasted=$(($(now) - begin))
rows() { cut -d, -f1-3,5-11 "$1/results.csv"; } # without what a clock says

one_process() { # one_process SECONDS: 0 finished, 137 killed
    if [ -e "$T/run/config.ini" ]; then
        "$quaver" train -q --resume --out "$T/run" --cache "$T/cache" >"$T/out" 2>"$T/err" &
    else
        # shellcheck disable=SC2086
        "$quaver" train -q --manifest "$T/corpus/manifest.csv" --out "$T/run" $arguments >"$T/out" 2>"$T/err" &
    fi
    pid=$!
    sleep "$1"
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null
}

compare() {
    for file in predictions.csv config.ini fold-1/best.safetensors fold-1/last.safetensors fold-2/best.safetensors \
        fold-2/last.safetensors; do
        cmp -s "$T/whole/$file" "$T/run/$file" || die "$file is another after $done_here kills"
    done
    rows "$T/whole" >"$T/a"
    rows "$T/run" >"$T/b"
    cmp -s "$T/a" "$T/b" || die "results.csv is another after $done_here kills"
    [ -z "$(find "$T/run" -name '*.tmp-*')" ] || die "something half written stays: $(find "$T/run" -name '*.tmp-*')"
}

total=0 trainings=0
while [ "$total" -lt "$kills" ]; do
    rm -rf "$T/run"
    done_here=0
    trainings=$((trainings + 1))
    while :; do
        # Up to 0.6 of a whole training; after the last kill it is let through.
        pause=$(awk -v s="$seed" -v i="$((total + trainings))" -v ns="$lasted" \
            'BEGIN { srand(s * 100003 + i); printf "%.4f", rand() * 0.6 * ns / 1e9 }')
        if [ "$total" -ge "$kills" ]; then
            "$quaver" train -q --resume --out "$T/run" --cache "$T/cache" >"$T/out" 2>"$T/err" && break
            code=$?
            [ -e "$T/run/config.ini" ] || { rm -rf "$T/run"; break; }
            die "exit code $code: $(cat "$T/err")"
        fi
        code=0
        one_process "$pause" || code=$?
        case $code in
        0) break ;;
        137) total=$((total + 1)) done_here=$((done_here + 1)) ;;
        *) die "exit code $code after $done_here kills: $(cat "$T/err")" ;;
        esac
    done
    [ ! -e "$T/run/config.ini" ] || compare
done
echo "$total kills in $trainings trainings: every one ended with the same bits"
