"""The read models' tables: their columns, and the statements that read, write and compare them.

The same statements serve the live tables (schema `ledger`) and their shadows (schema `pg_temp`), so
that replay and everyday work cannot differ. A test compares the columns with the catalog.
"""
# ruff: noqa: S608  every name in these statements is one of those below

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LIVE = "ledger"
SHADOW = "pg_temp"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table: key and columns with their PostgreSQL types."""

    name: str
    key: Mapping[str, str]
    columns: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, the key first: the order in which rows are read and written."""
        return (*self.key, *self.columns)

    def select(self, schema: str) -> str:
        """Rows by their keys: $1, $2, … are one array per column of the key."""
        match = " AND ".join(f"t.{name} = d.{name}" for name in self.key)
        wanted = f"{_unnest(self.key)} JOIN {schema}.{self.name} AS t ON {match}"
        return f"SELECT {self.read()} FROM {wanted}"

    def read(self, number: int | None = None) -> str:
        """Every column of `t`, or so many of them, in their order.

        JSON travels as text, whatever a connection's own codec for it.
        """
        cast = {name: "::text" for name, type_ in self.columns.items() if type_ == "jsonb"}
        return ", ".join(f"t.{name}{cast.get(name, '')}" for name in self.names[:number])

    def upsert(self, schema: str) -> str:
        """Write whole rows in place of those that are there: one array per column."""
        columns = {**self.key, **self.columns}
        given = [
            f"d.{name}::jsonb" if columns[name] == "jsonb" else f"d.{name}" for name in columns
        ]
        sets = ", ".join(f"{name} = excluded.{name}" for name in self.columns)
        return (
            f"INSERT INTO {schema}.{self.name} AS t ({', '.join(columns)}) "
            f"SELECT {', '.join(given)} FROM {_unnest(columns)} "
            f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {sets}"
        )

    def make_shadow(self) -> str:
        """An empty shadow that goes with the transaction; without a key it fills faster."""
        return f"CREATE TEMPORARY TABLE {self.name} (LIKE {LIVE}.{self.name}) ON COMMIT DROP"

    def make_key(self) -> str:
        """The key that a shadow needs before its rows are read and written again."""
        return f"ALTER TABLE {SHADOW}.{self.name} ADD PRIMARY KEY ({', '.join(self.key)})"

    def count(self) -> str:
        """How many rows the shadow has."""
        return f"SELECT count(*) FROM {SHADOW}.{self.name}"

    def differences(self) -> str:
        """Every key whose live and replayed rows differ: the key, and which of the two are there.

        $1 is how many to return. Both rows come as JSON, so that the caller can name the columns.
        """
        keys = ", ".join(
            f"coalesce(live.{name}, replayed.{name})::text AS {name}" for name in self.key
        )
        match = " AND ".join(f"live.{name} = replayed.{name}" for name in self.key)
        order = ", ".join(str(number) for number in range(1, len(self.key) + 1))
        row = ", ".join(f"%s.{name}" for name in self.names)
        live, replayed = row.replace("%s", "live"), row.replace("%s", "replayed")
        some = next(iter(self.key))
        return (
            f"SELECT {keys}, "
            f"CASE WHEN live.{some} IS NOT NULL THEN to_jsonb(live)::text END AS live, "
            f"CASE WHEN replayed.{some} IS NOT NULL THEN to_jsonb(replayed)::text END AS replayed "
            f"FROM {LIVE}.{self.name} AS live "
            f"FULL JOIN {SHADOW}.{self.name} AS replayed ON {match} "
            f"WHERE ({live}) IS DISTINCT FROM ({replayed}) ORDER BY {order} LIMIT $1"
        )


def _unnest(columns: Mapping[str, str]) -> str:
    arrays = ", ".join(
        f"${number}::{'text' if type_ == 'jsonb' else type_}[]"
        for number, type_ in enumerate(columns.values(), 1)
    )
    return f"unnest({arrays}) AS d ({', '.join(columns)})"


FLEET_DATABASE = Table(
    "fleet_database",
    {"database": "text"},
    {
        "status": "text",
        "pool": "text",
        "target_host": "text",
        "target_port": "integer",
        "target_database": "text",
        "target_schema": "text",
        "target_history": "text",
        "further_schemas": "jsonb",
        "username": "text",
        "password_reference": "text",
        "sslmode": "text",
        "role": "text",
        "labels": "jsonb",
        "backed_up_at": "text",
        "identity_uuid": "uuid",
        "system_identifier": "text",
        "database_oid": "bigint",
        "journal_head": "text",
        "command": "uuid",
        "unanswered": "boolean",
        "doubted": "boolean",
        "forged": "jsonb",
        "half_done": "jsonb",
        "seen": "text",
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
        "history": "text",
        "name": "text",
        "registered_position": "bigint",
        "registered_at": "timestamptz",
        "registered_by": "text",
    },
)
ROLLOUT = Table(
    "rollout",
    {"rollout": "text"},
    {
        "status": "text",
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
        "undoes": "text",
        "undone_by": "text",
    },
)
ROLLOUT_DATABASE = Table(
    "rollout_database",
    {"rollout": "text", "database": "text"},
    {
        "wave": "integer",
        "state": "text",
        "command": "uuid",
        "again": "boolean",
        "details": "jsonb",
    },
)
ATTEMPT = Table(
    "attempt",
    {"command": "uuid"},
    {
        "rollout": "text",
        "database": "text",
        "attempt": "integer",
        "ordered_position": "bigint",
        "ordered_by": "text",
        "table_mb": "double precision",
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
        "ordered_by": "text",
        "position": "bigint",
        "at": "timestamptz",
        "duration_ms": "integer",
        "outside": "boolean",
    },
)
EXECUTION = Table(
    "execution",
    {"position": "bigint"},
    {
        "database": "text",
        "rollout": "text",
        "version": "text",
        "direction": "text",
        "succeeded": "boolean",
        "error": "text",
        "duration_ms": "integer",
        "table_mb": "double precision",
        "at": "timestamptz",
    },
)
REQUESTED_CHECK = Table(
    "requested_check",
    {"stream": "text"},
    {
        "purpose": "text",
        "databases": "integer",
        "requested_position": "bigint",
        "requested_at": "timestamptz",
        "finished_position": "bigint",
        "finished_at": "timestamptz",
    },
)
READING = Table(
    "reading",
    {"stream": "text", "database": "text"},
    {"read_position": "bigint", "read_at": "timestamptz"},
)
UNREADABLE_EVENT = Table(
    "unreadable_event",
    {"position": "bigint"},
    {
        "stream": "text",
        "type": "text",
        "recorded_at": "timestamptz",
        "recorded_by": "text",
        "aside_position": "bigint",
        "aside_at": "timestamptz",
        "aside_by": "text",
        "aside_who": "text",
        "aside_reason": "text",
    },
)
DATABASE_EVENT = Table("database_event", {"database": "text", "position": "bigint"}, {})

TABLES: tuple[Table, ...] = (
    FLEET_DATABASE,
    BUNDLE,
    ROLLOUT,
    ROLLOUT_DATABASE,
    ATTEMPT,
    APPLIED,
    EXECUTION,
    REQUESTED_CHECK,
    READING,
    UNREADABLE_EVENT,
    DATABASE_EVENT,
)
FOLDED = TABLES[:-1]
"""Tables whose rows change; those of `DATABASE_EVENT` only follow the log."""
