"""What a trace saw of statements: the locks of each, what it wrote anew, what it read through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class LockMode(IntEnum):
    """The modes of a table's lock, the weakest first."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    @property
    def words(self) -> str:
        """As SQL has it: `SHARE ROW EXCLUSIVE`."""
        return self.name.replace("_", " ")

    @property
    def blocks_writes(self) -> bool:
        """Whether no row can be written meanwhile."""
        return self >= LockMode.SHARE

    @property
    def blocks_reads(self) -> bool:
        """Whether no row can be read meanwhile."""
        return self is LockMode.ACCESS_EXCLUSIVE


@dataclass(frozen=True, slots=True)
class TableLock:
    """A table, as SQL names it, `schema.table` and not escaped, and the strongest lock on it."""

    table: str
    mode: LockMode


@dataclass(frozen=True, slots=True)
class TracedStatement:
    """One statement of an up section; `number` counts them from 0, `line` is 1-based.

    What it does to tables that a pending migration makes is not told: nobody uses them yet.
    `untraced` says why nothing was seen; then the rest is what is known of its kind, for a
    statement that runs outside of transactions, or nothing.
    """

    version: str
    label: str
    """The migration's."""
    file: str
    line: int
    number: int
    statement: str
    """What it is, without literals: `ALTER TABLE users`."""
    transactional: bool = True
    locks: tuple[TableLock, ...] = ()
    rewrites: tuple[str, ...] = ()
    """Tables of which every row is written anew."""
    scans: tuple[str, ...] = ()
    """Tables of which every row is read."""
    untraced: str = ""
    fails: bool = False
    """Whether it was not run, or failed, so that later ones lack what it makes."""

    @property
    def blocks_writes(self) -> tuple[str, ...]:
        """Tables that nobody can write meanwhile."""
        return tuple(one.table for one in self.locks if one.mode.blocks_writes)

    @property
    def blocks_reads(self) -> tuple[str, ...]:
        """Tables that nobody can read meanwhile."""
        return tuple(one.table for one in self.locks if one.mode.blocks_reads)

    @property
    def heavy(self) -> tuple[str, ...]:
        """Tables for which it matters how large they are."""
        return tuple(dict.fromkeys((*self.rewrites, *self.scans)))


@dataclass(frozen=True, slots=True)
class Trace:
    """What was seen of all statements, in order. `release` is the scratch server's, 180006."""

    release: int
    statements: tuple[TracedStatement, ...]
    lacks: tuple[tuple[str, str], ...] = ()
    """What of the fleet's schema the scratch database has not, and why."""

    @property
    def server(self) -> str:
        """The release as people write it: `18.6`."""
        return f"{self.release // 10_000}.{self.release % 10_000}"

    def of(self, version: str) -> tuple[TracedStatement, ...]:
        """The statements of one migration."""
        return tuple(one for one in self.statements if one.version == version)

    def at(self, version: str, number: int) -> TracedStatement | None:
        """One statement."""
        found = (one for one in self.statements if (one.version, one.number) == (version, number))
        return next(found, None)


def heavy_tables(statements: Iterable[TracedStatement]) -> tuple[str, ...]:
    """All tables that some statement writes anew or reads through, each once."""
    return tuple(dict.fromkeys(table for one in statements for table in one.heavy))
