"""What another tool's table says, in words that all tools share; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_LENGTH_BYTES = 8


class Tool(StrEnum):
    """Whose table it is."""

    DBMATE = "dbmate"
    GOLANG_MIGRATE = "golang-migrate"
    RAILS = "rails"
    GOOSE = "goose"
    FLYWAY = "flyway"
    SQL_MIGRATE = "sql-migrate"
    SQITCH = "sqitch"
    SQLX = "sqlx"
    DIESEL = "diesel"
    PRISMA = "prisma"
    NODE_PG_MIGRATE = "node-pg-migrate"
    GRAPHILE_MIGRATE = "graphile-migrate"
    TERN = "tern"
    PLAY = "play"
    ALEMBIC = "alembic"
    DJANGO = "django"


FOREIGN = frozenset({Tool.RAILS, Tool.ALEMBIC, Tool.DJANGO})
"""Tools whose migrations are programs, so that a folder of SQL files cannot be theirs."""


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One migration that the other tool holds for applied.

    `name` is what is shown and compared with names of files where the tool goes by them. With
    `below`, everything up to this version counts as applied. `checksum` is the tool's own.
    """

    version: str
    name: str = ""
    below: bool = False
    repeatable: bool = False
    checksum: int | str | None = None

    @property
    def label(self) -> str:
        """What a person finds it by."""
        return self.name or self.version


@dataclass(frozen=True, slots=True)
class ForeignHistory:
    """The rows of one table, in the order in which they were applied.

    `problem` says why they cannot be relied on, with what to do about it. `count` is the number of
    rows in the table, those included that do not hold any more.
    """

    tool: Tool
    table: str
    rows: tuple[ForeignRow, ...]
    count: int = 0
    problem: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over what the rows say; another one when any row came, went or changed."""
        return digest_of(self.rows)


def digest_of(rows: Sequence[ForeignRow]) -> str:
    """SHA-256 (hex) over rows in any order, each field preceded by its length."""
    hashed = hashlib.sha256()
    for row in sorted(rows, key=lambda row: (row.version, row.name)):
        for field in (row.version, row.name, str(row.checksum)):
            data = field.encode()
            hashed.update(len(data).to_bytes(_LENGTH_BYTES, "big"))
            hashed.update(data)
    return hashed.hexdigest()
