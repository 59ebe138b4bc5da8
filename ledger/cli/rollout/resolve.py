"""`ledger resolve`: a person's word where no probe could tell."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.options import DatabaseArgument, ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.cli.rollout.commands import chosen_rollout
from ledger.errors import WrongArgument


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "resolve",
        panel="Fleet and rollouts",
        examples=("ledger resolve acme 20260401120000 --applied --reason 'index is there, seen'",),
        needs_arguments=True,
    )(resolve)


async def resolve(
    ctx: typer.Context,
    database: DatabaseArgument,
    migration: Annotated[
        str,
        typer.Argument(
            metavar="MIGRATION", help="Its version.", autocompletion=completion.known_versions
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="How you know; kept in the record.")],
    applied: Annotated[
        bool | None,
        typer.Option("--applied/--not-applied", help="What you have seen there. Required."),
    ] = None,
    ticket: Annotated[
        str | None, typer.Option("--ticket", help="Ticket or change number; kept in the record.")
    ] = None,
    rollout: Annotated[
        str | None,
        typer.Option(
            "--rollout",
            help="Default: the only unfinished one.",
            autocompletion=completion.rollouts,
        ),
    ] = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Settle what no probe could: say that a migration is, or is not, applied in a database."""
    if applied is None:
        raise WrongArgument("say what you have seen in the database: --applied or --not-applied")
    async with opened(ctx) as session:
        await session.ledger.fleet.check_known(database)
        chosen = await chosen_rollout(session, rollout)
        word = "applied" if applied else "not applied"
        resolving = partial(
            session.ledger.rollouts.resolve,
            chosen,
            database,
            migration,
            applied=applied,
            asked=ReasonOptions(reason, ticket).asked(),
        )
        await resolving(dry=True)
        confirm(
            session.ledger.name,
            [f"record for 1 database, {database}, that {migration} is {word}"],
            yes=yes,
        )
        await resolving()
    Output(output).record(
        "resolve",
        {"rollout": chosen, "database": database, "migration": migration, "applied": applied},
        f"{database}: {migration} is recorded as {word}; a running rollout orders the database "
        f"again by itself, a paused or halted one after `ledger rollout resume {chosen}`",
    )
