#!/bin/sh
# Speaker statistics, streams and timelines from outside.
# usage: cli_voices.sh path/to/quaver path/to/make_audio
. "$(dirname "$0")/support/cli.sh"

tiny="--features.mels=8 --patch.seconds=0.16 --width 2 --batch 4 --epochs 3 --no-cache -j 1"
expect 0 '' -- corpus synth "$T/synth" --speakers 4 --sentences 3
manifest=$T/synth/manifest.csv
wavs=$(find "$T/synth/wav" -name 's01_*.wav' | sort)
one=$(printf '%s\n' "$wavs" | head -n 1)
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/corpus" $tiny
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/speaker" --normalize speaker $tiny
awk -F, -v OFS=, 'NR > 1 { $2 = "" } 1' "$manifest" >"$T/synth/nobody.csv"
for words in '--normalize speaker' --augment.voices=0.5; do
    # shellcheck disable=SC2086
    expect 2 'is about voices, but|nobody.csv does not say who speaks everywhere' -- \
        train --quiet --manifest "$T/synth/nobody.csv" --split random --out "$T/nobody" $words $tiny
done
expect 0 '' -- train --quiet --manifest "$T/synth/nobody.csv" --split random --out "$T/nobody" $tiny
check 'a summary that counts nobody as a speaker' grep -q 'Who speaks is not known of 48 recordings' "$T/nobody/summary.json"
# Who is in no fold need not be known.
awk -F, -v OFS=, '$2 == "s04" { $2 = "" } 1' "$manifest" >"$T/synth/guest.csv"
printf 'one: s01\ntwo: s02 s03\n' >"$T/three.folds"
expect 0 'in no fold' -- train --manifest "$T/synth/guest.csv" --folds "$T/three.folds" --out "$T/guest" --normalize speaker $tiny
plain=$T/corpus/best.safetensors voice=$T/speaker/best.safetensors

# ---- a voice's statistics ----
expect 2 '--speaker ID|--speaker-stats FILE|quaver stats' -- predict --checkpoint "$voice" "$one"
expect 2 'of the voice there are only|--speaker-stats FILE' -- predict --checkpoint "$voice" --speaker s01 "$one"
expect 2 '--out' -- stats --checkpoint "$voice" --speaker s01 "$one"
expect 2 'only|at least 10 s' -- stats --checkpoint "$voice" --speaker s01 --out "$T/s01.stats" "$one"
check 'statistics of too little' test ! -e "$T/s01.stats"
expect 2 'not by speaker' -- stats --checkpoint "$plain" --speaker s01 --out "$T/s01.stats" "$one"
expect 2 'no recording of a speaker nobody' -- stats -k "$voice" -s nobody -o "$T/s01.stats" --manifest "$manifest"
expect 0 '' -- stats -k "$voice" -s s01 -o "$T/s01.stats" --manifest "$manifest"
out_has 'speaker s01'
# shellcheck disable=SC2086 # names without spaces
expect 0 '' -- stats -k "$voice" -s s01 -o "$T/files.stats" $wavs
check 'the same recordings give other statistics' cmp "$T/s01.stats" "$T/files.stats"
# Of several corpora the statistics are over all recordings, not over those of the first.
first=$(printf '%s\n' "$wavs" | sed -n 1,8p) second=$(printf '%s\n' "$wavs" | sed -n '9,$p')
{ echo file; printf '%s\n' "$first"; } >"$T/first.csv"
{ echo file; printf '%s\n' "$second"; } >"$T/second.csv"
# shellcheck disable=SC2086
{ echo file,corpus; printf '%s,first\n' $first; printf '%s,second\n' $second; } >"$T/both.csv"
expect 0 '' -- stats -k "$voice" -s s01 -o "$T/several.stats" --manifest "$T/first.csv" --manifest "$T/second.csv"
check 'two lists give other statistics than their recordings' cmp "$T/several.stats" "$T/files.stats"
expect 0 '' -- stats -k "$voice" -s s01 -o "$T/several.stats" --manifest "$T/both.csv"
check 'two corpora of one list give other statistics than their recordings' cmp "$T/several.stats" "$T/files.stats"
# shellcheck disable=SC2086
expect 0 '' -- predict --checkpoint "$voice" --speaker s01 $wavs
cp "$T/out" "$T/together"
# shellcheck disable=SC2086
expect 0 '' -- predict --checkpoint "$voice" --speaker-stats "$T/s01.stats" $wavs
check 'statistics from the file give other probabilities' cmp "$T/together" "$T/out"
expect 0 '' -- predict --checkpoint "$voice" --speaker-stats "$T/s01.stats" "$one"
check 'a recording alone is judged otherwise' test "$(tail -n 1 "$T/out")" = "$(sed -n 2p "$T/together")"
# Of a list that says who speaks, only the voice; the recordings of others are not its own.
expect 0 '' -- predict --checkpoint "$voice" --speaker s01 --manifest "$manifest"
check 'the voice of a list is judged otherwise' test "$(cut -d, -f2- "$T/out")" = "$(cut -d, -f2- "$T/together")"
# Statistics are of one voice, whoever a list says speaks.
expect 0 '36 of 48 recordings are, by|manifest.csv, of other speakers than s01, whose statistics|--speaker s01' -- \
    predict --checkpoint "$voice" --speaker-stats "$T/s01.stats" --manifest "$manifest"
for words in "--manifest $manifest --speaker s01" "--manifest $T/synth/nobody.csv" "--manifest $T/both.csv"; do
    # shellcheck disable=SC2086 # words
    expect 0 '' -- predict --checkpoint "$voice" --speaker-stats "$T/s01.stats" $words
    grep -q 'other speakers' "$T/err" && fail "a warning of other speakers: $words"
done
expect 2 'no recording of a speaker nobody' -- predict --checkpoint "$voice" --speaker nobody --manifest "$manifest"
expect 2 'does not normalize by speaker: --speaker has no place' -- predict --checkpoint "$plain" --speaker s01 "$one"
sed '/s01_.*_0[23]/d' "$manifest" >"$T/synth/short.csv"
expect 0 'Of 1 speakers there are fewer than 10 s' -- \
    train --manifest "$T/synth/short.csv" --out "$T/short" --normalize speaker $tiny
expect 2 's01 there are only' -- eval --checkpoint "$voice" --manifest "$T/synth/short.csv"
expect 0 '' -- eval --checkpoint "$voice" --manifest "$T/synth/short.csv" --speakers s02,s03
# Recordings of a list are no outputs, whosever they are.
another=$T/synth/wav/s02_anger_01.wav
cp "$another" "$T/kept.wav"
expect 2 'is needed here' -- eval -k "$plain" -m "$manifest" --speakers s01 --embeddings "$another"
expect 2 'is needed here' -- predict -k "$voice" -m "$manifest" --speaker s01 --out "$another"
expect 2 'is needed here' -- stats -k "$voice" -m "$manifest" -s s01 -o "$another"
check 'a recording was overwritten' cmp "$another" "$T/kept.wav"
expect 2 's01, not of s02' -- predict --checkpoint "$voice" --speaker s02 --speaker-stats "$T/s01.stats" "$one"
expect 2 'does not normalize by speaker' -- predict --checkpoint "$plain" --speaker-stats "$T/s01.stats" "$one"
expect 1 'no statistics of a speaker' -- predict --checkpoint "$voice" --speaker-stats "$plain" "$one"
sed 's/mels 8/mels 9/' "$T/s01.stats" >"$T/other.stats"
expect 1 'other features' -- predict --checkpoint "$voice" --speaker-stats "$T/other.stats" "$one"
head -c 60 "$T/s01.stats" >"$T/cut.stats"
expect 1 'cut.stats' -- predict --checkpoint "$voice" --speaker-stats "$T/cut.stats" "$one"

# ---- a stream says what a timeline of the same samples says ----
"$make_audio" "$T/long.wav" 16000 1 9.5
"$make_audio" "$T/two.wav" 44100 2 5
expect 0 '' -- predict --checkpoint "$plain" --timeline "$T/long.wav" --svg "$T/long.svg"
check 'a decision a second' test "$(rows "$T/out")" -eq 11
check 'the last one is about the end' test "$(tail -n 1 "$T/out" | cut -d, -f2,3)" = 5.50,9.50
cut -d, -f2- "$T/out" >"$T/timeline"
checks=$((checks + 1))
tail -c +45 "$T/long.wav" | "$quaver" predict --checkpoint "$plain" --stream >"$T/stream" 2>"$T/err" || fail 'a stream'
check 'stream and timeline differ' cmp "$T/timeline" "$T/stream"
grep -q '<svg xmlns' "$T/long.svg" || fail 'no picture'
# The last decision is of half a second, where the axis from 50 to 720 has 9.5.
check 'decisions stand at other times in the picture' grep -q 'H684.74' "$T/long.svg"
# A name that is no text is written as far as it is one, but not into JSON.
bytes=$T/$(printf 'caf\351.wav')
cp "$one" "$bytes"
expect 0 '' -- predict --checkpoint "$plain" --timeline "$bytes" --svg "$T/bytes.svg"
grep -q "<title>caf$(printf '\357\277\275').wav</title>" "$T/bytes.svg" || fail 'a picture that is no text'
expect 1 'left out|its name is not UTF-8|1 of 2 recordings' -- \
    predict --json --checkpoint "$plain" --timeline "$bytes" "$one"
check 'a name that is no text takes another timeline along' test -s "$T/out"
expect 1 'left out|nowhere.wav|1 of 2 recordings' -- \
    predict --checkpoint "$plain" --timeline "$T/nowhere.wav" "$one" -o "$T/here.csv"
check 'a recording that is not there takes another timeline along' test "$(rows "$T/here.csv")" -gt 0
checks=$((checks + 1))
tail -c +45 "$T/two.wav" | "$quaver" predict --checkpoint "$plain" --stream --rate 44100 --channels 2 --span 2 --step 0.5 \
    --format jsonl >"$T/stream" 2>"$T/err" || fail 'a stream of two channels'
check 'ten decisions' test "$(rows "$T/stream")" -eq 10
checks=$((checks + 1))
{ head -c 64000 /dev/zero; printf x; } | "$quaver" predict --checkpoint "$plain" --stream >"$T/out" 2>"$T/err" || fail 'silence'
check 'silence is no emotion' test "$(tail -n 1 "$T/out")" = 0.00,2.00,,,,,,
grep -q 'inside a sample' "$T/err" || fail 'half a sample is not told'
checks=$((checks + 1))
printf '\000\000\300\177' | "$quaver" predict --checkpoint "$plain" --stream --encoding f32 >"$T/out" 2>"$T/err"
[ $? -eq 1 ] && grep -q 'nan' "$T/err" || fail 'NaN in a stream'
# Lines come as soon as they are known, not when a buffer is full.
mkfifo "$T/pipe"
"$quaver" predict --checkpoint "$plain" --stream <"$T/pipe" >"$T/live" 2>"$T/err" &
pid=$!
exec 3>"$T/pipe"
tail -c +45 "$T/long.wav" | head -c 80000 >&3
tries=0
until [ "$(rows "$T/live")" -ge 3 ] || [ $tries -ge 300 ]; do sleep 0.1; tries=$((tries + 1)); done
check 'no line before the end of the stream' test "$(rows "$T/live")" -eq 3
kill -s INT $pid
wait $pid
[ $? -eq 130 ] || fail 'a stream that waits does not end by SIGINT'
exec 3>&-
expect 2 '--channels 1.5: a whole number' -- predict --checkpoint "$plain" --stream --channels 1.5
expect 2 'expected s16' -- predict --checkpoint "$plain" --stream --encoding mp3
expect 2 'goes with --timeline' -- predict --checkpoint "$plain" --span 2 "$one"
expect 2 'standard input' -- predict --checkpoint "$plain" --stream "$one"
expect 2 'one recording' -- predict --checkpoint "$plain" --timeline --svg x.svg "$one" "$one"
expect 2 '0.01 <= step' -- predict --checkpoint "$plain" --timeline --span 1 --step 2 "$one"
for words in "--timeline $one" --stream; do
    # shellcheck disable=SC2086 # words
    expect 2 'normalizes by speaker|--speaker-stats FILE' -- predict --checkpoint "$voice" $words
done
expect 2 "$T/synth is a folder; --timeline takes recordings" -- \
    predict --checkpoint "$plain" --timeline "$one" "$T/synth"
expect 0 '' -- predict --checkpoint "$voice" --speaker-stats "$T/s01.stats" --timeline "$one"
expect 1 'nowhere.wav' -- predict --checkpoint "$plain" --timeline "$T/nowhere.wav"
expect 1 'nowhere.wav' -- predict --checkpoint "$plain" --timeline --out "$T/lines.csv" "$one" "$T/nowhere.wav"

# ---- a recording that is damaged further on: what was decided until then stays, and the exit code tells ----
head -c 3000 "$one" >"$T/cut.wav"
if "$make_audio" "$T/whole.flac" 16000 1 60; then
    head -c "$(($(wc -c <"$T/whole.flac") / 2))" "$T/whole.flac" >"$T/damaged.flac"
    expect 1 'stopped in|damaged.flac' -- predict --checkpoint "$plain" --timeline "$T/damaged.flac"
    cp "$T/out" "$T/until"
    check 'nothing was decided of a damaged recording' test "$(rows "$T/until")" -gt 9
    expect 1 'stopped in|damaged.flac|1 of 1 recordings could not be read to their end' -- \
        predict --checkpoint "$plain" --timeline "$T/damaged.flac" -o "$T/until.csv" --svg "$T/until.svg"
    check 'a file holds other decisions than standard output' cmp "$T/until" "$T/until.csv"
    check 'no picture of what was decided' test -s "$T/until.svg"
    expect 1 'stopped in|left out|cut.wav|2 of 3 recordings' -- \
        predict --checkpoint "$plain" --timeline "$T/damaged.flac" "$T/cut.wav" "$one" -o "$T/three.csv"
    check 'the file of three begins otherwise' cmp -n "$(wc -c <"$T/until")" "$T/until" "$T/three.csv"
else
    echo 'SKIPPED: this libsndfile does not write FLAC' >&2
fi
expect 1 'cut.wav' -- predict --checkpoint "$plain" --timeline "$T/cut.wav" -o "$T/none.csv"
check 'a file without decisions' test ! -e "$T/none.csv"
finish
