#!/bin/sh
# Asks every database whether this is a good moment; nothing is changed anywhere.
. "$(dirname "$0")/../shared.sh"
mute

said=$work/ledger-check.txt
set -- "--folder=${INPUT_FOLDER:-migrations}"
if [ -n "${INPUT_SELECT:-}" ]; then set -- "$@" "--select=$INPUT_SELECT"; fi

code=0
ledger check "$@" > "$said" || code=$?
cat "$said"
{
    printf '### Preflight: %s\n' "$(outcome "$code")"
    quoted "$said"
} | summary
exit "$code"
