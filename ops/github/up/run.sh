#!/bin/sh
# Rolls out, waits for the end, and writes what came of it on the page of the run.
. "$(dirname "$0")/../shared.sh"
mute

ended=$work/ledger-up.json
said=$work/ledger-up.txt
set -- "--folder=${INPUT_FOLDER:-migrations}" --yes --wait
if [ -n "${INPUT_SELECT:-}" ]; then set -- "$@" "--select=$INPUT_SELECT"; fi
if [ -n "${INPUT_WAVES:-}" ]; then set -- "$@" "--waves=$INPUT_WAVES"; fi
# Of a commit's message the title: a reason is one line, and an empty one is none.
reason=$(python3 "$home/api.py" title "${INPUT_REASON:-}")
if [ -n "$reason" ]; then set -- "$@" "--reason=$reason"; fi
if [ -n "${INPUT_TICKET:-}" ]; then set -- "$@" "--ticket=$INPUT_TICKET"; fi
if [ -n "${INPUT_TIMEOUT:-}" ]; then set -- "$@" "--timeout=$INPUT_TIMEOUT"; fi

code=0
ledger up "$@" --output json > "$ended" || code=$?
rollout=$(python3 "$home/api.py" field rollout "$ended")
output rollout "$rollout"
output exit-code "$code"
if [ -n "$rollout" ]; then
    ledger rollout status "$rollout" > "$said" || true
else
    : > "$said"
fi
cat "$said"
{
    printf '### Rollout %s: %s\n' "$rollout" "$(outcome "$code")"
    quoted "$said"
} | summary
exit "$code"
