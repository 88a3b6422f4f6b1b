#!/bin/sh
# A study killed at random moments ends with the records of one that was not; two processes on one folder too.
# usage: study_kill.sh QUAVER [KILLS] (20)     QV_SEED: of the moments (1)
set -u
quaver=$1
kills=${2:-20}
seed=${QV_SEED:-1}
T=$(mktemp -d) || exit 1
trap 'kill -9 $a $b 2>/dev/null; rm -rf "$T"' EXIT
a= b=
fail() { printf 'FAILED: %s (QV_SEED=%s)\n' "$1" "$seed" >&2; exit 1; }

# Eight runs: two cells, two folds, two seeds.
cat >"$T/study.ini" <<'TEXT'
[study]
seeds = 2
[corpus embedded]
embedded = 4 2
folds = 2
[settings]
features.mels = 16
patch.seconds = 0.32
net.width = 8
train.batch = 8
train.epochs = 60
[axis order]
setting = net.order
values = preact, preact-bn
[compare bn]
difference = preact-bn - preact
TEXT
study() { "$quaver" study "$T/study.ini" --out "$1" --cache "$T/cache" --threads 2 --quiet >/dev/null 2>"$T/err"; }

# The results alone: the second line of a record says when it was made.
results() {
    (cd "$1/records" && find . -name '*.jsonl' | sort | while read -r f; do printf '%s ' "$f"; head -n 1 "$f"; done) >"$T/$2"
    [ "$(wc -l <"$T/$2")" -eq 8 ] || fail "$1 holds $(wc -l <"$T/$2") records, not 8"
}
same() {
    results "$1" now
    cmp -s "$T/whole" "$T/now" || fail "$2: other records"
    cmp -s "$T/one/report.csv" "$1/report.csv" || fail "$2: another report.csv"
}

begin=$(date +%s%N)
study "$T/one" || fail "the study itself: $(cat "$T/err")"
took=$(($(date +%s%N) - begin))
results "$T/one" whole

# Anywhere in the first half of a whole study's time: from before the first record to among the last.
moment() { # moment I: seconds until the Ith kill
    awk -v s="$seed" -v i="$1" -v took="$took" 'BEGIN { srand(s * 100003 + i); printf "%.3f", rand() * took / 2e9 }'
}
killed=0
tries=0
while [ "$killed" -lt "$kills" ]; do
    tries=$((tries + 1))
    out=$T/killed
    study "$out" &
    a=$!
    sleep "$(moment "$tries")"
    # $a is a shell whose child is the study
    if pkill -9 -P $a 2>/dev/null; then killed=$((killed + 1)); fi
    wait $a 2>/dev/null
    if [ -f "$out/report.html" ]; then # done before the kills were: judged, and begun anew
        same "$out" "killed $killed times"
        rm -rf "$out"
    fi
    [ "$tries" -lt $((20 * kills)) ] || fail "only $killed of $kills kills hit a running study"
done
a=
study "$T/killed" || fail "after $killed kills: $(cat "$T/err")"
same "$T/killed" "killed $killed times"
[ -z "$(find "$T/killed/records" -name '*.tmp-*')" ] || fail 'files that were half written are left'

# Two processes on one folder; then one of them dies.
study "$T/two" &
a=$!
study "$T/two" || fail "beside another: $(cat "$T/err")"
wait $a || fail 'the other process failed'
a=
same "$T/two" 'two processes'
study "$T/dies" &
a=$!
study "$T/dies" &
b=$!
sleep "$(moment 0)"
pkill -9 -P $a 2>/dev/null
wait $a 2>/dev/null
a=
wait $b || fail "beside one that died: $(cat "$T/err")"
b=
same "$T/dies" 'one of two processes died'
echo "killed $killed times, twice side by side: the same records"
