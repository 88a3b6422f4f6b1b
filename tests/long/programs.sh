#!/bin/sh
# Random programs on all CPU devices against the reference: tests/test_programs.c.
# usage: tests/long/programs.sh [COUNT]     1000; QV_SEED: of the programs
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
QV_PROGRAMS=${1:-1000} exec "${QV_BUILD:-build}/tests/test_programs"
