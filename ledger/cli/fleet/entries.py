"""What a file of databases says, part by part; every fault is kept with its line, and told at once.

    note(pools) ─▶ take(database) … take(database) ─▶ entries: all of them, or all faults

Pools are mostly said before the databases that use them; where they are not, those wait. A value
of the wrong kind is not repeated, because it may be a secret in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import ValidationError

from ledger.cli.app.schemas import schemas_in
from ledger.cli.fleet.yaml_faults import place_and_fault
from ledger.cli.fleet.yaml_items import OtherItem, PlacedKey, PlacedMapping
from ledger.contracts.registry import Connection, TargetName
from ledger.domain.check_results import ACCEPTED, SHARED_LOGIN
from ledger.domain.description import check_password, faults
from ledger.domain.fleet_changes import WORDS
from ledger.domain.refusals import InvalidDatabase
from ledger.errors import FleetFileError, WrongArgument
from ledger.settings.secret_rules import PLACEHOLDER
from migrations.likeness import nearest

DATABASES, POOLS = "databases", "pools"
"""The parts of the file; the first is a list that may be long."""
TOLD = 100
"""So many faults are told; more are only counted."""
TEXTS = ("host", "dbname", "user", "password", "sslmode", "schema", "history", "role")
OF_POOLS = (*TEXTS, "port", "labels", "shared_login")
OF_DATABASES = ("database", "pool", *OF_POOLS)
FORMER = {"schema_name": "schema"}
"""What fields were called; it still works."""
_NAMES = {word: part for part, word in WORDS.items()}
_TEMPLATES = ("database", "user", "role")
"""What may name the id of the database; a reference to a password is filled in by the agents."""
_OTHER_PLACEHOLDER = re.compile(r"\{\w*\}")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class FleetFileEntry:
    """One database of the file, with what its pool says filled in."""

    database: str
    pool: str
    connection: Connection
    labels: Mapping[str, str]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a pool or a database says: its fields that make sense, and where each stands."""

    line: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """With the one that accepts a login for several databases."""
        said = dict(self.fields.get("labels", {}))
        return said | ({SHARED_LOGIN: ACCEPTED} if "shared_login" in self.fields else {})

    @property
    def parts(self) -> dict[str, Any]:
        """What is part of a connection, by the names of its parts."""
        named = (*TEXTS, "port")
        return {_NAMES.get(name, name): self.fields[name] for name in named if name in self.fields}


class FleetReading:
    """What a file has said so far, and what is wrong with it."""

    def __init__(self, file: Path, default_pool: str) -> None:
        self._file = file
        self._default_pool = default_pool
        self._faults: dict[tuple[int, str], None] = {}
        self._pools: dict[str, _Said] | None = None
        self._has_databases = False
        self._waiting: list[_Said] = []
        self._entries: list[FleetFileEntry] = []
        self._ids: dict[str, int] = {}
        self._places: dict[TargetName, str] = {}

    def take(self, item: Any) -> None:
        """One of the databases."""
        if isinstance(item, OtherItem):
            example = "{database: acme, host: db1.internal, user: mig_acme}"
            self._fault(item.line, f"a database is described by fields, like {example}")
            return
        said = self._said(item, OF_DATABASES, "a database")
        if self._pools is None:
            self._waiting.append(said)
        else:
            self._enter(said, self._pools)

    def note(self, key: str, value: Any) -> None:
        """Anything else that stands in the file."""
        line = key.line if isinstance(key, PlacedKey) else 1
        if key == DATABASES:
            self._has_databases = True
            if value != [] and value is not None:
                self._fault(line, "`databases` is a list; write one entry after `-` for each")
        elif key == POOLS:
            self._note_pools(line, value)
        else:
            self._fault(line, _unknown(key, "a part of the file", (POOLS, DATABASES)))

    def is_no_yaml(self, error: yaml.YAMLError, text: str) -> NoReturn:
        """Say where reading ended, with what was wrong before that."""
        line, fault = place_and_fault(error, text)
        said = f"line {line} is not YAML: {fault}; nothing behind it was read"
        self._faults[line, said] = None
        raise self._error() from None

    def entries(self) -> list[FleetFileEntry]:
        """All databases, with what their pools say. Raises `FleetFileError`."""
        if not self._has_databases:
            self._fault(1, "the part `databases` is missing; write it with one entry for each")
        for one in self._waiting:
            self._enter(one, self._pools or {})
        if self._faults:
            raise self._error()
        return self._entries

    def _note_pools(self, line: int, value: Any) -> None:
        pools: dict[str, _Said] = {}
        if not isinstance(value, PlacedMapping) and value is not None:
            self._fault(
                line, "`pools` has one entry for each pool, like `eu: {host: db2.internal}`"
            )
        elif value is not None:
            self._repeated(value)
            for name, template in value.items():
                pools[name] = self._template(name, template)
        self._pools = pools

    def _template(self, name: PlacedKey, template: Any) -> _Said:
        if template is None:
            return _Said(name.line)
        if not isinstance(template, PlacedMapping):
            self._fault(name.line, f"pool {name} is described by fields, like {{user: migrator}}")
            return _Said(name.line)
        said = self._said(template, OF_POOLS, "a pool")
        try:
            check_password("", said.fields.get("password"))
        except InvalidDatabase as fault:
            self._fault(said.lines["password"], f"pool {name}: password {fault.why}")
        return said

    def _said(self, given: PlacedMapping, known: tuple[str, ...], whose: str) -> _Said:
        fields: dict[str, Any] = {}
        lines: dict[str, int] = {}
        self._repeated(given)
        for key, value in given.items():
            name = FORMER.get(key, key)
            if name not in known:
                self._fault(key.line, _unknown(key, f"a field of {whose}", known))
            elif name in lines:
                self._fault(key.line, f"`{key}` is what `{name}` was called, which stands here too")
            elif value is not None:
                lines[name] = key.line
                wrong = _wrong(name, value)
                if wrong is not None:
                    self._fault(key.line, wrong)
                elif name == "labels":
                    fields[name] = self._labels(value)
                else:
                    fields[name] = int(value) if name == "port" else value
        return _Said(given.line, fields, lines)

    def _labels(self, given: PlacedMapping) -> dict[str, str]:
        self._repeated(given)
        labels: dict[str, str] = {}
        for key, value in given.items():
            if isinstance(value, str):
                labels[str(key)] = value
            else:
                what = _kind(value)
                self._fault(key.line, f"label `{key}` is {what}; write its value in quotes")
        return labels

    def _enter(self, said: _Said, pools: Mapping[str, _Said]) -> None:
        """Take a database of which all is known."""
        database = said.fields.get("database")
        if database is None:
            if "database" not in said.lines:
                self._fault(said.line, "a database has no id; write one as `database: acme`")
            return
        if database in self._ids:
            where = f"at line {self._ids[database]} already; remove one of them"
            self._fault(said.line, f"database {database} stands {where}")
            return
        self._ids[database] = said.line
        pool = said.fields.get("pool", self._default_pool)
        if "pool" in said.fields and self._pools is not None and pool not in pools:
            self._fault(said.lines["pool"], _unknown_pool(database, pool, pools))
            return
        template = pools.get(pool, _Said(said.line))
        try:
            parts = {"database": database, **filled(database, template.parts | said.parts)}
        except WrongArgument as error:
            self._fault(said.line, f"database {database}: {error}")
            return
        if not self._is_complete(said, template, pool, parts):
            return
        labels = template.labels | said.labels
        try:
            entry = FleetFileEntry(database, pool, Connection.at(**parts), labels, said.line)
        except ValidationError:
            raise AssertionError from None
        self._check(entry, said, template)
        self._entries.append(entry)

    def _is_complete(
        self, said: _Said, template: _Said, pool: str, parts: Mapping[str, Any]
    ) -> bool:
        """Whether it is said where the database is, and who migrates it."""
        wrong = said.lines.keys() | template.lines.keys()
        missing = [name for name in ("host", "user") if parts.get(name) is None]
        for name in missing:
            # What is there and makes no sense has its fault already.
            if name not in wrong:
                what = f"database {said.fields['database']}: the {name} is missing"
                where = f"here, or for the whole pool as `pools: {{{pool}: {{{name}: …}}}}`"
                self._fault(said.line, f"{what}; write it {where}")
        return not missing

    def _check(self, entry: FleetFileEntry, said: _Said, template: _Said) -> None:
        """Keep what the ledger would refuse, at the line where it stands."""
        found = faults(entry.database, entry.pool, entry.connection, entry.labels)
        for fault in found:
            name = {"id": "database"}.get(fault.field, fault.field)
            part = "labels" if name.startswith("label ") else name
            if part in said.lines or part not in template.lines:
                line = said.lines.get(part, said.line)
                self._fault(line, f"database {entry.database}: {fault.field} {fault.why}")
            else:
                self._fault(template.lines[part], f"pool {entry.pool}: {fault.field} {fault.why}")
        if found:
            # What is wrong may be a secret, and where it is says nothing.
            return
        place = entry.connection.target
        canonical = place.canonical
        # Of two that are equal the one that is kept anyway: there may be a hundred thousand.
        key = place if canonical == place else canonical
        other = self._places.setdefault(key, entry.database)
        if other != entry.database:
            where = f"where {other} (line {self._ids[other]}) is, {place}"
            self._fault(
                said.line,
                f"database {entry.database} is {where}, and one target has one id; remove one of "
                "them, correct the address, or name a `schema`",
            )

    def _repeated(self, given: PlacedMapping) -> None:
        for key in given.repeated:
            self._fault(key.line, f"`{key}` stands twice in one place; remove one of them")

    def _fault(self, line: int, what: str) -> None:
        self._faults[line, f"line {line}: {what}"] = None

    def _error(self) -> FleetFileError:
        found = sorted(self._faults)
        if len(found) == 1:
            return FleetFileError(f"{self._file}, {found[0][1]}")
        told = [f"  {sentence}" for _, sentence in found[:TOLD]]
        if len(found) > TOLD:
            told.append(f"  and {len(found) - TOLD:,} more")
        head = f"{self._file} has {len(found):,} faults, so nothing of it was used; correct them"
        return FleetFileError("\n".join([f"{head}:", *told]))


def filled(database: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The id of the database in names that are templates. Raises `WrongArgument`."""
    made = dict(fields)
    if "schema" in made and "further_schemas" not in made:
        made["schema"], made["further_schemas"] = schemas_in(made["schema"])
    for name in _TEMPLATES:
        text = made.get(name)
        if text is None:
            continue
        made[name] = text.replace(PLACEHOLDER, database)
        if other := _OTHER_PLACEHOLDER.search(made[name]):
            raise WrongArgument(
                f"the {WORDS.get(name, name)} holds {other.group()}, and {PLACEHOLDER} is all that "
                "can stand there"
            )
    return made


def _wrong(name: str, value: Any) -> str | None:
    """What is wrong with the kind of a field's value."""
    match name:
        case "labels":
            if isinstance(value, PlacedMapping):
                return None
            return "`labels` are names with values, like `labels: {tier: gold}`"
        case "port":
            if isinstance(value, int) and not isinstance(value, bool):
                return None
            if isinstance(value, str) and _PORT.fullmatch(value):
                return None
            return "`port` is no number; write one from 1 to 65535"
        case "schema" if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return None
        case "shared_login":
            return None if value == ACCEPTED else f"`shared_login` can only be `{ACCEPTED}`"
        case _:
            if isinstance(value, str):
                return None
            return f"`{name}` is {_kind(value)}; write a text, in quotes if it looks like that"


def _kind(value: Any) -> str:
    """What YAML takes a value for, in words."""
    match value:
        case None:
            return "empty"
        case bool():
            return "yes or no"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case bytes():
            return "encoded"
        case _:
            return "a date"


def _unknown(key: str, what: str, known: tuple[str, ...]) -> str:
    near = nearest(key, known)
    like = f"the nearest is `{near}`" if near else f"there are {', '.join(known)}"
    return f"`{key}` is not {what}; {like}"


def _unknown_pool(database: str, pool: str, pools: Mapping[str, _Said]) -> str:
    like = nearest(pool, pools)
    near = f" (the nearest is {like})" if like else ""
    return (
        f"database {database}: pool {pool} is not under `pools`{near}; correct it, or add it "
        f"there as `{pool}: {{}}` if its databases have nothing in common"
    )
