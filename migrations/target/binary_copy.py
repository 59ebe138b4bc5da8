"""Reads rows of our own tables by COPY: one round trip, and nothing for the server to plan.

A query through asyncpg takes two round trips, and planning it reads catalogs that nothing else of a
small migration touches (seen: with more databases than fit in its cache, reading the journal took
the server 1.9 ms by a query and 0.7 ms by COPY). Binary, because what COPY writes as text depends
on settings such as DateStyle. The format is PostgreSQL's, documented with COPY.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from migrations.errors import TooMuch
from migrations.sql.literals import quote_ident
from migrations.target.session import Connection

Reader: TypeAlias = Callable[[bytes], Any]
Row: TypeAlias = dict[str, Any]

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_COUNT = struct.Struct("!h").unpack_from
_LENGTH = struct.Struct("!i").unpack_from
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Where PostgreSQL counts microseconds from."""


def integer(field: bytes) -> int:
    """A smallint, an integer or a bigint."""
    return int.from_bytes(field, "big", signed=True)


def boolean(field: bytes) -> bool:
    """A boolean."""
    return field != b"\0"


def moment(field: bytes) -> datetime:
    """A timestamptz; beyond what Python knows, infinity among it, the last moment it does."""
    try:
        return _EPOCH + timedelta(microseconds=integer(field))
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def identifier(field: bytes) -> UUID:
    """A uuid."""
    return UUID(bytes=field)


def json_text(field: bytes) -> str:
    """A jsonb, as its text; the first byte is the version of the form."""
    return field[1:].decode()


text: Reader = bytes.decode
"""A text or a name."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a table of ours may hold."""

    rows: int
    bytes: int

    def check(self, *, rows: int = 0, size: int = 0) -> None:
        """Raise TooMuch for more."""
        if rows > self.rows or size > self.bytes:
            raise TooMuch(
                f"the journal is larger than any of ours ({self.rows:,} entries, {self.bytes:,} "
                "bytes), so it was not read; look at migration_ledger.journal, and take out with "
                "`ledger db remove-journal` what others have filled"
            )


OURS = Bounds(rows=25_000, bytes=16 * 2**20)
"""Of a table of ours: ten rollouts a day for years, and 80 MB of memory at worst."""
_ONE_ROW = Bounds(rows=1, bytes=2**20)


async def copied(
    connection: Connection,
    schema: str,
    table: str,
    columns: Mapping[str, Reader],
    bounds: Bounds = OURS,
) -> list[Row]:
    """All rows of a table, these columns of them, in no order.

    Raises what the server raises, `UndefinedTableError` for a table that is not there, and TooMuch.
    """
    received = bytearray()
    await connection.copy_from_table(
        table,
        schema_name=schema,
        columns=list(columns),
        output=_into(received, bounds),
        format="binary",
    )
    return _rows(received, columns, bounds)


async def copied_behind(
    connection: Connection,
    first: str,
    schema: str,
    table: str,
    columns: Mapping[str, Reader],
    bounds: Bounds = OURS,
) -> list[Row]:
    """As `copied`, with statements before it in the same round trip; their answers are not read.

    COPY is sent as a simple query, which may hold several statements; asyncpg passes over answers
    that come before COPY's own (0.32: `_process__copy_out`).
    """
    received = bytearray()
    names = ", ".join(map(quote_ident, columns))
    copy = f"COPY {quote_ident(schema)}.{quote_ident(table)} ({names}) TO STDOUT (FORMAT binary)"
    both = f"{first};\n{copy}"
    await connection._copy_out(both, _into(received, bounds), None)  # type: ignore[attr-defined]
    return _rows(received, columns, bounds)


async def queried_behind(
    connection: Connection, first: str, query: str, columns: Mapping[str, Reader], last: str = ""
) -> list[Row]:
    """All rows of a query without parameters, with statements before it as `copied_behind` has.

    The statement `last` comes behind it, in the same round trip. Raises what the server raises.
    """
    received = bytearray()
    both = f"{first};\nCOPY ({query}) TO STDOUT (FORMAT binary);\n{last}"
    await connection._copy_out(both, _into(received, _ONE_ROW), None)  # type: ignore[attr-defined]
    return _rows(received, columns, _ONE_ROW)


class RowStream:
    """Rows of a COPY in the binary form as its bytes come, none kept longer than it takes."""

    def __init__(self) -> None:
        self._data = b""
        self._began = False

    def feed(self, data: bytes) -> Iterator[list[bytes | None]]:
        """The rows that are whole now."""
        data, at = self._data + data, 0
        if not self._began:
            # Behind the signature: flags, and the length of an extension that nobody uses yet.
            at = len(_SIGNATURE) + 8
            if len(data) < at:
                self._data = data
                return
            if not data.startswith(_SIGNATURE):
                raise ValueError("the server did not answer COPY in the binary form")
            self._began = True
        while (row := _whole_row(data, at)) is not None:
            fields, at = row
            yield fields
        self._data = data[at:]


def _whole_row(data: bytes, at: int) -> tuple[list[bytes | None], int] | None:
    """The row that begins there and where the next one does; `None` where its end is not yet here,
    and at the end of all.
    """
    if len(data) < at + 2 or (count := _COUNT(data, at)[0]) < 0:
        return None
    at += 2
    fields: list[bytes | None] = []
    for _ in range(count):
        if len(data) < at + 4:
            return None
        start, length = at + 4, _LENGTH(data, at)[0]
        at = start + max(length, 0)
        if len(data) < at:
            return None
        fields.append(None if length < 0 else data[start:at])
    return fields, at


def _into(received: bytearray, bounds: Bounds) -> Callable[[bytes], Coroutine[Any, Any, None]]:
    async def take(data: bytes) -> None:
        bounds.check(size=len(received) + len(data))
        received.extend(data)

    return take


def _rows(received: bytearray, columns: Mapping[str, Reader], bounds: Bounds) -> list[Row]:
    rows = []
    for number, fields in enumerate(_tuples(bytes(received)), start=1):
        bounds.check(rows=number)
        rows.append(_row(fields, columns))
    return rows


def _tuples(data: bytes) -> Iterator[list[bytes | None]]:
    if not data.startswith(_SIGNATURE):
        raise ValueError("the server did not answer COPY in the binary form")
    # Behind the signature: flags, and the length of an extension that nobody uses yet.
    at = len(_SIGNATURE) + 8 + _LENGTH(data, len(_SIGNATURE) + 4)[0]
    while (count := _COUNT(data, at)[0]) >= 0:
        at += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            start, length = at + 4, _LENGTH(data, at)[0]
            at = start + max(length, 0)
            fields.append(None if length < 0 else data[start:at])
        yield fields


def _row(fields: list[bytes | None], columns: Mapping[str, Reader]) -> Row:
    return {
        name: None if field is None else read(field)
        for (name, read), field in zip(columns.items(), fields, strict=True)
    }
