"""How what is folded stands in the columns of a row, and how it comes back from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from itertools import compress
from operator import attrgetter, is_not
from sys import intern
from types import MappingProxyType
from typing import Any

import asyncpg
from pydantic import TypeAdapter
from pydantic_core import to_json

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import BundleRegistered, RolloutPlanned
from ledger.contracts.registry import Connection, ServerAddress, TargetName
from ledger.domain.belief import Belief
from ledger.domain.fleet import DatabaseRecord, FleetStatus
from ledger.domain.states import DatabaseState, RolloutState, Status, Wave
from ledger.store.views.projection import RolloutRows
from ledger.store.views.rows import FleetEntry, FleetRow
from migrations.model.attempt import ForgedFence, HalfDone, Identity

Columns = tuple[Any, ...]
"""The values of a row, in the order of its table."""


@cache
def _half_done() -> TypeAdapter[tuple[HalfDone, ...]]:
    return TypeAdapter(tuple[HalfDone, ...])


@cache
def _forged() -> TypeAdapter[ForgedFence]:
    return TypeAdapter(ForgedFence)


_OWN = frozenset({"database", "wave", "status", "command", "again"})
"""What has a column of its own; the rest of a state is `details`."""
_OTHERS = tuple(name for name in DatabaseState._fields if name not in _OWN)
_BEGINNING = tuple(map(DatabaseState._field_defaults.get, _OTHERS))
"""Such a value is one object wherever it comes from: nothing, no, zero, or what is empty."""
_others = attrgetter(*_OTHERS)
_CONNECTION = set(Connection.model_fields)


_ENTRY = len(FleetEntry._fields)
"""So many columns of a fleet's row say what its database is; the others, what was seen of it."""
_BELIEF = FleetEntry._fields.index("identity_uuid")
"""Where what is believed begins in an entry."""
_server = lru_cache(10_000)(ServerAddress)


@lru_cache(10_000)
def _labels(text: str) -> Mapping[str, str]:
    """Labels as they stand in a column; databases with the same ones share them."""
    labels: dict[str, str] = json.loads(text)
    return MappingProxyType(labels)


@cache
def _states() -> TypeAdapter[DatabaseState]:
    """Made when the first row is read: commands that read none need not wait for it."""
    return TypeAdapter(DatabaseState)


def of_state(rollout: str, state: DatabaseState) -> Columns:
    """A database of a rollout. `details` leaves out what is as it was in the beginning."""
    values = _others(state)
    changed = compress(zip(_OTHERS, values, strict=True), map(is_not, values, _BEGINNING))
    kept = to_json(dict(changed)).decode()
    return (
        rollout, state.database, state.wave, state.status, state.command, state.again, kept,
    )  # fmt: skip


def to_state(row: asyncpg.Record) -> DatabaseState:
    """The state that such a row was made of."""
    own = {
        "database": row["database"],
        "wave": row["wave"],
        "status": row["state"],
        "command": row["command"],
        "again": row["again"],
    }
    said, details = to_json(own), row["details"]
    # Joined as texts: a leader that begins reads as many as the fleet has databases.
    return _states().validate_json(
        said if details == "{}" else said[:-1] + b"," + details.encode().lstrip()[1:]
    )


def of_fleet(database: str, row: FleetRow) -> Columns:
    """A registered database."""
    return (*to_entry(row.registered, row.belief), *row[2:])


def to_fleet(row: asyncpg.Record) -> FleetRow:
    """What such a row was made of."""
    entry = FleetEntry(*row[:_ENTRY])
    return FleetRow(registered_in(entry), belief_in(entry), *row[_ENTRY:])


def to_entry(record: DatabaseRecord, belief: Belief) -> FleetEntry:
    """A registered database and what is believed of it, as they stand in columns."""
    connection, target = record.connection, record.connection.target
    return FleetEntry(
        record.database,
        record.status.value,
        record.pool,
        target.server.host,
        target.server.port,
        target.database,
        target.schema,
        target.history,
        json.dumps(connection.further_schemas) if connection.further_schemas else None,
        connection.user,
        connection.password,
        connection.sslmode,
        connection.role,
        json.dumps(dict(record.labels)),
        record.backed_up_at.isoformat() if record.backed_up_at else None,
        *_of_belief(belief),
    )


def taught(entry: FleetEntry, belief: Belief) -> FleetEntry:
    """The same database, of which this is believed now."""
    return FleetEntry._make((*entry[:_BELIEF], *_of_belief(belief)))


def _of_belief(belief: Belief) -> Columns:
    identity = belief.identity
    return (
        identity.uuid if identity else None,
        identity.system_identifier if identity else None,
        identity.database_oid if identity else None,
        belief.journal_head,
        belief.command,
        belief.unanswered,
        belief.doubted,
        to_json(belief.forged).decode() if belief.forged else None,
        to_json(belief.half_done).decode() if belief.half_done else None,
        belief.seen,
    )


def registered_in(entry: FleetEntry) -> DatabaseRecord:
    """The registered database in such columns."""
    return DatabaseRecord(
        database=entry.database,
        pool=intern(entry.pool),
        # Validated when it was recorded; a fleet has many, so what they share is there once.
        connection=Connection.model_construct(
            _CONNECTION,
            target=TargetName(
                _server(entry.target_host, entry.target_port),
                entry.target_database,
                entry.target_schema,
                entry.target_history,
            ),
            user=entry.username,
            password=entry.password_reference,
            sslmode=entry.sslmode,
            role=entry.role,
            further_schemas=tuple(json.loads(entry.further_schemas or "[]")),
        ),
        labels=_labels(entry.labels),
        status=FleetStatus(entry.status),
        backed_up_at=datetime.fromisoformat(entry.backed_up_at) if entry.backed_up_at else None,
    )


def belief_in(entry: FleetEntry) -> Belief:
    """What is believed of the database in such columns."""
    identity = None
    if entry.identity_uuid is not None:
        identity = Identity(
            uuid=entry.identity_uuid,
            system_identifier=intern(entry.system_identifier or ""),
            database_oid=entry.database_oid or 0,
        )
    forged = _forged().validate_json(entry.forged) if entry.forged else None
    half_done = _half_done().validate_json(entry.half_done) if entry.half_done else ()
    told = (entry.journal_head, entry.command, entry.unanswered, entry.doubted, forged)
    return Belief(identity, *told, half_done, entry.seen)


def of_bundle(event: BundleRegistered, recorded: Recorded) -> Columns:
    """A bundle as it was registered."""
    return (
        event.bundle,
        _array(event.migrations),
        event.source,
        event.git_commit,
        event.git_dirty,
        event.history,
        event.name,
        recorded.position,
        recorded.recorded_at,
        recorded.recorded_by,
    )


def of_rollout(rollout: str, rows: RolloutRows) -> Columns:
    """A rollout; its plan in the words of the event, which is where it comes back from."""
    draft = rows.draft
    plan = draft.plan
    return (
        rollout,
        draft.status,
        plan.mode,
        plan.bundle,
        _array(plan.steps),
        plan.selection,
        plan.fleet_position,
        plan.databases,
        plan.waves,
        plan.wave_spec,
        draft.wave if draft.wave >= 0 else None,
        plan.in_flight,
        plan.budget.count,
        plan.budget.percent,
        plan.when_spent,
        plan.expiry_s,
        plan.deadline_s,
        rows.planned_position,
        rows.planned_at,
        rows.planned_by,
        rows.reason,
        rows.ticket,
        rows.started_at,
        rows.ended_at,
        draft.why or None,
        plan.undoes,
        draft.undone_by[-1] if draft.undone_by else None,
    )


def to_rollout(row: asyncpg.Record, plan: RolloutPlanned) -> RolloutRows:
    """What such a row was made of, without its databases.

    Of a rollout's state there is what the fate of a database depends on, and what is in the row.
    """
    state = RolloutState(
        plan=plan,
        status=Status(row["status"]),
        version=0,
        position=0,
        planned_at=row["planned_at"],
        undone_by=(row["undone_by"],) if row["undone_by"] else (),
        why=row["why"] or "",
        wave=-1 if row["current_wave"] is None else row["current_wave"],
        waves=tuple(Wave() for _ in range(plan.waves)),
    )
    beside = ("planned_position", "planned_by", "reason", "ticket", "started_at", "ended_at")
    rows = RolloutRows(state, *(row[name] for name in beside))
    rows.stored, rows.changed = True, False
    return rows


def _array(values: tuple[Any, ...]) -> str:
    return to_json(values).decode()
