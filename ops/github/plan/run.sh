#!/bin/sh
# Draws the plan, and keeps one comment on the pull request that says it.
. "$(dirname "$0")/../shared.sh"
mute

page=${INPUT_PAGE:-$work/ledger-plan.md}
set -- "--folder=${INPUT_FOLDER:-migrations}"
if [ -n "${INPUT_SELECT:-}" ]; then set -- "$@" "--select=$INPUT_SELECT"; fi
if [ -n "${INPUT_WAVES:-}" ]; then set -- "$@" "--waves=$INPUT_WAVES"; fi

code=0
ledger plan "$@" --output markdown > "$page" || code=$?
output page "$page"
summary < "$page"
if [ "${INPUT_COMMENT:-true}" = true ] && [ -s "$page" ]; then
    python3 "$home/api.py" comment "$page"
fi
exit "$code"
