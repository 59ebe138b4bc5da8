"""What is told again from a journal is no second change to whoever reads a history."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from ledger.contracts.envelope import Metadata, Recorded, encode, report_id
from ledger.contracts.reports import MigrationApplied, MigrationRolledBack, Report
from ledger.service.repeats import without_repeats
from ledger.store.log.decode import open_event
from migrations.clock import SYSTEM_CLOCK
from tests.support.memory_log import MemoryLog

REPORTS = "rollout-r1/reports"


def applied(command: UUID, database: str = "acme", version: str = "1") -> Report:
    return MigrationApplied(
        database=database, command=command, version=version, checksum="x", duration_ms=1,
        statements=1,
    )  # fmt: skip


def rolled_back(command: UUID) -> Report:
    return MigrationRolledBack(
        database="acme", command=command, version="1", checksum="x", duration_ms=1, statements=1
    )


async def names(*told: tuple[Report, bool], stream: str = REPORTS, since: int = 0) -> Sequence[str]:
    """What a reader sees from a position on; each report with whether it came from a journal."""
    log = MemoryLog(uuid4(), SYSTEM_CLOCK)
    for report, recovered in told:
        event = encode(report, report_id(report), Metadata(recovered=recovered or None))
        await log.append(stream, [event])
    found: list[Recorded] = [open_event(one) for one in await log.tail(since, 100)]
    return [type(one.event).__name__ for one in await without_repeats(log, found)]


async def test_an_answer_from_the_journal_is_no_second_change() -> None:
    told = [(applied(uuid4()), False), (applied(uuid4()), True)]
    assert await names(*told) == ["MigrationApplied", "ReportRepeated"]


async def test_it_is_the_first_word_where_the_first_one_was_lost() -> None:
    assert await names((applied(uuid4()), True)) == ["MigrationApplied"]


async def test_the_first_word_may_stand_on_another_page() -> None:
    told = [(applied(uuid4()), False), (applied(uuid4()), True)]
    assert await names(*told, since=1) == ["ReportRepeated"]


async def test_what_was_taken_back_meanwhile_is_a_change_again() -> None:
    told = [(applied(uuid4()), False), (rolled_back(uuid4()), False), (applied(uuid4()), True)]
    assert await names(*told) == ["MigrationApplied", "MigrationRolledBack", "MigrationApplied"]


async def test_another_database_or_migration_is_another_change() -> None:
    told = [
        (applied(uuid4()), False),
        (applied(uuid4(), "bolt"), True),
        (applied(uuid4(), version="2"), True),
        (applied(uuid4(), version="2"), True),
    ]
    assert await names(*told) == [*["MigrationApplied"] * 3, "ReportRepeated"]


async def test_a_change_that_was_made_twice_is_told_twice() -> None:
    told = [(applied(uuid4()), False), (applied(uuid4()), False)]
    assert await names(*told) == ["MigrationApplied", "MigrationApplied"]
