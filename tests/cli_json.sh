#!/bin/sh
# Every command that prints a result prints it as one JSON object when asked: nothing else stands on standard output.
# usage: cli_json.sh path/to/quaver path/to/make_audio
. "$(dirname "$0")/support/cli.sh"
. "$(dirname "$0")/support/study.sh"

command -v python3 >/dev/null || { echo 'ALL TESTS SKIPPED: no python3 to read JSON with' >&2; exit 0; }
tiny="--features.mels=8 --patch.seconds=0.16 --width 2 --batch 4 -j 1 --no-cache"
# json CONDITION: all of standard output is one object d, and the condition holds.
json() { python3 -c "import json, sys; d = json.load(open('$T/out')); assert isinstance(d, dict) and ($1), d" || fail "JSON: $1"; }

expect 0 '' -- corpus synth "$T/synth" --speakers 3 --sentences 3 --json
json "d == {'file': '$T/synth/manifest.csv', 'recordings': 36, 'speakers': 3}"
manifest=$T/synth/manifest.csv
expect 0 '' -- corpus list --json
json "any(r['name'] == 'emodb' and r['title'] for r in d['recipes'])"
mkdir -p "$T/classes/a" "$T/classes/b"
cp "$T/synth/wav/s01_anger_01.wav" "$T/classes/a/one.wav"
cp "$T/synth/wav/s01_anger_01.wav" "$T/classes/b/two.wav"
expect 2 'the manifest needs --out FILE' -- corpus folders "$T/classes" --json
expect 0 'wrote' -- corpus folders "$T/classes" --out "$T/classes.csv" --json
json "d['file'] == '$T/classes.csv' and d['recordings'] == 2 and d['classes'] == {'a': 1, 'b': 1} and d['duplicates'] == 1"
expect 0 '' -- corpus folders "$T/classes" -n --json
json "d['file'] is None and d['unknown'] == [] and d['complete'] in (True, False)"
expect 0 '' -- corpus import nkululeko "$T/classes.csv" --out "$T/again.csv" --json
json "d['recordings'] == 2"

expect 0 '' -- train --json --quiet --manifest "$manifest" --out "$T/run" --normalize speaker --epochs 2 $tiny
json "d['pooled']['n'] == 12"
best=$T/run/best.safetensors
expect 0 '' -- train --json --dry-run --quiet --manifest "$manifest" --out "$T/none" --folds speaker $tiny --lr 0.25
json "d['recordings'] == 36 and d['speakers'] == 3 and len(d['classes']) == 4 and d['parameters'] > 100"
json "[f['name'] for f in d['folds']] == ['s01', 's02', 's03']"
json "d['folds'][0]['train'] == {'n': 24, 'speakers': 2} and d['folds'][0]['test'] == {'n': 12, 'speakers': 1}"
json "d['settings']['train.lr'] == 0.25 and d['settings']['net.order'] == 'preact-bn' and d['settings']['train.seed'] == 1"
check 'a dry run writes' test ! -e "$T/none"
expect 0 '' -- eval --json --checkpoint "$best" --manifest "$manifest" --no-cache
json "d['n'] == 36 and d['skipped'] == 0 and d['transductive'] is True"
{ cat "$manifest"; echo 'none.wav,s01,anger,,,'; } >"$T/synth/damaged.csv"
head -c 3000 "$T/classes/a/one.wav" >"$T/synth/none.wav"
expect 0 '1 of 37 recordings were left out' -- \
    eval --json --checkpoint "$best" --manifest "$T/synth/damaged.csv" --no-cache
json "d['n'] == 36 and d['skipped'] == 1 and abs(d['ua'] - sum(k['recall'] for k in d['classes']) / 4) < 1e-15"
expect 0 '' -- eval --checkpoint "$best" --manifest "$T/synth/damaged.csv" --no-cache
out_has '1 of 37 recordings left out'
out_has 'transductive: '
expect 0 '' -- stats --json --checkpoint "$best" --speaker s01 --out "$T/s01.stats" --manifest "$manifest"
json "d['file'] == '$T/s01.stats' and d['speaker'] == 's01' and d['seconds'] > 10"
json "d['recordings'] == 12 and d['skipped'] == 0"
expect 0 '' -- stats --json --checkpoint "$best" --speaker s01 --out "$T/some.stats" --manifest "$T/synth/damaged.csv"
json "d['recordings'] == 12 and d['skipped'] == 1"
expect 0 '' -- stats --checkpoint "$best" --speaker s01 --out "$T/some.stats" --manifest "$T/synth/damaged.csv"
out_has 's in 12 recordings, 1 left out'
expect 0 '' -- predict --json --checkpoint "$best" --speaker-stats "$T/s01.stats" "$T/classes/a/one.wav"
json "len(d['probabilities']) == 4"
expect 0 '' -- export --json --checkpoint "$best" --out "$T/m.onnx"
json "d == {'file': '$T/m.onnx'}"
expect 0 '' -- report --json "$T/run"
json "d == {'file': '$T/run/report.html'}"
# The same weights as PyTorch orders them: [out][in][k][k].
python3 - "$best" "$T/torch.safetensors" <<'PYTHON'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
head, body, out = json.loads(data[8 : 8 + size]), data[8 + size :], b""
head.pop("__metadata__")
for name, t in head.items():
    begin, end = t["data_offsets"]
    x, shape = [body[i : i + 4] for i in range(begin, end, 4)], t["shape"]
    if len(shape) == 4:
        o, k, l, c = shape
        x = [x[((a * k + r) * l + q) * c + b] for a in range(o) for b in range(c) for r in range(k) for q in range(l)]
        t["shape"] = [o, c] if k * l == 1 and name.startswith("linear") else [o, c, k, l]
    t["data_offsets"] = [len(out), len(out) + 4 * len(x)]
    out += b"".join(x)
text = json.dumps(head).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + out)
PYTHON
expect 0 '' -- import-checkpoint --json --weights "$T/torch.safetensors" --config "$T/run/config.ini" --features.normalize none \
    --classes anger,happiness,neutral,sadness --out "$T/other.safetensors"
json "d == {'file': '$T/other.safetensors'}"
# What it is made of stays.
cp "$T/run/config.ini" "$T/net.ini"
echo '# every name is the same' >"$T/names.txt"
for needed in torch.safetensors net.ini names.txt; do
    cp "$T/$needed" "$T/kept"
    expect 2 'is needed here' -- import-checkpoint --weights "$T/torch.safetensors" --config "$T/net.ini" \
        --map "$T/names.txt" --features.normalize none --classes anger,happiness,neutral,sadness --out "$T/$needed"
    check "$needed was overwritten" cmp "$T/$needed" "$T/kept"
done
expect 0 '' -- doctor --json
json "d['quaver'] and d['libraries']['jansson'] and int(d['processor']['usable']) > 0 and 'GPUs' in d"
expect 2 'there is no option --jsno' -- doctor --jsno

put_study "$T/study.ini" "manifest = $manifest" 2 3
expect 0 '' -- study "$T/study.ini" --out "$T/study" --no-cache --dry-run --json
json "'2 cells' in d['plan']"
expect 0 '' -- study "$T/study.ini" --out "$T/study" --no-cache --json
json "d['file'] == '$T/study/report.html' and d['answer']"
expect 0 '' -- study report "$T/study" --json
json "d['file'] == '$T/study/report.html' and d['answer']"
expect 0 '' -- study merge "$T/study" --out "$T/joined" --json
json "d['file'] == '$T/joined/report.html' and d['answer']"

# One that is interrupted says so, and gives the rows that it has.
for seconds in 1 2 4 8 16 32; do
    checks=$((checks + 1))
    timeout --preserve-status -s INT $seconds "$quaver" selftest --json --thorough -j 1 >"$T/out" 2>"$T/err" && fail "not interrupted"
    [ ! -s "$T/out" ] || break
done
[ -s "$T/out" ] || { fail 'the selftest did not start'; finish; exit 1; }
json "d['passed'] is False and 'interrupted' in d['stopped'] and d['rows'] and d['cases'] > 0 and d['failed'] == 0"
finish
