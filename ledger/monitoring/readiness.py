"""Whether a program can do its work, what of it not, and since when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from migrations.clock import Clock

Probe: TypeAlias = Callable[[], str]
"""Why something is not ready, from what is known already; empty when it is. Asks nobody."""

LOOK_EVERY_S = 0.5
"""How exactly is known since when something is so."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is needed: whether it is there, since when, and if not, why."""

    name: str
    since: datetime
    why: str

    @property
    def ready(self) -> bool:
        """Whether it is there."""
        return not self.why

    def document(self, now: datetime) -> dict[str, Any]:
        """The condition as JSON; `for_s` are seconds."""
        return {
            "name": self.name,
            "ready": self.ready,
            "why": self.why,
            "since": self.since.isoformat(timespec="milliseconds"),
            "for_s": round((now - self.since).total_seconds(), 1),
        }


class Readiness:
    """Looks at its probes all the time, so that it knows since when each says what it says."""

    def __init__(self, probes: Mapping[str, Probe], clock: Clock) -> None:
        self._probes = probes
        self._clock = clock
        now = clock.now()
        self._conditions = {name: Condition(name, now, probe()) for name, probe in probes.items()}

    @property
    def ready(self) -> bool:
        """Whether everything is there."""
        return all(one.ready for one in self._look())

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._look()
            await self._clock.sleep(LOOK_EVERY_S)

    def document(self) -> dict[str, Any]:
        """All conditions as JSON; those that are not met come first."""
        found = sorted(self._look(), key=lambda one: one.ready)
        now = self._clock.now()
        return {
            "ready": all(one.ready for one in found),
            "conditions": [one.document(now) for one in found],
        }

    def _look(self) -> list[Condition]:
        now = self._clock.now()
        for name, probe in self._probes.items():
            before, why = self._conditions[name], probe()
            since = before.since if before.ready == (not why) else now
            self._conditions[name] = Condition(name, since, why)
        return list(self._conditions.values())
