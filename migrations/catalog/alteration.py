"""Statements that change an object back, or drop one that was added; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from migrations.catalog.creation import created, policy, sequence
from migrations.catalog.difference import AttributeChange, ObjectChange
from migrations.catalog.privileges import GRANTS, commented, granted, owned, surroundings
from migrations.catalog.spelling import (
    ended,
    last,
    object_of,
    relation_of,
    shown,
    spelled,
    sql_kind,
)
from migrations.sql.literals import quote_literal, quote_where_needed

_FIRING = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS", None: "ENABLE"}
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}
_WITH_ROWS = ("table", "foreign table", "sequence", "schema", "materialized view")
_ON_RELATIONS = ("trigger", "rule", "policy")
_BY_HAND = (
    "text search", "access", "foreign-data", "operator ", "server", "language", "transform",
    "conversion",
)  # fmt: skip
_GRANTS_ONLY = ("default privileges", "database")


def dropped(change: ObjectChange) -> Iterator[str]:
    """What takes away an object that nobody expects."""
    if change.kind == "column":
        yield (
            f"-- loses what is in it: ALTER TABLE {relation_of(change)} DROP COLUMN {last(change)};"
        )
    elif change.kind == "constraint":
        yield f"ALTER TABLE {relation_of(change)} DROP CONSTRAINT {last(change)};"
    elif change.kind in _ON_RELATIONS:
        yield f"DROP {change.kind.upper()} {last(change)} ON {relation_of(change)};"
    elif change.kind in _GRANTS_ONLY:
        yield from surroundings(change, change.found, {})
    elif change.kind.startswith(_BY_HAND):
        yield f"-- {change.called} was added; drop it by hand"
    else:
        loss = "-- loses what is in it: " if change.kind in _WITH_ROWS else ""
        yield f"{loss}DROP {sql_kind(change.kind)} {object_of(change)};"


def altered(change: ObjectChange) -> Iterator[str]:
    """What makes of an object what it should be, attribute by attribute."""
    if change.kind.startswith(_BY_HAND):
        return chain.from_iterable(_attribute(change, part) for part in change.attributes)
    return _altered(change)


def _altered(change: ObjectChange) -> Iterator[str]:
    anew = _made_anew(change)
    if anew is not None:
        yield from anew
    whole = change.kind in _WHOLE
    if whole:
        yield from _WHOLE[change.kind](change)
    for part in change.attributes:
        if part.attribute == "definition" and anew is not None:
            continue
        if part.attribute == "comment":
            yield commented(change, part.expected)
        elif part.attribute == "owner" and part.expected is not None:
            yield owned(change, part.expected)
        elif part.attribute.partition(" ")[0] in GRANTS:
            yield from granted(change, part)
        elif not whole:
            yield from _attribute(change, part)


def _attribute(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    name = part.attribute.partition(" ")[0]
    write = _ATTRIBUTES.get((change.kind, name))
    written = list(write(change, part)) if write is not None else []
    if written:
        yield from written
        return
    yield (
        f"-- {change.called}: {part.attribute} is {shown(part.found)} and should be "
        f"{shown(part.expected)}; change it by hand"
    )


def _made_anew(change: ObjectChange) -> list[str] | None:
    """For what is replaced, or dropped and made again; `None` where it is altered."""
    definition = change.expected.get("definition")
    if definition is None or definition == change.found.get("definition"):
        return None
    if change.kind in ("function", "procedure"):
        return [ended(definition)]
    if change.kind == "rule":
        return [ended(definition.replace("CREATE RULE", "CREATE OR REPLACE RULE", 1))]
    if change.kind == "view":
        return [ended(f"CREATE OR REPLACE VIEW {spelled(change.name)} AS\n{definition}")]
    return [*dropped(change), *(created(change) or [])]


def _policy(change: ObjectChange) -> Iterator[str]:
    if {part.attribute for part in change.attributes} - {"comment"}:
        yield f"DROP POLICY {last(change)} ON {relation_of(change)};"
        yield policy(change)


def _sequence(change: ObjectChange) -> Iterator[str]:
    about = {"comment", "owner", "unlogged"}
    if any(
        part.attribute not in about and part.attribute.partition(" ")[0] not in GRANTS
        for part in change.attributes
    ):
        yield sequence(change, "ALTER")


_WHOLE: dict[str, Callable[[ObjectChange], Iterator[str]]] = {
    "policy": _policy,
    "sequence": _sequence,
}
"""Kinds of which all attributes are said again."""


def _column(change: ObjectChange, what: str) -> str:
    return f"ALTER TABLE {relation_of(change)} ALTER COLUMN {last(change)} {what};"


def _type(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    yield _column(change, f"TYPE {part.expected}")


def _default(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    to = part.expected
    yield _column(change, f"SET DEFAULT {to}" if to is not None else "DROP DEFAULT")


def _not_null(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    if part.expected in (True, None):
        yield _column(change, f"{'SET' if part.expected else 'DROP'} NOT NULL")


def _stored(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    if part.expected in _STORAGE:
        yield _column(change, f"SET STORAGE {_STORAGE[part.expected]}")


def _statistics(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    yield _column(change, f"SET STATISTICS {-1 if part.expected is None else part.expected}")


def _identity(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    if part.expected is None:
        yield _column(change, "DROP IDENTITY")
    elif part.found is None:
        yield _column(change, f"ADD GENERATED {part.expected.upper()} AS IDENTITY")
    else:
        yield _column(change, f"SET GENERATED {part.expected.upper()}")


def _row_security(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    to, name = part.expected or "", spelled(change.name)
    on = "ENABLE" if to in ("enabled", "forced") else "DISABLE"
    forced = "FORCE" if "forced" in to else "NO FORCE"
    yield f"ALTER TABLE {name} {on} ROW LEVEL SECURITY;"
    yield f"ALTER TABLE {name} {forced} ROW LEVEL SECURITY;"


def _logged(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    yield f"ALTER TABLE {spelled(change.name)} SET {'UNLOGGED' if part.expected else 'LOGGED'};"


def _options(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    to, found = part.expected or [], part.found or []
    head = f"ALTER {sql_kind(change.kind)} {spelled(change.name)}"
    gone = {one.partition("=")[0] for one in found} - {one.partition("=")[0] for one in to}
    if gone:
        yield f"{head} RESET ({', '.join(sorted(gone))});"
    if new := [one for one in to if one not in found]:
        yield f"{head} SET ({', '.join(new)});"


def _replica_identity(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    to = part.expected or "default"
    index = to.removeprefix("index ")
    said = to.upper() if index == to else f"USING INDEX {quote_where_needed(index)}"
    yield f"ALTER TABLE {spelled(change.name)} REPLICA IDENTITY {said};"


def _firing(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    said = f"{_FIRING[part.expected]} {change.kind.upper()} {last(change)}"
    yield f"ALTER TABLE {relation_of(change)} {said};"


def _event_firing(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    yield f"ALTER EVENT TRIGGER {spelled(change.name)} {_FIRING[part.expected]};"


def _index_state(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    if part.expected is None and part.found == "invalid":
        yield f"REINDEX INDEX CONCURRENTLY {spelled(change.name)};"


def _extension_version(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    yield f"ALTER EXTENSION {spelled(change.name)} UPDATE TO {quote_literal(part.expected)};"


def _extension_schema(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    to = quote_where_needed(part.expected)
    yield f"ALTER EXTENSION {spelled(change.name)} SET SCHEMA {to};"


def _labels(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    """PostgreSQL takes no label out of a type, and moves none."""
    to, found, name = part.expected or [], part.found or [], spelled(change.name)
    if [label for label in to if label in found] != found:
        return
    for at, label in enumerate(to):
        if label not in found:
            place = (
                f"AFTER {quote_literal(to[at - 1])}" if at else f"BEFORE {quote_literal(found[0])}"
            )
            yield f"ALTER TYPE {name} ADD VALUE {quote_literal(label)} {place};"


def _domain_default(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    to = part.expected
    what = f"SET DEFAULT {to}" if to is not None else "DROP DEFAULT"
    yield f"ALTER DOMAIN {spelled(change.name)} {what};"


def _domain_not_null(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    yield f"ALTER DOMAIN {spelled(change.name)} {'SET' if part.expected else 'DROP'} NOT NULL;"


def _domain_constraint(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    constraint = quote_where_needed(part.attribute.partition(" ")[2])
    if part.found is not None:
        yield f"ALTER DOMAIN {spelled(change.name)} DROP CONSTRAINT {constraint};"
    if part.expected is not None:
        yield f"ALTER DOMAIN {spelled(change.name)} ADD CONSTRAINT {constraint} {part.expected};"


_ATTRIBUTES: dict[tuple[str, str], Callable[[ObjectChange, AttributeChange], Iterator[str]]] = {
    ("column", "type"): _type,
    ("column", "default"): _default,
    ("column", "not_null"): _not_null,
    ("column", "storage"): _stored,
    ("column", "statistics"): _statistics,
    ("column", "identity"): _identity,
    ("table", "row_security"): _row_security,
    ("table", "unlogged"): _logged,
    ("table", "options"): _options,
    ("view", "options"): _options,
    ("materialized view", "options"): _options,
    ("table", "replica_identity"): _replica_identity,
    ("trigger", "enabled"): _firing,
    ("rule", "enabled"): _firing,
    ("event trigger", "enabled"): _event_firing,
    ("index", "state"): _index_state,
    ("extension", "version"): _extension_version,
    ("extension", "schema"): _extension_schema,
    ("enum", "labels"): _labels,
    ("domain", "default"): _domain_default,
    ("domain", "not_null"): _domain_not_null,
    ("domain", "constraints"): _domain_constraint,
}
