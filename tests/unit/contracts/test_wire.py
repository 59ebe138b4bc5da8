"""Messages come back as they were sent, and nothing that arrives can crash a reader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.contracts.commands import CancelCommand
from ledger.contracts.envelope import Metadata, UnknownMessage, encode, report_id
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.messages import Message, Received
from ledger.contracts.reports import AttemptStarted
from ledger.contracts.topics import CHUNK_BYTES, CONTENT, HEARTBEATS, REPORTS
from ledger.contracts.wire import (
    addressee,
    decode_chunk,
    decode_command,
    decode_heartbeat,
    decode_report,
    encode_command,
    encode_content,
    encode_heartbeat,
    encode_parked,
    encode_report,
)
from migrations.model.attempt import Epoch, Mode

COMMAND = CancelCommand(
    command=UUID(int=1),
    ledger=UUID(int=2),
    stream="rollout-r1",
    database="acme",
    pool="eu",
    epoch=Epoch(term=1, position=7),
    cancels=UUID(int=3),
)
METADATA = Metadata(traceparent="00-1-2-01", tracestate="a=b")

DECODERS: list[Callable[[Received], object]] = [
    decode_command,
    addressee,
    decode_report,
    decode_chunk,
    decode_heartbeat,
]
HEADER_NAMES = ["ce_type", "ce_id", "ce_subject", "ledger_metadata", "sha256", "index", "count"]
HEADER_VALUES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"dev.migration-ledger.CancelCommand.v1",
            b"dev.migration-ledger.AttemptStarted.v1",
            b"rollout-r1/reports",
            b"00000000-0000-0000-0000-000000000001",
            b"{}",
            b"0" * 64,
            b"1",
        ]
    ),
)


def received(message: Message) -> Received:
    return Received(message.topic, 0, 0, message.key, message.value, message.headers)


def test_a_command_comes_back_with_its_trace_in_the_headers() -> None:
    message = encode_command(COMMAND, METADATA)
    assert (message.topic, message.key) == ("ledger.commands.eu", "acme")
    arrived = received(message)
    assert decode_command(arrived) == COMMAND
    assert arrived.header("traceparent") == b"00-1-2-01"
    assert arrived.header("tracestate") == b"a=b"
    assert arrived.header("ce_type") == b"dev.migration-ledger.CancelCommand.v1"
    assert arrived.header("ce_specversion") == b"1.0"
    assert arrived.header("ce_subject") == b"rollout-r1"


def test_a_report_travels_as_the_bytes_that_are_hashed() -> None:
    report = AttemptStarted(database="acme", command=UUID(int=1), attempt=1, mode=Mode.UP)
    encoded = encode(report, report_id(report), METADATA)
    message = encode_report(UUID(int=7), "rollout-r1/reports", encoded, "agent-one", METADATA)
    assert (message.topic, message.key) == (REPORTS, "rollout-r1/reports")
    assert message.value == encoded.body
    stream, back = decode_report(received(message))
    assert (stream, back) == ("rollout-r1/reports", encoded)
    assert addressee(received(message)) == UUID(int=7)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_text_travels_in_pieces_of_bounded_size(size: int) -> None:
    text = bytes(size)
    sha256 = hashlib.sha256(text).hexdigest()
    messages = encode_content(sha256, text)
    chunks = [decode_chunk(received(message)) for message in messages]
    assert {message.topic for message in messages} == {CONTENT}
    assert all(len(chunk.data) <= CHUNK_BYTES for chunk in chunks)
    assert b"".join(chunk.data for chunk in chunks) == text
    assert [chunk.index for chunk in chunks] == list(range(chunks[0].count))
    assert {chunk.size for chunk in chunks} == {size}


def test_a_heartbeat_comes_back() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    beat = Heartbeat(agent="a", pool="p", host="h", version="1", started_at=now, at=now)
    message = encode_heartbeat(beat)
    assert (message.topic, message.key) == (HEARTBEATS, "a")
    assert decode_heartbeat(received(message)) == beat


def test_a_parked_message_keeps_its_bytes_and_says_where_it_stood() -> None:
    poison = Received("t", 3, 14, "k", b"\x00", (("x", b"y"),))
    parked = received(encode_parked(poison, "because"))
    assert (parked.value, parked.header("x")) == (b"\x00", b"y")
    assert parked.header("parked_from") == b"t/3/14"
    assert parked.header("parked_why") == b"because"


def test_a_newer_command_is_unknown() -> None:
    message = received(encode_command(COMMAND, METADATA))
    headers = (*message.headers, ("ce_type", b"dev.migration-ledger.CancelCommand.v2"))
    newer = Received("t", 0, 0, "k", message.value, headers)
    with pytest.raises(UnknownMessage, match="newest known is 1"):
        decode_command(newer)


def test_a_command_under_another_id_or_type_is_unknown() -> None:
    message = received(encode_command(COMMAND, METADATA))
    for forged in (
        ("ce_id", str(UUID(int=9)).encode()),
        ("ce_type", b"dev.migration-ledger.ApplyCommand.v1"),
    ):
        headers = (*message.headers, forged)
        with pytest.raises(UnknownMessage):
            decode_command(Received("t", 0, 0, "k", message.value, headers))


@pytest.mark.parametrize("stream", ["fleet", "rollout-r1", "ledger/reports", "rollout-\0/reports"])
def test_a_report_cannot_name_a_stream_that_is_not_for_reports(stream: str) -> None:
    report = AttemptStarted(database="acme", command=UUID(int=1), attempt=1, mode=Mode.UP)
    encoded = encode(report, report_id(report), METADATA)
    with pytest.raises(UnknownMessage, match="not a stream of reports"):
        decode_report(received(encode_report(UUID(int=7), stream, encoded, "a", METADATA)))


@given(
    value=st.one_of(st.binary(max_size=200), st.text().map(str.encode)),
    headers=st.lists(st.tuples(st.sampled_from(HEADER_NAMES), HEADER_VALUES), max_size=7),
)
@example(value=COMMAND.model_dump_json().encode(), headers=[])
def test_arbitrary_bytes_are_read_or_unknown(
    value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    message = Received("t", 0, 0, "k", value, tuple(headers))
    for decoder in DECODERS:
        with suppress(UnknownMessage):
            decoder(message)
