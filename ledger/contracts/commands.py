"""What the ledger tells an agent to do to one database: the order itself, as the log has it.

A command is the order event, word for word, with its place in the log: what was hashed when it was
recorded is what travels, so an agent can compute the leaf of the log from what it was sent. It can
be published again at any time, and is the same then.

```
MigrationOrdered           ─▶ ApplyCommand      change a database
InspectionOrdered          ─▶ InspectCommand    look at it, read-only
RolloutAborted, cancelling ─▶ CancelCommand     stop what that rollout ordered on it before
```

A look that a person asked for is no event of its own: there the request is what was hashed, and the
command has the request's place in the log (ops/decisions/0028).

Reports of a command go to the stream `{stream}/reports`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import InspectionOrdered, MigrationOrdered, RolloutAborted
from ledger.contracts.registry import Connection
from migrations.model.attempt import Epoch

Order = MigrationOrdered | InspectionOrdered


@dataclass(frozen=True, slots=True)
class CommandBase:
    """An event that tells an agent something, and the ledger in whose log it stands."""

    ledger: UUID
    recorded: Recorded

    @property
    def stream(self) -> str:
        """Where it was decided."""
        return self.recorded.stream

    @property
    def position(self) -> int:
        """Its place in the log."""
        return self.recorded.position


@dataclass(frozen=True, slots=True)
class OrderCommand(CommandBase):
    """An order; what all of them say."""

    order: Order

    @property
    def command(self) -> UUID:
        """The attempt's id, which its reports name."""
        return self.order.command

    @property
    def database(self) -> str:
        """The database's id."""
        return self.order.database

    @property
    def pool(self) -> str:
        """Whose agents are to do it."""
        return self.order.pool

    @property
    def connection(self) -> Connection:
        """How the database is reached."""
        return self.order.connection

    @property
    def expires_at(self) -> datetime:
        """When it may not be started any more."""
        return self.order.expires_at

    @property
    def ordered_at(self) -> datetime:
        """By the ledger's clock: no agent whose own is right can see it before."""
        return self.recorded.recorded_at

    @property
    def epoch(self) -> Epoch:
        """The fence: whose leader ordered it, and where it stands among all orders."""
        return Epoch(self.order.term, self.recorded.position)


@dataclass(frozen=True, slots=True)
class ApplyCommand(OrderCommand):
    """Take one database through the steps of this order."""

    kind: ClassVar[str] = "apply"
    order: MigrationOrdered


@dataclass(frozen=True, slots=True)
class InspectCommand(OrderCommand):
    """Look at one database, read-only, and say what is there."""

    kind: ClassVar[str] = "inspect"
    order: InspectionOrdered


@dataclass(frozen=True, slots=True)
class CancelCommand(CommandBase):
    """Stop what the aborted rollout ordered on `database`, if it still runs, and roll it back."""

    kind: ClassVar[str] = "cancel"
    database: str
    pool: str

    def takes_back(self, command: ApplyCommand) -> bool:
        """Whether `command` is of the aborted rollout, on this database, and was ordered before."""
        theirs = (command.ledger, command.stream, command.database)
        return theirs == (self.ledger, self.stream, self.database) and (
            command.position < self.position
        )


Command = ApplyCommand | InspectCommand | CancelCommand


def command_of(ledger: UUID, recorded: Recorded) -> ApplyCommand | InspectCommand:
    """What an order event means to an agent. Raises `ValueError` for any other event."""
    match recorded.event:
        case MigrationOrdered() as order:
            return ApplyCommand(ledger, recorded, order)
        case InspectionOrdered() as order:
            return InspectCommand(ledger, recorded, order)
        case _:
            raise ValueError(f"{type(recorded.event).__name__} is no order")


def stream_of(event: Order | RolloutAborted) -> str:
    """The one stream that this event may stand in."""
    return event.stream if isinstance(event, InspectionOrdered) else f"rollout-{event.rollout}"
