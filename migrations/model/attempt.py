"""The words of one attempt on one database, said once for all three packages.

Frozen dataclasses and enums without secrets: events of the ledger hold them as they are, agents
hand them on, and the journal of a database keeps them (ops/decisions/0016-one-vocabulary.md).

```
ordered      Mode · Adoption · Resolution · Limits · Expectation · Epoch · ForgedFence
answered     Verdict · Failure (a FailureClass) · Identity · AdoptedMigration
looked at    DatabasePlace · Rights · Backup · HalfDone
```

What is said here is stored for ever: a field is added with a default, and never changes its sense.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from migrations.errors import FailureClass as FailureClass
from migrations.model.preflight import PreflightPolicy
from migrations.printable import escaped

OID_END = 2**32
"""PostgreSQL's object ids are below it."""
LINE_END = 2**31
"""Lines of a file are below it."""


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """The fence of an order, leadership term and log position: a target refuses a lower one."""

    term: int
    position: int


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """Which database of which server: what two addresses of one database have in common."""

    system_identifier: str
    """From `pg_control_system()`; a string, because it does not fit a JSON number."""
    database_oid: int

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is no object id."""
        _check_oid(self.database_oid)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a database is: its server, its place there, and the UUID that its journal was given.

    A physical clone that has not diverged has the same identity.
    """

    uuid: UUID
    system_identifier: str
    """From `pg_control_system()`; a string, because it does not fit a JSON number."""
    database_oid: int

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is no object id."""
        _check_oid(self.database_oid)


@dataclass(frozen=True, slots=True)
class ForgedFence:
    """The end of a journal that names an order which its ledger never gave, as a person saw it.

    As long as the journal ends in exactly this entry, the entry's epoch keeps no order out.
    """

    epoch: Epoch
    journal_head: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the ledger believes of a target when it orders; `None` fields are not checked."""

    identity: Identity | None = None
    journal_head: str | None = None
    forged: ForgedFence | None = None
    """What a person has declared forged; nothing else is let in by it."""


class Mode(StrEnum):
    """What a command asks for."""

    UP = "up"
    """Apply the steps in order; what is applied already is skipped."""
    DOWN = "down"
    """Undo the steps in order, whoever applied them; what is not applied is skipped."""
    ROLLBACK = "rollback"
    """Undo, newest first, exactly what one rollout applied, half-done steps included."""
    ADOPT = "adopt"
    """Take over what another tool, or a person, says is applied; no migration runs."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an adoption rests on.

    `source` is the name of a tool, `auto` to look for the table of any, or `baseline`. With
    `through`, everything up to that version counts as applied, by a person's word. `table` is for a
    history that does not have its tool's usual name. `accept_missing` takes over rows that no file
    belongs to; without it they are refused.
    """

    source: str = "auto"
    through: str = ""
    table: str = ""
    accept_missing: bool = False


@dataclass(frozen=True, slots=True)
class AdoptedMigration:
    """A version that an adoption has in the journal; its checksum is empty where it has no file."""

    version: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """A person's word on a migration whose state no probe could settle; evidence in the journal."""

    version: str
    applied: bool
    reason: str


class WhenBlocked(StrEnum):
    """What follows when a statement has waited for somebody for long enough."""

    WAIT = "wait"
    GIVE_UP = "give_up"
    """The statement is cancelled, and has failed."""
    CANCEL = "cancel"
    """What stands in the way is cancelled, where the agent's own settings allow it."""


@dataclass(frozen=True, slots=True)
class WatchdogPolicy:
    """What a second session does about a statement that waits, after so many seconds."""

    when_blocked: WhenBlocked
    after_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a run is; a section's own options win over these."""

    lock_timeout_s: float = 2.0
    """Per statement; short, because a waiting ALTER blocks every reader behind it."""
    statement_timeout_s: float = 0.0
    """0 means none: a migration may take hours."""
    retry_budget: int = 10
    """Retries of the whole transaction after 55P03, 40P01 or 40001."""
    retry_for_s: float = 300.0
    advisory_wait_s: float = 300.0
    """How long to poll for another migrator's advisory lock."""
    preflight: PreflightPolicy | None = None
    """What is asked before anything is applied; nothing without one."""
    watchdog: WatchdogPolicy | None = None
    """What is done about who blocks a statement; nothing without one."""


class Verdict(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    """Everything asked for holds now (also when there was nothing to do)."""
    FAILED = "failed"
    REFUSED = "refused"
    """Nothing was tried: stale epoch, wrong identity or head, pooler, foreign owner, clocks."""
    EXPIRED = "expired"
    """It came too late to be started, and had not been."""
    CANCELLED = "cancelled"
    """It was taken back before it had an effect."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, without tenant data.

    `message` has the quoted values of SQLSTATE classes 22 and 23 masked; DETAIL, HINT and CONTEXT
    are never kept.
    """

    kind: FailureClass
    message: str
    sqlstate: str | None = None
    statement: str | None = None
    """Normalised text of the statement that failed (literals masked)."""
    file: str | None = None
    line: int | None = None
    blocker: str | None = None
    """Who held the lock: pid, state and age, without query text."""
    batch: str | None = None
    """Of a data migration: which batch it was, and where its rows are."""

    def __post_init__(self) -> None:
        """Whatever a server or a module said is one line that nothing in it can break.

        Raises `ValueError` for the number of a line that no table can keep.
        """
        if self.line is not None and not 0 <= self.line < LINE_END:
            raise ValueError(f"{self.line} is no line of a file")
        object.__setattr__(self, "message", escaped(self.message))
        if self.blocker is not None:
            object.__setattr__(self, "blocker", escaped(self.blocker))
        if self.batch is not None:
            object.__setattr__(self, "batch", escaped(self.batch))

    def shortened(self, statement_max_chars: int) -> Failure:
        """The same with no more of the statement than this, and a sign where the rest was."""
        statement = self.statement
        if statement is None or len(statement) <= statement_max_chars:
            return self
        return replace(self, statement=statement[:statement_max_chars] + " …")


@dataclass(frozen=True, slots=True)
class Rights:
    """What the connecting user may do in a database."""

    create_schema: bool
    """The journal's, which the user itself makes."""
    create_in_target: bool
    """As the role that migrations run as, if there is one; `False` if the user cannot take it."""
    superuser: bool
    """The user itself, whatever the role."""
    create_role: bool = False
    """As above."""
    reaches: tuple[str, ...] = ()
    """Other databases of the server where the user may do more than everybody; some of them."""
    reaches_more: int = 0
    """How many of those are not among `reaches`."""


@dataclass(frozen=True, slots=True)
class HalfDone:
    """A migration of which a journal says that some of it is done and some is not.

    `direction` is where it was going, `checksum` that of the section that was begun, `rollout` is
    empty where no ledger began it. `doubtful` says that not even that is known: a person has to
    say whether it is applied.
    """

    version: str
    direction: str
    checksum: str
    rollout: str = ""
    doubtful: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a data migration has saved in a database, as a look finds it; sizes in bytes.

    Without `keep_until` it stays for good; `due` says that its declared period is over.
    """

    version: str
    table: str
    source: str
    columns: tuple[str, ...]
    made_at: datetime
    keep_until: datetime | None
    bytes: int
    due: bool = False
    rows: int | None = None


def _check_oid(oid: int) -> None:
    if not 0 <= oid < OID_END:
        raise ValueError(f"{oid} is no object id of PostgreSQL: they are 0 to {OID_END - 1}")
