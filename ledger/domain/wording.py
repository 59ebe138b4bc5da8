"""Words that several places say alike. Pure."""

from __future__ import annotations

import re
from typing import Protocol

IN_QUEUE = "an agent has it in its queue"
"""What is said of a database that only waits until its agent is through with others."""
_TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|\b\d+ (?:ms|s|min|h|days?)\b")
_SESSION = re.compile(r"\bpid \d+")
BLOCKED, IN_BATCH = "; blocked by ", "; in batch "


def number_of(count: int, noun: str) -> str:
    """`1 database`, `2 databases`; for the nouns of this program, which all add an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def reads_journal(database: str) -> str:
    """What has the journal of a database read now."""
    return f"`ledger fleet check -s id={database}` has it read now"


def age_text(seconds: float) -> str:
    """How long ago, in the largest unit that it has: `40 s`, `2 h`, `3 days`."""
    for length, unit in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= length:
            count = int(seconds // length)
            return number_of(count, unit) if unit == "day" else f"{count} {unit}"
    return f"{int(max(seconds, 0))} s"


def took_text(milliseconds: float) -> str:
    """A duration as people read it: `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


class Failed(Protocol):
    """What is known of a failure; without tenant data."""

    @property
    def message(self) -> str | None:
        """What went wrong."""

    @property
    def sqlstate(self) -> str | None:
        """The server's code for it."""

    @property
    def file(self) -> str | None:
        """The migration's file, or that of its script."""

    @property
    def line(self) -> int | None:
        """Where in the file the statement begins."""

    @property
    def blocker(self) -> str | None:
        """Who held the lock."""

    @property
    def batch(self) -> str | None:
        """Which batch of a data migration it was."""


def failure_text(failure: Failed) -> str:
    """What went wrong, where, and who is in the way, in one line."""
    line = f":{failure.line}" if failure.line else ""
    place = f"{failure.file}{line}: " if failure.file else ""
    state = f" (SQLSTATE {failure.sqlstate})" if failure.sqlstate else ""
    blocker = f"{BLOCKED}{failure.blocker}" if failure.blocker else ""
    batch = f"{IN_BATCH}{failure.batch}" if failure.batch else ""
    return f"{place}{failure.message}{state}{blocker}{batch}"


def ageless(waits_for: str) -> str:
    """What is waited for without what changes while it lasts: moments, and for how long."""
    return _TIMES.sub("…", waits_for)


def same_wait(waits_for: str) -> str:
    """What is waited for without what differs from database to database: sessions and times."""
    return _SESSION.sub("…", ageless(waits_for))


def alike(problem: str) -> str:
    """What went wrong without what differs from database to database: who blocked, which batch."""
    return problem.partition(BLOCKED)[0].partition(IN_BATCH)[0]
