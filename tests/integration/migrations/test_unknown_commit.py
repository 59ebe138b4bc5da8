"""A COMMIT whose answer never came: the journal says what it did, and until then nobody knows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from threading import Thread

import asyncpg
import pytest

from migrations.model.attempt import Expectation, Mode, Verdict
from migrations.model.migration import Migration, Statement
from migrations.model.work import Outcome
from migrations.runner import run
from tests.integration.migrations.test_batches import COPY, MAKE, ROWS, data
from tests.integration.migrations.world import (
    IMPATIENT,
    Hearing,
    World,
    expecting,
    migration,
    users,
)
from tests.support.cut_line import Cut, CutLine, cut_line

HEAD = "SELECT head FROM migration_ledger.journal ORDER BY seq DESC LIMIT 1"
SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'migration-ledger'
"""
STEPS = migration(
    "010",
    "CREATE INDEX CONCURRENTLY one ON users (id);\nCREATE INDEX CONCURRENTLY two ON users (id)",
    "DROP INDEX two; DROP INDEX one",
    stepwise=True,
)


def columns() -> tuple[Migration, ...]:
    """Three migrations, one after the other."""
    return tuple(
        migration(f"01{number}", f"ALTER TABLE users ADD COLUMN c{number} int")
        for number in range(3)
    )


async def known(world: World) -> Expectation:
    """What is believed of a database after its first contact."""
    return expecting(await world.up(users("001")))


async def over(
    line: CutLine, world: World, *migrations: Migration, expectation: Expectation | None = None
) -> Outcome:
    """Apply over the line."""
    settings = replace(world.settings, port=line.port)
    work = world.work(Mode.UP, *migrations, expectation=expectation or Expectation())
    return await run(settings, work, IMPATIENT, world.hearing)


async def versions(world: World) -> list[str]:
    """What the journal says is applied, in order."""
    rows = await world.journal()
    return [version for version, _, step, state in rows if step == 0 and state == "applied"]


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_the_journal_decides_what_the_unanswered_commit_of_a_first_contact_did(
    world: World, cut: Cut
) -> None:
    async with cut_line(world.url, b"'001'", b"COMMIT", cut=cut) as line:
        outcome = await over(line, world, users())
    assert line.is_cut()
    assert outcome.verdict is Verdict.DONE
    assert [step.recovered for step in outcome.steps] == [cut is Cut.AFTER]
    assert await world.journal() == [("001", "up", 0, "applied")]
    assert outcome.journal_head == await world.value(HEAD)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
@pytest.mark.parametrize("lost", ["010", "011", "012"])
async def test_the_journal_decides_for_each_of_several_migrations(
    world: World, lost: str, cut: Cut
) -> None:
    before = await known(world)
    async with cut_line(world.url, f"'{lost}'".encode(), b"COMMIT", cut=cut) as line:
        outcome = await over(line, world, *columns(), expectation=before)
    assert line.is_cut()
    assert outcome.verdict is Verdict.DONE, outcome.failure
    recovered = [step.version for step in outcome.steps if step.recovered]
    assert (lost in recovered) is (cut is Cut.AFTER)
    assert await versions(world) == ["001", "010", "011", "012"]
    assert outcome.journal_head == await world.value(HEAD)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
async def test_the_journal_decides_for_each_entry_of_a_stepwise_migration(
    world: World, nth: int, cut: Cut
) -> None:
    before = await known(world)
    async with cut_line(world.url, b"'010'", b"COMMIT", cut=cut, nth=nth) as line:
        outcome = await over(line, world, STEPS, expectation=before)
    assert line.is_cut()
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.has("one")
    assert await world.has("two")
    assert outcome.journal_head == await world.value(HEAD)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
@pytest.mark.parametrize("nth", [1, 3])
async def test_the_row_of_progress_decides_for_a_batch(world: World, nth: int, cut: Cut) -> None:
    await world.execute(MAKE)
    before = await known_of(world)
    async with cut_line(world.url, b"EXECUTE", b"COMMIT", cut=cut, nth=nth) as line:
        outcome = await over(line, world, data(COPY), expectation=before)
    assert line.is_cut()
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value("SELECT count(*) FROM copies") == ROWS


async def known_of(world: World) -> Expectation:
    """As `known`, where the table is there already."""
    return expecting(await world.up(migration("001", "CREATE TABLE other (id int)")))


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
@pytest.mark.parametrize("lost", ["010", "012"])
async def test_while_the_journal_cannot_be_asked_nobody_knows_its_head(
    world: World, lost: str, cut: Cut
) -> None:
    before = await known(world)
    words = (f"'{lost}'".encode(), b"COMMIT")
    async with cut_line(world.url, *words, cut=cut, away=True) as line:
        outcome = await over(line, world, *columns(), expectation=before)
    assert line.is_cut()
    assert (outcome.verdict, outcome.journal_head) == (Verdict.FAILED, None)
    assert outcome.failure is not None
    assert outcome.failure.kind == "unavailable"

    again = await world.up(*columns(), expectation=Expectation(before.identity, None))
    assert again.verdict is Verdict.DONE, again.failure
    assert await versions(world) == ["001", "010", "011", "012"]
    assert again.journal_head == await world.value(HEAD)


async def test_a_session_that_was_lost_is_no_attempt_that_tried_nothing(world: World) -> None:
    before = await known(world)
    later = world.work(Mode.UP, users(), expectation=Expectation(before.identity))

    class Overtaken(Hearing):
        def waiting(self, what: str, since_s: float, retry_in_s: float | None) -> None:
            in_a_thread(overtake)

    async def overtake() -> None:
        await run(
            world.settings, replace(later, epoch=replace(later.epoch, term=9)), IMPATIENT, Hearing()
        )

    world.hearing = Overtaken()
    async with cut_line(world.url, b"'010'", b"COMMIT", cut=Cut.AFTER) as line:
        outcome = await over(line, world, *columns(), expectation=before)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.journal_head is None
    assert outcome.failure is not None
    assert outcome.failure.kind == "fence"


def in_a_thread(what: object) -> None:
    """Run this while our own loop stands still, so that it comes between two of its steps."""
    assert callable(what)
    thread = Thread(target=lambda: asyncio.run(what()))
    thread.start()
    thread.join()


@dataclass(slots=True)
class Terminated(Hearing):
    """Ends the session's backend when a statement has run, before the next one is sent."""

    url: str = ""
    at: set[int] = field(default_factory=set)
    heard: int = 0

    def statement_finished(
        self, migration: Migration, statement: Statement, index: int, total: int, duration_ms: int
    ) -> None:
        self.heard += 1
        if self.heard in self.at:
            in_a_thread(self._terminate)

    async def _terminate(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            assert await connection.fetchval(SESSIONS)
            while await connection.fetch(SESSIONS):
                pass
        finally:
            await connection.close()


@pytest.mark.parametrize("at", [{1}, {2}, {3}, {1, 2, 3}])
async def test_a_backend_that_is_terminated_is_a_lost_connection_and_no_defect(
    world: World, at: set[int]
) -> None:
    before = await known(world)
    world.hearing = Terminated(url=world.url, at=at)
    outcome = await world.up(*columns(), expectation=before)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await versions(world) == ["001", "010", "011", "012"]
    assert outcome.journal_head == await world.value(HEAD)


@pytest.mark.parametrize(
    "words",
    [(b"ADD COLUMN c0",), (b"ADD COLUMN c2",), (b"'010'", b"COMMIT"), (b"'012'", b"COMMIT")],
)
async def test_a_farewell_that_comes_before_the_line_ends_is_a_lost_connection_and_no_defect(
    world: World, words: tuple[bytes, ...]
) -> None:
    before = await known(world)
    async with cut_line(world.url, *words, cut=Cut.FAREWELL) as line:
        outcome = await over(line, world, *columns(), expectation=before)
    assert line.is_cut()
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await versions(world) == ["001", "010", "011", "012"]
    assert outcome.journal_head == await world.value(HEAD)
