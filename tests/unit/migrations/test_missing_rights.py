"""What a person is told to grant where the server refuses a look."""

from __future__ import annotations

import asyncpg
import pytest

from migrations.target.refusals import to_grant


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            asyncpg.InsufficientPrivilegeError("permission denied for table journal"),
            "grant the user the role that schema migration_ledger and its tables belong to",
        ),
        (
            asyncpg.InsufficientPrivilegeError("permission denied for schema migration_ledger"),
            "grant the user the role that schema migration_ledger and its tables belong to",
        ),
        (
            asyncpg.InsufficientPrivilegeError(
                "permission denied for function pg_stat_get_activity"
            ),
            "every user has that right until it is revoked: grant it to the user again",
        ),
    ],
)
def test_the_right_that_is_missing_is_named(error: asyncpg.PostgresError, told: str) -> None:
    assert to_grant(error) == f"; {told}"


def test_where_no_right_is_missing_nothing_is_to_be_granted() -> None:
    assert to_grant(asyncpg.UndefinedTableError("there is no journal")) == ""
