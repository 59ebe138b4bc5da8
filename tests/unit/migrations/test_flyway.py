"""Flyway's file names: versions, undo, repeatables, baselines, settings, callbacks."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.errors import (
    DuplicateVersionError,
    FileNameError,
    FormatError,
    MarkerError,
    VariableError,
)
from migrations.formats import Reading
from migrations.formats.bundle import load_files, load_folder
from migrations.formats.flyway import Flyway
from migrations.model.migration import Migration, SourceFile, StatementKind

TABLE = "CREATE TABLE t (a int);"


def loaded(files: dict[str, str], **variables: str) -> list[Migration]:
    sources = [SourceFile(name, text.encode()) for name, text in sorted(files.items())]
    return Flyway().load(sources, Reading(variables))


def versions(*names: str) -> list[str]:
    return [one.version for one in loaded(dict.fromkeys(names, "SELECT 1;"))]


def test_a_folder_is_recognised_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "V1__init.sql").write_text(TABLE)
    (tmp_path / "notes.txt").write_text("nothing")

    (only,) = load_folder(tmp_path).migrations

    assert (only.format, only.version, only.name) == ("flyway", "1", "init")


def test_versions_are_compared_part_by_part_and_underscores_are_dots() -> None:
    names = ["V1_10__c.sql", "V1.2__b.sql", "V1__a.sql", "V2__e.sql", "V1_10_0_1__d.sql"]

    assert versions(*names) == ["1", "1.2", "1.10", "1.10.0.1", "2"]


def test_subfolders_are_one_history() -> None:
    assert versions("b/V1__a.sql", "a/V2__b.sql") == ["1", "2"]


def test_a_name_without_description_is_a_version_too() -> None:
    assert [one.label for one in loaded({"V7.sql": TABLE})] == ["7"]


@pytest.mark.parametrize("second", ["V1.0__b.sql", "sub/V01__a.sql"])
def test_the_same_version_twice_is_refused_with_both_files(second: str) -> None:
    with pytest.raises(DuplicateVersionError) as caught:
        loaded({"V1__a.sql": TABLE, second: TABLE})

    assert "V1__a.sql" in str(caught.value)
    assert second in str(caught.value)


def test_undo_is_the_down_section_of_its_version() -> None:
    (only,) = loaded({"V1_2__a.sql": TABLE, "U1.2__whatever.sql": "DROP TABLE t;"})

    assert only.down is not None
    assert [one.text for one in only.down.statements] == ["DROP TABLE t"]
    assert [file.name for file in only.files] == ["V1_2__a.sql", "U1.2__whatever.sql"]


def test_undo_of_nothing_is_refused() -> None:
    with pytest.raises(FileNameError, match=r"U2__b\.sql.*no V file has"):
        loaded({"V1__a.sql": TABLE, "U2__b.sql": TABLE})


def test_repeatables_come_last_by_name() -> None:
    found = loaded({"R__b.sql": TABLE, "R__a.sql": TABLE, "V9__z.sql": TABLE})

    assert [(one.label, one.repeatable) for one in found] == [
        ("9_z", False),
        ("R__a", True),
        ("R__b", True),
    ]


def test_a_baseline_stands_behind_its_version_for_everything_before_it() -> None:
    found = loaded(dict.fromkeys(["V1__a.sql", "V2__b.sql", "V3__c.sql", "B2__all.sql"], TABLE))

    assert [(one.version, one.replaces) for one in found] == [
        ("1", None),
        ("2", None),
        ("B2", ("1", "2")),
        ("3", None),
    ]


def test_without_a_prefix_files_count_only_where_none_has_one() -> None:
    assert versions("1__a.sql", "2__b.sql") == ["1", "2"]
    assert versions("V1__a.sql", "undo/1__a.sql") == ["1"]


def test_the_settings_of_a_script_are_obeyed_and_belong_to_it() -> None:
    text = "CREATE TABLE ${t} ();"
    conf = "# why\nexecuteInTransaction=false\n"
    (only,) = loaded({"V1__a.sql": text, "V1__a.sql.conf": conf}, t="x")

    assert only.up.options.transaction is False
    assert [file.name for file in only.files] == ["V1__a.sql", "V1__a.sql.conf"]


def test_placeholders_can_be_switched_off_for_a_script() -> None:
    conf = "placeholderReplacement=false"
    (only,) = loaded({"V1__a.sql": "SELECT '${t}';", "V1__a.sql.conf": conf}, t="x")

    assert only.up.statements[0].text == "SELECT '${t}'"
    assert only.variables == ()


@pytest.mark.parametrize("line", ["shouldExecute=false", "executeInTransaction=maybe"])
def test_settings_that_are_not_understood_are_refused_with_their_line(line: str) -> None:
    with pytest.raises(MarkerError) as caught:
        loaded({"V1__a.sql": TABLE, "V1__a.sql.conf": f"\n{line}\n"})

    assert (caught.value.file, caught.value.line) == ("V1__a.sql.conf", 2)


def test_placeholders_are_filled_in_up_and_undo() -> None:
    (only,) = loaded(
        {"V1__a.sql": "CREATE TABLE ${s}.t ();", "U1__a.sql": "DROP TABLE ${s}.t; SELECT '${d}'"},
        s="app",
        d="x",
    )

    assert only.up.statements[0].text == "CREATE TABLE app.t ()"
    assert only.variables == ("d", "s")


def test_flyways_own_file_name_is_known() -> None:
    (only,) = loaded({"V1__a.sql": "SELECT '${flyway:filename}';"})

    assert only.up.statements[0].text == "SELECT 'V1__a.sql'"
    assert only.variables == ()


def test_what_only_flyway_knows_is_refused_by_name_even_in_a_comment() -> None:
    with pytest.raises(VariableError) as caught:
        loaded({"R__v.sql": "SELECT 1;\n-- ${flyway:timestamp}"})

    assert caught.value.line == 2
    assert "flyway:timestamp" in str(caught.value)


def test_a_placeholder_that_stays_is_noted_because_flyway_would_refuse_it() -> None:
    (only,) = loaded({"V1__a.sql": "SELECT '${forgotten}';"})

    assert any("${forgotten} stays as it is written" in note for note in only.notes)


@pytest.mark.parametrize("name", ["V2__b.java", "V2__b.class", "R__b.kt"])
def test_migrations_in_program_code_are_refused_by_name(name: str) -> None:
    with pytest.raises(FormatError, match="program code"):
        loaded({"V1__a.sql": TABLE, name: "class"})


@pytest.mark.parametrize(
    "name", ["afterMigrate.sql", "beforeEachMigrate__x.sql", "sub/afterUndo.sql"]
)
def test_callbacks_that_would_be_missed_are_refused_by_name(name: str) -> None:
    with pytest.raises(FormatError, match="callback"):
        loaded({"V1__a.sql": TABLE, name: "SELECT 1;"})


@pytest.mark.parametrize(
    ("name", "text"), [("afterMigrate.sql", "-- nothing"), ("beforeClean.sql", "SELECT 1;")]
)
def test_callbacks_that_nothing_would_miss_are_left_alone(name: str, text: str) -> None:
    assert len(loaded({"V1__a.sql": TABLE, name: text})) == 1


def test_a_file_under_another_prefix_is_left_alone_with_a_note() -> None:
    newest = loaded({"V1__a.sql": TABLE, "V2__b.sql": "SELECT 1;", "NTV3__c.sql": TABLE})[-1]

    assert (newest.version, newest.notes) == (
        "2",
        ("NTV3__c.sql: has none of Flyway's prefixes, and is left alone",),
    )


@pytest.mark.parametrize("name", ["V1_a__b_.sql", "v1__a.sql", "V1-a.sql", "R_views.sql"])
def test_a_name_that_nearly_is_one_is_refused(name: str) -> None:
    with pytest.raises(FileNameError):
        loaded({"V5__a.sql": TABLE, name: TABLE})


def test_concurrent_indexes_need_no_setting_and_are_noted() -> None:
    (only,) = loaded({"V1__a.sql": "CREATE INDEX CONCURRENTLY i ON t (a);"})

    assert only.up.statements[0].kind is StatementKind.OUTSIDE
    assert not only.up.transactional
    assert any("cannot run in a transaction" in note for note in only.notes)


@given(
    parts=st.lists(st.integers(0, 10**12), min_size=1, max_size=4),
    name=st.from_regex(r"[A-Za-z0-9]{0,8}", fullmatch=True),
    undo=st.booleans(),
)
def test_what_is_written_is_what_is_loaded_and_rebuilt(
    parts: list[int], name: str, undo: bool
) -> None:
    written = "_".join(map(str, parts))
    files = {f"V{written}__{name}.sql": TABLE}
    if undo:
        files[f"U{written.replace('_', '.')}__{name}.sql"] = "DROP TABLE t;"

    (only,) = loaded(files)
    again = load_files("flyway", only.files, version=only.version, name=only.name)

    assert only.version == ".".join(map(str, parts))
    assert only.name == name
    assert (only.down is not None) is undo
    assert again == only


@given(st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True))
def test_every_migration_is_rebuilt_from_its_own_files(numbers: list[int]) -> None:
    files = {f"V{number}__x.sql": TABLE for number in numbers} | {"B7__x.sql": TABLE}
    for one in loaded(files | {"R__x.sql": TABLE}):
        again = load_files("flyway", one.files, version=one.version, name=one.name)
        kept = replace(again, replaces=one.replaces, repeatable=one.repeatable)
        assert kept == one
        assert again.repeatable is one.repeatable


@given(st.text(max_size=12))
def test_whatever_a_file_is_called_it_is_loaded_once_or_refused_by_name(stem: str) -> None:
    name = f"V1{stem.replace('/', '')}.sql"
    try:
        found = loaded({name: TABLE})
    except FileNameError as error:
        refused = error.file
    else:
        refused = ""
        assert [one.files[0].name for one in found] == [name]
    assert refused in ("", name)


def test_repeatables_run_by_description_in_which_an_underscore_is_a_blank() -> None:
    assert versions("R__1_v.sql", "R__2_v.sql", "R__10_v.sql") == ["R__1_v", "R__10_v", "R__2_v"]
    assert versions("R__viewA.sql", "R__view_b.sql") == ["R__view_b", "R__viewA"]


def test_several_folders_are_one_list(tmp_path: Path) -> None:
    files = {
        "baseline/B2__b.sql": TABLE,
        "first/V1__a.sql": TABLE,
        "first/R__2_v.sql": TABLE,
        "second/V2__b.sql": TABLE,
        "second/V3__c.sql": TABLE,
        "second/R__10_v.sql": TABLE,
        "undo/U3__c.sql": "DROP TABLE t;",
        "undo/R__1_v.sql": TABLE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folders = [str(tmp_path / name) for name in ("undo", "second", "baseline", "first")]
    found = load_folder(Path(os.pathsep.join(folders))).migrations
    assert [one.version for one in found] == ["1", "2", "B2", "3", "R__1_v", "R__10_v", "R__2_v"]
    assert found[2].replaces == ("1", "2")
    assert [file.name for file in found[3].files] == ["second/V3__c.sql", "undo/U3__c.sql"]
    assert found[3].up.file == "second/V3__c.sql"


def test_a_byte_order_mark_is_left_out_of_text_and_checksum() -> None:
    content = b"\xef\xbb\xbf" + TABLE.encode()
    (migration,) = Flyway().load([SourceFile("V1__a.sql", content)], Reading())
    assert migration.up.statements[0].text == TABLE.rstrip(";")
    assert migration.up.checksum == hashlib.sha256(f"{TABLE}\n".encode()).hexdigest()


def test_a_prefix_in_small_letters_is_refused_in_the_words_of_flyway(tmp_path: Path) -> None:
    (tmp_path / "v1__a.sql").write_text(TABLE)
    with pytest.raises(FileNameError, match="V2__add_email"):
        load_folder(tmp_path)
