"""Which format a folder has, what may stand beside it, and one history from several folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrations.errors import DuplicateVersionError, FormatError, PsqlScriptError
from migrations.formats import Reading
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import Language
from tests.support.manifests import bundle_name

OURS = "-- +migrate Up\nSELECT 1;\n-- +migrate Down\nSELECT 2;\n"
GOOSE = "-- +goose Up\nSELECT 1;\n"
DBMATE = "-- migrate:up\nSELECT 1;\n-- migrate:down\n"
PLAIN = "SELECT 1;\n"


def folder(path: Path, **files: str) -> Path:
    """Write files; `__` in a name stands for a dot, `___` for a slash."""
    for name, text in files.items():
        file = path / name.removeprefix("n").replace("___", "/").replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


@pytest.mark.parametrize(
    ("files", "format"),
    [
        ({"n1_a__sql": OURS}, "sql-migrate"),
        ({"n1_a__sql": GOOSE}, "goose"),
        ({"n1_a__sql": DBMATE}, "dbmate"),
        ({"n1_a__up__sql": PLAIN, "n1_a__down__sql": PLAIN}, "golang-migrate"),
        ({"n1_a__sql": PLAIN}, "plain"),
        ({"n1_a__up__sql": PLAIN, "n2_b__sql": PLAIN}, "plain"),
        ({"n1_a___migration__sql": PLAIN, "migration_lock__toml": ""}, "plain"),
        ({"n1_a__sql___migration__sql": PLAIN}, "plain"),
    ],
)
def test_a_folder_is_recognised_by_its_content(
    tmp_path: Path, files: dict[str, str], format: str
) -> None:
    assert load_folder(folder(tmp_path, **files)).migrations[0].format == format


@pytest.mark.parametrize(
    ("theirs", "name", "format"),
    [
        (GOOSE, "1_a.sql", "goose"),
        (DBMATE, "1_a.sql", "dbmate"),
        (PLAIN, "1_a.up.sql", "golang-migrate"),
        (PLAIN, "1_a.sql", "plain"),
        (PLAIN, "1_a/up.sql", "plain"),
        (PLAIN, "1_a/migration.sql", "plain"),
        (PLAIN, "V1__a.sql", "flyway"),
        (PLAIN, "sql/V1__a.sql", "flyway"),
    ],
)
def test_what_people_write_next_may_be_ours(
    tmp_path: Path, theirs: str, name: str, format: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(theirs)
    folder(tmp_path, n2_b__sql=OURS, n3_c__py="async def up(conn): ...\n")
    first, second, third = load_folder(tmp_path).migrations
    assert first.format == format
    assert (second.format, third.format) == ("sql-migrate", "python")
    for one in (first, second):
        assert load_files(one.format, one.files, version=one.version, name=one.name) == one


def test_two_foreign_formats_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, n1_a__sql=GOOSE, n2_b__sql=DBMATE, n3_c__sql=OURS)
    with pytest.raises(FormatError, match=r"several formats are mixed \(goose, dbmate\)"):
        load_folder(tmp_path)


def test_a_file_without_markers_among_ours_is_still_an_error(tmp_path: Path) -> None:
    folder(tmp_path, n1_a__sql=OURS, n2_b__sql=PLAIN)
    with pytest.raises(Exception, match="text before the first section"):
        load_folder(tmp_path)


def test_a_flyway_name_with_our_markers_is_ours(tmp_path: Path) -> None:
    folder(tmp_path, nV1_____a__sql=OURS, n2_b__sql=OURS)
    assert {one.format for one in load_folder(tmp_path).migrations} == {"sql-migrate"}


def test_a_marker_in_half_of_a_folders_pair_is_a_comment(tmp_path: Path) -> None:
    folder(tmp_path, n1_a___up__sql=OURS, n1_a___down__sql=PLAIN)
    (migration,) = load_folder(tmp_path, "plain").migrations
    assert [one.text for one in migration.up.statements] == ["SELECT 1", "SELECT 2"]


def test_a_baseline_stands_for_what_is_ours_too(tmp_path: Path) -> None:
    folder(tmp_path, n1_a__sql=OURS, n3_c__py="async def up(conn): ...\n")
    for name in ("V2__b.sql", "B2__b.sql", "V4__d.sql", "R__r.sql"):
        (tmp_path / name).write_text(PLAIN)
    loaded = load_folder(tmp_path).migrations
    assert [one.version for one in loaded] == ["1", "2", "B2", "3", "4", "R__r"]
    assert loaded[2].replaces == ("1", "2")


def test_where_the_whole_name_counts_phases_keep_their_order(tmp_path: Path) -> None:
    phases = {f"n9_x__{phase}__sql": OURS for phase in ("contract", "expand", "migrate")}
    folder(tmp_path, n9_w__sql=OURS, n9_y__sql=OURS, **phases)
    loaded = load_folder(tmp_path, "sql-migrate+names").migrations
    assert [(one.version, one.unit, one.phase) for one in loaded] == [
        ("9_w", "", ""),
        ("9_x.1", "9_x", "expand"),
        ("9_x.2", "9_x", "migrate"),
        ("9_x.3", "9_x", "contract"),
        ("9_y", "", ""),
    ]
    for one in loaded:
        assert load_files(one.format, one.files, version=one.version, name=one.name) == one


def several(*paths: Path) -> Path:
    return Path(os.pathsep.join(map(str, paths)))


def test_several_folders_are_one_history(tmp_path: Path) -> None:
    base = folder(tmp_path / "x" / "base", n1_a__sql=GOOSE, n3_c__sql=GOOSE)
    tenant = folder(tmp_path / "x" / "tenant", n2_b__sql=GOOSE)
    loaded = load_folder(several(base, tenant)).migrations
    assert [one.files[0].name for one in loaded] == [
        "base/1_a.sql",
        "tenant/2_b.sql",
        "base/3_c.sql",
    ]
    for one in loaded:
        assert load_files(one.format, one.files, version=one.version, name=one.name) == one


def test_folders_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    first = folder(tmp_path / "a" / "sql", n1_a__sql=OURS)
    second = folder(tmp_path / "b" / "sql", n2_b__sql=OURS)
    loaded = load_folder(several(first, second)).migrations
    assert [one.files[0].name for one in loaded] == ["a/sql/1_a.sql", "b/sql/2_b.sql"]


def test_the_digest_of_several_folders_does_not_depend_on_where_they_are(tmp_path: Path) -> None:
    digests = set()
    for place in ("here", "there"):
        base = folder(tmp_path / place / "base", n1_a__sql=OURS)
        tenant = folder(tmp_path / place / "tenant", n2_b__sql=OURS)
        digests.add(bundle_name(load_folder(several(base, tenant))))
    assert len(digests) == 1


def test_the_same_version_in_two_folders_names_both_files(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", n1_a__sql=OURS)
    tenant = folder(tmp_path / "tenant", n01_b__sql=OURS)
    with pytest.raises(
        DuplicateVersionError, match=r"tenant/01_b\.sql: has the same version as base/1_a\.sql"
    ):
        load_folder(several(base, tenant))


def test_an_order_that_is_not_that_of_versions_cannot_be_merged(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", n10_a__sql=DBMATE, n2_b__sql=DBMATE)
    tenant = folder(tmp_path / "tenant", n3_c__sql=DBMATE)
    with pytest.raises(FormatError, match="order is not that of the versions"):
        load_folder(several(base, tenant))


SCRIPT = "CREATE TABLE t (id int);\n\\copy t from '/data/x.csv'\n"


def test_scripts_that_read_files_beside_them_cannot_be_one_of_several_folders(
    tmp_path: Path,
) -> None:
    beside = {"n2_b__sql": "SELECT 1;\n\\ir parts/c.sql\n", "parts___c__sql": PLAIN}
    one = folder(tmp_path / "one", n1_a__sql=PLAIN)
    two = folder(tmp_path / "two", **{"psql-files__txt": "parts/*\n"}, **beside)
    reading = Reading(programs=True)
    for folders in ([one, two], [two, one]):
        path = Path(os.pathsep.join(map(str, folders)))
        with pytest.raises(FormatError, match=r"2_b\.sql reads a file beside it, parts/c\.sql"):
            load_folder(path, reading=reading)
    assert len(load_folder(two, reading=reading).migrations) == 1


def test_folders_that_flyway_reads_as_one_may_have_scripts_that_read_files(tmp_path: Path) -> None:
    one = folder(tmp_path / "one")
    one.mkdir()
    (one / "V1__a.sql").write_text(PLAIN)
    two = folder(tmp_path / "two", **{"psql-files__txt": "c.csv\n", "c__csv": "1\n"})
    (two / "V2__b.sql").write_text("CREATE TABLE t (a int);\n\\copy t from 'c.csv'\n")
    reading = Reading(programs=True)
    found = load_folder(Path(f"{one}{os.pathsep}{two}"), reading=reading).migrations
    last = found[-1]
    again = load_files(
        last.format, last.files, version=last.version, name=last.name, reading=reading
    )
    assert again.up == last.up
    assert again.up.program is not None
    assert [file.name for file in again.up.program.files] == ["c.csv"]


@pytest.mark.parametrize("second", ["../b/m", "./x/../../b/m"])
def test_no_folders_name_leads_out_of_another(tmp_path: Path, second: str) -> None:
    one = folder(tmp_path / "a" / "m", n1_a__sql=PLAIN)
    folder(tmp_path / "b" / "m", n2_b__sql=PLAIN)
    (tmp_path / "a" / "x").mkdir()
    found = load_folder(Path(f"{one}{os.pathsep}{tmp_path}/a/{second}")).migrations
    assert [file.name for each in found for file in each.files] == ["a/m/1_a.sql", "b/m/2_b.sql"]


def test_a_psql_script_is_a_program_where_a_person_allowed_it(tmp_path: Path) -> None:
    folder(tmp_path, n1_a__sql=SCRIPT)
    with pytest.raises(PsqlScriptError):
        load_folder(tmp_path)
    (migration,) = load_folder(tmp_path, reading=Reading(programs=True)).migrations
    assert migration.up.program is not None
    assert migration.up.program.language is Language.PSQL
    assert not migration.up.transactional
    assert "1_a.sql:2:1: \\copy is a command of psql" in migration.notes[0]


def test_a_script_that_reads_other_files_is_refused_even_then(tmp_path: Path) -> None:
    folder(tmp_path, n1_a__sql="SELECT 1;\n\\ir other.sql\n")
    with pytest.raises(PsqlScriptError, match="checksum would not cover"):
        load_folder(tmp_path, reading=Reading(programs=True))


ROLES = "CREATE ROLE app;\nDO $$ BEGIN CREATE ROLE guarded; END $$;\n"


def test_a_role_without_a_guard_is_noted_before_it_fails_on_the_second_database(
    tmp_path: Path,
) -> None:
    (migration,) = load_folder(folder(tmp_path, n1_a__sql=ROLES)).migrations
    (note,) = migration.notes
    assert note.startswith("1_a.sql:1: CREATE ROLE app: roles belong to the server")
