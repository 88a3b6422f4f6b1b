#!/bin/sh
# Runs a Python test in the build folder's virtual environment, which it makes where there is none.
# usage: run.sh BUILD_FOLDER SCRIPT ARGUMENTS...
# Exit code 77, "skipped": there is no Python, or the packages cannot be had.
set -eu
here=$(dirname "$0")
environment=$1/python
script=$2
shift 2
wanted=$here/../requirements.txt

skip() { printf 'SKIPPED: %s. Nothing that %s tests was tested.\n' "$1" "$(basename "$script")" >&2; exit 77; }

if ! cmp -s "$wanted" "$environment/requirements.txt"; then
    rm -rf "$environment"
    command -v python3 >/dev/null || skip "there is no python3"
    python3 -m venv "$environment" >"$environment.log" 2>&1 ||
        { rm -rf "$environment"; skip "python3 -m venv failed (Debian: python3-venv; $environment.log)"; }
    "$environment/bin/pip" install --quiet --disable-pip-version-check --retries 1 -r "$wanted" \
        >"$environment.log" 2>&1 ||
        { rm -rf "$environment"; skip "pip could not install tests/requirements.txt ($environment.log)"; }
    cp "$wanted" "$environment/requirements.txt"
fi
exec "$environment/bin/python" "$script" "$@"
