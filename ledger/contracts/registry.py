"""The values that events, commands and reports share: how a database is reached, what is run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WireValue(BaseModel):
    """An immutable part of a message. Unknown fields are ignored, so that a newer side may add."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Connection(WireValue):
    """Where a database is and how its secret is named; never the secret itself.

    `password` is a reference: `env:NAME` or `file:PATH`, in which `{database}` stands for the
    database's id. `schema_name` makes one schema of the database the target; empty means the
    database's own default. `role` is set with SET ROLE before migrations run.
    """

    host: str
    port: int = 5432
    dbname: str
    user: str
    password: str | None = None
    sslmode: str | None = None
    schema_name: str = ""
    role: str | None = None


class DatabaseIdentity(WireValue):
    """Who a database is: server, database, and the UUID that its journal was given."""

    uuid: UUID
    system_identifier: str
    database_oid: int = Field(ge=0, lt=2**32)


class DatabasePlace(WireValue):
    """Which database of which server: what two addresses of one database have in common."""

    system_identifier: str
    database_oid: int = Field(ge=0, lt=2**32)


class Expected(WireValue):
    """What the ledger believes of a target when it orders; what is `None` is not checked."""

    identity: DatabaseIdentity | None = None
    journal_head: str | None = None


class ContentRef(WireValue):
    """A text by its hash. `name` is the file's name in its folder, `size` is in bytes."""

    name: str
    sha256: Sha256
    size: int


class Accepted(WireValue):
    """A person's leave to take a migration's text for another one that was applied; and why."""

    checksum: Sha256
    reason: str


class MigrationRef(WireValue):
    """A migration without its text: what it is called, what it hashes to, what it can do."""

    version: str
    name: str
    format: str
    up_checksum: Sha256
    down_checksum: Sha256 | None
    has_verify: bool
    transactional: bool
    files: tuple[ContentRef, ...]
    kind: str = "sql"
    """`sql`, `python`, `psql` or `data`: what an agent must be allowed and able to run."""
    notes: tuple[str, ...] = ()
    """What whoever reads the plan should know."""
    variables: tuple[str, ...] = ()
    """Names of the variables that its text is filled with."""
    repeatable: bool = False
    """Runs again whenever its up section has changed."""
    replaces: tuple[str, ...] | None = None
    """Of a baseline: the versions in whose place it runs where there is no history."""
    unit: str = ""
    """`version_name` of the change that it is a phase of; else empty."""
    phase: Literal["", "expand", "migrate", "contract"] = ""
    """Which part of its unit it is."""
    down_problem: str = ""
    """Why its down section cannot run, with file, line and remedy; empty if nothing is wrong."""
    accepts: tuple[Accepted, ...] = ()
    """Other up sections that databases may have had applied under this version."""

    @property
    def label(self) -> str:
        """`version_name`, as people write it."""
        return f"{self.version}_{self.name}" if self.name else self.version

    @property
    def reversible(self) -> bool:
        """Whether there is a down section that can run."""
        return self.down_checksum is not None and not self.down_problem


class Variable(WireValue):
    """What a placeholder stands for: a value, or in each database the value of its `label`.

    Of a label, `value` is the sample that folders are read with.
    """

    name: str
    value: str
    label: str | None = None


class DatabaseValues(WireValue):
    """The values of variables that one database has for itself: names and values, sorted."""

    database: str
    values: tuple[tuple[str, str], ...]


class Step(WireValue):
    """One migration of an order, with the checksum of the section that is to run."""

    version: str
    checksum: Sha256


class Mode(StrEnum):
    """What an order asks of a database; `migrations.model.work.Mode` in the wire's words."""

    UP = "up"
    DOWN = "down"
    ROLLBACK = "rollback"
    ADOPT = "adopt"


class Adoption(WireValue):
    """What a rollout that adopts rests on; as `migrations.model.work.Adoption` in the wire's words.

    `source` is a tool's name, `auto`, or `baseline`; `through` a version up to which everything
    counts as applied; `accept_missing` leave to take over rows that no file belongs to.
    """

    source: str = "auto"
    through: str = ""
    table: str = ""
    accept_missing: bool = False


class HistoryRow(WireValue):
    """One migration that another tool holds for applied; `ForeignRow` of `migrations.adoption`."""

    version: str
    name: str = ""
    below: bool = False
    repeatable: bool = False
    checksum: int | None = None


class HistoryFound(WireValue):
    """What another tool's table says in one database; `problem` says why it cannot be relied on."""

    tool: str
    table: str
    rows: tuple[HistoryRow, ...]
    count: int
    problem: str = ""


class RunLimits(WireValue):
    """How patient an agent is with one database; seconds."""

    lock_timeout_s: float = 2.0
    statement_timeout_s: float = 0.0
    retry_for_s: float = 300.0
    advisory_wait_s: float = 300.0


class Resolution(WireValue):
    """A person's word on a step that no probe could settle, written into the journal as such."""

    version: str
    applied: bool
    reason: str


class FailureDetail(WireValue):
    """Why something failed, without tenant data. `kind` as in `migrations.model.work.Failure`."""

    kind: str
    message: str
    sqlstate: str | None = None
    statement: str | None = None
    file: str | None = None
    line: int | None = None
    blocker: str | None = None
