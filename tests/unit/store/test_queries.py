"""The store's statements are found by their names."""

from __future__ import annotations

import re
from importlib.resources import files

from ledger.store.queries import QUERIES


def test_every_statement_has_a_name_of_its_own_and_says_what_it_does() -> None:
    text = (files("ledger.store") / "queries.sql").read_text("utf-8")
    headings = re.findall(r"^-- ([a-z_]+): \S", text, re.MULTILINE)
    assert len(set(headings)) == len(headings)
    assert list(QUERIES) == headings


def test_a_statement_is_one_statement() -> None:
    without_headings = [sql.partition("\n")[2] for sql in QUERIES.values()]
    assert all(sql.endswith(";") and sql.count(";") == 1 for sql in without_headings)
