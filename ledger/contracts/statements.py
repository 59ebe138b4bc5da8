"""What is signed of a message: DSSE payloads, made the same way by who signs and who checks. Pure.

A message travels as it always did; beside it, in the header `ledger_signature`, travels a DSSE
envelope (https://github.com/secure-systems-lab/dsse) over a statement: a JSON object that names the
message by its digest, and says what may be read without it.

    payload type  application/vnd.migration-ledger.<kind>.v1+json
    order         an order to change a database     one message
    look          an order to look at one           one message
    cancellation  what takes orders back            one message
    reports       what agents report                up to `TOGETHER` messages
    heartbeat     a sign of life                    one message

The digest covers key, value and every header but those of traces and the signature itself, so a
message cannot be signed as one thing and read as another:

    SHA-256( field(key) field(value) { field(name) field(content) }  for each header, in order )
    field(x) = the length of x as four bytes, most significant first, and x

Whoever checks makes the statement anew from what was read and compares its bytes: nothing is
believed because it stands in the statement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from ledger.contracts.commands import ApplyCommand, CancelCommand, Command, OrderCommand
from ledger.contracts.messages import Message, Received

SIGNATURE = "ledger_signature"
"""The header with the envelope."""
UNSIGNED = frozenset({SIGNATURE, "traceparent", "tracestate"})
"""Headers that a digest leaves out: a bus puts those of traces in while it sends."""
TOGETHER = 8
"""Reports that share an envelope: more make it long, fewer make signing dear."""

_KIND = "application/vnd.migration-ledger.{}.v1+json"
ORDER = _KIND.format("order")
LOOK = _KIND.format("look")
CANCELLATION = _KIND.format("cancellation")
REPORTS = _KIND.format("reports")
HEARTBEAT = _KIND.format("heartbeat")


class SignedStatement(NamedTuple):
    """The payload of an envelope, and its type."""

    payload_type: str
    payload: bytes


def digest(message: Message | Received) -> str:
    """What a message is, in 64 hexadecimal digits."""
    parts = [message.key.encode(), message.value]
    for name, content in message.headers:
        if name not in UNSIGNED:
            parts += (name.encode(), content)
    fields = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return hashlib.sha256(fields).hexdigest()


def of_command(command: Command, message: Message | Received) -> SignedStatement:
    """What a ledger signs of `command`, which travels as `message`.

    A cancellation takes back what stands before its own place in the log and nothing else, whenever
    it is heard, so it does not expire.
    """
    said: dict[str, Any] = {
        "ledger": command.ledger,
        "event": command.recorded.event_id,
        "stream": command.stream,
        "position": command.position,
        "database": command.database,
        "pool": command.pool,
    }
    if isinstance(command, OrderCommand):
        said |= {"term": command.order.term, "expires_at": command.expires_at}
    said |= {"body": hashlib.sha256(message.value).hexdigest(), "message": digest(message)}
    return SignedStatement(kind_of(command), to_json(said))


def kind_of(command: Command) -> str:
    """The payload type of a command's statement."""
    if isinstance(command, CancelCommand):
        return CANCELLATION
    return ORDER if isinstance(command, ApplyCommand) else LOOK


def of_several(payload_type: str, agent: str, messages: Sequence[Message]) -> SignedStatement:
    """What an agent signs of these messages, all at once."""
    said = {"agent": agent, "messages": [digest(message) for message in messages]}
    return SignedStatement(payload_type, to_json(said))


def covers(payload: bytes, message: Received) -> bool:
    """Whether a statement `of_several` names this message."""
    try:
        said = from_json(payload)
    except ValueError:
        return False
    named = said.get("messages") if isinstance(said, dict) else None
    return isinstance(named, list) and digest(message) in named
