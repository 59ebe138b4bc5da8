"""What a command that must not go on says of the journal: nothing is passed over in silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agents.secrets import connection_settings
from agents.settings import AgentSettings
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.reports import DatabaseIdentified, MigrationApplied, OutsideChangeFound
from migrations import standalone
from migrations.formats.bundle import load_files
from migrations.model.attempt import Expectation, Limits, Verdict
from migrations.model.migration import SourceFile
from migrations.model.work import Silence
from tests.integration.agents.conftest import (
    ADD_NOTE,
    SLEEP,
    SLEEP_LONG,
    Desk,
    Place,
    connection_of,
    wrong_agent,
)
from tests.support.wrong_clock import Watch


async def known(place: Place, desk: Desk, url: str) -> Expectation:
    """What the ledger expects after its first command, which applies ADD_NOTE."""
    command = desk.apply(url, [ADD_NOTE])
    async with place.agent(desk.pool):
        await desk.send(command, files=[ADD_NOTE])
        head = (await desk.finished(command)).journal_head
    (met,) = [one.report for one in desk.heard if isinstance(one.report, DatabaseIdentified)]
    return Expectation(identity=met.identity, journal_head=head)


async def taken_back_by_hand(url: str) -> None:
    """Take ADD_NOTE back, as `ledger db down --outside-ledger` does it."""
    settings = connection_settings(
        connection_of(url), "by-hand", AgentSettings(pool="x", insecure_postgres=True)
    )
    outcome = await standalone.down(
        settings,
        [load_files("sql-migrate", [SourceFile(*ADD_NOTE)])],
        Limits(),
        Silence(),
        outside=standalone.Outside("night shift"),
    )
    assert outcome.failure is None


def outside_found(desk: Desk, command: ApplyCommand) -> list[str]:
    """The reasons of the work outside of a ledger that was reported with `command`."""
    reports = [one.report for one in desk.heard if one.report.command == command.command]
    return [one.reason for one in reports if isinstance(one, OutsideChangeFound)]


async def test_an_order_that_is_cancelled_before_it_begins_reports_what_was_done_by_hand(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    expected = await known(inside, inside_desk, tenant_database)
    await taken_back_by_hand(tenant_database)
    cancelled = inside_desk.apply(tenant_database, [ADD_NOTE], expected=expected)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(inside_desk.cancel(cancelled))
        await inside_desk.send(cancelled)
        finished = await inside_desk.finished(cancelled)
        assert finished.verdict is Verdict.CANCELLED
        assert outside_found(inside_desk, cancelled) == ["night shift"]

        expected = replace(expected, journal_head=finished.journal_head)
        again = inside_desk.apply(tenant_database, [ADD_NOTE], expected=expected)
        await inside_desk.send(again)
        assert (await inside_desk.finished(again)).verdict is Verdict.DONE
    assert outside_found(inside_desk, again) == []


async def test_an_order_that_is_cancelled_while_it_runs_reports_what_was_done_by_hand_once(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    expected = await known(inside, inside_desk, tenant_database)
    await taken_back_by_hand(tenant_database)
    command = inside_desk.apply(tenant_database, [SLEEP_LONG], expected=expected)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=[SLEEP_LONG])
        await inside_desk.until(lambda one: isinstance(one.report, OutsideChangeFound))
        await inside_desk.send(inside_desk.cancel(command))
        assert (await inside_desk.finished(command)).verdict is Verdict.CANCELLED
    found = {
        one.event_id
        for one in inside_desk.heard
        if one.report.command == command.command and isinstance(one.report, OutsideChangeFound)
    }
    assert len(found) == 1


async def test_a_journal_that_the_ledger_does_not_know_is_not_taken_for_known(
    inside: Place, inside_desk: Desk, tenant_database: str
) -> None:
    expected = await known(inside, inside_desk, tenant_database)
    other = replace(expected, journal_head="0" * 64)
    cancelled = inside_desk.apply(tenant_database, [SLEEP], expected=other)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(inside_desk.cancel(cancelled))
        await inside_desk.send(cancelled)
        finished = await inside_desk.finished(cancelled)
    assert (finished.verdict, finished.journal_head) == (Verdict.CANCELLED, None)


@pytest.mark.parametrize("late", [False, True], ids=["in-time", "expired"])
async def test_after_an_order_that_a_shutdown_left_half_done_the_next_one_goes_on(
    inside: Place, inside_desk: Desk, tenant_database: str, late: bool
) -> None:
    expected = await known(inside, inside_desk, tenant_database)
    files = [SLEEP, SLEEP_LONG]
    expires_at = datetime.now(UTC) + timedelta(seconds=40)
    command = inside_desk.apply(tenant_database, files, expected=expected, expires_at=expires_at)
    async with inside.agent(inside_desk.pool):
        await inside_desk.send(command, files=files)
        await inside_desk.until(
            lambda one: (
                isinstance(one.report, MigrationApplied) and one.report.command == command.command
            )
        )
    # The agent that takes over says the same, whether it has come in time or not.
    ahead = Watch(timedelta(seconds=45 if late else 0))
    async with wrong_agent(inside, inside_desk.pool, ahead):
        finished = await inside_desk.finished(command)
        assert (finished.verdict, finished.changed) == (Verdict.CANCELLED, 1)
        assert finished.failure is not None
        assert finished.failure.message.startswith("the migration was cancelled")

        expected = replace(expected, journal_head=finished.journal_head)
        again = inside_desk.apply(tenant_database, [SLEEP], expected=expected)
        await inside_desk.send(again)
        assert (await inside_desk.finished(again)).verdict is Verdict.DONE
