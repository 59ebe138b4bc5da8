"""`ledger`, run as people run it: a process of its own, with nobody at the keyboard."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.patience import PATIENCE_S
from tests.support.warm import WarmProcess


@dataclass(frozen=True, slots=True)
class Answer:
    """How the program ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it wrote as one document."""
        return json.loads(self.out)

    @property
    def items(self) -> list[dict[str, Any]]:
        """The rows of a list that it wrote as JSON."""
        items: list[dict[str, Any]] = self.json["items"]
        return items


@dataclass(slots=True)
class Started:
    """The program while it runs."""

    process: WarmProcess
    _said: list[str] = field(default_factory=list)

    async def says(self, words: str) -> None:
        """Return when it has said these words on stderr."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._said or words not in self._said[-1]:
                line = (await self.process.stderr.readline()).decode()
                assert line, f"it ended without saying {words!r}: {''.join(self._said)}"
                self._said.append(line)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def end(self) -> Answer:
        """Wait for its end."""
        out, err = await self.process.communicate()
        said = "".join(self._said) + err.decode()
        return Answer(self.process.returncode or 0, out.decode(), said)


class LedgerProgram(Protocol):
    """Runs `ledger` with these words and these variables."""

    async def __call__(self, *words: str, **variables: str) -> Answer:
        """How it ended."""


class StartLedger(Protocol):
    """Starts `ledger` with these words and these variables."""

    async def __call__(self, *words: str, **variables: str) -> Started:
        """The running program."""
