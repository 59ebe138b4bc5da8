"""Owner, comment and grants of any object as SQL; pure."""

from __future__ import annotations

from collections.abc import Iterator

from migrations.catalog.difference import AttributeChange, Attributes, ObjectChange
from migrations.catalog.spelling import (
    last,
    object_of,
    relation_of,
    role,
    spelled,
    sql_kind,
)
from migrations.sql.literals import quote_literal, quote_where_needed

GRANTS = ("granted", "revoked")
_WITH_OPTION = " WITH GRANT OPTION"
_AS_TABLE = ("table", "view", "materialized view", "foreign table")
_AS_TYPE = ("enum", "composite type", "range type", "base type", "domain")


def surroundings(change: ObjectChange, found: Attributes, expected: Attributes) -> Iterator[str]:
    """What makes comment, owner and grants of an object what they should be."""
    if expected.get("comment") != found.get("comment"):
        yield commented(change, expected.get("comment"))
    owner = expected.get("owner")
    if owner is not None and owner != found.get("owner"):
        yield owned(change, owner)
    for word in GRANTS:
        now, before = expected.get(word, {}), found.get(word, {})
        for name in sorted({*now, *before}):
            yield from granted(
                change, AttributeChange(f"{word} {name}", now.get(name), before.get(name))
            )


def commented(change: ObjectChange, comment: str | None) -> str:
    """Its comment."""
    return f"COMMENT ON {sql_kind(change.kind)} {object_of(change)} IS {quote_literal(comment)};"


def owned(change: ObjectChange, owner: str) -> str:
    """Its owner."""
    return f"ALTER {sql_kind(change.kind)} {object_of(change)} OWNER TO {role(owner)};"


def granted(change: ObjectChange, part: AttributeChange) -> Iterator[str]:
    """The grants of one role; what is `revoked` is the other way round."""
    word, _, name = part.attribute.partition(" ")
    to, found = part.expected or [], part.found or []
    give = [one for one in to if one not in found]
    take = [one for one in found if one not in to]
    if word == "revoked":
        give, take = take, give
    head, where = "", f"ON {_granted_on(change)}"
    if change.kind == "default privileges":
        schema = f" IN SCHEMA {quote_where_needed(change.name[0])}" if change.name[0] else ""
        head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {role(change.name[2] or '')}{schema} "
        where = f"ON {(change.name[1] or '').upper()}"
    for privilege in take:
        yield f"{head}REVOKE {_said(change, privilege)} {where} FROM {role(name)};"
    for privilege in give:
        option = _WITH_OPTION if privilege.endswith(_WITH_OPTION) else ""
        yield f"{head}GRANT {_said(change, privilege)} {where} TO {role(name)}{option};"


def _said(change: ObjectChange, privilege: str) -> str:
    said = privilege.removesuffix(_WITH_OPTION)
    return f"{said} ({last(change)})" if change.kind == "column" else said


def _granted_on(change: ObjectChange) -> str:
    if change.kind == "column":
        return f"TABLE {relation_of(change)}"
    if change.kind in _AS_TABLE:
        return f"TABLE {spelled(change.name)}"
    if change.kind in _AS_TYPE:
        return f"TYPE {spelled(change.name)}"
    kind = "FUNCTION" if change.kind == "aggregate" else change.kind.upper()
    return f"{kind} {object_of(change)}"
