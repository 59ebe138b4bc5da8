"""Names of objects and roles as SQL spells them; pure."""

from __future__ import annotations

import re
from typing import Any

from migrations.catalog.difference import Name, ObjectChange
from migrations.catalog.neutral import TenantNames
from migrations.sql.literals import quote_where_needed

_OF_DATABASE = re.compile(r"[\w$-]*\{database\}[\w$-]*")
_OF_SCHEMA = re.compile(r"[\w$-]*\{schema\}[\w$-]*")
_SQL_KIND = {"enum": "TYPE", "composite type": "TYPE", "range type": "TYPE", "base type": "TYPE"}


def sql_kind(kind: str) -> str:
    """A kind as ALTER, COMMENT and DROP name it."""
    return _SQL_KIND.get(kind, kind.upper())


def spelled(name: Name) -> str:
    """A name with its schema, quoted where it has to be."""
    return ".".join(quote_where_needed(part) for part in name if part)


def relation_of(change: ObjectChange) -> str:
    """The table or view that it stands on."""
    return spelled(change.name[:2])


def last(change: ObjectChange) -> str:
    """Its own name, without that of its relation."""
    return quote_where_needed([part for part in change.name if part][-1])


def object_of(change: ObjectChange) -> str:
    """The object as ALTER, COMMENT and DROP name it."""
    name = change.name
    match change.kind:
        case "function" | "procedure" | "aggregate":
            arguments = name[2] or ("*" if change.kind == "aggregate" else "")
            return f"{spelled(name[:2])}({arguments})"
        case "constraint" | "trigger" | "rule" | "policy":
            return f"{last(change)} ON {relation_of(change)}"
        case "operator":
            schema = f"{quote_where_needed(name[0])}." if name[0] else ""
            return f"{schema}{name[1]} ({name[2]})"
        case "cast":
            return f"({name[0]})"
        case "database":
            return "{database}"
        case _:
            return spelled(name)


def role(name: str) -> str:
    """A role of a snapshot; one that is neutral stays so."""
    if name == "PUBLIC" or "{" in name.replace("{{", ""):
        return name
    return quote_where_needed(name.replace("{{", "{"))


def real(line: str, names: TenantNames | None) -> str:
    """The line with the names of one database in place of the neutral ones, if they are known."""
    if names is None:
        return line
    line = line.replace("{owner}", quote_where_needed(names.owner))
    line = line.replace("{superuser}", quote_where_needed(names.superuser))
    line = _OF_DATABASE.sub(
        lambda found: quote_where_needed(found[0].replace("{database}", names.database)), line
    )
    return (
        line
        if names.schema is None
        else _OF_SCHEMA.sub(
            lambda found: quote_where_needed(found[0].replace("{schema}", names.schema or "")), line
        )
    )


def ended(statement: str) -> str:
    """A statement with its semicolon."""
    return statement.strip().removesuffix(";") + ";"


def shown(value: Any) -> str:
    """What an attribute is, in words."""
    return "not set" if value is None or value == {} else str(value)
