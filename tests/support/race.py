"""Gets between decisions and their appends: what it does there nobody who decided has heard of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import Metadata, Recorded, encode, report_id
from ledger.contracts.events import (
    InspectionOrdered,
    MigrationOrdered,
)
from ledger.contracts.reports import (
    CommandRefused,
    Event,
    Report,
)
from ledger.errors import Overtaken, VersionConflict
from ledger.store.port import Batch
from migrations.model.attempt import Failure, FailureClass
from tests.support.house import (
    Actor,
    House,
    found,
)

Meanwhile = Callable[[], Awaitable[None]]
ORDERS = (MigrationOrdered, InspectionOrdered)


@dataclass
class Race:
    """Gets between decisions and their appends.

    `before` names event types, and what to do once before the first append that holds one.
    """

    house: House
    before: dict[str, Meanwhile] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked: int = 0

    async def report(self, rollout: str, *reports: Report) -> None:
        """Put reports into the log, as an intake does, and tell nobody."""
        encoded = [encode(one, report_id(one), Metadata(agent="actor")) for one in reports]
        await self.append(f"rollout-{rollout}/reports", encoded, skip_known=True)

    async def was_run(self, type_: str) -> None:
        """Return when the append that this type was named for has ended."""

        async def look() -> bool | None:
            return type_ in self.done or None

        await found(look, f"somebody has tried to append {type_}")

    async def append(self, stream: str, events: Sequence[Any], **given: Any) -> Any:
        """The append of the log, which a test does not get between."""
        return await type(self.house.stores.log).append(
            self.house.stores.log, stream, events, **given
        )

    def begin(self) -> Callable[..., Awaitable[Any]]:
        """The append to put in the place of the log's."""

        async def append(stream: str, events: Sequence[Any], **given: Any) -> Any:
            types = {event.type for event in events}
            decided = given.get("premise") is not None
            met: list[str] = []
            self.asked += decided and given.get("term") is None
            for type_ in types & self.before.keys() if decided else ():
                meanwhile = self.before.pop(type_)
                await meanwhile()
                met.append(type_)
            try:
                return await self.append(stream, events, **given)
            except (Overtaken, VersionConflict):
                self.refused += sorted(types)
                raise
            finally:
                self.done += met

        return append

    def begin_both(self) -> Callable[..., Awaitable[Any]]:
        """The same for what is appended to two streams."""

        async def append_both(first: Batch, second: Batch, **given: Any) -> Any:
            types = {event.type for event in (*first.events, *second.events)}
            for type_ in types & self.before.keys():
                await self.before.pop(type_)()
            try:
                log = self.house.stores.log
                return await type(log).append_both(log, first, second, **given)
            except (Overtaken, VersionConflict):
                self.refused += sorted(types & {"UndoStarted"})
                raise

        return append_both


def refusal(command: ApplyCommand) -> CommandRefused:
    """An agent that does not begin."""
    failure = Failure(kind=FailureClass.FENCE, message="no")
    return CommandRefused(database=command.database, command=command.command, failure=failure)


def names(recorded: Sequence[Recorded]) -> list[str]:
    """The databases that these are about."""
    return [getattr(one.event, "database", "") for one in recorded]


async def orders_behind(house: House, turn: type[Event]) -> list[str]:
    """Whom something was ordered of after the first event of this type."""
    (first, *_) = await house.events(turn)
    return names([one for one in await house.events(*ORDERS) if one.position > first.position])


@asynccontextmanager
async def two_of_three(house: House, **changes: object) -> AsyncIterator[tuple[str, Actor]]:
    """A rollout with acme and bolt in hand while crane waits for a place."""
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(in_flight=2, **changes)
        await actor.commands(2)
        yield rollout, actor
