"""`ledger fact record`: a job that knows says when it did something to a database."""

from __future__ import annotations

from typing import Annotated

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import UnaskedYesOption, announce
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.moments import moment_in
from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from migrations.clock import SYSTEM_CLOCK
from migrations.model.clocks import moment_text

fact_app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Facts that others know: what a backup job has done.",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(fact_app, name="fact", rich_help_panel="Fleet and rollouts")


@command(
    fact_app,
    "record",
    examples=(
        "ledger fact record acme backup",
        "ledger fact record acme backup --at 2026-11-30T02:10:00Z --reason 'nightly dump'",
    ),
    needs_arguments=True,
)
async def record(
    ctx: typer.Context,
    database: Annotated[
        str,
        typer.Argument(metavar="DATABASE", help="Its id.", autocompletion=completion.databases),
    ],
    fact: Annotated[
        str, typer.Argument(metavar="FACT", help="What was done: backup, a backup that is whole.")
    ],
    why: ReasonOptions,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="WHEN",
            help="When it was done: 30m (ago), 02:10, 2026-11-30T02:10 (UTC). Default: now.",
        ),
    ] = None,
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Record that something was done to a database, for example at the end of a backup job.

    Preflight takes the age of the last backup from it (`preflight.backup_age_h`), beside what a
    query, the agent's own command or the archiver says; the latest counts. Asks nobody, for a job
    has nobody to ask.
    """
    moment = moment_in("--at", at) or SYSTEM_CLOCK.now()
    async with opened(ctx) as session:
        await session.ledger.fleet.check_fact(database, fact, moment)
        announce(session.ledger.name, [f"record {fact} of 1 database, {database}"])
        changed = await session.ledger.fleet.record_fact(database, fact, moment, why.asked())
    said = f"{fact} at {moment_text(moment)}"
    what = f"{said} is recorded" if changed else f"{said} is not news: a later one is known"
    fields = {"database": database, "fact": fact, "at": moment, "changed": changed}
    Output(output).record("fact.record", fields, f"{database}: {what}")
