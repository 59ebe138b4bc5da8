"""What a project's file may not weaken: settings that keep a rollout safe, and which is weaker.

A `ledger.toml` in the working folder describes the project, whoever wrote it. Of what keeps a
rollout safe it may ask for more than the user's own file does, and not for less: the weaker value
is set aside. Where two values cannot be compared, the user's own counts. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

Weaker: TypeAlias = Callable[[Any, Any], bool]
"""Whether the first value keeps a rollout less safe than the second, or cannot be compared."""

_SEVERITIES = ("off", "info", "warning", "error")
_FAILING = ("error", "warning", "info")


def _more(theirs: float, own: float) -> bool:
    return theirs > own


def _longer(theirs: float, own: float) -> bool:
    """Seconds, of which 0 is no limit."""
    return own != 0 and (theirs == 0 or theirs > own)


def _off(theirs: bool, own: bool) -> bool:
    return own and not theirs


def _other(theirs: object, own: object) -> bool:
    return theirs != own


def _allows_more(theirs: str, own: str) -> bool:
    """Budgets: a count and a percent can only be compared where one of them is nothing."""
    try:
        less, more = (float(one.strip().removesuffix("%")) for one in (theirs, own))
    except ValueError:
        return theirs != own
    alike = theirs.strip().endswith("%") is own.strip().endswith("%")
    return less > more if alike else less != 0


def _milder(theirs: str, own: str) -> bool:
    return _SEVERITIES.index(theirs) < _SEVERITIES.index(own)


def _fails_later(theirs: str, own: str) -> bool:
    return _FAILING.index(theirs) < _FAILING.index(own)


def _silent_more_often(theirs: tuple[str, ...], own: tuple[str, ...]) -> bool:
    return not {*theirs} <= {*own}


WEAKER: Mapping[str, Weaker] = MappingProxyType(
    {
        "rollout.in_flight": _more,
        "rollout.budget": _allows_more,
        "rollout.lock_timeout_s": _longer,
        "rollout.statement_timeout_s": _longer,
        "rollout.require_rehearsal": _off,
        "rollout.rehearsal_max_age_days": _more,
        "lint.fail_on": _fails_later,
        "lint.squawk": _off,
        "lint.severity": _milder,
        "lint.phases": _silent_more_often,
        "lint.limits.lock_timeout_s": _more,
        "lint.limits.parents": _more,
        "lint.limits.key_columns": _more,
        "lint.limits.small_table_mb": _more,
        "lint.limits.large_table_mb": _more,
    }
)
"""By setting; of a table with names of its own, entry by entry. Any other is weaker when it differs
from the user's own.
"""
DESCRIBES = frozenset(
    {
        "name",
        "variables",
        "bundle.name",
        "rollout.expiry_s",
        "rollout.deadline_s",
        "lint.schema_per_tenant",
    }
)
"""What a project's file may say and nothing is safer by: what it is, and how long is waited."""
NEVER_BEYOND_DEFAULT = frozenset({"rollout.rehearsal_max_age_days"})
"""What counts as said by whoever asks for it at all, with a flag or a variable beside."""


def is_weaker(name: str, theirs: Any, own: Any) -> bool:
    """Whether a project's value of a setting is to be set aside for the user's own."""
    return name not in DESCRIBES and WEAKER.get(name, _other)(theirs, own)
