"""What a command imports: most of what a short one costs, so only what it needs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import PROGRAM
from tests.support.program import LedgerProgram

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


Imports = Callable[..., Awaitable[set[str]]]


@pytest.fixture
def imports(environment: dict[str, str], tmp_path: Path) -> Imports:
    """Return a function that runs the program, started cold, and says what it imported."""

    async def started(*words: str, says: str = "") -> set[str]:
        profiled = environment | {"PYTHONPROFILEIMPORTTIME": "1"}
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *words,
            cwd=tmp_path,
            env=profiled,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        said = (await process.communicate())[1].decode()
        assert process.returncode == 0, said
        assert says in said
        found = set(IMPORTED.findall(said))
        assert "ledger.cli.app.start" in found
        return found

    return started


@pytest.mark.usefixtures("fleet", "migrations")
async def test_up_with_nothing_to_do_imports_nothing_that_only_work_needs(
    ledger: LedgerProgram, imports: Imports
) -> None:
    assert (await ledger("up", "--yes")).code == 0
    nothing = "Every selected database has all of these migrations."
    unneeded = {*NEVER, *STATUSES, *REPORTS, "ledger.service.history"}
    assert await imports("up", "--yes", says=nothing) & unneeded == set()


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
    imports: Imports, words: tuple[str, ...], unneeded: tuple[str, ...]
) -> None:
    assert await imports(*words) & {*NEVER, *unneeded} == set()


@pytest.mark.usefixtures("fleet", "migrations")
async def test_who_stops_a_rollout_waits_for_no_parser_and_no_status(
    ledger: LedgerProgram, imports: Imports
) -> None:
    assert "nothing happens until" in (await ledger("up", "--yes", "--no-wait")).err
    paused = await imports("rollout", "pause", "--yes")
    assert paused & {*NEVER, *PARSER, *REPORTS, *STATUSES} == set()


@pytest.mark.usefixtures("fleet", "migrations")
async def test_what_is_looked_for_is_found_where_it_is_needed(imports: Imports) -> None:
    worked = await imports("up", "--yes")
    assert worked >= {"agents", "ledger.leader", "postgast", "google.protobuf"}
    assert "ledger.service.rollout_reader" in await imports("rollout", "status")
