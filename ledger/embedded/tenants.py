"""Tenants to try things with, on a developer's own server: databases, logins, passwords, a fleet.

Each database belongs to a login of its own, which may do what it wants in there and gets into no
other; so a fleet of these is as one in production should be. Passwords stand in files that agents
read, one for each database. All of it may be made again: what is there stays.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import yaml

NAMES = ("acme", "bolt", "cyan", "dune", "ember", "fjord", "glade", "haven")
"""Of the first ones; those behind are numbered."""
SECRETS = "secrets"
FLEET = "fleet.yaml"
LOGIN = "mig_{database}"

ROLE_EXISTS = "SELECT FROM pg_roles WHERE rolname = $1"
CREATE_ROLE = 'CREATE ROLE "{login}" LOGIN'
LET_IN = "ALTER ROLE \"{login}\" PASSWORD '{password}'"
DATABASE_EXISTS = "SELECT FROM pg_database WHERE datname = $1"
CREATE_DATABASE = 'CREATE DATABASE "{name}" OWNER "{login}"'
CLOSE = 'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC'
"""Else every login of the server gets in."""


def names_of(number: int) -> tuple[str, ...]:
    """The ids of so many tenants; each is its database's name, too."""
    numbered = (f"tenant{one:04}" for one in range(len(NAMES) + 1, number + 1))
    return (*NAMES[:number], *numbered)


async def make_tenants(url: str, folder: Path, names: Sequence[str]) -> Path:
    """Make what is missing on the server of a superuser's `url`; the file that describes the fleet.

    Everything is written into `folder`, passwords so that only its owner reads them.
    """
    (folder / SECRETS).mkdir(mode=0o700, exist_ok=True)
    connection = await asyncpg.connect(url)
    try:
        for name in names:
            await _make(connection, name, _password(folder / SECRETS / name))
    finally:
        await connection.close()
    file = folder / FLEET
    file.write_text(_fleet(url, names), encoding="utf-8")
    return file


async def _make(connection: asyncpg.Connection[asyncpg.Record], name: str, password: str) -> None:
    login = LOGIN.format(database=name)
    if await connection.fetchrow(ROLE_EXISTS, login) is None:
        await connection.execute(CREATE_ROLE.format(login=login))
    await connection.execute(LET_IN.format(login=login, password=password))
    if await connection.fetchrow(DATABASE_EXISTS, name) is None:
        await connection.execute(CREATE_DATABASE.format(name=name, login=login))
    await connection.execute(CLOSE.format(name=name))


def _password(file: Path) -> str:
    """The password in a file; a new one where there is none. It holds letters and digits only."""
    try:
        known = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        known = ""
    if known.isalnum() and known.isascii():
        return known
    password = secrets.token_hex(16)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{password}\n")
    return password


def _fleet(url: str, names: Sequence[str]) -> str:
    place = urlsplit(url)
    pool = {
        "host": place.hostname,
        "port": place.port,
        "user": LOGIN,
        "password": "file:{database}",
    }
    databases = [
        {"database": name, "labels": {"tier": "gold" if number == 0 else "silver"}}
        for number, name in enumerate(names)
    ]
    return yaml.safe_dump(
        {"pools": {"default": pool}, "databases": databases},
        sort_keys=False,
        default_flow_style=None,
    )
