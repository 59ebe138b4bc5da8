"""`ledger adopt --dry-run`: agents look at the histories, read-only; the service matches them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.app.command import flags_of, opened
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.local_work import NOBODY_LOOKS, at_work, say_heard
from ledger.cli.app.options import ReasonOptions, RolloutOptions
from ledger.cli.app.output import Output
from ledger.cli.app.variables import declared, names_said, reading_of
from ledger.cli.fleet.check import PATIENCE_S
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.service.adoption import AdoptionMatch
    from migrations.model.attempt import Adoption

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
    from ledger.domain.variables import refuse_unknown
    from ledger.service.adoption import adoption_matches
    from migrations.formats.bundle import load_folder

    variables = declared(travel.var, flags_of(ctx).load().settings)
    reading = reading_of(variables, psql=travel.allow_psql)
    migrations = load_folder(directory, travel.format, reading).migrations
    refuse_unknown(names_said(travel.var), migrations)
    async with opened(ctx) as session:
        check = await session.ledger.fleet.check(
            travel.select, why.asked(), Purpose.ADOPT, adoption
        )
        async with at_work(session):
            if not await session.ledger.leader():
                return output.error(NOBODY_LOOKS, ExitCode.NO_LEADER)
            result = await session.ledger.checks.answers(check, PATIENCE_S, say_heard)
    rows = [_row(one) for one in adoption_matches(result, migrations, adoption)]
    rows.sort(key=lambda row: not row["problem"])
    wrong = sum(bool(row["problem"]) for row in rows)
    shown = rows[: output.at_most(None)]
    if rows:
        told = f"{len(rows) - wrong:,} can be taken over, {wrong:,} with a problem"
        output.tell(f"{number_of(len(rows), 'database')}: {told}")
    output.rows(
        "adopt.look", shown, COLUMNS, empty="No database matches.", finished=result.finished
    )
    output.tell_left_out(len(shown), len(rows))
    if not result.finished:
        return output.error(
            "some databases did not answer; is an agent running in their pool?", ExitCode.TIMEOUT
        )
    return ExitCode.REFUSED if any(row["problem"] for row in rows) else ExitCode.OK


def _row(one: AdoptionMatch) -> dict[str, Any]:
    return {
        "database": one.database,
        "table": one.table,
        "taken": one.taken,
        "pending": one.pending,
        "no_file": list(one.no_file),
        "notes": list(one.notes),
        "problem": one.problem,
    }
