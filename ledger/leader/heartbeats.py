"""Takes agents' signs of life from the bus into a table outside the log, and adds the leader's own.

They explain waits and are never facts: no decision uses them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unicodedata import category

from ledger.bus.port import Bus, BusError, BusUnavailable, Received
from ledger.contracts.envelope import UnknownMessage
from ledger.contracts.heartbeat import Heartbeat
from ledger.contracts.statements import HEARTBEAT
from ledger.contracts.topics import HEARTBEATS, valid_pool
from ledger.contracts.wire import decode_heartbeat
from ledger.leader.signatures import Speakers
from ledger.service.liveness import LEADER_BEAT
from ledger.store.port import Beat, Signs
from migrations.backoff import Backoff
from migrations.chance import Chance
from migrations.clock import Clock

logger = logging.getLogger(__name__)

POLL_S = 1.0
BATCH = 1000
STALE_S = 120.0
"""What is older by its agent's clock was left on the topic, or that clock is behind."""
LISTEN_S = 1.5
"""How long an agent is listened to before its clock is known; it beats every two seconds."""
STEADY_S = 5.0
"""How much the distance between two clocks may seem to move: messages travel."""

HEARTBEATS_KEPT = 2_000
"""Agents whose latest word is kept: those that were heard last."""
TRIM_AFTER = 500
"""Signs of life after which the others are let go."""
NAME_MAX_CHARS = 200
BODY_MAX_CHARS = 512 * 1024
"""Of a sign of life: several times what the busiest agent says."""
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Kinds of characters that steer a terminal, turn the direction of a text, or end a line."""
NAMED = 20
"""Agents that are not believed and named in the log, each once: anybody can invent more."""
AGENTS_KEPT = 10_000
"""Agents that are listened to at a time; more begin anew."""


class Living:
    """Tells an agent whose clock is behind from one that is gone and left old messages.

    The clock of a living one goes as fast as ours: its distance stays. What is read from a topic
    all at once was said over hours.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[datetime, timedelta]] = {}

    def hears(self, heartbeat: Heartbeat, now: datetime) -> bool:
        """Whether this comes from an agent that was heard before, as long ago as its clock says."""
        distance = heartbeat.at - now
        since, before = self._known.get(heartbeat.agent, (now, distance))
        if abs(distance - before) > timedelta(seconds=STEADY_S):
            since, before = now, distance
        if len(self._known) >= AGENTS_KEPT:
            self._known.clear()
        self._known[heartbeat.agent] = (since, before)
        return now - since >= timedelta(seconds=LISTEN_S)


class HeartbeatIntake:
    """Keeps the latest sign of life of each agent.

    `broker` says whether the broker answers, and for how many seconds that has been so;
    `left_alone` are the rollouts on which nothing is decided, and why.
    """

    def __init__(
        self,
        bus: Bus,
        signs: Signs,
        broker: Callable[[], tuple[bool, float]],
        clock: Clock,
        chance: Chance,
        speakers: Speakers | None = None,
        left_alone: Mapping[str, str] | None = None,
    ) -> None:
        self._bus = bus
        self._left_alone = {} if left_alone is None else left_alone
        self._speakers = speakers
        self._unbelieved: set[str] = set()
        self._signs = signs
        self._broker = broker
        self._clock = clock
        self._living = Living()
        self._since_trim = 0
        self._backoff = Backoff(clock, chance)

    async def run(self) -> None:
        """Take signs of life until cancelled; those of a lost broker simply stop coming.

        Raises `BusMisconfigured`.
        """
        while True:
            try:
                await self._read()
            except BusUnavailable:
                await self.keep([])
                await self._backoff.wait()

    async def keep(self, beats: Sequence[Beat]) -> None:
        """Keep these, and say that the leader lives and whether it reaches the broker."""
        answers, for_s = self._broker()
        own: dict[str, Any] = {"broker": answers, "for_s": round(for_s, 1)}
        if self._left_alone:
            own["left_alone"] = cleaned(self._left_alone)
        await self._signs.put([*beats, Beat(LEADER_BEAT, "", json.dumps(own))])
        self._since_trim += len(beats)
        if self._since_trim >= TRIM_AFTER:
            self._since_trim = 0
            await self._signs.trim(HEARTBEATS_KEPT)

    async def _read(self) -> None:
        await self._bus.ensure_topics([HEARTBEATS])
        reader = await self._bus.read(HEARTBEATS, {})
        try:
            while True:
                received = await reader.poll(POLL_S, BATCH)
                self._backoff.reset()
                now = self._clock.now()
                since = now - timedelta(seconds=STALE_S)
                living = partial(self._living.hears, now=now)
                await self.keep(fresh(received, since, living, self._believes))
        finally:
            # A broker that is gone must not turn being cancelled into trying again.
            with suppress(BusError):
                await reader.close()

    def _believes(self, message: Received, heartbeat: Heartbeat) -> bool:
        """Whether an agent of its pool said this, as far as signatures tell."""
        if self._speakers is None:
            return True
        why = self._speakers.why_unbelieved(message, HEARTBEAT, heartbeat.pool)
        if why and heartbeat.agent not in self._unbelieved and len(self._unbelieved) < NAMED:
            self._unbelieved.add(heartbeat.agent)
            logger.warning(
                "agent %s of pool %s is not believed: %s",
                cleaned(heartbeat.agent)[:NAME_MAX_CHARS],
                cleaned(heartbeat.pool)[:63],
                why,
            )
        return not why


def fresh(
    received: Sequence[Received],
    since: datetime,
    is_living: Callable[[Heartbeat], bool] = lambda _: False,
    is_believed: Callable[[Received, Heartbeat], bool] = lambda *_: True,
) -> list[Beat]:
    """The signs of life in these messages that are not older than `since`, as they can be kept.

    One that is older by the clock of an agent that `is_living` all the same is kept, too. One that
    cannot be read or kept, or is not believed, is left out: it explains nothing here.
    """
    beats = []
    for message in received:
        try:
            heartbeat = decode_heartbeat(message)
        except UnknownMessage:
            continue
        if not _is_named(heartbeat) or heartbeat.at.tzinfo is None:
            continue
        body = json.dumps(cleaned(heartbeat.model_dump(mode="json")))
        if len(body) > BODY_MAX_CHARS or not is_believed(message, heartbeat):
            continue
        if is_living(heartbeat) or heartbeat.at >= since:
            beats.append(Beat(heartbeat.agent, heartbeat.pool, body))
    return beats


def cleaned(said: Any) -> Any:
    """The same JSON value with a blank for every character that a person cannot see."""
    if isinstance(said, str):
        return "".join(" " if category(one) in HIDDEN else one for one in said)
    if isinstance(said, list):
        return [cleaned(one) for one in said]
    if isinstance(said, dict):
        return {name: cleaned(value) for name, value in said.items()}
    return said


def _is_named(heartbeat: Heartbeat) -> bool:
    """Whether this comes from an agent with a name, of a pool that can be one."""
    name = heartbeat.agent
    fits = name != LEADER_BEAT and len(name) <= NAME_MAX_CHARS
    return fits and cleaned(name) == name and valid_pool(heartbeat.pool)
