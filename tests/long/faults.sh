#!/bin/sh
# Fails every allocation and every call for input or output of six commands, one at a time: tests/faults/test_faults.c.
# usage: tests/long/faults.sh [EVERY]     1: each; with a build of sanitize.sh (QV_BUILD=build-address) leaks count too
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
exec "${QV_BUILD:-build}/tests/faults/test_faults" "${1:-1}"
