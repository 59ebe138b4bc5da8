"""Statements of `.sql` files are found by their names."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import pytest

from migrations.sql.named_statements import named_statements

FILES = [
    ("ledger.store", "queries.sql"),
    ("ledger.store", "census.sql"),
    ("ledger.store.views", "queries.sql"),
    ("ledger.store", "notifications.sql"),
    ("ledger.store.views", "performance.sql"),
    ("migrations.catalog", "catalog.sql"),
    ("migrations.preflight", "glance.sql"),
    ("migrations.preflight", "questions.sql"),
    ("migrations.scratch", "trace.sql"),
    ("migrations.target", "journal.sql"),
    ("migrations.backfill", "data.sql"),
    ("migrations.authoring.recipes", "swap.sql"),
]
TEXT = """\
-- What the file is about.

-- name: first
-- Why it is so.
SELECT 1
    -- and here
    FROM t;

-- name: second
SELECT 2;
"""


def loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, *, commented: bool = False
) -> dict[str, str]:
    """The statements of a package that has only this file."""
    package = f"holds_{uuid4().hex}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "a.sql").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        return named_statements(package, "a.sql", commented=commented)
    finally:
        sys.modules.pop(package, None)


def test_a_statement_goes_by_its_name_and_without_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = loaded(tmp_path, monkeypatch, TEXT)
    assert found == {"first": "SELECT 1\n    FROM t;", "second": "SELECT 2;"}


def test_comments_stay_where_whoever_looks_at_the_server_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = loaded(tmp_path, monkeypatch, TEXT, commented=True)
    assert found["first"] == "-- Why it is so.\nSELECT 1\n    -- and here\n    FROM t;"


def test_two_statements_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="two statements of one name"):
        loaded(tmp_path, monkeypatch, TEXT.replace("second", "first"))


@pytest.mark.parametrize(("package", "file"), FILES)
def test_no_line_of_our_files_looks_like_a_name_and_is_none(package: str, file: str) -> None:
    """A statement behind such a line would silently be part of the one before it."""
    text = files(package).joinpath(file).read_text("utf-8")
    named = named_statements(package, file)
    assert list(named) == re.findall(r"^-- name: (\S+)$", text, re.MULTILINE)
    assert re.findall(r"^-+ *(?!name: )[a-z_]+: .*", text, re.MULTILINE) == []
    assert all(named.values())


def test_there_is_one_loader_and_it_reads_every_such_file() -> None:
    root = Path(__file__).parents[3]
    having = {
        (".".join(path.relative_to(root).parts[:-1]), path.name)
        for package in ("ledger", "agents", "migrations")
        for path in (root / package).rglob("*.sql")
        if "-- name: " in path.read_text("utf-8")
    }
    assert having == set(FILES)
