"""Turns orders into commands on the bus. The log is the outbox.

A command is a pure function of its order and the bundle it names, so it can be sent at any time
again, with the same id. An order is *unanswered* from its event until its AttemptFinished (or
DatabaseInspected, AttemptTimedOut), or until another order takes its place: every unanswered order
is sent at start-up, and once more after each resend interval. A lost broker, message or relay is
then the same small event, and there is no position to save (ops/decisions/0002).

```
ordered ──▶ unanswered ──send──▶ unanswered (sent at t) ──answer, newer order──▶ forgotten
                 ▲                        │ resend interval, start-up, text missing
                 └────────────────────────┘
```

Texts go before the first order that names them, in chunks, on a topic of their own; again when an
agent misses them, and with an order that nobody has started a resend interval after it was sent.

What an aborted rollout cancels is told at once, to the owner of the command's partition and to
every agent: one goes on with its work when the partition has moved. When such an order is sent
again, its cancellation goes before it, so that an agent that hears of both for the first time
starts nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from ledger import telemetry
from ledger.bus.port import Bus, BusUnavailable, Message
from ledger.contracts.commands import CancelCommand, Command, Order, command_of
from ledger.contracts.envelope import Recorded
from ledger.contracts.events import (
    AttemptTimedOut,
    InspectionOrdered,
    MigrationOrdered,
    RolloutAborted,
)
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    ContentMissing,
    DatabaseInspected,
    HistoryAdopted,
    MigrationApplied,
    MigrationRolledBack,
)
from ledger.contracts.topics import CANCELS, CONTENT, HEARTBEATS, REPORTS
from ledger.contracts.wire import encode_command, encode_content
from ledger.errors import ContentNotFound, NoSuchVersion, UnknownBundle
from ledger.signing.seal import Signer
from ledger.store.bundles import BundleTexts
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock, happens_within

logger = logging.getLogger(__name__)

BATCH = 500
"""Commands sent at once, at most."""
FIRST_BATCH = 32
"""Commands of the first batch, each further one being twice as large: agents work meanwhile."""
ALWAYS = frozenset({REPORTS, CONTENT, CANCELS, HEARTBEATS})
"""Topics that are there before the first order, so that a missing right shows at once."""


@dataclass(slots=True)
class Unanswered:
    """An order without an answer, and what became of it.

    `sent_at` is a monotonic time, `lacks_texts` what an agent said since, `cancelled` the
    abort that takes the order back. `changes` are the steps that were reported, `answer` is how
    many of them the last word on it counts.
    """

    order: Order
    recorded: Recorded
    sent_at: float | None = None
    started: bool = False
    lacks_texts: bool = False
    cancelled: Recorded | None = None
    changes: set[str] = field(default_factory=set)
    answer: int | None = None


class Relay:
    """Sends the commands of unanswered orders."""

    def __init__(
        self,
        bus: Bus,
        bundles: BundleTexts,
        ledger: UUID,
        resend_s: float,
        clock: Clock,
        chance: Chance,
        signer: Signer | None = None,
    ) -> None:
        self._bus = bus
        self._signer = signer
        self._bundles = bundles
        self._ledger = ledger
        self._resend_s = resend_s
        self._clock = clock
        self._chance = chance
        self._unanswered: dict[UUID, Unanswered] = {}
        self._latest: dict[tuple[str, str, bool], UUID] = {}
        self._cancels: dict[UUID, Unanswered] = {}
        self._unsent: dict[UUID, None] = {}
        self._sent_texts: dict[str, float] = {}
        self._topics: set[str] = set()
        self._woken = asyncio.Event()
        self._vain = 0
        self.unreachable_since: datetime | None = None

    def unanswered(self) -> Mapping[str, tuple[int, float]]:
        """By pool: how many orders nobody has answered for good, and the age of the oldest in s."""
        now = self._clock.now()
        found: dict[str, tuple[int, float]] = {}
        for one in self._unanswered.values():
            number, oldest_s = found.get(one.order.pool, (0, 0.0))
            age_s = (now - one.recorded.recorded_at).total_seconds()
            found[one.order.pool] = number + 1, max(oldest_s, age_s)
        return found

    @property
    def unsent(self) -> int:
        """How many orders wait to be sent, or sent again."""
        return len(self._unsent)

    @property
    def unsent_s(self) -> float:
        """How old the oldest order is that was never sent, in seconds."""
        waiting = (self._unanswered[one] for one in self._unsent if one in self._unanswered)
        written = [one.recorded.recorded_at for one in waiting if one.sent_at is None]
        return (self._clock.now() - min(written)).total_seconds() if written else 0.0

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take note of orders and of their answers."""
        for one in recorded:
            self._note(one)
        if self._unsent or self._cancels:
            self._woken.set()

    def missing(self, report: ContentMissing) -> None:
        """An agent lacks texts: send them again, with the order that needs them.

        The intake calls this for each such report, also for one whose id the log has: the second
        agent of a command asks with the words of the first.
        """
        known = self._unanswered.get(report.command)
        if known is not None:
            known.lacks_texts = True
            self._unsent[report.command] = None
            self._woken.set()

    async def run(self) -> None:
        """Send until cancelled, through every outage. Raises `BusMisconfigured`."""
        backoff = Backoff(self._clock, self._chance)
        while True:
            self._woken.clear()
            try:
                await self._send_due()
                self._well_again()
                backoff.reset()
            except BusUnavailable as error:
                self.broken(error)
                await backoff.wait()
                continue
            await happens_within(self._clock, self._woken, min(1.0, self._resend_s))

    def broken(self, error: BusUnavailable) -> None:
        """A broker that comes back may be empty: topics and texts are taken for lost."""
        if self.unreachable_since is None:
            self.unreachable_since = self._clock.now()
            logger.warning("the broker cannot be used, orders wait in the log: %s", error)
        self._vain += 1
        self._topics.clear()
        self._sent_texts.clear()

    def _well_again(self) -> None:
        if self._vain:
            logger.warning("the broker can be used again, after %d tries", self._vain)
        self.unreachable_since, self._vain = None, 0

    def _note(self, recorded: Recorded) -> None:
        match recorded.event:
            case MigrationOrdered() | InspectionOrdered() as order:
                self._take(order, recorded)
            case AttemptStarted() as started if started.command in self._unanswered:
                self._unanswered[started.command].started = True
            case MigrationApplied() | MigrationRolledBack() as done:
                self._changed(done.command, {done.version})
            case HistoryAdopted() as adopted:
                taken = {one.version for one in adopted.taken}
                self._changed(adopted.command, taken.union(adopted.released))
            case AttemptFinished() as finished:
                self._finished(finished)
            case DatabaseInspected() | AttemptTimedOut() as answer:
                self._forget(answer.command)
            case RolloutAborted(cancel=True):
                self._cancel(recorded)
            case _:
                pass

    def _take(self, order: Order, recorded: Recorded) -> None:
        """A new attempt replaces the one before it, which no agent needs to hear of any more."""
        place = _place(order, recorded)
        if place in self._latest:
            self._forget(self._latest[place])
        self._latest[place] = order.command
        self._unanswered[order.command] = Unanswered(order, recorded)
        self._unsent[order.command] = None

    def _changed(self, command: UUID, versions: set[str]) -> None:
        one = self._unanswered.get(command)
        if one is not None:
            one.changes |= versions
            self._settle(one)

    def _finished(self, finished: AttemptFinished) -> None:
        one = self._unanswered.get(finished.command)
        if one is not None:
            one.answer = finished.changed
            self._settle(one)

    def _settle(self, one: Unanswered) -> None:
        """Forget an order when the log has its last word and every change that this counts.

        A broker that came back empty may have lost some: then it is sent again, and the agent
        reports again what the journal holds.
        """
        if one.answer is not None and len(one.changes) >= one.answer:
            self._forget(one.order.command)

    def _forget(self, command: UUID) -> None:
        known = self._unanswered.pop(command, None)
        self._unsent.pop(command, None)
        self._cancels.pop(command, None)
        if known is not None:
            self._latest.pop(_place(known.order, known.recorded), None)

    def _cancel(self, aborted: Recorded) -> None:
        for command, one in self._unanswered.items():
            look = isinstance(one.order, InspectionOrdered)
            if one.recorded.stream == aborted.stream and one.answer is None and not look:
                one.cancelled = aborted
                self._cancels[command] = one

    async def _send_due(self) -> None:
        if self._cancels:
            cancels = dict(self._cancels)
            await self._publish([m for one in cancels.values() for m in self._cancellation(one)])
            for command in cancels:
                self._cancels.pop(command, None)
        due = self._due()
        start, size = 0, FIRST_BATCH
        while start < len(due):
            # What was answered while the batch before was sent needs no command any more.
            batch = due[start : start + size]
            await self._send([one for one in batch if one.order.command in self._unanswered])
            # A bus in this process never waits: let its agents take what is there.
            await self._clock.sleep(0)
            start, size = start + size, min(2 * size, BATCH)

    def _due(self) -> list[Unanswered]:
        """What was never sent, and what was sent too long ago."""
        self._give_up()
        now = self._clock.monotonic()
        return [
            unanswered
            for command, unanswered in self._unanswered.items()
            if command in self._unsent
            or unanswered.sent_at is None
            or now - unanswered.sent_at >= self._resend_s
        ]

    def _give_up(self) -> None:
        """A look that expired is ordered anew by whoever wants it, so it is not sent again.

        Neither is what was answered: an agent would only say that it expired.
        """
        now = self._clock.now()
        expired = [
            command
            for command, one in self._unanswered.items()
            if (isinstance(one.order, InspectionOrdered) or one.answer is not None)
            and one.order.expires_at <= now
        ]
        for command in expired:
            self._forget(command)

    async def _send(self, due: Sequence[Unanswered]) -> None:
        orders = (telemetry.context_of(one.recorded.metadata) for one in due)
        told = {telemetry.MESSAGING_BATCH: len(due)}
        with telemetry.span_of(telemetry.PUBLISH_SPAN, told, orders):
            await self._send_all(due)

    async def _send_all(self, due: Sequence[Unanswered]) -> None:
        messages: list[Message] = []
        texts: set[str] = set()
        now = self._clock.monotonic()
        for one in due:
            try:
                due_texts = self._due_texts(one, await self._texts_of(one.order), now) - texts
                content = await self._content(one, due_texts)
            except (UnknownBundle, NoSuchVersion, ContentNotFound) as error:
                # Who may ask can plan what was never stored: that keeps no other order back.
                logger.error("the order for %s cannot be sent: %s", one.order.database, error)
                continue
            texts |= due_texts
            messages += content
            messages += self._cancellation(one)
            messages.append(self._message(command_of(self._ledger, one.recorded)))
        await self._publish(messages)
        self._sent_texts.update(dict.fromkeys(texts, now))
        for one in due:
            one.sent_at, one.lacks_texts = now, False
            self._unsent.pop(one.order.command, None)

    async def _content(self, one: Unanswered, texts: Iterable[str]) -> list[Message]:
        """These texts as messages. Raises `ContentNotFound`."""
        # The manifest goes first: it tells which texts are worth keeping.
        ordered = sorted(texts, key=lambda name: (not _is_manifest(name, one), name))
        return [
            message
            for sha256 in ordered
            for message in encode_content(sha256, await self._bundles.text(sha256))
        ]

    async def _texts_of(self, order: Order) -> set[str]:
        """The texts without which an agent cannot do this: those of the steps, and the manifest.

        Raises `UnknownBundle` or `NoSuchVersion`.
        """
        if isinstance(order, InspectionOrdered):
            return set()
        refs = await self._bundles.refs(order.bundle)
        if lacking := [step.version for step in order.steps if step.version not in refs]:
            raise NoSuchVersion(lacking[0], order.bundle)
        files = {file.sha256 for step in order.steps for file in refs[step.version].files}
        return files | {order.bundle}

    def _due_texts(self, one: Unanswered, texts: set[str], now: float) -> set[str]:
        """Those that go before this order.

        Who has not started it a resend interval later may be waiting for texts that were lost; an
        agent asks for them once only.
        """
        if one.lacks_texts:
            return texts
        if one.sent_at is None or one.started:
            return texts - self._sent_texts.keys()
        old = now - self._resend_s
        return {sha256 for sha256 in texts if self._sent_texts.get(sha256, old) <= old}

    def _cancellation(self, one: Unanswered) -> list[Message]:
        if one.cancelled is None or isinstance(one.order, InspectionOrdered):
            return []
        order = one.order
        cancel = CancelCommand(self._ledger, one.cancelled, order.database, order.pool)
        message = self._message(cancel)
        return [message, replace(message, topic=CANCELS)]

    def _message(self, command: Command) -> Message:
        """The message that carries `command`, signed if this leader has a key."""
        message = encode_command(command)
        return message if self._signer is None else self._signer.command(command, message)

    async def _publish(self, messages: Sequence[Message]) -> None:
        missing = {message.topic for message in messages} - self._topics
        if missing:
            await self._bus.ensure_topics(sorted(missing | ALWAYS))
            self._topics |= missing
        await self._bus.publish(messages)


def _is_manifest(sha256: str, one: Unanswered) -> bool:
    return isinstance(one.order, MigrationOrdered) and one.order.bundle == sha256


def _place(order: Order, recorded: Recorded) -> tuple[str, str, bool]:
    """What has one order at a time: the changes of a database in a rollout, and the looks at it."""
    return recorded.stream, order.database, isinstance(order, InspectionOrdered)
