"""A folder of migrations: order, hash, and files that must not be misunderstood."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.errors import (
    DuplicateVersionError,
    FileNameError,
    FolderError,
    FormatError,
    LoadError,
)
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import Migration, SourceFile
from migrations.model.version import version_and_name, version_key
from tests.support.manifests import bundle_name

TEXT = "-- +migrate Up\nSELECT 1;\n"
EXAMPLES = Path(__file__).parents[3] / "migrations" / "examples"


def write(folder: Path, *names: str, text: str = TEXT) -> Path:
    for name in names:
        (folder / name).write_text(text)
    return folder


def test_versions_are_ordered_as_numbers(tmp_path: Path) -> None:
    write(tmp_path, "10_j.sql", "1_a.sql", "20260101000000_z.sql", "9_i.sql", "v11_k.sql")
    loaded = load_folder(tmp_path).migrations
    assert [migration.name for migration in loaded] == ["a", "i", "j", "k", "z"]


def test_dates_and_dotted_versions_are_versions(tmp_path: Path) -> None:
    write(tmp_path, "2026-02-01_b.sql", "2026-01-31_a.sql", "2026-02-01.1_c.sql")
    assert [m.name for m in load_folder(tmp_path).migrations] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("stem", "found"),
    [
        ("0001-2-factor", ("0001", "2-factor")),
        ("0001-init", ("0001", "init")),
        ("1.2_x_y", ("1.2", "x_y")),
        ("7", ("7", "")),
        ("v3_größe", ("v3", "größe")),
        ("x1_a", None),
        ("1 a", None),
        ("١_a", None),
    ],
)
def test_a_name_is_split_into_version_and_description(
    stem: str, found: tuple[str, str] | None
) -> None:
    assert version_and_name(stem) == found


@given(st.lists(st.integers(0, 10**14), min_size=1, max_size=4))
def test_leading_zeros_never_make_another_version(numbers: list[int]) -> None:
    plain = ".".join(str(number) for number in numbers)
    padded = ".".join(f"{number:020}" for number in numbers)
    assert version_key(plain) == version_key(padded)


def test_a_date_has_its_place_among_moments_and_a_name_behind_its_number() -> None:
    ordered = [
        "8_a",
        "8_b",
        "9",
        "2026-01-31",
        "2026-01-31.0",
        "2026-01-31-000000",
        "20260131120000",
        "2026-01-31-120000-0000",
        "2026_01_31_120001",
        "20260201000000",
    ]
    keys = [version_key(version) for version in ordered]
    assert keys == sorted(set(keys))
    assert version_key("2026-01-31-120000") == version_key("20260131120000")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1_a.sql", "01_b.sql"),
        ("1_a.sql", "1_A.sql"),
        ("v1_a.sql", "V1.0_b.sql"),
        ("2_a.sql", "2.SQL"),
    ],
)
def test_a_version_used_twice_is_refused_and_both_files_are_named(
    tmp_path: Path, first: str, second: str
) -> None:
    write(tmp_path, first, second)
    with pytest.raises(DuplicateVersionError) as refused:
        load_folder(tmp_path)
    assert first in str(refused.value)
    assert second in str(refused.value)


def test_only_sql_files_of_the_folder_itself_count(tmp_path: Path) -> None:
    write(tmp_path, "1_a.sql", ".2_hidden.sql", "README.md", "3_c.sql.bak")
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", "4_d.sql")
    assert [m.label for m in load_folder(tmp_path).migrations] == ["1_a"]


def test_a_sql_file_without_a_version_is_never_skipped(tmp_path: Path) -> None:
    write(tmp_path, "1_a.sql", "schema.sql")
    with pytest.raises(FileNameError, match=r"^schema\.sql: .*20260102030405_add_email\.sql"):
        load_folder(tmp_path)


NESTED = "n" * 200
"""Of a folder: no file system has names of more than 255 bytes."""


@pytest.mark.parametrize("length", [500, 501])
def test_a_version_that_no_table_is_asked_for_is_refused_by_its_file(
    tmp_path: Path, length: int
) -> None:
    change = f"{NESTED}/{NESTED}/".ljust(length, "c")
    script = tmp_path / f"deploy/{change}.sql"
    script.parent.mkdir(parents=True)
    script.write_text("CREATE TABLE a ();")
    plan = f"%project=a\n\n{change} 2026-01-02T03:04:05Z A <a@b.example> # x\n"
    (tmp_path / "sqitch.plan").write_text(f"%syntax-version=1.0.0\n{plan}")
    if length == 500:
        assert [one.version for one in load_folder(tmp_path).migrations] == [change]
        return
    with pytest.raises(FileNameError, match=r"501 characters, and 500 is the most") as refused:
        load_folder(tmp_path)
    assert change in refused.value.file


def test_a_baseline_stands_for_no_version_of_such_a_length(tmp_path: Path) -> None:
    write(tmp_path, "3_b.sql", text=f"-- +migrate Baseline through={'9' * 501}\n{TEXT}")
    with pytest.raises(FileNameError, match=r"^3_b\.sql: .* and 500 is the most"):
        load_folder(tmp_path)


def test_a_folder_without_migrations_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt")
    with pytest.raises(FolderError, match=r"no \.sql file"):
        load_folder(tmp_path)


def test_a_missing_folder_and_a_file_in_its_place_are_errors(tmp_path: Path) -> None:
    write(tmp_path, "1_a.sql")
    for path in (tmp_path / "gone", tmp_path / "1_a.sql"):
        with pytest.raises(FolderError, match="cannot be listed"):
            load_folder(path)


def test_symbolic_links_are_followed_to_files_and_loops_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "1_a.sql")
    (tmp_path / "2_b.sql").symlink_to(tmp_path / "1_a.sql")
    assert len(load_folder(tmp_path).migrations) == 2
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "3_c.sql").symlink_to(tmp_path / "3_c.sql")
    with pytest.raises(FolderError) as refused:
        load_folder(tmp_path)
    assert refused.value.file == "3_c.sql"


@pytest.mark.parametrize("make", ["folder", "dangling link"])
def test_what_is_named_like_a_migration_must_be_a_file(tmp_path: Path, make: str) -> None:
    write(tmp_path, "1_a.sql")
    if make == "folder":
        (tmp_path / "2_b.sql").mkdir()
    else:
        (tmp_path / "2_b.sql").symlink_to(tmp_path / "gone")
    with pytest.raises(FolderError, match=r"2_b\.sql"):
        load_folder(tmp_path)


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "1_caf\udce9.sql")
    with pytest.raises(FileNameError, match="not UTF-8"):
        load_folder(tmp_path)


def test_the_digest_depends_on_content_only(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    write(first, "1_a.sql", "2_b.sql")
    write(second, "2_b.sql", "1_a.sql")
    assert bundle_name(load_folder(first)) == bundle_name(load_folder(second))


@pytest.mark.parametrize(
    ("name", "text"),
    [("1_b.sql", TEXT), ("2_a.sql", TEXT), ("1_a.sql", TEXT + "\n"), ("01_a.sql", TEXT)],
)
def test_the_digest_changes_with_version_name_and_every_byte(
    tmp_path: Path, name: str, text: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    write(first, "1_a.sql")
    write(second, name, text=text)
    assert bundle_name(load_folder(first)) != bundle_name(load_folder(second))


def test_a_migration_is_built_again_from_its_own_files() -> None:
    for migration in load_folder(EXAMPLES).migrations:
        assert load_files(migration.format, migration.files) == migration


def test_files_of_several_migrations_are_not_one() -> None:
    files = [SourceFile("1_a.sql", TEXT.encode()), SourceFile("2_b.sql", TEXT.encode())]
    with pytest.raises(LoadError, match="exactly one migration"):
        load_files("sql-migrate", files)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, "1_a.sql")
    with pytest.raises(FormatError, match="Known formats: sql-migrate, "):
        load_folder(tmp_path, "none")


def test_the_examples_load_and_each_has_down_and_verify() -> None:
    loaded = load_folder(EXAMPLES).migrations
    assert len(loaded) >= 9
    for migration in loaded:
        assert len(migration.version.partition(".")[0]) == 14
        assert migration.down is not None
        assert _checks(migration)


def _checks(migration: Migration) -> bool:
    """Whether it asks anything: in a Verify section, a function, or behind its last batch."""
    if migration.up.batches is not None and migration.up.batches.validate:
        return True
    verify = migration.verify
    return verify is not None and bool(verify.statements or verify.program)


def test_the_tour_names_every_example() -> None:
    tour = (EXAMPLES / "README.md").read_text()
    for migration in load_folder(EXAMPLES).migrations:
        assert tour.count(f"`{migration.files[0].name}`") == 1
