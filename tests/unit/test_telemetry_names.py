"""Names of spans, attributes and metrics stand in two registries, and ours begin alike."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import opentelemetry.semconv

import ledger.telemetry
import migrations.running.telemetry

ROOT = Path(__file__).parents[2]
REGISTRIES = ("ledger/telemetry.py", "migrations/running/telemetry.py")
CONVENTIONAL = ("messaging.", "cicd.", "db.", "server.", "error.", "process.")
NAME = re.compile(
    r"(messaging|cicd|error|db\.query|db\.system|db\.response)\.[a-z_.]+|server\.(address|port)"
)


def test_a_name_is_a_convention_or_begins_with_ours() -> None:
    names = [
        value
        for module in (ledger.telemetry, migrations.running.telemetry)
        for constant, value in vars(module).items()
        if constant.isupper()
        and isinstance(value, str)
        and re.fullmatch(r"[a-z_]+\.[a-z_.]+", value)
    ]
    assert len(names) > 30
    ours = (*CONVENTIONAL, "migration_ledger.")
    assert [name for name in names if not name.startswith(ours)] == []


def test_no_name_is_written_anywhere_but_in_a_registry() -> None:
    elsewhere = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value}"
        for package in ("ledger", "agents", "migrations")
        for path in (ROOT / package).rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in REGISTRIES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and NAME.fullmatch(node.value)
    }
    assert elsewhere == set()


def conventional() -> dict[str, str]:
    """Every name of the installed semantic conventions, with what is said of it."""
    found: dict[str, str] = {}
    root = Path(opentelemetry.semconv.__path__[0])
    # What became stable stands in both folders, and is called deprecated in the other one.
    for path in sorted(root.rglob("*.py"), key=lambda path: "_incubating" in path.parts):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, below in pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant):
                said = below.value if isinstance(below, ast.Expr) else None
                text = str(said.value) if isinstance(said, ast.Constant) else ""
                found.setdefault(str(node.value.value), text.strip())
    return found


def test_every_name_that_is_not_ours_is_one_of_the_conventions_and_not_deprecated() -> None:
    known = conventional()
    assert known["messaging.kafka.message.offset"].startswith("Deprecated")
    names = {
        value
        for module in (ledger.telemetry, migrations.running.telemetry)
        for constant, value in vars(module).items()
        if constant.isupper() and isinstance(value, str) and value.startswith(CONVENTIONAL)
    }
    assert len(names) > 25
    assert sorted(names - known.keys()) == []
    assert [name for name in sorted(names) if known[name].startswith("Deprecated")] == []
