"""Every measurement of the registry is expected somewhere with its value, after known work."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import instruments
from ledger.instruments import Instrument, Kind
from tests.support.exposed import exposed

TESTS = Path(__file__).parents[1]
NAMES = {name: one for name, one in vars(instruments).items() if isinstance(one, Instrument)}
THEIRS = ("cicd.", "db.", "messaging.", "process.")
"""Names of the conventions; all others are ours."""
PER_DATABASE = {"migration_ledger.database", "db.namespace", "server.address"}
ASKED_FOR = {
    instruments.NAMED_STATE,
    instruments.NAMED_BEHIND,
    instruments.NAMED_RUN_AGE,
    instruments.NAMED_RUN,
}
"""Nothing of these is measured unless `monitoring.named_databases` is set."""


def compared(path: Path) -> Iterator[str]:
    """Instruments by their constants, where a test compares something with a value."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq) for one in node.ops):
            for part in ast.walk(node):
                if isinstance(part, ast.Attribute):
                    yield part.attr
                elif isinstance(part, ast.Name):
                    yield part.id


def test_each_is_compared_with_a_value_in_some_test() -> None:
    files = [path for path in TESTS.rglob("test_*.py") if "instruments" in path.read_text("utf-8")]
    found = {name for path in files for name in compared(path)}
    assert sorted(NAMES.keys() - found) == []


def test_names_are_told_once_and_are_ours_or_the_conventions() -> None:
    assert len({one.name for one in instruments.EVERY}) == len(instruments.EVERY) == len(NAMES)
    for one in instruments.EVERY:
        assert one.name.startswith(("migration_ledger.", *THEIRS)), one.name
        assert not one.name.endswith("_total")
        assert bool(one.buckets) == (one.kind is Kind.HISTOGRAM), one.name


@pytest.mark.parametrize("one", instruments.EVERY, ids=lambda one: one.name)
def test_none_is_told_apart_by_databases_unless_that_is_asked_for(one: Instrument) -> None:
    assert bool(PER_DATABASE & set(one.attributes)) == (one in ASKED_FOR)


def test_prometheus_reads_each_under_a_name_of_its_own() -> None:
    shown = {name for name in exposed() if not name.endswith(("_bucket", "_count", "_sum"))}
    histograms = [one for one in instruments.EVERY if one.kind is Kind.HISTOGRAM]
    assert len(shown) == len(instruments.EVERY) - len(histograms)
