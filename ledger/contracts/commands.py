"""What the ledger tells an agent to do to one database: the wire, ledger → agent.

A command is a pure function of its order event and the bundle that the order names, so it can be
published again from the log at any time, with the same id.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from ledger.contracts.events import Purpose
from ledger.contracts.registry import Connection, MigrationRef, WireValue
from migrations.model.attempt import Adoption, Epoch, Expectation, Limits, Mode, Resolution


class CommandBase(WireValue):
    """What every command says: which one, on what, for which ledger, and where reports belong.

    Reports of this command go to the stream `{stream}/reports`.
    """

    command: UUID
    ledger: UUID
    stream: str
    database: str
    pool: str
    epoch: Epoch
    signature: str | None = None
    """Reserved: agents will check it against their own trust root."""


class ApplyCommand(CommandBase):
    """Take one database through these migrations, in this order."""

    kind: Literal["apply"] = "apply"
    rollout: str
    attempt: int
    mode: Mode
    migrations: tuple[MigrationRef, ...]
    connection: Connection
    expected: Expectation
    limits: Limits
    expires_at: datetime
    resolutions: tuple[Resolution, ...] = ()
    adoption: Adoption | None = None
    out_of_order: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    """What the migrations' placeholders stand for in this database, by name, sorted."""


class InspectCommand(CommandBase):
    """Look at one database, read-only, and say what is there."""

    kind: Literal["inspect"] = "inspect"
    purpose: Purpose
    connection: Connection
    expires_at: datetime
    adoption: Adoption | None = None


class CancelCommand(CommandBase):
    """Stop working on `cancels`, if it still runs; the transaction is rolled back."""

    kind: Literal["cancel"] = "cancel"
    cancels: UUID


Command = Annotated[ApplyCommand | InspectCommand | CancelCommand, Field(discriminator="kind")]
COMMAND: TypeAdapter[ApplyCommand | InspectCommand | CancelCommand] = TypeAdapter(Command)
