"""Who stands in our way, and in whose way we stand: asked by a second session, as ours is busy.

    nothing heard for a second ──▶ ask, every second ─┬─ somebody blocks us: told, with what it
                                                      │  holds and does, until it is gone; after
                                                      │  a while we give up, or have it cancelled,
                                                      │  where a policy says so
                                                      └─ how far we are, and whom we block: told

The answer is the server's own (`pg_blocking_pids`), while we wait: afterwards nobody can tell. So
what has no lock timeout is told, too: CREATE INDEX CONCURRENTLY behind an old snapshot, VALIDATE,
REFRESH, a deferred constraint at COMMIT, a psql script. A statement that is through within a
second costs nothing. After a lock timeout the next tries are watched closely, however short. The
session is let go of when nothing has taken long for a while.

It is best effort: without a slot for a second session, or a right, nothing fails, and nobody is
named.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import assert_never

import asyncpg

from migrations.clock import Clock, happens_within
from migrations.errors import RunError
from migrations.model.attempt import WatchdogPolicy, WhenBlocked
from migrations.model.work import Observer
from migrations.target.holder import Blocking, blocking, unseen
from migrations.target.journal import statement
from migrations.target.look import looking
from migrations.target.session import (
    DRIVER_ERRORS,
    Connection,
    ConnectionSettings,
    close_session,
    open_session,
)
from migrations.target.statement_progress import progress_text

APPLICATION_NAME = "migration-ledger lookout"
"""What `pg_stat_activity` shows."""
TICK_S = 0.5
"""Between two glances at whether the server has said anything, which ask nobody."""
FIRST_S = 1.0
"""Nobody asks why a second passes; most statements are through by then."""
LOOK_EVERY_S = 1.0
"""Between two looks at a statement that takes long: what changes is told within two seconds."""
TOLD_EVERY_S = 10.0
"""At most, between two times that the same wait is told."""
LET_GO_S = 5.0
"""How long a session is kept while nothing takes long."""
CLOSELY = 4
"""Looks within one lock timeout, after one that came."""
CLOSEST_S = 0.05


@dataclass(slots=True)
class Lookout:
    """Looks at one session from a second one; `settings` say how to get there."""

    clock: Clock
    settings: ConnectionSettings
    observer: Observer
    watched: Connection
    beside: str = ""
    """The application name of a program that works for us in a session of its own."""
    policy: WatchdogPolicy | None = None
    may_cancel: bool = False
    """Whether whoever runs us lets sessions of others be cancelled."""
    lock_timeout_s: float = 0.0
    """Of what runs now; 0 where there is none."""
    _gave_up: str = ""
    _gave_up_after_s: float = 0.0
    _found: Blocking | None = None
    _found_at: float = 0.0
    _refused: str = ""
    _told: bool = False
    _told_at: float = 0.0
    _tell_after_s: float = FIRST_S
    _standing: str = ""
    _acted: str = ""
    _acted_told: str = ""
    _cancelled: set[int] = field(default_factory=set)
    _cancelling: asyncio.Task[None] | None = None
    _close_s: float | None = None
    _resting: bool = False
    _heard: int = -1
    _quiet_s: float = 0.0
    _busy_s: float = 0.0
    _next_s: float = FIRST_S
    _session: Connection | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look out for as long as the block runs."""
        task = asyncio.create_task(self._watch(), name="lookout")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._cancelling is not None:
                await asyncio.gather(self._cancelling, return_exceptions=True)
            await self._close_session()

    def seen(self) -> str | None:
        """Who stood in the way of what a lock timeout has just ended, or why nobody can tell.

        Whoever was seen earlier stood in the way of something else.
        """
        if self._found is not None and self._found_at >= (
            self.clock.monotonic() - self.lock_timeout_s
        ):
            return self._found.by
        return self._refused or None

    def seen_now(self) -> str | None:
        """Who stood in the way when it was looked last."""
        return self._found.by if self._found is not None and self._told else None

    def given_up(self) -> str:
        """Why what a cancellation has just ended was given up, if it was by us; said once."""
        why, self._gave_up = self._gave_up, ""
        if why:
            self.observer.given_up(self._gave_up_after_s)
        return why

    def rest(self, *, then_closely: bool) -> None:
        """Nothing is tried for a while; then, behind a lock timeout, look more closely."""
        self._resting, self._told = True, False
        if then_closely:
            self._close_s = max(self.lock_timeout_s / CLOSELY, CLOSEST_S)
        self._changed.set()

    def try_again(self) -> None:
        """The pause is over."""
        self._resting, self._found = False, None
        self._changed.set()

    def calm_down(self) -> None:
        """What was tried is through, or given up."""
        self._resting, self._close_s = False, None

    async def _watch(self) -> None:
        while True:
            changed = await happens_within(self.clock, self._changed, self._close_s or TICK_S)
            self._changed.clear()
            if self._resting and self._close_s is not None:
                await self._open()
            if changed or self._resting or not (self._close_s or self._due()):
                if self._busy_s >= LET_GO_S and self._close_s is None:
                    await self._close_session()
                continue
            asked_at = self.clock.monotonic()
            found = await self._look()
            if not self._resting:
                # Who is cancelled lets us go on at once: what is told behind that is not true any
                # more, and a wait of which nothing was told before would have been none.
                self._tell(found, asked_at)
                if found is not None:
                    await self._act(found)
                self.observer.standing(self._standing)

    def _due(self) -> bool:
        """Whether the server has been silent for long enough since it was asked last."""
        heard = getattr(getattr(self.watched, "_protocol", None), "heard", 0)
        if heard != self._heard:
            self._heard, self._quiet_s, self._next_s = heard, 0.0, FIRST_S
            self._busy_s += TICK_S
            return self._told
        self._quiet_s += TICK_S
        if self._quiet_s < self._next_s:
            self._busy_s += TICK_S
            return False
        self._busy_s = 0.0
        self._next_s += LOOK_EVERY_S
        return True

    def _tell(self, found: Blocking | None, asked_at: float) -> None:
        if found is None:
            self._acted, self._tell_after_s = "", FIRST_S
            self._cancelled.clear()
            if self._told:
                self._told = False
                self.observer.going_on()
            return
        before = self._found if self._told else None
        same = before is not None and (before.what, before.pids) == (found.what, found.pids)
        same = same and self._acted == self._acted_told
        self._found, self._found_at, self._told = found, asked_at, True
        if same and asked_at - self._told_at < self._tell_after_s:
            return
        # A wait that goes on is told less and less often.
        longer_s = min(2 * self._tell_after_s, TOLD_EVERY_S)
        self._told_at, self._tell_after_s = asked_at, longer_s if same else FIRST_S
        self._acted_told = self._acted
        told = f"{found.what}, held by {found.by}{found.running}{self._acted}"
        self.observer.waiting(told, found.waiting_s, None)

    async def _act(self, found: Blocking) -> None:
        """Do what the policy says about a wait that has taken long enough."""
        policy = self.policy
        if policy is None or found.waiting_s < policy.after_s or self._gave_up:
            return
        match policy.when_blocked:
            case WhenBlocked.WAIT:
                return
            case WhenBlocked.GIVE_UP:
                waited = f"{found.waiting_s:.0f} s for {found.what}, held by {found.by}"
                self._gave_up_after_s = found.waiting_s
                self._gave_up = f"given up after waiting {waited}"
                done, _ = await self._cancel(found.waits or self.watched.get_server_pid())
                if not done:
                    self._gave_up = ""
            case WhenBlocked.CANCEL if not self.may_cancel:
                self._acted = "; cancelling it is not allowed here (LEDGER_AGENT_CANCEL_BLOCKERS)"
            case WhenBlocked.CANCEL:
                # Who is cancelled lets us go on, and our end may not keep that from being told.
                self._cancelling = asyncio.create_task(
                    self._cancel_blockers(found), name="cancelling"
                )
                await asyncio.shield(self._cancelling)
            case _:
                assert_never(policy.when_blocked)

    async def _cancel_blockers(self, found: Blocking) -> None:
        """Have each cancelled once, and tell what was: that is more than a wait."""
        said = []
        for pid in sorted(set(found.pids) - self._cancelled):
            self._cancelled.add(pid)
            done, what = await self._cancel(pid)
            self._acted = f"; {what}"
            said += [what] if done else []
        if said:
            self.observer.blocker_cancelled(found.by, found.waiting_s, "; ".join(said))

    async def _cancel(self, pid: int) -> tuple[bool, str]:
        """Have the server cancel what a session runs: whether it did, and what came of that."""
        session = await self._open()
        if session is None:
            return False, f"pid {pid} could not be cancelled: no second session was to be had"
        try:
            async with looking(session):
                await session.execute(statement("cancelled", pid=pid))
        except asyncpg.InsufficientPrivilegeError:
            return False, f"pid {pid} may not be cancelled: grant pg_signal_backend to our login"
        except DRIVER_ERRORS:
            await self._close_session()
            return False, f"pid {pid} could not be cancelled"
        return True, f"what pid {pid} runs was cancelled; one that idles only ends by itself"

    async def _open(self) -> Connection | None:
        """A session to ask in; `None` where none can be had now."""
        if self._session is None or self._session.is_closed():
            try:
                self._session = await open_session(
                    self.settings, application_name=APPLICATION_NAME, read_only=True
                )
            except RunError:
                self._session = None
        return self._session

    async def _look(self) -> Blocking | None:
        """Who stands in the way now; `None` also where that cannot be seen."""
        session = await self._open()
        if session is None:
            return None
        pid, beside = self.watched.get_server_pid(), self.beside or None
        try:
            async with looking(session):
                rows = await session.fetch(statement("blockers", pid=pid, beside=beside))
                (row,) = await session.fetch(statement("standing", pid=pid, beside=beside))
        except DRIVER_ERRORS as error:
            if isinstance(error, asyncpg.PostgresError):
                self._refused = unseen(error)
            await self._close_session()
            return None
        self._refused, self._standing = "", progress_text(dict(row))
        return blocking(map(dict, rows), self.settings.database)

    async def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await close_session(session)
