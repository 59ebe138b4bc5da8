"""What is signed of a message: pinned, because leaders and agents of two versions must agree."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.contracts.messages import Message, Received
from ledger.contracts.statements import (
    CANCELLATION,
    LOOK,
    ORDER,
    REPORTS,
    SIGNATURE,
    covers,
    digest,
    of_command,
    of_several,
)
from ledger.contracts.wire import encode_command
from ledger.signing.dsse import read
from ledger.signing.key_files import PrivateKey
from ledger.signing.seal import Signer
from tests.support.orders import apply_command, cancel_command, inspect_command

LEDGER = UUID("0199aaaa-0000-7000-8000-000000000001")
MESSAGE = Message(
    "t",
    "acme",
    b'{"a":1}',
    (("ce_id", b"7"), ("traceparent", b"00-1"), ("größe", b"\xff\x00"), ("tracestate", b"x")),
)


def field(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def received(message: Message) -> Received:
    return Received(message.topic, 0, 0, message.key, message.value, message.headers)


def test_the_digest_is_the_one_that_is_written_down() -> None:
    parts = [b"acme", b'{"a":1}', b"ce_id", b"7", "größe".encode(), b"\xff\x00"]
    assert digest(MESSAGE) == hashlib.sha256(b"".join(map(field, parts))).hexdigest()
    assert digest(MESSAGE) == digest(received(MESSAGE))


@pytest.mark.parametrize(
    "changed",
    [
        replace(MESSAGE, key="acm", value=b'e{"a":1}'),
        replace(MESSAGE, value=b'{"a":2}'),
        replace(MESSAGE, headers=MESSAGE.headers[::-1]),
        replace(MESSAGE, headers=MESSAGE.headers[1:]),
        replace(MESSAGE, headers=(*MESSAGE.headers, MESSAGE.headers[0])),
        replace(MESSAGE, headers=(("ce_i", b"d7"), *MESSAGE.headers[1:])),
        replace(MESSAGE, headers=(("ce_id", b"7"), ("größ", b"e\xff\x00"))),
        replace(MESSAGE, headers=(*MESSAGE.headers, ("", b""))),
        replace(MESSAGE, headers=(*MESSAGE.headers, ("Traceparent", b""))),
    ],
)
def test_whatever_is_read_changes_it(changed: Message) -> None:
    assert digest(changed) != digest(MESSAGE)


def test_traces_and_the_signature_itself_do_not() -> None:
    kept = tuple(one for one in MESSAGE.headers if not one[0].startswith("trace"))
    signed = replace(MESSAGE, headers=(*kept, (SIGNATURE, b"{}"), ("traceparent", b"other")))
    assert digest(signed) == digest(MESSAGE)


def test_an_order_says_its_ledger_epoch_position_and_expiry() -> None:
    order = apply_command(ledger=LEDGER, position=7, term=3)
    message = encode_command(order)
    statement = of_command(order, message)
    assert statement.payload_type == ORDER
    assert json.loads(statement.payload) == {
        "ledger": str(LEDGER),
        "event": str(order.recorded.event_id),
        "stream": "rollout-r",
        "position": 7,
        "database": "acme",
        "pool": "p",
        "term": 3,
        "expires_at": "2026-01-01T00:00:00Z",
        "body": hashlib.sha256(message.value).hexdigest(),
        "message": digest(message),
    }


def test_each_kind_of_command_is_signed_as_what_it_is() -> None:
    order = apply_command(ledger=LEDGER)
    kinds = {
        of_command(one, encode_command(one)).payload_type
        for one in (order, inspect_command(ledger=LEDGER), cancel_command(order))
    }
    assert kinds == {ORDER, LOOK, CANCELLATION}


def test_what_one_message_carries_is_named_and_no_other() -> None:
    others = [replace(MESSAGE, value=b"%d" % number) for number in range(3)]
    payload = of_several(REPORTS, "a1", others[:2]).payload
    assert [covers(payload, received(one)) for one in others] == [True, True, False]
    for payload in (b"", b"null", b"[]", b"{}", b'{"messages":{}}', b'{"messages":"x"}'):
        assert not covers(payload, received(MESSAGE))


def test_the_envelope_of_a_message_is_pinned() -> None:
    """Ed25519 has one signature for one text: with the key of RFC 8032, this one."""
    secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    key = PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))
    (signed,) = Signer(key).several(REPORTS, "a1", [MESSAGE])
    envelope = read(dict(signed.headers)[SIGNATURE])
    assert envelope.payload == (b'{"agent":"a1","messages":["' + digest(MESSAGE).encode() + b'"]}')
    (signature,) = envelope.signatures
    assert signature.keyid == "21fe31dfa154a261626bf854046fd227"
    assert signature.sig.hex() == (
        "a09424e708d1a467d87516146d4be710e96f26346ff88043bfdec36cd4c5e93d"
        "9d1b3a73fdd98a3ea723e3d48c76092ecc94f2641ab840a3a92fe18f377e990d"
    )
