"""Where scratch databases are made: on a server that was named, or on one of our own.

Without a name it is the embedded PostgreSQL, started in a folder that is deleted afterwards, and
ended with the command. What is made on either is `migrations.scratch`'s matter.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.bus.security import is_loopback
from ledger.embedded.errors import ExtraMissing
from ledger.embedded.postgres import EmbeddedPostgres
from ledger.settings.errors import SettingsError
from migrations.catalog.visit import visit
from migrations.scratch.builder import AT_ONCE, Went
from migrations.scratch.database import ScratchDatabase, scratch_database
from migrations.scratch.errors import SchemaUnusable, ScratchRefused
from migrations.scratch.schema import CatalogSchema
from migrations.target.session import ConnectionSettings

if TYPE_CHECKING:
    from ledger.embedded.jars import Announce
    from ledger.settings import Settings
    from migrations.scratch.schema import Schema

FOLDER = "ledger-scratch-"
"""How the folders of our own servers begin, where the system keeps temporary files."""
LOCK = "in-use"
TOLD_EVERY = 2_000
"""Statements of a schema: some seconds of them."""
_FORM = (
    "the address of the server for scratch databases cannot be read; write "
    "postgresql://user@host:5432/database"
)


@dataclass(frozen=True, slots=True)
class ScratchPlace:
    """A server that was named; `address` may hold a password. Empty is one of our own."""

    address: str = ""
    insecure: bool = False

    def __repr__(self) -> str:
        return f"ScratchPlace({'***' if self.address else ''})"

    @classmethod
    def of(cls, settings: Settings, named: str | None = None) -> ScratchPlace:
        """The one that a command names, or else the settings."""
        known = settings.scratch_url
        address = named or (known.get_secret_value() if known is not None else "")
        return cls(address, settings.insecure_scratch)


@asynccontextmanager
async def opened_scratch(
    place: ScratchPlace,
    schema: Schema | None = None,
    *,
    say: Announce = lambda sentence: None,
) -> AsyncIterator[ScratchDatabase]:
    """A scratch database with this schema, dropped at the end and after whatever goes wrong.

    Raises ScratchRefused, SettingsError for an address that cannot be read or trusts whoever
    answers, and what keeps a server of our own from starting.
    """
    went = _told(say)
    if place.address:
        async with scratch_database(_server(place), schema, went) as database:
            yield database
        return
    async with _own_server(say) as server, scratch_database(server, schema, went) as database:
        yield database


def _told(say: Announce) -> Went:
    """Say now and then how far a large schema is."""

    def went(done: int, total: int) -> None:
        if done // TOLD_EVERY > (done - AT_ONCE) // TOLD_EVERY and done < total:
            say(f"The schema of the scratch database: {done:,} of {total:,} statements.")

    return went


async def catalog_at(address: str, target: str = "") -> CatalogSchema:
    """The catalog of the database at an address, to make a scratch database like it; read-only.

    Raises SettingsError, and SchemaUnusable for a database that says nothing.
    """
    try:
        settings = ConnectionSettings.from_url(address, allow_plaintext=is_loopback)
    except ValueError:
        raise SettingsError(
            "the address of the database cannot be read; write postgresql://user@host:5432/database"
        ) from None
    found = await visit(settings, target)
    if found.snapshot is None:
        why = found.failure.message if found.failure else "it says nothing"
        raise SchemaUnusable(f"the schema of the database cannot be had: {why}")
    return CatalogSchema(found.snapshot.document, found.snapshot.names, target)


def _server(place: ScratchPlace) -> ConnectionSettings:
    try:
        plain = True if place.insecure else is_loopback
        settings = ConnectionSettings.from_url(place.address, allow_plaintext=plain)
    except ValueError:
        raise SettingsError(_FORM) from None
    if settings.sslmode != "verify-full" and not settings.allow_plaintext:
        raise SettingsError(
            "the server for scratch databases is not on this machine, and nothing proves who "
            "answers there; end its address with ?sslmode=verify-full&sslrootcert=FILE, or allow "
            "it with LEDGER_INSECURE_SCRATCH=true"
        )
    return settings


@asynccontextmanager
async def _own_server(say: Announce) -> AsyncIterator[ConnectionSettings]:
    """Start the embedded server in a new folder; end it, and delete that, afterwards."""
    for left in _left_over():
        say(f"Deleting {left}, which a run that was killed has left.")
        await asyncio.to_thread(EmbeddedPostgres(left).reset)
    with (
        tempfile.TemporaryDirectory(prefix=FOLDER, ignore_cleanup_errors=True) as name,
        (Path(name) / LOCK).open("w") as lock,
    ):
        # Whoever can take it knows that nobody uses the folder.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        server = EmbeddedPostgres(Path(name), durable=False)
        say("Starting a PostgreSQL of our own for a scratch database ...")
        start = asyncio.create_task(asyncio.to_thread(server.start), name="start scratch server")
        try:
            await _to_its_end(start)
            yield ConnectionSettings.from_url(server.url(), allow_plaintext=True, environ={})
        except ExtraMissing as error:
            raise ScratchRefused(
                f"{error} Or name a server for scratch databases with --scratch or "
                "LEDGER_SCRATCH_URL."
            ) from None
        finally:
            await asyncio.shield(asyncio.to_thread(server.stop))


def _left_over() -> Iterator[Path]:
    """Folders of our servers that nobody uses any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):
            # Another user's may look like ours.
            if folder.lstat().st_uid != os.geteuid() or not folder.is_dir():
                continue
            with (folder / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder


async def _to_its_end(start: asyncio.Task[None]) -> None:
    """Wait for a server that starts, also when nobody wants it any more: only then can it stop."""
    try:
        await asyncio.shield(start)
    except asyncio.CancelledError:
        await asyncio.wait([start])
        raise
