"""Whatever a script sets for its session: the next migration does not feel it, nor do we."""

from __future__ import annotations

from migrations.model.attempt import Verdict
from tests.integration.migrations.world import World, migration

LEFT_BEHIND = """\
SET statement_timeout = 0;
SET lock_timeout = 0;
SET TimeZone = 'Asia/Tokyo';
SET client_min_messages = warning;
SET row_security = on;
SET default_table_access_method = heap;
CREATE SCHEMA aside;
CREATE TABLE aside.ours (id int);
SELECT pg_catalog.set_config('search_path', '', false)
"""
SHADOWS = """\
CREATE SCHEMA shadows;
CREATE FUNCTION shadows.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT 'epoch'::timestamptz $$;
CREATE FUNCTION shadows.current_setting(text, boolean) RETURNS text LANGUAGE sql
    AS $$ SELECT 'shadow' $$;
CREATE TABLE shadows.journal (id int);
SET search_path TO shadows, pg_catalog
"""
STEPWISE = """\
SET search_path TO aside;
SET lock_timeout = '7s';
CREATE TABLE inside (id int);
CREATE INDEX CONCURRENTLY inside_id ON inside (id);
CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS waited
"""
SETTINGS = "SELECT name, setting FROM pg_settings"
ENDS_A_DEAD_CLIENT = {
    "client_connection_check_interval": "500",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
AFTER = "CREATE TABLE seen AS SELECT current_setting('search_path') AS path, "
AFTER += "current_setting('TimeZone') AS zone, current_setting('row_security') AS security"


async def test_what_a_dump_sets_is_gone_in_the_next_migration(world: World) -> None:
    zone = await world.value("SELECT current_setting('TimeZone')")
    outcome = await world.up(migration("1", LEFT_BEHIND), migration("2", AFTER))
    assert outcome.verdict is Verdict.DONE
    assert await world.fetch("SELECT path, zone, security FROM public.seen") == [
        ('"$user", public', zone, "off")
    ]


async def test_what_ends_a_dead_clients_session_holds_also_after_a_script_has_set_it_otherwise(
    world: World,
) -> None:
    undone = "".join(f"SET {name} = 0;\n" for name in ENDS_A_DEAD_CLIENT)
    seen = (
        f"CREATE TABLE seen AS {SETTINGS} WHERE name = ANY ('{{{','.join(ENDS_A_DEAD_CLIENT)}}}')"
    )
    outcome = await world.up(migration("1", f"{undone}SELECT 1"), migration("2", seen))
    assert outcome.verdict is Verdict.DONE
    assert dict(await world.fetch("SELECT name, setting FROM seen")) == ENDS_A_DEAD_CLIENT


async def test_our_own_statements_do_not_follow_the_scripts_search_path(world: World) -> None:
    outcome = await world.up(migration("1", SHADOWS), migration("2", "CREATE TABLE t (id int)"))
    assert outcome.verdict is Verdict.DONE
    assert await world.value("SELECT count(*) FROM shadows.journal") == 0
    years = "SELECT min(extract(year FROM finished_at)) FROM migration_ledger.journal"
    assert await world.value(years) > 1970
    assert await world.has("public.t")


async def test_settings_hold_for_the_rest_of_a_script_that_runs_step_by_step(world: World) -> None:
    await world.up(migration("1", "CREATE SCHEMA aside"))
    outcome = await world.up(migration("2", STEPWISE))
    assert outcome.verdict is Verdict.DONE
    assert await world.has("aside.inside_id")
    assert await world.value("SELECT waited FROM aside.seen") == "7s"


async def test_settings_hold_again_when_a_script_goes_on_after_a_failure(world: World) -> None:
    await world.up(migration("1", "CREATE SCHEMA aside"))
    await world.execute("CREATE TABLE aside.seen (taken int)")
    stepwise = migration("2", STEPWISE)
    assert (await world.up(stepwise)).verdict is Verdict.FAILED
    await world.execute("DROP TABLE aside.seen")
    assert (await world.up(stepwise)).verdict is Verdict.DONE
    assert await world.value("SELECT waited FROM aside.seen") == "7s"
