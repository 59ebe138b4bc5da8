"""Names of spans, metrics and attributes, from the two registries and from where they are used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ops.reference.markdown import code, one_line, table

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ledger", "agents", "migrations")
REGISTRIES = ("ledger/telemetry.py", "migrations/running/telemetry.py")
INSTRUMENTS = {
    "create_histogram": "histogram",
    "create_counter": "counter",
    "create_up_down_counter": "up-down counter",
}
OURS = "migration_ledger."
_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def spans() -> str:
    """Spans of ours with what they stand for."""
    rows = [(code(name), said) for constant, name, said in _constants() if _is_span(constant)]
    return table(("span", "kind and meaning"), rows)


def metrics() -> str:
    """Every instrument: its name, what it is, its unit, what it measures."""
    rows = sorted({_instrument(kind, call) for kind, call in _calls()})
    return table(("metric", "instrument", "unit", "measures"), rows)


def attributes() -> str:
    """Names of the attributes of spans and metrics."""
    measured = {_named(call.args[0]) for _, call in _calls()}
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


@cache
def _calls() -> tuple[tuple[str, ast.Call], ...]:
    """What is created, and the call that creates it."""
    return tuple(
        (INSTRUMENTS[node.func.attr], node)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in INSTRUMENTS
    )


def _instrument(kind: str, call: ast.Call) -> tuple[str, str, str, str]:
    given = {
        one.arg: str(one.value.value)
        for one in call.keywords
        if isinstance(one.value, ast.Constant)
    }
    return code(_named(call.args[0])), kind, code(given["unit"]), given["description"]


def _named(node: ast.expr) -> str:
    """The value of a constant of a registry: `telemetry.RUN_DURATION`."""
    name = node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)
    return next(value for constant, value, _ in _constants() if constant == name)
