"""What is half done is told before a plan goes there, with the command that leads out of it."""

from __future__ import annotations

import pytest

from ledger.domain.folder_refusals import HalfDoneOtherwise
from ledger.domain.half_done import before_down, before_up, told, way_out
from ledger.domain.pending import DatabaseVersions, with_half_done
from migrations.model.attempt import HalfDone
from tests.support.story import migration

ONE = migration("1")
UP = HalfDone("1", "up", ONE.up_checksum, "k7m2x9ab")
OTHER_TEXT = HalfDone("1", "up", "f" * 64, "k7m2x9ab")
BACK = HalfDone("1", "down", ONE.down_checksum or "", "undo-k7m2x9ab")
DOUBTFUL = HalfDone("1", "up", ONE.up_checksum, "k7m2x9ab", doubtful=True)


def test_the_way_out_of_each_state_is_named() -> None:
    assert "`ledger up --select id=a` goes on" in way_out("a", UP)
    assert "`ledger rollout rollback k7m2x9ab` takes it back" in way_out("a", UP)
    assert "`ledger down --select id=a` takes it back" in way_out("a", HalfDone("1", "up", "c"))
    assert "`ledger down --select id=a` goes on" in way_out("a", BACK)
    assert "`ledger resolve a 1 --applied --reason WHY`" in way_out("a", DOUBTFUL)


def test_a_rollout_that_has_not_ended_is_named_in_place_of_commands() -> None:
    assert "rollout r2 is not finished there" in told("a", UP, rollout="r2")


def test_going_up_goes_on_behind_the_same_text() -> None:
    (note,) = before_up({"a": (UP,)}, [ONE], {"a"})
    assert "a: 1_change is half done, begun by rollout k7m2x9ab; this goes on behind it" in note


@pytest.mark.parametrize(
    ("half", "said"),
    [
        (OTHER_TEXT, "with another text than the folder's"),
        (BACK, "1_change is half rolled back"),
    ],
)
def test_going_up_is_refused_where_it_could_not_go_on(half: HalfDone, said: str) -> None:
    with pytest.raises(HalfDoneOtherwise, match=said):
        before_up({"a": (half,)}, [ONE], {"a"})


@pytest.mark.parametrize("half", [OTHER_TEXT, BACK, UP])
def test_what_a_plan_does_not_touch_is_told_and_refuses_nothing(half: HalfDone) -> None:
    assert "this plan leaves it as it is" in before_up({"a": (half,)}, [], {"a"})[0]
    assert "this plan leaves it as it is" in before_up({"a": (half,)}, [ONE], set())[0]


def test_what_is_in_doubt_is_told_and_refuses_nothing() -> None:
    assert "ledger resolve a 1" in before_up({"a": (DOUBTFUL,)}, [ONE], {"a"})[0]
    assert "ledger resolve a 1" in before_down({"a": (DOUBTFUL,)}, [ONE])[0]


def test_going_down_takes_back_what_is_half_done_and_refuses_another_text() -> None:
    assert "this takes it back" in before_down({"a": (UP,)}, [ONE])[0]
    assert "this takes it back" in before_down({"a": (BACK,)}, [ONE])[0]
    with pytest.raises(HalfDoneOtherwise, match="restore the file"):
        before_down({"a": (OTHER_TEXT,)}, [ONE])


def test_going_down_counts_what_is_half_done_and_not_what_is_in_doubt() -> None:
    known = DatabaseVersions("a", (), ("1",))
    assert with_half_done(known, {"a": (UP,)}).applied == ("1",)
    assert with_half_done(known, {"a": (DOUBTFUL,)}).applied == ()
