"""Which of several errors says why a leader ended."""

from __future__ import annotations

import asyncpg
import pytest

from ledger.errors import LeadershipLost, LedgerUnreachable, StaleTerm
from ledger.leader.supervisor import _cause
from ledger.store.obstacles import said_of

CLOSED = asyncpg.InterfaceError("the underlying connection is closed")
WRONG = type("WrongArgument", (asyncpg.InterfaceError, ValueError), {})("no integer")


@pytest.mark.parametrize("lost", [CLOSED, ConnectionResetError(), asyncpg.AdminShutdownError("x")])
def test_a_lost_connection_is_told_in_our_own_words(lost: Exception) -> None:
    told = _cause(BaseExceptionGroup("all", [ExceptionGroup("bus", [lost])]))
    assert isinstance(told, LedgerUnreachable)
    assert told.said == said_of(lost)
    assert type(lost).__name__ not in str(told)


@pytest.mark.parametrize("why", [LeadershipLost(), StaleTerm(1, 2)])
def test_that_somebody_else_leads_is_told_before_what_follows_from_it(why: Exception) -> None:
    assert _cause(ExceptionGroup("all", [CLOSED, ExceptionGroup("bus", [why])])) is why


@pytest.mark.parametrize("defect", [KeyError("x"), WRONG])
def test_a_defect_stays_what_it_is(defect: Exception) -> None:
    assert _cause(ExceptionGroup("all", [defect, CLOSED])) is defect
