#!/bin/sh
# Prints docs/settings.md from what the program itself says of its settings.
# usage: scripts/settings_page.sh path/to/quaver > docs/settings.md
set -eu
cat <<'TEXT'
# Settings

Every one is an option of `train`, `--section.key=value`, and a line of an INI file (`--config FILE`); an option counts
more than the file, the file more than the default. `RUN/config.ini` holds those in effect. Names that do not exist are
refused with the nearest one. This page is made by `scripts/settings_page.sh` from `quaver help settings`, and
`ctest -R settings_page` fails where the two differ.

Short forms: `quaver train --help`. `--preset small` is width 16 and one block a stage, `--preset reference` width 32 and two
blocks; both have the order `preact-bn`, also where `--config` says otherwise.
TEXT
"$1" help settings | sed 's/|/\\|/g' | awk '
    /^\[/ { printf "\n## %s\n\n| key | what | default |\n| --- | --- | --- |\n", $1; next }
    NF {
        start = ""
        if (match($0, / \[[^][]*\]$/)) {
            start = substr($0, RSTART + 2, RLENGTH - 3)
            $0 = substr($0, 1, RSTART - 1)
        }
        key = $1
        sub(/^ *[^ ]+ +/, "")
        printf "| `%s` | %s | %s |\n", key, $0, start == "" ? "" : "`" start "`"
    }'
