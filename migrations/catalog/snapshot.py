"""A snapshot of a catalog: canonical lines, their hash, and where it cannot be had, why.

    BEGIN … READ ONLY; COPY (what there is, and whose names are which)
    COPY (all objects) ──▶ line by line ──▶ sha256, and kept compressed
    COPY (has something changed meanwhile?); ROLLBACK ── yes ──▶ once more

Three round trips. What is kept is what was hashed: JSON, one line per object, sorted by kind and
name, first a line that says which form this is. It holds what the schema is and no row of a table.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from migrations.catalog import query
from migrations.catalog.neutral import TenantNames, canonical, neutral
from migrations.catalog.wording import worded
from migrations.errors import LockUnavailable, Refused, SchemaRefused, TooMuch
from migrations.model.folder_history import schema_of
from migrations.target.binary_copy import RowStream
from migrations.target.session import DRIVER_ERRORS, Connection, server_version, set_later

FORM = 3
"""Changes when the same catalog would give other lines."""
SNAPSHOT_MAX_BYTES = 64 * 2**20
"""Of the canonical form: 20,000 tables of ten columns take 50 MB."""
_PIECE_BYTES = 256 * 1024
"""Of a document, unpacked at a time."""
TRIES = 3
"""How often a catalog that changes while it is read is read again."""

_IN_ORDER = ("UTF8", "LATIN1")
"""Encodings in which the server sorts as we do; of others, lines are sorted here."""
_TENANTS = (b'"acl": ', b'"owner": ', b'"roles": ')
"""What in a line may be a tenant's own."""
_OWNED = re.compile(rb'\{"is": \{"owner": ("[^"\\]*")\}, "kind": ')
"""How a line begins that says of an object nothing but whose it is, as those of most tables do."""
_LISTED = b"(ARRAY['"
"""Where a list may be written in two ways."""
_WITH_ROLES = "default privileges"
"""The kind whose names hold a role, so that it is sorted when that has its neutral name."""

Take: TypeAlias = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A catalog at one moment. `document` is the canonical form, compressed; empty if not kept."""

    fingerprint: str
    """`sha256:` and the hash of the canonical form."""
    objects: int
    size: int
    """Of the canonical form, in bytes."""
    document: bytes = b""
    names: TenantNames | None = None
    """Whose names the neutral ones stand for; not part of what is hashed."""

    @property
    def digest(self) -> str:
        """The fingerprint's hash alone, as reports hold it."""
        return self.fingerprint.removeprefix("sha256:")


def lines_of(document: bytes) -> Iterator[str]:
    """The canonical form, line by line, without its first; it is never whole in memory.

    Raises ValueError for what is no snapshot, or a larger one than any of ours.
    """
    rest, first = b"", True
    for data in _inflated(document):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            if not first:
                yield line.decode()
            first = False
    if rest or first:
        raise ValueError("this is no whole snapshot of a schema")


def fingerprint_of(document: bytes) -> str:
    """The hash of what is kept compressed. Raises ValueError as `lines_of` does."""
    hashed = hashlib.sha256()
    for data in _inflated(document):
        hashed.update(data)
    return f"sha256:{hashed.hexdigest()}"


def _inflated(document: bytes) -> Iterator[bytes]:
    inflating, size, waiting = zlib.decompressobj(), 0, document
    while waiting or not inflating.eof:
        try:
            data = inflating.decompress(waiting, _PIECE_BYTES)
        except zlib.error:
            raise ValueError("this is no snapshot of a schema") from None
        size += len(data)
        if size > SNAPSHOT_MAX_BYTES:
            raise ValueError("this is larger than any snapshot of a schema")
        yield data
        waiting = inflating.unconsumed_tail
        if not waiting and not data and not inflating.eof:
            raise ValueError("this is no whole snapshot of a schema")


class _Writer:
    """Canonical lines as they come: hashed, counted, and kept where that is wanted."""

    def __init__(self, keep: bool, scope: str) -> None:
        self._hash = hashlib.sha256()
        self._kept = zlib.compressobj(level=1) if keep else None
        self._pieces: list[bytes] = []
        self.objects = -1
        self.size = 0
        self.take(f'{{"form": {FORM}, "scope": "{scope}"}}'.encode())

    def take(self, lines: bytes) -> None:
        data = lines + b"\n"
        self.objects += data.count(b"\n")
        self.size += len(data)
        if self.size > SNAPSHOT_MAX_BYTES:
            raise TooMuch(
                f"the schema of this database is larger than {SNAPSHOT_MAX_BYTES:,} bytes when it "
                "is written down, so no fingerprint is taken of it; look for what fills its "
                "catalog: tables, comments, bodies of functions"
            )
        self._hash.update(data)
        if self._kept is not None:
            self._pieces.append(self._kept.compress(data))

    def finish(self, names: TenantNames) -> Snapshot:
        if self._kept is not None:
            self._pieces.append(self._kept.flush())
        return Snapshot(
            fingerprint=f"sha256:{self._hash.hexdigest()}",
            objects=self.objects,
            size=self.size,
            document=b"".join(self._pieces),
            names=names,
        )


async def take(connection: Connection, target: str = "", *, keep: bool = True) -> Snapshot:
    """The catalog of the database, or of the schema that is the target, as it is now.

    The session must not be in a transaction, and is left in none. Raises what the server raises,
    TooMuch, SchemaRefused where the target is not there, and LockUnavailable.
    """
    for _ in range(TRIES):
        if (found := await _taken(connection, schema_of(target), keep)) is not None:
            return found
    raise LockUnavailable(
        f"somebody changed the schema while it was read, {TRIES} times in a row, so there is no "
        "fingerprint of one moment; look again when that work is done"
    )


async def _taken(connection: Connection, schema: str, keep: bool) -> Snapshot | None:
    version = server_version(connection)
    opening = set_later(connection) + query.opening(schema)
    try:
        probe = await _copied(connection, f"{opening};\n", query.probe(schema))
        header = json.loads(probe[0])
        if schema and header["schema"] is None:
            raise SchemaRefused(
                "the schema that is the target is not there, so there is nothing to take a "
                "fingerprint of; check its name, or create it"
            )
        names = TenantNames.read(header, version)
        writer = _Writer(keep, "schema" if schema else "database")
        lines = _Lines(names, writer.take, in_order=_in_order(connection))
        rows = query.rows(schema, version, header["branches"])
        await _copy(connection, "", rows, lines.take)
        lines.finish()
        (changed,) = await _copied(connection, "", query.changed_since(), behind="; ROLLBACK")
    finally:
        if not connection.is_closed() and connection.is_in_transaction():
            with suppress(*DRIVER_ERRORS):
                await connection.execute("ROLLBACK")
    return None if changed == "true" else writer.finish(names)


async def _copy(
    connection: Connection, first: str, asked: str, take: Callable[[bytes], None], behind: str = ""
) -> None:
    """Hand on the single column of a question's rows as they come, with statements around it."""
    stream = RowStream()
    failed: list[Exception] = []

    async def received(data: bytes) -> None:
        if failed:
            return
        try:
            for (field,) in stream.feed(data):
                take(field or b"")
        except (Refused, ValueError) as error:
            # Not raised to the driver, which would wait for ever for a COPY that is over.
            failed.append(error)
            connection._transport.abort()  # type: ignore[attr-defined]

    whole = f"{first}COPY ({asked}) TO STDOUT (FORMAT binary){behind}"
    try:
        await connection._copy_out(whole, received, None)  # type: ignore[attr-defined]
    except DRIVER_ERRORS:
        if not failed:
            raise
    if failed:
        raise failed[0]


async def _copied(connection: Connection, first: str, asked: str, behind: str = "") -> list[str]:
    found: list[bytes] = []
    await _copy(connection, first, asked, found.append, behind)
    return [field.decode("utf-8", "surrogateescape") for field in found]


def _in_order(connection: Connection) -> bool:
    """Whether the server sorts as we do."""
    return connection.get_settings().server_encoding in _IN_ORDER


class _Lines:
    """From the server's lines to canonical ones, in their order."""

    def __init__(self, names: TenantNames, take: Take, *, in_order: bool) -> None:
        self._names = names
        self._take = take
        self._in_order = in_order
        self._held: list[tuple[list[str], bytes]] = []
        self._owners: dict[bytes, bytes] = {}

    def take(self, lines: bytes) -> None:
        """Most lines are columns, come all of a table's together, and are taken as they are."""
        plain = self._in_order and self._names.schema is None
        if plain and _LISTED not in lines and not any(mark in lines for mark in _TENANTS):
            self._release()
            self._take(lines)
            return
        for line in lines.split(b"\n"):
            self._line(line)

    def _line(self, line: bytes) -> None:
        if _LISTED in line:
            line = worded(line.decode("utf-8", "surrogateescape")).encode(
                "utf-8", "surrogateescape"
            )
        plain = self._in_order and self._names.schema is None
        if plain and not any(mark in line for mark in _TENANTS):
            self._release()
            self._take(line)
            return
        owned = _OWNED.match(line)
        if owned is not None and self._in_order:
            self._release()
            self._take(
                b'{"is": {"owner": %s}%s' % (self._owner(owned[1]), line[owned.end(1) + 1 :])
            )
            return
        found = json.loads(line.decode("utf-8", "surrogateescape"))
        kind, name = found["kind"], found["name"]
        found["is"] = neutral(kind, found["is"], self._names)
        if kind == _WITH_ROLES:
            name[2] = self._names.role(name[2])
        # A byte that is none of the database's encoding is a lone surrogate here, and JSON's there.
        said = canonical(found).encode("utf-8", "backslashreplace")
        if kind == _WITH_ROLES or not self._in_order:
            self._held.append(([kind, *(part or "" for part in name)], said))
            return
        self._release()
        self._take(said)

    def _owner(self, said: bytes) -> bytes:
        """An owner as tenants share him, in JSON."""
        if (known := self._owners.get(said)) is None:
            role = self._names.role(json.loads(said))
            known = self._owners[said] = json.dumps(role, ensure_ascii=False).encode()
        return known

    def finish(self) -> None:
        """Nothing comes any more."""
        self._release()

    def _release(self) -> None:
        if self._held:
            for _, line in sorted(self._held):
                self._take(line)
            self._held.clear()
