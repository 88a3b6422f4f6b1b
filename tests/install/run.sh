#!/bin/sh
# Installs into an empty folder and uses what is there as a stranger would.
# usage: run.sh BUILD_FOLDER SOURCE_FOLDER
set -eu
build=$1 source=$2
T=$(mktemp -d "${TMPDIR:-/tmp}/quaver-install-XXXXXX")
trap 'rm -rf "$T"' EXIT
die() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

cmake --install "$build" --prefix "$T/usr" >"$T/log" || { cat "$T/log"; die "cmake --install"; }
pc=$(find "$T/usr" -name quaver.pc)
[ -n "$pc" ] || die "no quaver.pc was installed"
PKG_CONFIG_PATH=$(dirname "$pc"):${PKG_CONFIG_PATH:-}
export PKG_CONFIG_PATH
library=$(find "$T/usr" -name 'libquaver.so')
[ -n "$library" ] || die "no libquaver.so was installed"

# ---- the library: its name, and nothing but the interface ----
objdump -p "$library" | grep -q 'SONAME *libquaver\.so\.[0-9][0-9]*$' || die "no SONAME libquaver.so.N"
declared=$(grep -ohE '\bqv_[a-z_]+\(' "$T"/usr/include/quaver/*.h | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$library" | awk '$2 ~ /[A-Z]/ && $2 != "A" { print $3 }' | sed 's/@.*//' | sort -u)
for name in $exported; do
    printf '%s\n' "$declared" | grep -qx "$name" || die "exported, but in no header: $name"
done
for name in $declared; do
    printf '%s\n' "$exported" | grep -qx "$name" || die "in a header, but not exported: $name"
done

# ---- a program of one's own ----
# shellcheck disable=SC2046,SC2086 # flags are words
${CC:-cc} ${CFLAGS:-} -std=c11 -Wall -Wextra -Werror "$source/tests/install/predict.c" -o "$T/predict" \
    $(pkg-config --cflags --libs quaver) || die "predict.c does not build"
for header in "$T"/usr/include/quaver/*.h; do
    printf '#include "%s"\n' "$header" >"$T/alone.c"
    # shellcheck disable=SC2046
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags quaver) "$T/alone.c" ||
        die "$header does not stand alone"
done

# ---- what both predict ----
LD_LIBRARY_PATH=$(dirname "$library"):${LD_LIBRARY_PATH:-}
XDG_CACHE_HOME=$T/cache
export LD_LIBRARY_PATH XDG_CACHE_HOME
quaver=$T/usr/bin/quaver
"$quaver" corpus synth "$T/corpus" --speakers 3 --sentences 1 --quiet
"$quaver" train --manifest "$T/corpus/manifest.csv" --out "$T/run" --epochs 2 --width 4 --batch 4 --features.mels=16 \
    -j 1 --quiet >"$T/log" 2>&1 || { cat "$T/log"; die "the installed program does not train"; }
wavs=$(find "$T/corpus" -name '*.wav' | sort | head -n 3)
# shellcheck disable=SC2086 # names of recordings, without spaces
"$T/predict" "$T/run/best.safetensors" $wavs >"$T/ours" || die "predict.c predicts nothing"
# shellcheck disable=SC2086
"$quaver" predict --checkpoint "$T/run/best.safetensors" $wavs --quiet >"$T/theirs" || die "quaver predict failed"
cat "$T/ours" "$T/theirs"
# File and label are equal, and the probabilities, printed with six digits, to one unit of the last.
tail -n +2 "$T/theirs" | paste -d , "$T/ours" - | awk -F , '
    {
        n = NF / 2
        if (n < 4 || $1 != $(n + 1) || $2 != $(n + 2)) bad = 1
        for (i = 3; i <= n; i++) if (!($i >= 0 && $i <= 1 && ($i - $(n + i)) ^ 2 <= 1.1e-12)) bad = 1
    }
    END { exit bad || NR != 3 }' || die "predict.c and quaver predict differ"

# ---- what cannot be predicted is refused with a reason ----
"$T/predict" "$T/run/best.safetensors" "$T/log" >/dev/null 2>"$T/reason" && die "a text file was predicted"
grep -qF "$T/log" "$T/reason" || die "the refusal does not name the file: $(cat "$T/reason")"
"$T/predict" "$T/log" "$T/log" >/dev/null 2>"$T/reason" && die "a text file was taken for a checkpoint"
grep -qF "$T/log" "$T/reason" || die "the refusal does not name the checkpoint: $(cat "$T/reason")"
