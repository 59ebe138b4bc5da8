"""The exit codes of `ledger`, which are part of its interface."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    HALTED = 3
    REFUSED = 4
    NO_LEADER = 5
    UNREACHABLE = 6
    DIFFERENT = 7
    TIMEOUT = 8
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "wrong usage, arguments or settings; nothing was tried",
    ExitCode.HALTED: "the rollout halted, failed somewhere or was undone",
    ExitCode.REFUSED: "refused, or there is no such thing in the ledger; nothing was changed",
    ExitCode.NO_LEADER: "recorded, but nobody leads: start `ledger serve`",
    ExitCode.UNREACHABLE: "the ledger's database cannot be reached or used",
    ExitCode.DIFFERENT: "audit, replay or a comparison found a difference",
    ExitCode.TIMEOUT: "--timeout passed; the rollout is not aborted by that",
    ExitCode.INTERRUPTED: "interrupted; the rollout is not aborted by that",
}
"""What each code says, in the words of the help text."""


def epilog() -> str:
    """The table of codes for `ledger --help`."""
    lines = [f"{code.value:>5}  {meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join(["Exit codes:", *lines])
