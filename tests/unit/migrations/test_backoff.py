"""Waits between tries."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from migrations.backoff import SPREAD, Backoff
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK


def growing(first_s: float, most_s: float, growth: float) -> Backoff:
    return Backoff(SYSTEM_CLOCK, SYSTEM_CHANCE, first_s, most_s, growth)


def waits(backoff: Backoff, number: int) -> list[float]:
    return [backoff.next_s() for _ in range(number)]


def test_waits_grow_until_the_most_and_are_spread_around_it() -> None:
    means = (1.0, 3.0, 9.0, 10.0, 10.0)
    for _ in range(100):
        for wait_s, mean in zip(waits(growing(1.0, 10.0, 3.0), 5), means, strict=True):
            assert mean * (1 - SPREAD) <= wait_s <= mean * (1 + SPREAD)


def test_a_thousand_databases_do_not_knock_in_step() -> None:
    firsts = {round(Backoff(SYSTEM_CLOCK, SYSTEM_CHANCE, 1.0).next_s(), 2) for _ in range(1000)}
    assert len(firsts) > 50


def test_a_success_makes_the_next_wait_a_first_one() -> None:
    backoff = growing(1.0, 1000.0, 10.0)
    assert waits(backoff, 3)[-1] >= 50
    backoff.reset()
    assert backoff.tries == 0
    assert backoff.next_s() <= 1.5


@pytest.mark.parametrize("growth", [1.0, 1.6, 2.0, 10.0])
def test_an_outage_of_weeks_is_waited_out(growth: float) -> None:
    backoff = growing(0.5, 2.0, growth)
    backoff.tries = 10_000_000
    assert backoff.next_s() <= 2.0 * (1 + SPREAD)
    assert backoff.tries == 10_000_001


def test_nobody_else_spreads_waits() -> None:
    root = Path(__file__).parents[3]
    modules = [
        path for room in ("ledger", "agents", "migrations") for path in (root / room).rglob("*.py")
    ]
    using = [
        str(path.relative_to(root))
        for path in modules
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import) and any(name.name == "random" for name in node.names)
    ]
    assert using == ["migrations/chance.py"]
