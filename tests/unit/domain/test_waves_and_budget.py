"""Waves and failure budgets."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from ledger.contracts.events import Budget
from ledger.domain import budget, waves
from ledger.domain.refusals import InvalidBudget, InvalidWaves

NAMES = [f"db{number}" for number in range(40)]
PARTS = st.one_of(
    st.integers(1, 50).map(str), st.integers(1, 100).map(lambda percent: f"{percent}%")
)


def sizes(spec: str, count: int) -> list[int]:
    return [len(wave) for wave in waves.cut(spec, NAMES[:count])]


def test_the_default_is_one_then_a_tenth_then_the_rest() -> None:
    assert sizes("1,10%,rest", 40) == [1, 4, 35]


def test_a_percent_is_of_all_databases_rounded_up_and_at_least_one() -> None:
    assert sizes("10%,rest", 11) == [2, 9]
    assert sizes("0.5%,rest", 3) == [1, 2]


def test_waves_that_nothing_is_left_for_are_dropped() -> None:
    assert sizes("1,10%,rest", 1) == [1]
    assert sizes("1,10%,rest", 2) == [1, 1]
    assert sizes("5,5,rest", 3) == [3]


def test_waves_that_cover_everything_need_no_rest() -> None:
    assert sizes("50%,50%", 10) == [5, 5]
    assert sizes("1,100%", 10) == [1, 9]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("1,10%", "35 of 40 databases are in no wave; .*`rest`"),
        ("rest,1", "`rest` must be the last wave"),
        ("", "neither a count, a percent nor `rest`"),
        ("1,,rest", "neither"),
        ("0,rest", "0 databases"),
        ("0%,rest", "above 0%"),
        ("101%,rest", "at most 100%"),
        ("-1,rest", "neither"),
        ("all", "neither"),
    ],
)
def test_waves_that_make_no_sense_are_refused(spec: str, why: str) -> None:
    with pytest.raises(InvalidWaves, match=why):
        waves.cut(spec, NAMES)


@for_all(st.lists(PARTS, max_size=5), st.integers(0, 40))
def test_every_database_is_in_exactly_one_wave_in_its_order(parts: list[str], count: int) -> None:
    cut = waves.cut(",".join([*parts, "rest"]), NAMES[:count])
    assert [name for wave in cut for name in wave] == NAMES[:count]
    assert all(cut)


@for_all(st.integers(0, 3500))
def test_chunks_hold_at_most_1000_databases_and_lose_none(count: int) -> None:
    names = [str(number) for number in range(count)]
    chunks = waves.chunks(names)
    assert [name for chunk in chunks for name in chunk] == names
    assert all(0 < len(chunk) <= 1000 for chunk in chunks)
    assert len(chunks) == ceil(count / 1000)


def test_a_budget_is_a_count_or_a_percent() -> None:
    assert budget.parse("3") == Budget(count=3)
    assert budget.parse(" 2.5% ") == Budget(percent=2.5)


@pytest.mark.parametrize("spec", ["", "x", "-1", "101%", "1.5", "%"])
def test_a_budget_that_cannot_be_read_is_refused(spec: str) -> None:
    with pytest.raises(InvalidBudget, match="2%"):
        budget.parse(spec)


def test_a_budget_of_zero_is_spent_by_the_first_failure() -> None:
    assert not budget.spent(0, 100, Budget(count=0))
    assert budget.spent(1, 100, Budget(count=0))


def test_a_budget_is_spent_by_one_failure_more_than_it_allows() -> None:
    assert not budget.spent(3, 100, Budget(count=3))
    assert budget.spent(4, 100, Budget(count=3))


def test_a_percent_of_the_databases_is_rounded_down() -> None:
    assert budget.allowed(149, Budget(percent=2)) == 2
    assert budget.allowed(49, Budget(percent=2)) == 0
    assert budget.allowed(1000, Budget(percent=0.3)) == 3


@for_all(st.integers(1, 100_000), st.integers(0, 100))
def test_no_percent_lets_more_than_its_share_fail(total: int, percent: int) -> None:
    assert budget.allowed(total, Budget(percent=percent)) * 100 <= total * percent
