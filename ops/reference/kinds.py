"""What each kind of statement does to tables, from the table that is checked against servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ops.reference.markdown import code, table
from tests.support.statement_kinds import CASES, StatementKindCase


def statement_kinds() -> str:
    """A row for each kind, in the order of the file."""
    head = ("kind", "example", "in a transaction", "locks", "rewrites", "reads all of")
    return table(head, [_row(case) for case in CASES])


def _row(case: StatementKindCase) -> Sequence[str]:
    since = f" (since {case.since})" if case.since > CASES[0].since else ""
    last = case.sql.split("; ")[-1] if case.kind != "DO" else case.sql
    return (
        case.kind + since,
        code(last.replace("{target}", "app")),
        "yes" if case.transactional else "no",
        _locks(case.locks),
        ", ".join(case.rewrites),
        ", ".join(case.scans),
    )


def _locks(locks: Mapping[str, str]) -> str:
    return ", ".join(f"{mode} on {table_name}" for table_name, mode in locks.items())
