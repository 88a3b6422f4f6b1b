#!/bin/sh
# Judges the tests: makes N random mutants (one operator or constant changed) of the kernels under emulation, the shake,
# batch norm and statistics, and runs the tests that should notice. Prints each mutant with the test that killed it, or
# that it survived, and killed / all at the end. Only what includes the changed file is compiled again, into a folder of
# its own; the source and the build stay as they are.
# usage: tests/long/mutants.sh N [SEED [FIRST]]     QV_BUILD: a build folder (build); FIRST: of the mutants, to go on there
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
build=${QV_BUILD:-$root/build}
# shellcheck disable=SC2046
ninja -C "$build" -j "${QV_JOBS:-2}" $(python3 "$root/tests/long/mutants.py" targets) >"$build/mutants.log"
exec python3 "$root/tests/long/mutants.py" "$root" "$build" "$@"
