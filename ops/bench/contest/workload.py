"""Two migrations of the size that people write, in the file format of each program.

Everybody runs the same statements; only the lines around them differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CREATE_USERS = """
    CREATE TABLE users (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        email       text  NOT NULL UNIQUE,
        settings    jsonb NOT NULL DEFAULT '{}',
        first_name  text,
        last_name   text,
        address     text,
        city        text,
        state       text,
        postal_code text,
        country     text
    );
    INSERT INTO users (email, settings, first_name, last_name, city, country)
    SELECT format('user%s@example.com', n), '{"theme": "dark"}', 'Ada', 'Lovelace', 'Lyon', 'FR'
    FROM generate_series(1, 200) AS n;
"""
"""What each database of the fleet holds before the first migration."""


@dataclass(frozen=True, slots=True)
class Work:
    """One migration: statements without their semicolons."""

    version: str
    name: str
    up: tuple[str, ...]
    down: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The name that every program here understands."""
        return f"{self.version}_{self.name}.sql"


WORKS = (
    Work(
        version="20260301090000",
        name="add_profiles",
        up=(
            "ALTER TABLE users ADD COLUMN phone text, ADD COLUMN last_login timestamptz",
            "CREATE TABLE profiles (user_id bigint PRIMARY KEY REFERENCES users (id), bio text)",
            "CREATE INDEX users_last_login_idx ON users (last_login)",
            "COMMENT ON COLUMN users.phone IS 'As the user wrote it'",
        ),
        down=(
            "DROP TABLE profiles",
            "ALTER TABLE users DROP COLUMN phone, DROP COLUMN last_login",
        ),
    ),
    Work(
        version="20260302090000",
        name="add_locale",
        up=(
            "ALTER TABLE users ADD COLUMN locale text NOT NULL DEFAULT 'en'",
            "UPDATE users SET locale = 'fr' WHERE country = 'FR' AND id <= 20",
            "CREATE INDEX users_locale_idx ON users (locale)",
            "INSERT INTO profiles (user_id, bio) SELECT id, '' FROM users WHERE id <= 20",
        ),
        down=("DELETE FROM profiles", "ALTER TABLE users DROP COLUMN locale"),
    ),
)
"""The first runs where no program has been yet; the second finds the program's own table."""

MARKERS = {
    "ours": ("-- +migrate Up", "-- +migrate Down"),
    "dbmate": ("-- migrate:up", "-- migrate:down"),
    "goose": ("-- +goose Up", "-- +goose Down"),
}
"""The lines that each program looks for in a file."""


def write_folder(folder: Path, program: str, count: int) -> Path:
    """Write the first `count` migrations as files for `program` and return the folder."""
    up, down = MARKERS[program]
    folder.mkdir(parents=True, exist_ok=True)
    for work in WORKS[:count]:
        lines = [up, *(f"{sql};" for sql in work.up), "", down, *(f"{sql};" for sql in work.down)]
        (folder / work.file_name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
