"""The schema of a target is part of what arrival, a look and a glance check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.inspection import glance, inspect
from migrations.model.attempt import FailureClass, Mode, Verdict
from migrations.model.folder_history import FolderHistory
from migrations.model.migration import Language, SourceFile
from migrations.runner import run
from migrations.standalone import journal_of
from tests.integration.migrations.world import IMPATIENT, World, migration

MAKES = migration("1", "SET search_path = nosuch, public;\nCREATE TABLE t (id int)")


@pytest.mark.parametrize("met", [False, True])
async def test_a_schema_that_is_not_there_is_refused_by_name_and_nothing_goes_elsewhere(
    world: World, met: bool
) -> None:
    if met:
        await world.up(migration("0", "SELECT 1"))
    before = await world.fetch("SELECT relname FROM pg_class ORDER BY 1")
    outcome = await world.up(MAKES, target="nosuch")
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.IDENTITY
    assert "no schema nosuch" in outcome.failure.message
    assert await world.fetch("SELECT relname FROM pg_class ORDER BY 1") == before


async def test_a_schema_that_went_is_missed_at_the_next_arrival_and_by_looks(world: World) -> None:
    await world.execute('CREATE SCHEMA "Tenant A"')
    assert (
        await world.up(migration("1", "CREATE TABLE t (id int)"), target="Tenant A")
    ).failure is None
    await world.execute('DROP SCHEMA "Tenant A" CASCADE')
    outcome = await world.up(migration("2", "SELECT 1"), target="Tenant A")
    assert outcome.verdict is Verdict.REFUSED
    for look in (inspect, glance):
        found = await look(world.settings, "Tenant A")
        assert found.failure is not None
        assert "no schema Tenant A" in found.failure.message


async def test_a_schema_that_the_migrating_role_may_not_enter_is_refused(world: World) -> None:
    await world.execute_as_superuser("CREATE SCHEMA closed")
    outcome = await world.up(migration("1", "SELECT 1"), target="closed")
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert "closed to the role" in outcome.failure.message
    assert "USAGE" in outcome.failure.message


TENANT_WITH_EXTENSIONS = """
    CREATE SCHEMA tenant_a; CREATE SCHEMA extensions;
    CREATE DOMAIN extensions.email AS text CHECK (VALUE LIKE '%@%');
    CREATE TABLE public.plans (id int PRIMARY KEY)
"""
USES_ALL = migration(
    "1", "CREATE TABLE users (id int PRIMARY KEY, mail email, plan int REFERENCES plans)"
)
FURTHER = ("extensions", "public")


async def test_names_are_looked_up_in_further_schemas_and_made_in_the_first(world: World) -> None:
    await world.execute(TENANT_WITH_EXTENSIONS)
    settings = replace(world.settings, further_schemas=FURTHER)
    work = world.work(Mode.UP, USES_ALL, target="tenant_a")
    outcome = await run(settings, work, IMPATIENT, world.hearing)
    assert outcome.failure is None
    assert await world.fetch(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'users'"
    ) == [("tenant_a",)]
    assert await world.value("SELECT DISTINCT target FROM migration_ledger.journal") == "tenant_a"
    for look in (inspect, glance):
        found = await look(settings, "tenant_a")
        assert found.failure is None
        assert found.entries
    alone = await glance(world.settings, "tenant_a")
    assert alone.journal_head == found.journal_head


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (("extensions", "nosuch", "public"), "there is no schema nosuch"),
        (("extensions", "Closed One"), "the schema Closed One is closed to the role"),
    ],
)
async def test_a_further_schema_that_cannot_be_looked_into_is_refused_by_name(
    world: World, further: tuple[str, ...], said: str
) -> None:
    await world.execute(TENANT_WITH_EXTENSIONS)
    await world.execute_as_superuser('CREATE SCHEMA "Closed One"')
    settings = replace(world.settings, further_schemas=further)
    work = world.work(Mode.UP, USES_ALL, target="tenant_a")
    outcome = await run(settings, work, IMPATIENT, world.hearing)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert said in outcome.failure.message
    for look in (inspect, glance):
        found = await look(settings, "tenant_a")
        assert found.failure is not None
        assert said in found.failure.message


@pytest.mark.usefixtures("psql")
@pytest.mark.parametrize("way", ["in a transaction", "step by step", "in batches", "by psql"])
@pytest.mark.parametrize("gone", [True, False])
async def test_nothing_goes_elsewhere_when_the_schema_goes_or_is_closed_on_the_way(
    world: World, way: str, gone: bool
) -> None:
    await world.execute("CREATE SCHEMA tenant_a; CREATE TABLE public.t (id int PRIMARY KEY, v int)")
    await world.execute("INSERT INTO public.t VALUES (1, 0)")
    other = f"{world.settings.database}_other"
    await world.execute_as_superuser(
        f"CREATE ROLE {other} NOLOGIN; GRANT {other} TO {world.settings.user};"
        f"GRANT ALL ON SCHEMA public TO {other}; GRANT ALL ON public.t TO {other}"
    )
    role = "" if gone else f" role={other}"
    index = "CREATE INDEX CONCURRENTLY made ON t (v)"
    text = {
        "in a transaction": f"-- +migrate Up{role}\nCREATE TABLE made ();\n",
        "step by step": f"-- +migrate Up notransaction{role}\n{index};\n",
        "in batches": f"-- +migrate Data table=t key=id{role}\n"
        "UPDATE t SET v = 1 FROM batch WHERE t.id = batch.id;\n",
        "by psql": f"-- +migrate Up{role}\n\\set n 1\nCREATE TABLE made ();\nSELECT :n;\n",
    }[way]
    reading = Reading(programs=True)
    one = load_files("sql-migrate", [SourceFile("2_m.sql", text.encode())], reading=reading)
    settings = replace(world.settings, further_schemas=("public",))
    before = migration("1", "DROP SCHEMA tenant_a" if gone else "SELECT 1")
    programs = frozenset({Language.PSQL})
    work = world.work(Mode.UP, before, one, target="tenant_a", programs=programs)
    outcome = await run(settings, work, IMPATIENT, world.hearing)
    try:
        assert [step.result for step in outcome.steps] == ["applied", "failed"], outcome.failure
        assert outcome.failure is not None
        assert "schema is gone, or closed to the role" in outcome.failure.message
        assert outcome.failure.file == "2_m.sql"
        assert not await world.has("public.made")
        assert await world.value("SELECT v FROM public.t") == 0
    finally:
        await world.execute_as_superuser(f"DROP OWNED BY {other}; DROP ROLE {other}")


async def test_histories_of_one_schema_have_a_journal_each(world: World) -> None:
    await world.execute("CREATE SCHEMA tenant_a")
    one = migration("1", "CREATE TABLE a1 (id int)")
    other = migration("1", "CREATE TABLE b1 (id int)")
    for key, what in (("tenant_a", one), ("shop@tenant_a", other), ("shop@", other)):
        assert (await world.up(what, target=key)).failure is None
    assert await world.fetch(
        "SELECT relnamespace::regnamespace::text || '.' || relname FROM pg_class "
        "WHERE relname IN ('a1', 'b1') ORDER BY 1"
    ) == [("public.b1",), ("tenant_a.a1",), ("tenant_a.b1",)]
    assert await world.fetch(
        "SELECT DISTINCT target::text FROM migration_ledger.journal ORDER BY 1"
    ) == [("shop@",), ("shop@tenant_a",), ("tenant_a",)]


async def test_a_named_history_keeps_the_journal_that_it_has_and_takes_nobody_elses(
    world: World,
) -> None:
    one, other = migration("1", "CREATE TABLE a1 (id int)"), migration("1", "CREATE TABLE b1 ()")
    shop, billing = FolderHistory.of("shop", [one]), FolderHistory.of("billing", [other])
    assert await journal_of(world.settings, "", "shop", shop) == ""
    await world.up(one, folder=shop)
    assert await journal_of(world.settings, "", "shop", shop) == ""
    assert await journal_of(world.settings, "", "renamed", shop) == ""
    assert await journal_of(world.settings, "", "billing", billing) == "billing@"
    await world.rollback(one)
    assert await journal_of(world.settings, "", "shop", shop) == ""
    assert await journal_of(world.settings, "", "billing", billing) == "billing@"
    await world.up(other, target="billing@", folder=billing)
    assert await journal_of(world.settings, "", "billing", billing) == "billing@"
    assert await journal_of(world.settings, "", "billing") == "billing@"
