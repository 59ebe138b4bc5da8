"""Messages come back as they were sent, and nothing that arrives can crash a reader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.contracts.commands import Command
from ledger.contracts.envelope import Encoded, Metadata, UnknownMessage, encode, report_id
from ledger.contracts.events import RolloutAborted
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.messages import Message, Received
from ledger.contracts.reports import AttemptStarted
from ledger.contracts.topics import CANCELS, CHUNK_BYTES, CONTENT, HEARTBEATS, REPORTS
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
from ledger.store.log.chain import leaf
from migrations.model.attempt import Mode
from tests.support.orders import (
    apply_command,
    cancel_command,
    chain_row,
    changed,
    in_the_log,
    inspect_command,
)

METADATA = Metadata(traceparent="00-1-2-01", tracestate="a=b")
LEDGER = UUID(int=2)
APPLY = apply_command(ledger=LEDGER, position=7, metadata=METADATA)
INSPECT = inspect_command(ledger=LEDGER, position=8)
CANCEL = cancel_command(APPLY)
COMMANDS = {"apply": APPLY, "inspect": INSPECT, "cancel": CANCEL}

DECODERS: list[Callable[[Received], object]] = [
    decode_command,
    addressee,
    decode_report,
    decode_chunk,
    decode_heartbeat,
]
HEADER_NAMES = [
    "ce_type", "ce_id", "ce_subject", "ce_source", "ledger_metadata", "ledger_position",
    "ledger_recorded_at", "ledger_recorded_by", "ledger_stream_version", "ledger_pool", "sha256",
    "index", "count",
]  # fmt: skip
HEADER_VALUES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"dev.migration-ledger.MigrationOrdered.v1",
            b"dev.migration-ledger.RolloutAborted.v1",
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


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_comes_back_as_it_was_sent(command: Command) -> None:
    message = encode_command(command)
    assert (message.topic, message.key) == (f"ledger.commands.{command.pool}", command.database)
    assert decode_command(received(message)) == command


def test_an_order_travels_as_the_bytes_that_were_hashed_with_all_that_its_leaf_is_made_of() -> None:
    stored = APPLY.recorded.stored
    arrived = received(encode_command(APPLY))
    assert (arrived.value, arrived.header("ledger_metadata")) == (stored.body, stored.metadata)
    assert arrived.header("ce_type") == b"dev.migration-ledger.MigrationOrdered.v1"
    assert arrived.header("ce_id") == str(stored.event_id).encode()
    assert arrived.header("ce_specversion") == b"1.0"
    assert arrived.header("ce_subject") == b"rollout-r"
    assert arrived.header("traceparent") == b"00-1-2-01"
    assert arrived.header("tracestate") == b"a=b"
    again = decode_command(arrived).recorded
    assert leaf(chain_row(again)) == leaf(chain_row(APPLY.recorded))


def test_bytes_that_another_version_wrote_are_sent_as_they_are_and_never_rendered_anew() -> None:
    stored = APPLY.recorded.stored
    assert isinstance(stored, Encoded)
    odd = replace(stored, body=stored.body[:-1] + b', "later": [1, 2] }')
    command = replace(APPLY, recorded=replace(APPLY.recorded, encoded=odd))
    arrived = received(encode_command(command))
    assert arrived.value == odd.body
    assert decode_command(arrived).recorded.stored == odd


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


FORGERIES: dict[str, tuple[Command, tuple[str, bytes]]] = {
    "a newer version": (APPLY, ("ce_type", b"dev.migration-ledger.MigrationOrdered.v2")),
    "another order's type": (APPLY, ("ce_type", b"dev.migration-ledger.InspectionOrdered.v1")),
    "what is no order": (APPLY, ("ce_type", b"dev.migration-ledger.RolloutPaused.v1")),
    "no id": (APPLY, ("ce_id", b"x")),
    "another rollout's stream": (APPLY, ("ce_subject", b"rollout-other")),
    "a check's stream": (APPLY, ("ce_subject", b"check-r")),
    "another check's stream": (INSPECT, ("ce_subject", b"check-other")),
    "an abort of another rollout": (CANCEL, ("ce_subject", b"rollout-other")),
    "no ledger": (APPLY, ("ce_source", b"agent/a")),
    "no position": (APPLY, ("ledger_position", b"-1")),
    "no moment": (APPLY, ("ledger_recorded_at", b"9" * 18)),
    "no metadata": (APPLY, ("ledger_metadata", b"[]")),
}


@pytest.mark.parametrize(("command", "forged"), FORGERIES.values(), ids=FORGERIES)
def test_an_order_that_is_said_to_be_another_one_is_unknown(
    command: Command, forged: tuple[str, bytes]
) -> None:
    message = received(encode_command(command))
    with pytest.raises(UnknownMessage):
        decode_command(replace(message, headers=(*message.headers, forged)))


@pytest.mark.parametrize("command", [APPLY, INSPECT])
def test_an_order_for_another_database_than_its_key_says_is_unknown(command: Command) -> None:
    message = replace(received(encode_command(command)), key="bolt")
    with pytest.raises(UnknownMessage, match="the key"):
        decode_command(message)


def test_a_cancellation_says_its_pool_on_whichever_topic_it_comes() -> None:
    message = replace(received(encode_command(CANCEL)), topic=CANCELS)
    assert decode_command(message) == CANCEL


def test_an_abort_that_cancels_nothing_takes_nothing_back() -> None:
    aborted = in_the_log(RolloutAborted(rollout="r", cancel=False), 9)
    message = received(encode_command(replace(CANCEL, recorded=aborted)))
    with pytest.raises(UnknownMessage, match="takes nothing back"):
        decode_command(message)


@pytest.mark.parametrize(
    ("other", "taken"),
    [
        ({}, True),
        ({"database": "bolt"}, False),
        ({"rollout": "other"}, False),
    ],
)
def test_an_abort_takes_back_what_its_rollout_ordered_on_the_database(
    other: dict[str, object], taken: bool
) -> None:
    assert CANCEL.takes_back(changed(APPLY, **other)) is taken


def test_an_abort_takes_back_nothing_that_was_ordered_after_it_or_by_another_ledger() -> None:
    assert not CANCEL.takes_back(apply_command(ledger=LEDGER, position=CANCEL.position + 1))
    assert not CANCEL.takes_back(apply_command(ledger=UUID(int=3), position=APPLY.position))


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
@example(value=APPLY.recorded.stored.body, headers=[])
def test_arbitrary_bytes_are_read_or_unknown(
    value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    message = Received("t", 0, 0, "k", value, tuple(headers))
    for decoder in DECODERS:
        with suppress(UnknownMessage):
            decoder(message)
