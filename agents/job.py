"""One command in an agent's hands: where it came from, how far it is, why it was told to stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ledger.contracts.commands import ApplyCommand, InspectCommand
from ledger.contracts.heartbeat import Busy
from ledger.contracts.messages import Received
from ledger.contracts.registry import MigrationRef, ServerAddress
from migrations.model.attempt import FailureClass
from migrations.model.folder_history import FolderHistory
from migrations.model.migration import Migration


class JobPhase(StrEnum):
    """How far a job is, in the words of heartbeats."""

    QUEUED = "queued"
    CONNECTING = "connecting"
    WAITING = "waiting"
    RUNNING = "running"


class Stop(StrEnum):
    """Why a job was told to stop."""

    ORDERED = "ordered"
    """By a command: the attempt ends as cancelled."""
    SHUTDOWN = "shutdown"
    """The agent ends: nothing is reported, another agent gets the command again."""


@dataclass(slots=True, eq=False)
class Job:
    """One command and its state.

    `ticket` numbers its last report, `answered` says that this was the last word on it.
    """

    command: ApplyCommand | InspectCommand
    message: Received
    since: datetime
    phase: JobPhase = JobPhase.QUEUED
    migrations: tuple[Migration, ...] = ()
    refs: tuple[MigrationRef, ...] = ()
    """What the bundle's manifest says of them."""
    folder: FolderHistory | None = None
    """The whole bundle, in a few words."""
    refusal: str = ""
    """Why its texts cannot be used, if they cannot."""
    asked_for_texts: int = 0
    """How often the ledger was asked for its texts."""
    stop: Stop | None = None
    began: bool = False
    """Whether its work has begun, so that it can be interrupted."""
    waits_for: str = ""
    waiting_since: datetime | None = None
    next_try_at: datetime | None = None
    standing: str = ""
    migration: str = ""
    statement: int = 0
    statements: int = 0
    running_since: datetime | None = None
    """When what runs there began: a statement, or a batch; waits are left out."""
    ticket: int = 0
    answered: bool = False
    failed_by: FailureClass | None = None
    """The class of what its last word says that it failed by."""

    @property
    def id(self) -> UUID:
        """The command's id."""
        return self.command.command

    @property
    def server(self) -> ServerAddress:
        """The server that the command's database is on."""
        return self.command.connection.target.server

    @property
    def lane(self) -> tuple[str, str]:
        """What runs one at a time: changes of one database; looks at it run beside them."""
        return self.command.kind, self.command.database

    def busy(self) -> Busy:
        """What a heartbeat says of it."""
        return Busy(
            database=self.command.database,
            command=self.id,
            phase=self.phase,
            since=self.since,
            waits_for=self.waits_for,
            waiting_since=self.waiting_since,
            next_try_at=self.next_try_at,
            migration=self.migration,
            statement=self.statement,
            statements=self.statements,
            standing=self.standing,
        )
