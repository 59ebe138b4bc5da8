"""Asks a program how it is, as a probe does."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ledger.monitoring.readiness import Probe, Readiness
from ledger.monitoring.server import monitored
from ledger.settings import MonitoringSection
from migrations.clock import SYSTEM_CLOCK

WITHIN_S = 10


class Pages:
    """The pages of a program at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def status(self, page: str) -> int:
        """The status of a page's answer."""
        return (await self._answer(page))[0]

    async def unready(self) -> dict[str, str]:
        """What is not ready, and why; nothing where all of it is."""
        status, said = await self._answer("/readyz")
        conditions: list[dict[str, Any]] = json.loads(said)["conditions"]
        found = {one["name"]: one["why"] for one in conditions if not one["ready"]}
        assert status == (503 if found else 200)
        return found

    async def _answer(self, page: str) -> tuple[int, str]:
        def ask() -> tuple[int, str]:
            url = f"http://127.0.0.1:{self._port}{page}"
            try:
                with urllib.request.urlopen(url, timeout=WITHIN_S) as said:
                    return said.status, said.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(ask)


@asynccontextmanager
async def pages(probes: Mapping[str, Probe]) -> AsyncIterator[Pages]:
    """The pages of whatever has these probes, until the block ends."""
    readiness = Readiness(probes, SYSTEM_CLOCK)
    async with monitored(MonitoringSection(port=0), readiness, lambda _: (b"", "")) as port:
        yield Pages(port)
