"""Takes commands off the bus, keeps polling while they run, commits what has been answered.

A position is committed when every command before it has its last report on the bus. Work is never
tied to owning a partition: when one moves, its new owner gets the unanswered commands again and
answers from the journals, and our commit is refused, which changes nothing.

A command that cannot be read, that nobody signed who is trusted (`agents.trust`), or that is for
another pool, is parked on a topic of its own, with the reason, and passed over. One of a ledger
that this agent does not serve is passed over too (`agents.allegiance`).
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime, timedelta

from agents.allegiance import Allegiance
from agents.job import Job
from agents.outbox import Outbox
from agents.scheduler import Scheduler
from agents.trust import Trust
from ledger.bus.port import BusUnavailable, GroupMember
from ledger.contracts.commands import CancelCommand, Command
from ledger.contracts.envelope import UnknownMessage
from ledger.contracts.messages import Received
from ledger.contracts.wire import decode_command, encode_parked
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""How long a poll waits for messages; what arrives ends it at once."""
PAUSED_POLL_S = 0.05
"""While nothing more is taken: how soon it is seen that there is room again."""
UNACKNOWLEDGED = 1_000
"""Answered commands whose reports the bus may not have yet. They gather for a moment before they
are sent, and nobody waits for that; when they are not taken at all, more work would be in vain."""
COMMIT_EVERY_S = 0.5
"""A commit is a round trip; what it would have saved is answered from the journals."""
REFUSED_FOR = timedelta(minutes=2)
"""How long it is said that an order was put aside: longer than until it is sent again."""
MINUTE_S = 60.0
PARKED_A_MINUTE = 20
"""Unreadable commands that are put aside in a minute: enough to see what is wrong."""


class Unfinished:
    """Which messages of each partition are still worked on, and what may be committed. Pure.

    Messages of a partition come in the order of their offsets. One that does not go on begins
    another reading: the partition moved and came back, or the broker lost everything and counts
    from 0 again. What was committed in the reading before says nothing of this one.
    """

    def __init__(self) -> None:
        self._open: dict[int, dict[int, Received]] = {}
        self._next: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    def took(self, message: Received) -> None:
        """`message` is in hand; a message that came before is in hand again."""
        partition = message.partition
        if message.offset < self._next.get(partition, 0):
            self._committed.pop(partition, None)
        self._open.setdefault(partition, {})[message.offset] = message
        self._next[partition] = message.offset + 1

    def finished(self, message: Received) -> None:
        """`message` needs nothing more; another one may stand in its place by now."""
        still_open = self._open.get(message.partition, {})
        if still_open.get(message.offset) == message:
            del still_open[message.offset]

    def to_commit(self) -> dict[int, int]:
        """Per partition the next offset to read after a restart, where that has changed."""
        positions = {
            partition: min((next_, *self._open.get(partition, ())))
            for partition, next_ in self._next.items()
        }
        return {
            partition: offset
            for partition, offset in positions.items()
            if self._committed.get(partition) != offset
        }

    def committed(self, positions: dict[int, int]) -> None:
        """These positions are kept."""
        self._committed.update(positions)


class ParkedCount:
    """How many messages were parked of late; what is beyond that is only counted, and said."""

    def __init__(self) -> None:
        self._minute = 0.0
        self._in_minute = 0

    def room(self, now_s: float) -> bool:
        """Whether another message may be parked at this moment."""
        if now_s - self._minute >= MINUTE_S:
            if self._in_minute > PARKED_A_MINUTE:
                more = self._in_minute - PARKED_A_MINUTE
                logger.warning("%d more messages could not be read and were passed over", more)
            self._minute, self._in_minute = now_s, 0
        self._in_minute += 1
        return self._in_minute <= PARKED_A_MINUTE


class Inbox:
    """The agent's one way to get commands."""

    def __init__(
        self,
        scheduler: Scheduler,
        outbox: Outbox,
        limit: int,
        clock: Clock,
        chance: Chance,
        allegiance: Allegiance,
        *,
        trust: Trust | None = None,
        pool: str = "",
    ) -> None:
        self._scheduler = scheduler
        self._allegiance = allegiance
        self._trust = trust or Trust(())
        self._pool = pool
        self._refused: tuple[str, datetime] | None = None
        self._parked = ParkedCount()
        self._outbox = outbox
        self._limit = limit
        self._clock = clock
        self._chance = chance
        self._unfinished = Unfinished()
        self._unacknowledged: deque[tuple[int, Received]] = deque()
        self._committed_at = 0.0
        self._paused = False
        self._draining = False

    def over(self, job: Job) -> None:
        """`job` ended; without a last word it stays uncommitted and comes again."""
        if job.answered:
            self._unacknowledged.append((job.ticket, job.message))

    def refuses(self) -> str:
        """Why an order of its ledger was put aside, if one was of late."""
        if self._refused is None or self._clock.now() - self._refused[1] > REFUSED_FOR:
            return ""
        return self._refused[0]

    def drain(self) -> None:
        """Take nothing more; keep the membership and commit what still ends."""
        self._draining = True

    async def run(self, member: GroupMember) -> None:
        """Poll until cancelled between two polls; the bus being away is waited out.

        Raises `BusMisconfigured`.
        """
        backoff = Backoff(self._clock, self._chance)
        while True:
            try:
                await self.turn(member)
                backoff.reset()
            except BusUnavailable as error:
                logger.warning("commands cannot be taken: %s", error)
                await backoff.wait()

    async def turn(self, member: GroupMember) -> None:
        """One poll, with what follows from it."""
        self._balance(member)
        wait_s = PAUSED_POLL_S if self._paused else POLL_S
        for message in await member.poll(wait_s, self._limit):
            if not self._draining:
                self._take(message)
        self._scheduler.look_again()
        self._note_published()
        if self._clock.monotonic() - self._committed_at >= COMMIT_EVERY_S:
            await self.commit(member)

    async def commit(self, member: GroupMember) -> None:
        """Commit what has been answered since. Raises `BusUnavailable`."""
        self._note_published()
        self._committed_at = self._clock.monotonic()
        positions = self._unfinished.to_commit()
        if positions:
            await member.commit(positions)
            self._unfinished.committed(positions)

    def _note_published(self) -> None:
        """Whatever has its last report on the bus needs nothing more."""
        while self._unacknowledged and self._unacknowledged[0][0] <= self._outbox.published:
            self._unfinished.finished(self._unacknowledged.popleft()[1])

    def _balance(self, member: GroupMember) -> None:
        """Pause while there is too much in hand; polling goes on, so the membership stays."""
        in_hand, unacknowledged = self._scheduler.in_hand, len(self._unacknowledged)
        if self._draining or in_hand >= self._limit or unacknowledged >= UNACKNOWLEDGED:
            member.pause()
            self._paused = True
        elif self._paused and in_hand <= self._limit // 2:
            member.resume()
            self._paused = False

    def _take(self, message: Received) -> None:
        self._unfinished.took(message)
        try:
            command = decode_command(message)
        except UnknownMessage as unknown:
            self._park(message, str(unknown))
            return
        if not self._allegiance.hears(command.ledger):
            self._unfinished.finished(message)
            return
        why = self._why_refused(command, message)
        if why:
            self._refused = why, self._clock.now()
            self._park(message, why)
            return
        if isinstance(command, CancelCommand):
            self._scheduler.cancel(command)
            self._unfinished.finished(message)
            return
        self._allegiance.take_up(command.ledger)
        taken = self._scheduler.submit(Job(command, message, self._clock.now()))
        # The very message that is in hand already is finished with its job.
        if not taken and self._scheduler.message_of(command.command) != message:
            self._unfinished.finished(message)

    def hear(self, message: Received, pool: str) -> None:
        """Take what every agent is told: whoever works on a cancelled command of `pool` stops.

        It need not own the command's partition any more. The partition's owner hears of it too, and
        what cannot be read here is parked there.
        """
        try:
            command = decode_command(message)
        except UnknownMessage:
            return
        if not isinstance(command, CancelCommand) or command.pool != pool:
            return
        if self._allegiance.hears(command.ledger) and not self._why_refused(command, message):
            self._scheduler.cancel(command)

    def _why_refused(self, command: Command, message: Received) -> str:
        if self._pool and command.pool != self._pool:
            return f"it is for the pool {command.pool[:63]!a}, and this agent serves another"
        return self._trust.why_refused(command, message)

    def _park(self, message: Received, why: str) -> None:
        """Put `message` aside for people to look at, while there are few of them; else count it."""
        if not self._parked.room(self._clock.monotonic()):
            self._unfinished.finished(message)
            return
        logger.warning(
            "parked the message at %s/%d/%d: %s",
            message.topic,
            message.partition,
            message.offset,
            why,
        )
        ticket = self._outbox.add([encode_parked(message, why)])
        self._unacknowledged.append((ticket, message))
