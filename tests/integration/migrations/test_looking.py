"""Looking at a target without touching it, and one database without a ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from migrations import standalone
from migrations.inspection import inspect
from migrations.model.attempt import Rights, Verdict
from migrations.model.work import StepResult
from migrations.running import telemetry
from migrations.standalone import Outside, Standing
from migrations.target.session import ConnectionSettings, Password
from tests.integration.migrations.world import IMPATIENT, World, migration, users

INTERNAL = SpanKind.INTERNAL
EMAIL = migration("002", "ALTER TABLE users ADD email text", "ALTER TABLE users DROP email")


async def test_a_look_at_an_untouched_database_leaves_it_untouched(world: World) -> None:
    found = await inspect(world.settings)
    assert found.reachable
    assert (found.failure, found.identity, found.entries) == (None, None, ())
    assert found.tls is False
    assert found.in_recovery is False
    assert found.rights is not None
    assert found.rights.create_schema
    assert not await world.has("migration_ledger.journal")


async def test_a_look_shows_the_journal(world: World) -> None:
    outcome = await world.up(users(), EMAIL)
    found = await inspect(world.settings)
    assert found.identity == outcome.identity
    assert found.journal_head == outcome.journal_head
    assert sorted(found.latest) == ["001", "002"]
    assert found.owner == "ledger-1"


async def test_a_plain_user_is_told_which_grants_are_missing(world: World) -> None:
    await world.up(users())
    await world.execute_as_superuser(
        "DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN PASSWORD 'p'"
    )
    settings = replace(world.settings, user="plain", password=Password("p"))
    found = await inspect(settings)
    await world.execute_as_superuser("DROP ROLE plain")
    assert found.reachable
    assert found.failure is not None
    assert found.failure.sqlstate == "42501"
    assert "grant the user" in found.failure.message


async def test_a_look_at_nothing_says_why(world: World) -> None:
    found = await inspect(replace(world.settings, port=1))
    assert not found.reachable
    assert found.failure is not None
    assert found.failure.kind == "unavailable"


async def test_a_plain_owner_of_a_database_can_migrate_it(world: World) -> None:
    name = world.settings.database
    await world.execute_as_superuser(
        "DROP ROLE IF EXISTS landlord; CREATE ROLE landlord LOGIN PASSWORD 'p';"
        f'ALTER DATABASE "{name}" OWNER TO landlord'
    )
    settings = replace(world.settings, user="landlord", password=Password("p"))
    outcome = await standalone.up(settings, [users()], IMPATIENT, world.hearing)
    await world.execute_as_superuser(
        f'ALTER DATABASE "{name}" OWNER TO postgres; REASSIGN OWNED BY landlord TO postgres;'
        "DROP OWNED BY landlord; DROP ROLE landlord"
    )
    assert outcome.verdict is Verdict.DONE


async def test_one_database_goes_up_and_down_without_a_ledger(world: World) -> None:
    folder = [users(verify="SELECT count(*) = 0 FROM users"), EMAIL]
    assert (await standalone.up(world.settings, folder, IMPATIENT, world.hearing)).failure is None
    lines = (await standalone.status(world.settings, folder)).lines
    assert [line.standing for line in lines] == [Standing.APPLIED] * 2
    (verified,) = await standalone.verify(world.settings, folder)
    assert verified.failure is None
    await world.execute("INSERT INTO users VALUES (1)")
    (broken,) = await standalone.verify(world.settings, folder)
    assert broken.failure is not None
    assert broken.failure.kind == "verify"
    outcome = await standalone.down(world.settings, folder, IMPATIENT, world.hearing)
    assert [(s.version, s.result) for s in outcome.steps] == [("002", StepResult.ROLLED_BACK)]
    lines = (await standalone.status(world.settings, [EMAIL])).lines
    assert [line.standing for line in lines] == [Standing.PENDING, Standing.MISSING]


async def test_a_fleets_database_needs_a_reason(world: World) -> None:
    await world.up(users())
    refused = await standalone.up(world.settings, [EMAIL], IMPATIENT, world.hearing)
    assert refused.verdict is Verdict.REFUSED
    leave = Outside("hotfix")
    done = await standalone.up(world.settings, [EMAIL], IMPATIENT, world.hearing, outside=leave)
    assert done.verdict is Verdict.DONE
    assert (await inspect(world.settings)).owner == "ledger-1"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Return what keeps the spans that are made from now on."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(telemetry, "_TRACER", provider.get_tracer("test"))
    return exporter


async def test_each_statement_has_a_span_without_its_literals(
    world: World, exporter: InMemorySpanExporter
) -> None:
    await world.up(users())
    await world.up(migration("002", "INSERT INTO users VALUES (42);\nSELECT 1/0"))
    made, entry, step, insert, division, recorded, failed = exporter.get_finished_spans()
    assert (entry.name, entry.kind) == (recorded.name, recorded.kind) == ("journal", INTERNAL)
    assert entry.parent is not None
    assert entry.parent.span_id == step.context.span_id
    assert made.name == "CREATE TABLE users"
    assert made.kind is SpanKind.CLIENT
    assert made.parent is not None
    assert made.parent.span_id == step.context.span_id
    assert step.name == "migrate 001 up"
    assert insert.attributes is not None
    assert "42" not in str(insert.attributes["db.query.text"])
    assert division.attributes is not None
    assert division.attributes["db.response.status_code"] == "22012"
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "22012"
    assert failed.status.description is None


async def test_what_is_no_statement_has_spans_too(
    world: World, exporter: InMemorySpanExporter
) -> None:
    await world.up(users(verify="SELECT count(*) = 0 FROM users"))
    await world.up(migration("002", "SELECT 1", verify="SELECT false, 'nobody may see this'"))
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    tree = [(span.name, span.parent and names[span.parent.span_id]) for span in spans]
    assert tree == [
        ("CREATE TABLE users", "migrate 001 up"),
        ("SELECT users", "verify"),
        ("verify", "migrate 001 up"),
        ("journal", "migrate 001 up"),
        ("migrate 001 up", None),
        ("SELECT", "migrate 002 up"),
        ("SELECT", "verify"),
        ("verify", "migrate 002 up"),
        ("journal", "migrate 002 up"),
        ("migrate 002 up", None),
    ]
    assert [span.name for span in spans if not span.status.is_unset] == ["verify", "migrate 002 up"]
    assert "nobody may see this" not in "".join(span.to_json() for span in spans)


TAKE = 'GRANT CREATE ON DATABASE "{database}" TO migrator; GRANT app TO migrator;'
CREATE = "GRANT CREATE ON SCHEMA public TO app;"


@pytest.fixture
async def migrator(world: World) -> AsyncIterator[ConnectionSettings]:
    """How a user without any rights gets in, whose migrations run as the role `app`."""
    await world.execute_as_superuser(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
        "CREATE ROLE app; CREATE ROLE migrator LOGIN NOINHERIT PASSWORD 'p'"
    )
    try:
        yield replace(world.settings, user="migrator", password=Password("p"), role="app")
    finally:
        await world.execute_as_superuser(
            "DROP OWNED BY app, migrator CASCADE; DROP ROLE app; DROP ROLE migrator"
        )


@pytest.mark.parametrize(
    ("grants", "in_target"),
    [("SELECT", False), (TAKE, False), (CREATE, False), (TAKE + CREATE, True)],
    ids=["nothing", "the role alone", "the schema alone", "both"],
)
async def test_a_look_asks_for_the_rights_of_the_role_that_migrations_run_as(
    world: World, migrator: ConnectionSettings, grants: str, in_target: bool
) -> None:
    await world.execute_as_superuser(grants.format(database=world.settings.database))
    found = await inspect(migrator)
    assert found.failure is None
    assert found.rights == Rights(TAKE in grants, in_target, superuser=False)


async def test_who_is_told_to_have_enough_rights_can_migrate_and_who_lacks_some_cannot(
    world: World, migrator: ConnectionSettings
) -> None:
    database = f'GRANT CREATE ON DATABASE "{world.settings.database}" TO migrator;'
    await world.execute_as_superuser(database + CREATE)
    refused = await standalone.up(migrator, [users()], IMPATIENT, world.hearing)
    assert refused.verdict is Verdict.FAILED
    assert not (await rights_of(migrator)).create_in_target

    await world.execute_as_superuser("GRANT app TO migrator")
    assert (await rights_of(migrator)).create_in_target
    outcome = await standalone.up(migrator, [users()], IMPATIENT, world.hearing)
    assert outcome.verdict is Verdict.DONE
    assert await world.value("SELECT tableowner FROM pg_tables WHERE tablename = 'users'") == "app"


async def test_a_role_that_does_not_exist_is_no_role_to_create_as(world: World) -> None:
    assert not (await rights_of(replace(world.settings, role="nobody_knows"))).create_in_target


async def rights_of(settings: ConnectionSettings) -> Rights:
    """What a look says of the rights there."""
    found = await inspect(settings)
    assert found.failure is None
    assert found.rights is not None
    return found.rights
