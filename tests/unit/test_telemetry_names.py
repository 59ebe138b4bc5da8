"""Names of spans, attributes and metrics stand in two registries, and ours begin alike."""

from __future__ import annotations

import ast
import re
from pathlib import Path

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
