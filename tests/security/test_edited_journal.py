"""A journal that was edited, cut, re-labelled or filled: every reader says so, and nothing runs."""

from __future__ import annotations

import pytest

from migrations.inspection import glance, inspect
from migrations.model.attempt import Epoch, Verdict
from tests.fixtures.postgres import AsSuperuser, FreshDatabase
from tests.integration.migrations.world import World, expecting, migration, users

EDITED = {
    "a checksum": "SET up_checksum = repeat('0', 64) WHERE seq = 2",
    "a reason": "SET reason = 'because' WHERE seq = 2",
    "a rollout": "SET rollout = 'another' WHERE seq = 2",
    "a command": "SET command = gen_random_uuid() WHERE seq = 3",
    "a state": "SET state = 'rolled_back' WHERE seq = 3",
    "the last state": "SET state = 'rolled_back' WHERE seq = (SELECT max(seq) FROM migration_ledger.journal)",  # noqa: E501
    "a migration": "SET migration = '009' WHERE seq = 2",
    "a direction": "SET direction = 'down' WHERE seq = 2",
    "a note": "SET note = 'x' WHERE seq = 2",
    "a number of statements": "SET statements = 7 WHERE seq = 2",
    "a failure": 'SET failure = \'{"kind": "sql", "message": "x"}\' WHERE seq = 2',
    "an owner": "SET owner = 'ledger-2' WHERE seq = 2",
    "the last owner": "SET owner = 'ledger-2' WHERE seq = (SELECT max(seq) FROM migration_ledger.journal)",  # noqa: E501
    "an epoch": "SET epoch_term = 4611686018427387904 WHERE seq = 2",
    "the last epoch": "SET epoch_term = 4611686018427387904 WHERE seq = (SELECT max(seq) FROM migration_ledger.journal)",  # noqa: E501
    "a UUID": "SET database_uuid = gen_random_uuid() WHERE seq = 2",
    "all UUIDs": "SET database_uuid = gen_random_uuid()",
    "a head": "SET head = repeat('a', 64) WHERE seq = 2",
    "a number": "SET seq = 9 WHERE seq = 2",
    "an unknown state": "SET state = 'other' WHERE seq = 2",
    "an unknown field": "SET failure = '{\"other\": 1}' WHERE seq = 2",
    "a deep failure": "SET failure = (repeat('[', 5000) || repeat(']', 5000))::jsonb WHERE seq = 2",
    "no state": "SET state = NULL WHERE seq = 2",
    "no number of statements": "SET statements = NULL WHERE seq = 2",
    "no UUID": "SET database_uuid = NULL WHERE seq = 1",
}


@pytest.fixture
async def tenant(fresh_database: FreshDatabase, as_superuser: AsSuperuser) -> World:
    """A database with two applied migrations."""
    url = await fresh_database()
    world = World(url, superuser_url=as_superuser(url))
    await world.up(users())
    await world.up(users(), migration("002", "CREATE TABLE b ()"))
    return world


async def assert_seen(tenant: World) -> None:
    for look in (inspect, glance):
        found = await look(tenant.settings)
        assert found.failure is not None
        assert found.failure.kind == "identity"
        assert "of the journal is not as migration-ledger wrote it" in found.failure.message
        assert found.record is None
    outcome = await tenant.up(users(), migration("003", "CREATE TABLE c ()"))
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert "ledger db remove-journal" in outcome.failure.message
    assert not await tenant.has("c")


@pytest.mark.parametrize("edit", EDITED.values(), ids=EDITED.keys())
async def test_an_edited_entry_is_found_by_every_reader_though_the_head_is_the_same(
    tenant: World, edit: str
) -> None:
    await tenant.execute_as_superuser(
        "DROP INDEX migration_ledger.journal_order; "
        "ALTER TABLE migration_ledger.journal ALTER COLUMN failure SET STORAGE EXTENDED; "
        "UPDATE migration_ledger.journal " + edit
    )
    await assert_seen(tenant)


@pytest.mark.parametrize("number", [1, 2])
async def test_an_entry_that_was_taken_out_is_found(tenant: World, number: int) -> None:
    await tenant.execute(f"DELETE FROM migration_ledger.journal WHERE seq = {number}")
    await assert_seen(tenant)


async def test_an_entry_that_was_put_in_is_found(tenant: World) -> None:
    await tenant.execute(
        "CREATE TEMP TABLE more AS SELECT * FROM migration_ledger.journal WHERE seq = 3; "
        "UPDATE more SET seq = 4, migration = '003'; "
        "INSERT INTO migration_ledger.journal SELECT * FROM more"
    )
    await assert_seen(tenant)


async def test_an_edited_journal_is_refused_also_where_the_ledger_knows_its_head(
    tenant: World,
) -> None:
    known = await tenant.up(users(), migration("003", "CREATE TABLE c ()"))
    await tenant.execute("UPDATE migration_ledger.journal SET reason = 'x' WHERE seq = 2")
    outcome = await tenant.up(
        users(), migration("004", "CREATE TABLE d ()"), expectation=expecting(known)
    )
    assert outcome.verdict is Verdict.REFUSED
    assert not await tenant.has("d")


@pytest.mark.parametrize(
    "epoch", [Epoch(2**62, 1), Epoch(1, 2**62), Epoch(2**63 - 1, 2**63 - 1)], ids=str
)
async def test_an_epoch_that_no_ledger_issues_is_named_as_forged(
    tenant: World, epoch: Epoch
) -> None:
    forged = await tenant.up(users(), migration("003", "CREATE TABLE c ()"), epoch=epoch)
    assert forged.verdict is Verdict.DONE
    outcome = await tenant.up(users(), migration("004", "CREATE TABLE d ()"))
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert "no ledger has issued that one" in outcome.failure.message
    assert not await tenant.has("d")


async def test_an_order_that_was_overtaken_is_no_forgery(tenant: World) -> None:
    await tenant.up(users(), migration("003", "CREATE TABLE c ()"), epoch=Epoch(900, 10**9))
    outcome = await tenant.up(users(), migration("004", "CREATE TABLE d ()"))
    assert outcome.failure is not None
    assert outcome.failure.kind == "fence"


async def test_texts_that_the_server_keeps_in_another_way_do_not_break_the_chain(
    tenant: World,
) -> None:
    reason = "quotes ' \" \\ and \0 NUL, é, \N{PILE OF POO}, \t\n"
    failed = await tenant.up(users(), migration("003", "SELECT 'é\\' FROM nowhere"), reason=reason)
    assert failed.verdict is Verdict.FAILED
    done = await tenant.up(users(), migration("003", "CREATE TABLE c ()"), reason=reason)
    assert done.verdict is Verdict.DONE
    assert (await inspect(tenant.settings)).failure is None
