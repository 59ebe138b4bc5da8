"""How many there are is written with commas wherever people read it: `5,000 databases`."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.cli.app.output import Output, OutputFormat

ROOT = Path(__file__).parents[3]
SPOKEN = ("ledger", "agents", "migrations")
COUNTING = ("len", "sum")
ROW = {"wave": 1200, "size": 5000, "position": 123456, "databases": 4999, "value": 28108}


def bare(tree: ast.AST) -> Iterator[ast.FormattedValue]:
    """What is counted and put into a text as it is."""
    for one in ast.walk(tree):
        if not isinstance(one, ast.FormattedValue) or one.format_spec is not None:
            continue
        value = one.value.left if isinstance(one.value, ast.BinOp) else one.value
        if (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and value.func.id in COUNTING
        ):
            yield one


NO_COUNTS = {
    "ledger/store/log/chain.py": "the layout of what is hashed",
    "ledger/embedded/process.py": "ports of this host",
    "ledger/settings/toml_file.py": "the number of a line",
    "ledger/store/install.py": "the number of a version",
    "migrations/formats/beside.py": "what is hashed",
    "migrations/rehearsal/candidates.py": "SQL",
    "migrations/target/failure.py": "a place in a text, taken by what stood there",
}


def test_what_is_counted_in_a_sentence_has_commas() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{one.lineno}"
        for package in SPOKEN
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in NO_COUNTS
        for one in bare(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)


def test_columns_of_counts_have_commas_and_what_says_which_one_has_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output(OutputFormat.TABLE).rows("x", [ROW], tuple(ROW), empty="")
    assert capsys.readouterr().out.split()[len(ROW) :] == [
        "1200", "5,000", "123456", "4,999", "28108",
    ]  # fmt: skip
    Output(OutputFormat.TABLE).record("x", {"databases": 5000, "schema_version": 1004})
    assert capsys.readouterr().out.split() == ["DATABASES", "5,000", "SCHEMA", "VERSION", "1004"]


@pytest.mark.parametrize("form", [OutputFormat.JSON, OutputFormat.NDJSON, OutputFormat.CSV])
def test_programs_read_numbers(form: OutputFormat, capsys: pytest.CaptureFixture[str]) -> None:
    Output(form).rows("x", [ROW], tuple(ROW), empty="")
    out = capsys.readouterr().out
    assert "5,000" not in out
    if form is OutputFormat.NDJSON:
        assert {name: json.loads(out)[name] for name in ROW} == ROW
