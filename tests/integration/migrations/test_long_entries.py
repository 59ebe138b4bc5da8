"""Entries of any length: the journal has room for them from the first."""

from __future__ import annotations

import pytest

from migrations.model.attempt import Mode, Verdict
from tests.integration.migrations.world import World, migration, users

REASONS = "SELECT reason FROM migration_ledger.journal ORDER BY seq"
REFUSES_DDL = """
    CREATE FUNCTION refuse_ddl() RETURNS event_trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'no DDL today'; END $$;
    CREATE EVENT TRIGGER refuse_ddl ON ddl_command_start EXECUTE FUNCTION refuse_ddl();
"""


@pytest.mark.parametrize("letter", ["a", "é", "…"])
async def test_an_entry_of_any_length_needs_no_ddl(world: World, letter: str) -> None:
    await world.up(users())
    await world.execute_as_superuser(REFUSES_DDL)
    reason = letter * 20_000
    outcome = await world.up(migration("002", "INSERT INTO users VALUES (1)"), reason=reason)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert (await world.fetch(REASONS))[-1] == (reason,)


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
