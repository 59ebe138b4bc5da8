"""The engine: what an agent needs of the databases that it works on. A port, and PostgreSQL.

An agent decides from an order and from what a database's journal says; how migrations are brought
to a database, and what proves that they are there, is the engine's. Whoever implements it keeps
these promises (`tests/conformance/test_engine.py` shows them on each adapter):

- a step is reported when its effect is committed, and both are or neither is;
- work is done by one at a time on a target: a second call waits for the first (`limits`);
- a command that comes again finds what it did the first time, and does it no second time;
- a command older than the last one that was let in is refused as stale, and changes nothing;
- a cancelled call leaves no transaction, no lock and no session behind;
- what goes wrong on a target is an outcome with a failure, and is not raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from migrations import inspection, runner
from migrations.adoption import inspect as other_tools
from migrations.catalog.visit import Visit, visit
from migrations.chance import Chance
from migrations.clock import Clock
from migrations.errors import RunError
from migrations.inspection import Inspection
from migrations.model.attempt import Adoption, Limits
from migrations.model.clocks import ComparedClock
from migrations.model.foreign_history import ForeignHistory
from migrations.model.preflight import PreflightRequest, PreflightResult
from migrations.model.work import Observer, Outcome, Work
from migrations.preflight.preflight import ask_by_itself
from migrations.target.session import DRIVER_ERRORS, ConnectionSettings


class Engine(Protocol):
    """Databases, by where they are."""

    async def run(
        self,
        settings: ConnectionSettings,
        work: Work,
        limits: Limits,
        observer: Observer,
        *,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> Outcome:
        """Do `work` on the target and say what came of it; as `migrations.runner.run`."""

    async def inspect(
        self, settings: ConnectionSettings, target: str, clock: ComparedClock | None = None
    ) -> Inspection:
        """Look at a target; what goes wrong is in the answer, not raised."""

    async def inspect_at_rest(
        self,
        settings: ConnectionSettings,
        target: str,
        observer: Observer,
        clock: ComparedClock | None = None,
    ) -> Inspection:
        """As `inspect` while nobody is at work there; `observer` hears of the wait."""

    async def histories(
        self, settings: ConnectionSettings, target: str, wanted: Adoption | None
    ) -> tuple[ForeignHistory, ...]:
        """What other tools left on the target."""

    async def snapshot(self, settings: ConnectionSettings, target: str, *, keep: bool) -> Visit:
        """What the target's schema is; what goes wrong is in the answer, not raised.

        Without `keep`, its hash alone.
        """

    async def preflight(
        self, settings: ConnectionSettings, target: str, asked: PreflightRequest
    ) -> tuple[PreflightResult, ...]:
        """Ask whether this is a good moment, in a look of its own; nothing where it cannot."""


@dataclass(frozen=True, slots=True)
class PostgresEngine:
    """PostgreSQL servers, each reached in a session of its own."""

    clock: Clock
    chance: Chance

    async def run(
        self,
        settings: ConnectionSettings,
        work: Work,
        limits: Limits,
        observer: Observer,
        *,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> Outcome:
        """As `Engine.run`."""
        return await runner.run(
            settings,
            work,
            limits,
            observer,
            may_begin=may_begin,
            clock=self.clock,
            chance=self.chance,
        )

    async def inspect(
        self, settings: ConnectionSettings, target: str, clock: ComparedClock | None = None
    ) -> Inspection:
        """As `Engine.inspect`."""
        return await inspection.inspect(settings, target, clock)

    async def inspect_at_rest(
        self,
        settings: ConnectionSettings,
        target: str,
        observer: Observer,
        clock: ComparedClock | None = None,
    ) -> Inspection:
        """As `Engine.inspect_at_rest`."""
        return await inspection.inspect_at_rest(
            settings, target, observer, clock, time=self.clock, chance=self.chance
        )

    async def histories(
        self, settings: ConnectionSettings, target: str, wanted: Adoption | None
    ) -> tuple[ForeignHistory, ...]:
        """As `Engine.histories`."""
        return await other_tools.histories_in(settings, target, wanted)

    async def snapshot(self, settings: ConnectionSettings, target: str, *, keep: bool) -> Visit:
        """As `Engine.snapshot`."""
        return await visit(settings, target, keep=keep)

    async def preflight(
        self, settings: ConnectionSettings, target: str, asked: PreflightRequest
    ) -> tuple[PreflightResult, ...]:
        """As `Engine.preflight`."""
        try:
            return await ask_by_itself(settings, target, asked.policy, asked.touched, self.clock)
        except (RunError, *DRIVER_ERRORS):
            return ()
