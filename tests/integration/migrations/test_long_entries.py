"""Entries of any length, in a journal that has no TOAST table until one needs it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrations.model.attempt import Mode, Verdict
from migrations.runner import run
from migrations.target.journal import PLAIN_MAX_BYTES
from migrations.target.session import Password
from tests.integration.migrations.world import IMPATIENT, World, migration, users

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


async def test_whoever_does_not_own_the_journal_keeps_the_reason_of_a_failure(
    world: World,
) -> None:
    await world.up(users())
    await world.execute_as_superuser(
        "DROP ROLE IF EXISTS lodger; CREATE ROLE lodger LOGIN PASSWORD 'p';"
        "GRANT USAGE ON SCHEMA migration_ledger TO lodger;"
        "GRANT CREATE, USAGE ON SCHEMA public TO lodger;"
        "GRANT SELECT, INSERT ON migration_ledger.journal TO lodger"
    )
    lodger = replace(world.settings, user="lodger", password=Password("p"))
    work = world.work(Mode.UP, migration("002", "CREATE TABLE b ()"))
    outcome = await run(lodger, work, IMPATIENT, world.hearing)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert f"the schema belongs to {world.settings.user}" in outcome.failure.message
    assert not await world.has("b")
    # A superuser's journal is believed, and still not the lodger's to alter.
    await world.execute_as_superuser(
        "ALTER SCHEMA migration_ledger OWNER TO CURRENT_USER;"
        "ALTER TABLE migration_ledger.journal OWNER TO CURRENT_USER;"
        f"GRANT USAGE ON SCHEMA migration_ledger TO {world.settings.user};"
        f"GRANT SELECT ON migration_ledger.journal TO {world.settings.user}"
    )
    names = ", ".join(f"column_number_{number}" for number in range(2_000))
    work = world.work(Mode.UP, migration("002", f"SELECT {names}"))
    outcome = await run(lodger, work, IMPATIENT, world.hearing)
    assert outcome.failure is not None
    assert outcome.failure.sqlstate == "42703"
    assert names in (outcome.failure.statement or "")
    assert await world.journal() == [("001", "up", 0, "applied"), ("002", "up", 0, "failed")]
    told = world.work(Mode.UP, migration("003", "CREATE TABLE c ()"), reason="é" * 20_000)
    refused = await run(lodger, told, IMPATIENT, world.hearing)
    assert refused.failure is not None
    assert "GRANT the owner's role" in refused.failure.message
    assert not await world.has("c")
    await world.execute_as_superuser("DROP OWNED BY lodger; DROP ROLE lodger")
