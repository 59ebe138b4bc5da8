#!/bin/sh
# Rehearses what is pending on a scratch database, and leaves what came of it as JUnit.
. "$(dirname "$0")/../shared.sh"
mute

folder=${INPUT_FOLDER:-migrations}
junit=${INPUT_JUNIT:-$work/ledger-test.xml}
said=$work/ledger-test.txt
if [ -n "${INPUT_SCRATCH_URL:-}" ]; then
    LEDGER_SCRATCH_URL=$INPUT_SCRATCH_URL
    export LEDGER_SCRATCH_URL
fi
code=0
ledger test "--folder=$folder" "--junit=$junit" > "$said" || code=$?
cat "$said"
output junit "$junit"
{
    printf '### Rehearsal: %s\n' "$(outcome "$code")"
    quoted "$said"
} | summary
exit "$code"
