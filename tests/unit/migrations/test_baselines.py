"""Which versions a baseline sets aside, where, and that the plan obeys it."""

from __future__ import annotations

from dataclasses import dataclass

from migrations.model.baselines import NOT_FOR_THIS, OLD_FILES, gaps, set_aside, standing_for


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
SQUASHED = [One("B3", ("3",)), One("4")]
"""The old files are gone; the baseline's name says that it goes through 3."""


def test_without_baselines_nothing_is_set_aside() -> None:
    assert set_aside([One("1")], []) == {}


def test_where_there_is_no_history_the_newest_baseline_runs_alone() -> None:
    assert set(set_aside(FOLDER, [])) == {"1", "2", "B2", "3"}


def test_where_everything_is_there_no_baseline_runs() -> None:
    there = ["1", "2", "3"]

    assert set_aside(FOLDER, there) == {"B2": NOT_FOR_THIS, "B3": NOT_FOR_THIS}
    assert gaps(FOLDER, there) == {}


def test_where_some_of_it_is_there_the_old_files_bring_the_rest() -> None:
    assert set_aside(FOLDER, ["1"]) == {"B2": OLD_FILES, "B3": OLD_FILES}
    assert gaps(FOLDER, ["1"]) == {}


def test_what_no_file_brings_is_a_gap_and_the_baseline_is_not_set_aside() -> None:
    assert gaps(SQUASHED, ["1", "2"]) == {"B3": ("3",)}
    assert set_aside(SQUASHED, ["1", "2"]) == {}


def test_a_squashed_baseline_is_set_aside_where_its_last_version_is_there() -> None:
    assert gaps(SQUASHED, ["1", "2", "3"]) == {}
    assert set_aside(SQUASHED, ["1", "2", "3"]) == {"B3": NOT_FOR_THIS}


def test_a_version_is_the_same_however_its_number_is_written() -> None:
    assert gaps(SQUASHED, ["0001", "0003"]) == {}


def test_what_comes_behind_a_baseline_is_no_proof_of_what_it_stands_for() -> None:
    assert gaps(SQUASHED, ["1", "2", "4"]) == {"B3": ("3",)}


def test_a_file_that_was_deleted_before_the_others_leaves_a_gap() -> None:
    folder = [One("1"), One("B3", ("1", "3"))]

    assert gaps(folder, ["1"]) == {"B3": ("3",)}


def test_a_baseline_that_names_nothing_is_a_gap_unless_something_behind_it_is_there() -> None:
    folder = [One("3", ()), One("4")]

    assert gaps(folder, ["1"]) == {"3": ("3",)}
    assert gaps(folder, ["1", "4"]) == {}
    assert gaps(folder, []) == {}


def test_what_an_applied_baseline_stands_for_stays_set_aside() -> None:
    assert set(set_aside(FOLDER, ["B2", "3"])) == {"1", "2", "B3"}
    assert gaps(FOLDER, ["B2", "3"]) == {}


def test_an_applied_baseline_counts_for_what_a_later_one_names() -> None:
    folder = [One("B2", ("2",)), One("B3", ("B2", "2", "3")), One("4")]

    assert gaps(folder, ["B2", "3"]) == {}
    assert gaps(folder, ["B2"]) == {"B3": ("3",)}


def test_a_version_without_a_file_is_stood_for_up_to_what_the_baseline_names() -> None:
    assert standing_for(SQUASHED, "2") == "B3"
    assert standing_for(SQUASHED, "3") == "B3"
    assert standing_for(SQUASHED, "5") is None
    assert standing_for([One("4")], "2") is None
