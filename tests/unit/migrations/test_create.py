"""The template of a new migration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from migrations.bundle import load_folder
from migrations.create import create
from migrations.errors import CreateError, MarkerError

NOON = datetime(2026, 1, 2, 12, 30, 45, tzinfo=UTC)


def test_the_file_is_named_by_utc_time_and_title(tmp_path: Path) -> None:
    path = create(tmp_path, "Add e-mail index", at=NOON)
    assert path == tmp_path / "20260102123045_add_e_mail_index.sql"


def test_the_version_is_utc_whatever_the_clock_shows(tmp_path: Path) -> None:
    zurich = NOON.astimezone(timezone(timedelta(hours=1)))
    assert create(tmp_path, "x", at=zurich).name == "20260102123045_x.sql"


def test_the_header_names_author_date_and_description(tmp_path: Path) -> None:
    text = create(
        tmp_path, "x", at=NOON, author="Ada", description="Two\nlines; -- +migrate Up"
    ).read_text()
    assert "-- Author:      Ada\n-- Date:        2026-01-02\n" in text
    assert "-- Description: Two lines; -- +migrate Up\n" in text


def test_an_untouched_template_does_not_load_and_says_why(tmp_path: Path) -> None:
    create(tmp_path, "x", at=NOON)
    with pytest.raises(MarkerError, match="the Up section holds no statement"):
        load_folder(tmp_path)


def test_a_filled_template_loads_with_all_three_sections(tmp_path: Path) -> None:
    path = create(tmp_path, "x", at=NOON, description="{braces} stay")
    text = path.read_text().replace("\n\n\n-- +migrate Down", "\nSELECT 1;\n\n-- +migrate Down")
    path.write_text(text)
    (migration,) = load_folder(tmp_path).migrations
    assert [statement.text for statement in migration.up.statements] == ["SELECT 1"]
    assert migration.up.options.lock_timeout_s == 2
    assert migration.down is not None
    assert migration.verify is not None


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    assert create(tmp_path / "db" / "migrations", "x", at=NOON).exists()


def test_a_taken_version_is_refused(tmp_path: Path) -> None:
    create(tmp_path, "first", at=NOON)
    with pytest.raises(CreateError, match=r"first\.sql has version"):
        create(tmp_path, "second", at=NOON)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_taken_name_is_refused_and_the_file_is_left_alone(tmp_path: Path) -> None:
    path = create(tmp_path, "same", at=NOON)
    path.write_text("mine")
    with pytest.raises(CreateError, match="has this name already"):
        create(tmp_path, "Same", at=NOON + timedelta(days=1))
    assert path.read_text() == "mine"


@pytest.mark.parametrize("title", ["", "  ", "../..", "日本"])
def test_a_title_that_gives_no_name_is_refused(tmp_path: Path, title: str) -> None:
    with pytest.raises(CreateError, match="gives no file name"):
        create(tmp_path, title, at=NOON)


def test_a_title_cannot_leave_the_folder(tmp_path: Path) -> None:
    path = create(tmp_path, "../../etc/passwd", at=NOON)
    assert path.parent == tmp_path


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CreateError, match="Name another folder"):
        create(tmp_path / "file", "x", at=NOON)
