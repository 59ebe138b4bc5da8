"""Data sections: what markers say, what may stand below them, and what is refused with a remedy."""

from __future__ import annotations

import pytest

from migrations.backfill.keyset import Keyset, Page, Paged, key_of, key_text
from migrations.errors import LoadError
from migrations.formats.bundle import load_files
from migrations.model.migration import Conflict, Migration, SourceFile

HEAD = "-- +migrate Data table=users key=id"
MOVE = "UPDATE users SET a = 1 FROM batch WHERE users.id = batch.id;"


def sql(text: str) -> Migration:
    return load_files("sql-migrate", [SourceFile("1_move.sql", text.encode())])


def python(text: str) -> Migration:
    return load_files("python", [SourceFile("1_move.py", text.encode())])


def test_a_marker_says_table_key_size_backup_and_pauses() -> None:
    marker = "-- +migrate Data table=app.users key=tenant_id,id batch=50 backup=a,b keep=2h"
    loaded = sql(f"{marker} pause_lag=64MB pause_active=3 lock_timeout=2s role=r\n{MOVE}")
    batches = loaded.up.batches
    assert batches is not None
    assert (batches.table, batches.key, batches.size) == ("app.users", ("tenant_id", "id"), 50)
    assert (batches.backup, batches.keep_s) == (("a", "b"), 7200.0)
    assert (batches.pauses.lag_bytes, batches.pauses.lag_s) == (64 * 2**20, None)
    assert batches.pauses.active == 3
    assert (loaded.up.options.lock_timeout_s, loaded.up.options.role) == (2.0, "r")
    assert not loaded.up.transactional
    assert "by tenant_id, id, 50 rows at a time, saving a, b first" in loaded.notes[0]


def test_a_backup_without_down_is_restored_and_nothing_saved_means_no_way_back() -> None:
    with_backup, without = sql(f"{HEAD} backup=a\n{MOVE}"), sql(f"{HEAD}\n{MOVE}")
    assert without.down is None
    assert with_backup.down is not None
    assert with_backup.down.batches is not None
    assert with_backup.down.batches.restore
    assert with_backup.down.batches.conflict is Conflict.REFUSE


def test_gates_and_validations_belong_to_the_section() -> None:
    text = f"{HEAD}\n{MOVE}\n-- +migrate Gate\nSELECT true;\n-- +migrate Validate\nSELECT 1;\n"
    batches = sql(text).up.batches
    assert batches is not None
    assert [one.line for one in (*batches.pauses.gates, *batches.validate)] == [4, 6]


def test_what_is_done_is_in_the_checksum_and_how_fast_is_not() -> None:
    usual = sql(f"{HEAD} backup=a\n{MOVE}").up.checksum
    same = (f"{HEAD} backup=a batch=7 pause_active=1 keep=1d\n{MOVE}",)
    other = (f"{HEAD}\n{MOVE}", f"{HEAD} backup=b\n{MOVE}", f"{HEAD}_2 backup=a\n{MOVE}")
    assert {sql(text).up.checksum for text in same} == {usual}
    assert usual not in {sql(text).up.checksum for text in other}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("-- +migrate Data tabel=users key=id\n" + MOVE, 1, "Did you mean table?"),
        ("-- +migrate Data table=users\n" + MOVE, 1, "Data without key="),
        ("-- +migrate Data key=id\n" + MOVE, 1, "Data without table="),
        (f"{HEAD} batch=0\n{MOVE}", 1, "Write batch=1000 (1 to 100000)"),
        (f"{HEAD} batch=many\n{MOVE}", 1, "Write batch=1000"),
        (f"{HEAD} batch={'9' * 5000}\n{MOVE}", 1, "Write batch=1000"),
        (f"{HEAD} pause_active={'9' * 5000}\n{MOVE}", 1, "Write pause_active=20"),
        (f"{HEAD} pause_lag={'9' * 5000}MB\n{MOVE}", 1, "Write pause_lag=5s"),
        (f"{HEAD} backup=a keep=36501d\n{MOVE}", 1, "at most 36500d"),
        (f"{HEAD} key=a\n{MOVE}", 1, "option key twice"),
        (f"{HEAD} keep=30d\n{MOVE}", 1, "keep without backup"),
        (f"{HEAD} backup=a keep=soon\n{MOVE}", 1, "Write keep=30d"),
        (f"{HEAD} pause_lag=5\n{MOVE}", 1, "pause_lag=5s or pause_lag=64MB"),
        (f"{HEAD} pause_active=-1\n{MOVE}", 1, "Write pause_active=20"),
        (f"{HEAD} columns=a\n{MOVE}", 1, "unknown option columns"),
        (f"{HEAD} notransaction\n{MOVE}", 1, "unknown option notransaction"),
        (f"{HEAD} restore\n{MOVE}", 1, "unknown option restore"),
        (HEAD + "\n", 1, "the section holds no statement"),
        (f"{HEAD}\nUPDATE users SET a = 1;", 2, "does not read `batch`"),
        (f"{HEAD}\nDELETE FROM x.batch;", 2, "does not read `batch`"),
        (f"{HEAD}\nCREATE TABLE batch ();", 2, "CREATE in a Data section"),
        (f"{HEAD}\n{MOVE}\nCOMMIT;", 3, "COMMIT is transaction control"),
        (f"{HEAD}\n{MOVE}\n-- +migrate Up\nSELECT 1;", 3, "Up and Data in one file"),
        ("-- +migrate Up\nSELECT 1;\n-- +migrate Gate\nSELECT 1;", 3, "Gate without Data"),
        (f"{HEAD}\n{MOVE}\n-- +migrate Validate\n", 3, "Validate holds no statement"),
        (f"{HEAD}\n{MOVE}\n-- +migrate Gate\nDO $$BEGIN END$$;", 4, "Gate takes only SELECT"),
        (f"{HEAD}\n{MOVE}\n-- +migrate Gate\nDELETE FROM a;", 4, "Verify takes only SELECT"),
    ],
)
def test_a_section_that_cannot_run_is_refused_with_line_and_remedy(
    text: str, line: int, says: str
) -> None:
    with pytest.raises(LoadError) as raised:
        sql(text)
    assert (raised.value.file, raised.value.line) == ("1_move.sql", line)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("-- +migrate Up\nSELECT 1;\n-- +migrate Down restore\n", 3, "unknown option restore"),
        (f"{HEAD}\n{MOVE}\n-- +migrate Down restore\n", 3, "restore without a backup"),
        (f"{HEAD} backup=a\n{MOVE}\n-- +migrate Down conflict=keep\n", 3, "without restore"),
        (f"{HEAD} backup=a\n{MOVE}\n-- +migrate Down restore conflict=win\n", 3, "conflict=refuse"),
        (f"{HEAD} backup=a\n{MOVE}\n-- +migrate Down restore table=x\n", 3, "the backup knows"),
    ],
)
def test_a_way_back_that_cannot_run_stops_nothing_else(text: str, line: int, says: str) -> None:
    down = sql(text).down
    assert down is not None
    assert down.broken.startswith(f"1_move.sql:{line}: ")
    assert says in down.broken


MARKER = "# +migrate Data table=users key=id columns=a\n"
FUNCTION = "async def transform(rows, conn): ...\n"


def test_a_module_with_a_transformation_is_a_data_migration() -> None:
    loaded = python(f'{MARKER}{FUNCTION}VALIDATE = "SELECT 1"\nasync def down(conn): ...\n')
    batches, program = loaded.up.batches, loaded.up.program
    assert batches is not None
    assert program is not None
    assert (batches.columns, program.entry, len(batches.validate)) == (("a",), "transform", 1)
    assert loaded.down is not None
    assert loaded.down.batches is None


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (FUNCTION, 1, "transform without a Data marker"),
        (MARKER, 1, "without `async def transform(rows, conn)`"),
        (MARKER + "def transform(rows, conn): ...\n", 2, "transform is not async"),
        (MARKER + "async def transform(rows): ...\n", 2, "other parameters"),
        (f"{MARKER}{FUNCTION}async def up(conn): ...\n", 3, "up and transform in one module"),
        (f"{MARKER}{FUNCTION}VALIDATE = 7\n", 3, "VALIDATE is not a plain text"),
        (f"# +migrate Data table=users\n{FUNCTION}", 1, "Data without key="),
    ],
)
def test_a_module_that_cannot_run_is_refused_with_line_and_remedy(
    text: str, line: int, says: str
) -> None:
    with pytest.raises(LoadError) as raised:
        python(text)
    assert (raised.value.line, says in str(raised.value)) == (line, True), raised.value


KEYSET = Keyset('"app"."users"', ("tenant", "id"), ("pg_catalog.text", "pg_catalog.int8"))


def test_a_page_is_a_range_of_whole_keys_with_quoted_values() -> None:
    page = Page(("o'x", "1"), ("p", "2"), 10)
    assert KEYSET.within(page) == (
        "(\"tenant\", \"id\") > ('o''x'::pg_catalog.text, '1'::pg_catalog.int8) AND "
        "(\"tenant\", \"id\") <= ('p'::pg_catalog.text, '2'::pg_catalog.int8)"
    )
    assert key_of(key_text(page.upto)) == page.upto


@pytest.mark.parametrize(
    ("statement", "paged"),
    [
        ("DELETE FROM a USING batch", "WITH batch AS (Q) DELETE FROM a USING batch"),
        (
            "WITH n AS (SELECT 1) SELECT FROM n, batch",
            "WITH batch AS (Q), n AS (SELECT 1) SELECT FROM n, batch",
        ),
        (
            "with /* é */ recursive n AS (SELECT 1) SELECT FROM n, batch",
            "with /* é */ recursive batch AS (Q), n AS (SELECT 1) SELECT FROM n, batch",
        ),
        (
            "INSERT INTO a WITH n AS (SELECT 1) SELECT FROM n, batch",
            "WITH batch AS (Q) INSERT INTO a WITH n AS (SELECT 1) SELECT FROM n, batch",
        ),
    ],
)
def test_a_statement_sees_its_batch_beside_its_own_with(statement: str, paged: str) -> None:
    assert Paged.of(statement).over("Q") == paged


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE t SET k = 2 FROM batch WHERE t.id = batch.id",
        "UPDATE public.t AS x SET (v, k) = ROW (1, 2) FROM batch WHERE x.id = batch.id",
        "WITH x AS (UPDATE t SET id = t.id + 9 FROM batch WHERE t.id = batch.id RETURNING 1) "
        "SELECT * FROM x, batch",
        "INSERT INTO t SELECT * FROM batch ON CONFLICT (id, k) DO UPDATE SET k = 3",
        "MERGE INTO t USING batch ON t.id = batch.id WHEN MATCHED THEN UPDATE SET k = 1",
    ],
)
def test_a_statement_that_changes_the_key_by_which_rows_are_found_is_refused(
    statement: str,
) -> None:
    with pytest.raises(LoadError, match="by which rows are found"):
        sql(f"-- +migrate Data table=t key=id,k backup=v\n{statement};\n")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE t SET v = batch.k FROM batch WHERE t.id = batch.id",
        "UPDATE other SET k = batch.k FROM batch WHERE other.id = batch.id",
        "INSERT INTO other (id, k) SELECT id, k FROM batch ON CONFLICT DO NOTHING",
        "MERGE INTO t USING batch ON t.id = batch.id WHEN MATCHED THEN UPDATE SET v = 1",
    ],
)
def test_a_statement_that_leaves_the_key_alone_runs(statement: str) -> None:
    sql(f"-- +migrate Data table=t key=id,k backup=v\n{statement};\n")
