#!/bin/sh
# Searches for inputs that break a reader, with libFuzzer under the address and undefined-behaviour sanitizers.
# usage: tests/fuzz/run.sh TARGET SECONDS     one target (audio, manifest, ...: tests/fuzz/fuzz_TARGET.c)
#        tests/fuzz/run.sh all SECONDS        each in turn, so long each
# What is found in between is kept under QV_FUZZ_CORPUS (default build-fuzz/corpus) and grows from run to run; it begins as
# tests/fuzz/corpora holds it, where keep.sh puts it again. A line with executions and findings is added to its runs.txt,
# which tests/fuzz/sum.sh adds up. QV_FUZZ_SEED: of the search.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -eq 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
build=${QV_FUZZ_BUILD:-$root/build-fuzz}
corpus=${QV_FUZZ_CORPUS:-$build/corpus}
clang=${CLANG:-clang}
flags="-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"

configure() {
    launcher=
    command -v ccache >/dev/null && launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$clang" -DCMAKE_C_FLAGS="$flags" \
        -DQV_FUZZ=ON -DQV_CUDA=OFF -DQV_ONEDNN=OFF -DQV_BENCH=OFF $launcher >"$build/build.log"
}

# What a target needs beside: its dictionary, the largest input, seconds an input may take.
search() { # search TARGET SECONDS
    target=$1 seconds=$2
    if [ ! -d "$corpus/$target" ]; then
        mkdir "$corpus/$target"
        [ ! -f "$here/corpora/$target.tar.xz" ] || tar -C "$corpus/$target" -xJf "$here/corpora/$target.tar.xz"
    fi
    mkdir -p "$here/crashes/$target"
    ninja -C "$build" "fuzz_$target" >"$build/build.log"
    largest=65536
    [ "$target" != labels ] && [ "$target" != pattern ] || largest=4096
    dict=
    [ ! -f "$here/$target.dict" ] || dict=-dict=$here/$target.dict
    log=$corpus/$target.log
    found=0
    ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        "$build/tests/fuzz/fuzz_$target" "$corpus/$target" "$here/seeds/$target" -max_total_time="$seconds" \
        -max_len=$largest -timeout="${QV_FUZZ_TIMEOUT:-60}" -rss_limit_mb=2048 -malloc_limit_mb=1024 -report_slow_units=1000 -print_final_stats=1 \
        -seed="${QV_FUZZ_SEED:-0}" -artifact_prefix="$here/crashes/$target/" $dict >"$log" 2>&1 || found=1
    done=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%s\t%s\t%s\t%s\n' "$target" "$seconds" "${done:-0}" "$found" | tee -a "$corpus/runs.txt"
    if [ "$found" -ne 0 ]; then
        grep -m 3 -e '^SUMMARY' -e 'broken promise' -e 'Test unit written' "$log" >&2 || tail -n 5 "$log" >&2
    fi
    minimize "$target"
    return "$found"
}

# Keeps of the corpus what reaches all that it reaches now.
minimize() { # minimize TARGET
    small=$corpus/$1.small
    rm -rf "$small"
    mkdir "$small"
    if "$build/tests/fuzz/fuzz_$1" -merge=1 "$small" "$corpus/$1" >"$corpus/$1.merge.log" 2>&1; then
        rm -rf "${corpus:?}/$1"
        mv "$small" "$corpus/$1"
    fi
}

mkdir -p "$build" "$corpus"
configure
if [ "$1" != all ]; then
    search "$1" "$2"
    exit
fi
status=0
for source in "$here"/fuzz_*.c; do
    target=${source##*/fuzz_}
    search "${target%.c}" "$2" || status=1
done
exit $status
