"""Names of spans, metrics and attributes, from the two registries and from where they are used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ledger import instruments
from ops.reference.markdown import code, one_line, table

ROOT = Path(__file__).resolve().parents[2]
REGISTRIES = ("ledger/telemetry.py", "ledger/instruments.py", "migrations/running/telemetry.py")
OURS = "migration_ledger."
_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def spans() -> str:
    """Spans of ours with what they stand for."""
    rows = [(code(name), said) for constant, name, said in _constants() if _is_span(constant)]
    return table(("span", "kind and meaning"), rows)


def metrics() -> str:
    """Every instrument: its name, what it is, its unit, what it measures, and by what."""
    rows = [
        (
            code(one.name),
            one.kind,
            code(one.unit),
            one.measures,
            ", ".join(map(code, one.attributes)),
        )
        for one in sorted(instruments.EVERY, key=lambda one: one.name)
    ]
    return table(("metric", "instrument", "unit", "measures", "by"), rows)


def attributes() -> str:
    """Names of the attributes of spans and metrics."""
    measured = {one.name for one in instruments.EVERY}
    rows = {
        name: said or ("" if name.startswith(OURS) else "as in the conventions")
        for constant, name, said in _constants()
        if _NAME.fullmatch(name) and not _is_span(constant) and name not in measured
    }
    return table(("attribute", ""), [(code(name), said) for name, said in sorted(rows.items())])


def _is_span(constant: str) -> bool:
    return constant.endswith("_SPAN")


@cache
def _constants() -> tuple[tuple[str, str, str], ...]:
    """Constants of the registries that are texts: name, value, and the docstring below."""
    return tuple(found for registry in REGISTRIES for found in _in(ROOT / registry))


def _in(path: Path) -> Iterator[tuple[str, str, str]]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for at, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            below = body[at + 1] if at + 1 < len(body) else None
            yield node.target.id, node.value.value, one_line(_docstring(below))


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""
