"""Takes in the answers of looks that people asked for: keeps each, and says which are news.

The request of a check is the order of its looks (`ledger.domain.checks`), so an answer is believed
if the request asked for it, whoever led when the look was sent. What it found is kept outside the
log for whoever waits; recorded is what makes another belief of the database, and that a journal was
read which must not stay unread.

```
answer ─▶ asked for? ─▶ awaited still? ─▶ news? ── yes ─▶ the log
            │ no             │ no           │
            ▼                ▼              └────────────▶ kept, and the check goes on
          parked         passed over
```

News go to the log before the answer is kept, and both before its place on the bus moves: after a
crash in between it is read again, and finds a look that is awaited, or one that is answered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.events import CheckRequested, Purpose
from ledger.contracts.messages import Received
from ledger.contracts.reports import DatabaseInspected, Report
from ledger.domain.checks import CheckState, answered, attempt_of, begin, is_awaited
from ledger.domain.report_check import Asked, decided_in
from ledger.leader.fleet_cache import Roster
from ledger.leader.subscription import Subscriber
from ledger.leader.wakeups import Alarm
from ledger.store.log.decode import open_event
from ledger.store.port import FoundLook, Log, LookStore
from ledger.store.views.projection import reads_journal
from migrations.clock import Clock

CHECK_PREFIX = "check-"
REQUEST = (CheckRequested.__name__,)
REMEMBERED = 8
"""Checks that are over and whose late answers are known for what they are, without a look."""


class Answered(Protocol):
    """A report as it came in: what it says, and the bytes of it."""

    @property
    def stream(self) -> str:
        """Of which reports."""

    @property
    def report(self) -> Report:
        """What it says."""

    @property
    def message(self) -> Received:
        """How it came."""


class Awaited(NamedTuple):
    """An answer that a check waits for."""

    check: str
    attempt: int
    answer: DatabaseInspected
    is_news: bool


class LookDesk:
    """Knows the checks that are under way, and takes the answers to their looks."""

    def __init__(self, log: Log, roster: Roster, store: LookStore, clock: Clock) -> None:
        self._log = log
        self._roster = roster
        self._store = store
        self._clock = clock
        self._over: OrderedDict[str, CheckState | None] = OrderedDict()
        self.checks: dict[str, CheckState] = {}
        self.alarm = Alarm(clock)
        self.hearers: Sequence[Subscriber] = ()
        """Who sends looks and remembers what was asked: they hear of answers as if recorded."""

    async def asked(self, stream: str, report: Report) -> Asked | None:
        """What this answers of what a check asked for; `None` if it asked for nothing of the kind.

        It may have been sent by an earlier leader, or for a check that is over.
        """
        check = check_of(stream)
        if check is None or not isinstance(report, DatabaseInspected):
            return None
        state = self.checks.get(check) or await self._over_already(check)
        attempt = attempt_of(state, report) if state is not None else None
        record = self._roster.get(report.database)
        if attempt is None or record is None:
            return None
        return Asked(report.command, report.database, attempt, pool=record.pool)

    def awaited(self, answers: Iterable[Answered]) -> dict[int, Awaited]:
        """Those of these that are waited for, by their number: one of each look."""
        found: dict[tuple[str, str], tuple[int, Awaited]] = {}
        for number, one in enumerate(answers):
            check, report = check_of(one.stream), one.report
            state = self.checks.get(check) if check is not None else None
            if check is None or state is None or not isinstance(report, DatabaseInspected):
                continue
            attempt, key = attempt_of(state, report), (check, report.database)
            if attempt is None or not is_awaited(state, report.database, attempt):
                continue
            if key in found and not _says_more(found[key][1], attempt, state):
                continue
            found[key] = number, Awaited(check, attempt, report, self._is_news(state, report))
        return dict(found.values())

    async def keep(self, answers: Sequence[tuple[Awaited, int, bytes]]) -> None:
        """Keep these with their versions and bodies, which have no snapshot; their checks go on."""
        now = self._clock.now()
        await self._store.put(
            [
                FoundLook(
                    f"{CHECK_PREFIX}{one.check}",
                    one.answer.database,
                    one.attempt,
                    reads_journal(one.answer),
                    version,
                    body,
                    one.answer.snapshot,
                )
                for one, version, body in answers
            ]
        )
        by_check: dict[str, dict[str, tuple[int, bool]]] = {}
        for one, _, _ in answers:
            said = (one.attempt, reads_journal(one.answer))
            by_check.setdefault(one.check, {})[one.answer.database] = said
        for check, attempts in by_check.items():
            self.checks[check] = answered(self.checks[check], attempts, now)
        self._tell([one for one, _, _ in answers])
        self.alarm.touch(by_check)

    def forget(self, check: str) -> None:
        """This check is over: what answers it from now on comes too late."""
        state = self.checks.pop(check, None)
        if state is not None:
            self._remember(check, state)
        self.alarm.set(check, None)

    def _is_news(self, state: CheckState, answer: DatabaseInspected) -> bool:
        if state.purpose is Purpose.REINSTATE and reads_journal(answer):
            return True
        return self._roster.learns_from(answer)

    def _tell(self, answers: Sequence[Awaited]) -> None:
        heard = [
            Recorded(
                position=self.checks[one.check].position,
                stream=f"{CHECK_PREFIX}{one.check}/reports",
                stream_version=0,
                event_id=one.answer.command,
                event=one.answer,
                metadata=Metadata(),
                recorded_by="",
                recorded_at=self._clock.now(),
            )
            for one in answers
        ]
        for hearer in self.hearers:
            hearer.saw(heard)

    async def _over_already(self, check: str) -> CheckState | None:
        """A check that is over, as it was asked for; `None` where nobody has asked."""
        if check not in self._over:
            events = self._log.read_stream(f"{CHECK_PREFIX}{check}", types=REQUEST)
            first = [open_event(raw) async for raw in events][:1]
            known = first and isinstance(first[0].event, CheckRequested)
            self._remember(check, begin(first[0]) if known else None)
        return self._over[check]

    def _remember(self, check: str, state: CheckState | None) -> None:
        self._over[check] = state
        if len(self._over) > REMEMBERED:
            self._over.popitem(last=False)


def _says_more(first: Awaited, attempt: int, state: CheckState) -> bool:
    """Whether the answer to another look counts, where one that came with it could not be read."""
    unread = state.purpose is Purpose.REINSTATE and not reads_journal(first.answer)
    return unread and attempt > first.attempt


def check_of(stream: str) -> str | None:
    """The check whose request or reports this stream holds, if it is one of those."""
    if not stream.startswith(CHECK_PREFIX):
        return None
    return decided_in(stream).removeprefix(CHECK_PREFIX)
