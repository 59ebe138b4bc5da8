"""Changes in phases: files of one name, each a migration of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.errors import DuplicateVersionError, FileNameError, LoadError
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import Migration
from migrations.model.ordering import late
from migrations.model.phases import Phase, outlived, through

SQL = "-- +migrate Up\nSELECT 1;\n"
CODE = "async def up(conn): pass\n"


def loaded(folder: Path, *names: str) -> tuple[Migration, ...]:
    for name in names:
        (folder / name).write_text(CODE if name.endswith(".py") else SQL)
    return load_folder(folder).migrations


def test_each_phase_is_a_migration_with_the_units_version_and_a_number(tmp_path: Path) -> None:
    found = loaded(tmp_path, "5_split.contract.sql", "5_split.expand.sql", "5_split.migrate.py")
    assert [(one.version, one.name, one.phase) for one in found] == [
        ("5.1", "split.expand", "expand"),
        ("5.2", "split.migrate", "migrate"),
        ("5.3", "split.contract", "contract"),
    ]
    assert {one.unit for one in found} == {"5_split"}


def test_units_stand_in_order_among_other_migrations(tmp_path: Path) -> None:
    found = loaded(tmp_path, "4_a.sql", "5_b.expand.sql", "5_b.contract.sql", "6_c.sql")
    assert [one.label for one in found] == ["4_a", "5.1_b.expand", "5.3_b.contract", "6_c"]
    assert [one.phase for one in found if one.unit == ""] == ["", ""]


def test_a_phase_is_built_again_from_its_own_file(tmp_path: Path) -> None:
    for one in loaded(tmp_path, "5_b.expand.sql", "5_b.contract.sql", "5_b.migrate.py"):
        again = load_files(one.format, one.files, version=one.version, name=one.name)
        assert again == one


@pytest.mark.parametrize(
    ("names", "error", "problem"),
    [
        (["5_b.contract.sql"], FileNameError, "contract comes without expand"),
        (["5_b.migrate.sql", "5_b.contract.sql"], FileNameError, "migrate comes without expand"),
        (["5_b.expand.sql", "5_c.contract.sql"], DuplicateVersionError, "and another name"),
        (["5_b.expand.sql", "05_b.sql"], DuplicateVersionError, "has the version of"),
        (["5_b.expand.sql", "5_b.expand.py"], DuplicateVersionError, "the same version"),
        (["5_b.Expand.sql"], FileNameError, "almost a phase"),
        (["5.expand.sql"], LoadError, "5.expand.sql"),
    ],
)
def test_what_makes_no_unit_is_refused(
    tmp_path: Path, names: list[str], error: type[LoadError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        loaded(tmp_path, *names)


def test_a_name_with_another_ending_is_no_phase(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path, "5_b.extended.sql")
    assert (one.version, one.phase) == ("5", "")


@pytest.mark.parametrize(
    ("last", "kept", "held"),
    [
        (Phase.EXPAND, ["4", "5.1", "6"], ["5.2", "5.3"]),
        (Phase.MIGRATE, ["4", "5.1", "5.2", "6"], ["5.3"]),
        (Phase.CONTRACT, ["4", "5.1", "5.2", "5.3", "6"], []),
    ],
)
def test_a_rollout_goes_through_the_phase_that_is_asked_for(
    tmp_path: Path, last: Phase, kept: list[str], held: list[str]
) -> None:
    names = ("4_a.sql", "5_b.expand.sql", "5_b.migrate.sql", "5_b.contract.sql", "6_c.sql")
    goes, waits = through(loaded(tmp_path, *names), last)
    assert [one.version for one in goes] == kept
    assert [one.version for one in waits] == held


def test_a_phase_that_was_held_back_may_follow_newer_migrations(tmp_path: Path) -> None:
    names = ("5_b.expand.sql", "5_b.migrate.sql", "5_b.contract.sql", "6_c.sql")
    found = loaded(tmp_path, *names)
    assert late(found, {"5.1", "6"}) == {}
    assert list(late(found, {"6"})) == ["5.1"]


def test_a_contract_outlives_the_earlier_phases_of_its_own_unit(tmp_path: Path) -> None:
    units = ("5_b.expand.sql", "5_b.migrate.sql", "5_b.contract.sql", "7_d.expand.sql")
    found = loaded(tmp_path, "4_a.sql", *units, "7_d.contract.sql")
    assert outlived(found, {"4", "5.1", "5.2", "7.1"}) == frozenset()
    assert outlived(found, {"4", "5.1", "5.2", "5.3", "7.1"}) == {"5.1", "5.2"}
