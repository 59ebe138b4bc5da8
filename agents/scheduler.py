"""Which command runs when: one change per database at a time, within limits overall and per server.

```
submit ─▶ lacking texts ─▶ queued in its lane ─▶ running ─▶ over
   │            │                │                  │
   └────────────┴──── cancel ────┴──────────────────┘   out of turn, at once
```

A lane is what runs one at a time: the changes of one database. Looks at it have a lane of their
own, so that a database that hangs can still be asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias
from uuid import UUID

from agents.errors import TextRefused
from agents.job import Job, JobPhase, Stop
from agents.texts import Library
from ledger.contracts.commands import ApplyCommand, CancelCommand
from ledger.contracts.messages import Received
from ledger.contracts.registry import ServerAddress
from migrations.clock import Clock

logger = logging.getLogger(__name__)

Lane: TypeAlias = tuple[str, str]
Work: TypeAlias = Callable[[Job], Coroutine[Any, Any, None]]

CANCELS_KEPT = 10_000
"""Cancellations that are remembered in case what they take back arrives later."""
TEXTS_LATE_S = 2.0
"""How long texts may be on their way before the ledger is asked for them."""
TEXTS_AGAIN_S = 15.0
"""How long texts that were asked for may be on their way before they are asked for again."""


class Scheduler:
    """Starts, counts and stops the agent's workers."""

    def __init__(
        self,
        concurrency: int,
        per_host: int,
        library: Library,
        work: Work,
        ask_for_texts: Callable[[Job], None],
        over: Callable[[Job], None],
        at_rest: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._concurrency = concurrency
        self._per_host = per_host
        self._library = library
        self._work = work
        self._ask_for_texts = ask_for_texts
        self._over = over
        self._at_rest = at_rest
        self._clock = clock
        self._jobs: dict[UUID, Job] = {}
        self._lacking: dict[UUID, Job] = {}
        self._queues: dict[Lane, deque[Job]] = {}
        self._ready: OrderedDict[Lane, None] = OrderedDict()
        self._occupied: set[Lane] = set()
        self._hosts: Counter[ServerAddress] = Counter()
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._cancelled: OrderedDict[tuple[UUID, str, str], CancelCommand] = OrderedDict()
        self._draining = False

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return len(self._tasks)

    @property
    def in_hand(self) -> int:
        """How many jobs are waiting or running."""
        return len(self._jobs)

    def message_of(self, command: UUID) -> Received | None:
        """The message that a command in hand came with."""
        job = self._jobs.get(command)
        return job.message if job is not None else None

    def jobs(self) -> list[Job]:
        """Everything in hand."""
        return list(self._jobs.values())

    def submit(self, job: Job) -> bool:
        """Take `job`; `False` when its command is in hand already."""
        if job.id in self._jobs:
            return False
        self._jobs[job.id] = job
        command = job.command
        if isinstance(command, ApplyCommand) and self._is_cancelled(command):
            job.stop = Stop.ORDERED
        if isinstance(command, ApplyCommand) and not job.stop and self._library.missing(command):
            self._lacking[job.id] = job
            job.waits_for = "migration texts"
            self._hold()
        else:
            self._enqueue(job)
            self._start_ready()
        return True

    def cancel(self, cancel: CancelCommand) -> None:
        """Stop what it takes back now, or as soon as it arrives."""
        self._cancelled[_taken_back_by(cancel)] = cancel
        if len(self._cancelled) > CANCELS_KEPT:
            self._cancelled.popitem(last=False)
        for job in list(self._jobs.values()):
            if isinstance(job.command, ApplyCommand) and cancel.takes_back(job.command):
                self._stop(job)

    def _is_cancelled(self, command: ApplyCommand) -> bool:
        known = self._cancelled.get(_taken_back_by(command))
        return known is not None and known.takes_back(command)

    def _stop(self, job: Job) -> None:
        if job.stop is not None:
            return
        job.stop = Stop.ORDERED
        if job.id in self._tasks:
            # Work that has not begun reads why it is to stop when it does.
            if job.began:
                self._tasks[job.id].cancel()
        elif self._lacking.pop(job.id, None):
            self._enqueue(job)
            self._start_ready()

    def look_again(self) -> None:
        """See which jobs have their texts by now; ask for those that are late."""
        now = self._clock.now()
        for job in list(self._lacking.values()):
            command = job.command
            if not isinstance(command, ApplyCommand):
                continue
            if command.expires_at <= now or not self._library.missing(command):
                del self._lacking[job.id]
                self._enqueue(job)
            elif (now - job.since).total_seconds() > _patience_s(job):
                job.asked_for_texts += 1
                logger.info("asking for the texts of %s", command.command)
                self._ask_for_texts(job)
        self._hold()
        self._start_ready()

    def drain(self) -> None:
        """Start nothing more; what runs goes on."""
        self._draining = True

    async def idle(self) -> None:
        """Return when nothing runs."""
        while self._tasks:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            await self._clock.sleep(0)

    def stop_all(self) -> None:
        """Cancel what runs, because the agent ends."""
        self._draining = True
        for command, task in self._tasks.items():
            self._jobs[command].stop = self._jobs[command].stop or Stop.SHUTDOWN
            task.cancel()

    def _enqueue(self, job: Job) -> None:
        job.waits_for = ""
        self._load(job)
        self._queues.setdefault(job.lane, deque()).append(job)
        if job.lane not in self._occupied:
            self._ready.setdefault(job.lane)

    def _hold(self) -> None:
        """Have the texts kept that orders wait for, and those beside them that are here."""
        waiting = [job.command for job in self._lacking.values()]
        held = [self._library.sources(one) for one in waiting if isinstance(one, ApplyCommand)]
        self._library.hold(frozenset().union(*held))

    def _load(self, job: Job) -> None:
        """Take the parsed migrations now, so that no text can be forgotten before it runs."""
        command = job.command
        if not isinstance(command, ApplyCommand) or self._library.missing(command):
            return
        try:
            job.refs = self._library.refs(command)
            job.folder = self._library.folder(command)
            job.migrations = self._library.load(command)
        except TextRefused as error:
            job.refusal = str(error)

    def _start_ready(self) -> None:
        """Start what may start, oldest lane first; a lane on a busy server is passed over."""
        if self._draining or len(self._tasks) >= self._concurrency:
            return
        for lane in list(self._ready):
            job = self._queues[lane][0]
            if self._hosts[job.server] < self._per_host:
                self._start(lane, job)
                if len(self._tasks) >= self._concurrency:
                    return

    def _start(self, lane: Lane, job: Job) -> None:
        del self._ready[lane]
        self._occupied.add(lane)
        self._queues[lane].popleft()
        self._hosts[job.server] += 1
        job.phase = JobPhase.CONNECTING
        task = asyncio.create_task(self._begin(job), name=f"work-{job.command.database}")
        self._tasks[job.id] = task
        task.add_done_callback(lambda done: self._ended(lane, job, done))

    async def _begin(self, job: Job) -> None:
        job.began = True
        await self._work(job)

    def _ended(self, lane: Lane, job: Job, task: asyncio.Task[None]) -> None:
        del self._tasks[job.id]
        del self._jobs[job.id]
        self._occupied.discard(lane)
        self._hosts[job.server] -= 1
        if not self._hosts[job.server]:
            del self._hosts[job.server]
        if self._queues[lane]:
            self._ready[lane] = None
        else:
            del self._queues[lane]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("work on %s broke off: %r", job.command.database, error)
        self._over(job)
        self._start_ready()
        if not self._tasks:
            self._at_rest()


def _patience_s(job: Job) -> float:
    """How long after its arrival the ledger is to be asked for its texts, the next time."""
    return TEXTS_LATE_S + job.asked_for_texts * TEXTS_AGAIN_S


def _taken_back_by(command: ApplyCommand | CancelCommand) -> tuple[UUID, str, str]:
    """What a cancellation and the orders that it takes back have in common."""
    return command.ledger, command.stream, command.database
