"""From a secret's reference to the secret: `env:NAME` or `file:PATH`, read when it is needed.

Whoever may register a database, or write to a topic, chooses host, user and reference. So none of
these decides where a secret goes: the agent's own rules do (`ledger/settings/secret_rules.py`).

    reference ──▶ never a variable of ours or of a cloud ──▶ a rule names it ──▶ and this host, user
                                                                        and database ──▶ it is read

`{database}` in a reference stands for the database's id, so that one reference serves a pool. Files
are read only below the folders that the agent's own settings name, links followed first. A Unix
socket is connected to only if the agent's own settings name its folder. Secrets are never logged,
and neither is a reference that looks like a secret.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from agents.errors import ReferenceRefused
from agents.settings import AgentSettings
from ledger.contracts.registry import Connection
from ledger.settings.secret_rules import (
    DEFAULT_RULES,
    PLACEHOLDER,
    Destination,
    is_never_a_tenants,
)
from migrations.printable import why_unreadable
from migrations.target.session import VERIFIED_TLS, ConnectionSettings, Password

MAX_SECRET_BYTES = 64 * 1024
"""Larger than any password or token; a wrong path must not fill the memory."""
UNVERIFIED_TLS = "prefer"
"""Of databases without an sslmode of their own, when unverified TLS is allowed."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_IN_VARIABLES = re.compile(r"[^A-Za-z0-9_]")
_HOST = re.compile(r"[A-Za-z0-9_\[\]:.%-]+|/[^\0\n,]*")
"""A name, an address or a folder: nothing that a driver would take for two of them."""


def connection_settings(
    connection: Connection,
    database: str,
    settings: AgentSettings,
    environ: Mapping[str, str] = os.environ,
) -> ConnectionSettings:
    """How to connect to `database`. Raises `ReferenceRefused`."""
    _check_host(connection.target.server.host, database, settings)
    secret = resolve(connection, database, settings, environ)
    default_mode = UNVERIFIED_TLS if settings.insecure_postgres else VERIFIED_TLS
    return ConnectionSettings(
        host=connection.target.server.host,
        port=connection.target.server.port,
        database=connection.target.database,
        user=connection.user,
        password=Password(secret) if secret is not None else None,
        sslmode=connection.sslmode or default_mode,
        sslrootcert=_text(settings.ssl_rootcert),
        sslcert=_text(settings.ssl_cert),
        sslkey=_text(settings.ssl_key),
        allow_plaintext=settings.insecure_postgres,
        role=connection.role,
        further_schemas=connection.further_schemas,
    )


def resolve(
    connection: Connection,
    database: str,
    settings: AgentSettings,
    environ: Mapping[str, str] = os.environ,
) -> str | None:
    """The secret that `connection` refers to, if it may go there; `None` without a reference.

    Raises `ReferenceRefused`, whose message never holds a secret.
    """
    reference = connection.password
    if reference is None:
        return None
    kind, _, rest = reference.partition(":")
    target = connection.target
    there = Destination(
        target.server.host, target.server.port, connection.user, target.database, database
    )
    if kind == "env" and rest:
        return _variable(rest, there, settings, environ)
    if kind == "file" and rest:
        return _file(rest, there, settings)
    raise ReferenceRefused(
        f"the password of {database} is not a reference; passwords are never registered. Write "
        "env:NAME or file:PATH, and give the agents that variable or file"
    )


def _check_host(host: str, database: str, settings: AgentSettings) -> None:
    if not _HOST.fullmatch(host):
        raise ReferenceRefused(f"{database} has no host that can be connected to; register it anew")
    if host.startswith("/") and posixpath.normpath(host) not in map(str, settings.sockets):
        raise ReferenceRefused(
            f"{database} is behind a Unix socket in a folder that this agent does not use; name "
            "the folder in LEDGER_AGENT_SOCKETS if that server is meant"
        )


def _check_rules(
    kind: str, names: tuple[str, ...], there: Destination, settings: AgentSettings
) -> None:
    """Raise `ReferenceRefused` unless one of the agent's rules lets the secret go there."""
    rules = settings.secrets or DEFAULT_RULES
    about = [rule for rule in rules if rule.names(kind, names, there.id)]
    if any(rule.reaches(there) for rule in about):
        return
    shown = f"{kind}:{names[0]}"
    example = f"{shown} -> {there.host}:{there.port}, user {there.user}"
    if not about:
        raise ReferenceRefused(
            f"no rule of this agent is about {shown}, so it sends it nowhere; if it is the "
            f"password of {there.id}, say so in LEDGER_AGENT_SECRETS: {example}"
        )
    raise ReferenceRefused(
        f"the rules of this agent do not send {shown} to {there}; if that server is yours, say so "
        f"in LEDGER_AGENT_SECRETS: {example}"
    )


def _variable(
    template: str, there: Destination, settings: AgentSettings, environ: Mapping[str, str]
) -> str:
    name = template.replace(PLACEHOLDER, _NOT_IN_VARIABLES.sub("_", there.id))
    if not _VARIABLE.fullmatch(name):
        raise ReferenceRefused(
            f"the password reference of {there.id} names no variable; write env:NAME"
        )
    if is_never_a_tenants(name):
        raise ReferenceRefused(
            f"{name} is a variable that never holds a tenant's password; give {there.id} one "
            "of its own, such as TENANT_PASSWORD"
        )
    _check_rules("env", (name,), there, settings)
    if name not in environ:
        raise ReferenceRefused(
            f"variable {name}, which holds the password of {there.id}, is not set for this "
            "agent; set it and restart the agent"
        )
    return environ[name]


def _file(template: str, there: Destination, settings: AgentSettings) -> str:
    database, roots = there.id, settings.secret_roots
    if not roots:
        raise ReferenceRefused(
            f"the password of {database} is in a file, and this agent may read none; "
            "name the folder in LEDGER_AGENT_SECRET_ROOTS"
        )
    if PLACEHOLDER in template and ("/" in database or database in (".", "..")):
        raise ReferenceRefused(f"{database!r} cannot be part of a file's name; register it anew")
    path = template.replace(PLACEHOLDER, database)
    found = _below(path, roots) if ".." not in path.split("/") else None
    if found is None:
        raise ReferenceRefused(
            f"file:{path} is not a file below the folders of LEDGER_AGENT_SECRET_ROOTS; "
            "move it there, or name its folder"
        )
    file, names = found
    _check_rules("file", names, there, settings)
    return _read(file, path)


def _below(path: str, roots: tuple[Path, ...]) -> tuple[Path, tuple[str, ...]] | None:
    """The file at `path`, absolute or from a root, if it really lies below one of the roots.

    With it how rules may call it: from its root, and absolute. Both without links followed, which
    are the agent's own to set.
    """
    real_roots = [Path(os.path.realpath(root)) for root in roots]
    for root in roots:
        try:
            real = Path(os.path.realpath(root / path))
        except ValueError:
            return None
        if any(real.is_relative_to(allowed) for allowed in real_roots) and real.is_file():
            written = Path(posixpath.normpath(root / path))
            inside = [one for one in roots if written.is_relative_to(one)]
            return real, (*(str(written.relative_to(one)) for one in inside), str(written))
    return None


def _read(file: Path, shown: str) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SECRET_BYTES + 1)
        secret = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ReferenceRefused(
            f"file:{shown} cannot be read ({why_unreadable(error)}); make it a readable text file"
        ) from None
    if len(content) > MAX_SECRET_BYTES:
        raise ReferenceRefused(f"file:{shown} is too large for a password; check the path")
    return secret.removesuffix("\n").removesuffix("\r")


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
