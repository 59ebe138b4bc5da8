"""How fast the log is replayed, against reading it, decoding JSON and updating a dict alone.

Run it by itself on an empty database that it may fill, or let `ops/bench/log.py` call `turns`:

    python ops/bench/replay.py postgresql://postgres@127.0.0.1:5432/bench [rollouts]

Each turn takes the floor, the fold and the whole replay one right after the other; a ratio is that
of one turn, the median over all turns.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ledger.contracts.envelope import Encoded, Metadata, command_id, encode
from ledger.contracts.events import (
    Budget,
    DatabaseRegistered,
    MigrationOrdered,
    RolloutPlanned,
    RolloutStarted,
    WaveOpened,
    WavePlanned,
    WhenSpent,
)
from ledger.contracts.registry import Connection, Step
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    DatabaseIdentified,
    Event,
    MigrationApplied,
)
from ledger.store.install import install
from ledger.store.views.advance import FOLD_BATCH, READ_LOG, read, rebuild
from ledger.store.views.projection import Projection
from ledger.store.views.replay import replay
from migrations.gc_tuning import without_collector
from migrations.model.attempt import Expectation, Identity, Limits, Mode, Verdict

BAR = 0.5
"""Replay must reach this share of the floor."""
DATABASES = 5000
ROLLOUTS = 4
"""Twenty-one events per database: 105,033 in the log, and 190,000 rows to compare."""
TURNS = 5
APPEND = "SELECT ledger.append($1, NULL, $2, $3, $4, $5, $6, false, NULL, NULL, NULL)"
IN_FLIGHT = 64
"""Databases ordered at once; their reports follow before the next ones are ordered."""
CHUNK = 1000
"""Databases per WavePlanned, and events per append."""


class Turn(NamedTuple):
    """Seconds, one right after the other.

    `fold` is read, decode, apply every rule and merge; `replay` is all of `ledger replay`: fold,
    write the shadow tables, compare them with the live ones.
    """

    floor: float
    fold: float
    replay: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All turns over a log of so many events."""

    events: int
    turns: list[Turn]

    @property
    def replay_ratio(self) -> float:
        """The whole replay as a share of the floor."""
        return statistics.median(turn.floor / turn.replay for turn in self.turns)

    def __str__(self) -> str:
        lines = [
            f"replay of {self.events:,} events, median of {len(self.turns)} turns (bar {BAR}):"
        ]
        for name, seconds in zip(Turn._fields, zip(*self.turns, strict=True), strict=True):
            rate = self.events / statistics.median(seconds)
            ratio = statistics.median(
                turn.floor / took for turn, took in zip(self.turns, seconds, strict=True)
            )
            lines.append(f"  {name:<7} {rate:>9,.0f} events/s   {ratio:.2f} of the floor")
        return "\n".join(lines)


async def turns(url: str, count: int, rollouts: int = ROLLOUTS) -> Measured:
    """Make a ledger in the empty database at `url`, fill it, and measure so many turns."""
    await install(url, uuid4())
    connection = await asyncpg.connect(url)
    try:
        await fill(connection, DATABASES, rollouts)
        await rebuild(connection)
        await connection.execute("VACUUM ANALYZE")
        events: int = await connection.fetchval("SELECT position FROM ledger.head")
        return Measured(events, [await _turn(connection, events) for _ in range(count)])
    finally:
        await connection.close()


async def _turn(connection: asyncpg.Connection[asyncpg.Record], events: int) -> Turn:
    seconds = []
    for work in (_floor, _fold, _replay):
        began = time.perf_counter()
        await work(connection, events)
        seconds.append(time.perf_counter() - began)
    return Turn(*seconds)


async def _floor(connection: asyncpg.Connection[asyncpg.Record], events: int) -> None:
    """Read every event, decode its JSON, update a dict: less cannot be done in Python."""
    state: dict[str, dict[str, Any]] = {}
    after = 0
    while after < events:
        for row in await connection.fetch(READ_LOG, after, events, FOLD_BATCH):
            body = json.loads(row["body"])
            state.setdefault(body.get("database", row["stream"]), {}).update(body)
            after = row["position"]


async def _fold(connection: asyncpg.Connection[asyncpg.Record], events: int) -> None:
    """What replay adds to the floor before it writes: the rules of every read model."""
    after, projection = 0, Projection()
    with without_collector():
        while after < events:
            for recorded in read(await connection.fetch(READ_LOG, after, events, FOLD_BATCH)):
                projection.take(recorded)
                after = recorded.position


async def _replay(connection: asyncpg.Connection[asyncpg.Record], events: int) -> None:
    replayed = await replay(connection)
    if not replayed.agrees or replayed.position != events:
        raise SystemExit(f"the replay differs: {replayed.differences[:3]}")


async def fill(
    connection: asyncpg.Connection[asyncpg.Record], databases: int, rollouts: int
) -> None:
    """Append what `rollouts` rollouts over `databases` databases leave in the log."""
    await _append(connection, "fleet", _fleet(databases))
    for number in range(rollouts):
        rollout = f"bench-{number}"
        stream = f"rollout-{rollout}"
        await _append(connection, stream, _plan(rollout, databases))
        for first in range(0, databases, IN_FLIGHT):
            window = range(first, min(first + IN_FLIGHT, databases))
            await _append(connection, stream, _orders(rollout, window))
            await _append(connection, f"{stream}/reports", _reports(rollout, window))


async def _append(
    connection: asyncpg.Connection[asyncpg.Record], stream: str, events: Iterator[Event]
) -> None:
    metadata = Metadata(agent="bench-1", correlation=stream, occurred_at=datetime.now(UTC))
    encoded: Iterator[Encoded] = (encode(event, uuid4(), metadata) for event in events)
    while batch := list(islice(encoded, CHUNK)):
        await connection.execute(
            APPEND,
            stream,
            [event.event_id for event in batch],
            [event.type for event in batch],
            [event.schema_version for event in batch],
            [event.body for event in batch],
            [event.metadata for event in batch],
        )


def _fleet(databases: int) -> Iterator[Event]:
    for name in map(_name, range(databases)):
        yield DatabaseRegistered(
            database=name, pool="default", connection=_where(name), labels={"tier": "free"}
        )


def _plan(rollout: str, databases: int) -> Iterator[Event]:
    yield RolloutPlanned(
        rollout=rollout,
        mode=Mode.UP,
        bundle="a" * 64,
        steps=(_step(rollout),),
        selection="all",
        fleet_position=databases,
        databases=databases,
        waves=1,
        wave_spec="rest",
        in_flight=64,
        budget=Budget(count=0),
        when_spent=WhenSpent.HALT,
        limits=Limits(),
        expiry_s=600.0,
        deadline_s=3600.0,
    )
    names = [_name(number) for number in range(databases)]
    for chunk in range(0, databases, CHUNK):
        planned = tuple(names[chunk : chunk + CHUNK])
        yield WavePlanned(rollout=rollout, wave=0, chunk=chunk // CHUNK, databases=planned)
    yield RolloutStarted(rollout=rollout)
    yield WaveOpened(rollout=rollout, wave=0)


def _orders(rollout: str, window: range) -> Iterator[Event]:
    for number in window:
        name = _name(number)
        yield MigrationOrdered(
            rollout=rollout,
            database=name,
            pool="default",
            wave=0,
            attempt=1,
            command=command_id(rollout, name, "up", 1),
            term=1,
            bundle="a" * 64,
            mode=Mode.UP,
            steps=(_step(rollout),),
            connection=_where(name),
            expected=Expectation(identity=_identity(number), journal_head="c" * 64),
            limits=Limits(),
            expires_at=datetime.now(UTC),
            deadline_at=datetime.now(UTC),
        )


def _reports(rollout: str, window: range) -> Iterator[Event]:
    for number in window:
        name = _name(number)
        command = command_id(rollout, name, "up", 1)
        step = _step(rollout)
        yield AttemptStarted(database=name, command=command, attempt=1, mode=Mode.UP)
        yield DatabaseIdentified(
            database=name,
            command=command,
            identity=_identity(number),
            server_version=180000,
            first_contact=False,
        )
        yield MigrationApplied(
            database=name,
            command=command,
            version=step.version,
            checksum=step.checksum,
            duration_ms=12,
            statements=3,
        )
        yield AttemptFinished(
            database=name,
            command=command,
            attempt=1,
            mode=Mode.UP,
            verdict=Verdict.DONE,
            changed=1,
            journal_head="d" * 64,
        )


def _name(number: int) -> str:
    return f"tenant-{number:05d}"


def _where(name: str) -> Connection:
    return Connection.at(
        host="db-17.internal",
        database=name,
        user="migrator",
        password="file:secrets/{database}",  # noqa: S106  a reference
    )


def _identity(number: int) -> Identity:
    return Identity(
        uuid=UUID(int=number), system_identifier="7412345678901234567", database_oid=16384 + number
    )


def _step(rollout: str) -> Step:
    return Step(version=f"2026010100000{rollout[-1]}", checksum="b" * 64)


async def main(url: str, rollouts: int) -> int:
    """Fill, measure, print; the exit code says whether the bar was reached."""
    measured = await turns(url, TURNS, rollouts)
    print(measured)
    return 0 if measured.replay_ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else ROLLOUTS)))
