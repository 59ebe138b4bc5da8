"""One column in the place of another, with all that hangs on it; the SQL stands in `swap.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrations.authoring.recipes import bare
from migrations.sql.literals import Expression, SqlValue, bind, quote_literal
from migrations.sql.named_statements import named_statements

_SQL = named_statements("migrations.authoring.recipes", "swap.sql")


@dataclass(frozen=True, slots=True)
class Swap:
    """`entering` takes place and name of `leaving`; names as SQL writes them."""

    table: str
    leaving: str
    entering: str
    proof: str = ""
    """The name of the CHECK by which NOT NULL is proven."""
    sync: str = ""
    """The trigger that keeps the two alike; none where both are written under one lock."""

    def refused(self, *, building: bool = False) -> str:
        """Fails with the list of what cannot be carried over; unless `building`, also indexes."""
        return self._written("refused", building=building)

    def not_null_proof(self) -> str:
        """Adds the CHECK, unread, if there is something to prove."""
        return self._written("not_null_proof")

    def proven(self) -> str:
        """Reads the table for the CHECK, while others write."""
        return self._written("proven")

    def swap(self, also: str = "") -> str:
        """Drops the one, renames the other; `also` are statements under the same lock."""
        indented = "".join(f"    {line}\n" for line in also.splitlines())
        return self._written("swap", also=Expression(indented.rstrip("\n")))

    def validated(self) -> str:
        """Reads the table for the constraints that came along, while others write."""
        return self._written("validated")

    def _written(self, name: str, **more: SqlValue) -> str:
        values: dict[str, SqlValue] = {
            "home": self.table,
            "leaving": bare(self.leaving),
            "entering": bare(self.entering),
            "proof": bare(self.proof),
            "sync": bare(self.sync),
            **more,
        }
        values["alike"] = Expression(_SQL["alike"])
        parts = {name: _SQL[name] for name in ("find", "indexes", "overruling")}
        bound = {part: Expression(bind(text, values)) for part, text in parts.items()}
        return bind(_SQL[name], values | bound) + ";\n"


def nothing_hangs(table: str, columns: Sequence[str], remedy: str) -> str:
    """Fails with the list of what would go with these columns, and with what is to be done."""
    return _about(table, columns, "nothing_hangs", remedy=remedy)


def not_generated(table: str, columns: Sequence[str]) -> str:
    """Fails if one of these columns is computed by the server."""
    return _about(table, columns, "not_generated")


def nullable(table: str, column: str) -> str:
    """Fails if the column is NOT NULL already."""
    return _about(table, (column,), "nullable")


def within_reach(table: str, columns: Sequence[str], key: str, *, alone: bool = True) -> str:
    """Fails at once if a later phase would: for the key, or because rows are out of reach.

    `alone` says that the columns' rows have to be those of this table, and of none that inherits.
    """
    return _about(table, columns, "within_reach", key=key, alone=alone)


def not_overruled(table: str, sync: str) -> str:
    """Fails if a trigger could change the row behind `sync`, which keeps two columns alike."""
    values: dict[str, SqlValue] = {"home": table, "sync": bare(sync)}
    values["overruling"] = Expression(bind(_SQL["overruling"], values))
    return bind(_SQL["not_overruled"], values) + ";\n"


def not_policed(table: str) -> str:
    """Fails if the table has row security."""
    return bind(_SQL["not_policed"], {"home": table}) + ";\n"


def granted(table: str, made: str, view: str) -> str:
    """Gives those who read and write `table` what they need of the one made from it."""
    return bind(_SQL["granted"], {"home": table, "made": made, "view": view}) + ";\n"


def _about(table: str, columns: Sequence[str], name: str, **more: SqlValue) -> str:
    going = Expression(", ".join(quote_literal(bare(column)) for column in columns))
    return bind(_SQL[name], {"home": table, "going": going, **more}) + ";\n"
