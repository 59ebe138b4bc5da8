"""Every example goes through the runner, as agents run it: up, verified, down and up again.

What the files themselves do is shown in `tests/integration/migrations/test_examples.py`; here it is
the journal, the transactions, the stepwise way and the verify sections that run them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from migrations import standalone
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Epoch, Limits, Mode, Verdict
from migrations.model.migration import Language, Migration
from migrations.model.phases import outlived
from migrations.model.work import Outcome, Silence, StepResult, Work
from migrations.runner import run
from migrations.standalone import Standing
from migrations.target.session import ConnectionSettings
from tests.support.catalog import Snapshot, snapshot

EXAMPLES = load_folder(Path(__file__).parents[2] / "migrations" / "examples").migrations
VERSIONS = [migration.version for migration in EXAMPLES]
PROGRAMS = frozenset({Language.PYTHON})


@pytest.fixture
def settings(tenant_database: str) -> ConnectionSettings:
    """How the tenant database is reached."""
    return ConnectionSettings.from_url(tenant_database, allow_plaintext=True)


@pytest.fixture
async def tenant(tenant_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that looks at the tenant database."""
    connection = await asyncpg.connect(tenant_database)
    try:
        yield connection
    finally:
        await connection.close()


class Rollouts:
    """Commands of one ledger, each later than the one before."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._position = 0

    async def order(self, mode: Mode, migrations: Sequence[Migration], rollout: str) -> Outcome:
        """Do it; it must succeed."""
        self._position += 1
        work = Work(
            command_id=uuid4(),
            rollout=rollout,
            epoch=Epoch(1, self._position),
            mode=mode,
            migrations=tuple(migrations),
            owner="ledger-1",
            programs=PROGRAMS,
        )
        outcome = await run(self._settings, work, Limits(), Silence())
        assert outcome.verdict is Verdict.DONE, outcome.failure
        return outcome


def results(outcome: Outcome) -> list[tuple[str, StepResult]]:
    return [(step.version, step.result) for step in outcome.steps]


def assert_restored(example: Migration, now: Snapshot, before: Snapshot) -> None:
    """What a middle phase filled in may stay until its column goes with the first phase."""
    assert now[0] == before[0], example.label
    assert now[1] == before[1] or example.phase == "migrate", example.label


async def up(settings: ConnectionSettings, migrations: Sequence[Migration]) -> None:
    """Apply what is missing without a ledger; it must succeed."""
    outcome = await standalone.up(settings, migrations, Limits(), Silence(), programs=PROGRAMS)
    assert outcome.verdict is Verdict.DONE, outcome.failure


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=VERSIONS)
async def test_an_example_goes_up_and_down_and_up_again_and_down_restores_exactly(
    settings: ConnectionSettings, tenant: asyncpg.Connection, number: int
) -> None:
    rollouts, (*before_it, example) = Rollouts(settings), EXAMPLES[: number + 1]
    if before_it:
        await rollouts.order(Mode.UP, before_it, "foundation")
    before = await snapshot(tenant)

    assert results(await rollouts.order(Mode.UP, [example], "first")) == [
        (example.version, StepResult.APPLIED)
    ]
    assert await snapshot(tenant) != before
    assert results(await rollouts.order(Mode.ROLLBACK, [example], "first")) == [
        (example.version, StepResult.ROLLED_BACK)
    ]
    assert_restored(example, await snapshot(tenant), before)
    assert results(await rollouts.order(Mode.UP, [example], "second")) == [
        (example.version, StepResult.APPLIED)
    ]


async def test_a_rollback_undoes_the_whole_tour_newest_first(
    settings: ConnectionSettings, tenant: asyncpg.Connection
) -> None:
    rollouts, before = Rollouts(settings), await snapshot(tenant)
    await rollouts.order(Mode.UP, EXAMPLES, "tour")
    undone = await rollouts.order(Mode.ROLLBACK, EXAMPLES[::-1], "tour")
    assert results(undone) == [(version, StepResult.ROLLED_BACK) for version in VERSIONS[::-1]]
    assert await snapshot(tenant) == before


async def test_without_a_ledger_the_tour_goes_up_holds_and_comes_down_step_by_step(
    settings: ConnectionSettings, tenant: asyncpg.Connection
) -> None:
    states: list[Snapshot] = [await snapshot(tenant)]
    for count in range(1, len(EXAMPLES) + 1):
        await up(settings, EXAMPLES[:count])
        states.append(await snapshot(tenant))

    for remaining in reversed(range(len(EXAMPLES))):
        there = EXAMPLES[: remaining + 1]
        checks = await standalone.verify(settings, EXAMPLES, programs=PROGRAMS)
        over = outlived(EXAMPLES, {one.version for one in there})
        asked = [one.version for one in there if one.verify and one.version not in over]
        assert [check.version for check in checks] == asked
        assert checks[-1].failure is None
        down = await standalone.down(settings, EXAMPLES, Limits(), Silence(), programs=PROGRAMS)
        assert down.verdict is Verdict.DONE, down.failure
        assert_restored(EXAMPLES[remaining], await snapshot(tenant), states[remaining])

    await up(settings, EXAMPLES)
    # Times and numbers of new rows are other ones the second time.
    catalog, rows = await snapshot(tenant)
    assert (catalog, len(rows)) == (states[-1][0], len(states[-1][1]))
    status = await standalone.status(settings, EXAMPLES)
    assert {line.standing for line in status.lines} == {Standing.APPLIED}
