"""Numbers of things in words."""

from __future__ import annotations

import pytest

from ledger.domain.wording import failure_text, number_of
from migrations.model.attempt import Failure, FailureClass


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 databases"), (1, "1 database"), (2, "2 databases")]
)
def test_one_thing_is_not_several(count: int, said: str) -> None:
    assert number_of(count, "database") == said


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Failure(kind=FailureClass.FENCE, message="no"), "no"),
        (Failure(kind=FailureClass.CHECKSUM, message="no", file="2_b.sql"), "2_b.sql: no"),
        (
            Failure(
                kind=FailureClass.SQL,
                message="no",
                sqlstate="42P01",
                file="2_b.sql",
                line=7,
                blocker="pid 9",
            ),
            "2_b.sql:7: no (SQLSTATE 42P01); blocked by pid 9",
        ),
    ],
)
def test_a_failure_says_where_and_who_is_in_the_way(failure: Failure, said: str) -> None:
    assert failure_text(failure) == said
