"""The shape of the code: how long functions and files may be, and what is not packed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES = 60
"""Without the docstring."""
FILE_LINES = {"ledger": 400, "agents": 400, "migrations": 400, "ops": 400, "tests": 600}
"""A file of tests is a list of sentences, and lists are longer."""


@cache
def modules(room: str) -> dict[str, str]:
    """The text of each module of a room."""
    paths = sorted((ROOT / room).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines it has, its decorators and its docstring left out."""
    first = function.body[0]
    said = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) else 0
    return (function.end_lineno or 0) - function.lineno + 1 - said


def packed(text: str) -> list[int]:
    """The lines where `*(a, b)` or `*[a, b]` keeps arguments together for the formatter's sake."""
    starred = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Starred))
    return [node.lineno for node in starred if isinstance(node.value, ast.Tuple | ast.List)]


@pytest.mark.parametrize("room", FILE_LINES)
def test_no_function_is_longer_than_a_screen(room: str) -> None:
    long = [
        f"{name}:{function.lineno} {function.name}"
        for name, text in modules(room).items()
        for function in functions(text)
        if lines_of(function) > FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("room", FILE_LINES)
def test_no_file_is_too_long_to_be_read(room: str) -> None:
    counted = {name: text.count("\n") for name, text in modules(room).items()}
    assert counted
    assert {name: lines for name, lines in counted.items() if lines > FILE_LINES[room]} == {}


@pytest.mark.parametrize("room", FILE_LINES)
def test_nothing_is_packed_to_please_a_formatter(room: str) -> None:
    found = {name: packed(text) for name, text in modules(room).items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_these_rules_find_what_they_are_about() -> None:
    (function,) = functions('def f():\n    """Says\n    so."""\n' + "    g()\n" * 60)
    assert lines_of(function) == 61
    text = (
        "f(*(a, b))\nf(*[a, b])\nx = (*('a', 'b'), c)\nf(*given)\nf(*(a for a in b))\na, *b = c\n"
    )
    assert packed(text) == [1, 2, 3]
