"""A ledger that leads inside the test, and agents that say exactly what the test lets them say.

The log is real, the bus is the in-process one, the databases of the fleet exist as names only: an
`Actor` hears the commands of a pool and answers in the words of `answers`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4, uuid5

from pydantic import SecretStr

from ledger.bus.local import LocalBroker, LocalBus, LocalMember, LocalReader
from ledger.bus.port import Bus, Message
from ledger.cli.app.options import RolloutOptions
from ledger.cli.rollout.plan import plan_options
from ledger.contracts.commands import ApplyCommand, Command, InspectCommand
from ledger.contracts.envelope import NAMESPACE, Encoded, Metadata, Recorded, encode, report_id
from ledger.contracts.events import PlanOptions
from ledger.contracts.registry import Connection
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    DatabaseIdentified,
    DatabaseInspected,
    Event,
    JournalEntry,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    Report,
)
from ledger.contracts.topics import CONTENT, REPORTS, commands_topic
from ledger.contracts.wire import decode_chunk, decode_command, encode_report
from ledger.leader.signatures import BusSigning
from ledger.leader.supervisor import Supervisor
from ledger.runtime import Ledger, open_ledger, stores_of
from ledger.service.plans import PlanRequest
from ledger.service.request_context import RequestContext
from ledger.settings import RolloutSection, Settings
from ledger.store.leadership import Leadership, take
from ledger.store.log.decode import open_event
from ledger.store.stores import Stores
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.model.attempt import Failure, FailureClass, Identity, Mode, Verdict
from tests.support.patience import PATIENCE_S

LOOK_EVERY_S = 0.02
POOL = "main"

T = TypeVar("T")


async def found(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """The first answer of `look` that is not `None`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await look()
                if answer is not None:
                    return answer
                await asyncio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"waited {PATIENCE_S:.0f} s in vain until {what}")


@dataclass
class House:
    """An open ledger, the broker beside it, and a folder for migrations."""

    ledger: Ledger
    url: str
    folder: Path
    broker: LocalBroker = field(default_factory=LocalBroker)

    @property
    def stores(self) -> Stores:
        """What stands under the ledger's services."""
        return stores_of(self.ledger)

    # --- what people do ---

    async def register(self, *databases: str, pool: str = POOL) -> None:
        """Let these databases join."""
        for database in databases:
            connection = Connection.at(host="db.internal", database=database, user="app")
            await self.ledger.fleet.add(database, pool, connection, {}, RequestContext())

    def migration(self, version: str, *, down: bool = True, comment: str = "") -> None:
        """Write a migration; nobody will run it."""
        text = f"-- +migrate Up\nCREATE TABLE t{version} (id int);\n{comment}\n"
        if down:
            text += f"-- +migrate Down\nDROP TABLE t{version};\n"
        (self.folder / f"{version}_change.sql").write_text(text)

    async def start(self, **changes: object) -> str:
        """Plan a rollout of the folder and start it; its id."""
        rollouts = self.ledger.rollouts
        return await rollouts.start(await rollouts.plan(self.request(**changes)))

    async def roll_back(self, rollout: str, reason: str = "because") -> str:
        """Have a rollout taken back, as it is now; the id of the one that does so."""
        rollouts = self.ledger.rollouts
        return await rollouts.start(await rollouts.plan_rollback(rollout, RequestContext(reason)))

    def request(self, **changes: object) -> PlanRequest:
        """What the command line would ask for; options by name, in people's words."""
        section = RolloutSection(waves="rest", in_flight=100, expiry_s=600.0, deadline_s=3600.0)
        known = {*RolloutSection.model_fields, *PlanOptions.model_fields}
        said = {name: changes.pop(name) for name in tuple(changes) if name in known}
        out_of_order = bool(said.pop("out_of_order", False))
        options = plan_options(
            RolloutOptions(out_of_order=out_of_order), section.model_copy(update=said)
        )
        asked: dict[str, object] = {
            "direction": "up",
            "folder": self.folder,
            "options": options,
            "asked": RequestContext("because"),
        }
        return PlanRequest(**asked | changes)  # type: ignore[arg-type]

    async def unsent(self, actor: Actor, *, times: int = 1) -> list[Command]:
        """What was due before now and had not come: absence without a sleep.

        A change and a look are asked of a database of their own, and whoever leads decides and
        sends in the order in which it was asked: when these have come, `times` times, everything
        else that was to come has.
        """
        before = len(actor.heard)
        own = f"sentinel-{uuid4().hex[:8]}"
        await self.register(own)
        await self.start(select=f"id={own}")
        await self.ledger.fleet.check(f"id={own}", RequestContext())

        async def came() -> list[Command] | None:
            await actor.hear()
            kinds = [type(one) for one in actor.heard if one.database == own]
            there = min(kinds.count(ApplyCommand), kinds.count(InspectCommand)) >= times
            return actor.heard if there else None

        await found(came, f"{own} is ordered")
        actor.heard = [one for one in actor.heard if one.database != own]
        return actor.heard[before:]

    # --- what is in the log ---

    async def events(self, *types: type[Event]) -> list[Recorded]:
        """All events, or those of these types, in order."""
        names = {type_.__name__ for type_ in types}
        raw = await self.stores.log.tail(0, 100_000)
        return [open_event(one) for one in raw if not names or one.type in names]

    async def at_least(self, number: int, type_: type[Event]) -> list[Recorded]:
        """The events of this type, once there are so many."""

        async def look() -> list[Recorded] | None:
            events = await self.events(type_)
            return events if len(events) >= number else None

        return await found(look, f"{number} {type_.__name__} are in the log")

    async def becomes(self, rollout: str, status: str) -> None:
        """Return when the rollout has this status."""

        async def look() -> bool | None:
            return (await self.ledger.rollouts.status(rollout)).status == status or None

        await found(look, f"rollout {rollout} is {status}")

    async def position(self) -> int:
        """Where the log ends."""
        return (await self.stores.log.head()).position

    # --- who leads and who works ---

    @asynccontextmanager
    async def leading(
        self,
        *,
        resend_s: float = 60.0,
        keeps_positions: bool = False,
        bus: Callable[[LocalBroker], Bus] = LocalBus,
        url: str | None = None,
        signing: BusSigning | None = None,
    ) -> AsyncIterator[Leading]:
        """Lead until the block ends."""
        leadership = await take(url or self.url, "test", "here")
        own = bus(self.broker)
        leader = Supervisor(
            self.stores,
            own,
            leadership,
            clock=SYSTEM_CLOCK,
            chance=SYSTEM_CHANCE,
            resend_s=resend_s,
            keeps_positions=keeps_positions,
            signing=signing,
        )
        task = asyncio.create_task(leader.lead("test", "here"), name="leader")
        try:
            yield Leading(leader, leadership, task)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await own.close()
            await leadership.release()

    @asynccontextmanager
    async def actor(self, pool: str = POOL) -> AsyncIterator[Actor]:
        """Hear the commands of a pool until the block ends."""
        bus = LocalBus(self.broker)
        await bus.ensure_topics([REPORTS])
        member = await bus.join(commands_topic(pool), "agents")
        try:
            yield Actor(bus, member, await bus.read(CONTENT, {}), self.ledger.id)
        finally:
            await bus.close()


@dataclass
class Leading:
    """A leader at work."""

    leader: Supervisor
    leadership: Leadership
    task: asyncio.Task[None]

    async def task_ended(self) -> None:
        """Return when it leads no more."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([self.task])

    async def ended(self) -> BaseException | None:
        """What it ended with."""
        await self.task_ended()
        return self.task.exception()


@dataclass
class Actor:
    """An agent as the ledger sees one."""

    bus: LocalBus
    member: LocalMember
    reader: LocalReader
    ledger: UUID
    heard: list[Command] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    async def hear(self) -> None:
        """Take what is there by now.

        Commands first: a text that was published before a command is heard with it at the latest.
        """
        for message in await self.member.poll(0.0, 10_000):
            self.heard.append(decode_command(message))
        for message in await self.reader.poll(0.0, 10_000):
            self.texts.append(decode_chunk(message).sha256)

    async def commands(self, number: int) -> list[Command]:
        """All commands so far, once there are so many."""

        async def look() -> list[Command] | None:
            await self.hear()
            return self.heard if len(self.heard) >= number else None

        return await found(look, f"{number} commands came")

    async def ordered(
        self, database: str, mode: Mode = Mode.UP, attempt: int = 1, rollout: str | None = None
    ) -> ApplyCommand:
        """The command that changes this database, of this rollout or any, once it came."""

        async def look() -> ApplyCommand | None:
            await self.hear()
            for one in self.heard:
                meant = isinstance(one, ApplyCommand) and (
                    one.database,
                    one.order.mode,
                    one.order.attempt,
                )
                if (
                    isinstance(one, ApplyCommand)
                    and meant == (database, mode, attempt)
                    and rollout in (None, one.order.rollout)
                ):
                    return one
            return None

        return await found(look, f"{mode} number {attempt} on {database} is ordered")

    async def looked_at(self, database: str) -> InspectCommand:
        """The command that looks at this database, once it came."""

        async def look() -> InspectCommand | None:
            await self.hear()
            looks = [one for one in self.heard if isinstance(one, InspectCommand)]
            return next((one for one in looks if one.database == database), None)

        return await found(look, f"a look at {database} is ordered")

    async def say(self, stream: str, *reports: Report) -> None:
        """Report on what was decided in `stream`."""
        encoded = [encode(one, report_id(one), Metadata(agent="actor")) for one in reports]
        await self.send(*[self.message(stream, one) for one in encoded])

    async def send(self, *messages: Message) -> None:
        """Put messages on the bus as they are."""
        await self.bus.publish(messages)

    def message(self, stream: str, encoded: Encoded, ledger: UUID | None = None) -> Message:
        """The message that carries a report."""
        return encode_report(
            ledger or self.ledger, f"{stream}/reports", encoded, "actor", Metadata()
        )

    async def applies(self, command: ApplyCommand) -> None:
        """Report that all went well."""
        await self.say(command.stream, *answers(command))

    async def fails(self, command: ApplyCommand) -> None:
        """Report that the first migration failed."""
        await self.say(command.stream, *failures(command))


def identity_of(database: str) -> Identity:
    """Who this database is."""
    return Identity(uuid=uuid5(NAMESPACE, database), system_identifier="7", database_oid=5)


def answers(command: ApplyCommand) -> list[Report]:
    """What an agent says when all went well."""
    about = {"database": command.database, "command": command.command}
    back = command.order.mode is Mode.ROLLBACK
    steps: list[Report] = []
    for step in command.order.steps:
        told = {
            "version": step.version,
            "checksum": step.checksum,
            "duration_ms": 5,
            "statements": 1,
            **about,
        }
        done = MigrationRolledBack if back else MigrationApplied
        steps.append(done.model_validate(told))
    identified = DatabaseIdentified.model_validate(
        {
            "identity": identity_of(command.database),
            "server_version": 180000,
            "first_contact": command.order.expected.identity is None,
            **about,
        }
    )
    return [
        started(command),
        identified,
        *steps,
        finished(command, Verdict.DONE, changed=len(steps)),
    ]


def failures(command: ApplyCommand) -> list[Report]:
    """What an agent says when the first migration failed."""
    failure = Failure(kind=FailureClass.SQL, message="no", sqlstate="23514")
    step = command.order.steps[0]
    failed = MigrationFailed(
        database=command.database,
        command=command.command,
        version=step.version,
        direction="up",
        checksum=step.checksum,
        failure=failure,
    )
    return [started(command), failed, finished(command, Verdict.FAILED, failure=failure)]


def started(command: ApplyCommand) -> AttemptStarted:
    """The first word on a command."""
    return AttemptStarted(
        database=command.database,
        command=command.command,
        attempt=command.order.attempt,
        mode=command.order.mode,
    )


def finished(
    command: ApplyCommand,
    verdict: Verdict,
    *,
    changed: int = 0,
    failure: Failure | None = None,
) -> AttemptFinished:
    """The last word on a command."""
    return AttemptFinished(
        database=command.database,
        command=command.command,
        attempt=command.order.attempt,
        mode=command.order.mode,
        verdict=verdict,
        changed=changed,
        journal_head=f"after-{command.command}",
        failure=failure,
    )


def seen(command: InspectCommand, entries: Sequence[JournalEntry] = ()) -> DatabaseInspected:
    """What a look finds: a database that answers, and what its journal holds."""
    return DatabaseInspected(
        database=command.database,
        command=command.command,
        reachable=True,
        identity=identity_of(command.database),
        journal_head="seen",
        entries=tuple(entries),
    )


@asynccontextmanager
async def house_at(url: str, folder: Path) -> AsyncIterator[House]:
    """The ledger at `url`, open."""
    async with open_ledger(Settings(database_url=SecretStr(url))) as ledger:
        yield House(ledger, url, folder)
