"""What is left to do."""

from __future__ import annotations

from ledger.domain.pending import DatabaseVersions, pending_down, pending_up
from tests.support.story import migration

ONE, TWO, THREE = (migration(version) for version in "123")
ALL = (ONE, TWO, THREE)


def has(database: str, *versions: str) -> DatabaseVersions:
    missing = tuple(ref.version for ref in ALL if ref.version not in versions)
    return DatabaseVersions(database, versions, missing)


def test_up_is_every_migration_that_some_database_lacks_and_who_lacks_any() -> None:
    pending = pending_up(ALL, ["a", "b", "c"], [has("a", "1", "2", "3"), has("b", "1"), has("c")])
    assert pending.migrations == ALL
    assert pending.databases == ("b", "c")
    assert pending.notes == ("1 of 3 databases have all of it already",)
    assert pending.already_everywhere == 0


def test_what_all_of_them_have_is_left_out() -> None:
    pending = pending_up(ALL, ["a", "b"], [has("a", "1"), has("b", "1", "2")])
    assert pending.migrations == (TWO, THREE)
    assert pending.already_everywhere == 1


def test_a_database_that_nothing_is_known_of_lacks_everything() -> None:
    pending = pending_up(ALL, ["a"], [])
    assert (pending.migrations, pending.databases, pending.notes) == (ALL, ("a",), ())


def test_nothing_is_pending_when_everybody_has_everything() -> None:
    pending = pending_up(ALL, ["a"], [has("a", "1", "2", "3")])
    assert (pending.migrations, pending.databases) == ((), ())
    assert pending.already_everywhere == 3


def test_the_logs_word_does_not_count_where_the_journal_is_not_known() -> None:
    known = [has("a", "1", "2"), has("b", "1", "2")]
    pending = pending_up((ONE, TWO), ["a", "b"], known, frozenset({"b"}))
    assert pending.databases == ("b",)
    assert [ref.version for ref in pending.migrations] == ["1", "2"]


def test_what_is_older_than_what_a_database_has_is_noted() -> None:
    pending = pending_up(ALL, ["a", "b"], [has("a", "1", "3"), has("b", "3")])
    assert pending.notes == (
        "1_change is older than what 1 database has already",
        "2_change is older than what 2 databases have already",
    )


def test_down_is_the_newest_that_any_database_has_and_who_has_it() -> None:
    known = [has("a", "1", "2"), has("b", "1"), has("c")]
    pending = pending_down(ALL, 1, ["a", "b", "c"], known)
    assert (pending.migrations, pending.databases) == ((TWO,), ("a",))
    assert pending.notes == ("2 of 3 databases have none of it",)
    both = pending_down(ALL, 5, ["a", "b", "c"], known)
    assert (both.migrations, both.databases) == ((ONE, TWO), ("a", "b"))


def test_down_with_nothing_applied_is_nothing() -> None:
    pending = pending_down(ALL, 1, ["a"], [has("a")])
    assert (pending.migrations, pending.databases) == ((), ())


def test_they_run_oldest_first_to_go_up_and_newest_first_to_go_down() -> None:
    pending = pending_up(ALL, ["a"], [])
    assert pending.in_running_order("up") == ALL
    assert pending.in_running_order("down") == (THREE, TWO, ONE)
