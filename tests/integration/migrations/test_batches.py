"""Data migrations: batches, progress, resume, pauses, backups and the way back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg
import pytest

from ledger.domain.wording import failure_text
from migrations.formats.bundle import load_files
from migrations.model.attempt import Mode, Verdict
from migrations.model.migration import Direction, Migration, SourceFile
from migrations.model.work import BatchProgress, StepResult
from tests.integration.migrations.world import OUR_BACKENDS, Hearing, World, until

ROWS = 2500
MAKE = f"""
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, settings jsonb NOT NULL);
    INSERT INTO users SELECT n, 'user' || n, jsonb_build_object('theme', 'dark', 'n', n)
    FROM generate_series(1, {ROWS}) AS n;
    CREATE TABLE copies (user_id bigint PRIMARY KEY, settings jsonb);
    CREATE TABLE seen (batch int GENERATED ALWAYS AS IDENTITY, first bigint, last bigint, n int);
"""
COPY = "INSERT INTO copies SELECT id, settings FROM batch"
NOTE = "INSERT INTO seen (first, last, n) SELECT min(id), max(id), count(*) FROM batch"
EMPTY = "UPDATE users SET settings = '{}' FROM batch WHERE users.id = batch.id"
BATCHES = "SELECT first, last, n FROM seen ORDER BY batch"


@dataclass(slots=True)
class Following(Hearing):
    """Hears batches too."""

    batches: list[BatchProgress] = field(default_factory=list)

    def batch_finished(
        self, migration: Migration, direction: Direction, progress: BatchProgress
    ) -> None:
        self.batches.append(progress)


def data(
    up: str, options: str = "batch=1000", *sections: str, version: str = "010", head: str = ""
) -> Migration:
    """A data migration of `users` by `id`; `head` is a whole marker in the place of the usual."""
    marker = head or f"-- +migrate Data table=users key=id {options}"
    text = "\n".join([marker, f"{up};", *sections]) + "\n"
    return load_files("sql-migrate", [SourceFile(f"{version}_data.sql", text.encode())])


@pytest.fixture
async def users(world: World) -> World:
    """A database with users, and somebody who hears of batches."""
    await world.execute(MAKE)
    world.hearing = Following()
    return world


def heard(world: World) -> list[BatchProgress]:
    """What was said of batches."""
    assert isinstance(world.hearing, Following)
    return world.hearing.batches


async def progress_rows(world: World) -> int:
    """How many runs are under way in the database."""
    count: int = await world.value("SELECT count(*) FROM migration_ledger.progress")
    return count


async def test_the_batch_that_failed_is_named_also_in_a_later_attempt_and_without_tenants_keys(
    users: World,
) -> None:
    await users.execute("ALTER TABLE copies ADD CHECK (user_id <> 2500)")
    await users.execute("ALTER TABLE users ADD UNIQUE (email)")
    migration = data(COPY)
    for _ in range(2):
        failed = (await users.up(migration)).failure
        assert failed is not None
        assert failed.batch == '3 (rows 2,001 to 2,500, WHERE "id" > 2000 AND "id" <= 2500)'
    by_email = data(COPY, head="-- +migrate Data table=users key=email batch=100", version="011")
    await users.execute("DELETE FROM copies WHERE user_id <= 2000")
    await users.execute("ALTER TABLE copies DROP CONSTRAINT copies_user_id_check")
    assert (await users.up(migration)).verdict is Verdict.DONE
    await users.execute("TRUNCATE copies; ALTER TABLE copies ADD CHECK (user_id <> 10)")
    other = (await users.up(migration, by_email)).failure
    assert other is not None
    assert other.batch is not None
    assert other.batch.startswith("1 (rows 1 to 100")
    assert "user" not in other.batch


async def test_rows_are_moved_in_batches_of_the_size_that_was_asked_for(users: World) -> None:
    outcome = await users.up(data(f"{COPY};\n{NOTE};\n{EMPTY}"))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await users.fetch(BATCHES) == [(1, 1000, 1000), (1001, 2000, 1000), (2001, 2500, 500)]
    assert (
        await users.value("SELECT count(*) FROM copies WHERE settings ->> 'theme' = 'dark'") == ROWS
    )
    assert await users.value("SELECT count(*) FROM users WHERE settings <> '{}'") == 0
    assert await users.journal() == [("010", "up", -1, "batching"), ("010", "up", 0, "applied")]
    assert outcome.steps[0].note == "2500 rows in 3 batches"
    assert await progress_rows(users) == 0


async def test_each_batch_is_heard_with_rows_estimate_and_time_left(users: World) -> None:
    await users.up(data(COPY, "batch=600"))
    assert [(one.rows, one.total, one.batches) for one in heard(users)] == [
        (600, ROWS, 1),
        (1200, ROWS, 2),
        (1800, ROWS, 3),
        (2400, ROWS, 4),
        (2500, ROWS, 5),
    ]
    assert heard(users)[-1].left_s == 0
    assert heard(users)[-1].done == 1.0
    lefts = [one.left_s for one in heard(users)[:-1]]
    assert all(left is not None and left > 0 for left in lefts)


async def test_an_empty_table_is_done_at_once(users: World) -> None:
    await users.execute("TRUNCATE users")
    outcome = await users.up(data(EMPTY, "backup=settings"))
    assert (outcome.verdict, outcome.steps[0].note) == (Verdict.DONE, "0 rows in 0 batches")


async def test_a_failing_batch_keeps_the_ones_before_it_and_names_its_statement(
    users: World,
) -> None:
    await users.execute("ALTER TABLE copies ADD CHECK (user_id <> 1500)")
    migration = data(f"{NOTE};\n{COPY}")
    outcome = await users.up(migration)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.failure is not None
    assert (outcome.failure.sqlstate, outcome.failure.line) == ("23514", 3)
    assert outcome.failure.statement == COPY
    assert outcome.failure.batch == '2 (rows 1,001 to 2,000, WHERE "id" > 1000 AND "id" <= 2000)'
    assert "in batch 2 (rows 1,001 to 2,000" in failure_text(outcome.failure)
    assert await users.value("SELECT max(user_id) FROM copies") == 1000
    assert await users.fetch(BATCHES) == [(1, 1000, 1000)]
    await users.execute("ALTER TABLE copies DROP CONSTRAINT copies_user_id_check")
    again = await users.up(migration)
    assert again.verdict is Verdict.DONE, again.failure
    assert again.failure is None
    assert await users.fetch(BATCHES) == [(1, 1000, 1000), (1001, 2000, 1000), (2001, 2500, 500)]
    assert again.steps[0].note == "2500 rows in 3 batches"


async def test_a_cancelled_run_leaves_a_place_to_go_on_from(users: World) -> None:
    migration = data(
        f"{NOTE};\nINSERT INTO copies SELECT id FROM batch, pg_sleep(0.2)", "batch=500"
    )
    task = asyncio.create_task(users.up(migration))

    async def two_done() -> bool:
        return len(heard(users)) >= 2

    await until(two_done)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    committed = await users.value("SELECT count(*) FROM seen")
    assert await users.value("SELECT rows FROM migration_ledger.progress") == committed * 500
    assert (await users.journal())[-1] == ("010", "up", 0, "failed")
    outcome = await users.up(migration)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert [row[2] for row in await users.fetch(BATCHES)] == [500] * 5
    assert await users.value("SELECT count(*) FROM copies") == ROWS


async def test_another_text_of_a_half_done_migration_is_refused(users: World) -> None:
    await users.execute("ALTER TABLE copies ADD CHECK (user_id <> 1500)")
    await users.up(data(COPY))
    outcome = await users.up(data(f"{COPY} WHERE id <> 1500"))
    assert outcome.failure is not None
    assert outcome.failure.kind == "checksum"


async def test_a_half_done_migration_gets_another_text_by_a_down_beside_the_old_one(
    users: World,
) -> None:
    await users.execute("ALTER TABLE copies ADD CHECK (user_id <> 1500)")
    await users.up(data(COPY))
    down = "-- +migrate Down\nDELETE FROM copies;"
    undone = await users.rollback(data(COPY, "batch=1000", down))
    assert undone.verdict is Verdict.DONE, undone.failure
    outcome = await users.up(data(f"{COPY} WHERE id <> 1500"))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await users.value("SELECT count(*) FROM copies") == ROWS - 1


@pytest.mark.parametrize("options", ["batch=1000", "batch=1000 backup=email"])
async def test_a_text_of_which_no_batch_is_committed_may_be_corrected(
    users: World, options: str
) -> None:
    wrong = await users.up(data("UPDATE users SET nope = 1 FROM batch", options))
    assert wrong.failure is not None
    assert wrong.failure.sqlstate == "42703"
    outcome = await users.up(data(EMPTY, "batch=1000 backup=settings"))
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await users.value("SELECT count(*) FROM users WHERE settings = '{}'") == ROWS
    undone = await users.rollback(data(EMPTY, "batch=1000 backup=settings"))
    assert undone.verdict is Verdict.DONE, undone.failure
    assert await users.value("SELECT count(*) FROM users WHERE settings = '{}'") == 0


async def test_the_size_of_batches_may_change_between_two_attempts(users: World) -> None:
    await users.execute("ALTER TABLE copies ADD CHECK (user_id <> 1500)")
    await users.up(data(COPY))
    await users.execute("ALTER TABLE copies DROP CONSTRAINT copies_user_id_check")
    outcome = await users.up(data(COPY, "batch=100"))
    assert outcome.steps[0].note == "2500 rows in 16 batches"


async def test_a_locked_row_is_waited_for_and_the_batch_tried_again(users: World) -> None:
    connection = await asyncpg.connect(users.url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE users SET email = 'held' WHERE id = 1200")

    async def let_go() -> None:
        await until(waited)
        await transaction.commit()

    async def waited() -> bool:
        return any("55P03" in wait for wait in users.hearing.waits)

    release = asyncio.create_task(let_go())
    try:
        outcome = await users.up(data(f"{NOTE};\n{EMPTY}"))
    finally:
        await release
        await connection.close()
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert [row[2] for row in await users.fetch(BATCHES)] == [1000, 1000, 500]
    assert await users.value("SELECT email FROM users WHERE id = 1200") == "held"


async def test_what_the_application_writes_between_two_batches_is_not_lost(users: World) -> None:
    """Rows changed ahead are moved as they are then; rows changed behind keep the change."""
    seen = 0

    async def write() -> None:
        await until(one_done)
        await users.execute("UPDATE users SET settings = '{\"late\": 1}' WHERE id IN (1, 2400)")

    async def one_done() -> bool:
        return len(heard(users)) >= 1

    up = f"{COPY};\n{EMPTY};\nSELECT pg_sleep(0.3) FROM batch LIMIT 1"
    writer = asyncio.create_task(write())
    outcome = await users.up(data(up, "batch=500"))
    await writer
    assert outcome.verdict is Verdict.DONE, outcome.failure
    ahead = await users.value("SELECT settings ? 'late' FROM copies WHERE user_id = 2400")
    behind = await users.value("SELECT settings ? 'late' FROM users WHERE id = 1")
    assert (ahead, behind, seen) == (True, True, 0)


async def test_a_composite_key_is_paged_by_row(users: World) -> None:
    await users.execute("""
        CREATE TABLE notes (tenant text, no uuid DEFAULT gen_random_uuid(), body text,
                            PRIMARY KEY (tenant, no));
        INSERT INTO notes (tenant, body)
        SELECT 'tenant ''' || n % 7, 'x' FROM generate_series(1, 1000) AS n
    """)
    head = "-- +migrate Data table=notes key=tenant,no batch=130"
    same = "(notes.tenant, notes.no) = (batch.tenant, batch.no)"
    up = f"UPDATE notes SET body = notes.body || 'y' FROM batch WHERE {same}"
    outcome = await users.up(data(up, head=head))
    assert outcome.steps[0].note == "1000 rows in 8 batches", outcome.failure
    assert await users.fetch("SELECT body, count(*) FROM notes GROUP BY 1") == [("xy", 1000)]


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        ("ALTER TABLE users DROP CONSTRAINT users_pkey", "id", "CREATE UNIQUE INDEX CONCURRENTLY"),
        ("SELECT 1", "email", "write key=id"),
        ("CREATE UNIQUE INDEX ON users (email, id)", "id,email", "write key=email,id"),
        ("ALTER TABLE users ADD n int UNIQUE", "n", "may be NULL"),
        (
            "ALTER TABLE users ADD n bigint[] NOT NULL UNIQUE "
            "GENERATED ALWAYS AS (ARRAY[id]) STORED",
            "n",
            "the type bigint[]",
        ),
        ("CREATE UNIQUE INDEX ON users (settings)", "settings", "the type jsonb"),
        ("SELECT 1", "nothing", "no column nothing"),
        ("DROP TABLE users", "id", "no table users"),
        ("CREATE UNIQUE INDEX ON users (email) WHERE id > 0", "email", "write key=id"),
    ],
)
async def test_a_table_that_cannot_be_paged_is_refused_before_anything_happens(
    users: World, change: str, key: str, says: str
) -> None:
    await users.execute(change)
    head = f"-- +migrate Data table=users key={key}"
    outcome = await users.up(data(COPY, head=head))
    assert outcome.failure is not None
    assert (outcome.failure.kind, says in outcome.failure.message) == ("data", True), (
        outcome.failure
    )
    assert (outcome.failure.file or "").endswith(".sql")
    assert await users.value("SELECT count(*) FROM copies") == 0
    assert await users.journal() == [("010", "up", 0, "failed")]


async def test_a_gate_that_is_shut_is_waited_for_between_batches(users: World) -> None:
    await users.execute("CREATE TABLE gate (open boolean); INSERT INTO gate VALUES (false)")
    task = asyncio.create_task(
        users.up(data(NOTE, "batch=1000", "-- +migrate Gate", "SELECT open FROM gate;"))
    )

    async def waiting() -> bool:
        return any("the gate on line 4" in wait for wait in users.hearing.waits)

    await until(waiting)
    assert await users.value("SELECT count(*) FROM seen") == 0
    assert await users.value(f"{OUR_BACKENDS} AND state LIKE 'idle in transaction%'") == 0
    await users.execute("UPDATE gate SET open = true")
    assert (await task).verdict is Verdict.DONE


async def test_active_sessions_above_the_limit_make_it_wait(users: World) -> None:
    await users.execute_as_superuser(f'GRANT pg_monitor TO "{users.settings.user}"')
    connection = await asyncpg.connect(users.url)
    sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(3)"))
    outcome = await users.up(data(NOTE, "pause_active=0"))
    await sleeping
    await connection.close()
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert any("active sessions" in wait for wait in users.hearing.waits)


async def test_a_limit_of_active_sessions_that_cannot_be_seen_is_no_free_pass(
    users: World,
) -> None:
    outcome = await users.up(data(NOTE, "pause_active=1000"))
    assert outcome.failure is not None
    assert "grant pg_monitor to the migrating user" in outcome.failure.message
    assert await users.value("SELECT count(*) FROM seen") == 0


async def test_without_standbys_no_lag_makes_it_wait(users: World) -> None:
    outcome = await users.up(data(NOTE, "pause_lag=1ms"))
    assert (outcome.verdict, users.hearing.waits) == (Verdict.DONE, [])
    by_bytes = await users.up(data(NOTE, "pause_lag=1kB", version="011"))
    assert (by_bytes.verdict, users.hearing.waits) == (Verdict.DONE, [])


async def test_rows_that_validate_finds_fail_it_and_a_later_attempt_only_asks_again(
    users: World,
) -> None:
    check = ("-- +migrate Validate", "SELECT id FROM users WHERE settings <> '{}';")
    migration = data(f"{NOTE};\n{EMPTY} AND users.id <> 7", "batch=1000", *check)
    outcome = await users.up(migration)
    assert outcome.failure is not None
    assert outcome.failure.message.startswith("Validate, check 1 on line 5: 1 rows came back")
    await users.execute("UPDATE users SET settings = '{}' WHERE id = 7")
    assert (await users.up(migration)).verdict is Verdict.DONE
    assert await users.value("SELECT count(*) FROM seen") == 3


async def test_down_restores_exactly_the_saved_columns(users: World) -> None:
    before = await users.fetch("SELECT id, settings FROM users ORDER BY id")
    migration = data(EMPTY, "batch=700 backup=settings")
    assert (await users.up(migration)).verdict is Verdict.DONE
    saved = await users.fetch("SELECT * FROM migration_ledger.backup_010 LIMIT 1")
    assert [len(row) for row in saved] == [3]
    await users.execute("UPDATE users SET email = 'new' WHERE id = 3")
    undone = await users.rollback(migration)
    assert undone.verdict is Verdict.DONE, undone.failure
    assert undone.steps[0].result is StepResult.ROLLED_BACK
    assert undone.steps[0].note == "2500 rows in 4 batches"
    assert await users.fetch("SELECT id, settings FROM users ORDER BY id") == before
    assert await users.value("SELECT email FROM users WHERE id = 3") == "new"
    assert not await users.has("migration_ledger.backup_010")
    assert (await users.up(migration, rollout="again")).verdict is Verdict.DONE


async def test_a_half_done_migration_is_restored_as_far_as_it_came(users: World) -> None:
    before = await users.fetch("SELECT id, settings FROM users ORDER BY id")
    await users.execute("ALTER TABLE users ADD CHECK (id <> 1500 OR settings <> '{}')")
    migration = data(EMPTY, "backup=settings")
    assert (await users.up(migration)).verdict is Verdict.FAILED
    assert await users.value("SELECT count(*) FROM users WHERE settings = '{}'") == 1000
    undone = await users.rollback(migration)
    assert undone.steps[0].note == "1000 rows in 1 batches", undone.failure
    assert await users.fetch("SELECT id, settings FROM users ORDER BY id") == before
    assert await progress_rows(users) == 0


@pytest.mark.parametrize(
    ("rule", "verdict", "value"),
    [
        ("refuse", Verdict.FAILED, '{"mine": 1}'),
        ("keep", Verdict.DONE, '{"mine": 1}'),
        ("overwrite", Verdict.DONE, '{"n": 5, "theme": "dark"}'),
    ],
)
async def test_a_row_written_since_is_treated_as_the_file_says(
    users: World, rule: str, verdict: Verdict, value: str
) -> None:
    down = f"-- +migrate Down restore conflict={rule}"
    migration = data(EMPTY, "backup=settings", down)
    await users.up(migration)
    await users.execute("UPDATE users SET settings = '{\"mine\": 1}' WHERE id = 5")
    undone = await users.rollback(migration)
    assert undone.verdict is verdict, undone.failure
    assert await users.value("SELECT settings::text FROM users WHERE id = 5") == value
    others = "SELECT count(*) FROM users WHERE settings = '{}'"
    assert await users.value(others) == (ROWS - 1 if verdict is Verdict.FAILED else 0)
    if undone.failure is not None:
        assert "conflict=keep" in undone.failure.message


async def test_statements_below_a_restoring_down_see_what_was_saved(users: World) -> None:
    down = ("-- +migrate Down restore", "DELETE FROM copies USING batch WHERE user_id = batch.id;")
    migration = data(f"{COPY};\n{EMPTY}", "backup=settings", *down)
    await users.up(migration)
    await users.execute("INSERT INTO copies VALUES (9999, '{}')")
    undone = await users.rollback(migration)
    assert undone.verdict is Verdict.DONE, undone.failure
    assert await users.fetch("SELECT user_id FROM copies") == [(9999,)]
    assert await users.value("SELECT count(*) FROM users WHERE settings = '{}'") == 0


async def test_a_down_written_by_hand_may_go_in_batches_too(users: World) -> None:
    down = (
        "-- +migrate Down table=copies key=user_id batch=900",
        "DELETE FROM copies USING batch WHERE copies.user_id = batch.user_id;",
    )
    migration = data(COPY, "batch=1000", *down)
    await users.up(migration)
    undone = await users.rollback(migration)
    assert undone.steps[0].note == "2500 rows in 3 batches", undone.failure
    assert await users.value("SELECT count(*) FROM copies") == 0


async def test_the_backup_is_closed_to_everybody_whatever_the_default_privileges(
    users: World,
) -> None:
    await users.execute_as_superuser("CREATE ROLE data_reader")
    await users.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO data_reader, PUBLIC")
    try:
        await users.up(data(EMPTY, "backup=settings"))
        may = "SELECT has_table_privilege('data_reader', 'migration_ledger.backup_010', 'SELECT')"
        assert await users.value(may) is False
    finally:
        await users.execute_as_superuser("DROP OWNED BY data_reader; DROP ROLE data_reader")


async def test_the_same_command_again_goes_on_and_then_repeats_its_report(users: World) -> None:
    migration = data(NOTE)
    work = users.work(Mode.UP, migration, command=uuid4())
    first = await users.do(work)
    again = await users.do(work)
    assert (first.verdict, again.verdict) == (Verdict.DONE, Verdict.DONE)
    assert again.steps[0].recovered
    assert await users.value("SELECT count(*) FROM seen") == 3


async def test_a_role_of_the_section_owns_what_it_writes(users: World) -> None:
    await users.execute_as_superuser(f"""
        CREATE ROLE data_writer; GRANT data_writer TO "{users.settings.user}";
        GRANT ALL ON users, seen TO data_writer;
        ALTER TABLE seen ADD made_by name DEFAULT current_user
    """)
    try:
        outcome = await users.up(data(f"{NOTE};\n{EMPTY}", "backup=settings role=data_writer"))
        assert outcome.verdict is Verdict.DONE, outcome.failure
        assert await users.value("SELECT DISTINCT made_by::text FROM seen") == "data_writer"
    finally:
        await users.execute_as_superuser("DROP OWNED BY data_writer; DROP ROLE data_writer")


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ("no int GENERATED ALWAYS AS IDENTITY", "identity"),
        ("no text GENERATED ALWAYS AS (id || 'x') STORED", "generated"),
        ("no text", "UPDATE"),
    ],
)
async def test_a_backup_that_could_not_be_restored_is_refused_before_anything_is_touched(
    world: World, column: str, why: str
) -> None:
    await world.execute(f"CREATE TABLE inv (id int PRIMARY KEY, {column}, v text)")
    await world.execute("INSERT INTO inv (id, v) SELECT i, 'a' FROM generate_series(1, 3) AS i")
    if why == "UPDATE":
        await world.execute_as_superuser(
            "ALTER TABLE inv OWNER TO postgres; "
            f'GRANT SELECT, UPDATE (v) ON inv TO "{world.settings.user}"'
        )
    text = "-- +migrate Data table=inv key=id batch=10 backup=v,no\n"
    text += "UPDATE inv SET v = 'b' FROM batch WHERE inv.id = batch.id;\n"
    one = load_files("sql-migrate", [SourceFile("1_d.sql", text.encode())])
    outcome = await world.up(one)
    assert outcome.failure is not None
    assert "column no of inv cannot be restored" in outcome.failure.message
    assert why in outcome.failure.message
    assert await world.value("SELECT count(*) FROM inv WHERE v = 'b'") == 0
    assert [state for *_, state in await world.journal()] == ["failed"]
