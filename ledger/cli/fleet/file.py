"""Reads where databases are: from a YAML file, or from the options of one command."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from ledger.cli.fleet.entries import DATABASES, FleetFileEntry, FleetReading, filled
from ledger.cli.fleet.yaml_items import read_items
from ledger.contracts.registry import Connection
from ledger.domain.refusals import LiteralPassword
from ledger.errors import FleetFileError, WrongArgument
from migrations.printable import why_unreadable

ADDRESS_FORM = "the address is not one; write postgresql://user@host:port/dbname"
_URL_PARAMETERS = ("sslmode", "schema", "history", "role")


def read_fleet(file: Path, default_pool: str) -> list[FleetFileEntry]:
    """The databases of a YAML file, in its order.

    Raises `FleetFileError`, which names all faults of the file with their lines.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FleetFileError(
            f"{file} cannot be read ({why_unreadable(error)}); name a readable YAML file, "
            "`ledger fleet apply --help` shows one"
        ) from None
    reading = FleetReading(file, default_pool)
    try:
        if not read_items(text, DATABASES, reading.take, reading.note):
            raise FleetFileError(
                f"{file}, at the whole file: it is no list of databases; write `databases:` with "
                "one entry for each, `ledger fleet apply --help` shows an example"
            )
    except yaml.YAMLError as error:
        reading.is_no_yaml(error, text)
    except RecursionError:
        raise FleetFileError(
            f"{file} has too many parts within parts; write `databases:` with one entry for each"
        ) from None
    return reading.entries()


def connection_of(database: str, url: str | None, given: Mapping[str, Any]) -> Connection:
    """The connection that the options describe. Raises `WrongArgument`."""
    return _connection(database, changes_of(database, url, given))


def changes_of(database: str, url: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say, by the names of a connection's parts; options win over the address."""
    return filled(database, (_from_url(database, url) if url else {}) | dict(given))


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` words as labels. Raises `WrongArgument`."""
    labels: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise WrongArgument(f"{word!r} is no label; write NAME=VALUE")
        if name in labels:
            raise WrongArgument(f"label {name!r} is there twice; say it once")
        labels[name] = value
    return labels


def changed_labels(words: Iterable[str], removed: Collection[str]) -> dict[str, str]:
    """The labels to set. Raises `WrongArgument` where nothing is to be set or removed."""
    wanted = labels_of(words)
    if not wanted and not removed:
        raise WrongArgument("no label is named; write NAME=VALUE to set one, or --remove NAME")
    return wanted


def _connection(database: str, fields: Mapping[str, Any]) -> Connection:
    """A database has its id as its name on the server, unless another one is said."""
    for needed, option in (("host", "--host"), ("user", "--user")):
        if not fields.get(needed):
            raise WrongArgument(f"the {needed} is missing; say it with {option}, --url or a pool")
    return Connection.at(**{"database": database, **filled(database, fields)})


def _from_url(database: str, url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WrongArgument(
            "the address cannot be read; write postgresql://user@host:port/db"
        ) from None
    # Behind a `?` or a `#` in a password, parameters are pieces of it and must not be repeated.
    torn = "@" in parts.query or "@" in parts.fragment
    if parts.scheme not in ("postgres", "postgresql") or not parts.hostname or torn:
        raise WrongArgument(ADDRESS_FORM)
    if parts.password is not None:
        raise LiteralPassword(database)
    fields: dict[str, Any] = {"host": parts.hostname, "port": port}
    fields["user"] = unquote(parts.username) if parts.username else None
    fields["database"] = unquote(parts.path.lstrip("/")) or None
    for name, value in parse_qsl(parts.query):
        if name not in _URL_PARAMETERS:
            raise WrongArgument(f"the address may not carry {name}; use an option instead")
        fields[name] = value
    return {name: value for name, value in fields.items() if value is not None}
