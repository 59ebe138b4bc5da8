"""The read models' tables as their writers see them; a test compares them with the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table: key and columns with their PostgreSQL types.

    `computed` gives columns a value that is looked up where the row is written; `d` is the row
    given, `{schema}` where the tables are. `guard` must hold for the row that is there (`t`; a row
    to put in its place is `excluded`), or the row that is there stays.
    """

    name: str
    key: Mapping[str, str]
    columns: Mapping[str, str]
    computed: Mapping[str, str] = field(default_factory=dict)
    guard: str = ""

    def type_of(self, column: str) -> str:
        """The PostgreSQL type of a key column or another column."""
        return self.key.get(column) or self.columns[column]


FAILURE: Mapping[str, str] = {
    "failure_kind": "text",
    "failure_message": "text",
    "failure_sqlstate": "text",
    "failure_statement": "text",
    "failure_file": "text",
    "failure_line": "integer",
    "failure_blocker": "text",
}
FLEET_DATABASE = Table(
    "fleet_database",
    {"database": "text"},
    {
        "status": "text",
        "pool": "text",
        "host": "text",
        "port": "integer",
        "dbname": "text",
        "username": "text",
        "password_reference": "text",
        "sslmode": "text",
        "schema_name": "text",
        "role": "text",
        "labels": "jsonb",
        "identity_uuid": "uuid",
        "system_identifier": "text",
        "database_oid": "bigint",
        "journal_head": "text",
        "command": "uuid",
        "head_command": "uuid",
        "server_version": "integer",
        "last_contact_position": "bigint",
        "last_contact_at": "timestamptz",
        "registered_position": "bigint",
        "registered_at": "timestamptz",
        "registered_by": "text",
    },
)
BUNDLE = Table(
    "bundle",
    {"bundle": "text"},
    {
        "migrations": "jsonb",
        "source": "text",
        "git_commit": "text",
        "git_dirty": "boolean",
        "registered_position": "bigint",
        "registered_at": "timestamptz",
        "registered_by": "text",
    },
)
ROLLOUT = Table(
    "rollout",
    {"rollout": "text"},
    {
        "standing": "text",
        "rollback_position": "bigint",
        "aborted_position": "bigint",
        "mode": "text",
        "bundle": "text",
        "steps": "jsonb",
        "selection": "text",
        "fleet_position": "bigint",
        "databases": "integer",
        "waves": "integer",
        "wave_spec": "text",
        "current_wave": "integer",
        "in_flight": "integer",
        "budget_count": "integer",
        "budget_percent": "double precision",
        "when_spent": "text",
        "limits": "jsonb",
        "expiry_s": "double precision",
        "deadline_s": "double precision",
        "planned_position": "bigint",
        "planned_at": "timestamptz",
        "planned_by": "text",
        "reason": "text",
        "ticket": "text",
        "started_at": "timestamptz",
        "ended_at": "timestamptz",
        "why": "text",
    },
)
PLANNED_DATABASE = Table(
    "planned_database",
    {"rollout": "text", "database": "text"},
    {
        "wave": "integer",
        "command": "uuid",
        "again_position": "bigint",
        "resolved_position": "bigint",
        "left_out_position": "bigint",
        "left_out_why": "text",
        "released_position": "bigint",
    },
)
ATTEMPT = Table(
    "attempt",
    {"command": "uuid"},
    {
        "rollout": "text",
        "database": "text",
        "pool": "text",
        "mode": "text",
        "attempt": "integer",
        "ordered_position": "bigint",
        "ordered_at": "timestamptz",
        "ordered_by": "text",
        "expires_at": "timestamptz",
        "deadline_at": "timestamptz",
        "last_try": "boolean",
        "started_at": "timestamptz",
        "timed_out_position": "bigint",
        "finished_position": "bigint",
        "finished_at": "timestamptz",
        "verdict": "text",
        "changed": "integer",
        "touched": "boolean",
        "progress": "jsonb",
        **FAILURE,
    },
)
APPLIED = Table(
    "applied",
    {"database": "text", "version": "text"},
    {
        "state": "text",
        "checksum": "text",
        "rollout": "text",
        "command": "uuid",
        "ordered_position": "bigint",
        "position": "bigint",
        "at": "timestamptz",
        "duration_ms": "integer",
        "outside": "boolean",
    },
    # Reports do not say where their command was ordered. An order comes before its reports, so the
    # result is the same however the log is cut into batches.
    computed={
        "ordered_position": (
            "coalesce(d.ordered_position, (SELECT a.ordered_position FROM {schema}.attempt AS a "
            "WHERE a.command = d.command AND a.ordered_position < d.position), 0)"
        )
    },
    guard="t.ordered_position <= excluded.ordered_position",
)
INSPECTION = Table(
    "inspection",
    {"stream": "text", "database": "text"},
    {
        "purpose": "text",
        "requested_at": "timestamptz",
        "command": "uuid",
        "inspected_position": "bigint",
        "inspected_at": "timestamptz",
        "reachable": "boolean",
        "tls": "boolean",
        "server_version": "integer",
        "in_recovery": "boolean",
        "identity_uuid": "uuid",
        "system_identifier": "text",
        "database_oid": "bigint",
        "journal_head": "text",
        "owner": "text",
        "rights": "jsonb",
        "entries": "jsonb",
        "failure_kind": "text",
        "failure_message": "text",
    },
)
DATABASE_EVENT = Table("database_event", {"database": "text", "position": "bigint"}, {})

SPOKEN_HEAD = Table(
    FLEET_DATABASE.name,
    {"database": "text", "command": "uuid"},
    {"journal_head": "text", "head_command": "uuid"},
)
"""A part of `FLEET_DATABASE`: the head of a database while this command speaks for it."""
ANSWERED_LOOK = Table(INSPECTION.name, {**INSPECTION.key, "command": "uuid"}, INSPECTION.columns)
"""A part of `INSPECTION`: what the look that was asked for last found; an earlier one is late."""
OPEN_FAILURE = Table(ATTEMPT.name, ATTEMPT.key, FAILURE, guard="t.finished_position IS NULL")
"""A part of `ATTEMPT`: why it will fail, as long as its last word was not said."""

TABLES: tuple[Table, ...] = (
    FLEET_DATABASE,
    BUNDLE,
    ROLLOUT,
    PLANNED_DATABASE,
    ATTEMPT,
    APPLIED,
    INSPECTION,
    DATABASE_EVENT,
)
"""Every table, in the order in which a batch writes them: attempts before what looks them up."""
PARTS: Mapping[Table, Table] = {
    SPOKEN_HEAD: FLEET_DATABASE,
    ANSWERED_LOOK: INSPECTION,
    OPEN_FAILURE: ATTEMPT,
}
"""Columns of a table that are changed only where something holds, written before the tables."""
