#!/bin/sh
# What a bench trains on and prints: so many lines with a loss, each a number and not the logarithm of 4, the classes,
# which is what a network is left with that sees nothing. A table of --profile is one that bench/gpu_check.sh can read.
#   bench.sh SOURCE_DIR LINES PROGRAM ARGUMENTS...
test $# -ge 3 || { echo "usage: bench.sh SOURCE_DIR LINES PROGRAM ARGUMENTS..." >&2; exit 2; }
source=$1 lines=$2
shift 2
LC_ALL=C # awk reads numbers with a point
export LC_ALL
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
"$@" >"$dir/out" 2>"$dir/table"
code=$?
cat "$dir/out" "$dir/table"
[ $code -eq 0 ] || { echo "exit code $code"; exit 1; }
sed -n 's/.*"loss": \([^,}]*\).*/\1/p' "$dir/out" | awk -v lines="$lines" '
    { off = $1 - log(4); if (off < 0) off = -off }
    $1 !~ /^[0-9.]+$/ || !(off > 0.0005) { print "a loss of " $1; bad = 1 }
    END { if (NR != lines) { print NR " losses, expected " lines; bad = 1 } exit bad }' || exit 1
case " $* " in *" --profile "*)
    profile_tables='' # that of the script
    eval "$(sed -n "/^profile_tables='/,/p'\$/p" "$source/bench/gpu_check.sh")"
    tr -s ' ' <"$dir/table" | sed -n "$profile_tables" >"$dir/read"
    grep -q '{"op": "conv_grad_w", "from": .*, "ms": [0-9.]*, .*, "weights": "stem.conv.grad"}' "$dir/read" ||
        { echo "no convolution was read"; exit 1; }
    for op in conv conv_grad_w bn_apply sgd; do
        grep -q -x "{\"op\": \"$op\", \"ms\": [0-9.]*, \"percent\": [0-9.]*}" "$dir/read" || { echo "no $op was read"; exit 1; }
    done
    ;;
esac
