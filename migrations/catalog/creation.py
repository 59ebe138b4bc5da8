"""Statements that make an object that is missing; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrations.catalog.difference import ObjectChange
from migrations.catalog.spelling import ended, last, relation_of, role, spelled
from migrations.sql.literals import quote_literal, quote_where_needed

_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}
_BY_DEFINITION = ("index", "trigger", "rule", "function", "procedure", "statistics")


def created(change: ObjectChange, columns: Sequence[ObjectChange] = ()) -> list[str] | None:
    """What makes it, without owner, comment and grants; `None` for a kind that is made by hand.

    `columns` are those of a table.
    """
    if change.kind == "index":
        return [ended(_of_all_partitions(change))]
    if change.kind in _BY_DEFINITION:
        return [ended(change.expected["definition"])]
    if change.kind == "table":
        return _table(change, columns)
    write = _WRITERS.get(change.kind)
    return None if write is None else [write(change)]


def belonging(change: ObjectChange) -> str | None:
    """What gives a new sequence to the column that it is for, when that is there."""
    column = change.expected.get("owned_by") if change.kind == "sequence" else None
    return f"ALTER SEQUENCE {spelled(change.name)} OWNED BY {column};" if column else None


def _of_all_partitions(change: ObjectChange) -> str:
    """An index; that of a partitioned table is valid when all partitions have it."""
    definition: str = change.expected["definition"]
    only = f"INDEX {last(change)} ON ONLY "
    return definition.replace(only, only.replace(" ON ONLY ", " ON "), 1)


def policy(change: ObjectChange) -> str:
    """A policy as it should be."""
    is_ = change.expected
    parts = [f"CREATE POLICY {last(change)} ON {relation_of(change)}"]
    if is_.get("restrictive"):
        parts.append("AS RESTRICTIVE")
    parts.append(f"FOR {_COMMANDS[is_['command']]} TO {', '.join(map(role, is_['roles']))}")
    if (using := is_.get("using")) is not None:
        parts.append(f"USING ({using})")
    if (check := is_.get("check")) is not None:
        parts.append(f"WITH CHECK ({check})")
    return " ".join(parts) + ";"


def sequence(change: ObjectChange, verb: str = "CREATE") -> str:
    """A sequence as it should be; where it stands is nobody's matter.

    A new one belongs to no column yet: its table, whose default is it, is made behind it.
    """
    is_ = change.expected
    cycle = "CYCLE" if is_.get("cycle") else "NO CYCLE"
    belongs = is_.get("owned_by") and verb == "ALTER"
    owned = f" OWNED BY {is_['owned_by']}" if belongs else ""
    return (
        f"{verb} SEQUENCE {spelled(change.name)} AS {is_['type']} INCREMENT {is_['increment']} "
        f"MINVALUE {is_['min']} MAXVALUE {is_['max']} START {is_['start']} "
        f"CACHE {is_['cache']} {cycle}{owned};"
    )


def _table(change: ObjectChange, columns: Sequence[ObjectChange]) -> list[str] | None:
    name, is_ = spelled(change.name), change.expected
    if "of_type" in is_:
        return None
    unlogged = "UNLOGGED " if is_.get("unlogged") else ""
    options = f" WITH ({', '.join(is_['options'])})" if is_.get("options") else ""
    if is_.get("partition"):
        return [
            f"CREATE {unlogged}TABLE {name} PARTITION OF {is_['inherits'][0]} "
            f"{is_['partition']}{options};"
        ]
    body = ",\n".join(f"    {_column(column)}" for column in columns)
    inherits = f" INHERITS ({', '.join(is_['inherits'])})" if is_.get("inherits") else ""
    by = f" PARTITION BY {is_['partition_by']}" if is_.get("partition_by") else ""
    return [f"CREATE {unlogged}TABLE {name} (\n{body}\n){inherits}{by}{options};"]


def _column(change: ObjectChange) -> str:
    is_ = change.expected
    parts = [last(change), is_["type"]]
    if collation := is_.get("collation"):
        parts.append(f"COLLATE {collation}")
    if generated := is_.get("generated"):
        expression, _, kind = generated.rpartition(" ")
        parts.append(f"GENERATED ALWAYS AS ({expression}) {kind}")
    if identity := is_.get("identity"):
        parts.append(f"GENERATED {identity.upper()} AS IDENTITY")
    if (default := is_.get("default")) is not None:
        parts.append(f"DEFAULT {default}")
    if is_.get("not_null"):
        parts.append("NOT NULL")
    return " ".join(parts)


def _domain(change: ObjectChange) -> str:
    is_ = change.expected
    parts = [f"CREATE DOMAIN {spelled(change.name)} AS {is_['type']}"]
    if collation := is_.get("collation"):
        parts.append(f"COLLATE {collation}")
    if (default := is_.get("default")) is not None:
        parts.append(f"DEFAULT {default}")
    if is_.get("not_null"):
        parts.append("NOT NULL")
    for constraint, definition in is_.get("constraints", {}).items():
        parts.append(f"CONSTRAINT {quote_where_needed(constraint)} {definition}")
    return " ".join(parts) + ";"


def _view(change: ObjectChange) -> str:
    definition = change.expected["definition"]
    return ended(f"CREATE {change.kind.upper()} {spelled(change.name)} AS\n{definition}")


def _extension(change: ObjectChange) -> str:
    is_ = change.expected
    return (
        f"CREATE EXTENSION {spelled(change.name)} SCHEMA {quote_where_needed(is_['schema'])} "
        f"VERSION {quote_literal(is_['version'])};"
    )


def _enum(change: ObjectChange) -> str:
    labels = ", ".join(map(quote_literal, change.expected.get("labels", [])))
    return f"CREATE TYPE {spelled(change.name)} AS ENUM ({labels});"


def _composite(change: ObjectChange) -> str:
    attributes = ", ".join(change.expected.get("attributes", []))
    return f"CREATE TYPE {spelled(change.name)} AS ({attributes});"


def _range(change: ObjectChange) -> str:
    subtype = change.expected["range"]["subtype"]
    return f"CREATE TYPE {spelled(change.name)} AS RANGE (SUBTYPE = {subtype});"


def _publication(change: ObjectChange) -> str:
    is_ = change.expected
    if is_.get("all_tables"):
        what = "FOR ALL TABLES"
    elif is_.get("tables"):
        what = f"FOR TABLE {', '.join(is_['tables'])}"
    else:
        what = ""
    actions = ", ".join(one for one in ("insert", "update", "delete", "truncate") if is_.get(one))
    root = ", publish_via_partition_root" if is_.get("via_root") else ""
    return f"CREATE PUBLICATION {spelled(change.name)} {what} WITH (publish = '{actions}'{root});"


def _event_trigger(change: ObjectChange) -> str:
    is_ = change.expected
    tags = f" WHEN TAG IN ({', '.join(map(quote_literal, is_['tags']))})" if is_.get("tags") else ""
    return (
        f"CREATE EVENT TRIGGER {spelled(change.name)} ON {is_['event']}{tags} "
        f"EXECUTE FUNCTION {is_['function']};"
    )


def _added_column(change: ObjectChange) -> str:
    return f"ALTER TABLE {relation_of(change)} ADD COLUMN {_column(change)};"


def _constraint(change: ObjectChange) -> str:
    definition = change.expected["definition"]
    return f"ALTER TABLE {relation_of(change)} ADD CONSTRAINT {last(change)} {definition};"


_WRITERS: dict[str, Callable[[ObjectChange], str]] = {
    "column": _added_column,
    "constraint": _constraint,
    "composite type": _composite,
    "default privileges": lambda change: f"-- {change.called}:",
    "domain": _domain,
    "enum": _enum,
    "event trigger": _event_trigger,
    "extension": _extension,
    "materialized view": _view,
    "policy": policy,
    "publication": _publication,
    "range type": _range,
    "schema": lambda change: f"CREATE SCHEMA {spelled(change.name)};",
    "sequence": sequence,
    "view": _view,
}
