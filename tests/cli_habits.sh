#!/bin/sh
# Habits of the command line: JSON, dry runs, signals, checkpoints that are kept, topics, completion, comparison.
# usage: cli_habits.sh path/to/quaver path/to/make_audio
. "$(dirname "$0")/support/cli.sh"
. "$(dirname "$0")/support/study.sh"

tiny="--features.mels=8 --patch.seconds=0.16 --width 2 --batch 4 -j 1"
json() { python3 -c "import json, sys; d = json.load(open('$T/out')); assert $1, d" || fail "JSON: $1"; }
command -v python3 >/dev/null || { echo 'SKIPPED: no python3 to read JSON with' >&2; json() { :; }; }
expect 0 '' -- corpus synth "$T/synth" --speakers 4 --sentences 1
manifest=$T/synth/manifest.csv

# ---- nothing is written by a dry run, and what it prints is a configuration ----
expect 0 'fold 1: train|a network with|Nothing was trained' -- \
    train --dry-run --manifest "$manifest" --out "$T/dry" --folds 2 --epochs 7 $tiny
check 'a dry run made its folder' test ! -e "$T/dry"
out_has 'epochs = 7'
cp "$T/out" "$T/dry.ini"
expect 0 '' -- train -n --config "$T/dry.ini" --out "$T/dry"
check 'the printed settings are others when read' cmp "$T/out" "$T/dry.ini"
expect 2 'train.batch = 99' -- train -n --manifest "$manifest" --out "$T/dry" --folds 2 --batch 99

# What the files decide stands in it, too: four arrays of 5 values a frame.
make_frames
expect 0 '' -- train -n --manifest "$T/npy.csv" --out "$T/dry" --folds 2 --patch.frames=8 --width 2 --batch 2
out_has 'kind = npy'
out_has 'mels = 5'

# ---- JSON, kept checkpoints, events ----
expect 0 '' -- train --json --quiet --manifest "$manifest" --out "$T/run" --folds 2 --epochs 7 --eval.every=2 --run.keep=2 $tiny
json "d['pooled']['n'] == 16 and len(d['folds']) == 2"
check 'what --json prints is not summary.json' cmp "$T/out" "$T/run/summary.json"
for fold in 1 2; do
    kept=$(cd "$T/run/fold-$fold" && echo epoch-*)
    check "kept: $kept" test "$kept" = 'epoch-0006.safetensors epoch-0007.safetensors'
    check 'one file of events a fold' test "$(find "$T/run/fold-$fold" -name 'events.out.tfevents.*' | wc -l)" -eq 1
done
check 'the newest kept one is another than last' cmp "$T/run/fold-1/epoch-0007.safetensors" "$T/run/fold-1/last.safetensors"
best=$T/run/fold-1/best.safetensors
expect 0 '' -- eval --json --checkpoint "$best" --manifest "$manifest"
json "d['n'] == 16 and len(d['classes']) == 4 and 0 <= d['ua'] <= 1 and sum(map(sum, d['confusion'])) == 16"
expect 0 '' -- predict --json --checkpoint "$best" "$T/synth/wav/s01_anger_01.wav"
json "abs(sum(d['probabilities'].values()) - 1) < 1e-5"

# ---- comparison ----
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/other" --folds 2 --epochs 3 $tiny
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/four" --folds 4 --epochs 2 $tiny
expect 0 '' -- compare "$T/run" "$T/other" --out "$T/page.html"
check 'a row a run' test "$(rows "$T/out")" -eq 3
check 'fair runs are warned of' test ! -s "$T/err"
grep -q '</html>' "$T/page.html" || fail 'no page'
check 'a heading without its scope' test "$(grep -c '<th>' "$T/page.html")" -eq 0
check 'a table that keys cannot scroll' grep -q '<div class="wide" tabindex="0" role="group" aria-label=' "$T/page.html"
expect 0 'have other folds' -- compare "$T/run" "$T/four"
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/order" --folds 2 --epochs 1 $tiny \
    --labels sadness,neutral,happiness,anger
expect 0 '' -- compare "$T/order/" "$T/order" --out "$T/same.html"
check 'a heading without a name' grep -qF "<h3>$T/order/</h3>" "$T/same.html"
expect 0 '' -- compare "$T/other" "$T/order"
check 'classes in another order are other classes' test ! -s "$T/err"
cp "$T/synth/wav/s01_anger_01.wav" "$T/whole.wav"
: >"$T/synth/wav/s01_anger_01.wav"
expect 0 's01_anger_01.wav' -- train --quiet --manifest "$manifest" --out "$T/fewer" --folds 2 --epochs 1 $tiny
cp "$T/whole.wav" "$T/synth/wav/s01_anger_01.wav"
expect 0 'are not of the same recordings: not as many could be read' -- compare "$T/other" "$T/fewer"
expect 0 '' -- compare --json "$T/run" "$T/other"
json "len(d) == 2 and d[0]['format'] == 1"
expect 2 'two run folders' -- compare "$T/run"
for file in summary.json fold-1/best.safetensors; do
    expect 2 'is a file of the run' -- compare "$T/run" "$T/other" --out "$T/other/$file"
done
expect 2 'nowhere' -- compare "$T/run" "$T/nowhere"

# --force gives up all of the earlier run
expect 0 '' -- train --quiet --force --manifest "$manifest" --out "$T/run" --folds 2 --epochs 2 $tiny
check 'kept checkpoints of another run' test ! -e "$T/run/fold-1/epoch-0006.safetensors"
check 'events of another run' test "$(find "$T/run/fold-1" -name 'events.out.tfevents.*' | wc -l)" -eq 1

# ---- SIGUSR1 writes a checkpoint in the middle of an epoch and goes on to the same end ----
long="$tiny --width 16 --epochs 60 --eval.every=60"
expect 0 '' -- train --quiet --manifest "$manifest" --out "$T/whole" $long
checks=$((checks + 1))
"$quaver" train --manifest "$manifest" --out "$T/saved" $long >"$T/out" 2>"$T/err" </dev/null &
pid=$!
tries=0
until grep -q 'network with' "$T/err" || [ $tries -ge 300 ]; do sleep 0.05; tries=$((tries + 1)); done
kill -s USR1 $pid
until [ -s "$T/saved/last.safetensors" ] || [ $tries -ge 600 ]; do sleep 0.05; tries=$((tries + 1)); done
cp "$T/saved/last.safetensors" "$T/middle.safetensors" || fail 'no checkpoint after SIGUSR1'
wait $pid || fail 'SIGUSR1 ended the training'
grep -q 'saved in fold split after step' "$T/err" || fail 'nothing is said of the checkpoint'
check 'SIGUSR1 changed the training' cmp "$T/whole/best.safetensors" "$T/saved/best.safetensors"
rm "$T/saved/summary.json" "$T/saved/results.csv" "$T/saved/best.safetensors"
cp "$T/middle.safetensors" "$T/saved/last.safetensors"
expect 0 'going on after step' -- train --resume --out "$T/saved"
check 'resumed from there it ends otherwise' cmp "$T/whole/best.safetensors" "$T/saved/best.safetensors"

# ---- what every command has may stand before it ----
expect 0 '' -- -q train --manifest "$manifest" --out "$T/first" --folds 2 --epochs 2 $tiny
check '--quiet before the command is not silent' test ! -s "$T/err"
expect 0 '' -- --json -v eval --checkpoint "$best" --manifest "$manifest"
json "d['n'] == 16"
expect 0 '' -- -q help folds
expect 2 'there is no command trian' -- -q trian
expect 2 '' -- -q

# ---- a closed stream's place is not taken by a file that is written ----
checks=$((checks + 1))
"$quaver" train --manifest "$manifest" --out "$T/closed" --folds 2 --epochs 2 $tiny >"$T/out" 2>&- || fail 'standard error is closed'
check 'messages in the file that took the place of standard error' test ! -s "$T/closed/.lock"
checks=$((checks + 1))
"$quaver" predict --checkpoint "$best" "$T/synth/wav/s01_anger_01.wav" 2>"$T/err" >&-
[ $? -eq 1 ] && grep -q 'standard output' "$T/err" || fail 'answers went nowhere, and nobody said so'

# ---- topics and completion ----
expect 0 '' -- help
for topic in settings manifest folds metrics run-folder environment exit-codes train compare; do
    expect 0 '' -- help $topic
    check "help $topic says nothing" test -s "$T/out"
done
for words in 'help --help' 'help help' 'help -h'; do
    expect 0 '' -- $words
    out_has 'quaver help [COMMAND | TOPIC]'
done
for words in 'help completion' 'completion --help' 'completion -h'; do
    expect 0 '' -- $words
    out_has 'quaver completion bash|zsh'
done
expect 0 '' -- help manifest
out_has 'channel'
if [ -w /dev/full ]; then
    for words in --help --version 'help folds' 'help settings' 'help train' 'completion bash' 'corpus list' doctor; do
        checks=$((checks + 1))
        "$quaver" $words >/dev/full 2>"$T/err"
        [ $? -eq 1 ] && grep -q 'cannot write to standard output' "$T/err" || fail "$words: lost, and nobody said so"
    done
fi
expect 2 'there is no topic flods|did you mean folds?' -- help flods
expect 2 'which shell' -- completion
expect 2 'bash and zsh' -- completion tcsh
expect 0 '' -- completion zsh
out_has '#compdef quaver'
expect 0 '' -- completion bash
cp "$T/out" "$T/completion"
if command -v bash >/dev/null; then
    complete() { # complete WORDS...: what bash offers for the last word
        bash -c '. "$1"; shift; COMP_WORDS=(quaver "$@"); COMP_CWORD=$#; _quaver 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' - \
            "$T/completion" "$@"
    }
    check 'no command is completed' test "$(complete tra)" = train
    check 'no option is completed' test "$(complete train --manif)" = --manifest
    check 'an option twice, or one that is none' test "$(complete train -- | tr ' ' '\n' | sort | uniq -d)" = ""
    for option in $(complete train -- | grep -v =); do
        "$quaver" train --help | grep -qF -e "$option" || [ "$option" = --quiet ] || [ "$option" = --verbose ] ||
            [ "$option" = --help ] || fail "train --help does not know $option"
    done
    check 'no setting is completed' test "$(complete train --net.wid)" = --net.width=
    check 'no topic is completed' test "$(complete help exit)" = exit-codes
    check 'every command is offered' test "$(complete '' | grep -c .)" -ge 12
else
    echo 'SKIPPED: no bash to complete in' >&2
fi
if command -v zsh >/dev/null; then
    expect 0 '' -- completion zsh
    check 'zsh does not read its completion' zsh -n "$T/out"
else
    echo 'SKIPPED: no zsh to read its completion' >&2
fi

# ---- colours: on a terminal, and not where NO_COLOR or a dumb one asks for none ----
if command -v script >/dev/null; then
    warning() { # a warning on a terminal: the speakers were trained on
        env "$@" TERM="${term:-xterm}" script -qec "'$quaver' eval --checkpoint '$best' --manifest '$manifest'" /dev/null </dev/null
    }
    escape=$(printf '\033[33m')
    warning A=b | grep -qF "$escape" || fail 'no colour on a terminal'
    warning NO_COLOR=1 | grep -qF "$escape" && fail 'colour in spite of NO_COLOR'
    term=dumb
    warning A=b | grep -qF "$escape" && fail 'colour on a dumb terminal'
    checks=$((checks + 3))

    # ---- one line of progress: figures before the bar, and never more than the terminal has columns ----
    put_study "$T/study.ini" "manifest = $manifest" speaker 60
    on_terminal() { # COLUMNS: the progress lines of a study
        TERM=xterm script -qec "stty cols $1; '$quaver' study '$T/study.ini' --out '$T/study-$1' -j 1" /dev/null </dev/null |
            tr '\r' '\n' | sed "s/$(printf '\033')\[K//g" | grep '^study '
    }
    on_terminal 120 >"$T/wide"
    on_terminal 64 >"$T/narrow"
    check 'no bar where there is room' grep -q '\[#*\.*\] .*, best so far width=' "$T/wide"
    # Before the first run has ended, which may take longer than a line stays, nothing is best and there is room.
    check 'a bar where there is none' sh -c "! grep 'best' '$T/narrow' | grep -q '\['"
    check 'a narrow terminal hides the time left' grep -q 'min left, best' "$T/narrow"
    check 'progress is wider than the terminal' awk 'length > 63 { exit 1 }' "$T/narrow"
else
    echo 'SKIPPED: no script(1) to make a terminal with' >&2
fi
finish
