"""What a psql that we start knows: where to connect, as whom, and its session's settings."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from migrations.clock import Clock
from migrations.model.attempt import Limits
from migrations.model.migration import Options
from migrations.target.lookout import Lookout
from migrations.target.session import (
    SESSION_SETTINGS,
    VERIFIED_TLS,
    Connection,
    ConnectionSettings,
    later_settings,
    milliseconds,
    search_path_of,
)
from migrations.target.target import Target

APPLICATION_NAME = "migration-ledger psql"
"""What `pg_stat_activity` shows; the schema behind it, where a target is one."""
NAME_MAX_BYTES = 63


@dataclass(frozen=True, slots=True)
class PsqlPlace:
    """Where a psql of ours works: a database, or a schema of it, beside a session of our own."""

    settings: ConnectionSettings
    schema: str
    limits: Limits
    connection: Connection
    clock: Clock
    lookout: Lookout
    shell: bool
    """Whether its scripts may leave the database."""

    @classmethod
    def of(cls, target: Target) -> PsqlPlace:
        """That of a target whose lock we hold."""
        return cls(
            target.settings,
            target.work.target,
            target.limits,
            target.connection,
            target.clock,
            target.lookout,
            target.work.psql_shell,
        )


def application_name(place: PsqlPlace) -> str:
    """One per target, whose lock we hold: so the server's sessions tell who waits for it."""
    name = f"{APPLICATION_NAME} {place.schema}".strip()
    return name.encode()[:NAME_MAX_BYTES].decode(errors="ignore")


def environment(
    place: PsqlPlace, options: Options, home: Path, passwords: Path | None
) -> dict[str, str]:
    """All that psql gets to know; the rest of our own environment stays with us."""
    settings = place.settings
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "PGHOST": settings.host,
        "PGPORT": str(settings.port),
        "PGDATABASE": settings.database,
        "PGUSER": settings.user,
        "PGAPPNAME": application_name(place),
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "10",
        "PGOPTIONS": " ".join(_options(place, options)),
        # A file that is not there keeps psql from looking for another.
        "PGPASSFILE": str(passwords or home / "none"),
        # As for our own sessions; releases before 16 do not know it.
        "PGREQUIREAUTH": "none,scram-sha-256",
        **_encryption(settings),
    }


def _options(place: PsqlPlace, options: Options) -> list[str]:
    """The session's settings, as the start-up packet takes them."""
    limits = place.limits
    lock = limits.lock_timeout_s if options.lock_timeout_s is None else options.lock_timeout_s
    place.lookout.lock_timeout_s = lock
    length = options.statement_timeout_s
    length = limits.statement_timeout_s if length is None else length
    values = {
        **SESSION_SETTINGS,
        "lock_timeout": str(milliseconds(lock)),
        "statement_timeout": str(milliseconds(length)),
        **later_settings(place.connection),
    }
    if path := search_path_of(place.schema, place.settings):
        values["search_path"] = path
    if role := options.role or place.settings.role:
        values["role"] = role
    return [f"-c {name}={_escaped(value)}" for name, value in values.items()]


def _escaped(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)


def _encryption(settings: ConnectionSettings) -> dict[str, str]:
    if settings.host.startswith("/"):
        return {}
    root = settings.sslrootcert
    if root is None and settings.sslmode == VERIFIED_TLS:
        root = "system"
    files = {"PGSSLROOTCERT": root, "PGSSLCERT": settings.sslcert, "PGSSLKEY": settings.sslkey}
    given = {name: value for name, value in files.items() if value}
    return {"PGSSLMODE": settings.sslmode, **given}
