"""What one job waits for: heartbeats say it, and its end is measured and becomes a span."""

from __future__ import annotations

from datetime import datetime, timedelta

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from agents.job import Job, JobPhase
from ledger import instruments, telemetry
from migrations.clock import Clock

SAME_WAIT = timedelta(seconds=1)
"""Beginnings of a wait that are nearer to each other are one: two clocks measure it."""
HELD_BY = ", held by "
CAUSES = {"to try again": "retry", "to connect again": "connection", "another session": "lock"}
"""How what is waited for begins, and what the conventions of this house call the cause."""
THROTTLE = "throttle"
LOCK = "lock"

_waited = instruments.histogram(instruments.WAITED)


class Waits:
    """The waits of one job, one after the other."""

    def __init__(self, job: Job, pool: str, clock: Clock) -> None:
        self._job = job
        self._pool = pool
        self._clock = clock
        self._what = ""
        self._since = clock.now()
        self._within: Context | None = None

    def belong_to_this(self) -> None:
        """Let waits from now on stand below the span that is open now."""
        self._within = otel_context.get_current()

    def begin(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Something is waited for, for so many seconds by now."""
        job, now = self._job, self._clock.now()
        job.phase, job.waits_for = JobPhase.WAITING, what
        since = now - timedelta(seconds=since_s)
        if job.waiting_since is None or abs(job.waiting_since - since) > SAME_WAIT:
            self.end()
            job.waiting_since = self._since = since
        elif cause_of(what) != cause_of(self._what):
            # A lock that did not come in time, and the pause behind it, are two spans of one wait.
            self._trace_wait()
            self._since = now
        self._what = what
        job.next_try_at = now + timedelta(seconds=retry_in_s) if retry_in_s else None

    def end(self) -> None:
        """A wait is over, if there was one."""
        since, self._job.waiting_since = self._job.waiting_since, None
        if since is not None:
            waited = (self._clock.now() - since).total_seconds()
            _waited.record(max(waited, 0.0), {telemetry.POOL: self._pool})
            self._trace_wait()

    def cut_short(self, waiting_s: float) -> None:
        """What stood in the way was cancelled after so many seconds."""
        self._trace(telemetry.WATCHDOG_SPAN, self._clock.now() - timedelta(seconds=waiting_s))

    def _trace_wait(self) -> None:
        cause = cause_of(self._what)
        lock = self._what.partition(HELD_BY)[0] if cause == LOCK else ""
        self._trace(telemetry.WAIT_SPAN.format(cause=cause), self._since, lock)

    def _trace(self, name: str, since: datetime, lock: str = "") -> None:
        """A span from then until now. Who was in the way is not said: names are people's own."""
        if not telemetry.traced():
            return
        span = telemetry.tracer().start_span(
            name,
            context=self._within,
            kind=SpanKind.INTERNAL,
            attributes={telemetry.WAITED_FOR: lock} if lock else {},
            start_time=telemetry.nanoseconds(since),
        )
        span.end(telemetry.nanoseconds(self._clock.now()))


def cause_of(what: str) -> str:
    """Why something is waited for, in one word."""
    if HELD_BY in what and not what.startswith(tuple(CAUSES)):
        return LOCK
    return next((cause for begins, cause in CAUSES.items() if what.startswith(begins)), THROTTLE)
