#!/bin/sh
# Installs into an empty folder and uses what is there as a stranger would.
# usage: run.sh BUILD_FOLDER SOURCE_FOLDER
set -eu
build=$(cd "$1" && pwd) source=$(cd "$2" && pwd)
LC_ALL=C # awk reads numbers with a point
export LC_ALL
T=$(mktemp -d "$build/quaver install-XXXXXX") # a temporary folder may be one from which no program runs
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
# pkg-config writes words for a shell: a blank in the path stands behind a backslash.
eval "set -- $(pkg-config --cflags quaver)"
for header in "$T"/usr/include/quaver/*.h; do
    printf '#include "%s"\n' "$header" >"$T/alone.c"
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -fsyntax-only "$@" "$T/alone.c" || die "$header does not stand alone"
done
eval "set -- $(pkg-config --cflags --libs quaver)"
for program in predict pieces; do
    # shellcheck disable=SC2086 # flags are words
    ${CC:-cc} ${CFLAGS:-} -std=c11 -Wall -Wextra -Werror "$source/docs/examples/$program.c" -o "$T/$program" "$@" ||
        die "$program.c does not build"
done

# ---- what both predict ----
LD_LIBRARY_PATH=$(dirname "$library"):${LD_LIBRARY_PATH:-}
XDG_CACHE_HOME=$T/cache
export LD_LIBRARY_PATH XDG_CACHE_HOME
quaver=$T/usr/bin/quaver
"$quaver" corpus synth "$T/corpus" --speakers 3 --sentences 1 --quiet
"$quaver" train --manifest "$T/corpus/manifest.csv" --out "$T/run" --epochs 2 --width 4 --batch 4 --features.mels=16 \
    -j 1 --quiet >"$T/log" 2>&1 || { cat "$T/log"; die "the installed program does not train"; }
cd "$T/corpus" # so that the names of recordings are without blanks
wavs=$(find . -name '*.wav' | sort | head -n 3)
# shellcheck disable=SC2086 # several
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

# The first piece of a recording, as floats, is judged; the program of the C page says one line a piece.
first=$(printf '%s\n' "$wavs" | head -n 1)
"$T/pieces" "$T/run/best.safetensors" 0.5 <"$first" >"$T/lines" || die "pieces.c says nothing"
[ "$(wc -l <"$T/lines")" -ge 2 ] || die "pieces.c does not go through the samples"

# ---- manual and completion ----
[ -s "$T/usr/share/bash-completion/completions/quaver" ] || die "no completion for bash was installed"
[ -s "$T/usr/share/zsh/site-functions/_quaver" ] || die "no completion for zsh was installed"
if command -v scdoc >/dev/null; then
    manual=$(find "$T/usr" -name quaver.1)
    [ -n "$manual" ] || die "no manual page was installed"
    "$quaver" --help | sed -n '/^Commands/,/^ *help /s/^  \([a-z-]*\)  .*/\1/p' | while read -r command; do
        grep -q "fB$command" "$manual" || die "the manual page does not know $command"
    done || exit 1
    for code in $("$quaver" help exit-codes | grep -oE '^[0-9, ]+' | tr -d ','); do
        grep -q "fB$code\\\\" "$manual" || die "the manual page does not know exit code $code"
    done
else
    echo 'SKIPPED: no scdoc, so no manual pages' >&2
fi

# ---- what cannot be predicted is refused with a reason ----
"$T/predict" "$T/run/best.safetensors" "$T/log" >/dev/null 2>"$T/reason" && die "a text file was predicted"
grep -qF "$T/log" "$T/reason" || die "the refusal does not name the file: $(cat "$T/reason")"
"$T/predict" "$T/log" "$T/log" >/dev/null 2>"$T/reason" && die "a text file was taken for a checkpoint"
grep -qF "$T/log" "$T/reason" || die "the refusal does not name the checkpoint: $(cat "$T/reason")"
