"""libpq's password file: read as a person keeps it, written for one psql."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.target.password_file import ambient_password, password_lines
from migrations.target.session import ConnectionSettings

PLACE = ("db.internal", 5432, "acme", "ada")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A password file as it must be: for its owner alone."""
    path = tmp_path / ".pgpass"
    path.touch(mode=0o600)
    return path


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("db.internal:5432:acme:ada:secret\n", "secret"),
        ("# a comment\nother:5432:acme:ada:no\n*:*:*:*:secret\n", "secret"),
        ("*:*:*:ada:first\n*:*:*:*:second\n", "first"),
        ("*:*:*:*:a\\:b\\\\c\n", "a:b\\c"),
        ("*:*:*:*:a:b\n", "a:b"),
        ("db.internal:5432:acme:bob:no\n", None),
        ("db.internal:5432:acme\n", None),
        ("", None),
    ],
)
def test_the_first_line_for_the_place_counts(file: Path, text: str, password: str | None) -> None:
    file.write_text(text)
    assert ambient_password(*PLACE, {"HOME": str(file.parent)}) == password
    assert ambient_password(*PLACE, {"PGPASSFILE": str(file)}) == password


def test_a_file_that_others_may_read_is_left_alone(file: Path) -> None:
    file.write_text("*:*:*:*:secret\n")
    file.chmod(0o644)
    assert ambient_password(*PLACE, {"PGPASSFILE": str(file)}) is None
    assert ambient_password(*PLACE, {"PGPASSFILE": str(file.parent)}) is None


def test_an_address_without_a_password_takes_what_a_person_keeps_for_libpq() -> None:
    url = "postgresql://ada@db.internal/acme"
    found = ConnectionSettings.from_url(url, environ={"PGPASSWORD": "kept"}).password
    assert found is not None
    assert found.reveal() == "kept"
    assert ConnectionSettings.from_url(url, environ={}).password is None
    said = ConnectionSettings.from_url(
        "postgresql://ada:said@db/acme", environ={"PGPASSWORD": "kept"}
    ).password
    assert said is not None
    assert said.reveal() == "said"


@given(st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"), min_size=1))
def test_what_is_written_is_what_is_read(password: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "password"
        file.touch(mode=0o600)
        place = ("db.internal", "5432", "a:b\\c", "ada")
        file.write_text(password_lines(place, password), encoding="utf-8")
        environ = {"PGPASSFILE": str(file)}
        assert ambient_password("db.internal", 5432, "a:b\\c", "ada", environ) == password
        assert ambient_password("db.internal", 5432, "a:b", "ada", environ) is None


@pytest.mark.parametrize("password", ["a\nb", "a\rb", "a\0b"])
def test_what_would_be_two_lines_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        password_lines(("h", "1", "d", "u"), password)
