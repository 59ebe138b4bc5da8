"""A new change in a Sqitch project."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from migrations.authoring.create import MigrationKind, Wanted, create
from migrations.errors import CreateError
from migrations.formats.bundle import load_folder

NOON = datetime(2026, 1, 2, 12, 30, 45, tzinfo=UTC)
ADA = "Ada Lovelace <ada@example.com>"
PLAN = """\
%syntax-version=1.0.0
%project=shop

users 2025-01-01T00:00:00Z Bob <bob@example.com> # Users
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with one change."""
    (tmp_path / "sqitch.plan").write_text(PLAN)
    for kind in ("deploy", "revert", "verify"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "users.sql").write_text("SELECT 1;\n")
    return tmp_path


def test_a_change_has_its_line_in_the_plan_and_three_scripts(project: Path) -> None:
    paths = create(project, "Add carts", at=NOON, author=ADA, description="Carts of users")
    assert [str(path.relative_to(project)) for path in paths] == [
        "deploy/add_carts.sql",
        "revert/add_carts.sql",
        "verify/add_carts.sql",
        "sqitch.plan",
    ]
    line = f"add_carts 2026-01-02T12:30:45Z {ADA} # Carts of users\n"
    assert (project / "sqitch.plan").read_text() == PLAN + line
    for path in paths[:3]:
        path.write_text(path.read_text().replace("\n-- ", "\nSELECT 1; -- ", 1))
    assert [one.version for one in load_folder(project).migrations] == ["users", "add_carts"]


def test_a_name_that_the_plan_has_is_refused_and_nothing_changes(project: Path) -> None:
    with pytest.raises(CreateError, match="has the change users already"):
        create(project, "Users", at=NOON, author=ADA)
    assert (project / "sqitch.plan").read_text() == PLAN
    assert (project / "deploy" / "users.sql").read_text() == "SELECT 1;\n"


def test_an_author_that_a_plan_cannot_hold_is_refused(project: Path) -> None:
    with pytest.raises(CreateError, match="--author"):
        create(project, "carts", at=NOON, author="Ada")


def test_without_a_plan_there_is_no_project(tmp_path: Path) -> None:
    from migrations.authoring.create import Wanted

    with pytest.raises(CreateError, match="sqitch init"):
        create(tmp_path, "carts", at=NOON, author=ADA, wanted=Wanted(format="sqitch"))


@pytest.mark.parametrize(
    "wanted", [Wanted(MigrationKind.PYTHON), Wanted(MigrationKind.DATA), Wanted(recipe="x")]
)
def test_what_no_plan_can_name_is_refused_and_nothing_is_written(
    project: Path, wanted: Wanted
) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(CreateError, match="names SQL scripts only"):
        create(project, "x", at=NOON, author=ADA, wanted=wanted)
    assert sorted(project.rglob("*")) == before
