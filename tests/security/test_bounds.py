"""Tenants that hold or say too much: a failure of that database alone, in bounded memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.contracts.registry import NAME_MOST
from migrations.adoption.inspect import histories_in
from migrations.inspection import glance, inspect
from migrations.model.attempt import Epoch, Verdict
from migrations.model.version import VERSION_MOST
from migrations.target.inflow import (
    ANSWER_MAX_BYTES,
    MESSAGE_MAX_BYTES,
    TEXT_MAX_BYTES,
    AnswerTooLarge,
    Inflow,
)
from tests.fixtures.postgres import AsSuperuser, FreshDatabase
from tests.integration.migrations.world import World, migration, users
from tests.support.forged_entry import forge

MEMORY_MAX_BYTES = 512 * 2**20
"""Of a process that meets all of them at once, everything included."""

NOTE = "ALTER TABLE migration_ledger.journal ALTER COLUMN note SET STORAGE EXTENDED; "
FILLED = {
    "a note of 250 MB": NOTE
    + "UPDATE migration_ledger.journal SET note = repeat('x', 250000000) WHERE seq = 2",
    "many notes of a megabyte": NOTE
    + "INSERT INTO migration_ledger.journal (target, seq, head, note) "
    "SELECT '', n, 'x', repeat('x', 1000000) FROM generate_series(10, 60) AS n",
    "many entries": "INSERT INTO migration_ledger.journal (target, seq, head) "
    "SELECT '', n, 'x' FROM generate_series(10, 60000) AS n",
    "many entries of another target": "INSERT INTO migration_ledger.journal (target, seq, head) "
    "SELECT 'x', n, 'x' FROM generate_series(10, 60000) AS n",
}
SAYING = {
    "an error of 200 MB": "PERFORM 1; RAISE EXCEPTION '%', repeat('x', 200000000)",
    "a notice of 200 MB": "RAISE NOTICE '%', repeat('x', 200000000)",
    "a notification for each row": "RAISE NOTICE '%', repeat('x', 3000000)",
}


@pytest.fixture
async def tenant(fresh_database: FreshDatabase, as_superuser: AsSuperuser) -> World:
    """A database with one applied migration."""
    url = await fresh_database()
    world = World(url, superuser_url=as_superuser(url))
    await world.up(users())
    return world


async def trapped(tenant: World, body: str) -> None:
    """A table of the tenant's that says something when a row comes."""
    await tenant.execute(
        "CREATE TABLE loud (a int); CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body}; RETURN NEW; END $$; "
        "CREATE TRIGGER t BEFORE INSERT ON loud FOR EACH ROW EXECUTE FUNCTION say()"
    )


@pytest.mark.parametrize("fill", FILLED.values(), ids=FILLED.keys())
async def test_a_journal_that_is_too_large_is_that_databases_failure(
    tenant: World, fill: str
) -> None:
    await tenant.execute(fill)
    found = await inspect(tenant.settings)
    assert found.failure is not None
    assert found.failure.kind == "limit"
    await glance(tenant.settings)
    outcome = await tenant.up(users(), migration("002", "CREATE TABLE b ()"))
    assert outcome.verdict is not Verdict.DONE
    assert outcome.failure is not None
    assert outcome.failure.kind == "limit"
    assert not await tenant.has("b")


LONG = "9" * (NAME_MOST + 1)
"""One character more than a name in a report may have."""


def test_a_version_is_refused_from_the_length_on_that_no_event_can_name() -> None:
    assert VERSION_MOST == NAME_MOST


@pytest.mark.parametrize("place", ["migration", "rollout"])
async def test_a_journal_with_a_name_that_no_report_can_have_is_that_databases_failure(
    tenant: World, place: str
) -> None:
    await forge(tenant.url, Epoch(0, 0), **{"migration": "008", place: LONG})
    for look in (inspect, glance):
        found = await look(tenant.settings)
        assert found.failure is not None
        assert found.failure.kind == "limit"
        assert "of 501 characters, and 500 is the most" in found.failure.message
    outcome = await tenant.up(users(), migration("002", "CREATE TABLE b ()"))
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.failure is not None
    assert outcome.failure.kind == "limit"
    assert LONG not in outcome.failure.message
    assert not await tenant.has("b")


async def test_names_that_a_report_can_just_have_are_read(tenant: World) -> None:
    await forge(tenant.url, Epoch(0, 0), migration=LONG[1:])
    found = await inspect(tenant.settings)
    assert found.failure is None


async def test_so_is_another_tools_history_with_such_a_version(
    fresh_database: FreshDatabase,
) -> None:
    world = World(await fresh_database())
    await world.execute(
        "CREATE TABLE schema_migrations (version varchar PRIMARY KEY); "
        f"INSERT INTO schema_migrations VALUES ('{LONG}')"
    )
    (found,) = await histories_in(world.settings)
    assert found.rows == ()
    assert "schema_migrations has a version of over 500 characters" in found.problem


@pytest.mark.parametrize("body", SAYING.values(), ids=SAYING.keys())
async def test_a_statement_that_says_too_much_is_cut_and_not_tried_again(
    tenant: World, body: str
) -> None:
    await trapped(tenant, body)
    outcome = await tenant.up(users(), migration("002", "INSERT INTO loud VALUES (1)"))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind == "limit"
    assert "the session was cut" in outcome.failure.message
    assert len(outcome.failure.message) < 2_000
    assert await tenant.value("SELECT count(*) FROM loud") == 0


async def test_a_check_that_returns_a_large_table_is_cut(tenant: World) -> None:
    large = "SELECT true, repeat('x', 1000) FROM generate_series(1, 1000000)"
    outcome = await tenant.up(users(), migration("002", "CREATE TABLE b ()", verify=large))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert outcome.failure.kind == "limit"
    assert not await tenant.has("b")


async def test_rows_of_a_script_that_nobody_reads_are_no_matter(tenant: World) -> None:
    large = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
    outcome = await tenant.up(users(), migration("002", f"{large};\nCREATE TABLE b ()"))
    assert outcome.verdict is Verdict.DONE


async def test_many_small_notices_are_no_matter(tenant: World) -> None:
    await trapped(tenant, "FOR n IN 1..2000 LOOP RAISE NOTICE '%', repeat('x', 1000); END LOOP")
    outcome = await tenant.up(users(), migration("002", "INSERT INTO loud VALUES (1)"))
    assert outcome.verdict is Verdict.DONE


MEETING = """
import asyncio, resource, sys
from uuid import uuid4
from migrations.inspection import inspect
from migrations.formats.bundle import load_files
from migrations.model.migration import SourceFile
from migrations.model.attempt import Epoch, Limits, Mode
from migrations.model.work import Silence, Work
from migrations.runner import run
from migrations.target.session import ConnectionSettings

TEXT = "-- +migrate Up\\nINSERT INTO loud VALUES (1);\\n-- +migrate Down\\nSELECT 1;\\n"
FILE = SourceFile("002_m.sql", TEXT.encode())

async def meet(url):
    settings = ConnectionSettings.from_url(url + "?sslmode=disable", allow_plaintext=True)
    await inspect(settings)
    migration = load_files("sql-migrate", [FILE])
    work = Work(uuid4(), "r", Epoch(1, 99), Mode.UP, (migration,), owner="ledger-1")
    outcome = await run(settings, work, Limits(advisory_wait_s=1), Silence())
    assert outcome.failure is not None, url

async def main():
    await asyncio.gather(*(meet(url) for url in sys.argv[1:]))

asyncio.run(main())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


async def test_one_process_meets_all_of_them_at_once_in_bounded_memory(
    fresh_database: FreshDatabase, as_superuser: AsSuperuser
) -> None:
    urls = []
    for fill in (*FILLED.values(), *SAYING.values()):
        url = await fresh_database()
        world = World(url, superuser_url=as_superuser(url))
        await world.up(users())
        if fill in FILLED.values():
            await world.execute(fill)
        else:
            await trapped(world, fill)
        urls.append(url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        MEETING,
        *urls,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert int(said) < MEMORY_MAX_BYTES


def frame(kind: bytes, size: int) -> bytes:
    return kind + (size + 4).to_bytes(4, "big") + b"x" * size


@pytest.mark.parametrize("step", [1, 3, 5, 7, 1_000])
def test_frames_are_counted_however_they_are_cut(step: int) -> None:
    inflow = Inflow()
    data = frame(b"2", 0) + frame(b"D", 100) * 3 + frame(b"C", 8) + frame(b"Z", 1)
    for at in range(0, len(data), step):
        inflow.received(data[at : at + step])
    with pytest.raises(AnswerTooLarge):
        inflow.received(b"D" + (MESSAGE_MAX_BYTES + 1).to_bytes(4, "big"))


def test_texts_have_a_smaller_limit_than_rows() -> None:
    header = (TEXT_MAX_BYTES + 1).to_bytes(4, "big")
    Inflow().received(b"D" + header)
    for kind in (b"E", b"N", b"A", b"S"):
        with pytest.raises(AnswerTooLarge):
            Inflow().received(kind + header)


def test_settings_that_a_false_server_makes_up_are_added_up() -> None:
    inflow, setting = Inflow(), frame(b"S", 50_000)
    for _ in range(10):
        inflow.received(setting * (TEXT_MAX_BYTES // len(setting)) + frame(b"Z", 1))
    with pytest.raises(AnswerTooLarge, match="of its settings"):
        inflow.received(setting * (TEXT_MAX_BYTES // len(setting) + 1))


def test_rows_are_added_up_until_the_question_is_answered() -> None:
    inflow, row = Inflow(), frame(b"D", 2**20)
    for _ in range(2 * ANSWER_MAX_BYTES // len(row)):
        inflow.received(row)
    inflow.received(frame(b"Z", 1) + frame(b"2", 0))
    for _ in range(ANSWER_MAX_BYTES // len(row) - 1):
        inflow.received(row)
    with pytest.raises(AnswerTooLarge):
        inflow.received(row * 2)
