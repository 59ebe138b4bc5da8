# What the steps share: sourced by each run.sh, and by a shell that runs one by hand.
#
# Inputs come as variables (INPUT_…), values that are secret as those that ledger itself reads
# (LEDGER_DATABASE_URL and others). Nothing is put into a command's text: every value is one argument.
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
work=${RUNNER_TEMP:-${TMPDIR:-/tmp}}

# Markdown from standard input, for the page of the run; in a shell it is left out.
summary() {
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat >> "$GITHUB_STEP_SUMMARY"; else cat > /dev/null; fi
}

# Lines that a command said: indented, they are code, and nothing in them ends that.
quoted() {
    printf '\n'
    sed 's/^/    /' "$1"
    printf '\n'
}

# An output of the step: its name, its value of one line.
output() {
    if [ -n "${GITHUB_OUTPUT:-}" ]; then printf '%s=%s\n' "$1" "$2" >> "$GITHUB_OUTPUT"; fi
}

# Nothing that is printed until the end is taken for a command to the runner, whoever wrote it.
mute() {
    if [ "${GITHUB_ACTIONS:-}" = true ]; then
        token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        printf '::stop-commands::%s\n' "$token"
        trap 'printf "::%s::\n" "$token"' EXIT
    fi
}

# What a step's command ended with, in the words of the exit codes that the manual has.
outcome() {
    case $1 in
        0) echo 'done' ;;
        3) echo 'the rollout halted, failed somewhere or was undone' ;;
        4) echo 'refused; nothing was changed' ;;
        5) echo 'recorded, but nobody leads' ;;
        6) echo "the ledger's database cannot be reached or used" ;;
        7) echo 'a difference was found' ;;
        8) echo 'the time was over; the rollout goes on' ;;
        *) echo "failed with $1" ;;
    esac
}
