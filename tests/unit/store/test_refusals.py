"""What the database refuses becomes an error that names the next action."""

from __future__ import annotations

import asyncpg
import pytest

from ledger.errors import (
    LedgerError,
    LedgerIsStandby,
    NotInstalled,
    NotPermitted,
    StoreError,
    VersionConflict,
)
from ledger.store.refusals import translated


def refusal(sqlstate: str, **fields: str) -> asyncpg.PostgresError:
    """An error as the driver makes it from the server's message."""
    names = {"message": "M", "detail": "D"}
    answer = {"S": "ERROR", "C": sqlstate} | {names[name]: text for name, text in fields.items()}
    error: asyncpg.PostgresError = asyncpg.PostgresError.new(answer)
    return error


def test_a_version_conflict_says_expected_and_found() -> None:
    detail = '{"stream": "rollout-1", "expected": 3, "found": 5}'
    conflict = translated(refusal("LG001", message="x", detail=detail))
    assert isinstance(conflict, VersionConflict)
    assert (conflict.stream, conflict.expected, conflict.found) == ("rollout-1", 3, 5)


@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("42501", NotPermitted),
        ("25006", LedgerIsStandby),
        ("3F000", NotInstalled),
        ("42P01", NotInstalled),
        ("42883", NotInstalled),
    ],
)
def test_postgresqls_own_refusals_are_understood(sqlstate: str, error: type[LedgerError]) -> None:
    assert type(translated(refusal(sqlstate, message="x"))) is error


def test_an_unforeseen_error_is_told_without_its_detail() -> None:
    told = translated(refusal("53100", message="disk full", detail="Key (id)=(secret)"))
    assert type(told) is StoreError
    assert "53100" in str(told)
    assert "disk full" in str(told)
    assert "secret" not in str(told)
