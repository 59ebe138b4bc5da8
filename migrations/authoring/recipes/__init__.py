"""Recipes: changes that are known to be safe on a busy table, written out as files to be edited.

A recipe is a module with one `Recipe`: what it is called, which options it needs, and a pure
function from their values to the text of each phase (`migrations.model.phases`; one without a name
is a file of its own). `cookbook` lists them. What they write is ordinary SQL in our own format,
with comments for the reader; nothing looks at it again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from migrations.errors import WrongCreation
from migrations.sql.literals import quote_where_needed
from migrations.sql.written_names import names_in

NAME_MAX_BYTES = 63
"""What PostgreSQL keeps of a name; the rest would be cut off without a word."""
KEY = "id"
LAST = "zz"
"""In front of the names of triggers that must come behind others: they run in order of names."""
_DIGITS = 8
_COLUMN = re.compile(r'\s*("(?:[^"]|"")+"|[^:"]*)\s*(?::(.*))?', re.DOTALL)
_OUT_OF_QUOTES = re.compile(r"\$[a-z]+\$|\$\{|--\s*\+\s*migrate", re.IGNORECASE)
"""What ends a body, is filled with a variable, or is a marker, in quotes too."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as people give it: `name`, or `name:type`."""

    name: str
    type: str = ""

    @property
    def sql(self) -> str:
        """Its name, quoted where it must be."""
        return quoted(self.name)


@dataclass(frozen=True, slots=True)
class Given:
    """The values of a recipe's options."""

    table: str = ""
    columns: tuple[Column, ...] = ()
    to: str = ""
    key: str = KEY
    key_type: str = "bigint"
    value: str = ""

    @property
    def column(self) -> Column:
        """The only column."""
        return self.columns[0]

    @property
    def table_sql(self) -> str:
        """The table, quoted where it must be; a dot stands between schema and table."""
        return qualified(self.table)

    @property
    def table_name(self) -> str:
        """The table without its schema and its quotes."""
        return parts_of(self.table)[-1]

    @property
    def to_name(self) -> str:
        """What `to` names, without its schema and its quotes."""
        return parts_of(self.to)[-1]

    @property
    def schema_sql(self) -> str:
        """The table's schema with the dot behind it, quoted where it must be; or empty."""
        return "".join(f"{quoted(part)}." for part in parts_of(self.table)[:-1])

    @property
    def key_name(self) -> str:
        """The key's column, without quotes."""
        return only_name(self.key)

    @property
    def key_sql(self) -> str:
        """The key's column, quoted where it must be."""
        return quoted(self.key_name)


NOTHING_GIVEN = Given()


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to make a change. `needs` and `takes` are names of options of `ledger create`."""

    name: str
    summary: str
    needs: tuple[str, ...]
    write: Callable[[Given], Mapping[str, str]]
    """Text by phase; the only text of a recipe without phases by the empty string."""
    takes: tuple[str, ...] = ()
    typed: bool = False
    """Whether columns are given with their types."""
    several: bool = False
    """Whether there may be several columns."""
    example: str = field(default="", kw_only=True)

    def check(self, given: Given) -> None:
        """Raise CreateError for an option that is missing, wrong, or not this recipe's."""
        has = {
            "table": bool(given.table),
            "column": bool(given.columns),
            "to": bool(given.to),
            "key": given.key != KEY,
            "value": bool(given.value),
        }
        missing = [f"--{name}" for name in self.needs if not has[name]]
        if missing:
            raise WrongCreation(
                f"the recipe {self.name} needs {', '.join(missing)}; for example: "
                f"ledger create NAME --recipe {self.name} {self.example}"
            )
        known = {*self.needs, *self.takes}
        foreign = [name for name, there in has.items() if there and name not in known]
        if foreign:
            raise WrongCreation(f"the recipe {self.name} takes no --{foreign[0]}; leave it out")
        self._check_columns(given)

    def _check_columns(self, given: Given) -> None:
        if len(given.columns) > 1 and not self.several:
            raise WrongCreation(f"the recipe {self.name} takes one --column")
        names = [column.name for column in given.columns]
        if len(set(names)) < len(names):
            raise WrongCreation("a --column stands there twice; name each column once")
        for column in given.columns:
            if bool(column.type) is not self.typed:
                form = "NAME:TYPE" if self.typed else "NAME"
                raise WrongCreation(
                    f"write --column as {form} for the recipe {self.name}, not {column.name!r}"
                )


def column_of(text: str) -> Column:
    """`name` or `name:type`, as it stands on the command line; a name may stand in quotes."""
    found = _COLUMN.fullmatch(text)
    name, type_ = found.groups(default="") if found else (text, "")
    return Column(only_name(name), " ".join(type_.split()))


def parts_of(name: str) -> tuple[str, ...]:
    """Schema and table of a name as people write it, without quotes. Raises CreateError."""
    try:
        return names_in(name, ".")
    except ValueError as error:
        raise WrongCreation(str(error)) from None


def only_name(name: str) -> str:
    """One name without its quotes; dots belong to it."""
    name = name.strip()
    if len(name) > 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name


def quoted(name: str) -> str:
    """A name as people would write it: in quotes only where PostgreSQL wants them."""
    if not name or len(name.encode()) > NAME_MAX_BYTES:
        raise WrongCreation(f"{name!r} is no name of at most {NAME_MAX_BYTES} bytes; correct it")
    if not name.isprintable() or _OUT_OF_QUOTES.search(name):
        raise WrongCreation(f"a file cannot hold the name {name!r} as it is; rename that first")
    return quote_where_needed(name)


def qualified(name: str) -> str:
    """`schema.table` or `table`, each part quoted where it must be."""
    return ".".join(quoted(part) for part in parts_of(name))


def named(*parts: str) -> str:
    """A name for an object that a recipe makes, from the names it is about; quoted like them."""
    whole = "_".join(parts)
    if len(whole.encode()) > NAME_MAX_BYTES:
        digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]
        cut = whole.encode()[: NAME_MAX_BYTES - _DIGITS - 1].decode(errors="ignore")
        whole = f"{cut}_{digest}"
    return quoted(whole)


def bare(name: str) -> str:
    """The name that `quoted` or `named` has put in quotes, as the catalog has it."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def paged(given: Given) -> str:
    """What a Data marker says of table and key."""
    return f"table={given.table_sql} key={given.key_sql}"
