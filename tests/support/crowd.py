"""A fleet of any size in the middle of a bad night: databases in every state that a rollout knows.

The log and its leader are real, the databases are names, and agents answer as `CASES` says. What
stands in the ledger then is read by tests as a person reads it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ledger.cli.fleet.entries import FleetFileEntry
from ledger.contracts.commands import ApplyCommand, Command, InspectCommand
from ledger.contracts.events import Purpose
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.registry import Connection
from ledger.contracts.reports import (
    AttemptFinished,
    BatchProgressed,
    DatabaseIdentified,
    DatabaseInspected,
    MigrationFailed,
    Report,
)
from ledger.contracts.wire import encode_heartbeat
from ledger.domain.tally import AT_WORK
from ledger.service.request_context import RequestContext
from migrations.catalog.snapshot import fingerprint_of
from migrations.model.attempt import Failure, FailureClass, Identity, Verdict
from migrations.model.preflight import PreflightCheck, PreflightResult, PreflightVerdict
from tests.support.house import (
    POOL,
    Actor,
    House,
    answers,
    finished,
    found,
    identity_of,
    seen,
)

ELSEWHERE = "eu"
"""A pool of a tenth of the fleet, in which no agent works."""
HOSTILE = "\x1b[2Jgone\r\nledger: all is well\x07"
"""What a tenant or an author would write to be mistaken for the program."""
LONG = "tenant-0017-of-the-north-eastern-region-which-likes-long-names"
"""The name of one database, as long as a person would think of."""
VERSION, NEXT = "20260402120000", "20260403090000"
FILE = f"{VERSION}_unique.sql"


def _failure(message: str, sqlstate: str | None, line: int = 2) -> Failure:
    return Failure(kind=FailureClass.SQL, message=message, sqlstate=sqlstate, file=FILE, line=line)


DUPLICATE = _failure('could not create unique index "invoices_number_key"', "23505")
LATE = _failure("canceling statement due to statement timeout", "57014")
SPOKEN = _failure(f"value too long for {HOSTILE}", "22001", 7)
HALF = _failure("division by zero", "22012", 11)
DOUBTFUL = Failure(
    kind=FailureClass.IN_DOUBT,
    message="the connection ended in the middle of CREATE INDEX CONCURRENTLY",
    file=FILE,
    line=3,
)


@dataclass
class Crowd:
    """A fleet of `size` databases, and the rollout that halted there."""

    house: House
    size: int
    rollout: str = ""
    looked: set[object] = field(default_factory=set)
    heads: dict[str, str | None] = field(default_factory=dict)
    """How the journal of each database ends that has one."""

    @property
    def names(self) -> list[str]:
        """All databases."""
        return [LONG if at == 17 else f"tenant-{at:04}" for at in range(self.size)]

    async def gathers(self) -> None:
        """Register all, roll out, and have agents answer until it has halted."""
        await self._joins()
        house = self.house
        house.migration(VERSION)
        (house.folder / f"{VERSION}_change.sql").rename(house.folder / FILE)
        async with house.leading(), house.actor() as actor:
            self.rollout = await house.start(
                waves=f"{self.size // 6},{self.size // 6 * 4},rest",
                budget=str(max(self.size // 50, 1)),
                in_flight=self.size,
                when_spent="halt",
            )
            await self._first_wave(actor)
            await self._second_wave(actor)
            await self._comes_to_rest()
            await house.ledger.fleet.retire(self.names[-1], RequestContext("has moved away"))
            await house.ledger.fleet.suspend(self.names[-2], RequestContext(HOSTILE, "CHG-7"))
        house.migration(NEXT)
        (house.folder / f"{NEXT}_change.sql").rename(house.folder / f"{NEXT}_next.sql")

    @asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        """Have it led until the block ends, with an agent in one of its pools that can be asked."""
        async with self.house.leading(), self.house.actor() as actor:
            working = asyncio.create_task(self._works(actor))
            try:
                await found(self._is_heard, "an agent is heard of")
                yield
            finally:
                working.cancel()
                with suppress(asyncio.CancelledError):
                    await working

    async def _joins(self) -> None:
        entries = [
            FleetFileEntry(
                name,
                POOL if self._answers(at) else ELSEWHERE,
                Connection.at(host=f"db{at % 4}.internal", database=name, user="app"),
                {"tier": "gold" if at % 3 else "silver"},
            )
            for at, name in enumerate(self.names)
        ]
        await self.house.ledger.fleet.import_(entries, RequestContext("spring", "CHG-1"))

    async def _first_wave(self, actor: Actor) -> None:
        await self._heard(actor, self.size // 6)
        for command in _orders(actor):
            await self._tell(actor, command, well(command))

    async def _second_wave(self, actor: Actor) -> None:
        already = len(_orders(actor))
        await self._heard(actor, sum(self._answers(at) for at in range(self.size // 6 * 5)))
        fresh = sorted(_orders(actor)[already:], key=lambda one: one.database)
        told = [(said_of(command, at), command) for at, command in enumerate(fresh)]
        # What goes well is told first, because the rest halts it.
        told.sort(key=lambda one: any(isinstance(report, MigrationFailed) for report in one[0]))
        for reports, command in told:
            await self._tell(actor, command, reports)

    async def _tell(self, actor: Actor, command: ApplyCommand, reports: list[Report]) -> None:
        for one in reports:
            if isinstance(one, AttemptFinished):
                self.heads[one.database] = one.journal_head
        await actor.say(command.stream, *reports)

    async def _comes_to_rest(self) -> None:
        """Wait until it has halted, and everything that was told is in the log."""
        unanswered = 3 + sum(not self._answers(at) for at in range(self.size // 6 * 5))
        while True:
            status = await self.house.ledger.rollouts.status(self.rollout, 0)
            if status.status == "halted" and status.tally.of(*AT_WORK) == unanswered:
                return
            await asyncio.sleep(0.05)

    async def _heard(self, actor: Actor, number: int) -> None:
        while len(_orders(actor)) < number:
            await actor.hear()
            await asyncio.sleep(0.02)

    def _answers(self, at: int) -> bool:
        """Whether somebody works in the pool of the n-th database."""
        return at < self.size // 6 or at % 10 != 9

    async def _works(self, actor: Actor) -> None:
        """Answer looks, and say that there is somebody."""
        while True:
            await actor.hear()
            await actor.send(encode_heartbeat(self._beat()))
            for one in actor.heard:
                if isinstance(one, InspectCommand) and one.command not in self.looked:
                    self.looked.add(one.command)
                    await actor.say(one.stream, looked(one, self.heads.get(one.database)))
            await asyncio.sleep(0.05)

    def _beat(self) -> Heartbeat:
        now = datetime.now(UTC)
        return Heartbeat(
            agent="agent-1", pool=POOL, host="node-1", version="0.1.0", started_at=now, at=now
        )

    async def _is_heard(self) -> bool | None:
        return bool((await self.house.ledger.lookout.agents()).agents) or None


def well(command: ApplyCommand) -> list[Report]:
    """What is said of a database in which all went well, and which is like no other."""
    return [
        one.model_copy(update={"identity": _identity(one.database)})
        if isinstance(one, DatabaseIdentified)
        else one
        for one in answers(command)
    ]


def said_of(command: ApplyCommand, at: int) -> list[Report]:
    """What is heard of the n-th database of the second wave."""
    begun = well(command)[:2]
    cases: dict[int, list[Report]] = {
        0: [],
        1: [*begun, _progress(command)],
        2: [*begun, _progress(command)],
        3: _failed(command, DOUBTFUL),
        4: _failed(command, DOUBTFUL),
        5: _failed(command, HALF, rows=1200, batches=4),
        6: [*begun, finished(command, Verdict.DONE)],
        7: _failed(command, SPOKEN),
        **dict.fromkeys((8, 9, 10), _failed(command, DUPLICATE)),
        11: _failed(command, LATE),
    }
    if at in cases:
        return cases[at]
    if at % 40 == 12:
        return _failed(command, _failure(f"row {at} of invoices has no number", "P0001", 9))
    return _failed(command, DUPLICATE) if at % 25 == 14 else well(command)


def looked(command: InspectCommand, head: str | None) -> DatabaseInspected:
    """What a look finds: most are well, some cannot be reached."""
    if _number(command.database) % 20 == 5:
        lost = Failure(kind=FailureClass.UNREACHABLE, message="connection refused")
        return DatabaseInspected(
            database=command.database, command=command.command, reachable=False, failure=lost
        )
    own: dict[str, Any] = {"identity": _identity(command.database), "journal_head": head}
    if command.order.preflight is not None:
        own["preflight"] = tuple(_moment(command.database))
    if command.order.purpose in (Purpose.DRIFT, Purpose.SNAPSHOT):
        document = _schema(_number(command.database))
        own["fingerprint"] = fingerprint_of(document).removeprefix("sha256:")
        if command.order.purpose is Purpose.SNAPSHOT:
            own["snapshot"] = b64encode(document).decode()
    return seen(command).model_copy(update=own)


def _moment(database: str) -> Iterator[PreflightResult]:
    """Whether this is a good moment: a few databases are busy, behind, or say what they want."""
    number, check, verdict = _number(database), PreflightCheck, PreflightVerdict
    busy = f"a transaction is open for 2 h: pid {number} (shop); let it end"
    yield PreflightResult(check.RIGHTS, verdict.FINE)
    yield PreflightResult(
        check.TRANSACTIONS,
        *((verdict.BLOCK, 7200.0, 3600.0, busy) if number % 40 == 7 else (verdict.FINE,)),
    )
    yield PreflightResult(
        check.LAG,
        *(
            (verdict.WARN, 90.0, 60.0, "a standby is 90 s behind")
            if number % 25 == 11
            else (verdict.FINE,)
        ),
    )
    yield PreflightResult(
        check.SLOTS,
        *((verdict.UNKNOWN, None, None, HOSTILE) if number % 30 == 3 else (verdict.FINE,)),
    )


def _schema(number: int) -> bytes:
    """The schema of the n-th database, as an agent sends it: most have the same."""
    lines: list[tuple[str, list[str], dict[str, Any]]] = [
        ("table", ["public", "invoices"], {"persistence": "p"}),
    ]
    if number % 200 == 33:
        lines.append(("table", ["public", f"reports{HOSTILE}"], {"persistence": "p"}))
    if number % 97 == 13:
        lines += [
            ("table", ["public", f"own_{number}_{at:02}"], {"persistence": "p"}) for at in range(60)
        ]
    if number % 500 == 44:
        lines[0] = ("table", ["public", "invoices"], {"persistence": "u"})
    rows = [json.dumps({"kind": kind, "name": name, "is": what}) for kind, name, what in lines]
    return zlib.compress("\n".join(['{"form": 1}', *rows, ""]).encode())


def _identity(database: str) -> Identity:
    return dataclasses.replace(identity_of(database), database_oid=_number(database) + 1)


def _number(database: str) -> int:
    return int(re.findall(r"\d+", database)[0])


def _progress(command: ApplyCommand) -> BatchProgressed:
    return BatchProgressed(
        database=command.database, command=command.command,
        version=command.order.steps[0].version, direction="up",
        batches=40, rows=12_000, total=480_000, left_s=1_900,
    )  # fmt: skip


def _failed(command: ApplyCommand, failure: Failure, **committed: int) -> list[Report]:
    step = command.order.steps[0]
    failed = MigrationFailed(
        database=command.database, command=command.command, version=step.version, direction="up",
        checksum=step.checksum, failure=failure,
    )  # fmt: skip
    last = finished(command, Verdict.FAILED, failure=failure).model_copy(update=committed)
    return [*well(command)[:2], failed, last]


def _orders(actor: Actor) -> list[ApplyCommand]:
    heard: Sequence[Command] = actor.heard
    return [one for one in heard if isinstance(one, ApplyCommand)]
