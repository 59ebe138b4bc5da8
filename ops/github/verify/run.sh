#!/bin/sh
# Looks whether everything is as it should be: databases, their schemas, and the record.
. "$(dirname "$0")/../shared.sh"
mute

said=$work/ledger-verify.txt
worst=0

look() {
    code=0
    ledger "$@" > "$said" || code=$?
    cat "$said"
    if [ "$worst" = 0 ]; then worst=$code; fi
    {
        printf '### ledger %s: %s\n' "$title" "$(outcome "$code")"
        quoted "$said"
    } | summary
}

title='fleet check'
if [ -n "${INPUT_SELECT:-}" ]; then
    look fleet check "--select=$INPUT_SELECT"
    title=drift
    look drift "--select=$INPUT_SELECT"
else
    look fleet check
    title=drift
    look drift
fi
title='audit verify'
look audit verify
exit "$worst"
