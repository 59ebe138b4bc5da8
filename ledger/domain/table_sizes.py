"""How large tables are over a fleet, from what agents have reported of each database. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrations.model.preflight import PreflightCheck, PreflightResult


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table over the fleet, in MB with its indexes; `known` are databases that said its size.

    `above` of them have it larger than the limit; `largest_in` has the largest. Names are escaped.
    """

    table: str
    limit_mb: float
    known: int = 0
    above: int = 0
    largest_mb: float = 0.0
    largest_in: str = ""


def table_sizes(
    tables: Sequence[str],
    answers: Iterable[tuple[str, Sequence[PreflightResult]]],
    limit_mb: float,
    *,
    by_own_name: bool = False,
) -> tuple[TableSize, ...]:
    """Each of these tables over all databases, the largest first.

    `by_own_name` says that their schema is called otherwise in each database.
    """
    found: dict[str, list[tuple[float, str]]] = {table: [] for table in tables}
    wanted = {_key(table, by_own_name): table for table in tables}
    for database, results in answers:
        sizes = [one.tables for one in results if one.check is PreflightCheck.TABLE_SIZE]
        for name, size in (each for some in sizes for each in some):
            if (table := wanted.get(_key(name, by_own_name))) is not None:
                found[table].append((size, database))
    return tuple(
        sorted(
            (_over(table, some, limit_mb) for table, some in found.items()),
            key=lambda one: (-one.largest_mb, one.table),
        )
    )


def _over(table: str, found: Sequence[tuple[float, str]], limit_mb: float) -> TableSize:
    if not found:
        return TableSize(table, limit_mb)
    largest, where = max(found)
    above = sum(size > limit_mb for size, _ in found)
    return TableSize(table, limit_mb, len(found), above, largest, where)


def _key(name: str, by_own_name: bool) -> str:
    """A name without its schema, if that is not part of it; a dot in quotes divides nothing."""
    if not by_own_name:
        return name
    if name.endswith('"'):
        at = name[:-1].rfind('"')
        while at > 0 and name[at - 1] == '"':
            at = name.rfind('"', 0, at - 1)
        return name[at:]
    return name.rpartition(".")[2]
