"""`ledger adopt --dry-run`: agents look at the histories, read-only; the match is made here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.app.command import flags_of, opened
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.local_work import at_work
from ledger.cli.app.options import ReasonOptions, RolloutOptions
from ledger.cli.app.output import Output, say
from ledger.cli.app.variables import declared, reading_of
from ledger.cli.fleet.check import PATIENCE_S, answers

if TYPE_CHECKING:
    from ledger.contracts.reports import DatabaseInspected
    from ledger.service.fleet import CheckRow
    from migrations.adoption.match import Match
    from migrations.model.attempt import Adoption
    from migrations.model.foreign_history import ForeignHistory
    from migrations.model.migration import Migration

COLUMNS = ("database", "table", "taken", "pending", "no_file", "problem")


async def look(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    adoption: Adoption,
    directory: Path,
    output: Output,
) -> ExitCode:
    """Show what adopting would find in each database; nothing is written in any."""
    from ledger.contracts.events import Purpose
    from migrations.formats.bundle import load_folder

    variables = declared(travel.var, flags_of(ctx).load().settings)
    reading = reading_of(variables, psql=travel.allow_psql)
    migrations = load_folder(directory, travel.format, reading).migrations
    async with opened(ctx) as session:
        fleet = session.ledger.fleet
        check = await fleet.check(travel.select, why.asked(), Purpose.ADOPT, adoption)
        async with at_work(session):
            if not await session.ledger.leader():
                say("Nobody leads, so nobody looks until `ledger serve` runs.")
                return ExitCode.NO_LEADER
            result = await answers(session, check, PATIENCE_S)
    rows = [_row(row, migrations, adoption) for row in result.rows]
    output.rows("adopt.look", rows, COLUMNS, empty="No database matches.", finished=result.finished)
    if not result.finished:
        say("Some databases did not answer; is an agent running in their pool?")
        return ExitCode.TIMEOUT
    return ExitCode.REFUSED if any(row["problem"] for row in rows) else ExitCode.OK


def _row(row: CheckRow, migrations: tuple[Migration, ...], adoption: Adoption) -> dict[str, Any]:
    answer = row.look.answer
    if answer is None:
        return _told(row.database, None, None, "no answer")
    if answer.failure is not None:
        return _told(row.database, None, None, answer.failure.message)
    history, problem = _chosen(answer, adoption)
    if history is None:
        return _told(row.database, None, None, problem)
    found = _matched(history, migrations, adoption)
    return _told(row.database, history.table, found, found.problem)


def _chosen(answer: DatabaseInspected, adoption: Adoption) -> tuple[ForeignHistory | None, str]:
    """The history that would be taken over, or why there is none."""
    wanted = [one for one in answer.histories if adoption.source in ("auto", one.tool)]
    if len(wanted) == 1:
        return wanted[0], ""
    if not wanted:
        return None, "no history table was found; `ledger baseline` marks what is applied"
    names = ", ".join(one.tool for one in wanted)
    return None, f"several tools left a history here: {names}; say which with --from"


def _matched(found: ForeignHistory, migrations: tuple[Migration, ...], adoption: Adoption) -> Match:
    from migrations.adoption.match import match
    from migrations.model.foreign_history import ForeignHistory, ForeignRow, Tool

    rows = tuple(
        ForeignRow(one.version, one.name, one.below, one.repeatable, one.checksum)
        for one in found.rows
    )
    history = ForeignHistory(Tool(found.tool), found.table, rows, found.count, found.problem)
    return match(
        history, migrations, through=adoption.through, accept_missing=adoption.accept_missing
    )


def _told(
    database: str, table: str | None, found: Match | None, problem: str | None
) -> dict[str, Any]:
    return {
        "database": database,
        "table": table,
        "taken": len(found.taken) if found else None,
        "pending": len(found.pending) if found else None,
        "no_file": [row.label for row in found.unmatched] if found else [],
        "notes": list(found.notes) if found else [],
        "problem": problem or None,
    }
