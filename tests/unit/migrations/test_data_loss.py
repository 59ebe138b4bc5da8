"""What statements take away for good, as a question says it before something goes back."""

from __future__ import annotations

import pytest

from migrations.sql.data_loss import lost_by


@pytest.mark.parametrize(
    ("statement", "lost"),
    [
        ("DROP TABLE users", ["drops table users"]),
        ("DROP TABLE IF EXISTS a, shop.b CASCADE", ["drops table a", "drops table shop.b"]),
        (
            "ALTER TABLE shop.users DROP COLUMN weight, DROP COLUMN IF EXISTS size",
            ["drops column shop.users.weight", "drops column shop.users.size"],
        ),
        ("DROP SCHEMA old CASCADE", ["drops schema old"]),
        ("DROP SEQUENCE numbers", ["drops sequence numbers"]),
        ("DROP TYPE mood", ["drops type mood"]),
        ("TRUNCATE a, b", ["empties table a", "empties table b"]),
        ("DELETE FROM users WHERE id > 5", ["deletes from users"]),
        ("DO $$ BEGIN END $$", ["runs a DO block, whose effect is not looked into"]),
    ],
)
def test_what_takes_data_away_is_named(statement: str, lost: list[str]) -> None:
    assert lost_by([statement]) == lost


@pytest.mark.parametrize(
    "statement",
    [
        "DROP INDEX one_name",
        "DROP VIEW v",
        "DROP FUNCTION f()",
        "ALTER TABLE users DROP CONSTRAINT c",
        "ALTER TABLE users ADD COLUMN weight int",
        "UPDATE users SET name = 'x'",
        "SELECT 1",
        "this is no SQL (",
    ],
)
def test_what_takes_none_away_is_not(statement: str) -> None:
    assert lost_by([statement]) == []


def test_the_same_loss_is_named_once() -> None:
    assert lost_by(["DELETE FROM a", "DROP TABLE b", "DELETE FROM a"]) == [
        "deletes from a",
        "drops table b",
    ]
