"""How large tables are over a fleet."""

from __future__ import annotations

from ledger.domain.table_sizes import TableSize, table_sizes
from migrations.model.preflight import PreflightCheck, PreflightResult, PreflightVerdict


def said(*tables: tuple[str, float]) -> tuple[PreflightResult, ...]:
    """What a database answers, beside another check that is about something else."""
    size = PreflightResult(PreflightCheck.TABLE_SIZE, PreflightVerdict.FINE, tables=tables)
    rows = PreflightResult(
        PreflightCheck.TABLE_ROWS,
        PreflightVerdict.FINE,
        tables=tuple((name, 1e9) for name, _ in tables),
    )
    return rows, size


def test_it_is_counted_where_a_table_is_above_the_limit_and_which_is_the_largest() -> None:
    answers = [
        ("a", said(("public.users", 100.0), ("public.posts", 1.0))),
        ("b", said(("public.users", 100.5))),
        ("c", said(("public.users", 900.0), ("public.others", 5000.0))),
        ("d", ()),
    ]
    assert table_sizes(["public.posts", "public.users", "public.none"], answers, 100.0) == (
        TableSize("public.users", 100.0, 3, 2, 900.0, "c"),
        TableSize("public.posts", 100.0, 1, 0, 1.0, "a"),
        TableSize("public.none", 100.0),
    )


def test_where_each_tenant_has_a_schema_tables_are_known_by_their_own_name() -> None:
    answers = [
        ("a", said(("acme.users", 1.0), ('acme."odd.na""me"', 3.0))),
        ("b", said(("globex.users", 2.0), ('"glo.bex"."odd.na""me"', 4.0))),
    ]
    tables = ["acme.users", 'acme."odd.na""me"']
    assert table_sizes(tables, answers, 3.5, by_own_name=True) == (
        TableSize('acme."odd.na""me"', 3.5, 2, 1, 4.0, "b"),
        TableSize("acme.users", 3.5, 2, 0, 2.0, "b"),
    )
