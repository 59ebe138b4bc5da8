"""The six invariants of every fault test, over the real log, journals and catalogs.

- **I1** a database has a migration's effect exactly when its journal says so, or the table of the
  tool that was there before;
- **I2** each (database, migration, direction) ran at most once per order, and never unrecorded;
- **I3** every journal row reached the log as exactly one event, and every event that claims an
  effect or a failure of a statement has its journal row, or a person's word;
- **I4** positions are 1..N without holes, the chain verifies, and a replay gives the live tables;
- **I5** each database of a rollout is where its journal says, or it is visible why it is not;
- **I6** what the commands show a person, as text and as JSON, is what the journals say
  (`tests.support.shown`).

`gather` reads everything, `violations` judges what was read and does nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

import asyncpg

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import ChangeAccepted, OutcomeResolved, RolloutPlanned
from ledger.contracts.reports import (
    DatabaseInspected,
    HistoryAdopted,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
)
from ledger.runtime import stores_of
from ledger.service.status import DatabaseLine, RolloutStatus
from tests.support.fleet import Fleet, Tenant, events_of
from tests.support.shown import Shown, look, untruths

READ_JOURNAL = """
    SELECT command, rollout, migration AS version, direction, state
    FROM migration_ledger.journal WHERE step = 0 AND migration <> '' ORDER BY seq
"""
HAS_JOURNAL = "SELECT to_regclass('migration_ledger.journal') IS NOT NULL"
HAS_GOOSE = "SELECT to_regclass('goose_db_version') IS NOT NULL"
READ_GOOSE = "SELECT version_id::text AS version FROM goose_db_version WHERE is_applied"
READ_TOUCHED = (
    "SELECT DISTINCT rollout FROM migration_ledger.journal WHERE migration <> '' AND rollout <> ''"
)
READ_RAN = "SELECT version, direction, count(*) AS times FROM ran GROUP BY version, direction"
RESOLVE, ADOPT, REPAIR = "resolve", "adopt", "repair"
WORDS = (RESOLVE, ADOPT, REPAIR, "gone")
"""Directions of rows for which nothing ran."""
STATES = {"up": "applied", "down": "rolled_back"}
WELL = ("applied", "skipped", "pending")
ENDED = ("completed", "aborted")


@dataclass(frozen=True, slots=True)
class JournalRow:
    """What a journal says of one migration: the state that it reached by one command."""

    command: UUID
    rollout: str
    version: str
    direction: str
    state: str


@dataclass(frozen=True, slots=True)
class Found:
    """One database: which migrations show their effect, what ran how often, what is journalled."""

    database: str
    effects: frozenset[str]
    ran: dict[tuple[str, str], int]
    journal: tuple[JournalRow, ...]
    elsewhere: frozenset[str] = frozenset()
    """What another tool's table says is applied."""
    touched: frozenset[str] = frozenset()
    """The rollouts that have left something of a migration in the journal, done or half done."""

    def in_force(self) -> set[str]:
        """The migrations that are applied, by the journal."""
        settled = {row.version: row.state for row in self.journal if row.state != "failed"}
        return {version for version, state in settled.items() if state == "applied"}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the invariants are about. `broken` is what the audit found, if anything."""

    databases: tuple[Found, ...]
    versions: frozenset[str]
    events: tuple[Recorded, ...]
    head: int
    broken: str
    differences: tuple[str, ...]
    rollouts: tuple[RolloutStatus, ...]
    shown: Shown


async def hold(fleet: Fleet) -> None:
    """Check all six, and that something was there to be checked."""
    facts = await gather(fleet)
    assert facts.databases, "there is no database"
    assert facts.head == len(facts.events) > 0, "there is no event"
    found = violations(facts)
    assert not found, "\n".join(found)


async def gather(fleet: Fleet) -> Facts:
    """Read the log, the journals, the catalogs; replay and audit."""
    async with fleet.opened() as ledger:
        events = await events_of(ledger)
        audit = await ledger.audit.verify()
        replayed = await ledger.audit.replay()
        planned = [one.event.rollout for one in events if isinstance(one.event, RolloutPlanned)]
        return Facts(
            databases=tuple([await _found(fleet, tenant) for tenant in fleet.tenants]),
            versions=frozenset(fleet.migrations),
            events=tuple(events),
            head=(await stores_of(ledger).log.head()).position,
            broken="" if audit.whole else f"position {audit.position}: {audit.why}",
            differences=tuple(str(one) for one in replayed.differences),
            rollouts=tuple([await ledger.rollouts.status(rollout) for rollout in planned]),
            shown=await look(ledger, planned),
        )


async def _found(fleet: Fleet, tenant: Tenant) -> Found:
    connection = await asyncpg.connect(tenant.url)
    try:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'effect%'"
        )
        names = {row["relname"] for row in tables}
        ran = await connection.fetch(READ_RAN)
        journal, touched = [], []
        if await connection.fetchval(HAS_JOURNAL):
            journal = await connection.fetch(READ_JOURNAL)
            touched = await connection.fetch(READ_TOUCHED)
        return Found(
            database=tenant.id,
            effects=frozenset(v for v, table in fleet.migrations.items() if table in names),
            ran={(row["version"], row["direction"]): row["times"] for row in ran},
            journal=tuple(JournalRow(**dict(row)) for row in journal),
            elsewhere=frozenset(await _elsewhere(connection)),
            touched=frozenset(row["rollout"] for row in touched),
        )
    finally:
        await connection.close()


async def _elsewhere(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    if not await connection.fetchval(HAS_GOOSE):
        return []
    return [row["version"] for row in await connection.fetch(READ_GOOSE)]


def violations(facts: Facts) -> list[str]:
    """What does not hold; each begins with its invariant. Pure."""
    return [
        *_effects(facts),
        *_once(facts),
        *_recorded(facts),
        *_claimed(facts),
        *_whole(facts),
        *_converged(facts),
        *(f"I6 {one}" for one in untruths(facts.shown, facts.databases)),
    ]


def _effects(facts: Facts) -> Iterator[str]:
    for found in facts.databases:
        for version in sorted(facts.versions):
            effect = version in found.effects
            said = version in found.in_force() | found.elsewhere
            if effect is not said:
                yield f"I1 {found.database}: {version} effect {effect}, journal {said}"


def _once(facts: Facts) -> Iterator[str]:
    for found in facts.databases:
        rows = [
            row for row in found.journal if row.direction not in WORDS and row.state != "failed"
        ]
        journalled = Counter((row.version, row.direction) for row in rows)
        for key in journalled.keys() | found.ran.keys():
            if found.ran.get(key, 0) != journalled[key]:
                yield (
                    f"I2 {found.database}: {key} ran {found.ran.get(key, 0)} times, "
                    f"journalled {journalled[key]} times"
                )
        for version in {row.version for row in rows}:
            directions = [row.direction for row in rows if row.version == version]
            if any(one == next_ for one, next_ in pairwise(directions)):
                yield f"I2 {found.database}: {version} went {directions}"


def _recorded(facts: Facts) -> Iterator[str]:
    """Each journal row has its one event; read anew by a later command, that says so."""
    for found in facts.databases:
        claims = [
            (one, *claim)
            for one in facts.events
            for claim in _claims(one)
            if claim[0] == found.database
        ]
        for row in found.journal:
            same = [one for one, _, *said in claims if _is_about(row, one, said)]
            own = [one for one in same if _command(one) == row.command]
            others = [one for one in same if one not in own and not one.metadata.recovered]
            if len(own) > 1 or (row.direction not in WORDS and others and not _again(found, row)):
                yield f"I3 {found.database}: {row} is in the log {len(same)} times"
            if (
                not same
                and not _was_accepted(facts, row)
                and not _was_seen(facts, found.database, row)
            ):
                yield f"I3 {found.database}: {row} never reached the log"


def _claimed(facts: Facts) -> Iterator[str]:
    known = {found.database: found for found in facts.databases}
    for one in facts.events:
        for claim in _claims(one):
            if claim[0] not in known or isinstance(one.event, OutcomeResolved):
                continue
            if not any(_is_about(row, one, claim[1:]) for row in known[claim[0]].journal):
                where = f"I3 {claim[0]}: position {one.position}"
                yield f"{where} claims {claim[1:]}, no journal row does"


def _whole(facts: Facts) -> Iterator[str]:
    positions = [one.position for one in facts.events]
    if positions != list(range(1, facts.head + 1)):
        yield f"I4 the log has {len(positions)} events and ends at {facts.head}"
    if facts.broken:
        yield f"I4 the chain does not verify: {facts.broken}"
    for difference in facts.differences:
        yield f"I4 replay differs: {difference}"


def _converged(facts: Facts) -> Iterator[str]:
    plans = {
        one.event.rollout: one.event
        for one in facts.events
        if isinstance(one.event, RolloutPlanned)
    }
    latest = {line.database: rollout for rollout in facts.rollouts for line in rollout.databases}
    known = {found.database: found for found in facts.databases}
    for rollout in facts.rollouts:
        over = rollout.status in ENDED or (rollout.status == "halted" and rollout.why)
        silent = [one for one in rollout.databases if not (one.waits_for or one.status in WELL)]
        if silent and not over:
            yield f"I5 rollout {rollout.rollout} is {rollout.status} and does not say why"
        versions = {step.version for step in plans[rollout.rollout].steps}
        for line in rollout.databases:
            found = known.get(line.database)
            if found is not None and latest[line.database] is rollout:
                yield from _settled(rollout, line, found, versions)


def _settled(
    rollout: RolloutStatus, line: DatabaseLine, found: Found, versions: set[str]
) -> Iterator[str]:
    """A database's status is what its journal says, or there is a reason to read."""
    where = f"I5 {line.database}, {line.status} in rollout {rollout.rollout}"
    mine = [row for row in found.journal if row.rollout == rollout.rollout]
    up = rollout.mode == "up"
    match line.status:
        case "applied" | "skipped" if up and not line.problem and versions - found.in_force():
            yield f"{where}: lacks {sorted(versions - found.in_force())}"
        case "applied" if rollout.mode == "adopt" and not mine:
            yield f"{where}: nothing was adopted"
        case "applied" if rollout.mode == "down" and versions & found.in_force():
            yield f"{where}: still has {sorted(versions & found.in_force())}"
        case "applied" | "skipped" if rollout.undoes and _through(found, rollout.undoes):
            yield f"{where}: still has {sorted(_through(found, rollout.undoes))}"
        case "pending" if mine and rollout.status in ENDED:
            yield f"{where}: was worked on"
        case "failed" if not line.problem:
            yield f"{where}: no problem is named"
        case "ordered" | "running" | "unknown" | "blocked" if not line.waits_for:
            yield f"{where}: nothing says what it waits for"
        case _:
            return


def _through(found: Found, rollout: str) -> set[str]:
    """What is in force there through this rollout."""
    settled = {row.version: row for row in found.journal if row.state != "failed"}
    return {
        version
        for version, row in settled.items()
        if row.state == "applied" and row.rollout == rollout
    }


def _claims(recorded: Recorded) -> list[tuple[str, str, str, str]]:
    """Database, version, direction and state that an event says were reached."""
    if isinstance(event := recorded.event, HistoryAdopted):
        return [
            *((event.database, one.version, ADOPT, "applied") for one in event.taken),
            *((event.database, version, ADOPT, "not_applied") for version in event.released),
        ]
    claim = _claim(recorded)
    return [] if claim is None else [claim]


def _claim(recorded: Recorded) -> tuple[str, str, str, str] | None:
    """What an event about one migration says."""
    match recorded.event:
        case MigrationApplied() as event:
            return event.database, event.version, "up", "applied"
        case MigrationRolledBack() as event:
            return event.database, event.version, "down", "rolled_back"
        case MigrationFailed() as event:
            return event.database, event.version, event.direction, "failed"
        case OutcomeResolved() as event:
            state = "applied" if event.applied else "not_applied"
            return event.database, event.version, RESOLVE, state
        case _:
            return None


def _is_about(row: JournalRow, recorded: Recorded, said: Iterable[str]) -> bool:
    version, direction, state = said
    if recorded.stream.split("/")[0] != f"rollout-{row.rollout}":
        return False
    # A person's word is an event, then a row that the next attempt writes and reports as applied.
    directions = (RESOLVE, "up") if row.direction == RESOLVE else (row.direction,)
    return (row.version, row.state) == (version, state) and direction in directions


def _command(recorded: Recorded) -> UUID | None:
    command = getattr(recorded.event, "command", None)
    return command if isinstance(command, UUID) else None


def _again(found: Found, row: JournalRow) -> bool:
    """Whether the same was journalled by several commands of the rollout."""
    place = (row.rollout, row.version, row.direction, row.state)
    return sum((o.rollout, o.version, o.direction, o.state) == place for o in found.journal) > 1


def _was_accepted(facts: Facts, row: JournalRow) -> bool:
    """Whether a person's leave for another text is in the log; journals note it as they need it."""
    said = (one.event for one in facts.events if isinstance(one.event, ChangeAccepted))
    return row.direction == REPAIR and any(event.version == row.version for event in said)


def _was_seen(facts: Facts, database: str, row: JournalRow) -> bool:
    """Whether a look at the journal told the ledger."""
    return any(
        isinstance(one.event, DatabaseInspected)
        and one.event.database == database
        and any(
            (entry.command, entry.version, entry.state) == (row.command, row.version, row.state)
            for entry in one.event.entries
        )
        for one in facts.events
    )
