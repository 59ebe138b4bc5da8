"""An agent, the ledger and a database that do not agree what time it is: nothing is begun."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.reports import (
    AttemptFinished,
    CommandRefused,
    DatabaseIdentified,
    DatabaseInspected,
)
from migrations.model.attempt import Expectation, Verdict
from tests.integration.agents.conftest import (
    ADD_NOTE,
    BROKEN,
    Desk,
    File,
    Place,
    columns,
    wrong_agent,
)
from tests.support.orders import changed, told_at
from tests.support.wrong_clock import Watch

HOUR = timedelta(hours=1)
AHEAD = "is 2 h ahead of the database server's"
BEHIND = "is 2 h behind the database server's"
BEHIND_LEDGER = "is 2 h behind the ledger's"


async def answer(
    place: Place, desk: Desk, command: ApplyCommand, wrong: timedelta
) -> AttemptFinished:
    """What an agent whose clock is wrong makes of a command."""
    async with wrong_agent(place, desk.pool, Watch(wrong)):
        await desk.send(command, files=[ADD_NOTE])
        return await desk.finished(command)


def ordered(
    desk: Desk,
    url: str,
    *,
    ledger: timedelta = timedelta(),
    files: Sequence[File] = (ADD_NOTE,),
    **changes: object,
) -> ApplyCommand:
    """A command by a ledger whose clock is wrong by so much, good for an hour."""
    now = datetime.now(UTC) + ledger
    return told_at(desk.apply(url, files, expires_at=now + HOUR, **changes), now)


async def met(place: Place, desk: Desk, url: str) -> Expectation:
    """What the ledger expects of a database after its first contact, in which nothing held."""
    command = desk.apply(url, [BROKEN])
    async with place.agent(desk.pool):
        await desk.send(command, files=[BROKEN])
        head = (await desk.finished(command)).journal_head
    (first,) = [one.report for one in desk.heard if isinstance(one.report, DatabaseIdentified)]
    return Expectation(identity=first.identity, journal_head=head)


@pytest.mark.parametrize("known", [False, True], ids=["first-contact", "known"])
@pytest.mark.parametrize(
    ("agent", "ledger", "why"),
    [
        pytest.param(2 * HOUR, timedelta(), AHEAD, id="agent-ahead-past-the-expiry"),
        pytest.param(2 * HOUR, 2 * HOUR, AHEAD, id="database-behind-both"),
        pytest.param(-2 * HOUR, timedelta(), BEHIND_LEDGER, id="agent-behind-both"),
        pytest.param(-2 * HOUR, -2 * HOUR, BEHIND, id="database-ahead-of-both"),
        pytest.param(timedelta(), 2 * HOUR, BEHIND_LEDGER, id="ledger-ahead-of-both"),
    ],
)
async def test_nothing_is_begun_while_clocks_disagree_and_the_report_says_which(
    inside: Place,
    inside_desk: Desk,
    tenant_database: str,
    known: bool,
    agent: timedelta,
    ledger: timedelta,
    why: str,
) -> None:
    expected = await met(inside, inside_desk, tenant_database) if known else Expectation()
    command = ordered(inside_desk, tenant_database, ledger=ledger, expected=expected)
    finished = await answer(inside, inside_desk, command, agent)
    assert finished.verdict is Verdict.REFUSED
    assert finished.failure is not None
    assert finished.failure.kind == "clock"
    assert f"the clock of agent one {why}" in finished.failure.message
    assert "note" not in await columns(tenant_database)
    refused = [one.report for one in inside_desk.heard if isinstance(one.report, CommandRefused)]
    assert [one.failure for one in refused] == [finished.failure]
    # As soon as they agree, the same work is done.
    again = ordered(inside_desk, tenant_database, expected=expected)
    assert (await answer(inside, inside_desk, again, timedelta())).verdict is Verdict.DONE
    assert "note" in await columns(tenant_database)


@pytest.mark.parametrize("wrong_s", [-45, 45])
async def test_clocks_that_differ_a_little_are_good_enough(
    inside: Place, inside_desk: Desk, tenant_database: str, wrong_s: int
) -> None:
    command = ordered(inside_desk, tenant_database)
    finished = await answer(inside, inside_desk, command, timedelta(seconds=wrong_s))
    assert finished.verdict is Verdict.DONE


async def test_what_an_earlier_delivery_has_done_is_answered_by_an_agent_with_a_wrong_clock(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = ordered(inside_desk, tenant_database)
    first = await answer(inside, inside_desk, command, timedelta())
    for wrong in (2 * HOUR, -2 * HOUR):
        inside_desk.heard.clear()
        again = await answer(inside, inside_desk, command, wrong)
        assert (again.verdict, again.journal_head) == (Verdict.DONE, first.journal_head)


async def test_a_clock_that_jumps_is_noticed_at_the_next_command(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    watch = Watch()
    async with wrong_agent(inside, inside_desk.pool, watch):
        verdicts: list[Verdict] = []
        for wrong in (2 * HOUR, timedelta(seconds=1), -2 * HOUR):
            watch.wrong = wrong
            file = (f"2026010100000{len(verdicts)}_note.sql", ADD_NOTE[1])
            command = ordered(inside_desk, tenant_database, files=[file])
            await inside_desk.send(command, files=[file])
            verdicts.append((await inside_desk.finished(command)).verdict)
    assert verdicts == [Verdict.REFUSED, Verdict.DONE, Verdict.REFUSED]


async def test_a_look_is_taken_also_by_an_agent_whose_clock_is_wrong(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    command = inside_desk.inspect(tenant_database)
    async with wrong_agent(inside, inside_desk.pool, Watch(2 * HOUR)):
        await inside_desk.send(command)
        found = await inside_desk.until(lambda one: isinstance(one.report, DatabaseInspected))
    assert isinstance(found.report, DatabaseInspected)
    assert found.report.reachable


async def test_a_look_that_is_late_by_the_databases_clock_too_is_not_taken(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    command = changed(inside_desk.inspect(tenant_database), expires_at=past)
    async with wrong_agent(inside, inside_desk.pool, Watch()):
        await inside_desk.send(command)
        found = await inside_desk.until(lambda one: isinstance(one.report, DatabaseInspected))
    assert isinstance(found.report, DatabaseInspected)
    assert found.report.failure is not None
    assert found.report.failure.kind == "expired"
