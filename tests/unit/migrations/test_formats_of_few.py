"""node-pg-migrate, tern, graphile-migrate and Play: what each of their files may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.errors import FormatError, LoadError, MarkerError, VariableError
from migrations.formats import Reading
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import Migration
from tests.support.format_samples import TERN, committed, hash_of, written

UP = "CREATE TABLE t (id int);\n"
DOWN = "DROP TABLE t;\n"


def load(path: Path, files: dict[str, str], **variables: str) -> tuple[Migration, ...]:
    return load_folder(written(path, files), reading=Reading(variables)).migrations


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("-- Up Migration", "-- Down Migration"),
        ("-- UP MIGRATION", "---- down  migration: take it back"),
        ("  -- Up Migration (makes t)", "-- Down Migration (Rollback)"),
    ],
)
def test_markers_of_node_pg_migrate_may_be_written_in_many_ways(
    tmp_path: Path, up: str, down: str
) -> None:
    (one,) = load(tmp_path, {"1700000000000_a.sql": f"-- t\n\n{up}\n{UP}\n{down}\n{DOWN}"})
    assert (one.format, one.version, one.name) == ("node-pg-migrate", "1700000000000", "a")
    assert one.up.statements[0].line == 4
    assert one.down is not None
    assert one.down.statements[0].summary == "DROP TABLE t"


def test_the_way_back_of_node_pg_migrate_may_stand_first(tmp_path: Path) -> None:
    text = f"-- Down Migration\n{DOWN}-- Up Migration\n{UP}"
    (one,) = load(tmp_path, {"1_a.sql": text})
    assert [one.summary for one in one.up.statements] == ["CREATE TABLE t"]
    assert one.down is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"-- Down Migration\n{DOWN}", "without an Up"),
        (f"{UP}-- Up Migration\n{UP}", "text before the first section"),
        (f"-- Up Migration\n{UP}-- Up Migration\n{UP}", "a second `-- Up Migration`"),
    ],
)
def test_what_node_pg_migrate_would_run_in_the_wrong_section_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(MarkerError, match=says):
        load(tmp_path, {"1_a.sql": f"-- Up Migration\n{UP}", "2_b.sql": text})


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("1_a.up.sql", f"-- Up Migration\n{UP}", "golang-migrate"),
        ("V1__a.sql", f"-- Up Migration\n{UP}", "flyway"),
        ("1_a.sql", f"-- +goose Up\n-- Up Migration\n{UP}", "goose"),
        ("1_a.sql", f"-- migrate:up\n-- up migration\n{UP}", "dbmate"),
        ("1_a.sql", f"-- +migrate Up\n-- up migration\n{UP}", "sql-migrate"),
        ("1_a/up.sql", f"-- Up Migration\n{UP}", "plain"),
    ],
)
def test_a_comment_of_another_tools_file_is_none_of_its_markers(
    tmp_path: Path, name: str, text: str, format: str
) -> None:
    (one,) = load(tmp_path, {name: text})
    assert one.format == format


def test_tern_without_a_line_between_has_no_way_back(tmp_path: Path) -> None:
    files = {"001_a.sql": f"{UP}{TERN}\n{DOWN}", "002_b.sql": "SELECT 1;\n", "helper.sql": "x"}
    first, second = load(tmp_path, files)
    assert first.down is not None
    assert second.down is None
    assert {first.format, second.format} == {"tern"}


def test_tern_below_whose_line_nothing_stands_has_no_way_back(tmp_path: Path) -> None:
    (one,) = load(tmp_path, {"001_a.sql": f"{UP}{TERN}\n\n"})
    assert one.down is None


def test_a_section_of_tern_says_for_itself_that_it_takes_no_transaction(tmp_path: Path) -> None:
    text = f"---- tern: disable-tx ----\nVACUUM;\n{TERN}\nSELECT 1;\n"
    (one,) = load(tmp_path, {"001_a.sql": text})
    assert not one.up.options.transaction
    assert one.down is not None
    assert one.down.options.transaction


def chain(*texts: str) -> dict[str, str]:
    files, previous = {}, "-"
    for number, text in enumerate(texts, start=1):
        files[f"committed/{number:06}.sql"] = committed(previous, text)
        previous = hash_of(previous, text)
    return files


def test_graphiles_names_in_capitals_are_filled_wherever_they_stand(tmp_path: Path) -> None:
    text = "CREATE ROLE :APP;\nDO $$ BEGIN EXECUTE 'GRANT :APP TO x'; END $$;\nSELECT 'a'::TEXT;"
    (one,) = load(tmp_path, chain(text), APP="shop", TEXT="wrong")
    assert [statement.text for statement in one.up.statements] == [
        "CREATE ROLE shop",
        "DO $$ BEGIN EXECUTE 'GRANT shop TO x'; END $$",
        "SELECT 'a'::TEXT",
    ]
    assert one.variables == ("APP",)
    assert load_files(one.format, one.files, reading=Reading({"APP": "shop"})) == one


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        ("SELECT 1;\nCREATE ROLE :APP;", "APP", 5),
        ("DO $$ BEGIN\nEXECUTE 'ALTER DATABASE :DATABASE_NAME'; END $$;", "DATABASE_NAME", 5),
    ],
)
def test_graphiles_names_without_a_value_are_asked_for(
    tmp_path: Path, text: str, name: str, line: int
) -> None:
    with pytest.raises(VariableError, match=f"variable {name} is not declared") as refused:
        load(tmp_path, chain(text))
    assert refused.value.line == line


def test_a_colon_in_a_literal_is_none_of_graphiles_placeholders(tmp_path: Path) -> None:
    (one,) = load(tmp_path, chain("SELECT 'at 12:MM';"))
    assert one.up.statements[0].text == "SELECT 'at 12:MM'"


def test_what_is_not_committed_is_left_alone_with_a_note(tmp_path: Path) -> None:
    files = {**chain("SELECT 1;"), "current.sql": "DROP TABLE x;\n", "fixtures/f.sql": "SELECT 2;"}
    (one,) = load(tmp_path, files)
    assert "current.sql: is not committed, and is left alone" in one.notes
    (one,) = load(tmp_path, {"current.sql": "-- Enter migration here\n"})
    assert one.notes == ()


def test_the_folder_of_what_is_committed_may_be_read_by_itself(tmp_path: Path) -> None:
    written(tmp_path, chain("SELECT 1;", "SELECT 2;"))
    assert len(load_folder(tmp_path / "committed").migrations) == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("SELECT 2", "SELECT 3", "its text is not the one that was committed"),
        ("--! Previous: sha1", "--! Previous: sha9", "its text is not the one"),
        ("--! Hash:", "--! Hasch:", "`--! Hash:` of a committed migration is missing"),
    ],
)
def test_a_committed_file_that_has_changed_is_refused(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    files = chain("SELECT 1;", "SELECT 2;")
    files["committed/000002.sql"] = files["committed/000002.sql"].replace(old, new)
    with pytest.raises(MarkerError, match=says):
        load(tmp_path, files)


def test_a_missing_link_of_the_chain_is_refused(tmp_path: Path) -> None:
    files = chain("SELECT 1;", "SELECT 2;", "SELECT 3;")
    del files["committed/000002.sql"]
    with pytest.raises(MarkerError, match=r"000003\.sql:1: does not follow committed/000001\.sql"):
        load(tmp_path, files)


def test_a_changed_hash_may_be_meant_and_line_ends_are_no_change(tmp_path: Path) -> None:
    files = chain("SELECT 1;", "SELECT 2;")
    second = files["committed/000002.sql"]
    files["committed/000002.sql"] = second.replace(
        "\n\nSELECT 2", "\n--! AllowInvalidHash\n\nSELECT 3"
    )
    assert len(load(tmp_path, files)) == 2
    for name, text in chain("SELECT 1;\nSELECT 4;", "SELECT 2;").items():
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode())
    assert len(load(tmp_path, {})) == 2


def test_plays_doubled_semicolons_are_semicolons_inside_of_a_statement(tmp_path: Path) -> None:
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\n BEGIN RETURN 1;; END;; $$;"
    (one,) = load(tmp_path, {"1.sql": f"# --- Users\n\n# --- !Ups\n{body}\n"})
    (statement,) = one.up.statements
    assert statement.text.endswith("AS $$\nBEGIN RETURN 1; END; $$")
    assert (one.format, one.version, one.down) == ("play", "1", None)


def test_plays_placeholders_are_filled_and_its_escapes_are_text(tmp_path: Path) -> None:
    text = "-- !Ups\nSELECT $evolutions{{{a}}}, '!$evolutions{{{a}}}', '$evolutions{{{b}}}';\n"
    (one,) = load(tmp_path, {"1.sql": text}, a="7")
    assert one.up.statements[0].text == "SELECT 7, '$evolutions{{{a}}}', '$evolutions{{{b}}}'"
    with pytest.raises(VariableError, match=r"1\.sql:2: variable a is not declared"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"1.sql": "SELECT 1;\n-- !Ups\nSELECT 2;\n"}, "text before the first section"),
        ({"1.sql": "-- !Downs\nSELECT 2;\n"}, "no section of Ups"),
        ({"1.sql": "-- !Ups\nSELECT 1;\n-- !Ups\nSELECT 2;\n"}, "a second `-- !Ups`"),
    ],
)
def test_what_play_would_leave_out_or_cannot_read_is_refused(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    with pytest.raises(LoadError, match=says):
        load(tmp_path, files)


def test_what_play_does_not_read_is_left_alone_with_a_note(tmp_path: Path) -> None:
    files = {"1.sql": "-- !Ups\nSELECT 1;", "2.sql": "SELECT 2;", "x.sql": "-- !Ups\nSELECT 3;"}
    first, named = load(tmp_path, {**files, "12_named.sql": "# --- !Ups\nSELECT 4;\n"})
    assert (first.version, named.version, named.name) == ("1", "12", "named")
    assert named.notes == (
        "2.sql: is no evolution of Play, and is left alone",
        "x.sql: is no evolution of Play, and is left alone",
    )


def test_scripts_beside_what_is_committed_are_none_of_graphiles(tmp_path: Path) -> None:
    files = {**chain("SELECT 1;"), "10-watch.sql": "DROP TABLE x;", "roles.sql": "SELECT 2;"}
    (one,) = load(tmp_path, files)
    assert one.format == "graphile-migrate"


@pytest.mark.parametrize(
    ("files", "tool"),
    [
        ({"users.sql": f"--liquibase formatted sql\n\n--changeset a:1\n{UP}"}, "Liquibase"),
        ({"001_users.sql": f"-- liquibase formatted sql\n-- changeset a:1\n{UP}"}, "Liquibase"),
        (
            {"db/changes/users.sql": f"--liquibase formatted sql\n--changeset a:1\n{UP}"},
            "Liquibase",
        ),
        ({"db.changelog-master.yaml": "databaseChangeLog:\n"}, "Liquibase"),
        ({"changelog.xml": "<databaseChangeLog>\n</databaseChangeLog>\n"}, "Liquibase"),
        ({"20200101000000_a.sql": f"-- // a\n{UP}-- //@UNDO\n{DOWN}"}, "MyBatis Migrations"),
        ({"1_a.sql": f"-- rambler up\n{UP}-- rambler down\n{DOWN}"}, "rambler"),
    ],
)
def test_a_tool_that_is_not_read_is_refused_by_its_name_with_the_way(
    tmp_path: Path, files: dict[str, str], tool: str
) -> None:
    with pytest.raises(FormatError, match=f"is a file of {tool}") as refused:
        load(tmp_path, files)
    assert "`-- +migrate Down`" in refused.value.remedy
    assert "ledger baseline" in refused.value.remedy
