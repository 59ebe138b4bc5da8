"""A real PostgreSQL server with TLS, and certificates for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.embedded.postgres import EmbeddedPostgres
from tests.support.installed import installed


def make_certificate(folder: Path, name: str, *kind: str) -> tuple[Path, Path]:
    """A certificate for localhost that vouches for itself, and its key."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        [
            installed("openssl"),
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            *kind,
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


KEYS = {
    "RSA": ("-newkey", "rsa:2048"),
    "ECDSA": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"),
}


def tls_programs() -> Path:
    """The programs of a PostgreSQL that was built with TLS; the embedded one was not."""
    packages = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    for folder in [*packages, *([Path(on_path).parent] if on_path else [])]:
        told = folder / "pg_config"
        if (folder / "postgres").exists() and told.exists():
            said = subprocess.run([told, "--configure"], capture_output=True, text=True, check=True)
            if "openssl" in said.stdout:
                return folder
    return Path(installed("postgres-with-tls")).parent


@contextmanager
def tls_server(
    folder: Path, certificate: Path, key: Path, lines: str | None = None
) -> Iterator[EmbeddedPostgres]:
    """A running server that shows this certificate; `lines` are its pg_hba.conf, if not its own."""
    programs = tls_programs()
    plain = EmbeddedPostgres(folder, durable=False, programs=programs)
    plain.start()
    plain.stop()
    owner = plain.data.stat()
    for name, file in (("server.crt", certificate), ("server.key", key)):
        target = plain.data / name
        target.touch(mode=0o600)
        target.write_bytes(file.read_bytes())
        os.chown(target, owner.st_uid, owner.st_gid)
    if lines is not None:
        (plain.data / "pg_hba.conf").write_text(lines)
    server = EmbeddedPostgres(folder, durable=False, settings={"ssl": "on"}, programs=programs)
    server.start()
    try:
        yield server
    finally:
        server.stop()
