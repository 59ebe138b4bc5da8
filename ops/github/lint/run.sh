#!/bin/sh
# Judges migrations: annotations and a SARIF file; ends with 1 when a finding is bad enough.
. "$(dirname "$0")/../shared.sh"

folder=${INPUT_FOLDER:-migrations}
sarif=${INPUT_SARIF:-$work/ledger-lint.sarif}
set -- "--folder=$folder"
if [ -n "${INPUT_SINCE:-}" ]; then set -- "$@" "--since=$INPUT_SINCE"; fi
if [ "${INPUT_ALL:-false}" = true ]; then set -- "$@" --all; fi

code=0
ledger lint "$@" --fail-on never --output sarif > "$sarif" || code=$?
output sarif "$sarif"
if [ "$code" = 0 ]; then
    if [ -n "${INPUT_FAIL_ON:-}" ]; then set -- "$@" "--fail-on=$INPUT_FAIL_ON"; fi
    ledger lint "$@" --output github || code=$?
fi
printf '### Lint of `%s`: %s\n' "$(printf %s "$folder" | tr -cd 'A-Za-z0-9._/-')" \
    "$(outcome "$code")" | summary
if [ "${INPUT_UPLOAD:-false}" = true ] && [ -s "$sarif" ]; then
    python3 "$home/api.py" sarif "$sarif"
fi
exit "$code"
