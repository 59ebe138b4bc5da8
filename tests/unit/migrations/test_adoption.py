"""Rows of another tool's table find their files, or it is said which do not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pytest

from migrations.adoption.export import EXPORTED, There, export_statements
from migrations.adoption.match import flyway_checksum, match, up_to
from migrations.errors import AdoptionRefused
from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.formats.flyway import Flyway
from migrations.model.foreign_history import ForeignHistory, ForeignRow, Tool, digest_of
from migrations.model.migration import Migration, SourceFile
from migrations.model.ordering import late


def migration(version: str, name: str = "m", *, repeatable: bool = False) -> Migration:
    text = f"-- +migrate Up\nSELECT 1; -- {version}\n"
    file = SourceFile(f"{version}_{name}.sql", text.encode())
    return replace(load_files("sql-migrate", [file]), repeatable=repeatable)


def history(tool: Tool, *rows: ForeignRow) -> ForeignHistory:
    return ForeignHistory(tool, "public.history", rows, len(rows))


def versions(found: tuple[Migration, ...]) -> list[str]:
    return [one.version for one in found]


@dataclass(frozen=True)
class Numbered:
    """An entry as far as its place in the journal."""

    seq: int


FOLDER = tuple(migration(version) for version in ("001", "002", "010"))


@pytest.mark.parametrize("tool", [Tool.DBMATE, Tool.GOOSE, Tool.RAILS])
def test_versions_are_compared_number_by_number(tool: Tool) -> None:
    found = match(history(tool, ForeignRow("1"), ForeignRow("2")), FOLDER)
    assert (versions(found.taken), versions(found.pending)) == (["001", "002"], ["010"])
    assert not found.problem


def test_sql_migrate_goes_by_the_names_of_files() -> None:
    found = match(history(Tool.SQL_MIGRATE, ForeignRow("002_m.sql", "002_m.sql")), FOLDER)
    assert versions(found.taken) == ["002"]
    assert found.notes == (
        "001_m is not applied, although later ones are; applying it needs --allow-out-of-order",
    )


def test_golang_migrate_means_everything_up_to_its_one_version() -> None:
    found = match(history(Tool.GOLANG_MIGRATE, ForeignRow("2", below=True)), FOLDER)
    assert (versions(found.taken), versions(found.pending)) == (["001", "002"], ["010"])


def test_golang_migrate_at_a_version_without_a_file_is_refused() -> None:
    found = match(history(Tool.GOLANG_MIGRATE, ForeignRow("7", below=True)), FOLDER)
    assert "1 rows that no file of the folder belongs to: 7" in found.problem


def test_a_baseline_of_flyway_needs_no_file() -> None:
    found = match(history(Tool.FLYWAY, ForeignRow("5", below=True)), FOLDER)
    assert (versions(found.taken), found.problem) == (["001", "002"], "")


def test_a_changed_repeatable_of_flyway_runs_again_and_a_changed_version_is_noted() -> None:
    views = migration("900", "views", repeatable=True)
    rows = (
        ForeignRow("1", "001_m.sql", checksum=flyway_checksum(FOLDER[0].files[0].content) + 1),
        ForeignRow("", "900_views.sql", repeatable=True, checksum=1),
    )
    found = match(history(Tool.FLYWAY, *rows), (*FOLDER, views))
    assert versions(found.taken) == ["001"]
    assert "900" in versions(found.pending)
    assert len(found.notes) == 2


def test_a_repeatable_of_flyway_that_is_unchanged_is_taken_over() -> None:
    views = migration("900", "views", repeatable=True)
    checksum = flyway_checksum(views.files[0].content)
    row = ForeignRow("", "900_views.sql", repeatable=True, checksum=checksum)
    assert versions(match(history(Tool.FLYWAY, row), (views,)).taken) == ["900"]


def test_a_repeatable_of_flyway_with_values_in_it_has_the_checksum_of_the_filled_text() -> None:
    text = "CREATE OR REPLACE VIEW ${schema}.v AS SELECT '${flyway:filename}' AS f;\n"
    file = SourceFile("R__v.sql", text.encode())
    (views,) = Flyway().load([file], Reading({"schema": "app"}))
    filled = text.replace("${schema}", "app").replace("${flyway:filename}", "R__v.sql")
    for known, taken in ((filled, True), (text, True), (f"{text} ", False)):
        checksum = flyway_checksum(known.encode())
        row = ForeignRow("", "R__v.sql", repeatable=True, checksum=checksum)
        assert bool(match(history(Tool.FLYWAY, row), (views,)).taken) is taken


def checksums(tool: Tool, content: bytes) -> str:
    """What the tool's table holds for a file."""
    match tool:
        case Tool.SQLX:
            return hashlib.sha384(content).hexdigest()
        case Tool.PRISMA:
            return hashlib.sha256(content).hexdigest()
        case _:
            return "sha1:abc"


@pytest.mark.parametrize("tool", [Tool.SQLX, Tool.PRISMA, Tool.GRAPHILE_MIGRATE])
def test_a_file_that_is_not_the_one_a_tool_ran_is_noted(tool: Tool) -> None:
    content = b"--! Previous: -\n--! Hash: sha1:abc\n\nSELECT 1;\n"
    named = "20200101_init/migration.sql" if tool is Tool.PRISMA else "20200101_init.sql"
    one = replace(FOLDER[0], version="20200101", name="init", files=(SourceFile(named, content),))
    name = "20200101_init" if tool is Tool.PRISMA else ""
    same = ForeignRow("20200101", name, checksum=checksums(tool, content))
    found = match(history(tool, same), (one,))
    assert (versions(found.taken), found.notes) == (["20200101"], ())
    changed = match(history(tool, replace(same, checksum="sha1:def")), (one,))
    assert versions(changed.taken) == ["20200101"]
    assert f"has changed since it was applied ({tool} would say)" in changed.notes[0]


def test_diesels_dates_without_dashes_are_those_of_its_folders() -> None:
    one = replace(FOLDER[0], version="2020-01-01-000000", name="init")
    found = match(history(Tool.DIESEL, ForeignRow("20200101000000")), (one,))
    assert versions(found.taken) == ["2020-01-01-000000"]


def test_tern_means_everything_up_to_its_one_version() -> None:
    found = match(history(Tool.TERN, ForeignRow("2", below=True)), FOLDER)
    assert versions(found.taken) == ["001", "002"]


def test_a_reworked_change_of_sqitch_is_as_many_migrations_as_it_was_deployed() -> None:
    first, second = migration("001", "users"), migration("002", "users")
    one = match(history(Tool.SQITCH, ForeignRow("users", "users")), (first, second))
    assert versions(one.taken) == ["001"]
    rows = (ForeignRow("users", "users"), ForeignRow("users", "users"))
    assert versions(match(history(Tool.SQITCH, *rows), (first, second)).taken) == ["001", "002"]


def test_rows_without_a_file_are_refused_and_can_be_accepted() -> None:
    theirs = history(Tool.GOOSE, ForeignRow("1"), ForeignRow("77"))
    refused = match(theirs, FOLDER)
    assert "77" in refused.problem
    assert "--accept-missing" in refused.problem
    accepted = match(theirs, FOLDER, accept_missing=True)
    assert (versions(accepted.taken), accepted.problem) == (["001"], "")
    assert [row.label for row in accepted.unmatched] == ["77"]


@pytest.mark.parametrize("tool", [Tool.ALEMBIC, Tool.DJANGO, Tool.RAILS])
def test_a_tool_whose_migrations_are_programs_needs_a_persons_word(tool: Tool) -> None:
    theirs = history(tool, ForeignRow("4f2a9c", "4f2a9c"))
    assert "--through VERSION" in match(theirs, FOLDER).problem
    assert versions(match(theirs, FOLDER, through="002").taken) == ["001", "002"]


def test_a_dirty_table_is_refused_with_its_own_words() -> None:
    theirs = replace(history(Tool.GOLANG_MIGRATE, ForeignRow("2", below=True)), problem="is dirty")
    assert match(theirs, FOLDER).problem == "is dirty"
    assert match(theirs, FOLDER).taken == ()


def test_a_baseline_ends_at_a_version_of_the_folder() -> None:
    assert versions(up_to(FOLDER, "002").taken) == ["001", "002"]
    assert "no migration '003' (its newest is 010)" in up_to(FOLDER, "003").problem


def test_the_digest_changes_when_a_row_comes_or_was_run_again() -> None:
    rows = (ForeignRow("1", checksum=7), ForeignRow("2"))
    assert digest_of(rows) == digest_of(tuple(reversed(rows)))
    assert digest_of(rows) != digest_of((*rows, ForeignRow("3")))
    assert digest_of(rows) != digest_of((ForeignRow("1", checksum=8), ForeignRow("2")))


def test_flyways_checksum_does_not_see_line_ends_or_a_mark_of_the_byte_order() -> None:
    # 9e83486d is the CRC-32 of "ab": Flyway feeds it the lines one after the other.
    wanted = 0x9E83486D - 2**32
    assert flyway_checksum(b"a\r\nb\r\n") == flyway_checksum(b"\xef\xbb\xbfa\nb") == wanted
    assert flyway_checksum(b"a\nb") != flyway_checksum(b"a\nc")


def test_what_comes_before_something_applied_is_late_whatever_its_version_is() -> None:
    users, orders = migration("2", "orders"), migration("1", "users")
    assert list(late((users, orders), {"1"})) == ["2"]
    assert late((users, orders), {"2"}) == {}
    assert late((users, orders), ()) == {}


def test_a_repeatable_migration_is_never_late() -> None:
    views = migration("001", "views", repeatable=True)
    assert late((views, migration("002")), {"002"}) == {}
    assert late((migration("001"), replace(views, version="9")), {"9"}) == {}


def test_golang_migrate_cannot_be_told_of_a_hole() -> None:
    applied = {"010": object()}
    with pytest.raises(AdoptionRefused, match="001_m is not"):
        export_statements(Tool.GOLANG_MIGRATE, FOLDER, applied)  # type: ignore[arg-type]


def test_what_a_baseline_stands_for_is_no_hole() -> None:
    baseline = replace(migration("010"), replaces=("001", "002"))
    later = (*FOLDER[:2], baseline, migration("011"))
    applied = {version: Numbered(seq) for seq, version in enumerate(("010", "011"))}
    statements = export_statements(Tool.GOLANG_MIGRATE, later, applied)  # type: ignore[arg-type]
    assert statements[-1].endswith("VALUES (11, false)")
    rows = export_statements(Tool.DBMATE, later, applied)  # type: ignore[arg-type]
    assert len(rows) == 1 + len(later)


def test_a_baseline_that_was_applied_too_late_to_run_is_no_hole() -> None:
    late_one = replace(migration("003"), replaces=("001", "002"))
    folder = (*FOLDER[:2], late_one, FOLDER[2])
    applied = {version: Numbered(seq) for seq, version in enumerate(("001", "002", "010"))}
    statements = export_statements(Tool.GOLANG_MIGRATE, folder, applied)  # type: ignore[arg-type]
    assert statements[-1].endswith("VALUES (10, false)")


PHASES = tuple(migration("003", f"rename.{phase}") for phase in ("expand", "migrate", "contract"))


def test_the_phases_of_a_change_are_one_row_when_all_are_applied() -> None:
    applied = {one.version: Numbered(seq) for seq, one in enumerate((*FOLDER[:2], *PHASES))}
    rows = export_statements(Tool.DBMATE, (*FOLDER[:2], *PHASES), applied)  # type: ignore[arg-type]
    assert [row[-6:] for row in rows[1:]] == ["'001')", "'002')", "'003')"]


def test_a_change_half_way_through_its_phases_is_not_exported() -> None:
    applied = {one.version: Numbered(seq) for seq, one in enumerate(PHASES[:2])}
    with pytest.raises(AdoptionRefused, match="half way through its own: contract is not applied"):
        export_statements(Tool.GOOSE, PHASES, applied)  # type: ignore[arg-type]


def test_an_export_leaves_out_what_the_tool_has_already() -> None:
    applied = dict.fromkeys(("001", "002"), object())
    there = There(frozenset({"001"}), exists=True, rows=1)
    statements = export_statements(Tool.DBMATE, FOLDER, applied, there)  # type: ignore[arg-type]
    assert [one for one in statements if one.startswith("INSERT")] == [
        "INSERT INTO schema_migrations (version) VALUES ('002')"
    ]


@pytest.mark.parametrize("tool", sorted(set(Tool) - set(EXPORTED)))
def test_a_history_that_is_only_read_is_not_written(tool: Tool) -> None:
    with pytest.raises(AdoptionRefused, match=f"for {tool}; name one of dbmate, goose"):
        export_statements(tool, FOLDER, {})
