"""The watchdog while nothing runs for a second: short statements with it beside them, and without.

What is compared is processor time, of this process and of the server's for the session, because
a ratio this near to one is lost in what a clock sees of others. A watchdog that asks anything in
that time has opened a session of its own, which is counted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from ledger.embedded.postgres import EmbeddedPostgres
from migrations.clock import SYSTEM_CLOCK
from migrations.model.work import Silence
from migrations.target.lookout import APPLICATION_NAME, Lookout
from migrations.target.session import ConnectionSettings, close_session, open_session

STATEMENTS = 20_000
"""Longer than several of its glances, each statement far shorter than a second."""
SEEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"


def measured(turns: int) -> tuple[float, float, int]:
    """Seconds without it and with it, the least of all turns; how many sessions it opened."""
    with tempfile.TemporaryDirectory(prefix="migration-ledger-bench-") as name:
        place = Path(name)
        place.chmod(0o755)
        server = EmbeddedPostgres(place / "postgres", durable=False)
        server.start()
        try:
            return asyncio.run(_measured(server.url(), turns))
        finally:
            server.stop()


async def _measured(url: str, turns: int) -> tuple[float, float, int]:
    spent: dict[bool, list[float]] = {False: [], True: []}
    opened = 0
    for turn in range(turns):
        # Who begins changes from turn to turn.
        for watched in (False, True) if turn % 2 else (True, False):
            seconds, sessions = await _statements(url, watched=watched)
            spent[watched].append(seconds)
            opened += sessions
    return min(spent[False]), min(spent[True]), opened


async def _statements(url: str, *, watched: bool) -> tuple[float, int]:
    """Seconds of processor time for the statements, and how many sessions of ours watch behind."""
    settings = ConnectionSettings.from_url(url, allow_plaintext=True)
    session = await open_session(settings, application_name="bench")
    lookout = Lookout(SYSTEM_CLOCK, settings, Silence(), session)
    began = _spent(session.get_server_pid())
    async with lookout.watching() if watched else nullcontext():
        for _ in range(STATEMENTS):
            await session.execute("SELECT 1")
        spent = _spent(session.get_server_pid()) - began
        sessions = int(await session.fetchval(SEEN, APPLICATION_NAME))
    await close_session(session)
    return spent, sessions


def _spent(pid: int) -> float:
    """Processor seconds of this process and of the server's; Linux says the latter, others not."""
    of_server = Path(f"/proc/{pid}/schedstat")
    theirs = int(of_server.read_text().split()[0]) / 1e9 if of_server.exists() else 0.0
    return time.process_time() + theirs
