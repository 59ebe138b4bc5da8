"""How large tables of the fleet are, as far as databases were asked before something ran there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ledger.contracts.reports import DatabaseInspected, PreflightChecked
from ledger.store.log.decode import open_event, read
from ledger.store.port import Log, LookStore
from migrations.lint.finding import LargestTable
from migrations.model.preflight import PreflightResult
from migrations.sql.written_names import names_in

REPORTS_AT_MOST = 2_000
"""The latest reports, and databases whose latest look is read: what is asked has a size."""
_Sizes = dict[tuple[str, ...], dict[str, tuple[int, int]]]
"""By schema and table, by database: the position of whoever said so, and bytes."""


async def table_sizes(
    log: Log,
    looks: LookStore,
    names: Collection[str],
    databases: Sequence[str],
    limit_mb: float,
) -> dict[str, LargestTable]:
    """The largest that each of these tables, by quoted name, is known to be in these databases.

    How many are beyond `limit_mb` is counted. A name without a schema means the table in any.
    Tables that nobody was asked about are left out.
    """
    if not names or not databases:
        return {}
    found: _Sizes = {}
    wanted = frozenset(databases)
    for raw in await log.preflights(REPORTS_AT_MOST):
        event = open_event(raw).event
        if isinstance(event, PreflightChecked) and event.database in wanted:
            _take(found, event.database, raw.position, event.results)
    latest = await looks.latest(list(databases[:REPORTS_AT_MOST]))
    for database, look in latest.items():
        answer = read(DatabaseInspected.__name__, look.schema_version, look.body)
        if isinstance(answer, DatabaseInspected):
            _take(found, database, look.position, answer.preflight)
    sizes = {name: _largest(found, name, len(wanted), limit_mb * 2**20) for name in names}
    return {name: size for name, size in sizes.items() if size is not None}


def _take(found: _Sizes, database: str, position: int, results: Iterable[PreflightResult]) -> None:
    """Note the sizes that were said, where nobody said another one later."""
    for table in (table for result in results for table in result.tables):
        parts = _parts(table.name)
        by_database = found.setdefault(parts, {})
        if by_database.get(database, (0, 0))[0] < position:
            by_database[database] = (position, table.size_bytes)


def _largest(found: _Sizes, name: str, databases: int, limit_bytes: float) -> LargestTable | None:
    """Of all tables that the name may mean."""
    parts = _parts(name)
    sizes: dict[str, int] = {}
    for known, by_database in found.items():
        if known[-len(parts) :] == parts:
            for database, (_, size) in by_database.items():
                sizes[database] = max(size, sizes.get(database, 0))
    if not sizes:
        return None
    largest = min(sizes, key=lambda one: (-sizes[one], one))
    beyond = sum(size >= limit_bytes for size in sizes.values())
    return LargestTable(sizes[largest], largest, len(sizes), len(sizes) == databases, beyond)


def _parts(name: str) -> tuple[str, ...]:
    try:
        return names_in(name, ".")
    except ValueError:
        return (name,)
