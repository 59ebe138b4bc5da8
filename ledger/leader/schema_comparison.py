"""Compares the schemas of a rollout's databases when it is over, where agents took fingerprints.

An agent whose settings ask for it says with its last word on a command what the schema's
fingerprint is (`AttemptFinished`). When nothing more runs, the databases of that rollout which have
the same migrations are compared as those of a look are (`ledger.domain.drift`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from ledger.contracts.envelope import Metadata, Recorded, encode
from ledger.contracts.events import RolloutAborted, RolloutCompleted, RolloutHalted
from ledger.contracts.reports import AttemptFinished
from ledger.domain.drift import APPLIED, SeenSchema, drifted, schema_of
from ledger.domain.fleet import FLEET
from ledger.domain.report_check import decided_in
from ledger.leader.wakeups import Alarm
from ledger.service.known_drift import known_drift
from ledger.store.log.decode import open_event
from ledger.store.port import Log
from ledger.store.views.port import Views
from migrations.clock import Clock

TOGETHER = 1000
"""Databases whose migrations are read at once."""
_OVER = (RolloutCompleted, RolloutHalted, RolloutAborted)
_LAST_WORD = (AttemptFinished.__name__,)


class SchemaComparison:
    """Hears rollouts end."""

    def __init__(self, log: Log, reads: Views, term: int, clock: Clock) -> None:
        self._log = log
        self._reads = reads
        self._term = term
        self._clock = clock
        self._alarm = Alarm(clock)
        self._fingerprinted: set[str] = set()
        self._over: dict[str, Recorded] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Take note of rollouts with fingerprints, and of their end."""
        for one in recorded:
            if isinstance(one.event, AttemptFinished) and one.event.fingerprint is not None:
                self._fingerprinted.add(decided_in(one.stream))
            elif isinstance(one.event, _OVER) and one.stream in self._fingerprinted:
                self._fingerprinted.discard(one.stream)
                self._over[one.stream] = one
                self._idle.clear()
                self._alarm.touch([one.stream])

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            for stream in self._alarm.due():
                await self._compare(self._over.pop(stream))
            if not self._over:
                self._idle.set()
            await self._alarm.sleep()

    async def settled(self) -> None:
        """Return when every rollout that was heard to be over is compared."""
        await self._idle.wait()

    async def _compare(self, over: Recorded) -> None:
        await self._reads.caught_up()
        taken: dict[str, tuple[int, str]] = {}
        async for raw in self._log.read_stream(f"{over.stream}/reports", types=_LAST_WORD):
            event = open_event(raw).event
            if isinstance(event, AttemptFinished) and event.fingerprint is not None:
                taken[event.database] = raw.position, event.fingerprint
        found = await self._seen(taken)
        rollout = over.stream.partition("-")[2]
        known = await known_drift(self._log)
        decided = drifted(rollout, found, known, cause=str(over.event_id))
        metadata = Metadata(
            causation=str(over.event_id),
            correlation=over.stream,
            traceparent=over.metadata.traceparent,
            tracestate=over.metadata.tracestate,
            occurred_at=self._clock.now(),
        )
        if decided:
            events = [encode(one.event, one.event_id, metadata) for one in decided]
            await self._log.append(FLEET, events, skip_known=True, term=self._term)

    async def _seen(self, taken: Mapping[str, tuple[int, str]]) -> list[SeenSchema]:
        """Each with what is in force there, as the log says it, where nothing has come since."""
        found: list[SeenSchema] = []
        databases = sorted(taken)
        for start in range(0, len(databases), TOGETHER):
            some = databases[start : start + TOGETHER]
            applied: dict[str, list[str]] = {database: [] for database in some}
            for row in await self._reads.applied(some):
                if row.position > taken[row.database][0]:
                    applied.pop(row.database, None)
                elif row.state == APPLIED and row.database in applied:
                    applied[row.database].append(row.version)
            found += [schema_of(name, of, taken[name][1]) for name, of in applied.items()]
        return found
