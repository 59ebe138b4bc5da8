"""Private keys in files: for their owner alone, and nothing of them is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from ledger.signing.errors import KeyUnusable
from ledger.signing.key_files import FILE_MAX_BYTES, generate, read, write

SETTING = "LEDGER_SIGNING_KEY_FILE"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.key"
    write(generate(), path)
    return path


def test_a_key_that_was_written_is_read_again(tmp_path: Path) -> None:
    key = generate()
    write(key, tmp_path / "a.key")
    found = read(tmp_path / "a.key", SETTING)
    assert (found.id, found.public_key) == (key.id, key.public_key)
    assert found.sign(b"x") == key.sign(b"x")


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_its_file_is_for_its_owner_alone_whatever_the_mask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(generate(), tmp_path / "a.key")
    finally:
        os.umask(before)
    assert (tmp_path / "a.key").stat().st_mode & 0o7777 == 0o600


def test_a_key_is_never_written_over_also_behind_a_link(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (file, tmp_path / "link"):
        with pytest.raises(KeyUnusable, match="is there already"):
            write(generate(), path)
    assert file.read_bytes() == content
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="cannot be written"):
        write(generate(), tmp_path / "nowhere" / "a.key")


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o606, 0o660, 0o666, 0o602, 0o620, 0o777])
def test_a_file_that_others_can_read_or_change_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(KeyUnusable, match=f"has the mode {mode:04o}.*chmod 600"):
        read(file, SETTING)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_that_its_owner_alone_can_read_is_taken(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read(file, SETTING).id


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(KeyUnusable, match=f"from {SETTING}"):
            read(path, SETTING)


def test_a_path_to_nothing_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match=f"nothing.key .from {SETTING}. cannot be read"):
        read(tmp_path / "nothing.key", SETTING)


CANARY = b"CANARY"


def pems() -> dict[str, bytes]:
    """What may stand in such a file and is no key of ours."""
    key = Ed25519PrivateKey.generate()
    of_rsa = rsa.generate_private_key(65537, 2048)
    plain = (Encoding.PEM, PrivateFormat.PKCS8)
    return {
        "nothing": b"",
        "words": CANARY,
        "a broken key": b"-----BEGIN PRIVATE KEY-----\n"
        + CANARY
        + b"\n-----END PRIVATE KEY-----\n",
        "another kind": of_rsa.private_bytes(*plain, NoEncryption()),
        "with a password": key.private_bytes(*plain, BestAvailableEncryption(b"x")),
        "endless": CANARY * FILE_MAX_BYTES,
    }


@pytest.mark.parametrize("what", pems())
def test_what_holds_no_key_of_ours_is_refused_and_not_repeated(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(pems()[what])
    path.chmod(0o600)
    with pytest.raises(KeyUnusable, match="holds no Ed25519 key") as raised:
        read(path, SETTING)
    assert CANARY.decode() not in str(raised.value)
