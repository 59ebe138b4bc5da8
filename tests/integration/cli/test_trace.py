"""`--trace`: what statements do is seen in a scratch database, and the fleet says how large tables
are.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from migrations.scratch.database import PREFIX
from tests.fixtures.postgres import PostgresServer
from tests.integration.cli.conftest import Fleet
from tests.support.patience import PATIENCE_S
from tests.support.program import LedgerProgram, StartLedger

UP = "-- +migrate Up\n"
WIDEN = f"{UP}ALTER TABLE users ALTER COLUMN settings TYPE text;\n"


@pytest.fixture
async def scratch(postgres_server: PostgresServer) -> AsyncIterator[dict[str, str]]:
    """A server for scratch databases, that of the tenants; none stays on it."""
    yield {"LEDGER_SCRATCH_URL": postgres_server.url("postgres")}
    connection = await asyncpg.connect(postgres_server.url("postgres"))
    found = await connection.fetchval(
        "SELECT count(*) FROM pg_roles WHERE starts_with(rolname::text, $1)", PREFIX
    )
    await connection.close()
    assert found == 0


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Return a function that writes files of migrations: `v1_a` is `1_a.sql`."""

    def files(**texts: str) -> None:
        folder = tmp_path / "migrations"
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / f"{name[1:]}.sql").write_text(text)

    return files


def effects(answer: Any) -> list[tuple[str, list[str], list[str]]]:
    statements = answer.json["trace"]["statements"]
    return [(one["statement"], one["rewrites"], one["scans"]) for one in statements]


async def test_a_plan_says_what_each_statement_does_and_where_tables_are_large(
    ledger: LedgerProgram, write: Callable[..., None], fleet: Fleet, scratch: dict[str, str]
) -> None:
    write(v1_a=WIDEN, v2_b=f"{UP}CREATE TABLE fresh (id int);\nCREATE INDEX ON fresh (id);\n")
    at_least = {"LEDGER_PREFLIGHT_TABLE_SIZE_MB": "0.2/"}
    grown = await asyncpg.connect(fleet.addresses["t2"])
    await grown.execute("UPDATE users SET address = repeat('x', 1500)")
    await grown.close()
    answer = await ledger(
        "plan", "--trace", "--schema-from", "database:t1", "-o", "json", **scratch, **at_least
    )
    assert answer.code == 0, answer.err
    assert effects(answer) == [
        ("ALTER TABLE users", ["public.users"], ["public.users"]),
        ("CREATE TABLE fresh", [], []),
        ("CREATE INDEX ON fresh", [], []),
    ]
    first = answer.json["trace"]["statements"][0]
    assert first["locks"] == [{"table": "public.users", "mode": "ACCESS EXCLUSIVE"}]
    assert (first["blocks_reads"], first["blocks_writes"]) == (["public.users"],) * 2
    assert (first["file"], first["line"], first["not_traced"]) == ("1_a.sql", 2, None)
    (size,) = answer.json["trace"]["sizes"]
    assert (size["table"], size["databases"], size["above"]) == ("public.users", 4, 1)
    assert size["largest_in"] == "t2"
    assert answer.json["trace"]["lacks"] == []
    people = await ledger("plan", "--trace", "--schema-from", "database:t1", **scratch, **at_least)
    assert "rewrites public.users" in people.out
    assert "above the limit of 0.2 MB in 1 of 4 databases; the largest has" in people.out
    # Nothing of it was applied anywhere.
    assert (await ledger("plan", "-o", "json")).json["trace"] is None


async def test_a_plan_is_traced_without_a_catalog_as_far_as_the_folder_goes(
    ledger: LedgerProgram, write: Callable[..., None], fleet: Fleet, scratch: dict[str, str]
) -> None:
    write(v1_a=f"{UP}CREATE TABLE notes (id int);\n")
    assert (await ledger("up", "--yes")).code == 0
    write(v2_b=f"{UP}ALTER TABLE notes ALTER COLUMN id TYPE bigint;\n", v3_c=WIDEN)
    answer = await ledger("plan", "--trace", "-o", "json", **scratch)
    first, second = answer.json["trace"]["statements"]
    assert first["rewrites"] == ["public.notes"]
    assert 'relation "users" does not exist' in second["not_traced"]
    assert "--schema-from database:ID" in answer.err
    down = await ledger("plan", "--trace", "--down", "1", **scratch)
    assert (down.code, "--trace is for going up" in down.err) == (2, True)


async def test_lint_believes_a_trace_more_than_a_text(
    ledger: LedgerProgram, write: Callable[..., None], scratch: dict[str, str]
) -> None:
    table = f"{UP}CREATE TABLE users (id bigint PRIMARY KEY, age int, code varchar(5));\n"
    free = "ALTER TABLE users ALTER COLUMN code TYPE varchar(5) USING code::varchar(5);"
    hidden = "DO $$BEGIN EXECUTE 'ALTER TABLE users ALTER age TYPE bigint'; END$$;"
    write(v1_a=table, v2_b=f"{UP}{free}\n", v3_c=f"{UP}{hidden}\n")

    async def rules(*more: str) -> list[tuple[str, str]]:
        answer = await ledger("lint", "--all", "-o", "json", *more, **scratch)
        return [(one["file"], one["rule"]) for one in answer.items]

    assert await rules() == [("migrations/2_b.sql", "type-rewrites")]
    assert await rules("--trace") == [("migrations/3_c.sql", "seen-rewrite")]
    for form in ("table", "sarif", "github"):
        answer = await ledger("lint", "--all", "--trace", "-o", form, **scratch)
        assert answer.code == 1
        assert "takes ACCESS EXCLUSIVE on public.users" in answer.out


async def test_lint_counts_large_tables_of_the_fleet(
    ledger: LedgerProgram, write: Callable[..., None], fleet: Fleet, scratch: dict[str, str]
) -> None:
    write(v1_a=WIDEN)
    words = ("lint", "--trace", "--schema-from", "database:t0", "-o", "json")
    # Tables of some kilobytes are small everywhere; the text alone does not tell what it was.
    small = await ledger(*words, **scratch)
    assert [(one["rule"], one["severity"]) for one in small.items] == [("seen-rewrite", "warning")]
    large = await ledger(*words, **scratch, LEDGER_PREFLIGHT_TABLE_SIZE_MB="0.01/")
    assert [(one["rule"], one["severity"]) for one in large.items] == [
        ("large-table", "error"),
        ("seen-rewrite", "warning"),
    ]
    assert "in 4 of 4 databases" in large.items[0]["what"]


async def test_where_nothing_is_pending_nothing_is_traced(
    ledger: LedgerProgram, write: Callable[..., None], fleet: Fleet
) -> None:
    write(v1_a=f"{UP}CREATE TABLE notes (id int);\n")
    assert (await ledger("up", "--yes")).code == 0
    # No server for it is needed then.
    nowhere = {"LEDGER_SCRATCH_URL": "postgresql://u@127.0.0.1:1/none"}
    assert (await ledger("lint", "--trace", **nowhere)).code == 0
    plan = await ledger("plan", "--trace", "-o", "json", **nowhere)
    assert (plan.code, plan.json["trace"]) == (0, None)


async def test_the_catalog_of_a_database_at_an_address_is_enough_without_a_ledger(
    ledger: LedgerProgram,
    write: Callable[..., None],
    tenant_database: str,
    scratch: dict[str, str],
) -> None:
    write(v1_a=WIDEN)
    words = ("lint", "--trace", "--schema-from", "database:env:STAGING", "-o", "json")
    answer = await ledger(*words, **scratch, STAGING=tenant_database)
    (finding,) = answer.items
    assert "rewrites public.users" in finding["what"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--schema-from", "nonsense"), "--schema-from nonsense names no schema; write folder"),
        (("--schema-from", "file:"), "names no schema"),
        (("--schema-from", "file:none.sql"), "none.sql cannot be read"),
        (("--schema-from", "database:t0"), "no ledger says what the catalog"),
        (("--schema-from", "database:env:NONE"), "variable NONE is not set"),
        (("--schema-from", "snapshot:broken"), "name another file"),
        (("--schema-from", "file:broken"), "broken:1: PostgreSQL's grammar says"),
        (("--scratch", "env:NONE"), "variable NONE is not set"),
        (("--scratch", "mysql://x"), "write postgresql://user@host:5432/database"),
        (("--scratch", "postgresql://u:secret@127.0.0.1:1/x"), "cannot be used"),
    ],
)
async def test_what_cannot_be_meant_is_a_sentence(
    ledger: LedgerProgram,
    write: Callable[..., None],
    scratch: dict[str, str],
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
) -> None:
    write(v1_a=f"{UP}SELECT 1;\n")
    (tmp_path / "broken").write_text("nonsense")
    answer = await ledger("lint", "--trace", *words, **scratch)
    assert answer.code in (1, 2)
    assert said in answer.err
    assert "secret" not in answer.err.replace("password on the command line", "")
    assert "Traceback" not in answer.err


async def test_what_the_scratch_server_lacks_is_named_with_what_cannot_be_traced(
    ledger: LedgerProgram, write: Callable[..., None], scratch: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "dump.sql").write_text(
        "CREATE EXTENSION no_such;\nCREATE TABLE places (at no_such_type);\n"
    )
    write(v1_a=f"{UP}ALTER TABLE places ADD COLUMN x int;\n")
    answer = await ledger("lint", "--trace", "--schema-from", "file:dump.sql", **scratch)
    assert "Not in the scratch database: extension no_such" in answer.err
    assert "Not in the scratch database: dump.sql:2: CREATE TABLE places" in answer.err
    assert "ALTER TABLE places is not traced: it failed in the scratch database" in answer.err


async def test_ctrl_c_leaves_no_scratch_database(
    start_ledger: StartLedger,
    write: Callable[..., None],
    postgres_server: PostgresServer,
    scratch: dict[str, str],
) -> None:
    write(v1_a=f"{UP}SELECT pg_sleep(50);\n")
    running = await start_ledger("lint", "--trace", **scratch)
    connection = await asyncpg.connect(postgres_server.url("postgres"))
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'migration-ledger trace'"
    async with asyncio.timeout(PATIENCE_S):
        while not await connection.fetch(f"{sleeping} AND query LIKE '%pg_sleep(50)%'"):
            await connection.execute("SELECT pg_sleep(0.05)")
    running.signal(signal.SIGINT)
    answer = await running.end()
    assert answer.code == 130
    left = "SELECT datname FROM pg_database WHERE starts_with(datname::text, $1)"
    assert await connection.fetch(left, PREFIX) == []
    await connection.close()
