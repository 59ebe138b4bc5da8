"""The bytes on the bus: commands, reports, texts and heartbeats as messages, and back. Pure.

Commands and reports follow the CloudEvents binding for Kafka in binary mode: attributes are
headers with the prefix `ce_`, the value is the data alone. That value is exactly the body that the
log has hashed, or will hash; metadata travel as they were encoded, in the header `ledger_metadata`.

    message    key        value            headers
    command    database   Encoded.body     ce_*, content-type, traceparent, tracestate, ledger_*
    report     stream     Encoded.body     ce_*, content-type, traceparent, ledger_*
    text       SHA-256    a piece of it    sha256, index, count, size
    heartbeat  agent      Heartbeat JSON   content-type
    parked     its key    the same bytes   the same, and why

Everything that reads raises `UnknownMessage` for what it cannot read, whatever the bytes are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import ValidationError

from ledger.contracts.commands import CancelCommand, Command, Order, command_of, stream_of
from ledger.contracts.envelope import (
    Encoded,
    Metadata,
    Recorded,
    UnknownMessage,
    decode,
    decode_metadata,
    first_problem,
)
from ledger.contracts.events import (
    InspectionOrdered,
    MigrationOrdered,
    RolloutAborted,
)
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.messages import Message, Received
from ledger.contracts.streams import REPORT_STREAMS
from ledger.contracts.topics import (
    CHUNK_BYTES,
    CONTENT,
    HEARTBEATS,
    PARKED,
    REPORTS,
    commands_topic,
)

Headers = tuple[tuple[str, bytes], ...]

TYPE_PREFIX = "dev.migration-ledger"
METADATA = "ledger_metadata"
ADDRESSEE = "ledger_id"
POSITION = "ledger_position"
STREAM_VERSION = "ledger_stream_version"
RECORDED_AT = "ledger_recorded_at"
"""Microseconds since 1970, UTC, as a leaf of the log has them."""
RECORDED_BY = "ledger_recorded_by"
POOL = "ledger_pool"
"""Of a cancellation only, which also goes to a topic of all pools."""
COMMANDS = frozenset(one.__name__ for one in (MigrationOrdered, InspectionOrdered, RolloutAborted))
"""The types of events that are sent to agents."""
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_SPEC: Headers = (("ce_specversion", b"1.0"), ("content-type", b"application/json"))
_TYPE = re.compile(rf"^{re.escape(TYPE_PREFIX)}\.([A-Za-z]{{1,80}})\.v([1-9][0-9]{{0,5}})$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_NUMBER = re.compile(rb"^[0-9]{1,18}$")
_SOURCE = "ledger/"
TERM_MOST, POSITION_MOST = 2**31 - 1, 2**53 - 1
"""No ledger ever reaches these: what lies beyond was invented, to keep every real order out."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Piece `index` (from 0) of `count` of a text; `size` is the whole text's, in bytes."""

    sha256: str
    index: int
    count: int
    size: int
    data: bytes


def encode_command(command: Command) -> Message:
    """The message that carries `command`: the event's own bytes, and what its leaf is made of."""
    recorded, stored = command.recorded, command.recorded.stored
    place = {
        POSITION: recorded.position,
        STREAM_VERSION: recorded.stream_version,
        RECORDED_AT: (recorded.recorded_at - _BEGINNING) // _MICROSECOND,
    }
    return Message(
        topic=commands_topic(command.pool),
        key=command.database,
        value=stored.body,
        headers=(
            *_SPEC,
            ("ce_id", str(stored.event_id).encode()),
            ("ce_source", f"{_SOURCE}{command.ledger}".encode()),
            ("ce_type", f"{TYPE_PREFIX}.{stored.type}.v{stored.schema_version}".encode()),
            ("ce_subject", recorded.stream.encode()),
            *_trace(recorded.metadata),
            (METADATA, stored.metadata),
            *((name, str(number).encode()) for name, number in place.items()),
            (RECORDED_BY, recorded.recorded_by.encode()),
            *(((POOL, command.pool.encode()),) if isinstance(command, CancelCommand) else ()),
        ),
    )


def decode_command(message: Received) -> Command:
    """The command in `message`. Raises `UnknownMessage`."""
    type_, version = _type(message)
    if type_ not in COMMANDS:
        raise UnknownMessage(type_, version, "it is no order")
    recorded = _recorded(message, type_, version)
    source = _text(message, "ce_source")
    try:
        ledger = UUID(source.removeprefix(_SOURCE))
    except ValueError:
        raise UnknownMessage(type_, version, "ce_source is no ledger") from None
    event = recorded.event
    if isinstance(event, RolloutAborted):
        if not event.cancel:
            raise UnknownMessage(type_, version, "it takes nothing back")
        command: Command = CancelCommand(ledger, recorded, message.key, _text(message, POOL))
    else:
        command = command_of(ledger, recorded)
        if not 0 <= command.epoch.term <= TERM_MOST or command.epoch.position > POSITION_MOST:
            raise UnknownMessage(type_, version, "its epoch is none that a ledger reaches")
    if command.database != message.key:
        raise UnknownMessage(type_, version, "the key is not the database's id")
    return command


def _recorded(message: Received, type_: str, version: int) -> Recorded:
    """The event in the message of a command, as it stands in the log. Raises `UnknownMessage`."""
    metadata = message.header(METADATA)
    if metadata is None:
        raise UnknownMessage(type_, version, f"the header {METADATA} is missing")
    try:
        event_id = UUID(_text(message, "ce_id"))
        recorded_at = _BEGINNING + _number(message, RECORDED_AT) * _MICROSECOND
    except (ValueError, OverflowError) as error:
        if isinstance(error, UnknownMessage):
            raise
        raise UnknownMessage(type_, version, "ce_id or its moment cannot be read") from None
    event = decode(type_, version, message.value)
    recorded = Recorded(
        position=_number(message, POSITION),
        stream=_text(message, "ce_subject"),
        stream_version=_number(message, STREAM_VERSION),
        event_id=event_id,
        event=event,
        metadata=decode_metadata(metadata),
        recorded_by=_text(message, RECORDED_BY),
        recorded_at=recorded_at,
        encoded=Encoded(event_id, type_, version, message.value, metadata),
    )
    if isinstance(event, Order | RolloutAborted) and recorded.stream != stream_of(event):
        raise UnknownMessage(type_, version, "ce_subject is not the stream of this order")
    return recorded


def encode_report(
    ledger: UUID, stream: str, encoded: Encoded, agent: str, metadata: Metadata
) -> Message:
    """The message that carries a report to `ledger`, for its `stream` of reports.

    `metadata` are those encoded in `encoded`; only their trace is read, for the headers.
    """
    return Message(
        topic=REPORTS,
        key=stream,
        value=encoded.body,
        headers=(
            *_SPEC,
            ("ce_id", str(encoded.event_id).encode()),
            ("ce_source", f"agent/{agent}".encode()),
            ("ce_type", f"{TYPE_PREFIX}.{encoded.type}.v{encoded.schema_version}".encode()),
            ("ce_subject", stream.encode()),
            *_trace(metadata),
            (ADDRESSEE, str(ledger).encode()),
            (METADATA, encoded.metadata),
        ),
    )


def decode_report(message: Received) -> tuple[str, Encoded]:
    """The stream a report belongs to and the report as it is to be stored.

    The body is not looked at, `ledger.contracts.envelope.decode` does that.
    Raises `UnknownMessage`.
    """
    type_, version = _type(message)
    stream = _text(message, "ce_subject")
    metadata = message.header(METADATA)
    if not any(kind.is_kind_of(stream) for kind in REPORT_STREAMS):
        raise UnknownMessage(type_, version, "ce_subject is not a stream of reports")
    if metadata is None:
        raise UnknownMessage(type_, version, f"the header {METADATA} is missing")
    decode_metadata(metadata)
    try:
        event_id = UUID(_text(message, "ce_id"))
    except ValueError:
        raise UnknownMessage(type_, version, "ce_id is not a UUID") from None
    return stream, Encoded(event_id, type_, version, message.value, metadata)


def addressee(message: Received) -> UUID:
    """The ledger whose command a report answers. Raises `UnknownMessage`."""
    try:
        return UUID(_text(message, ADDRESSEE))
    except ValueError:
        raise UnknownMessage("message", 0, f"the header {ADDRESSEE} is not a UUID") from None


def encode_content(sha256: str, text: bytes) -> list[Message]:
    """The messages that carry `text`, in pieces of at most `CHUNK_BYTES`."""
    pieces = [text[at : at + CHUNK_BYTES] for at in range(0, len(text), CHUNK_BYTES)] or [b""]
    count, size = str(len(pieces)).encode(), str(len(text)).encode()
    return [
        Message(
            topic=CONTENT,
            key=sha256,
            value=piece,
            headers=(
                ("sha256", sha256.encode()),
                ("index", str(index).encode()),
                ("count", count),
                ("size", size),
            ),
        )
        for index, piece in enumerate(pieces)
    ]


def decode_chunk(message: Received) -> Chunk:
    """The piece of a text in `message`. Raises `UnknownMessage`; the hash is not checked here."""
    sha256 = _text(message, "sha256")
    if not _SHA256.match(sha256):
        raise UnknownMessage("content", 1, "the header sha256 is no SHA-256")
    index, count, size = (_number(message, name) for name in ("index", "count", "size"))
    if not index < count or count != max(1, -(-size // CHUNK_BYTES)):
        raise UnknownMessage("content", 1, "index, count and size do not fit together")
    if len(message.value) != min(CHUNK_BYTES, size - index * CHUNK_BYTES):
        raise UnknownMessage("content", 1, "the piece has not the length that its place needs")
    return Chunk(sha256, index, count, size, message.value)


def encode_heartbeat(heartbeat: Heartbeat) -> Message:
    """The message that carries an agent's sign of life."""
    return Message(
        topic=HEARTBEATS,
        key=heartbeat.agent,
        value=heartbeat.model_dump_json().encode(),
        headers=(("content-type", b"application/json"),),
    )


def decode_heartbeat(message: Received) -> Heartbeat:
    """The heartbeat in `message`. Raises `UnknownMessage`."""
    try:
        return Heartbeat.model_validate_json(message.value)
    except ValidationError as error:
        raise UnknownMessage("heartbeat", 1, first_problem(error, "the whole value")) from None


def encode_parked(message: Received, why: str) -> Message:
    """`message` for the topic of what nobody could read, with its place and the reason."""
    place = f"{message.topic}/{message.partition}/{message.offset}"
    return Message(
        topic=PARKED,
        key=message.key,
        value=message.value,
        headers=(*message.headers, ("parked_from", place.encode()), ("parked_why", why.encode())),
    )


def _trace(metadata: Metadata) -> Headers:
    pairs = ((TRACEPARENT, metadata.traceparent), (TRACESTATE, metadata.tracestate))
    return tuple((name, value.encode()) for name, value in pairs if value)


def _type(message: Received) -> tuple[str, int]:
    found = _TYPE.match(_text(message, "ce_type"))
    if found is None:
        raise UnknownMessage("message", 0, "ce_type is none of ours")
    return found[1], int(found[2])


def _text(message: Received, name: str) -> str:
    value = message.header(name)
    if value is None:
        raise UnknownMessage("message", 0, f"the header {name} is missing")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnknownMessage("message", 0, f"the header {name} is not UTF-8") from None


def _number(message: Received, name: str) -> int:
    value = message.header(name) or b""
    if not _NUMBER.match(value):
        raise UnknownMessage("content", 1, f"the header {name} is no number")
    return int(value)
