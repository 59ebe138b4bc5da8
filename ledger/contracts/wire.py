"""The bytes on the bus: commands, reports, texts and heartbeats as messages, and back. Pure.

Commands and reports follow the CloudEvents binding for Kafka in binary mode: attributes are
headers with the prefix `ce_`, the value is the data alone. A report's value is exactly the body
that the log will hash; its metadata travel as they were encoded, in the header `ledger_metadata`.

    message    key        value            headers
    command    database   COMMAND as JSON  ce_*, content-type, traceparent, tracestate
    report     stream     Encoded.body     ce_*, content-type, traceparent, ledger_*
    text       SHA-256    a piece of it    sha256, index, count, size
    heartbeat  agent      Heartbeat JSON   content-type
    parked     its key    the same bytes   the same, and why

Everything that reads raises `UnknownMessage` for what it cannot read, whatever the bytes are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError

from ledger.contracts.commands import COMMAND, ApplyCommand, CancelCommand, InspectCommand
from ledger.contracts.envelope import Encoded, Metadata, UnknownMessage, decode_metadata
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.messages import Message, Received
from ledger.contracts.topics import (
    CHUNK_BYTES,
    CONTENT,
    HEARTBEATS,
    PARKED,
    REPORTS,
    commands_topic,
)

AnyCommand = ApplyCommand | InspectCommand | CancelCommand
Headers = tuple[tuple[str, bytes], ...]

TYPE_PREFIX = "dev.migration-ledger"
COMMAND_VERSION = 1
METADATA = "ledger_metadata"
ADDRESSEE = "ledger_id"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_SPEC: Headers = (("ce_specversion", b"1.0"), ("content-type", b"application/json"))
_TYPE = re.compile(rf"^{re.escape(TYPE_PREFIX)}\.([A-Za-z]{{1,80}})\.v([1-9][0-9]{{0,5}})$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_REPORTS_STREAM = re.compile(r"^(rollout|check)-[A-Za-z0-9._-]{1,100}/reports$")
_NUMBER = re.compile(rb"^[0-9]{1,12}$")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Piece `index` (from 0) of `count` of a text; `size` is the whole text's, in bytes."""

    sha256: str
    index: int
    count: int
    size: int
    data: bytes


def encode_command(command: AnyCommand, metadata: Metadata) -> Message:
    """The message that carries `command`; `metadata` are those of the order it comes from."""
    kind = type(command).__name__
    return Message(
        topic=commands_topic(command.pool),
        key=command.database,
        value=COMMAND.dump_json(command),
        headers=(
            *_SPEC,
            ("ce_id", str(command.command).encode()),
            ("ce_source", f"ledger/{command.ledger}".encode()),
            ("ce_type", f"{TYPE_PREFIX}.{kind}.v{COMMAND_VERSION}".encode()),
            ("ce_subject", command.stream.encode()),
            *_trace(metadata),
        ),
    )


def decode_command(message: Received) -> AnyCommand:
    """The command in `message`. Raises `UnknownMessage`."""
    type_, version = _type(message)
    if version > COMMAND_VERSION:
        raise UnknownMessage(type_, version, f"newest known is {COMMAND_VERSION}")
    try:
        command = COMMAND.validate_json(message.value)
    except ValidationError as error:
        raise UnknownMessage(type_, version, _first_problem(error)) from None
    if type(command).__name__ != type_:
        raise UnknownMessage(type_, version, "the value holds another kind of command")
    if _text(message, "ce_id") != str(command.command):
        raise UnknownMessage(type_, version, "ce_id is not the command's id")
    return command


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
    if not _REPORTS_STREAM.match(stream):
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
        raise UnknownMessage("heartbeat", 1, _first_problem(error)) from None


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


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the whole value"
    return f"{where}: {problem['msg']}"
