#!/bin/sh
# Installs the ledger of this very commit, if the runner has none: every package by its hash.
set -eu

if command -v ledger > /dev/null; then
    exit 0
fi
source=$(cd "$(dirname "$0")/../.." && pwd)
place=${RUNNER_TEMP:?run this on a runner, or install the ledger first}/migration-ledger
python3 -m venv "$place"
sed '/^# Embedded servers/,$d' "$source/constraints.txt" > "$place/packages.txt"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --no-deps --only-binary :all: --requirement "$place/packages.txt"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation "$source"
# The path is the runner's own, and no text of anybody else is in it.
printf '%s\n' "$place/bin" >> "$GITHUB_PATH"
