"""A ledger's side of the bus, played by hand: sends commands and texts, collects reports."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from agents.runtime import Agent
from agents.settings import AgentSettings
from ledger.bus.kafka import KafkaBus
from ledger.bus.local import LocalBroker, LocalBus
from ledger.bus.port import Bus, Message, Reader
from ledger.bus.security import KafkaSettings
from ledger.contracts.commands import ApplyCommand, CancelCommand, InspectCommand
from ledger.contracts.envelope import Metadata, command_id, decode, decode_metadata
from ledger.contracts.manifest import encode_manifest
from ledger.contracts.registry import Connection, ContentRef, MigrationRef
from ledger.contracts.reports import AttemptFinished, Event, Report
from ledger.contracts.topics import (
    CANCELS,
    CONTENT,
    HEARTBEATS,
    PARKED,
    REPORTS,
    commands_topic,
)
from ledger.contracts.wire import decode_report, encode_command, encode_content
from migrations.formats.bundle import load_files
from migrations.model.attempt import Mode
from migrations.model.migration import Migration, SourceFile
from tests.fixtures.postgres import PostgresServer
from tests.support.fleet import HELD, HOLDS
from tests.support.orders import apply_command, cancel_command, changed, inspect_command, sent
from tests.support.patience import PATIENCE_S
from tests.support.processes import until
from tests.support.wrong_clock import Watch

PASSWORD_VARIABLE = "TENANT_TEST_PASSWORD"

ADD_NOTE = (
    "20260101000000_add_note.sql",
    b"-- +migrate Up\nALTER TABLE users ADD COLUMN note text;\n"
    b"-- +migrate Down\nALTER TABLE users DROP COLUMN note;\n",
)
"""A migration that works."""

SLEEPERS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event = 'PgSleep'"
)
SLEEP = (
    "20260101000001_sleep.sql",
    b"-- +migrate Up\nALTER TABLE users ADD COLUMN slept text;\nSELECT pg_sleep(2);\n"
    b"-- +migrate Down\nALTER TABLE users DROP COLUMN slept;\n",
)
"""A migration that takes two seconds."""

HELD_BACK = (
    "20260101000001_sleep.sql",
    f"-- +migrate Up\nALTER TABLE users ADD COLUMN slept text;\n{HELD}"
    "-- +migrate Down\nALTER TABLE users DROP COLUMN slept;\n".encode(),
)
"""A migration that takes as long as a block of `holding`."""

SLEEP_LONG = (
    "20260101000002_sleep_long.sql",
    b"-- +migrate Up\nALTER TABLE users ADD COLUMN slept_long text;\nSELECT pg_sleep(600);\n"
    b"-- +migrate Down\nALTER TABLE users DROP COLUMN slept_long;\n",
)
"""A migration that nobody waits for."""

BROKEN = (
    "20260101000003_broken.sql",
    b"-- +migrate Up\nALTER TABLE no_such_table ADD COLUMN note text;\n"
    b"-- +migrate Down\nALTER TABLE no_such_table DROP COLUMN note;\n",
)
"""A migration that fails."""

File = tuple[str, bytes]


@dataclass(frozen=True)
class Reported:
    """A report with its circumstances."""

    stream: str
    report: Report
    metadata: Metadata
    event_id: UUID


@dataclass
class Desk:
    """What a test says to the agents of one pool, and what it hears."""

    bus: Bus
    reader: Reader
    pool: str
    ledger: UUID = field(default_factory=uuid4)
    rollout: str = field(default_factory=lambda: uuid4().hex[:8])
    position: int = 1
    heard: list[Reported] = field(default_factory=list)
    manifests: dict[str, bytes] = field(default_factory=dict)

    def apply(self, url: str, files: Sequence[File], **changes: object) -> ApplyCommand:
        """An order to take the database at `url` through `files`, with these fields changed."""
        refs = [reference(name, text) for name, text in files]
        database = urlsplit(url).path.lstrip("/")
        self.position += 1
        given: dict[str, object] = {
            "rollout": self.rollout,
            "database": database,
            "pool": self.pool,
            "command": command_id(self.rollout, database, "up", self.position),
            "connection": connection_of(url),
            "expires_at": datetime.now(UTC) + timedelta(minutes=5),
        }
        mode = changes.get("mode", Mode.UP)
        command = apply_command(refs, ledger=self.ledger, position=self.position, mode=mode)
        command = changed(command, **given | changes)
        self.manifests[command.order.bundle] = encode_manifest(refs)
        return command

    def inspect(self, url: str) -> InspectCommand:
        """A command that looks at the database at `url`."""
        return inspect_command(
            ledger=self.ledger,
            stream=f"check-{self.rollout}",
            database=urlsplit(url).path.lstrip("/"),
            pool=self.pool,
            connection=connection_of(url),
            expires_at=datetime.now(UTC) + timedelta(minutes=5),
        )

    def cancel(self, command: ApplyCommand) -> CancelCommand:
        """A command that stops `command`."""
        return cancel_command(command)

    async def send(
        self,
        *commands: ApplyCommand | InspectCommand | CancelCommand,
        files: Sequence[File] = (),
        metadata: Metadata | None = None,
    ) -> None:
        """Publish manifests and texts, then commands."""
        messages: list[Message] = []
        texts = [text for _, text in files]
        for text in [*self.manifests.values(), *texts]:
            messages += encode_content(hashlib.sha256(text).hexdigest(), text)
        for command in commands:
            if isinstance(command, CancelCommand):
                message = encode_command(command)
                messages += [message, replace(message, topic=CANCELS)]
                continue
            if metadata is not None:
                command = sent(
                    command.order,
                    ledger=self.ledger,
                    position=command.position,
                    metadata=metadata,
                    at=command.ordered_at,
                )
            messages.append(encode_command(command))
        await self.bus.publish(messages)

    async def until(self, wanted: Callable[[Reported], bool]) -> Reported:
        """The first report that is wanted, heard before or from now on."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = next(filter(wanted, self.heard), None)
                if found is not None:
                    return found
                await self.listen(0.2)

    async def listen(self, seconds: float) -> None:
        """Hear what comes in that time."""
        for message in await self.reader.poll(seconds, 500):
            stream, encoded = decode_report(message)
            event: Event = decode(encoded.type, encoded.schema_version, encoded.body)
            assert isinstance(event, Report)
            if event.database.startswith(("t", "poison")) and stream.split("/")[0].endswith(
                self.rollout
            ):
                metadata = decode_metadata(encoded.metadata)
                self.heard.append(Reported(stream, event, metadata, encoded.event_id))

    async def finished(self, command: ApplyCommand) -> AttemptFinished:
        """The last word on `command`."""

        def last_word(reported: Reported) -> bool:
            report = reported.report
            return isinstance(report, AttemptFinished) and report.command == command.command

        report = (await self.until(last_word)).report
        assert isinstance(report, AttemptFinished)
        return report

    def reports_on(self, command: ApplyCommand) -> list[str]:
        """The types of the reports on `command`, in the order they came."""
        return [
            type(reported.report).__name__
            for reported in self.heard
            if reported.report.command == command.command
        ]


@dataclass
class Place:
    """One broker, and buses on it."""

    make: Callable[[], Bus]

    @asynccontextmanager
    async def desk(self, pool: str) -> AsyncIterator[Desk]:
        """A ledger's side of `pool`."""
        bus = self.make()
        await bus.start()
        try:
            topics = [commands_topic(pool), REPORTS, CONTENT, CANCELS, HEARTBEATS, PARKED]
            await bus.ensure_topics(topics)
            yield Desk(bus, await bus.read(REPORTS, {}), pool)
        finally:
            await bus.close()

    @asynccontextmanager
    async def agent(self, pool: str, **changes: object) -> AsyncIterator[Agent]:
        """A running agent of `pool`; it is asked to stop at the end."""
        settings = AgentSettings(pool=pool, insecure_postgres=True, **changes)  # type: ignore[arg-type]
        bus = self.make()
        await bus.start()
        agent = Agent(bus, settings)
        running = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            agent.stop()
            agent.stop()
            await running
            await bus.close()


@asynccontextmanager
async def wrong_agent(
    place: Place, pool: str, watch: Watch, name: str = "one"
) -> AsyncIterator[None]:
    """An agent that goes by this watch."""
    bus = place.make()
    await bus.start()
    agent = Agent(bus, AgentSettings(pool=pool, name=name, insecure_postgres=True), watch)
    running = asyncio.create_task(agent.run())
    try:
        yield
    finally:
        agent.stop()
        agent.stop()
        await running
        await bus.close()


@pytest.fixture(autouse=True)
def password(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the password of the migrating logins where the references look."""
    monkeypatch.setenv(PASSWORD_VARIABLE, postgres_server.password)


@pytest.fixture(params=["local", "kafka"])
def place(request: pytest.FixtureRequest) -> Place:
    """A broker by each adapter."""
    if request.param == "local":
        return local_place()
    return Place(kafka_maker(request.getfixturevalue("kafka_broker")))


@pytest.fixture
def inside() -> Place:
    """The in-process broker, for what does not depend on the adapter."""
    return local_place()


def local_place() -> Place:
    """A broker of this process."""
    broker = LocalBroker()
    return Place(lambda: LocalBus(broker))


def kafka_maker(bootstrap: str) -> Callable[[], Bus]:
    """Makes buses on a real broker."""
    return lambda: KafkaBus(KafkaSettings(bootstrap=bootstrap), "test")


@pytest.fixture
async def desk(place: Place, topic_prefix: str) -> AsyncIterator[Desk]:
    """A ledger's side of a pool that no other test uses."""
    async with place.desk(topic_prefix) as desk:
        yield desk


@pytest.fixture
async def inside_desk(inside: Place, topic_prefix: str) -> AsyncIterator[Desk]:
    """The same, in this process."""
    async with inside.desk(topic_prefix) as desk:
        yield desk


def reference(name: str, text: bytes) -> MigrationRef:
    """What a bundle says of one file."""
    migration: Migration = load_files("sql-migrate", [SourceFile(name, text)])
    digest = hashlib.sha256(text).hexdigest()
    return MigrationRef(
        version=migration.version,
        name=migration.name,
        format=migration.format,
        up_checksum=migration.up.checksum,
        down_checksum=migration.down.checksum if migration.down else None,
        has_verify=migration.verify is not None,
        transactional=migration.up.transactional,
        files=(ContentRef(name=name, sha256=digest, size=len(text)),),
    )


def connection_of(url: str) -> Connection:
    """How the test server is reached; the password stands in a variable."""
    parts = urlsplit(url)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return Connection.at(
        host=query.get("host", parts.hostname or "localhost"),
        port=int(query.get("port", parts.port or 5432)),
        database=parts.path.lstrip("/"),
        user=parts.username or "postgres",
        password=f"env:{PASSWORD_VARIABLE}" if parts.password else None,
        sslmode="disable",
    )


async def columns(url: str) -> set[str]:
    """The columns of `users`."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 "
            "AND NOT attisdropped"
        )
        return {row["attname"] for row in rows}
    finally:
        await connection.close()


@asynccontextmanager
async def holding(url: str) -> AsyncIterator[None]:
    """Keep `HELD_BACK` from going on in the database until the block ends."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(HOLDS)
        yield
        await connection.execute("DELETE FROM held")
    finally:
        await connection.close()


async def asleep(url: str) -> None:
    """Return when a migration in the database sleeps, so that it is in the middle of its work."""
    connection = await asyncpg.connect(url)

    async def sleeps() -> bool:
        return bool(await connection.fetchval(SLEEPERS))

    try:
        await until(sleeps, "a migration sleeps")
    finally:
        await connection.close()


async def backends(url: str) -> int:
    """How many of our sessions are in the database."""
    connection = await asyncpg.connect(url)
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name LIKE 'migration-ledger%'"
            )
        )
    finally:
        await connection.close()
