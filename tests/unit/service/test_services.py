"""What command line and console get hold of: services, and values that no store has made."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest

import ledger.service
from ledger.runtime import Ledger

ROOT = Path(__file__).parents[3]
OPEN_TO_ALL = {"Ledger", "open_ledger", "working", "install", "upgrade", "serve"}
"""What the command line may have of the composition root; what stands under a ledger is not."""


ROOMS = pkgutil.iter_modules(ledger.service.__path__, "ledger.service.")
KNOWN = {name: found for one in ROOMS for name, found in vars(import_module(one.name)).items()}
"""By name: what services return may be imported for the type checker alone."""


def services() -> dict[str, type]:
    """What an open ledger has in the open, but id and name: fields, and what comes when asked."""
    hints = {one.name: one.type for one in fields(Ledger)}
    hints |= {
        name: one.func.__annotations__["return"]
        for name, one in vars(Ledger).items()
        if isinstance(one, cached_property)
    }
    for name in hints.keys() & {"id", "name"} | {one for one in hints if one.startswith("_")}:
        del hints[name]
    return {name: KNOWN[str(hint)] for name, hint in hints.items()}


def answers() -> Iterator[tuple[str, Any]]:
    """What each public method of a service, or of the ledger itself, returns."""
    for service in (*services().values(), Ledger):
        for name, method in inspect.getmembers(service, inspect.isfunction):
            if not name.startswith("_"):
                # Of the arguments, some are imported for the type checker alone.
                told = SimpleNamespace(__annotations__={"return": method.__annotations__["return"]})
                yield (
                    f"{service.__name__}.{name}",
                    get_type_hints(told, KNOWN | method.__globals__)["return"],
                )


def classes(annotation: Any, seen: set[type]) -> set[type]:
    """Every class in an annotation, with those of the fields of what is in it."""
    for part in get_args(annotation):
        classes(part, seen)
    if isinstance(annotation, type) and annotation not in seen:
        seen.add(annotation)
        if is_dataclass(annotation):
            for hint in get_type_hints(annotation).values():
                classes(hint, seen)
    return seen


def test_an_open_ledger_has_services_and_nothing_else_in_the_open() -> None:
    assert services().keys() >= {"fleet", "bundles", "rollouts", "status", "history", "audit"}
    rooms = {one.__module__.rpartition(".")[0] for one in services().values()}
    assert rooms == {"ledger.service"}


@pytest.mark.parametrize(("method", "answer"), list(answers()))
def test_no_service_hands_out_what_a_store_has_made(method: str, answer: Any) -> None:
    found = {one.__module__ for one in classes(answer, set())}
    assert not {room for room in found if room.startswith(("ledger.store", "asyncpg"))}, method


def test_the_command_line_has_no_way_to_what_stands_under_a_ledger() -> None:
    taken = set()
    for path in sorted((ROOT / "ledger" / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "ledger.runtime":
                taken |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module == "ledger":
                assert "runtime" not in {alias.name for alias in node.names}, path
            assert not (isinstance(node, ast.Attribute) and node.attr == "_stores"), path
    assert taken == OPEN_TO_ALL
