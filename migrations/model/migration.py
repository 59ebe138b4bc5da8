"""What a migration is: one versioned change with its up, down and verify sections.

A migration is data. It is made by a format (`migrations.formats`) from one or more files, checked
once when it is loaded, and executed by `migrations.runner` on one database.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Which way a migration is run."""

    UP = "up"
    DOWN = "down"


class StatementKind(StrEnum):
    """How a statement must be run, decided from PostgreSQL's own grammar."""

    TRANSACTIONAL = "transactional"
    """May run inside a transaction block."""
    OUTSIDE = "outside"
    """Refused by the server inside a transaction block (SQLSTATE 25001); has a probe."""


COUNT_MAX = 2**31 - 1
"""More of anything is not asked for: what is stored has so many bits."""
WAIT_MAX_S = 366 * 86400.0
"""Nobody waits longer for anything, unless it says so itself."""
TIMEOUT_MAX_S = 24 * 86400.0
"""Longer lock and statement timeouts are refused: the server counts milliseconds in 31 bits."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an author may set on a section's marker; `None` means the setting of whoever runs it."""

    transaction: bool = True
    lock_timeout_s: float | None = None
    statement_timeout_s: float | None = None
    role: str | None = None
    isolation: str = "READ COMMITTED"
    """The level of its transactions; it comes from the text, and not from the marker."""


@dataclass(frozen=True, slots=True)
class ConcurrentIndex:
    """The index that a CREATE or DROP INDEX CONCURRENTLY names, for intent, probe and clean-up."""

    action: str
    """`create` or `drop`."""
    name: str
    schema: str | None
    table: str | None
    """Table the index is built on, `schema.table` or `table`, quoted; `None` for a drop."""
    if_not_exists: bool = False
    """Whether an index of that name may be there already."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement of a section.

    `text` is the statement without its terminating semicolon, `line` the 1-based line in the file
    where it starts, `summary` a short low-cardinality label such as `ALTER TABLE users`, safe for
    span names and logs (no literals). `migrations.sql.summary` says more, when it is asked. `part`
    is the transaction, counted from 1, that the script itself has around it; 0 is none.
    """

    text: str
    line: int
    kind: StatementKind
    summary: str
    concurrent_index: ConcurrentIndex | None = None
    part: int = 0


class Language(StrEnum):
    """What a program in the place of statements is written in."""

    PYTHON = "python"
    PSQL = "psql"


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in the place of statements: a Python module's function, or a psql script.

    `text` is the whole source, `entry` the function (`up`, `down`, `verify`; empty for psql).
    `variables` are the names and values, sorted, that psql is to know; `before` is SQL of ours
    that psql runs first, in the same transaction if there is one. `files` are what the script
    reads, called by the places where it looks for them.
    """

    language: Language
    file: str
    text: str
    entry: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    before: str = ""
    files: tuple[SourceFile, ...] = ()


class Conflict(StrEnum):
    """What a restore does with a row that was written after the migration left it."""

    REFUSE = "refuse"
    KEEP = "keep"
    """The later value stays."""
    OVERWRITE = "overwrite"
    """The saved value comes back."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Above which load a data migration waits between two batches; `None` means never."""

    lag_s: float | None = None
    lag_bytes: int | None = None
    active: int | None = None
    gates: tuple[Statement, ...] = ()
    """SELECTs whose every answer must be true."""


@dataclass(frozen=True, slots=True)
class Batches:
    """How a section goes through a table: batch by batch, in the order of a unique key.

    `table` is as written, `columns` are what a Python transformation is given beside the key,
    `backup` is what is saved of each row before it is touched. With `restore` the section goes
    through that backup instead, puts it back, and then runs its own statements.
    """

    table: str
    key: tuple[str, ...]
    size: int
    columns: tuple[str, ...] = ()
    backup: tuple[str, ...] = ()
    keep_s: float | None = None
    pauses: Pauses = Pauses()
    validate: tuple[Statement, ...] = ()
    """SELECTs that must return no row when the last batch is done."""
    restore: bool = False
    conflict: Conflict = Conflict.REFUSE


class Holds(StrEnum):
    """When a Verify section holds."""

    TRUE = "true"
    """Every SELECT returns rows, and `true` in the first column of each."""
    NO_ERROR = "no_error"
    """No statement raises an error; what they change is taken back.

    Asked when the up is committed; when it does not hold, the down takes that back.
    """


VERIFY_SAVEPOINT = "ledger_verify"
"""What a Verify section that holds without an error goes back to, at its end or between parts."""


@dataclass(frozen=True, slots=True)
class Section:
    """The statements of one direction, with the SHA-256 (hex) of the section's original bytes.

    With a `program` there are no statements. With `batches` they run once per batch.
    """

    statements: tuple[Statement, ...]
    options: Options
    checksum: str
    program: Program | None = None
    batches: Batches | None = None
    holds: Holds = Holds.TRUE
    file: str = ""
    """The file that it was read from; empty for the only one."""
    broken: str = ""
    """Of a down section: why it cannot run, with file, line and remedy. Then it is empty."""

    @property
    def transactional(self) -> bool:
        """Whether the whole section may run in one transaction."""
        if self.batches is not None:
            return False
        if self.program is not None and self.program.language is Language.PSQL:
            return False
        return self.options.transaction and all(
            statement.kind is StatementKind.TRANSACTIONAL for statement in self.statements
        )


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file a migration was read from: name relative to the folder and the raw bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Migration:
    """One versioned change. `version` identifies it, `name` describes it, `format` parsed it."""

    version: str
    name: str
    format: str
    up: Section
    down: Section | None
    verify: Section | None
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...] = ()
    """What whoever reads the plan should know: a wrapper taken off, a role that is made."""
    variables: tuple[str, ...] = ()
    """Names of the declared variables that its text was filled with, sorted."""
    repeatable: bool = False
    """Runs again whenever its up section has changed."""
    filled: str = ""
    """Of a repeatable one with placeholders: its file's text with their values."""
    unit: str = ""
    """`version_name` of the change that it is a phase of (`model.phases`); else empty."""
    phase: str = ""
    """`expand`, `migrate` or `contract`; empty outside of a unit."""
    replaces: tuple[str, ...] | None = None
    """Of a baseline: the versions in whose place it runs where there is no history."""

    @property
    def verified_after(self) -> bool:
        """Whether the Verify section is asked when the up is committed, and not before."""
        return self.verify is not None and self.verify.holds is Holds.NO_ERROR

    @property
    def label(self) -> str:
        """`version_name`, as people write it."""
        return f"{self.version}_{self.name}" if self.name else self.version

    def section(self, direction: Direction) -> Section | None:
        """The section that runs for `direction`; `None` when it was not written."""
        return self.up if direction is Direction.UP else self.down
