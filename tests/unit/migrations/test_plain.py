"""Plain SQL in order: the names say what is what, and nothing that has sections passes for it."""

from __future__ import annotations

import json

import pytest

from migrations.errors import (
    DuplicateVersionError,
    FileNameError,
    FolderError,
    FormatError,
    LoadError,
    MarkerError,
)
from migrations.formats import AS_IT_IS
from migrations.formats.plain import Plain
from migrations.model.migration import Migration, SourceFile

SQL = b"SELECT 1;\n"


def load(*names: str, text: bytes = SQL) -> list[Migration]:
    claimed = Plain().claims(sorted(names))
    return Plain().load([SourceFile(name, text) for name in claimed], AS_IT_IS)


def told(*names: str) -> list[tuple[str, str]]:
    return [(one.version, one.name) for one in load(*names)]


@pytest.mark.parametrize(
    ("name", "version", "rest"),
    [
        ("1_a.sql", "1", "a"),
        ("v12-a.sql", "v12", "a"),
        ("001 add users.sql", "001", "add users"),
        ("20230102030405_a b.sql", "20230102030405", "a b"),
        ("2023-01-26.0-x.sql", "2023-01-26.0", "x"),
        ("2023-01-26-030405_x.sql", "2023-01-26-030405", "x"),
        ("2014_10_12_000000_create_users.sql", "2014_10_12_000000", "create_users"),
        ("0001-2-factor.sql", "0001", "2-factor"),
        ("7.sql", "7", ""),
    ],
)
def test_a_name_is_split_into_version_and_description(name: str, version: str, rest: str) -> None:
    assert told(name) == [(version, rest)]


def test_a_second_part_of_the_number_orders_within_the_first() -> None:
    names = (
        "2023-01-26.1-b.sql",
        "2023-01-26.0-a.sql",
        "2023-01-26.10-d.sql",
        "2023-01-26.2-c.sql",
    )
    assert [name for _, name in told(*names)] == ["a", "b", "c", "d"]


def test_a_folder_per_version_holds_one_file_or_a_pair() -> None:
    loaded = load(
        "migration_lock.toml", "10_b/up.sql", "10_b/down.sql", "2_a/migration.sql", "2_a/notes.sql"
    )
    assert [(one.version, one.name, len(one.files)) for one in loaded] == [
        ("2", "a", 1),
        ("10", "b", 2),
    ]
    assert loaded[1].down is not None


def test_pairs_with_dates_are_pairs() -> None:
    (migration,) = load("2023-01-26-x.up.sql", "2023-01-26-x.down.sql")
    assert (migration.version, migration.name) == ("2023-01-26", "x")
    assert migration.down is not None


@pytest.mark.parametrize(
    "first",
    [
        "-- no-transaction",
        "-- NO-TRANSACTION\r",
        "-- atlas:txmode none",
        "-- why\n-- atlas:txmode none",
        "-- morph:nontransactional",
        "-- :disable-transaction",
        "-- evolve-tx-off",
        "--\n-- depends: 0001.a\n-- transactional: false",
    ],
)
def test_the_first_line_can_switch_the_transaction_off(first: str) -> None:
    (migration,) = load("1_a.sql", text=f"{first}\nSELECT 1;".encode())
    assert not migration.up.options.transaction
    (other,) = load("1_a.sql", text=f"SELECT 1;\n{first}\n".encode())
    assert other.up.options.transaction


def test_breakpoints_end_statements() -> None:
    text = b"CREATE TABLE a (id int)\n--> statement-breakpoint\nSELECT 1;--> statement-breakpoint\n"
    (migration,) = load("1_a.sql", text=text)
    assert [one.text for one in migration.up.statements] == ["CREATE TABLE a (id int)", "SELECT 1"]


def journal(*tags: str) -> SourceFile:
    entries = [{"idx": index, "tag": tag} for index, tag in enumerate(tags)]
    return SourceFile("meta/_journal.json", json.dumps({"entries": entries}).encode())


def test_a_journal_gives_the_order() -> None:
    files = [SourceFile("0000_a.sql", SQL), SourceFile("0001_b.sql", SQL)]
    loaded = Plain().load([*files, journal("0001_b", "0000_a")], AS_IT_IS)
    assert [one.name for one in loaded] == ["b", "a"]


def test_a_journal_and_its_files_must_agree() -> None:
    file = SourceFile("0000_a.sql", SQL)
    with pytest.raises(FolderError, match=r"names 0001_b, and there is no 0001_b\.sql"):
        Plain().load([file, journal("0000_a", "0001_b")], AS_IT_IS)
    with pytest.raises(FolderError, match=r"meta/_journal\.json: names no migration"):
        Plain().load([file, journal()], AS_IT_IS)
    with pytest.raises(FolderError, match="cannot be read"):
        Plain().load([file, SourceFile("meta/_journal.json", b"{}")], AS_IT_IS)


@pytest.mark.parametrize("name", ["0001_b.sql", "seed.sql"])
def test_a_file_that_a_journal_does_not_name_is_left_alone_with_a_note(name: str) -> None:
    stray = SourceFile(name, b"no SQL at all")
    (one,) = Plain().load([SourceFile("0000_a.sql", SQL), stray, journal("0000_a")], AS_IT_IS)
    assert one.name == "a"
    assert one.notes[-1] == f"{name}: is not in meta/_journal.json, and is left alone"


@pytest.mark.parametrize("text", [b"", b"-- nothing\n", b"/* a /* b */ c */"])
def test_nothing_to_run_is_a_migration_that_does_nothing(text: bytes) -> None:
    assert load("1_a.sql", text=text)[0].up.statements == ()


ATOMIC = b"""\
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
/* outer /* inner; */ still; */
SELECT 'gr\xc3\xbc\xc3\x9fe;'
"""


def test_bodies_nested_comments_and_a_last_statement_without_semicolon_stay_whole() -> None:
    (migration,) = load("1_a.sql", text=ATOMIC)
    assert [one.line for one in migration.up.statements] == [1, 3]
    assert migration.up.statements[1].text == "SELECT 'grüße;'"


def test_one_statement_may_be_very_long() -> None:
    rows = b",".join(b"(%d, 'some text')" % number for number in range(15_000))
    (migration,) = load("1_a.sql", text=b"INSERT INTO t VALUES " + rows)
    assert len(migration.up.statements[0].text) > 270_000


MARKERS = (
    "-- Up Migration",
    "-- DOWN",
    "---- create above / drop below ----",
    "--rollback",
    "--changeset ana:1",
    "-- //@UNDO",
    "-- +migrat Up",
    "-- migration: down",
    "-- rambler up",
    "-- ====  UP  ====",
    "-- +up",
    "-- migrate down",
    "-- [up]",
    "-- name: down",
    "/* up */",
    "  /* == DOWN == */",
    "-- !Ups",
    "-- # --- !Downs",
    "-- Down Migration (Rollback)",
    "-- Rollback script",
    "-- ROLLBACK SQL:",
    "-- Roll back",
    "-- Start of the down section",
    "-- reverse",
    "-- Downgrade",
    "-- Backwards:",
    "-- To roll back:",
    "-- 1 down",
    "-- to rollback this migration run:",
)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_line_like_a_section_marker_is_refused_where_it_stands(marker: str) -> None:
    with pytest.raises(MarkerError) as refused:
        load("1_a.sql", text=f"SELECT 1;\n{marker}\nDROP TABLE t;\n".encode())
    assert refused.value.line == 2
    assert "-- +migrate Up" in refused.value.remedy


@pytest.mark.parametrize(
    "comment",
    [
        "-- up to here",
        "-- roll back nothing",
        "-- downstream",
        "-- this reverts what 12 did",
        "-- names of the sections",
        "-- scale up, then down",
    ],
)
def test_other_comments_are_comments(comment: str) -> None:
    assert load("1_a.sql", text=f"SELECT 1;\n{comment}\n".encode())


def test_what_cannot_be_ordered_is_refused() -> None:
    with pytest.raises(FileNameError, match=r"init\.sql: the file name carries no version"):
        load("init.sql")
    with pytest.raises(DuplicateVersionError):
        load("1_a.sql", "01_b.sql")
    with pytest.raises(FormatError, match=r"2_b\.js"):
        load("1_a.sql", "2_b.js")


PSQL = (
    (r"\i other.sql", r"\\i is a command of psql"),
    (r"\copy t from 'x'", r"\\copy is a command"),
    ("\\set x `date`", r"\\set is a command"),
    ("SELECT :'name';", r":'name' is a variable of psql"),
    ('SELECT * FROM :"table";', r':"table" is a variable'),
    ("SELECT :x;", r":x is a variable"),
    (r"SELECT 'SELECT 1' \gexec", r"\\gexec is a command"),
    ("\\if true\n\\endif", r"\\if is a command"),
    ("COPY t FROM stdin;\n1\t2\n\\.\n", "COPY … FROM STDIN with its data inline"),
)


@pytest.mark.parametrize(("text", "problem"), PSQL)
def test_what_only_psql_understands_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(LoadError, match=problem) as refused:
        load("1_a.sql", text=text.encode())
    assert refused.value.line == 1


def test_dates_with_and_without_dashes_have_one_order() -> None:
    names = (
        "2017-08-31-230457_b/up.sql",
        "20170820180453_a/up.sql",
        "2026-05-27-120000-0000_d/up.sql",
        "2026-05-27-120000_c/up.sql",
        "20260528000000_e/up.sql",
        "00000000000000_initial/up.sql",
    )
    assert [name for _, name in told(*names)] == ["initial", "a", "b", "c", "d", "e"]


def test_a_day_of_one_digit_has_its_place_among_dates() -> None:
    names = ("2020-12-7-190800_b", "2021-01-07-000000_d", "2018-01-01-000000_a")
    files = [f"{name}.sql" for name in (*names, "20201215000000_c")]
    assert [name for _, name in told(*files)] == ["a", "b", "c", "d"]


def test_in_diesels_folders_it_has_the_place_that_diesel_gives_it() -> None:
    """Diesel leaves the dashes out and compares what remains as text."""
    names = ("2020-12-7-190800_c", "2020-12-15-000000_b", "2021-01-07-000000_d", "2018-01-01_a")
    assert [name for _, name in told(*(f"{one}/up.sql" for one in names))] == ["a", "b", "c", "d"]


def test_a_whole_name_may_be_a_version() -> None:
    names = ("1.9.0.sql", "1.10.0.sql", "1.10.1.sql", "v1.10.2.sql", "1.11.x.sql")
    versions = ["1.9.0", "1.10.0", "1.10.1", "v1.10.2", "1.11"]
    assert [version for version, _ in told(*names)] == versions


def test_a_number_of_four_digits_is_no_year() -> None:
    names = ("0005-1-2_b.sql", "0006_c.sql", "0005-1_a.sql", "2031_1_2_x.sql")
    assert [version for version, _ in told(*names)] == ["0005-1", "0005-1-2", "0006", "2031"]


def test_what_stands_behind_a_date_tells_versions_apart_also_when_it_is_zero() -> None:
    names = ("2023-01-26.0-b.sql", "2023-01-26-a.sql", "2023-01-26-000000-c.sql")
    assert [name for _, name in told(*names)] == ["a", "b", "c"]


def test_halves_of_a_pair_may_say_which_one_they_are() -> None:
    (migration,) = load("1_a/up.sql", "1_a/down.sql", text=b"-- Up\nSELECT 1;\n")
    assert migration.down is not None
    with pytest.raises(MarkerError):
        load("1_a/migration.sql", text=b"-- Up\nSELECT 1;\n")


def test_beside_folders_with_versions_a_file_without_one_is_left_alone_with_a_note() -> None:
    loaded = load("1_a/up.sql", "2_b/up.sql", "seed.sql")
    assert [one.version for one in loaded] == ["1", "2"]
    assert loaded[-1].notes == (
        "seed.sql: carries no version among folders that do, and is left alone",
    )
    with pytest.raises(FileNameError):
        load("1_a/up.sql", "2_b.sql", "seed.sql")


def test_folders_of_one_moment_are_told_apart_by_their_names() -> None:
    loaded = load("3_a/migration.sql", "3_b/migration.sql", "4_c/migration.sql")
    assert [one.version for one in loaded] == ["3_a", "3_b", "4"]
    again = Plain().rebuild("3_b", "", loaded[1].files, AS_IT_IS)
    assert again == loaded[1]
    with pytest.raises(DuplicateVersionError):
        load("3_a/up.sql", "3_b/up.sql")


def test_files_of_one_number_in_a_journal_are_told_apart_by_their_names() -> None:
    files = [SourceFile(f"{tag}.sql", SQL) for tag in ("0000_a", "0000_b", "0001_c")]
    loaded = Plain().load([*files, journal("0000_b", "0000_a", "0001_c")], AS_IT_IS)
    assert [one.version for one in loaded] == ["0000_b", "0000_a", "0001"]


METADATA = b"# as Diesel reads it\nrun_in_transaction = false\n"


def test_the_metadata_of_diesel_can_switch_the_transaction_off() -> None:
    names = ("1_a/down.sql", "1_a/metadata.toml", "1_a/up.sql", "2_b/up.sql")
    claimed = Plain().claims(names)
    files = [SourceFile(name, METADATA if name.endswith(".toml") else SQL) for name in claimed]
    first, second = Plain().load(files, AS_IT_IS)
    assert first.down is not None
    assert not first.up.options.transaction
    assert not first.down.options.transaction
    assert second.up.options.transaction
    assert Plain().rebuild("1", "a", first.files, AS_IT_IS) == first


@pytest.mark.parametrize("said", [b"run_in_transaction = 0", b"run_in_transaction"])
def test_metadata_that_cannot_be_read_is_an_error(said: bytes) -> None:
    files = [SourceFile("1_a/metadata.toml", said), SourceFile("1_a/up.sql", SQL)]
    with pytest.raises(MarkerError, match="run_in_transaction = false"):
        Plain().load(files, AS_IT_IS)


def test_a_reason_may_stand_behind_no_transaction() -> None:
    (migration,) = load("1_a.sql", text=b"-- no-transaction: builds an index\nSELECT 1;")
    assert not migration.up.options.transaction


ADDED = "ALTER TYPE s.mood ADD VALUE 'b';\n"
ENUMS = (
    (f"{ADDED}UPDATE t SET m = 'b';", False),
    (f"{ADDED}UPDATE t SET m = 'c';", True),
    (f"CREATE TYPE s.mood AS ENUM ('a');\n{ADDED}INSERT INTO t VALUES ('b');", True),
    ("ALTER TYPE mood RENAME VALUE 'a' TO 'b';\nUPDATE t SET m = 'b';", True),
    (f"BEGIN;\n{ADDED}UPDATE t SET m = 'b';\nCOMMIT;", True),
)


@pytest.mark.parametrize(("text", "transactional"), ENUMS)
def test_a_value_that_is_added_and_used_makes_a_file_run_step_by_step(
    text: str, transactional: bool
) -> None:
    (migration,) = load("1_a.sql", text=text.encode())
    assert migration.up.transactional is transactional
    assert any("adds a value" in note for note in migration.notes) is not transactional


def test_breakpoints_end_statements_in_folders_too() -> None:
    for mark in ("--> statement-breakpoint", "--;;"):
        text = f"CREATE TABLE a (id int)\n{mark}\nSELECT 1\n".encode()
        (migration,) = load("1_a/migration.sql", text=text)
        assert len(migration.up.statements) == 2


def test_the_file_for_postgresql_counts_where_servers_are_named() -> None:
    loaded = load("1_x.mysql.sql", "1_x.postgres.sql", "2_y.sql", "3_z.sqlite.sql", "3_z.sql")
    assert [one.files[0].name for one in loaded] == ["1_x.postgres.sql", "2_y.sql", "3_z.sql"]


def test_a_checkpoint_stands_for_what_comes_before_it() -> None:
    checkpoint = SourceFile("3_c.sql", b"-- by atlas\n-- atlas:checkpoint\n\nSELECT 1;\n")
    others = [SourceFile("1_a.sql", SQL), SourceFile("2_b.sql", SQL), SourceFile("4_d.sql", SQL)]
    loaded = Plain().load([*others, checkpoint], AS_IT_IS)
    assert [one.replaces for one in loaded] == [None, None, ("1", "2"), None]


def test_prismas_folders_run_in_the_order_of_their_names_with_and_without_a_time() -> None:
    names = ("20250624102730_b", "20250625_c", "20250625093000_a", "20250626000000_d")
    loaded = load(*(f"{name}/migration.sql" for name in names))
    assert [one.version for one in loaded] == [
        "20250624102730",
        "20250625093000",
        "20250625",
        "20250626000000",
    ]


def test_numbers_in_the_place_of_dates_run_in_the_order_of_numbers() -> None:
    loaded = load("10_b/migration.sql", "2_a/migration.sql")
    assert [one.version for one in loaded] == ["2", "10"]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("001.do.sql", "001.undo.sql"),
        ("001.do.users.sql", "001.undo.users.sql"),
        ("20200101000000-users-up.sql", "20200101000000-users-down.sql"),
        ("0001.users.sql", "0001.users.rollback.sql"),
        ("1_users.sql", "1_users.revert.sql"),
        ("1_users.sql", "1_users_down.sql"),
    ],
)
def test_names_of_other_tools_make_pairs_too(up: str, down: str) -> None:
    (one,) = Plain().load([SourceFile(up, SQL), SourceFile(down, b"DROP TABLE t;")], AS_IT_IS)
    assert [file.name for file in one.files] == [up, down]
    assert one.down is not None
    assert one.down.statements[0].summary == "DROP TABLE t"
    assert Plain().rebuild(one.version, one.name, one.files, AS_IT_IS) == one


def test_a_name_that_ends_like_a_way_back_is_none_without_what_it_would_take_back() -> None:
    names = ["5_shut_down.sql", "6_thumbs_up.sql", "7-undo.sql"]
    assert [one.down for one in load(*names)] == [None, None, None]
    for name in ("8.undo.sql", "8_a.rollback.sql", "8.undo.a.sql"):
        with pytest.raises(FolderError, match="takes back a migration that is not there"):
            load(*names, name)


@pytest.mark.parametrize("name", ["0001_b.ts", "0002_seed.js"])
def test_a_program_that_a_journal_does_not_name_is_left_alone_too(name: str) -> None:
    stray = SourceFile(name, b"export {}")
    (one,) = Plain().load([SourceFile("0000_a.sql", SQL), stray, journal("0000_a")], AS_IT_IS)
    assert one.notes[-1] == f"{name}: is not in meta/_journal.json, and is left alone"
