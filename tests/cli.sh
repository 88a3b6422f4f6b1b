#!/bin/sh
# The command line from outside: exit codes, messages, bad input, interruption.
# usage: cli.sh path/to/quaver path/to/make_audio
. "$(dirname "$0")/support/cli.sh"
. "$(dirname "$0")/support/study.sh"

tiny="--features.mels=8 --patch.seconds=0.16 --width 2 --batch 4 --epochs 3 -j 1"
expect 0 '16 recordings' -- corpus synth "$T/synth" --speakers 4 --sentences 1
manifest=$T/synth/manifest.csv

# ---- wrong words ----
expect 2 '' --
expect 0 '' -- --help
out_has 'Commands'
expect 0 '' -- --version
out_has 'quaver '
expect 0 '' -- help settings
out_has 'train'
for command in corpus train eval predict study stats export import-checkpoint report compare selftest doctor; do
    expect 0 '' -- $command --help
    check "$command --help says nothing" test -s "$T/out"
    expect 2 '--bogus-word' -- $command --bogus-word
done
expect 2 'no command trian|did you mean train?' -- trian
expect 2 '--manifset|did you mean --manifest?' -- train --manifset x
expect 2 '--manifest needs a value' -- train --manifest
expect 2 '--manifest needs a value' -- train --json --mani
expect 2 '-j needs a value' -- train --out "$T/r" -j
expect 2 '-o needs a value' -- corpus emodb "$T" -no
expect 2 'there is no option -x;' -- train --json -nx
expect 2 'there is no option -C;' -- eval -C
for words in 'train --json=1' 'train --dry-run=yes' 'eval --json=1' 'study --json=1' 'corpus --json='; do
    expect 2 'takes no value' -- $words
done
expect 2 'no option --weight_decay; did you mean --train.weight_decay?' -- train --out "$T/r" --weight_decay=0
expect 2 'no option --mels; see quaver eval --help' -- eval --mels 3
expect 2 'did you mean net.width?' -- train --out "$T/r" --net.widht=3
expect 2 'net.width = many' -- train --out "$T/r" --width many
expect 2 'run folder' -- train --manifest "$manifest"
expect 2 'manifest' -- train --out "$T/r"
expect 2 'unexpected word' -- train --out "$T/r" --manifest "$manifest" extra
expect 2 'preset' -- train --out "$T/r" --preset huge
expect 2 'did you mean' -- corpus emobd "$T/synth"
expect 2 "there is no recipe 'nosuch'; quaver corpus list" -- corpus nosuch
expect 2 "there is no recipe 'emobd'; did you mean 'emodb'?" -- corpus emobd
expect 2 'no folder; usage' -- corpus emodb
expect 2 'no folder; usage' -- corpus synth
expect 2 '--cache q and --no-cache contradict' -- train --out "$T/r" --no-cache --cache q
expect 2 '--cache q and --no-cache contradict' -- eval --cache q --no-cache
expect 2 '--cache q and --no-cache contradict' -- study x.ini --out "$T/r" --no-cache --cache q
expect 2 '--json and --format csv contradict' -- predict --checkpoint x --format csv --json y
grep -e '^file' -e ',anger,' "$manifest" >"$T/synth/one.csv"
expect 2 'one.csv has recordings of the emotion anger alone' -- train --out "$T/r" --manifest "$T/synth/one.csv" $tiny
expect 2 'has recordings of the emotion joy alone' -- train --out "$T/r" --manifest "$manifest" $tiny \
    --labels anger=joy,sadness=joy
expect 2 'train.batch = 99|12 is the largest that fits' -- \
    train --out "$T/r" --manifest "$manifest" $tiny --split random --batch 99
expect 2 'patches of 65536 frames|make patch.frames or net.width smaller' -- \
    train -n --out "$T/r" --manifest "$manifest" $tiny --split random --patch.frames 65536 --width 1024
expect 2 '--checkpoint' -- predict "$T/synth/wav"
expect 2 '--checkpoint' -- eval
expect 2 'csv or jsonl' -- predict --checkpoint x --format xml y
expect 2 'run.device' -- predict --checkpoint x --device tpu y
expect 2 'run.device' -- selftest --device tpu
expect 2 'run.precision = fp8' -- selftest --precision fp8
expect 2 '--seed x' -- selftest --seed x
expect 2 'there is no op con, did you mean conv' -- selftest --only relu,con
expect 2 'nothing is left' -- selftest --only relu,step --skip step,relu
expect 0 '' -- selftest --only add,pool,training --skip pool,training -j 1
out_has '1 of 1 within bounds'
expect 2 'run.precision' -- selftest --precision bf16
printf '[net]\nwidht = 3\n' >"$T/typo.ini"
expect 2 'typo.ini:2|net.width' -- train --out "$T/r" --config "$T/typo.ini"
printf '[net\nwidth = 3\n' >"$T/broken.ini"
expect 1 'broken.ini:1' -- train --out "$T/r" --config "$T/broken.ini"
expect 1 'nowhere.ini' -- train --out "$T/r" --config "$T/nowhere.ini"
check 'wrong words made a run folder' test ! -e "$T/r/config.ini"

# ---- a training, seen from outside ----
expect 0 '' -- train --manifest "$manifest" --out "$T/run" --folds 2 $tiny
out_has 'report'
grep -q "$(printf '\r')" "$T/err" && fail 'carriage returns in piped output'
grep -q "$(printf '\033')" "$T/err" && fail 'escapes in piped output'
for file in config.ini results.csv results.jsonl predictions.csv summary.json report.html fold-1/best.safetensors; do
    check "no $file in the run folder" test -s "$T/run/$file"
done
expect 2 '--force' -- train --manifest "$manifest" --out "$T/run" --folds 2 $tiny
expect 2 'train.epochs' -- train --resume --out "$T/run" --epochs 4
expect 2 'give one of them' -- train --resume --force --out "$T/run"
check '--resume --force took a run away' test -s "$T/run/summary.json"
expect 2 'no run to go on with' -- train --resume --out "$T/none"
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/quiet" --folds 2 $tiny
check '--quiet is not silent' test ! -s "$T/err"
expect 0 'begins with the weights|names of those' -- train --manifest "$manifest" --out "$T/finer" --folds 2 $tiny \
    --init-from "$T/run/fold-1/best.safetensors"
expect 2 'net.width' -- train --manifest "$manifest" --out "$T/wider" --folds 2 $tiny --width 3 \
    --init-from "$T/run/fold-1/best.safetensors"
expect 1 'nowhere' -- train --manifest "$manifest" --out "$T/other" --folds 2 $tiny --init-from "$T/nowhere.safetensors"
expect 2 'says so with --split random' -- train --manifest "$manifest" --out "$T/other" --folds random $tiny
printf '1: s01\n2: s02 s03\n' >"$T/some.folds"
expect 0 '4 recordings of 1 speaker are in no fold (s04)' -- \
    train --manifest "$manifest" --out "$T/some" --folds "$T/some.folds" $tiny
check 'the page does not say who is in no fold' grep -q 'are in no fold (s04)' "$T/some/report.html"
expect 0 'no validation recordings to judge by' -- \
    train --manifest "$manifest" --out "$T/unjudged" --folds 2 $tiny --eval.epoch=best
check 'an epoch that was not chosen' grep -q '"epoch_rule": "last epoch"' "$T/unjudged/summary.json"
plan="train --manifest $manifest --out $T/plan --folds 2 $tiny --dry-run"
expect 2 'run.precision' -- $plan --precision bf16
expect 2 'features.high = 4000' -- $plan --features.low=5000 --features.high=4000
expect 1 'nowhere' -- $plan --init-from "$T/nowhere.safetensors"
# More classes than the network has: predict has no use for them, eval none for the recordings.
awk -F, -v OFS=, 'NR > 1 { $3 = "e" NR } 1' "$manifest" >"$T/synth/strange.csv"
expect 0 '' -- predict --checkpoint "$T/run/fold-1/best.safetensors" --manifest "$T/synth/strange.csv"
cp "$T/out" "$T/strange"
expect 0 '' -- predict --checkpoint "$T/run/fold-1/best.safetensors" --manifest "$manifest"
check 'classes of the list change what is predicted' cmp "$T/strange" "$T/out"
expect 1 'has the class e2, which' -- eval --checkpoint "$T/run/fold-1/best.safetensors" --manifest "$T/synth/strange.csv" --no-cache
check 'recordings were read that no figure could be made of' test "$(grep -c 'features' "$T/err")" -eq 0
expect 0 '' -- report "$T/run"
expect 2 'nowhere' -- report "$T/nowhere"

# ---- studies ----
put_study "$T/study.ini" "manifest = $manifest" 2 3
printf '[settings]\nnet.widht = 3\n[corpus made]\nmanifest = x\n' >"$T/bad.ini"
expect 0 '' -- study --help
out_has 'quaver study merge'
expect 2 'one study file is needed' -- study --out "$T/study"
expect 2 'no folder: --out DIR' -- study "$T/study.ini"
expect 2 '--shard 3/2: expected I/N' -- study "$T/study.ini" --out "$T/study" --shard 3/2
expect 2 '--manifest other=x is for no corpus' -- study "$T/study.ini" --out "$T/study" --manifest other=x
expect 2 'corpus made is given two manifests, x.csv and y.csv|made=A,B' -- \
    study "$T/study.ini" --out "$T/study" -m x.csv -m made=y.csv
sed 's/train.batch = 4/train.batch = 4\neval.patience = 2/' "$T/study.ini" >"$T/patience.ini"
expect 1 'cell width=2: eval.patience = 2 needs' -- study "$T/patience.ini" --out "$T/patience" --dry-run
expect 1 'bad.ini:2: there is no setting net.widht; did you mean net.width?' -- study "$T/bad.ini" --out "$T/study"
expect 0 '' -- study "$T/study.ini" --out "$T/study" --dry-run --cache "$T/cache/quaver"
out_has '2 cells, 4 runs, 4 to do'
sed 's/^patch.seconds = .*/patch.frames = 65536/; s/width = 3/width = 1024/; s/2, 3/2, 1024/; s/width=3/width=1024/' \
    "$T/study.ini" >"$T/large.ini"
expect 1 'cell width=1024: patches of 65536 frames' -- study "$T/large.ini" --out "$T/large" --dry-run --no-cache
expect 0 '[4/4] width=' -- study "$T/study.ini" --out "$T/study" --cache "$T/cache/quaver"
out_has 'It cannot be said'
expect 0 '2 folds and 1 comparison can give no p below 0.25' -- study "$T/study.ini" --out "$T/half" --shard 1/2
check 'the command that repeats a study names a shard' sh -c "! grep -q -e --shard '$T/half/plan.json'"
latin=$(printf 'Gr\366n')
cp "$manifest" "$T/synth/$latin.csv"
expect 0 '' -- study "$T/study.ini" --out "$T/$latin" -m "$T/synth/$latin.csv" --shard 1/4
check 'a path that is not UTF-8 is not calmed' grep -q '"manifest": "Gr?n.csv"' "$T/$latin/plan.json"
(cat "$T/study.ini"; printf '[settings]\nrun.device = ref\n') >"$T/ref.ini"
expect 0 '' -- study "$T/ref.ini" --out "$T/device" --device ref32 --device cpu
check 'the study keeps what the command line set' grep -q '^run.device = cpu$' "$T/device/study.ini"
check '--device made another study' cmp "$T/study/report.csv" "$T/device/report.csv"
expect 0 '2 cells, 4 runs, 4 done' -- study "$T/study.ini" --out "$T/study" --cache "$T/cache/quaver"
expect 0 '' -- study report "$T/study"
# Neither a run nor a study takes the other's report away.
cp "$T/run/report.html" "$T/kept.html"
for words in '' --dry-run; do
    expect 2 'holds a run (config.ini)' -- study "$T/study.ini" --out "$T/run" $words
    expect 2 'holds a study (study.ini, plan.json)' -- train --force -m "$manifest" --out "$T/study" $tiny $words
done
expect 2 'holds a run (config.ini)' -- study merge "$T/study" --out "$T/run"
check 'a study took the report of a run' cmp "$T/kept.html" "$T/run/report.html"
check 'a study left something beside a run' test ! -e "$T/run/study.ini" -a ! -e "$T/run/lock"
expect 0 '4 records copied' -- study merge "$T/study" --out "$T/joined"
check 'the page of joined folders says how they were joined' \
    grep -q "^quaver study merge .*/study --out .*/joined" "$T/joined/report.html"
check 'a merged study has another report' cmp "$T/study/report.csv" "$T/joined/report.csv"
expect 2 'holds no study' -- study report "$T/nowhere"
expect 2 'takes no option but --json' -- study report "$T/study" --seeds 5
expect 2 'takes no option but --out and --json' -- study merge "$T/study" --out "$T/joined" --dry-run
(cat "$T/study.ini"; printf '[settings]\ntrain.lr = 0.3\n') >"$T/changed.ini"
expect 2 'was begun with another study' -- study "$T/changed.ini" --out "$T/study" --dry-run
printf 'happiness\nsadness = happiness\nneutral\n' >"$T/two.labels"
sed "s#^folds = 2#folds = 2\nlabels = $T/two.labels#" "$T/study.ini" >"$T/labels.ini"
expect 0 '4 recordings of other emotions left out' -- study "$T/labels.ini" --out "$T/labels" --no-cache --dry-run
# Weights to begin with are known by what they are, not by their path.
cp "$T/run/fold-1/best.safetensors" "$T/start.safetensors"
(sed 's/net.width/train.lr/; s/= 2, 3/= 0.1, 0.2/; s/width=3 - width=2/width=0.2 - width=0.1/' "$T/study.ini"
printf '[settings]\nnet.width = 2\ntrain.init_from = %s\n' "$T/start.safetensors") >"$T/start.ini"
expect 0 'names of those that' -- study "$T/start.ini" --out "$T/start"
check 'the page does not say who was heard' grep -q 'Test speakers were heard before' "$T/start/report.html"
cp "$T/run/fold-2/best.safetensors" "$T/start.safetensors"
rm "$T"/start/records/made/*0.1/fold-1.*
expect 1 'other weights in' -- study "$T/start.ini" --out "$T/start"
expect 0 '[4/4]' -- study "$T/start.ini" --out "$T/again" --reuse "$T/start"
check 'records of other weights were taken over' sh -c "! grep -q '\"reused\":\"' '$T'/again/records/made/*/*"
array() { # PART VARIABLES...: what a task of a job array does
    part=$1
    shift
    # shellcheck disable=SC2016 # of the inner shell
    check "$*: not part $part" sh -c 'part=$1; shift
        env QUAVER=echo STUDY=s OUT=o-%a "$@" sh "$0" | grep -qx "study s --out o-5 .*--shard $part"' \
        "$(dirname "$0")/../data/slurm/study.sbatch" "$part" "$@"
}
export SLURM_ARRAY_TASK_ID=5
array 1/1 SLURM_ARRAY_TASK_MIN=5
array 5/8 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=8
array 3/4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_STEP=2
array 5/8 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_COUNT=2 SHARDS=8
unset SLURM_ARRAY_TASK_ID
expect 0 '' -- doctor
best=$T/run/fold-1/best.safetensors

# ---- ONNX ----
expect 2 '--out' -- export --checkpoint "$best"
expect 2 '--checkpoint' -- export --out "$T/m.onnx"
expect 1 'nowhere.safetensors' -- export --checkpoint "$T/nowhere.safetensors" --out "$T/m.onnx"
expect 1 'nowhere' -- export --checkpoint "$best" --out "$T/nowhere/m.onnx"
expect 0 '' -- export --checkpoint "$best" --out "$T/m.onnx"
check 'no ONNX file' test -s "$T/m.onnx"

# ---- scores: what it was trained on is said ----
expect 0 'of those trained on' -- eval --checkpoint "$best" --manifest "$manifest"
out_has 'UA'
out_has 'confusion'
held_out=$(sed -n 's/^1,test,[^,]*,\([^,]*\),.*/\1/p' "$T/run/predictions.csv" | sort -u | paste -sd, -)
expect 0 '' -- eval --checkpoint "$best" --manifest "$manifest" --speakers "$held_out"
grep -q 'trained on' "$T/err" && fail 'a warning of speakers that were held out'
expect 2 "is of 's00'; did you mean 's01'?" -- eval --checkpoint "$best" --manifest "$manifest" --speakers s01,s00
expect 2 "is of 'nobody'" -- eval --checkpoint "$best" --manifest "$manifest" --speakers nobody
# Several manifests are one list, as in training; each recording counts.
cut -d, -f1-3 "$manifest" | sed '1p; /,s0[12],/!d' >"$T/synth/low.csv"
cut -d, -f1-3 "$manifest" | sed '1p; /,s0[34],/!d' >"$T/synth/high.csv"
expect 0 'with the names of those trained on (' -- \
    eval --checkpoint "$best" --manifest "$T/synth/low.csv" --manifest "$T/synth/high.csv"
out_has '16 recordings, 4 speakers'
expect 0 '' -- eval --checkpoint "$best" --manifest "$T/synth/low.csv" --manifest "$T/synth/high.csv" --speakers low/s01
out_has '4 recordings, 1 speakers'
expect 0 '' -- predict --checkpoint "$best" --manifest "$T/synth/low.csv" --manifest "$T/synth/high.csv"
check 'not all of two manifests' test "$(rows "$T/out")" -eq 17
expect 2 '2 lists for 1 manifest;' -- eval --checkpoint "$best" --manifest "$manifest" --labels anger --labels joy
expect 2 '2 lists for 1 manifest;' -- train -n --manifest "$manifest" --out "$T/r" --labels anger --labels joy
# Embeddings: of the recordings that are scored, as wide as the last stage where there is no embedding layer.
expect 0 '' -- eval --checkpoint "$best" --manifest "$manifest" --speakers "$held_out" --embeddings "$T/e.csv"
check 'the columns of --embeddings' test "$(head -1 "$T/e.csv" | cut -d, -f1-5)" = file,speaker,true,predicted,e1
check '--embeddings of other speakers' test "$(tail -n +2 "$T/e.csv" | cut -d, -f2 | sort -u | paste -sd, -)" = "$held_out"
expect 0 '' -- predict --checkpoint "$best" --manifest "$manifest" --embeddings "$T/all.csv"
while IFS= read -r line; do
    check 'eval and predict write other embeddings' grep -qxF "$line" "$T/all.csv"
done <"$T/e.csv"

# What another corpus calls by a class' name that the training merged others into is of that class.
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/merged" --folds 2 $tiny --labels 'anger,happiness=joy,neutral,sadness'
sed 's/,happiness,/,joy,/; s/,happiness$/,joy/' "$manifest" >"$T/synth/joy.csv"
expect 0 '' -- eval --checkpoint "$T/merged/fold-1/best.safetensors" --manifest "$T/synth/joy.csv"
out_has '16 recordings, 4 speakers'

# Names in other letters than ASCII are cut and padded in characters.
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/letters" --folds 2 $tiny --labels 'anger=Раздражение,sadness=bö'
expect 0 '' -- eval --checkpoint "$T/letters/fold-1/best.safetensors" --manifest "$manifest"
out_has '   Раздражен        bö'
out_has '  bö                 4'

# ---- predictions ----
expect 0 '' -- predict --checkpoint "$best" "$T/synth/wav"
check 'a line a recording and a header' test "$(rows "$T/out")" -eq 17
expect 0 '' -- predict --checkpoint "$best" --manifest "$manifest" --format jsonl --out "$T/answers.jsonl"
# No output takes the place of what the command reads or of another output, whatever it is called.
cp -r "$T/synth/wav" "$T/kept"
cp "$best" "$T/kept.safetensors"
one=$(ls "$T/kept" | head -1)
ln "$T/kept/$one" "$T/same.wav"
for words in "predict -k $best --out $T/same.wav $T/kept" "predict -k $best --embeddings $T/kept/$one $T/kept" \
    "predict -k $T/kept.safetensors --out $T/kept.safetensors $T/kept" \
    "predict -k $best --timeline $T/kept/$one --svg $T/kept/$one" \
    "predict -k $best --out $T/both.csv --embeddings $T/./both.csv $T/kept" \
    "eval --checkpoint $best --manifest $manifest --embeddings $manifest" \
    "export --checkpoint $T/kept.safetensors --out $T/kept.safetensors"; do
    # shellcheck disable=SC2086 # words
    expect 2 'would take the place of' -- $words
done
check 'a recording was replaced' cmp "$T/kept/$one" "$T/synth/wav/$one"
check 'a checkpoint was replaced' cmp "$T/kept.safetensors" "$best"
check 'answers.jsonl' test "$(rows "$T/answers.jsonl")" -eq 16
check 'standard output beside --out' test ! -s "$T/out"
made=0
while read -r name rate channels seconds; do
    "$make_audio" "$T/$name" "$rate" "$channels" "$seconds"
    case $? in
    0) ;;
    77) echo "SKIPPED: this libsndfile does not write $name" >&2; continue ;;
    *) fail "cannot make $name" ; continue ;;
    esac
    made=$((made + 1))
    expect 0 '' -- predict --checkpoint "$best" "$T/$name"
    check "no line for $name" test "$(rows "$T/out")" -eq 2
done <<'TEXT'
short.wav 16000 1 0.2
shortest.wav 16000 1 0.01
phone.au 8000 1 1
odd.wav 24414 1 1
cd.flac 44100 2 2
studio.24.wav 96000 2 1
float.f.wav 48000 6 1
mac.aiff 22050 1 1
lossy.ogg 44100 2 3
common.mp3 32000 1 3
minutes.wav 11025 1 180
TEXT
check 'hardly any format was tried' test "$made" -ge 9

# ---- recordings that are none ----
mkdir "$T/bad"
head -c 3000 "$T/synth/wav/s01_anger_01.wav" >"$T/bad/truncated.wav"
head -c 20 "$T/synth/wav/s01_anger_01.wav" >"$T/bad/header.wav"
: >"$T/bad/empty.wav"
echo 'this is no recording' >"$T/bad/text.wav"
head -c 40000 /dev/zero >"$T/bad/zeros.wav"
for name in truncated header empty text zeros; do
    expect 1 "$name.wav|none of the 1 recordings" -- predict --checkpoint "$best" "$T/bad/$name.wav"
done
cp "$T/synth/wav/s01_anger_01.wav" "$T/bad/good.wav"
expect 1 'truncated.wav|empty.wav|text.wav|5 of 6' -- predict --checkpoint "$best" "$T/bad"
check 'the good one is classified all the same' test "$(rows "$T/out")" -eq 2
expect 1 'missing.wav' -- predict --checkpoint "$best" "$T/missing.wav"
# One that is missing is as good a row of a manifest as it is a word.
{ cat "$manifest"; echo 'wav/none.wav,s01,anger,,,'; } >"$T/synth/one-missing.csv"
expect 1 'wav/none.wav|1 of 17 recordings could not be classified' -- \
    predict --checkpoint "$best" --manifest "$T/synth/one-missing.csv"
check 'the others are classified all the same' test "$(rows "$T/out")" -eq 17
expect 1 'one-missing.csv:18: cannot find' -- eval --checkpoint "$best" --manifest "$T/synth/one-missing.csv"
mkdir "$T/names"
cp "$T/bad/good.wav" "$T/names/good.wav"
cp "$T/bad/good.wav" "$T/names/$(printf 'caf\351.wav')"
expect 1 'is not UTF-8 and cannot stand in JSON|1 of 2 recordings have no line' -- \
    predict --json --checkpoint "$best" "$T/names"
check 'a name that is no text takes the others along' test "$(rows "$T/out")" -eq 1
mkdir "$T/nothing"
expect 1 'no audio file' -- predict --checkpoint "$best" "$T/nothing"

# ---- trainings: skips are counted and listed ----
{ cat "$manifest"; for n in truncated empty text; do echo "../bad/$n.wav,s01,anger,,,"; done; } >"$T/synth/some-bad.csv"
expect 0 '3 of 19 recordings were left out|truncated.wav|empty.wav|text.wav' -- \
    train --manifest "$T/synth/some-bad.csv" --out "$T/some-bad" --folds 2 $tiny
{ head -n 1 "$manifest"; for n in truncated empty text; do echo "../bad/$n.wav,$n,anger,,,"; done
  echo '../bad/header.wav,x,joy,,,'; echo '../bad/zeros.wav,y,joy,,,'; } >"$T/synth/all-bad.csv"
expect 1 'none of the 5 recordings|truncated.wav' -- \
    train --manifest "$T/synth/all-bad.csv" --out "$T/all-bad" --labels anger,joy --split random $tiny

# ---- names of files do not steer the terminal ----
odd=$T/odd/$(printf 'an\033[31mger')
mkdir -p "$odd" && cp "$T/synth/wav/s01_anger_01.wav" "$odd/$(printf 's\033[2J.wav')"
"$quaver" corpus folders "$T/odd" --lenient >"$T/out" 2>"$T/err"
grep -q "$(printf '\033')" "$T/err" && fail 'escapes of names of files reach the terminal'
checks=$((checks + 1))

mkdir -p "$T/$(printf 'caf\351')/anger" "$T/blank/anger "
cp "$T/synth/wav/s01_anger_01.wav" "$T/$(printf 'caf\351')/anger"
cp "$T/synth/wav/s01_anger_01.wav" "$T/blank/anger "
expect 1 'is not UTF-8, which a manifest must be' -- corpus folders "$T/$(printf 'caf\351')" --out "$T/cafe.csv"
check 'a manifest that is no text' test ! -e "$T/cafe.csv"
expect 1 "the emotion 'anger ' begins or ends with a blank" -- corpus folders "$T/blank" --out "$T/blank.csv"
check 'a manifest with blanks around names' test ! -e "$T/blank.csv"
expect 2 '--columns speaker=nosuch: |has no column of that name among: file, speaker, emotion' -- \
    corpus import nkululeko "$manifest" --columns speaker=nosuch
# No list, label file or recording that a manifest is made from becomes the manifest.
mkdir -p "$T/made/wav" "$T/made/kaldi" "$T/made/crema/AudioWAV"
stays() { # stays FILE WORDS...: below $T/made
    cp "$T/made/$1" "$T/as-it-was"
    needed=$1
    shift
    expect 2 'is needed here' -- "$@" --out "$T/made/$needed"
    check "$needed was overwritten" cmp "$T/made/$needed" "$T/as-it-was"
}
cp "$T/synth/wav/s01_anger_01.wav" "$T/made/wav/a.wav"
cp "$T/made/wav/a.wav" "$T/made/crema/AudioWAV/1001_DFA_ANG_XX.wav"
printf 'speaker,emotion,file\ns1,joy,wav/a.wav\n' >"$T/made/list.csv"
printf 'u1 %s\n' "$T/made/wav/a.wav" >"$T/made/kaldi/wav.scp"
echo 'u1 s1' >"$T/made/kaldi/utt2spk"
printf 'ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,x,y\n' >"$T/made/crema/VideoDemographics.csv"
echo 'joy = happiness' >"$T/made/one.labels"
stays list.csv corpus import nkululeko "$T/made/list.csv"
stays wav/a.wav corpus import nkululeko "$T/made/list.csv"
stays one.labels corpus import nkululeko "$T/made/list.csv" --labels "$T/made/one.labels"
stays kaldi/utt2spk corpus import kaldi "$T/made/kaldi"
stays crema/VideoDemographics.csv corpus crema-d "$T/made/crema"
stays crema/AudioWAV/1001_DFA_ANG_XX.wav corpus crema-d "$T/made/crema"
expect 0 '' -- corpus import nkululeko "$T/made/list.csv" --out "$T/made/manifest.csv"
expect 0 '' -- corpus import nkululeko "$T/made/list.csv" --out "$T/made/manifest.csv"
expect 0 '' -- corpus import nkululeko "$T/made/list.csv" --out "$T/made/list.csv" --dry-run

# ---- manifests ----
bad_manifest() { # bad_manifest WORDS: standard input is the manifest
    cat >"$T/synth/bad.csv"
    expect 1 "$1" -- train --manifest "$T/synth/bad.csv" --out "$T/bad-run" --folds 2 $tiny
    check "a run folder was begun: $1" test ! -e "$T/bad-run/config.ini"
}
sed 's/^\([^,]*\),[^,]*,/\1,/' "$manifest" | bad_manifest 'bad.csv|speaker'
sed '1s/emotion/mood/' "$manifest" | bad_manifest 'bad.csv|emotion'
sed '3s/^/"/' "$manifest" | bad_manifest 'bad.csv:3'
sed '$p' "$manifest" | bad_manifest 'bad.csv:18'
sed '3s/^[^,]*,/nowhere.wav,/' "$manifest" | bad_manifest 'bad.csv:3|nowhere.wav'
sed '3s/,s01,/,s01/' "$manifest" | bad_manifest 'bad.csv:3'
sed '3s/,s01,/,s01 ,/' "$manifest" | bad_manifest "bad.csv:3|'s01 ' begins or ends with a blank"
sed '3s/,s01,/,S01,/; /s0[12]/s/,anger/,Anger/' "$manifest" >"$T/synth/case.csv"
expect 0 "'S01' and 's01' are two speakers|'Anger' and 'anger' are two emotions" -- \
    train -n --manifest "$T/synth/case.csv" --out "$T/bad-run" --split random $tiny
printf 'file,speaker,emotion\n' | bad_manifest 'bad.csv'
printf '' | bad_manifest 'bad.csv'
printf 'file,speaker\000,emotion\n' | bad_manifest 'bad.csv'
printf '\377\376f\000i\000' | bad_manifest 'bad.csv'
head -c 5000 "$T/synth/wav/s01_anger_01.wav" | bad_manifest 'bad.csv'
expect 2 'sorrow' -- train --manifest "$manifest" --out "$T/bad-run" --labels anger,sorrow $tiny
expect 1 'nowhere.csv' -- train --manifest "$T/nowhere.csv" --out "$T/bad-run"
expect 1 "$T/synth" -- train --manifest "$T/synth" --out "$T/bad-run"

# ---- folds that leave a class out ----
awk -F, 'NR == 1 || $3 != "sadness" || $2 == "s02"' "$manifest" >"$T/synth/lonely.csv"
expect 1 'sadness' -- train --manifest "$T/synth/lonely.csv" --out "$T/bad-run" --folds speaker $tiny
printf 'one: s01 s02\ntwo: s03 s99\n' >"$T/folds.txt"
expect 1 'folds.txt:2|s99' -- train --manifest "$manifest" --out "$T/bad-run" --folds "$T/folds.txt" $tiny

# ---- checkpoints ----
bad_checkpoint() { # bad_checkpoint WORDS: standard input is the checkpoint
    cat >"$T/bad.safetensors"
    expect 1 "bad.safetensors|$1" -- predict --checkpoint "$T/bad.safetensors" "$T/synth/wav"
    expect 1 "bad.safetensors|$1" -- eval --checkpoint "$T/bad.safetensors" --manifest "$manifest"
}
sed 's/width = 2/width = 4/' "$best" | bad_checkpoint 'stem.conv'
sed 's/"format_version":"1"/"format_version":"7"/' "$best" | bad_checkpoint 'newer'
{ printf '\377\377\377\377\377\377\377\177'; tail -c +9 "$best"; } | bad_checkpoint ''
{ printf '\001\000\000\000\000\000\000\000'; tail -c +9 "$best"; } | bad_checkpoint ''
head -c 100 "$best" | bad_checkpoint ''
head -c 3000 "$best" | bad_checkpoint ''
printf '' | bad_checkpoint ''
echo 'no checkpoint' | bad_checkpoint ''
expect 1 'nowhere.safetensors' -- predict --checkpoint "$T/nowhere.safetensors" "$T/synth/wav"
mkfifo "$T/nobody-writes"
expect 1 'nobody-writes is not a regular file' -- predict --checkpoint "$T/nobody-writes" "$T/synth/wav"
expect 1 'nobody-writes: empty' -- eval --checkpoint "$best" --manifest "$T/nobody-writes"
expect 1 "$T/synth" -- predict --checkpoint "$T/synth" "$T/synth/wav"

# ---- run folders that cannot be written ----
: >"$T/file"
expect 1 "$T/file" -- train --manifest "$manifest" --out "$T/file/run" $tiny
expect 1 "$T/file" -- predict --checkpoint "$best" --out "$T/file/answers.csv" "$T/synth/wav"
if [ "$(id -u)" -ne 0 ]; then
    mkdir -m 555 "$T/locked"
    expect 1 'locked' -- train --manifest "$manifest" --out "$T/locked" $tiny
else
    echo 'SKIPPED: root may write everywhere, so no folder is locked' >&2
fi

expect 1 "cannot write $T/nowhere/a.csv: there is no folder $T/nowhere;" -- \
    predict --checkpoint "$best" --out "$T/nowhere/a.csv" "$T/synth/wav"
grep -q features "$T/err" && fail 'recordings were read for answers that cannot be written'
expect 1 "$T/nowhere/e.csv" -- eval --checkpoint "$best" --manifest "$manifest" --embeddings "$T/nowhere/e.csv"
grep -q features "$T/err" && fail 'recordings were read for embeddings that cannot be written'
expect 1 "$T/nowhere/p.svg" -- predict --checkpoint "$best" --timeline --svg "$T/nowhere/p.svg" "$T/synth/wav/s01_anger_01.wav"
check 'decisions before a picture that cannot be written' test ! -s "$T/out"
expect 2 'is empty' -- corpus synth ''
expect 2 'is empty' -- train --manifest "$manifest" --out '' $tiny
expect 1 'is there and is no folder' -- train --manifest "$manifest" --out "$T/file" $tiny

# ---- a full disk ----
if [ "$(id -u)" -eq 0 ] && mkdir "$T/full" && mount -t tmpfs -o size=64k quaver "$T/full" 2>/dev/null; then
    tmpfs=$T/full
    expect 1 "$T/full|No space left" -- \
        train --manifest "$manifest" --out "$T/full/run" --folds 2 --quiet $tiny --width 16
    check 'half a checkpoint stays' test ! -e "$T/full/run/fold-1/best.safetensors"
    umount "$tmpfs" && tmpfs=
else
    echo 'SKIPPED: no small file system can be mounted to be filled; a limit on the size of files stands in for it' >&2
fi
checks=$((checks + 1))
(
    ulimit -f 16
    exec "$quaver" train --quiet --manifest "$manifest" --out "$T/limit" --folds 2 \
        --cache "$T/cache/quaver" $tiny --width 16
) >"$T/out" 2>"$T/err" </dev/null
[ $? -eq 1 ] || fail 'a file that cannot grow is no failure'
grep -q 'File too large' "$T/err" || fail 'a file that cannot grow is not named'
if [ -w /dev/full ]; then
    checks=$((checks + 1))
    "$quaver" predict --checkpoint "$best" "$T/synth/wav" >/dev/full 2>"$T/err"
    [ $? -eq 1 ] || fail 'answers were lost, and nobody said so'
fi

# ---- interruption: the step at hand is finished and kept, and --resume ends as if nothing had been ----
long="--features.mels=8 --patch.seconds=0.16 --width 16 --batch 4 --epochs 600 --eval.every=25 -j 1"
start() { # start RUN: returns when the training is in its first fold
    checks=$((checks + 1))
    : >"$T/err"
    "$quaver" train --manifest "$manifest" --out "$1" --folds 2 $long >"$T/out" 2>"$T/err" </dev/null &
    pid=$!
    tries=0
    until grep -q 'epoch  25/' "$T/err"; do
        [ $tries -lt 600 ] || { fail 'the training did not start'; kill -s KILL "$pid"; finish; exit 1; }
        sleep 0.1
        tries=$((tries + 1))
    done
}
interrupt() { # interrupt SIGNAL RUN
    start "$2"
    kill -s "$1" "$pid"
    wait "$pid"
    got=$?
    [ $got -eq 130 ] || fail "exit code $got, not 130, after SIG$1"
    grep -q -e '--resume goes on from there' "$T/err" || fail "nothing is said of --resume after SIG$1"
}
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/whole" --folds 2 $long
for signal in INT TERM HUP; do
    interrupt $signal "$T/$signal"
    expect 0 'going on after step' -- train --resume --out "$T/$signal"
    for file in predictions.csv fold-1/best.safetensors fold-2/best.safetensors fold-2/last.safetensors; do
        check "$file is another after SIG$signal and --resume" cmp "$T/whole/$file" "$T/$signal/$file"
    done
    for run in whole $signal; do cut -d, -f1-3,5-11 "$T/$run/results.csv" >"$T/$run.rows"; done
    check "results.csv is another after SIG$signal and --resume" cmp "$T/whole.rows" "$T/$signal.rows"
done

# A second signal ends at once: both wait for the stopped process.
start "$T/twice"
kill -s STOP "$pid"
kill -s INT "$pid"
kill -s TERM "$pid"
kill -s CONT "$pid"
wait "$pid" 2>/dev/null
got=$?
[ $got -eq 143 ] || fail "exit code $got, not 143, after a second signal"
# What a process that was killed while it wrote left behind goes with the next one.
for file in config.ini summary.json results.csv results.jsonl predictions.csv report.html model-card.md; do
    : >"$T/twice/$file.tmp-4711"
done
expect 0 '' -- train --quiet --resume --out "$T/twice"
check 'half written files stay' test -z "$(find "$T/twice" -name '*.tmp-*')"
check 'predictions.csv is another after being killed' cmp "$T/whole/predictions.csv" "$T/twice/predictions.csv"

# Two trainings do not share a folder.
start "$T/shared"
kill -s STOP "$pid"
expect 2 'another process is training' -- train --resume --out "$T/shared"
expect 2 'another process is training' -- train --force --manifest "$manifest" --out "$T/shared" --folds 2 $long
kill -s KILL "$pid"
wait "$pid" 2>/dev/null
expect 0 '' -- train --quiet --resume --out "$T/shared"
check 'predictions.csv is another after a second process' cmp "$T/whole/predictions.csv" "$T/shared/predictions.csv"

finish
