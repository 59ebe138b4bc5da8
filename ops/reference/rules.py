"""The rules of `ledger lint`, by the modules that declare them."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from migrations.lint import rules
from migrations.lint.rule import Rule
from migrations.lint.rules import columns, constraints, data, indexes, locks, order, removal, style
from ops.reference.markdown import code, table

SECTIONS: tuple[tuple[str, ModuleType], ...] = (
    ("Indexes and partitions", indexes),
    ("Constraints", constraints),
    ("Columns", columns),
    ("What is renamed or taken away", removal),
    ("Locks and rights", locks),
    ("Data, and the session", data),
    ("Order", order),
    ("Taste, and future pain", style),
)
OF_FILES = (rules.UNREADABLE, rules.UNUSED_IGNORE, rules.EXPIRED_IGNORE, rules.WRONG_IGNORE)


def lint_rules() -> str:
    """A table for each module, for what only a trace sees, and for files and comments."""
    parts = []
    for title, module in SECTIONS:
        parts += [f"## {title}", _table(module.RULES)]
    parts += ["## What only `--trace` sees", _table(rules.OF_TRACES)]
    return "\n\n".join([*parts, "## Files and comments", _table(OF_FILES)])


def _table(found: Sequence[Rule]) -> str:
    return table(("rule", "", "why", "what to write"), [_row(rule) for rule in found])


def _row(rule: Rule) -> tuple[str, str, str, str]:
    severity = f"off, else {rule.severity}" if rule.off else rule.severity.value
    notes = [severity]
    if rule.from_squawk:
        notes.append("by squawk")
    if rule.quiet_in:
        notes.append(f"not in {' and '.join(rule.quiet_in)}")
    written = f" Recipe: {code(rule.recipe)}." if rule.recipe else ""
    return code(rule.id), "; ".join(notes), rule.why, rule.rewrite + written
