"""What a check found wrong, with what the ledger knew of the databases before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from sys import intern

from ledger.contracts.events import CheckFinished, CheckRequested, Purpose
from ledger.domain.check_results import ACCEPTED, SHARED_LOGIN, lost, problem, twins, unseen
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.outcomes import in_force
from ledger.domain.refusals import FenceUnread
from ledger.errors import UnknownCheck
from ledger.service.check_rows import CheckResult, CheckRow, CheckRows, FoldedRow, JournalReading
from ledger.service.fleet_reader import FleetReader
from ledger.service.table_sizes import table_sizes
from ledger.store.log.decode import open_event
from ledger.store.port import Log, LookStore
from ledger.store.views.port import PAGE, Views
from ledger.store.views.rows import AppliedRow
from migrations.clock import Clock
from migrations.lint.finding import LargestTable
from migrations.model.attempt import Epoch, ForgedFence

APPLIED, REGRESSED = "applied", "regressed"
LOOK_EVERY_S = 0.3
"""How often somebody who waits for a check looks whether it is over."""
TOLD_EVERY_S = 5.0
"""How often somebody who waits for a check is told how many have answered."""
TOGETHER = 200
"""Databases of which the answers, and all that they have, are held at once."""
Heard = Callable[[int, int], None]
"""Told how many databases of how many have answered so far."""
_Place = tuple[str, int]
"""A server, and the object id of a database there."""


class CheckService:
    """What agents answered in a check, and what that means."""

    def __init__(self, reads: Views, log: Log, looks: LookStore, clock: Clock) -> None:
        self._clock = clock
        self._reads = reads
        self._log = log
        self._looks = looks

    async def answers(
        self, check: str, timeout_s: float = 0.0, heard: Heard | None = None
    ) -> CheckResult:
        """What has come when the check is finished, or after `timeout_s`. Raises `UnknownCheck`.

        Where that takes long, `heard` is told how many have answered, whenever there are more.
        """
        began = self._clock.monotonic()
        until, tell_at, answered = began + timeout_s, began + TOLD_EVERY_S, 0
        asked: CheckRequested | None = None
        position, version, finished = 0, 0, False
        while True:
            async for raw in self._log.read_stream(f"check-{check}", version):
                version, event = raw.stream_version, open_event(raw).event
                if isinstance(event, CheckRequested):
                    asked, position = event, raw.position
                finished = finished or isinstance(event, CheckFinished)
            if asked is None:
                raise UnknownCheck(check)
            if finished or self._clock.monotonic() >= until:
                break
            if heard is not None and self._clock.monotonic() >= tell_at:
                tell_at += TOLD_EVERY_S
                before, answered = answered, await self._looks.number_of(check)
                if before < answered < len(asked.databases):
                    heard(answered, len(asked.databases))
            await self._clock.sleep(LOOK_EVERY_S)
        rows = await self._rows(check, tuple(dict.fromkeys(asked.databases)))
        return CheckResult(check, finished, position, CheckRows(rows))

    async def reading(self, check: str, timeout_s: float) -> JournalReading:
        """What the look at one reinstated or moved database found, once there is an answer.

        Of one that cannot be read the first answer is told: agents go on trying.
        """
        until = self._clock.monotonic() + timeout_s
        while True:
            result = await self.answers(check)
            (row,) = result.rows
            failed = row.answer is not None and unseen(row.answer) is not None
            if result.finished or failed or self._clock.monotonic() >= until:
                break
            await self._clock.sleep(LOOK_EVERY_S)
        if row.answer is None or failed:
            return JournalReading(problem=unseen(row.answer) if row.answer else None)
        if not result.finished:
            return JournalReading()
        rows = await self._reads.applied([row.database])
        before = [one.version for one in rows if _was_in_force_until(one, result.position)]
        return JournalReading(
            finished=True,
            in_force=len(in_force(row.answer.entries)),
            lost=tuple(sorted(lost(Purpose.REINSTATE, row.answer, before, None))),
            busy=(await self._reads.busy([row.database])).get(row.database),
        )

    async def snapshots(self, check: str, databases: Sequence[str]) -> Mapping[str, str]:
        """The schemas that these databases sent to a check not long ago, as they were sent."""
        return await self._looks.snapshots(check, databases)

    async def table_sizes(
        self, names: Collection[str], databases: Sequence[str], limit_mb: float
    ) -> dict[str, LargestTable]:
        """As `ledger.service.table_sizes.table_sizes`."""
        return await table_sizes(self._log, self._looks, names, databases, limit_mb)

    async def _rows(self, check: str, databases: Sequence[str]) -> list[FoldedRow]:
        """What was answered, in the order of the request."""
        answers: dict[str, tuple[int, bytes]] = {}
        after = ""
        while page := await self._looks.of_check(check, after):
            answers.update({one.database: (one.schema_version, one.body) for one in page})
            after = page[-1].database
        reader = FleetReader(self._log, self._reads)
        rows: list[FoldedRow] = []
        for start in range(0, len(databases), PAGE):
            some = databases[start : start + PAGE]
            fleet = (await reader.some(some)).databases
            for name in some:
                record = fleet[name]
                role = record.connection.role
                rows.append(FoldedRow(name, record.pool, role, answers.get(name)))
        return rows

    async def problems(self, result: CheckResult) -> Mapping[str, str]:
        """The databases with which something is wrong, and what; silent ones are not among them.

        The answers are looked at a few at a time; once more those of databases that seem to be the
        same as another one.
        """
        found: dict[str, str] = {}
        at: dict[str, _Place] = {}
        others: dict[str, _Place] = {}
        for start in range(0, len(result.rows), TOGETHER):
            rows = _answered(result.rows[start : start + TOGETHER])
            places = {name: place for name, row in rows.items() if (place := _place(row))}
            there = await self._reads.records_at(list(rows), set(places.values()))
            records = {record.database: record for record in there}
            at |= places
            for record in there:
                known = record.expected.identity
                if record.database not in rows and known is not None:
                    others[record.database] = (known.system_identifier, known.database_oid)
            found |= await self._wrong(rows, records, {}, result.position)
        numbers = Counter((others | at).values())
        doubled = frozenset(name for name, place in at.items() if numbers[place] > 1)
        if doubled:
            there = await self._reads.records_at(list(doubled), {at[name] for name in doubled})
            records = {record.database: record for record in there}
            rows = _answered(row for row in result.rows if row.database in records)
            answers = {name: row.answer for name, row in rows.items() if row.answer}
            doubles = twins(there, answers)
            doubled_rows = {name: rows[name] for name in doubles}
            found |= await self._wrong(doubled_rows, records, doubles, result.position)
        return found

    async def _wrong(
        self,
        rows: Mapping[str, CheckRow],
        records: Mapping[str, DatabaseRecord],
        doubles: Mapping[str, str],
        asked_position: int,
    ) -> dict[str, str]:
        """What is wrong with some databases that answered."""
        applied: dict[str, list[str]] = {}
        for one in await self._reads.applied(list(rows)):
            if _was_in_force(one, asked_position):
                applied.setdefault(one.database, []).append(one.version)
        # Asked after the answers: what a journal names was given before it was read.
        head = await self._log.head()
        issued = Epoch(head.term, head.position)
        busy = await self._reads.busy(list(rows))
        found: dict[str, str] = {}
        for database, row in rows.items():
            answer, record = row.answer, records.get(database)
            if answer is None:
                continue
            known = record.expected.identity if record is not None else None
            wrong = problem(
                answer,
                known,
                doubles.get(database),
                lost(Purpose.CHECK, answer, applied.get(database, ()), known),
                record.connection.role if record is not None else None,
                shared_login=record is not None and record.labels.get(SHARED_LOGIN) == ACCEPTED,
                issued=issued if answer.owner in ("", str(head.ledger_id)) else None,
                busy=busy.get(database),
            )
            if wrong is not None:
                found[database] = wrong
        return found

    async def fence(self, result: CheckResult, database: str) -> tuple[ForgedFence, Epoch]:
        """Where the journal of a checked database ends, and how far this ledger has come.

        Raises `FenceUnread`.
        """
        (row,) = (row for row in result.rows if row.database == database)
        answer = row.answer
        if answer is None:
            raise FenceUnread(database, "no agent answered; does `ledger-agent run` work there?")
        if answer.failure is not None or not answer.reachable:
            raise FenceUnread(database, answer.failure.message if answer.failure else "not reached")
        head = await self._log.head()
        if answer.owner not in ("", str(head.ledger_id)):
            raise FenceUnread(
                database, f"it belongs to the fleet of ledger {answer.owner}; retire it there first"
            )
        if answer.epoch is None or answer.journal_head is None:
            raise FenceUnread(database, "it has none; `ledger up` makes it")
        return ForgedFence(answer.epoch, answer.journal_head), Epoch(head.term, head.position)


def _was_in_force_until(one: AppliedRow, asked_position: int) -> bool:
    """Whether the log said so when a look was asked for, and no look has said otherwise before."""
    if one.command is None:
        return False
    if one.state == REGRESSED:
        return one.position > asked_position
    return one.state == APPLIED and one.position < asked_position


def _answered(rows: Iterable[CheckRow]) -> dict[str, CheckRow]:
    return {row.database: row for row in rows if row.answer is not None}


def _place(row: CheckRow) -> _Place | None:
    """Which database of which server answered, as far as that is known."""
    answer = row.answer
    place = (answer.place or answer.identity) if answer is not None else None
    return None if place is None else (intern(place.system_identifier), place.database_oid)


def _was_in_force(one: AppliedRow, asked_position: int) -> bool:
    """Whether the log said so when looks were asked for; its loss may have been recorded since."""
    if one.command is None:
        return False
    return one.position < asked_position if one.state == APPLIED else one.state == REGRESSED
