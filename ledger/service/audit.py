"""Whether the record is whole: its chain of hashes, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import uuid5

from ledger.contracts.envelope import NAMESPACE
from ledger.contracts.events import DifferenceFound, EventSetAside
from ledger.contracts.reports import Unreadable
from ledger.contracts.streams import Stream
from ledger.domain.differences import (
    LogNotWhole,
    OtherEvent,
    ReadableEvent,
    RepairNotPermitted,
    Replayed,
    UnreadableEvent,
)
from ledger.domain.refusals import ReasonRequired
from ledger.errors import DuplicateEventDiffers, NoSuchEvent
from ledger.service.catch_up import as_near_as_may_be, brought_up
from ledger.service.request_context import RequestContext, RequestEncoder
from ledger.store.log.chain import Broken
from ledger.store.log.decode import open_event
from ledger.store.log.log import EventLog
from ledger.store.port import RecordedEvent
from ledger.store.views.port import Views

if TYPE_CHECKING:
    from ledger.store.views.advance import RebuildProgress

SHOWN_AT_MOST = 100
"""Unreadable events that are shown with their reasons, the latest: each is read anew."""


class Comparison(StrEnum):
    """How an end of the chain that somebody kept compares with the log."""

    SAME = "same"
    """Up to there the log is what it was."""
    CHANGED = "changed"
    """Something up to there is not what it was, and was hashed again."""
    GONE = "gone"
    """The log does not go so far any more."""
    UNREACHED = "unreached"
    """The chain breaks before it: nothing can be said."""


@dataclass(frozen=True, slots=True)
class KeptEnd:
    """An end of the chain that was kept elsewhere: a position, and the chain's value there."""

    position: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class ComparedEnd:
    """A kept end, what the log has in its place, and what that means."""

    kept: KeptEnd
    found: bytes | None
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """Where the chain ends, and its value there; or where it breaks first, and why.

    `compared` are the kept ends, by position, and `at` the chain's values that were asked for.
    """

    position: int
    chain: bytes | None
    why: str = ""
    compared: tuple[ComparedEnd, ...] = ()
    at: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every event is the one that was recorded."""
        return self.chain is not None

    @property
    def as_kept(self) -> bool:
        """Whether it is whole, and every kept end was found."""
        same = all(one.comparison is Comparison.SAME for one in self.compared)
        return self.whole and same

    @property
    def changed_between(self) -> tuple[int, int] | None:
        """The first and the last position among which the first change against a kept end lies."""
        wrong = [one for one in self.compared if one.comparison is Comparison.CHANGED]
        if not wrong:
            return None
        before = [one for one in self.compared if one.comparison is Comparison.SAME]
        first = max((one.kept.position for one in before), default=0) + 1
        return min(first, wrong[0].kept.position), wrong[0].kept.position


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair of the read models found before, and what differs after it."""

    before: Replayed
    after: Replayed


@dataclass(frozen=True, slots=True)
class UnreadableFound:
    """An event that nobody can read: where it stands, its own hash, and why it cannot be read."""

    event: UnreadableEvent
    leaf: str
    why: str


class AuditService:
    """Checks the record. Nothing of it is changed; what nobody can read can be set aside."""

    def __init__(self, log: EventLog, reads: Views, encoder: RequestEncoder) -> None:
        self._log = log
        self._encoder = encoder
        self._reads = reads

    async def verify(
        self,
        kept: Sequence[KeptEnd] = (),
        at: Sequence[int] = (),
        progress: RebuildProgress | None = None,
    ) -> ChainVerdict:
        """Walk the whole log, compute every hash again, and compare it with what was kept.

        Whoever can change the log and its head together can re-hash it: only an end of the chain
        that was kept elsewhere shows that. `at` are positions at which the chain's value is wanted.
        Raises `NoSuchEvent` for one of those behind the log's end. `progress` hears the position
        reached and the position to reach.
        """
        walked = await self._log.walk({*(one.position for one in kept), *at}, progress)
        end, broken = walked.end, isinstance(walked.end, Broken)
        if not broken and (behind := [one for one in at if one > end.position]):
            raise NoSuchEvent(behind[0], end.position, "name a position up to there")
        compared = tuple(
            _compared(one, walked.values.get(one.position), broken=broken)
            for one in sorted(kept, key=lambda one: one.position)
        )
        wanted = {place: walked.values[place] for place in sorted(at) if place in walked.values}
        if isinstance(end, Broken):
            return ChainVerdict(end.position, None, end.why, compared, wanted)
        return ChainVerdict(end.position, end.chain, "", compared, wanted)

    async def replay(self, progress: RebuildProgress | None = None) -> Replayed:
        """Fold the whole log beside the live read models; what differs. `progress` as above."""
        from ledger.store.views.replay import replay

        await as_near_as_may_be(self._reads, self._log)
        async with self._log.connection() as connection:
            return await replay(connection, progress)

    async def may_record(self) -> bool:
        """Whether this role may have recorded what an audit found."""
        return await self._log.may_request(DifferenceFound.__name__)

    async def record(self, found: DifferenceFound) -> None:
        """Have it recorded what differs, once in a day: by that, people are notified.

        Raises what `Log.append` raises.
        """
        today = self._encoder.clock.now().date().isoformat()
        event_id = uuid5(NAMESPACE, f"difference/{found.audited}/{found.place}/{today}")
        (encoded,) = self._encoder.encode((found,), RequestContext(), ids=(event_id,))
        # How many differ is no reason to say it again.
        with suppress(DuplicateEventDiffers):
            await self._log.append(Stream.LEDGER, [encoded])

    async def check_repair(self, progress: RebuildProgress | None = None) -> Replayed:
        """What a repair would put right; nothing is changed.

        Raises `LogNotWhole` where the log itself is not to be trusted, and `RepairNotPermitted`
        for a role that may not write the read models.
        """
        from ledger.store.views.replay import may_repair

        async with self._log.connection() as connection:
            if not await may_repair(connection):
                raise RepairNotPermitted
        end = await self._log.verify()
        if isinstance(end, Broken):
            raise LogNotWhole(end.position, end.why)
        return await self.replay(progress)

    async def repair(self, found: Replayed, progress: RebuildProgress | None = None) -> Repaired:
        """Build the read models anew from the log, in one transaction, and compare once more.

        Readers see the old rows until it is done, and whoever projects waits so long.
        """
        from ledger.store.views.advance import rebuild
        from ledger.store.views.replay import replay

        async with self._log.connection() as connection:
            await rebuild(connection, progress)
            return Repaired(found, await replay(connection))

    async def unreadable(self) -> Sequence[UnreadableFound]:
        """The latest events that cannot be read and that nobody has set aside, oldest first."""
        await as_near_as_may_be(self._reads, self._log)
        rows = await self._reads.unreadable(aside=False)
        return [await self._shown(row) for row in reversed(rows[:SHOWN_AT_MOST])]

    async def set_aside(self) -> Sequence[UnreadableEvent]:
        """The latest events that a person has set aside, oldest first."""
        await as_near_as_may_be(self._reads, self._log)
        return (await self._reads.unreadable(aside=True))[::-1]

    async def check_aside(
        self, position: int, leaf: str, asked: RequestContext
    ) -> tuple[UnreadableFound, bool]:
        """The event that would be set aside, and whether it is already; nothing is recorded.

        `leaf` is how its hash begins, as far as the caller knows it. Raises `NoSuchEvent`,
        `OtherEvent`, `ReadableEvent`, `ReasonRequired` or `ReadModelsBehind`.
        """
        await brought_up(self._reads, self._log)
        raw = await self._at(position)
        if raw is None:
            advice = "`ledger audit unreadable` lists the events that can be set aside"
            raise NoSuchEvent(position, (await self._log.head()).position, advice)
        if not raw.leaf.hex().startswith(leaf.lower()):
            raise OtherEvent(position, raw.leaf.hex())
        rows = await self._reads.unreadable(positions=[position])
        if not rows or not isinstance(open_event(raw).event, Unreadable):
            raise ReadableEvent(position, raw.type)
        if not rows[0].aside and not (asked.reason or "").strip():
            raise ReasonRequired("`ledger audit set-aside`", "silences what stands in the log")
        return await self._shown(rows[0]), rows[0].aside

    async def put_aside(self, position: int, leaf: str, asked: RequestContext) -> UnreadableFound:
        """Set an event aside that nobody can read; one that is aside already stays so.

        Raises as `check_aside`.
        """
        found, aside = await self.check_aside(position, leaf, asked)
        if aside:
            return found
        event = EventSetAside(position=position, leaf=found.leaf)
        # One id, whoever says it: two people who say it at once say it once.
        event_id = uuid5(NAMESPACE, f"aside/{found.leaf}")
        (encoded,) = self._encoder.encode((event,), asked, ids=(event_id,))
        await self._log.append(Stream.LEDGER, [encoded])
        await self._log.announce()
        return found

    async def _shown(self, row: UnreadableEvent) -> UnreadableFound:
        raw = await self._at(row.position)
        if raw is None:
            return UnreadableFound(row, "", "it is not in the log; see `ledger audit verify`")
        event = open_event(raw).event
        # A newer program than the one that projects may be able to.
        why = event.why if isinstance(event, Unreadable) else "whoever leads could not read it"
        return UnreadableFound(row, raw.leaf.hex(), why)

    async def _at(self, position: int) -> RecordedEvent | None:
        if not 0 < position < 2**63:
            return None
        found = await self._log.tail(position - 1, 1)
        return found[0] if found and found[0].position == position else None


def _compared(kept: KeptEnd, found: bytes | None, *, broken: bool) -> ComparedEnd:
    if found is not None:
        same = found == kept.chain
        return ComparedEnd(kept, found, Comparison.SAME if same else Comparison.CHANGED)
    return ComparedEnd(kept, None, Comparison.UNREACHED if broken else Comparison.GONE)
