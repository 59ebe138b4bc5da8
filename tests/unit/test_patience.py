"""No test gives up what should happen before a busy machine has come to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.patience import PATIENCE_S

TESTS = Path(__file__).parents[1]
BOUNDS = ("timeout", "wait_for")
"""Functions of asyncio that end what they wait for."""
PATIENCE = "PATIENCE_S"
OTHER = {
    "conformance/test_bus.py": "a poll is given up, and that is the test",
    "integration/migrations/test_reset_connections.py": "a server that waits for nothing",
}
"""Where a bound is short because its end is what is meant, or comes to nothing."""


def short(tree: ast.Module) -> Iterator[int]:
    """Lines in which something is given up early, by a figure of its own."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr=name), args=args):
                if name in BOUNDS and args and _seconds(args[-1]) < PATIENCE_S:
                    yield node.lineno
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if name.endswith(PATIENCE) and _seconds(value) < PATIENCE_S:
                    yield node.lineno
            case _:
                pass


def _seconds(value: ast.expr) -> float:
    """A figure that stands there; what is said by a name is looked at where that is given."""
    match value:
        case ast.Constant(value=int() | float() as seconds):
            return float(seconds)
        case _:
            return PATIENCE_S


def test_what_should_happen_is_waited_for_as_long_as_a_busy_machine_needs() -> None:
    found = {}
    for path in sorted(TESTS.rglob("*.py")):
        name = path.relative_to(TESTS).as_posix()
        if lines := list(short(ast.parse(path.read_text(encoding="utf-8")))):
            found[name] = lines
    assert found.keys() == OTHER.keys(), found
