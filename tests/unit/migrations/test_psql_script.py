"""What can be told of a psql script without running it."""

from __future__ import annotations

import pytest

from migrations.model.migration import Language, Program
from migrations.sql.psql_script import open_transaction, prologue, referenced


def script(text: str, **variables: str) -> Program:
    return Program(Language.PSQL, "a.sql", text, variables=tuple(sorted(variables.items())))


def test_only_declared_variables_that_the_script_names_are_passed_on() -> None:
    text = """SELECT :a, :'b', :"c", x::d;\n\\if :{?e}\n\\endif\n"""
    declared = dict.fromkeys("abcdefg", "1")
    assert [name for name, _ in referenced(text, declared)] == ["a", "b", "c", "e"]


def test_what_chooses_how_psql_runs_is_not_a_persons_to_declare() -> None:
    assert referenced("SELECT :'ON_ERROR_STOP'", {"ON_ERROR_STOP": "0"}) == ()


def test_values_are_written_so_that_psql_reads_them_back() -> None:
    assert prologue(script("", a="it's", b="x\\n\ny")) == (
        "\\set a 'it\\'s'\n\\set b 'x\\\\n\\ny'\n"
    )


@pytest.mark.parametrize(("value", "open_"), [("SELECT 1", True), ("COMMIT", False)])
def test_a_value_that_ends_the_transaction_is_seen(value: str, open_: bool) -> None:
    assert open_transaction(script(":a;\n\\set b 1\n", a=value)) is open_


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("SELECT 'COMMIT' \\gexec\n", False),
        ("SELECT 1 AS n \\gset\nSELECT :'n';\n", True),
        ("SELECT 'COMMIT' AS n \\gset\n:n;\n", False),
        ("\\prompt 'which? ' n\n:n;\n", False),
        ("\\getenv n HOME\nSELECT :n;\n", False),
        ("\\set n `date`\nSELECT :n;\n", False),
        ("\\set n 1\nSELECT :n;\n", True),
        ("\\set n '1; COMMIT'\nSELECT :n;\n", False),
        ("\\set n '1\\073 COMMIT'\nSELECT :n;\n", False),
        ("\\set m '; COMMIT'\n\\set n 1 :m\nSELECT :n;\n", False),
        ("\\set n '1; COMMIT'\nSELECT :'n';\n", True),
        ("\\set n 'a b'\nSELECT ':n';\n", True),
        ("SELECT 1 \\g\n", True),
    ],
)
def test_what_a_query_or_a_program_returns_may_end_a_transaction(text: str, open_: bool) -> None:
    assert open_transaction(script(text)) is open_
