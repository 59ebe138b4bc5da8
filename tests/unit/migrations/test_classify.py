"""How a statement must run, against the server's own verdict."""

from __future__ import annotations

import pytest

from migrations.errors import ForbiddenSqlError
from migrations.model.migration import StatementKind
from migrations.sql.statements import split
from tests.support.transaction_rules import (
    ALLOWED_INSIDE,
    REFUSED_INSIDE_AND_BY_US,
    REFUSED_INSIDE_AND_RUN_OUTSIDE,
)


@pytest.mark.parametrize("sql", ALLOWED_INSIDE)
def test_what_the_server_allows_in_a_transaction_is_transactional(sql: str) -> None:
    (statement,) = split(sql, file="f.sql")
    assert statement.kind is StatementKind.TRANSACTIONAL


@pytest.mark.parametrize("sql", REFUSED_INSIDE_AND_RUN_OUTSIDE)
def test_what_the_server_refuses_and_can_be_repeated_runs_outside(sql: str) -> None:
    (statement,) = split(sql, file="f.sql")
    assert statement.kind is StatementKind.OUTSIDE


@pytest.mark.parametrize("sql", REFUSED_INSIDE_AND_BY_US)
def test_what_the_server_refuses_and_no_probe_can_settle_is_refused_by_name(sql: str) -> None:
    with pytest.raises(ForbiddenSqlError) as refused:
        split(sql, file="f.sql")
    assert sql.split()[0] in refused.value.problem
    assert refused.value.remedy
