"""From a secret's reference to the secret: `env:NAME` or `file:PATH`, read when it is needed.

`{database}` in a reference stands for the database's id, so that one reference serves a pool. Files
are read only below the folders that the agent's own settings name, links and `..` followed first:
whoever registers a database must not be able to read other files of an agent. Secrets are never
logged, and neither is a reference that looks like a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.errors import ReferenceRefused
from agents.settings import AgentSettings
from ledger.contracts.registry import Connection
from migrations.target.session import VERIFIED_TLS, ConnectionSettings, Password

PLACEHOLDER = "{database}"
MAX_SECRET_BYTES = 64 * 1024
"""Larger than any password or token; a wrong path must not fill the memory."""
UNVERIFIED_TLS = "prefer"
"""Of databases without an sslmode of their own, when unverified TLS is allowed."""

_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_NOT_IN_VARIABLES = re.compile(r"[^A-Za-z0-9_]")


def connection_settings(
    connection: Connection,
    database: str,
    settings: AgentSettings,
    environ: Mapping[str, str] = os.environ,
) -> ConnectionSettings:
    """How to connect to `database`. Raises `ReferenceRefused`."""
    secret = resolve(connection.password, database, settings.secret_roots, environ)
    default_mode = UNVERIFIED_TLS if settings.insecure_postgres else VERIFIED_TLS
    return ConnectionSettings(
        host=connection.host,
        port=connection.port,
        database=connection.dbname,
        user=connection.user,
        password=Password(secret) if secret is not None else None,
        sslmode=connection.sslmode or default_mode,
        sslrootcert=_text(settings.ssl_rootcert),
        sslcert=_text(settings.ssl_cert),
        sslkey=_text(settings.ssl_key),
        allow_plaintext=settings.insecure_postgres,
        role=connection.role,
    )


def resolve(
    reference: str | None,
    database: str,
    roots: Sequence[Path],
    environ: Mapping[str, str] = os.environ,
) -> str | None:
    """The secret that `reference` names for `database`; `None` without a reference.

    Raises `ReferenceRefused`, whose message never holds a secret.
    """
    if reference is None:
        return None
    kind, _, rest = reference.partition(":")
    if kind == "env" and rest:
        return _variable(rest, database, environ)
    if kind == "file" and rest:
        return _file(rest, database, roots)
    raise ReferenceRefused(
        f"the password of {database} is not a reference; passwords are never registered. Write "
        "env:NAME or file:PATH, and give the agents that variable or file"
    )


def _variable(template: str, database: str, environ: Mapping[str, str]) -> str:
    name = template.replace(PLACEHOLDER, _NOT_IN_VARIABLES.sub("_", database))
    if not _VARIABLE.match(name):
        raise ReferenceRefused(
            f"the password reference of {database} names no variable; write env:NAME"
        )
    if name not in environ:
        raise ReferenceRefused(
            f"variable {name}, which holds the password of {database}, is not set for this agent; "
            "set it and restart the agent"
        )
    return environ[name]


def _file(template: str, database: str, roots: Sequence[Path]) -> str:
    if not roots:
        raise ReferenceRefused(
            f"the password of {database} is in a file, and this agent may read none; "
            "name the folder in LEDGER_AGENT_SECRET_ROOTS"
        )
    if PLACEHOLDER in template and ("/" in database or database in (".", "..")):
        raise ReferenceRefused(f"{database!r} cannot be part of a file's name; register it anew")
    path = template.replace(PLACEHOLDER, database)
    found = _below(path, roots)
    if found is None:
        raise ReferenceRefused(
            f"file:{path} is not a file below the folders of LEDGER_AGENT_SECRET_ROOTS; "
            "move it there, or name its folder"
        )
    return _read(found, path)


def _below(path: str, roots: Sequence[Path]) -> Path | None:
    """The file at `path`, absolute or from a root, if it really lies below one of the roots."""
    real_roots = [Path(os.path.realpath(root)) for root in roots]
    for root in real_roots:
        try:
            real = Path(os.path.realpath(root / path))
        except ValueError:
            return None
        if any(real.is_relative_to(allowed) for allowed in real_roots) and real.is_file():
            return real
    return None


def _read(file: Path, shown: str) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SECRET_BYTES + 1)
        secret = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ReferenceRefused(
            f"file:{shown} cannot be read ({type(error).__name__}); make it a readable text file"
        ) from None
    if len(content) > MAX_SECRET_BYTES:
        raise ReferenceRefused(f"file:{shown} is too large for a password; check the path")
    return secret.removesuffix("\n").removesuffix("\r")


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
