"""Spans of what work on one database waits for, made when each wait is over.

Agents and the commands of `ledger db` hear of waits in words; what kind of wait it is follows from
how these begin, and is told the same way wherever it is said.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from ledger import telemetry
from migrations.clock import Clock

HELD_BY = ", held by "
SAME_WAIT = timedelta(seconds=1)
"""Beginnings of a wait that are nearer to each other are one: two clocks measure it."""


class WaitCause(StrEnum):
    """Kinds of waits, as spans and measurements call them."""

    LOCK = "lock"
    """Somebody else has it."""
    RETRY = "retry"
    """The pause before the next try."""
    CONNECTION = "connection"
    """The server is away."""
    THROTTLE = "throttle"
    """A data migration lets others go first."""


BEGINNINGS = {
    "to try again": WaitCause.RETRY,
    "to connect again": WaitCause.CONNECTION,
    "another session": WaitCause.LOCK,
}
"""How what is waited for begins."""


class WaitSpans:
    """The waits of one piece of work, one after the other.

    `over` is called with the cause and the seconds of each.
    """

    def __init__(
        self, clock: Clock, over: Callable[[WaitCause, float], None] = lambda cause, seconds: None
    ) -> None:
        self._clock = clock
        self._over = over
        self._what = ""
        self._since: datetime | None = None
        self._began: datetime | None = None
        self._within: Context | None = None

    def belong_to_this(self) -> None:
        """Let waits from now on stand below the span that is open now."""
        self._within = otel_context.get_current()

    def begin(self, what: str, since_s: float) -> datetime:
        """Something is waited for, for so many seconds by now. Returns since when.

        Of the next try the seconds are those since the first one: its own pause begins now, behind
        the wait that did not end well.
        """
        now = self._clock.now()
        since = now - timedelta(seconds=since_s)
        cause, before = cause_of(what), cause_of(self._what)
        if self._since is None:
            self._since = self._began = since
        elif cause is WaitCause.RETRY:
            self._since = min(self._since, since)
            if before is not cause:
                self._end_part(now)
                self._began = now
        elif abs(self._since - since) > SAME_WAIT:
            # It is told when it has lasted for a while, and what came before ended when it began.
            self._end_part(since)
            self._since = self._began = since
        elif before is not cause:
            self._end_part(now)
            self._began = now
        self._what = what
        return self._since

    def end(self) -> None:
        """A wait is over, if there was one."""
        if self._since is not None:
            self._end_part(self._clock.now())
            self._since = None

    def cut_short(self, waiting_s: float, error: str = "") -> None:
        """After so many seconds what stood in the way was cancelled; or what waited, with `error`.

        `error` is the class of its failure.
        """
        since = self._clock.now() - timedelta(seconds=waiting_s)
        lock = self._lock() if self._since is not None else ""
        self._trace(telemetry.WATCHDOG_SPAN, since, self._clock.now(), lock, error)

    def _end_part(self, at: datetime) -> None:
        cause, began = cause_of(self._what), self._began or at
        ended = max(at, began)
        self._over(cause, (ended - began).total_seconds())
        self._trace(telemetry.WAIT_SPAN.format(cause=cause), began, ended, self._lock())

    def _lock(self) -> str:
        """The lock that is waited for, if it is one."""
        return self._what.partition(HELD_BY)[0] if cause_of(self._what) is WaitCause.LOCK else ""

    def _trace(
        self, name: str, since: datetime, ended: datetime, lock: str, error: str = ""
    ) -> None:
        """A span from then until then. Who was in the way is not said: names are people's own."""
        if not telemetry.traced():
            return
        span = telemetry.tracer().start_span(
            name,
            context=self._within,
            kind=SpanKind.INTERNAL,
            attributes={telemetry.WAITED_FOR: lock} if lock else {},
            start_time=telemetry.nanoseconds(since),
        )
        if error:
            telemetry.failed(span, error)
        span.end(telemetry.nanoseconds(ended))


def cause_of(what: str) -> WaitCause:
    """Why something is waited for."""
    if HELD_BY in what and not what.startswith(tuple(BEGINNINGS)):
        return WaitCause.LOCK
    found = (cause for begins, cause in BEGINNINGS.items() if what.startswith(begins))
    return next(found, WaitCause.THROTTLE)
