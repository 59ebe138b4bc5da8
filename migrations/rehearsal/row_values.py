"""How the rows of a table are made: SQL in which `ROW` is the number of a row; pure.

```
columns by themselves       a value of their own type, as many nulls and different ones as wanted
references                  a row of the other table: all columns that refer to it take the same one
references to itself        an earlier row, or itself; nothing where its key is not known beforehand
keys of several columns     one of them counts, or all together do, like the digits of a number
conditions                  the first values, of those that the columns might take, that they let in
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migrations.rehearsal.candidates import candidates, is_different, plain, values_of
from migrations.rehearsal.demands import RowColumn, RowCondition, RowReference, TableDemands
from migrations.rehearsal.shapes import ColumnShape
from migrations.sql.literals import Expression, SqlValue, bind, quote_ident

ROW = "ledger_row"
"""The number of a row, where its values are made; no column is called so."""
PARENTS_MOST = 1000
"""Rows of another table that are referred to."""
TRIED_MOST = 4000
"""Combinations of values that are tried for the conditions of one row."""
OF_PARENT = """(
    SELECT there.p[1 + :k % pg_catalog.cardinality(there.p)]
    FROM (SELECT ARRAY(SELECT o.:key FROM :parent AS o ORDER BY :keys LIMIT :most) AS p) AS there
    WHERE pg_catalog.cardinality(there.p) > 0)"""
OF_FITTING_PARENT = """(
    SELECT there.p[1 + :k % pg_catalog.cardinality(there.p)]
    FROM (SELECT ARRAY(
        SELECT o.:key FROM :parent AS o WHERE :same ORDER BY :keys LIMIT :most) AS p) AS there
    WHERE pg_catalog.cardinality(there.p) > 0)"""
SOLVED = "CROSS JOIN LATERAL (SELECT * FROM :tried WHERE :fitting LIMIT 1) AS :alias"
HOLDS = "(:expression) IS NOT FALSE"
OF_DOMAIN = "(SELECT (:expression) IS NOT FALSE FROM (SELECT :name AS value) AS domain_)"
_OTHERS = 4
"""Rows of another table that are tried beside the first, where a condition is about it."""
_SHARES = 1000
"""Into so many parts nulls are counted."""
_STRIDE = 7919
"""A prime: nulls fall on rows that have nothing in common."""


@dataclass(frozen=True, slots=True)
class MadeColumns:
    """Names with their values, and what is joined to the numbered rows for these."""

    values: tuple[tuple[str, str], ...]
    joins: str = ""


@dataclass(frozen=True, slots=True)
class RowsWanted:
    """How many rows, and what is known of their columns.

    `parents` are how many rows other tables have, up to `PARENTS_MOST`. Columns that are `fixed`
    have a value already, which is this SQL.
    """

    count: int
    shapes: Mapping[str, ColumnShape]
    parents: Mapping[str, int] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


def made(demands: TableDemands, wanted: RowsWanted, *, solved: bool = True) -> MadeColumns:
    """What a row's columns are; without conditions unless it is `solved`."""
    making = _Making(demands, wanted)
    values = dict(making.values())
    if not solved:
        return MadeColumns(tuple(values.items()))
    joins = []
    for number, group in enumerate(_groups(demands, frozenset(values), frozenset(wanted.fixed))):
        alias = f"solved_{number}"
        joins.append(making.solved(group, alias))
        for name in group.columns:
            if name in values:
                values[name] = f"{alias}.{quote_ident(name)}"
    return MadeColumns(tuple(values.items()), "\n".join(joins))


@dataclass(slots=True)
class _Group:
    """Columns that conditions tie together."""

    columns: tuple[str, ...]
    conditions: tuple[RowCondition, ...]


class _Making:
    def __init__(self, demands: TableDemands, wanted: RowsWanted) -> None:
        self._wanted = wanted
        self._columns = {one.name: one for one in demands.columns}
        self._reference = _references(demands)
        self._to_itself = {name: one for one in demands.to_itself for name in one.columns}
        self._turn = {name: self._own_turn(at, name) for at, name in enumerate(self._columns)}
        firsts: dict[int, str] = {}
        for name, reference in self._reference.items():
            self._turn[name] = self._turn[firsts.setdefault(id(reference), name)]
        self._count_keys(demands.keys)

    def values(self) -> Iterator[tuple[str, str]]:
        """Columns with their values, each by itself."""
        for name, column in self._columns.items():
            if column.given or name in self._wanted.fixed:
                continue
            value = self._value(name, self._turn[name])
            if value is not None:
                yield name, self._with_nulls(column, value)

    def solved(self, group: _Group, alias: str) -> str:
        """What joins values to a row that the conditions of a group let in."""
        each = max(2, int(TRIED_MOST ** (1 / len(group.columns))))
        parts = []
        for at, name in enumerate(group.columns):
            column = self._columns[name]
            tried = list(dict.fromkeys(self._tried(name, group)))[:each]
            if not column.required and name not in self._wanted.fixed:
                tried = [*tried[: each - 1], "NULL"]
            rows = ", ".join(f"(({one})::{column.type})" for one in tried)
            parts.append(f"(VALUES {rows}) AS tried_{at} ({quote_ident(name)})")
        known = {
            "tried": Expression(" CROSS JOIN ".join(parts)),
            "fitting": Expression(" AND ".join(map(_said, group.conditions))),
            "alias": Expression(alias),
        }
        return bind(SOLVED, known)

    def _tried(self, name: str, group: _Group) -> Iterator[str]:
        """What a column might be, the likeliest first."""
        column, turn = self._columns[name], self._turn[name]
        if (fixed := self._wanted.fixed.get(name)) is not None:
            yield fixed
            return
        if column.given:
            yield ROW
            return
        value = self._value(name, turn)
        if value is not None:
            yield self._with_nulls(column, value)
        if name in self._to_itself and name not in self._reference:
            return
        if (reference := self._reference.get(name)) is not None:
            # Of several columns each would be another row's.
            for more in range(_OTHERS + 1 if len(reference.columns) == 1 else 1):
                if (other := self._value(name, f"({turn} + {more})")) is not None:
                    yield other
            return
        said = [one.expression for one in group.conditions if name in one.columns]
        yield from candidates(column, turn, said)

    def _value(self, name: str, turn: str) -> str | None:
        """The plain value in a row; `None` for a type of which none can be made."""
        if (fixed := self._wanted.fixed.get(name)) is not None:
            return fixed
        column = self._columns[name]
        if (reference := self._reference.get(name)) is None:
            if name in self._to_itself:
                return self._of_own(name)
            value = plain(column, turn)
            return None if value is None else f"({value})::{column.type}"
        key = reference.keys[reference.columns.index(name)]
        known: dict[str, SqlValue] = {
            "key": Expression(quote_ident(key)),
            "keys": Expression(", ".join(f"o.{quote_ident(one)}" for one in reference.keys)),
            "parent": Expression(reference.parent),
            "k": Expression(turn),
            "most": PARENTS_MOST,
        }
        same = [
            f"o.{quote_ident(reference.keys[at])} = {self._value(one, self._turn[one])}"
            for at, one in enumerate(reference.columns)
            if self._reference.get(one) is not reference
        ]
        if not same:
            return bind(OF_PARENT, known)
        return bind(OF_FITTING_PARENT, {**known, "same": Expression(" AND ".join(same))})

    def _of_own(self, name: str) -> str | None:
        """The key of an earlier row, or of the first its own; `None` where nobody knows it yet."""
        reference = self._to_itself[name]
        key = reference.keys[0]
        if len(reference.keys) > 1 or key == name or self._columns[key].given:
            return None
        return self._value(key, self._turn[key].replace(ROW, f"(({ROW} + 1) / 2)"))

    def _with_nulls(self, column: RowColumn, value: str) -> str:
        shape = self._wanted.shapes.get(column.name, ColumnShape(column.name))
        reference = self._reference.get(column.name)
        if reference is not None and len(reference.columns) > 1:
            # Of a reference all columns are null, or none is.
            if any(self._columns[one].required for one in reference.columns):
                return value
            shape = self._wanted.shapes.get(reference.columns[0], shape)
        nulls = 0 if column.required else round(min(max(shape.nulls, 0.0), 1.0) * _SHARES)
        if not nulls:
            return value
        return f"CASE WHEN ({ROW} * {_STRIDE}) % {_SHARES} < {nulls} THEN NULL ELSE {value} END"

    def _own_turn(self, at: int, name: str) -> str:
        count = self._wanted.count
        shape = self._wanted.shapes.get(name, ColumnShape(name))
        distinct = shape.distinct if shape.distinct >= 0 else -shape.distinct * count
        different = count if not distinct else max(1, min(int(distinct), count))
        # Columns with as many different values do not go side by side.
        return (
            ROW if different == count else f"(({ROW} + {ROW} / {different} * {at}) % {different})"
        )

    def _count_keys(self, keys: Sequence[tuple[str, ...]]) -> None:
        """Let the columns of each key have no values twice."""
        for key in keys:
            columns = [self._columns[name] for name in key if name in self._columns]
            if not columns or any(one.given for one in columns):
                continue
            if len(columns) == 1:
                self._take_turn(columns[0].name, ROW)
                continue
            free = [one for one in columns if one.name not in self._reference and is_different(one)]
            if any(self._turn[one.name] == ROW for one in free):
                continue
            if free:
                self._take_turn(free[-1].name, ROW)
                continue
            self._count_together([one.name for one in columns])

    def _count_together(self, names: Sequence[str]) -> None:
        """Columns of few values count like the digits of a number."""
        radix, seen = 1, set[int]()
        for name in names:
            reference = self._reference.get(name)
            if reference is not None:
                if id(reference) in seen:
                    continue
                seen.add(id(reference))
                many = self._wanted.parents.get(reference.parent, PARENTS_MOST)
            else:
                many = values_of(self._columns[name])
            self._take_turn(name, f"(({ROW} - 1) / {radix})")
            radix *= max(many, 1)

    def _take_turn(self, name: str, turn: str) -> None:
        reference = self._reference.get(name)
        for one in reference.columns if reference is not None else (name,):
            if self._reference.get(one) is reference:
                self._turn[one] = turn


def parents_counted(demands: TableDemands) -> tuple[str, ...]:
    """Other tables whose number of rows decides what a row of this one is."""
    found = _references(demands)
    in_keys = {name for key in demands.keys if len(key) > 1 for name in key}
    return tuple(dict.fromkeys(one.parent for name, one in found.items() if name in in_keys))


def _references(demands: TableDemands) -> dict[str, RowReference]:
    """By column, the one that it takes its value from: that with the most columns."""
    found: dict[str, RowReference] = {}
    names = demands.names
    for one in demands.references:
        for name in one.columns:
            if name in names:
                found.setdefault(name, one)
    return found


def _groups(demands: TableDemands, names: frozenset[str], fixed: frozenset[str]) -> list[_Group]:
    """Columns with conditions in common, some of these; what cannot be tried is left out."""
    columns = {one.name: one for one in demands.columns}
    groups: list[_Group] = []
    for condition in demands.conditions:
        own = [columns[name] for name in condition.columns if name in columns]
        known = names | fixed | {one.name for one in own if one.given and one.category == "N"}
        tried = all(one.name in known for one in own)
        if not tried or not any(one.name in names for one in own):
            continue
        joined = _Group(tuple(one.name for one in own), (condition,))
        for group in [one for one in groups if set(one.columns) & set(joined.columns)]:
            groups.remove(group)
            joined = replace(
                group,
                columns=tuple(dict.fromkeys((*group.columns, *joined.columns))),
                conditions=(*group.conditions, *joined.conditions),
            )
        groups.append(joined)
    return groups


def _said(condition: RowCondition) -> str:
    known = {"expression": Expression(condition.expression)}
    if not condition.of_domain:
        return bind(HOLDS, known)
    return bind(OF_DOMAIN, {**known, "name": Expression(quote_ident(condition.columns[0]))})
