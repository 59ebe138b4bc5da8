"""Entries of any length, in a journal that has no TOAST table until one needs it."""

from __future__ import annotations

import pytest

from migrations.journal import PLAIN_MAX_BYTES
from migrations.work import Mode, Verdict
from tests.integration.migrations.world import World, migration, users

HAS_TOAST = (
    "SELECT reltoastrelid <> 0 FROM pg_class WHERE oid = 'migration_ledger.journal'::regclass"
)
REASONS = "SELECT reason FROM migration_ledger.journal ORDER BY seq"
OLD = "SELECT current_setting('server_version_num')::int < 160000"


async def test_a_journal_of_short_entries_has_no_toast_table(world: World) -> None:
    await world.up(users(), reason="as agreed")
    assert await world.value(HAS_TOAST) is await world.value(OLD)


@pytest.mark.parametrize("letter", ["a", "é", "…"])
async def test_an_entry_up_to_the_limit_fits_in_a_page(world: World, letter: str) -> None:
    reason = letter * ((PLAIN_MAX_BYTES - 1_000) // len(letter.encode()))
    outcome = await world.up(users(), reason=reason)
    assert outcome.verdict is Verdict.DONE
    assert await world.fetch(REASONS) == [(reason,), (reason,)]
    assert await world.value(HAS_TOAST) is await world.value(OLD)


async def test_an_entry_beyond_the_limit_makes_the_toast_table(world: World) -> None:
    reason = "é" * 20_000
    await world.up(users())
    outcome = await world.up(migration("002", "CREATE TABLE b ()"), reason=reason)
    assert outcome.verdict is Verdict.DONE
    assert (await world.fetch(REASONS))[-1] == (reason,)
    assert await world.value(HAS_TOAST)


async def test_the_first_entries_of_a_database_may_be_long(world: World) -> None:
    reason = "because " * 5_000
    outcome = await world.up(users(), reason=reason)
    assert outcome.verdict is Verdict.DONE
    assert await world.fetch(REASONS) == [(reason,), (reason,)]


async def test_the_failure_of_a_long_statement_is_kept_whole(world: World) -> None:
    names = ", ".join(f"column_number_{number}" for number in range(2_000))
    work = world.work(Mode.UP, migration("001", f"SELECT {names}"))
    outcome = await world.do(work)
    assert outcome.failure is not None
    assert names in (outcome.failure.statement or "")
    again = await world.do(work)
    assert again.failure == outcome.failure
