"""The store's statements are found by their names."""

from __future__ import annotations

from ledger.store.queries import QUERIES
from ledger.store.views.queries import QUERIES as VIEW_QUERIES


def test_every_statement_says_what_it_does() -> None:
    for statements in (QUERIES, VIEW_QUERIES):
        silent = [name for name, sql in statements.items() if not sql.startswith("-- ")]
        assert statements
        assert silent == []


def test_a_statement_is_one_statement() -> None:
    without_headings = [sql.partition("\n")[2] for sql in QUERIES.values()]
    assert all(sql.endswith(";") and sql.count(";") == 1 for sql in without_headings)
