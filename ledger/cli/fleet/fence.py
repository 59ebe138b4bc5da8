"""`ledger fleet reset-fence`: the way out for a journal that names an order nobody gave."""

from __future__ import annotations

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.local_work import NOBODY_LOOKS, at_work
from ledger.cli.app.options import DatabaseArgument, ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.cli.fleet.check import PATIENCE_S


def register(fleet_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        fleet_app,
        "reset-fence",
        examples=("ledger fleet reset-fence acme --reason 'entry forged by its owner, see INC-7'",),
        needs_arguments=True,
    )(reset_fence)


async def reset_fence(
    ctx: typer.Context,
    database: DatabaseArgument,
    why: ReasonOptions,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Let orders into a database again whose journal names an order that was never given.

    An agent reads the journal first. Where the order that it names can be one of this ledger's,
    nothing is wrong and the request is refused. Otherwise that one entry keeps no order out any
    more; whatever is written behind it counts as ever.
    """
    asked = why.asked()
    async with opened(ctx) as session:
        fleet, checks = session.ledger.fleet, session.ledger.checks
        check = await fleet.check(f"id={database}", asked)
        async with at_work(session):
            if not await session.ledger.leader():
                return Output(output).error(NOBODY_LOOKS, ExitCode.NO_LEADER)
            result = await checks.answers(check, PATIENCE_S)
        found, issued = await checks.fence(result, database)
        await fleet.check_fence(database, found, asked)
        order = f"{found.epoch.term}.{found.epoch.position}"
        facts = [
            f"let orders into 1 database, {database}, again: its journal names order {order}, and "
            f"this ledger has come to {issued.term}.{issued.position}",
            "take that journal as it is now, with entries that no order of this ledger wrote",
        ]
        confirm(session.ledger.name, facts, yes=yes)
        await fleet.reset_fence(database, found, asked)
    Output(output).record(
        "fleet.reset-fence",
        {
            "database": database,
            "term": found.epoch.term,
            "position": found.epoch.position,
            "journal_head": found.journal_head,
        },
        f"{database}: the next order passes over order {order}, as long as the journal ends there",
    )
    return ExitCode.OK
