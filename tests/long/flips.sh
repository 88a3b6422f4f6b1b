#!/bin/sh
# Flips a few random bits, N times, in files that the program wrote itself: a checkpoint, recordings of several formats, a
# feature cache, the records of a run and of a study, a manifest. The command that reads the file must say what is wrong
# (exit code 1 or 2 and a message) or end well; damage in a feature cache must change no result.
# usage: tests/long/flips.sh [N [QUAVER MAKE_AUDIO]]     N: 400; the programs: of build-address (sanitize.sh address), so that
#                                                        reads beyond an end are seen; QV_SEED: of the bits (1)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
count=${1:-400} quaver=${2:-$root/build-address/quaver} make_audio=${3:-$root/build-address/tests/make_audio}
seed=${QV_SEED:-1}
command -v python3 >/dev/null || { echo 'SKIPPED: no python3 to flip bits with' >&2; exit 77; }
T=$(mktemp -d "${TMPDIR:-/tmp}/quaver-flips-XXXXXX")
trap 'rm -rf "$T"' EXIT
kept=${TMPDIR:-/tmp}/quaver-flip-$seed
# libsndfile does not give back what it had taken when an Ogg file turns out to be damaged.
echo leak:vorbis_info_init >"$T/leaks"
LSAN_OPTIONS=suppressions=$T/leaks:print_suppressions=0
ASAN_OPTIONS=exitcode=99:allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS
LC_ALL=C
export LC_ALL

# flip FILE NUMBER: half of the time near the beginning, where headers are.
flip() {
    python3 - "$1" "$2" <<'TEXT'
import random, sys
choice = random.Random(int(sys.argv[2]))
data = bytearray(open(sys.argv[1], "rb").read())
end = min(len(data), 2048) if choice.random() < 0.5 else len(data)
for _ in range(choice.choice((1, 1, 2, 8))):
    data[choice.randrange(end)] ^= 1 << choice.randrange(8)
open(sys.argv[1], "wb").write(data)
TEXT
}
broken=0 refused=0 taken=0
# try FILE COMMAND...: what the command says of the file as it is now.
try() {
    what=$1
    shift
    code=0
    timeout 600 "$quaver" "$@" >"$T/out" 2>"$T/err" </dev/null || code=$?
    case $code in
    0) taken=$((taken + 1)) ;;
    1 | 2)
        refused=$((refused + 1))
        grep -q '^quaver' "$T/err" || code=-1
        ;;
    esac
    case $code in
    0 | 1 | 2) ;;
    *)
        broken=$((broken + 1))
        cp "$what" "$kept-$i"
        echo "code $code, kept as $kept-$i: quaver $*" >&2
        tail -n 30 "$T/err" >&2
        ;;
    esac
}

settings="--features.mels=8 --patch.seconds=0.16 --width 2 --batch 4 --epochs 2 --eval.every=1 -j 1"
"$quaver" corpus synth -q "$T/corpus" --speakers 4 --sentences 1
manifest=$T/corpus/manifest.csv
train() { # train RUN CACHE
    # shellcheck disable=SC2086
    "$quaver" train -q --manifest "$manifest" --out "$1" --folds 2 --cache "$2" $settings >/dev/null
}
train "$T/whole" "$T/cache"
. "$root/tests/support/study.sh"
put_study "$T/study.ini" "manifest = $manifest" 2 2
"$quaver" study "$T/study.ini" --out "$T/study" --cache "$T/cache" --quiet >/dev/null
mkdir "$T/audio"
for name in a.wav b.24.wav c.f.wav d.flac e.ogg f.aiff g.au h.mp3; do
    "$make_audio" "$T/audio/$name" 16000 2 1 || rm -f "$T/audio/$name"
done
best=$T/whole/fold-1/best.safetensors
some() { # some FOLDER: one of its files
    find "$1" -type f ! -name .lock ! -name '*.html' | sort | awk -v n="$i" '{ line[NR] = $0 } END { print line[n * 7919 % NR + 1] }'
}

i=0
while [ "$i" -lt "$count" ]; do
    rm -rf "$T/now"
    mkdir "$T/now"
    random=$((seed * 100003 + i))
    case $((i % 9)) in
    0 | 1)
        file=$T/now/model.safetensors
        cp "$best" "$file"
        flip "$file" $random
        try "$file" predict --checkpoint "$file" "$T/corpus/wav/s01_anger_01.wav"
        ;;
    2 | 3)
        file=$T/now/$(basename "$(some "$T/audio")")
        cp "$T/audio/$(basename "$file")" "$file"
        flip "$file" $random
        try "$file" predict --checkpoint "$best" "$file"
        ;;
    4)
        cp -r "$T/cache" "$T/now/cache"
        file=$(some "$T/now/cache")
        flip "$file" $random
        # shellcheck disable=SC2086
        try "$file" train -q --manifest "$manifest" --out "$T/now/run" --folds 2 --cache "$T/now/cache" $settings
        cmp -s "$T/whole/predictions.csv" "$T/now/run/predictions.csv" || {
            broken=$((broken + 1))
            cp "$file" "$kept-$i"
            echo "kept as $kept-$i: a damaged cache changed the result" >&2
        }
        ;;
    5)
        cp -r "$T/whole" "$T/now/run"
        file=$(some "$T/now/run")
        flip "$file" $random
        try "$file" report "$T/now/run"
        ;;
    6)
        cp -r "$T/whole" "$T/now/run"
        rm -r "$T/now/run/summary.json" "$T/now/run/fold-2"
        file=$(some "$T/now/run")
        flip "$file" $random
        try "$file" train -q --resume --out "$T/now/run" --cache "$T/cache"
        ;;
    7)
        cp -r "$T/study" "$T/now/study"
        file=$(some "$T/now/study")
        flip "$file" $random
        try "$file" study report "$T/now/study"
        ;;
    8)
        cp -r "$T/corpus" "$T/now/corpus"
        file=$T/now/corpus/manifest.csv
        flip "$file" $random
        try "$file" eval --checkpoint "$best" --manifest "$file"
        ;;
    esac
    i=$((i + 1))
done
echo "$count files with flipped bits (seed $seed): $refused refused with a message, $taken taken, $broken answered otherwise"
[ "$broken" -eq 0 ]
