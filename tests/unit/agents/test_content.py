"""Texts are taken in pieces, checked by their hash, and kept within a bound."""

from __future__ import annotations

import hashlib
import random

import pytest

from agents.texts import ENTRY_BYTES, Texts
from ledger.contracts.messages import Received
from ledger.contracts.topics import CHUNK_BYTES
from ledger.contracts.wire import encode_content


def messages(text: bytes, sha256: str | None = None) -> list[Received]:
    name = sha256 or hashlib.sha256(text).hexdigest()
    return [Received(m.topic, 0, 0, m.key, m.value, m.headers) for m in encode_content(name, text)]


def test_a_text_is_whole_when_all_pieces_came_in_any_order_and_twice() -> None:
    text = random.Random(1).randbytes(3 * CHUNK_BYTES + 5)
    arrived: list[bool] = []
    texts = Texts(10 * CHUNK_BYTES, lambda: arrived.append(True))
    pieces = messages(text)
    for piece in [*pieces[1:], pieces[2]]:
        texts.take(piece)
    assert not arrived
    texts.take(pieces[0])
    assert arrived == [True]
    assert texts.get(hashlib.sha256(text).hexdigest()) == text


def test_a_text_that_is_not_what_it_is_called_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = Texts(1000)
    (piece,) = messages(b"DROP TABLE users", "0" * 64)
    texts.take(piece)
    assert "0" * 64 not in texts
    assert "its SHA-256 is not" in caplog.text


def test_what_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    texts = Texts(1000)
    texts.take(Received("ledger.content", 0, 0, "k", b"x", ()))
    assert "was left out" in caplog.text


def test_the_least_recently_used_texts_are_forgotten_first() -> None:
    texts = Texts(100 + 2 * ENTRY_BYTES)
    names = []
    for number in range(3):
        text = bytes([number]) * 45
        names.append(hashlib.sha256(text).hexdigest())
        if number == 2:
            texts.get(names[0])
        for piece in messages(text):
            texts.take(piece)
    assert [name in texts for name in names] == [True, False, True]


def test_pieces_that_never_become_whole_do_not_pile_up() -> None:
    texts = Texts(2 * CHUNK_BYTES)
    for seed in range(5):
        first, *_ = messages(random.Random(seed).randbytes(2 * CHUNK_BYTES))
        texts.take(first)
    assert texts._pieces_size <= 2 * CHUNK_BYTES


def take(texts: Texts, *some: bytes) -> None:
    for text in some:
        for piece in messages(text):
            texts.take(piece)


def name_of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def test_a_text_that_is_larger_than_the_bound_is_kept_as_long_as_it_is_needed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = random.Random(1).randbytes(3 * CHUNK_BYTES)
    texts = Texts(CHUNK_BYTES)
    take(texts, text)
    assert name_of(text) not in texts, "nobody needs it"
    texts.need({name_of(text)})
    take(texts, text)
    assert texts.get(name_of(text)) == text
    assert "LEDGER_AGENT_CONTENT_CACHE_BYTES" in caplog.text
    texts.need(frozenset())
    assert name_of(text) not in texts
    assert texts.pieces == texts._size == texts._pieces_size == 0


def test_texts_that_are_needed_together_do_not_push_each_other_out() -> None:
    some = [bytes([number]) * 600 for number in range(4)]
    spare = b"nobody's" * 60
    texts = Texts(1000 + ENTRY_BYTES)
    texts.need({name_of(text) for text in some})
    take(texts, *some, spare)
    assert all(name_of(text) in texts for text in some)
    assert name_of(spare) not in texts
    texts.need({name_of(some[0])})
    assert [name_of(text) in texts for text in some] == [True, False, False, False]


def test_pieces_of_what_is_needed_outlast_any_number_of_others() -> None:
    wanted = random.Random(0).randbytes(2 * CHUNK_BYTES + 1)
    texts = Texts(2 * CHUNK_BYTES)
    texts.need({name_of(wanted)})
    first, *others = messages(wanted)
    texts.take(first)
    for seed in range(1, 5):
        texts.take(messages(random.Random(seed).randbytes(2 * CHUNK_BYTES))[0])
    for piece in others:
        texts.take(piece)
    assert texts.get(name_of(wanted)) == wanted


def test_what_is_forged_in_the_name_of_what_is_needed_is_not_kept() -> None:
    texts = Texts(CHUNK_BYTES)
    texts.need({"0" * 64})
    for piece in messages(random.Random(0).randbytes(2 * CHUNK_BYTES), "0" * 64):
        texts.take(piece)
    assert "0" * 64 not in texts
    assert texts.pieces == texts._pieces_size == 0
