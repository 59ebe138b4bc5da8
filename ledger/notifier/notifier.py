"""Reads the log, keeps what is to be told, and tells it: each target for itself.

```
log ─▶ reader ─▶ notification, notification_position ─▶ sender of a target ─▶ target
                 one transaction                        │ failed: later, at growing distances
                                                        └ NotificationFailed, seldom
```

A message is kept before the log's position moves, and forgotten after its target took it: so it is
delivered at least once, whatever ends in between, and always under the same key. A target that
takes nothing is tried with one message at a time until it does; then everything that waited is due.
Of that the log hears when it begins, and at growing distances, never more than once in an hour.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import asyncpg

from ledger import instruments, telemetry
from ledger.contracts.envelope import Metadata, Recorded, encode
from ledger.contracts.events import NotificationFailed
from ledger.domain.messages import Notification, message_of
from ledger.domain.notices import Notice, notice_of
from ledger.domain.routes import Draft, Route, collected, draft_of, wanted
from ledger.errors import LedgerUnreachable, NotPermitted, RequestUnfit, StoreError
from ledger.notifier.thread import BlockingCall
from ledger.store.connections import DATABASE_TROUBLE
from ledger.store.log.decode import open_event
from ledger.store.notifications import NotHeld, NotificationTable, TargetTrouble, Waiting
from ledger.store.port import Log
from ledger.store.refusals import trouble_of
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock, happens_within

logger = logging.getLogger(__name__)

HELD_S = 30.0
"""Whoever is silent for so long is replaced by another notifier, if one waits."""
LOOK_EVERY_S = 1.0
"""How long an event may go unnoticed; and how often another notifier's end is looked for."""
EVENTS = 5000
"""Positions of the log looked at in one step; of them, what no route wants is not read."""
MESSAGES = 100
"""Read at once, of those that are due."""
FIRST_S, MOST_S = 1.0, 60.0
"""Between tries of a target that takes nothing."""
IDLE_S = 60.0
"""A sender without work looks again after this."""
SAID_EVERY_S, SAID_AT_LEAST_EVERY_S = 3600.0, 86_400.0
"""Between two events about one target; doubled each time, up to a day."""
TRIM_EVERY_S = 3600.0
STREAM = "ledger"

_outcomes = instruments.counter(instruments.NOTIFICATIONS)


class NotificationTarget(Protocol):
    """A place that is told."""

    def send(self, message: Notification) -> str:
        """Send a message: empty when it was taken, else why not, without any secret. Blocks."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is told where: the routes, their targets by name, and what all messages have."""

    routes: Sequence[Route]
    targets: Mapping[str, NotificationTarget]
    ledger: str
    link: str
    keep: timedelta

    @property
    def types(self) -> list[str]:
        """The types of events that any route may want."""
        return sorted({name for route in self.routes for name in route.types()})


class Notifier:
    """Notifies for one ledger, as long as nobody else does."""

    def __init__(
        self,
        name: str,
        told: Told,
        table: NotificationTable,
        log: Log,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._name = name
        self._told = told
        self._table = table
        self._clock = clock
        self._labelled = any(route.labels for route in told.routes)
        self._senders = {
            name: Sender(name, target, told, table, log, clock, chance)
            for name, target in told.targets.items()
        }
        self._backoff = Backoff(clock, chance, first_s=0.5, most_s=30.0)
        self._lost = ""
        self.lag = 0
        """Events of the log that were not looked at."""

    async def run(self) -> None:
        """Notify until cancelled; wait while another process does, or the database is away."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self._read(group), name="notify-read")
                    await reading
            except* NotHeld:
                logger.warning("another process notifies; this one waits until it ends")
                self._lost = "another process notifies"
                await self._clock.sleep(LOOK_EVERY_S)
            except* (asyncpg.InsufficientPrivilegeError, NotPermitted):
                # What a person has to give is not waited for.
                raise
            except* (*DATABASE_TROUBLE, StoreError, LedgerUnreachable) as lost:
                self._lost = trouble_of(lost)
                logger.warning("nobody is told anything for the moment: %s", self._lost)
                await self._backoff.wait()

    async def release(self) -> None:
        """Let another notify at once."""
        await self._table.release(self._name)

    def silence(self) -> str:
        """Why nobody is told anything now; empty when people are."""
        return self._lost

    def observe(self) -> None:
        """Have what waits read by whoever takes measurements."""
        senders = self._senders

        def waiting() -> list[instruments.Value]:
            return [(one.waiting, {telemetry.TARGET: name}) for name, one in senders.items()]

        def failing() -> list[instruments.Value]:
            now = self._clock.now()
            return [
                (
                    (now - one.failing_since).total_seconds() if one.failing_since else 0.0,
                    {telemetry.TARGET: name},
                )
                for name, one in senders.items()
            ]

        instruments.observe(instruments.NOTIFICATIONS_WAITING, waiting)
        instruments.observe(instruments.NOTIFICATIONS_FAILING, failing)
        instruments.observe(instruments.NOTIFICATIONS_LAG, lambda: [(self.lag, {})])

    async def _read(self, group: asyncio.TaskGroup) -> None:
        """Take hold, have the senders work, and look at the log. Raises `NotHeld`."""
        position = await self._hold()
        for name, sender in self._senders.items():
            group.create_task(sender.run(), name=f"notify-{name}")
        self._lost = ""
        self._backoff.reset()
        trimmed_at = self._clock.now() - timedelta(seconds=TRIM_EVERY_S)
        while True:
            now = self._clock.now()
            if (now - trimmed_at).total_seconds() >= TRIM_EVERY_S:
                trimmed_at = now
                await self._trim(now)
            end, projected = await self._table.ends()
            upto = min(end, projected if self._labelled else end, position + EVENTS)
            self.lag = end - max(upto, position)
            if upto > position:
                await self._take(position, upto)
                position = upto
            else:
                await self._clock.sleep(LOOK_EVERY_S)
            await self._hold()

    async def _hold(self) -> int:
        now = self._clock.now()
        until = now + timedelta(seconds=HELD_S)
        position = await self._table.hold(self._name, now, until)
        if position is None:
            raise NotHeld
        return position

    async def _trim(self, now: datetime) -> None:
        """Forget what waits for targets that are no more; the others' senders do so themselves."""
        for state in await self._table.targets():
            if state.target not in self._senders:
                gone = await self._table.give_up(state.target, now - self._told.keep)
                if gone:
                    logger.warning("%d notifications for %s are given up", gone, state.target)

    async def _take(self, position: int, upto: int) -> None:
        """Keep what is to be told of these events, and that they were looked at."""
        raw = await self._table.news(position, upto, self._told.types)
        drafts = await self._drafts([open_event(one) for one in raw])
        digests = await self._table.open_digests(drafts, self._clock.now())
        await self._table.put(self._name, upto, collected(drafts, digests))
        for target in {one.target for one in drafts}:
            self._senders[target].wake()

    async def _drafts(self, events: Sequence[Recorded]) -> list[Draft]:
        notices = [notice_of(one) for one in events]
        labels = LabelLookup(self._table, self._told.routes)
        if self._labelled:
            await labels.load({one.database for one in notices if one.database})
        now = self._clock.now()
        drafts = []
        for recorded, notice in zip(events, notices, strict=True):
            labelled = await labels.of(notice)
            for target, route in wanted(self._told.routes, notice, labelled):
                drafts.append(draft_of(notice, recorded.event_id, target, route, now))
        return drafts


class LabelLookup:
    """Which routes are about what happened, by the labels of whom it happened to."""

    def __init__(self, table: NotificationTable, routes: Sequence[Route]) -> None:
        self._table = table
        self._routes = [(number, one) for number, one in enumerate(routes) if one.labels]
        self._labels: dict[str, Mapping[str, str]] = {}
        self._rollouts: dict[tuple[str, int], bool] = {}

    async def load(self, databases: set[str]) -> None:
        """Read the labels of these."""
        self._labels = await self._table.labels(databases)

    async def of(self, notice: Notice) -> dict[int, bool]:
        """Of each route with labels, by its number, whether it is about this.

        What is said of a rollout is about the labels of any of its databases; what is said of the
        ledger itself is about none.
        """
        return {number: await self._fits(notice, number, one) for number, one in self._routes}

    async def _fits(self, notice: Notice, number: int, route: Route) -> bool:
        if notice.database:
            return route.labels.items() <= self._labels.get(notice.database, {}).items()
        if not notice.rollout:
            return False
        place = (notice.rollout, number)
        if place not in self._rollouts:
            self._rollouts[place] = await self._table.rollout_has(notice.rollout, route.labels)
        return self._rollouts[place]


class Sender:
    """Tells one target what is due, and tries again what it did not take."""

    def __init__(
        self,
        name: str,
        target: NotificationTarget,
        told: Told,
        table: NotificationTable,
        log: Log,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._name = name
        self._target = target
        self._told = told
        self._table = table
        self._log = log
        self._clock = clock
        self._chance = chance
        self._call = BlockingCall(name, clock)
        self._woken = asyncio.Event()
        self._backoff = Backoff(clock, chance, first_s=FIRST_S, most_s=MOST_S)
        self._given_up = 0
        self._trouble: TargetTrouble | None = None
        """The last one, also when it is over."""
        self.waiting = 0
        self.failing_since: datetime | None = None

    def wake(self) -> None:
        """There is something new."""
        self._woken.set()

    async def run(self) -> None:
        """Tell what is due until cancelled."""
        while True:
            self._woken.clear()
            now = self._clock.now()
            self.waiting = await self._table.waiting(self._name)
            due = await self._table.due(self._name, now, MESSAGES)
            for one in due:
                if not await self._deliver(one):
                    break
            if not due:
                await self._say(now)
                next_due = await self._table.next_due(self._name)
                wait_s = (next_due - now).total_seconds() if next_due else IDLE_S
                await happens_within(self._clock, self._woken, min(max(wait_s, 0.0), IDLE_S))

    async def _deliver(self, waiting: Waiting) -> bool:
        """Whether the target took a message; if not, wait before the next."""
        message = message_of(waiting.draft, self._told.ledger, self._told.link)
        why = await self._call(lambda: self._target.send(message))
        now = self._clock.now()
        result = "failed" if why else "delivered"
        _outcomes.add(1, {telemetry.TARGET: self._name, telemetry.STATE: result})
        if not why:
            await self._table.delivered(self._name, waiting.draft.key, now)
            self._backoff.reset()
            self.failing_since = None
            self.waiting = max(self.waiting - 1, 0)
            return True
        wait_s = self._backoff.next_s()
        again_at = now + timedelta(seconds=wait_s)
        self._trouble = trouble = await self._table.failed(
            self._name, waiting.draft.key, now, why, again_at
        )
        self.failing_since = trouble.failing_since
        self._given_up += await self._table.give_up(self._name, now - self._told.keep)
        await self._say(now)
        await self._clock.sleep(wait_s)
        return False

    async def _say(self, now: datetime) -> None:
        """Say in the log that the target takes nothing, unless that was said lately."""
        trouble = self._trouble
        if trouble is None or not (self.failing_since or self._given_up):
            return
        if trouble.said_at is not None:
            longer = 1 if self._given_up else 2 ** min(trouble.said, 10)
            apart_s = min(SAID_EVERY_S * longer, SAID_AT_LEAST_EVERY_S)
            if (now - trouble.said_at).total_seconds() < apart_s:
                return
        self.waiting = await self._table.waiting(self._name)
        logger.warning(
            "%s takes no notifications (%s); %d wait, and are tried again",
            self._name,
            trouble.why,
            self.waiting,
        )
        event = NotificationFailed(
            target=self._name,
            why=trouble.why[:200],
            failing_since=trouble.failing_since,
            tries=trouble.failures,
            waiting=self.waiting,
            given_up=self._given_up,
        )
        encoded = encode(event, self._chance.ordered_uuid(), Metadata(occurred_at=now))
        try:
            await self._log.append(STREAM, [encoded])
        except (NotPermitted, RequestUnfit) as refused:
            logger.warning("that cannot be said in the log: %s", refused)
        await self._table.said(self._name, now)
        self._trouble = trouble._replace(said=trouble.said + 1, said_at=now)
        self._given_up = 0
