"""A bundle is named by its manifest's hash, and whoever has the name cannot be given another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agents.errors import TextRefused
from agents.texts import Library, Texts
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import UnknownMessage
from ledger.contracts.manifest import decode_manifest, encode_manifest, name_of
from ledger.contracts.messages import Received
from ledger.contracts.registry import ContentRef, MigrationRef
from ledger.contracts.wire import encode_content
from ledger.service.migration_refs import migration_ref
from migrations.formats import Reading
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Mode
from tests.support.orders import apply_command, changed

TEXT = b"-- +migrate Up\nSELECT 1;\n-- +migrate Down\nSELECT 2;\n"
REF = MigrationRef(
    version="1",
    name="a",
    format="sql-migrate",
    up_checksum="1" * 64,
    down_checksum="2" * 64,
    has_verify=False,
    transactional=True,
    files=(ContentRef(name="1_a.sql", sha256="3" * 64, size=9),),
)


def test_a_manifest_is_these_bytes_for_ever() -> None:
    """Another hash would make every registered folder a new bundle."""
    files = '[{"name":"1_a.sql","sha256":"' + "3" * 64 + '","size":9}]'
    ref = (
        '{"version":"1","name":"a","format":"sql-migrate","up_checksum":"' + "1" * 64
        + '","down_checksum":"' + "2" * 64 + '","has_verify":false,"transactional":true,'
        + '"files":' + files + "}"
    )  # fmt: skip
    text = '{"form":"migration-ledger/manifest/1","migrations":[' + ref + "]}"
    assert encode_manifest([REF]) == text.encode()
    assert name_of(text.encode()) == hashlib.sha256(text.encode()).hexdigest()
    assert decode_manifest(text.encode()).migrations == (REF,)


def test_a_field_that_is_not_used_changes_no_name_and_one_that_is_used_does() -> None:
    used = REF.model_copy(update={"kind": "data"})
    assert b"kind" not in encode_manifest([REF])
    assert encode_manifest([used]) != encode_manifest([REF])
    assert decode_manifest(encode_manifest([used])).migrations == (used,)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"\xff", b'{"form":"another/2","migrations":[]}', b'{"migrations":[]}']
)
def test_what_is_no_manifest_is_not_read(text: bytes) -> None:
    with pytest.raises(UnknownMessage, match="manifest"):
        decode_manifest(text)


def test_the_values_of_variables_are_no_part_of_a_bundles_name(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_bytes(TEXT.replace(b"SELECT 1", b"SELECT ${x}"))
    names = {
        name_of(
            encode_manifest(
                [
                    migration_ref(one)
                    for one in load_folder(tmp_path, None, Reading({"x": value})).migrations
                ]
            )
        )
        for value in ("1", "'two'")
    }
    assert len(names) == 1


# --- an agent that is sent texts ---


def folder(path: Path) -> tuple[MigrationRef, ...]:
    (path / "1_a.sql").write_bytes(TEXT)
    return tuple(migration_ref(one) for one in load_folder(path).migrations)


def library(*texts: bytes) -> Library:
    """What an agent has after these texts came."""
    kept = Texts(1_000_000)
    for text in texts:
        for message in encode_content(hashlib.sha256(text).hexdigest(), text):
            kept.take(Received("t", 0, 0, message.key, message.value, message.headers))
    return Library(kept)


def test_an_agent_waits_for_the_manifest_and_then_for_what_it_names(tmp_path: Path) -> None:
    refs = folder(tmp_path)
    command, manifest = apply_command(refs), encode_manifest(refs)
    assert library().missing(command)
    assert library(TEXT).missing(command)
    assert library(manifest).missing(command)
    whole = library(manifest, TEXT)
    assert not whole.missing(command)
    assert [one.version for one in whole.load(command)] == ["1"]
    assert whole.refs(command) == refs


@pytest.mark.parametrize("mode", [Mode.DOWN, Mode.ROLLBACK])
def test_going_back_is_checked_by_the_down_section(mode: Mode, tmp_path: Path) -> None:
    refs = folder(tmp_path)
    whole = library(encode_manifest(refs), TEXT)
    assert whole.load(apply_command(refs, mode=mode))
    with pytest.raises(TextRefused, match="not the one that was ordered"):
        whole.load(changed(apply_command(refs), mode=mode))


@pytest.mark.parametrize("wrong", ["version", "checksum"])
def test_a_step_that_the_bundle_does_not_have_so_is_refused(wrong: str, tmp_path: Path) -> None:
    refs = folder(tmp_path)
    command = apply_command(refs)
    (step,) = command.order.steps
    other = changed(command, steps=(step.model_copy(update={wrong: "0" * 64}),))
    whole = library(encode_manifest(refs), TEXT)
    assert not whole.missing(other)
    refused(whole, other)


def test_a_manifest_that_lies_about_a_text_is_refused(tmp_path: Path) -> None:
    (ref,) = folder(tmp_path)
    lies = (ref.model_copy(update={"up_checksum": "0" * 64}),)
    refused(library(encode_manifest(lies), TEXT), apply_command(lies))


def test_a_text_in_the_manifests_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    command = apply_command(folder(tmp_path))
    other = changed(command, bundle=hashlib.sha256(TEXT).hexdigest())
    agent = library(TEXT)
    assert not agent.missing(other)
    refused(agent, other)


def refused(agent: Library, command: ApplyCommand) -> None:
    with pytest.raises(TextRefused):
        agent.load(command)
