"""A merged batch writes what its patches would write one by one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ledger.store.views.patches import Batch, Layer, Patch, PatchKind
from ledger.store.views.tables import (
    APPLIED,
    ATTEMPT,
    FLEET_DATABASE,
    OPEN_FAILURE,
    SPOKEN_HEAD,
    TABLES,
)

KEY = ("acme",)


def put(**sets: Any) -> Patch:
    return Patch(FLEET_DATABASE, PatchKind.PUT, KEY, sets)


def change(fills: dict[str, Any] | None = None, **sets: Any) -> Patch:
    return Patch(FLEET_DATABASE, PatchKind.CHANGE, KEY, sets, fills or {})


def applied(command: int, state: str, kind: PatchKind = PatchKind.PUT) -> Patch:
    sets = {"command": UUID(int=command), "state": state}
    return Patch(APPLIED, kind, ("acme", "1"), sets)


def merged(*patches: Patch) -> list[Layer]:
    batch = Batch()
    for patch in patches:
        batch.add([patch])
    return [layer for _, _, layer in batch.layers() if layer]


def test_a_later_value_replaces_an_earlier_one_and_leaves_the_others() -> None:
    (layer,) = merged(change(pool="a", host="x"), change(pool="b"))

    assert layer[KEY].sets == {"pool": "b", "host": "x"}


def test_of_two_fills_the_first_one_stays() -> None:
    (layer,) = merged(change({"journal_head": "first"}), change({"journal_head": "second"}))

    assert layer[KEY].fills == {"journal_head": "first"}


def test_a_fill_after_an_empty_one_is_kept() -> None:
    (layer,) = merged(change({"journal_head": None}), change({"journal_head": "second"}))

    assert layer[KEY].fills == {"journal_head": "second"}


def test_a_fill_does_not_replace_a_value() -> None:
    (layer,) = merged(change(journal_head="set"), change({"journal_head": "filled"}))

    assert (layer[KEY].sets, layer[KEY].fills or {}) == ({"journal_head": "set"}, {})


def test_a_fill_after_clearing_is_the_value() -> None:
    (layer,) = merged(change(journal_head=None), change({"journal_head": "filled"}))

    assert layer[KEY].sets == {"journal_head": "filled"}


def test_a_value_after_a_fill_wins() -> None:
    (layer,) = merged(change({"journal_head": "filled"}), change(journal_head="set"))

    assert (layer[KEY].sets, layer[KEY].fills or {}) == ({"journal_head": "set"}, {})


def test_a_whole_row_forgets_what_was_changed_before_it() -> None:
    (layer,) = merged(change(pool="a"), put(pool="b"), change(host="y"))

    assert layer[KEY].kind is PatchKind.PUT
    assert layer[KEY].sets == {"pool": "b", "host": "y"}


def test_guarded_rows_of_one_command_are_merged() -> None:
    (layer,) = merged(applied(1, "failed"), applied(1, "applied"))

    assert layer["acme", "1"].sets["state"] == "applied"


def test_guarded_rows_of_two_commands_are_written_one_after_the_other() -> None:
    layers = merged(applied(1, "applied"), applied(2, "rolled_back"), applied(1, "applied"))

    assert [layer["acme", "1"].sets["state"] for layer in layers] == [
        "applied",
        "rolled_back",
        "applied",
    ]


def test_a_row_to_be_ensured_does_not_swallow_the_one_before() -> None:
    layers = merged(applied(1, "applied"), applied(1, "applied", PatchKind.ENSURE))

    assert [layer["acme", "1"].kind for layer in layers] == [PatchKind.PUT, PatchKind.ENSURE]


def test_what_two_patches_share_is_not_changed_by_what_is_merged_into_one_of_them() -> None:
    shared = {"pool": "a"}
    fills = {"journal_head": "first"}
    first = Patch(FLEET_DATABASE, PatchKind.CHANGE, ("acme",), shared, fills)
    second = Patch(FLEET_DATABASE, PatchKind.CHANGE, ("bolt",), shared, fills)

    (layer,) = merged(first, second, change({"host": "filled"}, pool="b", journal_head="told"))

    assert (layer["bolt",].sets, layer["bolt",].fills) == ({"pool": "a"}, {"journal_head": "first"})
    assert (shared, fills) == ({"pool": "a"}, {"journal_head": "first"})
    assert layer[KEY].sets == {"pool": "b", "journal_head": "told"}


def test_what_waits_for_its_row_does_not_change_what_it_shares_either() -> None:
    shared = {"journal_head": "one"}
    one = Patch(SPOKEN_HEAD, PatchKind.CHANGE, ("acme", UUID(int=1)), shared)
    two = Patch(SPOKEN_HEAD, PatchKind.CHANGE, ("bolt", UUID(int=1)), shared)

    (layer,) = merged(one, two, head(1, "two"))

    assert layer["bolt", UUID(int=1)].sets == {"journal_head": "one"}
    assert layer["acme", UUID(int=1)].sets == {"journal_head": "two"}


def head(command: int, value: str) -> Patch:
    return Patch(
        SPOKEN_HEAD, PatchKind.CHANGE, ("acme", UUID(int=command)), {"journal_head": value}
    )


def failing(message: str) -> Patch:
    return Patch(OPEN_FAILURE, PatchKind.CHANGE, (UUID(int=1),), {"failure_message": message})


def attempt(**sets: Any) -> Patch:
    return Patch(ATTEMPT, PatchKind.CHANGE, (UUID(int=1),), sets)


def test_the_command_that_speaks_for_a_database_moves_its_head() -> None:
    (layer,) = merged(change(command=UUID(int=1)), head(1, "one"))

    assert layer[KEY].sets["journal_head"] == "one"


def test_a_command_that_does_not_speak_any_more_moves_nothing() -> None:
    (replaced,) = merged(change(command=UUID(int=2)), head(1, "one"))
    (forgotten,) = merged(change(command=None, journal_head=None), head(1, "one"))

    assert "journal_head" not in replaced[KEY].sets
    assert forgotten[KEY].sets["journal_head"] is None


def test_who_speaks_for_a_database_is_asked_of_the_row_where_the_batch_does_not_say() -> None:
    spoken, rows = merged(change(pool="a"), head(1, "one"), change(command=UUID(int=2)))

    assert spoken["acme", UUID(int=1)].sets == {"journal_head": "one"}
    assert rows[KEY].sets == {"pool": "a", "command": UUID(int=2)}


def test_after_the_last_word_nothing_says_anew_why_an_attempt_failed() -> None:
    (layer,) = merged(attempt(finished_position=7, failure_message="first"), failing("late"))

    assert layer[UUID(int=1),].sets["failure_message"] == "first"


def test_before_the_last_word_the_later_failure_counts() -> None:
    (layer,) = merged(attempt(finished_position=None), failing("first"), failing("second"))

    assert layer[UUID(int=1),].sets["failure_message"] == "second"


def test_whether_the_last_word_was_said_is_asked_of_the_row_where_the_batch_does_not_say() -> None:
    (layer,) = merged(failing("first"), failing("second"))

    assert layer[UUID(int=1),].table is OPEN_FAILURE
    assert layer[UUID(int=1),].sets == {"failure_message": "second"}


def test_attempts_are_written_before_what_looks_them_up() -> None:
    names = [table.name for table in TABLES]

    assert names.index("attempt") < names.index("applied")
