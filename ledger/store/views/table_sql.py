"""The statements that write and compare the tables of the read models.

The same statements write the live tables (schema `ledger`) and their shadows (schema `pg_temp`), so
that replay and everyday work cannot differ.
"""
# ruff: noqa: S608  every name in these statements comes from `ledger.store.views.tables`

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ledger.store.views.tables import Table

LIVE = "ledger"
SHADOW = "pg_temp"


@lru_cache(maxsize=256)
def put_sql(table: Table, schema: str, ensure: bool) -> str:
    """Write whole rows: $1, $2, … are one array per key column and column, in their order.

    With `ensure`, a row that is in the same `state` already stays as it is.
    """
    columns = {**table.key, **table.columns}
    given = [
        f"{table.computed[name].format(schema=schema)} AS {name}"
        if name in table.computed
        else _cast(f"d.{name}", type_)
        for name, type_ in columns.items()
    ]
    sql = (
        f"INSERT INTO {schema}.{table.name} AS t ({', '.join(columns)}) "
        f"SELECT {', '.join(given)} FROM {_unnest(columns)}"
    )
    if not table.columns:
        return f"{sql} ON CONFLICT DO NOTHING"
    conditions = [table.guard] if table.guard else []
    if ensure:
        conditions.append("t.state <> excluded.state")
    updates = ", ".join(f"{name} = excluded.{name}" for name in table.columns)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{sql} ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {updates}{where}"


@lru_cache(maxsize=1024)
def change_sql(table: Table, schema: str, sets: tuple[str, ...], fills: tuple[str, ...]) -> str:
    """Change rows that are there: $1, $2, … are arrays of the key columns, `sets` and `fills`.

    `sets` replace what is there, `fills` only where it is NULL.
    """
    guard = f" AND {table.guard}" if table.guard else ""
    columns = {name: table.type_of(name) for name in (*table.key, *sets, *fills)}
    updates = [f"{name} = {_cast(f'd.{name}', columns[name])}" for name in sets]
    for name in fills:
        updates.append(f"{name} = coalesce(t.{name}, {_cast(f'd.{name}', columns[name])})")
    match = " AND ".join(f"t.{name} = d.{name}" for name in table.key)
    return (
        f"UPDATE {schema}.{table.name} AS t SET {', '.join(updates)} "
        f"FROM {_unnest(columns)} WHERE {match}{guard}"
    )


def shadow_sql(table: Table) -> str:
    """An empty shadow that goes with the transaction; without a key, so that it fills faster."""
    return (
        f"CREATE TEMPORARY TABLE {table.name} (LIKE {LIVE}.{table.name} INCLUDING GENERATED) "
        "ON COMMIT DROP"
    )


def key_sql(table: Table) -> str:
    """The key that a shadow needs before its rows are changed."""
    return f"ALTER TABLE {SHADOW}.{table.name} ADD PRIMARY KEY ({', '.join(table.key)})"


def count_sql(table: Table) -> str:
    """How many rows the shadow has."""
    return f"SELECT count(*) FROM {SHADOW}.{table.name}"


@lru_cache(maxsize=32)
def difference_sql(table: Table) -> str:
    """Every key whose live and replayed rows differ: the key, and which of the two are there.

    $1 is how many to return. Both rows come as JSON, so that the caller can name the columns.
    """
    keys = ", ".join(
        f"coalesce(live.{name}, replayed.{name})::text AS {name}" for name in table.key
    )
    match = " AND ".join(f"live.{name} = replayed.{name}" for name in table.key)
    order = ", ".join(str(number) for number in range(1, len(table.key) + 1))
    row = ", ".join(f"%s.{name}" for name in (*table.key, *table.columns))
    live, replayed = row.replace("%s", "live"), row.replace("%s", "replayed")
    some = next(iter(table.key))
    return (
        f"SELECT {keys}, "
        f"CASE WHEN live.{some} IS NOT NULL THEN to_jsonb(live)::text END AS live, "
        f"CASE WHEN replayed.{some} IS NOT NULL THEN to_jsonb(replayed)::text END AS replayed "
        f"FROM {LIVE}.{table.name} AS live "
        f"FULL JOIN {SHADOW}.{table.name} AS replayed ON {match} "
        f"WHERE ({live}) IS DISTINCT FROM ({replayed}) ORDER BY {order} LIMIT $1"
    )


def _unnest(columns: Mapping[str, str]) -> str:
    arrays = ", ".join(
        f"${number}::{'text' if type_ == 'jsonb' else type_}[]"
        for number, type_ in enumerate(columns.values(), 1)
    )
    return f"unnest({arrays}) AS d ({', '.join(columns)})"


def _cast(expression: str, type_: str) -> str:
    """JSON travels as text, so that a connection's own codec for it changes nothing."""
    return f"{expression}::jsonb" if type_ == "jsonb" else expression
