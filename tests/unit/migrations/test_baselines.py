"""Which versions a baseline sets aside, where, and that the plan obeys it."""

from __future__ import annotations

from dataclasses import dataclass

from migrations.model.baselines import NOT_FOR_THIS, set_aside


@dataclass(frozen=True)
class One:
    """A migration as far as baselines go."""

    version: str
    replaces: tuple[str, ...] | None = None


FOLDER = [
    One("1"),
    One("2"),
    One("B2", ("1", "2")),
    One("3"),
    One("B3", ("1", "2", "B2", "3")),
    One("4"),
]


def test_without_baselines_nothing_is_set_aside() -> None:
    assert set_aside([One("1")], []) == {}


def test_where_there_is_no_history_the_newest_baseline_runs_alone() -> None:
    assert set(set_aside(FOLDER, [])) == {"1", "2", "B2", "3"}


def test_where_there_is_a_history_no_baseline_runs() -> None:
    assert set_aside(FOLDER, ["1"]) == {"B2": NOT_FOR_THIS, "B3": NOT_FOR_THIS}


def test_what_an_applied_baseline_stands_for_stays_set_aside() -> None:
    assert set(set_aside(FOLDER, ["B2", "3"])) == {"1", "2", "B3"}
