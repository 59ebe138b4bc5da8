"""Reads where databases are: from a YAML file, or from the options of one command."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ledger.cli.app.schemas import schemas_in
from ledger.cli.fleet.yaml_items import read_items
from ledger.contracts.registry import Connection
from ledger.contracts.validation import message_of
from ledger.domain.check_results import SHARED_LOGIN
from ledger.domain.refusals import LiteralPassword
from ledger.errors import FleetFileError, WrongArgument
from ledger.settings.secret_rules import PLACEHOLDER

DATABASES = "databases"
"""The part of the file with a list that may be long."""
ADDRESS_FORM = "the address is not one; write postgresql://user@host:port/dbname"
_M = TypeVar("_M", bound=BaseModel)
WORDS = {"database": "dbname"}
"""What people write for a part of a connection, where that is another word: libpq's."""
_TEMPLATES = ("database", "user", "role")
"""What may name the id of the database; a reference to a password is filled in by the agents."""
_OTHER_PLACEHOLDER = re.compile(r"\{\w*\}")
_URL_PARAMETERS = ("sslmode", "schema", "history", "role")


class _Template(BaseModel):
    """What the databases of a pool have in common.

    In a file `database` is the id, so the name on the server goes by libpq's word for it. Written
    out by their aliases, all are parts of a connection.
    """

    model_config = ConfigDict(extra="forbid")

    host: str | None = None
    port: int | None = None
    dbname: str | None = Field(None, serialization_alias="database")
    user: str | None = None
    password: str | None = None
    sslmode: str | None = None
    schema_: str | list[str] | None = Field(None, alias="schema")
    history: str | None = None
    role: str | None = None
    labels: dict[str, str] = {}
    shared_login: Literal["accepted"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_todays_words(cls, said: Any) -> Any:
        """`schema_name` is what `schema` was called."""
        if not isinstance(said, dict) or "schema_name" not in said or "schema" in said:
            return said
        return {"schema" if name == "schema_name" else name: said[name] for name in said}

    @property
    def all_labels(self) -> dict[str, str]:
        """With the one that accepts a login for several databases."""
        accepted = {SHARED_LOGIN: self.shared_login} if self.shared_login else {}
        return self.labels | accepted


_NO_TEMPLATE = _Template()


class _Entry(_Template):
    database: str
    pool: str | None = None


class _File(BaseModel):
    """The file without its databases, which are read one by one."""

    model_config = ConfigDict(extra="forbid")

    pools: dict[str, _Template] = {}
    databases: list[_Entry]


@dataclass(frozen=True, slots=True)
class FleetFileEntry:
    """One database of the file, with what its pool says filled in."""

    database: str
    pool: str
    connection: Connection
    labels: Mapping[str, str]


def read_fleet(file: Path, default_pool: str) -> list[FleetFileEntry]:
    """The databases of a YAML file, in its order. Raises `FleetFileError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FleetFileError(
            f"{file} cannot be read ({type(error).__name__}); name a readable YAML file, "
            "`ledger fleet import --help` shows one"
        ) from None
    reading = _Reading(file, default_pool)
    try:
        is_mapping = read_items(text, DATABASES, reading.take, reading.note)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise FleetFileError(f"{file}{line} is not YAML") from None
    return reading.entries(is_mapping)


class _Reading:
    """What a file has said so far. Pools are mostly said before the databases that use them."""

    def __init__(self, file: Path, default_pool: str) -> None:
        self._file = file
        self._default_pool = default_pool
        self._rest: dict[str, Any] = {}
        self._pools: Mapping[str, _Template] | None = None
        self._items: list[_Entry] = []
        self._entries: list[FleetFileEntry] = []
        self._count = 0

    def take(self, item: Any) -> None:
        """One of the databases."""
        where = ("databases", self._count)
        entry = self._valid(lambda: _Entry.model_validate(item), where)
        self._count += 1
        if self._pools is None:
            self._items.append(entry)
        else:
            self._entries.append(self._filled(entry, self._pools))

    def note(self, key: str, value: Any) -> None:
        """Anything else that stands in the file."""
        self._rest[key] = value
        if key == "pools":
            file = {**self._rest, DATABASES: []}
            self._pools = self._valid(lambda: _File.model_validate(file), ()).pools

    def entries(self, is_mapping: bool) -> list[FleetFileEntry]:
        """All databases, with what their pools say."""
        whole = self._rest if is_mapping else None
        pools = self._valid(lambda: _File.model_validate(whole), ()).pools
        self._entries += [self._filled(one, pools) for one in self._items]
        return self._entries

    def _valid(self, validated: Callable[[], _M], where: tuple[str | int, ...]) -> _M:
        try:
            return validated()
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            loc = (*where, *problem["loc"])
            place = ".".join(str(part) for part in loc) or "the whole file"
            raise FleetFileError(f"{self._file}, at {place}: {message_of(problem)}") from None

    def _filled(self, entry: _Entry, pools: Mapping[str, _Template]) -> FleetFileEntry:
        pool = entry.pool or self._default_pool
        template = pools.get(pool, _NO_TEMPLATE)
        common = template.model_dump(
            by_alias=True, exclude_none=True, exclude={"labels", "shared_login"}
        )
        own = entry.model_dump(
            by_alias=True,
            exclude_none=True,
            exclude={"database", "pool", "labels", "shared_login"},
        )
        try:
            connection = _connection(entry.database, common | own)
        except WrongArgument as error:
            raise FleetFileError(f"{self._file}, database {entry.database}: {error}") from None
        labels = template.all_labels | entry.all_labels
        return FleetFileEntry(entry.database, pool, connection, labels)


def connection_of(database: str, url: str | None, given: Mapping[str, Any]) -> Connection:
    """The connection that the options describe. Raises `WrongArgument`."""
    return _connection(database, changes_of(database, url, given))


def changes_of(database: str, url: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say, by the names of a connection's parts; options win over the address."""
    return _filled(database, (_from_url(database, url) if url else {}) | dict(given))


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` words as labels. Raises `WrongArgument`."""
    labels: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise WrongArgument(f"{word!r} is no label; write NAME=VALUE")
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
    return Connection.at(**{"database": database, **_filled(database, fields)})


def _filled(database: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The id of the database in names that are templates. Raises `WrongArgument`."""
    filled = dict(fields)
    if "schema" in filled and "further_schemas" not in filled:
        filled["schema"], filled["further_schemas"] = schemas_in(filled["schema"])
    for name in _TEMPLATES:
        text = filled.get(name)
        if text is None:
            continue
        filled[name] = text.replace(PLACEHOLDER, database)
        if other := _OTHER_PLACEHOLDER.search(filled[name]):
            raise WrongArgument(
                f"the {WORDS.get(name, name)} holds {other.group()}, and {PLACEHOLDER} is all that "
                "can stand there"
            )
    return filled


def _from_url(database: str, url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WrongArgument(
            "the address cannot be read; write postgresql://user@host:port/db"
        ) from None
    if parts.scheme not in ("postgres", "postgresql") or not parts.hostname:
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
