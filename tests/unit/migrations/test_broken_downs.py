"""A down that cannot run: the folder loads as it does for its own tool, and says so."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from agents.texts import Library, Texts
from ledger.contracts.manifest import encode_manifest
from ledger.contracts.topics import CHUNK_BYTES
from ledger.domain.refusals import IrreversibleMigrations
from ledger.domain.rollback import refuse_irreversible
from ledger.service.migration_refs import migration_ref
from migrations.errors import EncodingError, MarkerError, SqlSyntaxError, VariableError
from migrations.formats import Reading
from migrations.formats.bundle import load_files, load_folder
from migrations.formats.checksum import checksum
from migrations.model.migration import Migration, SourceFile
from tests.support.format_samples import TERN
from tests.support.orders import apply_command
from tests.unit.agents.test_content import messages

UP = "CREATE TABLE t (id int);\n"
BROKEN = "SELECT 1;\nDROP TABEL t;\n"
MODULE = "async def up(conn):\n    await conn.execute('CREATE TABLE t (id int)')\n"
DATA_MODULE = (
    "# +migrate Data table=t key=id columns=a backup=a\nasync def transform(rows, conn): ...\n"
)
FOLDERS = {
    "goose": {"1_a.sql": f"-- +goose Up\n{UP}-- +goose Down\n{BROKEN}"},
    "dbmate": {"1_a.sql": f"-- migrate:up\n{UP}-- migrate:down\n{BROKEN}"},
    "golang-migrate": {"1_a.up.sql": UP, "1_a.down.sql": BROKEN},
    "plain": {"2020-01-01-000000_a/up.sql": UP, "2020-01-01-000000_a/down.sql": BROKEN},
    "flyway": {"V1__a.sql": UP, "U1__a.sql": BROKEN},
    "sqitch": {
        "sqitch.plan": "%syntax-version=1.0.0\n%project=p\n\na 2020-01-01T00:00:00Z A <a@b.c>\n",
        "deploy/a.sql": UP,
        "revert/a.sql": BROKEN,
    },
    "sql-migrate": {"1_a.sql": f"-- +migrate Up\n{UP}-- +migrate Down\n{BROKEN}"},
    "node-pg-migrate": {"1_a.sql": f"-- Up Migration\n{UP}-- Down Migration\n{BROKEN}"},
    "tern": {"1_a.sql": f"\n{UP}{TERN}\n{BROKEN}"},
    "play": {"1.sql": f"# --- !Ups\n{UP}# --- !Downs\n{BROKEN}"},
}
PLACES = {
    "sql-migrate": "1_a.sql:5:6",
    "node-pg-migrate": "1_a.sql:5:6",
    "tern": "1_a.sql:5:6",
    "play": "1.sql:5:6",
    "goose": "1_a.sql:5:6",
    "dbmate": "1_a.sql:5:6",
    "golang-migrate": "1_a.down.sql:2:6",
    "plain": "2020-01-01-000000_a/down.sql:2:6",
    "flyway": "U1__a.sql:2:6",
    "sqitch": "revert/a.sql:2:6",
}


def loaded(path: Path, files: dict[str, str], *, programs: bool = False) -> Migration:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    (migration,) = load_folder(path, reading=Reading(programs=programs)).migrations
    return migration


@pytest.mark.parametrize("format", FOLDERS)
def test_a_folder_with_a_broken_down_loads_and_names_the_statement(
    tmp_path: Path, format: str
) -> None:
    migration = loaded(tmp_path, FOLDERS[format])
    assert migration.format == format
    assert [one.summary for one in migration.up.statements] == ["CREATE TABLE t"]
    assert migration.down is not None
    assert migration.down.broken.startswith(f"{PLACES[format]}: PostgreSQL's grammar says")
    assert not migration.down.statements
    (note,) = migration.notes
    assert note.startswith(f"{PLACES[format]}: the down cannot run: PostgreSQL's grammar says")


UNDECLARED = "variable name is not declared. Declare it with --var name=VALUE"
UNENDED = "PostgreSQL's grammar says: unterminated quoted string"
FAULTS = [
    *((format, "DROP TABLE\n${name};\n", UNDECLARED) for format in FOLDERS if format != "play"),
    ("play", "DROP TABLE\n$evolutions{{{name}}};\n", UNDECLARED),
    *((format, "SELECT 1;\nSELECT 'a;\n", UNENDED) for format in FOLDERS),
]
TOGETHER = ("goose", "dbmate", "sql-migrate", "node-pg-migrate", "tern", "play")
"""Formats with both ways in one file."""
SEPARATE = ("golang-migrate", "plain", "flyway", "sqitch")
"""Formats with a file of its own for each down."""
BYTES = {
    "Latin-1": (b"SELECT 1;\n-- caf\xe9\n", "byte 16 (0xE9) is not UTF-8", 2),
    "NUL": (b"SELECT 1;\nSELECT '\0';\n", "NUL at byte 18", 2),
    "UTF-16": ("SELECT 1;".encode("utf-16"), "the file is UTF-16", 1),
}


@pytest.mark.parametrize(("format", "down", "problem"), FAULTS)
def test_a_down_with_another_fault_stops_nothing_but_the_way_back(
    tmp_path: Path, format: str, down: str, problem: str
) -> None:
    files = {name: text.replace(BROKEN, down) for name, text in FOLDERS[format].items()}
    if format == "goose":
        files = {name: f"-- +goose ENVSUB ON\n{text}" for name, text in files.items()}
    migration = loaded(tmp_path, files)
    assert [one.summary for one in migration.up.statements] == ["CREATE TABLE t"]
    assert migration.down is not None
    file, line = PLACES[format].split(":")[:2]
    place = f"{file}:{int(line) + (format == 'goose')}:"
    assert migration.down.broken.startswith(place)
    assert problem in migration.down.broken
    (note,) = [one for one in migration.notes if "the down cannot run" in one]
    assert note.startswith(place)


@pytest.mark.parametrize("fault", BYTES)
@pytest.mark.parametrize("format", SEPARATE)
def test_a_down_that_is_no_text_stops_nothing_but_the_way_back(
    tmp_path: Path, format: str, fault: str
) -> None:
    content, problem, line = BYTES[fault]
    file = PLACES[format].split(":")[0]
    loaded(tmp_path, FOLDERS[format])
    (tmp_path / file).write_bytes(content)
    migration = loaded(tmp_path, {})
    assert migration.down is not None
    assert migration.down.broken.startswith(f"{file}:{line}: {problem}")
    assert migration.down.checksum == checksum(content)
    assert load_files(format, migration.files, version=migration.version) == migration


@pytest.mark.parametrize("format", SEPARATE)
def test_an_up_that_is_no_text_is_an_error_as_ever(tmp_path: Path, format: str) -> None:
    up = loaded(tmp_path, FOLDERS[format]).files[0].name
    (tmp_path / up).write_bytes(b"SELECT '\xe9';\n")
    with pytest.raises(EncodingError, match="is not UTF-8"):
        load_folder(tmp_path)


GOOSE_ENVSUB = f"-- +goose ENVSUB ON\n-- +goose Up\n{UP}-- +goose Down\n"


def test_a_variable_that_only_gooses_down_lacks_breaks_the_down(tmp_path: Path) -> None:
    migration = loaded(tmp_path, {"1_a.sql": f"{GOOSE_ENVSUB}SELECT 1;\nDROP TABLE $T;\n"})
    assert migration.down is not None
    assert migration.down.broken.startswith("1_a.sql:6: variable T is not declared")
    assert "--var T=VALUE" in migration.down.broken
    with pytest.raises(VariableError, match=r"1_a\.sql:3: variable T is not declared"):
        loaded(tmp_path, {"1_a.sql": GOOSE_ENVSUB.replace("t (", "$T (")})


def test_a_placeholder_of_flyway_itself_breaks_only_the_undo(tmp_path: Path) -> None:
    undo = "SELECT 1;\nSELECT '${flyway:timestamp}';\n"
    migration = loaded(tmp_path, {"V1__a.sql": UP, "U1__a.sql": undo})
    assert migration.down is not None
    assert migration.down.broken.startswith("U1__a.sql:2: flyway:timestamp is filled by Flyway")
    with pytest.raises(VariableError):
        loaded(tmp_path, {"V1__a.sql": undo})


def test_a_declared_variable_mends_the_down(tmp_path: Path) -> None:
    loaded(tmp_path, {"1_a.up.sql": UP, "1_a.down.sql": "DROP TABLE ${name};\n"})
    reading = Reading(variables={"name": "t"})
    (migration,) = load_folder(tmp_path, reading=reading).migrations
    assert migration.down is not None
    assert not migration.down.broken
    assert migration.variables == ("name",)


def test_the_checksum_of_a_broken_down_is_still_that_of_its_text(tmp_path: Path) -> None:
    migration = loaded(tmp_path, FOLDERS["golang-migrate"])
    assert migration.down is not None
    assert migration.down.checksum == hashlib.sha256(BROKEN.encode()).hexdigest()


@pytest.mark.parametrize(
    ("down", "problem"),
    [
        ("REINDEX INDEX CONCURRENTLY x;", "REINDEX CONCURRENTLY"),
        ("COPY t FROM stdin;\n1\n\\.\n", "COPY … FROM STDIN"),
        ("ROLLBACK;", "ROLLBACK is transaction control"),
    ],
)
def test_a_down_with_what_no_migration_may_hold_is_broken_too(
    tmp_path: Path, down: str, problem: str
) -> None:
    migration = loaded(tmp_path, {"1_a.up.sql": UP, "1_a.down.sql": down})
    assert migration.down is not None
    assert problem in migration.down.broken


def test_a_down_that_only_psql_understands_is_whole_with_a_persons_leave(tmp_path: Path) -> None:
    down = "\\copy t to program 'cat'\n"
    migration = loaded(tmp_path, {"1_a.up.sql": UP, "1_a.down.sql": down})
    assert migration.down is not None
    assert "--allow-psql" in migration.down.broken
    migration = loaded(tmp_path, {}, programs=True)
    assert migration.down is not None
    assert migration.down.program is not None
    assert not migration.down.broken


def test_a_broken_up_is_an_error_as_ever(tmp_path: Path) -> None:
    with pytest.raises(SqlSyntaxError, match=r"1_a\.up\.sql:2:6"):
        loaded(tmp_path, {"1_a.up.sql": BROKEN, "1_a.down.sql": "DROP TABLE t;"})


DATA = (
    "-- +migrate Data table=t key=id batch=5 backup=a\n"
    "UPDATE t SET a = 1 FROM batch WHERE t.id = batch.id;\n"
)


@pytest.mark.parametrize("marker", ["Down", "Down restore"])
def test_a_broken_way_back_of_a_data_migration_stops_nothing_else(
    tmp_path: Path, marker: str
) -> None:
    migration = loaded(tmp_path, {"1_a.sql": f"{DATA}-- +migrate {marker}\n{BROKEN}"})
    assert migration.up.batches is not None
    assert migration.down is not None
    assert "PostgreSQL's grammar says" in migration.down.broken
    assert migration.down.batches is None
    assert [note for note in migration.notes if "the down cannot run" in note]


@pytest.mark.parametrize("fault", sorted(set(BYTES) - {"UTF-16"}))
@pytest.mark.parametrize("format", TOGETHER)
def test_bytes_in_one_section_break_that_section(tmp_path: Path, format: str, fault: str) -> None:
    (file,) = FOLDERS[format]
    content, problem, line = BYTES[fault]
    problem = problem.split(" at byte")[0].partition("byte 16 ")[2] or problem.split(" at byte")[0]
    text = FOLDERS[format][file]
    (tmp_path / file).write_bytes(text.encode().replace(BROKEN.encode(), content))
    migration = loaded(tmp_path, {})
    assert migration.down is not None
    first = int(PLACES[format].split(":")[1]) - 1
    assert migration.down.broken.startswith(f"{file}:{first + line - 1}: ")
    assert problem in migration.down.broken
    assert load_files(format, migration.files, version=migration.version) == migration
    (tmp_path / file).write_bytes(text.encode().replace(UP.encode(), content))
    with pytest.raises(EncodingError, match=re.escape(problem)):
        loaded(tmp_path, {})


def test_one_broken_down_of_several_breaks_the_whole_down(tmp_path: Path) -> None:
    pair = "-- migrate:up\nSELECT 1;\n-- migrate:down\n"
    migration = loaded(tmp_path, {"1_a.sql": f"{pair}SELECT 2;\n{pair}DROP TABEL t;\n"})
    assert migration.down is not None
    assert migration.down.broken.startswith("1_a.sql:8:6")
    assert not migration.down.statements


def test_going_back_over_a_fleet_is_refused_up_front_with_the_reason(tmp_path: Path) -> None:
    ref = migration_ref(loaded(tmp_path, FOLDERS["goose"]))
    assert not ref.reversible
    with pytest.raises(IrreversibleMigrations, match=r"that can run: 1_a\.sql:5:6: PostgreSQL's"):
        refuse_irreversible("`ledger down`", [ref])


def test_an_agent_makes_the_same_migration_from_its_texts(tmp_path: Path) -> None:
    migration = loaded(tmp_path, FOLDERS["golang-migrate"])
    texts = Texts(10 * CHUNK_BYTES)
    refs = (migration_ref(migration),)
    for text in (encode_manifest(refs), *(file.content for file in migration.files)):
        for message in messages(text):
            texts.take(message)
    assert Library(texts).load(apply_command(refs)) == (migration,)


G, M, D = "-- +goose ", "-- +migrate ", "-- migrate:"
MARKERS = {
    "goose": [
        f"{G}StatementBegin\nDROP TABLE t;\n",
        f"DROP TABLE t;\n{G}StatementEnd\n",
        f"{G}StatementBegin\n{G}StatementBegin\nDROP TABLE t;\n{G}StatementEnd\n",
        f"{G}Statement Begin\nDROP TABLE t;\n",
        f"{G}NO TRANSACTIONS\nDROP TABLE t;\n",
        f" {G}StatementBegin\nDROP TABLE t;\n{G}StatementEnd\n",
        f"DROP TABLE t; {G}StatementEnd\n",
    ],
    "dbmate": [
        f"DROP TABLE t;\n{D}dwn\n",
        f"DROP TABLE t; {D}down\n",
        f"{D}drop\nDROP TABLE t;\n",
    ],
    "sql-migrate": [
        f"{M}StatementBegin\nDROP TABLE t;\n",
        f"DROP TABLE t;\n{M}StatementEnd\n",
        f"{M}StatementBegin again\nDROP TABLE t;\n{M}StatementEnd\n",
        f"{M}statementbegin\nDROP TABLE t;\n",
        f"{M}Foo\nDROP TABLE t;\n",
        f"DROP TABLE t; {M}StatementEnd\n",
    ],
}
MARKED = [(format, down) for format, downs in MARKERS.items() for down in downs]


@pytest.mark.parametrize(("format", "down"), MARKED)
def test_a_wrong_marker_in_a_down_stops_nothing_but_the_way_back(
    tmp_path: Path, format: str, down: str
) -> None:
    files = {name: text.replace(BROKEN, down) for name, text in FOLDERS[format].items()}
    migration = loaded(tmp_path, files)
    (file,) = files
    assert [one.summary for one in migration.up.statements] == ["CREATE TABLE t"]
    assert migration.down is not None
    assert migration.down.broken.startswith(f"{file}:")
    assert not migration.down.statements
    (note,) = migration.notes
    assert "the down cannot run: " in note
    assert migration.files[0].content.decode() == files[file]
    assert load_files(format, migration.files, version=migration.version) == migration
    whole = loaded(tmp_path, {file: FOLDERS[format][file].replace(BROKEN, "DROP TABLE t;\n")})
    assert migration.up == whole.up


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("sql-migrate", f"{M}Verfy"),
        ("sql-migrate", f"{M}Upp"),
        ("sql-migrate", f"{M}Up"),
        ("sql-migrate", f"{M}validat"),
        ("sql-migrate", f"DROP TABLE t; {M}Verify"),
        ("goose", f"{G}Upp"),
        ("goose", f"{G}Up"),
        ("dbmate", f"{D}upp"),
        ("dbmate", f"DROP TABLE t; {D}up"),
    ],
)
def test_a_line_that_may_begin_another_section_is_wrong_wherever_it_stands(
    tmp_path: Path, format: str, line: str
) -> None:
    files = {
        name: text.replace(BROKEN, f"DROP TABLE t;\n{line}\nSELECT true;\n")
        for name, text in FOLDERS[format].items()
    }
    with pytest.raises(MarkerError):
        loaded(tmp_path, files)


HEADINGS = {
    "sql-migrate": [
        f"{M}Down notransactoin",
        f"{M}Down lock_timeout=soon",
        f"{M}Down restore",
        f"{M}Down\nDROP TABLE t;\n{M}Down",
    ],
    "goose": [f"{G}Down NO TRANSACTION", f"{G}Down\n{G}Down"],
    "dbmate": [f"{D}down\nDROP TABLE t;\n{D}up\n{D}down\n{D}down"],
    "node-pg-migrate": ["-- Down Migration\nDROP TABLE t;\n-- Down Migration"],
    "tern": [f"{TERN}\nDROP TABLE t;\n{TERN}"],
    "play": ["# --- !Downs\nDROP TABLE t;\n# --- !Downs"],
}
WRONG_HEADINGS = [(format, heading) for format, all_of in HEADINGS.items() for heading in all_of]


@pytest.mark.parametrize(("format", "heading"), WRONG_HEADINGS)
def test_a_wrong_heading_of_a_down_stops_nothing_but_the_way_back(
    tmp_path: Path, format: str, heading: str
) -> None:
    (file,) = FOLDERS[format]
    up, _, _ = FOLDERS[format][file].partition(UP)
    whole = loaded(tmp_path, {file: f"{up}{UP}"}).up
    migration = loaded(tmp_path, {file: f"{up}{UP}{heading}\nDROP TABLE t;\n"})
    assert migration.up.statements == whole.statements
    assert migration.up.checksum == whole.checksum
    assert migration.down is not None
    line = f"{up}{UP}{heading}".count("\n") + 1
    assert migration.down.broken.startswith(f"{file}:{line}: ")
    (note,) = [one for one in migration.notes if "the down cannot run: " in one]
    assert note.startswith(f"{file}:{line}: ")
    assert load_files(format, migration.files, version=migration.version) == migration


def test_a_file_that_is_all_a_way_back_is_an_error_as_ever(tmp_path: Path) -> None:
    for format, text in {
        "node-pg-migrate": "-- Down Migration\nDROP TABLE t;\n",
        "goose": f"{G}Down\nDROP TABLE t;\n",
        "sql-migrate": f"{M}Down\nDROP TABLE t;\n",
        "dbmate": f"{D}down\nDROP TABLE t;\n",
        "play": "# --- !Downs\nDROP TABLE t;\n",
    }.items():
        with pytest.raises(MarkerError):
            load_files(format, [SourceFile("1_a.sql", text.encode())])


DOWNS_OF_MODULES = [
    (MODULE, "def down(conn): ...\n", 3, "down is not async"),
    (MODULE, "async def down(): ...\n", 3, "other parameters"),
    (MODULE, "async def down(conn, *, force): ...\n", 3, "other parameters"),
    (MODULE, "async def down(conn):\n    yield 1\n", 3, "yields"),
    (MODULE, "@cache\nasync def down(conn): ...\n", 4, "is decorated"),
    (MODULE, "down = None\n", 3, "down is no function at the top level"),
    (MODULE, "down = lambda conn: None\n", 3, "down is no function at the top level"),
    (MODULE, "from helpers import down\n", 3, "down is no function at the top level"),
    (MODULE, "class down: ...\n", 3, "down is no function at the top level"),
    (MODULE, "if True:\n    async def down(conn): ...\n", 3, "at the top level"),
    (MODULE, "async def down(conn): ...\n" * 2, 4, "a second down"),
    (MODULE, "# +migrate Down soon\nasync def down(conn): ...\n", 3, "unknown option soon"),
    (MODULE, "# +migrate Dwon\nasync def down(conn): ...\n", 3, "unknown marker"),
    (MODULE, "# +migrate Down\n# +migrate Down\n", 4, "a second marker for Down"),
    (DATA_MODULE, "# +migrate Down restore conflict=win\n", 3, "conflict=refuse"),
    (DATA_MODULE, "# +migrate Down restore\nasync def down(conn): ...\n", 3, "does not fit"),
    (DATA_MODULE, "# +migrate Down restore\ndef restored(rows, conn): ...\n", 4, "not async"),
    (DATA_MODULE, "def down(conn): ...\n", 3, "down is not async"),
]


@pytest.mark.parametrize(("up", "down", "line", "problem"), DOWNS_OF_MODULES)
def test_a_wrong_way_back_of_a_module_stops_nothing_else(
    tmp_path: Path, up: str, down: str, line: int, problem: str
) -> None:
    migration = loaded(tmp_path, {"1_a.py": up + down})
    assert migration.up.program is not None
    assert migration.down is not None
    assert migration.down.broken.startswith(f"1_a.py:{line}: ")
    assert problem in migration.down.broken
    (note,) = [one for one in migration.notes if "the down cannot run: " in one]
    assert note.startswith(f"1_a.py:{line}: ")
    assert not migration_ref(migration).reversible
    assert load_files("python", migration.files, version=migration.version) == migration
