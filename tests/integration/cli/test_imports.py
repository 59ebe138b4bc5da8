"""What a command imports: most of what a short one costs, so only what it needs."""

from __future__ import annotations

import re

import pytest

from tests.support.program import Answer, LedgerProgram

IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)
NEVER = (
    "agents", "aiokafka", "cryptography", "ledger.collector", "ledger.embedded", "ledger.leader",
    "ledger.service.audit", "ledger.service.installation", "ledger.service.keys",
    "opentelemetry.sdk", "rich", "urllib.request", "yaml",
)  # fmt: skip
"""What no command needs that only looks or plans: who works, other services, other libraries."""
PARSER = ("google.protobuf", "migrations.formats", "migrations.sql.grammar", "postgast")
STATUSES = ("ledger.service.fleet_status", "ledger.service.rollout_reader")
REPORTS = ("ledger.service.check_report", "ledger.service.database_report")


def imported(answer: Answer) -> set[str]:
    """The modules that a command imported, with the packages they are in."""
    assert answer.code == 0, answer.err
    found = set(IMPORTED.findall(answer.err))
    assert "ledger.cli.app.start" in found
    return found


@pytest.mark.usefixtures("fleet", "migrations")
async def test_up_with_nothing_to_do_imports_nothing_that_only_work_needs(
    ledger: LedgerProgram,
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    again = await ledger("up", "--yes", PYTHONPROFILEIMPORTTIME="1")
    assert "Every selected database has all of these migrations." in again.err
    assert imported(again) & {*NEVER, *STATUSES, *REPORTS, "ledger.service.history"} == set()


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (("status",), (*PARSER, *REPORTS, "ledger.service.rollouts", "ledger.service.history")),
        (("fleet", "list"), (*PARSER, *REPORTS, "ledger.service.rollouts")),
        (("rollout", "list"), (*PARSER, *REPORTS, "ledger.service.rollout_reader")),
        (("plan",), (*STATUSES, *REPORTS, "ledger.service.history")),
        (("history",), (*PARSER, "ledger.service.check_report")),
        (("events",), (*PARSER, "ledger.service.check_report")),
    ],
)
@pytest.mark.usefixtures("fleet", "migrations")
async def test_a_command_that_looks_imports_no_service_that_it_does_not_ask(
    ledger: LedgerProgram, words: tuple[str, ...], unneeded: tuple[str, ...]
) -> None:
    assert (
        imported(await ledger(*words, PYTHONPROFILEIMPORTTIME="1")) & {*NEVER, *unneeded} == set()
    )


@pytest.mark.usefixtures("fleet", "migrations")
async def test_who_stops_a_rollout_waits_for_no_parser_and_no_status(
    ledger: LedgerProgram,
) -> None:
    assert "nothing happens until" in (await ledger("up", "--yes", "--no-wait")).err
    paused = await ledger("rollout", "pause", "--yes", PYTHONPROFILEIMPORTTIME="1")
    assert imported(paused) & {*NEVER, *PARSER, *REPORTS, *STATUSES} == set()


@pytest.mark.usefixtures("fleet", "migrations")
async def test_what_is_looked_for_is_found_where_it_is_needed(ledger: LedgerProgram) -> None:
    worked = imported(await ledger("up", "--yes", PYTHONPROFILEIMPORTTIME="1"))
    assert worked >= {"agents", "ledger.leader", "postgast", "google.protobuf"}
    assert imported(await ledger("rollout", "status", PYTHONPROFILEIMPORTTIME="1")) >= {
        "ledger.service.rollout_reader"
    }
