"""What of an event may be told outside: by an allow-list, and escaped. Pure.

A notification goes to chats, pagers and mailboxes that are no part of this system. So nothing that
a server said, no reason that a person gave and no value of a tenant is in a notice: it has ids,
numbers, classes of error and places in files, and of these only characters that mean nothing to
whoever shows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import Recorded
from migrations.model.attempt import Failure, FailureClass, Verdict

MAX_CHARS: Final = 200
"""Of one value as it is shown; what is longer says nothing more in a message."""
_CUT_OFF = re.compile(r"\\u?[0-9a-f]{0,5}$")
"""What may be half of a character that is escaped."""
_MEANS_SOMETHING = re.compile(
    r"[^A-Za-z0-9 ._:/+,=()%-]"
    r"|(?<![A-Za-z0-9_])_+|_+(?![A-Za-z0-9_])"  # leans, where a word begins or ends with it
    r"|(?<=:)/(?=/)|(?<=\bwww)\.",  # begins a link
    re.IGNORECASE,
)
_STREAM = re.compile(r"(?:rollout|check)-([A-Za-z0-9._-]{1,100})(?:/reports)?")


class NoticeSeverity(StrEnum):
    """How much a person is needed: not, today, or now."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    def reaches(self, least: NoticeSeverity) -> bool:
        """Whether it is at least so severe."""
        order = list(NoticeSeverity)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told of one event; every text is harmless wherever it is shown.

    What is `routine` is told only to whoever asks for its type by name. `error` is the class of
    what went wrong, `place` where in a file, `command` what to type next.
    """

    event: str
    severity: NoticeSeverity
    routine: bool
    position: int
    at: datetime
    headline: str
    rollout: str = ""
    database: str = ""
    migration: str = ""
    error: str = ""
    place: str = ""
    command: str = "ledger status"
    target: str = ""
    """Of a notification that could not be delivered: where to."""


def harmless(text: str) -> str:
    """A text in which nothing is markup, a mention, a link or a line end, whoever shows it.

    A name with dots stays as it is, to be read and typed: programs that make a link of `db.example`
    do so with every file's name, and it leads nowhere but to what it says.
    """
    shown = _MEANS_SOMETHING.sub(_written, text[:MAX_CHARS])
    if len(text) <= MAX_CHARS >= len(shown):
        return shown
    return _CUT_OFF.sub("", shown[:MAX_CHARS]) + "..."


def _written(found: re.Match[str]) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in found[0])


def notice_of(recorded: Recorded) -> Notice:
    """What may be told of an event."""
    event = recorded.event
    name = event.type if isinstance(event, r.Unreadable) else type(event).__name__
    severity, headline = _told(event)
    routine = severity is None or isinstance(event, ROUTINE)
    failure = getattr(event, "failure", None)
    rollout = _rollout(recorded)
    database = harmless(_text(event, "database"))
    return Notice(
        event=harmless(name),
        severity=severity or NoticeSeverity.INFO,
        routine=routine,
        position=recorded.position,
        at=recorded.recorded_at,
        headline=headline,
        rollout=rollout,
        database=database,
        migration=harmless(_text(event, "version")),
        error=_error(failure) if isinstance(failure, Failure) else "",
        place=_place(failure) if isinstance(failure, Failure) else "",
        command=_command(event, rollout, database),
        target=event.target if isinstance(event, e.NotificationFailed) else "",
    )


SEVERITIES: Final[dict[type[r.Event], NoticeSeverity]] = {
    e.RolloutStarted: NoticeSeverity.INFO,
    e.RolloutPaused: NoticeSeverity.INFO,
    e.RolloutResumed: NoticeSeverity.INFO,
    e.RolloutCompleted: NoticeSeverity.INFO,
    e.RolloutAborted: NoticeSeverity.WARNING,
    e.UndoStarted: NoticeSeverity.WARNING,
    e.RolloutHalted: NoticeSeverity.CRITICAL,
    r.MigrationFailed: NoticeSeverity.WARNING,
    e.AttemptTimedOut: NoticeSeverity.CRITICAL,
    e.MigrationRegressed: NoticeSeverity.CRITICAL,
    r.AttemptFinished: NoticeSeverity.WARNING,
    e.ReportContradicted: NoticeSeverity.WARNING,
    r.OutsideChangeFound: NoticeSeverity.WARNING,
    e.DatabaseLeftOut: NoticeSeverity.INFO,
    e.DriftDetected: NoticeSeverity.WARNING,
    e.DriftEnded: NoticeSeverity.INFO,
    e.DatabaseFenceReset: NoticeSeverity.WARNING,
    e.KeyRevoked: NoticeSeverity.WARNING,
    e.MessageParked: NoticeSeverity.WARNING,
    e.EventSetAside: NoticeSeverity.INFO,
    e.LeadershipTaken: NoticeSeverity.INFO,
    e.NotificationFailed: NoticeSeverity.WARNING,
    e.DifferenceFound: NoticeSeverity.CRITICAL,
}
"""How severe what is told unasked is; an attempt, a rollout's end and a report that contradicts are
weighed one by one."""
ROUTINE: Final = (r.MigrationFailed,)
"""Told by name alone, though severe: the attempt that ends by it says the same."""
_COMES_BACK: Final = frozenset({FailureClass.EXPIRED, FailureClass.CLOCK, FailureClass.PREFLIGHT})
"""What is ordered again by itself."""

Teller = Callable[[Any], tuple[NoticeSeverity | None, str]]


def _attempt(event: r.AttemptFinished) -> tuple[NoticeSeverity | None, str]:
    match event.verdict:
        case Verdict.FAILED:
            return NoticeSeverity.WARNING, "a database failed"
        case Verdict.REFUSED:
            back = event.failure is not None and event.failure.kind in _COMES_BACK
            return None if back else NoticeSeverity.WARNING, "a database was not touched"
        case Verdict.DONE | Verdict.EXPIRED | Verdict.CANCELLED:
            return None, f"an attempt ended as {event.verdict}"


def _completed(event: e.RolloutCompleted) -> tuple[NoticeSeverity | None, str]:
    # It may be one that takes another back.
    done = f"{event.applied:,} done, {event.skipped:,} had nothing to do"
    severity = NoticeSeverity.WARNING if event.failed else NoticeSeverity.INFO
    return severity, f"a rollout is complete: {done}, {event.failed:,} failed"


def _contradicted(event: e.ReportContradicted) -> tuple[NoticeSeverity | None, str]:
    severity = NoticeSeverity.CRITICAL if event.effect else NoticeSeverity.WARNING
    return severity, "a report takes back what the log holds"


def _undelivered(event: e.NotificationFailed) -> tuple[NoticeSeverity | None, str]:
    given_up = f", {event.given_up:,} given up" if event.given_up else ""
    headline = f"{harmless(event.target)} takes no notifications: {event.waiting:,} wait{given_up}"
    return NoticeSeverity.WARNING, headline


def _differs(event: e.DifferenceFound) -> tuple[NoticeSeverity | None, str]:
    place = f"({harmless(event.place)})"
    match event.audited:
        case e.Audited.CHAIN:
            return NoticeSeverity.CRITICAL, f"the log is not what was recorded {place}"
        case e.Audited.KEPT_END:
            return NoticeSeverity.CRITICAL, f"the log was hashed again or cut off {place}"
        case e.Audited.ROWS:
            rows = f"{event.differences:,} rows are not what the log says {place}"
            return NoticeSeverity.CRITICAL, rows
        case _:
            assert_never(event.audited)


_TELLERS: Final[dict[type[r.Event], Teller]] = {
    r.AttemptFinished: _attempt,
    e.RolloutCompleted: _completed,
    e.ReportContradicted: _contradicted,
    e.NotificationFailed: _undelivered,
    e.DifferenceFound: _differs,
}
_HEADLINES: Final[dict[type[r.Event], str]] = {
    e.RolloutPlanned: "a rollout was planned",
    e.RolloutStarted: "a rollout has started",
    e.RolloutPaused: "a rollout is paused",
    e.RolloutResumed: "a rollout goes on",
    e.RolloutAborted: "a rollout was aborted",
    e.UndoStarted: "a rollout is taken back",
    e.RolloutHalted: "a rollout stopped itself",
    e.AttemptTimedOut: "a database gave no answer in time: its state is unknown",
    e.MigrationRegressed: "a database lost a migration that was applied",
    e.DatabaseLeftOut: "a database was left out",
    r.MigrationFailed: "a migration failed",
    r.MigrationApplied: "a migration was applied",
    r.MigrationRolledBack: "a migration was rolled back",
    r.OutsideChangeFound: "a database was changed outside of the ledger",
    e.DriftDetected: "a schema has drifted",
    e.DriftEnded: "a schema has drifted no more",
    e.DatabaseFenceReset: "an order was found that the ledger never gave",
    e.KeyRevoked: "a key was revoked",
    e.MessageParked: "a message was not believed",
    e.EventSetAside: "an event that nobody can read was set aside",
    e.LeadershipTaken: "another process leads",
}


def _told(event: r.Event) -> tuple[NoticeSeverity | None, str]:
    """How severe an event is, and what happened, in a few words of ours."""
    kind = type(event)
    if isinstance(event, r.Unreadable):
        return NoticeSeverity.WARNING, "an event cannot be read"
    if kind in _TELLERS:
        return _TELLERS[kind](event)
    return SEVERITIES.get(kind), _HEADLINES.get(kind) or f"{kind.__name__} was recorded"


def _error(failure: Failure) -> str:
    state = f" SQLSTATE {failure.sqlstate}" if failure.sqlstate else ""
    return harmless(f"{failure.kind}{state}")


def _place(failure: Failure) -> str:
    if not failure.file:
        return ""
    return harmless(f"{failure.file}:{failure.line}" if failure.line else failure.file)


def _rollout(recorded: Recorded) -> str:
    found = _STREAM.fullmatch(recorded.stream)
    return found[1] if found and recorded.stream.startswith("rollout-") else ""


def _command(event: r.Event, rollout: str, database: str) -> str:
    """What shows more, and what can be done."""
    match event:
        case e.DriftDetected() | e.DriftEnded():
            return "ledger drift"
        case e.NotificationFailed():
            return "ledger notify list"
        case e.DifferenceFound():
            rows = event.audited is e.Audited.ROWS
            return "ledger replay" if rows else "ledger audit verify"
        case e.MessageParked() | e.LeadershipTaken() | e.EventSetAside() | e.KeyRevoked():
            return "ledger status"
        case r.Unreadable():
            return "ledger audit verify"
        case e.RolloutStarted() if rollout:
            return f"ledger rollout watch {rollout}"
        case _ if rollout:
            return f"ledger rollout status {rollout}"
        case _ if database:
            return f"ledger status {database}"
        case _:
            return "ledger status"


def _text(event: r.Event, name: str) -> str:
    value = getattr(event, name, "")
    return value if isinstance(value, str) else ""
