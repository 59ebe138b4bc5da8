"""A leader over the in-process bus, and agents that only answer: the ledger's side of a fleet."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid5

from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import Message, Received
from ledger.contracts.commands import ApplyCommand, InspectCommand
from ledger.contracts.envelope import NAMESPACE, Metadata, encode, report_id
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    DatabaseIdentified,
    DatabaseInspected,
    MigrationApplied,
    MigrationRolledBack,
    Report,
)
from ledger.contracts.topics import commands_topic
from ledger.contracts.wire import decode_command, encode_report
from ledger.leader.supervisor import Supervisor
from ledger.runtime import Ledger, stores_of
from ledger.store.leadership import take
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.model.attempt import Identity, Mode, Rights, Verdict

POOL = "bench"
TICK_S = 0.02
MOST_BEHIND_S = 0.2
"""Agents that were kept waiting for longer do not make up for it."""


@asynccontextmanager
async def leading(ledger: Ledger, url: str) -> AsyncIterator[Agents]:
    """Lead, and have agents that answer, until the block ends."""
    broker = LocalBroker()
    bus = LocalBus(broker)
    leadership = await take(url, "bench", "here")
    stores = stores_of(ledger)
    leader = Supervisor(
        stores,
        bus,
        leadership,
        clock=SYSTEM_CLOCK,
        chance=SYSTEM_CHANCE,
        resend_s=600.0,
        keeps_positions=False,
    )
    agents = Agents(broker, ledger.id)
    working = [
        asyncio.create_task(leader.lead("bench", "here"), name="leader"),
        asyncio.create_task(agents.run(), name="agents"),
    ]
    try:
        yield agents
    finally:
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        await leadership.release()
        await bus.close()


class Agents:
    """Answer every order with success, so many databases per second in the order of arrival.

    Looks are answered at once. `cpu_s` is the processor time that this took.
    """

    def __init__(self, broker: LocalBroker, ledger: UUID) -> None:
        self._bus = LocalBus(broker)
        self._ledger = ledger
        self.per_second = 0.0
        self.cpu_s = 0.0
        self._waiting: deque[ApplyCommand] = deque()
        self._taken: dict[int, int] = {}

    async def run(self) -> None:
        """Answer until cancelled."""
        member = await self._bus.join(commands_topic(POOL), "agents")
        loop = asyncio.get_running_loop()
        allowance, last = 0.0, loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            messages = await member.poll(0.0, 10_000)
            began, now = time.thread_time(), loop.time()
            gained = (now - last) * self.per_second
            # However slow they are, one at a time has its turn.
            most = max(self.per_second * MOST_BEHIND_S, 1.0)
            allowance, last = min(allowance + gained, most), now
            answered = self._take(messages)
            while self._waiting and allowance >= 1:
                allowance -= 1
                command = self._waiting.popleft()
                answered += self._said(command, _reports(command))
            self.cpu_s += time.thread_time() - began
            await self._bus.publish(answered)
            if messages:
                await member.commit(self._taken)

    def _take(self, messages: Sequence[Received]) -> list[Message]:
        """Queue what changes a database; the answers to those that only look."""
        answered: list[Message] = []
        for message in messages:
            self._taken[message.partition] = message.offset + 1
            command = decode_command(message)
            if isinstance(command, ApplyCommand):
                self._waiting.append(command)
            elif isinstance(command, InspectCommand):
                answered += self._said(command, [_look(command)])
        return answered

    def _said(
        self, command: ApplyCommand | InspectCommand, reports: Sequence[Report]
    ) -> list[Message]:
        stream = f"{command.stream}/reports"
        said = Metadata(agent="bench-1")
        return [
            encode_report(
                self._ledger, stream, encode(one, report_id(one), said), "bench-1", Metadata()
            )
            for one in reports
        ]


def _identity(database: str) -> Identity:
    """Of one database of one server, whose ids end in a number."""
    oid = int(database.rpartition("-")[2]) + 1
    return Identity(uuid=uuid5(NAMESPACE, database), system_identifier="7", database_oid=oid)


def _introduction(command: ApplyCommand) -> DatabaseIdentified:
    """What is said of a database that the ledger does not know yet, and of no other."""
    return DatabaseIdentified(
        database=command.database,
        command=command.command,
        identity=_identity(command.database),
        server_version=180000,
        first_contact=True,
    )


def _look(command: InspectCommand) -> DatabaseInspected:
    """What is said of a database in which nothing is wrong."""
    return DatabaseInspected(
        database=command.database,
        command=command.command,
        reachable=True,
        tls=True,
        server_version=180000,
        in_recovery=False,
        identity=_identity(command.database),
        rights=Rights(create_schema=True, create_in_target=True, superuser=False),
    )


def _reports(command: ApplyCommand) -> list[Report]:
    database, id_ = command.database, command.command
    attempt, mode = command.order.attempt, command.order.mode
    introduced = [_introduction(command)] if command.order.expected.identity is None else []
    done = MigrationApplied if mode is Mode.UP else MigrationRolledBack
    return [
        AttemptStarted(database=database, command=id_, attempt=attempt, mode=mode),
        *introduced,
        *(
            done(
                database=database,
                command=id_,
                version=step.version,
                checksum=step.checksum,
                duration_ms=5,
                statements=1,
            )
            for step in command.order.steps
        ),
        AttemptFinished(
            database=database,
            command=id_,
            attempt=attempt,
            mode=mode,
            verdict=Verdict.DONE,
            changed=len(command.order.steps),
            journal_head=f"after-{id_}",
        ),
    ]
