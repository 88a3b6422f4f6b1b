#!/bin/sh
# What eval and predict say of recordings, folders and lists that are not quite what was meant.
# usage: cli_answers.sh path/to/quaver path/to/make_audio
. "$(dirname "$0")/support/cli.sh"

tiny="--features.mels=8 --patch.seconds=0.16 --width 2 --batch 4 --epochs 1 --folds 2 --no-cache -j 1"
expect 0 '' -- corpus synth "$T/synth" --speakers 4 --sentences 1
manifest=$T/synth/manifest.csv
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/run" $tiny
best=$T/run/fold-1/best.safetensors

# ---- a list of labels is no output ----
printf 'anger\nhappiness\nneutral\nsadness\n' >"$T/four.labels"
cp "$T/four.labels" "$T/kept"
grep -e ^file -e ',s0[12],' "$manifest" >"$T/synth/low.csv"
grep -e ^file -e ',s0[34],' "$manifest" >"$T/synth/high.csv"
expect 2 'would take the place of' -- eval -k "$best" -m "$T/synth/low.csv" -m "$T/synth/high.csv" \
    --labels anger,sadness --labels " $T/four.labels" --embeddings "$T/four.labels"
expect 2 'would take the place of' -- \
    eval -k "$best" -m "$manifest" --labels "$T/four.labels" --embeddings "$T/four.labels"
expect 2 'would take the place of' -- \
    corpus import nkululeko "$manifest" --labels "$T/four.labels" --out "$T/four.labels"
check 'a list of labels was overwritten' cmp "$T/four.labels" "$T/kept"
expect 0 '' -- eval -k "$best" -m "$manifest" --labels "$T/four.labels" --embeddings "$T/e.csv" --no-cache

# ---- what a folder holds beside recordings, and a folder without any, is told ----
mkdir -p "$T/mixed/sub" "$T/empty" "$T/plain"
cp "$T/synth/wav/s01_anger_01.wav" "$T/mixed/a.wav"
cp "$T/synth/wav/s01_anger_01.wav" "$T/plain/b.wav"
for name in .hidden sub/x.m4a note.txt; do : >"$T/mixed/$name"; done
expect 0 "$T/mixed: 2 files of other kinds were passed over (note.txt, sub/x.m4a)" -- predict -k "$best" "$T/mixed"
: >"$T/mixed/y.m4a"
: >"$T/mixed/z.m4a"
expect 0 "4 files of other kinds were passed over (note.txt, sub/x.m4a, y.m4a, ...)|no audio file below $T/empty" -- \
    predict -k "$best" "$T/empty" "$T/mixed/"
check 'the folder beside an empty one is not classified' test "$(rows "$T/out")" -eq 2
expect 1 "no audio file below $T/empty" -- predict -k "$best" "$T/empty"
grep -q warning "$T/err" && fail 'an empty folder is told twice'
expect 1 'no audio file below any of them' -- predict -k "$best" "$T/empty" "$T/empty"
expect 0 '' -- predict -k "$best" "$T/plain"
grep -q -e passed -e 'no audio' "$T/err" && fail 'a folder of recordings alone is remarked on'

# ---- frames are no sound ----
make_frames
expect 0 '' -- train --quiet --manifest "$T/npy.csv" --out "$T/npy" --patch.seconds=0.16 --width 2 --batch 2 \
    --epochs 1 --folds 2 --no-cache -j 1
frames=$T/npy/fold-1/best.safetensors
expect 0 '' -- predict -k "$frames" "$T/a.npy"
for words in "--timeline $T/a.npy --out $T/frames.csv" --stream; do
    # shellcheck disable=SC2086 # words
    expect 2 'judges frames; --timeline and --stream need sound' -- predict -k "$frames" $words
done
check 'a file for the decisions about frames' test ! -e "$T/frames.csv" -a ! -s "$T/out"

# ---- who speaks, where nobody says ----
expect 0 '' -- predict -k "$best" "$T/plain" --embeddings "$T/e.csv"
check 'a speaker whom nobody named' test "$(sed -n 2p "$T/e.csv" | cut -d, -f1-3)" = "$T/plain/b.wav,,"
awk -F, -v OFS=, '$2 == "s02" { $2 = "" } 1' "$manifest" >"$T/synth/some.csv"
expect 0 '' -- eval -k "$best" -m "$T/synth/some.csv" --embeddings "$T/e.csv" --no-cache
check 'the speakers of embeddings' test "$(cut -d, -f2 "$T/e.csv" | sort -u | paste -sd, -)" = ,s01,s03,s04,speaker

# ---- parts of one file, channels, and equal names of several lists are told apart; else nothing is added ----
head_is() { check "the columns of $1" test "$(head -n 1 "$1" | cut -d, -f"1-$2")" = "$3"; }
"$make_audio" "$T/two.wav" 16000 2 4
mkdir -p "$T/p" "$T/q"
cp "$T/plain/b.wav" "$T/p/b.wav"
cp "$T/two.wav" "$T/q/b.wav"
printf 'file,start,end,channel\ntwo.wav,,1.5,\ntwo.wav,1.5,,\ntwo.wav,,,2\n' >"$T/parts.csv"
printf 'file\nb.wav\n' | tee "$T/p/p.csv" >"$T/q/q.csv"
expect 0 '' -- predict -k "$best" -m "$T/parts.csv" --embeddings "$T/e.csv"
cut -d, -f1-4 "$T/out" >"$T/names"
printf 'file,start,end,channel\ntwo.wav,,1.5,\ntwo.wav,1.5,,\ntwo.wav,,,2\n' | cmp - "$T/names" ||
    fail 'the parts of a file'
head_is "$T/out" 6 file,start,end,channel,predicted,p_anger
head_is "$T/e.csv" 8 file,start,end,channel,speaker,true,predicted,e1
cut -d, -f1-4 "$T/e.csv" | cmp - "$T/names" || fail 'the parts of a file in embeddings'
expect 0 '' -- predict --json -k "$best" -m "$T/parts.csv"
cut -d, -f1-5 "$T/out" | sed 's/"predicted.*/"predicted"/' >"$T/names"
printf '{"file":"two.wav","start":%s,"end":%s,"channel":%s,"predicted"\n' 0.0 1.5 null 1.5 null null 0.0 null 2 |
    cmp - "$T/names" || fail 'the parts of a file in JSON'
expect 0 '' -- predict -k "$best" -m "$T/p/p.csv" -m "$T/q/q.csv" --embeddings "$T/e.csv"
cut -d, -f1-2 "$T/out" >"$T/names"
printf 'file,corpus\nb.wav,p\nb.wav,q\n' | cmp - "$T/names" || fail 'equal names of two lists'
head_is "$T/out" 4 file,corpus,predicted,p_anger
head_is "$T/e.csv" 6 file,corpus,speaker,true,predicted,e1
expect 0 '' -- predict --json -k "$best" -m "$T/p/p.csv" -m "$T/q/q.csv"
out_has '{"file":"b.wav","corpus":"q","predicted":'
expect 0 '' -- predict -k "$best" -m "$T/p/p.csv"
head_is "$T/out" 3 file,predicted,p_anger
expect 0 '' -- predict --json -k "$best" -m "$T/p/p.csv"
out_has '{"file":"b.wav","predicted":'

# ---- a device that cannot be used is told before the recordings are read ----
for words in "eval -k $best -m $manifest" "predict -k $best $T/synth/wav"; do
    checks=$((checks + 1))
    # shellcheck disable=SC2086 # words
    if "$quaver" $words --device cuda >"$T/out" 2>"$T/err"; then
        echo 'SKIPPED: this machine has a GPU that can be used' >&2
    else
        grep -q features "$T/err" && fail 'recordings were read for a device that cannot be used'
    fi
done

finish
