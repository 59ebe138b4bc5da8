"""SIGKILL of the process that runs migrations, at random moments: the journal tells the truth."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from uuid import UUID, uuid4

from migrations.model.attempt import Epoch, Limits, Mode, Verdict
from tests.fixtures.postgres import FreshDatabase
from tests.integration.migrations import killed
from tests.integration.migrations.killed import ALL, PROGRAMS, STEPS
from tests.integration.migrations.world import OUR_BACKENDS, World, until
from tests.support import warm

KILLS = 24
MORE = 5
"""So many times as many kills, each later than the one before, where a machine is slow."""
PLACES = 3
RUN_TAKES_S = 0.12
"""About as long as the whole command, so that kills fall all over it, and some behind it."""


async def _killed_after(url: str, command: UUID, delay_s: float) -> None:
    process = await warm.start((url, str(command)), Path.cwd(), os.environ, killed.__name__)
    assert await process.stdout.readline() == b"begin\n"
    await asyncio.sleep(delay_s)
    process.kill()
    await process.wait()


async def _agree(world: World) -> bool:
    """I1: a table of an ordinary migration exists exactly when its entry does."""
    if not await world.has("migration_ledger.journal"):
        return not any([await world.has(f"t{number}") for number in range(1, 7)])
    journal = await world.journal()
    applied = {version for version, _, step, state in journal if (step, state) == (0, "applied")}
    for number, step in enumerate(STEPS, start=1):
        if await world.has(f"t{number}") is not (step.version in applied):
            return False
    done = {(version, step) for version, _, step, _ in journal}
    return await world.has("t6") is (("006", 2) in done)


async def test_journal_and_catalog_agree_wherever_the_process_is_killed(
    fresh_database: FreshDatabase,
) -> None:
    random.seed(20261123)
    seen: set[int] = set()
    for kill in range(KILLS * MORE):
        if kill >= KILLS and len(seen) >= PLACES:
            break
        world = World(await fresh_database())
        command = uuid4()
        delay_s = random.uniform(0, RUN_TAKES_S) * (1 + kill // KILLS)
        await _killed_after(world.url, command, delay_s)
        await _backends_gone(world)
        assert await _agree(world)
        before = await world.journal() if await world.has("migration_ledger.journal") else []
        seen.add(len(before))
        # The redelivery repeats what is done, finishes the rest, and applies nothing twice.
        work = world.work(Mode.UP, *ALL, command=command, epoch=Epoch(1, 1), programs=PROGRAMS)
        outcome = await world.do(work, Limits(advisory_wait_s=20))
        assert outcome.verdict is Verdict.DONE
        assert [step.version for step in outcome.steps] == [item.version for item in ALL]
        after = await world.journal()
        assert after[: len(before)] == before
        assert len(after) == len(set(after)) == len(STEPS) + 4
        recovered = [step.version for step in outcome.steps if step.recovered]
        assert recovered == [entry[0] for entry in before if entry[2:] == (0, "applied")]
    # Kills all at the same place would prove nothing.
    assert len(seen) >= PLACES


async def _backends_gone(world: World) -> None:
    async def gone() -> bool:
        return bool(await world.value(OUR_BACKENDS) == 0)

    await until(gone)
