"""SIGKILL of a process that moves data: the next one goes on at the last committed batch."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from uuid import uuid4

from migrations.model.attempt import Mode, Verdict
from tests.integration.migrations import killed_data
from tests.integration.migrations.killed_data import MOVE, ROWS
from tests.integration.migrations.world import OUR_BACKENDS, World, until
from tests.support import warm

KILLS = 8
MORE = 5
"""So many times as many kills, each later than the one before, where a machine is slow."""
# Nothing but the primary key keeps a row from being moved twice, so `moved` has none.
MAKE = f"""
    CREATE TABLE items (id bigint PRIMARY KEY, n bigint NOT NULL);
    INSERT INTO items SELECT n, n FROM generate_series(1, {ROWS}) AS n;
    CREATE TABLE moved (id bigint, n bigint)
"""
AGREE = """
    SELECT (SELECT count(*) FROM moved) = p.rows
        AND (SELECT count(*) FROM items WHERE n = id + 1) = p.rows
        AND (SELECT count(ledger_left) FROM migration_ledger.backup_001) = p.rows
    FROM migration_ledger.progress AS p
"""
ONCE = "SELECT count(*), count(DISTINCT id), bool_and(n = id) FROM moved"


async def _killed(url: str, command: str, delay_s: float) -> None:
    process = await warm.start((url, command), Path.cwd(), os.environ, killed_data.__name__)
    assert await process.stdout.readline() == b"begin\n"
    await asyncio.sleep(delay_s)
    process.kill()
    await process.wait()


async def test_data_is_moved_once_and_completely_wherever_the_process_is_killed(
    world: World,
) -> None:
    random.seed(20261124)
    await world.execute(MAKE)
    command = uuid4()
    places: list[int] = []

    async def nobody() -> bool:
        return bool(await world.value(OUR_BACKENDS) == 0)

    for kill in range(KILLS * MORE):
        if kill >= KILLS and any(place > 0 for place in places):
            break
        await _killed(world.url, str(command), random.uniform(0.1, 0.45) * (1 + kill // KILLS))
        await until(nobody)
        if await world.has("migration_ledger.progress") and await world.fetch(AGREE):
            assert await world.value(AGREE) is True
            places.append(await world.value("SELECT rows FROM migration_ledger.progress"))
    assert places == sorted(places)
    assert any(0 < place < ROWS for place in places), "no kill fell into the middle"
    outcome = await world.do(world.work(Mode.UP, MOVE))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.fetch(ONCE) == [(ROWS, ROWS, True)]
    assert await world.value("SELECT count(*) FROM items WHERE n = id + 1") == ROWS
    undone = await world.rollback(MOVE)
    assert undone.verdict is Verdict.DONE, undone.failure
    assert await world.value("SELECT count(*) FROM items WHERE n = id") == ROWS
