"""The rows that patches are about: shared by the rules for decisions and for reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel

from ledger.contracts.registry import Connection
from ledger.store.views.patches import CHANGE, PUT, Patch
from ledger.store.views.tables import (
    APPLIED,
    ATTEMPT,
    FAILURE,
    FLEET_DATABASE,
    OPEN_FAILURE,
    PLANNED_DATABASE,
    ROLLOUT,
    SPOKEN_HEAD,
)
from migrations.model.attempt import Failure, Identity

REPORTS_SUFFIX = "/reports"
ROLLOUT_PREFIX = "rollout-"

UNKNOWN_EXPECTATION: dict[str, Any] = dict.fromkeys(
    (
        "identity_uuid",
        "system_identifier",
        "database_oid",
        "journal_head",
        "command",
        "head_command",
    )
)
NO_FAILURE: dict[str, Any] = dict.fromkeys(FAILURE)
UNANSWERED: dict[str, Any] = {
    "started_at": None,
    "timed_out_position": None,
    "finished_position": None,
    "finished_at": None,
    "verdict": None,
    "changed": None,
    "touched": None,
    "progress": None,
    **NO_FAILURE,
}
NOT_LEFT_OUT: dict[str, Any] = {"left_out_position": None, "left_out_why": None}
UNORDERED: dict[str, Any] = {
    "command": None,
    "again_position": None,
    "resolved_position": None,
    "released_position": None,
    **NOT_LEFT_OUT,
}


class EventPlace(NamedTuple):
    """Where an event stands in the log and who put it there; metadata as its exact bytes."""

    position: int
    stream: str
    recorded_by: str
    recorded_at: datetime
    metadata: bytes


@lru_cache(maxsize=256)
def rollout_of(stream: str) -> str | None:
    """The rollout whose decisions or reports `stream` holds."""
    if not stream.startswith(ROLLOUT_PREFIX):
        return None
    return stream[len(ROLLOUT_PREFIX) :].removesuffix(REPORTS_SUFFIX)


def fleet_change(database: str, sets: dict[str, Any], fills: dict[str, Any] | None = None) -> Patch:
    """Columns of a registered database; `fills` only where nothing is known yet."""
    return Patch(FLEET_DATABASE, CHANGE, (database,), sets, fills)


def rollout_change(rollout: str, sets: dict[str, Any]) -> Patch:
    """Columns of a rollout."""
    return Patch(ROLLOUT, CHANGE, (rollout,), sets)


def planned_change(rollout: str, database: str, sets: dict[str, Any]) -> Patch:
    """Columns of a database in a rollout."""
    return Patch(PLANNED_DATABASE, CHANGE, (rollout, database), sets)


def attempt_change(command: UUID, sets: dict[str, Any]) -> Patch:
    """Columns of the attempt that `command` is."""
    return Patch(ATTEMPT, CHANGE, (command,), sets)


def failing(command: UUID, failure: Failure) -> Patch:
    """Why the attempt that `command` is will end; after its last word nothing changes that."""
    return Patch(OPEN_FAILURE, CHANGE, (command,), failure_columns(failure))


def spoken_head(database: str, command: UUID, head: str) -> Patch:
    """The journal's head after `command`, while that is the one that speaks for its database."""
    columns = {"journal_head": head, "head_command": command}
    return Patch(SPOKEN_HEAD, CHANGE, (database, command), columns)


def applied_row(
    database: str,
    version: str,
    state: str,
    place: EventPlace,
    *,
    command: UUID | None = None,
    checksum: str | None = None,
    ordered_position: int | None = None,
    duration_ms: int | None = None,
    outside: bool = False,
) -> Patch:
    """One migration on one database; `ordered_position` is looked up by command if not given."""
    row = {
        "state": state,
        "checksum": checksum,
        "rollout": None if outside else rollout_of(place.stream),
        "command": command,
        "ordered_position": ordered_position,
        "position": place.position,
        "at": place.recorded_at,
        "duration_ms": duration_ms,
        "outside": outside,
    }
    return Patch(APPLIED, PUT, (database, version), row)


def where_columns(pool: str, connection: Connection) -> dict[str, Any]:
    """Where a database is."""
    return {
        "pool": pool,
        "host": connection.host,
        "port": connection.port,
        "dbname": connection.dbname,
        "username": connection.user,
        "password_reference": connection.password,
        "sslmode": connection.sslmode,
        "schema_name": connection.schema_name,
        "role": connection.role,
    }


def identity_columns(identity: Identity | None) -> dict[str, Any]:
    """Who a database is, or that nobody knows."""
    return {
        "identity_uuid": identity.uuid if identity else None,
        "system_identifier": identity.system_identifier if identity else None,
        "database_oid": identity.database_oid if identity else None,
    }


def contact_columns(place: EventPlace) -> dict[str, Any]:
    """When a database was last reached, by the ledger's clock."""
    return {"last_contact_position": place.position, "last_contact_at": place.recorded_at}


def failure_columns(failure: Failure | None) -> dict[str, Any]:
    """Why an attempt failed; nothing when it did not say."""
    if failure is None:
        return {}
    return {
        "failure_kind": failure.kind,
        "failure_message": failure.message,
        "failure_sqlstate": failure.sqlstate,
        "failure_statement": failure.statement,
        "failure_file": failure.file,
        "failure_line": failure.line,
        "failure_blocker": failure.blocker,
    }


def json_array(values: Iterable[BaseModel]) -> str:
    """These values as a JSON array."""
    return f"[{','.join(value.model_dump_json() for value in values)}]"
