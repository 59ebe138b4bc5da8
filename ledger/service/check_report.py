"""What a check found wrong, with what the ledger knew of the databases before."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.contracts.events import Purpose
from ledger.domain.check_results import ACCEPTED, SHARED_LOGIN, lost, problem, twins
from ledger.domain.refusals import FenceUnread
from ledger.service.fleet import CheckResult, CheckRow, FleetService
from ledger.store.port import Log
from ledger.store.views.port import Views
from ledger.store.views.rows import AppliedRow
from migrations.clock import Clock
from migrations.model.attempt import Epoch, ForgedFence

APPLIED, REGRESSED = "applied", "regressed"


class CheckService:
    """What agents answered in a check, and what that means."""

    def __init__(self, fleet: FleetService, reads: Views, log: Log, clock: Clock) -> None:
        self._clock = clock
        self._fleet = fleet
        self._reads = reads
        self._log = log

    async def answers(self, check: str, timeout_s: float) -> CheckResult:
        """What has come when the check is finished, or after `timeout_s`. Raises `UnknownCheck`."""
        return await self._fleet.check_result(check, timeout_s)

    async def problems(self, result: CheckResult) -> Mapping[str, str]:
        """The databases with which something is wrong, and what; silent ones are not among them."""
        answers = {row.database: row.look.answer for row in result.rows if row.look.answer}
        seen = (answer.place or answer.identity for answer in answers.values())
        places = {(one.system_identifier, one.database_oid) for one in seen if one is not None}
        known_there = await self._reads.records_at(list(answers), places)
        records = {record.database: record for record in known_there}
        looks = {row.database: row for row in result.rows}
        applied: dict[str, list[str]] = {}
        for one in await self._reads.applied(list(answers)):
            if _was_in_force(one, looks):
                applied.setdefault(one.database, []).append(one.version)
        doubles = twins(records.values(), answers)
        # Asked after the answers: what a journal names was given before it was read.
        head = await self._log.head()
        issued = Epoch(head.term, head.position)
        busy = await self._reads.busy(list(answers))
        found: dict[str, str] = {}
        for database, answer in answers.items():
            record = records.get(database)
            known = record.expected.identity if record is not None else None
            missing = lost(Purpose.CHECK, answer, applied.get(database, ()), known)
            role = record.connection.role if record is not None else None
            accepted = record is not None and record.labels.get(SHARED_LOGIN) == ACCEPTED
            twin = doubles.get(database)
            ours = answer.owner in ("", str(head.ledger_id))
            wrong = problem(
                answer,
                known,
                twin,
                missing,
                role,
                shared_login=accepted,
                issued=issued if ours else None,
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
        answer = row.look.answer
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


def _was_in_force(one: AppliedRow, looks: Mapping[str, CheckRow]) -> bool:
    """Whether the log said so when the look was ordered; its loss may have been recorded since."""
    if one.command is None:
        return False
    asked = looks[one.database].look.asked_position
    return one.position < asked if one.state == APPLIED else one.state == REGRESSED
