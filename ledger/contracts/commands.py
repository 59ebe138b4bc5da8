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
from ledger.contracts.registry import (
    Adoption,
    Connection,
    Expected,
    MigrationRef,
    Mode,
    Resolution,
    RunLimits,
    WireValue,
)


class OrderEpoch(WireValue):
    """The fence of an order: leadership term and log position.

    Both have bounds that no ledger ever reaches: what lies beyond was invented, to keep every real
    order out.
    """

    term: int = Field(ge=0, le=2**31 - 1)
    position: int = Field(ge=0, le=2**53 - 1)


class CommandBase(WireValue):
    """What every command says: which one, on what, for which ledger, and where reports belong.

    Reports of this command go to the stream `{stream}/reports`.
    """

    command: UUID
    ledger: UUID
    stream: str
    database: str
    pool: str
    epoch: OrderEpoch
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
    expected: Expected
    limits: RunLimits
    expires_at: datetime
    ordered_at: datetime | None = None
    """By the ledger's clock: no agent whose own is right can see it before."""
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
    ordered_at: datetime | None = None
    adoption: Adoption | None = None


class CancelCommand(CommandBase):
    """Stop working on `cancels`, if it still runs; the transaction is rolled back."""

    kind: Literal["cancel"] = "cancel"
    cancels: UUID


Command = Annotated[ApplyCommand | InspectCommand | CancelCommand, Field(discriminator="kind")]
COMMAND: TypeAdapter[ApplyCommand | InspectCommand | CancelCommand] = TypeAdapter(Command)
