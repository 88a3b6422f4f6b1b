#!/bin/sh
# What the tests of the command line share: a folder, `expect`, `check`. Sourced with the program as $1 and the maker of
# recordings as $2.
set -u
# shellcheck disable=SC2034 # used by the tests
quaver=$1 make_audio=$2
LC_ALL=C
export LC_ALL
unset COLUMNS NO_COLOR
T=$(mktemp -d "${TMPDIR:-/tmp}/quaver-cli-XXXXXX") || exit 1
XDG_CACHE_HOME=$T/cache
export XDG_CACHE_HOME
tmpfs=
clean_up() {
    [ -z "$tmpfs" ] || umount "$tmpfs"
    rm -rf "$T"
}
trap clean_up EXIT
checks=0
: >"$T/failed"

# Into a file, since what reads a pipe runs in a shell of its own.
fail() {
    echo "$*" >>"$T/failed"
    printf 'FAILED: %s\n' "$*" >&2
    sed 's/^/    stderr: /' "$T/err" | head -n 5 >&2
}

# expect CODE WORDS -- ARGUMENTS...: runs quaver, wants that exit code and every |-separated part in its standard error.
expect() {
    code=$1 words=$2
    shift 3
    checks=$((checks + 1))
    "$quaver" "$@" >"$T/out" 2>"$T/err" </dev/null
    got=$?
    [ "$got" -eq "$code" ] || fail "exit code $got, not $code: quaver $*"
    while [ -n "$words" ]; do
        part=${words%%|*}
        grep -qF -e "$part" "$T/err" || fail "no \"$part\" from: quaver $*"
        case $words in *'|'*) words=${words#*|} ;; *) words= ;; esac
    done
}

out_has() { grep -qF -e "$1" "$T/out" || fail "no \"$1\" on standard output"; }
check() { # check WHAT COMMAND...
    checks=$((checks + 1))
    what=$1
    shift
    "$@" || fail "$what"
}
# Four arrays of 20 frames with 5 values each, of two speakers, and their list $T/npy.csv.
make_frames() {
    for name in a b c d; do
        {
            printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (20, 5), }"
            awk 'BEGIN { for (i = 0; i < 100; i++) printf "abc?" }'
        } >"$T/$name.npy"
    done
    printf 'file,speaker,emotion\na.npy,1,joy\nb.npy,1,anger\nc.npy,2,joy\nd.npy,2,anger\n' >"$T/npy.csv"
}
rows() { wc -l <"$1" | tr -d ' '; }
# The last line of a test.
finish() {
    echo "$checks checks, $(rows "$T/failed") failed"
    [ ! -s "$T/failed" ]
}
