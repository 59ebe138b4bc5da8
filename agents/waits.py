"""What one job waits for: heartbeats say it, and its end is measured and becomes a span."""

from __future__ import annotations

from datetime import timedelta

from agents.job import Job, JobPhase
from ledger import instruments, telemetry
from ledger.wait_spans import WaitCause, WaitSpans
from migrations.clock import Clock

_waited = instruments.histogram(instruments.WAITED)


class Waits:
    """The waits of one job, one after the other."""

    def __init__(self, job: Job, pool: str, clock: Clock) -> None:
        self._job = job
        self._pool = pool
        self._clock = clock
        self._spans = WaitSpans(clock, self._over)
        self.belong_to_this = self._spans.belong_to_this
        self.cut_short = self._spans.cut_short

    def begin(self, what: str, since_s: float, retry_in_s: float | None) -> None:
        """Something is waited for, for so many seconds by now."""
        job = self._job
        job.waiting_since = self._spans.begin(what, since_s)
        job.phase, job.waits_for = JobPhase.WAITING, what
        again = timedelta(seconds=retry_in_s) if retry_in_s else None
        job.next_try_at = self._clock.now() + again if again else None

    def end(self) -> None:
        """A wait is over, if there was one."""
        self._job.waiting_since = None
        self._spans.end()

    def _over(self, cause: WaitCause, seconds: float) -> None:
        _waited.record(seconds, {telemetry.POOL: self._pool, telemetry.WAIT_CAUSE: cause.value})
