#!/bin/sh
# `--device cuda` from outside, on the emulation of a GPU: train, resume, eval, predict, doctor, refusals.
# usage: cli.sh path/to/quaver_simt path/to/quaver
set -u
simt=$1
plain=$2
LC_ALL=C
export LC_ALL
T=$(mktemp -d "${TMPDIR:-/tmp}/quaver-cuda-XXXXXX") || exit 1
XDG_CACHE_HOME=$T/cache
export XDG_CACHE_HOME
trap 'rm -rf "$T"' EXIT
failures=0

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$*" >&2
    sed 's/^/    /' "$T/err" "$T/out" | tail -n 8 >&2
}

# expect CODE TEXT PROGRAM ARGUMENTS...: that exit code, and the text in what it says.
expect() {
    code=$1 text=$2
    shift 2
    "$@" >"$T/out" 2>"$T/err" </dev/null
    got=$?
    [ "$got" -eq "$code" ] || fail "exit code $got, not $code: $*"
    grep -qF -e "$text" "$T/out" "$T/err" || fail "no \"$text\" from: $*"
}

same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

tiny="--features.mels=8 --patch.seconds=0.16 --width 2 --batch 4 --epochs 6 --eval.every=1 -j 1"
expect 0 '' "$plain" corpus synth "$T/synth" --speakers 3 --sentences 1
manifest=$T/synth/manifest.csv
run() { # run OUT ARGUMENTS...
    out=$1
    shift
    expect 0 'UA' "$simt" train --manifest "$manifest" --out "$T/$out" $tiny --device cuda "$@"
}

long='--epochs 80' # for what is to be interrupted
run whole $long
grep -q '"device": *"cuda"' "$T/whole/summary.json" || fail 'the summary does not say cuda'
grep -q '"libraries": *"SIMT emulation, plain loops, libsndfile' "$T/whole/summary.json" || fail 'the summary does not say what ran'
best=$(cd "$T/whole" && find . -name best.safetensors)
last=${best%best.safetensors}last.safetensors

# Interrupted as soon as there is something to go on from.
"$simt" train --manifest "$manifest" --out "$T/half" $tiny $long --device cuda >"$T/out" 2>"$T/err" &
child=$!
tries=0
while [ ! -e "$T/half/$last" ] && [ $tries -lt 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
[ -e "$T/half/$last" ] || fail 'the training that is to be interrupted did not start'
kill -INT $child 2>/dev/null
wait $child
got=$?
[ $got -eq 130 ] || fail "exit code $got, not 130: the training was not interrupted"
expect 0 'UA' "$simt" train --resume --out "$T/half"
same "$T/whole/$best" "$T/half/$best"

# The weights go from device to device.
for device in cuda cuda:0 cuda:GPU-0001 cpu; do
    expect 0 'UA' "$simt" eval --checkpoint "$T/whole/$best" --manifest "$manifest" --device $device -j 1
    grep -v warning "$T/out" >"$T/eval-$device"
    same "$T/eval-cuda" "$T/eval-$device"
done
wav=$(find "$T/synth" -name '*.wav' | sort | head -n 1)
expect 0 '' "$simt" predict --checkpoint "$T/whole/$best" --device cuda "$wav"
expect 0 'UA' "$simt" train --manifest "$manifest" --out "$T/cpu" $tiny
expect 0 'UA' "$simt" eval --checkpoint "$T/cpu/$best" --manifest "$manifest" --device cuda

# A device is chosen by name, and refused by name.
run named --device cuda:0
expect 1 'there is only cuda:0, SIMT emulation' "$simt" train --manifest "$manifest" --out "$T/no" $tiny --device cuda:7
expect 1 'there is only cuda:0, SIMT emulation' "$simt" train --manifest "$manifest" --out "$T/no" $tiny --device cuda:GPU-ff
expect 2 'run.precision = bf16 needs run.device = cuda' "$simt" train --manifest "$manifest" --out "$T/no" $tiny --precision bf16
expect 2 'one of fp32, tf32, bf16' "$simt" train --manifest "$manifest" --out "$T/no" $tiny --precision fp16
expect 2 'one of cpu, ref, ref32, cuda' "$simt" train --manifest "$manifest" --out "$T/no" $tiny --device cudaX
expect 0 'can be used: SIMT emulation' "$simt" doctor

# Trainings of a study share the GPU, and what each gives does not depend on how many there are.
. "$(dirname "$0")/../support/study.sh"
put_study "$T/study.ini" "embedded = 3 1" speaker 2
expect 0 '4 at a time, a thread each' "$simt" study "$T/study.ini" --out "$T/together" --no-cache --device cuda
expect 0 '1 at a time, a thread each' "$simt" study "$T/study.ini" --out "$T/alone" --no-cache --device cuda:0 -j 1
(cd "$T/together/records" && find . -type f | sort) >"$T/list"
[ "$(wc -l <"$T/list")" -eq 6 ] || fail "$(wc -l <"$T/list") records, not 6"
while read -r record; do
    head -n 1 "$T/together/records/$record" >"$T/one"
    head -n 1 "$T/alone/records/$record" >"$T/other"
    same "$T/one" "$T/other"
    grep -q '"device":"cuda"' "$T/alone/records/$record" || fail "$record does not say cuda"
    grep -q 'SIMT emulation' "$T/alone/records/$record" || fail "$record does not say what ran"
done <"$T/list"
expect 0 '6 were there already' "$simt" study merge "$T/together" "$T/alone" --out "$T/joined"
expect 2 'begun with another study' "$simt" study "$T/study.ini" --out "$T/alone" --no-cache -j 1
expect 1 'there is only cuda:0' "$simt" study "$T/study.ini" --out "$T/no" --no-cache --device cuda:3
expect 2 'one of cpu, ref, ref32, cuda' "$simt" study "$T/study.ini" --out "$T/no" --device cudaX
expect 2 'run.precision = bf16 needs run.device = cuda' "$simt" study "$T/study.ini" --out "$T/no" --no-cache --precision bf16
expect 0 '4 at a time: at most about' "$simt" study "$T/study.ini" --out "$T/no" --no-cache --device cuda --precision bf16 --dry-run

# A GPU that does nothing more after an error: what it struck is named, what comes after is left to another process.
ops="--device cuda --small --seed 1 --only relu,pool,unit"
expect 1 'pool: the GPU does nothing more' env SIMT_PLANT=lost:average "$simt" selftest $ops -v
[ "$(grep -c -x -e 'op relu: begun' -e 'op relu: [0-9]* cases, 0 outside' -e 'op pool: begun' "$T/err")" -eq 3 ] || fail 'what began is not said'
grep -q 'op unit' "$T/err" && fail 'it went on with a GPU that is lost'
grep -q '^pool .*OUTSIDE' "$T/out" || fail 'what the error struck is no row'
expect 0 '2 of 2 within bounds' "$simt" selftest $ops --skip pool
expect 1 '"stopped": "pool: the GPU' env SIMT_PLANT=lost:average "$simt" selftest $ops --json

# The program of this build has no GPU, or does not know what one is: it works, and says so.
if ! "$plain" doctor | grep -q ' can be used: '; then
    expect 1 '--device cpu' "$plain" train --manifest "$manifest" --out "$T/no" $tiny --device cuda
fi
[ $failures -eq 0 ] || exit 1
echo "all good"
