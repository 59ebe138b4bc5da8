"""What is asked first: whether there is anything out of the ordinary to ask about.

Nearly always there is not: no lock on what is touched, no partition, no slot, connections enough.
Then this settles what the questions of `questions.sql` would say, for a fifth of what they cost.
Whatever it cannot settle is asked by them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from migrations.model.preflight import (
    PreflightCheck,
    PreflightPolicy,
    PreflightVerdict,
    TouchedTables,
    judged,
)
from migrations.sql.literals import Expression, SqlValue, bind, quote_literal
from migrations.sql.named_statements import named_statements
from migrations.target.binary_copy import boolean, queried_behind, text
from migrations.target.session import Connection

Said: TypeAlias = Mapping[str, Any]
"""The answer to one question."""

TABLES_AT_MOST = 20
"""So many names are looked up at a glance; more are asked about properly."""
SIZES_AT_MOST = 20
_OUR_SCHEMA = "migration_ledger."
_ORDINARY = ("r", "m")
"""A table, or a materialized view, with nothing below it."""

_SQL = named_statements(__package__, "glance.sql")
ARCHIVER = _SQL["archiver"]
"""What is asked of the archiver, where no setting says how to learn of backups."""


async def glance(
    connection: Connection,
    asked: Collection[str],
    policy: PreflightPolicy,
    touched: TouchedTables,
    role: str | None,
) -> dict[str, Said]:
    """What is settled of the questions that are to be asked, by their names, in one round trip.

    The session must not be in a transaction. Raises what the server raises.
    """
    named = 0 < len(touched.tables) <= TABLES_AT_MOST
    tables = tuple(one.name for one in touched.tables) if named else ()
    looked_at, query = _query(role, tables, "archiver" in asked)
    (row,) = await queried_behind(
        connection,
        _SQL["begin"],
        query,
        {**dict.fromkeys(looked_at, text), "replicated": boolean},
        "ROLLBACK",
    )
    found = {one: json.loads(row[one]) for one in looked_at if row[one] is not None}
    return {
        one: said
        for one, said in _settled(found, row["replicated"], policy, touched).items()
        if one in asked
    }


@lru_cache(maxsize=64)
def _query(
    role: str | None, tables: tuple[str, ...], archiver: bool
) -> tuple[tuple[str, ...], str]:
    """The columns that are JSON, and the query; the same for most databases of a rollout."""
    values: dict[str, SqlValue] = {"role": role}
    values["role_oid"] = Expression(bind(_SQL["role_oid"], values))
    names = [f"pg_catalog.to_regclass({quote_literal(one)})" for one in tables]
    values["oids"] = Expression(", ".join(names))
    looked_at = ["server", "connections"]
    looked_at += ["archiver"] if archiver else []
    looked_at += ["tables"] if tables else []
    columns = [f"({bind(_SQL[one], values)})::pg_catalog.text AS {one}" for one in looked_at]
    columns.append(f"({_SQL['replicated']}) AS replicated")
    return tuple(looked_at), f"SELECT {', '.join(columns)}"


def _settled(
    found: Mapping[str, Any], replicated: bool, policy: PreflightPolicy, touched: TouchedTables
) -> dict[str, Said]:
    settled: dict[str, Said] = {}
    if (archiver := found.get("archiver")) is not None:
        settled["archiver"] = archiver
    if not replicated:
        settled["replication"] = {"slots": None, "standbys": None}
    if (connections := found.get("connections")) is not None:
        at_most, number = int(connections[0]), int(connections[1])
        if _are_few(100 * number / max(at_most, 1), policy):
            settled["connections"] = {
                "at_most": at_most,
                "of": [{"app": None, "number": number, "here": 0}],
            }
    rows = found.get("tables", [] if not touched.tables else None)
    if rows is None or any(kind not in _ORDINARY for _, kind, *_ in rows):
        return settled
    rows = [row for row in rows if not row[0].startswith(_OUR_SCHEMA)]
    owned = any(one.owners_only for one in touched.tables)
    if not (owned and any(ours is not True for _, _, ours, *_ in rows)):
        settled["server"] = {**found["server"], "others": None}
    if connections is not None:
        # Who may not see sessions is not told whose locks there are, either.
        settled["locks"] = {"lockers": None}
    settled["tables"] = _sizes(rows)
    return settled


def _are_few(share: float, policy: PreflightPolicy) -> bool:
    check = PreflightCheck.CONNECTIONS
    bounds = policy.bounds_of(check)
    return judged(check, share, "", bounds).verdict is PreflightVerdict.FINE


def _sizes(rows: list[Any]) -> Said:
    sizes = [(name, size) for name, _, _, _, _, size in rows if size is not None]
    counts = [(name, max(estimated, live, 0)) for name, _, _, estimated, live, _ in rows]
    return {
        "largest": _most(sizes),
        "longest": _most(counts),
        "touched": len(rows),
        "invalid": None,
    }


def _most(named: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(named, key=lambda one: -one[1])[:SIZES_AT_MOST]
