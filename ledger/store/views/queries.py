"""The queries of status, lists and orders, over the tables that `projecting` writes.

They read what has been projected; whoever needs his own append in the answer calls `caught_up`
first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from ledger.contracts.registry import (
    Connection,
    DatabaseIdentity,
    Expected,
    FailureDetail,
    MigrationRef,
    Mode,
    Step,
)
from ledger.contracts.reports import JournalEntry, Rights
from ledger.domain.fleet import DatabaseRecord, FleetStatus
from ledger.store.connections import Pool
from ledger.store.queries import load
from ledger.store.views import advance
from ledger.store.views.rows import (
    AppliedRow,
    AttemptRow,
    BundleRow,
    DatabaseVersions,
    FleetRow,
    InspectionRow,
    LatestOrder,
    RolloutDatabaseRow,
    RolloutRow,
    VersionRow,
)

QUERIES = load("views/queries.sql")
PAGE = 1000
"""Rows of one page."""

_MIGRATIONS = TypeAdapter(tuple[MigrationRef, ...])
_STEPS = TypeAdapter(tuple[Step, ...])
_ENTRIES = TypeAdapter(tuple[JournalEntry, ...])
_FAILURE = tuple(FailureDetail.model_fields)


class ReadModels:
    """Answers from the projected tables."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def caught_up(self) -> int:
        """Project everything that is in the log now; the position. Needs the service role.

        Raises `UnknownMessage` for an event that this version cannot read.
        """
        async with self._pool.acquire() as connection:
            return await advance.catch_up(connection)

    async def position(self) -> int:
        """Up to which position of the log the answers go."""
        position: int = await self._pool.fetchval(QUERIES["position"])
        return position

    async def fleet(self, databases: Sequence[str] | None = None) -> list[FleetRow]:
        """These databases, or the whole fleet with its retired ones."""
        return [_fleet_row(row) for row in await self._fetch("fleet", databases)]

    async def records(self, databases: Sequence[str] | None = None) -> list[DatabaseRecord]:
        """The same in the words of the domain, with what the next order expects."""
        return [row.record for row in await self.fleet(databases)]

    async def expected(self, databases: Sequence[str]) -> dict[str, Expected]:
        """What the next order of each of these registered databases expects to find."""
        return {record.database: record.expected for record in await self.records(databases)}

    async def latest_orders(self) -> list[LatestOrder]:
        """What was last ordered of each registered database."""
        return [LatestOrder(*row) for row in await self._fetch("latest_orders")]

    async def bundle(self, digest: str) -> BundleRow | None:
        """A bundle by its digest or an unambiguous beginning of it."""
        rows = await self._fetch("bundle", digest)
        return _bundle_row(rows[0]) if len(rows) == 1 else None

    async def latest_bundle(self) -> BundleRow | None:
        """The bundle registered last."""
        rows = await self._fetch("latest_bundle")
        return _bundle_row(rows[0]) if rows else None

    async def rollout(self, rollout: str) -> RolloutRow | None:
        """One rollout with its databases counted."""
        rows = await self._rollouts([rollout], None, None, 1)
        return rows[0] if rows else None

    async def rollouts(
        self,
        statuses: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[RolloutRow]:
        """Rollouts, newest first; `before` is the `planned_position` to go on from."""
        return await self._rollouts(None, statuses, before, limit)

    async def unfinished_rollouts(self) -> list[str]:
        """Rollouts that have not ended, oldest first."""
        return [row["rollout"] for row in await self._fetch("unfinished")]

    async def unsettled_rollouts(self) -> list[str]:
        """Rollouts that a leader must know: unfinished, or aborted while something ran."""
        return [row["rollout"] for row in await self._fetch("unsettled")]

    async def recent_checks(self) -> list[str]:
        """Checks that a leader must know: recent ones, and those that must not stay unanswered."""
        rows = await self._fetch("recent_checks")
        return [row["stream"].removeprefix("check-") for row in rows]

    async def unread(self, databases: Sequence[str]) -> frozenset[str]:
        """Which of these were reinstated or repointed, their journal not being read since."""
        return frozenset(row["database"] for row in await self._fetch("unread", databases))

    async def unreadable(self) -> list[int]:
        """Positions of the events that could not be read, the latest first."""
        return [row["position"] for row in await self._fetch("unreadable")]

    async def busy(self, databases: Sequence[str]) -> dict[str, str]:
        """Which of these databases are part of an unfinished rollout, and of which (the oldest)."""
        found: dict[str, str] = {}
        for row in await self._fetch("busy", databases):
            found.setdefault(row["database"], row["rollout"])
        return found

    async def beginning(self, beginning: str) -> list[str]:
        """The rollouts whose id begins so, newest first."""
        return [row["rollout"] for row in await self._fetch("beginning", beginning)]

    async def busy_beside(self, rollout: str) -> dict[str, str]:
        """Which of a rollout's databases are part of another unfinished one (the oldest)."""
        found: dict[str, str] = {}
        for row in await self._fetch("busy_beside", rollout):
            found.setdefault(row["database"], row["rollout"])
        return found

    async def rollout_databases(
        self,
        rollout: str,
        states: Sequence[str] | None = None,
        after: tuple[int, str] | None = None,
        limit: int = PAGE,
    ) -> list[RolloutDatabaseRow]:
        """A page of a rollout's databases; `after` is the (wave, database) to go on from."""
        wave, database = after or (None, None)
        rows = await self._fetch("rollout_databases", rollout, states, wave, database, limit)
        return [_rollout_database_row(row) for row in rows]

    async def attempts(
        self, *, rollout: str | None = None, database: str | None = None
    ) -> list[AttemptRow]:
        """Every attempt of a rollout or on a database, oldest first."""
        rows = await self._fetch("attempts", rollout, database)
        return [AttemptRow(**dict(row) | {"mode": Mode(row["mode"])}) for row in rows]

    async def applied(
        self, databases: Sequence[str] | None = None, versions: Sequence[str] | None = None
    ) -> list[AppliedRow]:
        """What is known of these migrations on these databases."""
        return [
            AppliedRow(**dict(row)) for row in await self._fetch("applied", databases, versions)
        ]

    async def version_matrix(
        self, versions: Iterable[str] = (), databases: Sequence[str] | None = None
    ) -> list[VersionRow]:
        """Each migration across the fleet, first those given, in their order, then any other."""
        size: int = await self._pool.fetchval(QUERIES["fleet_size"], databases)
        states: dict[str, dict[str, int]] = {version: {} for version in versions}
        others = sorted(await self._fetch("version_counts", databases), key=_version)
        for row in others:
            states.setdefault(row["version"], {})[row["state"]] = row["databases"]
        return [
            VersionRow(version, counts, size - sum(counts.values()))
            for version, counts in states.items()
        ]

    async def database_versions(
        self, versions: Sequence[str], databases: Sequence[str] | None = None
    ) -> list[DatabaseVersions]:
        """Each database against these versions: what is in force there and what is missing."""
        rows = await self._fetch("database_versions", databases, versions)
        return [
            DatabaseVersions(
                row["database"], tuple(row["applied"] or ()), tuple(row["missing"] or ())
            )
            for row in rows
        ]

    async def inspections(self, stream: str) -> list[InspectionRow]:
        """What a check (`check-<id>`) or a rollout (`rollout-<id>`) saw of its databases."""
        return [_inspection_row(row) for row in await self._fetch("inspections", stream)]

    async def _rollouts(self, *arguments: Any) -> list[RolloutRow]:
        rows = await self._fetch("rollouts", *arguments)
        counts: dict[str, dict[tuple[int, str], int]] = {row["rollout"]: {} for row in rows}
        for count in await self._fetch("rollout_counts", list(counts)):
            counts[count["rollout"]][(count["wave"], count["state"])] = count["databases"]
        return [_rollout_row(row, counts[row["rollout"]]) for row in rows]

    async def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._pool.fetch(QUERIES[query], *arguments)


def _version(row: asyncpg.Record) -> tuple[int, str]:
    """Longer numbers are later ones: `9` before `10`."""
    return len(row["version"]), row["version"]


def _fleet_row(row: asyncpg.Record) -> FleetRow:
    record = DatabaseRecord(
        database=row["database"],
        pool=row["pool"],
        connection=Connection(
            host=row["host"],
            port=row["port"],
            dbname=row["dbname"],
            user=row["username"],
            password=row["password_reference"],
            sslmode=row["sslmode"],
            schema_name=row["schema_name"],
            role=row["role"],
        ),
        labels=json.loads(row["labels"]),
        status=FleetStatus(row["status"]),
        expected=Expected(identity=_identity(row), journal_head=row["journal_head"]),
    )
    seen = ("server_version", "last_contact_at", "registered_at", "registered_by")
    return FleetRow(record, **{name: row[name] for name in seen})


def _identity(row: asyncpg.Record) -> DatabaseIdentity | None:
    if row["identity_uuid"] is None:
        return None
    return DatabaseIdentity(
        uuid=row["identity_uuid"],
        system_identifier=row["system_identifier"],
        database_oid=row["database_oid"],
    )


def _bundle_row(row: asyncpg.Record) -> BundleRow:
    return BundleRow(**dict(row) | {"migrations": _MIGRATIONS.validate_json(row["migrations"])})


def _rollout_row(row: asyncpg.Record, counts: Mapping[tuple[int, str], int]) -> RolloutRow:
    read = {"mode": Mode(row["mode"]), "steps": _STEPS.validate_json(row["steps"])}
    return RolloutRow(**dict(row) | read, counts=counts)


def _rollout_database_row(row: asyncpg.Record) -> RolloutDatabaseRow:
    columns = dict(row)
    failure = {name: columns.pop(f"failure_{name}") for name in _FAILURE}
    columns["failure"] = FailureDetail(**failure) if failure["kind"] else None
    columns["mode"] = Mode(row["mode"]) if row["mode"] else None
    return RolloutDatabaseRow(**columns)


def _inspection_row(row: asyncpg.Record) -> InspectionRow:
    columns = dict(row)
    for name in ("identity_uuid", "system_identifier", "database_oid"):
        columns.pop(name)
    columns["identity"] = _identity(row)
    columns["rights"] = Rights.model_validate_json(row["rights"]) if row["rights"] else None
    columns["entries"] = _ENTRIES.validate_json(row["entries"]) if row["entries"] else ()
    return InspectionRow(**columns)
