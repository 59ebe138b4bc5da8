"""Several questions in one breath: what the driver is shown of the answers."""

from __future__ import annotations

import struct

import pytest

from migrations.target.pipeline import End, Together

DONE, ROW = b"C", b"D"


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message of the server's."""
    return kind + struct.pack("!I", len(body) + 4) + body


def ready(status: bytes) -> bytes:
    """ReadyForQuery."""
    return message(b"Z", status)


def heard(answers: list[bytes], piece: int) -> tuple[bytes, list[End], bool]:
    """What passes of answers to three questions that come in pieces of so many bytes."""
    ends: list[End] = []
    together = Together(["SELECT 2", "SELECT 3"], ends.append)
    data = b"".join(answers)
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    return b"".join(map(together.received, pieces)), ends, together.done


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7, 1000])
def test_answers_look_like_one_however_they_are_cut(piece: int) -> None:
    one, two, three = message(DONE, b"BEGIN\0"), message(ROW, b"x" * 50), message(b"N", b"note")
    answers = [one, ready(b"T"), two, message(DONE, b"2\0"), ready(b"T"), three, ready(b"T")]
    through, ends, done = heard(answers, piece)
    assert through == one + two + message(DONE, b"2\0") + three + ready(b"T")
    assert ends == [End(False, True)] * 3
    assert done


@pytest.mark.parametrize("piece", [1, 4, 1000])
def test_the_first_error_is_shown_and_what_it_does_to_those_behind_is_not(piece: int) -> None:
    first, echo = message(b"E", b"division by zero"), message(b"E", b"aborted")
    answers = [message(DONE), ready(b"T"), first, ready(b"E"), echo, ready(b"E")]
    through, ends, done = heard(answers, piece)
    assert through == message(DONE) + first + ready(b"E")
    assert ends == [End(False, True), End(True, False), End(True, False)]
    assert done


def test_a_transaction_that_is_over_is_seen_where_it_ended() -> None:
    answers = [message(DONE), ready(b"T"), message(DONE), ready(b"I"), message(b"E"), ready(b"I")]
    _, ends, _ = heard(answers, 1000)
    assert [end.transaction_open for end in ends] == [True, False, False]
    assert [end.failed for end in ends] == [False, False, True]


def test_what_comes_after_the_last_answer_is_not_touched() -> None:
    answers = [ready(b"T"), ready(b"T"), ready(b"T"), b"Zanything", b"else"]
    through, _, _ = heard(answers, 1000)
    assert through == ready(b"T") + b"Zanythingelse"


def test_questions_are_messages_of_the_simple_protocol() -> None:
    assert Together(["SELECT 'ü'"], lambda end: None).messages == message(
        b"Q", "SELECT 'ü'\0".encode()
    )
