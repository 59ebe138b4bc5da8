"""The vocabulary of the house: one public class name has one meaning."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ledger", "agents", "migrations")


def public_classes() -> dict[str, list[str]]:
    """The modules that define each public class or alias of a type."""
    found: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "examples" in path.parts:
                continue
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                for name in _names(node):
                    found[name].append(str(path.relative_to(ROOT)))
    return found


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef):
        return [] if node.name.startswith("_") else [node.name]
    if isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        return [name for name in names if name[0].isupper() and not name.isupper()]
    return []


def test_no_public_class_name_stands_for_two_things() -> None:
    twice = {name: where for name, where in public_classes().items() if len(where) > 1}
    assert twice == {}
