"""Which positions may be committed, whatever the order in which commands end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.inbox import Unfinished
from ledger.contracts.messages import Received


def message(offset: int, partition: int = 0) -> Received:
    return Received("t", partition, offset, "k", b"", ())


def test_the_lowest_unfinished_message_holds_the_position() -> None:
    unfinished = Unfinished()
    for offset in (5, 6, 7):
        unfinished.took(message(offset))
    unfinished.finished(message(6))
    unfinished.finished(message(7))
    assert unfinished.to_commit() == {0: 5}
    unfinished.finished(message(5))
    assert unfinished.to_commit() == {0: 8}


def test_partitions_do_not_hold_each_other_up() -> None:
    unfinished = Unfinished()
    unfinished.took(message(3, partition=0))
    unfinished.took(message(9, partition=1))
    unfinished.finished(message(9, partition=1))
    assert unfinished.to_commit() == {0: 3, 1: 10}


def test_what_is_committed_already_is_not_committed_again() -> None:
    unfinished = Unfinished()
    unfinished.took(message(3))
    unfinished.finished(message(3))
    unfinished.committed({0: 4})
    assert unfinished.to_commit() == {}


def test_a_message_that_is_delivered_again_is_unfinished_again() -> None:
    unfinished = Unfinished()
    for _ in range(2):
        unfinished.took(message(3))
        unfinished.finished(message(3))
    unfinished.took(message(3))
    assert unfinished.to_commit() == {0: 3}


@given(st.permutations(range(12)), st.integers(0, 12))
def test_no_unfinished_message_is_ever_passed_over(order: list[int], ended: int) -> None:
    unfinished = Unfinished()
    for offset in range(12):
        unfinished.took(message(offset))
    for offset in order[:ended]:
        unfinished.finished(message(offset))
    position = unfinished.to_commit()[0]
    assert position == min(order[ended:], default=12)
