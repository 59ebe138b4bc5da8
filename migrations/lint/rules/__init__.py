"""Every rule, by id. A new one is a declaration in one of these modules, and a pair of tests."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.lint.finding import Effect, Severity
from migrations.lint.rule import Rule
from migrations.lint.rules import (
    columns,
    constraints,
    data,
    indexes,
    locks,
    order,
    removal,
    style,
)

UNREADABLE = Rule(
    "unreadable",
    Severity.ERROR,
    "Nothing of the folder can run, and nothing else of it is judged.",
    "Correct it first.",
)
SEEN_REWRITE = Rule(
    "seen-rewrite",
    Severity.ERROR,
    "Every row is written anew while nobody can write the table.",
    "Make the new form beside the old one, fill it in batches, and swap them.",
    effect=Effect.REWRITES,
)
SEEN_SCAN = Rule(
    "seen-scan",
    Severity.WARNING,
    "Every row is read while nobody can write the table.",
    "Look for the form that reads them without such a lock: NOT VALID and VALIDATE, CONCURRENTLY.",
    effect=Effect.SCANS,
)
LARGE_TABLE = Rule(
    "large-table",
    Severity.ERROR,
    "It takes as long as all rows of that table take, in every database that has so large a one.",
    "Do it in batches or CONCURRENTLY, or raise preflight.table_size_mb if so long is expected.",
)
OF_TRACES = (SEEN_REWRITE, SEEN_SCAN, LARGE_TABLE)
"""What only a trace finds (`ledger lint --trace`)."""
UNUSED_IGNORE = Rule(
    "unused-ignore",
    Severity.WARNING,
    "It would hide what somebody writes there later.",
    "Take the comment out.",
)
EXPIRED_IGNORE = Rule(
    "expired-ignore",
    Severity.ERROR,
    "Its day has passed, so what it was for is found again.",
    "Correct what it was for, or say a new day and why.",
)
WRONG_IGNORE = Rule(
    "wrong-ignore",
    Severity.ERROR,
    "It cannot be understood, so it ignores nothing.",
    "Write `-- ledger:ignore RULE reason`, with `until=YYYY-MM-DD` in it if it is to end.",
)

REGISTRY: Mapping[str, Rule] = {
    rule.id: rule
    for rule in (
        *indexes.RULES,
        *constraints.RULES,
        *columns.RULES,
        *removal.RULES,
        *locks.RULES,
        *data.RULES,
        *order.RULES,
        *style.RULES,
        *OF_TRACES,
        UNREADABLE,
        UNUSED_IGNORE,
        EXPIRED_IGNORE,
        WRONG_IGNORE,
    )
}
BY_SQUAWK: Mapping[str, Rule] = {name: rule for rule in REGISTRY.values() for name in rule.squawk}
"""Ours for each of squawk's rules; `style.LEFT_ALONE` are those that none stands for."""
