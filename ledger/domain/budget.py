"""How many databases may fail before a rollout stops itself.

A budget of N lets N databases fail; the next one spends it. So 0 means that the first failure stops
the rollout. A percent is of all the rollout's databases, rounded down.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor

from ledger.contracts.events import Budget
from ledger.domain.refusals import InvalidBudget
from ledger.domain.wording import number_of

_COUNT = re.compile(r"\d{1,9}")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%")


def parse(spec: str) -> Budget:
    """The budget that `3` or `2%` names. Raises `InvalidBudget`."""
    text = spec.strip()
    if _COUNT.fullmatch(text):
        return Budget(count=int(text))
    percent = _PERCENT.fullmatch(text)
    if percent is None:
        raise InvalidBudget(spec, "is neither a count nor a percent")
    if Fraction(percent[1]) > 100:
        raise InvalidBudget(spec, "is more than all databases")
    return Budget(percent=float(percent[1]))


def allowed(total: int, budget: Budget) -> int:
    """How many of `total` databases may fail."""
    if budget.count is not None:
        return budget.count
    # Through the decimal text, because 0.3 as a binary fraction is a little less than 0.3.
    return floor(total * Fraction(str(budget.percent or 0.0)) / 100)


def spent(failed: int, total: int, budget: Budget) -> bool:
    """Whether `failed` databases of `total` are more than the budget allows."""
    return failed > allowed(total, budget)


def describe(total: int, budget: Budget) -> str:
    """The budget as people read it: `3`, or `2% of 100 databases (2)`."""
    if budget.count is not None:
        return str(budget.count)
    return (
        f"{budget.percent or 0.0:g}% of {number_of(total, 'database')} ({allowed(total, budget)})"
    )
