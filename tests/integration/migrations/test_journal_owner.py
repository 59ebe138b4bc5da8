"""Whose the journal is: a group's, so that logins come and go, and no stranger's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from migrations import standalone
from migrations.inspection import glance, inspect
from migrations.model.attempt import Adoption, Mode, Verdict
from migrations.model.migration import Migration
from migrations.model.preflight import PreflightPolicy
from migrations.model.work import Outcome
from migrations.runner import run
from migrations.standalone_adoption import preview
from migrations.standalone_removal import kept_in, remove_journal
from migrations.target.session import ConnectionSettings, Password
from tests.integration.migrations.test_own_tables import MAKE, moved
from tests.integration.migrations.world import IMPATIENT, World, migration, users

OWNERS = """
    SELECT DISTINCT r.rolname::text FROM pg_roles AS r WHERE r.oid IN (
        SELECT nspowner FROM pg_namespace WHERE nspname = 'migration_ledger'
        UNION SELECT relowner FROM pg_class
        WHERE relnamespace = 'migration_ledger'::regnamespace)
"""
OWNERS_OF_TABLES = """
    SELECT DISTINCT relowner::regrole::text FROM pg_class
    WHERE relnamespace = 'migration_ledger'::regnamespace
"""
TABLES = ("journal", "progress", "backup", "saved")
SECOND = migration("002", "CREATE TABLE b (id int)")


@pytest.fixture(params=["INHERIT"])
async def logins(
    world: World, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[World, str, str, str]]:
    """Two logins and a group, all without any right.

    Asked for with NOINHERIT, logins that have no right of a role before SET ROLE.
    """
    name = world.settings.database
    names = (f"{name}_one", f"{name}_two", f"{name}_group")
    await world.execute_as_superuser(
        "".join(
            f'CREATE ROLE "{one}" {"NOLOGIN" if one.endswith("group") else "LOGIN"} '
            f"{request.param} PASSWORD 'p';"
            for one in names
        )
    )
    yield world, *names
    quoted = ", ".join(f'"{one}"' for one in names)
    await world.execute_as_superuser(f"DROP OWNED BY {quoted} CASCADE")
    await world.execute_as_superuser(f"DROP ROLE IF EXISTS {quoted}")


def as_login(world: World, name: str, role: str | None = None) -> ConnectionSettings:
    return replace(world.settings, user=name, password=Password("p"), role=role)


async def up(world: World, settings: ConnectionSettings, *all_of: Migration) -> Outcome:
    return await run(settings, world.work(Mode.UP, *all_of), IMPATIENT, world.hearing)


async def rotate(world: World, one: ConnectionSettings, two: ConnectionSettings) -> None:
    """The first login migrates and is dropped, the second goes on."""
    first = await up(world, one, users(), moved())
    assert first.verdict is Verdict.DONE, first.failure
    second = await up(world, two, users(), moved(), SECOND)
    assert second.verdict is Verdict.DONE, second.failure
    await world.execute_as_superuser(f'DROP ROLE "{one.user}"; CREATE ROLE "{one.user}"')
    back = world.work(Mode.ROLLBACK, SECOND, moved())
    undone = await run(two, back, IMPATIENT, world.hearing)
    assert undone.verdict is Verdict.DONE, undone.failure
    found = await inspect(two)
    assert found.failure is None


either = pytest.mark.parametrize("logins", ["INHERIT", "NOINHERIT"], indirect=True)


@either
async def test_with_a_registered_role_the_journal_is_its_own_and_logins_rotate(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, two, _ = logins
    await world.execute_as_superuser(f'GRANT "{world.owner}" TO "{one}", "{two}"')
    await world.execute(f'SET ROLE "{world.owner}"; {MAKE}')
    role = world.owner
    await rotate(world, as_login(world, one, role), as_login(world, two, role))
    assert await world.fetch(OWNERS) == [(role,)]


@either
async def test_a_role_that_the_logins_are_set_to_is_as_good_as_a_registered_one(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, two, _ = logins
    await world.execute_as_superuser(
        f'GRANT "{world.owner}" TO "{one}", "{two}"; '
        f'ALTER ROLE "{one}" SET role = "{world.owner}"; '
        f'ALTER ROLE "{two}" SET role = "{world.owner}"'
    )
    await world.execute(f'SET ROLE "{world.owner}"; {MAKE}')
    await rotate(world, as_login(world, one), as_login(world, two))
    assert await world.fetch(OWNERS) == [(world.owner,)]


async def test_a_group_of_migrators_that_may_create_here_owns_the_journal(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, two, group = logins
    await world.execute_as_superuser(
        f'GRANT "{world.owner}", "{group}" TO "{one}", "{two}"; '
        f'GRANT CREATE ON DATABASE "{world.settings.database}" TO "{group}"'
    )
    await world.execute(f'SET ROLE "{world.owner}"; {MAKE}')
    role = world.owner
    await rotate(world, as_login(world, one, role), as_login(world, two, role))
    owners = await world.fetch(OWNERS)
    assert owners == [(group,)]


@either
async def test_a_schema_that_was_made_for_a_group_has_its_journal_made_as_that_group(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, two, group = logins
    await world.execute_as_superuser(
        f'GRANT "{group}" TO "{one}", "{two}"; GRANT ALL ON SCHEMA public TO "{group}"; '
        f'CREATE SCHEMA migration_ledger AUTHORIZATION "{group}"'
    )
    for login, versions in ((one, (users(),)), (two, (users(), SECOND))):
        done = await up(world, as_login(world, login, group), *versions)
        assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(group,)]


async def test_a_login_that_can_do_more_than_its_role_keeps_its_journal_to_itself(
    logins: tuple[World, str, str, str],
) -> None:
    """Else a trigger of the tenant's on our table could use what only the login may."""
    world, one, _, group = logins
    await world.execute_as_superuser(f'GRANT "{world.owner}", "{group}" TO "{one}"')
    done = await up(world, as_login(world, one, world.owner), users())
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(one,)]


@either
@pytest.mark.parametrize("more", ["member", "CREATEROLE", "BYPASSRLS", "not registered"])
async def test_a_journal_of_the_tenants_is_refused_where_the_login_can_do_more_or_names_no_role(
    logins: tuple[World, str, str, str], more: str
) -> None:
    world, one, two, group = logins
    await world.execute_as_superuser(f'GRANT "{world.owner}" TO "{one}", "{two}"')
    assert (await up(world, as_login(world, one, world.owner), users())).verdict is Verdict.DONE
    if more == "member":
        await world.execute_as_superuser(f'GRANT "{group}" TO "{two}"')
    elif more.isupper():
        await world.execute_as_superuser(f'ALTER ROLE "{two}" {more}')
    role = None if more == "not registered" else world.owner
    refused = await up(world, as_login(world, two, role), users(), SECOND)
    assert refused.verdict is Verdict.REFUSED
    assert refused.failure is not None
    assert f"the schema belongs to {world.owner}" in refused.failure.message


async def test_ledger_db_goes_on_with_the_next_login(logins: tuple[World, str, str, str]) -> None:
    world, one, two, group = logins
    database = world.settings.database
    await world.execute_as_superuser(
        f'GRANT "{group}" TO "{one}", "{two}"; GRANT ALL ON SCHEMA public TO "{group}"; '
        f'GRANT CREATE ON DATABASE "{database}" TO "{group}"'
    )
    for login, versions in ((one, [users()]), (two, [users(), SECOND])):
        done = await standalone.up(as_login(world, login), versions, IMPATIENT, world.hearing)
        assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(group,)]


@pytest.mark.parametrize("registered", [False, True])
async def test_a_tenants_login_that_made_the_schema_itself_does_not_come_to_own_the_journal(
    logins: tuple[World, str, str, str], *, registered: bool
) -> None:
    """He lets our login be he, so that the schema looks as if it were made for us."""
    world, one, tenant, group = logins
    await world.execute_as_superuser(
        f'GRANT "{tenant}", "{group}" TO "{one}"; GRANT ALL ON SCHEMA public TO "{one}"; '
        f'CREATE SCHEMA migration_ledger AUTHORIZATION "{tenant}"'
    )
    role = group if registered else None
    await up(world, as_login(world, one, role), users())
    assert await world.fetch(OWNERS_OF_TABLES) == [(one,)]


async def test_a_group_with_a_tenants_login_in_it_does_not_come_to_own_the_journal(
    logins: tuple[World, str, str, str],
) -> None:
    """Our login is in a second group, which the tenant's is not in: they are not of one kind."""
    world, one, tenant, group = logins
    database = world.settings.database
    second = f"{database}_second"
    await world.execute_as_superuser(
        f'CREATE ROLE "{second}"; GRANT "{second}" TO "{one}"; '
        f'GRANT "{group}" TO "{one}", "{tenant}"; '
        f'GRANT ALL ON SCHEMA public TO "{one}"; GRANT CREATE ON DATABASE "{database}" TO '
        f'"{group}", "{one}"'
    )
    done = await up(world, as_login(world, one), users())
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(one,)]


async def test_a_group_owns_the_journal_of_a_database_that_is_a_superusers(
    logins: tuple[World, str, str, str],
) -> None:
    """A superuser is a member of every group, and no tenant."""
    world, one, two, group = logins
    database = world.settings.database
    await world.execute_as_superuser(
        f'GRANT "{group}" TO "{one}", "{two}"; GRANT ALL ON SCHEMA public TO "{group}"; '
        f'GRANT CREATE ON DATABASE "{database}" TO "{group}"; '
        f'ALTER DATABASE "{database}" OWNER TO CURRENT_USER'
    )
    for login, versions in ((one, (users(),)), (two, (users(), SECOND))):
        done = await up(world, as_login(world, login), *versions)
        assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(group,)]


async def made_by_one_alone(logins: tuple[World, str, str, str]) -> None:
    """The first login makes the journal for itself; then both are in a group that may create."""
    world, one, two, group = logins
    database = world.settings.database
    await world.execute_as_superuser(
        f'GRANT CREATE ON DATABASE "{database}" TO "{one}"; GRANT ALL ON SCHEMA public TO "{one}"'
    )
    done = await up(world, as_login(world, one), users())
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(one,)]
    await world.execute_as_superuser(
        f'GRANT "{group}" TO "{one}", "{two}"; GRANT CREATE ON DATABASE "{database}" TO "{group}";'
        f'GRANT ALL ON SCHEMA public TO "{group}", "{two}"'
    )


async def test_the_journal_of_an_earlier_login_becomes_the_groups_when_the_next_one_comes(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, two, group = logins
    await made_by_one_alone(logins)
    await world.execute_as_superuser(f'GRANT "{one}" TO "{two}"')
    assert "belong to the login" in (await inspect(as_login(world, two))).warnings[0]
    done = await up(world, as_login(world, two), users(), SECOND)
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(group,)]
    assert (await inspect(as_login(world, two))).warnings == ()
    third = migration("003", "CREATE TABLE c (id int)")
    again = await up(world, as_login(world, one), users(), SECOND, third)
    assert again.verdict is Verdict.DONE, again.failure
    await world.execute_as_superuser(
        f'REASSIGN OWNED BY "{one}" TO "{world.owner}"; DROP OWNED BY "{one}"; DROP ROLE "{one}";'
        f'CREATE ROLE "{one}"'
    )
    last = await up(world, as_login(world, two), users(), SECOND, third)
    assert last.verdict is Verdict.DONE, last.failure


async def test_who_may_act_for_the_login_does_not_take_the_journal_from_it(
    logins: tuple[World, str, str, str],
) -> None:
    """A person in the role of the login that migrates; no group has both."""
    world, one, two, group = logins
    await made_by_one_alone(logins)
    await world.execute_as_superuser(
        f'REVOKE "{group}" FROM "{one}"; GRANT "{one}" TO "{two}"; '
        f'GRANT ALL ON SCHEMA public TO "{two}"'
    )
    done = await up(world, as_login(world, two), users(), SECOND)
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(one,)]


@either
async def test_the_journal_of_a_login_that_the_next_is_not_in_is_refused_with_what_gives_it_away(
    logins: tuple[World, str, str, str],
) -> None:
    world, _, two, group = logins
    await made_by_one_alone(logins)
    refused = await up(world, as_login(world, two), users(), SECOND)
    looked_at, glanced = await inspect(as_login(world, two)), await glance(as_login(world, two))
    for failure in (refused.failure, looked_at.failure, glanced.failure):
        assert failure is not None
        said = failure.message
        alter = f"ALTER SCHEMA migration_ledger OWNER TO {group}; ALTER TABLE"
        assert f"if it is yours, say {alter}" in said
        assert "if it is not, DROP SCHEMA migration_ledger CASCADE; then order this again" in said
    for name in ("SCHEMA migration_ledger", *(f"TABLE migration_ledger.{t}" for t in TABLES)):
        await world.execute_as_superuser(f'ALTER {name} OWNER TO "{group}"')
    done = await up(world, as_login(world, two), users(), SECOND)
    assert done.verdict is Verdict.DONE, done.failure


@pytest.mark.parametrize("may_take", [True, False])
async def test_a_schema_that_a_tenants_login_made_is_taken_over_or_warned_of(
    logins: tuple[World, str, str, str], *, may_take: bool
) -> None:
    world, one, tenant, _ = logins
    database = world.settings.database
    await world.execute_as_superuser(
        f'GRANT "{tenant}" TO "{one}"; GRANT ALL ON SCHEMA public TO "{one}"; '
        f'CREATE SCHEMA migration_ledger AUTHORIZATION "{tenant}"'
    )
    await up(world, as_login(world, one), users())
    if may_take:
        await world.execute_as_superuser(f'GRANT CREATE ON DATABASE "{database}" TO "{one}"')
    again = await up(world, as_login(world, one), users(), SECOND)
    assert again.verdict is Verdict.DONE, again.failure
    assert await world.fetch(OWNERS_OF_TABLES) == [(one,)]
    warned = (await inspect(as_login(world, one))).warnings
    if may_take:
        assert await world.fetch(OWNERS) == [(one,)]
        assert warned == ()
    else:
        assert f"migration_ledger belongs to the login {tenant}, who may drop" in warned[0]
        assert f"ALTER SCHEMA migration_ledger OWNER TO {one}" in warned[0]


async def test_a_superuser_takes_the_journal_from_nobody(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, _, _ = logins
    await made_by_one_alone(logins)
    superuser = ConnectionSettings.from_url(
        f"{world.superuser_url}?sslmode=disable", allow_plaintext=True
    )
    done = await up(world, superuser, users(), SECOND)
    assert done.verdict is Verdict.DONE, done.failure
    assert await world.fetch(OWNERS) == [(one,)]


@either
async def test_every_command_of_one_database_goes_on_with_the_next_login(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, two, _ = logins
    await world.execute_as_superuser(f'GRANT "{world.owner}" TO "{one}", "{two}"')
    first, second = (as_login(world, name, world.owner) for name in (one, two))
    held = migration("003", "CREATE TABLE c (id int)", verify="SELECT count(*) = 0 FROM c")
    every = [users(), SECOND, held]
    done = await standalone.up(first, every[:1], IMPATIENT, world.hearing)
    assert done.verdict is Verdict.DONE, done.failure
    done = await standalone.up(second, every, IMPATIENT, world.hearing)
    assert done.verdict is Verdict.DONE, done.failure
    (verified,) = await standalone.verify(second, every)
    assert verified.failure is None
    assert (await glance(second)).failure is None
    for look in (inspect, glance):
        assert {entry.migration for entry in (await look(second)).entries} >= {"001", "003"}
    taken_back = await standalone.down(second, every, IMPATIENT, world.hearing)
    assert taken_back.verdict is Verdict.DONE, taken_back.failure
    kept = await kept_in(second)
    assert kept is not None
    assert kept.targets == 1
    await remove_journal(second, IMPATIENT, world.hearing)
    assert await kept_in(first) is None


@either
async def test_what_is_asked_before_and_the_history_of_another_tool_are_read_as_the_role(
    logins: tuple[World, str, str, str],
) -> None:
    world, one, two, _ = logins
    await world.execute_as_superuser(f'GRANT "{world.owner}" TO "{one}", "{two}"')
    table = "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)"
    await world.execute(
        f"SET ROLE \"{world.owner}\"; {table}; INSERT INTO schema_migrations VALUES ('001')"
    )
    first, second = (as_login(world, name, world.owner) for name in (one, two))
    adoption = Adoption("auto", "", accept_missing=False)
    seen = await preview(first, [users(), SECOND], adoption)
    assert [item.version for item in seen.match.taken] == ["001"]
    work = world.work(Mode.ADOPT, users(), SECOND, adoption=adoption)
    adopted = await run(first, work, IMPATIENT, world.hearing)
    assert adopted.verdict is Verdict.DONE, adopted.failure
    asking = replace(IMPATIENT, preflight=PreflightPolicy())
    change = migration("003", "ALTER TABLE b ADD COLUMN n int")
    work = world.work(Mode.UP, users(), SECOND, change)
    done = await run(second, work, asking, world.hearing)
    assert done.verdict is Verdict.DONE, done.failure
