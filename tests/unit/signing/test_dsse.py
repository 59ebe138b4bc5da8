"""Envelopes are DSSE's, and keys are Ed25519's: against what both specifications publish."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.contracts.public_keys import key_bytes, key_id, key_text
from ledger.signing.dsse import (
    ENVELOPE_MAX_BYTES,
    Envelope,
    EnvelopeUnreadable,
    Signature,
    pae,
    read,
    write,
)
from ledger.signing.errors import NotSigned
from ledger.signing.key_files import PrivateKey
from ledger.signing.seal import SignatureCheck, verifying_key

HELLO = ("http://example.com/HelloWorld", b"hello world")
"""The test vector of the specification, protocol.md of github.com/secure-systems-lab/dsse."""

# RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
        "f9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
        "f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984"
        "dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def private(secret: str) -> PrivateKey:
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))


FIRST, SECOND, THIRD = (private(row[0]) for row in RFC_8032)
KEYS = {one.id: verifying_key(one.public_key) for one in (FIRST, SECOND)}


def sealed(*keys: PrivateKey, kind: str = HELLO[0], payload: bytes = HELLO[1]) -> bytes:
    content = pae(kind, payload)
    return write(Envelope(kind, payload, tuple(Signature(k.id, k.sign(content)) for k in keys)))


def test_what_is_signed_is_the_encoding_that_the_specification_shows() -> None:
    assert pae(*HELLO) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_count_bytes_and_not_characters() -> None:
    assert pae("größe", "ß".encode()) == "DSSEv1 7 größe 2 ß".encode()


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_keys_sign_as_rfc_8032_says(secret: str, public: str, message: str, signature: str) -> None:
    key = private(secret)
    assert key_bytes(key.public_key).hex() == public
    assert key.id == key_id(bytes.fromhex(public))
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verifying_key(key.public_key).verify(bytes.fromhex(signature), bytes.fromhex(message))


def test_an_envelope_has_the_form_of_the_specification() -> None:
    said = json.loads(sealed(FIRST))
    assert said["payloadType"] == HELLO[0]
    assert b64decode(said["payload"]) == HELLO[1]
    (signature,) = said["signatures"]
    assert signature["keyid"] == FIRST.id
    verifying_key(FIRST.public_key).verify(b64decode(signature["sig"]), pae(*HELLO))


def test_an_envelope_is_read_with_either_alphabet_of_base64() -> None:
    payload = bytes(range(248, 256)) * 3
    said = json.loads(sealed(FIRST, payload=payload))
    plain = read(json.dumps(said).encode())
    said["payload"] = urlsafe_b64encode(payload).decode()
    said["signatures"][0]["sig"] = urlsafe_b64encode(plain.signatures[0].sig).decode()
    assert "+" in b64encode(payload).decode() or "/" in b64encode(payload).decode()
    assert read(json.dumps(said).encode()) == plain


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"[" * 5_000,
        b'{"payload":"aGk=","payloadType":"t","signatures":[]}',
        b'{"payload":"aGk=","payloadType":"t","signatures":{}}',
        b'{"payload":"aGk=","payloadType":"t","signatures":[1]}',
        b'{"payload":"aGk=","payloadType":"t","signatures":[{"keyid":"a"}]}',
        b'{"payload":"aGk=","payloadType":"t","signatures":[{"keyid":5,"sig":"aGk="}]}',
        b'{"payload":"aGk=","payloadType":7,"signatures":[{"keyid":"a","sig":"aGk="}]}',
        b'{"payload":"a+_=","payloadType":"t","signatures":[{"keyid":"a","sig":"aGk="}]}',
        b'{"payload":null,"payloadType":"t","signatures":[{"keyid":"a","sig":"aGk="}]}',
        b'{"payload":"aGk=","payloadType":"t","signatures":['
        + b",".join([b'{"keyid":"a","sig":"aGk="}'] * 5)
        + b"]}",
        b'{"payload":"' + b"A" * ENVELOPE_MAX_BYTES + b'"}',
    ],
)
def test_what_is_no_envelope_is_called_so(raw: bytes) -> None:
    with pytest.raises(EnvelopeUnreadable):
        read(raw)
    with pytest.raises(NotSigned, match="its signature cannot be read"):
        SignatureCheck().opened(raw, HELLO[0], KEYS)


def test_who_signed_is_found_and_what() -> None:
    check = SignatureCheck()
    for _ in range(2):
        assert check.opened(sealed(SECOND), HELLO[0], KEYS) == (SECOND.id, HELLO[1])


def test_a_key_that_is_taken_away_counts_no_more_also_for_what_is_known() -> None:
    check = SignatureCheck()
    raw = sealed(FIRST)
    assert check.opened(raw, HELLO[0], KEYS)[0] == FIRST.id
    with pytest.raises(NotSigned, match="is not known here"):
        check.opened(raw, HELLO[0], {SECOND.id: KEYS[SECOND.id]})


def test_an_unknown_signature_beside_a_known_one_is_passed_over() -> None:
    assert SignatureCheck().opened(sealed(THIRD, FIRST), HELLO[0], KEYS)[0] == FIRST.id


def test_a_known_signature_that_does_not_fit_spoils_the_envelope() -> None:
    content = pae(*HELLO)
    good, bad = Signature(FIRST.id, FIRST.sign(content)), Signature(SECOND.id, FIRST.sign(content))
    for signatures in ((good, bad), (bad, good)):
        with pytest.raises(NotSigned, match="does not fit"):
            SignatureCheck().opened(write(Envelope(*HELLO, signatures)), HELLO[0], KEYS)


@pytest.mark.parametrize("changed", ["payload", "payloadType", "sig"])
def test_a_changed_byte_is_found(changed: str) -> None:
    said = json.loads(sealed(FIRST))
    place = said["signatures"][0] if changed == "sig" else said
    if changed == "payloadType":
        place[changed] += "x"
    else:
        raw = bytearray(b64decode(place[changed]))
        raw[0] ^= 1
        place[changed] = b64encode(bytes(raw)).decode()
    with pytest.raises(NotSigned, match="does not fit"):
        SignatureCheck().opened(json.dumps(said).encode(), HELLO[0], KEYS)


def test_what_was_signed_as_one_thing_is_not_read_as_another() -> None:
    check = SignatureCheck()
    for _ in range(2):
        with pytest.raises(NotSigned, match="as something else"):
            check.opened(sealed(FIRST), "application/other", KEYS)


@pytest.mark.parametrize("name", ["", "\x1b[2J", "a" * 4_000, "39f713d0"])
def test_a_name_of_a_key_that_can_be_none_is_not_repeated(name: str) -> None:
    raw = write(Envelope(*HELLO, (Signature(name, b"x" * 64),)))
    with pytest.raises(NotSigned) as raised:
        SignatureCheck().opened(raw, HELLO[0], KEYS)
    assert str(raised.value) == "it is signed by a key without an id, which is not known here"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        key_text(b"a" * 31),
        key_text(b"a" * 33),
        key_text(b"a" * 32)[:-1],
        key_text(b"a" * 32)[:-2] + "X=",
        f" {key_text(b'a' * 32)}",
        "ä" * 44,
        key_text(bytes(32)),
        key_text(b"\x01" + bytes(31)),
        key_text(bytes.fromhex("ec" + "ff" * 30 + "7f")),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no public key|anybody can sign"):
        key_bytes(text)
