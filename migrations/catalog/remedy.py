"""The SQL that would bring a schema back to what is expected: shown to people, and never run; pure.

Where PostgreSQL cannot change something in place, or rows would be lost, a comment says so. The
neutral names of roles (`{owner}`) become those of the database it is for, where they are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migrations.catalog.alteration import altered, dropped
from migrations.catalog.creation import belonging, created
from migrations.catalog.difference import CatalogDifference, How, ObjectChange
from migrations.catalog.neutral import TenantNames
from migrations.catalog.privileges import surroundings
from migrations.catalog.spelling import real, shown
from migrations.printable import escaped

_RELATIONS = ("table", "foreign table", "view", "materialized view")
_OF_RELATIONS = ("column", "constraint", "index", "trigger", "rule", "policy")
_ORDER = (
    "schema", "extension", "enum", "domain", "composite type", "range type", "sequence",
    "function", "table", "column", "constraint", "index",
)  # fmt: skip
"""What others build on is made first and dropped last."""


def remedy(found: CatalogDifference, names: TenantNames | None = None) -> list[str]:
    """Statements that would make the second schema like the first, in an order in which most of
    them can be run; what a person has to decide is a comment.
    """
    return [line for _, line in statements(found, names)]


def statements(
    found: CatalogDifference, names: TenantNames | None = None
) -> list[tuple[ObjectChange, str]]:
    """The same, each with the object that it is about."""
    gone = _relations(found, How.ADDED)
    made = _relations(found, How.MISSING)
    columns: dict[tuple[str | None, ...], list[ObjectChange]] = {}
    for change in found.changes:
        if change.kind == "column":
            columns.setdefault(change.name[:2], []).append(change)
    lines: list[tuple[int, ObjectChange, str]] = []
    for change in found.changes:
        relation = change.name[:2]
        if change.kind in _OF_RELATIONS and relation in gone:
            continue
        if change.kind == "column" and relation in made:
            continue
        own = columns.get(relation, []) if change.kind == "table" else []
        lines += [(_rank(change), change, line) for line in _statements(change, own)]
        if change.how is How.MISSING and (line := belonging(change)) is not None:
            lines.append((len(_ORDER) + 1, change, line))
    ordered = sorted(lines, key=lambda line: line[0])
    return [(change, _written(line, names)) for _, change, line in ordered]


def _relations(found: CatalogDifference, how: How) -> set[tuple[str | None, ...]]:
    return {
        change.name[:2]
        for change in found.changes
        if change.how is how and change.kind in _RELATIONS
    }


def _rank(change: ObjectChange) -> int:
    at = _ORDER.index(change.kind) if change.kind in _ORDER else len(_ORDER)
    return -at if change.how is How.ADDED else at + 1


def _statements(change: ObjectChange, columns: Sequence[ObjectChange]) -> Iterator[str]:
    match change.how:
        case How.MISSING:
            made = created(change, columns)
            if made is None:
                yield f"-- {change.called} is missing; make it by hand: {shown(change.expected)}"
                return
            yield from made
            yield from surroundings(change, {}, change.expected)
        case How.ADDED:
            yield from dropped(change)
        case How.CHANGED:
            yield from altered(change)


def _written(line: str, names: TenantNames | None) -> str:
    line = real(line, names)
    # A name with the end of a line in it would otherwise end the comment.
    return escaped(line) if line.startswith("--") else line
